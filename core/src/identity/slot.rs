//! Slots: the content key, locked for one reader each (SPEC §4).

use super::unlock::{Argon2Costs, Candidate, Passphrase, StretchedPassphrase, SymmetricKey};
use super::{Fingerprint, Recipient};
use crate::cbor::{self, IntMap, Writer};
use crate::error::{Error, Result};
use crate::secret::Key;
use crate::suite::{Kem, label, random_array, seal0, sha256};
use std::sync::Arc;

pub(crate) const MAX_SLOTS: usize = 1024;
const MAX_ANONYMOUS: usize = 64;
const MAX_PASSPHRASES: usize = 2;
const MAX_EXTERNAL_CT: usize = 65536;
const MAX_SERVICE: usize = 255;

const HPKE: u64 = 1;
const PASSPHRASE: u64 = 2;
const SYMMETRIC: u64 = 3;
const EXTERNAL: u64 = 4;

const KIND: i128 = 0;
const ENC: i128 = 5;
const CT: i128 = 6;

const KDF_HKDF_SHA256: u64 = 1;
const AEAD_CHACHA20_POLY1305: u64 = 3;

/// A key service that wraps content keys: a KMS, an HSM, an enclave.
///
/// The service should bind `binding` (AWS: encryption context; PKCS #11: AAD), so that a wrapped key cannot be moved to
/// another envelope; the slots tag holds it there in any case. Source: SPEC §4, external slots.
pub trait KeyService: Sync {
    /// The service's name, 1 to 255 bytes. It stands in the envelope, **in clear**.
    fn service(&self) -> &str;

    /// Wraps a content key into 1 to 65536 bytes. Do not keep `content_key`.
    ///
    /// # Errors
    /// [`Error::Store`] if the service cannot be reached or refuses.
    fn wrap_key(&self, content_key: &[u8; 32], binding: &[u8]) -> Result<Vec<u8>>;

    /// The content key that was wrapped, or `None` if the service says that it is not its own.
    ///
    /// # Errors
    /// [`Error::Store`] if the service cannot be reached.
    fn unwrap_key(&self, wrapped: &[u8], binding: &[u8]) -> Result<Option<Candidate>>;
}

/// The complete list of who can open an envelope.
///
/// Anything that names recipients turns into it: `&[bob, carol]`, `&bob`, or the methods below. Limits: 1 to
/// 1024 readers, of which at most 64 anonymous and 2 passphrases. Source: SPEC §4.
///
/// ```
/// use sealwire::{Identity, Passphrase, Recipients, SealContext, Sealer};
///
/// let bob = Identity::generate()?;
/// let everyone = Recipients::new().recipient(bob.recipient());
/// let context = SealContext::new("letters").field(1_u64);
/// let envelope = Sealer::new(&context).to(everyone).seal(b"Dear Bob")?;
/// # let _ = envelope;
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Recipients<'a> {
    list: Vec<SealTo<'a>>,
    classical_allowed: bool,
}

/// What runs Argon2id when it comes to that. As a trait object, so that who seals to no passphrase has no Argon2 in their program.
trait ForASlot: Sync {
    fn for_a_slot(&self) -> Result<Arc<StretchedPassphrase>>;
}

impl ForASlot for Passphrase {
    fn for_a_slot(&self) -> Result<Arc<StretchedPassphrase>> {
        self.for_a_slot()
    }
}

/// One reader.
#[derive(Clone)]
enum SealTo<'a> {
    Recipient(&'a Recipient),
    Anonymous(&'a Recipient),
    Passphrase(&'a dyn ForASlot),
    Stretched(&'a StretchedPassphrase),
    Key(&'a SymmetricKey),
    Service(&'a dyn KeyService),
}

impl<'a> Recipients<'a> {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a recipient. Their slot carries a 4-byte hint, which differs in every envelope, so that they find it at once. Whoever
    /// knows their public keys, such as a server with a directory, can compute the hint too and so test who the readers are: see
    /// [`Recipients::anonymous`].
    #[must_use]
    pub fn recipient(self, recipient: &'a Recipient) -> Self {
        self.and(SealTo::Recipient(recipient))
    }

    /// Adds a recipient without a hint: nobody who lacks the private key can test whether they are among the readers.
    /// Every reader with a key of that KEM tries the slot.
    #[must_use]
    pub fn anonymous(self, recipient: &'a Recipient) -> Self {
        self.and(SealTo::Anonymous(recipient))
    }

    /// Adds whoever knows a passphrase.
    #[must_use]
    pub fn passphrase(self, passphrase: &'a Passphrase) -> Self {
        self.and(SealTo::Passphrase(passphrase))
    }

    /// Adds whoever knows a passphrase on which Argon2id was run elsewhere. It counts as a passphrase.
    #[must_use]
    pub fn stretched(self, passphrase: &'a StretchedPassphrase) -> Self {
        self.and(SealTo::Stretched(passphrase))
    }

    /// Adds whoever holds a symmetric key.
    #[must_use]
    pub fn key(self, key: &'a SymmetricKey) -> Self {
        self.and(SealTo::Key(key))
    }

    /// Adds whoever may use a key service.
    #[must_use]
    pub fn service(self, service: &'a dyn KeyService) -> Self {
        self.and(SealTo::Service(service))
    }

    /// Lets X25519 recipients stand beside X-Wing ones. One of them is enough for a quantum computer to open the whole
    /// envelope, so without this the mix is [`Error::Misuse`].
    #[must_use]
    pub fn allow_classical(mut self) -> Self {
        self.classical_allowed = true;
        self
    }

    fn and(mut self, reader: SealTo<'a>) -> Self {
        self.list.push(reader);
        self
    }

    /// Both lists as one.
    pub(crate) fn merge(mut self, other: Recipients<'a>) -> Self {
        self.list.extend(other.list);
        self.classical_allowed |= other.classical_allowed;
        self
    }

    /// The fingerprints that the audience lists: named recipients, ascending, each once.
    pub(crate) fn audience(&self) -> Vec<Fingerprint> {
        let mut audience: Vec<Fingerprint> = self
            .list
            .iter()
            .filter_map(|reader| match reader {
                SealTo::Recipient(recipient) => Some(recipient.fingerprint()),
                _ => None,
            })
            .collect();
        audience.sort_unstable();
        audience.dedup();
        audience
    }

    /// The rules that a sealer keeps so that every reader can read.
    fn check(&self) -> Result<()> {
        let count = |test: fn(&SealTo<'_>) -> bool| self.list.iter().filter(|r| test(r)).count();
        let with_kem = |kem: Kem| {
            self.list.iter().any(|reader| match reader {
                SealTo::Recipient(r) | SealTo::Anonymous(r) => r.kem() == kem,
                _ => false,
            })
        };
        if self.list.is_empty() {
            return Err(Error::Misuse(&"there is nobody to seal to"));
        }
        if self.list.len() > MAX_SLOTS {
            return Err(Error::TooLarge(&"an envelope has at most 1024 slots"));
        }
        if count(|r| matches!(r, SealTo::Anonymous(_))) > MAX_ANONYMOUS {
            return Err(Error::TooLarge(&"an envelope has at most 64 anonymous slots"));
        }
        if count(|r| matches!(r, SealTo::Passphrase(_) | SealTo::Stretched(_))) > MAX_PASSPHRASES {
            return Err(Error::TooLarge(&"an envelope has at most 2 passphrase slots"));
        }
        if !self.classical_allowed && with_kem(Kem::XWing) && with_kem(Kem::X25519) {
            return Err(Error::Misuse(
                &"an X25519 reader beside X-Wing ones opens all to a quantum computer; allow_classical (--allow-classical) permits it",
            ));
        }
        Ok(())
    }
}

impl<'a> From<&'a Recipient> for Recipients<'a> {
    fn from(recipient: &'a Recipient) -> Self {
        Self::new().recipient(recipient)
    }
}

impl<'a> From<&'a [Recipient]> for Recipients<'a> {
    fn from(recipients: &'a [Recipient]) -> Self {
        recipients.iter().collect()
    }
}

impl<'a, const N: usize> From<&'a [Recipient; N]> for Recipients<'a> {
    fn from(recipients: &'a [Recipient; N]) -> Self {
        recipients.iter().collect()
    }
}

impl<'a> FromIterator<&'a Recipient> for Recipients<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Recipient>>(recipients: I) -> Self {
        recipients.into_iter().fold(Self::new(), Self::recipient)
    }
}

impl<'a> From<&'a Vec<Recipient>> for Recipients<'a> {
    fn from(recipients: &'a Vec<Recipient>) -> Self {
        recipients.iter().collect()
    }
}

impl<'a, const N: usize> From<&[&'a Recipient; N]> for Recipients<'a> {
    fn from(recipients: &[&'a Recipient; N]) -> Self {
        recipients.iter().copied().collect()
    }
}

/// Locks `content_key` for everybody on the list: the array of slots, encoded.
pub(crate) fn lock_all(
    recipients: &Recipients<'_>,
    content_key: &Key,
    envelope_id: &[u8; 32],
    h_fixed: &[u8; 32],
) -> Result<Vec<u8>> {
    recipients.check()?;
    let lock = |reader: &SealTo<'_>| reader.lock(content_key, envelope_id, h_fixed);
    let slots: Vec<Vec<u8>> = map_in_parallel(&recipients.list, lock)?;
    let array = Writer::default().array(slots.len());
    Ok(slots.iter().fold(array, |array, slot| array.encoded(slot)).done())
}

/// KEM operations dominate long lists, so those use every core.
#[cfg(not(target_arch = "wasm32"))]
fn map_in_parallel<'a>(
    list: &[SealTo<'a>],
    lock: impl Fn(&SealTo<'a>) -> Result<Vec<u8>> + Sync + Send,
) -> Result<Vec<Vec<u8>>> {
    use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
    const WORTH_A_THREAD: usize = 8;
    if list.len() < WORTH_A_THREAD {
        list.iter().map(lock).collect()
    } else {
        list.par_iter().map(lock).collect()
    }
}

#[cfg(target_arch = "wasm32")]
fn map_in_parallel<'a>(
    list: &[SealTo<'a>],
    lock: impl Fn(&SealTo<'a>) -> Result<Vec<u8>>,
) -> Result<Vec<Vec<u8>>> {
    list.iter().map(lock).collect()
}

impl SealTo<'_> {
    /// One encoded slot.
    fn lock(&self, content_key: &Key, envelope_id: &[u8; 32], h_fixed: &[u8; 32]) -> Result<Vec<u8>> {
        let key = content_key.expose();
        match self {
            Self::Recipient(recipient) => {
                let hint = hint(envelope_id, &recipient.fingerprint());
                lock_hpke(recipient, Some(hint), key, h_fixed)
            }
            Self::Anonymous(recipient) => lock_hpke(recipient, None, key, h_fixed),
            Self::Passphrase(passphrase) => Ok(passphrase.for_a_slot()?.lock(key, h_fixed)),
            Self::Stretched(passphrase) => Ok(passphrase.lock(key, h_fixed)),
            Self::Key(symmetric) => {
                let salt = random_array::<32>()?;
                let open = OpenFields::new(SYMMETRIC)
                    .and(1, |w| w.bytes(&salt))
                    .and(2, |w| w.bytes(&symmetric.id()));
                let slot_key = symmetric.slot_key(&salt, &open.binding(h_fixed));
                Ok(open.and(CT, |w| w.bytes(&seal0(&slot_key, &[], key))).map())
            }
            Self::Service(service) => {
                let name = service.service();
                if name.is_empty() || name.len() > MAX_SERVICE {
                    return Err(Error::Misuse(&"a key service's name has 1 to 255 bytes"));
                }
                let open = OpenFields::new(EXTERNAL).and(1, |w| w.text(name));
                let wrapped = service.wrap_key(key, &open.binding(h_fixed))?;
                if wrapped.is_empty() || wrapped.len() > MAX_EXTERNAL_CT {
                    return Err(Error::TooLarge(&"a key service's wrapped key has 1 to 65536 bytes"));
                }
                Ok(open.and(CT, |w| w.bytes(&wrapped)).map())
            }
        }
    }
}

impl StretchedPassphrase {
    fn lock(&self, content_key: &[u8; 32], h_fixed: &[u8; 32]) -> Vec<u8> {
        let Argon2Costs { memory, passes, lanes } = self.costs;
        let open = OpenFields::new(PASSPHRASE)
            .and(1, |w| w.bytes(&self.salt))
            .and(2, |w| w.uint(memory.into()))
            .and(3, |w| w.uint(passes.into()))
            .and(4, |w| w.uint(lanes.into()));
        let slot_key = self.slot_key(&open.binding(h_fixed));
        open.and(CT, |w| w.bytes(&seal0(&slot_key, &[], content_key))).map()
    }
}

fn lock_hpke(
    recipient: &Recipient,
    hint: Option<[u8; 4]>,
    content_key: &[u8; 32],
    h_fixed: &[u8; 32],
) -> Result<Vec<u8>> {
    let suite = OpenFields::new(HPKE)
        .and(1, |w| w.uint(recipient.kem().id().into()))
        .and(2, |w| w.uint(KDF_HKDF_SHA256))
        .and(3, |w| w.uint(AEAD_CHACHA20_POLY1305));
    let open = match hint {
        Some(hint) => suite.and(4, |w| w.bytes(&hint)),
        None => suite,
    };
    let (enc, ct) = recipient.key.seal(&open.binding(h_fixed), content_key)?;
    Ok(open.and(ENC, |w| w.bytes(&enc)).and(CT, |w| w.bytes(&ct)).map())
}

/// A slot's map while it is written: first the fields that the binding covers, then `enc` and `ct`.
struct OpenFields {
    count: usize,
    entries: Writer,
}

impl OpenFields {
    fn new(kind: u64) -> Self {
        Self { count: 0, entries: Writer::default() }.and(KIND, |w| w.uint(kind))
    }

    /// Adds a field; keys come in ascending order.
    fn and(self, key: i128, value: impl FnOnce(Writer) -> Writer) -> Self {
        let key = u64::try_from(key).unwrap_or_default();
        Self { count: self.count + 1, entries: value(self.entries.uint(key)) }
    }

    fn map(self) -> Vec<u8> {
        Writer::default().map(self.count).encoded(&self.entries.done()).done()
    }

    fn binding(&self, h_fixed: &[u8; 32]) -> Vec<u8> {
        let head = Writer::default().map(self.count).done();
        [label::SLOT, h_fixed, &head, self.entries.written()].concat()
    }
}

/// The first 4 bytes of SHA-256(label ‖ envelope id ‖ fingerprint): lets a recipient find their slot.
pub(super) fn hint(envelope_id: &[u8; 32], fingerprint: &Fingerprint) -> [u8; 4] {
    let digest = sha256(&[label::SLOT_HINT, envelope_id, &fingerprint.0]);
    digest.first_chunk().copied().unwrap_or_default()
}

/// A slot as it was read. Nothing of it is authenticated before the slots tag.
pub(crate) struct Slot<'b> {
    map: IntMap<'b>,
    pub(crate) kind: SlotKind<'b>,
}

/// What a slot holds. Source: SPEC §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotKind<'b> {
    /// For a recipient. KDF is HKDF-SHA256, AEAD is ChaCha20-Poly1305.
    Hpke {
        /// The KEM.
        kem: Kem,
        /// 4 bytes by which the recipient finds the slot; `None` in an anonymous slot.
        hint: Option<&'b [u8; 4]>,
        /// HPKE `enc`: 1120 bytes (X-Wing) or 32 (X25519).
        enc: &'b [u8],
        /// The sealed content key.
        ct: &'b [u8; 48],
    },
    /// For who knows a passphrase (Argon2id).
    Passphrase {
        /// Salt.
        salt: &'b [u8; 16],
        /// Memory in KiB.
        memory: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
        /// The sealed content key.
        ct: &'b [u8; 48],
    },
    /// For who holds a symmetric key.
    Symmetric {
        /// Salt.
        salt: &'b [u8; 32],
        /// The key's opaque id.
        key_id: &'b [u8; 8],
        /// The sealed content key.
        ct: &'b [u8; 48],
    },
    /// For who may use a key service.
    External {
        /// The service's name.
        service: &'b str,
        /// What the service made of the content key.
        ct: &'b [u8],
    },
    /// A kind, suite or critical field that this version does not know; skipped, and covered by the slots tag.
    Unknown {
        /// The kind's number.
        kind: u64,
    },
}

impl<'b> Slot<'b> {
    /// Reads one slot from checked CBOR.
    fn read(checked: &'b [u8]) -> Result<Self> {
        let map = IntMap::view(checked)?;
        let kind = map.field(KIND, cbor::uint)?;
        let unknown = Self { map, kind: SlotKind::Unknown { kind } };
        let known_keys: &[i128] = match kind {
            HPKE => &[KIND, 1, 2, 3, 4, ENC, CT],
            PASSPHRASE => &[KIND, 1, 2, 3, 4, CT],
            SYMMETRIC => &[KIND, 1, 2, CT],
            EXTERNAL => &[KIND, 1, CT],
            _ => return Ok(unknown),
        };
        if map.has_critical_beside(known_keys)? {
            return Ok(unknown);
        }
        let kind = match kind {
            HPKE => match Self::read_suite(map)? {
                Some(kem) => Self::read_hpke(map, kem)?,
                None => return Ok(unknown),
            },
            PASSPHRASE => Self::read_passphrase(map)?,
            SYMMETRIC => SlotKind::Symmetric {
                salt: map.field(1, cbor::fixed_bytes)?,
                key_id: map.field(2, cbor::fixed_bytes)?,
                ct: map.field(CT, cbor::fixed_bytes)?,
            },
            _ => Self::read_external(map)?,
        };
        Ok(Self { map, kind })
    }

    /// The KEM, if the suite is one of ours.
    fn read_suite(map: IntMap<'b>) -> Result<Option<Kem>> {
        let (kem, kdf, aead) =
            (map.field(1, cbor::uint)?, map.field(2, cbor::uint)?, map.field(3, cbor::uint)?);
        let known = kdf == KDF_HKDF_SHA256 && aead == AEAD_CHACHA20_POLY1305;
        Ok(Kem::with_id(kem).filter(|_| known))
    }

    fn read_hpke(map: IntMap<'b>, kem: Kem) -> Result<SlotKind<'b>> {
        let enc = map.field(ENC, cbor::bytes)?;
        if enc.len() != kem.enc_len() {
            return Err(Error::Malformed(&"enc has another length than its KEM's"));
        }
        let hint = map.optional(4, cbor::fixed_bytes)?;
        Ok(SlotKind::Hpke { kem, hint, enc, ct: map.field(CT, cbor::fixed_bytes)? })
    }

    fn read_passphrase(map: IntMap<'b>) -> Result<SlotKind<'b>> {
        let cost = |key| {
            let cost = map.field(key, cbor::uint)?;
            u32::try_from(cost).map_err(|_| Error::TooLarge(&"an Argon2 cost"))
        };
        let (memory, passes, lanes) = (cost(2)?, cost(3)?, cost(4)?);
        Argon2Costs { memory, passes, lanes }.check()?;
        let (salt, ct) = (map.field(1, cbor::fixed_bytes)?, map.field(CT, cbor::fixed_bytes)?);
        Ok(SlotKind::Passphrase { salt, memory, passes, lanes, ct })
    }

    fn read_external(map: IntMap<'b>) -> Result<SlotKind<'b>> {
        let service = map.field(1, cbor::text)?;
        let ct = map.field(CT, cbor::bytes)?;
        if ct.len() > MAX_EXTERNAL_CT {
            return Err(Error::TooLarge(&"a key service's wrapped key has at most 65536 bytes"));
        }
        if service.is_empty() || service.len() > MAX_SERVICE || ct.is_empty() {
            return Err(Error::Malformed(&"an external slot with a length out of range"));
        }
        Ok(SlotKind::External { service, ct })
    }

    /// LABEL("slot") ‖ H_fixed ‖ the slot's map without `enc` and `ct`.
    pub(crate) fn binding(&self, h_fixed: &[u8; 32]) -> Vec<u8> {
        // The map was walked when it was read, so this cannot fail any more.
        let open = self.map.without(&[ENC, CT]).unwrap_or_default();
        [label::SLOT, h_fixed, &open].concat()
    }
}

/// Reads the array of slots from checked CBOR, with the limits that hold before any key operation.
pub(crate) fn parse_slots(checked: &[u8]) -> Result<Vec<Slot<'_>>> {
    let encoded = cbor::array(checked, 1, MAX_SLOTS as u64)?;
    let slots = encoded.into_iter().map(Slot::read).collect::<Result<Vec<_>>>()?;
    let count = |test: fn(&SlotKind<'_>) -> bool| slots.iter().filter(|slot| test(&slot.kind)).count();
    if count(|kind| matches!(kind, SlotKind::Hpke { hint: None, .. })) > MAX_ANONYMOUS {
        return Err(Error::TooLarge(&"an envelope has at most 64 anonymous slots"));
    }
    if count(|kind| matches!(kind, SlotKind::Passphrase { .. })) > MAX_PASSPHRASES {
        return Err(Error::TooLarge(&"an envelope has at most 2 passphrase slots"));
    }
    Ok(slots)
}
