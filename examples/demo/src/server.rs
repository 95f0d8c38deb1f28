//! The API: it routes, stores and counts revisions, and has no key. Nothing in this file comes from Sealwire.
//!
//! Every row has a header and a body, in two columns, so that readers can be added by replacing the small one. Who may
//! ask for which row is the API's own business (sessions, tokens, roles), works as before, and is left out here.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::header::{ETAG, HeaderName, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use rusqlite::{Connection, OptionalExtension, params};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How many of the bytes that are PUT belong into the first column.
pub(crate) const HEADER_LENGTH: HeaderName = HeaderName::from_static("header-length");
const MAX_ROW: usize = 16 * 1024 * 1024;
/// A client that adds readers to a row needs its header, and this much of the body.
const FRONT: i64 = 56;

/// A server that is up until this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the rows of the SQLite file at `file`, on a free port of the loopback interface.
pub(crate) async fn start(file: &Path) -> Result<Server, Box<dyn Error>> {
    let database = Connection::open(file)?;
    database.busy_timeout(Duration::from_secs(5))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.execute_batch(
        "CREATE TABLE rows (path TEXT PRIMARY KEY, revision INTEGER NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL)",
    )?;
    let app = Router::new()
        .route("/{kind}/{id}", get(read).put(write))
        .route("/{kind}/{id}/front", get(read_front))
        .route("/{kind}/{id}/header", put(replace_header))
        .layer(DefaultBodyLimit::max(MAX_ROW))
        .with_state(Database(Arc::new(Mutex::new(database))));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
    Ok(Server { address, task })
}

#[derive(Clone)]
struct Database(Arc<Mutex<Connection>>);

impl Database {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Answer<T> = Result<T, StatusCode>;

fn failed(_: rusqlite::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// GET /notes/17: header and body, one after the other.
async fn read(database: State<Database>, path: UrlPath<(String, String)>) -> Answer<impl IntoResponse> {
    send(&database, path, "SELECT revision, header, body FROM rows WHERE path = ?1")
}

/// GET /notes/17/front: the header, and the first bytes of the body.
async fn read_front(database: State<Database>, path: UrlPath<(String, String)>) -> Answer<impl IntoResponse> {
    let query = format!("SELECT revision, header, substr(body, 1, {FRONT}) FROM rows WHERE path = ?1");
    send(&database, path, &query)
}

fn send(
    database: &Database,
    UrlPath((kind, id)): UrlPath<(String, String)>,
    query: &str,
) -> Answer<impl IntoResponse + use<>> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found: Option<(i64, Vec<u8>, Vec<u8>)> =
        database.lock().query_row(query, [format!("{kind}/{id}")], row).optional().map_err(failed)?;
    let (revision, header, body) = found.ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(ETAG, revision.to_string())], [header, body].concat()))
}

/// PUT /notes/17: the first `Header-Length` bytes go into one column, the others into the other.
async fn write(
    database: State<Database>,
    UrlPath((kind, id)): UrlPath<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<StatusCode> {
    let length = headers.get(HEADER_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let (header, body) =
        length.and_then(|length| bytes.split_at_checked(length)).ok_or(StatusCode::BAD_REQUEST)?;
    let upsert = "INSERT INTO rows VALUES (?1, 1, ?2, ?3)
        ON CONFLICT (path) DO UPDATE SET revision = revision + 1, header = ?2, body = ?3";
    database.lock().execute(upsert, params![format!("{kind}/{id}"), header, body]).map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// PUT /notes/17/header with `If-Match`: a new header for a body that is still the same.
async fn replace_header(
    database: State<Database>,
    UrlPath((kind, id)): UrlPath<(String, String)>,
    headers: HeaderMap,
    header: Bytes,
) -> Answer<StatusCode> {
    let revision: Option<i64> = headers.get(IF_MATCH).and_then(|value| value.to_str().ok()?.parse().ok());
    let update = "UPDATE rows SET header = ?1, revision = revision + 1 WHERE path = ?2 AND revision IS ?3";
    let changed = database
        .lock()
        .execute(update, params![header.as_ref(), format!("{kind}/{id}"), revision])
        .map_err(failed)?;
    if changed == 1 { Ok(StatusCode::NO_CONTENT) } else { Err(StatusCode::PRECONDITION_FAILED) }
}
