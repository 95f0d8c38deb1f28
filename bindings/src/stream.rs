//! Payloads in pieces, and ranges of them.

use crate::bytes::Bytes;
use crate::error::Result;
use crate::seal::{About, Opened, Opener, Sealer};
use sealwire::{BODY_HEAD_LEN, Error};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// The last step takes the stream away, and so does one that fails.
const OVER: Error = Error::Misuse("the stream has ended or failed before");

#[derive(uniffi::Object)]
pub struct SealStream(Mutex<Option<sealwire::SealStream>>);

#[uniffi::export]
impl SealStream {
    /// With the length, which then has to be right, the payload is padded.
    #[uniffi::constructor(default(len = None))]
    pub fn new(sealer: &Sealer, len: Option<u64>) -> Result<Self> {
        let sealer = sealer.sealer();
        let stream = match len {
            Some(len) => sealwire::SealStream::with_len(&sealer, len)?,
            None => sealwire::SealStream::new(&sealer)?,
        };
        Ok(Self(Mutex::new(Some(stream))))
    }

    /// The envelope's length, if the payload's was given.
    pub fn sealed_len(&self) -> Result<Option<u64>> {
        Ok(lock(&self.0).as_ref().ok_or(OVER)?.sealed_len()?)
    }

    pub fn push(&self, plaintext: &[u8]) -> Result<Bytes> {
        let mut held = lock(&self.0);
        let mut stream = held.take().ok_or(OVER)?;
        let mut sealed = Vec::with_capacity(plaintext.len() + plaintext.len() / 512);
        stream.push(plaintext, &mut sealed)?;
        *held = Some(stream);
        Bytes::payload(sealed)
    }

    pub fn finish(&self) -> Result<Bytes> {
        let mut sealed = Vec::new();
        lock(&self.0).take().ok_or(OVER)?.finish(&mut sealed)?;
        Bytes::payload(sealed)
    }
}

#[derive(uniffi::Object)]
pub struct OpenStream(Mutex<Phase>);

enum Phase {
    Header { opener: Arc<Opener>, received: Vec<u8> },
    Body(Box<sealwire::OpenStream<'static>>),
    Over,
}

#[uniffi::export]
impl OpenStream {
    #[uniffi::constructor]
    pub fn new(opener: Arc<Opener>) -> Self {
        Self(Mutex::new(Phase::Header { opener, received: Vec::new() }))
    }

    /// Every piece is authenticated, but comes before the end was seen.
    pub fn push(&self, sealed: &[u8]) -> Result<Bytes> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.len()));
        let mut phase = lock(&self.0);
        *phase = match std::mem::replace(&mut *phase, Phase::Over) {
            Phase::Header { opener, mut received } => {
                received.extend_from_slice(sealed);
                match sealwire::header_len(&received)?.and_then(|len| received.split_at_checked(len)) {
                    None => Phase::Header { opener, received },
                    Some((header, body)) => {
                        let mut stream = sealwire::OpenStream::detached(header, &opener.opener())?;
                        stream.push(body, &mut plaintext)?;
                        Phase::Body(Box::new(stream))
                    }
                }
            }
            Phase::Body(mut stream) => {
                stream.push(sealed, &mut plaintext)?;
                Phase::Body(stream)
            }
            Phase::Over => return Err(OVER.into()),
        };
        Bytes::payload(std::mem::take(&mut plaintext))
    }

    /// Nothing before the header was opened.
    pub fn about(&self) -> Option<About> {
        match &*lock(&self.0) {
            Phase::Body(stream) => stream.about().cloned().map(About::from),
            _ => None,
        }
    }

    /// The rest of the payload, and who signed all of it.
    pub fn finish(&self) -> Result<Opened> {
        let mut plaintext = Zeroizing::new(Vec::new());
        let finished = match std::mem::replace(&mut *lock(&self.0), Phase::Over) {
            Phase::Header { .. } => Err(Error::Truncated),
            Phase::Body(stream) => stream.finish(&mut plaintext),
            Phase::Over => Err(OVER),
        }?;
        Opened::new(std::mem::take(&mut plaintext), finished)
    }
}

/// How many bytes at the front of an envelope [`RangeStart`] takes, as soon as these tell.
#[uniffi::export]
pub fn front_len(front: &[u8]) -> Result<Option<u64>> {
    Ok(sealwire::header_len(front)?.map(|len| (len + BODY_HEAD_LEN) as u64))
}

/// From start to before end.
#[derive(uniffi::Record)]
pub struct Range {
    pub start: u64,
    pub end: u64,
}

impl From<std::ops::Range<u64>> for Range {
    fn from(range: std::ops::Range<u64>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

#[derive(uniffi::Object)]
pub struct RangeStart(Mutex<Option<sealwire::RangeStart>>);

#[uniffi::export]
impl RangeStart {
    #[uniffi::constructor]
    pub fn new(front: &[u8], source_len: u64, opener: &Opener) -> Result<Self> {
        Ok(Self(Mutex::new(Some(sealwire::RangeStart::new(front, source_len, &opener.opener())?))))
    }

    /// What `finish` takes.
    pub fn sealed(&self) -> Result<Range> {
        Ok(lock(&self.0).as_ref().ok_or(OVER)?.sealed().into())
    }

    pub fn finish(&self, sealed: &[u8]) -> Result<RangeOpener> {
        Ok(RangeOpener(lock(&self.0).take().ok_or(OVER)?.finish(sealed)?))
    }
}

#[derive(uniffi::Object)]
pub struct RangeOpener(sealwire::RangeOpener);

#[uniffi::export]
impl RangeOpener {
    /// The payload's length.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn about(&self) -> About {
        self.0.about().clone().into()
    }

    /// What `open` takes for this range.
    pub fn sealed(&self, range: Range) -> Result<Range> {
        Ok(self.0.sealed(range.start..range.end)?.into())
    }

    pub fn open(&self, range: Range, sealed: &[u8]) -> Result<Bytes> {
        Bytes::payload(self.0.open(range.start..range.end, sealed)?)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
