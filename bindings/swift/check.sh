#!/usr/bin/env bash
# Checks a folder that package.sh has packed, without Swift: everything that Package.swift names is there, and the library has what the
# header names.
#
#   bindings/swift/check.sh PACKED
set -euo pipefail
cd "$1"
wrong=0
fail() { echo "$*"; wrong=1; }

paths=$(grep -o 'path: "[^"]*"' Package.swift | cut -d'"' -f2 | grep -v xcframework)
for path in $paths; do
    [ -n "$(find "$path" -name '*.swift' -o -name '*.c' 2>/dev/null)" ] || fail "$path has no sources"
done
for resource in $(grep -o '\.copy("[^"]*")' Package.swift | cut -d'"' -f2); do
    [ -e "Tests/SealwireTests/$resource" ] || fail "no $resource"
done
[ "$(find Tests/SealwireTests/Vectors -name '*.json' | wc -l)" -ge 500 ] || fail "too few vectors"
for file in README.md VERSION LICENSE-MIT LICENSE-APACHE lib/libsealwire_bindings.so lib/static/libsealwire_bindings.a \
    Sources/SealwireRaw/SealwireFFI.swift Sources/sealwireFFI/include/sealwireFFI.h; do
    [ -s "$file" ] || fail "no $file"
done
grep -q 'header "sealwireFFI.h"' Sources/sealwireFFI/include/module.modulemap || fail "a module map without the header"
grep -q 'module sealwireFFI' Sources/sealwireFFI/include/module.modulemap || fail "a module map of another module"

named=$(grep -oE '\bu?n?i?ffi_sealwire_bindings_[a-z0-9_]+' Sources/sealwireFFI/include/sealwireFFI.h | sort -u)
[ "$(wc -l <<<"$named")" -gt 100 ] || fail "a header without functions"
for library in "-D lib/libsealwire_bindings.so" "lib/static/libsealwire_bindings.a"; do
    # shellcheck disable=SC2086 # An option and a file.
    missing=$(comm -23 <(echo "$named") <(nm --defined-only $library 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u))
    [ -z "$missing" ] || fail "$library has no $missing"
done
# What is generated calls only what the header names.
called=$(grep -ohE '\b(uniffi|ffi)_sealwire_bindings_[a-z0-9_]+' Sources/SealwireRaw/SealwireFFI.swift | sort -u)
unknown=$(comm -23 <(echo "$called") <(echo "$named"))
[ -z "$unknown" ] || fail "the header has no $unknown"
# The C compiler takes the header by itself.
printf '#include "sealwireFFI.h"\nint main(void) { return 0; }\n' | cc -x c -Wall -Werror -D_Nonnull= -D_Nullable= -fsyntax-only -ISources/sealwireFFI/include - ||
    fail "no C header"
exit "$wrong"
