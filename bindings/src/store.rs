//! Where secrets are kept: a store of the platform's, or a folder of sealed files.

use crate::bytes::Bytes;
use crate::error::Result;
use crate::keys::{Passphrase, SymmetricKey};
use sealwire::SecretBytes;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A keychain, a keystore, a vault. Names are 1 to 64 of a-z 0-9 . _ - and do not begin with a dot. `save` replaces atomically.
#[uniffi::export(with_foreign)]
pub trait SecretStore: Send + Sync {
    fn save(&self, name: String, secret: Bytes) -> Result<()>;
    fn load(&self, name: String) -> Result<Option<Bytes>>;
    fn delete(&self, name: String) -> Result<()>;
}

/// A store of another language, to core.
pub struct Outside(pub Arc<dyn SecretStore>);

impl sealwire::SecretStore for Outside {
    fn save(&self, name: &str, secret: &SecretBytes) -> sealwire::Result<()> {
        Ok(self.0.save(name.into(), Bytes::secret(secret.reveal()))?)
    }

    fn load(&self, name: &str) -> sealwire::Result<Option<SecretBytes>> {
        Ok(self.0.load(name.into())?.map(|secret| SecretBytes::new(secret.as_slice().to_vec())))
    }

    fn delete(&self, name: &str) -> sealwire::Result<()> {
        Ok(self.0.delete(name.into())?)
    }
}

/// One of core's stores, to other languages.
struct Inside<S>(S);

impl<S: sealwire::SecretStore + Send + Sync> SecretStore for Inside<S> {
    fn save(&self, name: String, secret: Bytes) -> Result<()> {
        Ok(self.0.save(&name, &SecretBytes::new(secret.as_slice().to_vec()))?)
    }

    fn load(&self, name: String) -> Result<Option<Bytes>> {
        Ok(self.0.load(&name)?.map(|secret| Bytes::secret(secret.reveal())))
    }

    fn delete(&self, name: String) -> Result<()> {
        Ok(self.0.delete(&name)?)
    }
}

/// For tests, and for what may be forgotten with the process.
#[uniffi::export]
pub fn memory_store() -> Arc<dyn SecretStore> {
    Arc::new(Inside(sealwire::MemoryStore::default()))
}

/// A folder whose files are sealed with a passphrase.
#[uniffi::export]
pub fn file_store_with_passphrase(folder: String, passphrase: &Passphrase) -> Result<Arc<dyn SecretStore>> {
    let text = passphrase.0.reveal();
    let text = Zeroizing::new(text.reveal_text().unwrap_or_default().to_owned());
    let passphrase = sealwire::Passphrase::new(&text)?;
    Ok(Arc::new(Inside(sealwire::FileStore::with_passphrase(folder, passphrase))))
}

/// A folder whose files are sealed with a key that is kept elsewhere.
#[uniffi::export]
pub fn file_store_with_key(folder: String, key: &SymmetricKey) -> Result<Arc<dyn SecretStore>> {
    let key = key.0.reveal();
    let key =
        key.reveal().try_into().map_err(|_| sealwire::Error::InvalidKey(&"a symmetric key has 32 bytes"))?;
    Ok(Arc::new(Inside(sealwire::FileStore::with_key(folder, sealwire::SymmetricKey::from_bytes(key)))))
}
