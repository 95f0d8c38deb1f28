//! What a client remembers, so that a server cannot take it back: versions of resources, serials and pins of services.

use super::message::Origin;
use crate::cbor::{self, Writer};
use crate::error::{Error, Result};
use crate::identity::{Fingerprint, Pin};
use crate::secret::SecretBytes;
use crate::store::SecretStore;
use crate::suite::{label, sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const MAX_PINS: u64 = 16;

/// The highest number that was seen of each thing: an old version served as new, or an old key document, is refused.
///
/// It cannot help at the first read, when nothing has been seen yet, nor notice what a list leaves out. It is as durable as the
/// store below it; names in it are hashed. Source: SPEC §19, §20.
///
/// ```
/// use sealwire::{MemoryStore, http::LastSeen};
///
/// let seen = LastSeen::in_store(MemoryStore::default());
/// seen.advance("note 17", 4)?;
/// seen.advance("note 17", 4)?; // seen again
/// assert_eq!(seen.advance("note 17", 3).unwrap_err().code(), "Rejected");
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone)]
pub struct LastSeen {
    store: Arc<dyn SecretStore + Send + Sync>,
    /// What this process has seen, whatever becomes of the store; also the lock under which the store is read and changed.
    known: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl LastSeen {
    /// Remembers in `store`, such as a [`FileStore`](crate::FileStore).
    #[must_use]
    pub fn in_store(store: impl SecretStore + Send + Sync + 'static) -> Self {
        Self { store: Arc::new(store), known: Arc::default() }
    }

    /// Refuses `number` if a higher one was seen of `thing`, and remembers it otherwise. What was never seen has the number 0.
    ///
    /// Several processes may share a store: each reads it every time, and puts back what another that wrote at the same moment has lowered
    /// once it sees that number again. A store has no lock of its own, so until then a third process may take the lower one.
    ///
    /// # Errors
    /// [`Error::Rejected`] if it is lower; [`Error::Store`] if it cannot be remembered.
    pub fn advance(&self, thing: &str, number: u64) -> Result<()> {
        let name = seen_name(thing);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = self.store.load(&name)?.map(|saved| read_number(&saved)).transpose()?.unwrap_or(0);
        if number < known.get(&name).map_or(saved, |last| saved.max(*last)) {
            return Err(Error::Rejected);
        }
        if number != saved {
            self.store.save(&name, &SecretBytes::new(number.to_be_bytes().to_vec()))?;
        }
        known.insert(name, number);
        Ok(())
    }

    /// The names under which a service's serial and pins are remembered.
    pub(crate) fn names_of_service(origin: &Origin, own: &[Pin]) -> [String; 2] {
        [seen_name(&keys_thing(origin, own)), pins_name(origin, own)]
    }

    /// The serial of a service's keys. It is remembered like the pins: a thief of an identity may have published the highest there is.
    pub(crate) fn advance_keys(&self, origin: &Origin, own: &[Pin], serial: u64) -> Result<()> {
        self.advance(&keys_thing(origin, own), serial)
    }

    /// The pins that a service has named so far, to an app that carries `own`: with others it begins anew, so that an update of the app
    /// also takes back what a stolen identity had named.
    pub(crate) fn pins(&self, origin: &Origin, own: &[Pin]) -> Result<LearnedPins> {
        let Some(saved) = self.store.load(&pins_name(origin, own))? else {
            return Ok(LearnedPins::default());
        };
        cbor::check(saved.reveal())?;
        let items = cbor::array(saved.reveal(), 2, 2 + MAX_PINS)?;
        let [serial, issued, pins @ ..] = items.as_slice() else {
            return Err(Error::Malformed("no learned pins"));
        };
        let pins = pins.iter().map(|pin| cbor::fixed_bytes(pin).map(|pin| Pin(Fingerprint(*pin))));
        Ok(LearnedPins {
            serial: cbor::uint(serial)?,
            issued: cbor::uint(issued)?,
            pins: pins.collect::<Result<_>>()?,
        })
    }

    /// Replaces them, unless those are from a later document.
    pub(crate) fn learn_pins(&self, origin: &Origin, own: &[Pin], learned: LearnedPins) -> Result<()> {
        let last = self.pins(origin, own)?;
        if (learned.serial, learned.issued) < (last.serial, last.issued) || learned == last {
            return Ok(());
        }
        let list = Writer::default().array(2 + learned.pins.len()).uint(learned.serial).uint(learned.issued);
        let list = learned.pins.iter().fold(list, |list, pin| list.bytes(pin.0.as_bytes()));
        self.store.save(&pins_name(origin, own), &SecretBytes::new(list.done()))
    }
}

/// The pins that a key document named, and which document that was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LearnedPins {
    pub(crate) serial: u64,
    pub(crate) issued: u64,
    pub(crate) pins: Vec<Pin>,
}

fn read_number(saved: &SecretBytes) -> Result<u64> {
    let bytes =
        saved.reveal().try_into().map_err(|_| Error::Malformed("a number that was seen has 8 bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn seen_name(thing: &str) -> String {
    format!("seen.{}", name_of(thing))
}

fn keys_thing(origin: &Origin, own: &[Pin]) -> String {
    format!("keys {}", origin_and_pins(origin, own))
}

fn pins_name(origin: &Origin, own: &[Pin]) -> String {
    format!("pins.{}", name_of(&origin_and_pins(origin, own)))
}

fn origin_and_pins(origin: &Origin, own: &[Pin]) -> String {
    let own = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!("{origin} {own}")
}

/// A name that every store takes.
fn name_of(thing: &str) -> String {
    sha256(&[label::LAST_SEEN, thing.as_bytes()]).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl std::fmt::Debug for LastSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LastSeen")
    }
}
