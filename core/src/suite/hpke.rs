//! HPKE in base mode (RFC 9180) with the two KEMs of SPEC §4.

use super::aead::HpkeChaCha;
use super::oblivious::HpkeAead;
use super::random::random_key;
use crate::error::{Error, Result};
use crate::secret::Key;
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::{Deserializable, Kem as HpkeKem, OpModeR, Serializable};
use zeroize::Zeroize;

type Public<K> = <K as HpkeKem>::PublicKey;
type Private<K> = <K as HpkeKem>::PrivateKey;

/// How a recipient's content keys are agreed on.
///
/// Source: SPEC §4; the numbers are those of the HPKE registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kem {
    /// X-Wing (0x647a), ML-KEM-768 with X25519: what is recorded today stays sealed against a quantum computer.
    XWing,
    /// DHKEM(X25519, HKDF-SHA256) (0x0020): 32-byte keys, **not** post-quantum.
    X25519,
}

impl Kem {
    /// The number in the HPKE KEM registry.
    #[must_use]
    pub fn id(self) -> u16 {
        match self {
            Self::XWing => XWing::KEM_ID,
            Self::X25519 => X25519HkdfSha256::KEM_ID,
        }
    }

    pub(crate) fn with_id(id: u64) -> Option<Self> {
        [Self::XWing, Self::X25519].into_iter().find(|kem| u64::from(kem.id()) == id)
    }

    pub(crate) fn public_len(self) -> usize {
        match self {
            Self::XWing => Public::<XWing>::size(),
            Self::X25519 => Public::<X25519HkdfSha256>::size(),
        }
    }

    pub(crate) fn enc_len(self) -> usize {
        match self {
            Self::XWing => <XWing as HpkeKem>::EncappedKey::size(),
            Self::X25519 => <X25519HkdfSha256 as HpkeKem>::EncappedKey::size(),
        }
    }
}

/// A checked KEM public key.
#[derive(Clone)]
pub(crate) enum KemPublic {
    XWing(Box<Public<XWing>>),
    X25519(Box<Public<X25519HkdfSha256>>),
}

impl KemPublic {
    /// Refuses wrong lengths, ML-KEM coefficients out of range (FIPS 203 §7.2), and X25519 keys that
    /// are not canonical or of small order.
    pub(crate) fn from_bytes(kem: Kem, bytes: &[u8]) -> Result<Self> {
        let invalid = |_| Error::InvalidKey(&"not a public key of its KEM");
        let x25519 = bytes.split_last_chunk::<32>().map(|(_, x25519)| x25519);
        check_x25519(x25519.ok_or(Error::InvalidKey(&"not a public key of its KEM"))?)?;
        Ok(match kem {
            Kem::XWing => Self::XWing(Box::new(Public::<XWing>::from_bytes(bytes).map_err(invalid)?)),
            Kem::X25519 => {
                Self::X25519(Box::new(Public::<X25519HkdfSha256>::from_bytes(bytes).map_err(invalid)?))
            }
        })
    }

    pub(crate) fn kem(&self) -> Kem {
        match self {
            Self::XWing(_) => Kem::XWing,
            Self::X25519(_) => Kem::X25519,
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::XWing(key) => key.to_bytes().to_vec(),
            Self::X25519(key) => key.to_bytes().to_vec(),
        }
    }

    /// HPKE `SealBase` with empty associated data: (enc, ct).
    pub(crate) fn seal(&self, info: &[u8], plaintext: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let (enc, mut context) = self.start_sending(HpkeAead::ChaCha20Poly1305, info)?;
        let mut ct = plaintext.to_vec();
        let tag = context.seal(&[], &mut ct)?;
        ct.extend(tag);
        Ok((enc, ct))
    }
}

/// A KEM private key: the 32 bytes that are stored, and what its crate makes of them.
pub(crate) struct KemSecret {
    stored: Key,
    parsed: Parsed,
}

pub(super) enum Parsed {
    XWing(Box<Private<XWing>>),
    X25519(Box<Private<X25519HkdfSha256>>),
}

impl KemSecret {
    pub(crate) fn generate(kem: Kem) -> Result<Self> {
        Self::from_bytes(kem, random_key()?)
    }

    pub(crate) fn from_bytes(kem: Kem, stored: Key) -> Result<Self> {
        let invalid = |_| Error::InvalidKey(&"not a private key of its KEM");
        let bytes = stored.expose();
        let parsed = match kem {
            Kem::XWing => Parsed::XWing(Box::new(Private::<XWing>::from_bytes(bytes).map_err(invalid)?)),
            Kem::X25519 => {
                Parsed::X25519(Box::new(Private::<X25519HkdfSha256>::from_bytes(bytes).map_err(invalid)?))
            }
        };
        Ok(Self { stored, parsed })
    }

    pub(super) fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    pub(crate) fn kem(&self) -> Kem {
        match self.parsed {
            Parsed::XWing(_) => Kem::XWing,
            Parsed::X25519(_) => Kem::X25519,
        }
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.stored.expose()
    }

    pub(crate) fn public(&self) -> KemPublic {
        match &self.parsed {
            Parsed::XWing(key) => KemPublic::XWing(Box::new(XWing::sk_to_pk(key))),
            Parsed::X25519(key) => KemPublic::X25519(Box::new(X25519HkdfSha256::sk_to_pk(key))),
        }
    }

    /// HPKE `OpenBase` with empty associated data of a sealed 32-byte key; `None` if it does not open.
    pub(crate) fn open(&self, enc: &[u8], info: &[u8], ct: &[u8]) -> Option<Key> {
        let mut opened = match &self.parsed {
            Parsed::XWing(key) => open_base::<XWing>(key, enc, info, &[], ct),
            Parsed::X25519(key) => open_base::<X25519HkdfSha256>(key, enc, info, &[], ct),
        }?;
        let key = opened.as_slice().try_into().ok().map(Key::copied);
        opened.zeroize();
        key
    }
}

/// HPKE `OpenBase`; `None` if it does not open.
fn open_base<K: HpkeKem>(
    key: &Private<K>,
    enc: &[u8],
    info: &[u8],
    aad: &[u8],
    ct: &[u8],
) -> Option<Vec<u8>> {
    let enc = <K as HpkeKem>::EncappedKey::from_bytes(enc).ok()?;
    hpke::setup_receiver::<HpkeChaCha, HkdfSha256, K>(&OpModeR::Base, key, &enc, info)
        .ok()?
        .open(ct, aad)
        .ok()
}

/// For the vectors of others, which use associated data.
#[cfg(test)]
pub(super) fn open_with_aad(
    kem: Kem,
    key: &[u8],
    enc: &[u8],
    info: &[u8],
    aad: &[u8],
    ct: &[u8],
) -> Option<Vec<u8>> {
    match kem {
        Kem::XWing => open_base::<XWing>(&Private::<XWing>::from_bytes(key).ok()?, enc, info, aad, ct),
        Kem::X25519 => {
            let key = Private::<X25519HkdfSha256>::from_bytes(key).ok()?;
            open_base::<X25519HkdfSha256>(&key, enc, info, aad, ct)
        }
    }
}

/// Refuses X25519 public keys with a second encoding (RFC 7748 would reduce them) and those of small order.
fn check_x25519(bytes: &[u8; 32]) -> Result<()> {
    // p = 2^255 − 19, little-endian; at or above it a second encoding begins.
    let at_least_p = bytes[31] >= 0x7f
        && (bytes[31] > 0x7f || (bytes[1..31].iter().all(|&byte| byte == 0xff) && bytes[0] >= 0xed));
    if at_least_p {
        return Err(Error::InvalidKey(&"an X25519 public key that is not canonical"));
    }
    // Clamped scalars are multiples of 8, so any of them takes a point of small order to zero.
    let contributory = x25519_dalek::StaticSecret::from([1; 32])
        .diffie_hellman(&x25519_dalek::PublicKey::from(*bytes))
        .was_contributory();
    if contributory { Ok(()) } else { Err(Error::InvalidKey(&"an X25519 public key of small order")) }
}
