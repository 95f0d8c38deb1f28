//! A tower layer for servers and gateways: opens exchanges, verifies signatures, and lets nothing else in.

mod admission;
mod body;
mod budget;
mod convert;
mod cors;

pub use body::{BoxError, LayerBody};

use super::exchange::{ExchangeService, describes_message};
use super::message::{Origin, PublicUrl, RequestHead};
use super::observe::{Observer, Operation};
use super::pattern::PathPattern;
use super::replay::{MemoryReplayCache, ReplayCache};
use super::signature::{OriginKeys, RequestVerifier, VerifiedHead};
use crate::error::Result;
use crate::identity::{Identity, Pin as IdentityPin};
use crate::suite::Signer;
use admission::{Entered, Entry};
use body::boxed;
use budget::Budget;
use bytes::{Buf, Bytes};
use cors::Cors;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where others' Oblivious HTTP clients look for a gateway's keys (RFC 9540).
const OHTTP_GATEWAY_PATH: &str = "/.well-known/ohttp-gateway";
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
    budget: Budget,
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
    /// Opens exchanges, and publishes the service's keys, signed by its identity, at [`KEYS_PATH`](super::KEYS_PATH).
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
            budget: Budget::default(),
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
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
    pub fn plain(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: false, signature: false })
    }

    /// Lets requests for this path in without an exchange, but signed: where the service only stores envelopes.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
    pub fn signed_only(self, pattern: &str) -> Result<Self> {
        self.except(pattern, Demand { exchange: false, signature: true })
    }

    /// Lets exchanges for this path in from anybody, unsigned. Who signs is verified, and the app has a [`Sender`].
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
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
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
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

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
