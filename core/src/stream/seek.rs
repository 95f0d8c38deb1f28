//! Random access.

use crate::about::About;
use crate::chunks::{CHUNK, ChunkCipher, HEAD_LEN, SEALED_CHUNK, plain_len};
use crate::envelope::{read_header, whole_header};
use crate::error::{Error, Result};
use crate::opener::{Opener, Unlocked};
use crate::suite::TAG_LEN;
use std::io::{self, Read, Seek, SeekFrom};
use zeroize::Zeroizing;

/// Reads an envelope at random: any range of the payload costs the chunks (16 KiB) that it touches.
///
/// What it gives is authenticated, for its place in this envelope, and so is the payload's length. It never knows who signed: a signature covers
/// the whole payload, so only a full read with [`OpenReader`](crate::OpenReader) yields a signer. Whom the opener expects is still checked
/// against what the header claims. Padding bytes are not looked at.
///
/// ```
/// use sealwire::{Identity, Opener, SealContext, SeekReader, seal};
/// use std::io::{Cursor, Read, Seek, SeekFrom};
///
/// let bob = Identity::generate()?;
/// let context = SealContext::new("videos").field("9");
/// let envelope = seal(&[7; 100_000], &[bob.recipient()], &context)?;
/// let mut reader = SeekReader::new(Cursor::new(envelope), &Opener::new(&bob, &context))?;
/// reader.seek(SeekFrom::End(-10))?;
/// let mut last = Vec::new();
/// reader.read_to_end(&mut last)?;
/// assert_eq!(last, [7; 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SeekReader<R> {
    source: R,
    /// Where in the source the first chunk begins, and how long the chunks are.
    chunks_start: u64,
    chunks_len: u64,
    cipher: ChunkCipher,
    about: About,
    payload_len: u64,
    position: u64,
    /// The chunk that was opened last.
    cached: Option<(u64, Zeroizing<Vec<u8>>)>,
}

impl<R: Read + Seek> SeekReader<R> {
    /// Reads the header from the start of `source`, unlocks it, and authenticates the payload's length.
    ///
    /// # Errors
    /// Those of [`open`](crate::open()) that concern the header, the keys and the last chunk, and [`Error::Store`] if the source fails.
    pub fn new(mut source: R, opener: &Opener<'_>) -> Result<Self> {
        source.seek(SeekFrom::Start(0))?;
        let header = read_header(&mut source)?;
        let unlocked = opener.begin(&whole_header(&header)?)?;
        Self::over(source, header.len() as u64, unlocked)
    }

    /// Opens a body whose header is here already.
    ///
    /// # Errors
    /// Those of [`SeekReader::new`].
    pub fn detached(header: &[u8], body: R, opener: &Opener<'_>) -> Result<Self> {
        Self::over(body, 0, opener.begin(&whole_header(header)?)?)
    }

    fn over(mut source: R, body_start: u64, unlocked: Unlocked) -> Result<Self> {
        let chunks_start = body_start + HEAD_LEN as u64;
        let chunks_len = source.seek(SeekFrom::End(0))?.checked_sub(chunks_start).ok_or(Error::Truncated)?;
        let total = plain_len(chunks_len)?;
        unlocked.layout.check_total(total)?;
        source.seek(SeekFrom::Start(body_start))?;
        let mut head = [0; HEAD_LEN];
        source.read_exact(&mut head)?;
        let cipher = unlocked.body(&head)?.cipher();
        let about = unlocked.about.clone();
        let layout = unlocked.layout;
        let mut reader = Self {
            source,
            chunks_start,
            chunks_len,
            cipher,
            about,
            payload_len: total,
            position: 0,
            cached: None,
        };
        // The last chunk authenticates the length, with a tail or without.
        let tail_len = layout.tail_len() as u64;
        reader.chunk(chunks_len / SEALED_CHUNK as u64)?;
        reader.position = total.checked_sub(tail_len).ok_or(Error::Rejected)?;
        let mut tail = Vec::new();
        reader.read_to_end(&mut tail)?;
        reader.payload_len = layout.payload_len(total, &tail)?;
        reader.position = 0;
        Ok(reader)
    }

    /// How many bytes the payload has.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // It counts a payload, it is no collection.
    pub fn len(&self) -> u64 {
        self.payload_len
    }

    /// What the sealer said about the payload.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The plaintext of one chunk.
    fn chunk(&mut self, index: u64) -> Result<&[u8]> {
        if self.cached.as_ref().is_none_or(|(cached, _)| *cached != index) {
            let start = index * SEALED_CHUNK as u64;
            let len = self.chunks_len.saturating_sub(start).min(SEALED_CHUNK as u64);
            let mut sealed = Vec::with_capacity(SEALED_CHUNK);
            self.source.seek(SeekFrom::Start(self.chunks_start + start))?;
            (&mut self.source).take(len).read_to_end(&mut sealed)?;
            let text_len = sealed.len().checked_sub(TAG_LEN).ok_or(Error::Truncated)?;
            let mut text = Zeroizing::new(vec![0; text_len]);
            self.cipher.open(index, &sealed, &mut text)?;
            self.cached = Some((index, text));
        }
        Ok(self.cached.as_ref().map(|(_, text)| text.as_slice()).unwrap_or_default())
    }
}

impl<R: Read + Seek> Read for SeekReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.payload_len.saturating_sub(self.position);
        if left == 0 || out.is_empty() {
            return Ok(0);
        }
        let (index, within) = (self.position / CHUNK as u64, self.position % CHUNK as u64);
        let text = self.chunk(index)?;
        let from = usize::try_from(within).ok().and_then(|within| text.get(within..)).unwrap_or_default();
        let from = usize::try_from(left).ok().and_then(|left| from.get(..left)).unwrap_or(from);
        let read = from.len().min(out.len());
        out.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        self.position += read as u64;
        Ok(read)
    }
}

impl<R> Seek for SeekReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.payload_len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(Error::Misuse("a seek to before the start"))?;
        Ok(self.position)
    }
}
