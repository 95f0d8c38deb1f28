//! Argon2id (RFC 9106): a passphrase to 32 bytes.

use crate::error::{Error, Result};
use crate::secret::Key;
use argon2::{Algorithm, Argon2, Params, Version};
use std::io::ErrorKind;

/// Argon2id, version 0x13, 32 bytes out. `memory` in KiB; the caller has checked the ceilings. [`Error::Store`] if the
/// system does not give that much.
pub(crate) fn argon2id(
    passphrase: &[u8],
    salt: &[u8; 16],
    memory: u32,
    passes: u32,
    lanes: u32,
) -> Result<Key> {
    let refused = |_| Error::Malformed(&"Argon2 costs out of range");
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(refused)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hashed = Ok(());
    let failed = |error| match error {
        argon2::Error::OutOfMemory => Error::Store(ErrorKind::OutOfMemory),
        other => refused(other),
    };
    let key = Key::from_fill(|out| hashed = argon.hash_password_into(passphrase, salt, out).map_err(failed));
    hashed.map(|()| key)
}
