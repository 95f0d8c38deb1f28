"""A sealed table to try it on, and what became of it.

    python rows.py make FOLDER ROWS      a table of so many rows in FOLDER/rows, and the keys; the last one is in another row's place if BENT is set
    python rows.py verify FOLDER         opens every row of FOLDER/rewrapped as the new reader, and not as the old one
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rewrap import context_of
from sealwire import FileStore, Identity, NotRecipient, SymmetricKey, open_detached, seal, split

TABLE = "notes"
PER_FILE = 12_500


def store(folder: Path) -> FileStore:
    return FileStore(folder / "keys", key=SymmetricKey.from_bytes(bytes.fromhex(os.environ["KEYS_KEY"])))


def make(folder: Path, count: int) -> None:
    old, new = Identity.generate(), Identity.generate()
    (folder / "keys").mkdir(parents=True)
    old.save(store(folder), "old")
    new.save(store(folder), "new")
    (folder / "recipients").write_text(f"{new.recipient}\n")
    (folder / "rows").mkdir()
    recipient = old.recipient
    size = min(PER_FILE, max(1, count // 4))
    for start in range(0, count, size):
        ids = list(range(start, min(start + size, count)))
        place = [id - 1 if os.environ.get("BENT") and id == count - 1 else id for id in ids]
        sealed = [split(seal(f"note {id}", recipient, context_of(TABLE, at))) for id, at in zip(ids, place, strict=True)]
        table = pa.table({"id": pa.array(ids, pa.int64()), "header": [header for header, _ in sealed], "body": [body for _, body in sealed]})
        pq.write_table(table, folder / "rows" / f"{start:09}.parquet")


def verify(folder: Path) -> None:
    old, new = Identity.load(store(folder), "old"), Identity.load(store(folder), "new")
    assert old is not None and new is not None
    before, after = (pq.read_table(folder / name).sort_by("id").to_pydict() for name in ("rows", "rewrapped"))
    assert before["id"] == after["id"] and before["body"] == after["body"]
    for id, header, body in zip(after["id"], after["header"], after["body"], strict=True):
        assert open_detached(header, body, new, context_of(TABLE, id)).text() == f"note {id}"
        try:
            open_detached(header, body, old, context_of(TABLE, id))
        except NotRecipient:
            continue
        raise AssertionError("the old reader still opens it")
    print(f"{len(after['id'])} rows open for the new reader, and not for the old one")


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    make(folder, int(sys.argv[3])) if sys.argv[1] == "make" else verify(folder)
