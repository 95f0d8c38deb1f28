#!/usr/bin/env bash
# Typechecks what is compiled on Apple's platforms alone (`#if canImport(Security)`), against declarations that stand in for Apple's: it finds what is misspelt
# or of another type, as far as those are right, and says nothing of what the platform does.
#
#   bindings/swift/apple/check.sh PACKED [RUN…]     RUN FOLDER COMMAND… has Swift: `bindings/swift/debian.sh ROOT`; without it this machine has
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
packed=$(cd "${1:?what is packed}" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$packed/Sources" "$here/Security.swift" "$work/"
# The conversions that are Apple's own.
sed -i -E 's/ as (CFDictionary|CFData|Data)\b/.as\1/g' "$work/Sources/Sealwire/Keychain.swift"
# And the README's lines about it, which run with another store in the tests.
{
    printf 'import Foundation\nfunc readme() throws {\n'
    sed -n '/= KeychainStore(/,/^    }/p' "$packed/Tests/SealwireTests/ReadmeBlocks.swift"
} >"$work/Sources/Sealwire/Readme.swift"
# One that is wrong, and one that is misspelt, which have to be found.
sed 's/SecItemAdd(new.asCFDictionary, nil)/SecItemAdd(new, nil)/' "$work/Sources/Sealwire/Keychain.swift" >"$work/wrong.swift"
sed 's/kSecAttrService/kSecAttrServce/' "$work/Sources/Sealwire/Keychain.swift" >"$work/misspelt.swift"
cat >"$work/typecheck.sh" <<'SCRIPT'
set -eu
mkdir -p modules cache
swift="swiftc -swift-version 5 -module-cache-path cache -I modules -I Sources/sealwireFFI/include"
$swift -emit-module -module-name Security -o modules/Security.swiftmodule -parse-as-library Security.swift
$swift -emit-module -module-name SealwireRaw -o modules/SealwireRaw.swiftmodule -parse-as-library Sources/SealwireRaw/*.swift
$swift -typecheck -module-name Sealwire Sources/Sealwire/*.swift
for other in wrong misspelt; do
    cmp -s $other.swift Sources/Sealwire/Keychain.swift && { echo "nothing is $other"; exit 1; }
    cp $other.swift Sources/Sealwire/Keychain.swift
    ! $swift -typecheck -module-name Sealwire Sources/Sealwire/*.swift >$other.log 2>&1 || { echo "nobody found what is $other"; exit 1; }
    grep -q 'Keychain.swift.* error: ' $other.log || { cat $other.log; exit 1; }
done
SCRIPT
if [ $# -gt 0 ]; then
    "$@" "$work" sh typecheck.sh
else
    (cd "$work" && sh typecheck.sh)
fi
