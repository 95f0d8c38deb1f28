"""seal, open, rewrap, reseal, inspect."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Union

from ._bytes import BytesLike, as_bytes, as_payload, wanted
from ._error import Malformed, call, misuse
from ._ffi import sealwire as ffi
from .context import SealContext, raw_context
from .keys import Identity, Kem, KeyService, Passphrase, RawService, Recipient, Signer, SymmetricKey, Unlock, raw_keyring

__all__ = [
    "About", "Aead", "Anonymous", "Expect", "Header", "Metadata", "MetadataValue", "Opened", "Reader", "Readers", "SealedParts", "Slot",
    "from_text", "header_len", "inspect", "join", "open", "open_detached", "reseal", "rewrap", "rewrap_header", "seal", "seal_parts",
    "split", "to_text",
]  # fmt: skip


class Aead(enum.Enum):
    """What a body is sealed with. Every reader opens both; without a choice it is what this machine does faster."""

    AES_256_GCM = "AES-256-GCM"
    CHACHA20_POLY1305 = "ChaCha20-Poly1305"
    """For what browsers will read."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A recipient whose slot does not tell whose it is, not even to somebody who knows the recipient. At most 64 in one envelope."""

    recipient: Recipient


Reader = Union[Recipient, Anonymous, Passphrase, SymmetricKey, KeyService]
"""Whoever can open."""
Readers = Union[Reader, Iterable[Reader]]
"""The complete list of who can open, or the only one."""
Expect = Union[Signer, str, Iterable[Union[Signer, str]], None]
"""Who may have signed: anybody else, and the unsigned, are `Rejected`. `None` is anybody, also nobody."""
MetadataValue = Union[str, int, bytes]
"""One value of the public metadata."""
Metadata = Mapping[str, MetadataValue]
"""Public metadata: **the server sees it**, and nobody can change it unnoticed."""


@dataclass(frozen=True, slots=True)
class About:
    """What the sealer said about a payload; all of it authenticated with the envelope."""

    metadata: Metadata
    """The public metadata: the server saw it too."""
    created: int | None
    """When it was made, by the sealer's clock: Unix seconds."""
    content_type: str | None = field(repr=False)
    """The payload's media type."""
    filename: str | None = field(repr=False)
    """A file name; never a path."""
    addressed_to_me: bool | None
    """Whether the sealer addressed it to the reader who opened it; `None` if nothing was said. A rewrap does not change it."""

    @property
    def version(self) -> int | None:
        """The resource's version, from the metadata's reserved key ``version``: a server can serve an old envelope as new."""
        version = self.metadata.get("version")
        return version if isinstance(version, int) else None


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened payload, and what is known of it. Everything in it was verified."""

    plaintext: bytes = field(repr=False)
    """The payload."""
    signer: Signer | None
    """Who signed exactly this payload for exactly this context; `None`: nobody did, and anybody may have written it."""
    about: About
    """What the sealer said about it."""

    def text(self) -> str:
        """The payload as text. Raises `Malformed` if it is not UTF-8."""
        try:
            return self.plaintext.decode()
        except UnicodeDecodeError:
            pass
        # Only here, where that error is no context of this one: it has the payload.
        raise Malformed("malformed: the payload is not UTF-8")

    def __bytes__(self) -> bytes:
        return self.plaintext


def seal(
    plaintext: BytesLike | str,
    to: Readers,
    context: SealContext,
    *,
    sign: Identity | None = None,
    metadata: Metadata | None = None,
    created: int | None = None,
    content_type: str | None = None,
    filename: str | None = None,
    aead: Aead | None = None,
    padded: bool = True,
    part: str = "",
    allow_classical: bool = False,
) -> bytes:
    """Seals ``plaintext`` (a text as its UTF-8) to ``to``, for ``context``: the envelope.

    Only who is on the list can read it, nobody can change it unnoticed, and it opens only for the same context. It is padded, and unsigned
    unless ``sign`` says otherwise: **anybody who knows a recipient may have written it**. It is 1.4 KB longer than the padded payload for one
    X-Wing recipient, 0.3 KB for an X25519 one. At most 2 GiB: `SealWriter` takes more. Source: SPEC §1 to §7.

    Of the options ``metadata`` is what servers see; ``created`` (Unix seconds), ``content_type`` and ``filename`` are for readers only;
    ``padded=False`` shows the exact length; ``part`` names the body, to be named again to open it; ``allow_classical`` lets X25519 recipients
    stand beside X-Wing ones, so that a quantum computer opens the whole.

    Raises `Misuse` if there is nobody to seal to, if X25519 and X-Wing recipients are mixed, or for a context over its limits, `TooLarge` for
    more than 1024 recipients.
    """
    payload = as_payload(plaintext)
    options = _raw_options(
        sign=sign, metadata=metadata, created=created, content_type=content_type, filename=filename, aead=aead, padded=padded, part=part
    )
    sealing = ffi.Sealing(context=raw_context(context), readers=_raw_reader_list(to), allow_classical=allow_classical, options=options)
    return call(ffi.seal_once, sealing, payload)


def open(envelope: BytesLike, keys: Unlock, context: SealContext, *, expect: Expect = None, part: str = "") -> Opened:  # noqa: A001
    """Opens ``envelope`` with ``keys``, for ``context``.

    Nothing is returned before everything was verified. Unsigned envelopes and any signer are accepted, and said, unless ``expect`` lists who
    may have signed. Source: SPEC §11.

    Raises `NotRecipient` if no key opens it (also for a wrong passphrase, and an altered header); `Rejected` if it was altered, belongs to
    another context or part, or was signed by another; `Truncated`, `Malformed`, `Unsupported` or `TooLarge` if the bytes are no acceptable
    envelope.
    """
    sealed = as_bytes(envelope)
    return opened_of(call(raw_opener(keys, context, expect, part).open, sealed))


def rewrap(
    envelope: BytesLike,
    keys: Unlock,
    context: SealContext,
    to: Readers,
    *,
    expect: Expect = None,
    part: str = "",
    allow_classical: bool = False,
) -> bytes:
    """Changes who can open an envelope, without touching its payload: ``to`` is the complete new list.

    It does **not** revoke: a removed reader may have kept the key. `reseal` does, for what is written from then on. Before anything is given
    away the envelope is verified under ``context``, so that a server cannot have another row's envelope rewrapped to the wrong people. Raises as
    `open` and `seal` do; the body's chunks are not looked at. Source: SPEC §12.
    """
    return call(raw_opener(keys, context, expect, part).rewrap, as_bytes(envelope), raw_readers(to, allow_classical))


def rewrap_header(
    header: BytesLike, body_front: BytesLike, keys: Unlock, context: SealContext, to: Readers, *, part: str = "", allow_classical: bool = False
) -> bytes:
    """`rewrap` for a header that lives apart from its body: the new header, of any length.

    ``body_front`` is at least the first 56 bytes of the body, which stays as it is. Raises as `rewrap` does. Source: SPEC §12.
    """
    opener = raw_opener(keys, context, None, part)
    return call(opener.rewrap_header, as_bytes(header), as_bytes(body_front), raw_readers(to, allow_classical))


def reseal(
    envelope: BytesLike,
    keys: Unlock,
    context: SealContext,
    to: Readers,
    *,
    expect: Expect = None,
    sign: Identity | None = None,
    metadata: Metadata | None = None,
    created: int | None = None,
    content_type: str | None = None,
    filename: str | None = None,
    aead: Aead | None = None,
    padded: bool = True,
    part: str = "",
    allow_classical: bool = False,
) -> bytes:
    """Opens an envelope and seals its payload anew, under a new key: the only revocation there is, for what is written from then on.

    Metadata, creation time, content type, file name, AEAD and padding are taken over where the options do not say something else. An envelope
    that is signed needs ``sign``, else `Misuse`. Raises as `open` and `seal` do. Source: SPEC §12.
    """
    sealer = raw_sealer(
        to, context, sign=sign, metadata=metadata, created=created, content_type=content_type, filename=filename, aead=aead,
        padded=padded, part=part, allow_classical=allow_classical,
    )  # fmt: skip
    return call(sealer.reseal, as_bytes(envelope), raw_opener(keys, context, expect, part))


@dataclass(frozen=True, slots=True)
class SealedParts:
    """Several bodies under one header: fields of a document, pages of a file."""

    header: bytes
    bodies: tuple[bytes, ...]
    """In the order in which the parts were given."""


def seal_parts(
    parts: Mapping[str, BytesLike | str],
    to: Readers,
    context: SealContext,
    *,
    sign: Identity | None = None,
    metadata: Metadata | None = None,
    created: int | None = None,
    content_type: str | None = None,
    filename: str | None = None,
    aead: Aead | None = None,
    padded: bool = True,
    allow_classical: bool = False,
) -> SealedParts:
    """Seals several named payloads under one header. Each opens by itself, with `open_detached` and its name as ``part``. Source: SPEC §8."""
    sealer = raw_sealer(
        to, context, sign=sign, metadata=metadata, created=created, content_type=content_type, filename=filename, aead=aead,
        padded=padded, part="", allow_classical=allow_classical,
    )  # fmt: skip
    sealed = call(sealer.seal_parts, [ffi.Part(name=name, payload=as_payload(payload)) for name, payload in parts.items()])
    return SealedParts(sealed.header, tuple(sealed.bodies))


def open_detached(
    header: BytesLike, body: BytesLike, keys: Unlock, context: SealContext, *, expect: Expect = None, part: str = ""
) -> Opened:
    """Opens a body that lives apart from its header. Raises as `open` does."""
    return opened_of(call(raw_opener(keys, context, expect, part).open_detached, as_bytes(header), as_bytes(body)))


def split(envelope: BytesLike) -> tuple[bytes, bytes]:
    """Header and body of an envelope: a row in a database and an object in a store, say. Raises `Truncated` if the header is not whole."""
    whole = as_bytes(envelope)
    length = inspect(whole).length
    return whole[:length], whole[length:]


def join(header: BytesLike, body: BytesLike) -> bytes:
    """The envelope that `split` took apart."""
    return as_bytes(header) + as_bytes(body)


def header_len(front: BytesLike) -> int | None:
    """How long the header is, as soon as the beginning of an envelope tells; `None` before that."""
    return call(ffi.header_len, as_bytes(front))


def to_text(envelope: BytesLike) -> str:
    """The text form of an envelope: base64url without padding."""
    return call(ffi.to_text, as_bytes(envelope))


def from_text(text: str) -> bytes:
    """The envelope of a text form. Raises `Malformed` for whatever is not its one encoding."""
    return call(ffi.from_text, text)


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of a header, as a stranger claims it.

    To unlock one elsewhere, such as in an HSM, run its operation over these with `binding`, and give what comes of it to `ContentKey`.
    """

    kind: Literal["hpke", "passphrase", "symmetric", "external", "unknown"]
    binding: bytes = field(repr=False)
    """HPKE ``info``, or the associated data of the others."""
    ct: bytes | None = field(default=None, repr=False)
    """The locked content key."""
    kem: Kem | None = None
    """Of ``hpke``."""
    hint: bytes | None = None
    """Of ``hpke``: 4 bytes; `None` in an anonymous slot."""
    enc: bytes | None = field(default=None, repr=False)
    """Of ``hpke``."""
    salt: bytes | None = field(default=None, repr=False)
    """Of ``passphrase`` and ``symmetric``."""
    costs: tuple[int, int, int] | None = None
    """Of ``passphrase``: memory in KiB, passes, lanes."""
    key_id: bytes | None = None
    """Of ``symmetric``."""
    service: str | None = None
    """Of ``external``."""


@dataclass(frozen=True, slots=True)
class Header:
    """The front of an envelope: what everybody on the way sees. **Nothing in it is verified**. Source: SPEC §1, §2."""

    length: int
    """How many bytes the header takes; the body follows."""
    unverified_id: bytes
    """The envelope id (32 bytes)."""
    unverified_aead: Aead
    """The AEAD of the body."""
    unverified_padded: bool
    """Whether the body is padded."""
    unverified_private_block_len: int | None
    """How many bytes the private block takes, encrypted, if there is one."""
    unverified_metadata: Metadata
    """The public metadata."""
    unverified_slots: tuple[Slot, ...]
    """The slots, in their order."""


def inspect(envelope: BytesLike) -> Header:
    """Reads the header at the front of ``envelope``, without any key.

    Raises `Malformed`, `Unsupported`, `Truncated` or `TooLarge` (a header above 2 MiB), as SPEC §1 to §4 say.
    """
    raw = call(ffi.inspect, as_bytes(envelope))
    return Header(
        raw.header_len,
        raw.unverified_id,
        _AEADS[raw.unverified_aead],
        raw.unverified_padded,
        raw.unverified_private_block_len,
        _metadata_of(raw.unverified_metadata),
        tuple(map(_slot_of, raw.unverified_slots)),
    )


_RAW_AEADS = {Aead.AES_256_GCM: ffi.Aead.AES256_GCM, Aead.CHACHA20_POLY1305: ffi.Aead.CHA_CHA20_POLY1305}
_AEADS = {raw: aead for aead, raw in _RAW_AEADS.items()}


def _slot_of(raw: ffi.Slot) -> Slot:
    kind, binding = raw.kind, raw.binding
    if isinstance(kind, ffi.Locked.HPKE):
        return Slot("hpke", binding, kind.ct, kem=Kem[kind.kem.name], hint=kind.hint, enc=kind.enc)
    if isinstance(kind, ffi.Locked.PASSPHRASE):
        return Slot("passphrase", binding, kind.ct, salt=kind.salt, costs=(kind.memory, kind.passes, kind.lanes))
    if isinstance(kind, ffi.Locked.SYMMETRIC):
        return Slot("symmetric", binding, kind.ct, salt=kind.salt, key_id=kind.key_id)
    if isinstance(kind, ffi.Locked.EXTERNAL):
        return Slot("external", binding, kind.ct, service=kind.service)
    return Slot("unknown", binding)


def _metadata_of(raw: Mapping[str, ffi.MetadataValue]) -> Metadata:
    return {key: value.value for key, value in raw.items()}  # type: ignore[attr-defined]


def about_of(raw: ffi.About) -> About:
    """What the library says about a payload."""
    return About(_metadata_of(raw.metadata), raw.created, raw.content_type, raw.filename, raw.addressed_to_me)


def signer_of(raw: str | None) -> Signer | None:
    """A signer that the library has verified."""
    return None if raw is None else str.__new__(Signer, raw)


def opened_of(raw: ffi.Opened) -> Opened:
    """What the library has opened."""
    return Opened(raw.plaintext, signer_of(raw.signer), about_of(raw.about))


def raw_readers(to: Readers, allow_classical: bool) -> ffi.Readers:
    """Who can open, for the library."""
    return call(ffi.Readers, _raw_reader_list(to), allow_classical)


def _raw_reader_list(to: Readers) -> list[ffi.Reader]:
    # A list first: what is a key service takes Python a while to find out.
    is_one = not isinstance(to, (list, tuple)) and isinstance(to, (Recipient, Anonymous, Passphrase, SymmetricKey, KeyService))
    readers: list[Reader] = [to] if is_one else list(to)  # type: ignore[list-item, arg-type]
    return [_raw_reader(reader) for reader in readers]


def _raw_reader(reader: Reader) -> ffi.Reader:
    made: ffi.Reader
    if isinstance(reader, Recipient):
        made = ffi.Reader.RECIPIENT(reader._raw)  # type: ignore[assignment]
    elif isinstance(reader, Anonymous):
        made = ffi.Reader.ANONYMOUS(wanted(Recipient, reader.recipient)._raw)  # type: ignore[assignment]
    elif isinstance(reader, Passphrase):
        made = ffi.Reader.PASSPHRASE(reader._raw)  # type: ignore[assignment]
    elif isinstance(reader, SymmetricKey):
        made = ffi.Reader.SYMMETRIC(reader._raw)  # type: ignore[assignment]
    elif isinstance(reader, KeyService):
        made = ffi.Reader.SERVICE(RawService(reader))  # type: ignore[assignment]
    else:
        raise TypeError(f"a recipient is wanted, not {type(reader).__name__}")
    return made


def raw_sealer(
    to: Readers,
    context: SealContext,
    *,
    sign: Identity | None,
    metadata: Metadata | None,
    created: int | None,
    content_type: str | None,
    filename: str | None,
    aead: Aead | None,
    padded: bool,
    part: str,
    allow_classical: bool,
) -> ffi.Sealer:
    """What to seal with, for the library."""
    options = _raw_options(
        sign=sign, metadata=metadata, created=created, content_type=content_type, filename=filename, aead=aead, padded=padded, part=part
    )
    return call(ffi.Sealer, raw_context(context), raw_readers(to, allow_classical), options)


def _raw_options(
    *,
    sign: Identity | None,
    metadata: Metadata | None,
    created: int | None,
    content_type: str | None,
    filename: str | None,
    aead: Aead | None,
    padded: bool,
    part: str,
) -> ffi.SealOptions:
    if not isinstance(aead, (Aead, type(None))):
        raise TypeError(f"an Aead is wanted, not {type(aead).__name__}")
    if not isinstance(metadata, (Mapping, type(None))):
        raise misuse("metadata is a mapping")
    return ffi.SealOptions(
        sign=None if sign is None else wanted(Identity, sign)._raw,
        metadata={key: _raw_value(value) for key, value in (metadata or {}).items()},
        created=created,
        content_type=content_type,
        filename=filename,
        aead=None if aead is None else _RAW_AEADS[aead],
        padded=padded,
        part=part,
    )


def _raw_value(value: MetadataValue) -> ffi.MetadataValue:
    made: ffi.MetadataValue
    if isinstance(value, bool):
        raise misuse("metadata is text, a number or bytes")
    if isinstance(value, str):
        made = ffi.MetadataValue.TEXT(value)  # type: ignore[assignment]
    elif isinstance(value, int):
        made = ffi.MetadataValue.NUMBER(value)  # type: ignore[assignment]
    else:
        made = ffi.MetadataValue.BYTES(as_bytes(value))  # type: ignore[assignment]
    return made


def raw_opener(keys: Unlock, context: SealContext, expect: Expect, part: str) -> ffi.Opener:
    """What to open with, for the library."""
    signers = None
    if expect is not None:
        signers = [str(expect)] if isinstance(expect, str) else [str(signer) for signer in expect]
    return call(ffi.Opener, raw_keyring(keys), raw_context(context), signers, part)
