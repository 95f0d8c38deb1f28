//! AEADs: `ring` (assembly) where it goes, RustCrypto where it does not (WASM).

use super::oblivious::HpkeAead;
use crate::error::{Error, Result};
use crate::secret::Key;

pub(crate) const TAG_LEN: usize = 16;

/// The AEAD of an envelope's body. Every reader opens both.
///
/// Source: SPEC §2; the numbers are those of the IANA AEAD registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aead {
    /// AEAD_AES_256_GCM (2): the fastest where the CPU has AES instructions.
    Aes256Gcm,
    /// AEAD_CHACHA20_POLY1305 (29): constant time in plain software; for browsers and small devices.
    ChaCha20Poly1305,
}

impl Aead {
    /// AES-256-GCM where the CPU has the instructions for it, ChaCha20-Poly1305 elsewhere and in WASM.
    #[must_use]
    pub fn preferred() -> Self {
        if cpu_has_aes() { Self::Aes256Gcm } else { Self::ChaCha20Poly1305 }
    }

    /// The number in the IANA AEAD registry.
    #[must_use]
    pub fn id(self) -> u64 {
        match self {
            Self::Aes256Gcm => 2,
            Self::ChaCha20Poly1305 => 29,
        }
    }

    /// The name in the IANA AEAD registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AEAD_AES_256_GCM",
            Self::ChaCha20Poly1305 => "AEAD_CHACHA20_POLY1305",
        }
    }

    /// The same AEAD for exchanges, where it has another number.
    pub(crate) fn for_hpke(self) -> HpkeAead {
        match self {
            Self::Aes256Gcm => HpkeAead::Aes256Gcm,
            Self::ChaCha20Poly1305 => HpkeAead::ChaCha20Poly1305,
        }
    }

    pub(crate) fn with_id(id: u64) -> Result<Self> {
        [Self::Aes256Gcm, Self::ChaCha20Poly1305]
            .into_iter()
            .find(|aead| aead.id() == id)
            .ok_or(Error::Unsupported(&"another body AEAD"))
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn cpu_has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn cpu_has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_has_aes() -> bool {
    false
}

/// SEAL0 of SPEC §0: ChaCha20-Poly1305 with the zero nonce under a key that is used once.
pub(crate) fn seal0(key: &Key, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = [plaintext, &[0; TAG_LEN]].concat();
    AeadKey::new(Aead::ChaCha20Poly1305, key).seal([0; 12], aad, &mut sealed);
    sealed
}

/// The reverse of [`seal0`] into `out`, which is [`TAG_LEN`] shorter than `sealed`.
pub(crate) fn open0(key: &Key, aad: &[u8], sealed: &[u8], out: &mut [u8]) -> bool {
    AeadKey::new(Aead::ChaCha20Poly1305, key).open([0; 12], aad, sealed, out)
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use with_ring::AeadKey;
#[cfg(target_arch = "wasm32")]
pub(crate) use with_rustcrypto::AeadKey;

#[cfg(not(target_arch = "wasm32"))]
pub(super) use ::hpke::aead::ChaCha20Poly1305 as HpkeChaCha;
#[cfg(target_arch = "wasm32")]
pub(super) use with_rustcrypto::HpkeChaCha;

impl AeadKey {
    /// Opens into `out`: false, and `out` zeroed, unless the tag is right and `out` is 16 bytes shorter than `sealed`.
    pub(crate) fn open(&self, nonce: [u8; 12], aad: &[u8], sealed: &[u8], out: &mut [u8]) -> bool {
        let Some((text, tag)) = sealed.split_last_chunk() else { return false };
        text.len() == out.len() && self.open_into(nonce, aad, text, tag, out)
    }
}

/// Both backends have the same operations:
///
/// - `seal(nonce, aad, buffer)`: `buffer` is plaintext followed by 16 bytes of room for the tag;
/// - `seal_into(nonce, aad, text, sealed)`: the same from elsewhere; `sealed` is 16 bytes longer than `text`;
/// - `open_in_place(nonce, aad, text, tag)`: false, and `text` zeroed, unless the tag is right;
/// - `open_into(nonce, aad, text, tag, out)`: the same into another buffer of the same length.
#[cfg(not(target_arch = "wasm32"))]
pub(super) mod with_ring {
    use super::{Aead, HpkeAead, Key, TAG_LEN};
    use ring::aead;

    pub(crate) struct AeadKey(Option<aead::LessSafeKey>);

    impl AeadKey {
        pub(crate) fn new(aead: Aead, key: &Key) -> Self {
            Self::for_hpke(aead.for_hpke(), key)
        }

        /// AES-128-GCM takes the first 16 bytes.
        pub(crate) fn for_hpke(aead: HpkeAead, key: &Key) -> Self {
            let algorithm = match aead {
                HpkeAead::Aes128Gcm => &aead::AES_128_GCM,
                HpkeAead::Aes256Gcm => &aead::AES_256_GCM,
                HpkeAead::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
            };
            // Always a key, since it has the algorithm's length.
            let key = key.expose().get(..algorithm.key_len()).unwrap_or_default();
            Self(aead::UnboundKey::new(algorithm, key).ok().map(aead::LessSafeKey::new))
        }

        pub(crate) fn seal(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut [u8]) {
            let Some((text, room)) = buffer.split_last_chunk_mut::<TAG_LEN>() else { return };
            let nonce = aead::Nonce::assume_unique_for_key(nonce);
            let tag = self
                .0
                .as_ref()
                .and_then(|key| key.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), text).ok());
            match tag {
                Some(tag) => room.copy_from_slice(tag.as_ref()),
                None => text.fill(0),
            }
        }

        pub(crate) fn seal_into(&self, nonce: [u8; 12], aad: &[u8], text: &[u8], sealed: &mut [u8]) {
            sealed.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
            self.seal(nonce, aad, sealed);
        }

        pub(crate) fn open_into(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            text: &[u8],
            tag: &[u8; TAG_LEN],
            out: &mut [u8],
        ) -> bool {
            out.copy_from_slice(text);
            self.open_in_place(nonce, aad, out, tag)
        }

        pub(crate) fn open_in_place(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            text: &mut [u8],
            tag: &[u8; TAG_LEN],
        ) -> bool {
            let nonce = aead::Nonce::assume_unique_for_key(nonce);
            let aad = aead::Aad::from(aad);
            let opened = self.0.as_ref().is_some_and(|key| {
                key.open_in_place_separate_tag(nonce, aad, aead::Tag::from(*tag), text, 0..).is_ok()
            });
            if !opened {
                text.fill(0);
            }
            opened
        }
    }
}

#[cfg(any(test, target_arch = "wasm32"))]
pub(super) mod with_rustcrypto {
    use super::{Aead, HpkeAead, Key, TAG_LEN};
    use aes_gcm::aead::consts::{U12, U16, U32};
    use aes_gcm::aead::inout::InOutBuf;
    use aes_gcm::aead::{self, AeadCore, AeadInOut, KeyInit, KeySizeUser, Nonce, Tag, TagPosition};
    use aes_gcm::{Aes128Gcm, Aes256Gcm};
    use libcrux_chacha20poly1305 as chacha;
    use zeroize::Zeroizing;

    pub(crate) enum AeadKey {
        Aes128(Box<Aes128Gcm>),
        Aes(Box<Aes256Gcm>),
        ChaCha(ChaChaKey),
    }

    #[derive(Clone)]
    pub(crate) struct ChaChaKey(Zeroizing<[u8; 32]>);

    /// HPKE's ChaCha20-Poly1305: that of the `hpke` crate would be a second implementation in the module.
    #[cfg(target_arch = "wasm32")]
    pub(crate) struct HpkeChaCha;

    #[cfg(target_arch = "wasm32")]
    impl ::hpke::aead::Aead for HpkeChaCha {
        type AeadImpl = ChaChaKey;
        const AEAD_ID: u16 = 3;
    }

    impl KeySizeUser for ChaChaKey {
        type KeySize = U32;
    }

    impl KeyInit for ChaChaKey {
        fn new(key: &aead::Key<Self>) -> Self {
            Self(Zeroizing::new((*key).into()))
        }
    }

    impl AeadCore for ChaChaKey {
        type NonceSize = U12;
        type TagSize = U16;
        const TAG_POSITION: TagPosition = TagPosition::Postfix;
    }

    /// HACL* works from one buffer into another.
    impl AeadInOut for ChaChaKey {
        fn encrypt_inout_detached(
            &self,
            nonce: &Nonce<Self>,
            aad: &[u8],
            mut buffer: InOutBuf<'_, '_, u8>,
        ) -> aead::Result<Tag<Self>> {
            let mut plaintext = buffer.get_in().to_vec();
            let mut tag = [0; TAG_LEN];
            let out = buffer.get_out();
            let is_sealed =
                chacha::encrypt_detached(&self.0, &plaintext, out, &mut tag, aad, nonce.as_ref()).is_ok();
            // zeroize writes byte after byte in WASM: an eighth of the time that sealing takes.
            plaintext.fill(0);
            std::hint::black_box(&plaintext);
            if is_sealed { Ok(tag.into()) } else { Err(aead::Error) }
        }

        fn decrypt_inout_detached(
            &self,
            nonce: &Nonce<Self>,
            aad: &[u8],
            mut buffer: InOutBuf<'_, '_, u8>,
            tag: &Tag<Self>,
        ) -> aead::Result<()> {
            let sealed = buffer.get_in().to_vec();
            let out = buffer.get_out();
            chacha::decrypt_detached(&self.0, out, &sealed, tag.as_ref(), aad, nonce.as_ref())
                .map(drop)
                .map_err(|_| aead::Error)
        }
    }

    impl AeadKey {
        pub(crate) fn new(aead: Aead, key: &Key) -> Self {
            Self::for_hpke(aead.for_hpke(), key)
        }

        /// AES-128-GCM takes the first 16 bytes.
        pub(crate) fn for_hpke(aead: HpkeAead, key: &Key) -> Self {
            let first = key.expose().first_chunk::<16>().unwrap_or(&[0; 16]);
            match aead {
                HpkeAead::Aes128Gcm => Self::Aes128(Box::new(Aes128Gcm::new(first.into()))),
                HpkeAead::Aes256Gcm => Self::Aes(Box::new(Aes256Gcm::new(key.expose().into()))),
                HpkeAead::ChaCha20Poly1305 => Self::ChaCha(ChaChaKey(Zeroizing::new(*key.expose()))),
            }
        }

        pub(crate) fn seal(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut [u8]) {
            let Some((text, room)) = buffer.split_last_chunk_mut::<TAG_LEN>() else { return };
            let tag = match self {
                Self::Aes128(key) => key.encrypt_inout_detached(&nonce.into(), aad, (&mut *text).into()),
                Self::Aes(key) => key.encrypt_inout_detached(&nonce.into(), aad, (&mut *text).into()),
                Self::ChaCha(key) => key.encrypt_inout_detached(&nonce.into(), aad, (&mut *text).into()),
            };
            match tag {
                Ok(tag) => room.copy_from_slice(&tag),
                Err(_) => text.fill(0),
            }
        }

        pub(crate) fn seal_into(&self, nonce: [u8; 12], aad: &[u8], text: &[u8], sealed: &mut [u8]) {
            let Self::ChaCha(key) = self else {
                sealed.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
                return self.seal(nonce, aad, sealed);
            };
            let Some((out, room)) = sealed.split_last_chunk_mut::<TAG_LEN>() else { return };
            if chacha::encrypt_detached(&key.0, text, out, room, aad, &nonce).is_err() {
                out.fill(0);
            }
        }

        pub(crate) fn open_into(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            text: &[u8],
            tag: &[u8; TAG_LEN],
            out: &mut [u8],
        ) -> bool {
            let Self::ChaCha(key) = self else {
                out.copy_from_slice(text);
                return self.open_in_place(nonce, aad, out, tag);
            };
            let opened = chacha::decrypt_detached(&key.0, out, text, tag, aad, &nonce).is_ok();
            if !opened {
                out.fill(0);
            }
            opened
        }

        pub(crate) fn open_in_place(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            text: &mut [u8],
            tag: &[u8; TAG_LEN],
        ) -> bool {
            let (inout, by_nonce, by_tag) = ((&mut *text).into(), &nonce.into(), &(*tag).into());
            let opened = match self {
                Self::Aes128(key) => key.decrypt_inout_detached(by_nonce, aad, inout, by_tag).is_ok(),
                Self::Aes(key) => key.decrypt_inout_detached(by_nonce, aad, inout, by_tag).is_ok(),
                Self::ChaCha(key) => key.decrypt_inout_detached(by_nonce, aad, inout, by_tag).is_ok(),
            };
            if !opened {
                text.fill(0);
            }
            opened
        }
    }
}
