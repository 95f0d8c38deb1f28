//! The public metadata: readable by everybody, changeable by nobody (SPEC §2).

use crate::cbor::{self, Writer};
use crate::error::{Error, Result};
use std::fmt;

const MAX_ENTRIES: usize = 64;
const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 4096;

/// What anybody who holds the envelope may read, and nobody can change unnoticed: a document id, a policy's version.
///
/// **It is not encrypted.** Limits: 64 entries, keys of 1 to 64 bytes, values of at most 4096 bytes. The key
/// `version` is reserved for the version of the resource: a number, or [`Error::Misuse`]. Source: SPEC §2.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata(
    /// By key, each once.
    Vec<(String, MetadataValue)>,
);

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metadata(")?;
        f.debug_map().entries(self.iter()).finish()?;
        f.write_str(")")
    }
}

/// A value in [`Metadata`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// Text.
    Text(String),
    /// An unsigned number.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Metadata {
    /// Sets `key`, replacing an earlier value.
    pub fn insert(&mut self, key: &str, value: impl Into<MetadataValue>) {
        self.0.retain(|(found, _)| found != key);
        let at = self.0.partition_point(|(found, _)| found.as_str() < key);
        self.0.insert(at, (key.into(), value.into()));
    }

    /// The value of `key`.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&MetadataValue> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// All entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// True if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The encoded map, or `None` if there is nothing to encode.
    pub(super) fn encode(&self) -> Result<Option<Vec<u8>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        if self.0.len() > MAX_ENTRIES {
            return Err(Error::TooLarge(&"metadata has at most 64 entries"));
        }
        // Deterministic order is by encoded key: shorter first, then bytewise.
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| (key.len(), *key));
        let mut map = Writer::default().map(entries.len());
        for (key, value) in entries {
            check_key(key)?;
            check_version(key, value).map_err(|_| Error::Misuse(VERSION_RULE))?;
            map = match value {
                MetadataValue::Text(text) => map.text(key).text(bounded(text)?),
                MetadataValue::Bytes(bytes) => map.text(key).bytes(bounded(bytes)?),
                MetadataValue::Number(number) => map.text(key).uint(*number),
            };
        }
        Ok(Some(map.done()))
    }

    /// Reads the map from checked CBOR.
    pub(super) fn read(checked: &[u8]) -> Result<Self> {
        let mut metadata = Self::default();
        for (key, value) in cbor::text_map(checked, MAX_ENTRIES as u64)? {
            check_key(key)?;
            let value = MetadataValue::read(value)?;
            check_version(key, &value)?;
            metadata.insert(key, value);
        }
        Ok(metadata)
    }
}

impl MetadataValue {
    fn read(checked: &[u8]) -> Result<Self> {
        if let Ok(number) = cbor::uint(checked) {
            return Ok(Self::Number(number));
        }
        if let Ok(text) = cbor::text(checked) {
            return Ok(Self::Text(bounded(text)?.into()));
        }
        Ok(Self::Bytes(bounded(cbor::bytes(checked)?)?.into()))
    }
}

fn check_key(key: &str) -> Result<()> {
    match key.len() {
        0 => Err(Error::Malformed(&"a metadata key is empty")),
        1..=MAX_KEY => Ok(()),
        _ => Err(Error::TooLarge(&"a metadata key has at most 64 bytes")),
    }
}

const VERSION_RULE: &&str = &"the metadata key version is for an unsigned integer";

/// A version of another type would be none to a reader who compares, and so let an old envelope pass.
fn check_version(key: &str, value: &MetadataValue) -> Result<()> {
    if key == "version" && !matches!(value, MetadataValue::Number(_)) {
        return Err(Error::Malformed(VERSION_RULE));
    }
    Ok(())
}

fn bounded<T: AsRef<[u8]> + ?Sized>(value: &T) -> Result<&T> {
    if value.as_ref().len() <= MAX_VALUE {
        Ok(value)
    } else {
        Err(Error::TooLarge(&"a metadata value has at most 4096 bytes"))
    }
}

impl From<&str> for MetadataValue {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for MetadataValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&[u8]> for MetadataValue {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}
