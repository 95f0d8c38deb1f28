//! Identities, recipients and the other keys. An object here is one counted reference, so that several calls can hold one key.

use crate::error::Result;
use js_sys::Uint8Array;
use sealwire::{Aead, Error, Kem, SecretBytes, Unlock, UnlockBudget, UnlockRequest};
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

#[wasm_bindgen]
pub struct Identity(pub(crate) Arc<sealwire::Identity>);

#[wasm_bindgen]
impl Identity {
    pub fn generate(kem: &str) -> Result<Self> {
        Ok(sealwire::Identity::generate_with(kem_named(kem)?)?.into())
    }

    pub fn parse(text: String) -> Result<Self> {
        let text = Zeroizing::new(text);
        Ok(sealwire::Identity::parse(&text)?.into())
    }

    /// What a store kept.
    #[wasm_bindgen(js_name = fromStored)]
    pub fn from_stored(text: Vec<u8>) -> Result<Self> {
        let text = SecretBytes::new(text);
        let text = text.reveal_text().ok_or(Error::InvalidKey(&"a stored identity is not text"))?;
        Ok(sealwire::Identity::parse(text)?.into())
    }

    #[wasm_bindgen(js_name = parseFile)]
    pub fn parse_file(text: String) -> Result<Vec<Self>> {
        let text = Zeroizing::new(text);
        Ok(sealwire::Identity::parse_file(&text)?.into_iter().map(Self::from).collect())
    }

    pub fn recipient(&self) -> Recipient {
        Recipient(Arc::new(self.0.recipient().clone()))
    }

    /// UTF-8, to be wiped by who asked.
    pub fn reveal(&self) -> Uint8Array {
        revealed(&self.0.reveal())
    }
}

impl From<sealwire::Identity> for Identity {
    fn from(identity: sealwire::Identity) -> Self {
        Self(Arc::new(identity))
    }
}

#[wasm_bindgen]
pub struct Recipient(pub(crate) Arc<sealwire::Recipient>);

#[wasm_bindgen]
impl Recipient {
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(Arc::new(sealwire::Recipient::parse(text)?)))
    }

    pub fn text(&self) -> String {
        self.0.to_string()
    }

    pub fn kem(&self) -> String {
        kem_name(self.0.kem()).into()
    }

    pub fn signer(&self) -> String {
        self.0.signer().to_string()
    }

    pub fn fingerprint(&self) -> Vec<u8> {
        self.0.fingerprint().as_bytes().to_vec()
    }

    #[wasm_bindgen(js_name = fingerprintText)]
    pub fn fingerprint_text(&self) -> String {
        self.0.fingerprint().to_string()
    }

    pub fn pin(&self) -> String {
        self.0.pin().to_string()
    }
}

/// Refuses a text that is no pin.
#[wasm_bindgen(js_name = parsePin)]
pub fn parse_pin(text: &str) -> Result<String> {
    Ok(sealwire::Pin::parse(text)?.to_string())
}

/// Refuses a recipient that is not the pinned one.
#[wasm_bindgen(js_name = checkPin)]
pub fn check_pin(pin: &str, recipient: &Recipient) -> Result<()> {
    Ok(sealwire::Pin::parse(pin)?.check(&recipient.0)?)
}

/// Refuses a text that is no signer.
#[wasm_bindgen(js_name = parseSigner)]
pub fn parse_signer(text: &str) -> Result<String> {
    Ok(sealwire::Signer::parse(text)?.to_string())
}

#[wasm_bindgen]
pub struct Passphrase(pub(crate) Arc<sealwire::Passphrase>, pub(crate) Option<[u32; 3]>);

#[wasm_bindgen]
impl Passphrase {
    #[wasm_bindgen(constructor)]
    pub fn new(text: String, memory: Option<u32>, passes: Option<u32>, lanes: Option<u32>) -> Result<Self> {
        let text = Zeroizing::new(text);
        let passphrase = sealwire::Passphrase::new(&text)?;
        let Some(((memory, passes), lanes)) = memory.zip(passes).zip(lanes) else {
            return Ok(Self(Arc::new(passphrase), None));
        };
        Ok(Self(Arc::new(passphrase.costs(memory, passes, lanes)?), Some([memory, passes, lanes])))
    }
}

#[wasm_bindgen]
pub struct SymmetricKey(pub(crate) Arc<sealwire::SymmetricKey>);

#[wasm_bindgen]
impl SymmetricKey {
    pub fn generate() -> Result<Self> {
        Ok(Self(Arc::new(sealwire::SymmetricKey::generate()?)))
    }

    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let bytes = Zeroizing::new(bytes);
        let bytes: &[u8; 32] =
            bytes.as_slice().try_into().map_err(|_| Error::InvalidKey(&"a symmetric key has 32 bytes"))?;
        Ok(Self(Arc::new(sealwire::SymmetricKey::from_bytes(bytes))))
    }

    /// To be wiped by who asked.
    pub fn reveal(&self) -> Uint8Array {
        revealed(&self.0.reveal())
    }

    pub fn id(&self) -> Vec<u8> {
        self.0.id().to_vec()
    }
}

/// Keys that may open, in the order in which they are tried.
#[wasm_bindgen]
#[derive(Default)]
pub struct Keyring(pub(crate) sealwire::Keyring);

#[wasm_bindgen]
impl Keyring {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn identity(&mut self, identity: &Identity) {
        self.and(&identity.0);
    }

    pub fn key(&mut self, key: &SymmetricKey) {
        self.and(&key.0);
    }
}

impl Keyring {
    pub(crate) fn and<K: Unlock + Send + Sync + 'static>(&mut self, key: &Arc<K>) {
        self.0 = std::mem::take(&mut self.0).and(Shared(Arc::clone(key)));
    }
}

/// A key that others hold too.
struct Shared<K>(Arc<K>);

impl<K: Unlock + Send> Unlock for Shared<K> {
    fn unlock(
        &self,
        request: &UnlockRequest<'_>,
        budget: &mut UnlockBudget,
    ) -> sealwire::Result<Option<sealwire::Candidate>> {
        self.0.unlock(request, budget)
    }
}

/// The copy in JavaScript's memory is the only one that stays.
fn revealed(secret: &SecretBytes) -> Uint8Array {
    Uint8Array::from(secret.reveal())
}

pub(crate) fn kem_named(name: &str) -> Result<Kem> {
    match name {
        "XWing" => Ok(Kem::XWing),
        "X25519" => Ok(Kem::X25519),
        _ => Err(Error::Misuse(&"a kem is XWing or X25519").into()),
    }
}

pub(crate) fn kem_name(kem: Kem) -> &'static str {
    match kem {
        Kem::XWing => "XWing",
        Kem::X25519 => "X25519",
        _ => "",
    }
}

pub(crate) fn aead_named(name: &str) -> Result<Aead> {
    match name {
        "Aes256Gcm" => Ok(Aead::Aes256Gcm),
        "ChaCha20Poly1305" => Ok(Aead::ChaCha20Poly1305),
        _ => Err(Error::Misuse(&"an aead is Aes256Gcm or ChaCha20Poly1305").into()),
    }
}

pub(crate) fn aead_name(aead: Aead) -> &'static str {
    match aead {
        Aead::Aes256Gcm => "Aes256Gcm",
        Aead::ChaCha20Poly1305 => "ChaCha20Poly1305",
        _ => "",
    }
}
