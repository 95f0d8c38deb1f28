#!/usr/bin/env bash
# Packs the Swift package into a folder that needs nothing else: `swift test` there, offline.
#
#   bindings/swift/package.sh OUT     OUT is made anew
#
# Needs: a Rust toolchain, and a C compiler. No Swift. SEALWIRE_MATRIX=some/dir adds the envelopes that others have sealed there.
set -euo pipefail
mkdir -p "${1:?where to}"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
grep -q "sealwireVersion = \"$version\"" Sources/Sealwire/Version.swift || { echo "Version.swift does not say $version"; exit 1; }

../generate swift "$out.generated" >/dev/null

rm -rf "$out"
mkdir -p "$out"/{Sources/SealwireRaw,Sources/sealwireFFI/include,Examples}
cp Package.swift README.md "$root"/LICENSE-* "$out/"
cp -r Sources/Sealwire "$out/Sources/"
cp -r Tests "$out/"
mkdir -p "$out/Tests/SealwireTests/Matrix"
cp -r "$root/tests/vectors/envelope" "$out/Tests/SealwireTests/Vectors"
cp "$root/tests/matrix/cases.json" "$out/Tests/SealwireTests/"
[ -z "${SEALWIRE_MATRIX:-}" ] || cp "$SEALWIRE_MATRIX"/*.json "$out/Tests/SealwireTests/Matrix/"
# Every block of Swift in the README, and what a diff leaves, is a method of `ReadmeTests`, which has what the block takes as given.
awk '
    /^```(swift|diff)$/ { inside = $1; count++; body = body "\n    func block" count "() async throws {\n"; next }
    /^```/ && inside { inside = ""; body = body "    }\n"; next }
    !inside || (inside ~ /diff/ && /^-/) { next }
    inside ~ /diff/ { sub(/^[+ ]/, "") }
    /^import / { imports[$2]; next }
    { body = body "        " $0 "\n" }
    END {
        print "// What the README says, by package.sh."
        for (name in imports) print "import " name
        print "\nextension ReadmeTests {\n    static let count = " count "\n" body "}"
    }
' README.md >"$out/Tests/SealwireTests/ReadmeBlocks.swift"
cp "$out.generated/SealwireFFI.swift" "$out/Sources/SealwireRaw/"
cp "$out.generated/sealwireFFI.h" "$out/Sources/sealwireFFI/include/"
cp "$out.generated/sealwireFFI.modulemap" "$out/Sources/sealwireFFI/include/module.modulemap"
# A target of C has a source.
echo '#include "sealwireFFI.h"' >"$out/Sources/sealwireFFI/sealwireFFI.c"
rm -r "$out.generated"
for example in "$root"/examples/swift/*.swift; do
    name=$(basename "$example" .swift)
    mkdir "$out/Examples/$name"
    cp "$example" "$out/Examples/$name/main.swift"
done
# On a Mac xcframework.sh brings the library.
if [ "$(uname)" = Linux ]; then
    mkdir -p "$out/lib/static"
    cp "$target/release/libsealwire_bindings.so" "$out/lib/"
    # By itself: beside the other kinds of library it holds bitcode, which no other linker reads. Apart, so that neither build undoes the other.
    cargo rustc --quiet --locked --release --manifest-path "$root/Cargo.toml" -p sealwire-bindings --lib --crate-type staticlib \
        --target-dir "$target/archive"
    cp "$target/archive/release/libsealwire_bindings.a" "$out/lib/static/"
    strip --strip-debug "$out/lib/static/libsealwire_bindings.a"
fi
echo "$version" >"$out/VERSION"
