//! Opening slots: what a slot asks for, and the keys in memory that can answer.

use super::slot::{KeyService, Slot, SlotKind};
use super::{Fingerprint, Identity};
use crate::error::{Error, Result};
use crate::secret::{Key, SecretBytes};
use crate::suite::{argon2id, hkdf_sha256, label, open0, random_key};
use std::fmt;

const KEM_OPERATIONS_PER_OPEN: u32 = 128;
const MAX_PASSPHRASE: usize = 1024;
const ARGON2_DEFAULT: Argon2Costs = Argon2Costs { memory: 65536, passes: 3, lanes: 4 };

/// Keys that may open a slot. [`Identity`], [`Passphrase`], [`SymmetricKey`], [`Keyring`],
/// [`ContentKey`](crate::ContentKey) and every [`KeyService`] are.
pub trait Unlock {
    /// Tries one slot: a candidate for the content key, or `None` if the slot is not for these keys.
    ///
    /// A candidate is verified against the slots tag by the caller. Spend from `budget` before each KEM operation.
    ///
    /// # Errors
    /// Whatever stopped the key from answering, such as [`Error::Store`] from a service that is out of reach. It surfaces
    /// only if no other slot opens.
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut KemBudget) -> Result<Option<Candidate>>;
}

/// One slot, as a question: who can unlock this?
///
/// To unlock elsewhere (asynchronously, or in hardware), run the operation that [`UnlockRequest::kind`] names,
/// with [`UnlockRequest::binding`] as HPKE `info` (and empty associated data), and hand the 32 bytes to
/// [`Header::content_key`](crate::Header::content_key). Everything here is a stranger's claim until then.
pub struct UnlockRequest<'a> {
    /// The slot's place in the header, from 0.
    pub slot: usize,
    pub(crate) content: &'a Slot<'a>,
    pub(crate) envelope_id: &'a [u8; 32],
    pub(crate) h_fixed: [u8; 32],
}

impl<'a> UnlockRequest<'a> {
    /// What the slot holds.
    #[must_use]
    pub fn kind(&self) -> &SlotKind<'a> {
        &self.content.kind
    }

    /// What ties the slot to its envelope: HPKE `info`, or a key service's associated data (SPEC §4).
    #[must_use]
    pub fn binding(&self) -> Vec<u8> {
        self.content.binding(&self.h_fixed)
    }

    /// The envelope id that the header claims.
    #[must_use]
    pub fn envelope_id(&self) -> &'a [u8; 32] {
        self.envelope_id
    }
}

/// How many KEM operations an open may still spend: 128 in all, so that a crafted header cannot burn a reader's battery.
pub struct KemBudget(u32);

impl Default for KemBudget {
    fn default() -> Self {
        Self(KEM_OPERATIONS_PER_OPEN)
    }
}

impl KemBudget {
    /// Call before each KEM operation.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the budget is used up.
    pub fn spend(&mut self) -> Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(Error::TooLarge("an open may try 128 KEM operations"))?;
        Ok(())
    }
}

/// 32 bytes that came out of a slot and may be the content key: the slots tag decides. Wiped on drop.
pub struct Candidate {
    pub(crate) key: Key,
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Candidate {
    /// A candidate that was unlocked elsewhere. Wipe your own copy of `key`.
    #[must_use]
    pub fn from_bytes(key: &[u8; 32]) -> Self {
        Self { key: Key::copied(key), fingerprint: None }
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Candidate")
    }
}

/// Opens a 48-byte `ct` of SEAL0 under `key`.
fn candidate(key: &Key, ct: &[u8; 48]) -> Option<Candidate> {
    let mut opened = false;
    let content_key = Key::from_fill(|out| opened = open0(key, &[], ct, out));
    opened.then_some(Candidate { key: content_key, fingerprint: None })
}

impl Unlock for Identity {
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut KemBudget) -> Result<Option<Candidate>> {
        let SlotKind::Hpke { kem, hint, enc, ct } = *request.kind() else { return Ok(None) };
        let fingerprint = self.recipient().fingerprint();
        if kem != self.kem.kem()
            || hint.is_some_and(|hint| *hint != super::slot::hint(request.envelope_id, &fingerprint))
        {
            return Ok(None);
        }
        budget.spend()?;
        let key = self.kem.open(enc, &request.binding(), ct);
        Ok(key.map(|key| Candidate { key, fingerprint: Some(fingerprint) }))
    }
}

/// A passphrase. Wiped on drop; `Debug` prints only the type's name.
///
/// 1 to 1024 bytes of UTF-8, taken as they are: no Unicode normalisation. Sealing uses Argon2id with
/// 64 MiB, 3 passes and 4 lanes (RFC 9106 §4, second recommendation). Source: SPEC §4.
pub struct Passphrase {
    text: SecretBytes,
    pub(super) costs: Argon2Costs,
}

/// Argon2id costs: memory in KiB, passes, lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Argon2Costs {
    pub(super) memory: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Passphrase {
    /// Takes a passphrase; wipe your own copy.
    ///
    /// # Errors
    /// [`Error::Misuse`] unless it has 1 to 1024 bytes.
    pub fn new(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > MAX_PASSPHRASE {
            return Err(Error::Misuse("a passphrase has 1 to 1024 bytes"));
        }
        Ok(Self { text: SecretBytes::new(text.as_bytes().to_vec()), costs: ARGON2_DEFAULT })
    }

    /// Seals with other Argon2id costs: `memory` in KiB (8 × lanes to 262144), `passes` (1 to 10), `lanes` (1 to 8).
    /// Less than the default makes guessing cheaper for a thief of the envelope.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above a limit, [`Error::Malformed`] below one.
    pub fn costs(mut self, memory: u32, passes: u32, lanes: u32) -> Result<Self> {
        self.costs = Argon2Costs { memory, passes, lanes };
        self.costs.check()?;
        Ok(self)
    }

    pub(super) fn slot_key(&self, salt: &[u8; 16], costs: Argon2Costs, binding: &[u8]) -> Result<Key> {
        let hashed = argon2id(self.text.reveal(), salt, costs.memory, costs.passes, costs.lanes)?;
        Ok(hkdf_sha256(salt, hashed.expose(), binding))
    }
}

impl Argon2Costs {
    /// The limits of SPEC §4, before any memory is allocated.
    pub(super) fn check(self) -> Result<()> {
        if self.memory > 256 * 1024 || self.passes > 10 || self.lanes > 8 {
            return Err(Error::TooLarge("Argon2 costs above 256 MiB, 10 passes or 8 lanes"));
        }
        if self.passes == 0 || self.lanes == 0 || self.memory < 8 * self.lanes {
            return Err(Error::Malformed("Argon2 costs below what Argon2 takes"));
        }
        Ok(())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Unlock for Passphrase {
    fn unlock(&self, request: &UnlockRequest<'_>, _: &mut KemBudget) -> Result<Option<Candidate>> {
        let SlotKind::Passphrase { salt, memory, passes, lanes, ct } = *request.kind() else {
            return Ok(None);
        };
        let costs = Argon2Costs { memory, passes, lanes };
        Ok(candidate(&self.slot_key(salt, costs, &request.binding())?, ct))
    }
}

/// A 32-byte key that both sides hold: a backup key, a group's epoch. Wiped on drop; `Debug` prints only the type's name.
///
/// Post-quantum by nature. Source: SPEC §4.
pub struct SymmetricKey(Key);

impl SymmetricKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system gives no randomness.
    pub fn generate() -> Result<Self> {
        random_key().map(Self)
    }

    /// Takes 32 uniformly random bytes; wipe your own copy. A password is not a key: see [`Passphrase`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Key::copied(bytes))
    }

    /// The key's 32 bytes, to be kept in a [`SecretStore`](crate::SecretStore).
    #[must_use]
    pub fn reveal(&self) -> SecretBytes {
        SecretBytes::new(self.0.expose().to_vec())
    }

    /// The opaque id that stands in the slots under this key. It says nothing of the key, and is the same in each.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        let derived = hkdf_sha256(&[], self.0.expose(), label::KEY_ID);
        derived.expose().first_chunk().copied().unwrap_or_default()
    }

    pub(super) fn slot_key(&self, salt: &[u8; 32], binding: &[u8]) -> Key {
        hkdf_sha256(salt, self.0.expose(), binding)
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey")
    }
}

impl Unlock for SymmetricKey {
    fn unlock(&self, request: &UnlockRequest<'_>, _: &mut KemBudget) -> Result<Option<Candidate>> {
        let SlotKind::Symmetric { salt, key_id, ct } = *request.kind() else { return Ok(None) };
        if *key_id != self.id() {
            return Ok(None);
        }
        Ok(candidate(&self.slot_key(salt, &request.binding()), ct))
    }
}

impl<S: KeyService> Unlock for S {
    fn unlock(&self, request: &UnlockRequest<'_>, _: &mut KemBudget) -> Result<Option<Candidate>> {
        match *request.kind() {
            SlotKind::External { service, ct } if service == self.service() => {
                self.unwrap_key(ct, &request.binding())
            }
            _ => Ok(None),
        }
    }
}

/// Several keys at once: an identity and the ones it replaced, or an identity and a recovery passphrase.
///
/// ```
/// use sealwire::{Identity, Keyring, SealContext, open, seal};
///
/// let (old, new) = (Identity::generate()?, Identity::generate()?);
/// let context = SealContext::new("notes").field("1");
/// let envelope = seal(b"sealed before the change of keys", &[old.recipient()], &context)?;
/// let keyring = Keyring::default().and(new).and(old);
/// assert!(open(&envelope, &keyring, &context).is_ok());
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Default)]
pub struct Keyring(Vec<Box<dyn Unlock + Send + Sync>>);

impl Keyring {
    /// Adds keys; they are tried in the order in which they were added.
    #[must_use]
    pub fn and(mut self, keys: impl Unlock + Send + Sync + 'static) -> Self {
        self.0.push(Box::new(keys));
        self
    }
}

impl Unlock for Keyring {
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut KemBudget) -> Result<Option<Candidate>> {
        let mut refused = Ok(None);
        for keys in &self.0 {
            match keys.unlock(request, budget) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                failed => refused = failed,
            }
        }
        refused
    }
}
