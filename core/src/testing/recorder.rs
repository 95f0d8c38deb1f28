//! A proxy that records what passes, and tampers with it when told to.

use super::canary::Canaries;
use super::report::OpacityReport;
use super::tamper::{Answered, Message, Plan};
use super::wire::{Framing, Head, Source};
use crate::error::{Error, Result};
use crate::http::KEYS_PATH;
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const DEFAULT_LIMIT: usize = 64 * 1024 * 1024;

/// A reverse proxy on loopback, in front of the real server under test, that keeps every byte that passes.
///
/// It speaks plain HTTP/1.1 and changes nothing: bodies and event streams pass as they come. The server's public origin, and the
/// client's, have to be [`Recorder::url`]. It keeps 64 MiB in all, unless told otherwise; with more, [`Recorder::report`] is an error. What cannot be
/// recorded is not let through: TLS, HTTP/2, an upgraded connection. It ends when it is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> sealwire::Result<()> {
/// use sealwire::testing::{Canaries, Canary, Recorder};
///
/// let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // the app's own
/// let recorder = Recorder::start(server.local_addr().unwrap()).await?;
/// let body = Canary::new("note body")?;
/// // … start the app with the public origin `recorder.url()`, and call it there with `body.text()` in the data …
/// let report = recorder.report(&Canaries::from([&body]))?;
/// assert!(!report.is_opaque()); // nothing was called, and that proves nothing
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Recorder {
    /// Starts one on a free port of 127.0.0.1, in front of the server at `upstream`. It connects when it is called, so the server can start later.
    ///
    /// # Errors
    /// [`Error::Network`] if no port can be had.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|_| Error::Network(&"no port for the recorder"))?;
        let address = listener.local_addr().map_err(|_| Error::Network(&"no port for the recorder"))?;
        let shared = Arc::new(Shared { upstream, state: Mutex::default() });
        let serving = shared.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = serving.clone();
                connections.spawn(async move { shared.connection(client).await });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { url: format!("http://{address}"), shared, accepting })
    }

    /// How many bytes are kept in all: 64 MiB, unless told otherwise.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        self.shared.state().limit = bytes;
        self
    }

    /// The origin to call, `http://127.0.0.1:…`, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Looks for the canaries in everything that has passed so far.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if more has passed than is kept, or than can be decoded.
    pub fn report(&self, canaries: &Canaries) -> Result<OpacityReport> {
        let state = self.shared.state();
        if state.has_overflown {
            return Err(Error::TooLarge(&"more traffic than the recorder keeps"));
        }
        OpacityReport::of_wire(canaries.clone(), &state.messages)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// A message as it stood on the wire.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The request's, from 1.
    pub(super) number: usize,
    pub(super) side: Side,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    messages: Vec<Recorded>,
    requests: usize,
    kept: usize,
    limit: usize,
    has_overflown: bool,
    plan: Option<Arc<Plan>>,
    answered: Vec<Answered>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            requests: 0,
            kept: 0,
            limit: DEFAULT_LIMIT,
            has_overflown: false,
            plan: None,
            answered: Vec::new(),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tampers with what passes from now on, or no longer.
    pub(super) fn follow(&self, plan: Option<Arc<Plan>>) {
        let mut state = self.state();
        state.answered.clear();
        state.plan = plan;
    }

    /// What became of the requests since [`Shared::follow`].
    pub(super) fn answered(&self) -> Vec<Answered> {
        std::mem::take(&mut self.state().answered)
    }

    pub(super) fn requests(&self) -> usize {
        self.state().requests
    }

    /// The last request behind number `after` that is not for keys, and its answer.
    pub(super) fn last_call(&self, after: usize) -> Option<(Head, Message)> {
        let state = self.state();
        let mut answers = state.messages.iter().rev();
        answers.find_map(|answer| {
            let is_answer = answer.side == Side::Server && answer.number > after;
            let mut requests = state.messages.iter().filter(|message| message.number == answer.number);
            let request = requests.find(|message| is_answer && message.side == Side::Client)?;
            let request = Head::parse(&request.bytes).ok()?;
            let answer = Message::parse(&answer.bytes, request.method()).ok()?;
            (!is_for_keys(&request)).then_some((request, answer))
        })
    }

    fn number(&self) -> usize {
        let mut state = self.state();
        state.requests += 1;
        state.requests
    }

    fn record(&self, number: usize, side: Side, bytes: &[u8]) {
        let mut state = self.state();
        if bytes.len() > state.limit.saturating_sub(state.kept) {
            state.has_overflown = true;
            return;
        }
        state.kept += bytes.len();
        let known = |message: &&mut Recorded| message.number == number && message.side == side;
        if let Some(message) = state.messages.iter_mut().rev().find(known) {
            message.bytes.extend(bytes);
        } else {
            state.messages.push(Recorded { number, side, bytes: bytes.to_vec() });
        }
    }

    /// Serves a client until one side has enough. What fails ends the connection, and that is all that the client needs to know.
    async fn connection(&self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        let (read, mut write) = client.into_split();
        let mut requests = Source::new(read);
        while let Ok(Some(bytes)) = requests.head().await {
            let Ok(head) = Head::parse(&bytes) else { return };
            let number = self.number();
            self.record(number, Side::Client, &bytes);
            let plan = self.state().plan.clone().filter(|_| !is_for_keys(&head));
            let goes_on = match plan {
                None => self.pass(number, &head, &bytes, &mut requests, &mut write).await,
                Some(plan) => self.tamper(number, head, &plan, &mut requests, &mut write).await,
            };
            if goes_on != Ok(true) {
                return;
            }
        }
    }

    /// Passes a request and its answer on as they come; whether the connection can have another one.
    async fn pass(
        &self,
        number: usize,
        head: &Head,
        bytes: &[u8],
        requests: &mut Source<OwnedReadHalf>,
        client: &mut OwnedWriteHalf,
    ) -> Result<bool> {
        let mut framing = head.request_framing()?;
        let (from_server, mut to_server) = self.connect().await?.into_split();
        let mut answers = Source::new(from_server);
        let send = async move {
            write(&mut to_server, bytes).await?;
            while let Some(piece) = requests.piece(&mut framing).await? {
                self.record(number, Side::Client, &piece);
                write(&mut to_server, &piece).await?;
            }
            // Kept open: an end of the request's direction would tell the server that the client is gone.
            Ok::<_, Error>(to_server)
        };
        let receive = async {
            loop {
                let (answer, bytes) = next_head(&mut answers).await?;
                self.record(number, Side::Server, &bytes);
                write(client, &bytes).await?;
                if matches!(answer.status(), Some(100..=199)) {
                    continue;
                }
                let mut framing = answer.response_framing(head.method())?;
                let closes = matches!(framing, Framing::Close);
                while let Some(piece) = answers.piece(&mut framing).await? {
                    self.record(number, Side::Server, &piece);
                    write(client, &piece).await?;
                }
                return Ok::<_, Error>(closes);
            }
        };
        // Both at once: an answer may begin, and even end, before the request does.
        let (mut send, mut receive) = (pin!(send), pin!(receive));
        let mut sent = None;
        let closes = poll_fn(|context| {
            if sent.is_none()
                && let Poll::Ready(result) = send.as_mut().poll(context)
            {
                sent = Some(result);
            }
            receive.as_mut().poll(context)
        });
        let closes = closes.await?;
        Ok(!closes && matches!(sent, Some(Ok(_))))
    }

    /// Does to a request and its answer what the plan says.
    async fn tamper(
        &self,
        number: usize,
        mut head: Head,
        plan: &Plan,
        requests: &mut Source<OwnedReadHalf>,
        client: &mut OwnedWriteHalf,
    ) -> Result<bool> {
        if head.remove("expect") {
            write(client, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let method = head.method().to_owned();
        let framing = head.request_framing()?;
        let body = self.whole(number, Side::Client, framing, requests).await?;
        let mut request = Message::new(head, &body)?;
        if let Some(landing) = plan.landing(&request.head) {
            self.state().answered.push(Answered { followed: true, ..Answered::default() });
            write(client, &landing.to_bytes()).await?;
            return Ok(true);
        }
        let changed = plan.change_request(&mut request);
        let mut answer = self.ask(number, &request).await;
        let mut status = answer.as_ref().ok().and_then(|answer| answer.head.status());
        if plan.repeats() {
            status = self.ask(number, &request).await.ok().and_then(|answer| answer.head.status());
        }
        let changed = match &mut answer {
            Ok(answer) => changed | plan.change_answer(&method, answer),
            Err(_) => changed,
        };
        self.state().answered.push(Answered { method, changed, status, followed: false });
        write(client, &answer?.to_bytes()).await?;
        Ok(true)
    }

    /// Sends a request to the server over a connection of its own, and waits for the whole answer.
    async fn ask(&self, number: usize, request: &Message) -> Result<Message> {
        let (from_server, mut to_server) = self.connect().await?.into_split();
        write(&mut to_server, &request.to_bytes()).await?;
        let mut answers = Source::new(from_server);
        loop {
            let (head, bytes) = next_head(&mut answers).await?;
            self.record(number, Side::Server, &bytes);
            if matches!(head.status(), Some(100..=199)) {
                continue;
            }
            let framing = head.response_framing(request.head.method())?;
            let body = self.whole(number, Side::Server, framing, &mut answers).await?;
            return Message::new(head, &body);
        }
    }

    /// A body as it stands on the wire, up to the recorder's limit.
    async fn whole(
        &self,
        number: usize,
        side: Side,
        mut framing: Framing,
        source: &mut Source<OwnedReadHalf>,
    ) -> Result<Vec<u8>> {
        let limit = self.state().limit;
        let mut body = Vec::new();
        while let Some(piece) = source.piece(&mut framing).await? {
            self.record(number, side, &piece);
            if piece.len() > limit.saturating_sub(body.len()) {
                return Err(Error::TooLarge(&"a body to tamper with"));
            }
            body.extend(piece);
        }
        Ok(body)
    }

    async fn connect(&self) -> Result<TcpStream> {
        let server = TcpStream::connect(self.upstream).await;
        let server = server.map_err(|_| Error::Network(&"the server under test does not answer"))?;
        let _ = server.set_nodelay(true);
        Ok(server)
    }
}

fn is_for_keys(request: &Head) -> bool {
    request.target().split('?').next() == Some(KEYS_PATH)
}

async fn next_head(answers: &mut Source<OwnedReadHalf>) -> Result<(Head, Vec<u8>)> {
    let bytes = answers.head().await?.ok_or(Error::Truncated)?;
    let head = Head::parse(&bytes)?;
    match head.status() {
        Some(101) => Err(Error::Unsupported(&"an upgraded connection")),
        _ => Ok((head, bytes)),
    }
}

async fn write(to: &mut OwnedWriteHalf, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).await.map_err(|_| Error::Network(&"a connection broke"))
}
