#![no_main]
//! Any bytes as Binary HTTP: the same in whatever pieces, and no more content than came.
use sealwire::fuzzing::{binary_request, binary_response};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = (usize::from(input.0), input.1);
    let request = binary_request(bytes, piece);
    assert_eq!(request, binary_request(bytes, usize::MAX));
    assert_eq!(binary_response(bytes, piece), binary_response(bytes, usize::MAX));
    if let Ok((head, content)) = request {
        assert!(content.len() < bytes.len() && head.is_some_and(|head| head.target.path().starts_with('/')));
    }
});
