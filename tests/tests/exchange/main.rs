//! Exchanges as an app and its service have them, and what becomes of them on a hostile way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod another_head;
mod hostile_bytes;
mod inner_messages;
#[path = "../peer/mod.rs"]
mod peer;
mod round_trips;
mod time_and_replay;

use sealwire::http::{Carriage, ExchangeService, Form, Headers, KeyConfig, RequestSealer};
use sealwire::{Aead, Error, Kem};
use sealwire_tests::exchanges::service;

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

fn x25519() -> ExchangeService {
    service(Kem::X25519, Aead::ChaCha20Poly1305).unwrap()
}

fn services() -> Vec<ExchangeService> {
    let aeads = [Aead::Aes256Gcm, Aead::ChaCha20Poly1305];
    let suites = [Kem::XWing, Kem::X25519].map(|kem| aeads.map(|aead| service(kem, aead).unwrap()));
    suites.into_iter().flatten().collect()
}

fn sealer<'a>(form: Form, config: &'a KeyConfig, carriage: &'a Carriage) -> RequestSealer<'a> {
    let sealer = RequestSealer::new(config, carriage);
    if form == Form::Chunked { sealer.chunked() } else { sealer }
}

/// Field names of an outer head.
fn names(headers: &Headers) -> Vec<&str> {
    headers.iter().map(|(name, _)| name).collect()
}
