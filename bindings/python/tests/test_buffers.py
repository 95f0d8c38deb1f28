"""What is handed to the library, beside the generated code's own way of writing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sealwire import Malformed, SealContext, _buffers, inspect
from sealwire._ffi import sealwire as ffi
from sealwire.context import raw_context

raw: Any = ffi


def written(builder: Any, write: Callable[[Any], None]) -> bytes:
    write(builder)
    buffer = builder.finalize()
    try:
        return bytes(buffer.data[: buffer.len])
    finally:
        buffer.free()


def test_the_same_is_written() -> None:
    def everything(builder: Any) -> None:
        for bits in (8, 16, 32, 64):
            getattr(builder, f"write_i{bits}")(-(1 << (bits - 1)))
            getattr(builder, f"write_u{bits}")((1 << bits) - 2)
        builder.write_float(0.5)
        builder.write_double(-2.25)
        for size in (0, 1, 100):
            builder.write(b"\1" * size)

    def large(builder: Any) -> None:
        everything(builder)
        builder.write(bytes(range(256)) * 4096)
        everything(builder)

    def context(builder: Any) -> None:
        raw._UniffiFfiConverterTypeSealContext.write(raw_context(SealContext("notes", "17", 17, b"17")), builder)

    for write in (everything, large, context, lambda _: None):
        assert written(_buffers.Builder(), write) == written(_buffers.GENERATED_BUILDER(), write)
    assert raw._UniffiRustBufferBuilder is _buffers.Builder


def test_what_is_not_generated_any_more_is_not_replaced() -> None:
    for owner in (raw, raw._UniffiConverterRustBuffer):
        with pytest.raises(ImportError, match="_gone"):
            _buffers.replace(owner, "_gone", None)
    # All objects of the library say `Misuse` after their end.
    held = [kind for kind in vars(raw).values() if "_uniffi_clone_handle" in getattr(kind, "__dict__", {})]
    assert len(held) > 10 and {kind._uniffi_clone_handle.__module__ for kind in held} == {"sealwire._held"}


def test_what_may_change_is_copied() -> None:
    changing = bytearray(b"before")

    def write(builder: Any) -> None:
        builder.write(changing)
        changing[:] = b"after!"

    assert written(_buffers.Builder(), write) == b"before"


def test_what_does_not_fit_is_refused() -> None:
    for write, value in ((_buffers.Builder.write_i32, 1 << 31), (_buffers.Builder.write_u8, -1)):
        with pytest.raises(Exception, match="format|range"):
            write(_buffers.Builder(), value)


def test_what_is_left_over_is_noticed() -> None:
    builder = _buffers.Builder()
    builder.write_i32(1)
    builder.write(b"ab")
    with pytest.raises(ffi.InternalError):
        raw._UniffiFfiConverterBytes.lift(builder.finalize())


def test_errors_come_through() -> None:
    with pytest.raises(Malformed):
        inspect(b"nothing of the kind, and long enough")
