//! The client's side: seal a request, open its response.

use super::{
    MAX_EXCHANGE_FIELD, NO_STORE, PROBLEM_DATE, PROBLEM_KEY, field, max_sealed, mode, refuse_reserved,
    write_binary,
};
use crate::error::{Error, Result};
use crate::http::binary::{END, Reader, write_content, write_head, write_message};
use crate::http::encapsulation::{
    ChunkOpener, ChunkReader, ChunkWriter, Form, RequestSealing, ResponseSecret,
};
use crate::http::keys::KeyConfig;
use crate::http::message::{Headers, Method, RequestHead, ResponseHead, Target, unix_seconds};
use crate::json::{Reader as Json, Value};
use crate::layout::padded_len;
use crate::suite::ResponseKey;
use std::time::{Duration, UNIX_EPOCH};

/// How an exchange travels.
#[derive(Debug, Clone)]
pub enum Carriage {
    /// The outer request keeps method, host and path, so that gateways, rate limits and access logs go on working.
    InPlace(InPlace),
    /// Everything is hidden: a POST to this one gateway resource (plain RFC 9458).
    Tunnel(Target),
}

/// What an exchange in place shows besides method, host and path. Nothing, by default.
#[derive(Debug, Clone, Default)]
pub struct InPlace {
    expose: Vec<String>,
    expose_query: bool,
    post_carrier: bool,
}

impl InPlace {
    /// Shows nothing more.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also writes the field `name` outside, where a gateway reads it: `authorization`, say.
    /// **Whoever ends TLS can then steal it**; the service goes on believing the inner one only. Fields that describe the
    /// message (`content-…`, `range`, those of one connection) are [`Error::Misuse`] when the request is sealed.
    #[must_use]
    pub fn expose_field(mut self, name: &str) -> Self {
        self.expose.push(name.to_ascii_lowercase());
        self
    }

    /// Also writes the query outside, into every access log on the way.
    #[must_use]
    pub fn expose_query(mut self) -> Self {
        self.expose_query = true;
        self
    }

    /// Lets requests without a body travel as POST when they are too long for a header field (6 KiB).
    #[must_use]
    pub fn post_carrier(mut self) -> Self {
        self.post_carrier = true;
        self
    }
}

/// Besides what describes a message ([`describes_message`]), fields that the outer one has of its own.
const NEVER_EXPOSED: [&str; 6] =
    ["cache-control", "date", "expect", "incremental", "signature", "signature-input"];

/// Seals one request to a service's key.
///
/// What travels inside: the method, the whole target, all fields, the body. Outside: see [`Carriage`]. Bound into the inside: how
/// it travels, when it was made, and who signs the outside. Source: SPEC §18.
pub struct RequestSealer<'a> {
    config: &'a KeyConfig,
    carriage: &'a Carriage,
    form: Form,
    signer: Option<String>,
}

/// A sealed request: what is sent.
#[derive(Debug)]
pub struct SealedRequest {
    /// The outer head.
    pub head: RequestHead,
    /// The outer body; empty if the request travels in a field.
    pub body: Vec<u8>,
}

/// The front of a sealed request whose body follows in pieces.
pub struct SealedHead {
    /// The outer head.
    pub head: RequestHead,
    /// The first bytes of the outer body.
    pub front: Vec<u8>,
    /// Seals the rest of it.
    pub body: RequestBodySealer,
}

impl<'a> RequestSealer<'a> {
    /// To this key, travelling like this.
    #[must_use]
    pub fn new(config: &'a KeyConfig, carriage: &'a Carriage) -> Self {
        Self { config, carriage, form: Form::Whole, signer: None }
    }

    /// Asks for the chunked form, so that the response can be read while it arrives.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.form = Form::Chunked;
        self
    }

    /// Names who will sign the outer request (its key id), so that nobody else can sign it as their own.
    #[must_use]
    pub fn signed_by(mut self, key_id: &str) -> Self {
        self.signer = Some(key_id.into());
        self
    }

    /// Seals a request whose body is here. `now` is in Unix seconds.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a GET or HEAD with a body, for a field that cannot be exposed, for fields that begin with `sealwire-`, and
    /// for a time beyond the year 3000, which is one in milliseconds;
    /// [`Error::TooLarge`] if a request without a body does not fit into a field of 6 KiB.
    pub fn seal(self, head: RequestHead, body: &[u8], now: u64) -> Result<(SealedRequest, ResponseOpener)> {
        let bodyless =
            body.is_empty() && matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
        if matches!(head.method.as_str(), "GET" | "HEAD") && !bodyless {
            return Err(Error::Misuse(&"a GET or HEAD has no body"));
        }
        let in_field = bodyless && matches!(self.carriage, Carriage::InPlace(_));
        if !in_field {
            return self.seal_as(self.mode(), &head, body, now, false);
        }
        match self.seal_as(mode::IN_PLACE, &head, body, now, true) {
            Err(Error::TooLarge(_)) if matches!(self.carriage, Carriage::InPlace(in_place) if in_place.post_carrier) => {
                self.seal_as(mode::IN_PLACE_POST, &head, body, now, false)
            }
            sealed => sealed,
        }
    }

    fn seal_as(
        &self,
        mode: &str,
        head: &RequestHead,
        body: &[u8],
        now: u64,
        in_field: bool,
    ) -> Result<(SealedRequest, ResponseOpener)> {
        let inner = self.inner(head.clone(), mode, now)?;
        let (sealing, secret) = RequestSealing::start(self.config, self.form)?;
        let sealed = match self.form {
            Form::Whole => sealing.seal_whole(&write_message(&inner, body))?,
            Form::Chunked => {
                let (mut sealed, mut writer) = (sealing.head.clone(), ChunkWriter::new(sealing));
                let mut message = write_head(&inner);
                write_content(body, &mut message);
                message.extend_from_slice(&END);
                // All of it is here, so its length can be hidden as in the whole form.
                message.resize(usize::try_from(padded_len(message.len() as u64)).unwrap_or(message.len()), 0);
                writer.push(&message, &mut sealed)?;
                writer.finish(&[], &mut sealed)?;
                sealed
            }
        };
        let mut outer = self.outer(head, mode)?;
        let body = if in_field {
            let parameter = if self.form == Form::Chunked { ";chunked" } else { "" };
            let value = write_binary(&sealed) + parameter;
            if value.len() > MAX_EXCHANGE_FIELD {
                return Err(Error::TooLarge(&"a sealed request without a body has at most 6 KiB"));
            }
            outer.headers.add(field::EXCHANGE, value)?;
            Vec::new()
        } else {
            outer.headers.add("content-type", self.form.request_media_type())?;
            sealed
        };
        Ok((SealedRequest { head: outer, body }, ResponseOpener { secret, max_body: None }))
    }

    /// Seals a request whose body follows in pieces; always in the chunked form.
    ///
    /// # Errors
    /// Those of [`RequestSealer::seal`].
    pub fn stream(mut self, head: RequestHead, now: u64) -> Result<(SealedHead, ResponseOpener)> {
        self.form = Form::Chunked;
        if matches!(head.method.as_str(), "GET" | "HEAD") {
            return Err(Error::Misuse(&"a GET or HEAD has no body"));
        }
        let mode = self.mode();
        let inner = self.inner(head.clone(), mode, now)?;
        let (sealing, secret) = RequestSealing::start(self.config, self.form)?;
        let mut outer = self.outer(&head, mode)?;
        outer.headers.add("content-type", self.form.request_media_type())?;
        outer.headers.add(field::EXCHANGE_HEAD, write_binary(&sealing.head))?;
        let mut front = sealing.head.clone();
        let mut writer = ChunkWriter::new(sealing);
        writer.push(&write_head(&inner), &mut front)?;
        let body = RequestBodySealer { writer };
        Ok((SealedHead { head: outer, front, body }, ResponseOpener { secret, max_body: None }))
    }

    fn mode(&self) -> &'static str {
        match self.carriage {
            Carriage::Tunnel(_) => mode::TUNNEL,
            Carriage::InPlace(_) => mode::IN_PLACE,
        }
    }

    fn inner(&self, mut head: RequestHead, mode: &str, now: u64) -> Result<RequestHead> {
        refuse_reserved(&head.headers)?;
        head.headers.remove("content-length");
        head.headers.set("date", http_date(unix_seconds(now)?))?;
        head.headers.set(field::MODE, mode)?;
        if let Some(signer) = &self.signer {
            head.headers.set(field::SIGNER, signer)?;
        }
        Ok(head)
    }

    fn outer(&self, inner: &RequestHead, mode: &str) -> Result<RequestHead> {
        let mut outer = match self.carriage {
            Carriage::Tunnel(gateway) => RequestHead::new(Method::new("POST")?, gateway.clone()),
            Carriage::InPlace(in_place) => {
                let is_outer =
                    |name: &String| describes_message(name) || NEVER_EXPOSED.contains(&name.as_str());
                if in_place.expose.iter().any(is_outer) {
                    return Err(Error::Misuse(&"a field of the outer message's own cannot be exposed"));
                }
                let method = match inner.method.as_str() {
                    _ if mode == mode::IN_PLACE_POST => Method::new("POST")?,
                    "HEAD" => Method::new("GET")?,
                    _ => inner.method.clone(),
                };
                let target = &inner.target;
                let path = if in_place.expose_query { target.path_and_query() } else { target.path() };
                let mut outer = RequestHead::new(method, Target::new(target.origin().clone(), path)?);
                for (name, value) in inner.headers.iter() {
                    if in_place.expose.iter().any(|exposed| exposed == name) {
                        outer.headers.add(name, value)?;
                    }
                }
                outer
            }
        };
        outer.headers.set("cache-control", NO_STORE)?;
        if self.form == Form::Chunked {
            outer.headers.set("incremental", "?1")?;
        }
        Ok(outer)
    }
}

/// Outside, these would speak of the encapsulation: a length that is another's makes two messages of one.
pub(crate) fn describes_message(name: &str) -> bool {
    name.starts_with("content-") || matches!(name, "range" | "trailer") || Headers::is_hop_by_hop(name)
}

/// IMF-fixdate of RFC 9110 §5.6.7.
fn http_date(now: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now))
}

/// Seals the body of a request, piece by piece. Each piece can be read at once on the other side.
pub struct RequestBodySealer {
    writer: ChunkWriter<RequestSealing>,
}

impl RequestBodySealer {
    /// Appends the sealed form of the next piece to `out`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after 2^64 chunks.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.writer.push_content(piece, out)
    }

    /// Appends the end.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after 2^64 chunks.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish(&END, out)
    }
}

/// How much a response may have: 64 MiB, unless told otherwise.
const DEFAULT_MAX_BODY: u64 = 64 * 1024 * 1024;

/// What the service says in clear when it cannot open a request (RFC 9458 §6.5). Anybody on the way can say it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It has no such key (any more): fetch its keys anew.
    UnknownKey,
    /// The request's date is not of now.
    Date,
}

impl Problem {
    /// The problem that an outer response states, if it is one of these.
    #[must_use]
    pub fn of(outer: &ResponseHead, body: &[u8]) -> Option<Self> {
        let media_type = outer.headers.text("content-type").ok().flatten();
        if outer.status != 400 || media_type != Some("application/problem+json") || body.len() > 4096 {
            return None;
        }
        let mut json = Json::new(std::str::from_utf8(body).ok()?);
        let mut problem = None;
        json.object(|json, name| {
            if name != "type" {
                return json.skip();
            }
            let Value::Text(kind) = json.value()? else { return None };
            problem = Self::of_type(&kind);
            Some(())
        })?;
        problem.filter(|_| json.is_over())
    }

    fn of_type(kind: &str) -> Option<Self> {
        match kind {
            PROBLEM_KEY => Some(Self::UnknownKey),
            PROBLEM_DATE => Some(Self::Date),
            _ => None,
        }
    }
}

/// Opens the response to one request.
pub struct ResponseOpener {
    secret: ResponseSecret,
    max_body: Option<u64>,
}

impl ResponseOpener {
    /// Says how many bytes the response's body may have. The default is 64 MiB where all of it is held in memory, here or by the caller of
    /// [`ResponseOpener::open`]; a stream in the chunked form has no limit unless this sets one.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Opens a response that is here as a whole.
    ///
    /// # Errors
    /// [`Error::Unsealed`] for an outer response that is not one, [`Error::Rejected`] for the response to another request or an altered
    /// one, [`Error::Truncated`], [`Error::TooLarge`], [`Error::Malformed`].
    pub fn open(mut self, outer: &ResponseHead, body: &[u8]) -> Result<(ResponseHead, Vec<u8>)> {
        self.max_body.get_or_insert(DEFAULT_MAX_BODY);
        let mut stream = self.stream(outer)?;
        let mut content = Vec::new();
        stream.push(body, &mut content)?;
        let head = stream.finish(&mut content)?;
        Ok((head.ok_or(Error::Truncated)?, content))
    }

    /// Opens a response that arrives in pieces.
    ///
    /// # Errors
    /// [`Error::Unsealed`] unless the outer response is a sealed one: status 200, the media type that answers the request's form, no content coding,
    /// no range.
    pub fn stream(self, outer: &ResponseHead) -> Result<ResponseStream> {
        let form = self.secret.form();
        let media_type = outer.headers.one("content-type").ok().flatten();
        let is_sealed = outer.status == 200
            && media_type == Some(form.response_media_type().as_bytes())
            && outer.headers.all("content-encoding").next().is_none()
            && outer.headers.all("content-range").next().is_none();
        if !is_sealed {
            return Err(Error::Unsealed { status: outer.status });
        }
        let nonce = Vec::with_capacity(self.secret.nonce_len());
        let max_body = self.max_body.unwrap_or(match form {
            Form::Whole => DEFAULT_MAX_BODY,
            Form::Chunked => u64::MAX,
        });
        let reader = Reader::new(max_body);
        Ok(ResponseStream { state: Opening::Nonce { secret: self.secret, nonce }, reader, max_body })
    }
}

/// A response that arrives in pieces.
///
/// In the chunked form its content comes out in authenticated pieces, before the end was seen: it is complete only after
/// [`ResponseStream::finish`]. In the whole form all of it comes at the end.
pub struct ResponseStream {
    state: Opening,
    reader: Reader<ResponseHead>,
    max_body: u64,
}

enum Opening {
    Nonce { secret: ResponseSecret, nonce: Vec<u8> },
    Whole { key: ResponseKey, sealed: Vec<u8> },
    Chunks(ChunkReader<ResponseKey>),
    Failed,
}

impl ResponseStream {
    /// Takes the next piece of the outer body and appends what it has of the inner body to `content`.
    ///
    /// # Errors
    /// Those of [`ResponseOpener::open`]; after one, every further call is [`Error::Misuse`].
    pub fn push(&mut self, mut piece: &[u8], content: &mut Vec<u8>) -> Result<()> {
        let mut state = std::mem::replace(&mut self.state, Opening::Failed);
        if let Opening::Nonce { secret, mut nonce } = state {
            let wanted = secret.nonce_len() - nonce.len();
            let (taken, rest) = piece.split_at(wanted.min(piece.len()));
            nonce.extend_from_slice(taken);
            piece = rest;
            state = match nonce.len() == secret.nonce_len() {
                false => Opening::Nonce { secret, nonce },
                true => match (secret.form(), secret.key(&nonce)?) {
                    (Form::Whole, key) => Opening::Whole { key, sealed: Vec::new() },
                    (Form::Chunked, key) => Opening::Chunks(ChunkReader::new(key)),
                },
            };
        }
        match &mut state {
            Opening::Nonce { .. } => {}
            Opening::Whole { sealed, .. } => {
                if (sealed.len() + piece.len()) as u64 > max_sealed(self.max_body) {
                    return Err(Error::TooLarge(&"a response"));
                }
                sealed.extend_from_slice(piece);
            }
            Opening::Chunks(chunks) => {
                content.reserve(piece.len());
                chunks.push(piece, |opened| self.reader.push(opened, content))?;
            }
            Opening::Failed => return Err(Error::Misuse(&"the response has failed before")),
        }
        self.state = state;
        Ok(())
    }

    /// The inner head, as soon as all of it has arrived; once.
    pub fn take_head(&mut self) -> Option<ResponseHead> {
        self.reader.take_head()
    }

    /// Says that nothing follows, and gives the head unless it was taken before.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the end was cut off, and those of [`ResponseOpener::open`].
    pub fn finish(mut self, content: &mut Vec<u8>) -> Result<Option<ResponseHead>> {
        match self.state {
            Opening::Nonce { .. } => return Err(Error::Truncated),
            Opening::Whole { mut key, mut sealed } => {
                self.reader.push(key.open_chunk(&[], &mut sealed)?, content)?;
            }
            Opening::Chunks(chunks) => chunks.finish(|opened| self.reader.push(opened, content))?,
            Opening::Failed => return Err(Error::Misuse(&"the response has failed before")),
        }
        self.reader.finish()?;
        Ok(self.reader.take_head())
    }
}
