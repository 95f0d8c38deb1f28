//! The text form of an envelope (SPEC §13).

use crate::error::{Error, Result};
use base64ct::{Base64UrlUnpadded, Encoding};

/// Bytes as base64url without padding: for JSON, headers and chat messages.
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Bytes as base64 with padding. From the text form, so that there is one base64 in the program.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = to_text(bytes).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Reads base64 with padding, if it is what [`to_base64`] writes.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = from_text(&text.trim_end_matches('=').replace('+', "-").replace('/', "_")).ok()?;
    (to_base64(&bytes) == text).then_some(bytes)
}

/// Reads base64url without padding.
///
/// # Errors
/// [`Error::Malformed`] for any other character (white space and `=` too), and for trailing bits that are not zero.
pub fn from_text(text: &str) -> Result<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| {
        Error::Malformed(&"the text form is base64url: no white space, no =, - and _ instead of + and /")
    })
}
