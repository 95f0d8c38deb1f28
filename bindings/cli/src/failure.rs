//! Why a command failed: for people, and as an exit code.

use sealwire::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// An error of the core with what the command line knows about it: which file, which line, the system's own words.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    message: String,
}

impl Failure {
    /// Prints the failure on stderr and says with which code to exit.
    pub(crate) fn report(&self) -> ExitCode {
        // If stderr is gone too, the exit code has to do.
        let _ = writeln!(io::stderr(), "sealwire: {} [{}]", self.message, self.error.code());
        ExitCode::from(exit_code(self.error))
    }
}

/// The table at the end of `--help` and in README.md.
fn exit_code(error: Error) -> u8 {
    match error {
        Error::Misuse(_) => 2,
        Error::Malformed(_) | Error::Unsupported(_) | Error::TooLarge(_) => 3,
        Error::InvalidKey(_) => 4,
        Error::NotRecipient => 5,
        Error::Rejected => 6,
        Error::Truncated => 7,
        _ => 1,
    }
}

/// Says something on stderr. If that fails (it is closed, its disk is full), what was done is done all the same.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, message: error.to_string() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { message: error.to_string(), error: error.into() }
    }
}

/// What a command knows about an error that the core does not.
pub(crate) trait At<T> {
    /// Says where it happened: a file's name, what was being done.
    fn at(self, place: impl Display) -> Result<T>;

    /// Says what to do about it, if there is something to say.
    fn hint(self, hint: Option<&str>) -> Result<T>;
}

impl<T, E: Into<Failure>> At<T> for std::result::Result<T, E> {
    fn at(self, place: impl Display) -> Result<T> {
        self.map_err(|error| {
            let Failure { error, message } = error.into();
            Failure { error, message: format!("{place}: {message}") }
        })
    }

    fn hint(self, hint: Option<&str>) -> Result<T> {
        self.map_err(|error| {
            let Failure { error, message } = error.into();
            let message = hint.map_or_else(|| message.clone(), |hint| format!("{message} ({hint})"));
            Failure { error, message }
        })
    }
}
