//! The API: it routes, stores, counts revisions, and keeps an access log. It has no key that opens a note.
//!
//! All of it stands behind a [`SealwireLayer`]: every request is signed, and verified before the app sees it. What is stored are
//! envelopes, so these paths take signed requests as they are; the assistant is a reader itself, and takes sealed ones only.

use crate::Outcome;
use crate::accounts::Accounts;
use crate::assistant::{self, Assistant};
use crate::store::Store;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path as UrlPath, Query, Request, State};
use axum::http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use sealwire::http::{
    ENVELOPE_MEDIA_TYPE, Event, ExchangeService, KeyId, Observer, Operation, Origin, OriginPolicy,
    ReplayCache, RequestVerifier, SealwireLayer, Sender, ServiceKeys,
};
use sealwire::{Identity, split, to_text};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const MAX_BODY: usize = 8 * 1024 * 1024;
/// Where tunnelled requests go.
pub(crate) const TUNNEL: &str = "/ohttp";

/// What a server is made of. Several servers of one service have the same.
pub(crate) struct Setup {
    /// What everybody outside calls it: the CDN's address, not this process's.
    pub(crate) origin: Origin,
    /// Signs what is published of `keys`.
    pub(crate) identity: Identity,
    /// Open what is sealed to the assistant. Notes are sealed to people, and no key of theirs is here.
    pub(crate) keys: ServiceKeys,
    /// Names, and the keys with which these people sign requests: public ones.
    pub(crate) accounts: Arc<Accounts>,
    /// Web origins whose pages may call it.
    pub(crate) pages: Vec<String>,
    pub(crate) store: Arc<Store>,
    pub(crate) replay: Arc<dyn ReplayCache>,
    pub(crate) log: Arc<AccessLog>,
}

/// A server that is up until this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) service: Arc<ExchangeService>,
    pub(crate) assistant: Arc<Assistant>,
    pub(crate) audit: Arc<Audit>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves on a free port of the loopback interface.
pub(crate) async fn start(setup: Setup) -> Outcome<Server> {
    let Setup { origin, identity, keys, accounts, pages, store, replay, log } = setup;
    let audit = Arc::new(Audit::default());
    let assistant = Arc::new(Assistant::of(accounts.clone()));
    let signers = move |id: &KeyId| accounts.signer(id);
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    let layer = SealwireLayer::exchanges(ExchangeService::new(origin, keys).tunnel(TUNNEL), identity)
        .verify(RequestVerifier::new(signers, OriginPolicy::default()))
        .replay(replay)
        .observer(audit.clone())
        .allow_origins(&pages)
        .signed_only("/people/{name}")?
        .signed_only("/notes")?
        .signed_only("/notes/{rest..}")?
        .signed_only("/attachments/{rest..}")?
        .unsigned("/assistant/public/{page}")?
        .plain("/")?;
    let service = layer.service().ok_or("the layer opens exchanges")?;
    let app = Router::new()
        .route("/", get(|| async { "A notes API that stores what it cannot read: cargo run -p demo.\n" }))
        .route("/notes", get(list))
        .route("/{kind}/{id}", get(read).put(write))
        .route("/{kind}/{id}/front", get(read_front))
        .route("/{kind}/{id}/header", put(replace_header))
        .with_state(store)
        .merge(assistant::routes(assistant.clone()))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let app = Router::new()
        .fallback_service(layer.layer(app))
        .layer(middleware::map_response(show_revisions))
        .layer(middleware::from_fn_with_state(log, write_access_log));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
    Ok(Server { address, service, assistant, audit, task })
}

/// Pages on other origins are shown which revision of a row they have.
async fn show_revisions(mut response: Response) -> Response {
    if response.headers().contains_key(ETAG) {
        response.headers_mut().append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag"));
    }
    response
}

type Answer<T> = Result<T, StatusCode>;
type ById = UrlPath<(String, String)>;

fn failed(_: Box<dyn std::error::Error + Send + Sync>) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// GET /notes/17: an envelope, as it was stored.
async fn read(store: State<Arc<Store>>, UrlPath((kind, id)): ById) -> Answer<Response> {
    let row = store.find(&format!("{kind}/{id}")).await.map_err(failed)?.ok_or(StatusCode::NOT_FOUND)?;
    let media_type = if kind == "people" { "text/plain" } else { ENVELOPE_MEDIA_TYPE };
    Ok(([(CONTENT_TYPE, media_type)], [row.header, row.body].concat()).into_response())
}

/// GET /notes/17/front: the header, and the first bytes of the body.
async fn read_front(store: State<Arc<Store>>, UrlPath((kind, id)): ById) -> Answer<impl IntoResponse> {
    let row =
        store.find_front(&format!("{kind}/{id}")).await.map_err(failed)?.ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(ETAG, row.revision.to_string())], [row.header, row.body].concat()))
}

/// GET /notes: all of them, each with its envelope.
async fn list(store: State<Arc<Store>>) -> Answer<Json<Vec<BTreeMap<&'static str, String>>>> {
    let rows = store.all().await.map_err(failed)?;
    let items = rows.iter().filter_map(|(path, row)| {
        let id = path.strip_prefix("notes/")?.to_owned();
        let envelope = to_text(&[row.header.as_slice(), &row.body].concat());
        Some(BTreeMap::from([("id", id), ("envelope", envelope)]))
    });
    Ok(Json(items.collect()))
}

/// PUT /notes/17: an envelope, whose header goes into one column and its body into the other. To tell where, no key is needed.
/// Whose row it is, the verified signature says.
async fn write(
    store: State<Arc<Store>>,
    UrlPath((kind, id)): ById,
    Extension(Sender(sender)): Extension<Sender>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<StatusCode> {
    let is_envelope =
        headers.get(CONTENT_TYPE).is_some_and(|found| found.as_bytes() == ENVELOPE_MEDIA_TYPE.as_bytes());
    let (header, body) = match (kind.as_str(), is_envelope) {
        ("people", false) => ([].as_slice(), bytes.as_ref()),
        ("notes" | "attachments", true) => split(&bytes).map_err(|_| StatusCode::BAD_REQUEST)?,
        _ => return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    let (path, owner) = (format!("{kind}/{id}"), sender.key_id().to_string());
    let written = store.put(&path, &owner, header, body).await.map_err(failed)?;
    if written { Ok(StatusCode::NO_CONTENT) } else { Err(StatusCode::FORBIDDEN) }
}

#[derive(Deserialize)]
struct At {
    revision: i64,
}

/// PUT /notes/17/header?revision=3: a new header for a body that is still the same. The query is under the signature.
async fn replace_header(
    store: State<Arc<Store>>,
    UrlPath((kind, id)): ById,
    Query(At { revision }): Query<At>,
    header: Bytes,
) -> Answer<StatusCode> {
    let replaced = store.replace_header(&format!("{kind}/{id}"), revision, &header).await.map_err(failed)?;
    if replaced { Ok(StatusCode::NO_CONTENT) } else { Err(StatusCode::PRECONDITION_FAILED) }
}

/// The access log, as every server has one: a line for each request, as it came.
pub(crate) struct AccessLog(Mutex<(File, Vec<String>)>);

impl AccessLog {
    pub(crate) fn create(file: &Path) -> Outcome<Arc<Self>> {
        Ok(Arc::new(Self(Mutex::new((File::create(file)?, Vec::new())))))
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

async fn write_access_log(State(log): State<Arc<AccessLog>>, request: Request, next: Next) -> Response {
    let (call, sender) =
        (format!("{} {}", request.method(), request.uri()), length_and_key(request.headers()));
    let response = next.run(request).await;
    let line = format!("{call} {} {sender}", response.status().as_u16());
    let mut log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    // A log that cannot be written is no reason to fail requests.
    drop(writeln!(log.0, "{line}"));
    log.1.push(line);
    response
}

/// How long the body is, and the first characters of the key id that the request claims.
fn length_and_key(headers: &HeaderMap) -> String {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
    let key = field("signature-input").split_once("keyid=\"").and_then(|(_, rest)| rest.get(..8));
    format!("length={} key={}", field("content-length"), key.unwrap_or("-"))
}

/// What the layer tells its operator, and nobody else: why it refused.
#[derive(Default)]
pub(crate) struct Audit(Mutex<Tally>);

#[derive(Default)]
struct Tally {
    verified: usize,
    refusals: Vec<&'static str>,
}

impl Observer for Audit {
    fn event(&self, event: &Event) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (event.operation, event.code) {
            (Operation::Serve, _) => {}
            (_, "ok") => tally.verified += 1,
            (_, code) => tally.refusals.push(code),
        }
    }
}

impl Audit {
    /// How many requests were let in.
    pub(crate) fn verified(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).verified
    }

    /// The codes of what was refused since this was last asked.
    pub(crate) fn take_refusals(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).refusals)
    }
}
