//! The service's side: open a request, check that it is what it claims, seal the response.

use super::{
    CLOCKS, MAX_EXCHANGE_FIELD, NO_STORE, PROBLEM_DATE, PROBLEM_KEY, REPEAT_WITHIN, field, max_sealed, mode,
    read_binary,
};
use crate::error::{Error, Result};
use crate::http::binary::{END, Reader, write_head, write_message};
use crate::http::encapsulation::{
    Arriving, ChunkOpener, ChunkReader, ChunkSealer, ChunkWriter, Form, RequestOpening, ResponseSecret,
};
use crate::http::keys::ServiceKeys;
use crate::http::message::{Method, Origin, PublicUrl, RequestHead, ResponseHead};
use crate::http::replay::ReplayId;
use crate::suite::{ResponseKey, label, sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::UNIX_EPOCH;

/// How far a request's date may be from the service's clock, in seconds, unless told otherwise.
const DEFAULT_WINDOW: u64 = 300;
const DEFAULT_MAX_BODY: u64 = 8 * 1024 * 1024;

/// A service that takes exchanges: its keys, and where everybody outside finds it.
///
/// The public origin and prefix are *configured*: what a request says inside is compared with them, byte for byte, and never with a
/// received `Host`. Source: SPEC §18.
pub struct ExchangeService {
    keys: RwLock<ServiceKeys>,
    key_changes: AtomicU64,
    url: PublicUrl,
    tunnel_path: Option<String>,
    post_carrier: bool,
    coarse_status: bool,
    window: u64,
    max_body: u64,
}

impl ExchangeService {
    /// A service that everybody outside calls `origin`, with these keys.
    #[must_use]
    pub fn new(origin: Origin, keys: ServiceKeys) -> Self {
        Self {
            keys: RwLock::new(keys),
            key_changes: AtomicU64::new(0),
            url: PublicUrl::new(origin),
            tunnel_path: None,
            post_carrier: false,
            coarse_status: false,
            window: DEFAULT_WINDOW,
            max_body: DEFAULT_MAX_BODY,
        }
    }

    /// The keys are still published at the origin's root, so the gateway has to hand `/.well-known/sealwire-keys` on, too.
    ///
    /// Says that a gateway in front replaces `public` at the start of the path by `local`: `"/api"` and `""`, say.
    #[must_use]
    pub fn mounted(mut self, public: &str, local: &str) -> Self {
        self.url = self.url.mounted(public, local);
        self
    }

    /// Also takes tunnelled exchanges, at this path.
    #[must_use]
    pub fn tunnel(mut self, path: &str) -> Self {
        self.tunnel_path = Some(path.into());
        self
    }

    /// Also takes requests without a body that travel as POST.
    #[must_use]
    pub fn post_carrier(mut self) -> Self {
        self.post_carrier = true;
        self
    }

    /// Shows the class of the inner status (`2xx`) outside, in `Sealwire-Status`, so that a gateway can count failures.
    #[must_use]
    pub fn coarse_status(mut self) -> Self {
        self.coarse_status = true;
        self
    }

    /// How far a request's date may be from this clock: 300 s, unless told otherwise. Replays are remembered for twice as long.
    #[must_use]
    pub fn window(mut self, seconds: u64) -> Self {
        self.window = seconds;
        self
    }

    /// How many bytes the body of a request may have: 8 MiB, unless told otherwise.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Where everybody outside finds the service.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.url.origin
    }

    pub(crate) fn url(&self) -> &PublicUrl {
        &self.url
    }

    pub(crate) fn takes_tunnels(&self) -> bool {
        self.tunnel_path.is_some()
    }

    /// Reads the keys: to publish them, or to save them.
    pub fn with_keys<T>(&self, read: impl FnOnce(&ServiceKeys) -> T) -> T {
        read(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the keys while the service runs: rotates them, or takes those that another process has rotated.
    pub fn change_keys<T>(&self, change: impl FnOnce(&mut ServiceKeys) -> T) -> T {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // First, so that nobody takes what was there before for what is there now, whatever `change` does.
        self.key_changes.fetch_add(1, Ordering::SeqCst);
        change(&mut keys)
    }

    /// How often the keys were changed: what was made of them before the number grew is out of date.
    pub(crate) fn key_changes(&self) -> u64 {
        self.key_changes.load(Ordering::SeqCst)
    }

    /// Looks at the head of an outer request, whose target is as it was received (path and query count, the origin does not).
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::TooLarge`] for an exchange field that is not one, or one beside a sealed body.
    pub fn arrive(&self, outer: &RequestHead) -> Result<Arrival> {
        let in_field = outer.headers.text(field::EXCHANGE)?;
        let in_body = match outer.headers.text("content-type")? {
            Some(found) => {
                [Form::Whole, Form::Chunked].into_iter().find(|form| form.request_media_type() == found)
            }
            None => None,
        };
        let (form, front) = match (in_field, in_body) {
            (None, None) => return Ok(Arrival::Plain),
            (None, Some(form)) => (form, Vec::new()),
            (Some(_), Some(_)) => return Err(Error::Malformed(&"an exchange in a field and in the body")),
            (Some(value), None) => {
                if value.len() > MAX_EXCHANGE_FIELD {
                    return Err(Error::TooLarge(&"an exchange field has at most 6 KiB"));
                }
                match value.strip_suffix(";chunked") {
                    Some(value) => (Form::Chunked, read_binary(value)?),
                    None => (Form::Whole, read_binary(value)?),
                }
            }
        };
        let mut codings = outer.headers.all("content-encoding").chain(outer.headers.all("range"));
        if codings.next().is_some() {
            return Err(Error::Malformed(&"an exchange with a content coding or a range"));
        }
        let tunnel = self.tunnel_path.as_deref() == Some(outer.target.path());
        if tunnel && (in_field.is_some() || outer.method.as_str() != "POST") {
            return Err(Error::Malformed(&"a tunnelled exchange is the body of a POST"));
        }
        let opener = RequestOpener {
            outer: Outer {
                tunnel,
                in_field: in_field.is_some(),
                method: outer.method.clone(),
                path: outer.target.path().into(),
                query: outer.target.query().map(Into::into),
            },
            form,
            field: front,
            state: State::Head(Arriving::new(form)),
            reader: Reader::new(self.max_body),
            received: 0,
            arrived: None,
        };
        Ok(Arrival::Sealed(Box::new(opener)))
    }

    /// What the service answers, in clear, to a request that it refused: status, and the body of an `application/problem+json`. It says
    /// why only for the two cases in which an honest client can do something about it.
    #[must_use]
    pub fn problem(error: &Error) -> (u16, String) {
        let (status, kind) = match error {
            Error::InvalidKey(_) => (400, PROBLEM_KEY),
            Error::Expired => (400, PROBLEM_DATE),
            Error::TooLarge(_) => (413, "about:blank"),
            Error::Store(_) => (503, "about:blank"),
            _ => (400, "about:blank"),
        };
        (status, format!("{{\"type\":\"{kind}\",\"status\":{status}}}"))
    }
}

/// What an outer request is.
pub enum Arrival {
    /// No exchange: whether it may pass is for the caller to say, and no by default.
    Plain,
    /// An exchange, to be opened.
    Sealed(Box<RequestOpener>),
}

/// What of the outer request the inner one is compared with.
struct Outer {
    tunnel: bool,
    in_field: bool,
    method: Method,
    path: String,
    query: Option<String>,
}

impl Outer {
    /// Steps 4 to 6 of SPEC §18.4: the inner request is for what the outer one is for, and travels as it says.
    fn check(&self, inner: &RequestHead, service: &ExchangeService) -> Result<()> {
        let mode = inner.headers.text(field::MODE)?;
        let as_claimed = if self.tunnel {
            // Others' clients do not know the field.
            mode.is_none_or(|mode| mode == mode::TUNNEL)
        } else {
            self.is_same_method(inner.method.as_str(), mode, service.post_carrier)
                && service.url.public_target(&self.path)?.path() == inner.target.path()
                && (self.query.is_none() || self.query.as_deref() == inner.target.query())
        };
        if as_claimed && *inner.target.origin() == service.url.origin { Ok(()) } else { Err(Error::Rejected) }
    }

    fn is_same_method(&self, inner: &str, mode: Option<&str>, post_carrier: bool) -> bool {
        match (mode, self.method.as_str()) {
            (Some(mode::IN_PLACE), "GET") => matches!(inner, "GET" | "HEAD"),
            (Some(mode::IN_PLACE), outer) => inner == outer,
            (Some(mode::IN_PLACE_POST), "POST") => {
                post_carrier && matches!(inner, "GET" | "HEAD" | "OPTIONS" | "DELETE")
            }
            _ => false,
        }
    }
}

/// Step 7 of SPEC §18.4: when the request was made, if that is within the window of now.
fn made(inner: &RequestHead, window: u64, now: u64) -> Result<u64> {
    let date = inner.headers.text("date")?.ok_or(Error::Expired)?;
    // One text per date: IMF-fixdate, none of the obsolete forms.
    let made = httpdate::parse_http_date(date).ok().filter(|made| httpdate::fmt_http_date(*made) == date);
    let made = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok()).ok_or(Error::Expired)?.as_secs();
    if made.abs_diff(now) <= window { Ok(made) } else { Err(Error::Expired) }
}

/// Opens a request that arrives in pieces.
pub struct RequestOpener {
    outer: Outer,
    form: Form,
    /// The encapsulation, if it came in a field.
    field: Vec<u8>,
    state: State,
    reader: Reader<RequestHead>,
    /// How many bytes of the outer body have come.
    received: u64,
    /// What the request's key gave, until the head is taken.
    arrived: Option<(ResponseSecret, [u8; 32], u8)>,
}

enum State {
    Head(Arriving),
    Whole { opening: RequestOpening, sealed: Vec<u8> },
    Chunks(ChunkReader<RequestOpening>),
    Finished,
    Failed,
}

const OVER: Error = Error::Misuse(&"the request has failed or ended before");

impl RequestOpener {
    /// Whether the exchange travels in a field, so that no body follows.
    #[must_use]
    pub fn is_in_field(&self) -> bool {
        self.outer.in_field
    }

    /// In which form it is.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Takes the next piece of the outer body and appends what it has of the inner body to `content`. An exchange in a field takes
    /// no pieces.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for a key that the service does not have (any more), [`Error::Rejected`] for what does not open,
    /// [`Error::TooLarge`], [`Error::Malformed`], [`Error::Unsupported`]; after one, every further call is [`Error::Misuse`].
    pub fn push(
        &mut self,
        service: &ExchangeService,
        piece: &[u8],
        now: u64,
        content: &mut Vec<u8>,
    ) -> Result<()> {
        if self.outer.in_field && !piece.is_empty() {
            self.state = State::Failed;
            return Err(Error::Malformed(&"a body beside an exchange in a field"));
        }
        self.feed(service, piece, now, content)
    }

    fn feed(
        &mut self,
        service: &ExchangeService,
        mut piece: &[u8],
        now: u64,
        content: &mut Vec<u8>,
    ) -> Result<()> {
        let mut state = std::mem::replace(&mut self.state, State::Failed);
        // Also what is no content counts: zeros behind the message, chunks of one byte.
        self.received = self.received.saturating_add(piece.len() as u64);
        if self.received > service.max_body.saturating_mul(2).saturating_add(1024 * 1024) {
            return Err(Error::TooLarge(&"a request"));
        }
        if let State::Head(mut arriving) = state {
            // The KEM works without the lock.
            let arrived = arriving.push(&mut piece, |name| service.with_keys(|keys| keys.find(name, now)))?;
            state = match arrived {
                None => State::Head(arriving),
                Some(arrived) => {
                    self.arrived = Some((arrived.secret, arrived.id, arrived.key_id));
                    match self.form {
                        Form::Whole => State::Whole { opening: arrived.opening, sealed: Vec::new() },
                        Form::Chunked => State::Chunks(ChunkReader::new(arrived.opening)),
                    }
                }
            };
        }
        match &mut state {
            State::Head(_) => {}
            State::Whole { sealed, .. } => {
                if (sealed.len() + piece.len()) as u64 > max_sealed(service.max_body) {
                    return Err(Error::TooLarge(&"a request"));
                }
                sealed.extend_from_slice(piece);
            }
            State::Chunks(chunks) => {
                content.reserve(piece.len());
                chunks.push(piece, |opened| self.reader.push(opened, content))?;
            }
            State::Finished | State::Failed => return Err(OVER),
        }
        self.state = state;
        Ok(())
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the end was cut off, and those of [`RequestOpener::push`].
    pub fn finish(&mut self, service: &ExchangeService, now: u64, content: &mut Vec<u8>) -> Result<()> {
        if self.outer.in_field {
            let field = std::mem::take(&mut self.field);
            self.feed(service, &field, now, content)?;
        }
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Head(_) => return Err(Error::Truncated),
            State::Whole { mut opening, mut sealed } => {
                self.reader.push(opening.open_chunk(&[], &mut sealed)?, content)?;
            }
            State::Chunks(chunks) => chunks.finish(|opened| self.reader.push(opened, content))?,
            State::Finished | State::Failed => return Err(OVER),
        }
        self.reader.finish()?;
        self.state = State::Finished;
        Ok(())
    }

    /// The request, as soon as its head is here, checked against the outer one; once. It must still be admitted.
    ///
    /// In the chunked form the body may still be under way: dispatch nothing that has an effect before [`RequestOpener::finish`] has
    /// said that all of it was there.
    ///
    /// # Errors
    /// [`Error::Rejected`] if it is not what the outer request claims: another mode, origin, path, query or method;
    /// [`Error::Expired`] for a date that is not of now; [`Error::Misuse`] after a failure.
    pub fn take_request(&mut self, service: &ExchangeService, now: u64) -> Result<Option<Unadmitted>> {
        if matches!(self.state, State::Failed) {
            return Err(OVER);
        }
        let Some(mut head) = self.reader.take_head() else { return Ok(None) };
        let (secret, id, key_id) = self.arrived.take().ok_or(Error::Truncated)?;
        self.outer.check(&head, service)?;
        let made = made(&head, service.window, now)?;
        let signer = head.headers.text(field::SIGNER)?.map(Into::into);
        let idempotency_key = head.headers.one(field::IDEMPOTENCY_KEY)?;
        // What has no effect twice needs no memory, which is everybody's.
        let idempotency = idempotency_key.filter(|_| !head.method.is_safe()).map(|key| {
            let method = head.method.as_str().as_bytes();
            let path = head.target.path().as_bytes();
            ReplayId(sha256(&[label::IDEMPOTENCY_KEY, &sha256(&[method]), &sha256(&[path]), key]))
        });
        head.headers.remove_prefixed(field::RESERVED);
        head.target = service.url.local_target(head.target.path_and_query())?;
        let head_request = head.method.as_str() == "HEAD";
        Ok(Some(Unadmitted {
            head,
            replay: ReplayId(id),
            idempotency,
            made,
            // The request is good until the window's last second, and the ids are to be there in that second.
            good_until: made.saturating_add(service.window),
            keep_until: now.saturating_add(service.window.saturating_mul(2)),
            repeated_until: made.saturating_add(service.window).saturating_add(REPEAT_WITHIN + CLOCKS),
            signer,
            key_id,
            response: ResponseSealer { secret, coarse_status: service.coarse_status, head_request },
        }))
    }
}

/// A request that is what it claims to be. Whether it was seen before is not known yet.
pub struct Unadmitted {
    head: RequestHead,
    replay: ReplayId,
    idempotency: Option<ReplayId>,
    made: u64,
    good_until: u64,
    keep_until: u64,
    repeated_until: u64,
    signer: Option<String>,
    key_id: u8,
    response: ResponseSealer,
}

impl Unadmitted {
    /// What to insert into the [`ReplayCache`](crate::http::ReplayCache) before the request is dispatched.
    #[must_use]
    pub fn replay_id(&self) -> ReplayId {
        self.replay
    }

    /// The same for the request's `Idempotency-Key` (with its method and path), if it has one and its method is none of GET, HEAD and
    /// OPTIONS.
    #[must_use]
    pub fn idempotency_id(&self) -> Option<ReplayId> {
        self.idempotency
    }

    /// When the client says that it made the request, in Unix seconds; within the window of now.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Until when it may be let in, in Unix seconds: its body may have taken its time to arrive.
    #[must_use]
    pub fn good_until(&self) -> u64 {
        self.good_until
    }

    /// Until when its replay id has to be remembered.
    #[must_use]
    pub fn keep_until(&self) -> u64 {
        self.keep_until
    }

    /// Until when its idempotency id has to be remembered: as long as a client may repeat it.
    #[must_use]
    pub fn repeated_until(&self) -> u64 {
        self.repeated_until
    }

    /// The path that it is for, here.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.target.path()
    }

    /// Which of the service's keys it was sealed to.
    #[must_use]
    pub fn key_id(&self) -> u8 {
        self.key_id
    }

    /// Requires that who signed the outer request is who the inner one names, or that both are nobody: otherwise somebody could
    /// sign a request of somebody else's as their own, or strip its signature.
    ///
    /// # Errors
    /// [`Error::Rejected`] if they differ.
    pub fn check_signer(&self, verified: Option<&str>) -> Result<()> {
        if self.signer.as_deref() == verified { Ok(()) } else { Err(Error::Rejected) }
    }

    /// Lets the request in, given the cache's answer: `fresh` if it was inserted just now.
    ///
    /// # Errors
    /// [`Error::Replayed`] if it was there before.
    pub fn admit(self, fresh: bool) -> Result<(RequestHead, ResponseSealer)> {
        if fresh { Ok((self.head, self.response)) } else { Err(Error::Replayed) }
    }
}

/// Seals the response to one admitted request; once.
pub struct ResponseSealer {
    secret: ResponseSecret,
    coarse_status: bool,
    head_request: bool,
}

/// A sealed response: what is sent.
pub struct SealedResponse {
    /// The outer head: always status 200.
    pub head: ResponseHead,
    /// The outer body.
    pub body: Vec<u8>,
}

impl ResponseSealer {
    /// In which form the response has to be: that of the request.
    #[must_use]
    pub fn form(&self) -> Form {
        self.secret.form()
    }

    /// Seals a response whose body is here.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system gives no randomness.
    pub fn seal(self, head: ResponseHead, body: &[u8]) -> Result<SealedResponse> {
        if self.form() == Form::Chunked {
            let (mut response, mut rest) = self.stream(head)?;
            rest.push(body, &mut response.body)?;
            rest.finish(&mut response.body)?;
            return Ok(response);
        }
        let outer = self.outer(&head)?;
        let message = write_message(&self.inner(head), body);
        let (mut out, mut key) = self.secret.start_response()?;
        key.seal_chunk(&[], &[&message], &mut out)?;
        Ok(SealedResponse { head: outer, body: out })
    }

    /// Seals a response whose body follows in pieces, to a request in the chunked form: its front, and what seals the rest.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the request was in the whole form; [`Error::Unsupported`] if the system gives no randomness.
    pub fn stream(self, head: ResponseHead) -> Result<(SealedResponse, BodySealer)> {
        if self.form() == Form::Whole {
            return Err(Error::Misuse(&"the response to a whole request is whole"));
        }
        let mut outer = self.outer(&head)?;
        outer.headers.set("incremental", "?1")?;
        // nginx holds pieces back until a buffer is full, unless it is told so; it does not pass this on.
        outer.headers.set("x-accel-buffering", "no")?;
        let message = write_head(&self.inner(head));
        let (mut front, key) = self.secret.start_response()?;
        let mut writer = ChunkWriter::new(key);
        writer.push(&message, &mut front)?;
        Ok((SealedResponse { head: outer, body: front }, BodySealer { writer }))
    }

    fn inner(&self, mut head: ResponseHead) -> ResponseHead {
        head.headers.remove_prefixed(field::RESERVED);
        if !self.head_request {
            head.headers.remove("content-length");
        }
        head
    }

    fn outer(&self, inner: &ResponseHead) -> Result<ResponseHead> {
        let mut outer = ResponseHead::new(200)?;
        outer.headers.add("content-type", self.form().response_media_type())?;
        outer.headers.add("cache-control", NO_STORE)?;
        if self.coarse_status {
            outer.headers.add(field::STATUS, format!("{}xx", inner.status / 100))?;
        }
        Ok(outer)
    }
}

/// Seals the body of a response, piece by piece. Each piece can be read at once on the other side.
pub struct BodySealer {
    writer: ChunkWriter<ResponseKey>,
}

impl BodySealer {
    /// Appends the sealed form of the next piece to `out`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after 2^64 chunks.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.writer.push_content(piece, out)
    }

    /// Appends the end. Without it the client says [`Error::Truncated`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] after 2^64 chunks.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish(&END, out)
    }
}
