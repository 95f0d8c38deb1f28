//! What comes of a call.

use super::network;
use crate::about::About;
use crate::error::{Error, Result};
use crate::http::call::{PassingAnswer, PassingBody, Received, ReceivedList};
use crate::http::message::{Headers, ResponseHead};
use crate::http::resource::ListItem;
use crate::suite::Signer;
use bytes::Bytes;
use futures_core::Stream;
use reqwest::StatusCode;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// An answer whose protection was verified as its rule demands. Feature `reqwest`.
pub struct Response {
    status: StatusCode,
    head: ResponseHead,
    body: ResponseBody,
    signer: Option<Signer>,
    about: Option<About>,
    /// How much of what is still to come is read as a whole.
    max_body: u64,
}

enum ResponseBody {
    Whole(Vec<u8>),
    List(Vec<ListItem>),
    Passing {
        outer: Box<reqwest::Response>,
        /// Gone after the end.
        body: Option<PassingBody>,
        ready: Vec<u8>,
    },
    /// What failed goes on failing: an end that is reported after an error would look like a complete body.
    Failed(Error),
}

impl Response {
    fn new(head: ResponseHead, body: ResponseBody, max_body: u64) -> Result<Self> {
        let status = StatusCode::from_u16(head.status).map_err(|_| Error::Malformed(&"a status"))?;
        Ok(Self { status, head, body, signer: None, about: None, max_body })
    }

    pub(super) fn whole(received: Received) -> Result<Self> {
        let Received { head, body, signer, about } = received;
        let response = Self::new(head, ResponseBody::Whole(body), u64::MAX)?;
        Ok(Self { signer, about, ..response })
    }

    pub(super) fn passing(answer: PassingAnswer, outer: reqwest::Response) -> Result<Self> {
        let PassingAnswer { head, front, body, max_body } = answer;
        let body = ResponseBody::Passing { outer: Box::new(outer), body: Some(body), ready: front };
        Self::new(head, body, max_body)
    }

    pub(super) async fn list(mut received: ReceivedList) -> Result<Self> {
        let mut list = Vec::new();
        for item in received.by_ref() {
            list.push(item);
            // Thousands of envelopes are seconds of work: others run between, and who has waited enough can stop it.
            let mut yielded = false;
            std::future::poll_fn(|context| {
                if std::mem::replace(&mut yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        Self::new(received.head, ResponseBody::List(list), u64::MAX)
    }

    /// The status: of an exchange the inner one; of a sealed resource what the server says.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Itself, unless its status is one of an error: 400 to 599.
    ///
    /// # Errors
    /// [`StatusError`]. It is no [`Error`]: the app's own answer came, as it was protected.
    pub fn error_for_status(self) -> std::result::Result<Self, StatusError> {
        let is_error = self.status.is_client_error() || self.status.is_server_error();
        if is_error { Err(StatusError(self.status)) } else { Ok(self) }
    }

    /// The fields, likewise.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// Who wrote a sealed resource: one of the rule's senders.
    #[must_use]
    pub fn signer(&self) -> Option<Signer> {
        self.signer
    }

    /// What its writer said about a sealed resource.
    #[must_use]
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// The items of a list of sealed resources, each with what it holds or why it does not open; of another answer, none.
    #[must_use]
    pub fn into_list(mut self) -> Vec<ListItem> {
        self.take_list().unwrap_or_default()
    }

    pub(super) fn take_list(&mut self) -> Option<Vec<ListItem>> {
        if let ResponseBody::List(list) = &mut self.body { Some(std::mem::take(list)) } else { None }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Error::Truncated`] if its end is missing, [`Error::Rejected`] if it was altered, [`Error::TooLarge`] above the client's limit,
    /// [`Error::Misuse`] of a list, which [`Response::into_list`] gives; [`Error::Network`].
    pub async fn bytes(mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if (body.len() + piece.len()) as u64 > self.max_body {
                return Err(Error::TooLarge(&"a response read as a whole: read it by chunks"));
            }
            if body.is_empty() {
                body = piece;
            } else {
                body.extend_from_slice(&piece);
            }
        }
        Ok(body)
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// Those of [`Response::bytes`]; [`Error::Malformed`] if it is not UTF-8.
    pub async fn text(self) -> Result<String> {
        String::from_utf8(self.bytes().await?).map_err(|_| Error::Malformed(&"the body is not UTF-8"))
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    /// Those of [`Response::bytes`]; [`Error::Malformed`] if it is not JSON of this type.
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        serde_json::from_slice(&self.bytes().await?)
            .map_err(|_| Error::Malformed(&"the body is not JSON of this type"))
    }

    /// The next authenticated piece of the body; `None` at its end. Under a streamed rule pieces come while they arrive, **before** the end
    /// was seen: only `None` says that nothing was cut off.
    ///
    /// # Errors
    /// Those of [`Response::bytes`].
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let next = self.next_piece().await;
        if let Err(error) = next {
            self.body = ResponseBody::Failed(error);
        }
        next
    }

    /// The body piece by piece, as [`Response::chunk`] gives it: **only an end without an error says that nothing was cut off**. An error
    /// is the last thing that comes.
    pub fn bytes_stream(self) -> BytesStream {
        BytesStream(Reading::Idle(Some(Box::new(self))))
    }

    /// Whoever stops waiting for it loses nothing.
    async fn next_piece(&mut self) -> Result<Option<Vec<u8>>> {
        match &mut self.body {
            ResponseBody::Whole(body) => Ok(Some(std::mem::take(body)).filter(|body| !body.is_empty())),
            ResponseBody::Passing { outer, body, ready } => loop {
                if !ready.is_empty() {
                    return Ok(Some(std::mem::take(ready)));
                }
                let Some(opening) = body else { return Ok(None) };
                if let Some(piece) = outer.chunk().await.map_err(network)? {
                    opening.push(&piece, ready)?;
                } else if let Some(opening) = body.take() {
                    opening.finish(ready)?;
                }
            },
            ResponseBody::List(_) => Err(Error::Misuse(&"a list is read with into_list")),
            ResponseBody::Failed(error) => Err(*error),
        }
    }
}

/// The body of a [`Response`] as a stream. Feature `reqwest`.
pub struct BytesStream(Reading);

enum Reading {
    /// Gone after the end, or an error.
    Idle(Option<Box<Response>>),
    Waiting(Pin<Box<dyn Future<Output = Read> + Send>>),
}

type Read = (Box<Response>, Result<Option<Vec<u8>>>);

impl Stream for BytesStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.0 {
                Reading::Idle(response) => {
                    let Some(mut response) = response.take() else { return Poll::Ready(None) };
                    self.0 = Reading::Waiting(Box::pin(async move {
                        let next = response.chunk().await;
                        (response, next)
                    }));
                }
                Reading::Waiting(waiting) => {
                    let (response, next) = ready!(waiting.as_mut().poll(context));
                    let goes_on = matches!(next, Ok(Some(_)));
                    self.0 = Reading::Idle(goes_on.then_some(response));
                    return Poll::Ready(next.map(|piece| piece.map(Bytes::from)).transpose());
                }
            }
        }
    }
}

impl std::fmt::Debug for BytesStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BytesStream")
    }
}

/// The status of an answer that [`Response::error_for_status`] takes for an error. Feature `reqwest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusError(pub StatusCode);

impl std::fmt::Display for StatusError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the service answered {}", self.0)
    }
}

impl std::error::Error for StatusError {}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({})", self.head.status)
    }
}
