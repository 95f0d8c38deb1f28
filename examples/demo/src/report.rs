//! What `--json` prints: one document, of which scripts read what happened.

use serde::Serialize;

#[derive(Serialize, Default)]
pub(crate) struct Report {
    /// Everything went as it must.
    pub(crate) ok: bool,
    pub(crate) error: Option<String>,
    pub(crate) origin: String,
    /// Where the page is, with `--serve`.
    pub(crate) page: Option<String>,
    pub(crate) store: String,
    pub(crate) replay_cache: &'static str,
    pub(crate) servers: usize,
    /// Only with `--keep`.
    pub(crate) folder: Option<String>,
    /// Who reads what, and what the server has instead.
    pub(crate) reads: Vec<Read>,
    /// The server-sent events, as they arrived.
    pub(crate) events: Vec<Heard>,
    pub(crate) access_log: Vec<String>,
    pub(crate) canaries: Canaries,
    pub(crate) acts: Vec<ActReport>,
    /// How many requests the servers verified or opened, and let in.
    pub(crate) let_in: usize,
    pub(crate) seconds: f64,
}

#[derive(Serialize)]
pub(crate) struct Read {
    pub(crate) who: &'static str,
    pub(crate) path: String,
    /// How many bytes this person reads; 0 if they are refused.
    pub(crate) bytes: usize,
    /// Who signed it; null if nobody did.
    pub(crate) signed_by: Option<&'static str>,
    /// Why it does not open.
    pub(crate) refused: Option<String>,
    pub(crate) row_header: usize,
    pub(crate) row_body: usize,
}

#[derive(Serialize)]
pub(crate) struct Heard {
    pub(crate) after_ms: u128,
    pub(crate) event: String,
}

#[derive(Serialize, Default)]
pub(crate) struct Canaries {
    pub(crate) searched_for: usize,
    pub(crate) in_database: usize,
    pub(crate) in_access_log: usize,
    pub(crate) on_the_wire: usize,
    pub(crate) database_bytes: usize,
    pub(crate) wire_bytes: usize,
}

#[derive(Serialize)]
pub(crate) struct ActReport {
    pub(crate) did: &'static str,
    pub(crate) refused_by: &'static str,
    /// Who refused: `client` or `server`.
    pub(crate) at: &'static str,
    pub(crate) code: String,
    pub(crate) expected: &'static str,
    pub(crate) held: bool,
}
