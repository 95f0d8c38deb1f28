//! HPKE as Oblivious HTTP uses it (RFC 9458 §4): a context that seals a request, and a key for its response that is exported from it.

use super::aead::{AeadKey, HpkeChaCha};
use super::hpke::{KemPublic, KemSecret, Parsed};
use super::random::OsRng;
use super::{TAG_LEN, random_array};
use crate::error::{Error, Result};
use crate::secret::Key;
use hkdf::Hkdf;
use hpke::aead::{Aead as AeadTrait, AeadCtxR, AeadCtxS, AeadTag, AesGcm128, AesGcm256};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::{Deserializable, Kem as HpkeKem, OpModeR, OpModeS, Serializable};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The AEADs of exchanges, with their numbers in the HPKE registry. AES-128-GCM is there for others' services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HpkeAead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

pub(crate) const HKDF_SHA256: u16 = 1;
pub(crate) const NONCE_LEN: usize = 12;

impl HpkeAead {
    pub(crate) fn id(self) -> u16 {
        match self {
            Self::Aes128Gcm => 1,
            Self::Aes256Gcm => 2,
            Self::ChaCha20Poly1305 => 3,
        }
    }

    pub(crate) fn with_id(id: u16) -> Option<Self> {
        [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305].into_iter().find(|aead| aead.id() == id)
    }

    /// Nk of RFC 9180; also the larger of Nk and Nn.
    pub(crate) fn key_len(self) -> usize {
        if self == Self::Aes128Gcm { 16 } else { 32 }
    }
}

/// Seals one message after the other, for one receiver. Nonces count up inside.
pub(crate) trait Sending: Send + Sync {
    /// Encrypts `text` in place and gives the tag.
    fn seal(&mut self, aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_LEN]>;
    /// `Context.Export`.
    fn export(&self, label: &[u8], len: usize) -> Result<Exported>;
}

/// Opens what a [`Sending`] sealed, in the same order.
pub(crate) trait Receiving: Send + Sync {
    /// Decrypts `text` in place if the tag is right; otherwise [`Error::Rejected`], and `text` is zeroed.
    fn open(&mut self, aad: &[u8], text: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<()>;
    /// `Context.Export`.
    fn export(&self, label: &[u8], len: usize) -> Result<Exported>;
}

/// An exported secret.
pub(crate) type Exported = Zeroizing<Vec<u8>>;

const EXPORT_FAILED: Error = Error::Unsupported(&"an HPKE export");

impl<A: AeadTrait, K: HpkeKem> Sending for AeadCtxS<A, HkdfSha256, K>
where
    Self: Send + Sync,
{
    fn seal(&mut self, aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_LEN]> {
        let tag = self
            .seal_inout_detached(InOutBuf::from(text), aad)
            .map_err(|_| Error::TooLarge(&"an exchange has at most 2^64 chunks"))?;
        tag.to_bytes().as_slice().try_into().map_err(|_| EXPORT_FAILED)
    }

    fn export(&self, label: &[u8], len: usize) -> Result<Exported> {
        let mut secret = Zeroizing::new(vec![0; len]);
        Self::export(self, label, &mut secret).map_err(|_| EXPORT_FAILED)?;
        Ok(secret)
    }
}

impl<A: AeadTrait, K: HpkeKem> Receiving for AeadCtxR<A, HkdfSha256, K>
where
    Self: Send + Sync,
{
    fn open(&mut self, aad: &[u8], text: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<()> {
        let tag = AeadTag::<A>::from_bytes(tag).map_err(|_| Error::Rejected)?;
        let opened = self.open_inout_detached(InOutBuf::from(&mut *text), aad, &tag);
        opened.map_err(|_| {
            text.fill(0);
            Error::Rejected
        })
    }

    fn export(&self, label: &[u8], len: usize) -> Result<Exported> {
        let mut secret = Zeroizing::new(vec![0; len]);
        Self::export(self, label, &mut secret).map_err(|_| EXPORT_FAILED)?;
        Ok(secret)
    }
}

impl KemPublic {
    /// `SetupBaseS`: enc and the context.
    pub(crate) fn start_sending(&self, aead: HpkeAead, info: &[u8]) -> Result<(Vec<u8>, Box<dyn Sending>)> {
        fn start<A: AeadTrait + 'static, K: HpkeKem + 'static>(
            key: &K::PublicKey,
            info: &[u8],
        ) -> Result<(Vec<u8>, Box<dyn Sending>)>
        where
            AeadCtxS<A, HkdfSha256, K>: Send + Sync,
        {
            let mut rng = OsRng::default();
            let (enc, context) =
                hpke::setup_sender_with_rng::<A, HkdfSha256, K>(&OpModeS::Base, key, info, &mut rng)
                    .map_err(|_| Error::InvalidKey(&"the KEM refused a public key"))?;
            rng.check()?;
            Ok((enc.to_bytes().to_vec(), Box::new(context)))
        }
        match (self, aead) {
            (Self::XWing(key), HpkeAead::Aes128Gcm) => start::<AesGcm128, XWing>(key, info),
            (Self::XWing(key), HpkeAead::Aes256Gcm) => start::<AesGcm256, XWing>(key, info),
            (Self::XWing(key), HpkeAead::ChaCha20Poly1305) => start::<HpkeChaCha, XWing>(key, info),
            (Self::X25519(key), HpkeAead::Aes128Gcm) => start::<AesGcm128, X25519HkdfSha256>(key, info),
            (Self::X25519(key), HpkeAead::Aes256Gcm) => start::<AesGcm256, X25519HkdfSha256>(key, info),
            (Self::X25519(key), HpkeAead::ChaCha20Poly1305) => {
                start::<HpkeChaCha, X25519HkdfSha256>(key, info)
            }
        }
    }
}

impl KemSecret {
    /// `SetupBaseR`; [`Error::Rejected`] if the KEM refuses `enc`.
    pub(crate) fn start_receiving(
        &self,
        aead: HpkeAead,
        enc: &[u8],
        info: &[u8],
    ) -> Result<Box<dyn Receiving>> {
        fn start<A: AeadTrait + 'static, K: HpkeKem + 'static>(
            key: &K::PrivateKey,
            enc: &[u8],
            info: &[u8],
        ) -> Result<Box<dyn Receiving>>
        where
            AeadCtxR<A, HkdfSha256, K>: Send + Sync,
        {
            let enc = K::EncappedKey::from_bytes(enc).map_err(|_| Error::Rejected)?;
            let context = hpke::setup_receiver::<A, HkdfSha256, K>(&OpModeR::Base, key, &enc, info);
            Ok(Box::new(context.map_err(|_| Error::Rejected)?))
        }
        match (self.parsed(), aead) {
            (Parsed::XWing(key), HpkeAead::Aes128Gcm) => start::<AesGcm128, XWing>(key, enc, info),
            (Parsed::XWing(key), HpkeAead::Aes256Gcm) => start::<AesGcm256, XWing>(key, enc, info),
            (Parsed::XWing(key), HpkeAead::ChaCha20Poly1305) => start::<HpkeChaCha, XWing>(key, enc, info),
            (Parsed::X25519(key), HpkeAead::Aes128Gcm) => {
                start::<AesGcm128, X25519HkdfSha256>(key, enc, info)
            }
            (Parsed::X25519(key), HpkeAead::Aes256Gcm) => {
                start::<AesGcm256, X25519HkdfSha256>(key, enc, info)
            }
            (Parsed::X25519(key), HpkeAead::ChaCha20Poly1305) => {
                start::<HpkeChaCha, X25519HkdfSha256>(key, enc, info)
            }
        }
    }
}

/// The key of one response (RFC 9458 §4.4), with the nonces of its chunks.
pub(crate) struct ResponseKey {
    key: AeadKey,
    base_nonce: [u8; NONCE_LEN],
    counter: u64,
}

/// A fresh response nonce; `len` is that of the suite's [`HpkeAead::key_len`].
pub(crate) fn response_nonce(len: usize) -> Result<Vec<u8>> {
    Ok(random_array::<32>()?.get(..len).unwrap_or_default().to_vec())
}

impl ResponseKey {
    pub(crate) fn new(aead: HpkeAead, secret: &Exported, enc: &[u8], response_nonce: &[u8]) -> Result<Self> {
        let hkdf = Hkdf::<Sha256>::new(Some(&[enc, response_nonce].concat()), secret);
        let mut expanded = Ok(());
        let key = Key::from_fill(|key| {
            let (used, _) = key.split_at_mut(aead.key_len());
            expanded = hkdf.expand(b"key", used);
        });
        let mut base_nonce = [0; NONCE_LEN];
        // Only above 255 blocks does it fail.
        expanded.and_then(|()| hkdf.expand(b"nonce", &mut base_nonce)).map_err(|_| EXPORT_FAILED)?;
        Ok(Self { key: AeadKey::for_hpke(aead, &key), base_nonce, counter: 0 })
    }

    /// Seals in place: `buffer` ends with [`TAG_LEN`] bytes of room. Each call takes the next nonce.
    pub(crate) fn seal(&mut self, aad: &[u8], buffer: &mut [u8]) -> Result<()> {
        let nonce = self.next_nonce()?;
        self.key.seal(nonce, aad, buffer);
        Ok(())
    }

    /// Opens `text` in place; zeroes it on failure. Each call takes the next nonce.
    pub(crate) fn open(&mut self, aad: &[u8], text: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<()> {
        let nonce = self.next_nonce()?;
        if self.key.open_in_place(nonce, aad, text, tag) { Ok(()) } else { Err(Error::Rejected) }
    }

    pub(super) fn next_nonce(&mut self) -> Result<[u8; NONCE_LEN]> {
        let mut nonce = self.base_nonce;
        let (_, low) = nonce.split_at_mut(4);
        low.iter_mut().zip(self.counter.to_be_bytes()).for_each(|(byte, counter)| *byte ^= counter);
        self.counter =
            self.counter.checked_add(1).ok_or(Error::TooLarge(&"an exchange has at most 2^64 chunks"))?;
        Ok(nonce)
    }
}
