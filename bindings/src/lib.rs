//! Sealwire for Kotlin, Swift and Python, by uniffi: convert, call, convert. What people use, and its documentation, is written in their
//! language over what is generated from this: `kotlin/`, `python/`, `swift/`.
//!
//! An object that is used up, and one whose step is taken out of turn, says `Misuse`. Times are Unix seconds. Payloads that go in are
//! borrowed, not copied; what comes out is copied once here and once by the language.
#![allow(missing_docs, unreachable_pub)] // What is public is public in other languages, and documented there.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bytes;
mod call;
mod error;
mod gate;
mod keys;
mod message;
mod observe;
mod once;
mod request;
mod seal;
mod store;
mod stream;

uniffi::setup_scaffolding!("sealwire");
