//! Errors on their way to JavaScript.

use js_sys::Array;
use sealwire::Error;
use wasm_bindgen::JsValue;

/// What is thrown: `[code, message, status]`, of which `ts/error.ts` makes a `SealwireError`.
pub struct Failure(Error);

pub type Result<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Failure> for JsValue {
    fn from(Failure(error): Failure) -> Self {
        let status = match error {
            Error::Unsealed { status } => status.into(),
            _ => Self::UNDEFINED,
        };
        Array::of3(&error.code().into(), &error.to_string().into(), &status).into()
    }
}
