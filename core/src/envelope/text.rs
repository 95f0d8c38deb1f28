//! The text form of an envelope (SPEC §13).

use crate::error::{Error, Result};
use base64ct::{Base64UrlUnpadded, Encoding};

/// Bytes as base64url without padding: for JSON, headers and chat messages.
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
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
