"""Who sent a request: signatures by themselves, without a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from ._bytes import BytesLike, as_bytes, encoded, wanted
from ._clock import now as clock
from ._error import call, misuse
from ._ffi import sealwire as ffi
from .keys import Identity

__all__ = ["sign_request"]


def sign_request(
    method: str,
    url: str,
    identity: Identity,
    *,
    fields: Iterable[tuple[str, str | bytes]] = (),
    body: BytesLike = b"",
    cover: Sequence[str] = (),
    now: int | None = None,
) -> list[tuple[str, str]]:
    """Signs a request (RFC 9421, Ed25519): all of its fields, those given and ``content-digest``, ``signature-input`` and ``signature``.

        httpx.put(url, content=body, headers=sign_request("PUT", url, alice, fields=[("content-type", "text/plain")], body=body))

    ``url`` is absolute, as the request line will have it. Method, authority, path, query, content type and body are covered, and ``authorization``
    and ``cookie`` if they are there; ``cover`` names fields to be signed besides. ``now`` is Unix seconds. Bytes are Latin-1 in what is returned. Change
    nothing that is covered afterwards. Each signature is good for 300 seconds, and once. Source: SPEC §21.

    Raises `Malformed` for a URL, a method or a field that is none, and for a covered field that comes twice or is not ASCII; `Misuse` if the
    signature's own fields are to be covered; `TooLarge` for more than 32 components.
    """
    if isinstance(fields, Mapping):
        raise misuse("fields are pairs of a name and a value")
    parts = _parts(wanted(str, url))
    target = (parts.path or "/") + (f"?{parts.query}" if "?" in url.split("#", 1)[0] else "")
    request = ffi.Unsigned(
        method=method, origin=f"{parts.scheme}://{parts.netloc}", path_and_query=target, fields=[raw_field(name, value) for name, value in fields]
    )
    signed = call(ffi.sign_request, request, wanted(Identity, identity)._raw, list(cover), as_bytes(body), clock() if now is None else now)
    return [(field.name, field.value.decode("latin-1")) for field in signed]


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        pass
    # Only here, where that error is no context of this one: it may have the URL.
    raise misuse("a URL that is none")


def raw_field(name: str | bytes, value: str | bytes) -> ffi.Field:
    """A field line for the library."""
    return ffi.Field(
        name=name.decode("latin-1") if isinstance(name, bytes) else name,
        value=encoded(value, "latin-1") if isinstance(value, str) else value,
    )
