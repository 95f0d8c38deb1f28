//! A CDN in front of the API: it ends TLS, so it sees every byte and may change it. It is what the clients call.

use crate::Outcome;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const MAX_BODY: usize = 64 * 1024 * 1024;
/// How much is kept of what was written.
const MAX_KEPT: usize = 1000;
const MAX_KEPT_BODY: usize = 64 * 1024;

/// A request, as the CDN has it.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A response, likewise.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn new(status: u16, media_type: &'static str, body: &'static str) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        let status = StatusCode::from_u16(status).unwrap_or_default();
        Self { status, headers, body: Bytes::from_static(body.as_bytes()) }
    }
}

/// What has passed, as the server got it and answered it.
pub(crate) type Passed = Vec<(Call, Answer)>;

/// What becomes of a request.
pub(crate) enum Step {
    /// The server gets it, changed or not.
    Pass(Call),
    /// The server gets it, and then this server gets it again. The client gets the second answer.
    Again(Call, SocketAddr),
    /// The server never hears of it.
    Answer(Answer),
}

type OnRequest = dyn Fn(Call) -> Step + Send + Sync;
type OnAnswer = dyn Fn(&Call, Answer) -> Answer + Send + Sync;

/// What a hostile CDN does to every request and answer.
pub(crate) struct Tamper {
    request: Box<OnRequest>,
    answer: Box<OnAnswer>,
}

impl Tamper {
    /// Nothing; it only keeps copies.
    pub(crate) fn none() -> Self {
        Self { request: Box::new(Step::Pass), answer: Box::new(|_, answer| answer) }
    }

    pub(crate) fn requests(change: impl Fn(Call) -> Step + Send + Sync + 'static) -> Self {
        Self { request: Box::new(change), ..Self::none() }
    }

    pub(crate) fn answers(change: impl Fn(&Call, Answer) -> Answer + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(change), ..Self::none() }
    }
}

/// A CDN that is up until this is dropped.
pub(crate) struct Proxy {
    /// The public origin of the API.
    pub(crate) origin: String,
    /// Another host, to which nobody has any business to go.
    pub(crate) elsewhere: SocketAddr,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    http: reqwest::Client,
    upstream: Mutex<Option<SocketAddr>>,
    tamper: Mutex<Option<Arc<Tamper>>>,
    copies: Mutex<Passed>,
    wire: Mutex<Option<Vec<u8>>>,
    /// What was written, for as long as it is kept.
    kept: Mutex<Option<Vec<Call>>>,
    led_astray: AtomicUsize,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Proxy {
    /// Listens on a free port of the loopback interface, and records all that passes.
    pub(crate) async fn start() -> Outcome<Self> {
        let redirects = reqwest::redirect::Policy::none();
        let shared = Arc::new(Shared {
            http: reqwest::Client::builder().no_proxy().redirect(redirects).build()?,
            upstream: Mutex::default(),
            tamper: Mutex::default(),
            copies: Mutex::default(),
            wire: Mutex::new(Some(Vec::new())),
            kept: Mutex::default(),
            led_astray: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let app = Router::new().fallback(pass).with_state(shared.clone());
        let serving = tokio::spawn(async move { drop(axum::serve(listener, app).await) });

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let elsewhere = listener.local_addr()?;
        let counting = shared.clone();
        let waiting = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counting.led_astray.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Self { origin, elsewhere, shared, tasks: [serving, waiting] })
    }

    /// Says where requests go.
    pub(crate) fn forward_to(&self, server: SocketAddr) {
        *lock(&self.shared.upstream) = Some(server);
    }

    /// Tampers with what passes while `call` is under way. Gives what came of it, and copies of what passed.
    pub(crate) async fn tampering<T>(&self, tamper: Tamper, call: impl Future<Output = T>) -> (T, Passed) {
        *lock(&self.shared.tamper) = Some(Arc::new(tamper));
        let outcome = call.await;
        *lock(&self.shared.tamper) = None;
        (outcome, std::mem::take(&mut *lock(&self.shared.copies)))
    }

    /// Tampers with all that passes from here on, or no more.
    pub(crate) fn turn(&self, tamper: Option<Tamper>) {
        *lock(&self.shared.tamper) = tamper.map(Arc::new);
        lock(&self.shared.copies).clear();
    }

    /// Keeps what is written from here on: the last calls that were let in, and small ones only.
    pub(crate) fn keep_writes(&self) {
        *lock(&self.shared.kept) = Some(Vec::new());
    }

    /// The calls that wrote to this path, the first one first.
    pub(crate) fn writes(&self, path: &str) -> Vec<Call> {
        let kept = lock(&self.shared.kept);
        kept.iter().flatten().filter(|call| call.path == path).cloned().collect()
    }

    /// Sends the server a call of its own.
    pub(crate) async fn send(&self, call: &Call) -> Outcome<Answer> {
        let upstream = lock(&self.shared.upstream).ok_or("nothing is behind the CDN yet")?;
        self.shared.ask(upstream, call).await
    }

    /// All that has passed so far; from here on nothing is recorded any more.
    pub(crate) fn take_wire(&self) -> Vec<u8> {
        lock(&self.shared.wire).take().unwrap_or_default()
    }

    /// How many connections came to the other host.
    pub(crate) fn led_astray(&self) -> usize {
        self.shared.led_astray.load(Ordering::SeqCst)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(shared: State<Arc<Shared>>, request: Request) -> Response {
    match pass_on(&shared, request).await {
        Ok(response) => response,
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn pass_on(shared: &Arc<Shared>, request: Request) -> Outcome<Response> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body = to_bytes(body, MAX_BODY).await?;
    let call = Call { method: parts.method, path, headers: parts.headers, body };
    shared.record(format!("{} {}\n{:?}\n", call.method, call.path, call.headers).as_bytes());
    shared.record(&call.body);
    let upstream = lock(&shared.upstream).ok_or("nothing is behind the CDN yet")?;
    let tamper = lock(&shared.tamper).clone();
    let Some(tamper) = tamper else {
        // As it comes, so that what is streamed stays so.
        let response = shared.send(upstream, &call).await?;
        shared.record(format!("{} {:?}\n", response.status(), response.headers()).as_bytes());
        let (status, headers) = (response.status(), of_the_message(response.headers()));
        if status.is_success() {
            shared.keep(&call);
        }
        let recorder = shared.clone();
        let body = response.bytes_stream().inspect(move |piece| {
            if let Ok(piece) = piece {
                recorder.record(piece);
            }
        });
        return Ok((status, headers, Body::from_stream(body)).into_response());
    };
    let (call, answer) = match (tamper.request)(call) {
        Step::Pass(call) => {
            let answer = shared.ask(upstream, &call).await?;
            (call, answer)
        }
        Step::Again(call, server) => {
            shared.ask(upstream, &call).await?;
            let answer = shared.ask(server, &call).await?;
            (call, answer)
        }
        Step::Answer(answer) => return Ok((answer.status, answer.headers, answer.body).into_response()),
    };
    lock(&shared.copies).push((call.clone(), answer.clone()));
    let Answer { status, headers, body } = (tamper.answer)(&call, answer);
    Ok((status, headers, body).into_response())
}

impl Shared {
    fn record(&self, bytes: &[u8]) {
        if let Some(wire) = lock(&self.wire).as_mut() {
            wire.extend_from_slice(bytes);
        }
    }

    fn keep(&self, call: &Call) {
        if let Some(kept) = lock(&self.kept).as_mut()
            && call.method == Method::PUT
            && call.body.len() <= MAX_KEPT_BODY
        {
            if kept.len() == MAX_KEPT {
                kept.remove(0);
            }
            kept.push(call.clone());
        }
    }

    async fn send(&self, server: SocketAddr, call: &Call) -> Outcome<reqwest::Response> {
        let request = self.http.request(call.method.clone(), format!("http://{server}{}", call.path));
        let request = request.headers(of_the_message(&call.headers));
        let request =
            if call.body.is_empty() { request } else { request.body(reqwest::Body::from(call.body.clone())) };
        Ok(request.send().await?)
    }

    async fn ask(&self, server: SocketAddr, call: &Call) -> Outcome<Answer> {
        let response = self.send(server, call).await?;
        let (status, headers) = (response.status(), of_the_message(response.headers()));
        let body = response.bytes().await?;
        self.record(format!("{status} {headers:?}\n").as_bytes());
        self.record(&body);
        Ok(Answer { status, headers, body })
    }
}

/// Without the fields that are the connection's.
fn of_the_message(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
