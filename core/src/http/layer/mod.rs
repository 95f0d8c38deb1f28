//! A tower layer for servers and gateways: opens exchanges, verifies signatures, and lets nothing else in.

mod admission;
mod body;
mod budget;
mod convert;

pub use body::{BoxError, LayerBody};

use super::exchange::ExchangeService;
use super::gate::Gate;
use super::message::Origin;
use super::observe::Observer;
use super::replay::{MemoryReplayCache, ReplayCache};
use super::signature::{OriginKeys, RequestVerifier};
use crate::error::Result;
use crate::identity::{Identity, Pin as IdentityPin};
use crate::suite::Signer;
use admission::{Entered, Entry, answer_response};
use body::boxed;
use budget::Budget;
use bytes::{Buf, Bytes};
use convert::add_page_fields;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How many requests each of the two default replay caches remembers: of the order of 100 MB when full.
const DEFAULT_REPLAY_CAPACITY: usize = 1_000_000;

/// Who sent a request, in its extensions, if it was signed. Feature `tower`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender(pub Signer);

/// Opens exchanges and verifies signatures in front of an app, and refuses what is neither.
///
/// Feature `tower`. Wrap the whole app in it, not single routes: a tunnelled request comes to another path than it is for.
/// Everything is demanded everywhere, unless a path is excepted by name. Requests are refused with an `application/problem+json` that does
/// not say why. Memory for bodies is bounded over all requests together: 256 MiB, of which
/// those that nobody signed have half. Source: SPEC §18 to §21.
///
/// **Behind nginx** everything that looks at method and path works as it is: routing, `limit_req`, logs. Requests need
/// `location = /.well-known/sealwire-keys` to come here, and fit into the header buffers that nginx has anyway (the longest field is 6 KiB, its
/// buffers 8 KiB). If it takes a prefix off the path, say so with [`ExchangeService::mounted`]. Raise `client_max_body_size` (1 MiB) to what the
/// app takes. Responses in the chunked form are passed on as they come, without `proxy_buffering off`: `X-Accel-Buffering: no` stands outside.
/// From the app it would not help: it is inside.
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
    gate: Gate,
    replay: Arc<dyn ReplayCache>,
    replay_unsigned: Arc<dyn ReplayCache>,
    passed_extensions: Vec<fn(&http::Extensions, &mut http::Extensions)>,
    body_timeout: Duration,
    budget: Budget,
}

impl SealwireLayer {
    /// Opens exchanges, and publishes the service's keys, signed by its identity, at [`KEYS_PATH`](super::KEYS_PATH).
    #[must_use]
    pub fn exchanges(service: ExchangeService, identity: Identity) -> Self {
        Self::with(Gate::exchanges(service, identity))
    }

    /// Verifies signatures only: for a gateway, or for a service that only stores. It holds no key that decrypts. Give it a verifier
    /// with [`SealwireLayer::verify`]; without one it refuses everything. A GET or HEAD of [`KEYS_PATH`](super::KEYS_PATH), without query and body, comes through
    /// unsigned: the keys of the service behind it are public, and signed.
    #[must_use]
    pub fn gateway(origin: Origin) -> Self {
        Self::with(Gate::gateway(origin))
    }

    fn with(gate: Gate) -> Self {
        let cache = || Arc::new(MemoryReplayCache::new(DEFAULT_REPLAY_CAPACITY, unix_now()));
        let shared = Shared {
            gate,
            replay: cache(),
            replay_unsigned: cache(),
            passed_extensions: Vec::new(),
            body_timeout: DEFAULT_BODY_TIMEOUT,
            budget: Budget::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Changes this layer's own copy: apps that are wrapped already, and clones, stay as they are.
    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }

    fn change_gate(self, change: impl FnOnce(Gate) -> Gate) -> Self {
        let gate = change(self.shared.gate.clone());
        self.change(|shared| shared.gate = gate)
    }

    fn try_change_gate(self, change: impl FnOnce(Gate) -> Result<Gate>) -> Result<Self> {
        let gate = change(self.shared.gate.clone())?;
        Ok(self.change(|shared| shared.gate = gate))
    }

    /// Demands a signature on every request, by one of the verifier's keys.
    #[must_use]
    pub fn verify<K: OriginKeys + Send + Sync + 'static>(self, verifier: RequestVerifier<K>) -> Self {
        self.change_gate(|gate| gate.verify(verifier))
    }

    /// Remembers requests here, in place of this process's memory: needed as soon as there are two processes.
    ///
    /// **A cache that strangers can fill refuses everybody**: where unsigned exchanges are taken beside signed ones, use
    /// [`SealwireLayer::replay_apart`].
    #[must_use]
    pub fn replay(self, cache: Arc<dyn ReplayCache>) -> Self {
        self.replay_apart(cache.clone(), cache)
    }

    /// Remembers signed requests in one cache and unsigned ones in another, so that strangers, who may fill theirs, do not keep known
    /// devices out. In this process's memory it is so anyway.
    #[must_use]
    pub fn replay_apart(self, signed: Arc<dyn ReplayCache>, unsigned: Arc<dyn ReplayCache>) -> Self {
        self.change(|shared| {
            shared.replay = signed;
            shared.replay_unsigned = unsigned;
        })
    }

    /// **Lets requests for this path in as they are**: `/health`, say. Paths are as they come here; patterns as in a [`Rule`](super::Rule).
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
    pub fn plain(self, pattern: &str) -> Result<Self> {
        self.try_change_gate(|gate| gate.plain(pattern))
    }

    /// Lets requests for this path in without an exchange, but signed: where the service only stores envelopes.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
    pub fn signed_only(self, pattern: &str) -> Result<Self> {
        self.try_change_gate(|gate| gate.signed_only(pattern))
    }

    /// Lets exchanges for this path in from anybody, unsigned. Who signs is verified, and the app has a [`Sender`].
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
    pub fn unsigned(self, pattern: &str) -> Result<Self> {
        self.try_change_gate(|gate| gate.unsigned(pattern))
    }

    /// Hands requests for this path on while their body arrives. **The app then acts on a body that may turn out to be cut off**: it
    /// has to undo what it did if the body ends in an error.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) for what is no pattern.
    pub fn stream(self, pattern: &str) -> Result<Self> {
        self.try_change_gate(|gate| gate.stream(pattern))
    }

    /// Refuses a second request with the same `Idempotency-Key`, so that clients may repeat what they do not know the outcome of
    /// ([`Rule::idempotent`](super::Rule::idempotent)). The answer is 409, sealed. Not for GET, HEAD and OPTIONS. **Only as long as the replay
    /// cache remembers**: a process that began between the two, or a Redis that was flushed, lets the second in.
    #[must_use]
    pub fn enforce_idempotency_keys(self) -> Self {
        self.change_gate(Gate::enforce_idempotency_keys)
    }

    /// Lets pages of these web origins call the service from browsers.
    #[must_use]
    pub fn allow_origins(self, origins: &[&str]) -> Self {
        self.change_gate(|gate| gate.allow_origins(origins))
    }

    /// Hands these outer fields on to the app, in place of inner ones: what your own gateway adds, such as `x-request-id`. Nothing else of the
    /// outside of an exchange reaches the app. `forwarded`, `x-real-ip` and `x-forwarded-…` come to it in this way only, never from inside.
    /// Fields that describe the outer message itself, such as `content-length`, are left out.
    #[must_use]
    pub fn pass_outer(self, names: &[&str]) -> Self {
        self.change_gate(|gate| gate.pass_outer(names))
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

    /// How long a body may take to arrive, where it is held: 30 s, unless told otherwise. Where it [streams](SealwireLayer::stream) that is
    /// for each of its pieces, while the app waits for one.
    #[must_use]
    pub fn body_timeout(self, timeout: Duration) -> Self {
        self.change(|shared| shared.body_timeout = timeout)
    }

    /// How many bytes the body of a request without an exchange may have: 8 MiB, unless told otherwise. For exchanges see
    /// [`ExchangeService::max_body`].
    #[must_use]
    pub fn max_body(self, bytes: u64) -> Self {
        self.change_gate(|gate| gate.max_body(bytes))
    }

    /// Publishes that these identities may sign the service's keys, too.
    #[must_use]
    pub fn next_pins(self, pins: &[IdentityPin]) -> Self {
        self.change_gate(|gate| gate.next_pins(pins))
    }

    /// Tells every request, and every refusal, to `observer`.
    #[must_use]
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.change_gate(|gate| gate.observer(observer))
    }

    /// The service whose exchanges are opened: to rotate its keys while it runs.
    #[must_use]
    pub fn service(&self) -> Option<Arc<ExchangeService>> {
        self.shared.gate.service()
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

/// An app with a [`SealwireLayer`] around it. Feature `tower`.
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
            let started = Instant::now();
            let gate = &shared.gate;
            let page = request.headers().get(http::header::ORIGIN).cloned();
            let mut response = match shared.before_the_app(request, started).await {
                Ok(Entry::Answer(response)) => response,
                Ok(Entry::Request(entered)) => {
                    let Entered { request, sealer, held } = *entered;
                    let response = inner.call(request).await?;
                    drop(held);
                    let status = response.status().as_u16();
                    let response = shared.after_the_app(response, sealer).await;
                    gate.tell_served(status, started.elapsed());
                    response
                }
                Err(refusal) => {
                    gate.tell_refused(&refusal, started.elapsed());
                    answer_response(refusal.answer())
                }
            };
            let fields = gate.page_fields(page.as_ref().map(HeaderValue::as_bytes));
            add_page_fields(&fields, response.headers_mut());
            Ok(response)
        })
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
