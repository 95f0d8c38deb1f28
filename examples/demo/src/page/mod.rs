//! The page of `--serve`: in a browser you are Alice and Bob yourself, and the server as well.
//!
//! It comes from an origin of its own, as an app comes from its maker: whoever serves a page's code can read what it reads, so the
//! API must not. The API is a fresh one behind a CDN, which knows nobody yet. Beside the page there is the console of a hostile
//! server: what it holds, and what it could do. It answers this page only, and is no part of the API.

mod console;

use crate::Outcome;
use crate::accounts::{Accounts, SignUp};
use crate::proxy::Proxy;
use crate::script::now;
use crate::server::{self, AccessLog, Setup};
use crate::store::{Place, Store};
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use console::Console;
use sealwire::http::{MemoryReplayCache, Origin, ServiceKeys};
use sealwire::{Identity, Recipient};
use serde::Deserialize;
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The page itself.
const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
/// The npm package, once it is built: all cryptography of the page.
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm/dist");
pub(crate) const NOT_BUILT: &str =
    "The page needs the npm package, which is not built. Run wasm/build, and load the page again.";
const MAX_BODY: usize = 64 * 1024;

/// A page that is up until this is dropped.
pub(crate) struct Page {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Page {
    /// Serves on a free port of the loopback interface, with an API and a CDN of its own. Its rows are a file in `folder`.
    pub(crate) async fn start(folder: &Path) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let host = listener.local_addr()?.to_string();
        let url = format!("http://{host}");
        let proxy = Proxy::start().await?;
        drop(proxy.take_wire());
        proxy.keep_writes();

        let (identity, mallory) = (Identity::generate()?, Arc::new(Identity::generate()?));
        let pin = identity.recipient().pin().to_string();
        let accounts = Arc::new(Accounts::new(vec![("mallory".into(), mallory.signer())]));
        let store = Arc::new(Store::open(&Place::Sqlite { file: folder.join("page.sqlite") }).await?);
        let log = AccessLog::create(&folder.join("page-access.log"))?;
        let server = server::start(Setup {
            origin: Origin::parse(&proxy.origin)?,
            identity,
            keys: ServiceKeys::generate(now())?,
            accounts: accounts.clone(),
            pages: vec![url.clone()],
            store: store.clone(),
            replay: Arc::new(MemoryReplayCache::new(10_000, now())),
            log: log.clone(),
        })
        .await?;
        proxy.forward_to(server.address);

        let shipped = json!({ "api": proxy.origin, "servicePin": pin });
        let policy = content_security_policy(&proxy.origin)?;
        let sign_up = SignUpDesk { accounts: accounts.clone(), store: store.clone() };
        let console = Console::new(proxy, server, store, accounts, log, mallory);
        let app = Router::new()
            .route("/", get(front))
            .route("/{name}", get(|UrlPath(name): UrlPath<String>| file(WEB, name)))
            .route("/sealwire/{*path}", get(|UrlPath(path): UrlPath<String>| file(PACKAGE, path)))
            .route("/app.json", get(|| async { Json(shipped) }))
            .route("/accounts", post(sign_someone_up).with_state(Arc::new(sign_up)))
            .nest("/console", console::routes(Arc::new(console)))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::map_response_with_state(policy, add_headers))
            .layer(middleware::from_fn_with_state(host, only_from_here));
        let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { url, task })
    }
}

/// Nothing but what comes from here runs; what it shows never becomes markup; it talks to the API and to nobody else.
fn content_security_policy(api: &str) -> Outcome<HeaderValue> {
    let policy = [
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        &format!("connect-src 'self' {api}"),
        "img-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ];
    Ok(HeaderValue::try_from(policy.join("; "))?)
}

async fn add_headers(State(policy): State<HeaderValue>, mut response: Response) -> Response {
    let value = HeaderValue::from_static;
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    response.headers_mut().extend([
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, value("no-store")),
        (X_CONTENT_TYPE_OPTIONS, value("nosniff")),
        (REFERRER_POLICY, value("no-referrer")),
        (opener, value("same-origin")),
    ]);
    response
}

/// The console does what nobody may do. A page elsewhere must not be able to ask it to, under whatever name it finds this port.
async fn only_from_here(State(host): State<String>, request: Request, next: Next) -> Response {
    if is_from_here(&host, request.method(), request.headers()) {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

fn is_from_here(host: &str, method: &Method, headers: &HeaderMap) -> bool {
    let origin = format!("http://{host}");
    let from_here = match headers.get(ORIGIN) {
        Some(found) => found.as_bytes() == origin.as_bytes(),
        None => matches!(*method, Method::GET | Method::HEAD),
    };
    from_here && headers.get(HOST).is_some_and(|found| found.as_bytes() == host.as_bytes())
}

async fn front() -> Response {
    if is_built() { file(WEB, "index.html".into()).await } else { NOT_BUILT.into_response() }
}

/// Whether the page has the npm package to work with.
pub(crate) fn is_built() -> bool {
    Path::new(PACKAGE).join("esm/browser.js").exists()
}

/// A file of `folder`, as it is now.
async fn file(folder: &'static str, path: String) -> Response {
    let plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if !path.split('/').all(plain) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let media_type = match path.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js" | "mjs")) => "text/javascript; charset=utf-8",
        Some((_, "wasm")) => "application/wasm",
        Some((_, "svg")) => "image/svg+xml",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match tokio::fs::read(PathBuf::from(folder).join(path)).await {
        Ok(bytes) => ([(CONTENT_TYPE, media_type)], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

struct SignUpDesk {
    accounts: Arc<Accounts>,
    store: Arc<Store>,
}

#[derive(Deserialize)]
struct Newcomer {
    name: String,
    recipient: String,
    /// Take the name from whoever has it: somebody who lost their keys.
    #[serde(default)]
    anew: bool,
}

/// POST /accounts: from here on, requests that this recipient signs are let in. It gets public keys only.
async fn sign_someone_up(
    State(desk): State<Arc<SignUpDesk>>,
    Json(Newcomer { name, recipient, anew }): Json<Newcomer>,
) -> Result<StatusCode, StatusCode> {
    let is_name = (1..=16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase());
    let signer = Recipient::parse(&recipient).map_err(|_| StatusCode::BAD_REQUEST)?.signer();
    if !is_name || name == "mallory" {
        return Err(StatusCode::BAD_REQUEST);
    }
    let had_it = desk.accounts.named(&name).is_some_and(|one| one != signer);
    match desk.accounts.sign_up(&name, signer, anew) {
        SignUp::Done if had_it => {
            // The directory's entry was of who had the name before, and theirs alone to change.
            let deleted = desk.store.delete(&format!("people/{name}")).await;
            deleted.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        }
        SignUp::Done => {}
        SignUp::Taken => return Err(StatusCode::CONFLICT),
        SignUp::Full => return Err(StatusCode::INSUFFICIENT_STORAGE),
    }
    Ok(StatusCode::NO_CONTENT)
}
