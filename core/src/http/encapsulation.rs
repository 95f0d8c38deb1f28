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
    /// Appends the sealed chunk to `out`.
    fn seal_chunk(&mut self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()>;
}

/// The same for reading.
pub(crate) trait ChunkOpener {
    /// Appends the plaintext to `out`; nothing on failure.
    fn open_chunk(&mut self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()>;
}

impl ChunkSealer for RequestSealing {
    fn seal_chunk(&mut self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(plaintext);
        let tag = self.context.seal(aad, out.get_mut(start..).unwrap_or_default())?;
        out.extend_from_slice(&tag);
        Ok(())
    }
}

impl ChunkSealer for ResponseKey {
    fn seal_chunk(&mut self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(plaintext);
        out.extend_from_slice(&[0; TAG_LEN]);
        self.seal(aad, out.get_mut(start..).unwrap_or_default())
    }
}

impl ChunkOpener for ResponseKey {
    fn open_chunk(&mut self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.resize(start + sealed.len().checked_sub(TAG_LEN).ok_or(Error::Rejected)?, 0);
        let opened = self.open(aad, sealed, out.get_mut(start..).unwrap_or_default());
        if opened.is_err() {
            out.truncate(start);
        }
        opened
    }
}

/// The service's side of a request whose hdr and enc are there.
pub(crate) struct RequestOpening {
    context: Box<dyn Receiving>,
}

impl ChunkOpener for RequestOpening {
    fn open_chunk(&mut self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (text, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Error::Rejected)?;
        let start = out.len();
        out.extend_from_slice(text);
        let opened = self.context.open(aad, out.get_mut(start..).unwrap_or_default(), tag);
        if opened.is_err() {
            out.truncate(start);
        }
        opened
    }
}

const NO_SUCH_KEY: Error = Error::InvalidKey("no such key of this service");

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
    pub(crate) fn key(&self, nonce: &[u8]) -> ResponseKey {
        ResponseKey::new(self.aead, &self.secret, &self.enc, nonce)
    }

    /// A fresh nonce, which goes in front, and its key. Once per request: `self` is used up.
    pub(crate) fn start_response(self) -> Result<(Vec<u8>, ResponseKey)> {
        let nonce = response_nonce(self.nonce_len())?;
        let key = self.key(&nonce);
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
        plaintext.chunks(CHUNK).try_for_each(|chunk| {
            write_varint((chunk.len() + TAG_LEN) as u64, out);
            self.sealer.seal_chunk(&[], chunk, out)
        })
    }

    /// The last chunk, with the last bytes (at most 16 KiB).
    pub(crate) fn finish(mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.push(0);
        self.sealer.seal_chunk(FINAL, plaintext, out)
    }
}

/// Opens chunks that arrive in pieces. Memory: one chunk.
pub(crate) struct ChunkReader<O> {
    opener: O,
    pending: Vec<u8>,
    last: bool,
}

impl<O: ChunkOpener> ChunkReader<O> {
    pub(crate) fn new(opener: O) -> Self {
        Self { opener, pending: Vec::new(), last: false }
    }

    /// Appends the plaintext of every chunk that is complete. The last chunk waits for [`ChunkReader::finish`].
    ///
    /// # Errors
    /// [`Error::Rejected`] for a chunk that does not open, [`Error::TooLarge`] for one above 16 KiB.
    pub(crate) fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<()> {
        loop {
            if self.last {
                if self.pending.len() + piece.len() > SEALED_CHUNK {
                    return Err(Error::TooLarge("a chunk has at most 16 KiB"));
                }
                self.pending.extend_from_slice(piece);
                return Ok(());
            }
            // Straight from the piece when nothing waits, so that chunks are copied only at its edges.
            let from_piece = self.pending.is_empty();
            let mut bytes = Bytes(if from_piece { piece } else { &self.pending });
            let available = bytes.0.len();
            let chunk_len = bytes.varint();
            let head = available - bytes.0.len();
            let wanted = match chunk_len {
                None => 1 + usize::from(available > 0),
                Some(0) => head,
                // A chunk that holds nothing would cost its reader work without bound.
                Some(len) if len <= TAG_LEN as u64 => return Err(Error::Rejected),
                Some(len) if len > SEALED_CHUNK as u64 => {
                    return Err(Error::TooLarge("a chunk has at most 16 KiB"));
                }
                Some(len) => head + usize::try_from(len).map_err(|_| Error::TooLarge("a chunk"))?,
            };
            if available < wanted || chunk_len.is_none() {
                if piece.is_empty() {
                    return Ok(());
                }
                let need = if from_piece { piece.len() } else { wanted.saturating_sub(available).max(1) };
                let (taken, rest) = piece.split_at(need.min(piece.len()));
                self.pending.extend_from_slice(taken);
                piece = rest;
                continue;
            }
            if chunk_len == Some(0) {
                self.last = true;
            } else {
                self.opener.open_chunk(&[], bytes.0.get(..wanted - head).unwrap_or_default(), out)?;
            }
            if from_piece {
                piece = piece.get(wanted..).unwrap_or_default();
            } else {
                self.pending.drain(..wanted);
            }
        }
    }

    /// Opens the last chunk, given that nothing follows.
    ///
    /// # Errors
    /// [`Error::Truncated`] if it never began, [`Error::Rejected`] if it does not open.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.last { self.opener.open_chunk(FINAL, &self.pending, out) } else { Err(Error::Truncated) }
    }
}
