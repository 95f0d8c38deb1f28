#![no_main]
//! A real response with something else in its middle, under any head: it opens only if nothing changed.
use sealwire::http::{Carriage, ExchangeService, InPlace, RequestSealer, ResponseHead};
use std::sync::LazyLock;

static SERVICE: LazyLock<ExchangeService> = LazyLock::new(sealwire_fuzz::service);

libfuzzer_sys::fuzz_target!(|input: (bool, u16, u8, u8, &[u8])| {
    let (chunked, at, cut, piece, bytes) = input;
    let (config, carriage) = (sealwire_fuzz::config(&SERVICE), Carriage::InPlace(InPlace::new()));
    let sealer = RequestSealer::new(&config, &carriage);
    let sealer = if chunked { sealer.chunked() } else { sealer };
    let (sealed, opener) = sealer.seal(sealwire_fuzz::request("GET", "/n"), b"", sealwire_fuzz::NOW).unwrap();
    let (arrived, _) = sealwire_fuzz::receive(&SERVICE, &sealed.head, &sealed.body, 1).unwrap();
    let (_, response) = arrived.admit(true).unwrap();
    let response = response.seal(ResponseHead::new(404).unwrap(), b"not here").unwrap();

    let at = usize::from(at) % (response.body.len() + 1);
    let after = (at + usize::from(cut)).min(response.body.len());
    let forged = [&response.body[..at], bytes, &response.body[after..]].concat();
    let (mut stream, mut content) = (opener.stream(&response.head).unwrap(), Vec::new());
    let opened = forged
        .chunks(usize::from(piece).max(1))
        .try_for_each(|piece| stream.push(piece, &mut content))
        .and_then(|()| stream.finish(&mut content));
    // A chunk's length may be written in several ways, and is not authenticated.
    assert!(opened.is_err() || forged == response.body || chunked && content == b"not here");
});
