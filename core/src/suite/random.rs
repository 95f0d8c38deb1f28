//! The one source of randomness: the operating system's (`crypto.getRandomValues` in browsers).

use crate::error::{Error, Result};
use crate::secret::Key;
use hpke::rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;

pub(crate) fn fill_random(out: &mut [u8]) -> Result<()> {
    #[cfg(test)]
    if scripted::fill(out) {
        return Ok(());
    }
    getrandom::fill(out).map_err(|_| Error::Unsupported(&"no source of randomness here"))
}

pub(crate) fn random_array<const N: usize>() -> Result<[u8; N]> {
    let mut out = [0; N];
    fill_random(&mut out)?;
    Ok(out)
}

pub(crate) fn random_key() -> Result<Key> {
    let mut filled = Ok(());
    let key = Key::from_fill(|out| filled = fill_random(out));
    filled.map(|()| key)
}

/// The same source for crates whose generators cannot fail: a failure is remembered, and the
/// caller throws the result away.
#[derive(Default)]
pub(super) struct OsRng {
    failed: bool,
}

impl OsRng {
    pub(super) fn check(&self) -> Result<()> {
        if self.failed { Err(Error::Unsupported(&"no source of randomness here")) } else { Ok(()) }
    }
}

impl TryRng for OsRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        self.failed |= fill_random(out).is_err();
        Ok(())
    }
}

impl TryCryptoRng for OsRng {}

/// For tests that regenerate a published example: bytes that count up, per thread, while switched on.
#[cfg(test)]
pub(crate) mod scripted {
    use std::cell::Cell;

    thread_local! {
        static NEXT: Cell<Option<u8>> = const { Cell::new(None) };
    }

    pub(crate) fn start() {
        NEXT.set(Some(0));
    }

    pub(crate) fn stop() {
        NEXT.set(None);
    }

    pub(super) fn fill(out: &mut [u8]) -> bool {
        let Some(mut next) = NEXT.get() else { return false };
        for byte in out {
            *byte = next;
            next = next.wrapping_add(1);
        }
        NEXT.set(Some(next));
        true
    }
}
