//! Sealing in pieces.

use crate::chunks::{CHUNK, ChunkCipher, SEALED_CHUNK, sealed_len};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::sealer::{BodySigner, Sealer};
use crate::suite::{PayloadHash, TAG_LEN};
use zeroize::Zeroizing;

/// Seals a payload that arrives in pieces, with at most 16 KiB held back between them. Padded only if its length is known in
/// advance: see [`SealStream::with_len`].
///
/// What comes out of [`SealStream::push`] and [`SealStream::finish`], one after the other, is the envelope. Without `finish`
/// it has no end, and readers refuse it: [`Error::Truncated`], or [`Error::Rejected`] if what they got ends inside a chunk.
/// Over `std::io` use [`SealWriter`](crate::SealWriter).
///
/// ```
/// use sealwire::{Identity, OpenStream, Opener, SealContext, SealStream, Sealer};
///
/// let bob = Identity::generate()?;
/// let context = SealContext::new("uploads").field("7");
/// let mut envelope = Vec::new();
/// let mut stream = SealStream::new(&Sealer::new(&context).to(bob.recipient()))?;
/// for piece in [b"one, ".as_slice(), b"two"] {
///     stream.push(piece, &mut envelope)?;
/// }
/// stream.finish(&mut envelope)?;
///
/// let mut plaintext = Vec::new();
/// let mut stream = OpenStream::new(&Opener::new(&bob, &context));
/// stream.push(&envelope, &mut plaintext)?;
/// stream.finish(&mut plaintext)?;
/// assert_eq!(plaintext, b"one, two");
/// # Ok::<(), sealwire::Error>(())
/// ```
pub struct SealStream {
    /// What has not been handed out yet: header and body head.
    front: Vec<u8>,
    front_len: u64,
    cipher: ChunkCipher,
    next_chunk: u64,
    /// Plaintext of a chunk that is not full yet.
    partial: Zeroizing<Vec<u8>>,
    signer: BodySigner,
    hash: PayloadHash,
    layout: Layout,
    /// How long the payload has to be, if that was said.
    expected: Option<u64>,
    pushed: u64,
}

impl SealStream {
    /// Begins a new envelope with the sealer's options (all but the padding).
    ///
    /// # Errors
    /// Those of [`Sealer::seal`].
    pub fn new(sealer: &Sealer<'_>) -> Result<Self> {
        Self::begin(sealer, None).map(Self::attached)
    }

    /// Begins a new envelope for a payload of exactly `len` bytes, padded as [`Sealer::seal`] pads it. More or fewer bytes are
    /// [`Error::Misuse`].
    ///
    /// # Errors
    /// Those of [`Sealer::seal`].
    pub fn with_len(sealer: &Sealer<'_>, len: u64) -> Result<Self> {
        Self::begin(sealer, Some(len)).map(Self::attached)
    }

    /// Like [`SealStream::new`], but hands out the header at once and streams the body alone.
    ///
    /// # Errors
    /// Those of [`Sealer::seal`].
    pub fn detached(sealer: &Sealer<'_>) -> Result<(Vec<u8>, Self)> {
        Self::begin(sealer, None)
    }

    fn begin(sealer: &Sealer<'_>, expected: Option<u64>) -> Result<(Vec<u8>, Self)> {
        let begun = sealer.begin(expected.is_some_and(|len| sealer.pads(len)))?;
        let (head, key, signer) = begun.body(sealer.part)?;
        let stream = Self {
            front: head.to_vec(),
            front_len: head.len() as u64,
            cipher: key.cipher(),
            next_chunk: 0,
            partial: new_partial(),
            signer,
            hash: PayloadHash::default(),
            layout: begun.layout,
            expected,
            pushed: 0,
        };
        Ok((begun.header, stream))
    }

    /// The stream with its header in front.
    fn attached((mut header, mut stream): (Vec<u8>, Self)) -> Self {
        header.append(&mut stream.front);
        stream.front_len = header.len() as u64;
        stream.front = header;
        stream
    }

    /// How long all that comes out of it is, if the payload's length was said.
    ///
    /// # Errors
    /// [`Error::TooLarge`] at 4 PiB.
    pub fn sealed_len(&self) -> Result<Option<u64>> {
        let len = |payload| Ok(self.front_len + sealed_len(self.layout.total(payload)?)?);
        self.expected.map(len).transpose()
    }

    /// Takes the next piece of the payload and appends what can be sealed of it to `sealed`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] at 4 PiB, [`Error::Misuse`] beyond the length that was said.
    pub fn push(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> Result<()> {
        let pushed = self.pushed.saturating_add(plaintext.len() as u64);
        if self.expected.is_some_and(|len| pushed > len) {
            return Err(LENGTH);
        }
        self.pushed = pushed;
        if self.signer.is_signing() {
            self.hash.update(plaintext);
        }
        self.push_chunks(plaintext, sealed)
    }

    /// Seals what was held back, the padding and the signature, where there are any, and appends it to `sealed`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] at 4 PiB, [`Error::Misuse`] below the length that was said.
    pub fn finish(mut self, sealed: &mut Vec<u8>) -> Result<()> {
        if self.expected.is_some_and(|len| self.pushed != len) {
            return Err(LENGTH);
        }
        let hash = std::mem::take(&mut self.hash);
        let signature = self.signer.sign(|| hash.done());
        let signature = signature.as_ref().map_or(&[][..], |signature| signature);
        self.push_chunks(&self.layout.closing(self.pushed, signature)?, sealed)?;
        let mut last = std::mem::take(&mut self.partial);
        last.extend_from_slice(&[0; TAG_LEN]);
        self.cipher.seal(self.next_chunk, &mut last)?;
        sealed.extend_from_slice(&last);
        Ok(())
    }

    fn push_chunks(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> Result<()> {
        sealed.append(&mut self.front);
        let mut rest = plaintext;
        if !self.partial.is_empty() {
            let room = CHUNK - self.partial.len();
            let (fitting, beyond) = rest.split_at(room.min(rest.len()));
            self.partial.extend_from_slice(fitting);
            rest = beyond;
            if self.partial.len() == CHUNK {
                let full = std::mem::replace(&mut self.partial, new_partial());
                self.seal_whole(&full, sealed)?;
            }
        }
        if self.partial.is_empty() {
            let (whole, short) = rest.split_at(rest.len() - rest.len() % CHUNK);
            self.seal_whole(whole, sealed)?;
            self.partial.extend_from_slice(short);
        }
        Ok(())
    }

    /// Seals whole chunks straight into the output.
    fn seal_whole(&mut self, whole: &[u8], sealed: &mut Vec<u8>) -> Result<()> {
        let (start, chunks) = (sealed.len(), whole.len() / CHUNK);
        sealed.resize(start + chunks * SEALED_CHUNK, 0);
        let out = sealed.get_mut(start..).ok_or(Error::Misuse(&"the output shrank"))?;
        self.cipher.seal_run(self.next_chunk, out, |offset, text| {
            if let Some(from) = whole.get(offset..offset + text.len()) {
                text.copy_from_slice(from);
            }
        })?;
        self.next_chunk += chunks as u64;
        Ok(())
    }
}

const LENGTH: Error = Error::Misuse(&"the payload has another length than was said");

/// Room for one chunk and its tag, so that it never moves and leaves a copy behind.
fn new_partial() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(SEALED_CHUNK))
}
