//! What requests have to pass, and the keys of who opens them. `ts/server.ts` reads bodies, asks replay caches and calls apps.

use crate::error::Result;
use crate::keys::{Identity, kem_named};
use js_sys::{Array, Uint8Array};
use sealwire::http::{
    Admitted, Answer, Arrived, Arriving, BodySealer, Check, ContentOpener, Entering, Event, ExchangeService,
    Headers, KeyId, MemoryReplayCache, Observer, Origin, OriginKeys, OriginPolicy, Progress, Refusal,
    ReplayCache, ReplayId, RequestVerifier, ResponseHead,
};
use sealwire::{Aead, Error, MemoryStore, Pin, SecretBytes, SecretStore, Signer};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// A service's keys, which go on to be changed from here when a service has them.
#[wasm_bindgen]
pub struct ServiceKeys(Rc<RefCell<Holder>>);

enum Holder {
    Own(sealwire::http::ServiceKeys),
    Service(Arc<ExchangeService>),
    Nobody,
}

/// A store holds bytes by name; these go in and out by one.
const NAME: &str = "keys";

#[wasm_bindgen]
impl ServiceKeys {
    pub fn generate(kem: &str, lifetime: u64, now: u64) -> Result<Self> {
        let keys =
            sealwire::http::ServiceKeys::generate_with(kem_named(kem)?, Aead::preferred(), lifetime, now)?;
        Ok(Self(Rc::new(RefCell::new(Holder::Own(keys)))))
    }

    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(saved: Vec<u8>, now: u64) -> Result<Option<Self>> {
        Ok(read(saved, now)?.map(|keys| Self(Rc::new(RefCell::new(Holder::Own(keys))))))
    }

    /// To be wiped by who asked.
    pub fn reveal(&self, now: u64) -> Result<Uint8Array> {
        let store = MemoryStore::default();
        self.with(|keys| keys.save(&store, NAME, now))??;
        let saved = store.load(NAME)?.ok_or(Error::Truncated)?;
        Ok(Uint8Array::from(saved.reveal()))
    }

    pub fn rotate(&self, now: u64) -> Result<()> {
        Ok(self.with(|keys| keys.rotate(now))??)
    }

    /// Takes those that another process has rotated.
    pub fn replace(&self, saved: Vec<u8>, now: u64) -> Result<()> {
        let newer = read(saved, now)?.ok_or(Error::Expired)?;
        self.with(|keys| *keys = newer)
    }

    pub fn expires(&self, now: u64) -> Result<Option<u64>> {
        self.with(|keys| keys.expires(now))
    }
}

impl ServiceKeys {
    fn with<T>(&self, change: impl FnOnce(&mut sealwire::http::ServiceKeys) -> T) -> Result<T> {
        match &mut *self.0.borrow_mut() {
            Holder::Own(keys) => Ok(change(keys)),
            Holder::Service(service) => Ok(service.change_keys(change)),
            Holder::Nobody => Err(Error::Misuse(&"these keys are gone").into()),
        }
    }

    fn take(&self) -> Result<sealwire::http::ServiceKeys> {
        match self.0.replace(Holder::Nobody) {
            Holder::Own(keys) => Ok(keys),
            other => {
                self.0.replace(other);
                Err(Error::Misuse(&"these keys have a service: load them again for another one").into())
            }
        }
    }
}

fn read(saved: Vec<u8>, now: u64) -> Result<Option<sealwire::http::ServiceKeys>> {
    let store = MemoryStore::default();
    store.save(NAME, &SecretBytes::new(saved))?;
    Ok(sealwire::http::ServiceKeys::load(&store, NAME, now)?)
}

/// Where a service is, and what it takes.
#[wasm_bindgen]
pub struct Exchanges {
    origin: Origin,
    mounted: Option<(String, String)>,
    tunnel: Option<String>,
    post_carrier: bool,
    coarse_status: bool,
    window: Option<u64>,
    max_body: Option<u64>,
}

#[wasm_bindgen]
impl Exchanges {
    #[wasm_bindgen(constructor)]
    pub fn new(origin: &str) -> Result<Self> {
        let origin = Origin::parse(origin)?;
        Ok(Self {
            origin,
            mounted: None,
            tunnel: None,
            post_carrier: false,
            coarse_status: false,
            window: None,
            max_body: None,
        })
    }

    pub fn mounted(&mut self, public: String, local: String) {
        self.mounted = Some((public, local));
    }

    pub fn tunnel(&mut self, path: String) {
        self.tunnel = Some(path);
    }

    #[wasm_bindgen(js_name = postCarrier)]
    pub fn post_carrier(&mut self) {
        self.post_carrier = true;
    }

    #[wasm_bindgen(js_name = coarseStatus)]
    pub fn coarse_status(&mut self) {
        self.coarse_status = true;
    }

    pub fn window(&mut self, seconds: u64) {
        self.window = Some(seconds);
    }

    #[wasm_bindgen(js_name = maxBody)]
    pub fn max_body(&mut self, bytes: u64) {
        self.max_body = Some(bytes);
    }

    /// The gate in front of the service, to which `keys` belong from here on.
    pub fn gate(&self, keys: &ServiceKeys, identity: &Identity) -> Result<Gate> {
        let mut service = ExchangeService::new(self.origin.clone(), keys.take()?);
        if let Some((public, local)) = &self.mounted {
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
        if let Some(bytes) = self.max_body {
            service = service.max_body(bytes);
        }
        let gate = Gate::around(sealwire::http::Gate::exchanges(service, Arc::clone(&identity.0)));
        keys.0.replace(gate.gate.service().map_or(Holder::Nobody, Holder::Service));
        Ok(gate)
    }
}

#[wasm_bindgen]
pub struct Gate {
    gate: sealwire::http::Gate,
    signers: Arc<Signers>,
    events: Arc<Events>,
}

#[wasm_bindgen]
impl Gate {
    pub fn gateway(origin: &str) -> Result<Self> {
        Ok(Self::around(sealwire::http::Gate::gateway(Origin::parse(origin)?)))
    }

    pub fn verify(
        &mut self,
        signers: Vec<String>,
        required: Vec<String>,
        max_age: Option<u64>,
        max_validity: Option<u64>,
        clock_skew: Option<u64>,
        nonce_may_be_missing: bool,
    ) -> Result<()> {
        let known = signers.iter().map(|text| Signer::parse(text)).collect::<sealwire::Result<_>>()?;
        self.signers = Arc::new(Signers { known, ..Signers::default() });
        let mut policy = required.iter().fold(OriginPolicy::default(), |policy, field| policy.require(field));
        if let Some(seconds) = max_age {
            policy = policy.max_age(seconds);
        }
        if let Some(seconds) = max_validity {
            policy = policy.max_validity(seconds);
        }
        if let Some(seconds) = clock_skew {
            policy = policy.clock_skew(seconds);
        }
        if nonce_may_be_missing {
            policy = policy.allow_missing_nonce();
        }
        self.gate = self.gate.clone().verify(RequestVerifier::new(Lookup(Arc::clone(&self.signers)), policy));
        Ok(())
    }

    pub fn plain(&mut self, pattern: &str) -> Result<()> {
        self.gate = self.gate.clone().plain(pattern)?;
        Ok(())
    }

    #[wasm_bindgen(js_name = signedOnly)]
    pub fn signed_only(&mut self, pattern: &str) -> Result<()> {
        self.gate = self.gate.clone().signed_only(pattern)?;
        Ok(())
    }

    pub fn unsigned(&mut self, pattern: &str) -> Result<()> {
        self.gate = self.gate.clone().unsigned(pattern)?;
        Ok(())
    }

    pub fn stream(&mut self, pattern: &str) -> Result<()> {
        self.gate = self.gate.clone().stream(pattern)?;
        Ok(())
    }

    #[wasm_bindgen(js_name = enforceIdempotencyKeys)]
    pub fn enforce_idempotency_keys(&mut self) {
        self.gate = self.gate.clone().enforce_idempotency_keys();
    }

    #[wasm_bindgen(js_name = allowOrigins)]
    pub fn allow_origins(&mut self, origins: Vec<String>) {
        self.gate = self.gate.clone().allow_origins(&texts(&origins));
    }

    #[wasm_bindgen(js_name = passOuter)]
    pub fn pass_outer(&mut self, names: Vec<String>) {
        self.gate = self.gate.clone().pass_outer(&texts(&names));
    }

    #[wasm_bindgen(js_name = maxBody)]
    pub fn max_body(&mut self, bytes: u64) {
        self.gate = self.gate.clone().max_body(bytes);
    }

    #[wasm_bindgen(js_name = nextPins)]
    pub fn next_pins(&mut self, pins: Vec<String>) -> Result<()> {
        let pins: Vec<Pin> = pins.iter().map(|text| Pin::parse(text)).collect::<sealwire::Result<_>>()?;
        self.gate = self.gate.clone().next_pins(&pins);
        Ok(())
    }

    /// `fields` are names and values in turn, here and everywhere, each value a string of bytes (as in the Fetch standard). `signer` is who
    /// was looked up for what [`Gate::asked`] said the time before.
    pub fn enter(
        &self,
        method: &str,
        target: &str,
        fields: Vec<String>,
        has_body: bool,
        signer: Option<String>,
        now: u64,
    ) -> Result<Passage> {
        let fields = read_fields(&fields)?;
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let signer = signer.map(|text| Signer::parse(&text)).transpose()?;
        self.signers.begin(signer);
        let entered = self.gate.enter(method, target, &fields, has_body, now);
        let state = entered.map(|entering| match entering {
            Entering::Answer(answer) => State::Answer(answer),
            Entering::Plain => State::Plain,
            Entering::Body(arriving) => State::Body(arriving),
        });
        Ok(Passage { gate: self.gate.clone(), state: state.unwrap_or_else(State::Refused) })
    }

    /// Which key was asked for in vain the last time.
    pub fn asked(&self) -> Option<String> {
        lock(&self.signers.missed).take().map(|id| id.to_string())
    }

    #[wasm_bindgen(js_name = pageFields)]
    pub fn page_fields(&self, origin: Option<String>) -> Array {
        write_fields(&self.gate.page_fields(origin.as_deref().map(str::as_bytes)))
    }

    #[wasm_bindgen(js_name = tellServed)]
    pub fn tell_served(&self, status: u16, micros: u64) {
        self.gate.tell_served(status, Duration::from_micros(micros));
    }

    /// `[[operation, code, protection, size, micros, keyId], …]` since the last call.
    pub fn events(&self) -> Array {
        std::mem::take(&mut *lock(&self.events.0)).iter().map(event).collect()
    }
}

impl Gate {
    fn around(gate: sealwire::http::Gate) -> Self {
        let events = Arc::new(Events::default());
        Self { gate: gate.observer(events.clone()), signers: Arc::default(), events }
    }
}

/// Whose signatures count. A gate looks a key up while it is asked; JavaScript may have to wait for it, and asks again.
#[derive(Default)]
struct Signers {
    known: Vec<Signer>,
    found: Mutex<Option<Signer>>,
    missed: Mutex<Option<KeyId>>,
}

impl Signers {
    fn begin(&self, found: Option<Signer>) {
        *lock(&self.found) = found;
        *lock(&self.missed) = None;
    }
}

struct Lookup(Arc<Signers>);

impl OriginKeys for Lookup {
    fn signer(&self, id: &KeyId) -> Option<Signer> {
        let found = *lock(&self.0.found);
        let signer = self.0.known.iter().copied().chain(found).find(|signer| signer.key_id() == *id);
        if signer.is_none() {
            *lock(&self.0.missed) = Some(*id);
        }
        signer
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn event(&self, event: &Event) {
        lock(&self.0).push(*event);
    }
}

fn event(event: &Event) -> JsValue {
    let micros = u64::try_from(event.duration.as_micros()).unwrap_or(u64::MAX);
    let fields: [JsValue; 6] = [
        event.operation.name().into(),
        event.code.into(),
        event.protection.into(),
        event.size.into(),
        micros.into(),
        event.key_id.into(),
    ];
    fields.iter().collect::<Array>().into()
}

/// One request on its way to the app.
#[wasm_bindgen]
pub struct Passage {
    gate: sealwire::http::Gate,
    state: State,
}

enum State {
    Answer(Answer),
    Refused(Refusal),
    Plain,
    Body(Arriving),
    Check(Check),
    Over,
}

const OUT_OF_TURN: Error = Error::Misuse(&"a step out of turn");

#[wasm_bindgen]
impl Passage {
    /// Which step is next.
    pub fn state(&self) -> String {
        match &self.state {
            State::Answer(_) | State::Refused(_) => "answer",
            State::Plain => "plain",
            State::Body(_) => "body",
            State::Check(Check::Remember(_)) => "remember",
            State::Check(Check::Admitted(_)) => "admitted",
            State::Over => "over",
        }
        .into()
    }

    /// Whether one of the verifier's keys has signed what is still to be read.
    #[wasm_bindgen(js_name = isSigned)]
    pub fn is_signed(&self) -> bool {
        matches!(&self.state, State::Body(arriving) if arriving.is_signed())
    }

    pub fn push(&mut self, piece: &[u8], now: u64) -> Result<()> {
        let State::Body(arriving) = self.take() else { return Err(OUT_OF_TURN.into()) };
        self.state = match arriving.push(piece, now) {
            Ok(Progress::More(more)) => State::Body(more),
            Ok(Progress::Enough(arrived)) => check(arrived, now),
            Err(refusal) => State::Refused(refusal),
        };
        Ok(())
    }

    pub fn finish(&mut self, now: u64) -> Result<()> {
        let State::Body(arriving) = self.take() else { return Err(OUT_OF_TURN.into()) };
        self.state = arriving.finish(now).map_or_else(State::Refused, |arrived| check(arrived, now));
        Ok(())
    }

    /// For a reason of the driver's own.
    pub fn refuse(&mut self, why: &str) -> Result<()> {
        let error = match why {
            "slow" => Error::Network(&"a body was too slow"),
            "memory" => Error::Store(std::io::ErrorKind::ResourceBusy),
            "request" => Error::Malformed(&"an inner request that HTTP does not take"),
            _ => Error::Network(&"a body broke off"),
        };
        self.state = State::Refused(match self.take() {
            State::Body(arriving) => arriving.refuse(error),
            State::Check(Check::Admitted(admitted)) => admitted.refuse(error),
            _ => return Err(OUT_OF_TURN.into()),
        });
        Ok(())
    }

    /// `[id, made, until, signed]`.
    pub fn remember(&self) -> Result<Array> {
        let State::Check(Check::Remember(remember)) = &self.state else { return Err(OUT_OF_TURN.into()) };
        let id = Uint8Array::from(remember.id.0.as_slice());
        let (made, until) = (remember.made.into(), remember.until.into());
        Ok(Array::of4(&id.into(), &made, &until, &remember.signed.into()))
    }

    /// What the cache said; `failure` is the code of the error that it failed with.
    pub fn inserted(&mut self, fresh: bool, failure: Option<String>, now: u64) -> Result<()> {
        let State::Check(Check::Remember(remember)) = self.take() else { return Err(OUT_OF_TURN.into()) };
        let fresh = match failure.as_deref() {
            None => Ok(fresh),
            Some("Expired") => Err(Error::Expired),
            Some(_) => Err(Error::Store(std::io::ErrorKind::Other)),
        };
        self.state = remember.inserted(fresh, now).map_or_else(State::Refused, State::Check);
        Ok(())
    }

    /// `[status, fields, body]`, told as a refusal if it is one.
    pub fn answer(&mut self, micros: u64) -> Result<Array> {
        let answer = match self.take() {
            State::Answer(answer) => answer,
            State::Refused(refusal) => {
                self.gate.tell_refused(&refusal, Duration::from_micros(micros));
                refusal.answer()
            }
            _ => return Err(OUT_OF_TURN.into()),
        };
        Ok(message(&answer.head, &answer.body))
    }

    /// `[method, url, fields]` of what the app is asked.
    pub fn head(&self) -> Result<Array> {
        let head = &self.admitted()?.head;
        let method = head.method.as_str().into();
        Ok(Array::of3(&method, &head.target.url().into(), &write_fields(&head.headers).into()))
    }

    pub fn content(&self) -> Result<Uint8Array> {
        Ok(Uint8Array::from(self.admitted()?.content.as_slice()))
    }

    pub fn signer(&self) -> Result<Option<String>> {
        Ok(self.admitted()?.signer.map(|signer| signer.to_string()))
    }

    #[wasm_bindgen(js_name = isSealed)]
    pub fn is_sealed(&self) -> Result<bool> {
        Ok(self.admitted()?.sealer.is_some())
    }

    /// Tells that it is let in. What is left of it is what opens the rest and what seals the answer.
    pub fn admit(&mut self, micros: u64) -> Result<Admission> {
        let State::Check(Check::Admitted(admitted)) = self.take() else { return Err(OUT_OF_TURN.into()) };
        self.gate.tell_admitted(&admitted, Duration::from_micros(micros));
        let Admitted { rest, sealer, .. } = *admitted;
        Ok(Admission { rest, sealer })
    }
}

impl Passage {
    fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Over)
    }

    fn admitted(&self) -> Result<&Admitted> {
        match &self.state {
            State::Check(Check::Admitted(admitted)) => Ok(admitted),
            _ => Err(OUT_OF_TURN.into()),
        }
    }
}

fn check(arrived: Arrived, now: u64) -> State {
    arrived.check(now).map_or_else(State::Refused, State::Check)
}

#[wasm_bindgen]
pub struct Admission {
    rest: Option<ContentOpener>,
    sealer: Option<sealwire::http::ResponseSealer>,
}

#[wasm_bindgen]
impl Admission {
    /// What opens the rest of the content, if the app begins before it is there; once.
    pub fn rest(&mut self) -> Option<ContentOpening> {
        self.rest.take().map(|opener| ContentOpening(Some(opener)))
    }

    /// Whether the answer is sealed while it is made.
    #[wasm_bindgen(js_name = isStreamed)]
    pub fn is_streamed(&self) -> bool {
        self.sealer.as_ref().is_some_and(|sealer| sealer.form() == sealwire::http::Form::Chunked)
    }

    /// Whether an answer has a head that can be sealed.
    pub fn fits(&self, status: u16, fields: Vec<String>) -> bool {
        response_head(status, &fields).is_ok()
    }

    /// `[status, fields, body]`: of an answer that is no answer, a 500.
    pub fn seal(&mut self, status: u16, fields: Vec<String>, body: &[u8]) -> Result<Array> {
        let sealer = self.sealer.take().ok_or(OUT_OF_TURN)?;
        let sealed = match response_head(status, &fields) {
            Ok(head) => sealer.seal(head, body)?,
            Err(_) => sealer.seal(ResponseHead::new(500)?, &[])?,
        };
        Ok(message(&sealed.head, &sealed.body))
    }

    /// `[status, fields, front, what seals the body]`; without the last one it is a 500, as a whole.
    pub fn stream(&mut self, status: u16, fields: Vec<String>) -> Result<Array> {
        let sealer = self.sealer.take().ok_or(OUT_OF_TURN)?;
        let Ok(head) = response_head(status, &fields) else {
            let sealed = sealer.seal(ResponseHead::new(500)?, &[])?;
            return Ok(message(&sealed.head, &sealed.body));
        };
        let (sealed, body) = sealer.stream(head)?;
        let begun = message(&sealed.head, &sealed.body);
        begun.push(&BodySealing(Some(body)).into());
        Ok(begun)
    }
}

/// Opens the rest of a request's content while it arrives.
#[wasm_bindgen]
pub struct ContentOpening(Option<ContentOpener>);

#[wasm_bindgen]
impl ContentOpening {
    pub fn push(&mut self, piece: &[u8], now: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.0.as_mut().ok_or(OUT_OF_TURN)?.push(piece, now, &mut content)?;
        Ok(content)
    }

    pub fn finish(&mut self, now: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.0.take().ok_or(OUT_OF_TURN)?.finish(now, &mut content)?;
        Ok(content)
    }
}

/// Seals an answer's body while it is made.
#[wasm_bindgen]
pub struct BodySealing(Option<BodySealer>);

#[wasm_bindgen]
impl BodySealing {
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = Vec::new();
        self.0.as_mut().ok_or(OUT_OF_TURN)?.push(piece, &mut sealed)?;
        Ok(sealed)
    }

    pub fn finish(&mut self) -> Result<Vec<u8>> {
        let mut sealed = Vec::new();
        self.0.take().ok_or(OUT_OF_TURN)?.finish(&mut sealed)?;
        Ok(sealed)
    }
}

#[wasm_bindgen]
pub struct MemoryReplay(MemoryReplayCache);

#[wasm_bindgen]
impl MemoryReplay {
    #[wasm_bindgen(constructor)]
    pub fn new(capacity: usize, now: u64) -> Self {
        Self(MemoryReplayCache::new(capacity, now))
    }

    pub fn insert(&self, id: &[u8], made: u64, until: u64, now: u64) -> Result<bool> {
        let id: &[u8; 32] = id.try_into().map_err(|_| Error::Misuse(&"a replay id has 32 bytes"))?;
        let mut inserting = self.0.insert(ReplayId(*id), made, until, now);
        // Memory never waits.
        match inserting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(fresh) => Ok(fresh?),
            Poll::Pending => Err(Error::Store(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

/// The head of the app's answer.
fn response_head(status: u16, fields: &[String]) -> sealwire::Result<ResponseHead> {
    let mut head = ResponseHead::new(status)?;
    for (name, value) in read_fields(fields)? {
        if !Headers::is_hop_by_hop(name) {
            head.headers.add(name, value)?;
        }
    }
    Ok(head)
}

fn message(head: &ResponseHead, body: &[u8]) -> Array {
    Array::of3(&head.status.into(), &write_fields(&head.headers).into(), &Uint8Array::from(body).into())
}

fn read_fields(fields: &[String]) -> sealwire::Result<Vec<(&str, Vec<u8>)>> {
    let (fields, _) = fields.as_chunks::<2>();
    let mut read = Vec::with_capacity(fields.len());
    for [name, value] in fields {
        let bytes = value.chars().map(|character| u8::try_from(u32::from(character)));
        let bytes = bytes.collect::<std::result::Result<Vec<u8>, _>>();
        read.push((name.as_str(), bytes.map_err(|_| Error::Malformed(&"a field value is not bytes"))?));
    }
    Ok(read)
}

fn write_fields(headers: &Headers) -> Array {
    let text = |value: &[u8]| value.iter().copied().map(char::from).collect::<String>();
    headers.iter().flat_map(|(name, value)| [JsValue::from(name), text(value).into()]).collect()
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
