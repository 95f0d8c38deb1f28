//! A client's calls: a policy, a request, and the steps from one to its answer. Whatever sends in a language drives them.

use crate::bytes::Bytes;
use crate::error::Result;
use crate::keys::{Identity, Keyring, Recipient, Shared};
use crate::message::{Field, fields, headers};
use crate::observe::{Observer, Watched};
use crate::seal::{About, SealContext, signer_text};
use crate::store::{Outside, SecretStore};
use crate::stream::{Flow, lock};
use sealwire::http::{
    Answered, Awaiting, CallReport, Carriage, InPlace, KeyConfig, LastSeen, Outcome, PassingBody,
    ReceivedList, Receiving, RequestBodySealer, SealedResource, Sending, SendingBody, ServicePins, Target,
    TrustedKeys,
};
use sealwire::{Error, Pin, Signer};
use std::mem::take;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Whose keys are believed.
#[derive(uniffi::Enum)]
pub enum Trust {
    Pins {
        pins: Vec<String>,
    },
    /// Until `expires`, without asking anybody.
    Keys {
        ohttp_keys: Vec<u8>,
        expires: u64,
    },
    FirstUse,
}

#[derive(uniffi::Record)]
pub struct TrustedService {
    pub origin: String,
    pub trust: Trust,
}

/// How an exchange is carried.
#[derive(uniffi::Enum)]
pub enum Exchange {
    InPlace { expose: Vec<String>, expose_query: bool, post_carrier: bool },
    Tunnel { url: String },
}

/// Bodies that are sealed to people.
#[derive(uniffi::Record)]
pub struct Resource {
    pub namespace: String,
    pub id: String,
    pub to: Vec<Arc<Recipient>>,
    pub senders: Vec<String>,
    #[uniffi(default = None)]
    pub list: Option<ListMembers>,
}

/// Where the items of a list have their id and their envelope.
#[derive(uniffi::Record)]
pub struct ListMembers {
    pub id: String,
    pub envelope: String,
}

#[derive(uniffi::Record)]
pub struct Rule {
    pub origin: String,
    pub path: String,
    #[uniffi(default = None)]
    pub exchange: Option<Exchange>,
    #[uniffi(default = None)]
    pub seal: Option<Resource>,
    #[uniffi(default = false)]
    pub sign: bool,
    #[uniffi(default = false)]
    pub streamed: bool,
    #[uniffi(default = false)]
    pub idempotent: bool,
    #[uniffi(default = false)]
    pub in_the_clear: bool,
}

#[derive(uniffi::Record)]
pub struct Policy {
    pub services: Vec<TrustedService>,
    pub rules: Vec<Rule>,
}

impl TryFrom<Policy> for sealwire::http::Policy {
    type Error = Error;

    fn try_from(policy: Policy) -> sealwire::Result<Self> {
        let mut made = Self::new();
        for TrustedService { origin, trust } in policy.services {
            made = match trust {
                Trust::FirstUse => made.service(&origin, ServicePins::trust_on_first_use())?,
                Trust::Pins { pins } => {
                    let pins =
                        pins.iter().map(|pin| Pin::parse(pin)).collect::<sealwire::Result<Vec<_>>>()?;
                    made.service(&origin, ServicePins::new(pins))?
                }
                Trust::Keys { ohttp_keys, expires } => {
                    let keys = TrustedKeys::from_config(KeyConfig::parse_list(&ohttp_keys)?, expires);
                    made.service_keys(&origin, keys)?
                }
            };
        }
        for rule in policy.rules {
            made = made.rule(rule.try_into()?);
        }
        Ok(made)
    }
}

impl TryFrom<Rule> for sealwire::http::Rule {
    type Error = Error;

    fn try_from(rule: Rule) -> sealwire::Result<Self> {
        let mut made = Self::at(&rule.origin, &rule.path)?;
        match rule.exchange {
            None => {}
            Some(Exchange::Tunnel { url }) => made = made.exchange_by(Carriage::Tunnel(Target::parse(&url)?)),
            Some(Exchange::InPlace { expose, expose_query, post_carrier }) => {
                let mut way = expose.iter().fold(InPlace::new(), |way, name| way.expose_field(name));
                if expose_query {
                    way = way.expose_query();
                }
                if post_carrier {
                    way = way.post_carrier();
                }
                made = made.exchange_by(Carriage::InPlace(way));
            }
        }
        if let Some(resource) = rule.seal {
            made = made.seal(resource.try_into()?);
        }
        for (is_set, set) in [
            (rule.sign, Self::sign as fn(Self) -> Self),
            (rule.streamed, Self::streamed),
            (rule.idempotent, Self::idempotent),
            (rule.in_the_clear, Self::in_the_clear),
        ] {
            if is_set {
                made = set(made);
            }
        }
        Ok(made)
    }
}

impl TryFrom<Resource> for SealedResource {
    type Error = Error;

    fn try_from(resource: Resource) -> sealwire::Result<Self> {
        let senders = resource.senders.iter().map(|sender| Signer::parse(sender));
        let senders = senders.collect::<sealwire::Result<Vec<_>>>()?;
        let made =
            Self::new(&resource.namespace, &resource.id).to(&recipients(&resource.to)).senders(&senders);
        Ok(match resource.list {
            Some(ListMembers { id, envelope }) => made.list(&id, &envelope),
            None => made,
        })
    }
}

fn recipients(recipients: &[Arc<Recipient>]) -> Vec<sealwire::Recipient> {
    recipients.iter().map(|recipient| recipient.0.clone()).collect()
}

#[derive(uniffi::Record)]
pub struct CallerOptions {
    /// Signs, and opens what is sealed to it.
    #[uniffi(default = None)]
    pub identity: Option<Arc<Identity>>,
    /// Opens in the identity's place.
    #[uniffi(default = None)]
    pub keys: Option<Arc<Keyring>>,
    /// Remembers versions, serials and pins. Without it they are forgotten with the process.
    #[uniffi(default = None)]
    pub last_seen: Option<Arc<dyn SecretStore>>,
    #[uniffi(default = None)]
    pub observer: Option<Arc<dyn Observer>>,
    /// How many bytes a response may have that is read as a whole.
    #[uniffi(default = None)]
    pub max_body: Option<u64>,
}

#[derive(uniffi::Object)]
pub struct Caller(sealwire::http::Caller);

#[uniffi::export]
impl Caller {
    #[uniffi::constructor]
    pub fn new(policy: Policy, options: CallerOptions) -> Result<Self> {
        let mut caller = sealwire::http::Caller::new(policy.try_into()?);
        if let Some(identity) = options.identity {
            caller = caller.identity(Arc::clone(&identity.0));
        }
        if let Some(keys) = options.keys {
            caller = caller.keys(Shared(Arc::clone(&keys.0)));
        }
        if let Some(store) = options.last_seen {
            caller = caller.last_seen(LastSeen::in_store(Outside(store)));
        }
        if let Some(observer) = options.observer {
            caller = caller.observer(Arc::new(Watched(observer)));
        }
        if let Some(bytes) = options.max_body {
            caller = caller.max_body(bytes);
        }
        Ok(Self(caller))
    }

    pub fn forget_service_keys(&self) {
        self.0.forget_service_keys();
    }

    pub fn call(&self, request: CallRequest, body: CallBody, now: u64) -> Result<Started> {
        let mut asked = sealwire::http::CallRequest::new(&request.method, &request.url);
        for Field { name, value } in &request.fields {
            asked = asked.header(name, value.as_slice());
        }
        asked = match body {
            CallBody::None => asked,
            CallBody::Whole { bytes } => asked.body(bytes.as_slice()),
            CallBody::Streamed => asked.streamed(),
        };
        if let Some(to) = &request.to {
            asked = asked.to(&recipients(to));
        }
        if let Some(version) = request.version {
            asked = asked.version(version);
        }
        if let Some(context) = request.context {
            asked = asked.context(context.into());
        }
        let report = Mutex::new(Some((self.0.report(&asked), Instant::now())));
        let call = Call { report, state: Mutex::new(State::Spent) };
        let step = call.step(|_| Ok(State::Sending(self.0.call(asked, now)?)))?;
        Ok(Started { call: Arc::new(call), step })
    }
}

/// What the app asks for. `url` is absolute, in the form that the platform's URL parser gives.
#[derive(uniffi::Record)]
pub struct CallRequest {
    pub method: String,
    pub url: String,
    pub fields: Vec<Field>,
    /// The complete list of who can read it, in place of the rule's.
    #[uniffi(default = None)]
    pub to: Option<Vec<Arc<Recipient>>>,
    #[uniffi(default = None)]
    pub version: Option<u64>,
    #[uniffi(default = None)]
    pub context: Option<SealContext>,
}

#[derive(uniffi::Enum)]
pub enum CallBody {
    None,
    Whole { bytes: Bytes },
    Streamed,
}

#[derive(uniffi::Record)]
pub struct Started {
    pub call: Arc<Call>,
    pub step: CallStep,
}

/// What is to be done next.
#[derive(uniffi::Enum)]
pub enum CallStep {
    /// Send this, without following redirects; then [`Call::answered`]. With `upload` the body is `body`, then what that makes of each piece and
    /// of the end.
    Send { method: String, url: String, fields: Vec<Field>, body: Bytes, upload: Option<Arc<Upload>> },
    /// Give each piece of the answer's body to [`Call::read`], and its end to [`Call::finish`].
    Read,
    /// The answer's head, and the beginning of its content; the rest comes of [`Call::pass`] and [`Call::pass_end`].
    Pass { status: u16, fields: Vec<Field>, front: Bytes },
    /// The answer.
    Done { status: u16, fields: Vec<Field>, body: Bytes, signer: Option<String>, about: Option<About> },
    /// A list, whose items come of [`Call::item`].
    List { status: u16, fields: Vec<Field> },
}

/// One call. Each of its steps is taken once, in its turn.
#[derive(uniffi::Object)]
pub struct Call {
    report: Mutex<Option<(CallReport, Instant)>>,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    Sending(Sending),
    Awaiting(Awaiting),
    Reading(Receiving),
    Passing(PassingBody),
    List(ReceivedList),
    /// While a step is taken, and for ever after the last one or one that failed.
    #[default]
    Spent,
}

/// One item of a list.
#[derive(uniffi::Record)]
pub struct Item {
    pub id: String,
    pub opened: Option<crate::seal::Opened>,
    /// Why it did not open.
    pub failure: Option<ItemFailure>,
}

#[derive(uniffi::Record)]
pub struct ItemFailure {
    pub code: String,
    pub text: String,
}

#[uniffi::export]
impl Call {
    /// `redirected` says that the answer is from another URL than the one that was asked.
    pub fn answered(&self, status: u16, fields: Vec<Field>, redirected: bool) -> Result<CallStep> {
        self.step(|state| match state {
            State::Awaiting(awaiting) => {
                awaiting.answered(status, headers(&fields)?, redirected).map(Next::from)
            }
            _ => out_of_turn(),
        })
    }

    /// Whether anything counts of what is still to come of an answer. If not, `finish` at once: it may have no end.
    pub fn wants_more(&self) -> bool {
        matches!(&*lock(&self.state), State::Reading(receiving) if receiving.wants_more())
    }

    pub fn read(&self, piece: &[u8]) -> Result<CallStep> {
        self.step(|state| match state {
            State::Reading(receiving) => receiving.push(piece).map(Next::from),
            _ => out_of_turn(),
        })
    }

    pub fn finish(&self, now: u64) -> Result<CallStep> {
        self.step(|state| match state {
            State::Reading(receiving) => receiving.finish(now).map(Next::from),
            _ => out_of_turn(),
        })
    }

    pub fn pass(&self, piece: &[u8]) -> Result<Bytes> {
        let mut state = lock(&self.state);
        let State::Passing(mut body) = take(&mut *state) else { return Ok(out_of_turn()?) };
        let (content, ()) = Bytes::filled(piece.len(), |content| body.push(piece, content))?;
        *state = State::Passing(body);
        Ok(content)
    }

    /// Only after this is it certain that nothing was cut off.
    pub fn pass_end(&self) -> Result<Bytes> {
        let State::Passing(body) = take(&mut *lock(&self.state)) else { return Ok(out_of_turn()?) };
        Ok(Bytes::filled(0, |content| body.finish(content))?.0)
    }

    /// The next item, opened; nothing at the end.
    pub fn item(&self) -> Result<Option<Item>> {
        let State::List(list) = &mut *lock(&self.state) else { return Ok(out_of_turn()?) };
        let Some(item) = list.next() else { return Ok(None) };
        Ok(Some(match item.opened {
            Ok(opened) => {
                let sealwire::Opened { plaintext, signer, about, .. } = opened;
                let (plaintext, signer) = (Bytes::payload(plaintext)?, signer_text(signer));
                let opened = crate::seal::Opened { plaintext, signer, about: about.into() };
                Item { id: item.id, opened: Some(opened), failure: None }
            }
            Err(error) => {
                let failure = ItemFailure { code: error.code().into(), text: error.to_string() };
                Item { id: item.id, opened: None, failure: Some(failure) }
            }
        }))
    }

    /// The network failed, or the app has given up.
    pub fn broke(&self) {
        *lock(&self.state) = State::Spent;
        self.end(Some(Error::Network(&"a request that broke off")));
    }
}

enum Next {
    State(State),
    Pass(sealwire::http::PassingAnswer),
    Done(sealwire::http::Received),
}

impl From<State> for Next {
    fn from(state: State) -> Self {
        Self::State(state)
    }
}

impl From<Answered> for Next {
    fn from(answered: Answered) -> Self {
        match answered {
            Answered::Reading(receiving) => Self::State(State::Reading(receiving)),
            Answered::Passing(passing) => Self::Pass(passing),
        }
    }
}

impl From<Outcome> for Next {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Again(sending) => Self::State(State::Sending(sending)),
            Outcome::Done(received) => Self::Done(received),
            Outcome::List(list) => Self::State(State::List(list)),
        }
    }
}

impl Call {
    /// Takes a step; what fails is the call's last.
    fn step<N: Into<Next>>(&self, step: impl FnOnce(State) -> sealwire::Result<N>) -> Result<CallStep> {
        let mut state = lock(&self.state);
        let next = step(take(&mut *state)).inspect_err(|error| self.end(Some(*error)))?;
        let (after, todo) = match next.into() {
            Next::State(State::Sending(Sending { head, body, awaiting })) => {
                let (body, upload) = match body {
                    SendingBody::Whole(body) => (body, None),
                    SendingBody::Streamed { front, sealer } => {
                        (front, Some(Arc::new(Upload(Flow::new(sealer)))))
                    }
                };
                let (method, url) = (head.method.as_str().into(), head.target.url());
                let (fields, body) = (fields(&head.headers), Bytes::payload(body)?);
                (State::Awaiting(awaiting), CallStep::Send { method, url, fields, body, upload })
            }
            Next::State(State::List(list)) => {
                self.end(None);
                let (status, fields) = (list.head.status, fields(&list.head.headers));
                (State::List(list), CallStep::List { status, fields })
            }
            Next::State(state) => (state, CallStep::Read),
            Next::Pass(passing) => {
                self.end(None);
                let (status, fields) = (passing.head.status, fields(&passing.head.headers));
                let front = Bytes::payload(passing.front)?;
                (State::Passing(passing.body), CallStep::Pass { status, fields, front })
            }
            Next::Done(received) => {
                self.end(None);
                let (status, fields) = (received.head.status, fields(&received.head.headers));
                let (signer, about) =
                    (received.signer.map(|signer| signer.to_string()), received.about.map(About::from));
                let body = Bytes::payload(received.body)?;
                (State::Spent, CallStep::Done { status, fields, body, signer, about })
            }
        };
        *state = after;
        Ok(todo)
    }

    fn end(&self, error: Option<Error>) {
        if let Some((report, started)) = lock(&self.report).take() {
            report.ended(error, started.elapsed());
        }
    }
}

/// Whoever sent it has forgotten it.
impl Drop for Call {
    fn drop(&mut self) {
        self.end(Some(Error::Network(&"a request that broke off")));
    }
}

fn out_of_turn<T>() -> sealwire::Result<T> {
    Err(Error::Misuse(&"a step is taken once, in its turn"))
}

/// Seals a body while it is sent.
#[derive(uniffi::Object)]
pub struct Upload(Flow<RequestBodySealer>);

#[uniffi::export]
impl Upload {
    pub fn push(&self, piece: &[u8]) -> Result<Bytes> {
        self.0.push(piece.len(), |sealer, sealed| sealer.push(piece, sealed))
    }

    /// Without it, which is not sent if the app's own stream fails, the service says `Truncated`.
    pub fn finish(&self) -> Result<Bytes> {
        self.0.finish(|sealer, sealed| sealer.finish(sealed))
    }
}
