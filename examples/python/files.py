"""Seals a file to a recipient, opens it, and reads from the middle of it.

    python files.py some/file
"""

import shutil
import sys
from pathlib import Path

from sealwire import Identity, OpenReader, SealContext, SealWriter, SeekReader

bob, alice = Identity.generate(), Identity.generate()
context = SealContext("files", "1")
path = Path(sys.argv[1])
sealed = path.with_suffix(path.suffix + ".sealed")

with path.open("rb") as source, sealed.open("wb") as target:
    with SealWriter(target, bob.recipient, context, length=path.stat().st_size, sign=alice, filename=path.name) as writer:
        shutil.copyfileobj(source, writer)

with sealed.open("rb") as source, OpenReader(source, bob, context, expect=alice.signer) as reader:
    size = 0
    while piece := reader.read(1 << 20):
        size += len(piece)
    print(f"{size} bytes by {'alice' if reader.signer == alice.signer else 'nobody'}")

with sealed.open("rb") as source:
    middle = SeekReader(source, bob, context)
    middle.seek(len(middle) // 2)
    print(f"{len(middle.read(16))} bytes from the middle")
