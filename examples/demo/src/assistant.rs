//! The assistant: a service that reads what it is asked, so requests are sealed to it. It sees the inner request only.

use crate::Outcome;
use crate::accounts::Accounts;
use axum::extract::{Extension, Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use sealwire::http::Sender;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) struct Assistant {
    accounts: Arc<Accounts>,
    orders: AtomicUsize,
}

impl Assistant {
    pub(crate) fn of(accounts: Arc<Accounts>) -> Self {
        Self { accounts, orders: AtomicUsize::new(0) }
    }

    /// How many orders were placed: something that must not happen twice.
    pub(crate) fn orders(&self) -> usize {
        self.orders.load(Ordering::SeqCst)
    }

    fn name(&self, sender: Sender) -> String {
        self.accounts.name(&sender.0).unwrap_or_else(|| "somebody".into())
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) question: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) asked_by: String,
    pub(crate) answer: String,
}

/// How long the assistant thinks before each line of a streamed answer.
pub(crate) const PAUSE: Duration = Duration::from_millis(150);
pub(crate) const LINES: [&str; 4] =
    ["two sleeping bags", "matches and candles", "the spare fuse for the alarm", "coffee, of course"];

pub(crate) fn routes(assistant: Arc<Assistant>) -> Router {
    Router::new()
        .route("/assistant/ask", post(ask))
        .route("/assistant/orders", post(order))
        .route("/assistant/stream", get(answer_slowly))
        .route("/assistant/public/{page}", get(page))
        .with_state(assistant)
}

async fn ask(
    assistant: State<Arc<Assistant>>,
    Extension(sender): Extension<Sender>,
    Json(Question { question }): Json<Question>,
) -> Json<Reply> {
    let words = question.split_whitespace().count();
    let answer = format!("To your {words} words: three nights, six logs a night, so eighteen logs.");
    Json(Reply { asked_by: assistant.name(sender), answer })
}

async fn order(assistant: State<Arc<Assistant>>) -> (StatusCode, String) {
    let number = assistant.orders.fetch_add(1, Ordering::SeqCst) + 1;
    (StatusCode::CREATED, format!("order {number}: eighteen logs"))
}

#[derive(Deserialize)]
struct About {
    about: String,
}

/// Server-sent events, one after the other.
async fn answer_slowly(
    Query(About { about }): Query<About>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = format!("about {about}:");
    let lines = std::iter::once(first).chain(LINES.iter().map(ToString::to_string));
    Sse::new(stream::unfold(lines, |mut lines| async move {
        let line = lines.next()?;
        tokio::time::sleep(PAUSE).await;
        Some((Ok(Event::default().data(line)), lines))
    }))
}

/// Pages for everybody: sealed, but not signed, so the server does not learn who reads them.
async fn page(UrlPath(page): UrlPath<String>) -> Result<String, StatusCode> {
    match page.as_str() {
        "help" => Ok("Ask the assistant anything. It forgets.".into()),
        "hours" => Ok("The assistant is awake at all hours.".into()),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

/// The data of the events in `text`, and what is left of an event that is not complete yet.
pub(crate) fn events(text: &mut String) -> Outcome<Vec<String>> {
    let mut events = Vec::new();
    while let Some((event, rest)) = text.split_once("\n\n") {
        events.push(event.strip_prefix("data: ").ok_or("not an event with data")?.to_owned());
        *text = rest.to_owned();
    }
    Ok(events)
}
