//! A `reqwest::Client` that seals: the same calls, and a policy that says what is done with which URL.

use super::exchange::{
    Problem, REPEAT_WITHIN, RequestSealer, ResponseOpener, ResponseStream, SealedHead, SealedRequest,
    refuse_reserved,
};
use super::keys::{KEYS_MEDIA_TYPE, KEYS_PATH, KeyConfig, MAX_DOCUMENT, TrustedKeys};
use super::last_seen::LastSeen;
use super::message::{Headers, Method, Origin, RequestHead, ResponseHead, Target};
use super::observe::{Event, Observer, Operation, size_bucket, tell};
use super::policy::{Policy, Rule, ServiceTrust};
use super::resource::{ENVELOPE_MEDIA_TYPE, ListItem, remember};
use super::signature::{RequestSigner, SignedBody};
use crate::about::About;
use crate::context::SealContext;
use crate::error::{Error, Result};
use crate::identity::{Identity, Recipient, Unlock};
use crate::opener::SignedBy;
use crate::store::MemoryStore;
use crate::suite::{Signer, random_array};
use bytes::Bytes;
use futures_core::Stream;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many bytes a response may have that is read as a whole, unless told otherwise.
const DEFAULT_MAX_BODY: u64 = 64 * 1024 * 1024;

/// Sends requests as a [`Policy`] says: sealed to a service, sealed to people, signed, or not at all.
///
/// It has `reqwest`'s shape. Cheap to clone; clones share what they know of services' keys. Build the `reqwest::Client` with
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
    policy: Arc<Policy>,
    identity: Option<Arc<Identity>>,
    keys: Option<Arc<dyn Unlock + Send + Sync>>,
    seen: LastSeen,
    services: Arc<Mutex<BTreeMap<Origin, TrustedKeys>>>,
    observer: Option<Arc<dyn Observer>>,
    max_body: u64,
}

impl Client {
    /// A client that sends through `http` what `policy` allows.
    #[must_use]
    pub fn new(http: reqwest::Client, policy: Policy) -> Self {
        Self {
            http,
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
    pub fn keys(mut self, keys: impl Unlock + Send + Sync + 'static) -> Self {
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

    /// A GET.
    pub fn get(&self, url: &str) -> RequestBuilder {
        self.request("GET", url)
    }

    /// A HEAD.
    pub fn head(&self, url: &str) -> RequestBuilder {
        self.request("HEAD", url)
    }

    /// A POST.
    pub fn post(&self, url: &str) -> RequestBuilder {
        self.request("POST", url)
    }

    /// A PUT.
    pub fn put(&self, url: &str) -> RequestBuilder {
        self.request("PUT", url)
    }

    /// A PATCH.
    pub fn patch(&self, url: &str) -> RequestBuilder {
        self.request("PATCH", url)
    }

    /// A DELETE.
    pub fn delete(&self, url: &str) -> RequestBuilder {
        self.request("DELETE", url)
    }

    /// A request with any method. What is wrong with it is said by [`RequestBuilder::send`].
    pub fn request(&self, method: &str, url: &str) -> RequestBuilder {
        let head = Method::new(method).and_then(|method| Ok(RequestHead::new(method, target(url)?)));
        RequestBuilder { client: self.clone(), head, body: Body::None, with: With::default() }
    }

    /// Forgets what is known of services' keys, so that they are fetched anew.
    pub fn forget_service_keys(&self) {
        self.services.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A URL's origin, path and query. Fragments are not sent; a user name is refused, since it would go into logs.
fn target(url: &str) -> Result<Target> {
    let url = reqwest::Url::parse(url).map_err(|_| Error::Malformed("not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Misuse("a URL with a user name: use the authorization field"));
    }
    let origin = Origin::parse(&url.origin().ascii_serialization())?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Target::new(origin, &format!("{}{query}", url.path()))
}

/// A request that is being put together.
#[must_use]
pub struct RequestBuilder {
    client: Client,
    head: Result<RequestHead>,
    body: Body,
    with: With,
}

/// What a request has besides its head and body.
#[derive(Default)]
struct With {
    recipients: Option<Vec<Recipient>>,
    version: Option<u64>,
    context: Option<SealContext>,
    timeout: Option<Duration>,
    /// When the timeout is over; set when sending begins.
    deadline: Option<Instant>,
}

type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

enum Body {
    None,
    Whole(Vec<u8>),
    Stream(ByteStream),
}

impl RequestBuilder {
    /// Adds a field.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with_head(|head| head.headers.add(name, value));
        self
    }

    /// Adds `Authorization: Bearer …`. It travels inside an exchange, unless the rule exposes it.
    pub fn bearer_auth(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// A body that is sent while it is made. The rule has to be for an exchange: what is sealed to people or signed is sent as a whole.
    pub fn body_stream(
        mut self,
        stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        self.body = Body::Stream(Box::pin(stream));
        self
    }

    /// The body as JSON, with its content type.
    pub fn json(mut self, body: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = Body::Whole(bytes),
            Err(_) => self.head = Err(Error::Misuse("the body cannot be written as JSON")),
        }
        self.with_head(|head| head.headers.set("content-type", "application/json"));
        self
    }

    /// Who can read a sealed resource, in place of the rule's recipients: the complete list.
    pub fn to(mut self, recipients: &[Recipient]) -> Self {
        self.with.recipients = Some(recipients.to_vec());
        self
    }

    /// The version of a sealed resource, for readers to compare: count it up with every change. Once the service has taken it, this client
    /// takes no older one; [`Error::Rejected`] then says that a higher one was seen before, and that readers will refuse what was sent.
    pub fn version(mut self, version: u64) -> Self {
        self.with.version = Some(version);
        self
    }

    /// The context of a sealed resource, where the URL does not name its id: a POST to a collection.
    pub fn context(mut self, context: SealContext) -> Self {
        self.with.context = Some(context);
        self
    }

    /// How long the whole request may take, with the fetching of keys, a repetition and the reading of the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.with.timeout = Some(timeout);
        self
    }

    fn with_head(&mut self, change: impl FnOnce(&mut RequestHead) -> Result<()>) {
        if let Ok(head) = &mut self.head
            && let Err(error) = change(head)
        {
            self.head = Err(error);
        }
    }

    /// Sends it, as the policy says.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no rule covers the URL, or the request does not fit its rule; [`Error::Unsealed`] for an answer without the
    /// protection that the rule demands; [`Error::Rejected`], [`Error::NotRecipient`], [`Error::Truncated`] and the others of
    /// [`open`](crate::open()) for one that does not open; [`Error::Expired`] and [`Error::InvalidKey`] if the service refuses the
    /// request's date or key (both anybody on the way can claim, so only what may be repeated is); [`Error::Network`].
    pub async fn send(self) -> Result<Response> {
        let (client, started) = (self.client.clone(), Instant::now());
        let size = if let Body::Whole(body) = &self.body { body.len() as u64 } else { 0 };
        let mut protection = "none";
        let sent = self.send_by_rule(&mut protection).await;
        let code = sent.as_ref().map_or_else(Error::code, |_| "ok");
        let event = Event {
            operation: Operation::Call,
            code,
            protection,
            size: size_bucket(size),
            duration: started.elapsed(),
            key_id: None,
        };
        tell(client.observer.as_deref(), event);
        sent
    }

    async fn send_by_rule(self, protection: &mut &'static str) -> Result<Response> {
        let Self { client, head, body, mut with } = self;
        let mut head = head?;
        with.deadline = with.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let policy = client.policy.clone();
        let (rule, params) = policy.find(&head.target)?;
        *protection = protection_of(rule);
        let mut sealed = None;
        let mut body = body;
        if let Some(resource) = &rule.resource {
            let context = match &with.context {
                Some(context) => Some(context.clone()),
                None if resource.is_list() => None,
                None => Some(resource.context(&params)?),
            };
            body = client.seal_body(rule, &mut head, body, context.as_ref(), &with)?;
            sealed = Some(context);
        }
        let sent = match (&rule.exchange, body) {
            (None, Body::Stream(_)) => return Err(Error::Misuse("only an exchange has a streamed body")),
            (None, body) => client.send_plain(rule, head.clone(), body, &with).await?,
            (Some(_), Body::Stream(stream)) => {
                client.stream_exchange(rule, head.clone(), stream, &with).await?
            }
            (Some(_), body) => client.exchange(rule, head.clone(), &whole(body), &with).await?,
        };
        match sealed {
            None => Ok(sent),
            Some(context) => client.open_resource(rule, &head, context, with.version, sent).await,
        }
    }
}

/// Under a rule that says `idempotent`, what could have an effect twice carries a key, unless the app gave it one.
fn add_idempotency_key(rule: &Rule, head: &mut RequestHead) -> Result<()> {
    if rule.idempotent && !head.method.is_safe() && head.headers.one("idempotency-key")?.is_none() {
        let key = crate::envelope::to_text(&random_array::<16>()?);
        head.headers.add("idempotency-key", format!("\"{key}\""))?;
    }
    Ok(())
}

fn whole(body: Body) -> Vec<u8> {
    if let Body::Whole(bytes) = body { bytes } else { Vec::new() }
}

fn protection_of(rule: &Rule) -> &'static str {
    match (rule.resource.is_some(), rule.exchange.is_some(), rule.signed) {
        (false, false, false) => "none",
        (false, false, true) => "signature",
        (false, true, false) => "exchange",
        (false, true, true) => "exchange+signature",
        (true, false, false) => "envelope",
        (true, false, true) => "envelope+signature",
        (true, true, false) => "envelope+exchange",
        (true, true, true) => "envelope+exchange+signature",
    }
}

impl Client {
    fn signer(&self) -> Result<&Identity> {
        self.identity.as_deref().ok_or(Error::Misuse("the rule signs, and the client has no identity"))
    }

    fn unlock(&self) -> Result<&dyn Unlock> {
        let identity = self.identity.as_deref().map(|identity| identity as &dyn Unlock);
        let keys = self.keys.as_deref().map(|keys| keys as &dyn Unlock);
        keys.or(identity).ok_or(Error::Misuse("the rule opens, and the client has no identity"))
    }

    /// Seals as the rule says, and names who will sign the outside.
    fn sealer<'r>(&self, rule: &'r Rule, config: &'r KeyConfig) -> Result<RequestSealer<'r>> {
        let carriage = rule.exchange.as_ref().ok_or(Error::Misuse("no exchange"))?;
        let sealer = RequestSealer::new(config, carriage);
        Ok(if rule.signed { sealer.signed_by(&self.signer()?.signer().key_id().to_string()) } else { sealer })
    }

    /// Signs what is sent, if the rule says so.
    fn sign(&self, rule: &Rule, head: &mut RequestHead, body: SignedBody<'_>, now: u64) -> Result<()> {
        if rule.signed { RequestSigner::new(self.signer()?).sign(head, body, now) } else { Ok(()) }
    }

    /// The envelope in the body's place.
    fn seal_body(
        &self,
        rule: &Rule,
        head: &mut RequestHead,
        body: Body,
        context: Option<&SealContext>,
        with: &With,
    ) -> Result<Body> {
        let (Some(resource), Body::Whole(plaintext)) = (&rule.resource, &body) else {
            return match body {
                Body::Stream(_) => Err(Error::Misuse("a sealed resource is sent as a whole")),
                body => Ok(body),
            };
        };
        let context = context.ok_or(Error::Misuse("give a request to a collection its context"))?;
        let content_type = head.headers.text("content-type")?.map(ToOwned::to_owned);
        let recipients = with.recipients.as_deref();
        let sealed = resource.seal_body(
            plaintext,
            content_type.as_deref(),
            self.signer()?,
            context,
            recipients,
            with.version,
        )?;
        head.headers.set("content-type", ENVELOPE_MEDIA_TYPE)?;
        Ok(Body::Whole(sealed))
    }

    async fn open_resource(
        &self,
        rule: &Rule,
        head: &RequestHead,
        context: Option<SealContext>,
        version: Option<u64>,
        sent: Response,
    ) -> Result<Response> {
        let resource = rule.resource.as_ref().ok_or(Error::Misuse("no resource"))?;
        let response_head = sent.head.clone();
        let wrote = !head.method.is_safe()
            && (200..300).contains(&response_head.status)
            && head.headers.text("content-type")? == Some(ENVELOPE_MEDIA_TYPE);
        // Before anything else of the answer: a server that took the write cannot go on serving what was there before.
        if let (true, Some(context), Some(version)) = (wrote, &context, version) {
            remember(&self.seen, context, version)?;
        }
        let body = sent.bytes().await?;
        if head.method.as_str() == "GET" && resource.is_list() {
            let mut items = Vec::new();
            for entry in resource.read_list(&response_head, &body)? {
                items.push(resource.open_entry(entry, &response_head, self.unlock()?, &self.seen));
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
            return Ok(Response { list: items, ..Response::whole(response_head, Vec::new()) });
        }
        let is_envelope = head.method.as_str() != "HEAD"
            && response_head.headers.text("content-type")? == Some(ENVELOPE_MEDIA_TYPE);
        match context {
            Some(context) if head.method.as_str() == "GET" || is_envelope => {
                let opened =
                    resource.open_body(&response_head, &body, self.unlock()?, &context, &self.seen)?;
                let signer = match opened.signer {
                    SignedBy::Verified(signer) => Some(signer),
                    SignedBy::Unsigned => None,
                };
                let mut response = Response::whole(response_head, opened.plaintext);
                if let Some(content_type) = &opened.about.content_type {
                    response.head.headers.set("content-type", content_type)?;
                }
                Ok(Response { signer, about: Some(opened.about), ..response })
            }
            // What a server says to a write is its own word: its status counts, its body is not passed on.
            _ => Ok(Response::whole(response_head, Vec::new())),
        }
    }

    async fn send_plain(
        &self,
        rule: &Rule,
        mut head: RequestHead,
        body: Body,
        with: &With,
    ) -> Result<Response> {
        let body = whole(body);
        refuse_reserved(&head.headers)?;
        self.sign(rule, &mut head, SignedBody::Whole(&body), unix_now())?;
        let (head, outer) = self.transmit(head, reqwest::Body::from(body), with).await?;
        let body = ResponseBody::Plain(outer);
        Ok(Response { body, max_body: self.max_body, ..Response::whole(head, Vec::new()) })
    }

    async fn exchange(
        &self,
        rule: &Rule,
        mut head: RequestHead,
        body: &[u8],
        with: &With,
    ) -> Result<Response> {
        add_idempotency_key(rule, &mut head)?;
        let began = unix_now();
        let safe = matches!(head.method.as_str(), "GET" | "HEAD");
        let mut first = true;
        loop {
            let config = self.service_key(head.target.origin(), with).await?;
            // The date that is sealed decides: fetching keys may have taken any time, and whoever kept the first attempt's answer
            // back may have had it dispatched, and its key forgotten.
            let now = unix_now();
            if !first && !safe && now > began.saturating_add(REPEAT_WITHIN) {
                return Err(problem_error(Problem::UnknownKey));
            }
            let mut sealer = self.sealer(rule, &config)?;
            if rule.streamed {
                sealer = sealer.chunked();
            }
            let (SealedRequest { head: mut outer, body: sealed }, opener) =
                sealer.seal(head.clone(), body, now)?;
            self.sign(rule, &mut outer, SignedBody::Whole(&sealed), now)?;
            let (answer, outer) = self.transmit(outer, reqwest::Body::from(sealed), with).await?;
            match self.problem(&answer, outer).await? {
                Ok(outer) => return self.open_exchange(rule, opener, answer, outer).await,
                Err(problem) => {
                    self.forget(problem, head.target.origin(), &config);
                    if !first || !(safe || rule.idempotent) || problem == Problem::Date {
                        return Err(problem_error(problem));
                    }
                    first = false;
                }
            }
        }
    }

    async fn stream_exchange(
        &self,
        rule: &Rule,
        mut head: RequestHead,
        body: ByteStream,
        with: &With,
    ) -> Result<Response> {
        add_idempotency_key(rule, &mut head)?;
        let config = self.service_key(head.target.origin(), with).await?;
        let (origin, now) = (head.target.origin().clone(), unix_now());
        let (SealedHead { head: mut outer, front, body: rest }, opener) =
            self.sealer(rule, &config)?.stream(head, now)?;
        self.sign(rule, &mut outer, SignedBody::Streamed, now)?;
        let sealing = SealingStream { source: body, sealer: Some(rest), front };
        let (answer, outer) = self.transmit(outer, reqwest::Body::wrap_stream(sealing), with).await?;
        match self.problem(&answer, outer).await? {
            Ok(outer) => self.open_exchange(rule, opener, answer, outer).await,
            Err(problem) => {
                self.forget(problem, &origin, &config);
                Err(problem_error(problem))
            }
        }
    }

    /// Forgets the key that the service does not know, unless another call has fetched a new one meanwhile.
    fn forget(&self, problem: Problem, origin: &Origin, used: &KeyConfig) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if problem == Problem::UnknownKey && services.get(origin).is_some_and(|keys| keys.is_key(used)) {
            services.remove(origin);
        }
    }

    /// The outer response, or the problem that it states.
    async fn problem(
        &self,
        answer: &ResponseHead,
        outer: reqwest::Response,
    ) -> Result<std::result::Result<reqwest::Response, Problem>> {
        if answer.status != 400 {
            return Ok(Ok(outer));
        }
        let unsealed = Error::Unsealed { status: answer.status };
        let body = read_limited(outer, 4096).await.map_err(|error| match error {
            Error::TooLarge(_) => unsealed,
            error => error,
        })?;
        Problem::of(answer, &body).map(Err).ok_or(unsealed)
    }

    async fn open_exchange(
        &self,
        rule: &Rule,
        opener: ResponseOpener,
        answer: ResponseHead,
        mut outer: reqwest::Response,
    ) -> Result<Response> {
        if !rule.streamed {
            let opener = opener.max_body(self.max_body);
            let mut stream = opener.stream(&answer)?;
            let mut content = Vec::new();
            while let Some(piece) = outer.chunk().await.map_err(network)? {
                stream.push(&piece, &mut content)?;
            }
            let taken = stream.take_head();
            let head = stream.finish(&mut content)?.or(taken).ok_or(Error::Truncated)?;
            return Ok(Response::whole(head, content));
        }
        let mut stream = opener.max_body(u64::MAX).stream(&answer)?;
        let mut ready = Vec::new();
        loop {
            if let Some(head) = stream.take_head() {
                let body =
                    ResponseBody::Stream { outer: Box::new(outer), stream: Some(Box::new(stream)), ready };
                return Ok(Response { body, max_body: self.max_body, ..Response::whole(head, Vec::new()) });
            }
            match outer.chunk().await.map_err(network)? {
                Some(piece) => stream.push(&piece, &mut ready)?,
                None => {
                    let head = stream.finish(&mut ready)?.ok_or(Error::Truncated)?;
                    return Ok(Response::whole(head, ready));
                }
            }
        }
    }

    /// Sends an outer request; an answer from elsewhere is none.
    async fn transmit(
        &self,
        head: RequestHead,
        body: reqwest::Body,
        with: &With,
    ) -> Result<(ResponseHead, reqwest::Response)> {
        let url = format!("{}{}", head.target.origin(), head.target.path_and_query());
        let asked = reqwest::Url::parse(&url).map_err(|_| Error::Malformed("not a URL"))?;
        let method = reqwest::Method::from_bytes(head.method.as_str().as_bytes())
            .map_err(|_| Error::Malformed("a method"))?;
        let mut request = self.http.request(method, asked.clone());
        for (name, value) in head.headers.iter() {
            request = request.header(name, value);
        }
        if let Some(deadline) = with.deadline {
            let left = deadline.checked_duration_since(Instant::now());
            request = request.timeout(left.ok_or(Error::Network("timed out"))?);
        }
        let has_body = body.as_bytes().is_none_or(|bytes| !bytes.is_empty());
        if has_body {
            request = request.body(body);
        }
        let outer = request.send().await.map_err(network)?;
        let status = outer.status().as_u16();
        if *outer.url() != asked || outer.status().is_redirection() && status != 304 {
            return Err(Error::Unsealed { status });
        }
        let mut answer = ResponseHead::new(status).map_err(|_| Error::Unsealed { status })?;
        for (name, value) in outer.headers() {
            answer.headers.add(name.as_str(), value)?;
        }
        Ok((answer, outer))
    }

    /// The key to seal to: the one that is known, or what the service publishes.
    async fn service_key(&self, origin: &Origin, with: &With) -> Result<KeyConfig> {
        let pins = match self.policy.trust(origin)? {
            ServiceTrust::Keys(keys) => return keys.config(unix_now()).cloned(),
            ServiceTrust::Pins(pins) => pins,
        };
        let known = self.services.lock().unwrap_or_else(PoisonError::into_inner).get(origin).cloned();
        if let Some(Ok(config)) = known.as_ref().map(|keys| keys.config(unix_now())) {
            return Ok(config.clone());
        }
        let mut head = RequestHead::new(Method::new("GET")?, Target::new(origin.clone(), KEYS_PATH)?);
        // A copy on the way may be what the service has just refused.
        head.headers.set("cache-control", "no-cache")?;
        let (answer, outer) = self.transmit(head, reqwest::Body::from(Vec::new()), with).await?;
        if answer.status != 200 || answer.headers.text("content-type")? != Some(KEYS_MEDIA_TYPE) {
            return Err(Error::Unsealed { status: answer.status });
        }
        let document = read_limited(outer, MAX_DOCUMENT).await?;
        let keys = TrustedKeys::verify(&document, origin, pins, &self.seen, unix_now())?;
        let config = keys.config(unix_now())?.clone();
        self.services.lock().unwrap_or_else(PoisonError::into_inner).insert(origin.clone(), keys);
        Ok(config)
    }
}

fn problem_error(problem: Problem) -> Error {
    match problem {
        Problem::UnknownKey => {
            Error::InvalidKey("the service says that it has no such key: call again to fetch its keys")
        }
        Problem::Date => Error::Expired,
    }
}

async fn read_limited(mut outer: reqwest::Response, limit: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = outer.chunk().await.map_err(network)? {
        if body.len() + piece.len() > limit {
            return Err(Error::TooLarge("a response"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// By value, to fit `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn network(error: reqwest::Error) -> Error {
    if error.is_timeout() {
        Error::Network("timed out")
    } else if error.is_connect() {
        Error::Network("no connection")
    } else if error.is_body() || error.is_decode() {
        Error::Network("the connection broke")
    } else {
        Error::Network("the request could not be sent")
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seals a stream of bytes while it is sent.
struct SealingStream {
    source: ByteStream,
    /// Gone after the end.
    sealer: Option<super::exchange::RequestBodySealer>,
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

/// An answer whose protection was verified as its rule demands.
pub struct Response {
    head: ResponseHead,
    body: ResponseBody,
    signer: Option<Signer>,
    about: Option<About>,
    list: Vec<ListItem>,
    /// How much of what is still to come is read as a whole.
    max_body: u64,
}

enum ResponseBody {
    Whole(Vec<u8>),
    /// Of a rule that says `in_the_clear`.
    Plain(reqwest::Response),
    Stream {
        outer: Box<reqwest::Response>,
        /// Gone after the end.
        stream: Option<Box<ResponseStream>>,
        ready: Vec<u8>,
    },
    /// What failed goes on failing: an end that is reported after an error would look like a complete body.
    Failed(Error),
}

impl Response {
    fn whole(head: ResponseHead, body: Vec<u8>) -> Self {
        let body = ResponseBody::Whole(body);
        Self { head, body, signer: None, about: None, list: Vec::new(), max_body: u64::MAX }
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
            ResponseBody::Plain(outer) => {
                Ok(outer.chunk().await.map_err(network)?.map(|piece| piece.to_vec()))
            }
            ResponseBody::Stream { outer, stream, ready } => loop {
                if !ready.is_empty() {
                    return Ok(Some(std::mem::take(ready)));
                }
                let Some(opening) = stream else { return Ok(None) };
                if let Some(piece) = outer.chunk().await.map_err(network)? {
                    opening.push(&piece, ready)?;
                } else if let Some(opening) = stream.take() {
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

/// The same client for stacks that are built of tower services. A response's extensions hold the [`Sender`](super::Sender) of a sealed resource,
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
        let mut builder = self.request(parts.method.as_str(), &parts.uri.to_string());
        for (name, value) in &parts.headers {
            builder = builder.header(name.as_str(), value.as_bytes());
        }
        if !body.is_empty() {
            builder = builder.body(body);
        }
        Box::pin(async move {
            let answer = builder.send().await?;
            let mut response = http::Response::builder().status(answer.status());
            for (name, value) in answer.headers().iter() {
                response = response.header(name, value);
            }
            if let Some(signer) = answer.signer() {
                response = response.extension(super::Sender(signer));
            }
            if !answer.list.is_empty() {
                response = response.extension(answer.list.clone());
            }
            let body = answer.bytes().await?.into();
            response.body(body).map_err(|_| Error::Malformed("a response that HTTP does not take"))
        })
    }
}
