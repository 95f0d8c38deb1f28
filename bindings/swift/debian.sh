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
    # Beside it, so that what was interrupted is not taken for it.
    rm -rf "$root.new"
    debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,libstdc++-14-dev,git,libcurl4-openssl-dev,libxml2-dev,zlib1g-dev \
        trixie "$root.new"
    chroot "$root.new" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends swiftlang libswiftlang swiftlang-dev
    chroot "$root.new" apt-get clean
    touch "$root.new/.ready"
    mv "$root.new" "$root"
fi
[ $# -gt 1 ] || exit 0
packed=$(cd "$2" && pwd)
shift 2
mkdir -p "$root/packed"
# In a mount namespace of its own, so that nothing stays mounted.
exec unshare --mount --pid --fork --mount-proc="$root/proc" bash -c '
    set -e
    mount --bind "$1" "$2/packed" && mount --rbind /dev "$2/dev"
    root=$2; shift 2
    lib=/usr/libexec/swift
    exec chroot "$root" env PATH=$lib/bin:/usr/bin:/bin LD_LIBRARY_PATH=$lib/lib/swift/linux HOME=/root sh -c "cd /packed && exec \"\$@\"" sh "$@"
' bash "$packed" "$root" "$@"
