//! Markers in an app's test data that nobody in between may see.

use crate::error::{Error, Result};
use crate::suite::random_array;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// 32 letters and digits that no encoding of text or URLs changes.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// A shorter marker would be found by chance.
const MIN_TEXT: usize = 8;

/// A marker that stands for something nobody in between may read: put its text where the secret would be.
///
/// Debug and every report show its name only.
///
/// ```
/// use sealwire::testing::Canary;
///
/// let body = Canary::new("note body")?;
/// let note = format!("meet me at {}", body.text());
/// assert_eq!(body.text().len(), 26);
/// # let _ = note;
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Canary {
    name: String,
    text: String,
    /// Whether somebody asked for the text: a canary that is nowhere proves nothing.
    planted: Arc<AtomicBool>,
}

impl Canary {
    /// 26 random lower-case letters and digits (130 bits), under a name for reports.
    ///
    /// # Errors
    /// [`Error::Store`] if the system gives no random bytes.
    pub fn new(name: &str) -> Result<Self> {
        let symbols = random_array::<26>()?;
        let text = symbols.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31)));
        Self::of(name, &text.copied().map(char::from).collect::<String>())
    }

    /// A text of your own, where a random one has no place: a telephone number, say. Nothing else may contain it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for fewer than 8 bytes, which would be found by chance.
    pub fn of(name: &str, text: &str) -> Result<Self> {
        if text.len() < MIN_TEXT {
            return Err(Error::Misuse(&"a canary of fewer than 8 bytes"));
        }
        Ok(Self { name: name.to_owned(), text: text.to_owned(), planted: Arc::default() })
    }

    /// What reports call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The marker, to be put into the app's data.
    #[must_use]
    pub fn text(&self) -> &str {
        self.planted.store(true, Ordering::Relaxed);
        &self.text
    }

    pub(super) fn is_planted(&self) -> bool {
        self.planted.load(Ordering::Relaxed)
    }

    pub(super) fn needle(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canary").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Canaries that are looked for together.
#[derive(Debug, Clone, Default)]
pub struct Canaries(pub(super) Vec<Canary>);

impl<const N: usize> From<[&Canary; N]> for Canaries {
    fn from(canaries: [&Canary; N]) -> Self {
        canaries.into_iter().cloned().collect()
    }
}

impl FromIterator<Canary> for Canaries {
    fn from_iter<I: IntoIterator<Item = Canary>>(canaries: I) -> Self {
        Self(canaries.into_iter().collect())
    }
}
