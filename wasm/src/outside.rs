//! Envelopes whose chunks JavaScript moves about, and encrypts and decrypts with whatever is fastest.

use crate::error::{Failure, Result};
use crate::keys::aead_name;
use crate::seal::{Opened, Opening, Sealing, about, signer_text};
use js_sys::{Array, Uint8Array};
use sealwire::{BODY_HEAD_LEN, ChunkCipher, ChunkKey, Error, OutsideOpening, header_len};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

const CHUNK: usize = 16 * 1024;
const OVER: Error = Error::Misuse(&"it has ended or failed before");
const LENGTH: Error = Error::Misuse(&"a chunk of another length");

/// A new envelope: its front, then chunks of `payload ‖ closing`.
#[wasm_bindgen]
pub struct SealOutside(Option<sealwire::OutsideSealStream>);

#[wasm_bindgen]
impl SealOutside {
    #[wasm_bindgen(constructor)]
    pub fn new(sealing: &Sealing, len: Option<u64>) -> Result<Self> {
        Ok(Self(Some(sealwire::OutsideSealStream::new(&sealing.sealer(), len)?)))
    }

    /// `[aead, key, nonce, cipher]`, of which the key is to be wiped.
    pub fn key(&self) -> Result<Array> {
        key_of(self.0.as_ref().ok_or(OVER)?.key())
    }

    /// `[front, length]`.
    pub fn parts(&self) -> Result<Array> {
        let sealing = self.0.as_ref().ok_or(OVER)?;
        Ok(Array::of2(&Uint8Array::from(sealing.front()), &sealing.sealed_len()?.into()))
    }

    pub fn push(&mut self, payload: &[u8]) -> Result<()> {
        Ok(self.0.as_mut().ok_or(OVER)?.push(payload)?)
    }

    pub fn count(&mut self, len: u64) -> Result<()> {
        Ok(self.0.as_mut().ok_or(OVER)?.count(len)?)
    }

    /// `[zeros, tail]`: what follows the payload.
    pub fn finish(&mut self, payload_sha256: Option<Vec<u8>>) -> Result<Array> {
        let (zeros, tail) = self.0.take().ok_or(OVER)?.finish(hash(payload_sha256)?)?;
        Ok(Array::of2(&zeros.into(), &Uint8Array::from(tail.as_slice())))
    }
}

/// An envelope whose length is known.
#[wasm_bindgen]
pub struct OpenOutside(pub(crate) OutsideOpening);

#[wasm_bindgen]
impl OpenOutside {
    /// Takes as much of `front` as it needs; `len` is the length of all of it.
    #[wasm_bindgen(constructor)]
    pub fn new(front: &Uint8Array, len: u64, opening: &Opening) -> Result<Self> {
        Ok(Self(OutsideOpening::new(&front_of(front)?, len, &opening.opener())?))
    }

    /// `[aead, key, nonce, cipher]`, of which the key is to be wiped.
    pub fn key(&self) -> Result<Array> {
        key_of(self.0.key())
    }

    /// `[front length, plaintext length, tail length, is signed, about]`.
    pub fn parts(&self) -> Array {
        Array::of5(
            &self.0.front_len().into(),
            &self.0.plain_len().into(),
            &self.0.tail_len().into(),
            &self.0.is_signed().into(),
            &about(self.0.about()),
        )
    }

    #[wasm_bindgen(js_name = payloadLength)]
    pub fn payload_len(&self, tail: &[u8]) -> Result<u64> {
        Ok(self.0.payload_len(tail)?)
    }

    /// The signer.
    pub fn finish(&self, closing: &[u8], payload_sha256: Option<Vec<u8>>) -> Result<Option<String>> {
        Ok(signer_text(self.0.finish(closing, hash(payload_sha256)?)?.signer))
    }
}

/// An envelope that arrives in pieces.
#[wasm_bindgen]
pub struct OpenStreamOutside(Option<sealwire::OutsideOpenStream>);

#[wasm_bindgen]
impl OpenStreamOutside {
    #[wasm_bindgen(constructor)]
    pub fn new(front: &[u8], opening: &Opening) -> Result<Self> {
        Ok(Self(Some(sealwire::OutsideOpenStream::new(front, &opening.opener())?)))
    }

    /// `[aead, key, nonce, cipher]`, of which the key is to be wiped.
    pub fn key(&self) -> Result<Array> {
        key_of(self.0.as_ref().ok_or(OVER)?.key())
    }

    /// `[holds back, about]`.
    pub fn parts(&self) -> Result<Array> {
        let opening = self.0.as_ref().ok_or(OVER)?;
        Ok(Array::of2(&opening.holds_back().into(), &about(opening.about())))
    }

    /// What of decrypted chunks is payload.
    pub fn push(&mut self, plaintext: Vec<u8>) -> Result<Uint8Array> {
        let mut plaintext = plaintext;
        let pushed = self.0.as_mut().ok_or(OVER).and_then(|opening| opening.push(&mut plaintext));
        let payload = pushed.map(|()| Uint8Array::from(plaintext.as_slice()));
        // Also what was held back, beyond its end. zeroize writes byte after byte in WASM.
        plaintext.resize(plaintext.capacity(), 0);
        plaintext.fill(0);
        std::hint::black_box(&plaintext);
        Ok(payload?)
    }

    pub fn finish(&mut self) -> Result<Opened> {
        let mut plaintext = zeroize::Zeroizing::new(Vec::new());
        let finished = self.0.take().ok_or(OVER)?.finish(&mut plaintext)?;
        Ok(Opened::new(&plaintext, finished))
    }
}

/// How many bytes at the front of an envelope `OpenOutside` and `OpenStreamOutside` take, as soon as these tell.
#[wasm_bindgen(js_name = frontLen)]
pub fn front_len(front: &[u8]) -> Result<Option<u32>> {
    Ok(header_len(front)?.and_then(|len| u32::try_from(len + BODY_HEAD_LEN).ok()))
}

/// The module's own AEAD for the chunks of one body: each is copied in once and out once.
#[wasm_bindgen]
pub struct Chunks {
    cipher: ChunkCipher,
    text: Vec<u8>,
    sealed: Vec<u8>,
}

#[wasm_bindgen]
impl Chunks {
    /// Encrypts chunk number `index`.
    pub fn seal(&mut self, index: u64, text: &Uint8Array, sealed: &Uint8Array) -> Result<()> {
        let from = self.text.get_mut(..text.length() as usize).ok_or(LENGTH)?;
        let to = self.sealed.get_mut(..sealed.length() as usize).ok_or(LENGTH)?;
        text.copy_to(from);
        self.cipher.seal_chunk(index, from, to)?;
        sealed.copy_from(to);
        Ok(())
    }

    /// Decrypts chunk number `index`.
    pub fn open(&mut self, index: u64, sealed: &Uint8Array, text: &Uint8Array) -> Result<()> {
        let from = self.sealed.get_mut(..sealed.length() as usize).ok_or(LENGTH)?;
        let to = self.text.get_mut(..text.length() as usize).ok_or(LENGTH)?;
        sealed.copy_to(from);
        self.cipher.open_chunk(index, from, to)?;
        text.copy_from(to);
        Ok(())
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.text);
    }
}

fn key_of(key: &ChunkKey) -> Result<Array> {
    let cipher = Chunks { cipher: key.cipher(), text: vec![0; CHUNK], sealed: vec![0; CHUNK + 16] };
    Ok(Array::of4(
        &aead_name(key.aead()).into(),
        &Uint8Array::from(key.reveal().as_slice()),
        &Uint8Array::from(key.nonce(0)?.as_slice()),
        &JsValue::from(cipher),
    ))
}

fn hash(given: Option<Vec<u8>>) -> Result<Option<[u8; 32]>> {
    let of_32_bytes = |bytes: Vec<u8>| bytes.try_into().map_err(|_| Error::Misuse(&"a SHA-256 has 32 bytes"));
    given.map(of_32_bytes).transpose().map_err(Failure::from)
}

/// Header and body head, or all of it if that is less.
fn front_of(envelope: &Uint8Array) -> Result<Vec<u8>> {
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
