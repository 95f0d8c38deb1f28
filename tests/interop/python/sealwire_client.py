"""A client of exchanges (§18, §19, §21) over httpx."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

import sealwire_http as sh
import sealwire_spec as sw


@dataclass
class Client:
    """`connect` is where the socket goes, if a gateway stands in front of the origin."""

    origin: str
    pins: list[bytes]
    identity: sw.Identity | None = None
    connect: str = ""
    memory: sh.Memory = field(default_factory=sh.Memory)
    keys: sh.Keys | None = None
    clock: Callable[[], int] = lambda: int(time.time())
    http: httpx.Client = field(default_factory=lambda: httpx.Client(follow_redirects=False, timeout=20))

    @property
    def authority(self) -> str:
        return self.origin.partition("://")[2]

    def fetch_keys(self) -> sh.Keys:
        with self._send(sh.Outer("GET", sh.KEYS_PATH, None, [])) as answer:
            document = b"".join(limited(answer, sh.MAX_DOCUMENT))
            fields = fields_of(answer)
        good = answer.status_code == 200 and sh.values(fields, "content-type") == [sh.KEYS_TYPE]
        if not good or sh.values(fields, "content-encoding"):
            raise sh.Unsealed(answer.status_code)
        self.keys = sh.read_document(document, self.origin, self.pins, self.memory, self.clock())
        return self.keys

    def seal(self, method: str, target: str, fields: sh.Fields, content: bytes, **options: Any) -> sh.Sealed:
        """A request that is ready to send: sealed with the newest key, and signed if there is an identity."""
        if self.keys is None or self.keys.expires <= self.clock():
            self.fetch_keys()
        scheme = self.origin.partition("://")[0]
        request = sh.Request(method, scheme, self.authority, target, fields, content)
        signer = None if self.identity is None else sh.key_id(self.identity.signing_public)
        sealed = sh.seal(self.keys.key, request, self.clock(), signer=signer, **options)
        if self.identity is not None:
            begun = sealed.exchange.form.chunked and sealed.outer.body
            head = sealed.exchange.head if begun else b""
            sh.sign_origin(sealed.outer, self.authority, self.identity, self.clock(), head=head)
        return sealed

    @contextmanager
    def stream(self, method: str, target: str, fields: sh.Fields, content: bytes, **options: Any) -> Iterator[Any]:
        """The inner head, and an iterator over the pieces of its content."""
        sealed = self.seal(method, target, fields, content, **options)
        with self._send(sealed.outer) as answer:
            fields = fields_of(answer)
            if not sh.is_sealed_response(sealed.exchange.form, answer.status_code, fields):
                refuse(answer, fields)
            opener = sh.ResponseOpener(sealed, answer.status_code, fields)
            pieces = opened(opener, answer.iter_raw())
            first = next(pieces)
            assert first == b""
            yield opener.head, pieces

    def send(self, method: str, target: str, fields: sh.Fields, content: bytes = b"", **options: Any) -> sh.Response:
        """§18.6: keys are fetched anew once, and only for a request that may be sent twice."""
        try:
            return self._send_once(method, target, fields, content, options)
        except sw.SealwireError as error:
            if error.code not in (sh.INVALID_KEY, sh.EXPIRED) or method not in ("GET", "HEAD"):
                raise
            self.fetch_keys()
            return self._send_once(method, target, fields, content, options)

    def _send_once(self, method: str, target: str, fields: sh.Fields, content: bytes, options: dict) -> sh.Response:
        with self.stream(method, target, fields, content, **options) as (head, pieces):
            return sh.Response(head.status, head.fields, b"".join(pieces))

    @contextmanager
    def _send(self, outer: sh.Outer) -> Iterator[httpx.Response]:
        target = outer.path + ("" if outer.query is None else "?" + outer.query)
        fields = [("host", self.authority.encode()), *outer.fields]
        has_body = bool(outer.body) or outer.method in ("POST", "PUT", "PATCH")
        request = httpx.Request(
            outer.method,
            self.connect or self.origin,
            headers=[(name.encode(), value) for name, value in fields],
            content=outer.body if has_body else None,
            extensions={"target": target.encode()},  # byte for byte: httpx would normalise a path
        )
        try:
            answer = self.http.send(request, stream=True)
        except httpx.TransportError as error:
            raise sw.SealwireError(sh.NETWORK, type(error).__name__) from None
        try:
            yield answer
        finally:
            answer.close()


def opened(opener: sh.ResponseOpener, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """First an empty piece, once the head is there; then the content, as it comes."""
    announced = False
    pieces: list[bytes] = []
    try:
        for chunk in chunks:
            pieces += opener.feed(chunk)
            if opener.head is not None and not announced:
                announced = True
                yield b""
            yield from pieces
            pieces = []
    except httpx.TransportError:
        raise sw.SealwireError(sw.TRUNCATED, "the connection broke") from None
    pieces = opener.end()
    if not announced:
        yield b""
    yield from pieces


def refuse(answer: httpx.Response, fields: sh.Fields) -> None:
    body = b"".join(limited(answer, 4096))
    code = sh.problem_code(answer.status_code, fields, body)
    if code is not None:
        raise sw.SealwireError(code, "the service says so, or somebody on the way")
    raise sh.Unsealed(answer.status_code)


def limited(answer: httpx.Response, most: int) -> Iterator[bytes]:
    """One byte more than the limit at most, for the caller to see that there is more."""
    size = 0
    for chunk in answer.iter_raw():
        yield chunk[: most + 1 - size]
        size += len(chunk)
        if size > most:
            return


def fields_of(answer: httpx.Response) -> sh.Fields:
    return [(name.decode("latin-1").lower(), value) for name, value in answer.headers.raw]
