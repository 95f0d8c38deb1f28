//! Opening in pieces.

use crate::about::About;
use crate::chunks::{CHUNK, ChunkCipher, HEAD_LEN, SEALED_CHUNK};
use crate::envelope::{header_len, whole_header};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::opener::{Finished, Opener, Unlocked};
use crate::suite::{PayloadHash, TAG_LEN};
use zeroize::{Zeroize, Zeroizing};

/// Opens an envelope that arrives in pieces.
///
/// Plaintext comes out in whole authenticated chunks of 16 KiB, **before** the end was seen: treat it as provisional until
/// [`OpenStream::finish`] says that the envelope was complete, and who signed it. Over `std::io` use
/// [`OpenReader`](crate::OpenReader). After an error every further call gives [`Error::Misuse`].
///
/// Memory: the header while it arrives (at most 2 MiB), about 32 KiB, and for a signed or padded envelope as much as the
/// longest piece. Zeros of a padded envelope are counted, not kept, until a later byte shows that they are no padding; then
/// they come out at once: up to 64 MiB beyond the piece that was pushed.
pub struct OpenStream<'a> {
    phase: Phase<'a>,
}

enum Phase<'a> {
    Header { opener: Opener<'a>, received: Vec<u8> },
    Body(Box<BodyStream>),
    Failed,
}

/// How many bytes are taken at a time while the header's length is not known.
const HEADER_STEP: usize = 4096;

impl<'a> OpenStream<'a> {
    /// Begins to open an envelope: header and body in one.
    #[must_use]
    pub fn new(opener: &Opener<'a>) -> Self {
        Self { phase: Phase::Header { opener: opener.clone(), received: Vec::new() } }
    }

    /// Takes the next piece of the envelope and appends what was authenticated to `plaintext`.
    ///
    /// # Errors
    /// Those of [`open`](crate::open()), as soon as they are certain. Nothing was appended then.
    pub fn push(&mut self, sealed: &[u8], plaintext: &mut Vec<u8>) -> Result<()> {
        let start = plaintext.len();
        let pushed = self.push_or_fail(sealed, plaintext);
        if pushed.is_err() {
            self.phase = Phase::Failed;
            take_back(plaintext, start);
        }
        pushed
    }

    fn push_or_fail(&mut self, mut sealed: &[u8], plaintext: &mut Vec<u8>) -> Result<()> {
        while let Phase::Header { opener, received } = &mut self.phase {
            let known = header_len(received)?;
            if let Some(len) = known
                && let Some((header, body)) = received.split_at_checked(len)
            {
                let unlocked = opener.begin(&whole_header(header)?)?;
                let mut stream = BodyStream::new(unlocked);
                stream.push(body, plaintext)?;
                self.phase = Phase::Body(Box::new(stream));
                break;
            }
            if sealed.is_empty() {
                return Ok(());
            }
            let wanted = known.map_or(HEADER_STEP, |len| len - received.len());
            let (now, later) = sealed.split_at(wanted.min(sealed.len()));
            received.extend_from_slice(now);
            sealed = later;
        }
        match &mut self.phase {
            Phase::Body(stream) => stream.push(sealed, plaintext),
            _ => Err(Error::Misuse(&"the stream has failed before")),
        }
    }

    /// Says that the envelope is complete: opens its last chunk, verifies padding and signature, and appends the end of
    /// the payload to `plaintext`.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the envelope ends between two chunks or before the first, [`Error::Rejected`] if it ends inside
    /// one, if its end was altered, or if the signature is wrong. Nothing was appended then; do not trust what came before.
    pub fn finish(self, plaintext: &mut Vec<u8>) -> Result<Finished> {
        let start = plaintext.len();
        let finished = match self.phase {
            Phase::Header { .. } => Err(Error::Truncated),
            Phase::Body(mut stream) => stream.finish(plaintext),
            Phase::Failed => Err(Error::Misuse(&"the stream has failed before")),
        };
        if finished.is_err() {
            take_back(plaintext, start);
        }
        finished
    }

    /// How much plaintext `sealed` bytes more can make come out, with what is held back now.
    pub(super) fn most_plaintext(&self, sealed: usize) -> usize {
        let held = match &self.phase {
            Phase::Body(stream) => stream.held(),
            _ => 0,
        };
        sealed.saturating_add(held)
    }

    /// What the sealer said about the payload, as soon as the header was opened.
    #[must_use]
    pub fn about(&self) -> Option<&About> {
        match &self.phase {
            Phase::Body(stream) => Some(&stream.unlocked.about),
            _ => None,
        }
    }
}

impl OpenStream<'static> {
    /// Begins to open a body whose header is here already. The keys are not needed any more then.
    ///
    /// # Errors
    /// Those of [`open`](crate::open()) that concern the header and the keys.
    pub fn detached(header: &[u8], opener: &Opener<'_>) -> Result<Self> {
        let unlocked = opener.begin(&whole_header(header)?)?;
        Ok(Self { phase: Phase::Body(Box::new(BodyStream::new(unlocked))) })
    }
}

/// Wipes what was appended after `start`.
pub(super) fn take_back(plaintext: &mut Vec<u8>, start: usize) {
    plaintext.get_mut(start..).unwrap_or_default().zeroize();
    plaintext.truncate(start);
}

/// A body whose header is verified.
struct BodyStream {
    unlocked: Unlocked,
    cipher: Option<ChunkCipher>,
    next_chunk: u64,
    /// Head or chunk that is not complete yet.
    partial: Vec<u8>,
    release: Release,
}

impl BodyStream {
    fn new(unlocked: Unlocked) -> Self {
        let release = Release::new(unlocked.layout);
        Self { unlocked, cipher: None, next_chunk: 0, partial: Vec::new(), release }
    }

    fn push(&mut self, mut sealed: &[u8], plaintext: &mut Vec<u8>) -> Result<()> {
        if self.cipher.is_none() {
            self.fill_partial(&mut sealed, HEAD_LEN);
            let Some(head) = self.partial.first_chunk::<HEAD_LEN>() else { return Ok(()) };
            self.cipher = Some(self.unlocked.body(head)?.cipher());
            self.partial.clear();
        }
        if !self.partial.is_empty() {
            self.fill_partial(&mut sealed, SEALED_CHUNK);
            if self.partial.len() < SEALED_CHUNK {
                return Ok(());
            }
            let full = std::mem::take(&mut self.partial);
            self.open_chunks(&full, plaintext)?;
        }
        // The last chunk is always short, so every full one can be opened at once.
        let (whole, short) = sealed.split_at(sealed.len() - sealed.len() % SEALED_CHUNK);
        self.open_chunks(whole, plaintext)?;
        self.partial.extend_from_slice(short);
        Ok(())
    }

    fn fill_partial(&mut self, sealed: &mut &[u8], len: usize) {
        let missing = len.saturating_sub(self.partial.len());
        let (now, later) = sealed.split_at(missing.min(sealed.len()));
        self.partial.extend_from_slice(now);
        *sealed = later;
    }

    fn open_chunks(&mut self, sealed: &[u8], plaintext: &mut Vec<u8>) -> Result<()> {
        let cipher = self.cipher.as_ref().ok_or(Error::Truncated)?;
        let chunks = sealed.len().div_ceil(SEALED_CHUNK);
        let text_len = sealed.len().checked_sub(chunks * TAG_LEN).ok_or(Error::Truncated)?;
        let start = plaintext.len();
        plaintext.resize(start + text_len, 0);
        let out = plaintext.get_mut(start..).ok_or(Error::Rejected)?;
        cipher.open_run(self.next_chunk, sealed, out)?;
        self.next_chunk += chunks as u64;
        self.unlocked.layout.check_total(self.next_chunk.saturating_sub(1) * CHUNK as u64)?;
        self.release.hold_back(plaintext, start);
        Ok(())
    }

    fn held(&self) -> usize {
        let zeros = usize::try_from(self.release.zeros).unwrap_or(usize::MAX);
        (self.partial.len() + self.release.tail.len()).saturating_add(zeros)
    }

    /// In place: moved out of its box, the hash would leave a copy of the payload's last bytes behind.
    fn finish(&mut self, plaintext: &mut Vec<u8>) -> Result<Finished> {
        if self.partial.len() < TAG_LEN {
            return Err(Error::Truncated);
        }
        let last = std::mem::take(&mut self.partial);
        self.open_chunks(&last, plaintext)?;
        let (hash, tail) = self.release.finish(plaintext)?;
        let signer = self.unlocked.verify(|| hash.done(), &tail)?;
        Ok(Finished { signer, about: self.unlocked.about.clone() })
    }
}

/// Tells the payload from what follows it, without knowing where the end is: holds back what may be length field and
/// signature, and counts zeros that may be padding.
pub(super) struct Release {
    layout: Layout,
    /// The last bytes seen, as many as may be length field and signature; with room for a piece before them.
    tail: Zeroizing<Vec<u8>>,
    /// Zeros before the tail that may be padding or payload.
    zeros: u64,
    released: u64,
    hash: PayloadHash,
}

impl Release {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, tail: Zeroizing::default(), zeros: 0, released: 0, hash: PayloadHash::default() }
    }

    /// `out[start..]` is new plaintext. Leaves there what is certain to be payload.
    pub(super) fn hold_back(&mut self, out: &mut Vec<u8>, start: usize) {
        if self.layout.tail_len() == 0 {
            self.released += (out.len() - start) as u64;
            return;
        }
        let mut seen = std::mem::take(&mut self.tail);
        let new = out.get(start..).unwrap_or_default();
        if seen.capacity() - seen.len() < new.len() {
            // Not `reserve`: what it leaves behind is not wiped.
            let mut longer = Zeroizing::new(Vec::with_capacity(seen.len() + new.len()));
            longer.extend_from_slice(&seen);
            seen = longer;
        }
        seen.extend_from_slice(new);
        out.truncate(start);
        let certain_len = seen.len().saturating_sub(self.layout.tail_len());
        self.release(seen.get(..certain_len).unwrap_or_default(), seen.len() - certain_len, out);
        seen.drain(..certain_len);
        self.tail = seen;
    }

    /// Emits what of `certain`, after which `tail_len` bytes were seen, cannot be padding.
    fn release(&mut self, certain: &[u8], tail_len: usize, out: &mut Vec<u8>) {
        if !self.layout.padded {
            self.emit(certain, out);
            return;
        }
        let zeros_after = certain.iter().rev().take_while(|&&byte| byte == 0).count();
        let (payload, zeros) = certain.split_at(certain.len() - zeros_after);
        if !payload.is_empty() {
            self.emit_zeros(self.zeros, out);
            self.emit(payload, out);
        }
        self.zeros += zeros.len() as u64;
        let seen = self.released + self.zeros + tail_len as u64;
        self.emit_zeros(self.zeros.saturating_sub(Layout::max_padding(seen)), out);
    }

    /// At the end: the payload's last zeros come out, the hash of the payload and the tail are left.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(PayloadHash, Zeroizing<Vec<u8>>)> {
        if self.tail.len() < self.layout.tail_len() {
            return Err(Error::Rejected);
        }
        let total = self.released + self.zeros + self.tail.len() as u64;
        let payload = self.layout.payload_len(total, &self.tail)?;
        // Fewer bytes than were released already would mean that something other than zeros was padding.
        let missing = payload.checked_sub(self.released).ok_or(Error::Rejected)?;
        if missing > self.zeros {
            return Err(Error::Rejected);
        }
        self.emit_zeros(missing, out);
        Ok((std::mem::take(&mut self.hash), std::mem::take(&mut self.tail)))
    }

    fn emit(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if self.layout.signed {
            self.hash.update(payload);
        }
        self.released += payload.len() as u64;
        out.extend_from_slice(payload);
    }

    fn emit_zeros(&mut self, count: u64, out: &mut Vec<u8>) {
        self.zeros -= count;
        let mut left = count;
        while left > 0 {
            let step = left.min(CHUNK as u64);
            let zeros = [0; CHUNK];
            self.emit(zeros.get(..usize::try_from(step).unwrap_or(CHUNK)).unwrap_or(&zeros), out);
            left -= step;
        }
    }
}
