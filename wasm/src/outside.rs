//! Envelopes whose chunks WebCrypto encrypts and decrypts.

use crate::error::{Failure, Result};
use crate::seal::{Opening, Sealing, about, signer_text};
use js_sys::{Array, Uint8Array};
use sealwire::{Aead, BODY_HEAD_LEN, ChunkKey, Error, Header, header_len};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

const CHUNK: u64 = 16 * 1024;
const OVER: Error = Error::Misuse("it was finished before");

#[wasm_bindgen]
impl Sealing {
    /// `[front, closing, length, key, nonces]`: 12 bytes of nonce for each chunk. The key is to be wiped by who asked.
    #[wasm_bindgen(js_name = sealOutside)]
    pub fn seal_outside(&self, payload_len: u64, payload_sha256: Option<Vec<u8>>) -> Result<Array> {
        let sealing = self.sealer().seal_outside(payload_len, hash(payload_sha256)?)?;
        let nonces = nonces(&sealing.key, payload_len + sealing.closing.len() as u64)?;
        Ok(Array::of5(
            &Uint8Array::from(sealing.front.as_slice()),
            &Uint8Array::from(sealing.closing.as_slice()),
            &sealing.len.into(),
            &Uint8Array::from(sealing.key.reveal().as_slice()),
            &nonces,
        ))
    }
}

#[wasm_bindgen]
pub struct OutsideOpening(Option<sealwire::OutsideOpening>);

#[wasm_bindgen]
impl Opening {
    /// `undefined` if the body's AEAD is not AES-256-GCM, WebCrypto's only one. Only the envelope's front is copied.
    #[wasm_bindgen(js_name = openOutside)]
    pub fn open_outside(&self, envelope: &Uint8Array) -> Result<Option<OutsideOpening>> {
        let front = front(envelope)?;
        if Header::parse(&front)?.unverified_aead() != Aead::Aes256Gcm {
            return Ok(None);
        }
        let opening = sealwire::OutsideOpening::new(&front, envelope.length().into(), &self.opener())?;
        Ok(Some(OutsideOpening(Some(opening))))
    }
}

#[wasm_bindgen]
impl OutsideOpening {
    /// `[frontLength, plainLength, tailLength, isSigned, key, nonces]`. The key is to be wiped by who asked.
    pub fn parts(&self) -> Result<Array> {
        let opening = self.0.as_ref().ok_or(OVER)?;
        let parts: [JsValue; 6] = [
            opening.front_len().into(),
            opening.plain_len().into(),
            opening.tail_len().into(),
            opening.is_signed().into(),
            Uint8Array::from(opening.key().reveal().as_slice()).into(),
            nonces(opening.key(), opening.plain_len())?.into(),
        ];
        Ok(parts.iter().collect())
    }

    #[wasm_bindgen(js_name = payloadLength)]
    pub fn payload_len(&self, tail: &[u8]) -> Result<u64> {
        Ok(self.0.as_ref().ok_or(OVER)?.payload_len(tail)?)
    }

    /// `[signer, about]`.
    pub fn finish(&mut self, closing: &[u8], payload_sha256: Option<Vec<u8>>) -> Result<Array> {
        let finished = self.0.take().ok_or(OVER)?.finish(closing, hash(payload_sha256)?)?;
        Ok(Array::of2(&signer_text(finished.signer).into(), &about(&finished.about)))
    }
}

fn nonces(key: &ChunkKey, plain_len: u64) -> Result<Uint8Array> {
    let nonces: Vec<_> = (0..=plain_len / CHUNK).map(|i| key.nonce(i)).collect::<sealwire::Result<_>>()?;
    Ok(Uint8Array::from(nonces.as_flattened()))
}

fn hash(given: Option<Vec<u8>>) -> Result<Option<[u8; 32]>> {
    let of_32_bytes = |bytes: Vec<u8>| bytes.try_into().map_err(|_| Error::Misuse("a SHA-256 has 32 bytes"));
    given.map(of_32_bytes).transpose().map_err(Failure::from)
}

/// Header and body head, or all of it if that is less.
fn front(envelope: &Uint8Array) -> Result<Vec<u8>> {
    let mut wanted = 4096;
    loop {
        let front = envelope.subarray(0, wanted.min(envelope.length())).to_vec();
        let end = header_len(&front)?.map(|len| len + BODY_HEAD_LEN);
        if end.is_some_and(|end| end <= front.len()) || wanted >= envelope.length() {
            return Ok(front);
        }
        wanted = end.and_then(|end| u32::try_from(end).ok()).unwrap_or_else(|| wanted.saturating_mul(2));
    }
}
