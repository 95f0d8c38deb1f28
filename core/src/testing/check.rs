//! Whether tampering is refused.

use super::canary::Canaries;
use super::recorder::{Recorder, Shared};
use super::report::{OpacityItem, OpacityReport};
use super::tamper::{Answered, InTheClear, Plan, Tampering};
use crate::error::{Error, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long one call may take.
const MAX_CALL: Duration = Duration::from_secs(30);
/// The statuses of a gate. Every other one comes from behind it, from an app that has read the request.
const REFUSALS: [u16; 3] = [400, 401, 403];

/// What is most often the reason that tampering with an answer goes unnoticed, and lies in the test.
const NOT_NOTICED: &str = "read its answer to the end in it, and return what fails, of a list each item's error too; \
    a write that believes nothing of its answer is added with .write";

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Calling<'a> = Pin<Box<dyn Future<Output = std::result::Result<(), BoxError>> + 'a>>;

/// Runs an app's calls through a [`Recorder`] that tampers with them, and says what was not refused.
///
/// Each call runs once as it is and once for each [`Tampering`], 18 times in all, so it must be able to run repeatedly. Tampering with an
/// answer is refused if the call is an error: read the whole answer in it, and return what fails, of a list each item's error too
/// (`Response::into_list`). A write that believes nothing of its answer is added with [`OpacityCheck::write`]. Tampering with a request is refused if the server answers 400, 401 or 403, or
/// closes the connection; or, for GET and HEAD, if the call is an error. The service's key document is left alone.
///
/// ```
/// # #[cfg(feature = "reqwest")]
/// # async fn example(recorder: sealwire::testing::Recorder, client: sealwire::http::Client) -> sealwire::Result<()> {
/// use sealwire::testing::{Canaries, Canary, OpacityCheck};
///
/// let body = Canary::new("note body")?;
/// OpacityCheck::new(&recorder, &Canaries::from([&body]))
///     .call("save", |url| client.post(format!("{url}/notes/17")).body(body.text()).send())
///     .call("list", |url| client.get(format!("{url}/notes")).send())
///     .run()
///     .await?
///     .assert_opaque();
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct OpacityCheck<'a> {
    recorder: &'a Recorder,
    canaries: Canaries,
    calls: Vec<Call<'a>>,
    left_out: Vec<Tampering>,
}

struct Call<'a> {
    name: String,
    call: Box<dyn Fn(String) -> Calling<'a> + 'a>,
    clear: InTheClear,
    reads: bool,
}

impl<'a> OpacityCheck<'a> {
    /// No calls yet.
    pub fn new(recorder: &'a Recorder, canaries: &Canaries) -> Self {
        Self { recorder, canaries: canaries.clone(), calls: Vec::new(), left_out: Vec::new() }
    }

    /// Adds a call of the app's: what it does with the URL of the recorder, and whether it succeeds. Two calls to different paths are the least.
    pub fn call<F, T, E>(self, name: &str, call: impl Fn(String) -> F + 'a) -> Self
    where
        F: Future<Output = std::result::Result<T, E>> + 'a,
        E: Into<BoxError>,
    {
        self.add(name, call, true)
    }

    /// Adds a call that believes nothing of its answer, such as a write of a sealed resource: what a server says to it is its own word (SPEC §20).
    /// So tampering with its answers is not tried, but that it follows no redirect is.
    pub fn write<F, T, E>(self, name: &str, call: impl Fn(String) -> F + 'a) -> Self
    where
        F: Future<Output = std::result::Result<T, E>> + 'a,
        E: Into<BoxError>,
    {
        self.add(name, call, false)
    }

    fn add<F, T, E>(mut self, name: &str, call: impl Fn(String) -> F + 'a, reads: bool) -> Self
    where
        F: Future<Output = std::result::Result<T, E>> + 'a,
        E: Into<BoxError>,
    {
        let call = Box::new(move |url| {
            let called = call(url);
            let calling: Calling<'a> = Box::pin(async move { called.await.map(|_| ()).map_err(Into::into) });
            calling
        });
        self.calls.push(Call { name: name.to_owned(), call, clear: InTheClear::default(), reads });
        self
    }

    /// What the last call would look like without protection: the bodies of a good request and a good answer. Without it they are `{}`, which
    /// an app may refuse for what it is, rather than for what it lacks.
    pub fn in_the_clear(
        mut self,
        content_type: &str,
        request: impl Into<Vec<u8>>,
        answer: impl Into<Vec<u8>>,
    ) -> Self {
        if let Some(call) = self.calls.last_mut() {
            let (request, answer) = (request.into(), answer.into());
            call.clear = InTheClear { content_type: content_type.to_owned(), request, answer };
        }
        self
    }

    /// Leaves something out that the app does not promise to refuse. The report says so.
    pub fn without(mut self, tampering: Tampering) -> Self {
        self.left_out.push(tampering);
        self
    }

    /// Runs everything: the items of all calls, then those of [`Recorder::report`].
    ///
    /// # Errors
    /// [`Error::Misuse`] for fewer than two calls, since each is confused with another; those of [`Recorder::report`].
    pub async fn run(self) -> Result<OpacityReport> {
        if self.calls.len() < 2 {
            return Err(Error::Misuse(&"an opacity check of fewer than two calls"));
        }
        let (url, shared) = (self.recorder.url(), self.recorder.shared());
        let mut items = Vec::new();
        let mut seen = Vec::new();
        for call in &self.calls {
            let before = shared.requests();
            let outcome = call.run(url).await;
            let last = shared.last_call(before);
            let detail = match (&outcome, &last) {
                (Outcome::Done, Some(_)) => "it works".to_owned(),
                (Outcome::Done, None) => "it sent nothing through the recorder".to_owned(),
                (outcome, _) => format!("it does not work: {}", outcome.text()),
            };
            items.push(item(call, "untouched", outcome == Outcome::Done && last.is_some(), detail));
            seen.push(last);
        }
        let works = items.iter().all(|item| item.passed);
        for (i, call) in self.calls.iter().enumerate().filter(|_| works) {
            let own = seen.get(i).and_then(Option::as_ref).map(|(head, _)| path(head));
            let other = seen.iter().flatten().find(|(head, _)| Some(path(head)) != own);
            let other = other.map(|(head, answer)| (head.target().to_owned(), answer.clone()));
            for tampering in Tampering::ALL {
                if self.left_out.contains(&tampering) {
                    items.push(item(call, tampering.name(), true, "left out".to_owned()));
                } else if call.reads || tampering.is_of_request() || tampering == Tampering::Redirect {
                    let plan = Plan { tampering, other: other.clone(), clear: call.clear.clone() };
                    let (passed, detail) = call.check(url, shared, plan).await;
                    items.push(item(call, tampering.name(), passed, detail));
                }
            }
        }
        Ok(self.recorder.report(&self.canaries)?.behind(items))
    }
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// With the code of the error, if it is one of ours. Other texts might hold content.
    Failed(Option<&'static str>),
    TooSlow,
}

impl Outcome {
    fn text(&self) -> String {
        match self {
            Self::Done => "the call succeeded".to_owned(),
            Self::Failed(Some(code)) => format!("the call failed with {code}"),
            Self::Failed(None) => "the call failed".to_owned(),
            Self::TooSlow => format!("the call took more than {} s", MAX_CALL.as_secs()),
        }
    }
}

impl Call<'_> {
    async fn run(&self, url: &str) -> Outcome {
        match tokio::time::timeout(MAX_CALL, (self.call)(url.to_owned())).await {
            Ok(Ok(())) => Outcome::Done,
            Ok(Err(error)) => Outcome::Failed(error.downcast_ref::<Error>().map(Error::code)),
            Err(_) => Outcome::TooSlow,
        }
    }

    /// Runs the call under a plan: whether it was refused, and by whom.
    async fn check(&self, url: &str, shared: &Shared, plan: Plan) -> (bool, String) {
        let tampering = plan.tampering;
        shared.follow(Some(Arc::new(plan)));
        let outcome = self.run(url).await;
        let answered = shared.answered();
        shared.follow(None);
        if answered.iter().any(|request| request.followed) {
            return (false, "the client followed it: build it with redirects off".to_owned());
        }
        if outcome == Outcome::TooSlow || answered.is_empty() {
            return (false, format!("{}, and nothing to tamper with came", outcome.text()));
        }
        let changed: Vec<_> = answered.iter().filter(|request| request.changed).collect();
        let failed = matches!(outcome, Outcome::Failed(_));
        match (changed.as_slice(), tampering.is_of_request()) {
            ([], _) => (true, "does not apply: there is none in this call".to_owned()),
            (_, false) if !self.reads => (true, "not followed".to_owned()),
            (_, false) if failed => (true, outcome.text()),
            (_, false) => (false, format!("{}: {NOT_NOTICED}", outcome.text())),
            (changed, true) => {
                let by_server = changed.iter().all(|request| is_refusal(request));
                let is_read = changed.iter().all(|request| matches!(request.method.as_str(), "GET" | "HEAD"));
                let by_client = failed && is_read && tampering != Tampering::ReplayedRequest;
                if by_server || !by_client {
                    let accepted = changed.iter().find(|request| !is_refusal(request));
                    let status =
                        accepted.or(changed.first().copied().as_ref()).and_then(|request| request.status);
                    let status = status
                        .map_or("closed the connection".to_owned(), |status| format!("answered {status}"));
                    (by_server, format!("the server {status}"))
                } else {
                    (true, outcome.text())
                }
            }
        }
    }
}

fn is_refusal(request: &Answered) -> bool {
    request.status.is_none_or(|status| REFUSALS.contains(&status))
}

fn path(head: &super::wire::Head) -> &str {
    head.target().split('?').next().unwrap_or_default()
}

fn item(call: &Call<'_>, what: &str, passed: bool, detail: String) -> OpacityItem {
    OpacityItem { name: format!("{}: {what}", call.name), passed, detail }
}
