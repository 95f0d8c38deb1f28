//! Sealing and opening over `std::io`.

use super::{OpenStream, SealStream};
use crate::about::About;
use crate::error::{Error, Result};
use crate::opener::{Finished, Opener};
use crate::sealer::Sealer;
use std::io::{self, Read, Write};
use zeroize::{Zeroize, Zeroizing};

/// How much is sealed or opened at a time: enough to keep every core busy.
const BLOCK: usize = 64 * 16 * 1024;

/// Seals what is written to it into a sink. Call [`SealWriter::finish`] at the end; without it the envelope has none, and
/// readers refuse it: [`Error::Truncated`], or [`Error::Rejected`] if what they got ends inside a chunk.
///
/// Memory: about 2 MiB, whatever the payload's size. Never padded.
///
/// ```
/// use sealwire::{Identity, OpenReader, Opener, SealContext, SealWriter, Sealer};
/// use std::io::{Read, Write};
///
/// let bob = Identity::generate()?;
/// let context = SealContext::new("backups").field("2026-11");
/// let mut writer = SealWriter::new(Vec::new(), &Sealer::new(&context).to(bob.recipient()))?;
/// writer.write_all(b"a terabyte, say")?;
/// let envelope = writer.finish()?;
///
/// let mut reader = OpenReader::new(envelope.as_slice(), &Opener::new(&bob, &context))?;
/// let mut plaintext = String::new();
/// reader.read_to_string(&mut plaintext)?;
/// assert_eq!(plaintext, "a terabyte, say");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SealWriter<W> {
    sink: W,
    /// Taken away when the sink has failed, since the envelope then has a hole.
    stream: Option<SealStream>,
    pending: Zeroizing<Vec<u8>>,
    sealed: Vec<u8>,
}

impl<W: Write> SealWriter<W> {
    /// Begins a new envelope with the sealer's options (all but the padding).
    ///
    /// # Errors
    /// Those of [`Sealer::seal`].
    pub fn new(sink: W, sealer: &Sealer<'_>) -> Result<Self> {
        Ok(Self::over(sink, SealStream::new(sealer)?))
    }

    /// Like [`SealWriter::new`], but hands out the header and writes the body alone into the sink.
    ///
    /// # Errors
    /// Those of [`Sealer::seal`].
    pub fn detached(sink: W, sealer: &Sealer<'_>) -> Result<(Vec<u8>, Self)> {
        let (header, stream) = SealStream::detached(sealer)?;
        Ok((header, Self::over(sink, stream)))
    }

    fn over(sink: W, stream: SealStream) -> Self {
        Self {
            sink,
            stream: Some(stream),
            pending: Zeroizing::new(Vec::with_capacity(BLOCK)),
            sealed: Vec::new(),
        }
    }

    /// Seals what is left, flushes the sink and gives it back.
    ///
    /// # Errors
    /// Those of the sink, and [`Error::Misuse`] if it has failed before.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal_pending()?;
        let stream = self.stream.take().ok_or(FAILED)?;
        stream.finish(&mut self.sealed)?;
        self.sink.write_all(&self.sealed)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn seal_pending(&mut self) -> io::Result<()> {
        let mut stream = self.stream.take().ok_or(FAILED)?;
        let pushed = stream.push(&self.pending, &mut self.sealed);
        // Overwritten by the next block, and wiped once on drop: wiping each block costs more than sealing it.
        self.pending.clear();
        pushed?;
        self.sink.write_all(&self.sealed)?;
        self.sealed.clear();
        self.stream = Some(stream);
        Ok(())
    }
}

const FAILED: Error = Error::Misuse(&"the stream has failed before");

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        if self.pending.len() == BLOCK {
            self.seal_pending()?;
        }
        let room = BLOCK - self.pending.len();
        let taken = plaintext.get(..room).unwrap_or(plaintext);
        self.pending.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// Hands on what can be sealed. The rest of a chunk (up to 16 KiB) stays: an envelope has no chunk boundary where you like.
    fn flush(&mut self) -> io::Result<()> {
        self.seal_pending()?;
        self.sink.flush()
    }
}

/// Opens an envelope while it is read.
///
/// What it gives was authenticated chunk by chunk, **before** the end was seen: treat it as provisional until `read` has
/// returned 0, and take the signer from [`OpenReader::finish`]. An envelope that was cut gives an error in place of the end:
/// of kind `UnexpectedEof` ([`Error::Truncated`]) between two chunks, and of kind `InvalidData` ([`Error::Rejected`]) inside
/// one; errors carry a [`Error`] inside. After an error nothing more comes out, not even what was authenticated before it in the
/// same megabyte.
///
/// Memory: about 2 MiB, whatever the payload's size; 3 MiB for a signed or padded envelope; for a padded one up to 64 MiB
/// more, when a run of zeros turns out to be payload ([`OpenStream`]).
pub struct OpenReader<'a, R> {
    source: R,
    state: State<'a>,
    sealed: Vec<u8>,
    plaintext: Zeroizing<Vec<u8>>,
    /// How much of `plaintext` has been handed out.
    taken: usize,
}

enum State<'a> {
    Opening(OpenStream<'a>),
    Finished(Box<Finished>),
    Failed,
}

impl<'a, R: Read> OpenReader<'a, R> {
    /// Reads the header from `source` and unlocks it.
    ///
    /// # Errors
    /// Those of [`open`](crate::open()) that concern the header and the keys, and [`Error::Store`] if the source fails.
    pub fn new(source: R, opener: &Opener<'a>) -> Result<Self> {
        let mut reader = Self::over(source, OpenStream::new(opener));
        // The first blocks hold the header; keep reading until it is complete.
        while reader.about().is_none() && !matches!(reader.state, State::Finished(_)) {
            reader.open_block()?;
        }
        Ok(reader)
    }

    /// Opens a body whose header is here already.
    ///
    /// # Errors
    /// Those of [`open`](crate::open()) that concern the header and the keys.
    pub fn detached(header: &[u8], body: R, opener: &Opener<'a>) -> Result<Self> {
        Ok(Self::over(body, OpenStream::detached(header, opener)?))
    }

    fn over(source: R, stream: OpenStream<'a>) -> Self {
        let state = State::Opening(stream);
        Self { source, state, sealed: vec![0; BLOCK], plaintext: Zeroizing::default(), taken: 0 }
    }

    /// What the sealer said about the payload. The signer is known only at the end.
    pub fn about(&self) -> Option<&About> {
        match &self.state {
            State::Opening(stream) => stream.about(),
            State::Finished(finished) => Some(&finished.about),
            State::Failed => None,
        }
    }

    /// Reads whatever is left without keeping it, and says who signed.
    ///
    /// # Errors
    /// Those of [`open`](crate::open()), and [`Error::Store`] if the source fails.
    pub fn finish(mut self) -> Result<Finished> {
        loop {
            match self.state {
                State::Finished(finished) => return Ok(*finished),
                State::Opening(_) => self.open_block()?,
                State::Failed => return Err(FAILED),
            }
        }
    }

    /// Replaces `plaintext` by the next block. Of a block that failed nothing is handed out, now or later.
    fn open_block(&mut self) -> Result<()> {
        let opened = self.open_next();
        if opened.is_err() {
            self.plaintext.zeroize();
        }
        opened
    }

    fn open_next(&mut self) -> Result<()> {
        // Overwritten by the next block, and wiped once on drop.
        self.plaintext.clear();
        self.taken = 0;
        let State::Opening(mut stream) = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(FAILED);
        };
        let read = read_block(&mut self.source, &mut self.sealed)?;
        let most = stream.most_plaintext(read);
        if self.plaintext.capacity() < most {
            // A buffer that grew while it is filled would leave copies behind.
            self.plaintext = Zeroizing::new(Vec::with_capacity(most));
        }
        stream.push(self.sealed.get(..read).unwrap_or_default(), &mut self.plaintext)?;
        self.state = if read == self.sealed.len() {
            State::Opening(stream)
        } else {
            State::Finished(Box::new(stream.finish(&mut self.plaintext)?))
        };
        Ok(())
    }
}

/// Reads until the block is full or the source ends.
fn read_block(source: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
        match source.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<R: Read> Read for OpenReader<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let available = self.plaintext.get(self.taken..).unwrap_or_default();
            if !available.is_empty() || out.is_empty() {
                let len = available.len().min(out.len());
                out.iter_mut().zip(available).for_each(|(to, from)| *to = *from);
                self.taken += len;
                return Ok(len);
            }
            match self.state {
                State::Finished(_) => return Ok(0),
                _ => self.open_block()?,
            }
        }
    }
}
