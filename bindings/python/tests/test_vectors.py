"""Every case of tests/vectors/, and those of the folder that SEALWIRE_VECTORS names."""

from __future__ import annotations

from pathlib import Path

import pytest

from vectors import cases, judge, load


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    vector = load(path)
    assert judge(vector) == vector["expect"], vector["about"]


def test_there_are_vectors() -> None:
    assert len(cases()) > 300
