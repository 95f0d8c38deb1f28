//! Envelopes whose chunks another AEAD encrypts and decrypts: WebCrypto's, which is asynchronous (SPEC §7).

use super::open::{Release, take_back};
use crate::about::About;
use crate::chunks::{ChunkKey, HEAD_LEN, plain_len, sealed_len};
use crate::envelope::Header;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::opener::{Finished, Opener, Unlocked};
use crate::sealer::{BodySigner, Sealer};
use crate::suite::PayloadHash;

/// Everything of a new envelope but its chunks, which are `payload ‖ closing`, encrypted with [`OutsideSealing::key`] in pieces of 16 KiB.
///
/// The envelope is `front ‖ chunks`. Source: SPEC §7.
#[non_exhaustive]
pub struct OutsideSealing {
    /// Header and body head.
    pub front: Vec<u8>,
    /// What follows the payload: padding, length, signature. At most an eighth of it and 256 bytes.
    pub closing: Vec<u8>,
    /// What to encrypt with.
    pub key: ChunkKey,
    /// How long the whole envelope is.
    pub len: u64,
}

impl Sealer<'_> {
    /// Seals a payload of this length whose chunks are encrypted elsewhere. A sealer that signs needs the payload's SHA-256.
    ///
    /// # Errors
    /// Those of [`Sealer::seal`]; [`Error::Misuse`] if it signs and has no hash.
    pub fn seal_outside(&self, payload_len: u64, payload_sha256: Option<[u8; 32]>) -> Result<OutsideSealing> {
        let mut stream = OutsideSealStream::new(self, Some(payload_len))?;
        let len = stream.front.len() as u64 + sealed_len(stream.layout.total(payload_len)?)?;
        stream.count(payload_len)?;
        let front = std::mem::take(&mut stream.front);
        let (key, zeros, tail) = stream.end(payload_sha256)?;
        let mut closing = vec![0; usize::try_from(zeros).map_err(|_| Error::TooLarge(&"padding"))?];
        closing.extend_from_slice(&tail);
        Ok(OutsideSealing { front, closing, key, len })
    }
}

/// An envelope whose chunks are decrypted elsewhere: whole, or those of a range.
///
/// Its header, slots tag and body commitment are verified; nothing of its payload is. **Give no plaintext away before
/// [`OutsideOpening::finish`]**, but of a range: of that every chunk that was decrypted is authenticated for its place, and the payload's length by
/// the last chunk, and nobody knows who signed it. Source: SPEC §7, §11.
pub struct OutsideOpening {
    unlocked: Unlocked,
    key: ChunkKey,
    front_len: u64,
    plain_len: u64,
}

impl OutsideOpening {
    /// Begins to open an envelope of `len` bytes, of which `front` are the first: at least the header and 56 bytes more.
    ///
    /// # Errors
    /// [`Error::Truncated`] if `front` is too short, or `len` ends before the first chunk; others as [`open`](crate::open()).
    pub fn new(front: &[u8], len: u64, opener: &Opener<'_>) -> Result<Self> {
        let header = Header::parse(front)?;
        let body = front.get(header.len()..).and_then(<[u8]>::first_chunk::<HEAD_LEN>);
        let head = body.ok_or(Error::Truncated)?;
        let front_len = (header.len() + HEAD_LEN) as u64;
        let plain_len = plain_len(len.checked_sub(front_len).ok_or(Error::Truncated)?)?;
        let unlocked = opener.begin(&header)?;
        unlocked.layout.check_total(plain_len)?;
        let key = unlocked.body(head)?;
        Ok(Self { unlocked, key, front_len, plain_len })
    }

    /// What to decrypt with.
    #[must_use]
    pub fn key(&self) -> &ChunkKey {
        &self.key
    }

    /// Where the first chunk begins.
    #[must_use]
    pub fn front_len(&self) -> u64 {
        self.front_len
    }

    /// How many bytes of plaintext all chunks hold together: the payload and what follows it.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// How many bytes at the plaintext's end [`OutsideOpening::payload_len`] asks for.
    #[must_use]
    pub fn tail_len(&self) -> usize {
        self.unlocked.layout.tail_len()
    }

    /// Whether the envelope says that it is padded.
    #[must_use]
    pub fn is_padded(&self) -> bool {
        self.unlocked.layout.padded
    }

    /// Whether [`OutsideOpening::finish`] asks for the payload's hash.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.unlocked.layout.signed
    }

    /// What the sealer said about the payload.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.unlocked.about
    }

    /// How long the payload is, given the last [`OutsideOpening::tail_len`] bytes of the decrypted plaintext.
    ///
    /// # Errors
    /// [`Error::Rejected`] if that is not what a sealer writes.
    pub fn payload_len(&self, tail: &[u8]) -> Result<u64> {
        if tail.len() != self.tail_len() {
            return Err(Error::Rejected);
        }
        self.unlocked.layout.payload_len(self.plain_len, tail)
    }

    /// The last checks, when every chunk was decrypted: `closing` is what follows the payload, `payload_sha256` the payload's hash if it is signed.
    ///
    /// # Errors
    /// [`Error::Rejected`] for padding that is not zero, and for a signature that is not right.
    pub fn finish(&self, closing: &[u8], payload_sha256: Option<[u8; 32]>) -> Result<Finished> {
        let at = closing.len().checked_sub(self.tail_len()).ok_or(Error::Rejected)?;
        let (zeros, tail) = closing.split_at(at);
        let payload_len = self.payload_len(tail)?;
        if zeros.iter().any(|&byte| byte != 0) || payload_len + closing.len() as u64 != self.plain_len {
            return Err(Error::Rejected);
        }
        if self.is_signed() && payload_sha256.is_none() {
            return Err(Error::Misuse(&"a signature needs the payload's hash"));
        }
        let signer = self.unlocked.verify(|| payload_sha256.unwrap_or_default(), tail)?;
        Ok(Finished { signer, about: self.unlocked.about.clone() })
    }
}

/// A new envelope whose payload arrives in pieces, and whose chunks are encrypted elsewhere.
///
/// The envelope is `front ‖ chunks`; the chunks are `payload ‖ closing`, encrypted in pieces of 16 KiB. Source: SPEC §7.
pub struct OutsideSealStream {
    front: Vec<u8>,
    key: ChunkKey,
    signer: BodySigner,
    hash: PayloadHash,
    layout: Layout,
    expected: Option<u64>,
    pushed: u64,
    /// How much of that the hash has seen.
    hashed: u64,
}

impl OutsideSealStream {
    /// Begins a new envelope; `len` is the payload's length, if it is known: only then is it padded.
    ///
    /// # Errors
    /// Those of [`Sealer::seal`].
    pub fn new(sealer: &Sealer<'_>, len: Option<u64>) -> Result<Self> {
        let begun = sealer.begin(len.is_some_and(|len| sealer.pads(len)))?;
        let (head, key, signer) = begun.body(sealer.part)?;
        let front = [begun.header.as_slice(), &head].concat();
        let hash = PayloadHash::default();
        Ok(Self { front, key, signer, hash, layout: begun.layout, expected: len, pushed: 0, hashed: 0 })
    }

    /// Header and body head.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        &self.front
    }

    /// What to encrypt with.
    #[must_use]
    pub fn key(&self) -> &ChunkKey {
        &self.key
    }

    /// How long the whole envelope is, if the payload's length was said.
    ///
    /// # Errors
    /// [`Error::TooLarge`] at 4 PiB.
    pub fn sealed_len(&self) -> Result<Option<u64>> {
        let len = |payload| Ok(self.front.len() as u64 + sealed_len(self.layout.total(payload)?)?);
        self.expected.map(len).transpose()
    }

    /// Whether the payload's bytes are needed, or their hash: see [`OutsideSealStream::push`].
    #[must_use]
    pub fn is_signing(&self) -> bool {
        self.signer.is_signing()
    }

    /// The next piece of the payload, to be signed.
    ///
    /// # Errors
    /// [`Error::Misuse`] beyond the length that was said.
    pub fn push(&mut self, payload: &[u8]) -> Result<()> {
        self.count(payload.len() as u64)?;
        if self.is_signing() {
            self.hash.update(payload);
            self.hashed += payload.len() as u64;
        }
        Ok(())
    }

    /// The length of the payload's next piece, where [`OutsideSealStream::finish`] is given the hash, or nothing is signed.
    ///
    /// # Errors
    /// [`Error::Misuse`] beyond the length that was said.
    pub fn count(&mut self, len: u64) -> Result<()> {
        let pushed = self.pushed.saturating_add(len);
        if self.expected.is_some_and(|len| pushed > len) {
            return Err(LENGTH);
        }
        self.pushed = pushed;
        Ok(())
    }

    /// At the payload's end: how many zeros follow it, and what follows these. `payload_sha256` is the payload's hash if its pieces were
    /// counted and not pushed.
    ///
    /// # Errors
    /// [`Error::Misuse`] below the length that was said, and for a signature without a hash; [`Error::TooLarge`] at 4 PiB.
    pub fn finish(self, payload_sha256: Option<[u8; 32]>) -> Result<(u64, Vec<u8>)> {
        let (_, zeros, tail) = self.end(payload_sha256)?;
        Ok((zeros, tail))
    }

    fn end(self, payload_sha256: Option<[u8; 32]>) -> Result<(ChunkKey, u64, Vec<u8>)> {
        if self.expected.is_some_and(|len| self.pushed != len) {
            return Err(LENGTH);
        }
        if self.is_signing() && payload_sha256.is_none() && self.hashed != self.pushed {
            return Err(Error::Misuse(&"a signature needs the payload's hash"));
        }
        let Self { key, signer, hash, layout, pushed, .. } = self;
        let signature = signer.sign(|| payload_sha256.unwrap_or_else(|| hash.done()));
        let tail = layout.tail(pushed, signature.as_ref().map_or(&[][..], |signature| signature));
        Ok((key, layout.zeros(pushed)?, tail))
    }
}

const LENGTH: Error = Error::Misuse(&"the payload has another length than was said");

/// An envelope that arrives in pieces, whose chunks are decrypted elsewhere.
///
/// Its header, slots tag and body commitment are verified. What comes out is provisional until [`OutsideOpenStream::finish`], as with
/// [`OpenStream`](crate::OpenStream). Source: SPEC §7, §11.
pub struct OutsideOpenStream {
    unlocked: Unlocked,
    key: ChunkKey,
    /// Boxed: moved, its hash would leave a copy of the payload's last bytes behind.
    release: Box<Release>,
    opened: u64,
}

impl OutsideOpenStream {
    /// Begins to open an envelope, of which `front` are the first bytes: at least the header and 56 bytes more.
    ///
    /// # Errors
    /// [`Error::Truncated`] if `front` is too short; others as [`open`](crate::open()).
    pub fn new(front: &[u8], opener: &Opener<'_>) -> Result<Self> {
        let header = Header::parse(front)?;
        let body = front.get(header.len()..).and_then(<[u8]>::first_chunk::<HEAD_LEN>);
        let head = body.ok_or(Error::Truncated)?;
        let unlocked = opener.begin(&header)?;
        let key = unlocked.body(head)?;
        let release = Box::new(Release::new(unlocked.layout));
        Ok(Self { unlocked, key, release, opened: 0 })
    }

    /// What to decrypt with.
    #[must_use]
    pub fn key(&self) -> &ChunkKey {
        &self.key
    }

    /// What the sealer said about the payload.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.unlocked.about
    }

    /// Whether something may follow the payload. If not, the decrypted plaintext is the payload, and [`OutsideOpenStream::push`] leaves it as
    /// it is.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.unlocked.layout.tail_len() != 0
    }

    /// Takes the next decrypted chunks and leaves in their place what is certain to be payload, with what was held back before.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a padded body of more than 2 GiB.
    pub fn push(&mut self, plaintext: &mut Vec<u8>) -> Result<()> {
        self.opened = self.opened.saturating_add(plaintext.len() as u64);
        self.unlocked.layout.check_total(self.opened)?;
        self.release.hold_back(plaintext, 0);
        Ok(())
    }

    /// The last checks, when the last chunk was decrypted and pushed: padding and signature. Appends the payload's end to `plaintext`.
    ///
    /// # Errors
    /// [`Error::Rejected`] if the end was altered, or the signature is wrong. Nothing was appended then; do not trust what came before.
    pub fn finish(mut self, plaintext: &mut Vec<u8>) -> Result<Finished> {
        let start = plaintext.len();
        let ended = self.release.finish(plaintext);
        let verified = ended.and_then(|(hash, tail)| self.unlocked.verify(|| hash.done(), &tail));
        if verified.is_err() {
            take_back(plaintext, start);
        }
        Ok(Finished { signer: verified?, about: self.unlocked.about })
    }
}
