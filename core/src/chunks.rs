//! C2SP chunked encryption, version 1, with SHA-512 (SPEC §7): one chunk in, one chunk out, and runs of them.

use crate::error::{Error, Result};
use crate::secret::Key;
use crate::suite::{Aead, AeadKey, TAG_LEN, chunk_secrets, equal, random_array};

/// Plaintext bytes in every chunk but the last, which has fewer.
pub(crate) const CHUNK: usize = 16 * 1024;
pub(crate) const SEALED_CHUNK: usize = CHUNK + TAG_LEN;
/// How many bytes of a body [`Opener::rewrap_header`](crate::Opener::rewrap_header) needs: salt and commitment, in front of
/// the first chunk.
pub const BODY_HEAD_LEN: usize = SALT_LEN + 32;
pub(crate) use BODY_HEAD_LEN as HEAD_LEN;
const SALT_LEN: usize = 24;
const MAX_CHUNKS: u64 = 1 << 38;
/// From this many bytes on, a run is shared out over the cores, in blocks of this many chunks.
#[cfg(not(target_arch = "wasm32"))]
const PARALLEL_FROM: usize = 1024 * 1024;
#[cfg(not(target_arch = "wasm32"))]
const BLOCK: usize = 16;

/// The input key of a body and what it is bound to.
pub(crate) struct BodyKey {
    pub(crate) aead: Aead,
    pub(crate) input_key: Key,
    pub(crate) context: [u8; 32],
}

/// What the chunks of one body are encrypted with, for an AEAD outside of this crate, such as a browser's WebCrypto.
///
/// Whoever has it can read this body and, worse, forge its chunks: hand it to an AEAD and to nothing else. Chunk number `i` holds
/// 16,384 bytes of plaintext, the last one fewer (also none); it is encrypted with [`ChunkKey::nonce`]`(i)` and no associated data. Wiped on drop.
/// Source: SPEC §7.
pub struct ChunkKey {
    aead: Aead,
    key: Key,
    base_nonce: [u8; 12],
}

/// Encrypts and decrypts the chunks of one body: this crate's own AEAD, for whoever moves the chunks about. See [`ChunkKey`].
pub struct ChunkCipher {
    key: AeadKey,
    base_nonce: [u8; 12],
}

impl ChunkKey {
    /// The AEAD that it is for.
    #[must_use]
    pub fn aead(&self) -> Aead {
        self.aead
    }

    /// The key.
    #[must_use]
    pub fn reveal(&self) -> &[u8; 32] {
        self.key.expose()
    }

    /// The nonce of a chunk.
    ///
    /// # Errors
    /// [`Error::TooLarge`] from chunk 2^38 on.
    pub fn nonce(&self, index: u64) -> Result<[u8; 12]> {
        nonce(&self.base_nonce, index)
    }

    /// What encrypts and decrypts with it.
    #[must_use]
    pub fn cipher(&self) -> ChunkCipher {
        ChunkCipher { key: AeadKey::new(self.aead, &self.key), base_nonce: self.base_nonce }
    }
}

impl std::fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkKey")
    }
}

/// Base nonce XOR the chunk's number as a 12-byte big-endian integer.
fn nonce(base: &[u8; 12], index: u64) -> Result<[u8; 12]> {
    if index >= MAX_CHUNKS {
        return Err(Error::TooLarge(&"a body has at most 2^38 chunks"));
    }
    let mut nonce = *base;
    let (_, low) = nonce.split_at_mut(4);
    low.iter_mut().zip(index.to_be_bytes()).for_each(|(byte, counter)| *byte ^= counter);
    Ok(nonce)
}

impl BodyKey {
    /// A new body: its head (salt ‖ commitment) and the key for its chunks.
    pub(crate) fn start(&self) -> Result<([u8; HEAD_LEN], ChunkKey)> {
        let salt = random_array::<SALT_LEN>()?;
        let (commitment, key) = derive(self.aead, &self.input_key, &salt, &self.context);
        let mut head = [0; HEAD_LEN];
        let (front, back) = head.split_at_mut(SALT_LEN);
        front.copy_from_slice(&salt);
        back.copy_from_slice(&commitment);
        Ok((head, key))
    }

    /// The key for the chunks of an existing body, refused if its commitment is not to this key and context.
    pub(crate) fn resume(&self, head: &[u8; HEAD_LEN]) -> Result<ChunkKey> {
        let (salt, committed) = head.split_at(SALT_LEN);
        let (commitment, key) = derive(self.aead, &self.input_key, salt, &self.context);
        if equal(&commitment, committed) { Ok(key) } else { Err(Error::Rejected) }
    }
}

/// The commitment and the key that an input key gives with this salt and context.
fn derive(aead: Aead, input_key: &Key, salt: &[u8], context: &[u8]) -> ([u8; 32], ChunkKey) {
    const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+";
    let info = [LABEL, aead.name().as_bytes(), &[0], salt, context];
    let secrets = chunk_secrets(input_key, &info);
    (secrets.commitment, ChunkKey { aead, key: secrets.key, base_nonce: secrets.base_nonce })
}

impl ChunkCipher {
    /// Encrypts the chunk numbered `index` into `sealed`, which is 16 bytes longer than `plaintext`.
    ///
    /// **Encrypt each number once**: two plaintexts under one nonce give both away.
    ///
    /// # Errors
    /// [`Error::Misuse`] for another length, [`Error::TooLarge`] from chunk 2^38 on.
    pub fn seal_chunk(&self, index: u64, plaintext: &[u8], sealed: &mut [u8]) -> Result<()> {
        if plaintext.len() > CHUNK || sealed.len() != plaintext.len() + TAG_LEN {
            return Err(Error::Misuse(&"a chunk has at most 16 KiB, and 16 bytes more when it is sealed"));
        }
        self.key.seal_into(nonce(&self.base_nonce, index)?, &[], plaintext, sealed);
        Ok(())
    }

    /// Decrypts the chunk numbered `index` into `plaintext`, which is 16 bytes shorter than `sealed`.
    ///
    /// # Errors
    /// [`Error::Rejected`] if it is not what was encrypted for this number, and for another length: `plaintext` is zeroed then.
    pub fn open_chunk(&self, index: u64, sealed: &[u8], plaintext: &mut [u8]) -> Result<()> {
        self.open(index, sealed, plaintext).inspect_err(|_| plaintext.fill(0))
    }

    /// Seals the chunk numbered `index` in place: plaintext, then [`TAG_LEN`] bytes of room.
    pub(crate) fn seal(&self, index: u64, buffer: &mut [u8]) -> Result<()> {
        self.key.seal(nonce(&self.base_nonce, index)?, &[], buffer);
        Ok(())
    }

    /// Opens the chunk numbered `index` into `out`, which is [`TAG_LEN`] shorter; zeroes it on failure.
    pub(crate) fn open(&self, index: u64, sealed: &[u8], out: &mut [u8]) -> Result<()> {
        if self.key.open(nonce(&self.base_nonce, index)?, &[], sealed, out) {
            Ok(())
        } else {
            Err(Error::Rejected)
        }
    }

    /// Seals the chunks from `first` on into `sealed`. `fill(offset, plaintext)` writes the plaintext that begins
    /// `offset` bytes after the first chunk's start. Uses every core when the run is long.
    pub(crate) fn seal_run(
        &self,
        first: u64,
        sealed: &mut [u8],
        fill: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Result<()> {
        let seal_block = |chunks_before: usize, block: &mut [u8]| {
            block.chunks_mut(SEALED_CHUNK).zip(chunks_before..).try_for_each(|(buffer, i)| {
                if let Some((text, _)) = buffer.split_last_chunk_mut::<TAG_LEN>() {
                    fill(i * CHUNK, text);
                }
                self.seal(first + i as u64, buffer)
            })
        };
        #[cfg(not(target_arch = "wasm32"))]
        if sealed.len() >= PARALLEL_FROM {
            use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};
            return sealed
                .par_chunks_mut(BLOCK * SEALED_CHUNK)
                .enumerate()
                .try_for_each(|(i, block)| seal_block(i * BLOCK, block));
        }
        seal_block(0, sealed)
    }

    /// Opens the chunks from `first` on into `out`, which has exactly their plaintext's length. Uses every core when
    /// the run is long; zeroes `out` on failure.
    pub(crate) fn open_run(&self, first: u64, sealed: &[u8], out: &mut [u8]) -> Result<()> {
        let opened = self.open_blocks(first, sealed, out);
        if opened.is_err() {
            out.fill(0);
        }
        opened
    }

    fn open_blocks(&self, first: u64, sealed: &[u8], out: &mut [u8]) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if sealed.len() >= PARALLEL_FROM {
            use rayon::prelude::{
                IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut,
            };
            // Whole blocks side by side; the rest, with the short last chunk, after them.
            let blocks = sealed.len() / (BLOCK * SEALED_CHUNK);
            let (sealed, sealed_rest) = sealed.split_at(blocks * BLOCK * SEALED_CHUNK);
            let (out, out_rest) = out.split_at_mut_checked(blocks * BLOCK * CHUNK).ok_or(Error::Rejected)?;
            sealed
                .par_chunks_exact(BLOCK * SEALED_CHUNK)
                .zip_eq(out.par_chunks_exact_mut(BLOCK * CHUNK))
                .enumerate()
                .try_for_each(|(i, (sealed, out))| {
                    self.open_in_order(first + (i * BLOCK) as u64, sealed, out)
                })?;
            return self.open_in_order(first + (blocks * BLOCK) as u64, sealed_rest, out_rest);
        }
        self.open_in_order(first, sealed, out)
    }

    fn open_in_order(&self, first: u64, sealed: &[u8], mut out: &mut [u8]) -> Result<()> {
        for (sealed, index) in sealed.chunks(SEALED_CHUNK).zip(first..) {
            let text_len = sealed.len().checked_sub(TAG_LEN).ok_or(Error::Truncated)?;
            let (text, rest) =
                std::mem::take(&mut out).split_at_mut_checked(text_len).ok_or(Error::Rejected)?;
            self.open(index, sealed, text)?;
            out = rest;
        }
        if out.is_empty() { Ok(()) } else { Err(Error::Rejected) }
    }
}

/// How long the sealed chunks (without the head) of `plain` bytes are.
pub(crate) fn sealed_len(plain: u64) -> Result<u64> {
    let chunks = plain / CHUNK as u64 + 1;
    if chunks > MAX_CHUNKS {
        return Err(Error::TooLarge(&"a body has at most 2^38 chunks"));
    }
    Ok(plain + chunks * TAG_LEN as u64)
}

/// How much plaintext `sealed` bytes of chunks hold; [`Error::Truncated`] if no plaintext has that length.
pub(crate) fn plain_len(sealed: u64) -> Result<u64> {
    let full = sealed / SEALED_CHUNK as u64;
    let last = (sealed % SEALED_CHUNK as u64).checked_sub(TAG_LEN as u64).ok_or(Error::Truncated)?;
    Ok(full * CHUNK as u64 + last)
}

#[cfg(test)]
mod conformance;
