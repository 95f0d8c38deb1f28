//! Where bytes come from: files, pipes, and envelopes in either form.

use crate::failure::{At, Result};
use sealwire::{Error, from_text, read_header};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

/// A file or a pipe.
pub(crate) struct Input {
    pub(crate) reader: Box<dyn Read>,
    /// How many bytes there are, if that is known.
    pub(crate) len: Option<u64>,
}

impl Input {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = named(path, "/dev/stdin") else {
            return Ok(Self { reader: Box::new(io::stdin().lock()), len: None });
        };
        let file = File::open(path).at(path.display())?;
        let metadata = file.metadata().at(path.display())?;
        if metadata.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).at(path.display());
        }
        Ok(Self { reader: Box::new(file), len: metadata.is_file().then_some(metadata.len()) })
    }
}

/// The path, unless it stands for standard input or output, of which `standard` is the long name.
pub(crate) fn named<'a>(path: Option<&'a Path>, standard: &str) -> Option<&'a Path> {
    path.filter(|path| path.as_os_str() != "-" && path.as_os_str() != standard)
}

/// An envelope: the header in memory, the body still to be read.
pub(crate) struct Envelope {
    pub(crate) header: Vec<u8>,
    pub(crate) body: Box<dyn Read>,
    /// How long the body is, if that is known.
    pub(crate) body_len: Option<u64>,
    /// It came in text form.
    pub(crate) text: bool,
}

/// The text form of the magic (SPEC §13), but for the character that holds the version.
const TEXT_MAGIC: &[u8] = b"c2VhbHdpcmU";

impl Envelope {
    /// Reads the header, and nothing of the body that is not given out again.
    pub(crate) fn read(input: Input) -> Result<Self> {
        let mut source = input.reader;
        let mut front = Vec::new();
        source.by_ref().take(TEXT_MAGIC.len() as u64).read_to_end(&mut front)?;
        let text = front == TEXT_MAGIC;
        source = Box::new(Cursor::new(front).chain(source));
        if text {
            source = Box::new(TextReader::new(source));
        }
        let header = read_header(&mut source)?;
        let body_len = input.len.filter(|_| !text).and_then(|len| len.checked_sub(header.len() as u64));
        Ok(Self { header, body: source, body_len, text })
    }
}

/// Reads the text form piece by piece: 4 characters are 3 bytes wherever they stand. White space is skipped, because
/// mail programs wrap lines.
struct TextReader<R> {
    source: R,
    text: String,
    bytes: Cursor<Vec<u8>>,
}

const TEXT_BLOCK: usize = 64 * 1024;

impl<R: Read> TextReader<R> {
    fn new(source: R) -> Self {
        Self { source, text: String::new(), bytes: Cursor::default() }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.text.clear();
        let mut piece = Vec::new();
        while self.text.len() < TEXT_BLOCK {
            piece.clear();
            let missing = TEXT_BLOCK - self.text.len();
            if self.source.by_ref().take(missing as u64).read_to_end(&mut piece)? == 0 {
                break;
            }
            let piece = std::str::from_utf8(&piece).map_err(|_| Error::Malformed(&"not base64url"))?;
            self.text.extend(piece.split_ascii_whitespace());
        }
        self.bytes = Cursor::new(from_text(&self.text)?);
        Ok(())
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.bytes.read(out)? {
            0 => {
                self.fill()?;
                self.bytes.read(out)
            }
            read => Ok(read),
        }
    }
}
