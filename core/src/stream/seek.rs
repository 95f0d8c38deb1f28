//! Random access.

use super::range::{RangeOpener, RangeStart};
use crate::about::About;
use crate::chunks::{CHUNK, HEAD_LEN};
use crate::envelope::{read_header, whole_header};
use crate::error::{Error, Result};
use crate::opener::{Opener, Unlocked};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
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
    opener: RangeOpener,
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
        let source_len = source.seek(SeekFrom::End(0))?;
        let head = read_range(&mut source, body_start..body_start + HEAD_LEN as u64)?;
        let start = RangeStart::over(unlocked, &head, body_start, source_len)?;
        let tail = read_range(&mut source, start.sealed())?;
        Ok(Self { source, opener: start.finish(&tail)?, position: 0, cached: None })
    }

    /// How many bytes the payload has.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // It counts a payload, it is no collection.
    pub fn len(&self) -> u64 {
        self.opener.len()
    }

    /// What the sealer said about the payload.
    #[must_use]
    pub fn about(&self) -> &About {
        self.opener.about()
    }

    /// The payload in one chunk.
    fn chunk(&mut self, index: u64) -> Result<&[u8]> {
        if self.cached.as_ref().is_none_or(|(cached, _)| *cached != index) {
            let start = index * CHUNK as u64;
            let range = start..self.len().min(start + CHUNK as u64);
            let sealed = read_range(&mut self.source, self.opener.sealed(range.clone())?)?;
            self.cached = Some((index, Zeroizing::new(self.opener.open(range, &sealed)?)));
        }
        Ok(self.cached.as_ref().map(|(_, text)| text.as_slice()).unwrap_or_default())
    }
}

/// As much of a range as the source has.
fn read_range<R: Read + Seek>(source: &mut R, range: Range<u64>) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    source.seek(SeekFrom::Start(range.start))?;
    source.take(range.end - range.start).read_to_end(&mut read)?;
    Ok(read)
}

impl<R: Read + Seek> Read for SeekReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.len().saturating_sub(self.position);
        if left == 0 || out.is_empty() {
            return Ok(0);
        }
        let (index, within) = (self.position / CHUNK as u64, self.position % CHUNK as u64);
        let text = self.chunk(index)?;
        let from = usize::try_from(within).ok().and_then(|within| text.get(within..)).unwrap_or_default();
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
            SeekFrom::End(offset) => self.opener.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(Error::Misuse(&"a seek to before the start"))?;
        Ok(self.position)
    }
}
