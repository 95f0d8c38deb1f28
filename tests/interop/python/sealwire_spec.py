"""The Sealwire format, version 1: a reader and a writer, made from SPEC.md alone.

It follows SPEC.md from top to bottom; every heading names its section. All cryptography comes from
the package `cryptography`. Written to be read beside the SPEC: whole values in memory, no streaming,
and no protection against side channels other than the ones the SPEC names.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

# ---- §15 Errors -------------------------------------------------------------------------------

MALFORMED = "Malformed"
UNSUPPORTED = "Unsupported"
INVALID_KEY = "InvalidKey"
NOT_RECIPIENT = "NotRecipient"
REJECTED = "Rejected"
TRUNCATED = "Truncated"
TOO_LARGE = "TooLarge"
MISUSE = "Misuse"


class SealwireError(Exception):
    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


def need(condition: bool, code: str, why: str) -> None:
    if not condition:
        raise SealwireError(code, why)


# ---- §14 Limits -------------------------------------------------------------------------------

MAX_HEADER = 2 << 20
MAX_SLOTS, MAX_ANONYMOUS, MAX_PASSPHRASE_SLOTS = 1024, 64, 2
MAX_OPERATIONS, MAX_ARGON2_RUNS = 128, 4
MAX_ARGON2_M, MAX_ARGON2_T, MAX_ARGON2_P = 262144, 10, 8
MAX_NESTING = 8
MAX_PRIVATE_BLOCKS = 1024
MAX_METADATA_ENTRIES, MAX_METADATA_KEY, MAX_METADATA_VALUE = 64, 64, 4096
MAX_SERVICE_CT = 65536
MAX_CHUNKS = 1 << 38
MAX_KEY_TEXT = 4096
MAX_IDENTITY_FILE, MAX_IDENTITIES = 64 << 10, 64

# ---- §0 Conventions: CBOR ---------------------------------------------------------------------


class Pairs(list):
    """A decoded map: its (key, value) pairs in order. A dict would take the keys 1 and true for one."""


def cbor_head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise SealwireError(MISUSE, "an integer above 64 bits")


SIMPLE = {False: b"\xf4", True: b"\xf5", None: b"\xf6"}


def cbor(item: Any) -> bytes:
    if item is None or isinstance(item, bool):
        return SIMPLE[item]
    if isinstance(item, int):
        return cbor_head(0, item) if item >= 0 else cbor_head(1, -1 - item)
    if isinstance(item, bytes):
        return cbor_head(2, len(item)) + item
    if isinstance(item, str):
        text = item.encode()
        return cbor_head(3, len(text)) + text
    if isinstance(item, (dict, Pairs)):
        pairs = item.items() if isinstance(item, dict) else item
        entries = sorted((cbor(key), cbor(value)) for key, value in pairs)
        return cbor_head(5, len(entries)) + b"".join(key + value for key, value in entries)
    return cbor_head(4, len(item)) + b"".join(map(cbor, item))


def cbor_decode(data: bytes) -> Any:
    """The one item that `data` is; refuses every encoding but the deterministic one."""
    item, end = _decode_item(data, 0, 0)
    need(end == len(data), MALFORMED, "bytes after the CBOR item")
    return item


def _decode_head(data: bytes, at: int, short: str) -> tuple[int, int, int]:
    """Major type, argument, and where the head ends. `short` is the error if the data ends before that."""
    need(at < len(data), short, "the data ends before a CBOR head")
    major, info = data[at] >> 5, data[at] & 31
    if info < 24:
        return major, info, at + 1
    need(info <= 27, MALFORMED, "indefinite length, or a reserved CBOR head")
    size = 1 << (info - 24)
    end = at + 1 + size
    need(end <= len(data), short, "the data ends inside a CBOR head")
    n = int.from_bytes(data[at + 1 : end], "big")
    need(n >= (24 if size == 1 else 1 << 4 * size), MALFORMED, "a CBOR head that is not the shortest")
    return major, n, end


def _decode_item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    first = at
    major, n, at = _decode_head(data, at, MALFORMED)
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if major in (2, 3):
        need(at + n <= len(data), MALFORMED, "a CBOR string longer than the data")
        raw = data[at : at + n]
        return (raw if major == 2 else _decode_utf8(raw)), at + n
    if major in (4, 5):
        need(depth < MAX_NESTING, MALFORMED, "CBOR nested too deep")
        return (_decode_array if major == 4 else _decode_map)(data, at, n, depth + 1)
    for value, byte in SIMPLE.items():
        if data[first:at] == byte:
            return value, at
    raise SealwireError(MALFORMED, "a float, tag or simple value")


def _decode_utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise SealwireError(MALFORMED, "text that is not UTF-8") from None


def _decode_array(data: bytes, at: int, n: int, depth: int) -> tuple[list, int]:
    items = []
    for _ in range(n):
        item, at = _decode_item(data, at, depth)
        items.append(item)
    return items, at


def _decode_map(data: bytes, at: int, n: int, depth: int) -> tuple[Pairs, int]:
    pairs, last = Pairs(), b""
    for _ in range(n):
        key, value_at = _decode_item(data, at, depth)
        encoded = data[at:value_at]
        need(encoded > last, MALFORMED, "map keys out of order, or one twice")
        last = encoded
        value, at = _decode_item(data, value_at, depth)
        pairs.append((key, value))
    return pairs, at


# ---- §0 Conventions: integer keys, types ------------------------------------------------------


def integer_map(item: Any) -> dict[int, Any]:
    need(isinstance(item, Pairs), MALFORMED, "not a map")
    need(all(type(key) is int for key, _ in item), MALFORMED, "a key that is not an integer")
    return dict(item)


def has_unknown_critical(fields: dict[int, Any], known: Iterable[int]) -> bool:
    return any(key >= 0 and key not in known for key in fields)


def known_fields(item: Any, known: Iterable[int]) -> dict[int, Any]:
    fields = integer_map(item)
    need(not has_unknown_critical(fields, known), UNSUPPORTED, "an unknown critical key")
    return fields


def is_uint(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def is_bytes(value: Any, size: int) -> bool:
    return isinstance(value, bytes) and len(value) == size


def is_text(value: Any, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value.encode()) <= most


# ---- §0 Conventions: labels, HKDF, SEAL0 ------------------------------------------------------


def LABEL(x: str) -> bytes:
    return b"sealwire/v1 " + x.encode() + b"\x00"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hkdf(salt: bytes, ikm: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(ikm)


ZERO_NONCE = bytes(12)


def seal0(key: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    return ChaCha20Poly1305(key).encrypt(ZERO_NONCE, plaintext, aad)


def open0(key: bytes, ciphertext: bytes, aad: bytes = b"") -> bytes | None:
    try:
        return ChaCha20Poly1305(key).decrypt(ZERO_NONCE, ciphertext, aad)
    except InvalidTag:
        return None


def random_bytes(n: int) -> bytes:
    return os.urandom(n)


# ---- §1 Envelope ------------------------------------------------------------------------------

MAGIC = b"sealwire\x01"


@dataclass(frozen=True)
class Header:
    """FIXED and SLOTS are the byte strings as they stand, with their heads."""

    FIXED: bytes
    SLOTS: bytes
    slots_tag: bytes
    fixed: FixedPart
    slots: list[Slot]

    @property
    def h_fixed(self) -> bytes:
        return h_fixed(self.FIXED)

    def to_bytes(self) -> bytes:
        return MAGIC + self.FIXED + self.SLOTS + self.slots_tag


def h_fixed(FIXED: bytes) -> bytes:
    return sha256(MAGIC + FIXED)


def parse_header(data: bytes) -> tuple[Header, bytes]:
    """The header, and what follows it (the body, if it is stored with the header)."""
    need(data[:8] == MAGIC[: min(8, len(data))], MALFORMED, "not an envelope")
    need(len(data) >= 9, TRUNCATED, "the input ends inside the magic")
    need(data[8] == MAGIC[8], UNSUPPORTED, "another version")
    fixed_at, fixed_end = _claim(data, 9, MAX_HEADER)
    slots_at, slots_end = _claim(data, fixed_end, MAX_HEADER - (fixed_end - fixed_at))
    body_at = slots_end + 32
    need(body_at <= len(data), TRUNCATED, "the input ends inside the slots tag")
    header = Header(
        FIXED=data[9:fixed_end],
        SLOTS=data[fixed_end:slots_end],
        slots_tag=data[slots_end:body_at],
        fixed=parse_fixed(data[fixed_at:fixed_end]),
        slots=parse_slots(data[slots_at:slots_end]),
    )
    return header, data[body_at:]


def _claim(data: bytes, at: int, most: int) -> tuple[int, int]:
    """Where the content of the byte string at `at` begins and ends."""
    major, size, start = _decode_head(data, at, TRUNCATED)
    need(major == 2, MALFORMED, "not a byte string")
    need(size <= most, TOO_LARGE, "the header claims more than 2 MiB")
    need(start + size <= len(data), TRUNCATED, "the input ends inside the header")
    return start, start + size


# ---- §2 Fixed part ----------------------------------------------------------------------------

AES_256_GCM, CHACHA20_POLY1305 = 2, 29
PADME = 1
FIXED_KEYS = range(5)


@dataclass(frozen=True)
class FixedPart:
    pairs: Pairs
    envelope_id: bytes
    aead: int
    padded: bool
    private_block: bytes | None
    metadata: dict[str, int | str | bytes]


def parse_fixed(content: bytes) -> FixedPart:
    pairs = cbor_decode(content)
    fields = known_fields(pairs, FIXED_KEYS)
    need(is_bytes(fields.get(0), 32), MALFORMED, "the envelope id")
    need(is_uint(fields.get(1)), MALFORMED, "the body AEAD")
    need(fields[1] in AEADS, UNSUPPORTED, "another body AEAD")
    need(2 not in fields or is_uint(fields[2]), MALFORMED, "the padding")
    need(fields.get(2, PADME) == PADME, UNSUPPORTED, "another padding")
    if 3 in fields:
        need(is_private_block(fields[3]), MALFORMED, "the private block")
    return FixedPart(
        pairs=pairs,
        envelope_id=fields[0],
        aead=fields[1],
        padded=2 in fields,
        private_block=fields.get(3),
        metadata=parse_metadata(fields[4]) if 4 in fields else {},
    )


def is_private_block(value: Any) -> bool:
    blocks = range(1, MAX_PRIVATE_BLOCKS + 1)
    return isinstance(value, bytes) and len(value) % 64 == 16 and len(value) // 64 in blocks


def parse_metadata(item: Any) -> dict[str, int | str | bytes]:
    need(isinstance(item, Pairs) and len(item) > 0, MALFORMED, "metadata: no map, or an empty one")
    need(len(item) <= MAX_METADATA_ENTRIES, TOO_LARGE, "too many metadata")
    for key, value in item:
        need(isinstance(key, str) and key != "", MALFORMED, "a metadata key")
        need(is_text(key, 1, MAX_METADATA_KEY), TOO_LARGE, "a metadata key that is too long")
        need(is_uint(value) or isinstance(value, (str, bytes)), MALFORMED, "a metadata value")
        size = 0 if is_uint(value) else len(value.encode() if isinstance(value, str) else value)
        need(size <= MAX_METADATA_VALUE, TOO_LARGE, "a metadata value that is too long")
        need(key != "version" or is_uint(value), MALFORMED, "a version that is no unsigned integer")
    return dict(item)


# ---- §3 Keys ----------------------------------------------------------------------------------


def body_input_key(envelope_id: bytes, content_key: bytes) -> bytes:
    return hkdf(envelope_id, content_key, LABEL("body key"))


def slots_tag_key(envelope_id: bytes, content_key: bytes) -> bytes:
    return hkdf(envelope_id, content_key, LABEL("slots tag key"))


def private_block_key(envelope_id: bytes, content_key: bytes) -> bytes:
    return hkdf(envelope_id, content_key, LABEL("private block key"))


# ---- §4 Slots: reading ------------------------------------------------------------------------

HPKE, PASSPHRASE, SYMMETRIC, EXTERNAL = 1, 2, 3, 4


@dataclass(frozen=True)
class Slot:
    number: int
    kind: int
    pairs: Pairs
    fields: dict[int, Any] | None  # None: not understood, and so skipped

    @property
    def is_anonymous(self) -> bool:
        return self.kind == HPKE and self.fields is not None and 4 not in self.fields

    @property
    def is_passphrase(self) -> bool:
        return self.kind == PASSPHRASE and self.fields is not None


def parse_slots(content: bytes) -> list[Slot]:
    items = cbor_decode(content)
    need(isinstance(items, list) and not isinstance(items, Pairs), MALFORMED, "the slots are no array")
    need(len(items) > 0, MALFORMED, "no slot")
    need(len(items) <= MAX_SLOTS, TOO_LARGE, "too many slots")
    slots = [parse_slot(number, item) for number, item in enumerate(items)]
    need(sum(s.is_anonymous for s in slots) <= MAX_ANONYMOUS, TOO_LARGE, "too many anonymous slots")
    need(sum(s.is_passphrase for s in slots) <= MAX_PASSPHRASE_SLOTS, TOO_LARGE, "too many passphrase slots")
    return slots


def parse_slot(number: int, item: Any) -> Slot:
    fields = integer_map(item)
    kind = fields.get(0)
    need(is_uint(kind), MALFORMED, "a slot without kind")
    keys, check = SLOT_KINDS.get(kind, ((), None))
    understood = check is not None and not has_unknown_critical(fields, keys) and check(fields)
    return Slot(number, kind, item, fields if understood else None)


def check_hpke(f: dict[int, Any]) -> bool:
    """Whether the suite is known. Of a slot with another suite only the suite is looked at."""
    need(all(is_uint(f.get(key)) for key in (1, 2, 3)), MALFORMED, "the suite of a slot")
    if f[1] not in KEMS or (f[2], f[3]) != (HPKE_KDF, HPKE_AEAD):
        return False
    need(4 not in f or is_bytes(f[4], 4), MALFORMED, "the hint of a slot")
    need(is_bytes(f.get(5), KEMS[f[1]].enc_size), MALFORMED, "the enc of a slot")
    need(is_bytes(f.get(6), 48), MALFORMED, "the ct of a slot")
    return True


def check_passphrase(f: dict[int, Any]) -> bool:
    need(is_bytes(f.get(1), 16), MALFORMED, "the salt of a passphrase slot")
    need(all(is_uint(f.get(key)) for key in (2, 3, 4)), MALFORMED, "the cost of a passphrase slot")
    check_argon2_cost(f[2], f[3], f[4])
    need(is_bytes(f.get(6), 48), MALFORMED, "the ct of a slot")
    return True


def check_argon2_cost(m: int, t: int, p: int) -> None:
    need(t > 0 and p > 0 and m >= 8 * p, MALFORMED, "Argon2id parameters that do not exist")
    affordable = m <= MAX_ARGON2_M and t <= MAX_ARGON2_T and p <= MAX_ARGON2_P
    need(affordable, TOO_LARGE, "Argon2id cost above the ceiling")


def check_symmetric(f: dict[int, Any]) -> bool:
    need(is_bytes(f.get(1), 32), MALFORMED, "the salt of a symmetric slot")
    need(is_bytes(f.get(2), 8), MALFORMED, "the key id of a symmetric slot")
    need(is_bytes(f.get(6), 48), MALFORMED, "the ct of a slot")
    return True


def check_external(f: dict[int, Any]) -> bool:
    need(is_text(f.get(1), 1, 255), MALFORMED, "the service of an external slot")
    need(isinstance(f.get(6), bytes) and len(f[6]) > 0, MALFORMED, "the ct of a slot")
    need(len(f[6]) <= MAX_SERVICE_CT, TOO_LARGE, "the ct of a service is too long")
    return True


SLOT_KINDS: dict[int, tuple[Sequence[int], Callable[[dict[int, Any]], bool]]] = {
    HPKE: (range(7), check_hpke),
    PASSPHRASE: ((0, 1, 2, 3, 4, 6), check_passphrase),
    SYMMETRIC: ((0, 1, 2, 6), check_symmetric),
    EXTERNAL: ((0, 1, 6), check_external),
}


# ---- §4 Slots: locking and unlocking ----------------------------------------------------------


@dataclass(frozen=True)
class Passphrase:
    """Locks and unlocks. The costs count for locking only."""

    text: str
    m: int = 65536
    t: int = 3
    p: int = 4

    def __post_init__(self) -> None:
        need(is_text(self.text, 1, 1024), MISUSE, "a passphrase is 1 to 1024 bytes")


@dataclass(frozen=True)
class SymmetricKey:
    key: bytes

    def __post_init__(self) -> None:
        need(is_bytes(self.key, 32), MISUSE, "a symmetric key is 32 bytes")


class ExternalService(Protocol):
    name: str

    def lock(self, content_key: bytes, binding: bytes) -> bytes: ...

    def unlock(self, ct: bytes, binding: bytes) -> bytes | None: ...


@dataclass(frozen=True)
class Anonymous:
    recipient: Recipient


def binding(h: bytes, slot: dict | Pairs) -> bytes:
    pairs = slot.items() if isinstance(slot, dict) else slot
    return LABEL("slot") + h + cbor(Pairs(pair for pair in pairs if pair[0] not in (5, 6)))


def lock(to: Locker, envelope_id: bytes, h: bytes, content_key: bytes) -> dict[int, Any]:
    if isinstance(to, Recipient):
        return lock_hpke(to, slot_hint(envelope_id, to), h, content_key)
    if isinstance(to, Anonymous):
        return lock_hpke(to.recipient, None, h, content_key)
    if isinstance(to, Passphrase):
        return lock_passphrase(to, h, content_key)
    if isinstance(to, SymmetricKey):
        return lock_symmetric(to, h, content_key)
    slot = {0: EXTERNAL, 1: to.name}
    return slot | {6: to.lock(content_key, binding(h, slot))}


def slot_hint(envelope_id: bytes, reader: Recipient) -> bytes:
    return sha256(LABEL("slot hint") + envelope_id + reader.fingerprint)[:4]


def lock_hpke(to: Recipient, hint: bytes | None, h: bytes, content_key: bytes) -> dict[int, Any]:
    slot: dict[int, Any] = {0: HPKE, 1: to.kem_id, 2: HPKE_KDF, 3: HPKE_AEAD}
    if hint is not None:
        slot[4] = hint
    kem = KEMS[to.kem_id]
    sealed = kem.suite.encrypt(content_key, kem.load_public(to.kem_public), info=binding(h, slot))
    return slot | {5: sealed[: kem.enc_size], 6: sealed[kem.enc_size :]}


def lock_passphrase(to: Passphrase, h: bytes, content_key: bytes) -> dict[int, Any]:
    check_argon2_cost(to.m, to.t, to.p)
    slot = {0: PASSPHRASE, 1: random_bytes(16), 2: to.m, 3: to.t, 4: to.p}
    return slot | {6: seal0(passphrase_slot_key(to.text, slot, binding(h, slot)), content_key)}


def lock_symmetric(to: SymmetricKey, h: bytes, content_key: bytes) -> dict[int, Any]:
    slot = {0: SYMMETRIC, 1: random_bytes(32), 2: symmetric_key_id(to)}
    return slot | {6: seal0(hkdf(slot[1], to.key, binding(h, slot)), content_key)}


def passphrase_slot_key(text: str, slot: dict[int, Any], bound: bytes) -> bytes:
    argon2 = Argon2id(salt=slot[1], length=32, memory_cost=slot[2], iterations=slot[3], lanes=slot[4])
    return hkdf(slot[1], argon2.derive(text.encode()), bound)


def symmetric_key_id(key: SymmetricKey) -> bytes:
    return hkdf(b"", key.key, LABEL("key id"))[:8]


@dataclass
class UnlockBudget:
    """§11: what is left of the work of one open."""

    operations: int = MAX_OPERATIONS
    argon2_runs: int = MAX_ARGON2_RUNS

    def spend(self) -> None:
        need(self.operations > 0, TOO_LARGE, "more than 128 KEM or key-service operations")
        self.operations -= 1

    def spend_argon2(self) -> None:
        need(self.argon2_runs > 0, TOO_LARGE, "more than 4 runs of Argon2id")
        self.argon2_runs -= 1


def candidate(header: Header, slot: Slot, key: Key, budget: UnlockBudget) -> bytes | None:
    """What `key` gets out of `slot`: something that may be the content key, or nothing."""
    if slot.fields is None:
        return None
    bound = binding(header.h_fixed, slot.pairs)
    if slot.kind == HPKE and isinstance(key, Identity):
        return candidate_hpke(header.fixed.envelope_id, slot.fields, bound, key, budget)
    if slot.kind == PASSPHRASE and isinstance(key, Passphrase):
        budget.spend_argon2()
        return open0(passphrase_slot_key(key.text, slot.fields, bound), slot.fields[6])
    if slot.kind == SYMMETRIC and isinstance(key, SymmetricKey) and slot.fields[2] == symmetric_key_id(key):
        return open0(hkdf(slot.fields[1], key.key, bound), slot.fields[6])
    if slot.kind == EXTERNAL and slot.fields[1] == getattr(key, "name", None):
        budget.spend()
        return key.unlock(slot.fields[6], bound)
    return None


def candidate_hpke(
    envelope_id: bytes, f: dict[int, Any], bound: bytes, key: Identity, budget: UnlockBudget
) -> bytes | None:
    if f[1] != key.kem_id or f.get(4) not in (None, slot_hint(envelope_id, key.recipient)):
        return None
    budget.spend()
    kem = KEMS[key.kem_id]
    try:
        return kem.suite.decrypt(f[5] + f[6], kem.load_private(key.kem_private), info=bound)
    except (InvalidTag, ValueError):
        return None


# ---- §5 Slots tag -----------------------------------------------------------------------------


def slots_tag(envelope_id: bytes, content_key: bytes, h: bytes, SLOTS: bytes) -> bytes:
    key = slots_tag_key(envelope_id, content_key)
    return hmac.digest(key, LABEL("slots tag") + h + sha256(SLOTS), "sha256")


def opens(header: Header, candidate_key: bytes) -> bool:
    if len(candidate_key) != 32:
        return False
    tag = slots_tag(header.fixed.envelope_id, candidate_key, header.h_fixed, header.SLOTS)
    return hmac.compare_digest(tag, header.slots_tag)


def unlock(header: Header, keys: Sequence[Key]) -> tuple[bytes, Key]:
    """The content key, and which of the keys got it."""
    budget, refusal = UnlockBudget(), SealwireError(NOT_RECIPIENT, "no slot opens")
    for slot in header.slots:
        for key in keys:
            try:
                content_key = candidate(header, slot, key, budget)
            except SealwireError as error:  # it surfaces if nothing else opens
                refusal = error
                continue
            if content_key is not None and opens(header, content_key):
                return content_key, key
    raise refusal


# ---- §6 Private block -------------------------------------------------------------------------

EDDSA_ED25519 = -19
PRIVATE_KEYS, SIGNER_KEYS = range(5), range(2)


@dataclass(frozen=True)
class Private:
    signer: bytes | None = None
    created: int | None = None
    content_type: str | None = None
    filename: str | None = None
    audience: list[bytes] | None = None


def fixed_without_private(pairs: dict | Pairs) -> bytes:
    """FIXED'"""
    items = pairs.items() if isinstance(pairs, dict) else pairs
    return cbor(cbor(Pairs(pair for pair in items if pair[0] != 3)))


def seal_private(fixed: dict[int, Any], content_key: bytes, private: Private) -> bytes | None:
    signers = None if private.signer is None else [{0: EDDSA_ED25519, 1: private.signer}]
    values = (signers, private.created, private.content_type, private.filename, private.audience)
    fields = {key: value for key, value in enumerate(values) if value is not None}
    if not fields:
        return None
    plaintext = cbor(fields)
    parse_private(pad_private(plaintext))  # §14: what a reader refuses is not written
    return seal0(private_block_key(fixed[0], content_key), pad_private(plaintext), MAGIC + fixed_without_private(fixed))


def pad_private(plaintext: bytes) -> bytes:
    return plaintext + bytes(-len(plaintext) % 64)


def open_private(header: Header, content_key: bytes) -> Private:
    fixed = header.fixed
    if fixed.private_block is None:
        return Private()
    key = private_block_key(fixed.envelope_id, content_key)
    plaintext = open0(key, fixed.private_block, MAGIC + fixed_without_private(fixed.pairs))
    if plaintext is None:
        raise SealwireError(REJECTED, "the private block does not open")
    return parse_private(plaintext)


def parse_private(plaintext: bytes) -> Private:
    item, end = _decode_item(plaintext, 0, 0)
    need(plaintext == pad_private(plaintext[:end]), MALFORMED, "the padding of the private block")
    fields = known_fields(item, PRIVATE_KEYS)
    need(len(fields) > 0, MALFORMED, "an empty private block")
    need(1 not in fields or is_uint(fields[1]), MALFORMED, "created")
    need(2 not in fields or is_text(fields[2], 1, 255), MALFORMED, "the content type")
    need(3 not in fields or is_filename(fields[3]), MALFORMED, "the filename")
    need(4 not in fields or is_audience(fields[4]), MALFORMED, "the audience")
    signer = parse_signers(fields[0]) if 0 in fields else None
    return Private(signer, fields.get(1), fields.get(2), fields.get(3), fields.get(4))


def is_filename(value: Any) -> bool:
    if not is_text(value, 1, 255) or value.endswith((".", " ")) or re.search(r"[/\\:\x00-\x1f\x7f-\x9f]", value):
        return False
    return re.fullmatch(DEVICE, value.split(".")[0].rstrip(" "), re.IGNORECASE | re.ASCII) is None


DEVICE = "CON|PRN|AUX|NUL|(COM|LPT)[1-9¹²³]"


def is_audience(value: Any) -> bool:
    if type(value) is not list or not 1 <= len(value) <= 1024:
        return False
    return all(is_bytes(f, 32) for f in value) and all(a < b for a, b in pairwise(value))


def parse_signers(value: Any) -> bytes:
    need(type(value) is list, MALFORMED, "the signers")
    need(len(value) == 1, UNSUPPORTED, "not exactly one signer")
    signer = known_fields(value[0], SIGNER_KEYS)
    need(type(signer.get(0)) is int, MALFORMED, "the algorithm of the signer")
    need(signer[0] == EDDSA_ED25519, UNSUPPORTED, "another signature algorithm")
    need(is_bytes(signer.get(1), 32), MALFORMED, "the key of the signer")
    return signer[1]


# ---- §7 Body: C2SP chunked encryption ---------------------------------------------------------

CHUNK, AEAD_TAG = 16384, 16
BODY_HEAD = 24 + 32
AEADS: dict[int, tuple[bytes, Any]] = {
    AES_256_GCM: (b"AEAD_AES_256_GCM", AESGCM),
    CHACHA20_POLY1305: (b"AEAD_CHACHA20_POLY1305", ChaCha20Poly1305),
}


@dataclass(frozen=True)
class BodyKeys:
    aead: Any
    base_nonce: bytes
    commitment: bytes

    def nonce(self, i: int) -> bytes:
        return (int.from_bytes(self.base_nonce, "big") ^ i).to_bytes(12, "big")


def body_keys(aead: int, input_key: bytes, body_context: bytes, salt: bytes) -> BodyKeys:
    name, cipher = AEADS[aead]
    info = b"c2sp.org/chunked-encryption@v1+" + name + b"\x00" + salt + body_context
    okm = HKDFExpand(hashes.SHA512(), 76, info).derive(input_key)
    return BodyKeys(cipher(okm[:32]), okm[32:44], okm[44:])


def seal_chunks(aead: int, input_key: bytes, body_context: bytes, plaintext: bytes, salt: bytes) -> bytes:
    """The formulas of §7, for both AEADs."""
    keys = body_keys(aead, input_key, body_context, salt)
    chunks = len(plaintext) // CHUNK + 1
    need(chunks <= MAX_CHUNKS, TOO_LARGE, "too many chunks")
    body = [salt, keys.commitment]
    for i in range(chunks):
        body.append(keys.aead.encrypt(keys.nonce(i), plaintext[CHUNK * i : CHUNK * (i + 1)], b""))
    return b"".join(body)


def seal_body(aead: int, input_key: bytes, body_context: bytes, plaintext: bytes) -> bytes:
    if aead == AES_256_GCM:
        cobblestone = Cobblestone256Encryptor(input_key, body_context)
        return cobblestone.update(plaintext) + cobblestone.finalize()
    return seal_chunks(aead, input_key, body_context, plaintext, random_bytes(24))


def check_commitment(aead: int, input_key: bytes, body_context: bytes, body_head: bytes) -> BodyKeys:
    need(len(body_head) >= BODY_HEAD, TRUNCATED, "the body ends before its first chunk")
    salt, commitment = body_head[:24], body_head[24:BODY_HEAD]
    keys = body_keys(aead, input_key, body_context, salt)
    need(hmac.compare_digest(keys.commitment, commitment), REJECTED, "the commitment")
    return keys


def open_body(aead: int, input_key: bytes, body_context: bytes, body: bytes) -> bytes:
    whole = len(body) >= BODY_HEAD + AEAD_TAG and (len(body) - BODY_HEAD) % (CHUNK + AEAD_TAG) >= AEAD_TAG
    need(whole, TRUNCATED, "the last chunk is missing or cut")
    try:
        if aead == AES_256_GCM:
            cobblestone = Cobblestone256Decryptor(input_key, body_context)
            return cobblestone.update(body) + cobblestone.finalize()
        return open_chunks(check_commitment(aead, input_key, body_context, body), body[BODY_HEAD:])
    except InvalidTag:
        raise SealwireError(REJECTED, "the body does not open") from None


def open_chunks(keys: BodyKeys, chunks: bytes) -> bytes:
    size = CHUNK + AEAD_TAG
    starts = range(0, len(chunks), size)
    return b"".join(
        keys.aead.decrypt(keys.nonce(i), chunks[start : start + size], b"") for i, start in enumerate(starts)
    )


# ---- §7 Body: padding -------------------------------------------------------------------------


def padme(n: int) -> int:
    e = n.bit_length() - 1
    s = e.bit_length()  # floor(log2 e) + 1
    step = 1 << (e - s)
    return -(-n // step) * step


def padded_size(payload_size: int, signature_size: int) -> int:
    n = payload_size + 8 + signature_size
    return max(256, padme(n))


def pad(payload: bytes, signature_size: int) -> bytes:
    """payload ‖ zeros ‖ payload length; the signature comes after it."""
    zeros = padded_size(len(payload), signature_size) - len(payload) - 8 - signature_size
    return payload + bytes(zeros) + len(payload).to_bytes(8, "big")


def unpad(padded: bytes, signature_size: int) -> bytes:
    need(len(padded) >= 8, REJECTED, "no place for the payload length")
    room, size = len(padded) - 8, int.from_bytes(padded[-8:], "big")
    need(size <= room, REJECTED, "a payload length larger than its place")
    need(len(padded) + signature_size == padded_size(size, signature_size), REJECTED, "the wrong number of zeros")
    need(not any(padded[size:room]), REJECTED, "a pad byte that is not zero")
    return padded[:size]


# ---- §8 Signature -----------------------------------------------------------------------------

ED25519_P = 2**255 - 19
ED25519_L = 2**252 + 27742317777372353535851937790883648493
_Y8 = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
SMALL_ORDER_Y = {0, 1, ED25519_P - 1, _Y8, ED25519_P - _Y8}  # all points of order 1, 2, 4, 8


def is_good_point(encoded: bytes) -> bool:
    """Canonical, and not of small order. (The point with x = 0 and a sign is of small order, too.)"""
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1
    return y < ED25519_P and y not in SMALL_ORDER_Y


def verify_strictly(public_key: bytes, signature: bytes, message: bytes) -> bool:
    if not is_good_point(public_key) or not is_good_point(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= ED25519_L:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def signed_message(h: bytes, context: bytes, part: bytes, payload: bytes) -> bytes:
    return LABEL("signature") + h + sha256(context) + sha256(part) + sha256(payload)


# ---- §9 Context and part ----------------------------------------------------------------------

ContextField = int | str | bytes


def encode_context(context: Sequence[ContextField]) -> bytes:
    need(len(context) >= 1 and is_text(context[0], 1, 128), MISUSE, "a namespace is 1 to 128 bytes of text")
    need(len(context) <= 17, MISUSE, "a context has at most 16 fields")
    for value in context[1:]:
        short = isinstance(value, bytes) and len(value) <= 1024
        need(is_uint(value) or is_text(value, 0, 1024) or short, MISUSE, "a context field")
    return cbor(list(context))


def encode_part(part: str) -> bytes:
    need(is_text(part, 0, 255), MISUSE, "a part is at most 255 bytes of text")
    return part.encode()


def body_context(h: bytes, context: bytes, part: bytes) -> bytes:
    return sha256(LABEL("body context") + h + sha256(context) + sha256(part))


# ---- §10 Recipients and identities: KEMs ------------------------------------------------------

XWING, X25519 = 0x647A, 0x0020
HPKE_KDF, HPKE_AEAD = 0x0001, 0x0003
MLKEM_PUBLIC = 1184
MLKEM_Q = 3329


@dataclass(frozen=True)
class Kem:
    name: str
    public_size: int
    enc_size: int
    suite: hpke.Suite
    load_public: Callable[[bytes], Any]
    load_private: Callable[[bytes], Any]
    public_of: Callable[[bytes], bytes]
    check_public: Callable[[bytes], None]


def _suite(kem: hpke.KEM) -> hpke.Suite:
    return hpke.Suite(kem, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def _xwing_halves(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    return mlkem, X25519PrivateKey.from_private_bytes(expanded[64:])


def _xwing_public(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    mlkem = MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC])
    return hpke.MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC:]))


def _xwing_public_of(seed: bytes) -> bytes:
    return b"".join(half.public_key().public_bytes_raw() for half in _xwing_halves(seed))


def _x25519_public_of(raw: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()


def _check_mlkem(raw: bytes) -> None:
    """FIPS 203 §7.2: the first 1152 bytes are 768 coefficients of 12 bits, each below q."""
    for i in range(0, 1152, 3):
        pair = int.from_bytes(raw[i : i + 3], "little")
        need(pair & 0xFFF < MLKEM_Q and pair >> 12 < MLKEM_Q, INVALID_KEY, "an ML-KEM coefficient out of range")


def _check_x25519(raw: bytes) -> None:
    need(int.from_bytes(raw, "little") < ED25519_P, INVALID_KEY, "an X25519 key that is not canonical")
    try:  # with a key of small order every shared secret is zero, which the exchange refuses
        X25519PrivateKey.from_private_bytes(bytes(32)).exchange(X25519PublicKey.from_public_bytes(raw))
    except ValueError:
        raise SealwireError(INVALID_KEY, "an X25519 key of small order") from None


def _check_xwing(raw: bytes) -> None:
    _check_mlkem(raw[:MLKEM_PUBLIC])
    _check_x25519(raw[MLKEM_PUBLIC:])


KEMS = {
    XWING: Kem(
        "X-Wing", 1216, 1120, _suite(hpke.KEM.MLKEM768_X25519), _xwing_public,
        lambda seed: hpke.MLKEM768X25519PrivateKey(*_xwing_halves(seed)), _xwing_public_of, _check_xwing,
    ),
    X25519: Kem(
        "X25519", 32, 32, _suite(hpke.KEM.X25519), X25519PublicKey.from_public_bytes,
        X25519PrivateKey.from_private_bytes, _x25519_public_of, _check_x25519,
    ),
}  # fmt: skip

# ---- §10 Recipients and identities: keys ------------------------------------------------------


@dataclass(frozen=True)
class Recipient:
    kem_id: int
    kem_public: bytes
    signing_public: bytes
    signature: bytes

    @property
    def fingerprint(self) -> bytes:
        kem = self.kem_id.to_bytes(2, "big") + self.kem_public
        return sha256(LABEL("fingerprint") + kem + self.signing_public)

    @property
    def for_people(self) -> str:
        return self.fingerprint[:16].hex(" ", 2)

    @property
    def pin(self) -> str:
        return bech32m_encode("sealwire-pin", self.fingerprint)

    def to_text(self) -> str:
        raw = self.kem_id.to_bytes(2, "big") + self.kem_public + self.signing_public + self.signature
        return bech32m_encode("sealwire", raw)


@dataclass(frozen=True)
class Identity:
    kem_id: int
    kem_private: bytes = field(repr=False)
    signing_private: bytes = field(repr=False)

    @property
    def recipient(self) -> Recipient:
        kem_public = KEMS[self.kem_id].public_of(self.kem_private)
        signing_key = Ed25519PrivateKey.from_private_bytes(self.signing_private)
        signature = signing_key.sign(recipient_message(self.kem_id, kem_public))
        return Recipient(self.kem_id, kem_public, self.signing_public, signature)

    @property
    def signing_public(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.signing_private).public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.signing_private).sign(message)

    def to_text(self) -> str:
        raw = self.kem_id.to_bytes(2, "big") + self.kem_private + self.signing_private
        return bech32m_encode("sealwire-identity", raw)


Locker = Recipient | Anonymous | Passphrase | SymmetricKey | ExternalService
Key = Identity | Passphrase | SymmetricKey | ExternalService


def generate(kem_id: int = XWING) -> Identity:
    return Identity(kem_id, random_bytes(32), random_bytes(32))


def recipient_message(kem_id: int, kem_public: bytes) -> bytes:
    return LABEL("recipient") + kem_id.to_bytes(2, "big") + kem_public


def parse_recipient(text: str) -> Recipient:
    kem_id, raw = _split_kem(bech32m_decode("sealwire", text))
    size = KEMS[kem_id].public_size
    need(len(raw) == size + 32 + 64, INVALID_KEY, "the length of a recipient")
    recipient = Recipient(kem_id, raw[:size], raw[size : size + 32], raw[size + 32 :])
    KEMS[kem_id].check_public(recipient.kem_public)
    message = recipient_message(kem_id, recipient.kem_public)
    genuine = verify_strictly(recipient.signing_public, recipient.signature, message)
    need(genuine, INVALID_KEY, "the signature of a recipient")
    return recipient


def parse_identity(text: str) -> Identity:
    kem_id, raw = _split_kem(bech32m_decode("sealwire-identity", text))
    need(len(raw) == 64, INVALID_KEY, "the length of an identity")
    return Identity(kem_id, raw[:32], raw[32:])


def parse_pin(text: str) -> bytes:
    raw = bech32m_decode("sealwire-pin", text)
    need(len(raw) == 32, INVALID_KEY, "the length of a pin")
    return raw


def _split_kem(raw: bytes) -> tuple[int, bytes]:
    need(len(raw) >= 2, INVALID_KEY, "no KEM id")
    kem_id = int.from_bytes(raw[:2], "big")
    need(kem_id in KEMS, UNSUPPORTED, "an unknown KEM")
    return kem_id, raw[2:]


# ---- §10 Recipients and identities: Bech32m ---------------------------------------------------

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32M = 0x2BC830A3


def _polymod(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> i & 1:
                check ^= generator
    return check


def _expand_hrp(hrp: str) -> list[int]:
    return [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]


def _to_fives(data: bytes) -> list[int]:
    count = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (count * 5 - len(data) * 8)
    return [number >> 5 * (count - 1 - i) & 31 for i in range(count)]


def _from_fives(fives: list[int]) -> bytes:
    spare = len(fives) * 5 % 8
    number = 0
    for five in fives:
        number = number << 5 | five
    need(spare < 5 and number & (1 << spare) - 1 == 0, INVALID_KEY, "padding bits")
    return (number >> spare).to_bytes(len(fives) * 5 // 8, "big")


def bech32m_of_fives(hrp: str, fives: list[int]) -> str:
    check = _polymod(_expand_hrp(hrp) + fives + [0] * 6) ^ BECH32M
    fives = fives + [check >> 5 * (5 - i) & 31 for i in range(6)]
    return hrp + "1" + "".join(BECH32[five] for five in fives)


def bech32m_encode(hrp: str, data: bytes) -> str:
    return bech32m_of_fives(hrp, _to_fives(data))


def bech32m_decode(hrp: str, text: str) -> bytes:
    need(len(text) <= MAX_KEY_TEXT, TOO_LARGE, "more than 4096 characters")
    need(text.startswith(hrp + "1"), INVALID_KEY, "another human-readable part")
    letters = text[len(hrp) + 1 :]
    need(all(letter in BECH32 for letter in letters), INVALID_KEY, "a character outside the alphabet")
    fives = [BECH32.index(letter) for letter in letters]
    genuine = len(fives) >= 6 and _polymod(_expand_hrp(hrp) + fives) == BECH32M
    need(genuine, INVALID_KEY, "the checksum")
    return _from_fives(fives[:-6])


# ---- Sealing: §2 to §9 put together -----------------------------------------------------------


def seal(
    payload: bytes,
    to: Sequence[Locker],
    context: Sequence[ContextField],
    part: str = "",
    *,
    aead: int = AES_256_GCM,
    padded: bool = True,
    sign: Identity | None = None,
    metadata: dict[str, int | str | bytes] | None = None,
    created: int | None = None,
    content_type: str | None = None,
    filename: str | None = None,
    audience: bool = False,
    allow_mixed_kems: bool = False,
) -> bytes:
    ctx, part_bytes = encode_context(context), encode_part(part)
    content_key = random_bytes(32)
    fixed: dict[int, Any] = {0: random_bytes(32), 1: aead}
    if padded:
        fixed[2] = PADME
    if metadata:
        fixed[4] = metadata
    signer = sign.signing_public if sign else None
    private = Private(signer, created, content_type, filename, audience_of(to) if audience else None)
    block = seal_private(fixed, content_key, private)
    if block is not None:
        fixed[3] = block
    FIXED = cbor(cbor(fixed))
    header = seal_header(FIXED, fixed[0], content_key, to, allow_mixed_kems)
    h = header.h_fixed
    plaintext = pad(payload, 64 if sign else 0) if padded else payload
    if sign:
        plaintext += sign.sign(signed_message(h, ctx, part_bytes, payload))
    input_key = body_input_key(fixed[0], content_key)
    return header.to_bytes() + seal_body(aead, input_key, body_context(h, ctx, part_bytes), plaintext)


def seal_header(
    FIXED: bytes, envelope_id: bytes, content_key: bytes, to: Sequence[Locker], allow_mixed_kems: bool
) -> Header:
    kems = {r.kem_id for r in recipients_among(to)}
    need(len(kems) < 2 or allow_mixed_kems, MISUSE, "X-Wing and X25519 in one envelope")
    h = h_fixed(FIXED)
    SLOTS = cbor(cbor([lock(one, envelope_id, h, content_key) for one in to]))
    tag = slots_tag(envelope_id, content_key, h, SLOTS)
    header, _ = parse_header(MAGIC + FIXED + SLOTS + tag)  # §14: what a reader refuses is not written
    return header


def recipients_among(to: Sequence[Locker]) -> list[Recipient]:
    named = [one.recipient if isinstance(one, Anonymous) else one for one in to]
    return [one for one in named if isinstance(one, Recipient)]


def audience_of(to: Sequence[Locker]) -> list[bytes] | None:
    return sorted({r.fingerprint for r in recipients_among(to)}) or None


# ---- §11 Reading, in order --------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    payload: bytes
    private: Private
    metadata: dict[str, int | str | bytes]
    addressed_to_me: str  # "yes", "no" or "unstated"


def open_envelope(
    envelope: bytes,
    keys: Sequence[Key],
    context: Sequence[ContextField],
    part: str = "",
    signers: Sequence[bytes] | None = None,
) -> Opened:
    ctx, part_bytes = encode_context(context), encode_part(part)
    header, body = parse_header(envelope)  # step 1
    content_key, key = unlock(header, keys)  # step 2
    private = open_private(header, content_key)  # step 3
    if signers is not None:
        need(private.signer in signers, REJECTED, "another signer, or none")
    payload = open_payload(header, content_key, private.signer, ctx, part_bytes, body)
    return Opened(payload, private, header.fixed.metadata, addressed_to(key, private.audience))


def open_payload(
    header: Header, content_key: bytes, signer: bytes | None, ctx: bytes, part: bytes, body: bytes
) -> bytes:
    """Steps 4 and 5."""
    fixed, h = header.fixed, header.h_fixed
    input_key = body_input_key(fixed.envelope_id, content_key)
    plaintext = open_body(fixed.aead, input_key, body_context(h, ctx, part), body)
    signature_size = 0 if signer is None else 64
    need(len(plaintext) >= signature_size, REJECTED, "no place for the signature")
    end = len(plaintext) - signature_size
    payload = unpad(plaintext[:end], signature_size) if fixed.padded else plaintext[:end]
    if signer is not None:
        genuine = verify_strictly(signer, plaintext[end:], signed_message(h, ctx, part, payload))
        need(genuine, REJECTED, "the signature")
    return payload


def addressed_to(key: Key, audience: list[bytes] | None) -> str:
    if audience is None or not isinstance(key, Identity):
        return "unstated"
    return "yes" if key.recipient.fingerprint in audience else "no"


@dataclass(frozen=True)
class UnlockRequest:
    """What a key that lives elsewhere needs; what comes back goes to `opens`."""

    slot: int
    kem_id: int
    enc: bytes
    binding: bytes
    ct: bytes


def unlock_requests(header: Header, reader: Recipient) -> list[UnlockRequest]:
    hint = slot_hint(header.fixed.envelope_id, reader)
    return [
        UnlockRequest(s.number, s.fields[1], s.fields[5], binding(header.h_fixed, s.pairs), s.fields[6])
        for s in header.slots
        if s.kind == HPKE and s.fields and s.fields[1] == reader.kem_id and s.fields.get(4) in (None, hint)
    ]


# ---- §12 Rewrap and reseal --------------------------------------------------------------------


def rewrap(
    envelope: bytes, keys: Sequence[Key], context: Sequence[ContextField], to: Sequence[Locker], part: str = ""
) -> bytes:
    header, body = parse_header(envelope)
    new = rewrap_header(header, body[:BODY_HEAD], keys, context, to, part)
    return new.to_bytes() + body


def rewrap_header(
    header: Header,
    body_head: bytes,
    keys: Sequence[Key],
    context: Sequence[ContextField],
    to: Sequence[Locker],
    part: str = "",
    allow_mixed_kems: bool = False,
) -> Header:
    ctx, part_bytes = encode_context(context), encode_part(part)
    fixed = header.fixed
    content_key, _ = unlock(header, keys)
    open_private(header, content_key)
    input_key = body_input_key(fixed.envelope_id, content_key)
    check_commitment(fixed.aead, input_key, body_context(header.h_fixed, ctx, part_bytes), body_head)
    return seal_header(header.FIXED, fixed.envelope_id, content_key, to, allow_mixed_kems)


def reseal(
    envelope: bytes,
    keys: Sequence[Key],
    context: Sequence[ContextField],
    to: Sequence[Locker],
    part: str = "",
    sign: Identity | None = None,
) -> bytes:
    opened = open_envelope(envelope, keys, context, part)
    need(sign is not None or opened.private.signer is None, MISUSE, "a signed envelope is resealed signed")
    fixed, private = parse_header(envelope)[0].fixed, opened.private
    return seal(
        opened.payload, to, context, part, aead=fixed.aead, padded=fixed.padded, sign=sign, metadata=fixed.metadata,
        created=private.created, content_type=private.content_type, filename=private.filename,
        audience=private.audience is not None,
    )  # fmt: skip


# ---- §13 Text, files, media type --------------------------------------------------------------


def to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_text(text: str) -> bytes:
    need(re.fullmatch(r"[A-Za-z0-9_-]*", text) is not None, MALFORMED, "a character outside base64url")
    need(len(text) % 4 != 1, MALFORMED, "a length that base64url does not have")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(to_text(data) == text, MALFORMED, "trailing bits that are not zero")
    return data


def read_identity_file(content: bytes) -> list[Identity]:
    need(len(content) <= MAX_IDENTITY_FILE, TOO_LARGE, "an identity file above 64 KiB")
    lines = [line for line in _decode_utf8(content).split("\n") if line and not line.startswith("#")]
    need(len(lines) > 0, MALFORMED, "no identity in the file")
    need(len(lines) <= MAX_IDENTITIES, TOO_LARGE, "more than 64 identities")
    return [parse_identity(line) for line in lines]


def seal_stored_secret(name: str, secret: bytes, by: Passphrase | SymmetricKey) -> bytes:
    return seal(secret, [by], store_context(name), padded=False)


def open_stored_secret(name: str, envelope: bytes, by: Passphrase | SymmetricKey) -> bytes:
    return open_envelope(envelope, [by], store_context(name)).payload


def store_context(name: str) -> list[ContextField]:
    legal = re.fullmatch(r"[a-z0-9_-][a-z0-9._-]{0,63}", name) is not None
    need(legal, MISUSE, "the name of a stored secret")
    return ["sealwire/store", name]
