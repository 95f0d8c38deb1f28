//! seal and open in one call. For a language whose calls cost microseconds each (Kotlin's do), making the objects that a small payload is
//! sealed with takes longer than sealing it.

use crate::bytes::Bytes;
use crate::error::Result;
use crate::keys::{Key, Keyring};
use crate::seal::{Opened, Opener, Reader, Readers, SealContext, SealOptions, Sealer};
use std::sync::Arc;

#[derive(uniffi::Record)]
pub struct Sealing {
    pub context: SealContext,
    pub readers: Vec<Reader>,
    pub allow_classical: bool,
    pub options: SealOptions,
}

#[derive(uniffi::Record)]
pub struct Opening {
    pub context: SealContext,
    pub keys: Vec<Key>,
    pub expect: Option<Vec<String>>,
    pub part: String,
}

#[uniffi::export]
pub fn seal_once(sealing: Sealing, plaintext: &[u8]) -> Result<Bytes> {
    let readers = Readers::new(sealing.readers, sealing.allow_classical)?;
    Sealer::new(sealing.context, Arc::new(readers), sealing.options).seal(plaintext)
}

#[uniffi::export]
pub fn open_once(opening: Opening, envelope: &[u8]) -> Result<Opened> {
    let keys = Keyring::new(opening.keys)?;
    Opener::new(Arc::new(keys), opening.context, opening.expect, opening.part)?.open(envelope)
}
