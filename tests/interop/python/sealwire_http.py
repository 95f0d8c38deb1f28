"""Exchanges, service keys, sealed resources and signed origin: §18 to §21, made from SPEC.md alone.

It follows SPEC.md from top to bottom; every heading names its section. Whole values in memory, but for the
response of a chunked exchange, which comes out piece by piece. No network: see sealwire_client.py.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sealwire_hpke as hpke
import sealwire_spec as sw
from sealwire_fields import ByteSequence, InnerList, Item, parse_dictionary, write_dictionary, write_inner_list
from sealwire_spec import (
    INVALID_KEY, KEMS, LABEL, MALFORMED, MISUSE, REJECTED, TOO_LARGE, TRUNCATED, UNSUPPORTED, SealwireError, need,
    sha256,
)  # fmt: skip

# ---- §15 Errors that are new here -------------------------------------------------------------

REPLAYED = "Replayed"
EXPIRED = "Expired"
UNSEALED = "Unsealed"
NETWORK = "Network"
STORE = "Store"


class Unsealed(SealwireError):
    def __init__(self, status: int) -> None:
        super().__init__(UNSEALED, f"status {status}")
        self.status = status


# ---- §14 Limits -------------------------------------------------------------------------------

CHUNK = 16384
TAG = 16
MAX_FIELDS, MAX_FIELD_NAME, MAX_FIELD_BYTES, MAX_SECTION = 256, 256, 65536, 131072
MAX_METHOD, MAX_AUTHORITY, MAX_TARGET, MAX_INTERIM = 32, 272, 16384, 16
MAX_IN_FIELD = 6144
MAX_REQUEST, MAX_RESPONSE = 8 << 20, 64 << 20
WINDOW = 300
MAX_KEY_LIFE = 604800
MAX_DOCUMENT, MAX_CONFIGURATIONS, MAX_ORIGINS, MAX_NEXT_PINS = 65536, 16, 16, 8

# ---- §18 varint (RFC 9000 §16) ----------------------------------------------------------------


def varint(n: int) -> bytes:
    for prefix, size in ((0, 1), (1, 2), (2, 4), (3, 8)):
        if n < 1 << 8 * size - 2:
            return (prefix << 8 * size - 2 | n).to_bytes(size, "big")
    raise SealwireError(MISUSE, "a varint above 62 bits")


def string(x: bytes) -> bytes:
    return varint(len(x)) + x


class More(Exception):
    """The bytes at hand end here; perhaps others come."""


class Cursor:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise More
        taken = self.data[self.at : self.at + n]
        self.at += n
        return taken

    def varint(self) -> int:
        first = self.take(1)
        rest = self.take((1 << (first[0] >> 6)) - 1)
        return int.from_bytes(bytes([first[0] & 63]) + rest, "big")

    def string(self, most: int) -> bytes:
        size = self.varint()
        need(size <= most, TOO_LARGE, "a string that claims more than its limit")
        return self.take(size)


# ---- §18.1 Encapsulation ----------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    chunked: bool
    request_label: bytes
    response_label: bytes
    request_type: bytes
    response_type: bytes


WHOLE = Form(
    False, b"message/bhttp request", b"message/bhttp response", b"message/ohttp-req", b"message/ohttp-res"
)
CHUNKED = Form(
    True,
    b"message/bhttp chunked request",
    b"message/bhttp chunked response",
    b"message/ohttp-chunked-req",
    b"message/ohttp-chunked-res",
)
FORMS = {form.request_type: form for form in (WHOLE, CHUNKED)}


@dataclass(frozen=True)
class ServiceKey:
    """One configuration of §19 with the suite that was chosen; the service has the private half, too."""

    key_id: int
    kem: int
    aead: int
    public: bytes
    expires: int = 1 << 63
    private: bytes = field(default=b"", repr=False)

    @property
    def hdr(self) -> bytes:
        ids = (self.kem, hpke.HKDF_SHA256, self.aead)
        return bytes([self.key_id]) + b"".join(n.to_bytes(2, "big") for n in ids)

    @property
    def secret_size(self) -> int:
        return max(hpke.AEADS[self.aead].key_size, 12)


@dataclass
class Exchange:
    """What both sides know once the request is under way."""

    form: Form
    key: ServiceKey
    enc: bytes
    context: hpke.Context

    @property
    def replay_id(self) -> bytes:
        return sha256(LABEL("replay id") + bytes([self.key.key_id]) + self.enc)

    @property
    def head(self) -> bytes:
        return self.key.hdr + self.enc

    def response_keys(self, nonce: bytes) -> tuple[bytes, bytes]:
        secret = self.context.export(self.form.response_label, self.key.secret_size)
        prk = hpke.extract(self.enc + nonce, secret)
        return hpke.expand(prk, b"key", hpke.AEADS[self.key.aead].key_size), hpke.expand(prk, b"nonce", 12)


def begin(key: ServiceKey, form: Form, ephemeral: hpke.X25519PrivateKey | None = None) -> Exchange:
    info = form.request_label + b"\x00" + key.hdr
    enc, context = hpke.setup_sender(key.kem, key.aead, key.public, info, ephemeral)
    return Exchange(form, key, enc, context)


def cut(pieces: Iterable[bytes]) -> list[bytes]:
    return [piece[at : at + CHUNK] for piece in pieces for at in range(0, len(piece), CHUNK)]


def frame(cts: list[bytes]) -> bytes:
    return b"".join(string(ct) for ct in cts[:-1]) + b"\x00" + cts[-1]


def seal_request(exchange: Exchange, pieces: list[bytes]) -> bytes:
    """The message, in the pieces in which it is given."""
    if not exchange.form.chunked:
        return exchange.head + exchange.context.seal(b"", b"".join(pieces))
    return exchange.head + frame(
        [exchange.context.seal(b"", piece) for piece in cut(pieces)] + [exchange.context.seal(b"final", b"")]
    )


def seal_response(exchange: Exchange, pieces: list[bytes], nonce: bytes | None = None) -> list[bytes]:
    """What to send, in the pieces in which to send it."""
    nonce = sw.random_bytes(exchange.key.secret_size) if nonce is None else nonce
    key, base_nonce = exchange.response_keys(nonce)
    cipher = hpke.AEADS[exchange.key.aead].cipher(key)
    if not exchange.form.chunked:
        return [nonce + cipher.encrypt(base_nonce, b"".join(pieces), b"")]
    chunks = cut(pieces)
    cts = [cipher.encrypt(hpke.counted(base_nonce, i), chunk, b"") for i, chunk in enumerate(chunks)]
    last = cipher.encrypt(hpke.counted(base_nonce, len(chunks)), b"", b"final")
    return [nonce, *map(string, cts), b"\x00" + last]


class ChunkReader:
    """Chunks in, plaintext out: `{ varint(length) ‖ ct }… ‖ 0x00 ‖ last ct`."""

    def __init__(self, open_chunk: Any) -> None:
        self.open_chunk, self.buffer, self.in_last = open_chunk, b"", False

    def feed(self, data: bytes) -> list[bytes]:
        self.buffer += data
        out = []
        while not self.in_last:
            cursor = Cursor(self.buffer)
            try:
                size = cursor.varint()
                self.in_last = size == 0
                if not self.in_last:
                    need(size <= CHUNK + TAG, TOO_LARGE, "a chunk that claims more than 16384 bytes")
                    need(size > TAG, REJECTED, "a chunk without plaintext that is not the last")
                    out.append(self.open_chunk(b"", cursor.take(size)))
            except More:
                break
            self.buffer = self.buffer[cursor.at :]
        need(not self.in_last or len(self.buffer) <= CHUNK + TAG, TOO_LARGE, "a last chunk above 16384 bytes")
        return out

    def end(self) -> bytes:
        need(self.in_last, TRUNCATED, "no last chunk")
        return self.open_chunk(b"final", self.buffer)


def open_request(keys: list[ServiceKey], form: Form, body: bytes, now: int) -> tuple[Exchange, bytes]:
    need(len(body) >= 7, TRUNCATED, "ends inside hdr")
    key = next((key for key in keys if key.hdr == body[:7] and now < key.expires), None)
    if key is None:
        raise SealwireError(INVALID_KEY, "not a key that the service has now")
    end = 7 + KEMS[key.kem].enc_size
    need(len(body) >= end, TRUNCATED, "ends inside enc")
    enc, info = body[7:end], form.request_label + b"\x00" + key.hdr
    exchange = Exchange(form, key, enc, hpke.setup_recipient(key.kem, key.aead, key.private, enc, info))
    if not form.chunked:
        return exchange, exchange.context.open(b"", body[end:])
    reader = ChunkReader(exchange.context.open)
    message = b"".join(reader.feed(body[end:]))
    return exchange, message + reader.end()


class ResponseReader:
    """An encapsulated response in, its message out: at the end in the whole form, chunk by chunk in the chunked one."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange, self.buffer, self.chunks, self.count = exchange, b"", None, 0

    def feed(self, data: bytes) -> list[bytes]:
        if self.chunks is not None:
            return self.chunks.feed(data)
        self.buffer += data
        size = self.exchange.key.secret_size
        if not self.exchange.form.chunked or len(self.buffer) < size:
            return []
        self._start(self.buffer[:size])
        return self.chunks.feed(self.buffer[size:])

    def end(self) -> bytes:
        if self.exchange.form.chunked:
            need(self.chunks is not None, TRUNCATED, "ends inside the response nonce")
            return self.chunks.end()
        size = self.exchange.key.secret_size
        need(len(self.buffer) >= size, TRUNCATED, "ends inside the response nonce")
        self._start(self.buffer[:size])
        return self._open(b"", self.buffer[size:])

    def _start(self, nonce: bytes) -> None:
        self.key, self.base_nonce = self.exchange.response_keys(nonce)
        self.chunks = ChunkReader(self._open)

    def _open(self, aad: bytes, ct: bytes) -> bytes:
        nonce = hpke.counted(self.base_nonce, self.count)
        self.count += 1
        return hpke.aead_open(self.exchange.key.aead, self.key, nonce, ct, aad)


# ---- §18.2 Message: its parts -----------------------------------------------------------------

Fields = list[tuple[str, bytes]]


@dataclass
class Request:
    method: str
    scheme: str
    authority: str
    target: str  # path and query
    fields: Fields
    content: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str | None:
        path, mark, query = self.target.partition("?")
        return query if mark else None


@dataclass
class Response:
    status: int
    fields: Fields
    content: bytes = b""


TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f.:]+\])(?::(0|[1-9][0-9]*))?")
TARGET = re.compile(r'/[!$-;=?-\[\]_a-z~]*', re.ASCII)
FIELD_VALUE = re.compile(rb"[\x20-\x7e\x80-\xff\t]*")
NEVER_A_FIELD = {
    "connection", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "transfer-encoding", "upgrade",
}  # fmt: skip
ONCE = {"date", "sealwire-mode", "sealwire-signer", "idempotency-key"}
DEFAULT_PORT = {"https": 443, "http": 80}


def values(fields: Fields, name: str) -> list[bytes]:
    return [value for key, value in fields if key == name]


def one(fields: Fields, name: str) -> bytes | None:
    found = values(fields, name)
    need(len(found) <= 1, MALFORMED, "a field that may come once comes twice")
    return found[0] if found else None


def text(fields: Fields, name: str) -> str | None:
    try:
        value = one(fields, name)
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        raise SealwireError(MALFORMED, "a field that is text and is not UTF-8") from None


def check_method(method: bytes) -> str:
    need(1 <= len(method) <= MAX_METHOD and TOKEN.fullmatch(method), MALFORMED, "a method")
    need(method not in (b"CONNECT", b"TRACE"), UNSUPPORTED, "CONNECT or TRACE")
    return method.decode()


def check_origin(scheme: str, authority: str) -> None:
    need(scheme in DEFAULT_PORT, MALFORMED, "a scheme")
    match = HOST.fullmatch(authority)
    need(len(authority) <= MAX_AUTHORITY and match is not None, MALFORMED, "an authority")
    port = int(match[1]) if match[1] else None
    need(port is None or (1 <= port <= 65535 and port != DEFAULT_PORT[scheme]), MALFORMED, "a port")


def check_target(target: str) -> None:
    need(len(target) <= MAX_TARGET, TOO_LARGE, "a path and query above 16384 bytes")
    need(TARGET.fullmatch(target), MALFORMED, "a path and query")
    segments = re.sub("%2e", ".", target.partition("?")[0], flags=re.IGNORECASE).split("/")
    need("." not in segments and ".." not in segments, MALFORMED, "a segment that is a dot or two")


def check_fields(fields: Fields) -> None:
    size = sum(len(name) + len(value) + 4 for name, value in fields)
    need(len(fields) <= MAX_FIELDS and size <= MAX_FIELD_BYTES, TOO_LARGE, "too many fields")
    for name, value in fields:
        need(len(name) <= MAX_FIELD_NAME, TOO_LARGE, "the name of a field")
        token = TOKEN.fullmatch(name.encode("latin-1")) and name == name.lower()
        need(token and name not in NEVER_A_FIELD, MALFORMED, "the name of a field")
        need(FIELD_VALUE.fullmatch(value) and value == value.strip(b" \t"), MALFORMED, "the value of a field")
    for name in ONCE:
        one(fields, name)


def check_request(request: Request) -> None:
    length = text(request.fields, "content-length")
    if length is not None:
        need(re.fullmatch("[0-9]+", length), MALFORMED, "a content-length that is no number")
        need(int(length) == len(request.content), MALFORMED, "a wrong content-length")


# ---- §18.2 Message: writing -------------------------------------------------------------------


def padded(message: bytes) -> bytes:
    return message.ljust(max(256, sw.padme(len(message))), b"\x00")


def without(fields: Fields, *names: str) -> Fields:
    return [(name, value) for name, value in fields if name not in names]


def write_fields(fields: Fields) -> bytes:
    fields = without(fields, *NEVER_A_FIELD)
    check_fields(fields)
    section = b"".join(string(name.encode()) + string(value) for name, value in fields)
    need(len(section) <= MAX_SECTION, TOO_LARGE, "a section of fields")
    return section


def control(message: Request | Response) -> bytes:
    if isinstance(message, Response):
        return varint(message.status)
    parts = (message.method, message.scheme, message.authority, message.target)
    return b"".join(string(part.encode()) for part in parts)


def known_unpadded(message: Request | Response) -> bytes:
    framing = b"\x01" if isinstance(message, Response) else b"\x00"
    fields = string(write_fields(without(message.fields, "content-length")))
    return framing + control(message) + fields + string(message.content)


def write_known(message: Request | Response) -> bytes:
    return padded(known_unpadded(message))


def write_indeterminate(message: Request | Response, pieces: Iterable[bytes], pad: bool) -> list[bytes]:
    """In pieces: the head, then the content as it comes, then the ends."""
    framing = b"\x03" if isinstance(message, Response) else b"\x02"
    head = framing + control(message) + write_fields(without(message.fields, "content-length")) + b"\x00"
    written = [head, *(string(piece) for piece in pieces if piece), b"\x00\x00"]
    return [padded(b"".join(written))] if pad else written


# ---- §18.2 Message: reading -------------------------------------------------------------------


class MessageReader:
    """A message in, its head and content out as they come. `head` is there once it has been read."""

    def __init__(self, request: bool, most: int) -> None:
        self.request, self.most = request, most
        self.buffer, self.head, self.size = b"", None, 0
        self.state, self.left = "head", 0

    def feed(self, data: bytes) -> list[bytes]:
        self.buffer += data
        out = []
        try:
            while self._step(out):
                pass
        except More:
            pass
        return out

    def end(self) -> None:
        """Nothing follows. Sections at the end may be missing, as if they were there and empty."""
        if self.state == "head" and self.buffer:
            self.feed(b"\x00")  # an empty section of fields, in both framings
            need(self.head is not None and not self.head.fields, TRUNCATED, "the message ends in its head")
        missing = self.state in ("padding", "trailers") or (self.state == "content" and self.size == 0)
        need(missing and self.buffer == b"", TRUNCATED, "the message ends elsewhere")

    def _step(self, out: list[bytes]) -> bool:
        cursor = Cursor(self.buffer)
        if self.state == "head":
            self.known, self.head = self._read_head(cursor)
            self.state = "content"
        elif self.state == "content":
            self.left = cursor.varint()
            self.size += self.left
            need(self.size <= self.most, TOO_LARGE, "content above the limit")
            self.state = "piece" if self.left else "trailers"
        elif self.state == "piece":
            piece = self.buffer[: self.left]
            if not piece:
                return False
            out.append(piece)
            cursor.at, self.left = len(piece), self.left - len(piece)
            if self.left == 0:
                self.state = "trailers" if self.known else "content"
        elif self.state == "trailers":
            size = cursor.varint()
            need(size <= MAX_SECTION, TOO_LARGE, "a section of fields")
            cursor.take(size)
            need(size == 0, UNSUPPORTED, "trailers")
            self.state = "padding"
        else:
            need(not any(self.buffer), MALFORMED, "something behind the message")
            self.buffer = b""
            return False
        self.buffer = self.buffer[cursor.at :]
        return True

    def _read_head(self, cursor: Cursor) -> tuple[bool, Request | Response]:
        framing = cursor.varint()
        need(framing in ((0, 2) if self.request else (1, 3)), MALFORMED, "another framing")
        known = framing < 2
        if self.request:
            method = check_method(cursor.string(MAX_METHOD_CLAIM))
            scheme, authority = (_ascii(cursor.string(MAX_AUTHORITY_CLAIM)) for _ in range(2))
            check_origin(scheme, authority)
            target = _ascii(cursor.string(MAX_TARGET))
            check_target(target)
            head = Request(method, scheme, authority, target, self._read_fields(cursor, known))
            return known, head
        for _ in range(MAX_INTERIM + 1):
            status = cursor.varint()
            need(100 <= status <= 599, MALFORMED, "a status")
            fields = self._read_fields(cursor, known)
            if status >= 200:
                return known, Response(status, fields)
        raise SealwireError(TOO_LARGE, "more than 16 interim responses")

    def _read_fields(self, cursor: Cursor, known: bool) -> Fields:
        fields: Fields = []
        start = cursor.at
        if known:
            size = cursor.varint()
            need(size <= MAX_SECTION, TOO_LARGE, "a section of fields")
            section = Cursor(cursor.take(size))
            try:
                while section.at < size:
                    fields.append(_read_field(section.string(1 << 62), section))
            except More:
                raise SealwireError(MALFORMED, "a length that does not fit its section") from None
        else:
            while name := cursor.string(MAX_SECTION):
                fields.append(_read_field(name, cursor))
                need(cursor.at - start <= MAX_SECTION, TOO_LARGE, "a section of fields")
        check_fields(fields)
        return fields


# A method or an authority above its limit is `Malformed` by §14; only a claim beyond all reason is not read.
MAX_METHOD_CLAIM = MAX_AUTHORITY_CLAIM = MAX_SECTION


def _read_field(name: bytes, cursor: Cursor) -> tuple[str, bytes]:
    need(name != b"", MALFORMED, "a field without a name")
    return name.decode("latin-1"), cursor.string(1 << 62)


def _ascii(raw: bytes) -> str:
    need(raw.isascii(), MALFORMED, "not ASCII")
    return raw.decode()


def read_request(message: bytes, most: int = MAX_REQUEST) -> Request:
    reader = MessageReader(True, most)
    content = b"".join(reader.feed(message))
    reader.end()
    reader.head.content = content
    check_request(reader.head)
    return reader.head


# ---- §18.3 Carriage ---------------------------------------------------------------------------

IN_PLACE, IN_PLACE_POST, TUNNEL = "in-place", "in-place-post", "tunnel"
WITHOUT_CONTENT = ("GET", "HEAD", "OPTIONS", "DELETE")
NO_STORE = b"no-store, no-transform"
NOT_EXPOSED = NEVER_A_FIELD | {"cache-control", "date", "expect", "incremental", "range", "signature", "signature-input"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass
class Outer:
    """What travels. `path` and `query` as they are sent; no query is None."""

    method: str
    path: str
    query: str | None
    fields: Fields
    body: bytes = b""


@dataclass(frozen=True)
class Carriage:
    mode: str = IN_PLACE
    tunnel_path: str = ""
    expose_query: bool = False
    expose_fields: tuple[str, ...] = ()


def imf_fixdate(now: int) -> bytes:
    t = datetime.fromtimestamp(now, UTC)
    text = f"{DAYS[t.weekday()]}, {t.day:02} {MONTHS[t.month - 1]} {t.year:04} {t:%H:%M:%S} GMT"
    return text.encode()


def parse_imf_fixdate(value: str) -> int | None:
    match = re.fullmatch(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", value)
    try:
        day, year, hour, minute, second = (int(match[i]) for i in (1, 3, 4, 5, 6))
        month = MONTHS.index(match[2]) + 1
        seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except (TypeError, ValueError):
        return None
    return seconds if imf_fixdate(seconds).decode() == value else None


@dataclass
class Sealed:
    outer: Outer
    exchange: Exchange
    head: bool  # the inner method is HEAD


def seal(
    key: ServiceKey,
    request: Request,
    now: int,
    *,
    form: Form = WHOLE,
    carriage: Carriage = Carriage(),
    signer: str | None = None,
    ephemeral: hpke.X25519PrivateKey | None = None,
) -> Sealed:
    need(not any(name.startswith("sealwire-") for name, _ in request.fields), MISUSE, "a sealwire- field of the app's")
    need(request.method not in ("GET", "HEAD") or not request.content, MISUSE, "GET or HEAD with content")
    for name in carriage.expose_fields:
        forbidden = name in NOT_EXPOSED or name.startswith(("content-", "sealwire-"))
        need(not forbidden, MISUSE, "a field that says something of the outer message")
    check_method(request.method.encode())
    check_origin(request.scheme, request.authority)
    check_target(request.target)
    inner = Request(request.method, request.scheme, request.authority, request.target,
                    inner_fields(request, carriage.mode, signer, now), request.content)  # fmt: skip
    exchange = begin(key, form, ephemeral)
    if form.chunked:
        pieces = write_indeterminate(inner, [inner.content], pad=True)
    else:
        pieces = [write_known(inner)]
    sealed = seal_request(exchange, pieces)
    return Sealed(outer_request(request, sealed, form, carriage), exchange, request.method == "HEAD")


def inner_fields(request: Request, mode: str, signer: str | None, now: int) -> Fields:
    fields = without(request.fields, "date", "content-length", *NEVER_A_FIELD)
    fields += [("date", imf_fixdate(now)), ("sealwire-mode", mode.encode())]
    return fields + ([("sealwire-signer", signer.encode())] if signer else [])


def outer_request(request: Request, sealed: bytes, form: Form, carriage: Carriage) -> Outer:
    fields: Fields = [("cache-control", NO_STORE)]
    if form.chunked:
        fields.append(("incremental", b"?1"))
    fields += [(name, value) for name, value in request.fields if name in carriage.expose_fields]
    in_field = request.method in WITHOUT_CONTENT and not request.content and carriage.mode == IN_PLACE
    if in_field:
        value = b":" + base64.b64encode(sealed) + b":" + (b";chunked" if form.chunked else b"")
        need(len(value) <= MAX_IN_FIELD, TOO_LARGE, "too long for a field")
        fields.append(("sealwire-exchange", value))
    else:
        fields.append(("content-type", form.request_type))
    if carriage.mode == TUNNEL:
        return Outer("POST", carriage.tunnel_path, None, fields, sealed)
    method = "POST" if carriage.mode == IN_PLACE_POST else {"HEAD": "GET"}.get(request.method, request.method)
    query = request.query if carriage.expose_query else None
    return Outer(method, request.path, query, fields, b"" if in_field else sealed)


def carried(outer: Outer) -> tuple[Form, bytes]:
    """§18.4 step 1: where the exchange is, and what is not one."""
    for name in ("content-encoding", "range"):
        need(not values(outer.fields, name), MALFORMED, name)
    in_field, media_type = one(outer.fields, "sealwire-exchange"), one(outer.fields, "content-type")
    if in_field is None:
        need(media_type in FORMS, UNSEALED, "no exchange")
        return FORMS[media_type], outer.body
    need(media_type not in FORMS, MALFORMED, "an exchange in both places")
    need(not outer.body, MALFORMED, "a body beside the field")
    need(len(in_field) <= MAX_IN_FIELD, TOO_LARGE, "more than 6144 bytes")
    match = re.fullmatch(rb":([A-Za-z0-9+/=]*):(;chunked)?", in_field)
    need(match is not None, MALFORMED, "Sealwire-Exchange")
    return CHUNKED if match[2] else WHOLE, decode_base64(match[1])


def decode_base64(text: bytes) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SealwireError(MALFORMED, "base64") from None
    need(base64.b64encode(raw) == text, MALFORMED, "base64 that is not canonical")
    return raw


# ---- §18.4 Checks at the service, in order; §18.5 Replay --------------------------------------


@dataclass
class Service:
    scheme: str
    authority: str
    keys: list[ServiceKey]
    public_prefix: str = ""
    local_prefix: str = ""
    tunnel_path: str | None = None
    post_carrier: bool = False
    window: int = WINDOW
    seen: dict[bytes, int] = field(default_factory=dict)


@dataclass
class Opened:
    request: Request  # as it is dispatched
    exchange: Exchange
    head: bool


def open_exchange(service: Service, outer: Outer, now: int, signer: str | None = None) -> Opened:
    form, body = carried(outer)  # 1
    if is_tunnel(service, outer):  # 2
        in_body = not values(outer.fields, "sealwire-exchange")
        need(outer.method == "POST" and in_body, MALFORMED, "a tunnel is a POST with a body")
    exchange, message = open_request(service.keys, form, body, now)  # 3
    inner = read_request(message)
    check_inner(service, outer, inner, now, signer)
    remember(service, exchange.replay_id, now)  # 10
    fields = [(name, value) for name, value in inner.fields if not name.startswith("sealwire-")]  # 11
    target = service.local_prefix + inner.target[len(service.public_prefix) :]
    request = Request(inner.method, inner.scheme, inner.authority, target, fields, inner.content)
    return Opened(request, exchange, inner.method == "HEAD")


def check_inner(service: Service, outer: Outer, inner: Request, now: int, signer: str | None) -> None:
    tunnel = is_tunnel(service, outer)
    check_mode(service, tunnel, outer.method, inner)  # 4
    if not tunnel:  # 5
        need(outer.path.startswith(service.local_prefix), REJECTED, "another path")
        public = service.public_prefix + outer.path[len(service.local_prefix) :]
        need(public == inner.path, REJECTED, "another path")
        need(outer.query is None or outer.query == inner.query, REJECTED, "another query")
    own = (service.scheme, service.authority)
    need((inner.scheme, inner.authority) == own, REJECTED, "another origin")  # 6
    date = parse_imf_fixdate(text(inner.fields, "date") or "")  # 7
    need(date is not None and abs(now - date) <= service.window, EXPIRED, "not of now")
    need(inner.target.startswith(service.public_prefix + "/"), REJECTED, "another prefix")  # 8
    named = text(inner.fields, "sealwire-signer")
    need(named == signer, REJECTED, "another signer")  # 9


def is_tunnel(service: Service, outer: Outer) -> bool:
    return service.tunnel_path is not None and outer.path == service.tunnel_path


def check_mode(service: Service, tunnel: bool, method: str, inner: Request) -> None:
    mode = text(inner.fields, "sealwire-mode")
    if tunnel:
        need(mode in (None, TUNNEL), REJECTED, "moved into the tunnel")
        return
    if mode == IN_PLACE:
        allowed = method == inner.method or (method, inner.method) == ("GET", "HEAD")
    else:
        allowed = mode == IN_PLACE_POST and service.post_carrier and method == "POST"
        allowed = allowed and inner.method in WITHOUT_CONTENT
    need(allowed, REJECTED, "moved to another method or mode")


def remember(service: Service, replay_id: bytes, now: int) -> None:
    service.seen = {seen: until for seen, until in service.seen.items() if until >= now}
    need(replay_id not in service.seen, REPLAYED, "seen before")
    service.seen[replay_id] = now + 2 * service.window


def idempotency_id(method: str, path: str, value: bytes) -> bytes:
    return sha256(LABEL("idempotency key") + sha256(method.encode()) + sha256(path.encode()) + value)


def answer(opened: Opened, response: Response, pieces: list[bytes] | None = None) -> tuple[Fields, list[bytes]]:
    """The outer fields and the pieces of the outer body; its status is 200. `pieces` are streamed content."""
    form = opened.exchange.form
    if form.chunked:
        content = [response.content] if pieces is None else pieces
        message = write_indeterminate(response, content, pad=False)
    else:
        response.content += b"".join(pieces or [])
        message = [write_known(response)]
    fields = [("content-type", form.response_type), ("cache-control", NO_STORE)]
    fields += [("incremental", b"?1"), ("x-accel-buffering", b"no")] if form.chunked else []
    return fields, seal_response(opened.exchange, message)


# ---- §18.6 Answers in clear -------------------------------------------------------------------

OHTTP_KEY = "https://iana.org/assignments/http-problem-types#ohttp-key"
DATE = "https://iana.org/assignments/http-problem-types#date"
PROBLEM_TYPE = b"application/problem+json"
PROBLEMS = {
    INVALID_KEY: (400, OHTTP_KEY), EXPIRED: (400, DATE), TOO_LARGE: (413, "about:blank"), STORE: (503, "about:blank"),
}  # fmt: skip


def problem(code: str) -> tuple[int, Fields, bytes]:
    status, kind = PROBLEMS.get(code, (400, "about:blank"))
    body = json.dumps({"type": kind, "status": status}, separators=(",", ":")).encode()
    return status, [("content-type", PROBLEM_TYPE)], body


def problem_code(status: int, fields: Fields, body: bytes) -> str | None:
    """What a client believes of an answer in clear: one of two things, or nothing."""
    if status != 400 or values(fields, "content-type") != [PROBLEM_TYPE] or len(body) > 4096:
        return None
    try:
        kind = json.loads(body)["type"]
    except (ValueError, KeyError, TypeError):
        return None
    return {OHTTP_KEY: INVALID_KEY, DATE: EXPIRED}.get(kind) if isinstance(kind, str) else None


# ---- §18.7 Responses at the client ------------------------------------------------------------


def is_sealed_response(form: Form, status: int, fields: Fields) -> bool:
    plain = not values(fields, "content-encoding") and not values(fields, "content-range")
    return status == 200 and values(fields, "content-type") == [form.response_type] and plain


class ResponseOpener:
    """The outer response in, the inner one out. `head` is there once it has been read and may be used."""

    def __init__(self, sealed: Sealed, status: int, fields: Fields, most: int = MAX_RESPONSE) -> None:
        if not is_sealed_response(sealed.exchange.form, status, fields):
            raise Unsealed(status)
        self.bytes = ResponseReader(sealed.exchange)
        self.message = MessageReader(False, most)

    @property
    def head(self) -> Response | None:
        return self.message.head

    def feed(self, data: bytes) -> Iterator[bytes]:
        for plaintext in self.bytes.feed(data):
            yield from self.message.feed(plaintext)

    def end(self) -> list[bytes]:
        pieces = self.message.feed(self.bytes.end())
        self.message.end()
        return pieces


def open_response(sealed: Sealed, status: int, fields: Fields, body: bytes) -> Response:
    opener = ResponseOpener(sealed, status, fields)
    content = b"".join([*opener.feed(body), *opener.end()])
    return Response(opener.head.status, opener.head.fields, content)


# ---- §19 Service keys: configurations ---------------------------------------------------------

KEYS_PATH = "/.well-known/sealwire-keys"
KEYS_TYPE = b"application/vnd.sealwire-keys"


def write_configurations(keys: list[ServiceKey]) -> bytes:
    written = b""
    for key in keys:
        suite = hpke.HKDF_SHA256.to_bytes(2, "big") + key.aead.to_bytes(2, "big")
        one_key = bytes([key.key_id]) + key.kem.to_bytes(2, "big") + key.public + b"\x00\x04" + suite
        written += len(one_key).to_bytes(2, "big") + one_key
    return written


def choose_configuration(configurations: bytes) -> ServiceKey:
    need(len(configurations) <= MAX_DOCUMENT, TOO_LARGE, "configurations")
    cursor, chosen, count = Cursor(configurations), None, 0
    try:
        while cursor.at < len(configurations):
            count += 1
            need(count <= MAX_CONFIGURATIONS, TOO_LARGE, "more than 16 configurations")
            configuration = cursor.take(int.from_bytes(cursor.take(2), "big"))
            chosen = chosen or read_configuration(configuration)  # those behind it are skipped by their length
    except More:
        raise SealwireError(MALFORMED, "lengths that do not fit") from None
    if chosen is None:
        raise SealwireError(UNSUPPORTED, "no usable configuration")
    KEMS[chosen.kem].check_public(chosen.public)
    return chosen


def read_configuration(raw: bytes) -> ServiceKey | None:
    cursor = Cursor(raw)
    key_id, kem = cursor.take(1)[0], int.from_bytes(cursor.take(2), "big")
    if kem not in KEMS:
        return None
    public = cursor.take(KEMS[kem].public_size)
    suites = cursor.take(int.from_bytes(cursor.take(2), "big"))
    need(cursor.at == len(raw) and suites and len(suites) % 4 == 0, MALFORMED, "suites")
    for at in range(0, len(suites), 4):
        kdf, aead = (int.from_bytes(suites[i : i + 2], "big") for i in (at, at + 2))
        if kdf == hpke.HKDF_SHA256 and aead in hpke.AEADS:
            return ServiceKey(key_id, kem, aead, public)
    return None


def make_key(kem: int, aead: int, key_id: int, expires: int, private: bytes | None = None) -> ServiceKey:
    private = sw.random_bytes(32) if private is None else private
    return ServiceKey(key_id, kem, aead, KEMS[kem].public_of(private), expires, private)


# ---- §19 Service keys: the document -----------------------------------------------------------

DOCUMENT_KEYS, BODY_KEYS = range(3), range(6)


def recipient_bytes(recipient: sw.Recipient) -> bytes:
    ids = recipient.kem_id.to_bytes(2, "big")
    return ids + recipient.kem_public + recipient.signing_public + recipient.signature


def write_document(
    identity: sw.Identity, origins: list[str], serial: int, issued: int, keys: list[ServiceKey],
    next_pins: list[bytes] | None = None,
) -> bytes:  # fmt: skip
    expires = min(key.expires for key in keys)
    fields = {0: origins, 1: serial, 2: issued, 3: expires, 4: write_configurations(keys)}
    body = sw.cbor(fields | ({5: next_pins} if next_pins else {}))
    signature = identity.sign(LABEL("service keys") + body)
    return sw.cbor({0: recipient_bytes(identity.recipient), 1: body, 2: signature})


@dataclass
class Memory:
    """What a client remembers of one origin."""

    serial: int = 0
    learned: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Keys:
    key: ServiceKey
    serial: int
    expires: int


def read_document(
    document: bytes, origin: str, pins: list[bytes], memory: Memory, now: int, *, first_use: bool = False
) -> Keys:
    need(len(document) <= MAX_DOCUMENT, TOO_LARGE, "a document above 64 KiB")  # 1
    outer = sw.known_fields(sw.cbor_decode(document), DOCUMENT_KEYS)
    need(all(isinstance(outer.get(i), bytes) for i in range(3)), MALFORMED, "a field of the document")
    need(len(outer[2]) == 64, MALFORMED, "a field of the document")
    signer = sw.parse_recipient(sw.bech32m_encode("sealwire", outer[0]))
    trusted = signer.fingerprint in [*pins, *memory.learned] or (first_use and not memory.learned)
    need(trusted, REJECTED, "another's keys")  # 2
    genuine = sw.verify_strictly(signer.signing_public, outer[2], LABEL("service keys") + outer[1])
    need(genuine, REJECTED, "the signature")  # 3
    body = sw.known_fields(sw.cbor_decode(outer[1]), BODY_KEYS)  # 4
    origins, serial, issued, expires, configurations = (body.get(i) for i in range(5))
    need(isinstance(origins, list) and len(origins) >= 1, MALFORMED, "origins")
    need(len(origins) <= MAX_ORIGINS, TOO_LARGE, "origins")
    for text in origins:
        need(isinstance(text, str), MALFORMED, "an origin")
        scheme, _, authority = text.partition("://")
        check_origin(scheme, authority)
    need(all(map(sw.is_uint, (serial, issued, expires))), MALFORMED, "a number")
    need(isinstance(configurations, bytes), MALFORMED, "configurations")
    need(origin in origins, REJECTED, "another service of the same identity")
    need(issued <= now + 300 and now < expires, EXPIRED, "an old document")  # 5
    need(issued <= expires <= issued + MAX_KEY_LIFE, MALFORMED, "lives too long")
    chosen = choose_configuration(configurations)  # 6
    next_pins = read_next_pins(body)
    need(serial >= memory.serial, REJECTED, "rolled back")  # 7
    memory.serial = serial
    if next_pins or first_use:  # 8
        memory.learned = [signer.fingerprint, *next_pins]
    return Keys(chosen, serial, expires)


def read_next_pins(body: dict[int, Any]) -> list[bytes]:
    if 5 not in body:
        return []
    pins = body[5]
    good = isinstance(pins, list) and len(pins) >= 1 and all(sw.is_bytes(pin, 32) for pin in pins)
    need(good, MALFORMED, "next pins")
    need(len(pins) <= MAX_NEXT_PINS, TOO_LARGE, "next pins")
    return pins


# ---- §21 Origin -------------------------------------------------------------------------------

ORIGIN_TAG = "sealwire-origin-v1"
AT = ("@method", "@authority", "@path", "@query")
SEVEN = (
    "content-type", "content-encoding", "content-digest", "authorization", "cookie", "sealwire-exchange",
    "sealwire-exchange-head",
)  # fmt: skip
DIGESTS = {"sha-256": 32, "sha-512": 64}
MIN_BEGINNING, MAX_BEGINNING = 39, 2048


def key_id(public: bytes) -> str:
    x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    thumbprint = sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode())
    return base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()


def component(outer: Outer, authority: str, name: str) -> bytes:
    if name == "@method":
        return outer.method.encode()
    if name == "@authority":
        return authority.encode()
    if name == "@path":
        return outer.path.encode()
    if name == "@query":
        return b"?" + (outer.query or "").encode()
    found = values(outer.fields, name)
    need(found and all(value.isascii() for value in found), MALFORMED, "a covered field")
    return b", ".join(value.strip(b" \t") for value in found)


def signature_base(outer: Outer, authority: str, params: InnerList) -> bytes:
    lines = [f'"{item.value}": '.encode() + component(outer, authority, item.value) for item in params.items]
    return b"\n".join([*lines, b'"@signature-params": ' + write_inner_list(params).encode()])


def sign_origin(
    outer: Outer, authority: str, identity: sw.Identity, now: int, *, head: bytes = b"", nonce: bytes | None = None,
    also: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Adds the fields. `head` is hdr ‖ enc of a body that is sealed while it is sent."""
    if values(outer.fields, "content-digest") or values(outer.fields, "sealwire-exchange-head"):
        pass  # the caller's own
    elif head:
        outer.fields.append(("sealwire-exchange-head", b":" + base64.b64encode(head) + b":"))
    elif outer.body:
        digest = base64.b64encode(sha256(outer.body)).decode()
        outer.fields.append(("content-digest", f"sha-256=:{digest}:".encode()))
    nonce = sw.random_bytes(16) if nonce is None else nonce
    names = [*AT, *(name for name in SEVEN if values(outer.fields, name)), *also]
    params = InnerList(
        [Item(name, {}) for name in names],
        {
            "created": now, "expires": now + 300, "nonce": base64.b64encode(nonce).decode(),
            "keyid": key_id(identity.signing_public), "alg": "ed25519", "tag": ORIGIN_TAG,
        },
    )  # fmt: skip
    signature = identity.sign(signature_base(outer, authority, params))
    outer.fields.append(("signature-input", write_dictionary({"sealwire": params}).encode()))
    signed = write_dictionary({"sealwire": Item(ByteSequence(signature), {})})
    outer.fields.append(("signature", signed.encode()))


@dataclass
class Policy:
    skew: int = 30
    max_age: int = 300
    max_validity: int = 300
    demanded: tuple[str, ...] = ()
    nonce_required: bool = True


@dataclass(frozen=True)
class VerifiedOrigin:
    key_id: str
    replay_id: bytes | None
    until: int


def verify_origin(
    outer: Outer, authority: str, keys: list[bytes], now: int, policy: Policy = Policy()
) -> VerifiedOrigin:
    params, signature = which_signature(outer)
    check_components(outer, params, policy)
    check_proofs(outer)  # 7
    given = params.params
    check_types(given)
    alg, kid = given.get("alg"), given.get("keyid")
    need(alg == "ed25519" and isinstance(kid, str) and is_key_id(kid), REJECTED, "alg or keyid")  # 8
    until = check_times(given, now, policy)  # 9
    nonce = given.get("nonce")
    need(nonce is not None or not policy.nonce_required, REJECTED, "no nonce")  # 10
    need(nonce != "", MALFORMED, "an empty nonce")
    need(nonce is None or len(nonce) <= 128, TOO_LARGE, "a nonce")
    public = next((key for key in keys if key_id(key) == kid), None)  # 11
    need(public is not None, REJECTED, "a key that is not known")
    genuine = sw.verify_strictly(public, signature, signature_base(outer, authority, params))
    need(genuine, REJECTED, "the signature")
    check_body(outer)  # 12
    replay_id = None
    if nonce is not None:
        replay_id = sha256(LABEL("origin nonce") + base64.urlsafe_b64decode(kid + "=") + nonce.encode())
    return VerifiedOrigin(kid, replay_id, until)


def which_signature(outer: Outer) -> tuple[InnerList, bytes]:
    texts = [b", ".join(values(outer.fields, name)) for name in ("signature-input", "signature")]
    need(sum(map(len, texts)) <= 8192, TOO_LARGE, "signatures above 8 KiB")  # 1
    inputs, signatures = (canonical_dictionary(text) for text in texts)
    need(len(inputs) <= 8 and len(signatures) <= 8, TOO_LARGE, "more than 8 signatures")
    need(all(isinstance(member, InnerList) for member in inputs.values()), MALFORMED, "no inner list")  # 2
    tagged = [label for label, member in inputs.items() if has_tag(member)]
    need(len(tagged) <= 1, MALFORMED, "two signatures with the tag")  # 3
    need(tagged and tagged[0] in signatures, REJECTED, "unsigned")
    signature = signatures[tagged[0]]
    good = isinstance(signature, Item) and isinstance(signature.value, ByteSequence) and not signature.params
    need(good and len(signature.value.raw) == 64, MALFORMED, "no signature")
    return inputs[tagged[0]], signature.value.raw


def canonical_dictionary(text: bytes) -> dict:
    need(text.isascii(), MALFORMED, "not ASCII")
    parsed = parse_dictionary(text.decode())
    same = re.sub("[ \t]", "", write_dictionary(parsed)) == re.sub("[ \t]", "", text.decode())
    need(same, MALFORMED, "a dictionary that is not in canonical form")
    return parsed


def has_tag(member: InnerList) -> bool:
    tag = member.params.get("tag")
    return type(tag) is str and tag == ORIGIN_TAG


def check_components(outer: Outer, params: InnerList, policy: Policy) -> None:
    need(len(params.items) <= 32, TOO_LARGE, "more than 32 components")  # 4
    names = []
    for item in params.items:
        need(type(item.value) is str and not item.params, MALFORMED, "a component")
        need(item.value not in names, MALFORMED, "a component twice")
        need(not item.value.startswith("@") or item.value in AT, MALFORMED, "a component")
        if item.value not in AT:
            component(outer, "", item.value)
        names.append(item.value)
    for name in (*SEVEN, *(name for name in names if name not in AT)):  # 5
        need(len(values(outer.fields, name)) <= 1, MALFORMED, "a field on two lines")
    there = [name for name in SEVEN if values(outer.fields, name)]
    covered = all(name in names for name in (*AT, *there, *policy.demanded))
    need(covered, REJECTED, "a component is not covered")  # 6


def digests(outer: Outer) -> dict[str, bytes]:
    value = one(outer.fields, "content-digest") or b""
    members, found = canonical_dictionary(value), {}
    need(len(value) <= 8192 and len(members) <= 8, TOO_LARGE, "too many digests")
    for name, item in members.items():
        if name in DIGESTS:
            good = isinstance(item, Item) and isinstance(item.value, ByteSequence) and not item.params
            need(good and len(item.value.raw) == DIGESTS[name], MALFORMED, "a digest")
            found[name] = item.value.raw
    return found


def beginning(outer: Outer) -> bytes | None:
    value = one(outer.fields, "sealwire-exchange-head")
    if value is None:
        return None
    match = re.fullmatch(rb":([A-Za-z0-9+/=]*):", value)
    need(match is not None, MALFORMED, "a beginning")
    begun = decode_base64(match[1])
    need(len(begun) >= MIN_BEGINNING, MALFORMED, "a beginning that is too short")
    need(len(begun) <= MAX_BEGINNING, TOO_LARGE, "a beginning that is too long")
    return begun


def check_proofs(outer: Outer) -> None:
    digest, head = (values(outer.fields, name) for name in ("content-digest", "sealwire-exchange-head"))
    if not outer.body:
        need(not digest and not head, REJECTED, "a proof without a body")
        return
    need(not (digest and head), MALFORMED, "two proofs")
    need(digests(outer) or beginning(outer) is not None, REJECTED, "a body without a proof")


def check_types(params: dict[str, Any]) -> None:
    for name, kind in (("created", int), ("expires", int), ("nonce", str), ("keyid", str), ("alg", str)):
        need(name not in params or type(params[name]) is kind, MALFORMED, "a parameter of another type")


def is_key_id(text: str) -> bool:
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(text) == 43 and base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text


def check_times(params: dict[str, Any], now: int, policy: Policy) -> int:
    need("created" in params and "expires" in params, REJECTED, "no times")
    created, expires = params["created"], params["expires"]
    need(0 <= created <= expires, MALFORMED, "times")
    until = min(expires, created + policy.max_age) + policy.skew
    fresh = created <= now + policy.skew and now <= until and expires - created <= policy.max_validity
    need(fresh, EXPIRED, "not of now")
    return until


def check_body(outer: Outer) -> None:
    for name, digest in digests(outer).items():
        need(sw.hashlib.new(name.replace("-", ""), outer.body).digest() == digest, REJECTED, "another body")
    begun = beginning(outer)
    need(begun is None or outer.body.startswith(begun), REJECTED, "another body")
