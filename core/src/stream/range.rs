//! Random access without I/O: says which sealed bytes a range needs, and opens them.

use crate::about::About;
use crate::chunks::{CHUNK, ChunkCipher, HEAD_LEN, SEALED_CHUNK, plain_len};
use crate::envelope::Header;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::opener::{Opener, Unlocked};
use crate::suite::TAG_LEN;
use std::ops::Range;
use zeroize::Zeroizing;

/// Opens ranges of an envelope whose bytes somebody else fetches: from an object store with range requests, from a browser's file.
///
/// Any range of the payload costs the chunks (16 KiB) that it touches. What comes out is authenticated, for its place in this envelope, and so
/// is the payload's length. It never knows who signed: a signature covers the whole payload. Whom the opener expects is still checked against
/// what the header claims. Padding bytes are not looked at. Over `std::io` use [`SeekReader`](crate::SeekReader).
///
/// ```
/// use sealwire::{BODY_HEAD_LEN, Identity, Opener, RangeStart, SealContext, header_len, seal};
///
/// let bob = Identity::generate()?;
/// let context = SealContext::new("videos").field("9");
/// let stored = seal(&[7; 100_000], &[bob.recipient()], &context)?;
/// let fetch = |range: std::ops::Range<u64>| &stored[range.start as usize..range.end as usize];
///
/// let front = header_len(&stored)?.unwrap() + BODY_HEAD_LEN;
/// let start = RangeStart::new(&stored[..front], stored.len() as u64, &Opener::new(&bob, &context))?;
/// let end = fetch(start.sealed());
/// let opener = start.finish(end)?;
/// assert_eq!(opener.len(), 100_000);
/// assert_eq!(opener.open(10..20, fetch(opener.sealed(10..20)?))?, [7; 10]);
/// # Ok::<(), sealwire::Error>(())
/// ```
pub struct RangeOpener {
    chunks: Chunks,
    about: About,
    payload_len: u64,
}

/// An envelope whose header is verified, and the length of whose payload is not.
pub struct RangeStart {
    chunks: Chunks,
    about: About,
    layout: Layout,
    /// How long the body's whole plaintext is.
    total: u64,
}

struct Chunks {
    cipher: ChunkCipher,
    /// Where in the source the first chunk begins, and how long the chunks are.
    start: u64,
    len: u64,
}

impl RangeStart {
    /// Unlocks the header in `front`, the first bytes of the source: header and body head
    /// ([`BODY_HEAD_LEN`](crate::BODY_HEAD_LEN)) at least. `source_len` is how long the source claims to be.
    ///
    /// # Errors
    /// Those of [`open`](crate::open()) that concern the header, the keys and the body's head.
    pub fn new(front: &[u8], source_len: u64, opener: &Opener<'_>) -> Result<Self> {
        let header = Header::parse(front)?;
        let body_front = front.get(header.len()..).unwrap_or_default();
        Self::over(opener.begin(&header)?, body_front, header.len() as u64, source_len)
    }

    pub(super) fn over(
        unlocked: Unlocked,
        body_front: &[u8],
        body_start: u64,
        source_len: u64,
    ) -> Result<Self> {
        let start = body_start + HEAD_LEN as u64;
        let len = source_len.checked_sub(start).ok_or(Error::Truncated)?;
        let total = plain_len(len)?;
        unlocked.layout.check_total(total)?;
        let key = unlocked.body(body_front.first_chunk().ok_or(Error::Truncated)?)?;
        let (about, layout) = (unlocked.about.clone(), unlocked.layout);
        Ok(Self { chunks: Chunks { cipher: key.cipher(), start, len }, about, layout, total })
    }

    /// Which bytes of the source to fetch for [`RangeStart::finish`]: the last chunk, which authenticates the length, and the one
    /// before it where the end of the plaintext crosses into it.
    #[must_use]
    pub fn sealed(&self) -> Range<u64> {
        self.chunks.sealed(&self.last_run())
    }

    /// Authenticates the payload's length.
    ///
    /// # Errors
    /// [`Error::Rejected`] if the end was altered or is not this envelope's, [`Error::Truncated`] if `sealed` is not what was asked for.
    pub fn finish(self, sealed: &[u8]) -> Result<RangeOpener> {
        let text = Zeroizing::new(self.chunks.open(&self.last_run(), &self.tail(), sealed)?);
        let payload_len = self.layout.payload_len(self.total, &text)?;
        Ok(RangeOpener { chunks: self.chunks, about: self.about, payload_len })
    }

    /// What follows payload and padding.
    fn tail(&self) -> Range<u64> {
        self.total.saturating_sub(self.layout.tail_len() as u64)..self.total
    }

    /// The tail's chunks, and the last one in any case: without a tail, or empty, it still is what ends the body.
    fn last_run(&self) -> Range<u64> {
        Chunks::run(&self.tail()).start..self.total / CHUNK as u64 + 1
    }
}

impl RangeOpener {
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

    /// Which bytes of the source to fetch for this range of the payload.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a range that is not within the payload.
    pub fn sealed(&self, range: Range<u64>) -> Result<Range<u64>> {
        self.check(&range)?;
        Ok(self.chunks.sealed(&Chunks::run(&range)))
    }

    /// Opens a range of the payload. `sealed` is what [`RangeOpener::sealed`] asked for.
    ///
    /// # Errors
    /// [`Error::Rejected`] if a chunk was altered, [`Error::Truncated`] if `sealed` is not what was asked for, [`Error::Misuse`] for a
    /// range that is not within the payload.
    pub fn open(&self, range: Range<u64>, sealed: &[u8]) -> Result<Vec<u8>> {
        self.check(&range)?;
        self.chunks.open(&Chunks::run(&range), &range, sealed)
    }

    fn check(&self, range: &Range<u64>) -> Result<()> {
        if range.start <= range.end && range.end <= self.payload_len {
            return Ok(());
        }
        Err(Error::Misuse(&"a range that is not within the payload"))
    }
}

impl Chunks {
    /// The chunks that a range touches; an empty one has one too, where it stands.
    fn run(range: &Range<u64>) -> Range<u64> {
        let first = range.start / CHUNK as u64;
        first..(range.end.saturating_sub(1) / CHUNK as u64).max(first) + 1
    }

    /// Where in the source a run of chunks is.
    fn sealed(&self, run: &Range<u64>) -> Range<u64> {
        let at = |chunk: u64| self.start + chunk.saturating_mul(SEALED_CHUNK as u64).min(self.len);
        at(run.start)..at(run.end)
    }

    /// Opens a run of chunks, and gives of it what is in `range`.
    fn open(&self, run: &Range<u64>, range: &Range<u64>, sealed: &[u8]) -> Result<Vec<u8>> {
        let wanted = self.sealed(run);
        if sealed.len() as u64 != wanted.end - wanted.start {
            return Err(Error::Truncated);
        }
        let tags = sealed.len().div_ceil(SEALED_CHUNK) * TAG_LEN;
        let mut text = Zeroizing::new(vec![0; sealed.len().checked_sub(tags).ok_or(Error::Truncated)?]);
        self.cipher.open_run(run.start, sealed, &mut text)?;
        let offset = |position: u64| usize::try_from(position - run.start * CHUNK as u64).ok();
        let part = offset(range.start).zip(offset(range.end)).and_then(|(from, to)| text.get(from..to));
        part.map(<[u8]>::to_vec).ok_or(Error::Rejected)
    }
}
