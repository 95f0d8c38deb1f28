//! HTTP/1.1 as far as a proxy needs it: where a message ends, and what its fields are.

use crate::error::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt};

const MAX_HEAD: usize = 256 * 1024;
const MAX_LINE: usize = 16 * 1024;

/// A start line and fields.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) start: String,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Reads what stands before an empty line.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut lines =
            bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start = lines.next().unwrap_or_default();
        let start = String::from_utf8(start.to_vec()).map_err(|_| Error::Malformed(&"a start line"))?;
        let mut fields = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let colon = line.iter().position(|byte| *byte == b':').ok_or(Error::Malformed(&"a field"))?;
            let (name, value) = line.split_at(colon);
            let name = String::from_utf8(name.to_vec()).map_err(|_| Error::Malformed(&"a field's name"))?;
            fields.push((name, value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
        }
        Ok(Self { start, fields })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.fields {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes
    }

    pub(super) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub(super) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok())
    }

    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }

    /// Takes a field out; whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.fields.len();
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.fields.len() < before
    }

    pub(super) fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
    }

    pub(super) fn request_framing(&self) -> Result<Framing> {
        Ok(self.framing()?.unwrap_or(Framing::Length(0)))
    }

    /// How the response to a request with this method ends.
    pub(super) fn response_framing(&self, method: &str) -> Result<Framing> {
        match self.status() {
            None => Err(Error::Malformed(&"a status line")),
            Some(100..=199 | 204 | 304) => Ok(Framing::Length(0)),
            _ if method == "HEAD" => Ok(Framing::Length(0)),
            _ => Ok(self.framing()?.unwrap_or(Framing::Close)),
        }
    }

    fn framing(&self) -> Result<Option<Framing>> {
        if let Some(coding) = self.field("transfer-encoding") {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            return if chunked {
                Ok(Some(Framing::Chunked(Chunks::default())))
            } else {
                Err(Error::Unsupported(&"a transfer coding"))
            };
        }
        let Some(length) = self.field("content-length") else { return Ok(None) };
        let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
        length.map(|length| Some(Framing::Length(length))).ok_or(Error::Malformed(&"a content-length"))
    }
}

/// How much of a body is still to come.
pub(super) enum Framing {
    Length(u64),
    Chunked(Chunks),
    /// Up to the end of the connection.
    Close,
}

impl Framing {
    /// How many of these bytes belong to the body.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Close => Ok(bytes.len()),
            Self::Length(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => {
                let mut taken = 0;
                while !chunks.is_done() && taken < bytes.len() {
                    taken += chunks.step(bytes.get(taken..).unwrap_or_default())?.0;
                }
                Ok(taken)
            }
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Close => false,
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
        }
    }
}

/// The chunked transfer coding (RFC 9112 §7.1).
#[derive(Default)]
pub(super) struct Chunks {
    state: Chunk,
    line: Vec<u8>,
}

#[derive(Default)]
enum Chunk {
    #[default]
    Size,
    Data(u64),
    AfterData,
    Trailers,
    Done,
}

impl Chunks {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, Chunk::Done)
    }

    /// Reads on: how many bytes, and whether they are content.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<(usize, bool)> {
        if let Chunk::Data(left) = &mut self.state {
            let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= taken as u64;
            if *left == 0 {
                self.state = Chunk::AfterData;
            }
            return Ok((taken, true));
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        self.line.extend(bytes.get(..taken).unwrap_or_default());
        if self.line.len() > MAX_LINE {
            return Err(Error::TooLarge(&"a line of the chunked coding"));
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.state = match self.state {
                Chunk::Size => match chunk_size(&line)? {
                    0 => Chunk::Trailers,
                    size => Chunk::Data(size),
                },
                Chunk::AfterData => Chunk::Size,
                _ if line.trim_ascii().is_empty() => Chunk::Done,
                _ => Chunk::Trailers,
            };
        }
        Ok((taken, false))
    }
}

fn chunk_size(line: &[u8]) -> Result<u64> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let size = std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
    size.ok_or(Error::Malformed(&"a chunk's size"))
}

/// Where messages come from.
pub(super) struct Source<R> {
    from: R,
    held: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Source<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, held: Vec::new() }
    }

    /// The bytes of the next head with the empty line behind it, or nothing if the connection ended.
    pub(super) async fn head(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.held.split_off(end + 4);
                return Ok(Some(std::mem::replace(&mut self.held, rest)));
            }
            if self.held.len() > MAX_HEAD {
                return Err(Error::TooLarge(&"the fields of a message"));
            }
            if !self.fill().await? {
                return if self.held.is_empty() { Ok(None) } else { Err(Error::Truncated) };
            }
        }
    }

    /// The next bytes of a body as they stand on the wire, or nothing after its end.
    pub(super) async fn piece(&mut self, framing: &mut Framing) -> Result<Option<Vec<u8>>> {
        if framing.is_done() {
            return Ok(None);
        }
        if self.held.is_empty() && !self.fill().await? {
            return if matches!(framing, Framing::Close) { Ok(None) } else { Err(Error::Truncated) };
        }
        let taken = framing.take(&self.held)?;
        let rest = self.held.split_off(taken);
        Ok(Some(std::mem::replace(&mut self.held, rest)))
    }

    async fn fill(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let read = self.from.read(&mut buffer).await.map_err(|_| Error::Network(&"a connection broke"))?;
        self.held.extend(buffer.get(..read).unwrap_or_default());
        Ok(read > 0)
    }
}
