//! Payloads in pieces, and ranges of them.

use crate::bytes::Bytes;
use crate::error::Result;
use crate::seal::{About, Opened, Opener, Sealer};
use sealwire::{BODY_HEAD_LEN, Error};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The last step takes the stream away, and so does one that fails.
const OVER: Error = Error::Misuse(&"the stream has ended or failed before");

/// What is pushed through until its last step, or one that fails, takes it away.
pub(crate) struct Flow<T>(Mutex<Option<T>>);

impl<T> Flow<T> {
    pub(crate) fn new(stream: T) -> Self {
        Self(Mutex::new(Some(stream)))
    }

    /// What a step with a piece of this length appends.
    pub(crate) fn push(
        &self,
        len: usize,
        step: impl FnOnce(&mut T, &mut Vec<u8>) -> sealwire::Result<()>,
    ) -> Result<Bytes> {
        let mut held = lock(&self.0);
        let mut stream = held.take().ok_or(OVER)?;
        let (bytes, ()) = Bytes::filled(len + len / 512, |out| step(&mut stream, out))?;
        *held = Some(stream);
        Ok(bytes)
    }

    /// What the last step appends.
    pub(crate) fn finish(&self, step: impl FnOnce(T, &mut Vec<u8>) -> sealwire::Result<()>) -> Result<Bytes> {
        let stream = lock(&self.0).take().ok_or(OVER)?;
        Ok(Bytes::filled(0, |out| step(stream, out))?.0)
    }
}

#[derive(uniffi::Object)]
pub struct SealStream(Flow<sealwire::SealStream>);

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
        Ok(Self(Flow::new(stream)))
    }

    /// The envelope's length, if the payload's was given.
    pub fn sealed_len(&self) -> Result<Option<u64>> {
        Ok(lock(&self.0.0).as_ref().ok_or(OVER)?.sealed_len()?)
    }

    pub fn push(&self, plaintext: &[u8]) -> Result<Bytes> {
        self.0.push(plaintext.len(), |stream, sealed| stream.push(plaintext, sealed))
    }

    pub fn finish(&self) -> Result<Bytes> {
        self.0.finish(|stream, sealed| stream.finish(sealed))
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
        let mut phase = lock(&self.0);
        let (plaintext, after) = Bytes::filled(sealed.len(), |plaintext| {
            Ok(match std::mem::replace(&mut *phase, Phase::Over) {
                Phase::Header { opener, mut received } => {
                    received.extend_from_slice(sealed);
                    match sealwire::header_len(&received)?.and_then(|len| received.split_at_checked(len)) {
                        None => Phase::Header { opener, received },
                        Some((header, body)) => {
                            let mut stream = sealwire::OpenStream::detached(header, &opener.opener())?;
                            stream.push(body, plaintext)?;
                            Phase::Body(Box::new(stream))
                        }
                    }
                }
                Phase::Body(mut stream) => {
                    stream.push(sealed, plaintext)?;
                    Phase::Body(stream)
                }
                Phase::Over => return Err(OVER),
            })
        })?;
        *phase = after;
        Ok(plaintext)
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
        let phase = std::mem::replace(&mut *lock(&self.0), Phase::Over);
        let (plaintext, finished) = Bytes::filled(0, |plaintext| match phase {
            Phase::Header { .. } => Err(Error::Truncated),
            Phase::Body(stream) => stream.finish(plaintext),
            Phase::Over => Err(OVER),
        })?;
        Ok(Opened::new(plaintext, finished))
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
