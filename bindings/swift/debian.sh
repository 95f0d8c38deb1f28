#!/usr/bin/env bash
# Runs COMMAND with the Swift of Debian 13 in a folder that package.sh has packed, on a machine that has another Debian, or none of Swift.
#
#   bindings/swift/debian.sh ROOT                     puts that Debian into ROOT, 4 GB, unless it is there
#   bindings/swift/debian.sh ROOT PACKED COMMAND…     swift test, say
#
# Needs: root, debootstrap, and Debian's packages. The command sees ROOT and PACKED alone; it has this machine's network.
set -euo pipefail
root=${1:?where Debian is put}
[ "$(id -u)" = 0 ] || { echo "only root may set up a Debian"; exit 1; }
unshare --mount --pid --fork true || { echo "this machine lets nobody mount"; exit 1; }
if [ ! -e "$root/.ready" ]; then
    # Where something else is, nothing is put: what is half made lies beside it, and is moved there when it is whole.
    [ ! -e "$root" ] || rmdir "$root"
    trap 'rm -rf "$root.new"' EXIT
    trap 'exit 130' INT TERM
    rm -rf "$root.new"
    # In a mount namespace of its own: what debootstrap mounts is gone with it, however it ends, and never in the way of `rm`.
    unshare --mount bash -ec '
        debootstrap --variant=minbase \
            --include=ca-certificates,gcc,libc6-dev,libstdc++-14-dev,git,libcurl4-openssl-dev,libxml2-dev,zlib1g-dev trixie "$1"
        chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends swiftlang libswiftlang swiftlang-dev
        chroot "$1" apt-get clean
        touch "$1/.ready"
    ' bash "$root.new"
    mv -T "$root.new" "$root"
fi
[ $# -gt 1 ] || exit 0
packed=$(cd "$2" && pwd)
shift 2
mkdir -p "$root/packed"
# In a mount namespace of its own, so that nothing stays mounted.
exec unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" bash -c '
    set -e
    mount --bind "$1" "$2/packed" && mount --rbind /dev "$2/dev"
    root=$2; shift 2
    lib=/usr/libexec/swift
    exec chroot "$root" env PATH=$lib/bin:/usr/bin:/bin LD_LIBRARY_PATH=$lib/lib/swift/linux HOME=/root sh -c "cd /packed && exec \"\$@\"" sh "$@"
' bash "$packed" "$root" "$@"
