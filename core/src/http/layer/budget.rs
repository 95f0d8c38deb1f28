//! The memory for bodies that are held: bounded for one and for all.

use super::body::LayerBody;
use crate::error::{Error, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes of all bodies together are held at a time.
const ALL: usize = 256 << 20;
/// How many of them are of requests that nobody signed: a stranger's bodies leave room for those of the others.
const UNSIGNED: usize = ALL / 2;

/// What all requests together may hold, a permit for each byte.
#[derive(Clone)]
pub(super) struct Budget {
    all: Arc<Semaphore>,
    unsigned: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), unsigned: Arc::new(Semaphore::new(UNSIGNED)) }
    }
}

/// What one request holds of the memory for all.
pub(super) struct Held(Vec<(Arc<Semaphore>, Option<OwnedSemaphorePermit>)>);

impl Held {
    pub(super) fn new(budget: &Budget, signed: bool) -> Self {
        let unsigned = (!signed).then_some(&budget.unsigned);
        Self([&budget.all].into_iter().chain(unsigned).map(|share| (share.clone(), None)).collect())
    }

    /// Takes memory for so many bytes more, or says that there is none.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        let bytes = u32::try_from(bytes).map_err(|_| Error::TooLarge(&"a request's body"))?;
        for (share, held) in &mut self.0 {
            let taken = share.clone().try_acquire_many_owned(bytes);
            let taken = taken.map_err(|_| Error::Store(std::io::ErrorKind::ResourceBusy))?;
            match held {
                Some(held) => held.merge(taken),
                None => *held = Some(taken),
            }
        }
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
            .map_err(|_| Error::Network(&"a body was too slow"))?;
        match frame.transpose().map_err(|_| Error::Network(&"a body broke off"))? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
