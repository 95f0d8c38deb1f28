//! What a service or gateway lets in, in the order of SPEC §18.4, and what it says to the rest. Sans-io: no socket, no clock.
//!
//! [`Gate::enter`] → [`Arriving`] → [`Arrived`] → [`Remember`] → [`Admitted`]. A driver reads bodies, asks a replay cache and calls the
//! app; nothing else is left to it.

mod cors;
mod refusal;
mod steps;

pub use refusal::{Answer, Refusal};
pub use steps::{Admitted, Arrived, Arriving, Check, ContentOpener, Progress, Remember};

use super::exchange::{Arrival, ExchangeService, describes_message};
use super::keys::{KEYS_MAX_AGE, KEYS_MEDIA_TYPE, KEYS_PATH};
use super::message::{Headers, Method, Origin, PublicUrl, RequestHead, Target};
use super::observe::{Event, Observer, Operation, size_bucket, tell};
use super::pattern::{PathPattern, is_ambiguous};
use super::signature::{OriginKeys, RequestVerifier, VerifiedHead};
use crate::error::{Error, Result};
use crate::identity::{Identity, Pin};
use cors::Cors;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most that a driver collects of an app's response to a request in the whole form, in bytes.
pub const MAX_RESPONSE: u64 = 64 * 1024 * 1024;
/// Where others' Oblivious HTTP clients look for a gateway's keys (RFC 9540).
const OHTTP_GATEWAY_PATH: &str = "/.well-known/ohttp-gateway";
const DEFAULT_MAX_BODY: u64 = 8 * 1024 * 1024;

/// What requests have to pass before an app gets them: exchanges are opened, signatures verified, and nothing else gets in.
///
/// Everything is demanded everywhere, unless a path is excepted by name. It does no I/O: see [`Gate::enter`] for the steps. Clones share
/// what they were told before, and a clone that is told more leaves the others as they are. Source: SPEC §18 to §21.
#[derive(Clone)]
pub struct Gate {
    rules: Arc<Rules>,
}

#[derive(Clone)]
struct Rules {
    url: PublicUrl,
    exchanges: Option<Published>,
    verifier: Option<Arc<dyn Verify>>,
    exceptions: Vec<(PathPattern, Demand)>,
    streamed: Vec<PathPattern>,
    enforce_idempotency: bool,
    passed: Vec<String>,
    max_body: u64,
    cors: Cors,
    observer: Option<Arc<dyn Observer>>,
}

/// A service, and who signs for its keys.
#[derive(Clone)]
struct Published {
    service: Arc<ExchangeService>,
    identity: Arc<Identity>,
    next_pins: Vec<Pin>,
    latest: Arc<Mutex<Option<Documents>>>,
}

/// What was published last. Making it takes a signature and each key's public half, and anybody may ask for it.
struct Documents {
    /// Of the Unix time.
    minute: u64,
    /// How often the service's keys had changed by then.
    changes: u64,
    keys: Vec<u8>,
    ohttp_keys: Vec<u8>,
}

/// What a path demands.
#[derive(Clone, Copy)]
struct Demand {
    exchange: bool,
    signature: bool,
}

/// A [`RequestVerifier`] with any keys.
trait Verify: Send + Sync {
    fn verify(&self, head: &RequestHead, has_body: bool, now: u64) -> Result<VerifiedHead>;
}

impl<K: OriginKeys + Send + Sync> Verify for RequestVerifier<K> {
    fn verify(&self, head: &RequestHead, has_body: bool, now: u64) -> Result<VerifiedHead> {
        self.verify_head(head, has_body, now)
    }
}

impl Gate {
    /// Opens exchanges, and publishes the service's keys, signed by its identity, at [`KEYS_PATH`].
    #[must_use]
    pub fn exchanges(service: ExchangeService, identity: impl Into<Arc<Identity>>) -> Self {
        let url = service.url().clone();
        Self::with(
            url,
            Some(Published {
                service: Arc::new(service),
                identity: identity.into(),
                next_pins: Vec::new(),
                latest: Arc::default(),
            }),
        )
    }

    /// Verifies signatures only: for a gateway, or for a service that only stores. It holds no key that decrypts. Give it a verifier
    /// with [`Gate::verify`]; without one it refuses everything. A GET or HEAD of [`KEYS_PATH`], without query and body, comes through
    /// unsigned: the keys of the service behind it are public, and signed.
    #[must_use]
    pub fn gateway(origin: Origin) -> Self {
        Self::with(PublicUrl::new(origin), None)
    }

    fn with(url: PublicUrl, exchanges: Option<Published>) -> Self {
        let rules = Rules {
            url,
            exchanges,
            verifier: None,
            exceptions: Vec::new(),
            streamed: Vec::new(),
            enforce_idempotency: false,
            passed: Vec::new(),
            max_body: DEFAULT_MAX_BODY,
            cors: Cors::default(),
            observer: None,
        };
        Self { rules: Arc::new(rules) }
    }

    fn change(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }

    /// Demands a signature on every request, by one of the verifier's keys.
    #[must_use]
    pub fn verify<K: OriginKeys + Send + Sync + 'static>(self, verifier: RequestVerifier<K>) -> Self {
        self.change(|rules| rules.verifier = Some(Arc::new(verifier)))
    }

    /// **Lets requests for this path in as they are**: `/health`, say. Paths are as they come here; patterns as `/notes/{id}`, or
    /// `/files/{rest..}` for all that is below.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn plain(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: false, signature: false })
    }

    /// Lets requests for this path in without an exchange, but signed: where the service only stores envelopes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn signed_only(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: false, signature: true })
    }

    /// Lets exchanges for this path in from anybody, unsigned. Who signs is verified, and the app is told.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn unsigned(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: true, signature: false })
    }

    fn except(self, pattern: &str, demand: Demand) -> Result<Self> {
        let pattern = PathPattern::parse(pattern)?;
        Ok(self.change(|rules| rules.exceptions.push((pattern, demand))))
    }

    /// Hands requests for this path on while their body arrives. **The app then acts on a body that may turn out to be cut off**: it
    /// has to undo what it did if the body ends in an error.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn stream(self, pattern: &str) -> Result<Self> {
        let pattern = PathPattern::parse(pattern)?;
        Ok(self.change(|rules| rules.streamed.push(pattern)))
    }

    /// Refuses a second request with the same `Idempotency-Key`, so that clients may repeat what they do not know the outcome of.
    /// The answer is 409, sealed. Not for GET, HEAD and OPTIONS. **Only as long as the replay cache remembers**: what lost its memory
    /// between the two lets the second in.
    #[must_use]
    pub fn enforce_idempotency_keys(self) -> Self {
        self.change(|rules| rules.enforce_idempotency = true)
    }

    /// Lets pages of these web origins call the service from browsers.
    #[must_use]
    pub fn allow_origins(self, origins: &[&str]) -> Self {
        self.change(|rules| rules.cors = Cors(origins.iter().map(ToString::to_string).collect()))
    }

    /// Hands these outer fields on to the app, in place of inner ones: what your own gateway adds, such as `x-request-id`. Nothing else of the
    /// outside of an exchange reaches the app. `forwarded`, `x-real-ip` and `x-forwarded-…` come to it in this way only, never from inside.
    /// Fields that describe the outer message itself, such as `content-length`, are left out.
    #[must_use]
    pub fn pass_outer(self, names: &[&str]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase());
        self.change(|rules| rules.passed = names.filter(|name| !describes_message(name)).collect())
    }

    /// How many bytes the body of a request without an exchange may have: 8 MiB, unless told otherwise. For exchanges see
    /// [`ExchangeService::max_body`].
    #[must_use]
    pub fn max_body(self, bytes: u64) -> Self {
        self.change(|rules| rules.max_body = bytes)
    }

    /// Publishes that these identities may sign the service's keys, too.
    #[must_use]
    pub fn next_pins(self, pins: &[Pin]) -> Self {
        self.change(|rules| {
            if let Some(published) = &mut rules.exchanges {
                published.next_pins = pins.to_vec();
                // Clones go on to publish the others.
                published.latest = Arc::default();
            }
        })
    }

    /// Tells every request, and every refusal, to `observer`.
    #[must_use]
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.change(|rules| rules.observer = Some(observer))
    }

    /// The service whose exchanges are opened: to rotate its keys while it runs.
    #[must_use]
    pub fn service(&self) -> Option<Arc<ExchangeService>> {
        self.rules.exchanges.as_ref().map(|published| published.service.clone())
    }

    /// Looks at the head of a request as it came: its method, its path and query (`""` if it names none), its fields. `now` is in Unix
    /// seconds, here and in every later step.
    ///
    /// A received `Host` decides nothing: the origin is the configured one. `has_body` may be true for a body that turns out empty only
    /// if the request says `content-length: 0`.
    ///
    /// # Errors
    /// A [`Refusal`], with what to answer.
    pub fn enter(
        &self,
        method: &str,
        path_and_query: &str,
        fields: &[(&str, &[u8])],
        has_body: bool,
        now: u64,
    ) -> std::result::Result<Entering, Refusal> {
        let path = path_and_query.split_once('?').map_or(path_and_query, |(path, _)| path);
        if let Some(answer) = self.rules.cors.preflight(method, fields) {
            return Ok(Entering::Answer(answer));
        }
        if let Some(published) = self.publish(method, path, now) {
            return published.map(Entering::Answer).map_err(|error| Refusal::new(Operation::Open, error));
        }
        // What is public and signed: a gateway has no keys of its own, and clients ask for those of the service behind it, unsigned.
        let is_gateway = self.rules.exchanges.is_none() && self.rules.verifier.is_some();
        if is_gateway && matches!(method, "GET" | "HEAD") && path_and_query == KEYS_PATH && !has_body {
            return Ok(Entering::Plain);
        }
        let demand = self.demand(path);
        // Before anything is read of it: what is let in as it is need not be what we take.
        if !demand.exchange && !demand.signature {
            return Ok(Entering::Plain);
        }
        let refuse = |operation| move |error| Refusal::new(operation, error);
        let head = self.outer_head(method, path_and_query, fields).map_err(refuse(Operation::Open))?;
        let has_body = has_body && head.headers.text("content-length") != Ok(Some("0"));
        let verified = match (&self.rules.verifier, demand.signature) {
            (None, false) => None,
            (None, true) => return Err(Refusal::new(Operation::Verify, Error::Rejected)),
            (Some(verifier), demanded) => {
                let public = self.rules.url.public_target(path_and_query);
                let public = public.map(|target| RequestHead { target, ..head.clone() });
                match public.and_then(|head| verifier.verify(&head, has_body, now)) {
                    Err(error) if demanded => return Err(Refusal::new(Operation::Verify, error)),
                    // Who need not sign may. Whose signature is not good has none, and must not be named inside.
                    verified => verified.ok(),
                }
            }
        };
        let arrival = match &self.rules.exchanges {
            Some(published) => published.service.arrive(&head).map_err(refuse(Operation::Open))?,
            None => Arrival::Plain,
        };
        let arriving = match (arrival, &self.rules.exchanges, verified) {
            (Arrival::Sealed(opener), Some(published), verified) => {
                Arriving::exchange(self.clone(), published.service.clone(), head, verified, opener)
            }
            (_, _, Some(verified)) if !demand.exchange => Arriving::signed(self.clone(), head, verified),
            _ => return Err(Refusal::new(Operation::Open, Error::Unsealed { status: 400 })),
        };
        Ok(Entering::Body(arriving))
    }

    /// The fields that every response gets, whoever answers, to a request with this `origin` field: a `vary` besides those that
    /// are there, the others in their place.
    #[must_use]
    pub fn page_fields(&self, origin: Option<&[u8]>) -> Headers {
        self.rules.cors.fields(origin)
    }

    /// Tells a refusal, `took` after the request came.
    pub fn tell_refused(&self, refusal: &Refusal, took: Duration) {
        self.tell(refusal.operation(), refusal.error().code(), 0, took, refusal.key_id());
    }

    /// Tells that a request is let in.
    pub fn tell_admitted(&self, admitted: &Admitted, took: Duration) {
        let operation = if admitted.sealer.is_some() { Operation::Open } else { Operation::Verify };
        let size = if admitted.rest.is_some() { 0 } else { admitted.content.len() };
        self.tell(operation, "ok", size as u64, took, admitted.key_id());
    }

    /// Tells that the app has answered, with this status.
    pub fn tell_served(&self, status: u16, took: Duration) {
        self.tell(Operation::Serve, if status >= 500 { "app" } else { "ok" }, 0, took, None);
    }

    fn tell(
        &self,
        operation: Operation,
        code: &'static str,
        size: u64,
        duration: Duration,
        key_id: Option<u8>,
    ) {
        let protection = match (self.rules.exchanges.is_some(), self.rules.verifier.is_some()) {
            (true, true) => "exchange+signature",
            (true, false) => "exchange",
            (false, _) => "signature",
        };
        let event = Event { operation, code, protection, size: size_bucket(size), duration, key_id };
        tell(self.rules.observer.as_deref(), event);
    }

    /// What a path here demands: everything, unless it is excepted.
    fn demand(&self, path: &str) -> Demand {
        let exception = self.rules.exceptions.iter().find(|(pattern, _)| self.covers(pattern, path));
        let everything = Demand {
            exchange: self.rules.exchanges.is_some(),
            signature: self.rules.verifier.is_some() || self.rules.exchanges.is_none(),
        };
        exception.map_or(everything, |(_, demand)| *demand)
    }

    /// Whether an exception is for this path.
    fn covers(&self, pattern: &PathPattern, path: &str) -> bool {
        pattern.matches(path).is_some()
            && Target::new(self.rules.url.origin.clone(), path).is_ok()
            && !is_ambiguous(path)
    }

    /// The outer request as it came: with the path here, and without an origin that anybody claims.
    fn outer_head(&self, method: &str, target: &str, fields: &[(&str, &[u8])]) -> Result<RequestHead> {
        let method = Method::new(method)?;
        let mut head = RequestHead::new(method, Target::new(self.rules.url.origin.clone(), target)?);
        let mut cookies = Vec::new();
        for (name, value) in fields {
            // HTTP/2 may send cookies in pieces (RFC 9113 §8.2.3).
            if name.eq_ignore_ascii_case("cookie") {
                cookies.push(*value);
            } else {
                head.headers.add(name, value)?;
            }
        }
        if !cookies.is_empty() {
            head.headers.add("cookie", cookies.join(&b"; "[..]))?;
        }
        Ok(head)
    }

    /// What the gate itself publishes, at paths of the origin's root: whether a gateway in front exchanges prefixes or not.
    fn publish(&self, method: &str, path: &str, now: u64) -> Option<Result<Answer>> {
        let published = self.rules.exchanges.as_ref()?;
        let service = &published.service;
        if service.with_keys(|keys| keys.has_expired(now)) {
            service.change_keys(|keys| keys.forget_expired(now));
        }
        let public = self.rules.url.public_target(path).ok();
        let is_public = |known: &str| public.as_ref().is_some_and(|target| target.path() == known);
        let known =
            [KEYS_PATH, OHTTP_GATEWAY_PATH].into_iter().find(|known| path == *known || is_public(known))?;
        if method != "GET" || (known == OHTTP_GATEWAY_PATH && !service.takes_tunnels()) {
            return None;
        }
        Some(published.documents(now, |documents| {
            let (media_type, document) = match known {
                KEYS_PATH => (KEYS_MEDIA_TYPE, &documents.keys),
                _ => ("application/ohttp-keys", &documents.ohttp_keys),
            };
            let cache_control = format!("max-age={KEYS_MAX_AGE}");
            let fields = [("content-type", media_type), ("cache-control", cache_control.as_str())];
            Answer::new(200, &fields, document.clone())
        }))
    }
}

/// What becomes of a request, by its head alone.
pub enum Entering {
    /// It is answered here: a preflight, or who asks for the service's keys.
    Answer(Answer),
    /// The app gets it as it is: nothing of it was looked at but its method and path.
    Plain,
    /// Its body is to be read.
    Body(Arriving),
}

impl Published {
    fn documents<T>(&self, now: u64, read: impl FnOnce(&Documents) -> T) -> Result<T> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (minute, changes) = (now / 60, self.service.key_changes());
        match &mut *latest {
            Some(documents) if (documents.minute, documents.changes) == (minute, changes) => {
                Ok(read(documents))
            }
            latest => {
                let origins = std::slice::from_ref(self.service.origin());
                // As of its beginning, so that no process publishes a key of this minute before another one: to a client the other
                // would go back.
                let then = minute * 60;
                let (keys, ohttp_keys) = self.service.with_keys(|keys| {
                    let document = keys.document(&self.identity, origins, &self.next_pins, then);
                    document.map(|document| (document, keys.ohttp_keys(then)))
                })?;
                Ok(read(latest.insert(Documents { minute, changes, keys, ohttp_keys })))
            }
        }
    }
}
