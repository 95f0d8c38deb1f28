//! What a request has to pass before the app gets it, in the order of SPEC §18.4, and what becomes of the app's answer.

use super::body::{BoxError, LayerBody, boxed, full, opening, sealing};
use super::budget::{Held, next_piece};
use super::convert::{inner_head, inner_request, outer_head, outer_response};
use super::{DEFAULT_MAX_RESPONSE, Demand, OHTTP_GATEWAY_PATH, Published, Sender, Shared, unix_now};
use crate::error::{Error, Result};
use crate::http::encapsulation::Form;
use crate::http::exchange::{
    Arrival, ExchangeService, RequestOpener, ResponseSealer, SealedResponse, Unadmitted,
};
use crate::http::keys::{KEYS_MEDIA_TYPE, KEYS_PATH};
use crate::http::message::{RequestHead, ResponseHead};
use crate::http::observe::{Event, Operation, size_bucket, tell};
use crate::http::pattern::PathPattern;
use crate::http::replay::ReplayId;
use crate::http::signature::{VerifiedBody, VerifiedHead};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use http_body::Body;
use http_body_util::BodyExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

impl Shared {
    pub(super) async fn before_the_app(
        &self,
        request: Request<LayerBody>,
    ) -> std::result::Result<Entry, Refusal> {
        let started = Instant::now();
        if let Some(answer) = self.cors.preflight(&request) {
            return Ok(Entry::Answer(answer.map(|()| full(Bytes::new()))));
        }
        if let Some(answer) = self.publish(&request) {
            return Ok(Entry::Answer(answer));
        }
        let demand = self.demand(request.uri().path());
        if !demand.exchange && !demand.signature {
            return Ok(Entry::Request(Box::new(Entered { request, sealer: None, started, held: None })));
        }
        let mut key_id = None;
        let entered = self.admit(request, demand, started, &mut key_id).await;
        if let Err(refusal) = &entered {
            self.tell(refusal.operation, refusal.error.code(), 0, started, key_id);
        }
        entered
    }

    /// What a path here demands: everything, unless it is excepted.
    fn demand(&self, path: &str) -> Demand {
        let exception = self.exceptions.iter().find(|(pattern, _)| covers(pattern, path));
        let everything = Demand {
            exchange: self.exchanges.is_some(),
            signature: self.verifier.is_some() || self.exchanges.is_none(),
        };
        exception.map_or(everything, |(_, demand)| *demand)
    }

    /// What the layer itself publishes, at paths of the origin's root: whether a gateway in front exchanges prefixes or not.
    fn publish(&self, request: &Request<LayerBody>) -> Option<Response<LayerBody>> {
        let Published { service, identity, next_pins } = self.exchanges.as_ref()?;
        let now = unix_now();
        if service.with_keys(|keys| keys.has_expired(now)) {
            service.change_keys(|keys| keys.forget_expired(now));
        }
        let path = request.uri().path();
        let public = self.url.public_target(path).ok();
        let is_public = |known: &str| public.as_ref().is_some_and(|target| target.path() == known);
        let published =
            [KEYS_PATH, OHTTP_GATEWAY_PATH].into_iter().find(|known| path == *known || is_public(known))?;
        let (media_type, document) = match published {
            KEYS_PATH => {
                let origins = std::slice::from_ref(service.origin());
                let document = service.with_keys(|keys| keys.document(identity, origins, next_pins, now));
                (KEYS_MEDIA_TYPE, document)
            }
            OHTTP_GATEWAY_PATH if service.takes_tunnels() => {
                ("application/ohttp-keys", Ok(service.with_keys(|keys| keys.ohttp_keys(now))))
            }
            _ => return None,
        };
        if request.method() != http::Method::GET {
            return None;
        }
        let mut response = match document {
            Ok(document) => Response::new(full(document)),
            Err(error) => return Some(Refusal { operation: Operation::Open, error }.response()),
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
        Some(response)
    }

    async fn admit(
        &self,
        request: Request<LayerBody>,
        demand: Demand,
        started: Instant,
        key_id: &mut Option<u8>,
    ) -> std::result::Result<Entry, Refusal> {
        let now = unix_now();
        let refuse = |operation| move |error| Refusal { operation, error };
        let (parts, mut outer_body) = request.into_parts();
        let head = outer_head(&self.url.origin, &parts).map_err(refuse(Operation::Open))?;
        let is_empty = outer_body.is_end_stream() || head.headers.text("content-length") == Ok(Some("0"));

        let verified = match (&self.verifier, demand.signature) {
            (None, false) => None,
            (None, true) => return Err(Refusal { operation: Operation::Verify, error: Error::Rejected }),
            (Some(verifier), demanded) => {
                let public = self.url.public_target(head.target.path_and_query());
                let public = public.map(|target| RequestHead { target, ..head.clone() });
                let verified = public.and_then(|head| verifier.verify(&head, !is_empty, now));
                match verified {
                    Err(error) if demanded => return Err(refuse(Operation::Verify)(error)),
                    // Who need not sign may. Whose signature is not good has none, and must not be named inside.
                    verified => verified.ok(),
                }
            }
        };
        let arrival = match &self.exchanges {
            Some(published) => published.service.arrive(&head).map_err(refuse(Operation::Open))?,
            None => Arrival::Plain,
        };
        let mut held = Held::new(&self.budget);
        match (arrival, &self.exchanges) {
            (Arrival::Sealed(opener), Some(published)) => {
                let arriving = Arriving { opener, service: &published.service, verified: verified.as_ref() };
                let (unadmitted, body) = self.open(arriving, outer_body, &mut held, key_id).await?;
                let mut entry = self.let_in(unadmitted, verified, body, &parts, started, key_id).await?;
                if let Entry::Request(entered) = &mut entry {
                    entered.held = Some(held);
                }
                Ok(entry)
            }
            _ if demand.exchange => {
                Err(Refusal { operation: Operation::Open, error: Error::Unsealed { status: 400 } })
            }
            _ => {
                let body = if let Some(verified) = &verified {
                    let mut check = verified.check();
                    let mut body = Vec::new();
                    let read = self.read(&mut outer_body, self.max_body, &mut held, |piece| {
                        body.extend_from_slice(piece);
                        check.push(piece)
                    });
                    read.await.map_err(refuse(Operation::Verify))?;
                    let proved = check.finish().map_err(refuse(Operation::Verify))?;
                    // A beginning proves a body only where the exchange that begins so is opened: behind this gateway.
                    let streams =
                        head.headers.text("content-type") == Ok(Some(Form::Chunked.request_media_type()));
                    if proved == VerifiedBody::Beginning && !(streams && self.exchanges.is_none()) {
                        return Err(Refusal { operation: Operation::Verify, error: Error::Rejected });
                    }
                    full(body)
                } else {
                    outer_body
                };
                self.remember_nonce(verified.as_ref()).await.map_err(refuse(Operation::Verify))?;
                let mut request = Request::from_parts(parts, body);
                if let Some(verified) = verified {
                    request.extensions_mut().insert(Sender(verified.signer));
                }
                self.tell(Operation::Verify, "ok", 0, started, None);
                Ok(Entry::Request(Box::new(Entered { request, sealer: None, started, held: Some(held) })))
            }
        }
    }

    /// Opens an exchange: all of it, or up to where the app may read on.
    async fn open(
        &self,
        arriving: Arriving<'_>,
        mut outer_body: LayerBody,
        held: &mut Held,
        key_id: &mut Option<u8>,
    ) -> std::result::Result<(Unadmitted, LayerBody), Refusal> {
        let Arriving { mut opener, service, verified } = arriving;
        let refuse = |operation| move |error| Refusal { operation, error };
        let mut check = verified.map(VerifiedHead::check);
        let mut content = Vec::new();
        let mut unadmitted = None;
        let deadline = tokio::time::Instant::now() + self.body_timeout;
        while let Some(piece) =
            next_piece(&mut outer_body, deadline).await.map_err(refuse(Operation::Open))?
        {
            held.take(piece.len()).map_err(refuse(Operation::Open))?;
            if let Some(check) = &mut check {
                check.push(&piece).map_err(refuse(Operation::Verify))?;
            }
            opener.push(service, &piece, unix_now(), &mut content).map_err(refuse(Operation::Open))?;
            if unadmitted.is_none() {
                unadmitted = opener.take_request(service, unix_now()).map_err(refuse(Operation::Open))?;
                let streams = opener.form() == Form::Chunked
                    && unadmitted.as_ref().is_some_and(|request| self.may_stream(request, verified));
                if streams && let Some(unadmitted) = unadmitted {
                    *key_id = Some(unadmitted.key_id());
                    if let Some(check) = check {
                        let _proved = check.finish().map_err(refuse(Operation::Verify))?;
                    }
                    return Ok((unadmitted, opening(outer_body, opener, service.clone(), content)));
                }
            }
        }
        if let Some(check) = check {
            let _proved = check.finish().map_err(refuse(Operation::Verify))?;
        }
        opener.finish(service, unix_now(), &mut content).map_err(refuse(Operation::Open))?;
        let last = opener.take_request(service, unix_now()).map_err(refuse(Operation::Open))?;
        let unadmitted =
            unadmitted.or(last).ok_or(Refusal { operation: Operation::Open, error: Error::Truncated })?;
        *key_id = Some(unadmitted.key_id());
        Ok((unadmitted, full(content)))
    }

    /// Whether the app may see the request before all of its body is there.
    fn may_stream(&self, request: &Unadmitted, verified: Option<&VerifiedHead>) -> bool {
        let wanted = self.streamed.iter().any(|pattern| pattern.matches(request.path()).is_some());
        wanted && verified.is_none_or(VerifiedHead::covers_a_stream)
    }

    /// The last checks of an exchange, and the request that the app gets.
    async fn let_in(
        &self,
        unadmitted: Unadmitted,
        verified: Option<VerifiedHead>,
        body: LayerBody,
        outer: &request::Parts,
        started: Instant,
        key_id: &mut Option<u8>,
    ) -> std::result::Result<Entry, Refusal> {
        let now = unix_now();
        let refuse = |operation| move |error| Refusal { operation, error };
        // Step 9 of SPEC §18.4: who signed the outside is who the inside names.
        let signer = verified.as_ref().map(|verified| verified.signer.key_id().to_string());
        unadmitted.check_signer(signer.as_deref()).map_err(refuse(Operation::Verify))?;
        // In a tunnel the outer path said nothing of this one.
        if self.demand(unadmitted.path()).signature && verified.is_none() {
            return Err(Refusal { operation: Operation::Verify, error: Error::Rejected });
        }
        // Step 10: each request once.
        self.remember_nonce(verified.as_ref()).await.map_err(refuse(Operation::Verify))?;
        if now > unadmitted.good_until() {
            // The body has taken its time, and the date has run out meanwhile.
            return Err(Refusal { operation: Operation::Open, error: Error::Expired });
        }
        let (made, until) = (unadmitted.made(), unadmitted.keep_until());
        let repeated_until = unadmitted.repeated_until();
        let idempotency = unadmitted.idempotency_id().filter(|_| self.enforce_idempotency);
        let fresh = self.replay.insert(unadmitted.replay_id(), made, until, now).await;
        let admitted = fresh.and_then(|fresh| unadmitted.admit(fresh));
        let (head, sealer) = admitted.map_err(refuse(Operation::Open))?;
        if let Some(id) = idempotency {
            let first =
                self.replay.insert(id, made, repeated_until, now).await.map_err(refuse(Operation::Open))?;
            if !first {
                self.tell(Operation::Open, Error::Replayed.code(), 0, started, *key_id);
                let mut conflict = Response::new(full(Bytes::new()));
                *conflict.status_mut() = StatusCode::CONFLICT;
                return Ok(Entry::Answer(self.after_the_app(conflict, Some(sealer)).await));
            }
        }
        // Step 11: what the app gets.
        let mut request = inner_request(&head, body).map_err(refuse(Operation::Open))?;
        for pass in &self.passed_extensions {
            pass(&outer.extensions, request.extensions_mut());
        }
        if let Some(verified) = verified {
            request.extensions_mut().insert(Sender(verified.signer));
        }
        for name in &self.passed {
            request.headers_mut().remove(name.as_str());
            for value in outer.headers.get_all(name.as_str()) {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    request.headers_mut().append(name, value.clone());
                }
            }
        }
        self.tell(
            Operation::Open,
            "ok",
            request.body().size_hint().exact().unwrap_or_default(),
            started,
            *key_id,
        );
        Ok(Entry::Request(Box::new(Entered { request, sealer: Some(sealer), started, held: None })))
    }

    /// Refuses a signature that was seen before, or that ran out while the body was arriving.
    async fn remember_nonce(&self, verified: Option<&VerifiedHead>) -> Result<()> {
        let now = unix_now();
        let Some(nonce) = verified.and_then(|verified| verified.nonce) else { return Ok(()) };
        if now > nonce.keep_until {
            return Err(Error::Expired);
        }
        let fresh = self.replay.insert(ReplayId(nonce.id), nonce.created, nonce.keep_until, now).await?;
        if fresh { Ok(()) } else { Err(Error::Replayed) }
    }

    /// Reads a body to its end, within the limits of one and of all.
    async fn read(
        &self,
        body: &mut LayerBody,
        limit: u64,
        held: &mut Held,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let deadline = tokio::time::Instant::now() + self.body_timeout;
        let mut read = 0;
        while let Some(piece) = next_piece(body, deadline).await? {
            read += piece.len() as u64;
            if read > limit {
                return Err(Error::TooLarge("a request's body"));
            }
            held.take(piece.len())?;
            take(&piece)?;
        }
        Ok(())
    }

    /// Seals the app's response, if the request was sealed.
    pub(super) async fn after_the_app<R>(
        &self,
        response: Response<R>,
        sealer: Option<ResponseSealer>,
    ) -> Response<LayerBody>
    where
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let (parts, body) = response.into_parts();
        let Some(sealer) = sealer else { return Response::from_parts(parts, boxed(body)) };
        let head = inner_head(parts.status, &parts.headers);
        let sealed = match (sealer.form(), head) {
            (Form::Chunked, Ok(head)) => {
                let started = sealer.stream(head);
                started.map(|(SealedResponse { head, body: front }, rest)| {
                    (head, sealing(boxed(body), rest, front))
                })
            }
            (_, head) => {
                let limited = http_body_util::Limited::new(
                    body,
                    usize::try_from(DEFAULT_MAX_RESPONSE).unwrap_or(usize::MAX),
                );
                // A body without a head is not waited for: it may have no end.
                let whole = match head {
                    Ok(head) => pin!(limited.collect()).await.ok().map(|body| (head, body.to_bytes())),
                    Err(_) => None,
                };
                let whole = match whole {
                    Some((head, body)) => sealer.seal(head, &body),
                    // The app's answer cannot be sealed; that there is none is said sealed, too.
                    None => ResponseHead::new(500).and_then(|head| sealer.seal(head, &[])),
                };
                whole.map(|sealed| (sealed.head, full(sealed.body)))
            }
        };
        match sealed.and_then(|(head, body)| outer_response(&head, body)) {
            Ok(response) => response,
            Err(error) => Refusal { operation: Operation::Open, error }.response(),
        }
    }

    pub(super) fn tell(
        &self,
        operation: Operation,
        code: &'static str,
        size: u64,
        started: Instant,
        key_id: Option<u8>,
    ) {
        let protection = match (self.exchanges.is_some(), self.verifier.is_some()) {
            (true, true) => "exchange+signature",
            (true, false) => "exchange",
            (false, _) => "signature",
        };
        let size = size_bucket(size);
        let event = Event { operation, code, protection, size, duration: started.elapsed(), key_id };
        tell(self.observer.as_deref(), event);
    }
}

/// What becomes of a request.
pub(super) enum Entry {
    /// It is answered here.
    Answer(Response<LayerBody>),
    /// The app gets it.
    Request(Box<Entered>),
}

pub(super) struct Entered {
    pub(super) request: Request<LayerBody>,
    pub(super) sealer: Option<ResponseSealer>,
    pub(super) started: Instant,
    /// The memory of its body, until it is answered.
    pub(super) held: Option<Held>,
}

/// A request that is not let in.
pub(super) struct Refusal {
    operation: Operation,
    error: Error,
}

impl Refusal {
    pub(super) fn response(&self) -> Response<LayerBody> {
        let (status, problem) = match (self.operation, &self.error) {
            // One answer for unsigned, badly signed and replayed.
            (Operation::Verify, error) if !matches!(error, Error::Store(_) | Error::TooLarge(_)) => {
                (401, "{\"type\":\"about:blank\",\"status\":401}".to_owned())
            }
            (_, error) => ExchangeService::problem(error),
        };
        let mut response = Response::new(full(problem));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == 401 {
            headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Signature"));
        }
        response
    }
}

struct Arriving<'a> {
    opener: Box<RequestOpener>,
    service: &'a Arc<ExchangeService>,
    verified: Option<&'a VerifiedHead>,
}

/// Whether an exception is for this path. What another server behind might resolve to another path (`..`, also in `%2e%2e%2f`) is
/// covered by none, since it would take the exception elsewhere.
fn covers(pattern: &PathPattern, path: &str) -> bool {
    // A path that another server may read as another one is no exception: cut at `;`, decoded once more, climbing.
    let lower = path.to_ascii_lowercase();
    let ambiguous = path.contains([';', '\\'])
        || ["%00", "%25", "%2e", "%2f", "%3b", "%5c"].iter().any(|encoded| lower.contains(encoded))
        || path.split('/').any(|segment| matches!(segment, "." | ".."));
    !ambiguous && pattern.matches(path).is_some()
}
