//! Whether a request was seen before.

use crate::error::{Error, Result};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

/// What names a request among all others: 32 bytes, of which nothing can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplayId(pub [u8; 32]);

/// Remembers requests for a while, so that each is dispatched once.
///
/// Several processes of one service share one cache, or a request can be replayed to the other process. An implementation inserts
/// atomically, **if absent**, and never forgets early: when it is full or out of reach it fails, and the request is refused.
pub trait ReplayCache: Send + Sync {
    /// Remembers `id` until the second `until` has passed: true if it was not there. `made` is when the request says that it was made.
    ///
    /// # Errors
    /// [`Error::Store`] if it is full or out of reach; [`Error::Expired`] if it cannot answer for the time of `made`.
    fn insert<'c>(
        &'c self,
        id: ReplayId,
        made: u64,
        until: u64,
        now: u64,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'c>>;
}

/// A [`ReplayCache`] in the memory of one process.
///
/// It refuses requests that were made before the process began, since it cannot know them. When it is full it refuses,
/// rather than forget. About 100 bytes for each request.
pub struct MemoryReplayCache {
    capacity: usize,
    began: u64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Until when each is remembered.
    until: HashMap<ReplayId, u64>,
    next_sweep: u64,
}

impl MemoryReplayCache {
    /// A cache for at most `capacity` requests at a time, of a process that begins `now` (Unix seconds).
    #[must_use]
    pub fn new(capacity: usize, now: u64) -> Self {
        Self { capacity, began: now, seen: Mutex::default() }
    }

    fn insert_now(&self, id: ReplayId, made: u64, until: u64, now: u64) -> Result<bool> {
        if made < self.began {
            return Err(Error::Expired);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.until.len() >= self.capacity && seen.next_sweep <= now {
            seen.until.retain(|_, until| *until >= now);
            // A full cache is not swept more than once a second.
            seen.next_sweep = now + 1;
        }
        if seen.until.contains_key(&id) {
            return Ok(false);
        }
        if seen.until.len() >= self.capacity {
            return Err(Error::Store(std::io::ErrorKind::StorageFull));
        }
        seen.until.insert(id, until);
        Ok(true)
    }
}

impl ReplayCache for MemoryReplayCache {
    fn insert<'c>(
        &'c self,
        id: ReplayId,
        made: u64,
        until: u64,
        now: u64,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'c>> {
        Box::pin(std::future::ready(self.insert_now(id, made, until, now)))
    }
}
