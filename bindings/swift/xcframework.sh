#!/usr/bin/env bash
# Packs the Swift package for Apple platforms, on a Mac: macOS, iOS, the iOS simulator, each for its processors.
#
#   bindings/swift/xcframework.sh OUT     OUT is made anew; `swift test` there, or add it to an Xcode project as a local package
#
# Needs: Xcode, and a Rust toolchain by rustup.
set -euo pipefail
mkdir -p "${1:?where to}"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
export MACOSX_DEPLOYMENT_TARGET=12.0 IPHONEOS_DEPLOYMENT_TARGET=15.0

triples=(aarch64-apple-darwin x86_64-apple-darwin aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios)
rustup target add "${triples[@]}"
for triple in "${triples[@]}"; do
    cargo rustc --quiet --locked --release --manifest-path "$root/Cargo.toml" -p sealwire-bindings --lib --crate-type staticlib --target "$triple"
done

./package.sh "$out"
headers=$(mktemp -d)
# In a folder of its own: every framework of a project puts its headers into one.
mkdir "$headers/sealwireFFI"
mv "$out"/Sources/sealwireFFI/include/* "$headers/sealwireFFI/"
rm -r "$out/Sources/sealwireFFI"

archive() { echo "$target/$1/release/libsealwire_bindings.a"; }
fat=$(mktemp -d)
mkdir "$fat/macos" "$fat/simulator"
lipo -create "$(archive aarch64-apple-darwin)" "$(archive x86_64-apple-darwin)" -output "$fat/macos/libsealwire_bindings.a"
lipo -create "$(archive aarch64-apple-ios-sim)" "$(archive x86_64-apple-ios)" -output "$fat/simulator/libsealwire_bindings.a"
xcodebuild -create-xcframework \
    -library "$fat/macos/libsealwire_bindings.a" -headers "$headers" \
    -library "$fat/simulator/libsealwire_bindings.a" -headers "$headers" \
    -library "$(archive aarch64-apple-ios)" -headers "$headers" \
    -output "$out/SealwireFFI.xcframework"
rm -r "$headers" "$fat"
