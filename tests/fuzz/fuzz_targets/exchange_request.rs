#![no_main]
//! Any bytes as an encapsulated request, as the field of one, and as what is inside.
use sealwire::fuzzing::encapsulate;
use sealwire::http::ExchangeService;
use std::sync::LazyLock;

static SERVICE: LazyLock<ExchangeService> = LazyLock::new(sealwire_fuzz::service);

libfuzzer_sys::fuzz_target!(|input: (u8, bool, &[u8])| {
    let (piece, chunked, bytes) = input;
    let receive = |outer: &_, body: &[u8]| sealwire_fuzz::receive(&SERVICE, outer, body, piece.into());

    let mut outer = sealwire_fuzz::request("POST", "/ohttp");
    outer
        .headers
        .add("content-type", if chunked { "message/ohttp-chunked-req" } else { "message/ohttp-req" })
        .unwrap();
    assert!(receive(&outer, bytes).is_err(), "nobody sealed it");

    let mut in_field = sealwire_fuzz::request("GET", "/n");
    if in_field.headers.add("sealwire-exchange", bytes).is_ok() {
        assert!(receive(&in_field, b"").is_err());
    }

    outer.headers.set("content-type", "message/ohttp-req").unwrap();
    let sealed = encapsulate(&sealwire_fuzz::config(&SERVICE), bytes).unwrap();
    if let Ok((arrived, content)) = receive(&outer, &sealed) {
        assert_eq!(arrived.made().abs_diff(sealwire_fuzz::NOW) / 301, 0);
        let (head, _) = arrived.admit(true).unwrap();
        assert_eq!((head.target.origin(), content.len() < bytes.len()), (SERVICE.origin(), true));
    }
});
