#![no_main]
//! Any bytes as an envelope, to every reader.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sealwire_fuzz::open_all_ways(bytes, 1000);
    drop(sealwire::open(bytes, &sealwire_fuzz::keys(), &sealwire_fuzz::context()));
});
