//! What a client remembers, so that a server cannot take it back: versions of resources, serials and pins of services.

use super::message::Origin;
use crate::cbor::{self, Writer};
use crate::error::{Error, Result};
use crate::identity::{Fingerprint, Pin};
use crate::secret::SecretBytes;
use crate::store::{Names, SecretStore};
use crate::suite::{Signer, hex, label, sha256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    known: Arc<Mutex<Names<u64>>>,
}

impl LastSeen {
    /// Remembers in `store`, such as a [`FileStore`](crate::FileStore). It is asked under a lock: one that called through the same client would
    /// wait for itself.
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
        self.advance_one(&mut self.known(), thing, number)
    }

    /// The same for a thing that several write. What one of them wrote who is not among `senders` any more counts for nothing: a stolen
    /// device may have written the highest number there is.
    pub(crate) fn advance_from(
        &self,
        thing: &str,
        senders: &[Signer],
        writer: &Signer,
        number: u64,
    ) -> Result<()> {
        let mut known = self.known();
        for other in senders.iter().filter(|sender| *sender != writer) {
            if number < self.last(&known, &seen_name(&written_by(thing, other)))?.0 {
                return Err(Error::Rejected);
            }
        }
        self.advance_one(&mut known, &written_by(thing, writer), number)
    }

    fn advance_one(&self, known: &mut Names<u64>, thing: &str, number: u64) -> Result<()> {
        let name = seen_name(thing);
        let (last, saved) = self.last(known, &name)?;
        if number < last {
            return Err(Error::Rejected);
        }
        if number != saved {
            self.store.save(&name, &SecretBytes::new(number.to_be_bytes().to_vec()))?;
        }
        known.put(&name, number);
        Ok(())
    }

    /// Refuses `number` like [`LastSeen::advance_from`], and remembers nothing.
    pub(crate) fn check_from(
        &self,
        thing: &str,
        senders: &[Signer],
        writer: &Signer,
        number: u64,
    ) -> Result<()> {
        let known = self.known();
        for sender in senders.iter().chain([writer]) {
            if number < self.last(&known, &seen_name(&written_by(thing, sender)))?.0 {
                return Err(Error::Rejected);
            }
        }
        Ok(())
    }

    /// The highest number of a name, and the one that the store has.
    fn last(&self, known: &Names<u64>, name: &str) -> Result<(u64, u64)> {
        let saved = self.store.load(name)?.map(|saved| read_number(&saved)).transpose()?.unwrap_or(0);
        Ok((known.get(name).map_or(saved, |last| saved.max(*last)), saved))
    }

    fn known(&self) -> MutexGuard<'_, Names<u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names under which a service's serial and pins are remembered.
    pub(crate) fn names_of_service(origin: &Origin, own: &[Pin]) -> [String; 2] {
        [seen_name(&keys_thing(origin, own)), pins_name(origin, own)]
    }

    /// Takes a service's key document: its serial, which is remembered like the pins, since a thief of an identity may have published the
    /// highest there is; and the pins that it names, if any, unless those that are known are from a later one. One step, in which its signer
    /// has to be `believed` still: another document may have withdrawn their pin meanwhile.
    pub(crate) fn take_document(
        &self,
        origin: &Origin,
        own: &[Pin],
        serial: u64,
        named: Option<LearnedPins>,
        believed: impl Fn(&[Pin]) -> bool,
    ) -> Result<()> {
        let mut known = self.known();
        let last = self.pins(origin, own)?;
        if !believed(&last.pins) {
            return Err(Error::Rejected);
        }
        self.advance_one(&mut known, &keys_thing(origin, own), serial)?;
        let newer = named
            .filter(|named| (named.serial, named.issued) >= (last.serial, last.issued) && *named != last);
        let Some(named) = newer else { return Ok(()) };
        let list = Writer::default().array(2 + named.pins.len()).uint(named.serial).uint(named.issued);
        let list = named.pins.iter().fold(list, |list, pin| list.bytes(pin.0.as_bytes()));
        self.store.save(&pins_name(origin, own), &SecretBytes::new(list.done()))
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
            return Err(Error::Malformed(&"no learned pins"));
        };
        let pins = pins.iter().map(|pin| cbor::fixed_bytes(pin).map(|pin| Pin(Fingerprint(*pin))));
        Ok(LearnedPins {
            serial: cbor::uint(serial)?,
            issued: cbor::uint(issued)?,
            pins: pins.collect::<Result<_>>()?,
        })
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
        saved.reveal().try_into().map_err(|_| Error::Malformed(&"a number that was seen has 8 bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn seen_name(thing: &str) -> String {
    format!("seen.{}", name_of(thing))
}

/// What one of several writers has written.
fn written_by(thing: &str, signer: &Signer) -> String {
    format!("{thing} {}", signer.key_id())
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
    let hash = sha256(&[label::LAST_SEEN, thing.as_bytes()]);
    hex(hash.first_chunk::<16>().unwrap_or(&[0; 16]))
}

impl std::fmt::Debug for LastSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LastSeen")
    }
}
