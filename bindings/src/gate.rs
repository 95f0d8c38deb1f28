//! What requests have to pass at a service or a gateway, and the keys of who opens them. Whatever serves in a language drives it: reads bodies,
//! asks replay caches, calls the app.

use crate::bytes::Bytes;
use crate::error::{Failure, Result};
use crate::keys::{Identity, Kem};
use crate::message::{Field, Message, fields, headers};
use crate::observe::{Observer, Watched};
use crate::store::{Outside, SecretStore};
use crate::stream::{Flow, lock};
use sealwire::http::{
    Admitted, Answer, Arrived, Arriving, BodySealer, Check, ContentOpener, Entering, ExchangeService, Form,
    Headers, KeyId, OriginPolicy, Progress, Refusal, ReplayCache, ReplayId, RequestVerifier, ResponseHead,
    ResponseSealer,
};
use sealwire::{Error, Pin, Signer};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// A service's keys, which go on to be changed from here when a gate has them.
#[derive(uniffi::Object)]
pub struct ServiceKeys {
    held: Mutex<Holder>,
    /// One after the other, from the look at the keys to their place in the store: who saves last saves the newest.
    saving: Mutex<()>,
}

enum Holder {
    Own(sealwire::http::ServiceKeys),
    Service(Arc<ExchangeService>),
    Nobody,
}

const GONE: Error = Error::Misuse(&"these keys are gone");
const WEEK: u64 = sealwire::http::MAX_KEY_LIFETIME;

#[uniffi::export]
impl ServiceKeys {
    #[uniffi::constructor]
    pub fn generate(kem: Kem, now: u64) -> Result<Self> {
        let aead = sealwire::Aead::preferred();
        Ok(sealwire::http::ServiceKeys::generate_with(kem.into(), aead, WEEK, now)?.into())
    }

    pub fn save(&self, store: Arc<dyn SecretStore>, name: &str, now: u64) -> Result<()> {
        use sealwire::SecretStore as _;
        let _saving = lock(&self.saving);
        let store = Outside(store);
        // In memory first: an app's store may take its time, or ask for these keys, which answer requests meanwhile.
        let kept = sealwire::MemoryStore::default();
        if let Some(saved) = store.load(name)? {
            kept.save(name, &saved)?;
        }
        self.read(|keys| keys.save(&kept, name, now))??;
        let secret = kept.load(name)?.ok_or(Error::Store(std::io::ErrorKind::NotFound))?;
        Ok(store.save(name, &secret)?)
    }

    /// In exactly one process, once a day.
    pub fn rotate(&self, now: u64) -> Result<()> {
        Ok(self.change(|keys| keys.rotate(now))??)
    }

    /// Takes those that another process has rotated.
    pub fn reload(&self, store: Arc<dyn SecretStore>, name: &str, now: u64) -> Result<()> {
        let newer = sealwire::http::ServiceKeys::load(&Outside(store), name, now)?;
        let newer = newer.ok_or(Error::Store(std::io::ErrorKind::NotFound))?;
        self.change(|keys| *keys = newer)
    }

    /// When the last of them runs out.
    pub fn expires(&self, now: u64) -> Result<Option<u64>> {
        self.read(|keys| keys.expires(now))
    }
}

#[uniffi::export]
pub fn load_service_keys(
    store: Arc<dyn SecretStore>,
    name: &str,
    now: u64,
) -> Result<Option<Arc<ServiceKeys>>> {
    let keys = sealwire::http::ServiceKeys::load(&Outside(store), name, now)?;
    Ok(keys.map(|keys| Arc::new(keys.into())))
}

impl From<sealwire::http::ServiceKeys> for ServiceKeys {
    fn from(keys: sealwire::http::ServiceKeys) -> Self {
        Self { held: Mutex::new(Holder::Own(keys)), saving: Mutex::new(()) }
    }
}

impl ServiceKeys {
    fn read<T>(&self, read: impl FnOnce(&sealwire::http::ServiceKeys) -> T) -> Result<T> {
        match &*lock(&self.held) {
            Holder::Own(keys) => Ok(read(keys)),
            Holder::Service(service) => Ok(service.with_keys(read)),
            Holder::Nobody => Err(GONE.into()),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut sealwire::http::ServiceKeys) -> T) -> Result<T> {
        match &mut *lock(&self.held) {
            Holder::Own(keys) => Ok(change(keys)),
            Holder::Service(service) => Ok(service.change_keys(change)),
            Holder::Nobody => Err(GONE.into()),
        }
    }

    /// Hands them to the gate that `make` makes.
    fn hand_over(
        &self,
        make: impl FnOnce(sealwire::http::ServiceKeys) -> sealwire::Result<sealwire::http::Gate>,
    ) -> Result<sealwire::http::Gate> {
        let mut held = lock(&self.held);
        match std::mem::replace(&mut *held, Holder::Nobody) {
            Holder::Own(keys) => {
                let gate = make(keys)?;
                *held = gate.service().map_or(Holder::Nobody, Holder::Service);
                Ok(gate)
            }
            other => {
                *held = other;
                Err(Error::Misuse(&"these keys have a service: load them again for another one").into())
            }
        }
    }
}

/// Whose signatures count, looked up by the key's name in signatures.
#[uniffi::export(with_foreign)]
pub trait OriginKeys: Send + Sync {
    /// The signer, if it is one to be trusted now. What is thrown counts as nobody.
    fn signer(&self, key_id: String) -> Result<Option<String>>;
}

#[derive(uniffi::Enum)]
pub enum Signers {
    Known { signers: Vec<String> },
    LookedUp { keys: Arc<dyn OriginKeys> },
}

/// What of a request has to be signed, and by whom.
#[derive(uniffi::Record)]
pub struct Verify {
    pub signers: Signers,
    /// Fields that have to be signed besides.
    #[uniffi(default = [])]
    pub require: Vec<String>,
    #[uniffi(default = None)]
    pub max_age: Option<u64>,
    #[uniffi(default = None)]
    pub max_validity: Option<u64>,
    #[uniffi(default = None)]
    pub clock_skew: Option<u64>,
    #[uniffi(default = false)]
    pub allow_missing_nonce: bool,
}

/// Where a service is, and how it takes exchanges.
#[derive(uniffi::Record)]
pub struct Exchanges {
    pub keys: Arc<ServiceKeys>,
    /// Signs the keys; clients carry its pin.
    pub identity: Arc<Identity>,
    #[uniffi(default = None)]
    pub mounted: Option<Mounted>,
    #[uniffi(default = None)]
    pub tunnel: Option<String>,
    #[uniffi(default = false)]
    pub post_carrier: bool,
    #[uniffi(default = false)]
    pub coarse_status: bool,
    #[uniffi(default = None)]
    pub window: Option<u64>,
    #[uniffi(default = [])]
    pub next_pins: Vec<String>,
}

/// A prefix of public paths, and what it is here.
#[derive(uniffi::Record)]
pub struct Mounted {
    pub public: String,
    pub local: String,
}

/// A gateway has no `exchanges`.
#[derive(uniffi::Record)]
pub struct GateOptions {
    pub origin: String,
    #[uniffi(default = None)]
    pub exchanges: Option<Exchanges>,
    #[uniffi(default = None)]
    pub verify: Option<Verify>,
    #[uniffi(default = [])]
    pub plain: Vec<String>,
    #[uniffi(default = [])]
    pub signed_only: Vec<String>,
    #[uniffi(default = [])]
    pub unsigned: Vec<String>,
    #[uniffi(default = [])]
    pub stream: Vec<String>,
    #[uniffi(default = false)]
    pub enforce_idempotency_keys: bool,
    #[uniffi(default = [])]
    pub allow_origins: Vec<String>,
    #[uniffi(default = [])]
    pub pass_outer: Vec<String>,
    #[uniffi(default = None)]
    pub max_body: Option<u64>,
    #[uniffi(default = None)]
    pub observer: Option<Arc<dyn Observer>>,
}

#[derive(uniffi::Object)]
pub struct Gate(sealwire::http::Gate);

#[uniffi::export]
impl Gate {
    #[uniffi::constructor]
    pub fn new(options: GateOptions) -> Result<Self> {
        let origin = sealwire::http::Origin::parse(&options.origin)?;
        let mut gate = match options.exchanges {
            None => sealwire::http::Gate::gateway(origin),
            Some(exchanges) => exchanges.gate(origin, options.max_body)?,
        };
        if let Some(verify) = options.verify {
            gate = verify.demand_of(gate)?;
        }
        for pattern in &options.plain {
            gate = gate.plain(pattern)?;
        }
        for pattern in &options.signed_only {
            gate = gate.signed_only(pattern)?;
        }
        for pattern in &options.unsigned {
            gate = gate.unsigned(pattern)?;
        }
        for pattern in &options.stream {
            gate = gate.stream(pattern)?;
        }
        if options.enforce_idempotency_keys {
            gate = gate.enforce_idempotency_keys();
        }
        if !options.allow_origins.is_empty() {
            gate = gate.allow_origins(&texts(&options.allow_origins));
        }
        if !options.pass_outer.is_empty() {
            gate = gate.pass_outer(&texts(&options.pass_outer));
        }
        if let Some(bytes) = options.max_body {
            gate = gate.max_body(bytes);
        }
        if let Some(observer) = options.observer {
            gate = gate.observer(Arc::new(Watched(observer)));
        }
        Ok(Self(gate))
    }

    /// A request has come: its method, its path and query as they stand, its fields, and whether a body follows.
    pub fn enter(
        &self,
        method: &str,
        path_and_query: &str,
        fields: Vec<Field>,
        has_body: bool,
        now: u64,
    ) -> Result<Entered> {
        let lines: Vec<_> =
            fields.iter().map(|field| (field.name.as_str(), field.value.as_slice())).collect();
        let state = match self.0.enter(method, path_and_query, &lines, has_body, now) {
            Ok(Entering::Answer(answer)) => State::Answer(answer),
            Ok(Entering::Plain) => State::Plain,
            Ok(Entering::Body(arriving)) => State::Body(arriving),
            Err(refusal) => State::Refused(refusal),
        };
        let passage =
            Passage { gate: self.0.clone(), started: Instant::now(), state: Mutex::new(State::Over) };
        let step = passage.take_step(state)?;
        Ok(Entered { passage: Arc::new(passage), step })
    }

    /// The fields that every response gets, whoever answers, to a request with this `origin` field: a `vary` besides those that are there, the
    /// others in their place.
    pub fn page_fields(&self, origin: Option<Vec<u8>>) -> Vec<Field> {
        fields(&self.0.page_fields(origin.as_deref()))
    }
}

impl Exchanges {
    fn gate(self, origin: sealwire::http::Origin, max_body: Option<u64>) -> Result<sealwire::http::Gate> {
        let pins: Vec<_> =
            self.next_pins.iter().map(|pin| Pin::parse(pin)).collect::<sealwire::Result<_>>()?;
        self.keys.hand_over(|keys| {
            let mut service = ExchangeService::new(origin, keys);
            if let Some(Mounted { public, local }) = &self.mounted {
                service = service.mounted(public, local);
            }
            if let Some(path) = &self.tunnel {
                service = service.tunnel(path);
            }
            if self.post_carrier {
                service = service.post_carrier();
            }
            if self.coarse_status {
                service = service.coarse_status();
            }
            if let Some(seconds) = self.window {
                service = service.window(seconds);
            }
            if let Some(bytes) = max_body {
                service = service.max_body(bytes);
            }
            let gate = sealwire::http::Gate::exchanges(service, Arc::clone(&self.identity.0));
            Ok(if pins.is_empty() { gate } else { gate.next_pins(&pins) })
        })
    }
}

impl Verify {
    fn demand_of(self, gate: sealwire::http::Gate) -> sealwire::Result<sealwire::http::Gate> {
        let mut policy =
            self.require.iter().fold(OriginPolicy::default(), |policy, field| policy.require(field));
        if let Some(seconds) = self.max_age {
            policy = policy.max_age(seconds);
        }
        if let Some(seconds) = self.max_validity {
            policy = policy.max_validity(seconds);
        }
        if let Some(seconds) = self.clock_skew {
            policy = policy.clock_skew(seconds);
        }
        if self.allow_missing_nonce {
            policy = policy.allow_missing_nonce();
        }
        Ok(match self.signers {
            Signers::Known { signers } => {
                let signers: Vec<_> =
                    signers.iter().map(|text| Signer::parse(text)).collect::<sealwire::Result<_>>()?;
                gate.verify(RequestVerifier::new(signers, policy))
            }
            Signers::LookedUp { keys } => {
                let look_up = move |id: &KeyId| Signer::parse(&keys.signer(id.to_string()).ok()??).ok();
                gate.verify(RequestVerifier::new(look_up, policy))
            }
        })
    }
}

#[derive(uniffi::Record)]
pub struct Entered {
    pub passage: Arc<Passage>,
    pub step: GateStep,
}

/// What is to be done next.
#[derive(uniffi::Enum)]
pub enum GateStep {
    /// Send this.
    Answer { answer: Message },
    /// The app gets the request as it came; then [`Passage::served`].
    Plain,
    /// Give each piece of the body to [`Passage::push`], and its end to [`Passage::finish`].
    Read,
    /// Insert this into the replay cache, then [`Passage::inserted`]. What is signed and what is not have a cache each.
    Remember { id: Bytes, made: u64, until: u64, signed: bool },
    /// The app gets this; then [`Passage::seal`] or [`Passage::stream`] if it is sealed, and [`Passage::served`].
    Admitted { request: Request },
}

/// What the app is asked.
#[derive(uniffi::Record)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub path_and_query: String,
    pub fields: Vec<Field>,
    /// All of it, or, if the app `begins_early`, what has come; the rest comes of [`Passage::rest`] and [`Passage::rest_end`].
    pub content: Bytes,
    pub begins_early: bool,
    pub signer: Option<String>,
    pub is_sealed: bool,
    /// Whether the answer is sealed while it is made.
    pub is_streamed: bool,
}

/// Why the driver gives up.
#[derive(uniffi::Enum)]
pub enum GiveUp {
    Slow,
    Memory,
    Broken,
    /// What was admitted is nothing that the framework takes.
    Request,
}

/// One request on its way to the app and back. Each of its steps is taken once, in its turn.
#[derive(uniffi::Object)]
pub struct Passage {
    gate: sealwire::http::Gate,
    started: Instant,
    state: Mutex<State>,
}

enum State {
    Answer(Answer),
    Refused(Refusal),
    Plain,
    Body(Arriving),
    Check(Check),
    /// In the app.
    Inside {
        rest: Option<ContentOpener>,
        sealer: Option<ResponseSealer>,
    },
    Over,
}

/// What is sent of an answer, and what seals its body; without that the body is all there is.
#[derive(uniffi::Record)]
pub struct Streamed {
    pub answer: Message,
    pub body: Option<Arc<BodySealing>>,
}

#[uniffi::export]
impl Passage {
    pub fn push(&self, piece: &[u8], now: u64) -> Result<GateStep> {
        let State::Body(arriving) = self.take() else { return out_of_turn() };
        self.take_step(match arriving.push(piece, now) {
            Ok(Progress::More(more)) => State::Body(more),
            Ok(Progress::Enough(arrived)) => checked(arrived, now),
            Err(refusal) => State::Refused(refusal),
        })
    }

    pub fn finish(&self, now: u64) -> Result<GateStep> {
        let State::Body(arriving) = self.take() else { return out_of_turn() };
        self.take_step(arriving.finish(now).map_or_else(State::Refused, |arrived| checked(arrived, now)))
    }

    /// Whether one of the verifier's keys has signed what is still to be read.
    pub fn is_signed(&self) -> bool {
        matches!(&*lock(&self.state), State::Body(arriving) if arriving.is_signed())
    }

    /// What the replay cache said: true if the id was not there; without it the cache has failed, or refused what is too old for it.
    pub fn inserted(&self, fresh: Option<bool>, expired: bool, now: u64) -> Result<GateStep> {
        let State::Check(Check::Remember(remember)) = self.take() else { return out_of_turn() };
        let fresh = match fresh {
            Some(fresh) => Ok(fresh),
            None if expired => Err(Error::Expired),
            None => Err(Error::Store(std::io::ErrorKind::Other)),
        };
        self.take_step(remember.inserted(fresh, now).map_or_else(State::Refused, State::Check))
    }

    pub fn give_up(&self, why: GiveUp) -> Result<GateStep> {
        let error = match why {
            GiveUp::Slow => Error::Network(&"a body was too slow"),
            GiveUp::Memory => Error::Store(std::io::ErrorKind::ResourceBusy),
            GiveUp::Broken => Error::Network(&"a body broke off"),
            GiveUp::Request => Error::Malformed(&"an inner request that HTTP does not take"),
        };
        self.take_step(State::Refused(match self.take() {
            State::Body(arriving) => arriving.refuse(error),
            State::Check(Check::Admitted(admitted)) => admitted.refuse(error),
            _ => return out_of_turn(),
        }))
    }

    /// Opens the next piece of what follows of the body.
    pub fn rest(&self, piece: &[u8], now: u64) -> Result<Bytes> {
        let mut state = lock(&self.state);
        let State::Inside { rest, .. } = &mut *state else { return out_of_turn() };
        let Some(mut opener) = rest.take() else { return out_of_turn() };
        let (content, ()) = Bytes::filled(piece.len(), |content| opener.push(piece, now, content))?;
        *rest = Some(opener);
        Ok(content)
    }

    /// Only after this is it certain that nothing was cut off.
    pub fn rest_end(&self, now: u64) -> Result<Bytes> {
        let State::Inside { rest, .. } = &mut *lock(&self.state) else { return out_of_turn() };
        let Some(opener) = rest.take() else { return out_of_turn() };
        Ok(Bytes::filled(0, |content| opener.finish(now, content))?.0)
    }

    /// Seals an answer as a whole. Of an answer whose head cannot be sealed it is a 500.
    pub fn seal(&self, status: u16, fields: Vec<Field>, body: &[u8]) -> Result<Message> {
        let sealer = self.sealer()?;
        let sealed = match response_head(status, &fields) {
            Ok(head) => sealer.seal(head, body)?,
            Err(_) => sealer.seal(ResponseHead::new(500)?, &[])?,
        };
        Message::new(&sealed.head, sealed.body)
    }

    /// Seals an answer while it is made.
    pub fn stream(&self, status: u16, fields: Vec<Field>) -> Result<Streamed> {
        let sealer = self.sealer()?;
        let Ok(head) = response_head(status, &fields) else {
            let sealed = sealer.seal(ResponseHead::new(500)?, &[])?;
            return Ok(Streamed { answer: Message::new(&sealed.head, sealed.body)?, body: None });
        };
        let (sealed, body) = sealer.stream(head)?;
        let body = Some(Arc::new(BodySealing(Flow::new(body))));
        Ok(Streamed { answer: Message::new(&sealed.head, sealed.body)?, body })
    }

    /// The app has answered, with this status.
    pub fn served(&self, status: u16) {
        self.gate.tell_served(status, self.started.elapsed());
    }
}

impl Passage {
    fn take(&self) -> State {
        std::mem::replace(&mut *lock(&self.state), State::Over)
    }

    fn sealer(&self) -> Result<ResponseSealer> {
        let State::Inside { sealer, .. } = &mut *lock(&self.state) else { return out_of_turn() };
        Ok(sealer.take().ok_or(OUT_OF_TURN)?)
    }

    /// What the driver is to do in this state.
    fn take_step(&self, state: State) -> Result<GateStep> {
        let (state, step) = match state {
            State::Answer(answer) => (State::Over, answer_step(answer)?),
            State::Refused(refusal) => {
                self.gate.tell_refused(&refusal, self.started.elapsed());
                (State::Over, answer_step(refusal.answer())?)
            }
            State::Plain => (State::Inside { rest: None, sealer: None }, GateStep::Plain),
            State::Body(arriving) => (State::Body(arriving), GateStep::Read),
            State::Check(Check::Remember(remember)) => {
                let id = remember.id.0.as_slice().into();
                let (made, until, signed) = (remember.made, remember.until, remember.signed);
                let step = GateStep::Remember { id, made, until, signed };
                (State::Check(Check::Remember(remember)), step)
            }
            State::Check(Check::Admitted(admitted)) => {
                self.gate.tell_admitted(&admitted, self.started.elapsed());
                let Admitted { head, content, rest, signer, sealer, .. } = *admitted;
                let request = Request {
                    method: head.method.as_str().into(),
                    url: head.target.url(),
                    path_and_query: head.target.path_and_query().into(),
                    fields: fields(&head.headers),
                    content: Bytes::payload(content)?,
                    begins_early: rest.is_some(),
                    signer: signer.map(|signer| signer.to_string()),
                    is_sealed: sealer.is_some(),
                    is_streamed: sealer.as_ref().is_some_and(|sealer| sealer.form() == Form::Chunked),
                };
                (State::Inside { rest, sealer }, GateStep::Admitted { request })
            }
            State::Inside { .. } | State::Over => return out_of_turn(),
        };
        *lock(&self.state) = state;
        Ok(step)
    }
}

const OUT_OF_TURN: Error = Error::Misuse(&"a step is taken once, in its turn");

fn out_of_turn<T>() -> Result<T> {
    Err(OUT_OF_TURN.into())
}

fn answer_step(answer: Answer) -> Result<GateStep> {
    Ok(GateStep::Answer { answer: Message::new(&answer.head, answer.body)? })
}

fn checked(arrived: Arrived, now: u64) -> State {
    arrived.check(now).map_or_else(State::Refused, State::Check)
}

/// The head of the app's answer.
fn response_head(status: u16, fields: &[Field]) -> sealwire::Result<ResponseHead> {
    let mut head = ResponseHead::new(status)?;
    for (name, value) in headers(fields)?.iter() {
        if !Headers::is_hop_by_hop(name) {
            head.headers.add(name, value)?;
        }
    }
    Ok(head)
}

/// Seals an answer's body while it is made.
#[derive(uniffi::Object)]
pub struct BodySealing(Flow<BodySealer>);

#[uniffi::export]
impl BodySealing {
    pub fn push(&self, piece: &[u8]) -> Result<Bytes> {
        self.0.push(piece.len(), |sealer, sealed| sealer.push(piece, sealed))
    }

    pub fn finish(&self) -> Result<Bytes> {
        self.0.finish(|sealer, sealed| sealer.finish(sealed))
    }
}

/// A replay cache of this process.
#[derive(uniffi::Object)]
pub struct MemoryReplayCache(sealwire::http::MemoryReplayCache);

#[uniffi::export]
impl MemoryReplayCache {
    /// For this many requests. Dates before `now` are refused: this process cannot know what came before it.
    #[uniffi::constructor]
    pub fn new(capacity: u64, now: u64) -> Self {
        Self(sealwire::http::MemoryReplayCache::new(usize::try_from(capacity).unwrap_or(usize::MAX), now))
    }

    /// True if the id was not there. A full one throws `Store`, a date before its beginning `Expired`.
    pub fn insert(&self, id: &[u8], made: u64, until: u64, now: u64) -> Result<bool> {
        let id: &[u8; 32] = id.try_into().map_err(|_| Error::Misuse(&"a replay id has 32 bytes"))?;
        let mut inserting = self.0.insert(ReplayId(*id), made, until, now);
        // Memory never waits.
        match inserting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(fresh) => Ok(fresh?),
            Poll::Pending => Err(Failure::from(Error::Store(std::io::ErrorKind::TimedOut))),
        }
    }
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// A store in which the first save takes a while, and whoever else wants to gets in between.
    struct Slow(Arc<dyn SecretStore>, AtomicUsize);

    impl SecretStore for Slow {
        fn save(&self, name: String, secret: Bytes) -> Result<()> {
            if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(200));
            }
            self.0.save(name, secret)
        }

        fn load(&self, name: String) -> Result<Option<Bytes>> {
            self.0.load(name)
        }

        fn delete(&self, name: String) -> Result<()> {
            self.0.delete(name)
        }
    }

    #[test]
    fn of_two_that_save_at_once_the_newer_keys_stay() {
        let now = 1_800_000_000;
        let keys = ServiceKeys::generate(Kem::X25519, now).unwrap();
        let store = Arc::new(Slow(crate::store::memory_store(), AtomicUsize::new(0)));
        std::thread::scope(|scope| {
            scope.spawn(|| keys.save(store.clone(), "api", now).unwrap());
            while store.1.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            keys.rotate(now + 1).unwrap();
            keys.save(store.clone(), "api", now + 1).unwrap();
        });
        let ids = |keys: &ServiceKeys| keys.read(|keys| format!("{keys:?}")).unwrap();
        let saved = load_service_keys(store, "api", now + 1).unwrap().unwrap();
        assert_eq!(ids(&saved), ids(&keys));
    }
}
