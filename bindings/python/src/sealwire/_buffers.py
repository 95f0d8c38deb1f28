"""How arguments get into the library and results out of it, in less time than as it is generated: that was most of what sealing 1 KiB took.

The generated code asks the library for room for each number that it writes, and makes two context managers and two structures for each call. Here a
buffer is made once, when its size is known. What is written and read are the same bytes.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any

from ._ffi import sealwire as _generated

# Nothing of it has a type for checkers.
ffi: Any = _generated

#: Above this, pieces are copied one by one, and not joined first.
_LARGE = 64 * 1024


def replace(owner: Any, name: str, new: object) -> None:
    """Puts ``new`` in the place of what was generated: under a name that is gone nobody would call it."""
    if not hasattr(owner, name):
        raise ImportError(f"what was generated has no {owner.__name__}.{name}")
    setattr(owner, name, new)


def rust_call(function: Callable[..., Any], *args: Any) -> Any:
    return rust_call_with_error(None, function, *args)


def rust_call_with_error(error: Any, function: Callable[..., Any], *args: Any) -> Any:
    status = ffi._UniffiRustCallStatus()
    result = function(*args, ctypes.byref(status))
    if status.code != 0:
        ffi._uniffi_check_call_status(error, status)
    return result


def _packed(form: str) -> Callable[[Builder, int], None]:
    pack = struct.Struct(form).pack

    def write(self: Builder, value: int) -> None:
        self._pieces.append(pack(value))

    return write


class Builder:
    """Collects what is written, and makes a buffer of it at the end."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, value: bytes) -> None:
        # No copy, but of what may change.
        self._pieces.append(bytes(value))

    write_i8, write_u8 = _packed(">b"), _packed(">B")
    write_i16, write_u16 = _packed(">h"), _packed(">H")
    write_i32, write_u32 = _packed(">i"), _packed(">I")
    write_i64, write_u64 = _packed(">q"), _packed(">Q")
    write_float, write_double = _packed(">f"), _packed(">d")

    def finalize(self) -> Any:
        pieces = self._pieces
        length = sum(map(len, pieces))
        buffer = ffi._UniffiRustBuffer.reserve(ffi._UniffiRustBuffer(), length)
        if length > _LARGE:
            to = ctypes.addressof(buffer.data.contents)
            for piece in pieces:
                ctypes.memmove(to, piece, len(piece))
                to += len(piece)
        elif length > 0:
            ctypes.memmove(buffer.data, b"".join(pieces), length)
        buffer.len = length
        return buffer

    def discard(self) -> None:
        """There is nothing yet."""


class Converter:
    """What goes through a buffer."""

    @classmethod
    def lower(cls: Any, value: Any) -> Any:
        builder = Builder()
        cls.write(value, builder)
        return builder.finalize()

    @classmethod
    def lift(cls: Any, buffer: Any) -> Any:
        try:
            stream = ffi._UniffiRustBufferStream(buffer.data, buffer.len)
            value = cls.read(stream)
            if stream.remaining() != 0:
                raise ffi.InternalError("more than was to be read")
            return value
        finally:
            buffer.free()


def check_text(text: Any) -> None:
    """Refuses a text that has no UTF-8 before anything is handed over: keys that were written in front of it would be nobody's to give up."""
    if not isinstance(text, str):
        raise TypeError(f"a text is wanted, not {type(text).__name__}")
    if not text.isascii():
        text.encode()


#: What was generated, for the test that compares.
GENERATED_BUILDER = ffi._UniffiRustBufferBuilder

replace(ffi, "_uniffi_rust_call", rust_call)
replace(ffi, "_uniffi_rust_call_with_error", rust_call_with_error)
replace(ffi, "_UniffiRustBufferBuilder", Builder)
replace(ffi._UniffiConverterRustBuffer, "lower", Converter.__dict__["lower"])
replace(ffi._UniffiConverterRustBuffer, "lift", Converter.__dict__["lift"])
replace(ffi._UniffiFfiConverterString, "check_lower", staticmethod(check_text))
