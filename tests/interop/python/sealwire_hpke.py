"""HPKE (RFC 9180), base mode, with a context that seals several times and exports.

The package `cryptography` has HPKE for a single message only, so this puts its primitives together as
the RFC says. X-Wing is draft-connolly-cfrg-xwing-kem; in HPKE its shared secret is used as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from sealwire_spec import MLKEM_PUBLIC, REJECTED, X25519, XWING, SealwireError, _xwing_halves, need

HKDF_SHA256 = 0x0001
MLKEM_CT = 1088


@dataclass(frozen=True)
class Aead:
    key_size: int
    cipher: Callable


AEADS = {0x0001: Aead(16, AESGCM), 0x0002: Aead(32, AESGCM), 0x0003: Aead(32, ChaCha20Poly1305)}


def extract(salt: bytes, ikm: bytes) -> bytes:
    return HKDF.extract(hashes.SHA256(), salt or bytes(32), ikm)


def expand(prk: bytes, info: bytes, size: int) -> bytes:
    return HKDFExpand(hashes.SHA256(), size, info).derive(prk)


def aead_open(aead: int, key: bytes, nonce: bytes, ct: bytes, aad: bytes) -> bytes:
    need(len(ct) >= 16, REJECTED, "less than a tag")
    try:
        return AEADS[aead].cipher(key).decrypt(nonce, ct, aad)
    except InvalidTag:
        raise SealwireError(REJECTED, "does not open") from None


def counted(base_nonce: bytes, i: int) -> bytes:
    return (int.from_bytes(base_nonce, "big") ^ i).to_bytes(12, "big")


# ---- RFC 9180 §4 ------------------------------------------------------------------------------


def labeled_extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return extract(salt, b"HPKE-v1" + suite_id + label + ikm)


def labeled_expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return expand(prk, size.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info, size)


# ---- RFC 9180 §4.1: DHKEM(X25519) -------------------------------------------------------------

KEM_SUITE_X25519 = b"KEM" + X25519.to_bytes(2, "big")


def derive_x25519(ikm: bytes) -> X25519PrivateKey:
    prk = labeled_extract(KEM_SUITE_X25519, b"", b"dkp_prk", ikm)
    return X25519PrivateKey.from_private_bytes(labeled_expand(KEM_SUITE_X25519, prk, b"sk", b"", 32))


def dh(private: X25519PrivateKey, public: bytes) -> bytes:
    try:  # the exchange refuses points of small order, whose result is zero
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise SealwireError(REJECTED, "an X25519 key of small order") from None


def x25519_shared(secret: bytes, enc: bytes, public: bytes) -> bytes:
    prk = labeled_extract(KEM_SUITE_X25519, b"", b"eae_prk", secret)
    return labeled_expand(KEM_SUITE_X25519, prk, b"shared_secret", enc + public, 32)


def x25519_encap(public: bytes, ephemeral: X25519PrivateKey) -> tuple[bytes, bytes]:
    enc = ephemeral.public_key().public_bytes_raw()
    return x25519_shared(dh(ephemeral, public), enc, public), enc


def x25519_decap(private: bytes, enc: bytes) -> bytes:
    own = X25519PrivateKey.from_private_bytes(private)
    return x25519_shared(dh(own, enc), enc, own.public_key().public_bytes_raw())


# ---- X-Wing -----------------------------------------------------------------------------------


def xwing_shared(mlkem: bytes, x25519: bytes, x25519_ct: bytes, x25519_public: bytes) -> bytes:
    return hashlib.sha3_256(mlkem + x25519 + x25519_ct + x25519_public + rb"\.//^" + b"\\").digest()


def xwing_encap(public: bytes, ephemeral: X25519PrivateKey) -> tuple[bytes, bytes]:
    mlkem_shared, mlkem_ct = MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC]).encapsulate()
    theirs, ours = public[MLKEM_PUBLIC:], ephemeral.public_key().public_bytes_raw()
    return xwing_shared(mlkem_shared, dh(ephemeral, theirs), ours, theirs), mlkem_ct + ours


def xwing_decap(seed: bytes, enc: bytes) -> bytes:
    mlkem, x25519 = _xwing_halves(seed)
    ct = enc[MLKEM_CT:]
    return xwing_shared(
        mlkem.decapsulate(enc[:MLKEM_CT]), dh(x25519, ct), ct, x25519.public_key().public_bytes_raw()
    )


ENCAP = {XWING: xwing_encap, X25519: x25519_encap}
DECAP = {XWING: xwing_decap, X25519: x25519_decap}

# ---- RFC 9180 §5: base mode -------------------------------------------------------------------


class Context:
    """A sender's or a recipient's; each side uses its own half of the methods."""

    def __init__(self, kem: int, aead: int, shared: bytes, info: bytes) -> None:
        self.aead = aead
        self.suite_id = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (kem, HKDF_SHA256, aead))
        hashed = b"".join(
            labeled_extract(self.suite_id, b"", label, value)
            for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))
        )
        secret = labeled_extract(self.suite_id, shared, b"secret", b"")

        def derived(label: bytes, size: int) -> bytes:
            return labeled_expand(self.suite_id, secret, label, b"\x00" + hashed, size)

        self.key = derived(b"key", AEADS[aead].key_size)
        self.base_nonce = derived(b"base_nonce", 12)
        self.exporter_secret = derived(b"exp", 32)
        self.count = 0

    def export(self, context: bytes, size: int) -> bytes:
        return labeled_expand(self.suite_id, self.exporter_secret, b"sec", context, size)

    def seal(self, aad: bytes, plaintext: bytes) -> bytes:
        return AEADS[self.aead].cipher(self.key).encrypt(self._next(), plaintext, aad)

    def open(self, aad: bytes, ct: bytes) -> bytes:
        return aead_open(self.aead, self.key, self._next(), ct, aad)

    def _next(self) -> bytes:
        nonce = counted(self.base_nonce, self.count)
        self.count += 1
        return nonce


def setup_sender(
    kem: int, aead: int, public: bytes, info: bytes, ephemeral: X25519PrivateKey | None = None
) -> tuple[bytes, Context]:
    shared, enc = ENCAP[kem](public, ephemeral or X25519PrivateKey.generate())
    return enc, Context(kem, aead, shared, info)


def setup_recipient(kem: int, aead: int, private: bytes, enc: bytes, info: bytes) -> Context:
    return Context(kem, aead, DECAP[kem](private, enc), info)


# ---- others' vectors --------------------------------------------------------------------------


def check_vectors(vectors: list[dict]) -> int:
    """How many of them (base mode, HKDF-SHA256, a KEM and an AEAD from here) were done, every value right."""
    done = 0
    for vector in vectors:
        known = vector["kem_id"] in ENCAP and vector["kdf_id"] == HKDF_SHA256 and vector["aead_id"] in AEADS
        if vector["mode"] != 0 or not known:
            continue
        kem, aead = vector["kem_id"], vector["aead_id"]
        private, enc, info = (bytes.fromhex(vector[name]) for name in ("skRm", "enc", "info"))
        reader = setup_recipient(kem, aead, private, enc, info)
        writer = setup_recipient(kem, aead, private, enc, info)
        for step in vector["encryptions"]:
            aad, ct, pt = (bytes.fromhex(step[name]) for name in ("aad", "ct", "pt"))
            assert reader.open(aad, ct) == pt and writer.seal(aad, pt) == ct
        for step in vector["exports"]:
            exported = reader.export(bytes.fromhex(step["exporter_context"]), step["L"])
            assert exported.hex() == step["exported_value"]
        if "skEm" in vector:
            assert derive_x25519(bytes.fromhex(vector["ikmE"])).private_bytes_raw().hex() == vector["skEm"]
            ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["skEm"]))
            made, context = setup_sender(kem, aead, bytes.fromhex(vector["pkRm"]), info, ephemeral)
            assert made == enc and context.key.hex() == vector["key"]
        done += 1
    return done


def check_xwing_vectors(vectors: list[dict]) -> int:
    for vector in vectors:
        seed, ct = bytes.fromhex(vector["sk"]), bytes.fromhex(vector["ct"])
        assert xwing_decap(seed, ct).hex() == vector["ss"]
    return len(vectors)
