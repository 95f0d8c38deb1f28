"""What Python writes for the other languages, it opens itself; the others' files come with SEALWIRE_VECTORS."""

from __future__ import annotations

from pathlib import Path

from vectors import judge, load
from write_matrix import write


def test_python_opens_its_own(tmp_path: Path) -> None:
    written = write(tmp_path)
    assert len(written) > 5
    for path in written:
        assert judge(load(path)) == "ok", path.name
