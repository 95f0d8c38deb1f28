#![no_main]
//! Any bytes as header and body to rewrap: what comes out opens like what went in.
use sealwire::{Opener, Recipients};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (key, context) = (sealwire_fuzz::key(), sealwire_fuzz::context());
    let opener = Opener::new(&key, &context);
    if let Ok(rewrapped) = opener.rewrap(bytes, Recipients::new().key(&key)) {
        assert_eq!(opener.open(bytes).is_ok(), opener.open(&rewrapped).is_ok());
    }
});
