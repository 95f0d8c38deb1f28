//! From the head of a request to what the app gets. Each step is made by the one before, and used up by the next.

use super::{Gate, Refusal};
use crate::error::{Error, Result};
use crate::http::encapsulation::Form;
use crate::http::exchange::{ExchangeService, RequestOpener, ResponseSealer, Unadmitted};
use crate::http::message::RequestHead;
use crate::http::observe::Operation;
use crate::http::replay::ReplayId;
use crate::http::signature::{BodyCheck, VerifiedBody, VerifiedHead};
use crate::suite::Signer;
use std::sync::Arc;

/// A request whose head may pass. Its body is to be read: [`Arriving::push`] for each piece, [`Arriving::finish`] at its end.
pub struct Arriving {
    passing: Box<Passing>,
    check: Option<Box<BodyCheck>>,
    incoming: Incoming,
}

/// What of a request goes along with all steps.
struct Passing {
    gate: Gate,
    outer: RequestHead,
    verified: Option<VerifiedHead>,
    key_id: Option<u8>,
}

enum Incoming {
    Exchange { rest: ContentOpener, unadmitted: Option<Box<Unadmitted>>, content: Vec<u8> },
    Signed { body: Vec<u8> },
}

/// What a piece of the body has brought.
pub enum Progress {
    /// More is needed.
    More(Arriving),
    /// Enough for the app to begin, of a request in the chunked form for a path that [streams](Gate::stream). The rest goes to
    /// [`Admitted::rest`].
    Enough(Arrived),
}

impl Arriving {
    pub(super) fn exchange(
        gate: Gate,
        service: Arc<ExchangeService>,
        outer: RequestHead,
        verified: Option<VerifiedHead>,
        opener: Box<RequestOpener>,
    ) -> Self {
        let check = verified.as_ref().map(|verified| Box::new(verified.check()));
        let passing = Box::new(Passing { gate, outer, verified, key_id: None });
        let rest = ContentOpener { service, opener };
        Self { passing, check, incoming: Incoming::Exchange { rest, unadmitted: None, content: Vec::new() } }
    }

    pub(super) fn signed(gate: Gate, outer: RequestHead, verified: VerifiedHead) -> Self {
        let check = Some(Box::new(verified.check()));
        let passing = Box::new(Passing { gate, outer, verified: Some(verified), key_id: None });
        Self { passing, check, incoming: Incoming::Signed { body: Vec::new() } }
    }

    /// Whether one of the verifier's keys has signed it. Whether it is the first time is not known yet. Until the exchange of any other is
    /// opened it is a stranger's: do not let those together hold all the memory that there is for bodies.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.passing.verified.is_some()
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// A [`Refusal`], with what to answer.
    pub fn push(mut self, piece: &[u8], now: u64) -> std::result::Result<Progress, Refusal> {
        if let Incoming::Signed { body } = &self.incoming
            && (body.len() + piece.len()) as u64 > self.passing.gate.rules.max_body
        {
            return Err(self.refuse(Error::TooLarge(&"a request's body")));
        }
        if let Some(check) = &mut self.check {
            check.push(piece).map_err(self.passing.refuse(Operation::Verify))?;
        }
        match &mut self.incoming {
            Incoming::Signed { body } => body.extend_from_slice(piece),
            Incoming::Exchange { rest, unadmitted, content } => {
                let refuse = self.passing.refuse(Operation::Open);
                rest.push(piece, now, content).map_err(&refuse)?;
                if unadmitted.is_none()
                    && let Some(request) = rest.take_request(now).map_err(&refuse)?
                {
                    self.passing.key_id = Some(request.key_id());
                    let begins = rest.opener.form() == Form::Chunked && self.passing.may_stream(&request);
                    *unadmitted = Some(Box::new(request));
                    if begins {
                        return self.arrived(true).map(Progress::Enough);
                    }
                }
            }
        }
        Ok(Progress::More(self))
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// A [`Refusal`], with what to answer.
    pub fn finish(mut self, now: u64) -> std::result::Result<Arrived, Refusal> {
        // The signature first: of a body that was cut or altered it is the signer's word that counts.
        self.check_body()?;
        if let Incoming::Exchange { rest, unadmitted, content } = &mut self.incoming {
            let refuse = self.passing.refuse(Operation::Open);
            rest.opener.finish(&rest.service, now, content).map_err(&refuse)?;
            if unadmitted.is_none() {
                let request = rest.take_request(now).map_err(&refuse)?;
                let request = request.ok_or(Error::Truncated).map_err(refuse)?;
                self.passing.key_id = Some(request.key_id());
                *unadmitted = Some(Box::new(request));
            }
        }
        self.arrived(false)
    }

    /// Gives up, for a reason of the driver's own: the body broke off, was too slow, or there is no memory for it.
    pub fn refuse(self, error: Error) -> Refusal {
        let operation = match self.incoming {
            Incoming::Exchange { .. } => Operation::Open,
            Incoming::Signed { .. } => Operation::Verify,
        };
        self.passing.refuse(operation)(error)
    }

    fn arrived(mut self, begins: bool) -> std::result::Result<Arrived, Refusal> {
        self.check_body()?;
        let request = match self.incoming {
            Incoming::Signed { body } => Request::Signed { body },
            Incoming::Exchange { rest, unadmitted, content } => {
                let unadmitted =
                    unadmitted.ok_or(Error::Truncated).map_err(self.passing.refuse(Operation::Open))?;
                Request::Exchange { unadmitted, content, rest: begins.then_some(rest) }
            }
        };
        Ok(Arrived { passing: self.passing, request })
    }

    /// Whether the body, or what has come of one that streams, is the signer's.
    fn check_body(&mut self) -> std::result::Result<(), Refusal> {
        let Some(check) = self.check.take() else { return Ok(()) };
        let refuse = self.passing.refuse(Operation::Verify);
        let proved = check.finish().map_err(&refuse)?;
        // A beginning proves a body only where the exchange that begins so is opened: here, or behind this gateway.
        let gate = &self.passing.gate.rules;
        let content_type = self.passing.outer.headers.text("content-type");
        let behind = gate.exchanges.is_none() && content_type == Ok(Some(Form::Chunked.request_media_type()));
        match (proved, &self.incoming) {
            (VerifiedBody::Beginning, Incoming::Signed { .. }) if !behind => Err(refuse(Error::Rejected)),
            _ => Ok(()),
        }
    }
}

impl Passing {
    fn refuse(&self, operation: Operation) -> impl Fn(Error) -> Refusal + use<> {
        let key_id = self.key_id;
        move |error| Refusal::new(operation, error).with_key(key_id)
    }

    /// Whether the app may see the request before all of its body is there.
    fn may_stream(&self, request: &Unadmitted) -> bool {
        let mut streamed = self.gate.rules.streamed.iter();
        streamed.any(|pattern| pattern.matches(request.path()).is_some())
            && self.verified.as_ref().is_none_or(VerifiedHead::covers_a_stream)
    }

    /// What the app gets of an exchange's request: nothing that is about the way here, but what a gateway of its own has added.
    fn inner_head(&self, mut head: RequestHead, length: Option<usize>) -> Result<RequestHead> {
        let passed = &self.gate.rules.passed;
        // What a gateway says of the client, no client says of itself: it comes with `pass_outer`, or not at all.
        let of_a_gateway =
            |name: &str| matches!(name, "forwarded" | "x-real-ip") || name.starts_with("x-forwarded-");
        head.headers.retain(|name| {
            name != "content-length" && !of_a_gateway(name) && !passed.iter().any(|passed| passed == name)
        });
        head.headers.add("host", head.target.origin().authority())?;
        if let Some(length) = length.filter(|length| *length > 0 || !head.method.is_safe()) {
            head.headers.add("content-length", length.to_string())?;
        }
        for (name, value) in self.outer.headers.iter() {
            if passed.iter().any(|passed| passed == name) {
                head.headers.add(name, value)?;
            }
        }
        Ok(head)
    }
}

/// A request that is here, or as much of it as the app needs to begin. Whether it is let in is to be [checked](Arrived::check).
pub struct Arrived {
    passing: Box<Passing>,
    request: Request,
}

enum Request {
    Exchange { unadmitted: Box<Unadmitted>, content: Vec<u8>, rest: Option<ContentOpener> },
    Signed { body: Vec<u8> },
}

/// What is left to do before a request is let in.
pub enum Check {
    /// Something is to be remembered, or was seen before.
    Remember(Remember),
    /// Nothing.
    Admitted(Box<Admitted>),
}

impl Arrived {
    /// Steps 9 and 10 of SPEC §18.4: who signed the outside is who the inside names, and each request comes once.
    ///
    /// # Errors
    /// A [`Refusal`], with what to answer.
    pub fn check(self, now: u64) -> std::result::Result<Check, Refusal> {
        let Passing { gate, verified, .. } = &*self.passing;
        let refuse = self.passing.refuse(Operation::Verify);
        if let Request::Exchange { unadmitted, .. } = &self.request {
            let signer = verified.as_ref().map(|verified| verified.signer.key_id().to_string());
            unadmitted.check_signer(signer.as_deref()).map_err(&refuse)?;
            // In a tunnel the outer path said nothing of this one.
            if gate.demand(unadmitted.path()).signature && verified.is_none() {
                return Err(refuse(Error::Rejected));
            }
        }
        let Some(nonce) = verified.as_ref().and_then(|verified| verified.nonce) else {
            return self.check_once(now);
        };
        if now > nonce.keep_until {
            // It ran out while the body was arriving.
            return Err(refuse(Error::Expired));
        }
        let (id, made, until) = (ReplayId(nonce.id), nonce.created, nonce.keep_until);
        Ok(Check::Remember(Remember { id, made, until, signed: true, then: Then::Nonce(self) }))
    }

    fn check_once(self, now: u64) -> std::result::Result<Check, Refusal> {
        let refuse = self.passing.refuse(Operation::Open);
        match self.request {
            Request::Signed { body } => {
                let Passing { outer, verified, .. } = *self.passing;
                let signer = verified.map(|verified| verified.signer);
                let (head, content) = (outer, body);
                let admitted = Admitted { head, content, rest: None, signer, sealer: None, key_id: None };
                Ok(Check::Admitted(Box::new(admitted)))
            }
            Request::Exchange { unadmitted, content, rest } => {
                if now > unadmitted.good_until() {
                    // The body has taken its time, and the date has run out meanwhile.
                    return Err(refuse(Error::Expired));
                }
                let (id, made) = (unadmitted.replay_id(), unadmitted.made());
                let (until, signed) = (unadmitted.keep_until(), self.passing.verified.is_some());
                let then = Then::Exchange { passing: self.passing, unadmitted, content, rest };
                Ok(Check::Remember(Remember { id, made, until, signed, then }))
            }
        }
    }
}

/// What is to be inserted into a [`ReplayCache`](crate::http::ReplayCache) before the request goes on: `id`, `made` and `until` as its
/// `insert` takes them.
#[must_use]
pub struct Remember {
    /// What names the request, its signature's nonce or its `Idempotency-Key`.
    pub id: ReplayId,
    /// When the request says that it was made, in Unix seconds.
    pub made: u64,
    /// Until when it is to be remembered, in Unix seconds.
    pub until: u64,
    /// Whether one of the verifier's keys signed the request. Strangers can send as many as fill a cache, which then refuses everybody: so
    /// where both kinds come, each has a cache of its own. A request is always of one kind, since it says inside who signs it.
    pub signed: bool,
    then: Then,
}

enum Then {
    Nonce(Arrived),
    Exchange {
        passing: Box<Passing>,
        unadmitted: Box<Unadmitted>,
        content: Vec<u8>,
        rest: Option<ContentOpener>,
    },
    Idempotency(Box<Admitted>),
}

impl Remember {
    /// Goes on with what the cache said: true if the id was not there.
    ///
    /// # Errors
    /// A [`Refusal`], with what to answer.
    pub fn inserted(self, fresh: Result<bool>, now: u64) -> std::result::Result<Check, Refusal> {
        let first = fresh.and_then(|fresh| if fresh { Ok(()) } else { Err(Error::Replayed) });
        match self.then {
            Then::Nonce(arrived) => match first {
                Ok(()) => arrived.check_once(now),
                Err(error) => Err(arrived.passing.refuse(Operation::Verify)(error)),
            },
            Then::Exchange { passing, unadmitted, content, rest } => {
                let refuse = passing.refuse(Operation::Open);
                let idempotency =
                    unadmitted.idempotency_id().filter(|_| passing.gate.rules.enforce_idempotency);
                let (made, until) = (unadmitted.made(), unadmitted.repeated_until());
                let (head, sealer) = first.and_then(|()| unadmitted.admit(true)).map_err(&refuse)?;
                // Step 11: what the app gets. From here on every answer is sealed.
                let length = if rest.is_some() { None } else { Some(content.len()) };
                let head = match passing.inner_head(head, length) {
                    Ok(head) => head,
                    Err(error) => return Err(refuse(error).sealed(Some(sealer))),
                };
                let Passing { verified, key_id, .. } = *passing;
                let (signer, sealer) = (verified.map(|verified| verified.signer), Some(sealer));
                let admitted = Box::new(Admitted { head, content, rest, signer, sealer, key_id });
                Ok(match idempotency {
                    None => Check::Admitted(admitted),
                    Some(id) => {
                        let (signed, then) = (admitted.signer.is_some(), Then::Idempotency(admitted));
                        Check::Remember(Remember { id, made, until, signed, then })
                    }
                })
            }
            Then::Idempotency(admitted) => match first {
                Ok(()) => Ok(Check::Admitted(admitted)),
                Err(error) => Err(admitted.refuse(error)),
            },
        }
    }
}

/// A request that is let in.
#[non_exhaustive]
pub struct Admitted {
    /// What the app is asked. Of an exchange: the inner head, with the path here, `host`, and the length of a content that is here as a whole.
    /// Otherwise the outer one.
    pub head: RequestHead,
    /// Its content, or what has come of it.
    pub content: Vec<u8>,
    /// What opens the rest of the content, of a request that [streams](Gate::stream).
    pub rest: Option<ContentOpener>,
    /// Who signed it.
    pub signer: Option<Signer>,
    /// What seals the app's response, if the request came sealed.
    pub sealer: Option<ResponseSealer>,
    key_id: Option<u8>,
}

impl Admitted {
    /// Which of the service's keys it was sealed to.
    #[must_use]
    pub fn key_id(&self) -> Option<u8> {
        self.key_id
    }

    /// Answers in the app's place, sealed if the request was: what the driver cannot hand on.
    pub fn refuse(self, error: Error) -> Refusal {
        let operation = if self.sealer.is_some() { Operation::Open } else { Operation::Verify };
        Refusal::new(operation, error).with_key(self.key_id).sealed(self.sealer)
    }
}

/// Opens the rest of a request's content while it arrives.
pub struct ContentOpener {
    service: Arc<ExchangeService>,
    opener: Box<RequestOpener>,
}

impl ContentOpener {
    /// Takes the next piece of the outer body and appends what it has of the content.
    ///
    /// # Errors
    /// Those of [`RequestOpener::push`].
    pub fn push(&mut self, piece: &[u8], now: u64, content: &mut Vec<u8>) -> Result<()> {
        self.opener.push(&self.service, piece, now, content)
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// Those of [`RequestOpener::finish`]: then the content was cut off, or altered.
    pub fn finish(mut self, now: u64, content: &mut Vec<u8>) -> Result<()> {
        self.opener.finish(&self.service, now, content)
    }

    fn take_request(&mut self, now: u64) -> Result<Option<Unadmitted>> {
        self.opener.take_request(&self.service, now)
    }
}
