"""What apps give, on its way in."""

from __future__ import annotations

from typing import TypeVar, Union

from ._error import misuse

T = TypeVar("T")
BytesLike = Union[bytes, bytearray, memoryview]
"""``bytes`` are handed to the library without a copy, the others with one."""


def wanted(kind: type[T], given: object) -> T:
    """What was given, if it is of this kind: else an app without a type checker hears of an attribute that something inside has not."""
    if not isinstance(given, kind):
        raise TypeError(f"{kind.__name__} is wanted, not {type(given).__name__}")
    return given


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
