#![no_main]
//! Any text as base64url: what is accepted has one text form.
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(bytes) = sealwire::from_text(text) {
        assert_eq!(sealwire::to_text(&bytes), text);
    }
});
