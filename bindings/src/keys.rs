//! Identities, recipients and the other keys.

use crate::bytes::Bytes;
use crate::error::Result;
use crate::store::{Outside, SecretStore};
use sealwire::{Candidate, Error, Header, Unlock, UnlockBudget, UnlockRequest};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Kem {
    XWing,
    X25519,
}

impl From<Kem> for sealwire::Kem {
    fn from(kem: Kem) -> Self {
        match kem {
            Kem::XWing => Self::XWing,
            Kem::X25519 => Self::X25519,
        }
    }
}

impl From<sealwire::Kem> for Kem {
    fn from(kem: sealwire::Kem) -> Self {
        match kem {
            sealwire::Kem::X25519 => Self::X25519,
            _ => Self::XWing,
        }
    }
}

#[derive(Debug, uniffi::Object)]
#[uniffi::export(Debug)]
pub struct Identity(pub(crate) Arc<sealwire::Identity>);

#[uniffi::export]
impl Identity {
    #[uniffi::constructor]
    pub fn generate(kem: Kem) -> Result<Self> {
        Ok(sealwire::Identity::generate_with(kem.into())?.into())
    }

    #[uniffi::constructor]
    pub fn parse(text: String) -> Result<Self> {
        Ok(sealwire::Identity::parse(&Zeroizing::new(text))?.into())
    }

    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.recipient().clone())
    }

    pub fn signer(&self) -> String {
        self.0.signer().to_string()
    }

    pub fn reveal(&self) -> Bytes {
        Bytes::secret(self.0.reveal().reveal())
    }

    pub fn save(&self, store: Arc<dyn SecretStore>, name: &str) -> Result<()> {
        Ok(self.0.save(&Outside(store), name)?)
    }
}

#[uniffi::export]
pub fn load_identity(store: Arc<dyn SecretStore>, name: &str) -> Result<Option<Arc<Identity>>> {
    let identity = sealwire::Identity::load(&Outside(store), name)?;
    Ok(identity.map(|identity| Arc::new(identity.into())))
}

#[uniffi::export]
pub fn parse_identity_file(text: String) -> Result<Vec<Arc<Identity>>> {
    let identities = sealwire::Identity::parse_file(&Zeroizing::new(text))?;
    Ok(identities.into_iter().map(|identity| Arc::new(identity.into())).collect())
}

impl From<sealwire::Identity> for Identity {
    fn from(identity: sealwire::Identity) -> Self {
        Self(Arc::new(identity))
    }
}

#[derive(uniffi::Object)]
#[uniffi::export(Debug, Display, Eq, Hash)]
pub struct Recipient(pub(crate) sealwire::Recipient);

#[uniffi::export]
impl Recipient {
    #[uniffi::constructor]
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(sealwire::Recipient::parse(text)?))
    }

    pub fn kem(&self) -> Kem {
        self.0.kem().into()
    }

    pub fn signer(&self) -> String {
        self.0.signer().to_string()
    }

    pub fn fingerprint(&self) -> Bytes {
        self.0.fingerprint().as_bytes().as_slice().into()
    }

    /// For people to compare.
    pub fn fingerprint_text(&self) -> String {
        self.0.fingerprint().to_string()
    }

    pub fn pin(&self) -> String {
        self.0.pin().to_string()
    }
}

/// Both of its keys are in the fingerprint.
impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.0.fingerprint() == other.0.fingerprint()
    }
}

impl Eq for Recipient {}

impl Hash for Recipient {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.fingerprint().hash(state);
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.0.fingerprint())
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Refuses a text that is no pin, and gives it in its one form.
#[uniffi::export]
pub fn parse_pin(text: &str) -> Result<String> {
    Ok(sealwire::Pin::parse(text)?.to_string())
}

/// Refuses a recipient that is not the pinned one.
#[uniffi::export]
pub fn check_pin(pin: &str, recipient: &Recipient) -> Result<()> {
    Ok(sealwire::Pin::parse(pin)?.check(&recipient.0)?)
}

/// Refuses a text that is no signer, and gives it in its one form.
#[uniffi::export]
pub fn parse_signer(text: &str) -> Result<String> {
    Ok(sealwire::Signer::parse(text)?.to_string())
}

/// The name of a signer's key in HTTP signatures.
#[uniffi::export]
pub fn key_id(signer: &str) -> Result<String> {
    Ok(sealwire::Signer::parse(signer)?.key_id().to_string())
}

#[derive(Debug, uniffi::Object)]
#[uniffi::export(Debug)]
pub struct Passphrase(pub(crate) Arc<sealwire::Passphrase>);

/// Of Argon2id: memory in KiB, passes, lanes.
#[derive(Debug, Clone, Copy, uniffi::Record)]
pub struct Argon2Costs {
    pub memory: u32,
    pub passes: u32,
    pub lanes: u32,
}

#[uniffi::export]
impl Passphrase {
    #[uniffi::constructor(default(costs = None))]
    pub fn new(text: String, costs: Option<Argon2Costs>) -> Result<Self> {
        let passphrase = sealwire::Passphrase::new(&Zeroizing::new(text))?;
        Ok(Self(Arc::new(match costs {
            Some(Argon2Costs { memory, passes, lanes }) => passphrase.costs(memory, passes, lanes)?,
            None => passphrase,
        })))
    }
}

#[derive(Debug, uniffi::Object)]
#[uniffi::export(Debug)]
pub struct SymmetricKey(pub(crate) Arc<sealwire::SymmetricKey>);

#[uniffi::export]
impl SymmetricKey {
    #[uniffi::constructor]
    pub fn generate() -> Result<Self> {
        Ok(Self(Arc::new(sealwire::SymmetricKey::generate()?)))
    }

    /// Wipe your own copy.
    #[uniffi::constructor]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.try_into().map_err(|_| Error::InvalidKey(&"a symmetric key has 32 bytes"))?;
        Ok(Self(Arc::new(sealwire::SymmetricKey::from_bytes(bytes))))
    }

    pub fn reveal(&self) -> Bytes {
        Bytes::secret(self.0.reveal().reveal())
    }

    pub fn id(&self) -> Bytes {
        self.0.id().as_slice().into()
    }
}

/// The content key of one envelope, from a slot that was unlocked elsewhere.
#[derive(Debug, uniffi::Object)]
#[uniffi::export(Debug)]
pub struct ContentKey(Arc<sealwire::ContentKey>);

#[uniffi::export]
impl ContentKey {
    /// `candidate` is the 32 bytes that a slot of this header gave; wipe your own copy.
    #[uniffi::constructor]
    pub fn new(envelope: &[u8], candidate: &[u8]) -> Result<Self> {
        let candidate = candidate_of(candidate)?;
        Ok(Self(Arc::new(Header::parse(envelope)?.content_key(candidate)?)))
    }
}

fn candidate_of(bytes: &[u8]) -> sealwire::Result<Candidate> {
    let key: &[u8; 32] = bytes.try_into().map_err(|_| Error::InvalidKey(&"a content key has 32 bytes"))?;
    Ok(Candidate::from_bytes(key))
}

/// A service that wraps content keys: a KMS, an HSM.
#[uniffi::export(with_foreign)]
pub trait KeyService: Send + Sync {
    /// Its name, which stands in envelopes in clear.
    fn service(&self) -> Result<String>;
    fn wrap_key(&self, content_key: Bytes, binding: Bytes) -> Result<Bytes>;
    fn unwrap_key(&self, wrapped: Bytes, binding: Bytes) -> Result<Option<Bytes>>;
}

/// Core asks for the name as often as it likes.
pub struct Service {
    name: String,
    service: Arc<dyn KeyService>,
}

impl Service {
    pub fn new(service: Arc<dyn KeyService>) -> Result<Self> {
        Ok(Self { name: service.service()?, service })
    }
}

impl sealwire::KeyService for Service {
    fn service(&self) -> &str {
        &self.name
    }

    fn wrap_key(&self, content_key: &[u8; 32], binding: &[u8]) -> sealwire::Result<Vec<u8>> {
        let wrapped = self.service.wrap_key(Bytes::secret(content_key), binding.into())?;
        Ok(wrapped.as_slice().to_vec())
    }

    fn unwrap_key(&self, wrapped: &[u8], binding: &[u8]) -> sealwire::Result<Option<Candidate>> {
        let key = self.service.unwrap_key(wrapped.into(), binding.into())?;
        key.map(|key| candidate_of(key.as_slice())).transpose()
    }
}

/// What may open.
#[derive(uniffi::Enum)]
pub enum Key {
    Identity { identity: Arc<Identity> },
    Passphrase { passphrase: Arc<Passphrase> },
    Symmetric { key: Arc<SymmetricKey> },
    Content { key: Arc<ContentKey> },
    Service { service: Arc<dyn KeyService> },
}

/// Keys that may open, in the order in which they are tried.
#[derive(uniffi::Object)]
pub struct Keyring(pub(crate) Arc<sealwire::Keyring>);

#[uniffi::export]
impl Keyring {
    #[uniffi::constructor]
    pub fn new(keys: Vec<Key>) -> Result<Self> {
        let mut keyring = sealwire::Keyring::default();
        for key in keys {
            keyring = match key {
                Key::Identity { identity } => keyring.and(Shared(Arc::clone(&identity.0))),
                Key::Passphrase { passphrase } => keyring.and(Shared(Arc::clone(&passphrase.0))),
                Key::Symmetric { key } => keyring.and(Shared(Arc::clone(&key.0))),
                Key::Content { key } => keyring.and(Shared(Arc::clone(&key.0))),
                Key::Service { service } => keyring.and(Service::new(service)?),
            };
        }
        Ok(Self(Arc::new(keyring)))
    }
}

/// A key that others hold too.
pub struct Shared<K>(pub Arc<K>);

impl<K: Unlock + Send> Unlock for Shared<K> {
    fn unlock(
        &self,
        request: &UnlockRequest<'_>,
        budget: &mut UnlockBudget,
    ) -> sealwire::Result<Option<Candidate>> {
        self.0.unlock(request, budget)
    }
}
