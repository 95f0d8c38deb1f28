//! Encapsulation: one message sealed to a service and one back, whole (RFC 9458) or in chunks
//! (draft-ietf-ohai-chunked-ohttp). Bytes in, bytes out; what the bytes mean is not known here.

use super::binary::{Bytes, write_varint};
use super::keys::{KeyConfig, KeyName, ServiceKey};
use crate::error::{Error, Result};
use crate::suite::{
    Exported, HKDF_SHA256, HpkeAead, Kem, Receiving, ResponseKey, Sending, TAG_LEN, label, response_nonce,
    sha256,
};
use std::sync::Arc;

/// The longest plaintext of a chunk that everybody has to take.
pub(crate) const CHUNK: usize = 16 * 1024;
const SEALED_CHUNK: usize = CHUNK + TAG_LEN;
const HDR_LEN: usize = 7;
const FINAL: &[u8] = b"final";

/// How a message is encapsulated; the response comes in the same form as its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// RFC 9458: one ciphertext. Nothing is known before all of it is there.
    Whole,
    /// draft-ietf-ohai-chunked-ohttp: 16 KiB at a time, for uploads, downloads and server-sent events.
    Chunked,
}

impl Form {
    fn request_info(self) -> &'static [u8] {
        match self {
            Self::Whole => b"message/bhttp request",
            Self::Chunked => b"message/bhttp chunked request",
        }
    }

    fn response_label(self) -> &'static [u8] {
        match self {
            Self::Whole => b"message/bhttp response",
            Self::Chunked => b"message/bhttp chunked response",
        }
    }

    pub(crate) fn request_media_type(self) -> &'static str {
        match self {
            Self::Whole => "message/ohttp-req",
            Self::Chunked => "message/ohttp-chunked-req",
        }
    }

    pub(crate) fn response_media_type(self) -> &'static str {
        match self {
            Self::Whole => "message/ohttp-res",
            Self::Chunked => "message/ohttp-chunked-res",
        }
    }
}

/// hdr of RFC 9458 §4.3, and the info that binds it.
fn hdr(id: u8, kem: u16, kdf: u16, aead: u16) -> [u8; HDR_LEN] {
    let ([k0, k1], [d0, d1], [a0, a1]) = (kem.to_be_bytes(), kdf.to_be_bytes(), aead.to_be_bytes());
    [id, k0, k1, d0, d1, a0, a1]
}

fn info(form: Form, hdr: &[u8; HDR_LEN]) -> Vec<u8> {
    [form.request_info(), &[0], hdr].concat()
}

/// The client's side of a request: what goes in front, and what seals the rest.
pub(crate) struct RequestSealing {
    /// hdr ‖ enc.
    pub(crate) head: Vec<u8>,
    context: Box<dyn Sending>,
}

/// What the response to one request is opened or sealed with.
pub(crate) struct ResponseSecret {
    form: Form,
    aead: HpkeAead,
    secret: Exported,
    enc: Vec<u8>,
}

impl RequestSealing {
    pub(crate) fn start(config: &KeyConfig, form: Form) -> Result<(Self, ResponseSecret)> {
        let hdr = hdr(config.id, config.key.kem().id(), HKDF_SHA256, config.aead.id());
        let (enc, context) = config.key.start_sending(config.aead, &info(form, &hdr))?;
        let secret = context.export(form.response_label(), config.aead.key_len())?;
        let head = [hdr.as_slice(), &enc].concat();
        Ok((Self { head, context }, ResponseSecret { form, aead: config.aead, secret, enc }))
    }

    /// The whole encapsulated request.
    pub(crate) fn seal_whole(mut self, message: &[u8]) -> Result<Vec<u8>> {
        let mut out = std::mem::take(&mut self.head);
        let start = out.len();
        out.reserve_exact(message.len() + TAG_LEN);
        out.extend_from_slice(message);
        let tag = self.context.seal(&[], out.get_mut(start..).unwrap_or_default())?;
        out.extend_from_slice(&tag);
        Ok(out)
    }
}

/// One direction's cipher for chunks, in their order.
pub(crate) trait ChunkSealer {
    /// Appends the sealed chunk to `out`; its plaintext is these parts, one behind the other.
    fn seal_chunk(&mut self, aad: &[u8], parts: &[&[u8]], out: &mut Vec<u8>) -> Result<()>;
}

/// The same for reading.
pub(crate) trait ChunkOpener {
    /// Opens in place; what is left of `sealed` is the plaintext.
    fn open_chunk<'s>(&mut self, aad: &[u8], sealed: &'s mut [u8]) -> Result<&'s [u8]>;
}

impl ChunkSealer for RequestSealing {
    fn seal_chunk(&mut self, aad: &[u8], parts: &[&[u8]], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        parts.iter().for_each(|part| out.extend_from_slice(part));
        let tag = self.context.seal(aad, out.get_mut(start..).unwrap_or_default())?;
        out.extend_from_slice(&tag);
        Ok(())
    }
}

impl ChunkSealer for ResponseKey {
    fn seal_chunk(&mut self, aad: &[u8], parts: &[&[u8]], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(&[0; TAG_LEN]);
        self.seal(aad, out.get_mut(start..).unwrap_or_default())
    }
}

impl ChunkOpener for ResponseKey {
    fn open_chunk<'s>(&mut self, aad: &[u8], sealed: &'s mut [u8]) -> Result<&'s [u8]> {
        let (text, tag) = sealed.split_last_chunk_mut().ok_or(Error::Rejected)?;
        self.open(aad, text, tag)?;
        Ok(text)
    }
}

/// The service's side of a request whose hdr and enc are there.
pub(crate) struct RequestOpening {
    context: Box<dyn Receiving>,
}

impl ChunkOpener for RequestOpening {
    fn open_chunk<'s>(&mut self, aad: &[u8], sealed: &'s mut [u8]) -> Result<&'s [u8]> {
        let (text, tag) = sealed.split_last_chunk_mut().ok_or(Error::Rejected)?;
        self.context.open(aad, text, tag)?;
        Ok(text)
    }
}

const NO_SUCH_KEY: Error = Error::InvalidKey(&"no such key of this service");

/// How long hdr ‖ enc is, once the first bytes are there.
///
/// # Errors
/// [`Error::InvalidKey`] for a KEM that no key of ours has.
fn head_len(front: &[u8]) -> Result<Option<usize>> {
    let Some([_, k0, k1, ..]) = front.first_chunk::<HDR_LEN>() else { return Ok(None) };
    let kem = Kem::with_id(u16::from_be_bytes([*k0, *k1]).into()).ok_or(NO_SUCH_KEY)?;
    Ok(Some(HDR_LEN + kem.enc_len()))
}

/// An encapsulated request that arrives in pieces; its head tells which key opens it.
pub(crate) struct Arriving {
    form: Form,
    front: Vec<u8>,
}

/// What hdr and enc of a request gave.
pub(crate) struct Arrived {
    pub(crate) opening: RequestOpening,
    pub(crate) secret: ResponseSecret,
    /// Names the request: nobody can make another with the same.
    pub(crate) id: [u8; 32],
    pub(crate) key_id: u8,
}

impl Arriving {
    pub(crate) fn new(form: Form) -> Self {
        Self { form, front: Vec::new() }
    }

    /// Takes what is needed of the front of `piece`. `None` while hdr and enc are not complete; then `find` looks up the key.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if there is no such key (any more), [`Error::Rejected`] if the KEM refuses enc.
    pub(crate) fn push(
        &mut self,
        piece: &mut &[u8],
        find: impl FnOnce(KeyName) -> Option<Arc<ServiceKey>>,
    ) -> Result<Option<Arrived>> {
        loop {
            let wanted = head_len(&self.front)?.unwrap_or(HDR_LEN).saturating_sub(self.front.len());
            if wanted == 0 {
                break;
            }
            if piece.is_empty() {
                return Ok(None);
            }
            let (taken, rest) = piece.split_at(wanted.min(piece.len()));
            self.front.extend_from_slice(taken);
            *piece = rest;
        }
        let (hdr, enc) = self.front.split_first_chunk::<HDR_LEN>().ok_or(Error::Truncated)?;
        let [id, k0, k1, d0, d1, a0, a1] = *hdr;
        let [kem, kdf, aead] = [[k0, k1], [d0, d1], [a0, a1]].map(u16::from_be_bytes);
        let key = find((id, kem, kdf, aead)).ok_or(NO_SUCH_KEY)?;
        let aead = key.aead;
        let context = key.secret.start_receiving(aead, enc, &info(self.form, hdr))?;
        let secret = context.export(self.form.response_label(), aead.key_len())?;
        let secret = ResponseSecret { form: self.form, aead, secret, enc: enc.to_vec() };
        let id_bytes = sha256(&[label::REPLAY_ID, &[id], enc]);
        Ok(Some(Arrived { opening: RequestOpening { context }, secret, id: id_bytes, key_id: id }))
    }
}

impl ResponseSecret {
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// How long the nonce in front of a response is.
    pub(crate) fn nonce_len(&self) -> usize {
        self.aead.key_len()
    }

    /// The key of a response with this nonce.
    pub(crate) fn key(&self, nonce: &[u8]) -> Result<ResponseKey> {
        ResponseKey::new(self.aead, &self.secret, &self.enc, nonce)
    }

    /// A fresh nonce, which goes in front, and its key. Once per request: `self` is used up.
    pub(crate) fn start_response(self) -> Result<(Vec<u8>, ResponseKey)> {
        let nonce = response_nonce(self.nonce_len())?;
        let key = self.key(&nonce)?;
        Ok((nonce, key))
    }
}

/// Cuts plaintext into chunks and seals them.
pub(crate) struct ChunkWriter<S> {
    sealer: S,
}

impl<S: ChunkSealer> ChunkWriter<S> {
    pub(crate) fn new(sealer: S) -> Self {
        Self { sealer }
    }

    /// Seals all of `plaintext` now: what is pushed can be read at once on the other side.
    pub(crate) fn push(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        plaintext.chunks(CHUNK).try_for_each(|chunk| self.chunk(&[chunk], out))
    }

    /// The same as a piece of a message's content (SPEC §18.2), in as few chunks as it fills.
    pub(crate) fn push_content(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<()> {
        // The length in front takes up to 4 bytes.
        const PIECE: usize = CHUNK - 4;
        out.reserve(content.len() + content.len().div_ceil(PIECE) * (CHUNK + MAX_LENGTH + TAG_LEN - PIECE));
        let mut length = Vec::new();
        content.chunks(PIECE).try_for_each(|piece| {
            length.clear();
            write_varint(piece.len() as u64, &mut length);
            self.chunk(&[&length, piece], out)
        })
    }

    fn chunk(&mut self, parts: &[&[u8]], out: &mut Vec<u8>) -> Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        write_varint((len + TAG_LEN) as u64, out);
        self.sealer.seal_chunk(&[], parts, out)
    }

    /// The last chunk, with the last bytes (at most 16 KiB).
    pub(crate) fn finish(mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.push(0);
        self.sealer.seal_chunk(FINAL, &[plaintext], out)
    }
}

/// What a chunk's length takes: a varint of at most [`SEALED_CHUNK`].
const MAX_LENGTH: usize = 4;

/// Opens chunks that arrive in pieces. Memory: one chunk, as far as it has come.
pub(crate) struct ChunkReader<O> {
    opener: O,
    /// The bytes of a length that is not complete.
    length: Vec<u8>,
    expected: Expected,
    /// What has come of the next chunk; it is opened here, too.
    chunk: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Expected {
    Length,
    Chunk(usize),
    /// It has no length: it ends where everything ends.
    LastChunk,
}

impl<O: ChunkOpener> ChunkReader<O> {
    pub(crate) fn new(opener: O) -> Self {
        Self { opener, length: Vec::new(), expected: Expected::Length, chunk: Vec::new() }
    }

    /// Hands the plaintext of every chunk that is complete to `take`. The last chunk waits for [`ChunkReader::finish`].
    ///
    /// # Errors
    /// [`Error::Rejected`] for a chunk that does not open, [`Error::TooLarge`] for one above 16 KiB; those of `take`.
    pub(crate) fn push(&mut self, mut piece: &[u8], mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while let Some((first, behind)) = piece.split_first() {
            let wanted = match self.expected {
                Expected::Length => {
                    self.length.push(*first);
                    piece = behind;
                    if let Some(len) = Bytes(&self.length).varint() {
                        self.expected = Expected::after(len)?;
                        self.length.clear();
                    }
                    continue;
                }
                Expected::LastChunk if self.chunk.len() + piece.len() > SEALED_CHUNK => return Err(TOO_LONG),
                Expected::LastChunk => usize::MAX,
                Expected::Chunk(len) => len,
            };
            let (taken, rest) = piece.split_at(piece.len().min(wanted - self.chunk.len()));
            self.chunk.extend_from_slice(taken);
            piece = rest;
            if self.chunk.len() == wanted {
                take(self.opener.open_chunk(&[], &mut self.chunk)?)?;
                self.chunk.clear();
                self.expected = Expected::Length;
            }
        }
        Ok(())
    }

    /// Opens the last chunk, given that nothing follows.
    ///
    /// # Errors
    /// [`Error::Truncated`] if it never began, [`Error::Rejected`] if it does not open; those of `take`.
    pub(crate) fn finish(mut self, take: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        match self.expected {
            Expected::LastChunk => take(self.opener.open_chunk(FINAL, &mut self.chunk)?),
            Expected::Length | Expected::Chunk(_) => Err(Error::Truncated),
        }
    }
}

impl Expected {
    fn after(len: u64) -> Result<Self> {
        match usize::try_from(len) {
            Ok(0) => Ok(Self::LastChunk),
            // A chunk that holds nothing would cost its reader work without bound.
            Ok(..=TAG_LEN) => Err(Error::Rejected),
            Ok(len @ ..=SEALED_CHUNK) => Ok(Self::Chunk(len)),
            _ => Err(TOO_LONG),
        }
    }
}

const TOO_LONG: Error = Error::TooLarge(&"a chunk has at most 16 KiB");
