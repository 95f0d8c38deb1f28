//! Payloads in pieces, and ranges of them.

use crate::error::Result;
use crate::seal::{Opened, Opening, Sealing, about};
use js_sys::{Array, Uint8Array};
use sealwire::{BODY_HEAD_LEN, Error, header_len};
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

/// The last step takes the stream away: what comes after it is `Misuse`.
const OVER: Error = Error::Misuse("the stream has ended or failed before");

#[wasm_bindgen]
pub struct SealStream(Option<sealwire::SealStream>);

#[wasm_bindgen]
impl SealStream {
    #[wasm_bindgen(constructor)]
    pub fn new(sealing: &Sealing, len: Option<u64>) -> Result<Self> {
        let sealer = sealing.sealer();
        let stream = match len {
            Some(len) => sealwire::SealStream::with_len(&sealer, len)?,
            None => sealwire::SealStream::new(&sealer)?,
        };
        Ok(Self(Some(stream)))
    }

    #[wasm_bindgen(js_name = sealedLen)]
    pub fn sealed_len(&self) -> Result<Option<u64>> {
        Ok(self.0.as_ref().ok_or(OVER)?.sealed_len()?)
    }

    pub fn push(&mut self, plaintext: Vec<u8>) -> Result<Vec<u8>> {
        let plaintext = Zeroizing::new(plaintext);
        let mut sealed = Vec::with_capacity(plaintext.len() + plaintext.len() / 512);
        self.0.as_mut().ok_or(OVER)?.push(&plaintext, &mut sealed)?;
        Ok(sealed)
    }

    pub fn finish(&mut self) -> Result<Vec<u8>> {
        let mut sealed = Vec::new();
        self.0.take().ok_or(OVER)?.finish(&mut sealed)?;
        Ok(sealed)
    }
}

#[wasm_bindgen]
pub struct OpenStream(Phase);

enum Phase {
    Header { opening: Opening, received: Vec<u8> },
    Body(sealwire::OpenStream<'static>),
    Over,
}

#[wasm_bindgen]
impl OpenStream {
    #[wasm_bindgen(constructor)]
    pub fn new(opening: Opening) -> Self {
        Self(Phase::Header { opening, received: Vec::new() })
    }

    pub fn push(&mut self, sealed: &[u8]) -> Result<Uint8Array> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.len()));
        // Taken away while it is used: after an error it stays away.
        self.0 = match std::mem::replace(&mut self.0, Phase::Over) {
            Phase::Header { opening, mut received } => {
                received.extend_from_slice(sealed);
                match header_len(&received)?.and_then(|len| received.split_at_checked(len)) {
                    None => Phase::Header { opening, received },
                    Some((header, body)) => {
                        let mut stream = sealwire::OpenStream::detached(header, &opening.opener())?;
                        stream.push(body, &mut plaintext)?;
                        Phase::Body(stream)
                    }
                }
            }
            Phase::Body(mut stream) => {
                stream.push(sealed, &mut plaintext)?;
                Phase::Body(stream)
            }
            Phase::Over => return Err(OVER.into()),
        };
        Ok(Uint8Array::from(plaintext.as_slice()))
    }

    /// `undefined` before the header was opened.
    pub fn about(&self) -> Option<Array> {
        match &self.0 {
            Phase::Body(stream) => stream.about().map(about),
            _ => None,
        }
    }

    pub fn finish(&mut self) -> Result<Opened> {
        let mut plaintext = Zeroizing::new(Vec::new());
        let finished = match std::mem::replace(&mut self.0, Phase::Over) {
            Phase::Header { .. } => Err(Error::Truncated),
            Phase::Body(stream) => stream.finish(&mut plaintext),
            Phase::Over => Err(OVER),
        }?;
        Ok(Opened::new(&plaintext, finished))
    }
}

/// How many bytes at the front of an envelope `RangeStart` takes, as soon as these tell.
#[wasm_bindgen(js_name = frontLen)]
pub fn front_len(front: &[u8]) -> Result<Option<u32>> {
    Ok(header_len(front)?.and_then(|len| u32::try_from(len + BODY_HEAD_LEN).ok()))
}

#[wasm_bindgen]
pub struct RangeStart(Option<sealwire::RangeStart>);

#[wasm_bindgen]
impl RangeStart {
    #[wasm_bindgen(constructor)]
    pub fn new(front: &[u8], source_len: u64, opening: &Opening) -> Result<Self> {
        Ok(Self(Some(sealwire::RangeStart::new(front, source_len, &opening.opener())?)))
    }

    /// Start and end of what `finish` takes.
    pub fn sealed(&self) -> Result<Vec<u64>> {
        let range = self.0.as_ref().ok_or(OVER)?.sealed();
        Ok(vec![range.start, range.end])
    }

    pub fn finish(&mut self, sealed: &[u8]) -> Result<RangeOpener> {
        Ok(RangeOpener(self.0.take().ok_or(OVER)?.finish(sealed)?))
    }
}

#[wasm_bindgen]
pub struct RangeOpener(sealwire::RangeOpener);

#[wasm_bindgen]
impl RangeOpener {
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn about(&self) -> Array {
        about(self.0.about())
    }

    /// Start and end of what `open` takes for this range.
    pub fn sealed(&self, start: u64, end: u64) -> Result<Vec<u64>> {
        let range = self.0.sealed(start..end)?;
        Ok(vec![range.start, range.end])
    }

    pub fn open(&self, start: u64, end: u64, sealed: &[u8]) -> Result<Uint8Array> {
        let plaintext = Zeroizing::new(self.0.open(start..end, sealed)?);
        Ok(Uint8Array::from(plaintext.as_slice()))
    }
}
