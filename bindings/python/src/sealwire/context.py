"""What a payload is for."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._bytes import BytesLike, as_bytes
from ._error import misuse
from ._ffi import sealwire as ffi

__all__ = ["ContextField", "SealContext"]

ContextField = str | int | BytesLike
"""Text, an unsigned integer below 2^64, or bytes: ``"1"``, ``1`` and ``b"1"`` are three different fields."""


@dataclass(frozen=True, init=False, slots=True)
class SealContext:
    """What a payload is for: a namespace and fields, such as ``SealContext("notes", "17")``.

    The context is bound to the envelope and never sent: opening with another one is `Rejected`, so a server cannot serve the bytes of
    one row as another. Choose a namespace and an id that never change; a URL changes with the domain.

    Limits: namespace 1 to 128 bytes; at most 16 fields of at most 1024 bytes; both are checked when the context is used (`Misuse`).
    Text is compared byte for byte, without Unicode normalisation. Source: SPEC §9.
    """

    namespace: str
    fields: tuple[str | int | bytes, ...] = field(repr=False)

    def __init__(self, namespace: str, *fields: ContextField) -> None:
        object.__setattr__(self, "namespace", namespace)
        object.__setattr__(self, "fields", tuple(map(_field, fields)))


def _field(field: ContextField) -> str | int | bytes:
    if isinstance(field, bool):
        raise misuse("a field is text, a number or bytes")
    return field if isinstance(field, (str, int)) else as_bytes(field)


def raw_context(context: SealContext) -> ffi.SealContext:
    """The context for the library."""
    if not isinstance(context, SealContext):
        raise TypeError("a SealContext is wanted")
    return ffi.SealContext(namespace=context.namespace, fields=[_raw_field(field) for field in context.fields])


def _raw_field(field: str | int | bytes) -> ffi.ContextField:
    made: ffi.ContextField
    if isinstance(field, str):
        made = ffi.ContextField.TEXT(field)  # type: ignore[assignment]
    elif isinstance(field, int):
        made = ffi.ContextField.NUMBER(field)  # type: ignore[assignment]
    else:
        made = ffi.ContextField.BYTES(field)  # type: ignore[assignment]
    return made
