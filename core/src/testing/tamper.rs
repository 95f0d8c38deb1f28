//! What whoever is in between may try, one thing at a time.

use super::wire::{Chunks, Framing, Head};
use crate::error::Result;

/// Where a redirect leads: to the recorder itself, which then knows that it was followed.
const LANDING: &str = "/opacity-check-followed-a-redirect";

/// Something that whoever is in between can do to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tampering {
    /// The request goes to the path of another call.
    SwappedPath,
    /// The request is sent a second time.
    ReplayedRequest,
    /// A byte of the request is another one: in its body, or in `Sealwire-Exchange`.
    AlteredRequest,
    /// `Signature` is taken out.
    StrippedSignature,
    /// `Signature-Input` is taken out.
    StrippedSignatureInput,
    /// `Content-Digest` is taken out.
    StrippedContentDigest,
    /// `Sealwire-Exchange` is taken out.
    StrippedExchange,
    /// `Sealwire-Exchange-Head` is taken out.
    StrippedExchangeHead,
    /// The request is sent in the clear, without any protection.
    UnprotectedRequest,
    /// The second half of the answer's body is cut off.
    TruncatedAnswer,
    /// A byte of the answer's body is another one.
    AlteredAnswer,
    /// The answer is plaintext: 200 and `text/plain`, or what [`OpacityCheck::in_the_clear`](super::OpacityCheck::in_the_clear) gives.
    PlaintextAnswer,
    /// The answer is plain JSON.
    JsonAnswer,
    /// The answer is the one to another call.
    AnotherAnswer,
    /// The answer sends the client elsewhere.
    Redirect,
    /// The answer is a proxy's error page.
    ErrorPage,
    /// The answer's `Content-Type` is taken out.
    NoContentType,
}

impl Tampering {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::SwappedPath,
        Self::ReplayedRequest,
        Self::AlteredRequest,
        Self::StrippedSignature,
        Self::StrippedSignatureInput,
        Self::StrippedContentDigest,
        Self::StrippedExchange,
        Self::StrippedExchangeHead,
        Self::UnprotectedRequest,
        Self::TruncatedAnswer,
        Self::AlteredAnswer,
        Self::PlaintextAnswer,
        Self::JsonAnswer,
        Self::AnotherAnswer,
        Self::Redirect,
        Self::ErrorPage,
        Self::NoContentType,
    ];

    /// What reports call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SwappedPath => "swapped path",
            Self::ReplayedRequest => "replayed request",
            Self::AlteredRequest => "altered request",
            Self::StrippedSignature => "stripped signature",
            Self::StrippedSignatureInput => "stripped signature-input",
            Self::StrippedContentDigest => "stripped content-digest",
            Self::StrippedExchange => "stripped sealwire-exchange",
            Self::StrippedExchangeHead => "stripped sealwire-exchange-head",
            Self::UnprotectedRequest => "unprotected request",
            Self::TruncatedAnswer => "truncated answer",
            Self::AlteredAnswer => "altered answer",
            Self::PlaintextAnswer => "plaintext answer",
            Self::JsonAnswer => "plain JSON answer",
            Self::AnotherAnswer => "another call's answer",
            Self::Redirect => "redirect",
            Self::ErrorPage => "error page",
            Self::NoContentType => "answer without content-type",
        }
    }

    /// Whether the server has to refuse it, rather than the client.
    pub(super) fn is_of_request(self) -> bool {
        !matches!(
            self,
            Self::TruncatedAnswer
                | Self::AlteredAnswer
                | Self::PlaintextAnswer
                | Self::JsonAnswer
                | Self::AnotherAnswer
                | Self::Redirect
                | Self::ErrorPage
                | Self::NoContentType
        )
    }
}

/// What became of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Answered {
    pub(super) method: String,
    /// Whether there was something to tamper with.
    pub(super) changed: bool,
    /// The server's: none if it closed the connection. Of a replayed request, the second.
    pub(super) status: Option<u16>,
    /// Whether the client came because of a redirect.
    pub(super) followed: bool,
}

/// What an app's calls look like without protection, as far as its developer has said.
#[derive(Debug, Clone)]
pub(super) struct InTheClear {
    pub(super) content_type: String,
    pub(super) request: Vec<u8>,
    pub(super) answer: Vec<u8>,
}

impl Default for InTheClear {
    fn default() -> Self {
        let (request, answer) = (b"{}".to_vec(), b"{}".to_vec());
        Self { content_type: "application/json".to_owned(), request, answer }
    }
}

/// One thing to do to the requests of a call.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) tampering: Tampering,
    /// Path and answer of another call.
    pub(super) other: Option<(String, Message)>,
    pub(super) clear: InTheClear,
}

impl Plan {
    /// Changes a request on its way; whether there was something to change.
    pub(super) fn change_request(&self, request: &mut Message) -> bool {
        let strip = |request: &mut Message, name: &str| request.head.remove(name);
        match self.tampering {
            Tampering::SwappedPath => self.swap_path(&mut request.head),
            Tampering::ReplayedRequest => true,
            Tampering::AlteredRequest if request.body.is_empty() => alter_exchange(&mut request.head),
            Tampering::AlteredRequest => alter(&mut request.body),
            Tampering::StrippedSignature => strip(request, "signature"),
            Tampering::StrippedSignatureInput => strip(request, "signature-input"),
            Tampering::StrippedContentDigest => strip(request, "content-digest"),
            Tampering::StrippedExchange => strip(request, "sealwire-exchange"),
            Tampering::StrippedExchangeHead => strip(request, "sealwire-exchange-head"),
            Tampering::UnprotectedRequest => {
                request.head.fields.retain(|(name, _)| {
                    ["host", "user-agent", "accept", "content-length", "transfer-encoding"]
                        .iter()
                        .any(|kept| name.eq_ignore_ascii_case(kept))
                });
                if !request.body.is_empty() {
                    request.head.set("content-type", &self.clear.content_type);
                    request.body.clone_from(&self.clear.request);
                }
                true
            }
            _ => false,
        }
    }

    /// Whether the request is sent a second time.
    pub(super) fn repeats(&self) -> bool {
        self.tampering == Tampering::ReplayedRequest
    }

    /// Changes the answer to a request with this method; whether there was something to change.
    pub(super) fn change_answer(&self, method: &str, answer: &mut Message) -> bool {
        let plain = |content_type: &str, body: &[u8]| Message::answer("200 OK", content_type, body);
        let json = self.clear.content_type == "application/json";
        match self.tampering {
            Tampering::TruncatedAnswer if answer.body.is_empty() => return false,
            Tampering::TruncatedAnswer => answer.body.truncate(answer.body.len() / 2),
            Tampering::AlteredAnswer => return alter(&mut answer.body),
            Tampering::PlaintextAnswer if json => *answer = plain("text/plain", &self.clear.answer),
            Tampering::PlaintextAnswer => *answer = plain(&self.clear.content_type, &self.clear.answer),
            Tampering::JsonAnswer => *answer = plain("application/json", &self.clear.answer),
            Tampering::AnotherAnswer => match &self.other {
                Some((_, other)) => *answer = other.clone(),
                None => return false,
            },
            Tampering::Redirect => {
                *answer = Message::answer("307 Temporary Redirect", "text/plain", b"");
                answer.head.set("location", LANDING);
            }
            Tampering::ErrorPage => {
                *answer =
                    Message::answer("502 Bad Gateway", "text/html", b"<html><h1>502 Bad Gateway</h1></html>");
            }
            Tampering::NoContentType => return answer.head.remove("content-type"),
            _ => return false,
        }
        answer.has_body = method != "HEAD";
        true
    }

    /// What a client gets that has followed a redirect.
    pub(super) fn landing(&self, request: &Head) -> Option<Message> {
        let is_landing = request.target() == LANDING;
        is_landing.then(|| Message::answer("200 OK", &self.clear.content_type, &self.clear.answer))
    }

    fn swap_path(&self, head: &mut Head) -> bool {
        let Some((path, _)) = self.other.as_ref().filter(|(path, _)| *path != head.target()) else {
            return false;
        };
        head.start = format!("{} {path} HTTP/1.1", head.method());
        true
    }
}

fn alter(body: &mut [u8]) -> bool {
    let middle = body.len() / 2;
    let byte = body.get_mut(middle);
    byte.map(|byte| *byte ^= 1).is_some()
}

/// Another digit in the middle of the base64 of an exchange.
fn alter_exchange(head: &mut Head) -> bool {
    let Some(field) = head.field("sealwire-exchange") else { return false };
    let mut field = field.to_vec();
    let middle = field.len() / 2;
    let digit = field.get_mut(middle);
    let changed = digit.map(|digit| *digit = if *digit == b'A' { b'B' } else { b'A' }).is_some();
    head.set("sealwire-exchange", field);
    changed
}

/// A message whose body is there as a whole, without its transfer coding.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    has_body: bool,
}

impl Message {
    /// From a head, and a body as it stands on the wire.
    pub(super) fn new(head: Head, body: &[u8]) -> Result<Self> {
        let is_chunked = matches!(head.request_framing()?, Framing::Chunked(_));
        let body = if is_chunked { content(body).0 } else { body.to_vec() };
        let has_body = !body.is_empty();
        Ok(Self { head, body, has_body })
    }

    /// The last one of what a server sent.
    pub(super) fn parse(mut bytes: &[u8], method: &str) -> Result<Self> {
        loop {
            let end = head_length(bytes);
            let (head, rest) = bytes.split_at(end);
            let head = Head::parse(head)?;
            if !matches!(head.status(), Some(100..=199)) {
                let mut message = Self::new(head, rest)?;
                message.has_body &= method != "HEAD";
                return Ok(message);
            }
            bytes = rest;
        }
    }

    fn answer(status: &str, content_type: &str, body: &[u8]) -> Self {
        let mut head = Head { start: format!("HTTP/1.1 {status}"), fields: Vec::new() };
        head.set("content-type", content_type);
        Self { head, body: body.to_vec(), has_body: true }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut head = self.head.clone();
        let had_length = head.remove("transfer-encoding") | head.field("content-length").is_some();
        let is_answer = head.start.starts_with("HTTP/");
        let has_none = matches!((is_answer, head.status()), (true, Some(204 | 304)));
        if self.has_body || !self.body.is_empty() || (had_length || is_answer) && !has_none {
            head.set("content-length", self.body.len().to_string());
        }
        [head.to_bytes(), self.body.clone()].concat()
    }
}

/// How long the head at the beginning is, with the empty line behind it.
pub(super) fn head_length(bytes: &[u8]) -> usize {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(bytes.len(), |end| end + 4)
}

/// The content of a chunked body, as far as it goes, and for each stretch where it begins there and here.
pub(super) fn content(body: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut content, mut stretches) = (Vec::new(), Vec::new());
    let (mut chunks, mut at) = (Chunks::default(), 0);
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty() && !chunks.is_done()) {
        let Ok((length, is_content)) = chunks.step(rest) else { break };
        if is_content {
            stretches.push((content.len(), at));
            content.extend(rest.get(..length).unwrap_or_default());
        }
        at += length;
    }
    (content, stretches)
}
