//! Unlocking in two steps: what the slots ask for, and the content key that comes back from wherever they were unlocked.

use crate::error::Result;
use crate::keys::Keyring;
use crate::seal::slot;
use js_sys::{Array, Uint8Array};
use sealwire::{Candidate, Error, Header, SlotKind, UnlockRequest};
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

/// `[slot, binding, ct, enc or salt]` for each slot.
#[wasm_bindgen(js_name = unlockRequests)]
pub fn unlock_requests(header: &[u8]) -> Result<Array> {
    Ok(Header::parse(header)?.unlock_requests().iter().map(request).collect())
}

fn request(request: &UnlockRequest<'_>) -> Array {
    let (ct, more): (&[u8], &[u8]) = match *request.kind() {
        SlotKind::Hpke { enc, ct, .. } => (ct, enc),
        SlotKind::Passphrase { salt, ct, .. } => (ct, salt),
        SlotKind::Symmetric { salt, ct, .. } => (ct, salt),
        SlotKind::External { ct, .. } => (ct, &[]),
        _ => (&[], &[]),
    };
    let bytes = |bytes: &[u8]| Uint8Array::from(bytes);
    Array::of4(&slot(request.kind()), &bytes(&request.binding()), &bytes(ct), &bytes(more))
}

/// The key of one envelope.
#[wasm_bindgen]
pub struct ContentKey(Arc<sealwire::ContentKey>);

#[wasm_bindgen]
impl ContentKey {
    /// What was unlocked elsewhere, if it is the key of this header.
    pub fn verified(header: &[u8], key: Vec<u8>) -> Result<Self> {
        let key = Zeroizing::new(key);
        let key = key.as_slice().try_into().map_err(|_| Error::InvalidKey(&"a content key has 32 bytes"))?;
        Ok(Self(Arc::new(Header::parse(header)?.content_key(Candidate::from_bytes(key))?)))
    }

    pub fn unlocked(header: &[u8], keys: &Keyring) -> Result<Self> {
        Ok(Self(Arc::new(Header::parse(header)?.unlock(&keys.0)?)))
    }
}

#[wasm_bindgen]
impl Keyring {
    #[wasm_bindgen(js_name = contentKey)]
    pub fn content_key(&mut self, key: &ContentKey) {
        self.and(&key.0);
    }
}
