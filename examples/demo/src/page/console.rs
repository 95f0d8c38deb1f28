//! The console of a hostile server: what it holds of everybody, and what it could do. Nothing of this is in the API.
//!
//! An act alters rows, or what passes the CDN, until `/console/honest` puts all back; in between the page makes an ordinary call,
//! and shows what refused it. Or the server is sent a request of somebody's once more, changed or not.

use crate::Outcome;
use crate::accounts::Accounts;
use crate::proxy::{Answer, Call, Proxy, Step, Tamper};
use crate::script::now;
use crate::search::hex;
use crate::server::{AccessLog, Server};
use crate::store::{Row, Rows, Store};
use crate::surgery::{Signing, Slots, chunk, cut, flip, flipped, raise_version, unsign};
use axum::extract::{Path as UrlPath, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use sealwire::http::{KEYS_PATH, KeyId, Origin, ServiceKeys};
use sealwire::{
    Header, Identity, MetadataValue, Opener, Recipient, SealContext, Sealer, join, split, to_text,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of a header and of a body is shown.
const SHOWN: usize = 64;
const FORGED: &str = r#"{"text":"Please wire 5,000 to account 4711."}"#;

pub(super) struct Console {
    proxy: Proxy,
    server: Server,
    store: Arc<Store>,
    accounts: Arc<Accounts>,
    log: Arc<AccessLog>,
    /// In league with the server; has an account.
    mallory: Arc<Identity>,
    /// What was altered: path, row as it was, row as it is.
    altered: Mutex<Vec<(String, Row, Row)>>,
}

/// Whom it is about.
#[derive(Deserialize)]
struct Target {
    /// Who will make the ordinary call.
    reader: String,
    /// The note that they will call for.
    note: String,
    /// Another one of theirs.
    other: Option<String>,
    /// Somebody whose keys they will look up.
    contact: Option<String>,
}

/// What the page has to do, for an act to be run into.
#[derive(Serialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Then {
    Read,
    Share,
    Download,
    LookUp,
    Write,
    Ask,
    Nothing,
}

enum Does {
    /// Alters the rows.
    Rows(fn(&Console, &Target, &mut Rows) -> Outcome<()>),
    /// Alters what passes.
    Wire(fn(&Console, &Target) -> Outcome<Tamper>),
    /// Sends the server a request once more that wrote the note.
    Sends(fn(&Console, &mut Call) -> Outcome<()>),
}

#[derive(Serialize)]
struct Act {
    name: &'static str,
    did: &'static str,
    refused_by: &'static str,
    /// Who has to refuse: `client` or `server`.
    at: &'static str,
    code: &'static str,
    then: Then,
    #[serde(skip)]
    does: Does,
}

const ACTS: &[Act] = &[
    Act {
        name: "flip",
        did: "Flip one bit of the note",
        refused_by: "the tag of its chunk",
        at: "client",
        code: "Rejected",
        then: Then::Read,
        does: Does::Rows(|_, target, rows| flip(&mut note(rows, &target.note)?.body, 100)),
    },
    Act {
        name: "forge",
        did: "Write a note of its own in its place",
        refused_by: "it is not signed, and everybody could have written it",
        at: "client",
        code: "Rejected",
        then: Then::Read,
        does: Does::Rows(|console, target, rows| {
            let context = context("notes", &target.note);
            put(rows, &target.note, |next| {
                Ok(Sealer::new(&context)
                    .to(&console.keys_of(&target.reader)?)
                    .metadata("version", next)
                    .seal(FORGED.as_bytes())?)
            })
        }),
    },
    Act {
        name: "forge-signed",
        did: "Have Mallory write and sign one",
        refused_by: "only people whom you have met may sign",
        at: "client",
        code: "Rejected",
        then: Then::Read,
        does: Does::Rows(|console, target, rows| {
            let context = context("notes", &target.note);
            put(rows, &target.note, |next| {
                Ok(Sealer::new(&context)
                    .to(&console.keys_of(&target.reader)?)
                    .sign(&console.mallory)
                    .metadata("version", next)
                    .seal(FORGED.as_bytes())?)
            })
        }),
    },
    Act {
        name: "swap",
        did: "Serve another note under its id",
        refused_by: "a note is bound to its id, which is never sent",
        at: "client",
        code: "Rejected",
        then: Then::Read,
        does: Does::Rows(swap),
    },
    Act {
        name: "old",
        did: "Serve an older version",
        refused_by: "the highest version that you have seen",
        at: "client",
        code: "Rejected",
        then: Then::Read,
        does: Does::Rows(|console, target, rows| {
            let now = version(&note(rows, &target.note)?.header)?;
            let old = console.proxy.writes(&path(&target.note)).into_iter().find(|call| {
                split(&call.body)
                    .ok()
                    .and_then(|(header, _)| version(header).ok())
                    .is_some_and(|old| old < now)
            });
            let old = old.ok_or("There is only one version so far: take somebody off this note first.")?;
            put(rows, &target.note, |_| Ok(old.body.to_vec()))
        }),
    },
    Act {
        name: "raise",
        did: "Raise the version number",
        refused_by: "every slot is bound to the metadata",
        at: "client",
        code: "NotRecipient",
        then: Then::Read,
        does: Does::Rows(|_, target, rows| raise_version(note(rows, &target.note)?)),
    },
    Act {
        name: "drop",
        did: "Drop a reader’s slot",
        refused_by: "the tag over all slots",
        at: "client",
        code: "NotRecipient",
        then: Then::Read,
        does: Does::Rows(|_, target, rows| {
            let header = &mut note(rows, &target.note)?.header;
            if Header::parse(header)?.unverified_slots().count() < 2 {
                return Err("Only one person can open this note: share it first.".into());
            }
            let slots = Slots::find(header)?;
            let first = slots.slot(header, 0)?.to_vec();
            slots.replace(header, &[&first])
        }),
    },
    Act {
        name: "share",
        did: "Have another note shared in its place",
        refused_by: "sharing checks what is shared first",
        at: "client",
        code: "Rejected",
        then: Then::Share,
        does: Does::Rows(swap),
    },
    Act {
        name: "page",
        did: "Answer with an error page, and status 200",
        refused_by: "it is no envelope",
        at: "client",
        code: "Malformed",
        then: Then::Read,
        does: Does::Rows(|_, target, rows| {
            let row = note(rows, &target.note)?;
            (row.header, row.body) = (Vec::new(), b"<html><h1>502 Bad Gateway</h1></html>".into());
            Ok(())
        }),
    },
    Act {
        name: "plain",
        did: "Answer in plain text",
        refused_by: "a note is an envelope, always",
        at: "client",
        code: "Unsealed",
        then: Then::Read,
        does: Does::Wire(|_, target| Ok(in_plain_text(path(&target.note), "text/plain"))),
    },
    Act {
        name: "truncate",
        did: "Cut the picture off",
        refused_by: "its last chunk is missing",
        at: "client",
        code: "Truncated",
        then: Then::Download,
        does: Does::Rows(|_, target, rows| cut(&mut picture(rows, target)?.body, chunk(1).start..usize::MAX)),
    },
    Act {
        name: "middle",
        did: "Take a piece out of the picture",
        refused_by: "chunks are bound to their place",
        at: "client",
        code: "Rejected",
        then: Then::Download,
        does: Does::Rows(|_, target, rows| cut(&mut picture(rows, target)?.body, chunk(1))),
    },
    Act {
        name: "own-key",
        did: "Hand out its own key as a friend’s",
        refused_by: "the pin that you got from your friend",
        at: "client",
        code: "InvalidKey",
        then: Then::LookUp,
        does: Does::Rows(|console, target, rows| {
            let contact = target.contact.as_deref().ok_or("You have met nobody yet.")?;
            let row = rows.get_mut(&format!("people/{contact}")).ok_or("There is no such person.")?;
            row.body = console.mallory.recipient().to_string().into();
            Ok(())
        }),
    },
    Act {
        name: "ask-plain",
        did: "Answer a sealed question in plain text",
        refused_by: "an answer is sealed, always",
        at: "client",
        code: "Unsealed",
        then: Then::Ask,
        does: Does::Wire(|_, _| Ok(in_plain_text("/assistant/ask".into(), "application/json"))),
    },
    Act {
        name: "service-key",
        did: "Pass its own key off as the assistant’s",
        refused_by: "the pin that the app was shipped with",
        at: "client",
        code: "Rejected",
        then: Then::Ask,
        does: Does::Wire(|console, _| {
            let (origin, now) = (Origin::parse(&console.proxy.origin)?, now());
            let document = ServiceKeys::generate(now)?.document(&console.mallory, &[origin], &[], now)?;
            Ok(Tamper::answers(move |call, mut answer| {
                if call.path == KEYS_PATH && call.method != Method::OPTIONS {
                    answer.body = document.clone().into();
                }
                answer
            }))
        }),
    },
    Act {
        name: "transit",
        did: "Change a note on its way in",
        refused_by: "the digest under the request’s signature",
        at: "server",
        code: "Rejected",
        then: Then::Write,
        does: Does::Wire(|_, target| {
            let path = path(&target.note);
            Ok(Tamper::requests(move |call| {
                let hit = call.method == Method::PUT && call.path == path;
                Step::Pass(if hit { flipped(call) } else { call })
            }))
        }),
    },
    Act {
        name: "replay",
        did: "Send the write a second time",
        refused_by: "its nonce was seen",
        at: "server",
        code: "Replayed",
        then: Then::Nothing,
        does: Does::Sends(|_, _| Ok(())),
    },
    Act {
        name: "unsign",
        did: "Send it without its signature",
        refused_by: "unsigned is refused",
        at: "server",
        code: "Rejected",
        then: Then::Nothing,
        does: Does::Sends(|_, call| {
            unsign(call);
            Ok(())
        }),
    },
    Act {
        name: "re-sign",
        did: "Sign it as Mallory",
        refused_by: "verified as Mallory’s, whose note it is not",
        at: "server",
        code: "403",
        then: Then::Nothing,
        does: Does::Sends(|console, call| Signing::new(&console.mallory, &console.proxy.origin)?.sign(call)),
    },
];

pub(super) fn routes(console: Arc<Console>) -> Router {
    Router::new()
        .route("/rows", get(rows))
        .route("/log", get(log))
        .route("/acts", get(|| async { Json(ACTS) }))
        .route("/acts/{name}", post(act))
        .route("/honest", post(be_honest))
        .with_state(console)
}

type Answered<T> = Result<T, StatusCode>;

fn failed(_: Box<dyn std::error::Error + Send + Sync>) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// GET /console/rows: what the database holds.
async fn rows(State(console): State<Arc<Console>>) -> Answered<Json<Vec<Value>>> {
    let rows = console.store.all().await.map_err(failed)?;
    Ok(Json(rows.iter().map(|(path, row)| console.describe(path, row)).collect()))
}

/// GET /console/log: the last lines of the access log.
async fn log(State(console): State<Arc<Console>>) -> Json<Vec<String>> {
    let lines = console.log.lines();
    Json(lines.iter().rev().take(12).rev().cloned().collect())
}

/// POST /console/acts/forge: does it. What the API refused at once is in the answer.
async fn act(
    State(console): State<Arc<Console>>,
    UrlPath(name): UrlPath<String>,
    Json(target): Json<Target>,
) -> Answered<Json<Value>> {
    let found = ACTS.iter().find(|act| act.name == name);
    let act = found.ok_or(StatusCode::NOT_FOUND)?;
    console.put_back().await.map_err(failed)?;
    // Why not, in words for whoever clicked.
    let done = console.run(act, &target).await;
    Ok(Json(done.unwrap_or_else(|error| json!({ "impossible": error.to_string() }))))
}

/// POST /console/honest: puts all back. Says what the server refused since the act, as its operator alone is told.
async fn be_honest(State(console): State<Arc<Console>>) -> Answered<Json<Value>> {
    console.put_back().await.map_err(failed)?;
    Ok(Json(json!({ "refused": console.server.audit.take_refusals() })))
}

impl Console {
    pub(super) fn new(
        proxy: Proxy,
        server: Server,
        store: Arc<Store>,
        accounts: Arc<Accounts>,
        log: Arc<AccessLog>,
        mallory: Arc<Identity>,
    ) -> Self {
        Self { proxy, server, store, accounts, log, mallory, altered: Mutex::default() }
    }

    async fn run(&self, act: &Act, target: &Target) -> Outcome<Value> {
        drop(self.server.audit.take_refusals());
        match act.does {
            Does::Rows(alter) => {
                let honest = self.store.all().await?;
                let mut rows = honest.clone();
                alter(self, target, &mut rows)?;
                let changed: Vec<_> = honest
                    .into_iter()
                    .filter_map(|(path, was)| {
                        let is = rows.get(&path).filter(|is| **is != was)?.clone();
                        Some((path, was, is))
                    })
                    .collect();
                if changed.is_empty() {
                    return Err("That changed nothing.".into());
                }
                for (path, _, is) in &changed {
                    self.store.alter(path, is).await?;
                }
                *self.altered.lock().unwrap_or_else(PoisonError::into_inner) = changed;
                Ok(json!({}))
            }
            Does::Wire(tamper) => {
                self.proxy.turn(Some(tamper(self, target)?));
                Ok(json!({}))
            }
            Does::Sends(change) => {
                let mut calls = self.proxy.writes(&path(&target.note));
                let mut call = calls.pop().ok_or("Nobody wrote this note through this CDN.")?;
                change(self, &mut call)?;
                let Answer { status, .. } = self.proxy.send(&call).await?;
                Ok(json!({ "status": status.as_u16(), "refused": self.server.audit.take_refusals() }))
            }
        }
    }

    /// Rows that somebody wrote anew in between stay as they are now.
    async fn put_back(&self) -> Outcome<()> {
        self.proxy.turn(None);
        let altered = std::mem::take(&mut *self.altered.lock().unwrap_or_else(PoisonError::into_inner));
        for (path, was, is) in altered {
            if self.store.find(&path).await?.is_some_and(|now| now == is) {
                self.store.alter(&path, &was).await?;
            }
        }
        Ok(())
    }

    /// A row, and what can be told of it without a key.
    fn describe(&self, path: &str, row: &Row) -> Value {
        let shown = |bytes: &[u8]| hex(bytes.get(..SHOWN.min(bytes.len())).unwrap_or_default());
        let parsed = Header::parse(&row.header).ok();
        let owner = KeyId::parse(&row.owner).ok();
        let owner = owner.and_then(|id| self.accounts.signer(&id)).and_then(|one| self.accounts.name(&one));
        let opened = path.split_once('/').map(|(kind, id)| {
            let context = context(kind, id);
            let opened = Opener::new(&*self.mallory, &context).open_detached(&row.header, &row.body);
            opened.map_or_else(|error| error.code(), |_| "ok")
        });
        json!({
            "path": path,
            "revision": row.revision,
            "owner": owner,
            "headerLength": row.header.len(),
            "bodyLength": row.body.len(),
            "header": shown(&row.header),
            "body": shown(&row.body),
            "text": to_text(row.body.get(..SHOWN.min(row.body.len())).unwrap_or_default()),
            "slots": parsed.as_ref().map(|header| header.unverified_slots().count()),
            "padded": parsed.as_ref().map(Header::unverified_padded),
            "version": version(&row.header).ok(),
            "mallory": opened,
        })
    }

    /// Everybody can have them.
    fn keys_of(&self, name: &str) -> Outcome<Recipient> {
        let calls = self.proxy.writes(&format!("/people/{name}"));
        let published = calls.last().ok_or("There is no such person.")?;
        Ok(Recipient::parse(std::str::from_utf8(&published.body)?)?)
    }
}

fn path(note: &str) -> String {
    format!("/notes/{note}")
}

fn context(kind: &str, id: &str) -> SealContext {
    SealContext::new(kind).field(id)
}

fn note<'r>(rows: &'r mut Rows, id: &str) -> Outcome<&'r mut Row> {
    Ok(rows.get_mut(&format!("notes/{id}")).ok_or("There is no such note.")?)
}

fn picture<'r>(rows: &'r mut Rows, target: &Target) -> Outcome<&'r mut Row> {
    let row = rows.get_mut(&format!("attachments/{}", target.note)).ok_or("This note has no picture.")?;
    // Of a last chunk alone there is nothing to take away between two chunks.
    if row.body.len() < chunk(3).start {
        return Err("This picture is too small: take one of more than 50 KB.".into());
    }
    Ok(row)
}

/// Puts an envelope in a note's place, made for the version after its own.
fn put(rows: &mut Rows, id: &str, make: impl FnOnce(u64) -> Outcome<Vec<u8>>) -> Outcome<()> {
    let row = note(rows, id)?;
    let envelope = make(version(&row.header)? + 1)?;
    let (header, body) = split(&envelope)?;
    (row.header, row.body) = (header.into(), body.into());
    Ok(())
}

fn swap(_: &Console, target: &Target, rows: &mut Rows) -> Outcome<()> {
    let other = target.other.as_deref().ok_or("There is no other note of yours: write one first.")?;
    let other = note(rows, other)?.clone();
    let envelope = join(&other.header, &other.body);
    put(rows, &target.note, |_| Ok(envelope))
}

/// Answers with what looks right, and with the fields by which a page on another origin may read it.
fn in_plain_text(path: String, media_type: &'static str) -> Tamper {
    Tamper::answers(move |call, mut answer| {
        if call.path == path && call.method != Method::OPTIONS {
            answer.status = StatusCode::OK;
            answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            answer.body = FORGED.into();
        }
        answer
    })
}

fn version(header: &[u8]) -> Outcome<u64> {
    match Header::parse(header)?.unverified_metadata().find("version") {
        Some(MetadataValue::Number(version)) => Ok(*version),
        _ => Ok(0),
    }
}
