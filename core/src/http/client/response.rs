//! What comes of a call.

use super::network;
use crate::about::About;
use crate::error::{Error, Result};
use crate::http::call::{PassingAnswer, PassingBody, Received, ReceivedList};
use crate::http::message::{Headers, ResponseHead};
use crate::http::resource::ListItem;
use crate::suite::Signer;
use std::task::Poll;

/// An answer whose protection was verified as its rule demands.
pub struct Response {
    head: ResponseHead,
    body: ResponseBody,
    signer: Option<Signer>,
    about: Option<About>,
    pub(super) list: Vec<ListItem>,
    /// How much of what is still to come is read as a whole.
    max_body: u64,
}

enum ResponseBody {
    Whole(Vec<u8>),
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
    pub(super) fn whole(received: Received) -> Self {
        let Received { head, body, signer, about } = received;
        let body = ResponseBody::Whole(body);
        Self { head, body, signer, about, list: Vec::new(), max_body: u64::MAX }
    }

    pub(super) fn passing(answer: PassingAnswer, outer: reqwest::Response) -> Self {
        let PassingAnswer { head, front, body, max_body } = answer;
        let body = ResponseBody::Passing { outer: Box::new(outer), body: Some(body), ready: front };
        Self { head, body, signer: None, about: None, list: Vec::new(), max_body }
    }

    pub(super) async fn list(mut received: ReceivedList) -> Self {
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
        Self { list, ..Self::whole(Received::new(received.head, Vec::new())) }
    }

    /// The status: of an exchange the inner one; of a sealed resource what the server says.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
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

    /// The items of a list of sealed resources, each with what it holds or why it does not open.
    #[must_use]
    pub fn into_list(self) -> Vec<ListItem> {
        self.list
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Error::Truncated`] if its end is missing, [`Error::Rejected`] if it was altered, [`Error::TooLarge`] above the client's limit, [`Error::Network`].
    pub async fn bytes(mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if (body.len() + piece.len()) as u64 > self.max_body {
                return Err(Error::TooLarge("a response read as a whole: read it by chunks"));
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
        String::from_utf8(self.bytes().await?).map_err(|_| Error::Malformed("the body is not UTF-8"))
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    /// Those of [`Response::bytes`]; [`Error::Malformed`] if it is not JSON of this type.
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        serde_json::from_slice(&self.bytes().await?)
            .map_err(|_| Error::Malformed("the body is not JSON of this type"))
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
            ResponseBody::Failed(error) => Err(*error),
        }
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({})", self.head.status)
    }
}
