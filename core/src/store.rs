//! Where secrets are kept: the trait, the store in memory, and the file that appears whole or not at all.

use crate::error::{Error, Result};
use crate::secret::SecretBytes;
use std::sync::{Mutex, PoisonError};

#[cfg(not(target_arch = "wasm32"))]
pub use atomic_file::AtomicFile;

/// A place for secrets by name: memory, files, the operating system's keychain, or your own.
///
/// Names have 1 to 64 characters of `a-z 0-9 . _ -` and do not begin with `.`; others are [`Error::Misuse`].
/// An implementation replaces atomically: after a crash a name holds the old secret or the new one.
/// It reports its failures as [`Error::Store`].
pub trait SecretStore {
    /// Stores `secret` under `name`, replacing what was there.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a bad name, [`Error::Store`] if the storage fails.
    fn save(&self, name: &str, secret: &SecretBytes) -> Result<()>;

    /// The secret under `name`, or `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a bad name, [`Error::Store`] if the storage fails; a sealed store also says why
    /// it does not open ([`Error::NotRecipient`], [`Error::Rejected`]).
    fn load(&self, name: &str) -> Result<Option<SecretBytes>>;

    /// Removes the secret under `name`, if there is one.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a bad name, [`Error::Store`] if the storage fails.
    fn delete(&self, name: &str) -> Result<()>;
}

/// Refuses names that a file system or another store could read differently.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let valid = (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed);
    if valid { Ok(()) } else { Err(Error::Misuse(&"a stored secret's name is 1 to 64 of a-z 0-9 . _ -")) }
}

/// A [`SecretStore`] in memory, for tests and for keys that end with the process.
///
/// ```
/// use sealwire::{MemoryStore, SecretBytes, SecretStore};
///
/// let store = MemoryStore::default();
/// store.save("token", &SecretBytes::new(b"s3cret".to_vec()))?;
/// assert_eq!(store.load("token")?.unwrap().reveal(), b"s3cret");
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Default)]
pub struct MemoryStore(Mutex<Names<SecretBytes>>);

impl SecretStore for MemoryStore {
    fn save(&self, name: &str, secret: &SecretBytes) -> Result<()> {
        check_name(name)?;
        let copy = SecretBytes::new(secret.reveal().to_vec());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(name, copy);
        Ok(())
    }

    fn load(&self, name: &str) -> Result<Option<SecretBytes>> {
        check_name(name)?;
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(secrets.get(name).map(|secret| SecretBytes::new(secret.reveal().to_vec())))
    }

    fn delete(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}

/// Values by name, in the order of the names: nobody's choice of names makes it slow, and it is small beside a hash map.
pub(crate) struct Names<V>(Vec<(String, V)>);

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Names<V> {
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.0.get(self.place(name).ok()?).map(|(_, value)| value)
    }

    pub(crate) fn put(&mut self, name: &str, value: V) {
        self.remove(name);
        let (Ok(place) | Err(place)) = self.place(name);
        self.0.insert(place, (name.into(), value));
    }

    fn remove(&mut self, name: &str) {
        if let Ok(place) = self.place(name) {
            self.0.remove(place);
        }
    }

    fn place(&self, name: &str) -> std::result::Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod atomic_file {
    use crate::error::Error;
    use std::fs::{self, File, Metadata, Permissions};
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};
    use tempfile::NamedTempFile;

    /// As many links as Linux follows.
    const MAX_LINKS: usize = 40;

    /// A file that appears whole, or not at all.
    ///
    /// What is written goes to a temporary file (mode 0600) in the same folder; [`AtomicFile::commit`] flushes it to
    /// the disk, moves it over the target and flushes the folder. Dropped before that, it leaves the target as it was.
    /// A kill at any moment leaves the old file or the new one, and at worst a stray temporary file.
    ///
    /// A target that is a symbolic link stays one: the file behind it is replaced. A replaced file of yours keeps its
    /// permissions; one that somebody else put there does not say who reads what you write.
    pub struct AtomicFile {
        temporary: NamedTempFile,
        folder: PathBuf,
        target: PathBuf,
        /// Those of the file that is replaced, if it is ours.
        permissions: Option<Permissions>,
    }

    impl AtomicFile {
        /// Begins a new version of the file at `target`, which need not exist.
        ///
        /// # Errors
        /// What the operating system says of the folder; [`Error::Misuse`] inside if a device, a named pipe or a socket is
        /// there, which must not be replaced by a file and cannot take back what was written into it, or a number of an open
        /// file (`/dev/fd/3`), which is no name of its own.
        pub fn create(target: &Path) -> io::Result<Self> {
            let old = match fs::metadata(target) {
                Ok(old) if old.is_file() => Some(old),
                Ok(old) if old.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(_) => return Err(Error::Misuse(&"only a file can be replaced by a file").into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let target = behind_links(target)?;
            let folder = folder_of(&target);
            let temporary =
                tempfile::Builder::new().prefix(".sealwire-").suffix(".tmp").tempfile_in(&folder)?;
            let new = temporary.as_file().metadata()?;
            let permissions = old.filter(|old| is_same_owner(old, &new)).map(|old| old.permissions());
            Ok(Self { temporary, folder, target, permissions })
        }

        /// Where the bytes are until [`AtomicFile::commit`]: for a program that removes the file when it is told to end.
        #[must_use]
        pub fn temporary_path(&self) -> &Path {
            self.temporary.path()
        }

        /// The temporary file, for `std::io::copy` to let the system copy from file to file.
        pub fn as_file_mut(&mut self) -> &mut File {
            self.temporary.as_file_mut()
        }

        /// Puts the written bytes in the target's place, durably.
        ///
        /// # Errors
        /// What the operating system says; the target is then as it was.
        pub fn commit(mut self) -> io::Result<()> {
            self.temporary.flush()?;
            if let Some(permissions) = self.permissions {
                self.temporary.as_file().set_permissions(permissions)?;
            }
            self.temporary.as_file().sync_all()?;
            // Opened before the move: a folder that cannot be read fails while the target is as it was.
            let folder = open_folder(&self.folder)?;
            self.temporary.persist(&self.target)?;
            folder.map_or(Ok(()), |folder| folder.sync_all())
        }
    }

    impl Write for AtomicFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.temporary.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.temporary.flush()
        }
    }

    /// The path that is meant, which need not exist: a rename would replace the link.
    fn behind_links(target: &Path) -> io::Result<PathBuf> {
        let mut path = target.to_path_buf();
        for _ in 0..MAX_LINKS {
            let Ok(next) = fs::read_link(&path) else { return Ok(path) };
            let folder = folder_of(&path);
            // `>>log` and `/dev/stdout` would replace the log.
            if fs::canonicalize(&folder)?.starts_with("/proc") {
                return Err(Error::Misuse(&"the number of an open file is no name of a file").into());
            }
            path = folder.join(next);
        }
        Err(Error::Misuse(&"too many symbolic links").into())
    }

    fn folder_of(path: &Path) -> PathBuf {
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
            _ => PathBuf::from("."),
        }
    }

    /// To make a rename durable. Windows has no such call and does it by itself.
    fn open_folder(folder: &Path) -> io::Result<Option<File>> {
        if cfg!(unix) { File::open(folder).map(Some) } else { Ok(None) }
    }

    #[cfg(unix)]
    fn is_same_owner(old: &Metadata, new: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        old.uid() == new.uid()
    }

    #[cfg(not(unix))]
    fn is_same_owner(_: &Metadata, _: &Metadata) -> bool {
        true
    }
}
