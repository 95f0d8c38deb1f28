"""Writes tests/vectors/envelope/*.json, or with --check runs sealwire_spec over what is there.

Every case starts from a valid envelope (`Draft`) and replaces one step of its making. All later
steps are computed over what stands there then, so that nothing else is wrong: a reader that leaves
out the one check accepts the envelope. What an accepting reader must return comes from the draft,
not from the reader under test. Random bytes come from the name of the case, those inside HPKE do not.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import interop
import sealwire_spec as sw
from sealwire_spec import Pairs, cbor, cbor_head

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "envelope"
CASES: dict[str, dict] = {}
ABSENT = object()
NOTHING: dict = {}
LARGE_PAYLOAD = 4096


def seeded(name: str, size: int = 32) -> bytes:
    return hashlib.shake_256(b"sealwire vectors/" + name.encode()).digest(size)


def same(value: Any) -> Any:
    return value


def flipped(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def edited(fields: dict, changes: dict) -> dict:
    return {key: value for key, value in (fields | changes).items() if value is not ABSENT}


# ---- the people -------------------------------------------------------------------------------


def person(name: str, kem_id: int) -> sw.Identity:
    return sw.Identity(kem_id, seeded(name + "/kem"), seeded(name + "/signing"))


ALICE = person("alice", sw.XWING)
BOB = person("bob", sw.X25519)
CAROL = person("carol", sw.X25519)
STRANGER = person("stranger", sw.X25519)
OUR_KEY = sw.SymmetricKey(seeded("our key"))
OTHER_KEY = sw.SymmetricKey(seeded("other key"))
PASSPHRASE = "correct horse battery staple"

BY_KEY = {"key": OUR_KEY.key.hex()}
BY_OTHER_KEY = {"key": OTHER_KEY.key.hex()}
BY_PASSPHRASE = {"passphrase": PASSPHRASE}


def by(*identities: sw.Identity) -> dict:
    if len(identities) == 1:
        return {"identity": identities[0].to_text()}
    return {"identities": [identity.to_text() for identity in identities]}


# ---- slots of a draft -------------------------------------------------------------------------


@dataclass(frozen=True)
class Base:
    """What a slot is locked with."""

    name: str
    envelope_id: bytes
    content_key: bytes
    h: bytes


SlotMaker = Callable[[Base], Any]


def symmetric(key: sw.SymmetricKey = OUR_KEY, changes: dict = NOTHING, after: dict = NOTHING) -> SlotMaker:
    """`changes` are in the binding, `after` (and the keys 5 and 6) are not."""

    def make(base: Base) -> dict:
        fields = {0: sw.SYMMETRIC, 1: seeded(base.name + "/salt"), 2: sw.symmetric_key_id(key)} | changes
        salt = fields[1] if isinstance(fields[1], bytes) else b""
        bound = sw.binding(base.h, edited(fields, {}))
        ct = sw.seal0(sw.hkdf(salt, key.key, bound), base.content_key)
        return edited(fields | {6: ct}, after)

    return make


def passphrase(
    text: str = PASSPHRASE, changes: dict = NOTHING, after: dict = NOTHING, payable: bool = True
) -> SlotMaker:
    """Without `payable` the ct is filled in without Argon2id, which would refuse the cost or take hours."""

    def make(base: Base) -> dict:
        fields = edited({0: sw.PASSPHRASE, 1: seeded(base.name + "/salt" + text, 16), 2: 64, 3: 1, 4: 1}, changes)
        ct = bytes(48)
        if payable:
            key = sw.passphrase_slot_key(text, fields, sw.binding(base.h, fields))
            ct = sw.seal0(key, base.content_key)
        return edited(fields | {6: ct}, after)

    return make


def hpke(to: sw.Identity, changes: dict = NOTHING, after: dict = NOTHING) -> SlotMaker:
    def make(base: Base) -> dict:
        hint = sw.slot_hint(base.envelope_id, to.recipient)
        fields = edited({0: sw.HPKE, 1: to.kem_id, 2: 1, 3: 3, 4: hint}, changes)
        kem = sw.KEMS[to.kem_id]
        info = sw.binding(base.h, fields)
        sealed = kem.suite.encrypt(base.content_key, kem.load_public(to.recipient.kem_public), info=info)
        return edited(fields | {5: sealed[: kem.enc_size], 6: sealed[kem.enc_size :]}, after)

    return make


def anonymous(to: sw.Identity) -> SlotMaker:
    return hpke(to, {4: ABSENT})


def external(changes: dict = NOTHING) -> SlotMaker:
    return lambda base: edited({0: sw.EXTERNAL, 1: "a key service", 6: seeded(base.name + "/ct", 80)}, changes)


def literally(item: Any) -> SlotMaker:
    return lambda base: item


# ---- the signer of a draft --------------------------------------------------------------------


@dataclass(frozen=True)
class Signer:
    public: bytes
    sign: Callable[[bytes], bytes]


def genuine(identity: sw.Identity) -> Signer:
    return Signer(identity.signing_public, identity.sign)


def ed25519_scalar(seed: bytes) -> int:
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    return int.from_bytes(digest, "little")


def ed25519_challenge(r: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % sw.ED25519_L


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


ONE = little(1)  # the neutral element
NON_CANONICAL_ONE = little(sw.ED25519_P + 1)
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def signer_of_small_order(public: bytes) -> Signer:
    """R = [S]B: a verifier that takes `public` accepts it, since 8 divides the challenge."""

    def sign(message: bytes) -> bytes:
        for attempt in range(10000):
            seed = seeded(f"small order/{attempt}")
            r = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            if ed25519_challenge(r, public, message) % 8 == 0:
                return r + little(ed25519_scalar(seed) % sw.ED25519_L)
        raise AssertionError("no challenge that 8 divides")

    return Signer(public, sign)


def signer_with_r(identity: sw.Identity, r: bytes) -> Signer:
    """R is the neutral element, so S = challenge × secret key."""

    def sign(message: bytes) -> bytes:
        challenge = ed25519_challenge(r, identity.signing_public, message)
        return r + little(challenge * ed25519_scalar(identity.signing_private) % sw.ED25519_L)

    return Signer(identity.signing_public, sign)


def with_s_plus_l(signature: bytes) -> bytes:
    return signature[:32] + little(int.from_bytes(signature[32:], "little") + sw.ED25519_L)


# ---- a draft and its making -------------------------------------------------------------------

CONTEXT: list = ["notes", "17", 5, b"\x00\xff"]


@dataclass(frozen=True)
class Draft:
    payload: bytes = b"a secret"
    context: list = field(default_factory=lambda: CONTEXT)
    part: str = ""
    aead: int = sw.CHACHA20_POLY1305
    padded: bool = True
    signer: Signer | None = None
    private: dict = field(default_factory=dict)
    slots: list[SlotMaker] = field(default_factory=lambda: [symmetric()])
    fixed: dict = field(default_factory=dict)  # fields to add or replace
    # the steps that a case may replace
    magic: bytes = sw.MAGIC
    private_plaintext: Callable[[bytes], bytes] = sw.pad_private
    private_associated: Callable[[bytes], bytes] = same
    private_ciphertext: Callable[[bytes], bytes] = same
    fixed_content: Callable[[dict], bytes] = cbor
    fixed_string: Callable[[bytes], bytes] = cbor
    slots_content: Callable[[list], bytes] = cbor
    slots_string: Callable[[bytes], bytes] = cbor
    tag_content_key: Callable[[bytes], bytes] = same
    tag: Callable[[bytes], bytes] = same
    plaintext: Callable[[bytes], bytes] = same
    body: Callable[[bytes], bytes] = same
    whole: Callable[[bytes], bytes] = same


def make(name: str, d: Draft) -> bytes:
    envelope_id, content_key = seeded(name + "/id"), seeded(name + "/content key")
    FIXED = d.fixed_string(d.fixed_content(make_fixed(d, envelope_id, content_key)))
    h = sw.sha256(d.magic + FIXED)
    base = Base(name, envelope_id, content_key, h)
    SLOTS = d.slots_string(d.slots_content([slot(base) for slot in d.slots]))
    tag = d.tag(sw.slots_tag(envelope_id, d.tag_content_key(content_key), h, SLOTS))
    return d.whole(d.magic + FIXED + SLOTS + tag + d.body(make_body(d, base)))


def make_fixed(d: Draft, envelope_id: bytes, content_key: bytes) -> dict:
    fixed = {0: envelope_id, 1: d.aead} | ({2: sw.PADME} if d.padded else {})
    private = d.private | ({0: [{0: -19, 1: d.signer.public}]} if d.signer else {})
    if private:
        associated = d.private_associated(sw.MAGIC + sw.fixed_without_private(edited(fixed, d.fixed)))
        key = sw.private_block_key(envelope_id, content_key)
        fixed[3] = d.private_ciphertext(sw.seal0(key, d.private_plaintext(cbor(private)), associated))
    return edited(fixed, d.fixed)


def make_body(d: Draft, base: Base) -> bytes:
    ctx, part = cbor(d.context), d.part.encode()
    plaintext = sw.pad(d.payload, 64 if d.signer else 0) if d.padded else d.payload
    if d.signer:
        plaintext += d.signer.sign(sw.signed_message(base.h, ctx, part, d.payload))
    key = sw.body_input_key(base.envelope_id, base.content_key)
    bound = sw.body_context(base.h, ctx, part)
    return sw.seal_chunks(d.aead, key, bound, d.plaintext(plaintext), seeded(base.name + "/body salt", 24))


# ---- cases ------------------------------------------------------------------------------------


def add(name: str, case: dict) -> None:
    assert name not in CASES, name
    CASES[name] = case


def open_case(name: str, expect: str, spec: str, about: str, d: Draft, ask: dict) -> dict:
    return {
        "about": about,
        "spec": spec,
        "operation": "open",
        "expect": expect,
        "envelope": sw.to_text(make(name, d)),
        "unlock": ask.get("unlock", BY_KEY),
        "context": [interop.value_to_json(value) for value in ask.get("context", d.context)],
        "part": ask.get("part", d.part),
        "signers": ask.get("signers"),
    }


def accepts(name: str, spec: str, about: str, d: Draft = Draft(), to_me: str = "unstated", **ask: Any) -> None:
    result = {
        **payload_fields(d.payload),
        "signer": d.signer.public.hex() if d.signer else None,
        "metadata": interop.metadata_to_json(d.fixed.get(4, {})),
        "created": d.private.get(1),
        "content_type": d.private.get(2),
        "filename": d.private.get(3),
        "addressed_to_me": to_me,
    }
    add(name, open_case(name, "ok", spec, about, d, ask) | result)


def payload_fields(payload: bytes) -> dict:
    if len(payload) > LARGE_PAYLOAD:
        return {"plaintext_len": len(payload), "plaintext_sha256": sw.sha256(payload).hex()}
    return {"plaintext": payload.hex()}


def refuses(name: str, code: str, spec: str, about: str, d: Draft = Draft(), **ask: Any) -> None:
    add(name, open_case(name, code, spec, about, d, ask))


def key_case(operation: str, name: str, expect: str, spec: str, about: str, text: str, **result: Any) -> None:
    add(name, {"about": about, "spec": spec, "operation": operation, "expect": expect, "text": text} | result)


# ---- §0 CBOR ----------------------------------------------------------------------------------


def raw_map(pairs: list[tuple[Any, Any]]) -> bytes:
    return cbor_head(5, len(pairs)) + b"".join(cbor(key) + cbor(value) for key, value in pairs)


def with_ignorable(value: bytes) -> Callable[[dict], bytes]:
    """The fixed part with the key -1 and, as its value, CBOR bytes as they are given."""

    def encode(fields: dict) -> bytes:
        known = cbor(fields)
        return bytes([known[0] + 1]) + known[1:] + cbor(-1) + value

    return encode


def nested(depth: int) -> bytes:
    return b"\x81" * (depth - 1) + b"\x80"


def cbor_cases() -> None:
    odd_values = {
        "float": ("f93c00", "a float"),
        "tag": ("c100", "a tag"),
        "undefined": ("f7", "the simple value undefined"),
        "simple-value": ("f820", "a simple value other than true, false, null"),
        "false-in-two-bytes": ("f814", "the simple value 20 in two bytes"),
        "bad-utf8": ("61ff", "text that is not UTF-8"),
        "surrogate-in-utf8": ("63eda080", "text with an encoded surrogate"),
        "integer-not-shortest": ("1817", "an integer in two bytes that fits in one"),
        "integer-8-bytes-not-shortest": ("1b00000000ffffffff", "an integer in nine bytes that fits in five"),
        "text-head-not-shortest": ("780161", "a text string whose length is not in its shortest form"),
        "bignum": ("c249010000000000000000", "an integer above 64 bits"),
        "indefinite-bytes": ("5f4100ff", "a byte string of indefinite length"),
        "indefinite-text": ("7f6161ff", "a text string of indefinite length"),
        "indefinite-array": ("9f00ff", "an array of indefinite length"),
        "indefinite-map": ("bf0000ff", "a map of indefinite length"),
        "reserved-head": ("1c", "a head with the reserved value 28"),
        "map-unsorted": ("a201000000", "a map whose keys are not in order"),
        "map-sorted-by-length": ("a22000186400", "a map in the order of RFC 7049: shorter keys first"),
        "map-duplicate-key": ("a200000001", "a map with a key twice"),
        "map-claims-too-much": ("bb7fffffffffffffff", "a map that claims 2^63 - 1 entries and holds none"),
        "bytes-claim-too-much": ("5b7fffffffffffffff", "a byte string that claims 2^63 - 1 bytes and holds none"),
    }
    for name, (value, what) in odd_values.items():
        about = f"The value of an ignorable key in the fixed part is {what}."
        refuses(f"cbor-{name}", sw.MALFORMED, "§0", about, Draft(fixed_content=with_ignorable(bytes.fromhex(value))))
    for depth, code in ((8, "ok"), (9, sw.MALFORMED), (200, sw.MALFORMED)):
        d = Draft(fixed_content=with_ignorable(nested(depth - 1)))
        about = f"The fixed part is {depth} maps and arrays deep, itself counted."
        if code == "ok":
            accepts(f"cbor-nesting-{depth}", "§0", about, d)
        else:
            refuses(f"cbor-nesting-{depth}", code, "§0", about, d)
    odd_map = Pairs([("a", [1]), (True, 0), (1, 2), (b"", {})])
    everything = [None, True, False, -1, (1 << 64) - 1, -(1 << 64), b"\x00", "ä", odd_map]
    accepts(
        "cbor-ignorable-of-every-type", "§0", "An ignorable key may hold any CBOR item.", Draft(fixed={-1: everything})
    )
    accepts(
        "cbor-three-ignorable-keys", "§0", "Ignorable keys in the fixed part: -1, -24 and the smallest of all.",
        Draft(fixed={-1: 0, -24: "x", -(1 << 64): None}),
    )  # fmt: skip


# ---- §1 Envelope ------------------------------------------------------------------------------


def envelope_cases() -> None:
    refuses("magic-other", sw.MALFORMED, "§1", "The first byte is not that of the magic.", Draft(magic=b"Sealwire\x01"))
    refuses("version-2", sw.UNSUPPORTED, "§1", "The version byte is 2.", Draft(magic=b"sealwire\x02"))
    refuses("version-0", sw.UNSUPPORTED, "§1", "The version byte is 0.", Draft(magic=b"sealwire\x00"))
    refuses("empty-input", sw.TRUNCATED, "§1", "No byte at all.", Draft(whole=lambda e: b""))
    refuses("truncated-in-magic", sw.TRUNCATED, "§1", "The input ends inside the magic.", Draft(whole=lambda e: e[:5]))
    refuses("truncated-after-magic", sw.TRUNCATED, "§1", "Only the magic.", Draft(whole=lambda e: e[:9]))
    about = "The input ends inside the CBOR head of FIXED."
    refuses("truncated-in-fixed-head", sw.TRUNCATED, "§1", about, Draft(whole=lambda e: e[:10]))
    refuses("truncated-in-fixed", sw.TRUNCATED, "§1", "The input ends inside FIXED.", Draft(whole=lambda e: e[:30]))
    cut = Draft(whole=lambda e: e[: ends(e)[0]])
    refuses("truncated-after-fixed", sw.TRUNCATED, "§1", "The input ends where SLOTS should begin.", cut)
    cut = Draft(whole=lambda e: e[: ends(e)[1] - 1])
    refuses("truncated-in-slots", sw.TRUNCATED, "§1", "The input ends inside SLOTS.", cut)
    cut = Draft(whole=lambda e: e[: ends(e)[1] + 31])
    refuses("truncated-in-slots-tag", sw.TRUNCATED, "§1", "The input ends inside the slots tag.", cut)
    claim = sw.MAGIC + cbor_head(2, 1 << 40) + bytes(5)
    about = "FIXED claims 1 TiB; the whole input is 23 bytes."
    refuses("fixed-claims-1-tib", sw.TOO_LARGE, "§1", about, Draft(whole=lambda e: claim))
    about = "FIXED claims 2^64 - 1 bytes, where adding to a position overflows."
    most = sw.MAGIC + cbor_head(2, (1 << 64) - 1) + bytes(5)
    refuses("fixed-claims-2-64", sw.TOO_LARGE, "§1", about, Draft(whole=lambda e: most))
    slots_claim = cbor_head(2, 1 << 40) + bytes(5)
    about = "SLOTS claims 1 TiB."
    refuses("slots-claim-1-tib", sw.TOO_LARGE, "§1", about, Draft(whole=lambda e: e[: ends(e)[0]] + slots_claim))
    both = cbor_head(2, 2 << 20) + bytes(5)
    about = "FIXED and SLOTS claim more than 2 MiB together; SLOTS alone claims exactly 2 MiB."
    refuses("header-claims-above-2-mib", sw.TOO_LARGE, "§1", about, Draft(whole=lambda e: e[: ends(e)[0]] + both))
    for part in ("fixed", "slots"):
        heads: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
            "is-text": ("a text string", lambda content: cbor_head(3, len(content)) + content),
            "is-bare": ("not in a byte string", same),
            "head-not-shortest": (
                "a byte string with a longer head",
                lambda c: b"\x5a" + len(c).to_bytes(4, "big") + c,
            ),
            "is-indefinite": ("a byte string of indefinite length", lambda c: b"\x5f" + cbor(c) + b"\xff"),
        }
        for name, (what, string) in heads.items():
            d = Draft(**{part + "_string": string})
            refuses(f"{part}-{name}", sw.MALFORMED, "§1", f"{part.upper()} is {what}.", d)
        d = Draft(**{part + "_content": lambda item: cbor(item) + b"\x00"})
        refuses(f"{part}-bytes-after", sw.MALFORMED, "§0", f"A byte follows the CBOR item in {part.upper()}.", d)
        d = Draft(**{part + "_content": lambda item: b""})
        refuses(f"{part}-empty", sw.MALFORMED, "§0", f"{part.upper()} holds no CBOR item.", d)


def ends(envelope: bytes) -> tuple[int, int]:
    """Where FIXED and SLOTS end."""
    header, _ = sw.parse_header(envelope)
    fixed_end = 9 + len(header.FIXED)
    return fixed_end, fixed_end + len(header.SLOTS)


# ---- §2 Fixed part ----------------------------------------------------------------------------


def fixed_cases() -> None:
    def wrong(name: str, code: str, about: str, fixed: dict, **more: Any) -> None:
        refuses(f"fixed-{name}", code, "§2", about, Draft(fixed=fixed, **more))

    wrong("without-id", sw.MALFORMED, "No envelope id.", {0: ABSENT})
    wrong("id-31-bytes", sw.MALFORMED, "The envelope id is 31 bytes.", {0: seeded("id", 31)})
    wrong("id-33-bytes", sw.MALFORMED, "The envelope id is 33 bytes.", {0: seeded("id", 33)})
    wrong("id-is-text", sw.MALFORMED, "The envelope id is text.", {0: "i" * 32})
    wrong("without-aead", sw.MALFORMED, "No body AEAD.", {1: ABSENT})
    wrong("aead-is-text", sw.MALFORMED, "The body AEAD is text.", {1: "AES-256-GCM"})
    wrong("aead-1", sw.UNSUPPORTED, "The body AEAD is AES-128-GCM (1).", {1: 1})
    wrong("aead-30", sw.UNSUPPORTED, "The body AEAD is a number that nobody assigned (30).", {1: 30})
    wrong("padding-0", sw.UNSUPPORTED, "The padding is 0.", {2: 0}, padded=False)
    wrong("padding-2", sw.UNSUPPORTED, "The padding is 2.", {2: 2})
    wrong("padding-is-true", sw.MALFORMED, "The padding is true, which some languages take for 1.", {2: True})
    wrong("padding-is-null", sw.MALFORMED, "The padding is null instead of absent.", {2: None}, padded=False)
    wrong("unknown-critical-key", sw.UNSUPPORTED, "The unknown key 5.", {5: 0})
    wrong("unknown-critical-key-1000", sw.UNSUPPORTED, "The unknown key 1000.", {1000: 0})
    wrong("text-key", sw.MALFORMED, "A key that is text.", {"x": 0})
    wrong("bool-key", sw.MALFORMED, "A key that is true.", {True: 0}, fixed_content=bool_key_last)
    wrong("private-is-text", sw.MALFORMED, "The private block is text.", {3: "p" * 80})
    wrong("metadata-empty", sw.MALFORMED, "An empty metadata map.", {4: {}})
    wrong("metadata-is-array", sw.MALFORMED, "The metadata are an array.", {4: ["a", 1]})
    wrong("metadata-integer-key", sw.MALFORMED, "A metadata key that is an integer.", {4: {1: "a"}})
    wrong("metadata-empty-key", sw.MALFORMED, "An empty metadata key.", {4: {"": 1}})
    odd = {"negative": -1, "true": True, "null": None, "array": [1], "map": {"a": 1}}
    for name, value in odd.items():
        wrong(f"metadata-value-{name}", sw.MALFORMED, f"A metadata value is of type {name}.", {4: {"a": value}})
    for name, value in {"text": "7", "bytes": b"\x07", "negative": -7}.items():
        wrong(f"metadata-version-{name}", sw.MALFORMED, f"The version is of type {name}.", {4: {"version": value}})
    wrong("metadata-65-entries", sw.TOO_LARGE, "65 metadata.", {4: {f"k{i}": i for i in range(65)}})
    wrong(
        "metadata-key-65-bytes", sw.TOO_LARGE, "A metadata key of 65 bytes in 33 characters.", {4: {"ä" * 32 + "k": 1}}
    )
    wrong("metadata-text-4097", sw.TOO_LARGE, "A metadata text of 4097 bytes.", {4: {"a": "v" * 4097}})
    wrong("metadata-bytes-4097", sw.TOO_LARGE, "A metadata byte string of 4097 bytes.", {4: {"a": bytes(4097)}})
    for name, content, what in (
        ("is-array", lambda f: cbor(list(f.items())), "an array of pairs"),
        ("unsorted", lambda f: raw_map(list(f.items())[::-1]), "a map whose keys are not in order"),
        ("duplicate-key", lambda f: raw_map([*f.items()] + [(2, 1)]), "a map with the key 2 twice"),
        ("key-not-shortest", lambda f: cbor(f).replace(b"\x01\x18\x1d", b"\x18\x01\x18\x1d"), "a map with a key in two bytes"),
        ("id-head-not-shortest", lambda f: cbor(f).replace(b"\x58\x20", b"\x59\x00\x20"), "a map whose id has a longer head"),
        ("aead-not-shortest", lambda f: cbor(f).replace(b"\x18\x1d", b"\x19\x00\x1d"), "a map whose AEAD is in three bytes"),
        ("is-indefinite", lambda f: b"\xbf" + cbor(f)[1:] + b"\xff", "a map of indefinite length"),
    ):  # fmt: skip
        wrong(f"map-{name}", sw.MALFORMED, f"The fixed part is {what}.", {}, fixed_content=content)

    full = {f"key {i:02}" + "k" * 58: bytes([i]) for i in range(62)} | {"text": "v" * 4096, "version": (1 << 64) - 1}
    accepts(
        "fixed-metadata-at-the-limits", "§2", "64 metadata, keys of 64 bytes, a text of 4096.", Draft(fixed={4: full})
    )
    kinds = {"version": 7, "title": "", "raw": b"\x00\xff"}
    accepts("fixed-metadata", "§2", "Metadata of each type.", Draft(fixed={4: kinds}))
    accepts("fixed-unpadded", "§2", "No padding field: the payload is as long as it is.", Draft(padded=False))


def bool_key_last(fields: dict) -> bytes:
    """In a Python dict the key true would have replaced the key 1."""
    return raw_map([(key, sw.CHACHA20_POLY1305 if key == 1 else value) for key, value in fields.items()] + [(True, 0)])


# ---- §4 Slots ---------------------------------------------------------------------------------


def slot_cases() -> None:
    def odd(name: str, about: str, slot: SlotMaker, code: str = sw.MALFORMED) -> None:
        """The odd slot comes first; the one that opens comes after it."""
        refuses(f"slot-{name}", code, "§4", about, Draft(slots=[slot, symmetric()]))

    def skipped(name: str, about: str, slot: SlotMaker) -> None:
        accepts(f"slot-skipped-{name}", "§4", about, Draft(slots=[slot, symmetric()]))

    refuses("slots-none", sw.MALFORMED, "§4", "An array without a slot.", Draft(slots=[]))
    about = "SLOTS holds a map instead of an array."
    refuses("slots-is-map", sw.MALFORMED, "§4", about, Draft(slots_content=lambda slots: cbor({0: slots[0]})))
    about = "The array of slots is of indefinite length."
    indefinite = Draft(slots_content=lambda slots: b"\x9f" + cbor(slots[0]) + b"\xff")
    refuses("slots-is-indefinite-array", sw.MALFORMED, "§4", about, indefinite)
    about = "A slot's keys are not in order."
    unsorted = Draft(slots_content=lambda slots: b"\x81" + raw_map(list(slots[0].items())[::-1]))
    refuses("slot-unsorted", sw.MALFORMED, "§0", about, unsorted)
    about = "A slot has its kind twice."
    twice = Draft(slots_content=lambda slots: b"\x81" + raw_map([(0, 3), *slots[0].items()]))
    refuses("slot-duplicate-key", sw.MALFORMED, "§0", about, twice)

    odd("is-array", "A slot that is an array.", literally([3]))
    odd("is-integer", "A slot that is an integer.", literally(3))
    odd("empty", "A slot without kind.", literally({}))
    odd("without-kind", "A slot with an ignorable key and no kind.", literally({-1: 0}))
    odd("kind-is-text", "A slot whose kind is text.", literally({0: "hpke"}))
    odd("kind-is-negative", "A slot whose kind is negative.", literally({0: -1}))
    odd("text-key", "A slot of a known kind with a key that is text.", symmetric(OTHER_KEY, {"x": 0}))
    odd("unknown-kind-text-key", "A slot of an unknown kind with a key that is text.", literally({0: 99, "x": 0}))

    for kind, maker, fields in (
        ("symmetric", lambda c: symmetric(OTHER_KEY, after=c), {1: "salt", 2: "key id", 6: "ct"}),
        ("passphrase", lambda c: passphrase(after=c), {1: "salt", 2: "m", 3: "t", 4: "p", 6: "ct"}),
        ("hpke", lambda c: hpke(BOB, after=c), {1: "KEM id", 2: "KDF id", 3: "AEAD id", 5: "enc", 6: "ct"}),
        ("external", external, {1: "service", 6: "ct"}),
    ):
        for key, field_name in fields.items():
            name = field_name.lower().replace(" ", "-")
            odd(f"{kind}-without-{name}", f"A {kind} slot without {field_name}.", maker({key: ABSENT}))
            odd(f"{kind}-{name}-wrong-type", f"A {kind} slot whose {field_name} is null.", maker({key: None}))
    lengths: list[tuple[str, str, SlotMaker]] = [
        ("symmetric-salt-31", "A symmetric slot with a salt of 31 bytes.", symmetric(OTHER_KEY, {1: seeded("s", 31)})),
        ("symmetric-key-id-7", "A symmetric slot with a key id of 7 bytes.", symmetric(OTHER_KEY, {2: bytes(7)})),
        ("symmetric-ct-47", "A symmetric slot with a ct of 47 bytes.", symmetric(OTHER_KEY, after={6: bytes(47)})),
        ("passphrase-salt-17", "A passphrase slot with a salt of 17 bytes.", passphrase(changes={1: seeded("s", 17)})),
        ("passphrase-ct-49", "A passphrase slot with a ct of 49 bytes.", passphrase(after={6: bytes(49)})),
        ("hpke-hint-3", "An HPKE slot with a hint of 3 bytes.", hpke(BOB, {4: bytes(3)})),
        ("hpke-hint-null", "An HPKE slot whose hint is null instead of absent.", hpke(BOB, {4: None})),
        ("hpke-x25519-enc-33", "An X25519 slot with an enc of 33 bytes.", hpke(BOB, after={5: bytes(33)})),
        ("hpke-xwing-enc-1119", "An X-Wing slot with an enc of 1119 bytes.", hpke(ALICE, after={5: bytes(1119)})),
        ("hpke-xwing-enc-32", "An X-Wing slot with the enc of an X25519 slot.", hpke(ALICE, after={5: bytes(32)})),
        ("hpke-ct-32", "An HPKE slot with a ct of 32 bytes.", hpke(BOB, after={6: bytes(32)})),
        ("external-service-empty", "An external slot with an empty service.", external({1: ""})),
        ("external-service-256", "An external slot with a service of 256 bytes.", external({1: "s" * 256})),
        ("external-ct-empty", "An external slot with an empty ct.", external({6: b""})),
    ]
    for name, about, slot in lengths:
        odd(name, about, slot)
    own_salt = Draft(slots=[symmetric(changes={1: seeded("s", 31)})])
    refuses("slot-that-opens-salt-31", sw.MALFORMED, "§4", "The slot that opens has a salt of 31 bytes.", own_salt)

    skipped("unknown-kind", "A slot of the unknown kind 5.", literally({0: 5, 1: "whatever", 7: [1, 2]}))
    skipped("unknown-kind-0", "A slot of the unknown kind 0.", literally({0: 0}))
    about = "An HPKE slot with AES-256-GCM, an unknown suite, whose other fields are of other types."
    skipped("unknown-hpke-aead", about, literally({0: 1, 1: sw.X25519, 2: 1, 3: 2, 4: "hint", 5: 0}))
    about = "An HPKE slot with ML-KEM-768 alone, an unknown suite."
    skipped("unknown-kem", about, literally({0: 1, 1: 0x0041, 2: 1, 3: 3, 5: bytes(1088), 6: bytes(48)}))
    about = "An HPKE slot with HKDF-SHA512, an unknown suite."
    skipped("unknown-kdf", about, literally({0: 1, 1: sw.X25519, 2: 3, 3: 3, 4: bytes(4), 5: bytes(32), 6: bytes(48)}))
    skipped("symmetric-key-7", "A symmetric slot with the unknown key 7.", symmetric(OTHER_KEY, {7: 0}))
    skipped("symmetric-key-3", "A symmetric slot with the key 3, which other kinds have.", symmetric(OTHER_KEY, {3: 1}))
    skipped("passphrase-key-5", "A passphrase slot with the key 5, which HPKE slots have.", passphrase(after={5: b""}))
    skipped("hpke-key-7", "An HPKE slot with the unknown key 7.", hpke(BOB, {7: 0}))
    skipped("external", "An external slot, whose service the reader does not have.", external())
    about = "The only slot would open, were it not for the unknown key 7."
    refuses("slot-only-one-has-unknown-key", sw.NOT_RECIPIENT, "§4", about, Draft(slots=[symmetric(changes={7: 0})]))
    about = "The slot that opens has the ignorable key -1, which its binding covers."
    accepts("slot-ignorable-key", "§4", about, Draft(slots=[symmetric(changes={-1: ["any", {True: None}]})]))
    about = "An ignorable key of the slot was changed after locking; the tag is right."
    changed = Draft(slots=[symmetric(changes={-1: 0}, after={-1: 1})])
    refuses("slot-ignorable-key-changed", sw.NOT_RECIPIENT, "§4", about, changed)


def limit_cases() -> None:
    def over(name: str, about: str, slots: list[SlotMaker]) -> None:
        refuses(f"limit-{name}", sw.TOO_LARGE, "§14", about, Draft(slots=slots))

    def at(name: str, about: str, slots: list[SlotMaker], **ask: Any) -> None:
        accepts(f"limit-{name}", "§14", about, Draft(slots=slots), **ask)

    tiny, own = literally({0: 99}), symmetric()
    stranger, pass_slot = anonymous(STRANGER), passphrase("other")
    at("1024-slots", "1024 slots.", [tiny] * 1023 + [own])
    over("1025-slots", "1025 slots.", [own] + [tiny] * 1024)
    at("64-anonymous-slots", "64 anonymous slots.", [stranger] * 64 + [own])
    over("65-anonymous-slots", "65 anonymous slots.", [own] + [stranger] * 65)
    at(
        "2-passphrase-slots",
        "Two passphrase slots, of which the second opens.",
        [pass_slot, passphrase()],
        unlock=BY_PASSPHRASE,
    )
    over("3-passphrase-slots", "Three passphrase slots.", [own] + [pass_slot] * 3)
    ceiling = {2: 262144, 3: 10, 4: 8}
    at(
        "argon2-ceiling",
        "A passphrase slot with each cost at its ceiling.",
        [passphrase(changes=ceiling, payable=False), own],
    )
    over("argon2-m", "m = 262145.", [own, passphrase(changes={2: 262145}, payable=False)])
    over("argon2-m-2-32", "m = 2^32, which is 0 in 32 bits.", [own, passphrase(changes={2: 1 << 32}, payable=False)])
    over("argon2-t", "t = 11.", [own, passphrase(changes={3: 11})])
    over("argon2-p", "p = 9.", [own, passphrase(changes={2: 72, 4: 9})])
    for name, cost, what in (
        ("m-below-8p", {2: 15, 4: 2}, "m = 15 with p = 2"),
        ("t-0", {3: 0}, "t = 0"),
        ("p-0", {4: 0}, "p = 0"),
    ):
        d = Draft(slots=[own, passphrase(changes=cost, payable=False)])
        refuses(f"slot-argon2-{name}", sw.MALFORMED, "§4", f"A passphrase slot with {what}.", d)
    at("external-ct-65536", "An external slot with a ct of 65536 bytes.", [external({6: bytes(65536)}), own])
    over("external-ct-65537", "An external slot with a ct of 65537 bytes.", [external({6: bytes(65537)}), own])
    about = "64 anonymous slots and two identities: the last of 128 KEM operations opens."
    at("128-kem-operations", about, [stranger] * 63 + [anonymous(CAROL)], unlock=by(BOB, CAROL))
    about = "64 anonymous slots of strangers and three identities: 192 KEM operations."
    d = Draft(slots=[stranger] * 64)
    refuses(
        "limit-above-128-kem-operations",
        sw.TOO_LARGE,
        "§14",
        about,
        d,
        unlock=by(BOB, CAROL, person("dave", sw.X25519)),
    )
    guesses = [{"passphrase": text} for text in ("first guess", "second guess")]
    two_slots = [pass_slot, passphrase()]
    about = "Two passphrase slots and two passphrases: the last of 4 runs of Argon2id opens."
    at("4-argon2-runs", about, two_slots, unlock={"keyring": [guesses[0], BY_PASSPHRASE]})
    about = "Two passphrase slots and three passphrases: the sixth run of Argon2id would open."
    everybody = [*guesses, BY_PASSPHRASE]
    over_budget = Draft(slots=two_slots)
    refuses("limit-above-4-argon2-runs", sw.TOO_LARGE, "§14", about, over_budget, unlock={"keyring": everybody})
    about = "As many, and a key for which no Argon2id is needed: it opens after the others had to be left out."
    at("4-argon2-runs-and-a-key", about, [*two_slots, own], unlock={"keyring": [*everybody, BY_KEY]})


def reader_cases() -> None:
    def reader(name: str, about: str, slots: list[SlotMaker], unlock: dict) -> None:
        accepts(f"open-{name}", "§4", about, Draft(slots=slots), unlock=unlock)

    def stranger(name: str, about: str, slots: list[SlotMaker], unlock: dict) -> None:
        refuses(f"not-recipient-{name}", sw.NOT_RECIPIENT, "§5", about, Draft(slots=slots), unlock=unlock)

    reader("xwing", "An X-Wing slot.", [hpke(ALICE)], by(ALICE))
    reader("x25519", "An X25519 slot.", [hpke(BOB)], by(BOB))
    reader("xwing-anonymous", "An anonymous X-Wing slot.", [anonymous(ALICE)], by(ALICE))
    reader(
        "x25519-anonymous",
        "An anonymous X25519 slot behind a stranger's.",
        [anonymous(STRANGER), anonymous(BOB)],
        by(BOB),
    )
    reader("passphrase", "A passphrase slot.", [passphrase()], BY_PASSPHRASE)
    utf8 = "pässwörd \u212b \U0001f511"
    reader(
        "passphrase-not-normalised",
        "A passphrase that Unicode normalisation would change.",
        [passphrase(utf8)],
        {"passphrase": utf8},
    )
    reader(
        "passphrase-4-lanes",
        "A passphrase slot with m = 100, t = 2, p = 4.",
        [passphrase(changes={2: 100, 3: 2, 4: 4})],
        BY_PASSPHRASE,
    )
    long_one = "p" * 1024
    reader("passphrase-1024-bytes", "A passphrase of 1024 bytes.", [passphrase(long_one)], {"passphrase": long_one})
    reader("symmetric", "A symmetric slot.", [symmetric()], BY_KEY)
    kinds = [hpke(BOB), passphrase(), anonymous(CAROL), external(), symmetric(OTHER_KEY), symmetric()]
    for name, unlock in (
        ("key", BY_KEY),
        ("passphrase", BY_PASSPHRASE),
        ("identity", by(BOB)),
        ("anonymous", by(CAROL)),
    ):
        reader(f"every-kind-by-{name}", f"One envelope with a slot of every kind, opened by {name}.", kinds, unlock)
    reader("second-identity", "Two identities, of which the second opens.", [hpke(BOB)], by(ALICE, BOB))

    def colliding(base: Base) -> dict:
        return hpke(STRANGER, {4: sw.slot_hint(base.envelope_id, BOB.recipient)})(base)

    reader("hint-collision", "A stranger's slot with the reader's hint comes first.", [colliding, hpke(BOB)], by(BOB))
    about = "The slot is locked for the reader, but its hint is another: the reader skips it."
    stranger("hint-differs", about, [hpke(BOB, {4: bytes(4)})], by(BOB))
    stranger("identity", "The identity of somebody else.", [hpke(BOB)], by(CAROL))
    stranger("other-kem", "An identity with another KEM than the slot.", [anonymous(BOB)], by(ALICE))
    stranger("passphrase", "Another passphrase.", [passphrase()], {"passphrase": PASSPHRASE + "."})
    stranger("key", "Another symmetric key.", [symmetric()], BY_OTHER_KEY)
    about = "Another symmetric key with the same key id."
    stranger("key-id-collision", about, [symmetric(changes={2: sw.symmetric_key_id(OTHER_KEY)})], BY_OTHER_KEY)
    stranger("key-for-passphrase-slot", "A symmetric key where only a passphrase opens.", [passphrase()], BY_KEY)

    def altered(name: str, about: str, slot: SlotMaker, unlock: dict) -> None:
        stranger(name, about + " The tag is right.", [slot, symmetric(OTHER_KEY)], unlock)

    for kind, maker, unlock in (
        ("symmetric", symmetric(), BY_KEY),
        ("passphrase", passphrase(), BY_PASSPHRASE),
        ("x25519", hpke(BOB), by(BOB)),
        ("xwing", hpke(ALICE), by(ALICE)),
    ):
        altered(f"{kind}-ct-flipped", f"A bit of the ct of the {kind} slot is flipped.", flip_field(maker, 6), unlock)
    altered("x25519-enc-flipped", "A bit of enc is flipped.", flip_field(hpke(BOB), 5), by(BOB))
    altered("xwing-enc-flipped", "A bit of the ML-KEM half of enc is flipped.", flip_field(hpke(ALICE), 5), by(ALICE))
    altered(
        "x25519-enc-zero", "enc is the X25519 point of order 1, written 0.", hpke(BOB, after={5: bytes(32)}), by(BOB)
    )
    altered("argon2-t-changed", "t was changed after locking.", passphrase(after={3: 2}), BY_PASSPHRASE)

    for name, text in (("empty", ""), ("1025-bytes", "p" * 1025)):
        d = Draft(slots=[passphrase(text)])
        about = f"A passphrase that no sealer takes: {name.replace('-', ' ')}."
        refuses(f"misuse-passphrase-{name}", sw.MISUSE, "§4", about, d, unlock={"passphrase": text})


def flip_field(slot: SlotMaker, key: int) -> SlotMaker:
    def make_flipped(base: Base) -> dict:
        made = slot(base)
        return made | {key: flipped(made[key], 3)}

    return make_flipped


# ---- §5 Slots tag -----------------------------------------------------------------------------


def tag_cases() -> None:
    def bad(name: str, about: str, d: Draft, **ask: Any) -> None:
        refuses(f"tag-{name}", sw.NOT_RECIPIENT, "§5", about, d, **ask)

    bad("flipped", "A bit of the slots tag is flipped.", Draft(tag=lambda tag: flipped(tag, 31)))
    bad("zero", "The slots tag is zero bytes.", Draft(tag=lambda tag: bytes(32)))
    other = seeded("another content key")
    bad(
        "under-another-content-key",
        "The slots tag is made under another content key.",
        Draft(tag_content_key=lambda key: other),
    )

    def for_another_key(base: Base) -> dict:
        return symmetric(OTHER_KEY)(Base(base.name, base.envelope_id, other, base.h))

    two = Draft(slots=[for_another_key, symmetric()])
    about = "Two slots lead to two content keys; the tag is of the second one's"
    accepts("tag-two-content-keys-reader-of-the-tagged", "§5", about + ", whose reader opens.", two)
    bad("two-content-keys-reader-of-the-other", about + "; this is the reader of the first.", two, unlock=BY_OTHER_KEY)

    def both_mine(base: Base) -> dict:
        return symmetric()(Base(base.name + "/first", base.envelope_id, other, base.h))

    about = "The reader's first slot gives a content key that the tag refuses; the second gives the right one."
    accepts("tag-goes-on-after-a-wrong-candidate", "§5", about, Draft(slots=[both_mine, symmetric()]))

    def from_elsewhere(base: Base) -> dict:
        return symmetric()(Base(base.name, base.envelope_id, base.content_key, seeded("another H_fixed")))

    about = "The slot holds the right content key, but was locked for another envelope; the tag is right."
    bad("slot-transplanted", about, Draft(slots=[from_elsewhere]))
    slots = [symmetric(), symmetric(OTHER_KEY)]
    for name, what, change in (
        ("slots-reordered", "Two slots changed places", lambda s: s[::-1]),
        ("slot-dropped", "A slot was dropped", lambda s: s[:1]),
        ("slot-added", "A slot of an unknown kind was added", lambda s: [*s, {0: 99}]),
        ("slot-repeated", "A slot was repeated", lambda s: [*s, s[0]]),
    ):
        bad(name, f"{what}; the tag is the old one.", reslotted(slots, change))
    about = "The metadata changed after sealing; slots, tag and body are the old ones."
    changed = Draft(fixed={4: {"version": 1}}, whole=lambda e: e.replace(cbor({"version": 1}), cbor({"version": 2})))
    bad("metadata-changed", about, changed)
    about = "The body AEAD changed after sealing; slots, tag and body are the old ones."
    bad(
        "aead-changed",
        about,
        Draft(whole=lambda e: e.replace(b"\x01\x18\x1d\x02", b"\x01\x02\x02", 1).replace(b"\x58\x29", b"\x58\x28", 1)),
    )


def reslotted(slots: list[SlotMaker], change: Callable[[list], list]) -> Draft:
    def replace(envelope: bytes) -> bytes:
        header, body = sw.parse_header(envelope)
        SLOTS = cbor(cbor(change([slot.pairs for slot in header.slots])))
        return sw.MAGIC + header.FIXED + SLOTS + header.slots_tag + body

    return Draft(slots=slots, whole=replace)


# ---- §6 Private block -------------------------------------------------------------------------


def private_cases() -> None:
    def bad(name: str, code: str, about: str, private: dict, **steps: Any) -> None:
        refuses(f"private-{name}", code, "§6", about, Draft(private=private, **steps))

    def good(name: str, about: str, private: dict, **more: Any) -> None:
        accepts(f"private-{name}", "§6", about, Draft(private=private), **more)

    created = {1: 1767225600}
    good("created", "Only the time of sealing.", created)
    good("created-max", "A time of 2^64 - 1.", {1: (1 << 64) - 1})
    good("content-type-and-filename", "Content type and filename.", {2: "text/plain", 3: "Übersicht 2026.txt"})
    good("255-bytes", "Content type and filename of 255 bytes.", {2: "t" * 255, 3: "ü" * 127 + "f"})
    good("fills-64-bytes", "The map is 64 bytes, so there is no padding.", {2: "t" * 60})
    good("ignorable-key", "The ignorable key -1.", created | {-1: {"any": [None]}})
    good("only-ignorable-key", "Nothing but the ignorable key -1.", {-1: 0})
    good("filename-with-dots", "A filename that begins with dots.", {3: "..a..b"})
    for name, filename in {
        "con-in-front": "CONSOLE.txt", "con-as-extension": "a.con", "com0": "COM0", "com10": "com10.txt", "com-alone": "COM",
        "space-inside": "a b", "first-after-c1": "a\u00a0b", "shell": "$(id) *?\"<>|~",
    }.items():  # fmt: skip
        good(f"filename-{name}", f"A filename at the edge of what is one: {name.replace('-', ' ')}.", {3: filename})
    fingerprints = sorted(who.recipient.fingerprint for who in (ALICE, BOB))
    for name, whom, slots, to_me in (
        ("yes", fingerprints, [hpke(BOB)], "yes"),
        ("no", [ALICE.recipient.fingerprint], [hpke(BOB)], "no"),
    ):
        d = Draft(private={4: whom}, slots=slots)
        about = f"The audience says whether the envelope was addressed to the reader: {name}."
        accepts(f"private-audience-{name}", "§6", about, d, to_me, unlock=by(BOB))
    many = sorted(seeded(f"fingerprint {i}") for i in range(1025))
    d = Draft(private={4: sorted(many[:1023] + [BOB.recipient.fingerprint])}, slots=[hpke(BOB)])
    accepts("private-audience-1024", "§6", "An audience of 1024.", d, "yes", unlock=by(BOB))

    bad("empty-map", sw.MALFORMED, "An empty map.", created, private_plaintext=lambda p: sw.pad_private(b"\xa0"))
    bad("is-array", sw.MALFORMED, "An array.", created, private_plaintext=lambda p: sw.pad_private(b"\x80"))
    bad("is-zeros", sw.MALFORMED, "64 zero bytes.", created, private_plaintext=lambda p: bytes(64))
    bad(
        "64-bytes-of-padding",
        sw.MALFORMED,
        "64 bytes too many of padding.",
        created,
        private_plaintext=lambda p: sw.pad_private(p) + bytes(64),
    )
    about = "64 bytes of padding after a map that fills 64."
    bad("padding-block", sw.MALFORMED, about, {2: "t" * 60}, private_plaintext=lambda p: p + bytes(64))
    bad(
        "pad-byte",
        sw.MALFORMED,
        "The last pad byte is 1.",
        created,
        private_plaintext=lambda p: flipped(sw.pad_private(p), -1),
    )
    bad(
        "second-item",
        sw.MALFORMED,
        "A second map follows the first.",
        created,
        private_plaintext=lambda p: sw.pad_private(p + p),
    )
    not_shortest = lambda p: sw.pad_private(p.replace(b"\x01\x1a", b"\x01\x1b\x00\x00\x00\x00"))  # noqa: E731
    bad(
        "not-shortest",
        sw.MALFORMED,
        "An integer that is not in its shortest form.",
        created,
        private_plaintext=not_shortest,
    )
    unsorted = lambda p: sw.pad_private(raw_map([(2, "t"), (1, 0)]))  # noqa: E731
    bad("unsorted", sw.MALFORMED, "Keys that are not in order.", {1: 0, 2: "t"}, private_plaintext=unsorted)
    bad("text-key", sw.MALFORMED, "A key that is text.", created | {"x": 0})
    bad("unknown-critical-key", sw.UNSUPPORTED, "The unknown key 5.", created | {5: 0})
    bad(
        "flipped",
        sw.REJECTED,
        "A bit of the private block is flipped; everything after it is made with that.",
        created,
        private_ciphertext=lambda c: flipped(c, 0),
    )
    about = "The private block was sealed for another fixed part."
    bad("other-fixed-part", sw.REJECTED, about, created, private_associated=lambda a: flipped(a, 15))
    about = "The private block was sealed without associated data."
    bad("no-associated-data", sw.REJECTED, about, created, private_associated=lambda a: b"")
    bad(
        "unaligned",
        sw.MALFORMED,
        "Without padding, so that its length is not 64 n + 16.",
        created,
        private_plaintext=same,
    )
    bad("0-blocks", sw.MALFORMED, "A private block of 16 bytes.", created, private_plaintext=lambda p: b"")
    bad("1025-blocks", sw.MALFORMED, "A private block of 1025 · 64 + 16 bytes.", {-1: bytes(65540)})

    bad("created-negative", sw.MALFORMED, "A negative time.", {1: -1})
    bad("created-text", sw.MALFORMED, "A time that is text.", {1: "2026-01-01"})
    bad("content-type-empty", sw.MALFORMED, "An empty content type.", {2: ""})
    bad("content-type-256", sw.MALFORMED, "A content type of 256 bytes.", {2: "t" * 256})
    bad("content-type-bytes", sw.MALFORMED, "A content type that is a byte string.", {2: b"text/plain"})
    filenames = {
        "slash": "a/b", "parent": "../a", "absolute": "/a", "backslash": "a\\b", "dot": ".", "dot-dot": "..", "empty": "",
        "256-bytes": "ü" * 128, "nul": "a\x00b", "newline": "a\n", "unit-separator": "a\x1fb", "delete": "a\x7f",
        "drive": "C:a.exe", "hidden-stream": "a.txt:b", "colon": ":", "first-c1": "a\x80b", "csi": "a\x9b2J", "last-c1": "a\x9f",
        "dot-at-end": "a.", "three-dots": "...", "space-at-end": "a ", "dots-and-space": ".. ", "only-a-space": " ",
        "con": "CON", "prn": "prn.txt", "aux": "Aux.tar.gz", "nul-device": "NUL.txt", "nul-space-dot": "nul .txt", "com1": "COM1", "lpt9": "lpt9.log", "com-superscript": "COM².txt",
    }  # fmt: skip
    for name, filename in filenames.items():
        bad(f"filename-{name}", sw.MALFORMED, f"A filename that is not one: {name.replace('-', ' ')}.", {3: filename})
    bad("filename-bytes", sw.MALFORMED, "A filename that is a byte string.", {3: b"a"})
    bad("audience-empty", sw.MALFORMED, "An empty audience.", {4: []})
    bad("audience-unsorted", sw.MALFORMED, "An audience that is not in order.", {4: fingerprints[::-1]})
    bad("audience-twice", sw.MALFORMED, "Somebody is twice in the audience.", {4: [fingerprints[0]] * 2})
    bad("audience-31-bytes", sw.MALFORMED, "A fingerprint of 31 bytes.", {4: [fingerprints[0][:31]]})
    bad("audience-1025", sw.MALFORMED, "An audience of 1025.", {4: many})
    bad("audience-is-map", sw.MALFORMED, "The audience is a map.", {4: {0: fingerprints[0]}})

    alice = {0: -19, 1: ALICE.signing_public}

    def signers(name: str, code: str, about: str, value: Any) -> None:
        """There is a good signature of Alice behind the payload, for a reader who lets it pass."""

        def plaintext(cbor_map: bytes) -> bytes:
            return sw.pad_private(cbor({0: value}))

        d = Draft(signer=genuine(ALICE), private_plaintext=plaintext)
        refuses(f"private-signers-{name}", code, "§6", about, d)

    signers("none", sw.UNSUPPORTED, "No signer in the array.", [])
    signers("two", sw.UNSUPPORTED, "Two signers.", [alice, {0: -19, 1: BOB.signing_public}])
    signers("other-algorithm", sw.UNSUPPORTED, "The algorithm is -8 (EdDSA).", [alice | {0: -8}])
    signers("algorithm-missing", sw.MALFORMED, "A signer without algorithm.", [{1: ALICE.signing_public}])
    signers("algorithm-text", sw.MALFORMED, "The algorithm is text.", [alice | {0: "Ed25519"}])
    signers("key-missing", sw.MALFORMED, "A signer without key.", [{0: -19}])
    signers("key-31-bytes", sw.MALFORMED, "A signer with a key of 31 bytes.", [alice | {1: ALICE.signing_public[:31]}])
    signers("unknown-critical-key", sw.UNSUPPORTED, "A signer with the unknown key 2.", [alice | {2: 0}])
    signers("is-map", sw.MALFORMED, "The signers are a map instead of an array.", {0: alice})
    signers("of-bytes", sw.MALFORMED, "The signer is a bare key.", [ALICE.signing_public])
    ignorable = Draft(signer=genuine(ALICE), private_plaintext=lambda p: sw.pad_private(cbor({0: [alice | {-1: 0}]})))
    accepts("private-signers-ignorable-key", "§6", "A signer with the ignorable key -1.", ignorable)


# ---- §7 Body ----------------------------------------------------------------------------------

SIZE = sw.CHUNK + sw.AEAD_TAG


def chunks_of(body: bytes) -> tuple[bytes, list[bytes]]:
    head, rest = body[: sw.BODY_HEAD], body[sw.BODY_HEAD :]
    return head, [rest[i : i + SIZE] for i in range(0, len(rest), SIZE)]


def with_chunks(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    def edit(body: bytes) -> bytes:
        head, chunks = chunks_of(body)
        return head + b"".join(change(chunks))

    return edit


def long_payload(size: int) -> bytes:
    return seeded("payload", size)


def body_cases() -> None:
    both = (("aes", sw.AES_256_GCM), ("chacha", sw.CHACHA20_POLY1305))
    for name, aead in both:
        for size in (0, 1, 16383, 16384, 16385):
            d = Draft(payload=long_payload(size), aead=aead, padded=False)
            accepts(f"body-{name}-{size}", "§7", f"An unpadded payload of {size} bytes.", d)
        d = Draft(payload=long_payload(33000), aead=aead)
        accepts(f"body-{name}-padded-33000", "§7", "A padded payload in three chunks.", d)
    for size in (0, 248, 249, 1000):
        accepts(f"body-padded-{size}", "§7", f"A padded payload of {size} bytes.", Draft(payload=long_payload(size)))

    def cut(name: str, code: str, about: str, aead: int, payload: int, body: Callable[[bytes], bytes]) -> None:
        d = Draft(payload=long_payload(payload), aead=aead, padded=False, body=body)
        refuses(f"body-{name}", code, "§7", about, d)

    for name, aead in both:
        cut(f"{name}-missing", sw.TRUNCATED, "Only the header.", aead, 0, lambda b: b"")
        cut(f"{name}-71-bytes", sw.TRUNCATED, "A body of 71 bytes.", aead, 0, lambda b: b[:71])
        cut(f"{name}-only-head", sw.TRUNCATED, "Only salt and commitment.", aead, 0, lambda b: b[:56])
        cut(
            f"{name}-cut-at-chunk",
            sw.TRUNCATED,
            "The last chunk is missing.",
            aead,
            16390,
            with_chunks(lambda c: c[:1]),
        )
        cut(
            f"{name}-cut-before-tag",
            sw.TRUNCATED,
            "Of the last chunk 15 bytes are left.",
            aead,
            16390,
            lambda b: b[:-7],
        )
        cut(
            f"{name}-cut-in-chunk",
            sw.REJECTED,
            "Of the last chunk the last byte is missing.",
            aead,
            100,
            lambda b: b[:-1],
        )
        cut(f"{name}-byte-after", sw.REJECTED, "A byte follows the last chunk.", aead, 100, lambda b: b + b"\x00")
        cut(f"{name}-salt-flipped", sw.REJECTED, "A bit of the salt is flipped.", aead, 10, lambda b: flipped(b, 0))
        cut(
            f"{name}-commitment-flipped",
            sw.REJECTED,
            "A bit of the commitment is flipped; the chunks open.",
            aead,
            10,
            lambda b: flipped(b, 55),
        )
        cut(f"{name}-chunk-flipped", sw.REJECTED, "A bit of a chunk is flipped.", aead, 10, lambda b: flipped(b, 56))
        cut(
            f"{name}-chunk-tag-flipped",
            sw.REJECTED,
            "A bit of a chunk's tag is flipped.",
            aead,
            10,
            lambda b: flipped(b, -1),
        )
    aes, chacha = sw.AES_256_GCM, sw.CHACHA20_POLY1305
    cut(
        "chunks-swapped",
        sw.REJECTED,
        "Two chunks changed places.",
        aes,
        32800,
        with_chunks(lambda c: [c[1], c[0], c[2]]),
    )
    cut("chunk-dropped", sw.REJECTED, "The first chunk is dropped.", chacha, 16390, with_chunks(lambda c: c[1:]))
    cut(
        "chunk-dropped-in-the-middle",
        sw.REJECTED,
        "The second of three chunks is dropped.",
        aes,
        32800,
        with_chunks(lambda c: [c[0], c[2]]),
    )
    cut("chunk-repeated", sw.REJECTED, "The first chunk comes twice.", aes, 16390, with_chunks(lambda c: [c[0], *c]))
    cut("last-chunk-repeated", sw.REJECTED, "The last chunk comes twice.", chacha, 10, with_chunks(lambda c: c * 2))
    cut(
        "chunk-inserted",
        sw.REJECTED,
        "A chunk of zeros is inserted.",
        chacha,
        10,
        with_chunks(lambda c: [bytes(SIZE), *c]),
    )

    def elsewhere(d: Draft) -> list[bytes]:
        _, body = sw.parse_header(make("another envelope", d))
        return [body, *chunks_of(body)[1]]

    foreign = elsewhere(Draft(payload=b"another!", aead=aes, padded=False))
    cut("of-another-envelope", sw.REJECTED, "The whole body of another envelope.", aes, 8, lambda b: foreign[0])
    cut(
        "chunk-of-another-envelope",
        sw.REJECTED,
        "The chunk of another envelope.",
        aes,
        8,
        with_chunks(lambda c: foreign[1:]),
    )
    about = "A chunk of 16384 bytes ends the body, where an empty one has to follow."
    cut("full-last-chunk", sw.TRUNCATED, about, chacha, 16384, with_chunks(lambda c: c[:1]))

    def padding(
        name: str, about: str, plaintext: Callable[[bytes], bytes], payload: bytes = b"a secret", **more: Any
    ) -> None:
        d = Draft(payload=payload, plaintext=plaintext, **more)
        refuses(f"padding-{name}", sw.REJECTED, "§7", about, d)

    def length(size: int) -> Callable[[bytes], bytes]:
        return lambda p: p[:-8] + size.to_bytes(8, "big")

    padding("first-byte", "The first pad byte is 1.", lambda p: flipped(p, 8))
    padding("last-byte", "The last pad byte is 1.", lambda p: flipped(p, -9))
    padding("length-too-large", "The length field is one more than its place allows.", length(249))
    padding("length-2-63", "The length field is 2^63.", length(1 << 63))
    padding("length-2-64", "The length field is 2^64 - 8: adding 8 gives 0.", length((1 << 64) - 8))
    long_zeros = bytes(300)
    padding(
        "too-many-zeros", "512 bytes, where Padmé says 320.", lambda p: long_zeros + bytes(204) + p[-8:], long_zeros
    )
    padding("too-few-zeros", "No zeros, where Padmé says 256 bytes.", lambda p: p[:8] + p[-8:])
    padding(
        "length-shorter",
        "The length field is too small, and the rest of the payload, zeros, looks like a pad.",
        length(100),
        long_zeros,
    )
    padding("7-bytes", "The plaintext has no place for the length field.", lambda p: bytes(7), b"")
    padding("empty-plaintext", "The plaintext is empty.", lambda p: b"", b"")
    padding(
        "signed-71-bytes",
        "Between the payload's place and the signature 7 bytes are left.",
        lambda p: p[-71:],
        signer=genuine(ALICE),
    )
    about = "The signature is left out of the count: 320 bytes, where Padmé of 8 + 8 + 64 gives 256."
    padding("signature-not-counted", about, lambda p: p[:8] + bytes(240) + p[-72:], signer=genuine(ALICE))


# ---- §8 Signature -----------------------------------------------------------------------------


def signature_cases() -> None:
    for name, d in (
        ("padded", Draft(signer=genuine(ALICE))),
        ("unpadded", Draft(signer=genuine(ALICE), padded=False)),
        ("aes", Draft(signer=genuine(ALICE), aead=sw.AES_256_GCM)),
        ("empty-payload", Draft(signer=genuine(ALICE), payload=b"", padded=False)),
        ("crosses-chunks", Draft(signer=genuine(ALICE), payload=long_payload(16350), padded=False)),
    ):
        accepts(f"signed-{name}", "§8", f"A signed envelope: {name.replace('-', ' ')}.", d)
    signed = Draft(signer=genuine(ALICE), slots=[hpke(BOB)])
    accepts("signed-and-rewrapped", "§12", "A signed envelope whose slots were replaced.", rewrapped(signed))
    alice, bob = ALICE.signing_public.hex(), BOB.signing_public.hex()
    accepts(
        "signers-expected",
        "§8",
        "The signer is one of the two expected.",
        Draft(signer=genuine(ALICE)),
        signers=[bob, alice],
    )
    refuses(
        "signers-other-expected",
        sw.REJECTED,
        "§8",
        "Another signer is expected.",
        Draft(signer=genuine(ALICE)),
        signers=[bob],
    )
    refuses(
        "signers-expected-unsigned",
        sw.REJECTED,
        "§8",
        "A signer is expected, and there is none.",
        Draft(),
        signers=[alice],
    )

    def bad(name: str, about: str, signer: Signer, **more: Any) -> None:
        refuses(f"signature-{name}", sw.REJECTED, "§8", about, Draft(signer=signer, **more))

    def tampered(change: Callable[[bytes], bytes]) -> Signer:
        return Signer(ALICE.signing_public, lambda message: change(ALICE.sign(message)))

    bad("flipped", "A bit of the signature is flipped.", tampered(lambda s: flipped(s, 40)))
    bad("zero", "The signature is 64 zero bytes.", tampered(lambda s: bytes(64)))
    bad("of-somebody-else", "The signature is Bob's, the name is Alice's.", Signer(ALICE.signing_public, BOB.sign))
    bad(
        "of-another-envelope",
        "A genuine signature of the same payload in another envelope.",
        Signer(ALICE.signing_public, sign_elsewhere),
    )
    bad("s-plus-l", "S + L instead of S.", tampered(with_s_plus_l))
    bad(
        "key-neutral",
        "The signer's key is the neutral element, under which every message has a signature.",
        signer_of_small_order(ONE),
    )
    bad("key-of-order-8", "The signer's key is of order 8.", signer_of_small_order(ORDER_8))
    about = "The signer's key is the neutral element, not canonically encoded (y = p + 1)."
    bad("key-not-canonical", about, signer_of_small_order(NON_CANONICAL_ONE))
    bad("r-neutral", "R is the neutral element.", signer_with_r(ALICE, ONE))
    bad(
        "r-not-canonical",
        "R is the neutral element, not canonically encoded (y = p + 1).",
        signer_with_r(ALICE, NON_CANONICAL_ONE),
    )
    bad(
        "r-with-sign",
        "R is the neutral element with the sign of x = 0 set.",
        signer_with_r(ALICE, little(1 | 1 << 255)),
    )
    about = "An unpadded body of 63 bytes cannot hold the signature."
    bad("63-bytes", about, genuine(ALICE), padded=False, payload=b"", plaintext=lambda p: p[:63])
    about = "The payload was replaced by somebody who knows the content key; the signature is the old one."
    bad("payload-replaced", about, genuine(ALICE), padded=False, plaintext=lambda p: b"A" + p[1:])


def sign_elsewhere(message: bytes) -> bytes:
    label = sw.LABEL("signature")
    return ALICE.sign(label + seeded("another H_fixed") + message[len(label) + 32 :])


def rewrapped(d: Draft) -> Draft:
    def rewrap(envelope: bytes) -> bytes:
        return sw.rewrap(envelope, [BOB], d.context, [OUR_KEY])

    return Draft(payload=d.payload, signer=d.signer, slots=d.slots, whole=rewrap)


# ---- §9 Context and part ----------------------------------------------------------------------


def context_cases() -> None:
    def other(name: str, about: str, context: list, d: Draft = Draft()) -> None:
        refuses(f"context-{name}", sw.REJECTED, "§9", about, d, context=context)

    other("another-namespace", "Another namespace.", ["note", *CONTEXT[1:]])
    other("another-field", "Another row.", ["notes", "18", 5, b"\x00\xff"])
    other("field-missing", "The last field is missing.", CONTEXT[:-1])
    other("field-added", "A field too many.", [*CONTEXT, ""])
    other("text-for-integer", "The text 5 instead of the integer.", ["notes", "17", "5", b"\x00\xff"])
    other("bytes-for-text", "A byte string instead of a text.", ["notes", b"17", 5, b"\x00\xff"])
    other("fields-joined", "Two fields as one.", ["n", "ab"], Draft(context=["n", "a", "b"]))
    refuses("part-another", sw.REJECTED, "§9", "Another part.", Draft(part="page 1"), part="page 2")
    refuses("part-missing", sw.REJECTED, "§9", "The empty part instead of a name.", Draft(part="page 1"), part="")
    refuses("part-unexpected", sw.REJECTED, "§9", "A name instead of the empty part.", Draft(), part="page 1")
    most = ["n" * 128] + [(1 << 64) - 1, "t" * 1024, bytes(1024)] + [""] * 13
    accepts("context-at-the-limits", "§9", "A namespace of 128 bytes and 16 fields.", Draft(context=most))
    accepts("context-only-namespace", "§9", "A context without fields.", Draft(context=["n"]))
    accepts("part-255-bytes", "§9", "A part of 255 bytes.", Draft(part="p" * 255))

    def misuse(name: str, about: str, context: list = CONTEXT, part: str = "") -> None:
        refuses(f"misuse-{name}", sw.MISUSE, "§9", about, Draft(context=context, part=part))

    misuse("namespace-empty", "An empty namespace.", [""])
    misuse("namespace-missing", "A context without namespace.", [])
    misuse("namespace-129", "A namespace of 129 bytes in 65 characters.", ["ä" * 64 + "n"])
    misuse("17-fields", "17 fields.", ["n"] + [1] * 17)
    misuse("field-1025", "A text field of 1025 bytes.", ["n", "t" * 1025])
    misuse("field-bytes-1025", "A byte string field of 1025 bytes.", ["n", bytes(1025)])
    misuse("part-256", "A part of 256 bytes in 128 characters.", CONTEXT, "ä" * 128)


# ---- §10 Recipients and identities ------------------------------------------------------------


def recipient_raw(kem_id: int, kem_public: bytes, signer: Signer) -> bytes:
    signature = signer.sign(sw.recipient_message(kem_id, kem_public))
    return kem_id.to_bytes(2, "big") + kem_public + signer.public + signature


def recipient_text(kem_id: int, kem_public: bytes, signer: Signer) -> str:
    return sw.bech32m_encode("sealwire", recipient_raw(kem_id, kem_public, signer))


def replaced(text: str, at: int) -> str:
    at %= len(text)
    return text[:at] + ("q" if text[at] != "q" else "p") + text[at + 1 :]


def bech32_not_m(hrp: str, data: bytes) -> str:
    """BIP 173, whose checksum differs in a constant: five-bit groups of the difference, at the end."""
    text = sw.bech32m_encode(hrp, data)
    difference = sw.BECH32M ^ 1
    fives = [sw.BECH32.index(letter) ^ difference >> 5 * (5 - i) & 31 for i, letter in enumerate(text[-6:])]
    return text[:-6] + "".join(sw.BECH32[five] for five in fives)


def recipient_cases() -> None:
    def bad(name: str, about: str, text: str, code: str = sw.INVALID_KEY) -> None:
        key_case("recipient", f"recipient-{name}", code, "§10", about, text)

    for name, who in (("xwing", ALICE), ("x25519", BOB)):
        recipient = who.recipient
        key_case(
            "recipient", f"recipient-{name}", "ok", "§10", f"A recipient with {sw.KEMS[who.kem_id].name}.",
            recipient.to_text(), fingerprint=recipient.fingerprint.hex(),
        )  # fmt: skip
    good = BOB.recipient.to_text()
    fives = [sw.BECH32.index(letter) for letter in good[9:-6]]
    raw = sw.bech32m_decode("sealwire", good)
    bob = genuine(BOB)
    bad("letter-wrong", "One letter is wrong.", replaced(good, 50))
    bad("checksum-letter-wrong", "The last letter is wrong.", replaced(good, -1))
    bad("letters-swapped", "Two letters changed places.", good[:40] + good[41] + good[40] + good[42:])
    bad("letter-missing", "A letter is missing.", good[:40] + good[41:])
    bad("upper-case", "All letters are upper case.", good.upper())
    bad("upper-case-data", "The letters after the separator are upper case.", good[:9] + good[9:].upper())
    bad("mixed-case", "One letter is upper case.", first_letter_raised(good))
    bad("outside-alphabet", "The letter b, which Bech32 does not have.", good[:50] + "b" + good[51:])
    bad("not-ascii", "A letter outside ASCII.", good[:50] + "ä" + good[51:])
    bad("space-before", "A space before it.", " " + good)
    bad("newline-after", "A newline after it.", good + "\n")
    bad("empty", "No character at all.", "")
    bad("only-hrp", "Nothing after the separator.", "sealwire1")
    bad("without-data", "A good checksum over no data.", sw.bech32m_of_fives("sealwire", []))
    bad("other-hrp", "The human-readable part is sealwir.", sw.bech32m_encode("sealwir", raw))
    bad("is-pin", "A pin where a recipient is expected.", BOB.recipient.pin)
    bad("is-identity", "An identity where a recipient is expected.", BOB.to_text())
    bad("bech32-checksum", "The checksum of Bech32 instead of Bech32m.", bech32_not_m("sealwire", raw))
    short = raw[:-1]
    bad("129-bytes", "A byte is missing.", sw.bech32m_encode("sealwire", short))
    bad("131-bytes", "A byte too many.", sw.bech32m_encode("sealwire", raw + b"\x00"))
    bad("1-byte", "Half a KEM id.", sw.bech32m_encode("sealwire", raw[:1]))
    bad(
        "spare-letter",
        "A spare letter of five zero bits before the checksum.",
        sw.bech32m_of_fives("sealwire", fives + [0]),
    )
    xwing_good = ALICE.recipient.to_text()
    xwing_fives = [sw.BECH32.index(letter) for letter in xwing_good[9:-6]]
    bad(
        "padding-bits",
        "Padding bits that are not zero.",
        sw.bech32m_of_fives("sealwire", xwing_fives[:-1] + [xwing_fives[-1] | 1]),
    )
    unknown = recipient_text(0x0041, BOB.recipient.kem_public, bob)
    bad("unknown-kem", "A KEM id that this version does not have.", unknown, sw.UNSUPPORTED)
    bad(
        "4097-characters",
        "More than 4096 characters, with a good checksum.",
        sw.bech32m_of_fives("sealwire", [0] * 4082),
        sw.TOO_LARGE,
    )
    x25519_in_xwing = recipient_text(sw.XWING, BOB.recipient.kem_public, bob)
    bad("xwing-with-x25519-key", "The KEM id of X-Wing, the key of X25519.", x25519_in_xwing)

    low_order = {
        "0": little(0),
        "1": little(1),
        "order-8": little(325606250916557431795983626356110631294008115727848805560023387167927233504),
        "order-8-other": little(39382357235489614581723060781553021112529911719440698176882885853963445705823),
        "minus-1": little(sw.ED25519_P - 1),
    }
    for name, point in low_order.items():
        bad(f"x25519-low-order-{name}", "An X25519 key of small order.", recipient_text(sw.X25519, point, bob))
    bad(
        "x25519-p-plus-9",
        "The X25519 key p + 9 instead of 9.",
        recipient_text(sw.X25519, little(sw.ED25519_P + 9), bob),
    )
    high_bit = little(int.from_bytes(BOB.recipient.kem_public, "little") | 1 << 255)
    bad("x25519-high-bit", "An X25519 key with its highest bit set.", recipient_text(sw.X25519, high_bit, bob))
    mlkem, x25519 = ALICE.recipient.kem_public[:1184], ALICE.recipient.kem_public[1184:]
    alice = genuine(ALICE)
    bad(
        "xwing-x25519-low-order",
        "An X-Wing key whose X25519 half is 0.",
        recipient_text(sw.XWING, mlkem + bytes(32), alice),
    )
    high_half = little(int.from_bytes(x25519, "little") | 1 << 255)
    bad(
        "xwing-x25519-high-bit",
        "An X-Wing key whose X25519 half has its highest bit set.",
        recipient_text(sw.XWING, mlkem + high_half, alice),
    )
    q = sw.MLKEM_Q.to_bytes(2, "little")
    first_is_q = bytes([q[0], mlkem[1] & 0xF0 | q[1]]) + mlkem[2:]
    bad(
        "mlkem-first-coefficient",
        "The first ML-KEM coefficient is q = 3329.",
        recipient_text(sw.XWING, first_is_q + x25519, alice),
    )
    last_is_max = mlkem[:1150] + bytes([mlkem[1150] | 0xF0, 0xFF]) + mlkem[1152:]
    bad(
        "mlkem-last-coefficient",
        "The last ML-KEM coefficient is 4095.",
        recipient_text(sw.XWING, last_is_max + x25519, alice),
    )

    stolen = sw.Recipient(BOB.kem_id, BOB.recipient.kem_public, CAROL.signing_public, BOB.recipient.signature)
    bad("halves-mixed", "Bob's KEM key and signature with Carol's signing key.", stolen.to_text())
    stolen = sw.Recipient(BOB.kem_id, CAROL.recipient.kem_public, BOB.signing_public, BOB.recipient.signature)
    bad("kem-key-replaced", "Carol's KEM key with Bob's signing key and signature.", stolen.to_text())
    halves = Signer(
        ALICE.signing_public, lambda message: ALICE.sign(sw.recipient_message(sw.X25519, BOB.recipient.kem_public))
    )
    bad(
        "signature-of-other-message",
        "Alice's signature, of another KEM key.",
        recipient_text(sw.X25519, CAROL.recipient.kem_public, halves),
    )

    def signed_by(name: str, about: str, signer: Signer) -> None:
        bad(f"signature-{name}", about, recipient_text(sw.X25519, BOB.recipient.kem_public, signer))

    signed_by("flipped", "A bit of the signature is flipped.", Signer(bob.public, lambda m: flipped(bob.sign(m), 0)))
    signed_by("s-plus-l", "S + L instead of S.", Signer(bob.public, lambda m: with_s_plus_l(bob.sign(m))))
    signed_by("r-neutral", "R is the neutral element.", signer_with_r(BOB, ONE))
    signed_by(
        "without-label",
        "A signature without the label.",
        Signer(bob.public, lambda m: bob.sign(m[len(sw.LABEL("recipient")) :])),
    )
    signed_by("key-neutral", "The Ed25519 key is the neutral element.", signer_of_small_order(ONE))
    signed_by("key-of-order-8", "The Ed25519 key is of order 8.", signer_of_small_order(ORDER_8))
    signed_by(
        "key-not-canonical",
        "The Ed25519 key is the neutral element, y = p + 1.",
        signer_of_small_order(NON_CANONICAL_ONE),
    )


def first_letter_raised(text: str) -> str:
    at = next(i for i in range(20, len(text)) if text[i].isalpha())
    return text[:at] + text[at].upper() + text[at + 1 :]


def identity_cases() -> None:
    def bad(name: str, about: str, text: str, code: str = sw.INVALID_KEY) -> None:
        key_case("identity", f"identity-{name}", code, "§10", about, text)

    for name, who in (("xwing", ALICE), ("x25519", BOB)):
        fingerprint = who.recipient.fingerprint.hex()
        about = f"An identity with {sw.KEMS[who.kem_id].name}."
        key_case("identity", f"identity-{name}", "ok", "§10", about, who.to_text(), fingerprint=fingerprint)
    hrp, good = "sealwire-identity", ALICE.to_text()
    raw = sw.bech32m_decode(hrp, good)
    bad("letter-wrong", "One letter is wrong.", replaced(good, 60))
    bad("upper-case", "All letters are upper case.", good.upper())
    bad("is-recipient", "A recipient where an identity is expected.", BOB.recipient.to_text())
    bad(
        "under-recipient-hrp",
        "An identity under the human-readable part of a recipient.",
        sw.bech32m_encode("sealwire", raw),
    )
    bad("65-bytes", "A byte is missing.", sw.bech32m_encode(hrp, raw[:-1]))
    bad("67-bytes", "A byte too many.", sw.bech32m_encode(hrp, raw + b"\x00"))
    for size in (1, 2, 33, 34):
        bad(f"{size}-bytes", f"Only the first {size} bytes.", sw.bech32m_encode(hrp, raw[:size]))
    other_bits = bytes([BOB.kem_private[0] ^ 7]) + BOB.kem_private[1:31] + bytes([BOB.kem_private[31] ^ 128])
    about = "Bob's identity with other values in the bits that X25519 ignores: the same recipient."
    text = sw.Identity(BOB.kem_id, other_bits, BOB.signing_private).to_text()
    key_case("identity", "identity-x25519-ignored-bits", "ok", "§10", about, text, fingerprint=BOB.recipient.fingerprint.hex())
    bad(
        "unknown-kem",
        "A KEM id that this version does not have.",
        sw.bech32m_encode(hrp, b"\x00\x10" + raw[2:]),
        sw.UNSUPPORTED,
    )
    bad("4097-characters", "More than 4096 characters.", sw.bech32m_of_fives(hrp, [0] * 4073), sw.TOO_LARGE)


def pin_cases() -> None:
    def bad(name: str, about: str, text: str, code: str = sw.INVALID_KEY) -> None:
        key_case("pin", f"pin-{name}", code, "§10", about, text)

    recipient = ALICE.recipient
    hrp, good, raw = "sealwire-pin", recipient.pin, recipient.fingerprint
    key_case("pin", "pin-whole", "ok", "§10", "The pin of a recipient.", good, fingerprint=raw.hex())
    fives = [sw.BECH32.index(letter) for letter in good[len(hrp) + 1 : -6]]
    bad("letter-wrong", "One letter is wrong.", replaced(good, 30))
    bad("upper-case", "All letters are upper case.", good.upper())
    bad("31-bytes", "A byte is missing.", sw.bech32m_encode(hrp, raw[:-1]))
    bad("33-bytes", "A byte too many.", sw.bech32m_encode(hrp, raw + b"\x00"))
    bad("padding-bits", "Padding bits that are not zero.", sw.bech32m_of_fives(hrp, fives[:-1] + [fives[-1] | 1]))
    bad("other-hrp", "The human-readable part is sealwire.", sw.bech32m_encode("sealwire", raw))
    bad("for-people", "The short form for people.", recipient.for_people)
    bad("4097-characters", "More than 4096 characters.", sw.bech32m_of_fives(hrp, [0] * 4078), sw.TOO_LARGE)


# ---- §13 Text ---------------------------------------------------------------------------------


def text_cases() -> None:
    def bad(name: str, about: str, text: str) -> None:
        key_case("text", f"text-{name}", sw.MALFORMED, "§13", about, text)

    for left in (0, 1, 2):
        envelope = make("text", Draft(padded=False, payload=bytes(9 + left)))
        name, about = (
            f"text-length-{len(envelope) % 3}-mod-3",
            f"An envelope as text, its length {len(envelope) % 3} modulo 3.",
        )
        key_case("text", name, "ok", "§13", about, sw.to_text(envelope), bytes=envelope.hex())
    by_rest = {
        len(e) % 3: e for e in (make("text", Draft(padded=False, payload=bytes(9 + left))) for left in (0, 1, 2))
    }
    good, one_over, two_over = (sw.to_text(by_rest[rest]) for rest in (0, 1, 2))
    bad("padded-1", "With the padding character.", two_over + "=")
    bad("padded-2", "With two padding characters.", one_over + "==")
    bad("plus", "With + of the other alphabet.", good[:30] + "+" + good[31:])
    bad("slash", "With / of the other alphabet.", good[:30] + "/" + good[31:])
    bad("newline-at-end", "With a newline at the end.", good + "\n")
    bad("newline-inside", "With a newline after 76 characters.", good[:76] + "\n" + good[76:])
    bad("space-before", "With a space before it.", " " + good)
    bad("not-ascii", "With a letter outside ASCII.", good[:30] + "ä" + good[31:])
    bad("length-1-mod-4", "A length that no bytes have.", good + "A")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for name, text in (("2", two_over), ("4", one_over)):
        last = alphabet[alphabet.index(text[-1]) | 1]
        bad(f"trailing-{name}-bits", f"The last of the {name} trailing bits is not zero.", text[:-1] + last)


# ---- writing and checking ---------------------------------------------------------------------

SECTIONS = (
    cbor_cases, envelope_cases, fixed_cases, slot_cases, limit_cases, reader_cases, tag_cases, private_cases,
    body_cases, signature_cases, context_cases, recipient_cases, identity_cases, pin_cases, text_cases,
)  # fmt: skip


def write() -> None:
    for section in SECTIONS:
        section()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, case in CASES.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(case, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(CASES)} cases written")


def run(case: dict) -> dict:
    """What the case says about the answer, as the reader gives it."""
    try:
        return {"expect": "ok"} | READERS[case["operation"]](case)
    except sw.SealwireError as error:
        return {"expect": error.code}


def run_open(case: dict) -> dict:
    answer = interop.open_(case)
    payload = sw.from_text(answer.pop("plaintext"))
    return answer | payload_fields(payload)


READERS: dict[str, Callable[[dict], dict]] = {
    "open": run_open,
    "recipient": lambda case: {"fingerprint": sw.parse_recipient(case["text"]).fingerprint.hex()},
    "identity": lambda case: {"fingerprint": sw.parse_identity(case["text"]).recipient.fingerprint.hex()},
    "pin": lambda case: {"fingerprint": sw.parse_pin(case["text"]).hex()},
    "text": lambda case: {"bytes": sw.from_text(case["text"]).hex()},
}
ASKED = {"about", "spec", "operation", "envelope", "unlock", "context", "part", "signers", "text"}


def check() -> int:
    files = sorted(FOLDER.glob("*.json"))
    wrong = 0
    for file in files:
        case = json.loads(file.read_text(encoding="utf-8"))
        expected = {key: value for key, value in case.items() if key not in ASKED}
        answer = run(case)
        if answer != expected:
            wrong += 1
            print(f"{file.name}: expected {expected}, got {answer}")
    print(f"{len(files)} cases, {wrong} wrong")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(check())
    write()
