//! From the pieces of an answer to what the app gets.

use super::Caller;
use super::sending::{Asked, Exchanging, Sending, Stored};
use crate::about::About;
use crate::error::{Error, Result};
use crate::http::exchange::{Problem, ResponseStream};
use crate::http::keys::{KeyConfig, MAX_DOCUMENT};
use crate::http::message::ResponseHead;
use crate::http::resource::{ENVELOPE_MEDIA_TYPE, Entry, ListItem, SealedResource};
use crate::identity::UnlockBudget;
use crate::opener::SignedBy;
use crate::suite::Signer;
use std::sync::Arc;

const MAX_PROBLEM: u64 = 4096;

/// What becomes of an answer.
pub enum Answered {
    /// It is read to its end, and only then something comes of it.
    Reading(Receiving),
    /// Its head is here, and its content is handed on while it arrives.
    Passing(PassingAnswer),
}

/// An answer that is read to its end. What is kept of it has a limit: [`Caller::max_body`], and less of keys and problems.
pub struct Receiving(pub(super) Box<Reading>);

pub(super) enum Reading {
    Keys { exchanging: Exchanging, document: Result<Vec<u8>> },
    Problem { exchanging: Exchanging, used: KeyConfig, answer: ResponseHead, body: Vec<u8> },
    Exchange { asked: Asked, stream: Box<ResponseStream>, head: Option<ResponseHead>, content: Vec<u8> },
    Plain { asked: Asked, head: ResponseHead, body: Vec<u8> },
}

impl Receiving {
    /// Whether anything counts of what is still to come. If not, say at once with [`Receiving::finish`] that it has ended: it may have no end.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !matches!(&*self.0, Reading::Keys { document: Err(_), .. })
    }

    /// Takes the next piece of the outer body. Under a streamed rule the answer passes on from here, once its head is known.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above a limit; [`Error::Rejected`] and the others of [`ResponseStream::push`] for what does not open;
    /// [`Error::Unsealed`] for a long error page.
    pub fn push(mut self, piece: &[u8]) -> Result<Answered> {
        match &mut *self.0 {
            Reading::Keys { document, .. } => {
                let kept = document.as_mut().map_err(|error| *error);
                if let Err(error) = kept.and_then(|document| keep(piece, document, MAX_DOCUMENT as u64)) {
                    *document = Err(error);
                }
            }
            Reading::Problem { answer, body, .. } => {
                let unsealed = Error::Unsealed { status: answer.status };
                keep(piece, body, MAX_PROBLEM).map_err(|_| unsealed)?;
            }
            Reading::Exchange { asked, stream, head, content } => {
                stream.push(piece, content)?;
                if let Some(found) = stream.take_head() {
                    asked.remember_write(&found)?;
                    *head = Some(found);
                }
            }
            Reading::Plain { asked, body, .. } => keep(piece, body, asked.caller.max_body)?,
        }
        Ok(self.or_passing())
    }

    /// The outer body has ended.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the end was cut off; [`Error::Expired`] and [`Error::InvalidKey`] if the service refuses the request's
    /// date or key, and it may not be repeated; for keys those of [`TrustedKeys::verify`](crate::http::TrustedKeys::verify); for a sealed
    /// resource those of [`SealedResource::open_body`] and [`SealedResource::open_list`].
    pub fn finish(self, now: u64) -> Result<Outcome> {
        match *self.0 {
            Reading::Keys { exchanging, document } => {
                let document = document.as_deref().map_err(|error| *error);
                exchanging.send_with_keys(document, now).map(Outcome::Again)
            }
            Reading::Problem { exchanging, used, answer, body } => {
                let problem = Problem::of(&answer, &body);
                let problem = problem.ok_or(Error::Unsealed { status: answer.status })?;
                exchanging.repeat(problem, &used, now).map(Outcome::Again)
            }
            Reading::Exchange { asked, stream, head, mut content } => {
                let last = stream.finish(&mut content)?;
                if let Some(head) = &last {
                    asked.remember_write(head)?;
                }
                done(asked, head.or(last).ok_or(Error::Truncated)?, content)
            }
            Reading::Plain { asked, head, body } => done(asked, head, body),
        }
    }

    pub(super) fn or_passing(self) -> Answered {
        match *self.0 {
            Reading::Exchange { asked, stream, head: Some(head), content } if asked.passes() => {
                let body = PassingBody(Some(stream));
                Answered::Passing(PassingAnswer {
                    head,
                    front: content,
                    body,
                    max_body: asked.caller.max_body,
                })
            }
            Reading::Plain { asked, head, body } if asked.stored.is_none() => {
                let max_body = asked.caller.max_body;
                Answered::Passing(PassingAnswer { head, front: body, body: PassingBody(None), max_body })
            }
            reading => Answered::Reading(Self(Box::new(reading))),
        }
    }
}

fn keep(piece: &[u8], kept: &mut Vec<u8>, limit: u64) -> Result<()> {
    if (kept.len() + piece.len()) as u64 > limit {
        return Err(Error::TooLarge(&"a response"));
    }
    kept.extend_from_slice(piece);
    Ok(())
}

/// An answer whose content is handed on while it arrives: under a streamed rule, or one that says `in_the_clear`.
pub struct PassingAnswer {
    /// The head: of an exchange the inner one.
    pub head: ResponseHead,
    /// The first bytes of the content.
    pub front: Vec<u8>,
    /// What opens the rest.
    pub body: PassingBody,
    /// How much of it may be held as a whole: [`Caller::max_body`]. Piece by piece there is no limit.
    pub max_body: u64,
}

/// Opens the content of an answer piece by piece.
///
/// Every piece is authenticated, but comes **before** the end was seen: only [`PassingBody::finish`] says that nothing was cut off.
pub struct PassingBody(Option<Box<ResponseStream>>);

impl PassingBody {
    /// Takes the next piece of the outer body and appends what it has of the content to `content`.
    ///
    /// # Errors
    /// Those of [`ResponseStream::push`].
    pub fn push(&mut self, piece: &[u8], content: &mut Vec<u8>) -> Result<()> {
        match &mut self.0 {
            Some(stream) => stream.push(piece, content),
            None => {
                content.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// The outer body has ended; appends the rest.
    ///
    /// # Errors
    /// Those of [`ResponseStream::finish`].
    pub fn finish(self, content: &mut Vec<u8>) -> Result<()> {
        self.0.map_or(Ok(()), |stream| stream.finish(content).map(drop))
    }
}

/// What came of what was sent.
pub enum Outcome {
    /// More is to be sent: the request, now that the service's keys are here; or once more, with newer keys.
    Again(Sending),
    /// The answer.
    Done(Received),
    /// A list of sealed resources, to be opened one by one.
    List(ReceivedList),
}

/// An answer whose protection was verified as its rule demands.
#[non_exhaustive]
pub struct Received {
    /// The head: of an exchange the inner one; of a sealed resource what the server says, with the content type of its writer.
    pub head: ResponseHead,
    /// The body; of a sealed resource what was opened. What a server says to a write is its own word, and is left out.
    pub body: Vec<u8>,
    /// Who wrote a sealed resource: one of the rule's senders.
    pub signer: Option<Signer>,
    /// What its writer said about a sealed resource.
    pub about: Option<About>,
}

impl Received {
    pub(crate) fn new(head: ResponseHead, body: Vec<u8>) -> Self {
        Self { head, body, signer: None, about: None }
    }
}

/// Opens what was asked for, if it is sealed to people.
fn done(asked: Asked, mut head: ResponseHead, body: Vec<u8>) -> Result<Outcome> {
    let Asked { caller, head: request, stored, .. } = asked;
    let Some(Stored { resource, context, .. }) = stored else {
        return Ok(Outcome::Done(Received::new(head, body)));
    };
    // They are of what came. What is handed on is what was opened, or nothing.
    head.headers.retain(|name| !matches!(name, "content-length" | "content-encoding"));
    let method = request.method.as_str();
    if method == "GET" && resource.is_list() {
        caller.unlock()?;
        let entries = resource.read_list(&head, &body)?.into_iter();
        let budget = UnlockBudget::default();
        return Ok(Outcome::List(ReceivedList { head, caller, resource, entries, budget }));
    }
    let is_envelope = method != "HEAD" && head.headers.text("content-type")? == Some(ENVELOPE_MEDIA_TYPE);
    Ok(Outcome::Done(match context {
        Some(context) if method == "GET" || is_envelope => {
            let opened = resource.open_body(&head, &body, caller.unlock()?, &context, &caller.seen)?;
            if let Some(content_type) = &opened.about.content_type {
                head.headers.set("content-type", content_type)?;
            }
            let signer = match opened.signer {
                SignedBy::Verified(signer) => Some(signer),
                SignedBy::Unsigned => None,
            };
            Received { head, body: opened.plaintext, signer, about: Some(opened.about) }
        }
        // What a server says to a write is its own word: its status counts, its body is not passed on.
        _ => Received::new(head, Vec::new()),
    }))
}

/// A list of sealed resources. As an iterator it opens one after the other, each by its own id: thousands are seconds of work, so let others
/// run between.
pub struct ReceivedList {
    /// The head.
    pub head: ResponseHead,
    caller: Caller,
    resource: Arc<SealedResource>,
    entries: std::vec::IntoIter<Entry>,
    budget: UnlockBudget,
}

impl Iterator for ReceivedList {
    type Item = ListItem;

    fn next(&mut self) -> Option<ListItem> {
        let entry = self.entries.next()?;
        // The keys were there when the list came.
        let keys = self.caller.unlock().ok()?;
        Some(self.resource.open_entry(entry, &self.head, keys, &mut self.budget, &self.caller.seen))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}
