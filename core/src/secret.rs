//! Secrets in memory: boxed (no copies left behind by moves), wiped on drop, never printed.

use std::fmt;
use zeroize::Zeroize;

/// 32 secret bytes, for use inside the crate. No Clone, no comparison, no Display.
pub(crate) struct Key(Box<[u8; 32]>);

impl Key {
    /// A key that `fill` writes in place, so that no copy stays on the stack.
    pub(crate) fn from_fill(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut key = Self(Box::new([0; 32]));
        fill(&mut key.0);
        key
    }

    /// A copy of `bytes`; the caller wipes the original.
    pub(crate) fn copied(bytes: &[u8; 32]) -> Self {
        Self::from_fill(|key| key.copy_from_slice(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Secret bytes of any length, such as what a [`SecretStore`](crate::SecretStore) keeps.
///
/// Wiped on drop. It has no `Clone`, no comparison and no `Display`, and `Debug` prints only its name:
/// the bytes leave it through [`SecretBytes::reveal`] alone.
///
/// ```
/// let secret = sealwire::SecretBytes::new(b"hunter2".to_vec());
/// assert_eq!(format!("{secret:?}"), "SecretBytes");
/// assert_eq!(secret.reveal(), b"hunter2");
/// ```
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes the bytes over. Spare capacity of the `Vec` is wiped before it is given back.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Self {
        let exact = bytes.as_slice().into();
        bytes.zeroize();
        Self(exact)
    }

    /// The bytes, for as long as the borrow lasts.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8.
    #[must_use]
    pub fn reveal_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes")
    }
}
