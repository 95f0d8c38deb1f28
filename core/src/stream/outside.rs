//! Envelopes whose chunks another AEAD encrypts and decrypts: WebCrypto's, which is asynchronous (SPEC §7).

use crate::about::About;
use crate::chunks::{ChunkKey, HEAD_LEN, plain_len, sealed_len};
use crate::envelope::Header;
use crate::error::{Error, Result};
use crate::opener::{Finished, Opener, Unlocked};
use crate::sealer::Sealer;

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
        let begun = self.begin(self.pads(payload_len))?;
        let (head, key, signer) = begun.body(self.part)?;
        if signer.is_signing() && payload_sha256.is_none() {
            return Err(Error::Misuse("a signature needs the payload's hash"));
        }
        let signature = signer.sign(|| payload_sha256.unwrap_or_default());
        let signature = signature.as_ref().map_or(&[][..], |signature| signature);
        let closing = begun.layout.closing(payload_len, signature)?;
        let front = [begun.header.as_slice(), &head].concat();
        let len = front.len() as u64 + sealed_len(payload_len + closing.len() as u64)?;
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
    pub fn finish(self, closing: &[u8], payload_sha256: Option<[u8; 32]>) -> Result<Finished> {
        let at = closing.len().checked_sub(self.tail_len()).ok_or(Error::Rejected)?;
        let (zeros, tail) = closing.split_at(at);
        let payload_len = self.payload_len(tail)?;
        if zeros.iter().any(|&byte| byte != 0) || payload_len + closing.len() as u64 != self.plain_len {
            return Err(Error::Rejected);
        }
        if self.is_signed() && payload_sha256.is_none() {
            return Err(Error::Misuse("a signature needs the payload's hash"));
        }
        let signer = self.unlocked.verify(|| payload_sha256.unwrap_or_default(), tail)?;
        Ok(Finished { signer, about: self.unlocked.about })
    }
}
