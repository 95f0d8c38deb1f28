//! The memory for bodies that are held: bounded for one and for all.

use super::body::LayerBody;
use crate::error::{Error, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of all bodies together is held at a time, in units of 4 KiB: 256 MiB.
const UNITS: usize = 65_536;
const UNIT: usize = 4096;

/// What all requests together may hold.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

/// What one request holds of the memory for all.
pub(super) struct Held {
    budget: Budget,
    permits: Option<OwnedSemaphorePermit>,
    /// Bytes that are paid for and not used yet.
    room: usize,
}

impl Held {
    pub(super) fn new(budget: &Budget) -> Self {
        Self { budget: budget.clone(), permits: None, room: 0 }
    }

    /// Takes memory for so many bytes more, or says that there is none.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        let missing = bytes.saturating_sub(self.room).div_ceil(UNIT);
        if missing > 0 {
            let units = u32::try_from(missing).map_err(|_| Error::TooLarge("a request's body"))?;
            let taken = self.budget.0.clone().try_acquire_many_owned(units);
            let taken = taken.map_err(|_| Error::Store(std::io::ErrorKind::ResourceBusy))?;
            match &mut self.permits {
                Some(permits) => permits.merge(taken),
                None => self.permits = Some(taken),
            }
        }
        self.room = self.room + missing * UNIT - bytes;
        Ok(())
    }
}

/// The next piece of a body, which has to come before `deadline`.
pub(super) async fn next_piece(
    body: &mut LayerBody,
    deadline: tokio::time::Instant,
) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout_at(deadline, body.frame())
            .await
            .map_err(|_| Error::Network("a body was too slow"))?;
        match frame.transpose().map_err(|_| Error::Network("a body broke off"))? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
