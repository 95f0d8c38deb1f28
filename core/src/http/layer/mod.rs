//! A tower layer for servers and gateways: opens exchanges, verifies signatures, and lets nothing else in.

mod body;
mod cors;

pub use body::{BoxError, LayerBody};

use super::encapsulation::Form;
use super::exchange::{
    Arrival, ExchangeService, RequestOpener, ResponseSealer, SealedResponse, Unadmitted, describes_message,
};
use super::keys::{KEYS_MEDIA_TYPE, KEYS_PATH};
use super::message::{Headers, Method, Origin, PublicUrl, RequestHead, ResponseHead, Target};
use super::observe::{Event, Observer, Operation, size_bucket, tell};
use super::pattern::PathPattern;
use super::replay::{MemoryReplayCache, ReplayCache, ReplayId};
use super::signature::{OriginKeys, RequestVerifier, VerifiedBody, VerifiedHead};
use crate::error::{Error, Result};
use crate::identity::{Identity, Pin as IdentityPin};
use crate::suite::Signer;
use body::{OpeningBody, SealingBody, boxed, full};
use bytes::{Buf, Bytes};
use cors::Cors;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use http_body::Body;
use http_body_util::BodyExt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where others' Oblivious HTTP clients look for a gateway's keys (RFC 9540).
const OHTTP_GATEWAY_PATH: &str = "/.well-known/ohttp-gateway";
/// How much of all bodies together is held at a time, in units of 4 KiB: 256 MiB.
const BUDGET: usize = 65_536;
const BUDGET_UNIT: usize = 4096;
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_MAX_BODY: u64 = 8 * 1024 * 1024;
const DEFAULT_MAX_RESPONSE: u64 = 64 * 1024 * 1024;
/// How many requests the default replay cache remembers: of the order of 100 MB when full.
const DEFAULT_REPLAY_CAPACITY: usize = 1_000_000;

/// Who sent a request, in its extensions, if it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender(pub Signer);

/// Opens exchanges and verifies signatures in front of an app, and refuses what is neither.
///
/// Wrap the whole app in it, not single routes: a tunnelled request comes to another path than it is for.
/// Everything is demanded everywhere, unless a path is excepted by name. Requests are refused with an `application/problem+json` that does
/// not say why. Memory for bodies is bounded over all requests together (256 MiB). Source: SPEC §18 to §21.
///
/// **Behind nginx** everything that looks at method and path works as it is: routing, `limit_req`, logs. Requests need
/// `location = /.well-known/sealwire-keys` to come here, and fit into the header buffers that nginx has anyway (the longest field is 6 KiB, its
/// buffers 8 KiB). If it takes a prefix off the path, say so with [`ExchangeService::mounted`]. Raise `client_max_body_size` (1 MiB) to what the
/// app takes. **Where responses are streamed set `proxy_buffering off`**: nginx before 1.29.7 asks apps by HTTP/1.0 unless told otherwise, and
/// holds events back until a buffer is full. `X-Accel-Buffering` from the app does not help: it is inside.
///
/// ```
/// use sealwire::{Identity, http::{ExchangeService, Origin, OriginPolicy, RequestVerifier, SealwireLayer, ServiceKeys}};
///
/// # let now = 1_750_000_000;
/// # let (service, alice) = (Identity::generate()?, Identity::generate()?);
/// let keys = ServiceKeys::generate(now)?;
/// let exchanges = ExchangeService::new(Origin::parse("https://api.example.com")?, keys);
/// let layer = SealwireLayer::exchanges(exchanges, service)
///     .verify(RequestVerifier::new(vec![alice.signer()], OriginPolicy::default()))
///     .plain("/health")?;
/// // let app = layer.layer(router);
/// # let _ = layer;
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone)]
pub struct SealwireLayer {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    url: PublicUrl,
    exchanges: Option<Published>,
    verifier: Option<Arc<dyn Verify>>,
    replay: Arc<dyn ReplayCache>,
    exceptions: Vec<(PathPattern, Demand)>,
    streamed: Vec<PathPattern>,
    enforce_idempotency: bool,
    cors: Cors,
    passed: Vec<String>,
    passed_extensions: Vec<fn(&http::Extensions, &mut http::Extensions)>,
    body_timeout: Duration,
    max_body: u64,
    observer: Option<Arc<dyn Observer>>,
    budget: Arc<Semaphore>,
}

#[derive(Clone)]
struct Published {
    service: Arc<ExchangeService>,
    identity: Arc<Identity>,
    next_pins: Vec<IdentityPin>,
}

/// What a path demands.
#[derive(Clone, Copy)]
struct Demand {
    exchange: bool,
    signature: bool,
}

/// A [`RequestVerifier`] with any keys.
trait Verify: Send + Sync {
    fn verify(&self, head: &RequestHead, has_body: bool, now: u64) -> Result<VerifiedHead>;
}

impl<K: OriginKeys + Send + Sync> Verify for RequestVerifier<K> {
    fn verify(&self, head: &RequestHead, has_body: bool, now: u64) -> Result<VerifiedHead> {
        self.verify_head(head, has_body, now)
    }
}

impl SealwireLayer {
    /// Opens exchanges, and publishes the service's keys, signed by its identity, at [`KEYS_PATH`].
    #[must_use]
    pub fn exchanges(service: ExchangeService, identity: Identity) -> Self {
        let url = service.url().clone();
        let published =
            Published { service: Arc::new(service), identity: identity.into(), next_pins: Vec::new() };
        Self::with(url, Some(published))
    }

    /// Verifies signatures only: for a gateway, or for a service that only stores. It holds no key that decrypts. Give it a verifier
    /// with [`SealwireLayer::verify`]; without one it refuses everything.
    #[must_use]
    pub fn gateway(origin: Origin) -> Self {
        Self::with(PublicUrl::new(origin), None)
    }

    fn with(url: PublicUrl, exchanges: Option<Published>) -> Self {
        let shared = Shared {
            url,
            exchanges,
            verifier: None,
            replay: Arc::new(MemoryReplayCache::new(DEFAULT_REPLAY_CAPACITY, unix_now())),
            exceptions: Vec::new(),
            streamed: Vec::new(),
            enforce_idempotency: false,
            cors: Cors::default(),
            passed: Vec::new(),
            passed_extensions: Vec::new(),
            body_timeout: DEFAULT_BODY_TIMEOUT,
            max_body: DEFAULT_MAX_BODY,
            observer: None,
            budget: Arc::new(Semaphore::new(BUDGET)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Changes this layer's own copy: apps that are wrapped already, and clones, stay as they are.
    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }

    /// Demands a signature on every request, by one of the verifier's keys.
    #[must_use]
    pub fn verify<K: OriginKeys + Send + Sync + 'static>(self, verifier: RequestVerifier<K>) -> Self {
        self.change(|shared| shared.verifier = Some(Arc::new(verifier)))
    }

    /// Remembers requests here, in place of this process's memory: needed as soon as there are two processes.
    #[must_use]
    pub fn replay(self, cache: Arc<dyn ReplayCache>) -> Self {
        self.change(|shared| shared.replay = cache)
    }

    /// **Lets requests for this path in as they are**: `/health`, say. Paths are as they come here; patterns as in a [`Rule`](super::Rule).
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn plain(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: false, signature: false })
    }

    /// Lets requests for this path in without an exchange, but signed: where the service only stores envelopes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn signed_only(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: false, signature: true })
    }

    /// Lets exchanges for this path in from anybody, unsigned. Who signs is verified, and the app has a [`Sender`].
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn unsigned(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: true, signature: false })
    }

    fn except(self, pattern: &str, demand: Demand) -> Result<Self> {
        let pattern = PathPattern::parse(pattern)?;
        Ok(self.change(|shared| shared.exceptions.push((pattern, demand))))
    }

    /// Hands requests for this path on while their body arrives. **The app then acts on a body that may turn out to be cut off**: it
    /// has to undo what it did if the body ends in an error.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no pattern.
    pub fn stream(self, pattern: &str) -> Result<Self> {
        let pattern = PathPattern::parse(pattern)?;
        Ok(self.change(|shared| shared.streamed.push(pattern)))
    }

    /// Refuses a second request with the same `Idempotency-Key`, so that clients may repeat what they do not know the outcome of
    /// ([`Rule::idempotent`](super::Rule::idempotent)). The answer is 409, sealed.
    #[must_use]
    pub fn enforce_idempotency_keys(self) -> Self {
        self.change(|shared| shared.enforce_idempotency = true)
    }

    /// Lets pages of these web origins call the service from browsers.
    #[must_use]
    pub fn allow_origins(self, origins: &[&str]) -> Self {
        self.change(|shared| shared.cors = Cors(origins.iter().map(ToString::to_string).collect()))
    }

    /// Hands these outer fields on to the app, in place of inner ones: what your own gateway adds, such as `x-request-id`. Nothing else of the
    /// outside of an exchange reaches the app. `forwarded`, `x-real-ip` and `x-forwarded-…` come to it in this way only, never from inside.
    /// Fields that describe the outer message itself, such as `content-length`, are left out.
    #[must_use]
    pub fn pass_outer(self, names: &[&str]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase());
        self.change(|shared| shared.passed = names.filter(|name| !describes_message(name)).collect())
    }

    /// Hands this extension of the outer request on to the app, such as the peer's address that the server found. Others stay outside, since
    /// some hold the outer URI.
    #[must_use]
    pub fn pass_extension<T: Clone + Send + Sync + 'static>(self) -> Self {
        self.change(|shared| {
            shared.passed_extensions.push(|outer, inner| {
                if let Some(extension) = outer.get::<T>() {
                    inner.insert(extension.clone());
                }
            });
        })
    }

    /// How long a body may take to arrive, where it is held: 30 s, unless told otherwise.
    #[must_use]
    pub fn body_timeout(self, timeout: Duration) -> Self {
        self.change(|shared| shared.body_timeout = timeout)
    }

    /// How many bytes the body of a request without an exchange may have: 8 MiB, unless told otherwise. For exchanges see
    /// [`ExchangeService::max_body`].
    #[must_use]
    pub fn max_body(self, bytes: u64) -> Self {
        self.change(|shared| shared.max_body = bytes)
    }

    /// Publishes that these identities may sign the service's keys, too.
    #[must_use]
    pub fn next_pins(self, pins: &[IdentityPin]) -> Self {
        self.change(|shared| {
            if let Some(published) = &mut shared.exchanges {
                published.next_pins = pins.to_vec();
            }
        })
    }

    /// Tells every request, and every refusal, to `observer`.
    #[must_use]
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.change(|shared| shared.observer = Some(observer))
    }

    /// The service whose exchanges are opened: to rotate its keys while it runs.
    #[must_use]
    pub fn service(&self) -> Option<Arc<ExchangeService>> {
        self.shared.exchanges.as_ref().map(|published| published.service.clone())
    }

    /// Puts the layer around an app.
    #[must_use]
    pub fn layer<S>(&self, inner: S) -> SealwireService<S> {
        SealwireService { shared: self.shared.clone(), inner }
    }
}

impl<S> tower_layer::Layer<S> for SealwireLayer {
    type Service = SealwireService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Self::layer(self, inner)
    }
}

/// An app with a [`SealwireLayer`] around it.
#[derive(Clone)]
pub struct SealwireService<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S, B, R> tower_service::Service<Request<B>> for SealwireService<S>
where
    S: tower_service::Service<Request<LayerBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<LayerBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let shared = self.shared.clone();
        let request = request.map(|body| {
            boxed(body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))))
        });
        Box::pin(async move {
            let page = request.headers().get(http::header::ORIGIN).cloned();
            let mut response = match shared.before_the_app(request).await {
                Ok(Entry::Answer(response)) => response,
                Ok(Entry::Request(entered)) => {
                    let Entered { request, sealer, started, held } = *entered;
                    let response = inner.call(request).await?;
                    drop(held);
                    let status = response.status();
                    let response = shared.after_the_app(response, sealer).await;
                    shared.tell(
                        Operation::Serve,
                        if status.is_server_error() { "app" } else { "ok" },
                        0,
                        started,
                        None,
                    );
                    response
                }
                Err(refusal) => refusal.response(),
            };
            shared.cors.allow(page.as_ref(), response.headers_mut());
            Ok(response)
        })
    }
}

/// What becomes of a request.
enum Entry {
    /// It is answered here.
    Answer(Response<LayerBody>),
    /// The app gets it.
    Request(Box<Entered>),
}

struct Entered {
    request: Request<LayerBody>,
    sealer: Option<ResponseSealer>,
    started: Instant,
    /// The memory of its body, until it is answered.
    held: Option<Held>,
}

/// A request that is not let in.
struct Refusal {
    operation: Operation,
    error: Error,
}

impl Refusal {
    fn response(&self) -> Response<LayerBody> {
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

impl Shared {
    async fn before_the_app(&self, request: Request<LayerBody>) -> std::result::Result<Entry, Refusal> {
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
        let head = self.outer_head(&parts).map_err(refuse(Operation::Open))?;
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
        let mut held = Held::new(self);
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

    /// The outer request as it came: with the path here, and without an origin that anybody claims.
    fn outer_head(&self, parts: &request::Parts) -> Result<RequestHead> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let target = Target::new(self.url.origin.clone(), path)?;
        let mut head = RequestHead::new(Method::new(parts.method.as_str())?, target);
        let mut cookies = Vec::new();
        for (name, value) in &parts.headers {
            // HTTP/2 may send cookies in pieces (RFC 9113 §8.2.3).
            if name == http::header::COOKIE {
                cookies.push(value.as_bytes());
            } else {
                head.headers.add(name.as_str(), value.as_bytes())?;
            }
        }
        if !cookies.is_empty() {
            head.headers.add("cookie", cookies.join(&b"; "[..]))?;
        }
        Ok(head)
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
                    let body = OpeningBody {
                        outer: outer_body,
                        opener: Some(opener),
                        service: service.clone(),
                        ready: content,
                    };
                    return Ok((unadmitted, boxed(body)));
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
        let signer = verified.as_ref().map(|verified| verified.signer.key_id().to_string());
        unadmitted.check_signer(signer.as_deref()).map_err(refuse(Operation::Verify))?;
        // In a tunnel the outer path said nothing of this one.
        if self.demand(unadmitted.path()).signature && verified.is_none() {
            return Err(Refusal { operation: Operation::Verify, error: Error::Rejected });
        }
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
    async fn after_the_app<R>(
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
                sealer.stream(head).map(|(SealedResponse { head, body: front }, rest)| {
                    let body = SealingBody { inner: boxed(body), sealer: Some(rest), front };
                    (head, boxed(body))
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

    fn tell(
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

struct Arriving<'a> {
    opener: Box<RequestOpener>,
    service: &'a Arc<ExchangeService>,
    verified: Option<&'a VerifiedHead>,
}

/// What one request holds of the memory for all.
struct Held {
    budget: Arc<Semaphore>,
    permits: Option<OwnedSemaphorePermit>,
    /// Bytes that are paid for and not used yet.
    room: usize,
}

impl Held {
    fn new(shared: &Shared) -> Self {
        Self { budget: shared.budget.clone(), permits: None, room: 0 }
    }

    /// Takes memory for so many bytes more, or says that there is none.
    fn take(&mut self, bytes: usize) -> Result<()> {
        let missing = bytes.saturating_sub(self.room).div_ceil(BUDGET_UNIT);
        if missing > 0 {
            let units = u32::try_from(missing).map_err(|_| Error::TooLarge("a request's body"))?;
            let taken = self.budget.clone().try_acquire_many_owned(units);
            let taken = taken.map_err(|_| Error::Store(std::io::ErrorKind::ResourceBusy))?;
            match &mut self.permits {
                Some(permits) => permits.merge(taken),
                None => self.permits = Some(taken),
            }
        }
        self.room = self.room + missing * BUDGET_UNIT - bytes;
        Ok(())
    }
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

/// The next piece of a body, which has to come before `deadline`.
async fn next_piece(body: &mut LayerBody, deadline: tokio::time::Instant) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout_at(deadline, body.frame())
            .await
            .map_err(|_| Error::Network("a body was too slow"))?;
        match frame.transpose().map_err(|_| Error::Network("a body broke off"))? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// The request that the app gets.
fn inner_request(head: &RequestHead, body: LayerBody) -> Result<Request<LayerBody>> {
    const UNFIT: Error = Error::Malformed("an inner request that HTTP does not take");
    let mut request = Request::builder().method(head.method.as_str()).uri(head.target.path_and_query());
    // What a gateway says of the client, no client says of itself: it comes with `pass_outer`, or not at all.
    let of_a_gateway =
        |name: &str| matches!(name, "forwarded" | "x-real-ip") || name.starts_with("x-forwarded-");
    for (name, value) in
        head.headers.iter().filter(|(name, _)| *name != "content-length" && !of_a_gateway(name))
    {
        request = request.header(name, value);
    }
    request = request.header(HOST, head.target.origin().authority());
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0 || !head.method.is_safe()) {
        request = request.header(CONTENT_LENGTH, length);
    }
    request.body(body).map_err(|_| UNFIT)
}

/// The head of the app's response.
fn inner_head(status: StatusCode, fields: &http::HeaderMap) -> Result<ResponseHead> {
    let mut head = ResponseHead::new(status.as_u16())?;
    for (name, value) in fields {
        if !Headers::is_hop_by_hop(name.as_str()) {
            head.headers.add(name.as_str(), value.as_bytes())?;
        }
    }
    Ok(head)
}

fn outer_response(head: &ResponseHead, body: LayerBody) -> Result<Response<LayerBody>> {
    let mut response = Response::builder().status(head.status);
    for (name, value) in head.headers.iter() {
        response = response.header(name, value);
    }
    response.body(body).map_err(|_| Error::Malformed("a response that HTTP does not take"))
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
