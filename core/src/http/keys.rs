//! A service's keys: what it holds, what it publishes, and what a client believes of that (SPEC §19).

use super::last_seen::{LastSeen, LearnedPins};
use super::message::{Origin, unix_seconds};
use crate::cbor::{self, IntMap, Writer};
use crate::error::{Error, Result};
use crate::identity::{Fingerprint, Identity, Pin, Recipient};
use crate::secret::{Key, SecretBytes};
use crate::store::SecretStore;
use crate::suite::{
    Aead, HKDF_SHA256, HpkeAead, Kem, KemPublic, KemSecret, SIGNATURE_LEN, label, random_array,
};
use std::fmt;
use std::sync::Arc;

/// The media type of what [`ServiceKeys::document`] gives.
pub const KEYS_MEDIA_TYPE: &str = "application/vnd.sealwire-keys";
/// Where a service publishes it.
pub const KEYS_PATH: &str = "/.well-known/sealwire-keys";
/// For how many seconds a document may be gone by before there is to be a look for a newer one: by caches, and by clients.
pub(crate) const KEYS_MAX_AGE: u64 = 3600;
/// A key lives at most 7 days from when it is published: what was sent to it cannot be read by a later thief of the service.
pub const MAX_KEY_LIFETIME: u64 = 7 * 24 * 3600;
/// How long a new key waits before it is published, in seconds: until then every process of the service has to have loaded it.
pub const KEY_ROLLOUT: u64 = 3600;

/// Above this a document is refused unread.
pub(crate) const MAX_DOCUMENT: usize = 64 * 1024;
const MAX_CONFIGS: usize = 16;
const MAX_ORIGINS: u64 = 16;
const MAX_NEXT_PINS: u64 = 8;
/// How far a service's clock may be ahead of the client's.
const CLOCK_SKEW: u64 = 300;

/// One public key of a service, with the suites that it takes: RFC 9458 §3.
#[derive(Clone)]
pub struct KeyConfig {
    pub(crate) id: u8,
    pub(crate) key: KemPublic,
    /// The first suite that this version knows.
    pub(crate) aead: HpkeAead,
}

impl KeyConfig {
    /// Reads `application/ohttp-keys` and gives the first configuration that this version can use; the others are skipped.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the lengths do not fit, [`Error::InvalidKey`] for a key that is not one, [`Error::Unsupported`]
    /// if no suite is known, [`Error::TooLarge`] above 64 KiB or 16 configurations.
    pub fn parse_list(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(Error::TooLarge(&"key configurations have at most 64 KiB"));
        }
        let mut rest = bytes;
        let mut found = None;
        for _ in 0..MAX_CONFIGS {
            if rest.is_empty() {
                return found.ok_or(Error::Unsupported(&"every key configuration of this service"));
            }
            let (config, later) =
                take_u16(rest).and_then(|(len, rest)| rest.split_at_checked(len.into())).ok_or(LENGTHS)?;
            found = match found {
                None => Self::parse(config)?,
                found => found,
            };
            rest = later;
        }
        if rest.is_empty() {
            found.ok_or(Error::Unsupported(&"every key configuration of this service"))
        } else {
            Err(Error::TooLarge(&"a service has at most 16 key configurations"))
        }
    }

    /// `None` if its KEM or all its suites are unknown.
    fn parse(config: &[u8]) -> Result<Option<Self>> {
        let (&id, rest) = config.split_first().ok_or(LENGTHS)?;
        let (kem, rest) = take_u16(rest).ok_or(LENGTHS)?;
        let Some(kem) = Kem::with_id(kem.into()) else { return Ok(None) };
        let (key, rest) = rest.split_at_checked(kem.public_len()).ok_or(LENGTHS)?;
        let (suites_len, suites) = take_u16(rest).ok_or(LENGTHS)?;
        let (suites, odd) = suites.as_chunks::<4>();
        if !odd.is_empty() || suites.len() * 4 != usize::from(suites_len) || suites.is_empty() {
            return Err(LENGTHS);
        }
        let known = |[k0, k1, a0, a1]: &[u8; 4]| {
            let kdf = u16::from_be_bytes([*k0, *k1]);
            HpkeAead::with_id(u16::from_be_bytes([*a0, *a1])).filter(|_| kdf == HKDF_SHA256)
        };
        let Some(aead) = suites.iter().find_map(known) else { return Ok(None) };
        Ok(Some(Self { id, key: KemPublic::from_bytes(kem, key)?, aead }))
    }

    /// One configuration with its length in front.
    fn write(&self, out: &mut Vec<u8>) {
        let mut config = vec![self.id];
        config.extend(self.key.kem().id().to_be_bytes());
        config.extend(self.key.to_bytes());
        config.extend([0, 4]);
        config.extend(HKDF_SHA256.to_be_bytes());
        config.extend(self.aead.id().to_be_bytes());
        out.extend(u16::try_from(config.len()).unwrap_or_default().to_be_bytes());
        out.extend(config);
    }

    /// The number that the service knows the key by; it stands in every request, in clear.
    #[must_use]
    pub fn id(&self) -> u8 {
        self.id
    }

    /// How the key of an exchange is agreed on.
    #[must_use]
    pub fn kem(&self) -> Kem {
        self.key.kem()
    }
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyConfig({}, {:?}, {:?})", self.id, self.kem(), self.aead)
    }
}

const LENGTHS: Error = Error::Malformed(&"the lengths of a key configuration do not fit");

fn take_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    bytes.split_first_chunk().map(|(n, rest)| (u16::from_be_bytes(*n), rest))
}

/// The private keys of a service, newest first.
///
/// Keys are added by [`ServiceKeys::rotate`], published [`KEY_ROLLOUT`] later, and gone at their expiry: requests that were recorded
/// before can then be read by nobody. Of several processes of one service **exactly one rotates and saves** ([`ServiceKeys::save`]);
/// the others load ([`ServiceKeys::load`]) more often than every hour. Two that rotate would give two keys one id, and one that
/// loads later would refuse what clients seal to a key that it does not have. Not `Clone`; wiped on drop; `Debug` prints ids only.
/// Source: SPEC §19.
pub struct ServiceKeys {
    /// The highest serial of the keys that are gone, which later ones have to exceed.
    serial: u64,
    /// Ids count on from a random one, so that one comes back after 256 keys, and never beside itself.
    last_id: u8,
    /// Shared with whoever opens a request just now.
    keys: Vec<Arc<ServiceKey>>,
}

/// How a request names a key: key id, KEM, KDF and AEAD.
pub(crate) type KeyName = (u8, u16, u16, u16);

pub(crate) struct ServiceKey {
    id: u8,
    pub(crate) secret: KemSecret,
    pub(crate) aead: HpkeAead,
    /// That of the first document which publishes it.
    serial: u64,
    /// When it is published. Before that it is only understood.
    from: u64,
    expires: u64,
}

impl ServiceKeys {
    /// A first X-Wing key, published at once, for 7 days from `now` (Unix seconds), with the AEAD that is fastest on this machine.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a time beyond the year 3000, which is one in milliseconds; [`Error::Unsupported`] if the system gives no
    /// randomness.
    pub fn generate(now: u64) -> Result<Self> {
        Self::generate_with(Kem::XWing, Aead::preferred(), MAX_KEY_LIFETIME, now)
    }

    /// A first key with the KEM, AEAD and lifetime (seconds) of your choice.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a lifetime of zero or above 7 days, or a time beyond the year 3000; [`Error::Unsupported`] if the system gives no randomness.
    pub fn generate_with(kem: Kem, aead: Aead, lifetime: u64, now: u64) -> Result<Self> {
        // A service that lost its state would otherwise give a new key the id of one that clients still use.
        let [last_id] = random_array()?;
        let mut keys = Self { serial: 0, last_id, keys: Vec::new() };
        keys.rotate_with(kem, aead, lifetime, now)?;
        Ok(keys)
    }

    /// Adds a new key like the newest one; drops those that have expired. Call it once a day, in one process: older keys go on until
    /// their own expiry, so that requests under way are still read.
    ///
    /// The key is understood at once and published after [`KEY_ROLLOUT`], for 7 days; sooner if the last one of its KEM ends before,
    /// and at once if no key is left. To withdraw keys that were stolen do not rotate but [generate](ServiceKeys::generate) others.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if there are 16 keys that have not expired, [`Error::Misuse`] for a time beyond the year 3000,
    /// [`Error::Unsupported`] without randomness.
    pub fn rotate(&mut self, now: u64) -> Result<()> {
        let (kem, aead) = match self.keys.first() {
            Some(key) => (key.secret.kem(), key.aead),
            None => (Kem::XWing, Aead::preferred().for_hpke()),
        };
        self.add(kem, aead, MAX_KEY_LIFETIME, now)
    }

    /// Like [`ServiceKeys::rotate`], with the KEM, AEAD and lifetime of your choice.
    ///
    /// # Errors
    /// Those of [`ServiceKeys::rotate`] and [`ServiceKeys::generate_with`].
    pub fn rotate_with(&mut self, kem: Kem, aead: Aead, lifetime: u64, now: u64) -> Result<()> {
        self.add(kem, aead.for_hpke(), lifetime, now)
    }

    fn add(&mut self, kem: Kem, aead: HpkeAead, lifetime: u64, now: u64) -> Result<()> {
        if lifetime == 0 || lifetime > MAX_KEY_LIFETIME {
            return Err(Error::Misuse(&"a service key lives for 1 second to 7 days"));
        }
        let now = unix_seconds(now)?;
        self.forget_expired(now);
        if self.keys.len() >= MAX_CONFIGS {
            return Err(Error::TooLarge(&"a service has at most 16 keys at a time"));
        }
        // After 256 keys ids come back, but never while one of them is in use: 16 keys leave some free.
        let is_free = |id: &u8| self.keys.iter().all(|key| key.id != *id);
        let mut ids = (1..=u8::MAX).map(|step| self.last_id.wrapping_add(step));
        let id = ids.find(is_free).ok_or(Error::TooLarge(&"a service has at most 16 keys at a time"))?;
        let from = self.next_publication(kem, now);
        let key = ServiceKey {
            id,
            secret: KemSecret::generate(kem)?,
            aead,
            // Serials follow the clock, so that a service that lost its state is not taken for a rollback.
            serial: now.max(self.highest_serial(|_| true).saturating_add(1)),
            from,
            expires: from.saturating_add(lifetime),
        };
        self.keys.insert(0, Arc::new(key));
        self.last_id = id;
        Ok(())
    }

    /// When a key that is made now is published: once every process has it, but never so late that its KEM is missing until then.
    fn next_publication(&self, kem: Kem, now: u64) -> u64 {
        if self.keys.is_empty() {
            return now;
        }
        let last_expiry = self.keys.iter().filter(|key| key.secret.kem() == kem).map(|key| key.expires).max();
        now.saturating_add(KEY_ROLLOUT).min(last_expiry.unwrap_or(u64::MAX))
    }

    /// Over the keys that are gone and those with `counts`.
    fn highest_serial(&self, counts: impl Fn(&ServiceKey) -> bool) -> u64 {
        self.keys.iter().filter(|key| counts(key)).map(|key| key.serial).fold(self.serial, u64::max)
    }

    /// Drops, and wipes, the keys that have expired.
    pub fn forget_expired(&mut self, now: u64) {
        self.serial = self.highest_serial(|key| key.expires <= now);
        self.keys.retain(|key| key.expires > now);
    }

    /// Whether there are keys that [`ServiceKeys::forget_expired`] would drop.
    #[must_use]
    pub fn has_expired(&self, now: u64) -> bool {
        self.keys.iter().any(|key| key.expires <= now)
    }

    /// The newest key of each KEM whose time has come and not gone: what clients are to use. The others are only understood.
    fn published(&self, now: u64) -> Vec<&ServiceKey> {
        let live = || self.keys.iter().map(|key| &**key).filter(|key| key.expires > now);
        let mut published: Vec<&ServiceKey> = Vec::new();
        for key in live().filter(|key| key.from <= now) {
            if published.iter().all(|newer| newer.secret.kem() != key.secret.kem()) {
                published.push(key);
            }
        }
        // Of a clock that was set back, the first one, rather than none.
        if published.is_empty() {
            published.extend(live().next_back());
        }
        published
    }

    /// Never goes back, also when a key ends before an older one: over all that were published until now.
    fn serial(&self, now: u64) -> u64 {
        let published = self.published(now).iter().map(|key| key.serial).max().unwrap_or_default();
        self.highest_serial(|key| key.from <= now).max(published)
    }

    /// When the first of the published keys expires, in Unix seconds; `None` if no key is left.
    #[must_use]
    pub fn expires(&self, now: u64) -> Option<u64> {
        self.published(now).iter().map(|key| key.expires).min()
    }

    /// `application/ohttp-keys` (RFC 9458 §3) of the newest published key of each KEM, for others' Oblivious HTTP clients too.
    #[must_use]
    pub fn ohttp_keys(&self, now: u64) -> Vec<u8> {
        let mut list = Vec::new();
        for key in self.published(now) {
            KeyConfig { id: key.id, key: key.secret.public(), aead: key.aead }.write(&mut list);
        }
        list
    }

    /// What the service publishes at [`KEYS_PATH`] with the media type [`KEYS_MEDIA_TYPE`]: its keys, signed by its identity, for
    /// these origins. `next_pins` are the identities that may sign for it from now on, too: publish a new identity's pin here well
    /// before you change over to it.
    ///
    /// # Errors
    /// [`Error::Expired`] if no key is left, [`Error::Misuse`] unless there are 1 to 16 origins and at most 8 next pins.
    pub fn document(
        &self,
        identity: &Identity,
        origins: &[Origin],
        next_pins: &[Pin],
        now: u64,
    ) -> Result<Vec<u8>> {
        if origins.is_empty() || origins.len() as u64 > MAX_ORIGINS || next_pins.len() as u64 > MAX_NEXT_PINS
        {
            return Err(Error::Misuse(&"a key document names 1 to 16 origins and at most 8 next pins"));
        }
        let expires = self.expires(now).ok_or(Error::Expired)?.min(now.saturating_add(MAX_KEY_LIFETIME));
        let body = Writer::default().map(5 + usize::from(!next_pins.is_empty()));
        let body =
            origins.iter().fold(body.uint(0).array(origins.len()), |w, origin| w.text(&origin.to_string()));
        let mut body = body.uint(1).uint(self.serial(now)).uint(2).uint(now).uint(3).uint(expires);
        body = body.uint(4).bytes(&self.ohttp_keys(now));
        if !next_pins.is_empty() {
            body = next_pins
                .iter()
                .fold(body.uint(5).array(next_pins.len()), |w, pin| w.bytes(pin.0.as_bytes()));
        }
        let body = body.done();
        let signature = identity.signing.sign(&signed(&body));
        let document = Writer::default().map(3).uint(0).bytes(&identity.recipient().to_bytes());
        Ok(document.uint(1).bytes(&body).uint(2).bytes(&signature).done())
    }

    /// The key that a request names, unless it has expired.
    pub(crate) fn find(&self, (id, kem, kdf, aead): KeyName, now: u64) -> Option<Arc<ServiceKey>> {
        let fits = |key: &&Arc<ServiceKey>| {
            (key.id, key.secret.kem().id(), key.aead.id()) == (id, kem, aead)
                && kdf == HKDF_SHA256
                && key.expires > now
        };
        self.keys.iter().find(fits).cloned()
    }

    /// Keeps the keys in `store` under `name`, for the next start and for other processes; without those that have expired.
    ///
    /// Newer ones stay: who has rotated later, or in the same second but saved first. Between the look and the write another process can still
    /// save: it is for one alone.
    ///
    /// # Errors
    /// [`Error::Misuse`] if newer keys are there: [load](ServiceKeys::load) them. Those of [`ServiceKeys::load`] and [`SecretStore::save`].
    pub fn save(&self, store: &dyn SecretStore, name: &str, now: u64) -> Result<()> {
        if Self::read(store, name, now)?.is_some_and(|saved| saved.is_newer_than(self)) {
            return Err(Error::Misuse(&"newer service keys are saved under this name: load them"));
        }
        store.save(name, &SecretBytes::new(self.write(now)))
    }

    /// Serials grow with every key. Of one serial there is one key, unless two processes have made theirs in the same second.
    fn is_newer_than(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.highest_serial(|_| true), other.highest_serial(|_| true));
        let is_theirs = |key: &Arc<ServiceKey>| {
            other.keys.iter().any(|known| known.secret.expose() == key.secret.expose())
        };
        ours > theirs || ours == theirs && !self.keys.first().is_none_or(is_theirs)
    }

    /// The caller wipes it.
    fn write(&self, now: u64) -> Vec<u8> {
        let live: Vec<_> = self.keys.iter().filter(|key| key.expires > now).collect();
        // A `Vec` that grew would leave copies of private keys behind.
        let list = Writer::with_capacity(MAX_WRITTEN_HEAD + MAX_WRITTEN_KEY * live.len());
        let serial = self.highest_serial(|key| key.expires <= now);
        let list = list.array(2 + live.len()).uint(serial).uint(self.last_id.into());
        let list = live.into_iter().fold(list, |list, key| {
            let (kem, aead) = (key.secret.kem().id(), key.aead.id());
            let head = list.array(7).uint(key.id.into()).uint(kem.into()).uint(aead.into());
            head.uint(key.serial).uint(key.from).uint(key.expires).bytes(key.secret.expose())
        });
        list.done()
    }

    /// The keys that were saved in `store` under `name`, without those that have expired; `None` if nothing was saved, or all of it has
    /// expired: time for new ones.
    ///
    /// # Errors
    /// Those of [`SecretStore::load`]; [`Error::Malformed`] or [`Error::Unsupported`] if they are not service keys.
    pub fn load(store: &dyn SecretStore, name: &str, now: u64) -> Result<Option<Self>> {
        Ok(Self::read(store, name, now)?.filter(|loaded| !loaded.keys.is_empty()))
    }

    fn read(store: &dyn SecretStore, name: &str, now: u64) -> Result<Option<Self>> {
        let Some(saved) = store.load(name)? else { return Ok(None) };
        cbor::check(saved.reveal())?;
        let items = cbor::array(saved.reveal(), 2, 2 + MAX_CONFIGS as u64)?;
        let [serial, last_id, keys @ ..] = items.as_slice() else {
            return Err(Error::Malformed(&"no service keys"));
        };
        let keys = keys.iter().map(|key| ServiceKey::read(key).map(Arc::new)).collect::<Result<_>>()?;
        let mut loaded = Self { serial: cbor::uint(serial)?, last_id: key_id(last_id)?, keys };
        loaded.forget_expired(now);
        Ok(Some(loaded))
    }
}

/// An array's head, a serial and an id.
const MAX_WRITTEN_HEAD: usize = 1 + 9 + 2;
/// An array's head, an id, a KEM, an AEAD, three numbers, and a secret with its head.
const MAX_WRITTEN_KEY: usize = 1 + 2 + 3 + 1 + 3 * 9 + 2 + 32;

impl ServiceKey {
    fn read(checked: &[u8]) -> Result<Self> {
        let [id, kem, aead, serial, from, expires, secret] = *cbor::array(checked, 7, 7)?.as_slice() else {
            return Err(Error::Malformed(&"a service key has seven parts"));
        };
        let unknown = Error::Unsupported(&"a service key of another suite");
        let kem = Kem::with_id(cbor::uint(kem)?).ok_or(unknown)?;
        let aead = u16::try_from(cbor::uint(aead)?).ok().and_then(HpkeAead::with_id).ok_or(unknown)?;
        Ok(Self {
            id: key_id(id)?,
            secret: KemSecret::from_bytes(kem, Key::copied(cbor::fixed_bytes(secret)?))?,
            aead,
            serial: cbor::uint(serial)?,
            from: cbor::uint(from)?,
            expires: cbor::uint(expires)?,
        })
    }
}

fn key_id(checked: &[u8]) -> Result<u8> {
    u8::try_from(cbor::uint(checked)?).map_err(|_| Error::Malformed(&"a key id is one byte"))
}

impl fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceKeys").field(&self.keys.iter().map(|key| key.id).collect::<Vec<_>>()).finish()
    }
}

/// Whose keys a client believes: the pins of a service's identities, which the app carries.
#[derive(Debug, Clone)]
pub struct ServicePins {
    pins: Vec<Pin>,
    first_use: bool,
}

impl ServicePins {
    /// Only keys that one of these identities signed, or one that they have named as next.
    #[must_use]
    pub fn new(pins: impl Into<Vec<Pin>>) -> Self {
        Self { pins: pins.into(), first_use: false }
    }

    /// Believes whatever key the network shows first, and afterwards only that identity and those that it names.
    /// **Whoever ends TLS at that first moment can read everything.** Needs a [`LastSeen`] that outlives the process.
    #[must_use]
    pub fn trust_on_first_use() -> Self {
        Self { pins: Vec::new(), first_use: true }
    }

    /// The names under which [`LastSeen`] remembers the service.
    pub(crate) fn names_of(&self, origin: &Origin) -> [String; 2] {
        LastSeen::names_of_service(origin, &self.pins)
    }
}

/// A key document that was verified.
#[derive(Debug, Clone)]
pub struct TrustedKeys {
    config: KeyConfig,
    expires: u64,
}

impl TrustedKeys {
    /// Whether `used` was taken from here.
    pub(crate) fn is_key(&self, used: &KeyConfig) -> bool {
        (self.config.id, self.config.key.to_bytes()) == (used.id, used.key.to_bytes())
    }

    /// Verifies what a service published: that an identity with one of `pins` signed it, for `origin`, for now, and that its
    /// serial number is not below one that was seen before.
    ///
    /// # Errors
    /// [`Error::Rejected`] for another signer, origin or an older serial; [`Error::Expired`] for a document of another time;
    /// [`Error::Malformed`], [`Error::Unsupported`], [`Error::InvalidKey`], [`Error::TooLarge`]; [`Error::Store`] from `seen`.
    pub fn verify(
        document: &[u8],
        origin: &Origin,
        pins: &ServicePins,
        seen: &LastSeen,
        now: u64,
    ) -> Result<Self> {
        if document.len() > MAX_DOCUMENT {
            return Err(Error::TooLarge(&"a key document has at most 64 KiB"));
        }
        cbor::check(document)?;
        let outer = IntMap::view(document)?;
        let signer = Recipient::from_bytes(outer.field(0, cbor::bytes)?)?;
        let body = outer.field(1, cbor::bytes)?;
        let signature: &[u8; SIGNATURE_LEN] = outer.field(2, cbor::fixed_bytes)?;
        if outer.has_critical_beside(&[0, 1, 2])? {
            return Err(Error::Unsupported(&"a critical field of a key document"));
        }
        let own = pins.pins.as_slice();
        let is_own = own.contains(&signer.pin());
        let believed = |learned: &[Pin]| {
            is_own || learned.contains(&signer.pin()) || (pins.first_use && learned.is_empty())
        };
        if !believed(&seen.pins(origin, own)?.pins) {
            return Err(Error::Rejected);
        }
        signer.signer().verify(&signed(body), signature)?;

        cbor::check(body)?;
        let map = IntMap::view(body)?;
        if map.has_critical_beside(&[0, 1, 2, 3, 4, 5])? {
            return Err(Error::Unsupported(&"a critical field of a key document"));
        }
        let origins = map.field(0, |value| cbor::array(value, 1, MAX_ORIGINS))?;
        let names_origin = origins.into_iter().map(cbor::text).collect::<Result<Vec<_>>>()?;
        if !names_origin.contains(&origin.to_string().as_str()) {
            return Err(Error::Rejected);
        }
        let (issued, expires) = (map.field(2, cbor::uint)?, map.field(3, cbor::uint)?);
        if issued > now.saturating_add(CLOCK_SKEW) || expires <= now {
            return Err(Error::Expired);
        }
        if expires.saturating_sub(issued) > MAX_KEY_LIFETIME {
            return Err(Error::Malformed(&"a key document is good for at most 7 days"));
        }
        let config = KeyConfig::parse_list(map.field(4, cbor::bytes)?)?;
        let next = map.optional(5, |value| cbor::array(value, 1, MAX_NEXT_PINS))?.unwrap_or_default();
        let next = next.into_iter().map(|pin| cbor::fixed_bytes(pin).map(|pin| Pin(Fingerprint(*pin))));
        let next = next.collect::<Result<Vec<_>>>()?;

        let serial = map.field(1, cbor::uint)?;
        // Who is among the app's own pins also takes back what was named before.
        let named = (is_own || !next.is_empty() || pins.first_use).then(|| {
            let signer = if is_own { None } else { Some(signer.pin()) };
            LearnedPins { serial, issued, pins: signer.into_iter().chain(next).collect() }
        });
        seen.take_document(origin, own, serial, named, believed)?;
        Ok(Self { config, expires })
    }

    /// Believes a key configuration that came by another way, such as with the app, until `expires`.
    #[must_use]
    pub fn from_config(config: KeyConfig, expires: u64) -> Self {
        Self { config, expires }
    }

    /// The key to seal to.
    ///
    /// # Errors
    /// [`Error::Expired`] when its time is over.
    pub fn config(&self, now: u64) -> Result<&KeyConfig> {
        if self.expires > now { Ok(&self.config) } else { Err(Error::Expired) }
    }
}

/// What a service's identity signs.
fn signed(body: &[u8]) -> Vec<u8> {
    [label::SERVICE_KEYS, body].concat()
}

#[cfg(test)]
mod tests;
