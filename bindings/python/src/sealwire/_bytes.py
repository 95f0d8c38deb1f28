"""Bytes and text on their way in."""

from __future__ import annotations

from typing import Union

from ._error import misuse

BytesLike = Union[bytes, bytearray, memoryview]
"""``bytes`` are handed to the library without a copy, the others with one."""


def as_bytes(given: BytesLike) -> bytes:
    """The same as `bytes`, without a copy if they are."""
    if type(given) is bytes:
        return given
    # Not whatever `bytes` takes: of a number it would make zeros.
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    raise TypeError(f"a bytes-like object is wanted, not {type(given).__name__}")


def as_payload(given: BytesLike | str) -> bytes:
    """A payload: text is its UTF-8."""
    return encoded(given) if isinstance(given, str) else as_bytes(given)


def encoded(text: str, encoding: str = "utf-8") -> bytes:
    """The bytes of a text."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        pass
    # Only here, where that error is no context of this one: it has the text.
    raise misuse(f"text that {encoding} has no bytes for")
