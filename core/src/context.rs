//! What a payload is for: bound to every envelope, never sent (SPEC §9).

use crate::cbor::Writer;
use crate::error::{Error, Result};
use crate::suite::sha256;

const MAX_NAMESPACE: usize = 128;
const MAX_FIELDS: usize = 16;
const MAX_FIELD: usize = 1024;
const MAX_PART: usize = 255;

/// What a payload is for: a namespace and fields, such as `"notes"` and the note's stable id.
///
/// The context is bound to the envelope and never sent: opening with another one is
/// [`Error::Rejected`], so a server cannot serve the bytes of one row as another. Choose a
/// namespace and an id that never change; a URL changes with the domain.
///
/// Limits: namespace 1 to 128 bytes; at most 16 fields of at most 1024 bytes. They are checked
/// when the context is used ([`Error::Misuse`]). Source: SPEC §9.
///
/// ```
/// use sealwire::SealContext;
///
/// let note = SealContext::new("notes").field("17");
/// let page = SealContext::new("wiki/page").field(4_u64).field("history");
/// # let _ = (note, page);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealContext {
    namespace: String,
    fields: Vec<ContextField>,
}

/// One field of a [`SealContext`]. `"1"`, `1` and `b"1"` are three different fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextField {
    /// Text, compared byte for byte: no Unicode normalisation.
    Text(String),
    /// An unsigned number.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl SealContext {
    /// A context with a namespace and no fields yet.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.into(), fields: Vec::new() }
    }

    /// Adds a field; their order counts.
    #[must_use]
    pub fn field(mut self, field: impl Into<ContextField>) -> Self {
        self.fields.push(field.into());
        self
    }

    /// SHA-256 of the encoded context, or [`Error::Misuse`] if it is over a limit.
    pub(crate) fn digest(&self) -> Result<[u8; 32]> {
        if self.namespace.is_empty() || self.namespace.len() > MAX_NAMESPACE {
            return Err(Error::Misuse(&"a context's namespace has 1 to 128 bytes"));
        }
        if self.fields.len() > MAX_FIELDS {
            return Err(Error::Misuse(&"a context has at most 16 fields"));
        }
        let mut encoded = Writer::default().array(1 + self.fields.len()).text(&self.namespace);
        for field in &self.fields {
            encoded = match field {
                ContextField::Text(text) if text.len() <= MAX_FIELD => encoded.text(text),
                ContextField::Bytes(bytes) if bytes.len() <= MAX_FIELD => encoded.bytes(bytes),
                ContextField::Number(number) => encoded.uint(*number),
                _ => return Err(Error::Misuse(&"a context's field has at most 1024 bytes")),
            };
        }
        Ok(sha256(&[&encoded.done()]))
    }
}

/// SHA-256 of the name of a body among several under one header.
pub(crate) fn part_digest(part: &str) -> Result<[u8; 32]> {
    if part.len() > MAX_PART {
        return Err(Error::Misuse(&"a part's name has at most 255 bytes"));
    }
    Ok(sha256(&[part.as_bytes()]))
}

impl From<&str> for ContextField {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for ContextField {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for ContextField {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for ContextField {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&[u8]> for ContextField {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Vec<u8>> for ContextField {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// Such as the 16 bytes of a UUID.
impl<const N: usize> From<[u8; N]> for ContextField {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for ContextField {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.into())
    }
}
