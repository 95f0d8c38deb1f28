//! Drives the gate with a body, a clock, a replay cache and the memory there is; and what becomes of the app's answer.

use super::body::{BoxError, LayerBody, boxed, full, opening, sealing};
use super::budget::{Held, next_piece};
use super::convert::{inner_head, inner_request, outer_response, verified_fields};
use super::{Sender, Shared, unix_now};
use crate::error::Result;
use crate::http::encapsulation::Form;
use crate::http::exchange::{ResponseSealer, SealedResponse};
use crate::http::gate::{
    Admitted, Answer, Arrived, Arriving, Check, Entering, MAX_RESPONSE, Progress, Refusal,
};
use crate::http::message::ResponseHead;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, request};
use http_body::Body;
use http_body_util::BodyExt;
use std::pin::pin;
use std::time::Instant;

impl Shared {
    pub(super) async fn before_the_app(
        &self,
        request: Request<LayerBody>,
        started: Instant,
    ) -> std::result::Result<Entry, Refusal> {
        let (parts, mut body) = request.into_parts();
        let fields: Vec<_> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let has_body = !body.is_end_stream();
        let arriving = match self.gate.enter(parts.method.as_str(), target, &fields, has_body, unix_now())? {
            Entering::Answer(answer) => return Ok(Entry::Answer(answer_response(answer))),
            Entering::Plain => {
                let request = Request::from_parts(parts, body);
                return Ok(Entry::Request(Box::new(Entered { request, sealer: None, held: None })));
            }
            Entering::Body(arriving) => arriving,
        };
        let mut held = Held::new(&self.budget, arriving.is_signed());
        let arrived = self.read(arriving, &mut body, &mut held).await?;
        let admitted = self.check(arrived).await?;
        let request = match self.request(&admitted, parts) {
            Ok(request) => request,
            Err(error) => return Err(admitted.refuse(error)),
        };
        self.gate.tell_admitted(&admitted, started.elapsed());
        let Admitted { content, rest, sealer, .. } = *admitted;
        let body = match rest {
            None => full(content),
            Some(rest) => opening(body, rest, content, self.body_timeout),
        };
        let request = request.map(|()| body);
        Ok(Entry::Request(Box::new(Entered { request, sealer, held: Some(held) })))
    }

    /// Reads a body: all of it, or up to where the app may read on.
    async fn read(
        &self,
        mut arriving: Arriving,
        body: &mut LayerBody,
        held: &mut Held,
    ) -> std::result::Result<Arrived, Refusal> {
        let deadline = tokio::time::Instant::now() + self.body_timeout;
        loop {
            let piece = match next_piece(body, deadline).await {
                Ok(Some(piece)) => held.take(piece.len()).map(|()| Some(piece)),
                ended => ended,
            };
            match piece {
                Err(error) => return Err(arriving.refuse(error)),
                Ok(None) => return arriving.finish(unix_now()),
                Ok(Some(piece)) => match arriving.push(&piece, unix_now())? {
                    Progress::More(more) => arriving = more,
                    Progress::Enough(arrived) => return Ok(arrived),
                },
            }
        }
    }

    async fn check(&self, arrived: Arrived) -> std::result::Result<Box<Admitted>, Refusal> {
        let mut check = arrived.check(unix_now())?;
        loop {
            check = match check {
                Check::Admitted(admitted) => return Ok(admitted),
                Check::Remember(remember) => {
                    let (id, made, until) = (remember.id, remember.made, remember.until);
                    let cache = if remember.signed { &self.replay } else { &self.replay_unsigned };
                    let fresh = cache.insert(id, made, until, unix_now()).await;
                    remember.inserted(fresh, unix_now())?
                }
            }
        }
    }

    /// What the app gets, but for the body.
    fn request(&self, admitted: &Admitted, mut outer: request::Parts) -> Result<Request<()>> {
        let mut request = if admitted.sealer.is_some() {
            let mut request = inner_request(&admitted.head)?;
            for pass in &self.passed_extensions {
                pass(&outer.extensions, request.extensions_mut());
            }
            request
        } else {
            let headers = verified_fields(&admitted.head)?;
            outer.headers = headers;
            Request::from_parts(outer, ())
        };
        if let Some(signer) = admitted.signer {
            request.extensions_mut().insert(Sender(signer));
        }
        Ok(request)
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
                let limited =
                    http_body_util::Limited::new(body, usize::try_from(MAX_RESPONSE).unwrap_or(usize::MAX));
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
        // Only without randomness, and then there is nothing to say.
        sealed.and_then(|(head, body)| outer_response(&head, body)).unwrap_or_else(|_| failed())
    }
}

pub(super) fn answer_response(answer: Answer) -> Response<LayerBody> {
    outer_response(&answer.head, full(answer.body)).unwrap_or_else(|_| failed())
}

fn failed() -> Response<LayerBody> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
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
    /// The memory of its body, until it is answered.
    pub(super) held: Option<Held>,
}
