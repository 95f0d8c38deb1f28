#![no_main]
//! Any payload, context and part: what is sealed opens, whichever way.
use sealwire::{Aead, Opener, Recipients, SealContext, Sealer};

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, u16, &str, &str, bool, bool)| {
    let (payload, zeros, namespace, part, padded, web) = input;
    let payload = [payload, vec![0; usize::from(zeros)]].concat();
    let key = sealwire_fuzz::key();
    let context = SealContext::new(namespace).field(part);
    let aead = if web { Aead::ChaCha20Poly1305 } else { Aead::Aes256Gcm };
    let sealer = Sealer::new(&context).to(Recipients::new().key(&key)).part(part).aead(aead);
    let sealer = if padded { sealer } else { sealer.unpadded() };
    if let Ok(envelope) = sealer.seal(&payload) {
        let opened = Opener::new(&key, &context).part(part).open(&envelope).unwrap();
        assert!(opened.plaintext == payload);
    } else {
        assert!(namespace.is_empty() || namespace.len() > 128 || part.len() > 255);
    }
});
