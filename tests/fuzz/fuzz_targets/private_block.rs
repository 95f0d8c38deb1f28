#![no_main]
//! Any bytes as the plaintext of a private block: what an authenticated but hostile sealer may write.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sealwire::fuzzing::private_block(bytes);
});
