//! Services on loopback, somebody in between, and requests that no client would make.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use sealwire::http::{
    Carriage, Client, Event, ExchangeService, InPlace, KeyConfig, Observer, Operation, Origin, OriginPolicy,
    Policy, RequestHead, RequestSealer, RequestSigner, RequestVerifier, ResponseHead, ResponseOpener, Rule,
    SealwireLayer, Sender, ServiceKeys, ServicePins, SignedBody, Target,
};
use sealwire::{Aead, Identity, Kem, Result, Signer};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// The device that services know.
pub static DEVICE: LazyLock<Identity> = LazyLock::new(person);
/// Another one that they know.
pub static OTHER_DEVICE: LazyLock<Identity> = LazyLock::new(person);

/// A quick identity.
#[must_use]
pub fn person() -> Identity {
    Identity::generate_with(Kem::X25519).unwrap()
}

/// Unix seconds.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Quick service keys for an hour.
#[must_use]
pub fn service_keys() -> ServiceKeys {
    ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, 3600, now()).unwrap()
}

/// Makes keys until none has the id of an old one: ids are random at first, and a service that takes another key's request for its own
/// cannot say that it does not know the key.
pub fn keys_in_place_of(old: &ServiceKeys, now: u64, make: impl Fn() -> ServiceKeys) -> ServiceKeys {
    let ids = |keys: &ServiceKeys| {
        let (list, mut at, mut ids) = (keys.ohttp_keys(now), 0, Vec::new());
        while let Some([high, low, id]) = list.get(at..at + 3) {
            ids.push(*id);
            at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
        }
        ids
    };
    let old = ids(old);
    loop {
        let new = make();
        if ids(&new).iter().all(|id| !old.contains(id)) {
            return new;
        }
    }
}

/// The keys of devices that services know.
#[must_use]
pub fn known_devices() -> RequestVerifier<Vec<Signer>> {
    RequestVerifier::new(vec![DEVICE.signer(), OTHER_DEVICE.signer()], OriginPolicy::default())
}

/// `reqwest` as the documentation asks for it.
#[must_use]
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// What an app was asked.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body, unless it broke off.
    pub body: Option<Bytes>,
    /// Who signed it.
    pub sender: Option<Signer>,
    /// Whether the peer's address came along.
    pub has_peer: bool,
}

/// An app that keeps what it is asked, and answers as the path says.
#[derive(Clone, Default)]
pub struct App {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What is stored by PUT, with its content type.
    pub stored: Arc<Mutex<BTreeMap<String, (String, Bytes)>>>,
    /// What `/events` waits for after its first event, and `/slow` before it answers.
    pub go_on: Arc<Notify>,
    /// How many bytes of uploads have come so far.
    pub uploaded: Arc<Mutex<usize>>,
}

impl App {
    /// What was asked so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How often it was asked.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// What was asked last.
    #[must_use]
    pub fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    async fn answer(self, request: Request) -> Response {
        let (parts, mut body) = request.into_parts();
        let index = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen {
                method: parts.method.clone(),
                uri: parts.uri.clone(),
                headers: parts.headers.clone(),
                body: None,
                sender: parts.extensions.get::<Sender>().map(|sender| sender.0),
                has_peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().is_some(),
            });
            seen.len() - 1
        };
        let mut all = Vec::new();
        while let Some(piece) = next(&mut body).await {
            let Ok(piece) = piece else { return status(400) };
            *self.uploaded.lock().unwrap() += piece.len();
            all.extend_from_slice(&piece);
        }
        let body = Bytes::from(all);
        self.seen.lock().unwrap()[index].body = Some(body.clone());
        let path = parts.uri.path();
        match path {
            "/events" => {
                let (send, pieces) = pieces();
                let go_on = self.go_on.clone();
                send.send(Ok(Bytes::from_static(b"data: 1\n\n"))).unwrap();
                tokio::spawn(async move {
                    go_on.notified().await;
                    drop(send.send(Ok(Bytes::from_static(b"data: 2\n\n"))));
                });
                Response::builder()
                    .header("content-type", "text/event-stream")
                    .body(Body::from_stream(pieces))
            }
            // Its body fails in the middle.
            "/breaks" => {
                let (send, pieces) = pieces();
                send.send(Ok(Bytes::from_static(b"half"))).unwrap();
                send.send(Err(std::io::Error::other("the disk is gone"))).unwrap();
                Response::builder().body(Body::from_stream(pieces))
            }
            "/slow" => {
                self.go_on.notified().await;
                return status(200);
            }
            "/large" => {
                let (send, pieces) = pieces();
                tokio::spawn(async move {
                    let mebibyte = Bytes::from(vec![0; 1 << 20]);
                    while send.send(Ok(mebibyte.clone())).is_ok() {
                        tokio::task::yield_now().await;
                    }
                });
                Response::builder().body(Body::from_stream(pieces))
            }
            "/status/500" => return status(500),
            "/status/404" => return status(404),
            _ if path.starts_with("/store/") && parts.method == Method::PUT => {
                let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
                self.stored.lock().unwrap().insert(path.into(), (kind.unwrap_or_default(), body));
                return status(201);
            }
            _ if path.starts_with("/store/") && parts.method == Method::DELETE => {
                self.stored.lock().unwrap().remove(path);
                return page(200, "text/plain", "so long");
            }
            _ if path.starts_with("/store/") => {
                let Some((kind, body)) = self.stored.lock().unwrap().get(path).cloned() else {
                    return status(404);
                };
                Response::builder().header("content-type", kind).body(Body::from(body))
            }
            _ => {
                let text = format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body));
                Response::builder()
                    .header("x-app", "yes")
                    .header("content-type", "text/plain")
                    .body(text.into())
            }
        }
        .unwrap()
    }
}

fn status(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

async fn next(body: &mut Body) -> Option<std::result::Result<Bytes, axum::Error>> {
    std::future::poll_fn(|context| {
        use axum::body::HttpBody;
        Pin::new(&mut *body).poll_frame(context)
    })
    .await
    .map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// A body that is made while it is sent.
pub struct Pieces(mpsc::UnboundedReceiver<std::io::Result<Bytes>>);

/// A body and where its pieces are put in.
#[must_use]
pub fn pieces() -> (mpsc::UnboundedSender<std::io::Result<Bytes>>, Pieces) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Pieces(receiver))
}

impl Stream for Pieces {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Keeps every event's operation and code.
#[derive(Default)]
pub struct Events(Mutex<Vec<(Operation, &'static str)>>);

impl Events {
    /// Those that came since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<(Operation, &'static str)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Events {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push((event.operation, event.code));
    }
}

/// An app behind a layer, on loopback.
pub struct Service {
    /// What everybody outside calls it.
    pub origin: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose keys to believe.
    pub pins: ServicePins,
    /// What signs its keys.
    pub identity: Identity,
    /// To change its keys.
    pub exchanges: Option<Arc<ExchangeService>>,
    /// What is behind.
    pub app: App,
    /// What an operator hears.
    pub events: Arc<Events>,
}

impl Service {
    /// A service that takes exchanges, with this layer.
    pub async fn start(configure: impl FnOnce(SealwireLayer) -> SealwireLayer) -> Self {
        Self::start_as(None, |exchanges| exchanges, configure).await
    }

    /// The same, called `public` outside.
    pub async fn start_as(
        public: Option<&str>,
        exchanges: impl FnOnce(ExchangeService) -> ExchangeService,
        configure: impl FnOnce(SealwireLayer) -> SealwireLayer,
    ) -> Self {
        Self::start_with(public, service_keys(), exchanges, configure).await
    }

    /// The same, with these keys.
    pub async fn start_with(
        public: Option<&str>,
        keys: ServiceKeys,
        exchanges: impl FnOnce(ExchangeService) -> ExchangeService,
        configure: impl FnOnce(SealwireLayer) -> SealwireLayer,
    ) -> Self {
        let identity = person();
        let same = copy(&identity);
        Self::launch(public, identity, |origin| {
            configure(SealwireLayer::exchanges(exchanges(ExchangeService::new(origin, keys)), same))
        })
        .await
    }

    /// A service that only stores, and verifies.
    pub async fn gateway(configure: impl FnOnce(SealwireLayer) -> SealwireLayer) -> Self {
        Self::launch(None, person(), |origin| configure(SealwireLayer::gateway(origin))).await
    }

    async fn launch(
        public: Option<&str>,
        identity: Identity,
        layer: impl FnOnce(Origin) -> SealwireLayer,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = public.map_or_else(|| format!("http://{address}"), ToOwned::to_owned);
        let events = Arc::new(Events::default());
        let layer = layer(Origin::parse(&origin).unwrap()).observer(events.clone());
        let app = App::default();
        let inner = app.clone();
        let router = Router::new().fallback(move |request: Request| inner.clone().answer(request));
        let router = Router::new().fallback_service(layer.layer(router));
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let pins = ServicePins::new([identity.recipient().pin()]);
        Self { origin, address, pins, identity, exchanges: layer.service(), app, events }
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// A policy with one rule for all of it.
    #[must_use]
    pub fn policy(&self, change: impl FnOnce(Rule) -> Rule) -> Policy {
        let rule = change(Rule::at(&self.origin, "/{rest..}").unwrap());
        Policy::new().service(&self.origin, self.pins.clone()).unwrap().rule(rule)
    }

    /// A client of the known device with one rule for all of it.
    #[must_use]
    pub fn client(&self, change: impl FnOnce(Rule) -> Rule) -> Client {
        Client::new(http(), self.policy(change)).identity(device())
    }

    /// The key that clients seal to.
    #[must_use]
    pub fn key(&self) -> KeyConfig {
        let keys = self.exchanges.as_ref().unwrap().with_keys(|keys| keys.ohttp_keys(now()));
        KeyConfig::parse_list(&keys).unwrap()
    }

    /// A request to be sealed, signed and bent.
    #[must_use]
    pub fn craft(&self, method: &str, path: &str) -> Craft {
        let target = Target::new(Origin::parse(&self.origin).unwrap(), path).unwrap();
        Craft {
            head: RequestHead::new(sealwire::http::Method::new(method).unwrap(), target),
            body: Vec::new(),
            carriage: Carriage::InPlace(InPlace::new()),
            chunked: false,
            signer: None,
            now: now(),
        }
    }
}

/// The known device's identity.
#[must_use]
pub fn device() -> Identity {
    copy(&DEVICE)
}

/// The same identity once more.
#[must_use]
pub fn copy(identity: &Identity) -> Identity {
    Identity::parse(std::str::from_utf8(identity.reveal().reveal()).unwrap()).unwrap()
}

/// A request that is put together by hand.
pub struct Craft {
    /// Its inner head.
    pub head: RequestHead,
    /// Its inner body.
    pub body: Vec<u8>,
    /// How it travels.
    pub carriage: Carriage,
    /// Its form.
    pub chunked: bool,
    /// Who signs it.
    pub signer: Option<&'static Identity>,
    /// When it is made.
    pub now: u64,
}

impl Craft {
    /// With a body.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// With a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.headers.add(name, value).unwrap();
        self
    }

    /// Signed by this device.
    #[must_use]
    pub fn signed_by(mut self, signer: &'static Identity) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Made at another time.
    #[must_use]
    pub fn at(mut self, now: u64) -> Self {
        self.now = now;
        self
    }

    /// In the chunked form.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Travelling like this.
    #[must_use]
    pub fn by(mut self, carriage: Carriage) -> Self {
        self.carriage = carriage;
        self
    }

    /// Sealed to this service, and signed if somebody signs.
    #[must_use]
    pub fn seal(self, service: &Service) -> (Wire, ResponseOpener) {
        let config = service.key();
        let mut sealer = RequestSealer::new(&config, &self.carriage);
        if let Some(signer) = self.signer {
            sealer = sealer.signed_by(&signer.signer().key_id().to_string());
        }
        if self.chunked {
            sealer = sealer.chunked();
        }
        let (sealed, opener) = sealer.seal(self.head, &self.body, self.now).unwrap();
        let mut wire = Wire { head: sealed.head, body: sealed.body, raw: Vec::new() };
        if let Some(signer) = self.signer {
            wire.sign(signer);
        }
        (wire, opener)
    }

    /// Not sealed, and signed if somebody signs.
    #[must_use]
    pub fn plain(self) -> Wire {
        let mut wire = Wire { head: self.head, body: self.body, raw: Vec::new() };
        if let Some(signer) = self.signer {
            wire.sign(signer);
        }
        wire
    }
}

/// A request as it is sent; every part can be bent.
#[derive(Clone)]
pub struct Wire {
    /// Its outer head.
    pub head: RequestHead,
    /// Its outer body.
    pub body: Vec<u8>,
    /// Lines that are put behind the fields as they stand.
    pub raw: Vec<String>,
}

impl Wire {
    /// Signs what is there, in place of an earlier signature.
    pub fn sign(&mut self, signer: &Identity) {
        RequestSigner::new(signer).sign(&mut self.head, SignedBody::Whole(&self.body), now()).unwrap();
    }

    /// Replaces a field.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.head.headers.set(name, value).unwrap();
        self
    }

    /// Removes a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.head.headers.remove(name);
        self
    }

    /// Adds a line.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.raw.push(line.into());
        self
    }

    /// Another path.
    #[must_use]
    pub fn to(mut self, path: &str) -> Self {
        self.head.target = Target::new(self.head.target.origin().clone(), path).unwrap();
        self
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.head.method = sealwire::http::Method::new(method).unwrap();
        self
    }

    /// Its bytes in HTTP/1.1.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let target = self.head.target.path_and_query();
        let mut bytes = format!("{} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", self.head.method);
        for (name, value) in self.head.headers.iter() {
            bytes += &format!("{name}: {}\r\n", std::str::from_utf8(value).unwrap());
        }
        for line in &self.raw {
            bytes += &format!("{line}\r\n");
        }
        let framed = self.raw.iter().any(|line| line.starts_with("transfer-encoding"));
        if !framed && (!self.body.is_empty() || self.head.method.as_str() == "POST") {
            bytes += &format!("content-length: {}\r\n", self.body.len());
        }
        let mut bytes = (bytes + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it.
    pub async fn send(&self, service: &Service) -> Answer {
        send_raw(service.address, &self.bytes()).await
    }
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status; 0 if the connection was closed without one.
    pub status: u16,
    /// Its fields.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A field's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// What it says inside.
    ///
    /// # Errors
    /// Those of [`ResponseOpener::open`].
    pub fn open(&self, opener: ResponseOpener) -> Result<(ResponseHead, Vec<u8>)> {
        let mut head = ResponseHead::new(self.status)?;
        for (name, value) in &self.headers {
            head.headers.add(name, value)?;
        }
        opener.open(&head, &self.body)
    }

    /// Everything but the date, to compare refusals by.
    #[must_use]
    pub fn without_date(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "date");
        self
    }
}

/// Sends bytes as they stand, and reads until the connection ends.
pub async fn send_raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has refused may close before all was sent.
    drop(stream.write_all(bytes).await);
    let mut all = Vec::new();
    let mut piece = [0; 8192];
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut piece)).await {
        if read == 0 {
            break;
        }
        all.extend_from_slice(&piece[..read]);
    }
    parse(&all)
}

fn parse(all: &[u8]) -> Answer {
    let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Answer { status: 0, headers: Vec::new(), body: Vec::new() };
    };
    let head = std::str::from_utf8(&all[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = all[end + 4..].to_vec();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        body = unchunked(&body);
    }
    Answer { status, headers, body }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = body.get(end + 2..end + 2 + len) else { break };
        all.extend_from_slice(chunk);
        body = body.get(end + 4 + len..).unwrap_or_default();
    }
    all
}

/// What passes somebody in between.
#[derive(Clone, Debug)]
pub struct Passing {
    /// The request's method.
    pub method: Method,
    /// Its target.
    pub uri: String,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The way on from somebody in between.
#[derive(Clone)]
pub struct Upstream {
    http: reqwest::Client,
    address: Arc<Mutex<Option<SocketAddr>>>,
}

impl Upstream {
    /// Sends a request on, and gives its answer.
    pub async fn forward(&self, passing: &Passing) -> Response {
        let address = self.address.lock().unwrap().unwrap();
        let mut headers = passing.headers.clone();
        headers.remove("host");
        headers.remove("content-length");
        headers.remove("transfer-encoding");
        let request = self.http.request(passing.method.clone(), format!("http://{address}{}", passing.uri));
        let mut request = request.headers(headers);
        if !passing.body.is_empty() {
            request = request.body(passing.body.clone());
        }
        let answer = request.send().await.unwrap();
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
            response = response.header(name, value);
        }
        response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
    }
}

type Answering = dyn Fn(Upstream, Passing) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync;

/// Somebody in between, who does with what passes whatever a test says.
pub struct Proxy {
    /// What everybody outside takes for the service.
    pub origin: String,
    upstream: Upstream,
    tamper: Arc<Mutex<Arc<Answering>>>,
    passed: Arc<Mutex<Vec<Passing>>>,
}

impl Proxy {
    /// One that passes everything on.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Upstream { http: http(), address: Arc::default() };
        let honest: Arc<Answering> =
            Arc::new(|upstream, passing| Box::pin(async move { upstream.forward(&passing).await }));
        let tamper = Arc::new(Mutex::new(honest));
        let passed = Arc::new(Mutex::new(Vec::new()));
        let shared = (upstream.clone(), tamper.clone(), passed.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (upstream, tamper, passed) = shared.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
                let uri = parts.uri.to_string();
                let passing = Passing { method: parts.method, uri, headers: parts.headers, body };
                passed.lock().unwrap().push(passing.clone());
                let answering = tamper.lock().unwrap().clone();
                answering(upstream, passing).await
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, upstream, tamper, passed }
    }

    /// Says where the service is.
    pub fn to(&self, service: &Service) {
        *self.upstream.address.lock().unwrap() = Some(service.address);
    }

    /// Does this from now on with all but the fetching of keys, which is left alone.
    pub fn tamper<F>(&self, tamper: impl Fn(Upstream, Passing) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let tamper = Arc::new(tamper);
        self.tamper_all(move |upstream, passing| {
            let tamper = tamper.clone();
            async move {
                if passing.uri == sealwire::http::KEYS_PATH {
                    upstream.forward(&passing).await
                } else {
                    tamper(upstream, passing).await
                }
            }
        });
    }

    /// Does this from now on with everything.
    pub fn tamper_all<F>(&self, tamper: impl Fn(Upstream, Passing) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Response> + Send + 'static,
    {
        *self.tamper.lock().unwrap() = Arc::new(move |upstream, passing| Box::pin(tamper(upstream, passing)));
    }

    /// What has passed.
    #[must_use]
    pub fn passed(&self) -> Vec<Passing> {
        self.passed.lock().unwrap().clone()
    }

    /// How many requests have passed that were not for keys.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.passed().iter().filter(|passing| passing.uri != sealwire::http::KEYS_PATH).count()
    }

    /// How often keys were fetched.
    #[must_use]
    pub fn key_fetches(&self) -> usize {
        self.passed().len() - self.calls()
    }
}

/// A whole answer.
#[must_use]
pub fn page(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", content_type.parse().unwrap());
    response
}
