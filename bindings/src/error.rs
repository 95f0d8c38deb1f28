//! Errors on their way out, and those of callbacks on their way in.

use sealwire::Error;
use std::io;

/// One variant per code, with the sentence that is safe to log.
macro_rules! failures {
    ($($code:ident),*) => {
        #[derive(Debug, thiserror::Error, uniffi::Error)]
        pub enum Failure {
            $(#[error("{text}")] $code { text: String },)*
            #[error("{text}")]
            Unsealed { text: String, status: u16 },
        }

        impl From<Error> for Failure {
            fn from(error: Error) -> Self {
                let text = error.to_string();
                match error {
                    Error::Unsealed { status } => Self::Unsealed { text, status },
                    error => match error.code() {
                        $(stringify!($code) => Self::$code { text },)*
                        // A code of a newer core.
                        _ => Self::Unsupported { text },
                    },
                }
            }
        }

        /// Every code there is, for the languages' own lists to be checked against.
        #[uniffi::export]
        pub fn error_codes() -> Vec<String> {
            let mut codes = vec![$(stringify!($code).into()),*];
            codes.push("Unsealed".into());
            codes
        }
    };
}

failures!(
    Malformed,
    Unsupported,
    InvalidKey,
    NotRecipient,
    Rejected,
    Truncated,
    TooLarge,
    Misuse,
    Replayed,
    Expired,
    Network,
    Store
);

pub type Result<T> = std::result::Result<T, Failure>;

/// A callback threw something of its own.
impl From<uniffi::UnexpectedUniFFICallbackError> for Failure {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Store { text: "storage failed: a callback".into() }
    }
}

/// Of a callback's failure its code is kept.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Malformed { .. } => Self::Malformed(&"said a callback"),
            Failure::Unsupported { .. } => Self::Unsupported(&"said a callback"),
            Failure::InvalidKey { .. } => Self::InvalidKey(&"said a callback"),
            Failure::NotRecipient { .. } => Self::NotRecipient,
            Failure::Rejected { .. } => Self::Rejected,
            Failure::Truncated { .. } => Self::Truncated,
            Failure::TooLarge { .. } => Self::TooLarge(&"said a callback"),
            Failure::Misuse { .. } => Self::Misuse(&"said a callback"),
            Failure::Replayed { .. } => Self::Replayed,
            Failure::Expired { .. } => Self::Expired,
            Failure::Unsealed { status, .. } => Self::Unsealed { status },
            Failure::Network { .. } => Self::Network(&"said a callback"),
            Failure::Store { .. } => Self::Store(io::ErrorKind::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, error_codes};
    use sealwire::Error;

    /// What `Error::code` lists, read from its source: a code that is missing here would become another one.
    #[test]
    fn every_code_of_core_is_here() {
        let source = include_str!("../../core/src/error.rs");
        let listed: Vec<_> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.strip_suffix("\","))
            .collect();
        assert_eq!(listed.len(), 13);
        let mut here = error_codes();
        here.sort();
        let mut there: Vec<_> = listed.iter().map(ToString::to_string).collect();
        there.sort();
        assert_eq!(here, there);
    }

    #[test]
    fn a_failure_keeps_its_code_in_both_directions() {
        for error in [Error::NotRecipient, Error::Misuse(&"this"), Error::Unsealed { status: 502 }] {
            let failure = Failure::from(error);
            assert_eq!(failure.to_string(), error.to_string());
            assert_eq!(Error::from(failure).code(), error.code());
        }
    }
}
