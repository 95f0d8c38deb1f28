//! What an operator may know: what was done, how large, how long it took and how it ended. Never content, paths or keys.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// A client's request, from sealing it to its response's being there.
    Call,
    /// A service's keys that a client did not get, or did not believe. The call that needed them ends with the same code.
    Keys,
    /// A service's check of a signature.
    Verify,
    /// A service's opening of an exchange.
    Open,
    /// The whole of a request at a service, with the app's own time.
    Serve,
}

impl Operation {
    /// Its name, as it stands in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Keys => "keys",
            Self::Verify => "verify",
            Self::Open => "open",
            Self::Serve => "serve",
        }
    }
}

/// One thing that was done. Every field has few values, so that nothing of a request can be told from it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event {
    /// What was done.
    pub operation: Operation,
    /// How it ended: `ok`, an error's code, or, of [`Operation::Serve`], `app` if the app answered with a server error. A refusal is an
    /// event of [`Operation::Verify`] or [`Operation::Open`] with a code other than `ok`.
    pub code: &'static str,
    /// `envelope`, `exchange`, `signature`, or several of them joined by `+`.
    pub protection: &'static str,
    /// The size of the body, rounded up to a power of four bytes; 0 if there is none or it is a stream.
    pub size: u64,
    /// How long it took.
    pub duration: Duration,
    /// Which of the service's keys was used.
    pub key_id: Option<u8>,
}

/// Hears of every [`Event`]: an audit log, an exporter of metrics. It is called while the request waits, so it is quick.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event);
}

/// Counts events by operation and code, to be exported to wherever metrics go.
///
/// A storm of replays shows in (`Open`, `Replayed`), or (`Verify`, `Replayed`) where requests are signed, altered traffic in (`Open`, `Rejected`), a lost key in (`Open`, `InvalidKey`).
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<(Operation, &'static str), u64>>);

impl Counters {
    /// Every count so far.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(Operation, &'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((operation, code), count)| (*operation, *code, *count)).collect()
    }
}

impl Observer for Counters {
    fn event(&self, event: &Event) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((event.operation, event.code))
            .or_default() += 1;
    }
}

/// Sizes are told in powers of four only.
pub(crate) fn size_bucket(bytes: u64) -> u64 {
    if bytes == 0 {
        return 0;
    }
    let log = u64::BITS - (bytes - 1).leading_zeros();
    1_u64.checked_shl(log + log % 2).unwrap_or(u64::MAX)
}

/// Tells an event to the `tracing` subscriber, target `sealwire`, and to the observer.
pub(crate) fn tell(observer: Option<&(dyn Observer + 'static)>, event: Event) {
    #[cfg(not(target_arch = "wasm32"))]
    trace(&event);
    if let Some(observer) = observer {
        observer.event(&event);
    }
}

/// In browsers nobody subscribes, and every kilobyte counts.
#[cfg(not(target_arch = "wasm32"))]
fn trace(event: &Event) {
    let Event { operation, code, protection, size, duration, key_id } = *event;
    let (operation, micros) = (operation.name(), u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    if code == "ok" {
        tracing::debug!(target: "sealwire", operation, protection, size, code, micros, key_id);
    } else {
        tracing::warn!(target: "sealwire", operation, protection, size, code, micros, key_id);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_come_in_powers_of_four() {
        for (bytes, bucket) in
            [(0, 0), (1, 1), (2, 4), (4, 4), (5, 16), (1000, 1024), (1025, 4096), (u64::MAX, u64::MAX)]
        {
            assert_eq!(super::size_bucket(bytes), bucket, "{bytes}");
        }
    }
}
