//! Stores that outlive the process: sealed files, and the operating system's keychain.

use crate::context::SealContext;
use crate::error::{Error, Result};
use crate::identity::{Passphrase, Recipients, SymmetricKey, Unlock};
use crate::opener::Opener;
use crate::sealer::Sealer;
use crate::secret::SecretBytes;
use crate::store::{AtomicFile, SecretStore, check_name};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A stored secret is small; a file above this size is not one.
const MAX_FILE: u64 = 1024 * 1024;

/// A [`SecretStore`] with one sealed file per secret, `NAME.sealed`, made with mode 0600.
///
/// A file is an envelope under the store's passphrase or key, with its name as the context: files that were swapped are
/// [`Error::Rejected`]. The folder is not bound: give each folder its own key, or a file of the same name can be moved from one to
/// the other. Nor is time: an earlier version of a file opens too. Replacement is atomic and durable. A file has at most 1 MiB
/// ([`Error::TooLarge`], before an older one is touched). Source: SPEC §13.
///
/// ```
/// use sealwire::{FileStore, Identity, SymmetricKey};
///
/// let folder = tempfile::tempdir()?;
/// let store = FileStore::with_key(folder.path(), SymmetricKey::generate()?);
/// Identity::generate()?.save(&store, "alice")?;
/// assert!(Identity::load(&store, "alice")?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileStore {
    folder: PathBuf,
    key: StoreKey,
}

enum StoreKey {
    Passphrase(Passphrase),
    Key(SymmetricKey),
}

impl FileStore {
    /// A store in `folder`, sealed with a passphrase. The folder is made (mode 0700) when the first secret is saved.
    ///
    /// Argon2id runs once for each salt, not once for each file: a store seals all that it saves with one, that of the first file that it opened.
    #[must_use]
    pub fn with_passphrase(folder: impl Into<PathBuf>, passphrase: Passphrase) -> Self {
        Self { folder: folder.into(), key: StoreKey::Passphrase(passphrase.of_a_store()) }
    }

    /// A store in `folder`, sealed with a key that is kept elsewhere, such as in a keychain.
    #[must_use]
    pub fn with_key(folder: impl Into<PathBuf>, key: SymmetricKey) -> Self {
        Self { folder: folder.into(), key: StoreKey::Key(key) }
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.folder.join(format!("{name}.sealed")))
    }
}

fn context(name: &str) -> SealContext {
    SealContext::new("sealwire/store").field(name)
}

impl SecretStore for FileStore {
    fn save(&self, name: &str, secret: &SecretBytes) -> Result<()> {
        let path = self.path(name)?;
        let context = context(name);
        let recipients = match &self.key {
            StoreKey::Passphrase(passphrase) => Recipients::new().passphrase(passphrase),
            StoreKey::Key(key) => Recipients::new().key(key),
        };
        let sealed = Sealer::new(&context).to(recipients).unpadded().seal(secret.reveal())?;
        check_size(&sealed)?;
        make_folder(&self.folder)?;
        let mut file = AtomicFile::create(&path)?;
        file.write_all(&sealed)?;
        Ok(file.commit()?)
    }

    fn load(&self, name: &str) -> Result<Option<SecretBytes>> {
        let mut file = match open_regular(&self.path(name)?) {
            Ok(file) => file.take(MAX_FILE + 1),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut sealed = Vec::new();
        file.read_to_end(&mut sealed)?;
        check_size(&sealed)?;
        let keys: &dyn Unlock = match &self.key {
            StoreKey::Passphrase(passphrase) => passphrase,
            StoreKey::Key(key) => key,
        };
        let opened = Opener::new(keys, &context(name)).open(&sealed)?;
        Ok(Some(SecretBytes::new(opened.plaintext)))
    }

    fn delete(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn check_size(sealed: &[u8]) -> Result<()> {
    if sealed.len() as u64 > MAX_FILE {
        return Err(Error::TooLarge(&"a stored secret's file has at most 1 MiB"));
    }
    Ok(())
}

/// Looks before it opens, since a named pipe would wait for somebody who writes; and again, since it may be another by then.
fn open_regular(path: &Path) -> io::Result<fs::File> {
    let check = |found: fs::Metadata| if found.is_file() { Ok(()) } else { Err(ErrorKind::InvalidInput) };
    check(fs::metadata(path)?)?;
    let file = fs::File::open(path)?;
    check(file.metadata()?)?;
    Ok(file)
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// The operating system's keychain as a [`SecretStore`] (feature `keychain`): macOS Keychain, Windows Credential
/// Manager, the Secret Service on Linux.
#[cfg(feature = "keychain")]
pub struct Keychain {
    service: String,
}

#[cfg(feature = "keychain")]
impl Keychain {
    /// Secrets of the application that calls itself `service`.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self { service: service.into() }
    }

    fn entry(&self, name: &str) -> Result<keyring::Entry> {
        check_name(name)?;
        keyring::Entry::new(&self.service, name).map_err(keychain_error)
    }
}

#[cfg(feature = "keychain")]
fn keychain_error(error: keyring::Error) -> Error {
    match error {
        keyring::Error::NoStorageAccess(_) => Error::Store(ErrorKind::PermissionDenied),
        keyring::Error::NoEntry => Error::Store(ErrorKind::NotFound),
        _ => Error::Store(ErrorKind::Other),
    }
}

#[cfg(feature = "keychain")]
impl SecretStore for Keychain {
    fn save(&self, name: &str, secret: &SecretBytes) -> Result<()> {
        self.entry(name)?.set_secret(secret.reveal()).map_err(keychain_error)
    }

    fn load(&self, name: &str) -> Result<Option<SecretBytes>> {
        match self.entry(name)?.get_secret() {
            Ok(secret) => Ok(Some(SecretBytes::new(secret))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(keychain_error(error)),
        }
    }

    fn delete(&self, name: &str) -> Result<()> {
        match self.entry(name)?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(keychain_error(error)),
        }
    }
}

#[cfg(all(test, feature = "keychain"))]
mod tests {
    use super::Keychain;
    use crate::{Error, SecretBytes, SecretStore};

    /// Where there is a keychain it keeps secrets; where there is none it says so.
    #[test]
    fn the_keychain_keeps_or_says_why_not() {
        let keychain = Keychain::new("sealwire-test");
        match keychain.save("probe", &SecretBytes::new(b"x".to_vec())) {
            Ok(()) => {
                assert_eq!(keychain.load("probe").unwrap().unwrap().reveal(), b"x");
                keychain.delete("probe").unwrap();
                assert!(keychain.load("probe").unwrap().is_none());
            }
            Err(error) => assert!(matches!(error, Error::Store(_)), "{error}"),
        }
        assert_eq!(keychain.load("NOT A NAME").map(drop).unwrap_err().code(), "Misuse");
    }
}
