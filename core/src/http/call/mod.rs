//! A client's calls, sans-io: what to send next, what to make of the answer (SPEC §18 to §21).
//!
//! ```text
//! Caller::call(CallRequest) -> Sending -> send it -> Awaiting::answered -> Answered -> push … -> Receiving::finish -> Outcome
//!           ^                                                              |                                        |
//!           |                                                              '-> PassingAnswer: push … finish         |
//!           '------------------------------- Again(Sending) --------------------------------------------------------'
//! ```

mod receiving;
mod sending;

pub use receiving::{Answered, Outcome, PassingAnswer, PassingBody, Received, ReceivedList, Receiving};
pub use sending::{Awaiting, Sending, SendingBody};

use super::keys::{KEYS_MAX_AGE, KeyConfig, TrustedKeys};
use super::last_seen::LastSeen;
use super::message::{Method, Origin, RequestHead, Target};
use super::observe::{Event, Observer, Operation, size_bucket, tell};
use super::policy::{Policy, ServiceTrust};
use super::signature::{RequestSigner, SignedBody};
use crate::context::SealContext;
use crate::error::{Error, Result};
use crate::identity::{Identity, Recipient, Unlock};
use crate::store::MemoryStore;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many bytes a response may have that is read as a whole, unless told otherwise.
const DEFAULT_MAX_BODY: u64 = 64 * 1024 * 1024;

/// Makes of an app's requests what a [`Policy`] says, without sending anything: for whatever sends in your language, as
/// `http::Client` is for reqwest.
///
/// It reads no clock and opens no connection: times are given in Unix seconds. Cheap to clone; clones share what they know of services'
/// keys. Trust on first use needs a [`Caller::last_seen`] that outlives the process. Source: SPEC §18 to §21.
///
/// ```
/// use sealwire::http::{CallRequest, Caller, Headers, KEYS_PATH, Policy, Rule, ServicePins};
///
/// let service = sealwire::Identity::generate()?;
/// let policy = Policy::new()
///     .service("https://api.example.com", ServicePins::new([service.recipient().pin()]))?
///     .rule(Rule::at("https://api.example.com", "/notes/{id}")?.exchange());
/// let caller = Caller::new(policy);
/// let now = 1_800_000_000;
///
/// // Nothing is known of the service yet: its keys come first.
/// let sending = caller.call(CallRequest::new("GET", "https://api.example.com/notes/17"), now)?;
/// assert_eq!(sending.head.target.path(), KEYS_PATH);
///
/// // … and something on the way says 502 instead.
/// let answered = sending.awaiting.answered(502, Headers::new(), false);
/// assert_eq!(answered.err().unwrap().code(), "Unsealed");
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Caller {
    policy: Arc<Policy>,
    identity: Option<Arc<Identity>>,
    keys: Option<Arc<dyn Unlock + Send>>,
    seen: LastSeen,
    services: Arc<Mutex<Vec<KnownKeys>>>,
    observer: Option<Arc<dyn Observer>>,
    max_body: u64,
}

impl Caller {
    /// Calls as `policy` allows.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy: Arc::new(policy),
            identity: None,
            keys: None,
            seen: LastSeen::in_store(MemoryStore::default()),
            services: Arc::default(),
            observer: None,
            max_body: DEFAULT_MAX_BODY,
        }
    }

    /// Signs with this identity, and opens with it what is sealed to it.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Arc<Identity>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Opens with these keys instead: a [`Keyring`](crate::Keyring) with older identities, say.
    #[must_use]
    pub fn keys(mut self, keys: impl Unlock + Send + 'static) -> Self {
        self.keys = Some(Arc::new(keys));
        self
    }

    /// Remembers versions, serials and pins here. Without it they are forgotten with the process.
    #[must_use]
    pub fn last_seen(mut self, seen: LastSeen) -> Self {
        self.seen = seen;
        self
    }

    /// Tells every call to `observer`.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// How many bytes a response may have that is read as a whole: 64 MiB, unless told otherwise.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// What to send first for a request: itself as its rule says, or the question for the service's keys.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no rule covers the URL, or the request does not fit its rule, such as recipients under one that does not
    /// [seal](super::Rule::seal); [`Error::Malformed`] and the others of
    /// [`CallRequest`]'s parts; those of [`seal`](crate::seal()).
    pub fn call(&self, request: CallRequest, now: u64) -> Result<Sending> {
        sending::begin(self, request, now)
    }

    /// What is to be told of a call. Take it before [`Caller::call`], and end it however the call ends.
    pub fn report(&self, request: &CallRequest) -> CallReport {
        let target = request.head.as_ref().ok().map(|head| &head.target);
        let rule = target.and_then(|target| self.policy.find(target).ok());
        CallReport {
            observer: self.observer.clone(),
            protection: rule.map_or("none", |(rule, _)| rule.protection()),
            size: if let CallBody::Whole(body) = &request.body { body.len() as u64 } else { 0 },
        }
    }

    /// Forgets what is known of services' keys, so that they are fetched anew.
    pub fn forget_service_keys(&self) {
        self.services.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The names in the store of [`Caller::last_seen`] that decide whose keys are believed: what is to be there before a call, where the
    /// platform's own store is asynchronous and only copied into a [`MemoryStore`]. Of the names of resources it is enough to compare with
    /// the platform's store afterwards, before the answer is given away.
    pub fn service_names(&self) -> impl Iterator<Item = String> {
        self.policy.names_of_services()
    }

    fn signer(&self) -> Result<&Identity> {
        self.identity.as_deref().ok_or(Error::Misuse(&"the rule signs, and the client has no identity"))
    }

    fn unlock(&self) -> Result<&dyn Unlock> {
        let identity = self.identity.as_deref().map(|identity| identity as &dyn Unlock);
        let keys = self.keys.as_deref().map(|keys| keys as &dyn Unlock);
        keys.or(identity).ok_or(Error::Misuse(&"the rule opens, and the client has no identity"))
    }

    fn sign(&self, head: &mut RequestHead, body: SignedBody<'_>, now: u64) -> Result<()> {
        RequestSigner::new(self.signer()?).sign(head, body, now)
    }

    /// The key to seal to, if it is known.
    fn service_key(&self, origin: &Origin, now: u64) -> Result<ServiceKey> {
        if let ServiceTrust::Keys(keys) = self.policy.trust(origin)? {
            return keys.config(now).cloned().map(ServiceKey::Known);
        }
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(KnownKeys { keys, fetched, .. }) = services.iter().find(|known| known.origin == *origin)
        else {
            return Ok(ServiceKey::Unknown);
        };
        Ok(match keys.config(now) {
            Ok(config) if fetched.abs_diff(now) < KEYS_MAX_AGE => ServiceKey::Known(config.clone()),
            Ok(_) => ServiceKey::Old(keys.clone()),
            Err(_) => ServiceKey::Unknown,
        })
    }

    /// The key of what the service publishes.
    fn learn(&self, origin: &Origin, document: &[u8], now: u64) -> Result<KeyConfig> {
        let ServiceTrust::Pins(pins) = self.policy.trust(origin)? else {
            return Err(Error::Misuse(&"the policy names no pins for this service"));
        };
        let keys = TrustedKeys::verify(document, origin, pins, &self.seen, now);
        let keys = keys.inspect_err(|error| self.tell_no_keys(*error))?;
        let config = keys.config(now)?.clone();
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.retain(|known| known.origin != *origin);
        services.push(KnownKeys { origin: origin.clone(), keys, fetched: now });
        Ok(config)
    }

    /// The error alone does not say whether it is of the keys or of the answer: `Unsealed` 401 is either.
    fn tell_no_keys(&self, error: Error) {
        let event = Event {
            operation: Operation::Keys,
            code: error.code(),
            protection: "exchange",
            size: 0,
            duration: Duration::ZERO,
            key_id: None,
        };
        tell(self.observer.as_deref(), event);
    }

    /// Forgets the key that the service does not know, unless another call has fetched a new one meanwhile.
    fn forget(&self, origin: &Origin, used: &KeyConfig) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.retain(|known| known.origin != *origin || !known.keys.is_key(used));
    }
}

struct KnownKeys {
    origin: Origin,
    keys: TrustedKeys,
    fetched: u64,
}

enum ServiceKey {
    Known(KeyConfig),
    /// Good, but there may be another one since.
    Old(TrustedKeys),
    Unknown,
}

/// A request as the app makes it. What is wrong with it is said by [`Caller::call`].
#[must_use]
pub struct CallRequest {
    head: Result<RequestHead>,
    body: CallBody,
    recipients: Option<Vec<Recipient>>,
    version: Option<u64>,
    context: Option<SealContext>,
}

enum CallBody {
    None,
    Whole(Vec<u8>),
    Streamed,
}

impl CallRequest {
    /// A request for an absolute URL, in the form that the platform's own URL parser gives: see [`Target::parse`].
    pub fn new(method: &str, url: &str) -> Self {
        let head = Method::new(method).and_then(|method| Ok(RequestHead::new(method, Target::parse(url)?)));
        Self { head, body: CallBody::None, recipients: None, version: None, context: None }
    }

    /// Adds a field.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.change_head(|head| head.headers.add(name, value))
    }

    /// The body. An empty one is a body, too: under a rule that seals, it is sealed.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = CallBody::Whole(body.into());
        self
    }

    /// The body as JSON, with its content type.
    pub fn json<T: serde::Serialize + ?Sized>(self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => {
                self.body(bytes).change_head(|head| head.headers.set("content-type", "application/json"))
            }
            Err(_) => Self { head: Err(Error::Misuse(&"the body cannot be written as JSON")), ..self },
        }
    }

    /// A body that is sent while it is made: [`SendingBody::Streamed`] takes it. The rule has to be for an exchange: what is sealed to people
    /// or signed is sent as a whole.
    pub fn streamed(mut self) -> Self {
        self.body = CallBody::Streamed;
        self
    }

    /// Who can read a sealed resource, in place of the rule's recipients: the complete list.
    pub fn to(mut self, recipients: &[Recipient]) -> Self {
        self.recipients = Some(recipients.to_vec());
        self
    }

    /// The version of a sealed resource, for readers to compare: count it up with every change. Once the service has taken it, this client
    /// takes no older one, and sends none: [`Error::Rejected`], before anything is sent. What has no version counts as 0, so once a resource
    /// has versions every write of it needs one.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The context of a sealed resource, where the URL does not name its id: a POST to a collection.
    pub fn context(mut self, context: SealContext) -> Self {
        self.context = Some(context);
        self
    }

    fn change_head(mut self, change: impl FnOnce(&mut RequestHead) -> Result<()>) -> Self {
        if let Ok(head) = &mut self.head
            && let Err(error) = change(head)
        {
            self.head = Err(error);
        }
        self
    }
}

/// What an operator may know of one call.
#[must_use]
pub struct CallReport {
    observer: Option<Arc<dyn Observer>>,
    protection: &'static str,
    size: u64,
}

impl CallReport {
    /// Tells the observer how the call ended, by itself or by the network's failing, and how long it took until its answer was there.
    pub fn ended(self, error: Option<Error>, duration: Duration) {
        let event = Event {
            operation: Operation::Call,
            code: error.map_or("ok", |error| error.code()),
            protection: self.protection,
            size: size_bucket(self.size),
            duration,
            key_id: None,
        };
        tell(self.observer.as_deref(), event);
    }
}
