//! What the gate itself answers.

use crate::error::Error;
use crate::http::exchange::{ExchangeService, ResponseSealer, SealedResponse};
use crate::http::message::{Headers, ResponseHead};
use crate::http::observe::Operation;
use std::fmt;

/// An answer that the gate gives in the app's place.
#[derive(Debug)]
pub struct Answer {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16, fields: &[(&'static str, &str)], body: Vec<u8>) -> Self {
        Self { head: ResponseHead { status, headers: Headers::known(fields) }, body }
    }
}

/// A request that is not let in.
#[must_use]
pub struct Refusal {
    operation: Operation,
    error: Error,
    key_id: Option<u8>,
    sealer: Option<Box<ResponseSealer>>,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(&self.operation).field(&self.error).finish()
    }
}

impl Refusal {
    pub(super) fn new(operation: Operation, error: Error) -> Self {
        Self { operation, error, key_id: None, sealer: None }
    }

    pub(super) fn with_key(self, key_id: Option<u8>) -> Self {
        Self { key_id, ..self }
    }

    pub(super) fn sealed(self, sealer: Option<ResponseSealer>) -> Self {
        Self { sealer: sealer.map(Box::new), ..self }
    }

    /// What refused it: [`Operation::Verify`] or [`Operation::Open`].
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Why. **Not for whoever sent it**: [`Refusal::answer`] says what they are told.
    #[must_use]
    pub fn error(&self) -> Error {
        self.error
    }

    /// Which of the service's keys it was sealed to, if that is known.
    #[must_use]
    pub fn key_id(&self) -> Option<u8> {
        self.key_id
    }

    /// What is answered: in clear an `application/problem+json` that does not say why (SPEC §18.6); sealed, a bare status, to an
    /// exchange that was admitted before.
    pub fn answer(self) -> Answer {
        if let Some(sealer) = self.sealer {
            let status = match &self.error {
                Error::Replayed => 409,
                error => ExchangeService::problem(error).0,
            };
            let sealed = sealer.seal(ResponseHead { status, headers: Headers::new() }, &[]);
            return match sealed {
                Ok(SealedResponse { head, body }) => Answer { head, body },
                // Without randomness nothing can be sealed, this neither.
                Err(error) => Self::new(Operation::Open, error).answer(),
            };
        }
        let (status, problem) = match (self.operation, &self.error) {
            // One answer for unsigned, badly signed and replayed.
            (Operation::Verify, error) if !matches!(error, Error::Store(_) | Error::TooLarge(_)) => {
                (401, "{\"type\":\"about:blank\",\"status\":401}".to_owned())
            }
            (_, error) => ExchangeService::problem(error),
        };
        let fields = [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("www-authenticate", "Signature"),
        ];
        let fields = if status == 401 { &fields[..] } else { &fields[..2] };
        Answer::new(status, fields, problem.into_bytes())
    }
}
