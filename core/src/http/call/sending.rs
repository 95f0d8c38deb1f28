//! From a request to what is sent for it.

use super::receiving::{Answered, Reading, Receiving};
use super::{CallBody, CallRequest, Caller, ServiceKey};
use crate::context::SealContext;
use crate::error::{Error, Result};
use crate::http::exchange::{
    Carriage, Problem, REPEAT_WITHIN, RequestBodySealer, RequestSealer, ResponseOpener, SealedHead,
    SealedRequest, refuse_reserved,
};
use crate::http::keys::{KEYS_MEDIA_TYPE, KEYS_PATH, KeyConfig, TrustedKeys};
use crate::http::message::{Headers, Method, RequestHead, ResponseHead, Target};
use crate::http::resource::{ENVELOPE_MEDIA_TYPE, SealedResource};
use crate::http::signature::SignedBody;
use crate::identity::Recipient;
use crate::suite::random_array;
use std::sync::Arc;

/// What to send next: to [`Target::url`], and without following redirects.
pub struct Sending {
    /// The head, with every field that is to be there; those of the connection (`host`, `content-length`) are the sender's.
    pub head: RequestHead,
    /// The body.
    pub body: SendingBody,
    /// Takes the answer.
    pub awaiting: Awaiting,
}

/// The body of what is sent.
pub enum SendingBody {
    /// All of it; if it is empty, there is none.
    Whole(Vec<u8>),
    /// That of a [`CallRequest::streamed`]: `front`, then what `sealer` makes of each piece, then what it makes of the end. Without the end,
    /// which is not sent if the app's own stream fails, the service says [`Error::Truncated`]. It is sent once, and never repeated.
    Streamed {
        /// The first bytes.
        front: Vec<u8>,
        /// Seals the rest.
        sealer: RequestBodySealer,
    },
}

/// A call whose answer is still to come.
pub struct Awaiting(Box<Awaited>);

enum Awaited {
    /// The service's keys, before the exchange.
    Keys(Exchanging),
    Exchange {
        exchanging: Exchanging,
        opener: ResponseOpener,
        used: KeyConfig,
    },
    Plain(Asked),
}

impl Awaiting {
    /// The outer head of the answer has come. `redirected` says that it is from another URL than the one that was asked: such an answer is
    /// none, but the request has gone there then.
    ///
    /// # Errors
    /// [`Error::Unsealed`] for an answer without the protection that the rule demands, a redirect among them; [`Error::Misuse`] if the
    /// rule opens and the caller has no keys; those of [`LastSeen::advance`](crate::http::LastSeen::advance) for a write that was taken.
    pub fn answered(self, status: u16, headers: Headers, redirected: bool) -> Result<Answered> {
        let unsealed = Error::Unsealed { status };
        let awaited = match *self.0 {
            Awaited::Keys(exchanging) => {
                let is_document =
                    !redirected && status == 200 && headers.text("content-type") == Ok(Some(KEYS_MEDIA_TYPE));
                if !is_document {
                    exchanging.asked.caller.tell_no_keys(unsealed);
                    if exchanging.old.is_none() {
                        return Err(unsealed);
                    }
                }
                let document = if is_document { Ok(Vec::new()) } else { Err(unsealed) };
                return Ok(Answered::Reading(Receiving(Box::new(Reading::Keys { exchanging, document }))));
            }
            awaited => awaited,
        };
        if redirected || (300..400).contains(&status) && status != 304 {
            return Err(unsealed);
        }
        let mut answer = ResponseHead::new(status).map_err(|_| unsealed)?;
        answer.headers = headers;
        let reading = match awaited {
            Awaited::Keys(_) => return Err(unsealed),
            Awaited::Exchange { exchanging, used, .. } if status == 400 => {
                Reading::Problem { exchanging, used, answer, body: Vec::new() }
            }
            Awaited::Exchange { exchanging, opener, .. } => {
                let asked = exchanging.asked;
                let max_body = if asked.passes() { u64::MAX } else { asked.caller.max_body };
                let stream = Box::new(opener.max_body(max_body).stream(&answer)?);
                Reading::Exchange { asked, stream, head: None, content: Vec::new() }
            }
            Awaited::Plain(asked) => {
                asked.remember_write(&answer)?;
                Reading::Plain { asked, head: answer, body: Vec::new() }
            }
        };
        Ok(Receiving(Box::new(reading)).or_passing())
    }
}

/// Seals the body, if the rule says so, and sends as the rule says.
pub(super) fn begin(caller: &Caller, request: CallRequest, now: u64) -> Result<Sending> {
    let CallRequest { head, mut body, recipients, version, context } = request;
    let mut head = head?;
    let (rule, params) = caller.policy.find(&head.target)?;
    let mut stored = None;
    if let Some(resource) = &rule.resource {
        let context = match context {
            None if resource.is_list() => None,
            None => Some(resource.context(&params)?),
            context => context,
        };
        let it = Stored { resource: resource.clone(), context, version };
        body = match body {
            // An app that writes nothing writes an empty text: what readers find has to be an envelope.
            CallBody::None if matches!(head.method.as_str(), "PUT" | "POST" | "PATCH") => {
                CallBody::Whole(it.seal(caller, &mut head, &[], recipients.as_deref())?)
            }
            CallBody::None => CallBody::None,
            CallBody::Whole(body) => {
                CallBody::Whole(it.seal(caller, &mut head, &body, recipients.as_deref())?)
            }
            CallBody::Streamed => return Err(Error::Misuse(&"a sealed resource is sent as a whole")),
        };
        stored = Some(it);
    } else if recipients.is_some() || version.is_some() || context.is_some() {
        // Who names readers believes the body to be sealed to them.
        return Err(Error::Misuse(&"recipients, a version or a context, and the rule does not seal"));
    }
    let asked = Asked { caller: caller.clone(), head, signed: rule.signed, streamed: rule.streamed, stored };
    match (&rule.exchange, body) {
        (Some(carriage), body) => Exchanging::begin(asked, carriage, body, rule.idempotent, now),
        (None, CallBody::None) => asked.send_plain(Vec::new(), now),
        (None, CallBody::Whole(body)) => asked.send_plain(body, now),
        (None, CallBody::Streamed) => Err(Error::Misuse(&"only an exchange has a streamed body")),
    }
}

/// What was asked for, through all that is sent for it.
pub(super) struct Asked {
    pub(super) caller: Caller,
    /// That of the request inside an exchange.
    pub(super) head: RequestHead,
    signed: bool,
    streamed: bool,
    pub(super) stored: Option<Stored>,
}

/// The sealed resource that it is about.
pub(super) struct Stored {
    pub(super) resource: Arc<SealedResource>,
    /// None of a list.
    pub(super) context: Option<SealContext>,
    version: Option<u64>,
}

impl Stored {
    /// The envelope in the body's place.
    fn seal(
        &self,
        caller: &Caller,
        head: &mut RequestHead,
        plaintext: &[u8],
        recipients: Option<&[Recipient]>,
    ) -> Result<Vec<u8>> {
        let context =
            self.context.as_ref().ok_or(Error::Misuse(&"give a request to a collection its context"))?;
        // What readers would refuse is not sent. Without a version it counts as 0 there.
        let signer = caller.signer()?;
        self.resource.check_version(&caller.seen, context, &signer.signer(), self.version.unwrap_or(0))?;
        let content_type = head.headers.text("content-type")?;
        let sealed =
            self.resource.seal_body(plaintext, content_type, signer, context, recipients, self.version)?;
        head.headers.set("content-type", ENVELOPE_MEDIA_TYPE)?;
        Ok(sealed)
    }
}

impl Asked {
    /// Whether the answer's content is handed on while it arrives.
    pub(super) fn passes(&self) -> bool {
        self.streamed && self.stored.is_none()
    }

    /// Before anything else of the answer: a server that took the write cannot go on serving what was there before.
    pub(super) fn remember_write(&self, answer: &ResponseHead) -> Result<()> {
        let Some(Stored { resource, context: Some(context), version: Some(version) }) = &self.stored else {
            return Ok(());
        };
        let wrote = !self.head.method.is_safe()
            && (200..300).contains(&answer.status)
            && self.head.headers.text("content-type")? == Some(ENVELOPE_MEDIA_TYPE);
        if !wrote {
            return Ok(());
        }
        resource.remember(&self.caller.seen, context, &self.caller.signer()?.signer(), *version)
    }

    fn send_plain(self, body: Vec<u8>, now: u64) -> Result<Sending> {
        let mut head = self.head.clone();
        refuse_reserved(&head.headers)?;
        // They would frame what is sent a second time, or are of a connection that the app does not have.
        head.headers.retain(|name| name != "content-length" && !Headers::is_hop_by_hop(name));
        self.sign(&mut head, SignedBody::Whole(&body), now)?;
        Ok(Sending {
            head,
            body: SendingBody::Whole(body),
            awaiting: Awaiting(Box::new(Awaited::Plain(self))),
        })
    }

    fn sign(&self, head: &mut RequestHead, body: SignedBody<'_>, now: u64) -> Result<()> {
        if self.signed { self.caller.sign(head, body, now) } else { Ok(()) }
    }
}

/// What is to be sealed to the service.
pub(super) struct Exchanging {
    asked: Asked,
    carriage: Carriage,
    body: CallBody,
    idempotent: bool,
    began: u64,
    repeated: bool,
    /// What is gone by if nothing newer is to be had.
    old: Option<TrustedKeys>,
}

impl Exchanging {
    fn begin(
        mut asked: Asked,
        carriage: &Carriage,
        body: CallBody,
        idempotent: bool,
        now: u64,
    ) -> Result<Sending> {
        // What could have an effect twice carries a key, unless the app gave it one.
        let head = &mut asked.head;
        if idempotent && !head.method.is_safe() && head.headers.one("idempotency-key")?.is_none() {
            let key = crate::envelope::to_text(&random_array::<16>()?);
            head.headers.add("idempotency-key", format!("\"{key}\""))?;
        }
        let carriage = carriage.clone();
        Self { asked, carriage, body, idempotent, began: now, repeated: false, old: None }.send(now)
    }

    fn send(mut self, now: u64) -> Result<Sending> {
        let origin = self.asked.head.target.origin();
        self.old = match self.asked.caller.service_key(origin, now)? {
            ServiceKey::Known(config) => return self.seal(config, now),
            ServiceKey::Old(keys) => Some(keys),
            ServiceKey::Unknown => None,
        };
        let mut head = RequestHead::new(Method::new("GET")?, Target::new(origin.clone(), KEYS_PATH)?);
        // A copy on the way may be what the service has just refused.
        head.headers.set("cache-control", "no-cache")?;
        Ok(Sending {
            head,
            body: SendingBody::Whole(Vec::new()),
            awaiting: Awaiting(Box::new(Awaited::Keys(self))),
        })
    }

    /// The service's keys have come, or something else.
    pub(super) fn send_with_keys(self, document: Result<&[u8]>, now: u64) -> Result<Sending> {
        let origin = self.asked.head.target.origin();
        let learned = document.and_then(|document| self.asked.caller.learn(origin, document, now));
        let config = match (learned, &self.old) {
            // Whoever can keep a newer document back could also serve the old one.
            (Err(_), Some(old)) => old.config(now)?.clone(),
            (learned, _) => learned?,
        };
        self.seal(config, now)
    }

    /// The service says that it could not open what was sealed with the key `used`; or somebody on the way says it, so only what has no effect
    /// twice is repeated.
    pub(super) fn repeat(mut self, problem: Problem, used: &KeyConfig, now: u64) -> Result<Sending> {
        if problem == Problem::Date {
            return Err(Error::Expired);
        }
        self.asked.caller.forget(self.asked.head.target.origin(), used);
        let may_repeat = self.is_safe() || self.idempotent;
        if self.repeated || !may_repeat || matches!(self.body, CallBody::Streamed) {
            return Err(NO_SUCH_KEY);
        }
        self.repeated = true;
        self.send(now)
    }

    fn is_safe(&self) -> bool {
        matches!(self.asked.head.method.as_str(), "GET" | "HEAD")
    }

    fn seal(self, config: KeyConfig, now: u64) -> Result<Sending> {
        // The date that is sealed decides: fetching keys may have taken any time, and whoever kept the first attempt's answer
        // back may have had it dispatched, and its key forgotten.
        if self.repeated && !self.is_safe() && now > self.began.saturating_add(REPEAT_WITHIN) {
            return Err(NO_SUCH_KEY);
        }
        let asked = &self.asked;
        let mut sealer = RequestSealer::new(&config, &self.carriage);
        if asked.signed {
            sealer = sealer.signed_by(&asked.caller.signer()?.signer().key_id().to_string());
        }
        if asked.streamed {
            sealer = sealer.chunked();
        }
        let inner = asked.head.clone();
        let whole = match &self.body {
            CallBody::None => [].as_slice(),
            CallBody::Whole(body) => body,
            CallBody::Streamed => {
                let (SealedHead { mut head, front, body: sealer }, opener) = sealer.stream(inner, now)?;
                asked.sign(&mut head, SignedBody::Streamed, now)?;
                return Ok(self.sent(head, SendingBody::Streamed { front, sealer }, opener, config));
            }
        };
        let (SealedRequest { mut head, body }, opener) = sealer.seal(inner, whole, now)?;
        asked.sign(&mut head, SignedBody::Whole(&body), now)?;
        Ok(self.sent(head, SendingBody::Whole(body), opener, config))
    }

    fn sent(self, head: RequestHead, body: SendingBody, opener: ResponseOpener, used: KeyConfig) -> Sending {
        let awaited = Awaited::Exchange { exchanging: self, opener, used };
        Sending { head, body, awaiting: Awaiting(Box::new(awaited)) }
    }
}

const NO_SUCH_KEY: Error =
    Error::InvalidKey(&"the service says that it has no such key: call again to fetch its keys");
