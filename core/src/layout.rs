//! The plaintext of a body: `payload ‖ zeros ‖ length ‖ signature`, of which the last three may be absent (SPEC §7).

use crate::error::{Error, Result};
use crate::suite::SIGNATURE_LEN;

const LENGTH_FIELD: usize = 8;
const MIN_PADDED: u64 = 256;
/// The longest plaintext that may be padded: a stream's reader cannot tell zeros of the payload from padding before the
/// end, so what it has to hold back must be bounded.
pub(crate) const MAX_PADDED: u64 = 2 << 30;

#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) padded: bool,
    pub(crate) signed: bool,
}

impl Layout {
    /// How many bytes stand after the zeros: the length field and the signature.
    pub(crate) fn tail_len(self) -> usize {
        let length = if self.padded { LENGTH_FIELD } else { 0 };
        length + if self.signed { SIGNATURE_LEN } else { 0 }
    }

    /// How long the whole plaintext of a payload is.
    pub(crate) fn total(self, payload: u64) -> Result<u64> {
        let total = payload
            .checked_add(self.tail_len() as u64)
            .ok_or(Error::TooLarge(&"a payload has less than 4 PiB"))?;
        Ok(if self.padded { padded_len(total) } else { total })
    }

    /// Refuses padded plaintexts above [`MAX_PADDED`].
    pub(crate) fn check_total(self, total: u64) -> Result<()> {
        if self.padded && total > MAX_PADDED {
            return Err(Error::TooLarge(&"a padded body has at most 2 GiB"));
        }
        Ok(())
    }

    /// How many zeros may still turn out to be padding when `received` bytes of plaintext are there.
    pub(crate) fn max_padding(received: u64) -> u64 {
        // The end is at most twice as far, since padding is at most an eighth of the whole.
        padme_unit(received.saturating_mul(2)).max(MIN_PADDED)
    }

    /// What follows the payload: zeros, length field, signature.
    pub(crate) fn closing(self, payload: u64, signature: &[u8]) -> Result<Vec<u8>> {
        let zeros = usize::try_from(self.zeros(payload)?).map_err(|_| Error::TooLarge(&"padding"))?;
        let mut closing = vec![0; zeros];
        closing.extend_from_slice(&self.tail(payload, signature));
        Ok(closing)
    }

    /// How many zeros follow the payload.
    pub(crate) fn zeros(self, payload: u64) -> Result<u64> {
        Ok(self.total(payload)? - payload - self.tail_len() as u64)
    }

    /// What follows the zeros.
    pub(crate) fn tail(self, payload: u64, signature: &[u8]) -> Vec<u8> {
        let length = if self.padded { payload.to_be_bytes().to_vec() } else { Vec::new() };
        [length.as_slice(), signature].concat()
    }

    /// The payload's length, given the whole plaintext's and its last [`Layout::tail_len`] bytes. Refuses any but the
    /// one correct number of zeros; that they are zeros is for the caller to check.
    pub(crate) fn payload_len(self, total: u64, tail: &[u8]) -> Result<u64> {
        let Some(room) = total.checked_sub(self.tail_len() as u64) else { return Err(Error::Rejected) };
        if !self.padded {
            return Ok(room);
        }
        let field = tail.first_chunk::<LENGTH_FIELD>().ok_or(Error::Rejected)?;
        let payload = u64::from_be_bytes(*field);
        if payload <= room && self.total(payload)? == total { Ok(payload) } else { Err(Error::Rejected) }
    }

    /// The signature among the last [`Layout::tail_len`] bytes.
    pub(crate) fn signature(self, tail: &[u8]) -> Option<&[u8; SIGNATURE_LEN]> {
        if self.signed { tail.last_chunk() } else { None }
    }
}

/// What `n` bytes are padded to.
pub(crate) fn padded_len(n: u64) -> u64 {
    padme(n).max(MIN_PADDED)
}

/// Padmé (Nikitin et al., PETS 2019): at most 12 % more, and few distinct lengths.
fn padme(n: u64) -> u64 {
    n.checked_next_multiple_of(padme_unit(n)).unwrap_or(n)
}

/// 2^(e−s), of which padded lengths of this size are multiples.
fn padme_unit(n: u64) -> u64 {
    let e = n.checked_ilog2().unwrap_or_default();
    let s = e.checked_ilog2().map_or(0, |log| log + 1);
    1 << e.saturating_sub(s)
}

#[cfg(test)]
mod tests {
    use super::padme;

    /// Worked by hand from the paper's definition.
    #[test]
    fn padme_by_hand() {
        // 9: e = 3, s = 2, unit 2. 300: e = 8, s = 4, unit 16. 1 MiB + 1: e = 20, s = 5, unit 32 KiB.
        for (n, padded) in
            [(8, 8), (9, 10), (256, 256), (300, 304), (1 << 20, 1 << 20), ((1 << 20) + 1, 1_081_344)]
        {
            assert_eq!(padme(n), padded, "{n}");
        }
    }
}
