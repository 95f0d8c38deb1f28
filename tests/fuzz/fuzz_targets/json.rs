#![no_main]
//! Any text as JSON, beside serde_json, and as a list of sealed resources.
use sealwire::MemoryStore;
use sealwire::http::{LastSeen, ResponseHead, SealedResource};
use serde::de::IgnoredAny;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // What serde_json skips it does not look at closely, and what it keeps has a depth and a range of numbers.
    let skipped = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    let kept = serde_json::from_slice::<Value>(bytes).is_ok();
    let is_json = std::str::from_utf8(bytes).is_ok_and(sealwire::fuzzing::is_json);
    assert!(is_json <= skipped && kept <= is_json);

    let mut head = ResponseHead::new(200).unwrap();
    head.headers.add("content-type", "application/json").unwrap();
    let notes = SealedResource::new("notes", "id").list("id", "sealed");
    let seen = LastSeen::in_store(MemoryStore::default());
    if let Ok(items) = notes.open_list(&head, bytes, &sealwire_fuzz::key(), &seen) {
        assert!(is_json && items.iter().all(|item| item.opened.is_err()));
    }
});
