//! Opening slots: what a slot asks for, and the keys in memory that can answer.

use super::slot::{KeyService, Slot, SlotKind};
use super::{Fingerprint, Identity};
use crate::error::{Error, Result};
use crate::secret::{Key, SecretBytes};
use crate::suite::{
    argon2id, equal, hkdf_sha256, hmac_sha256, label, open0, random_array, random_key, sha256,
};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const OPERATIONS_PER_OPEN: u32 = 128;
const ARGON2_RUNS_PER_OPEN: u32 = 4;
/// What an item of a list has for itself, so that junk in a list takes nothing from the others: one of them has a slot that is found by its
/// hint, or a key service's.
const OPERATIONS_PER_ITEM: u32 = 4;
const MAX_PASSPHRASE: usize = 1024;
const ARGON2_DEFAULT: Argon2Costs = Argon2Costs { memory: 65536, passes: 3, lanes: 4 };

/// Keys that may open a slot. [`Identity`], [`Passphrase`], [`StretchedPassphrase`], [`SymmetricKey`], [`Keyring`],
/// [`ContentKey`](crate::ContentKey) and every [`KeyService`] are. All of them can be used from several threads at once.
pub trait Unlock: Sync {
    /// Tries one slot: a candidate for the content key, or `None` if the slot is not for these keys.
    ///
    /// A candidate is verified against the slots tag by the caller; keys that could give several for one slot verify
    /// them with [`UnlockRequest::accepts`]. Spend from `budget` before each operation that a header should not repeat
    /// at will.
    ///
    /// # Errors
    /// Whatever stopped the key from answering, such as [`Error::Store`] from a service that is out of reach. It surfaces
    /// only if no other slot opens.
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut UnlockBudget) -> Result<Option<Candidate>>;
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
    /// SLOTS and the tag over them.
    pub(crate) tagged: (&'a [u8], &'a [u8; 32]),
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

    /// Whether a candidate is the content key, by the slots tag: after a wrong one the next key is to be tried (SPEC §5).
    #[must_use]
    pub fn accepts(&self, candidate: &Candidate) -> bool {
        let (slots, tag) = self.tagged;
        equal(&slots_tag(&candidate.key, self.envelope_id, &self.h_fixed, slots), tag)
    }
}

/// How much work an open may still do, so that a crafted header cannot burn a reader's battery or its bill with a key
/// service: 128 KEM or key-service operations, and 4 runs of Argon2. All items of a list share that much, beyond the 4 operations that each
/// has for itself. Source: SPEC §11, §14, §20.
pub struct UnlockBudget {
    /// Of an item of a list.
    own: u32,
    operations: u32,
    argon2_runs: u32,
}

impl Default for UnlockBudget {
    fn default() -> Self {
        Self { own: 0, operations: OPERATIONS_PER_OPEN, argon2_runs: ARGON2_RUNS_PER_OPEN }
    }
}

impl UnlockBudget {
    /// Gives the next item of a list what it has for itself.
    pub(crate) fn next_item(&mut self) {
        self.own = OPERATIONS_PER_ITEM;
    }

    /// Call before each KEM operation and each call of a key service.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the 128 are used up.
    pub fn spend(&mut self) -> Result<()> {
        if let Some(own) = self.own.checked_sub(1) {
            self.own = own;
            return Ok(());
        }
        let spent = Error::TooLarge(&"an open may try 128 KEM or key-service operations");
        self.operations = self.operations.checked_sub(1).ok_or(spent)?;
        Ok(())
    }

    /// Call before each run of Argon2.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the 4 are used up.
    pub fn spend_argon2(&mut self) -> Result<()> {
        let spent = Error::TooLarge(&"an open may run Argon2 4 times");
        self.argon2_runs = self.argon2_runs.checked_sub(1).ok_or(spent)?;
        Ok(())
    }
}

/// HMAC over the fixed part and SLOTS, under the content key (SPEC §5).
pub(crate) fn slots_tag(
    content_key: &Key,
    envelope_id: &[u8; 32],
    h_fixed: &[u8; 32],
    slots: &[u8],
) -> [u8; 32] {
    let key = hkdf_sha256(envelope_id, content_key.expose(), label::SLOTS_TAG_KEY);
    hmac_sha256(&key, &[label::SLOTS_TAG, h_fixed, &sha256(&[slots])])
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
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut UnlockBudget) -> Result<Option<Candidate>> {
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
    kept: Option<Mutex<Kept>>,
}

/// What Argon2id made of a store's passphrase: a slot's own key comes from it and from what ties the slot to its envelope (SPEC §4), so
/// that many files may be under one.
#[derive(Default)]
struct Kept {
    stretched: Vec<Arc<StretchedPassphrase>>,
    /// That of the next slots.
    salt: Option<[u8; 16]>,
}

/// Argon2id costs: memory in KiB, passes, lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
            return Err(Error::Misuse(&"a passphrase has 1 to 1024 bytes"));
        }
        Ok(Self { text: SecretBytes::new(text.as_bytes().to_vec()), costs: ARGON2_DEFAULT, kept: None })
    }

    /// Runs Argon2id once for each salt, in place of once for each slot, and makes every slot with one salt: that of a slot that it
    /// has opened, if there is one with the same costs.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of_a_store(self) -> Self {
        Self { kept: Some(Mutex::default()), ..self }
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

    /// The passphrase's UTF-8.
    #[must_use]
    pub fn reveal(&self) -> SecretBytes {
        SecretBytes::new(self.text.reveal().to_vec())
    }

    /// Runs Argon2id with a fresh salt, to seal with what comes out.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system gives no randomness, [`Error::Store`] if it does not give the memory.
    pub fn stretch(&self) -> Result<StretchedPassphrase> {
        self.stretch_with(&random_array()?)
    }

    /// Runs Argon2id with the salt of a slot and this passphrase's costs, to open that slot with what comes out.
    ///
    /// # Errors
    /// [`Error::Store`] if the system does not give the memory.
    pub fn stretch_with(&self, salt: &[u8; 16]) -> Result<StretchedPassphrase> {
        self.stretch_at(salt, self.costs)
    }

    /// What to lock a new slot with.
    pub(super) fn for_a_slot(&self) -> Result<Arc<StretchedPassphrase>> {
        let mut kept = self.kept();
        let salt = match kept.as_ref().and_then(|kept| kept.salt) {
            Some(salt) => salt,
            None => random_array()?,
        };
        if let Some(stretched) = kept.as_ref().and_then(|kept| kept.find(&salt, self.costs)) {
            return Ok(stretched);
        }
        let stretched = Arc::new(self.stretch_at(&salt, self.costs)?);
        if let Some(kept) = &mut kept {
            kept.salt = Some(salt);
            kept.stretched.push(stretched.clone());
        }
        Ok(stretched)
    }

    fn kept(&self) -> Option<MutexGuard<'_, Kept>> {
        self.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stretch_at(&self, salt: &[u8; 16], costs: Argon2Costs) -> Result<StretchedPassphrase> {
        let hashed = argon2id(self.text.reveal(), salt, costs.memory, costs.passes, costs.lanes)?;
        Ok(StretchedPassphrase { salt: *salt, costs, hashed })
    }
}

impl Kept {
    fn find(&self, salt: &[u8; 16], costs: Argon2Costs) -> Option<Arc<StretchedPassphrase>> {
        self.stretched.iter().find(|kept| kept.salt == *salt && kept.costs == costs).cloned()
    }
}

/// What Argon2id made of a passphrase, for one salt and its costs. Wiped on drop; `Debug` prints only the type's name.
///
/// It is the slow step of a passphrase slot by itself, to be run where its memory comes back: a process, a worker. Whoever has it
/// opens every slot with that salt, without the passphrase. Stretch anew for each envelope: a salt that comes again shows that two
/// envelopes have the same passphrase. Source: SPEC §4.
///
/// ```
/// use sealwire::{Passphrase, Recipients, SealContext, Sealer, StretchedPassphrase, open};
///
/// let passphrase = Passphrase::new("correct horse battery staple")?.costs(8192, 1, 1)?;
/// let elsewhere = passphrase.stretch()?.reveal();
/// let stretched = StretchedPassphrase::from_bytes(elsewhere.reveal())?;
///
/// let context = SealContext::new("backup");
/// let envelope = Sealer::new(&context).to(Recipients::new().stretched(&stretched)).seal(b"an identity")?;
/// assert_eq!(open(&envelope, &passphrase, &context)?.plaintext, b"an identity");
/// assert_eq!(open(&envelope, &stretched, &context)?.plaintext, b"an identity");
/// # Ok::<(), sealwire::Error>(())
/// ```
pub struct StretchedPassphrase {
    pub(super) salt: [u8; 16],
    pub(super) costs: Argon2Costs,
    hashed: Key,
}

impl StretchedPassphrase {
    /// 60 bytes: salt, memory, passes and lanes (4 bytes each, big-endian), and what Argon2id made.
    #[must_use]
    pub fn reveal(&self) -> SecretBytes {
        let Argon2Costs { memory, passes, lanes } = self.costs;
        let [memory, passes, lanes] = [memory, passes, lanes].map(u32::to_be_bytes);
        SecretBytes::new([&self.salt[..], &memory, &passes, &lanes, self.hashed.expose()].concat())
    }

    /// Reads those bytes; wipe your own copy.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for another length; [`Error::TooLarge`] and [`Error::Malformed`] for costs out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let read = || {
            let (salt, rest) = bytes.split_first_chunk::<16>()?;
            let (memory, rest) = rest.split_first_chunk::<4>()?;
            let (passes, rest) = rest.split_first_chunk::<4>()?;
            let (lanes, rest) = rest.split_first_chunk::<4>()?;
            let [memory, passes, lanes] = [memory, passes, lanes].map(|bytes| u32::from_be_bytes(*bytes));
            let hashed = Key::copied(rest.try_into().ok()?);
            Some(Self { salt: *salt, costs: Argon2Costs { memory, passes, lanes }, hashed })
        };
        let read = read().ok_or(Error::InvalidKey(&"a stretched passphrase has 60 bytes"))?;
        read.costs.check()?;
        Ok(read)
    }

    pub(super) fn slot_key(&self, binding: &[u8]) -> Key {
        hkdf_sha256(&self.salt, self.hashed.expose(), binding)
    }
}

impl fmt::Debug for StretchedPassphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StretchedPassphrase")
    }
}

impl Unlock for StretchedPassphrase {
    fn unlock(&self, request: &UnlockRequest<'_>, _: &mut UnlockBudget) -> Result<Option<Candidate>> {
        let SlotKind::Passphrase { salt, memory, passes, lanes, ct } = *request.kind() else {
            return Ok(None);
        };
        if *salt != self.salt || (Argon2Costs { memory, passes, lanes }) != self.costs {
            return Ok(None);
        }
        Ok(candidate(&self.slot_key(&request.binding()), ct))
    }
}

impl Argon2Costs {
    /// The limits of SPEC §4, before any memory is allocated.
    pub(super) fn check(self) -> Result<()> {
        if self.memory > 256 * 1024 || self.passes > 10 || self.lanes > 8 {
            return Err(Error::TooLarge(&"Argon2 costs above 256 MiB, 10 passes or 8 lanes"));
        }
        if self.passes == 0 || self.lanes == 0 || self.memory < 8 * self.lanes {
            return Err(Error::Malformed(&"Argon2 costs below what Argon2 takes"));
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
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut UnlockBudget) -> Result<Option<Candidate>> {
        let SlotKind::Passphrase { salt, memory, passes, lanes, ct } = *request.kind() else {
            return Ok(None);
        };
        let (costs, binding) = (Argon2Costs { memory, passes, lanes }, request.binding());
        let mut kept = self.kept();
        if let Some(stretched) = kept.as_ref().and_then(|kept| kept.find(salt, costs)) {
            return Ok(candidate(&stretched.slot_key(&binding), ct));
        }
        budget.spend_argon2()?;
        let stretched = self.stretch_at(salt, costs)?;
        let found = candidate(&stretched.slot_key(&binding), ct);
        // Of what opens alone, so that nobody else chooses a salt.
        if let (Some(kept), Some(_)) = (&mut kept, &found) {
            kept.stretched.push(Arc::new(stretched));
            if costs == self.costs {
                kept.salt.get_or_insert(*salt);
            }
        }
        Ok(found)
    }
}

/// A 32-byte key that both sides hold: a backup key, a group's epoch. Wiped on drop; `Debug` prints only the type's name.
///
/// Post-quantum by nature. Source: SPEC §4.
pub struct SymmetricKey {
    key: Key,
    id: [u8; 8],
}

impl SymmetricKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system gives no randomness.
    pub fn generate() -> Result<Self> {
        random_key().map(Self::with_key)
    }

    /// Takes 32 uniformly random bytes; wipe your own copy. A password is not a key: see [`Passphrase`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self::with_key(Key::copied(bytes))
    }

    fn with_key(key: Key) -> Self {
        let derived = hkdf_sha256(&[], key.expose(), label::KEY_ID);
        let id = derived.expose().first_chunk().copied().unwrap_or_default();
        Self { key, id }
    }

    /// The key's 32 bytes, to be kept in a [`SecretStore`](crate::SecretStore).
    #[must_use]
    pub fn reveal(&self) -> SecretBytes {
        SecretBytes::new(self.key.expose().to_vec())
    }

    /// The opaque id that stands in the slots under this key. It says nothing of the key, and is the same in each.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    pub(super) fn slot_key(&self, salt: &[u8; 32], binding: &[u8]) -> Key {
        hkdf_sha256(salt, self.key.expose(), binding)
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey")
    }
}

impl Unlock for SymmetricKey {
    fn unlock(&self, request: &UnlockRequest<'_>, _: &mut UnlockBudget) -> Result<Option<Candidate>> {
        let SlotKind::Symmetric { salt, key_id, ct } = *request.kind() else { return Ok(None) };
        if *key_id != self.id {
            return Ok(None);
        }
        Ok(candidate(&self.slot_key(salt, &request.binding()), ct))
    }
}

impl<S: KeyService> Unlock for S {
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut UnlockBudget) -> Result<Option<Candidate>> {
        match *request.kind() {
            SlotKind::External { service, ct } if service == self.service() => {
                budget.spend()?;
                self.unwrap_key(ct, &request.binding())
            }
            _ => Ok(None),
        }
    }
}

/// Several keys at once: an identity and the ones it replaced, or an identity and a recovery passphrase.
///
/// Each slot is tried with every key until one opens it. The limits of an open hold for all keys together: 128 KEM or
/// key-service operations and 4 runs of Argon2, so that of several passphrases the likely ones belong in front. A key
/// beyond its limit is left out; if no other opens, the answer is [`Error::TooLarge`]. Source: SPEC §11.
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
pub struct Keyring(Vec<Box<dyn Unlock + Send>>);

impl Keyring {
    /// Adds keys; they are tried in the order in which they were added.
    #[must_use]
    pub fn and(mut self, keys: impl Unlock + Send + 'static) -> Self {
        self.0.push(Box::new(keys));
        self
    }
}

impl Unlock for Keyring {
    fn unlock(&self, request: &UnlockRequest<'_>, budget: &mut UnlockBudget) -> Result<Option<Candidate>> {
        let mut refused = Ok(None);
        for keys in &self.0 {
            match keys.unlock(request, budget) {
                Ok(Some(candidate)) if request.accepts(&candidate) => return Ok(Some(candidate)),
                Ok(_) => {}
                failed => refused = failed,
            }
        }
        refused
    }
}
