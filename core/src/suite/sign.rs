//! Ed25519 with strict verification (SPEC §8).

use super::random::random_key;
use crate::error::{Error, Result};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use std::fmt;

pub(crate) const SIGNATURE_LEN: usize = 64;

/// A private signing key. Wiped on drop by its crate.
pub(crate) struct SigningKey(Box<ed25519_dalek::SigningKey>);

impl SigningKey {
    pub(crate) fn generate() -> Result<Self> {
        Ok(Self::from_seed(random_key()?.expose()))
    }

    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

/// Who signed: a public Ed25519 key, canonical and not of small order.
///
/// Get one from [`Recipient::signer`](crate::Recipient::signer) of somebody you trust, or from an
/// envelope that verified; two are equal when their 32 bytes are. Source: SPEC §8, RFC 8032.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signer(VerifyingKey);

impl Signer {
    /// The 32 bytes of RFC 8032 §5.1.5.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if they are not a canonical point, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let key =
            VerifyingKey::from_bytes(bytes).map_err(|_| Error::InvalidKey(&"not an Ed25519 public key"))?;
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(Error::InvalidKey(&"an Ed25519 public key of small order or not canonical"));
        }
        Ok(Self(key))
    }

    /// Reads what `Display` writes: 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else, and for what [`Signer::from_bytes`] refuses.
    pub fn parse(text: &str) -> Result<Self> {
        let wanted = Error::InvalidKey(&"a signer's text has 64 lower-case hex digits");
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| wanted)?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
            *byte = hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high << 4 | low).ok_or(wanted)?;
        }
        Self::from_bytes(&bytes)
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<()> {
        let signature = Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).map_err(|_| Error::Rejected)
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The key in lower-case hex.
impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.as_bytes()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({self})")
    }
}
