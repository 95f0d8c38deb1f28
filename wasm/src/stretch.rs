//! Argon2 runs in another module, in instances whose memory is given back: what it is asked for, and what is made of the answers.

use crate::error::Result;
use crate::keys::{Keyring, Passphrase};
use js_sys::{Array, Function, Uint8Array};
use sealwire::{Candidate, Error, SlotKind, StretchedPassphrase, Unlock, UnlockBudget, UnlockRequest};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

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
struct Wanted {
    passphrase: Arc<sealwire::Passphrase>,
    salt: [u8; 16],
    costs: [u32; 3],
}

impl Wanted {
    /// `None` for a slot of another kind. Spends as if it ran here: the limit is one for all.
    fn by(
        passphrase: &Arc<sealwire::Passphrase>,
        request: &UnlockRequest<'_>,
        budget: &mut UnlockBudget,
    ) -> sealwire::Result<Option<Self>> {
        let SlotKind::Passphrase { salt, memory, passes, lanes, .. } = *request.kind() else {
            return Ok(None);
        };
        budget.spend_argon2()?;
        let passphrase = Arc::clone(passphrase);
        Ok(Some(Self { passphrase, salt: *salt, costs: [memory, passes, lanes] }))
    }

    fn arguments(&self) -> Array {
        let [memory, passes, lanes] = self.costs.map(JsValue::from);
        let text = Uint8Array::from(self.passphrase.reveal().reveal());
        Array::of5(&text, &memory, &passes, &lanes, &Uint8Array::from(self.salt.as_slice()))
    }

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
        self.known(|known| known.wanted.as_ref().map(Wanted::arguments))
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

    /// A passphrase for where nobody can wait: `stretch` makes 60 bytes of [`Stretches::wanted`], at once.
    pub fn passphrase(&mut self, passphrase: &Passphrase, stretch: Function) {
        let key = AtOnce { passphrase: Arc::clone(&passphrase.0), stretch };
        self.0 = std::mem::take(&mut self.0).and(key);
    }
}

struct AtOnce {
    passphrase: Arc<sealwire::Passphrase>,
    stretch: Function,
}

impl Unlock for AtOnce {
    fn unlock(
        &self,
        request: &UnlockRequest<'_>,
        budget: &mut UnlockBudget,
    ) -> sealwire::Result<Option<Candidate>> {
        let Some(wanted) = Wanted::by(&self.passphrase, request, budget)? else { return Ok(None) };
        let stretched = self.stretch.call1(&JsValue::UNDEFINED, &wanted.arguments());
        // With costs in their limits there is one reason not to.
        let stretched = stretched.map_err(|_| Error::Store(ErrorKind::OutOfMemory))?;
        let stretched = Zeroizing::new(Uint8Array::new(&stretched).to_vec());
        StretchedPassphrase::from_bytes(&stretched)?.unlock(request, budget)
    }
}

struct Elsewhere {
    passphrase: Arc<sealwire::Passphrase>,
    known: Arc<Mutex<Known>>,
}

impl Unlock for Elsewhere {
    fn unlock(
        &self,
        request: &UnlockRequest<'_>,
        budget: &mut UnlockBudget,
    ) -> sealwire::Result<Option<Candidate>> {
        let Some(wanted) = Wanted::by(&self.passphrase, request, budget)? else { return Ok(None) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, stretched)) = known.stretched.iter().find(|(known, _)| known.is(&wanted)) {
            return stretched.unlock(request, budget);
        }
        known.wanted.get_or_insert(wanted);
        Ok(None)
    }
}
