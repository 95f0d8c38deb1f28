//! What was found, for people and for programs.

use super::canary::Canaries;
use super::recorder::{Recorded, Side};
use super::search::{Decoded, Find, Search};
use super::tamper::{content, head_length};
use super::wire::Head;
use crate::error::{Error, Result};
use std::fmt;
use std::path::Path;

const MAX_FILE: u64 = 256 * 1024 * 1024;
/// How many finds of one canary in one place are told one by one.
const MAX_FINDS: usize = 8;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpacityItem {
    /// Where, and what: `wire: note body`, `save: swapped path`.
    pub name: String,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was seen. Never content: of a canary, its form and its place.
    pub detail: String,
}

/// What a [`Recorder`](super::Recorder) and an [`OpacityCheck`](super::OpacityCheck) saw.
///
/// Its text is a table. Scans of what the app stores are added to it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> sealwire::Result<()> {
/// # use sealwire::testing::{Canaries, Canary, Recorder};
/// # let recorder = Recorder::start(([127, 0, 0, 1], 9).into()).await?;
/// let body = Canary::new("note body")?;
/// let log = format!("saved note {}", body.text());
/// let report = recorder.report(&Canaries::from([&body]))?.scan_bytes("log", log.as_bytes())?;
/// let leak = report.items().iter().find(|item| item.name == "log: note body").unwrap();
/// assert_eq!((leak.passed, leak.detail.as_str()), (false, "as plaintext at byte 11"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct OpacityReport {
    canaries: Canaries,
    items: Vec<OpacityItem>,
}

impl OpacityReport {
    pub(super) fn of_wire(canaries: Canaries, messages: &[Recorded]) -> Result<Self> {
        let mut report = Self { canaries, items: Vec::new() };
        for canary in report.canaries.0.clone().iter().filter(|canary| !canary.is_planted()) {
            report.add(canary.name(), false, "nobody asked for its text, so that it can be nowhere");
        }
        if messages.is_empty() {
            report.add("wire", false, "nothing went through the recorder");
        }
        let search = Search::new(&report.canaries);
        let mut finds = Vec::new();
        for message in messages {
            let (place, found) = (place(message), search_message(&search, &message.bytes)?);
            if let Some(coding) = found.1 {
                report.add("wire", false, format!("{place}: cannot look into the content coding {coding}"));
            }
            finds.extend(found.0.into_iter().map(|find| (find, format!("{place}, "))));
        }
        let requests = messages.iter().filter(|message| message.side == Side::Client).count();
        report.tell("wire", &finds, &format!("not seen in {requests} requests and their answers"));
        Ok(report)
    }

    /// Looks for the canaries in these bytes too: a log, a row of a database. `name` is what the report calls them.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if there is too much to decode.
    pub fn scan_bytes(mut self, name: &str, bytes: &[u8]) -> Result<Self> {
        let finds = self.search(bytes)?.into_iter().map(|find| (find, String::new())).collect::<Vec<_>>();
        self.tell(name, &finds, &format!("not seen in {} bytes", bytes.len()));
        Ok(self)
    }

    /// Looks for the canaries in a file too: a database, a log.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be read; [`Error::TooLarge`] above 256 MiB.
    pub fn scan_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = read(path.as_ref())?;
        self.scan_bytes(&name, &bytes)
    }

    /// Looks for the canaries in the files of a folder and of those in it, and in their names. Links are not followed.
    ///
    /// # Errors
    /// As [`OpacityReport::scan_file`].
    pub fn scan_folder(mut self, path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref();
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut paths = Vec::new();
        files(root, &mut paths)?;
        if paths.is_empty() {
            self.add(&name, false, "there is no file in it");
        }
        let mut finds = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let shown = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
            let in_name = self.search(shown.as_bytes())?;
            let place =
                if in_name.is_empty() { format!("{shown}, ") } else { format!("file {}, ", number + 1) };
            finds.extend(in_name.into_iter().map(|find| (find, format!("the name of {place}"))));
            let inside = self.search(&read(path)?)?;
            finds.extend(inside.into_iter().map(|find| (find, place.clone())));
        }
        self.tell(&name, &finds, &format!("not seen in {} files", paths.len()));
        Ok(self)
    }

    /// Everything that was looked at, in order.
    #[must_use]
    pub fn items(&self) -> &[OpacityItem] {
        &self.items
    }

    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.items.iter().all(|item| item.passed)
    }

    /// For a test.
    ///
    /// # Panics
    /// With the table, unless everything is as it should be.
    #[track_caller]
    pub fn assert_opaque(&self) {
        assert!(self.is_opaque(), "\n{self}");
    }

    pub(super) fn add(&mut self, name: impl Into<String>, passed: bool, detail: impl Into<String>) {
        self.items.push(OpacityItem { name: name.into(), passed, detail: detail.into() });
    }

    /// Puts the items of another report in front.
    pub(super) fn behind(mut self, mut checks: Vec<OpacityItem>) -> Self {
        checks.append(&mut self.items);
        self.items = checks;
        self
    }

    fn search(&self, bytes: &[u8]) -> Result<Vec<Find>> {
        let mut finds = Vec::new();
        Search::new(&self.canaries).find(bytes, &|offset| offset, &mut finds)?;
        Ok(finds)
    }

    fn tell(&mut self, source: &str, finds: &[(Find, String)], otherwise: &str) {
        for (i, canary) in self.canaries.0.clone().iter().enumerate() {
            let name = format!("{source}: {}", canary.name());
            let found: Vec<_> = finds.iter().filter(|(find, _)| find.canary == i).collect();
            for (Find { form, offset, .. }, place) in found.iter().take(MAX_FINDS) {
                self.add(&name, false, format!("{place}as {form} at byte {offset}"));
            }
            if found.len() > MAX_FINDS {
                self.add(&name, false, format!("and {} times more", found.len() - MAX_FINDS));
            } else if found.is_empty() {
                self.add(&name, true, otherwise);
            }
        }
    }
}

impl fmt::Display for OpacityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.items.iter().filter(|item| !item.passed).count();
        let width = self.items.iter().map(|item| item.name.chars().count()).max().unwrap_or_default();
        for OpacityItem { name, passed, detail } in &self.items {
            let mark = if *passed { "ok  " } else { "FAIL" };
            writeln!(f, "{mark}  {name:width$}  {detail}")?;
        }
        write!(f, "{} passed, {failed} failed", self.items.len() - failed)
    }
}

fn place(message: &Recorded) -> String {
    match message.side {
        Side::Client => format!("request {}", message.number),
        Side::Server => format!("answer to request {}", message.number),
    }
}

/// The canaries in a message, and the content coding that nobody here can look into.
fn search_message(search: &Search, bytes: &[u8]) -> Result<(Vec<Find>, Option<String>)> {
    let (mut finds, mut sealed, mut at) = (Vec::new(), None, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let (head, body) = rest.split_at(head_length(rest));
        search.find(head, &|offset| at + offset, &mut finds)?;
        at += head.len();
        let Ok(head) = Head::parse(head) else { continue };
        if matches!(head.status(), Some(100..=199)) {
            continue;
        }
        search.find(body, &|offset| at + offset, &mut finds)?;
        if head.field("transfer-encoding").is_some() {
            let (content, stretches) = content(body);
            let decoded = Decoded::stretches(content, stretches);
            search.find(&decoded.bytes, &|offset| at + decoded.source(offset), &mut finds)?;
        }
        let coding = head.field("content-encoding").unwrap_or(b"identity");
        let coding = String::from_utf8_lossy(coding).to_ascii_lowercase();
        let known = |coding: &str| matches!(coding.trim(), "identity" | "gzip" | "x-gzip" | "deflate");
        if !coding.split(',').all(known) {
            sealed = Some(coding);
        }
        break;
    }
    Ok((finds, sealed))
}

fn files(folder: &Path, paths: &mut Vec<std::path::PathBuf>) -> Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files(&entry.path(), paths)?;
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(Error::TooLarge(&"a file of more than 256 MiB to look into"));
    }
    Ok(std::fs::read(path)?)
}
