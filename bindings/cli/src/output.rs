//! Where bytes go: a file that appears whole or not at all, or a pipe.

use crate::failure::{At, Result};
use crate::input::named;
use crate::interrupt::guarded;
use sealwire::{AtomicFile, Error, to_text};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An envelope as bytes.
    Bytes,
    /// An envelope as base64url, with a line end.
    Text,
    /// What was in an envelope.
    Payload,
}

impl Form {
    pub(crate) fn of_envelope(text: bool) -> Self {
        if text { Self::Text } else { Self::Bytes }
    }
}

/// A file or a stream that is being written. Dropped before [`Output::commit`], a file is as it was.
pub(crate) struct Output {
    sink: Sink,
    form: Form,
    /// In text form: up to 2 bytes that wait for the third.
    waiting: Vec<u8>,
    /// Some of the payload was written.
    begun: bool,
}

enum Sink {
    File {
        file: AtomicFile,
        target: PathBuf,
    },
    Stream(Box<dyn Write>),
    /// A payload on a terminal, which obeys control characters.
    Terminal {
        terminal: io::StdoutLock<'static>,
        /// The last byte written.
        last: u8,
    },
}

impl Output {
    pub(crate) fn create(path: Option<&Path>, form: Form) -> Result<Self> {
        let sink = match named(path, "/dev/stdout") {
            Some(path) => Sink::at(path).at(path.display())?,
            None if !io::stdout().is_terminal() => Sink::Stream(Box::new(io::stdout().lock())),
            None if form == Form::Payload => Sink::Terminal { terminal: io::stdout().lock(), last: 0 },
            None if form == Form::Text => Sink::Stream(Box::new(io::stdout().lock())),
            None => {
                return Err(
                    Error::Misuse(&"this would write bytes to a terminal: use -o, -a or a pipe").into()
                );
            }
        };
        Ok(Self { sink, form, waiting: Vec::new(), begun: false })
    }

    /// True if this is not a file, which could be left as it was.
    pub(crate) fn is_stream(&self) -> bool {
        !matches!(self.sink, Sink::File { .. })
    }

    /// True if something was written that cannot be taken back.
    pub(crate) fn is_out(&self) -> bool {
        self.begun && self.is_stream()
    }

    /// Puts the file in its place.
    pub(crate) fn commit(mut self) -> Result<()> {
        if self.form == Form::Text {
            let last = to_text(&self.waiting);
            writeln!(self.sink, "{last}")?;
        }
        self.sink.flush()?;
        if let Sink::File { file, target } = self.sink {
            file.commit().at(target.display())?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.form == Form::Text {
            self.waiting.extend_from_slice(bytes);
            let rest = self.waiting.split_off(self.waiting.len() / 3 * 3);
            let whole = std::mem::replace(&mut self.waiting, rest);
            self.sink.write_all(to_text(&whole).as_bytes())?;
            return Ok(bytes.len());
        }
        let written = self.sink.write(bytes)?;
        self.begun = true;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Sink {
    /// Replaces files; writes into what is not one (a device, a named pipe).
    fn at(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() && !found.is_dir() => {
                Ok(Self::Stream(Box::new(OpenOptions::new().write(true).open(path)?)))
            }
            Ok(found) if found.is_file() && is_identity_file(path)? => {
                Err(Error::Misuse(&"this is a key file: choose another name for the output").into())
            }
            _ => {
                let file = guarded(|| AtomicFile::create(path)).map_err(|error| explained(error, path))?;
                Ok(Self::File { file, target: path.to_path_buf() })
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
            Self::Terminal { last, .. } if has_control(*last, bytes) => {
                Err(Error::Misuse(&"the content is not plain text: use -o or a pipe").into())
            }
            Self::Terminal { terminal, last } => {
                let written = terminal.write(bytes)?;
                *last = bytes.get(..written).and_then(<[u8]>::last).copied().unwrap_or(*last);
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.flush(),
            Self::Stream(stream) => stream.flush(),
            Self::Terminal { terminal, .. } => terminal.flush(),
        }
    }
}

/// The system says "no such file" of a file that shall be made: what is missing is its folder.
fn explained(error: io::Error, path: &Path) -> io::Error {
    match path.parent() {
        Some(folder) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
            io::Error::new(error.kind(), format!("the folder {} does not exist", folder.display()))
        }
        _ => error,
    }
}

/// As much of a file as an identity file can be long.
const IDENTITY_FILE_LIMIT: usize = 64 * 1024;

/// True if an identity stands in the first lines: keys that were written over are lost, with all that was sealed to them.
fn is_identity_file(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        // What cannot be read can still be replaced.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        opened => opened?,
    };
    // Room for all of it, so that it never moves and leaves a copy behind.
    let mut front = Zeroizing::new(Vec::with_capacity(IDENTITY_FILE_LIMIT + 1));
    file.take(IDENTITY_FILE_LIMIT as u64).read_to_end(&mut front)?;
    Ok(front.split(|&byte| byte == b'\n').any(|line| line.trim_ascii().starts_with(b"sealwire-identity1")))
}

/// True if `bytes`, written after the byte `last`, hold what a terminal obeys: ASCII, or U+0080 to U+009F.
fn has_control(last: u8, bytes: &[u8]) -> bool {
    let before = std::iter::once(&last).chain(bytes);
    before.zip(bytes).any(|pair| match pair {
        (_, b'\n' | b'\r' | b'\t') => false,
        (0xc2, 0x80..=0x9f) => true,
        (_, byte) => byte.is_ascii_control(),
    })
}
