//! The one error type. Codes are stable and the same in every language (SPEC §15).

use std::fmt;
use std::io;

/// What can go wrong, as one flat list. [`Error::code`] is stable across versions and languages.
///
/// No variant carries input data: texts are fixed sentences, safe to log. [`Error::Rejected`] is
/// the single answer to a wrong context, tag, signature or signer, and [`Error::NotRecipient`] the
/// single answer to every reason why no slot opens, so that neither can be used as an oracle. A text is behind a
/// thin pointer: an error is then two words, and a `Result` of one travels in registers.
///
/// Source: SPEC §15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what the format describes.
    Malformed(&'static &'static str),
    /// A version, algorithm or critical field that this version does not have.
    Unsupported(&'static &'static str),
    /// A recipient, identity or pin that is not a valid key.
    InvalidKey(&'static &'static str),
    /// No slot opens with the keys at hand: wrong key, wrong passphrase or an altered header.
    NotRecipient,
    /// A wrong context, part, commitment, chunk, pad, private block, signature or signer; also a body that was cut inside a
    /// chunk, which nobody can tell from one that was altered.
    Rejected,
    /// The input ends too early: in the header, in the first bytes of the body, or between two chunks.
    Truncated,
    /// A limit of SPEC §14 is exceeded.
    TooLarge(&'static &'static str),
    /// The caller asked for what the API does not do.
    Misuse(&'static &'static str),
    /// A request that was seen before.
    Replayed,
    /// A date, a key configuration or a signature that is too old, or too far in the future.
    Expired,
    /// A message without the protection that was demanded: a proxy's error page, a stripped or downgraded response, a plain request.
    /// Nothing but the response's status is passed on, and that is unprotected too.
    Unsealed {
        /// The outer HTTP status of the answer.
        status: u16,
    },
    /// The network failed.
    Network(&'static &'static str),
    /// Storage failed: a file, a stream or a keychain.
    Store(io::ErrorKind),
}

impl Error {
    /// The stable code, for programs: the variant's name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed",
            Self::Unsupported(_) => "Unsupported",
            Self::InvalidKey(_) => "InvalidKey",
            Self::NotRecipient => "NotRecipient",
            Self::Rejected => "Rejected",
            Self::Truncated => "Truncated",
            Self::TooLarge(_) => "TooLarge",
            Self::Misuse(_) => "Misuse",
            Self::Replayed => "Replayed",
            Self::Expired => "Expired",
            Self::Unsealed { .. } => "Unsealed",
            Self::Network(_) => "Network",
            Self::Store(_) => "Store",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Unsupported(what) => write!(f, "not supported by this version: {what}"),
            Self::InvalidKey(what) => write!(f, "invalid key: {what}"),
            Self::NotRecipient => f.write_str("none of the keys at hand opens this envelope"),
            Self::Rejected => f.write_str(
                "rejected: the data was altered or cut short, or belongs to another context, part, signer or service",
            ),
            Self::Truncated => f.write_str("truncated: the input ends too early"),
            Self::TooLarge(what) => write!(f, "too large: {what}"),
            Self::Misuse(what) => write!(f, "misuse: {what}"),
            Self::Replayed => f.write_str("replayed: this request was seen before"),
            Self::Expired => f.write_str("expired: a date, key configuration or signature is not of now"),
            Self::Unsealed { status } => {
                write!(f, "unsealed: a message without the protection that is demanded, status {status}")
            }
            Self::Network(what) => write!(f, "network failed: {what}"),
            // The module has no files, and no use for the forty texts of what can happen to one.
            #[cfg(target_family = "wasm")]
            Self::Store(_) => f.write_str("storage failed"),
            #[cfg(not(target_family = "wasm"))]
            Self::Store(kind) => write!(f, "storage failed: {kind}"),
        }
    }
}

impl std::error::Error for Error {}

/// A Sealwire error that travelled through `std::io` comes back as itself; any other becomes
/// [`Error::Store`] with its kind.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<Self>());
        inner.copied().unwrap_or(Self::Store(error.kind()))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Store(kind) => kind,
            Error::Truncated => io::ErrorKind::UnexpectedEof,
            Error::Misuse(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// A `Result` with this crate's one error.
pub type Result<T> = std::result::Result<T, Error>;
