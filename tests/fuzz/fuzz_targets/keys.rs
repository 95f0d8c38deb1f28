#![no_main]
//! Any text as recipient, pin, identity or identity file: what is accepted has one text form.
use sealwire::{Identity, Pin, Recipient};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(recipient) = Recipient::parse(text) {
        assert_eq!(recipient.to_string(), text);
    }
    if let Ok(pin) = Pin::parse(text) {
        assert_eq!(pin.to_string(), text);
    }
    if let Ok(identity) = Identity::parse(text) {
        assert_eq!(identity.reveal().reveal_text(), Some(text));
    }
    drop(Identity::parse_file(text));
});
