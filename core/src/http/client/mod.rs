//! A `reqwest::Client` that seals: the same calls, and a policy that says what is done with which URL.

mod response;

pub use response::{BytesStream, Response, StatusError};

use super::call::{Answered, CallRequest, Caller, Outcome, Sending, SendingBody};
use super::exchange::RequestBodySealer;
use super::last_seen::LastSeen;
use super::message::Headers;
use super::observe::Observer;
use super::policy::Policy;
use crate::context::SealContext;
use crate::error::{Error, Result};
use crate::identity::{Identity, Recipient, Unlock};
use bytes::Bytes;
use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Sends requests as a [`Policy`] says: sealed to a service, sealed to people, signed, or not at all.
///
/// Feature `reqwest`. It has `reqwest`'s shape. Cheap to clone; clones share what they know of services' keys. Build the `reqwest::Client` with
/// `redirect(Policy::none())`: an answer from another URL than the one asked is [`Error::Unsealed`], but the request has gone there then.
/// What that client adds by itself, such as default headers and a cookie jar's cookies, travels **outside** of exchanges. Trust on first
/// use needs a [`Client::last_seen`] that outlives the process. Source: SPEC §18 to §21.
///
/// ```no_run
/// # async fn example(policy: sealwire::http::Policy, alice: sealwire::Identity) -> Result<(), Box<dyn std::error::Error>> {
/// use sealwire::http::Client;
///
/// let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
/// let client = Client::new(http, policy).identity(alice);
/// let note = client.get("https://api.example.com/notes/17").send().await?;
/// println!("{} wrote {}", note.signer().unwrap(), note.text().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    caller: Caller,
}

impl Client {
    /// A client that sends through `http` what `policy` allows.
    #[must_use]
    pub fn new(http: reqwest::Client, policy: Policy) -> Self {
        Self { http, caller: Caller::new(policy) }
    }

    /// Signs with this identity, and opens with it what is sealed to it.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Arc<Identity>>) -> Self {
        self.caller = self.caller.identity(identity);
        self
    }

    /// Opens with these keys instead: a [`Keyring`](crate::Keyring) with older identities, say.
    #[must_use]
    pub fn keys(mut self, keys: impl Unlock + Send + 'static) -> Self {
        self.caller = self.caller.keys(keys);
        self
    }

    /// Remembers versions, serials and pins here. Without it they are forgotten with the process.
    #[must_use]
    pub fn last_seen(mut self, seen: LastSeen) -> Self {
        self.caller = self.caller.last_seen(seen);
        self
    }

    /// Tells every call to `observer`.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.caller = self.caller.observer(observer);
        self
    }

    /// How many bytes a response may have that is read as a whole: 64 MiB, unless told otherwise.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.caller = self.caller.max_body(bytes);
        self
    }

    /// A GET.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("GET", url)
    }

    /// A HEAD.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("HEAD", url)
    }

    /// A POST.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("POST", url)
    }

    /// A PUT.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("PUT", url)
    }

    /// A PATCH.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("PATCH", url)
    }

    /// A DELETE.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("DELETE", url)
    }

    /// A request with any method. What is wrong with it is said by [`RequestBuilder::send`].
    pub fn request(&self, method: impl AsRef<str>, url: impl AsRef<str>) -> RequestBuilder {
        // What is no URL here is none there either: the empty text.
        let url = reqwest::Url::parse(url.as_ref()).map(String::from).unwrap_or_default();
        let request = CallRequest::new(method.as_ref(), &url);
        RequestBuilder { client: self.clone(), request, stream: None, timeout: None }
    }

    /// Forgets what is known of services' keys, so that they are fetched anew.
    pub fn forget_service_keys(&self) {
        self.caller.forget_service_keys();
    }
}

/// A request that is being put together. Feature `reqwest`.
#[must_use]
pub struct RequestBuilder {
    client: Client,
    request: CallRequest,
    stream: Option<ByteStream>,
    timeout: Option<Duration>,
}

type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

impl RequestBuilder {
    /// Adds a field.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        self.request = self.request.header(name.as_ref(), value);
        self
    }

    /// Adds `Authorization: Bearer …`. It travels inside an exchange, unless the rule exposes it.
    pub fn bearer_auth(self, token: impl std::fmt::Display) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request = self.request.body(body);
        self
    }

    /// A body that is sent while it is made. The rule has to be for an exchange: what is sealed to people or signed is sent as a whole.
    pub fn body_stream(
        mut self,
        stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        self.request = self.request.streamed();
        self.stream = Some(Box::pin(stream));
        self
    }

    /// The body as JSON, with its content type.
    pub fn json<T: serde::Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Who can read a sealed resource, in place of the rule's recipients: the complete list.
    pub fn to(mut self, recipients: &[Recipient]) -> Self {
        self.request = self.request.to(recipients);
        self
    }

    /// The version of a sealed resource, for readers to compare: count it up with every change. Once the service has taken it, this client
    /// takes no older one, and sends none: [`Error::Rejected`], before anything is sent. What has no version counts as 0, so once a resource
    /// has versions every write of it needs one.
    pub fn version(mut self, version: u64) -> Self {
        self.request = self.request.version(version);
        self
    }

    /// The context of a sealed resource, where the URL does not name its id: a POST to a collection.
    pub fn context(mut self, context: SealContext) -> Self {
        self.request = self.request.context(context);
        self
    }

    /// How long the whole request may take, with the fetching of keys, a repetition and the reading of the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it, as the policy says.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no rule covers the URL, or the request does not fit its rule; [`Error::Unsealed`] for an answer without the
    /// protection that the rule demands; [`Error::Rejected`], [`Error::NotRecipient`], [`Error::Truncated`] and the others of
    /// [`open`](crate::open()) for one that does not open; [`Error::Expired`] and [`Error::InvalidKey`] if the service refuses the
    /// request's date or key (both anybody on the way can claim, so only what may be repeated is); [`Error::Network`].
    pub async fn send(self) -> Result<Response> {
        let (report, started) = (self.client.caller.report(&self.request), Instant::now());
        let sent = self.send_until_done(started).await;
        report.ended(sent.as_ref().err().copied(), started.elapsed());
        sent
    }

    async fn send_until_done(self, started: Instant) -> Result<Response> {
        let Self { client, request, mut stream, timeout } = self;
        let deadline = timeout.and_then(|timeout| started.checked_add(timeout));
        let mut sending = client.caller.call(request, unix_now())?;
        loop {
            let Sending { head, body, awaiting } = sending;
            let body = match body {
                SendingBody::Whole(body) if body.is_empty() => None,
                SendingBody::Whole(body) => Some(reqwest::Body::from(body)),
                SendingBody::Streamed { front, sealer } => {
                    let source = stream.take().ok_or(Error::Misuse(&"a stream is sent once"))?;
                    let sealing = SealingStream { source, sealer: Some(sealer), front };
                    Some(reqwest::Body::wrap_stream(sealing))
                }
            };
            let asked =
                reqwest::Url::parse(&head.target.url()).map_err(|_| Error::Malformed(&"not a URL"))?;
            let method = reqwest::Method::from_bytes(head.method.as_str().as_bytes())
                .map_err(|_| Error::Malformed(&"a method"))?;
            let mut request = client.http.request(method, asked.clone());
            for (name, value) in head.headers.iter() {
                request = request.header(name, value);
            }
            if let Some(body) = body {
                request = request.body(body);
            }
            if let Some(deadline) = deadline {
                let left = deadline.checked_duration_since(Instant::now());
                request = request.timeout(left.ok_or(Error::Network(&"timed out"))?);
            }
            let mut outer = request.send().await.map_err(network)?;
            let mut headers = Headers::new();
            for (name, value) in outer.headers() {
                headers.add(name.as_str(), value)?;
            }
            let mut answer = awaiting.answered(outer.status().as_u16(), headers, *outer.url() != asked)?;
            let outcome = loop {
                match answer {
                    Answered::Passing(passing) => return Response::passing(passing, outer),
                    Answered::Reading(receiving) => {
                        let piece = if receiving.wants_more() { outer.chunk().await } else { Ok(None) };
                        match piece.map_err(network)? {
                            Some(piece) => answer = receiving.push(&piece)?,
                            None => break receiving.finish(unix_now())?,
                        }
                    }
                }
            };
            match outcome {
                Outcome::Again(again) => sending = again,
                Outcome::Done(received) => return Response::whole(received),
                Outcome::List(list) => return Response::list(list).await,
            }
        }
    }
}

/// By value, to fit `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn network(error: reqwest::Error) -> Error {
    if error.is_timeout() {
        Error::Network(&"timed out")
    } else if error.is_connect() {
        Error::Network(&"no connection")
    } else if error.is_body() || error.is_decode() {
        Error::Network(&"the connection broke")
    } else if error.is_builder() {
        Error::Network(&"the request could not be sent")
    } else {
        // The other side may have read all of it, and fallen over after it had done what was asked.
        Error::Network(&"no answer came, and the request may have been carried out")
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seals a stream of bytes while it is sent.
struct SealingStream {
    source: ByteStream,
    /// Gone after the end.
    sealer: Option<RequestBodySealer>,
    front: Vec<u8>,
}

impl Stream for SealingStream {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.front.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.front).into())));
        }
        let Some(mut sealer) = self.sealer.take() else { return Poll::Ready(None) };
        let mut sealed = Vec::new();
        match self.source.as_mut().poll_next(context) {
            Poll::Pending => {
                self.sealer = Some(sealer);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(piece))) => {
                let pushed = sealer.push(&piece, &mut sealed);
                self.sealer = Some(sealer);
                Poll::Ready(Some(pushed.map(|()| sealed.into()).map_err(Into::into)))
            }
            // Without the end, which is not sent, the service says Truncated.
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => {
                Poll::Ready(Some(sealer.finish(&mut sealed).map(|()| sealed.into()).map_err(Into::into)))
            }
        }
    }
}

/// The same client for stacks that are built of tower services (feature `tower`). A response's extensions hold the [`Sender`](super::Sender) of a sealed resource,
/// and the `Vec<ListItem>` of a list.
#[cfg(feature = "tower")]
impl tower_service::Service<http::Request<Bytes>> for Client {
    type Response = http::Response<Bytes>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Bytes>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let mut builder = self.request(parts.method.as_str(), parts.uri.to_string());
        for (name, value) in &parts.headers {
            builder = builder.header(name.as_str(), value.as_bytes());
        }
        if !body.is_empty() {
            builder = builder.body(body);
        }
        Box::pin(async move {
            let mut answer = builder.send().await?;
            let mut response = http::Response::builder().status(answer.status());
            for (name, value) in answer.headers().iter() {
                response = response.header(name, value);
            }
            if let Some(signer) = answer.signer() {
                response = response.extension(super::Sender(signer));
            }
            let body = match answer.take_list() {
                Some(list) => {
                    response = response.extension(list);
                    Bytes::new()
                }
                None => answer.bytes().await?.into(),
            };
            response.body(body).map_err(|_| Error::Malformed(&"a response that HTTP does not take"))
        })
    }
}
