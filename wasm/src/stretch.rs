//! Argon2 in another instance, whose memory is given back: what it is asked for here, and how it answers there.

use crate::error::Result;
use crate::keys::{Keyring, Passphrase, with_costs};
use js_sys::{Array, Uint8Array};
use sealwire::{Candidate, Error, SlotKind, StretchedPassphrase, Unlock, UnlockBudget, UnlockRequest};
use std::sync::{Arc, Mutex, PoisonError};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

/// Runs Argon2id, with a fresh salt if none is given. 60 bytes, to be wiped by who asked.
#[wasm_bindgen]
pub fn stretch(
    text: Vec<u8>,
    memory: Option<u32>,
    passes: Option<u32>,
    lanes: Option<u32>,
    salt: Option<Vec<u8>>,
) -> Result<Uint8Array> {
    let text = Zeroizing::new(text);
    let text = std::str::from_utf8(&text).map_err(|_| Error::Misuse(&"a passphrase is UTF-8"))?;
    let passphrase = with_costs(sealwire::Passphrase::new(text)?, memory, passes, lanes)?;
    let stretched = match salt {
        None => passphrase.stretch()?,
        Some(salt) => {
            passphrase.stretch_with(&salt.try_into().map_err(|_| Error::Misuse(&"a salt has 16 bytes"))?)?
        }
    };
    Ok(Uint8Array::from(stretched.reveal().reveal()))
}

/// What one open has of its passphrases: what was stretched elsewhere, and what is missing.
#[wasm_bindgen]
#[derive(Default)]
pub struct Stretches(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    stretched: Vec<(Wanted, StretchedPassphrase)>,
    wanted: Option<Wanted>,
}

/// A passphrase, as a slot wants it stretched.
#[derive(Clone)]
struct Wanted {
    passphrase: Arc<sealwire::Passphrase>,
    salt: [u8; 16],
    costs: [u32; 3],
}

impl Wanted {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.passphrase, &other.passphrase)
            && self.salt == other.salt
            && self.costs == other.costs
    }
}

#[wasm_bindgen]
impl Stretches {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the last try lacked first, as `[text, memory, passes, lanes, salt]`; the text to be wiped by who asked.
    pub fn wanted(&self) -> Option<Array> {
        let Wanted { passphrase, salt, costs: [memory, passes, lanes] } =
            self.known(|known| known.wanted.clone())?;
        let salt = Uint8Array::from(salt.as_slice());
        let text = Uint8Array::from(passphrase.reveal().reveal());
        Some(Array::of5(&text, &memory.into(), &passes.into(), &lanes.into(), &salt))
    }

    /// Takes what was wanted.
    pub fn put(&self, stretched: Vec<u8>) -> Result<()> {
        let stretched = StretchedPassphrase::from_bytes(&Zeroizing::new(stretched))?;
        self.known(|known| {
            if let Some(wanted) = known.wanted.take() {
                known.stretched.push((wanted, stretched));
            }
        });
        Ok(())
    }

    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[wasm_bindgen]
impl Passphrase {
    /// What sealing wants to be stretched, as `[text, memory, passes, lanes]`.
    pub fn wanted(&self) -> Array {
        let text = Uint8Array::from(self.0.reveal().reveal());
        let costs = self.1.map(|costs| costs.map(JsValue::from)).unwrap_or_default();
        let [memory, passes, lanes] = &costs;
        Array::of4(&text, memory, passes, lanes)
    }
}

#[wasm_bindgen]
impl Keyring {
    /// A passphrase that is stretched elsewhere.
    pub fn stretched(&mut self, passphrase: &Passphrase, stretches: &Stretches) {
        let key = Elsewhere { passphrase: Arc::clone(&passphrase.0), known: Arc::clone(&stretches.0) };
        self.0 = std::mem::take(&mut self.0).and(key);
    }
}

struct Elsewhere {
    passphrase: Arc<sealwire::Passphrase>,
    known: Arc<Mutex<Known>>,
}

impl Unlock for Elsewhere {
    /// Spends as if it ran here: the limit is one for all.
    fn unlock(
        &self,
        request: &UnlockRequest<'_>,
        budget: &mut UnlockBudget,
    ) -> sealwire::Result<Option<Candidate>> {
        let SlotKind::Passphrase { salt, memory, passes, lanes, .. } = *request.kind() else {
            return Ok(None);
        };
        budget.spend_argon2()?;
        let wanted =
            Wanted { passphrase: Arc::clone(&self.passphrase), salt: *salt, costs: [memory, passes, lanes] };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, stretched)) = known.stretched.iter().find(|(known, _)| known.is(&wanted)) {
            return stretched.unlock(request, budget);
        }
        known.wanted.get_or_insert(wanted);
        Ok(None)
    }
}
