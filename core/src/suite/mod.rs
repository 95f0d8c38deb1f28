//! The cryptography, and the only folder that names a crypto crate (SPEC §0, §3, §16).
//!
//! Everything here is a published construction over a published crate; the tests beside it run other
//! people's vectors through these very functions.

mod aead;
mod argon;
mod hpke;
mod oblivious;
mod random;
mod sign;

pub use aead::Aead;
pub(crate) use aead::{AeadKey, TAG_LEN, open0, seal0};
pub(crate) use argon::argon2id;
pub use hpke::Kem;
pub(crate) use hpke::{KemPublic, KemSecret};
pub(crate) use oblivious::{
    Exported, HKDF_SHA256, HpkeAead, Receiving, ResponseKey, Sending, response_nonce,
};
#[cfg(test)]
pub(crate) use random::scripted as scripted_random;
pub(crate) use random::{random_array, random_key};
pub use sign::Signer;
pub(crate) use sign::{SIGNATURE_LEN, SigningKey, hex};

use crate::secret::Key;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// The labels of SPEC §16, each with the closing zero byte that makes them prefix-free.
pub(crate) mod label {
    pub(crate) const BODY_KEY: &[u8] = b"sealwire/v1 body key\0";
    pub(crate) const SLOTS_TAG_KEY: &[u8] = b"sealwire/v1 slots tag key\0";
    pub(crate) const PRIVATE_BLOCK_KEY: &[u8] = b"sealwire/v1 private block key\0";
    pub(crate) const SLOTS_TAG: &[u8] = b"sealwire/v1 slots tag\0";
    pub(crate) const SLOT: &[u8] = b"sealwire/v1 slot\0";
    pub(crate) const SLOT_HINT: &[u8] = b"sealwire/v1 slot hint\0";
    pub(crate) const KEY_ID: &[u8] = b"sealwire/v1 key id\0";
    pub(crate) const BODY_CONTEXT: &[u8] = b"sealwire/v1 body context\0";
    pub(crate) const SIGNATURE: &[u8] = b"sealwire/v1 signature\0";
    pub(crate) const RECIPIENT: &[u8] = b"sealwire/v1 recipient\0";
    pub(crate) const FINGERPRINT: &[u8] = b"sealwire/v1 fingerprint\0";
    pub(crate) const SERVICE_KEYS: &[u8] = b"sealwire/v1 service keys\0";
    pub(crate) const REPLAY_ID: &[u8] = b"sealwire/v1 replay id\0";
    pub(crate) const IDEMPOTENCY_KEY: &[u8] = b"sealwire/v1 idempotency key\0";
    pub(crate) const LAST_SEEN: &[u8] = b"sealwire/v1 last seen\0";
    pub(crate) const ORIGIN_NONCE: &[u8] = b"sealwire/v1 origin nonce\0";
}

/// SHA-256 of the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = PayloadHash::default();
    parts.iter().for_each(|part| hash.update(part));
    hash.done()
}

/// SHA-256 of a payload that arrives in pieces.
#[derive(Clone, Default)]
pub(crate) struct PayloadHash(Sha256);

impl PayloadHash {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn done(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// SHA-512 of a body that arrives in pieces, for digests that others made.
#[derive(Default)]
pub(crate) struct Sha512Hash(Sha512);

impl Sha512Hash {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn done(self) -> [u8; 64] {
        self.0.finalize().into()
    }
}

/// HMAC-SHA256 of the concatenation of `parts`.
pub(crate) fn hmac_sha256(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    hmac::<Hmac<Sha256>>(key.expose(), parts).finalize().into_bytes().into()
}

/// An HMAC under a key that is not longer than the hash's block (64 bytes or more).
fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> M {
    let mut block = hmac::digest::Key::<M>::default();
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <M as KeyInit>::new(&block);
    block.zeroize();
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// HKDF-SHA256 (RFC 5869), extract and expand, 32 bytes out.
pub(crate) fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[u8]) -> Key {
    let hkdf = Hkdf::<Sha256>::new(Some(salt), ikm);
    // 32 bytes are one block; expand fails above 255 blocks only.
    Key::from_fill(|out| hkdf.expand(info, out).unwrap_or_default())
}

/// What C2SP chunked encryption derives from an input key: AEAD key, base nonce, commitment.
pub(crate) struct ChunkSecrets {
    pub(crate) key: Key,
    pub(crate) base_nonce: [u8; 12],
    pub(crate) commitment: [u8; 32],
}

/// HKDF-Expand-SHA512 of a 32-byte PRK to key ‖ base nonce ‖ commitment.
pub(crate) fn chunk_secrets(prk: &Key, info: &[&[u8]]) -> ChunkSecrets {
    let mut okm = [0; 76];
    expand_sha512(prk.expose(), info, &mut okm);
    let mut base_nonce = [0; 12];
    let mut commitment = [0; 32];
    let (key, rest) = okm.split_at(32);
    let (nonce, rest) = rest.split_at(12);
    base_nonce.copy_from_slice(nonce);
    commitment.copy_from_slice(rest);
    let key = Key::from_fill(|out| out.copy_from_slice(key));
    okm.zeroize();
    ChunkSecrets { key, base_nonce, commitment }
}

/// HKDF-Expand-SHA512 (RFC 5869 §2.3), for at most 255 blocks.
///
/// Spelled out over HMAC because `hkdf` refuses a PRK that is shorter than the hash, as C2SP uses it.
fn expand_sha512(prk: &[u8], info: &[&[u8]], okm: &mut [u8]) {
    let mut previous: [u8; 64] = [0; 64];
    for (block, counter) in okm.chunks_mut(64).zip(1_u8..=255) {
        let before: &[u8] = if counter == 1 { &[] } else { &previous };
        let counter = [counter];
        let parts = [&[before], info, &[&counter]].concat();
        previous = hmac::<Hmac<Sha512>>(prk, &parts).finalize().into_bytes().into();
        block.iter_mut().zip(previous).for_each(|(to, from)| *to = from);
    }
    previous.zeroize();
}

/// Equality in constant time, for values that a secret decides.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod conformance;
