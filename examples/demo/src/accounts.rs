//! Who may call: names, and the public keys with which these people sign. Whoever is not here is refused.

use sealwire::Signer;
use sealwire::http::KeyId;
use std::sync::{PoisonError, RwLock};

/// More than that is nobody's demo.
const MAX_ACCOUNTS: usize = 100;

pub(crate) struct Accounts(RwLock<Vec<(String, Signer)>>);

/// What became of a wish for an account.
#[derive(PartialEq)]
pub(crate) enum SignUp {
    Done,
    /// Somebody with another key has this name.
    Taken,
    Full,
}

impl Accounts {
    pub(crate) fn new(accounts: Vec<(String, Signer)>) -> Self {
        Self(RwLock::new(accounts))
    }

    pub(crate) fn signer(&self, id: &KeyId) -> Option<Signer> {
        self.read(|accounts| accounts.iter().map(|(_, signer)| *signer).find(|signer| signer.key_id() == *id))
    }

    pub(crate) fn name(&self, signer: &Signer) -> Option<String> {
        self.read(|accounts| accounts.iter().find(|(_, one)| one == signer).map(|(name, _)| name.clone()))
    }

    pub(crate) fn named(&self, name: &str) -> Option<Signer> {
        self.read(|accounts| accounts.iter().find(|(one, _)| one == name).map(|(_, signer)| *signer))
    }

    /// Gives an account to whoever comes. With `anew`, whoever had this name before is out.
    pub(crate) fn sign_up(&self, name: &str, signer: Signer, anew: bool) -> SignUp {
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let full = accounts.len() >= MAX_ACCOUNTS;
        match accounts.iter_mut().find(|(one, _)| one == name) {
            Some((_, theirs)) if *theirs == signer => SignUp::Done,
            Some((_, theirs)) if anew => {
                *theirs = signer;
                SignUp::Done
            }
            Some(_) => SignUp::Taken,
            None if full => SignUp::Full,
            None => {
                accounts.push((name.into(), signer));
                SignUp::Done
            }
        }
    }

    fn read<T>(&self, look: impl FnOnce(&[(String, Signer)]) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
