#![no_main]
//! A real envelope with something else in its middle: it opens only if nothing changed.
use std::sync::LazyLock;

static ENVELOPE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (key, context) = (sealwire_fuzz::key(), sealwire_fuzz::context());
    let to = sealwire::Recipients::new().key(&key);
    sealwire::Sealer::new(&context).to(to).created(5).seal(&[0; 20_000]).unwrap()
});

libfuzzer_sys::fuzz_target!(|input: (u16, u8, u16, &[u8])| {
    let (at, cut, piece, bytes) = input;
    let at = usize::from(at) % (ENVELOPE.len() + 1);
    let after = (at + usize::from(cut)).min(ENVELOPE.len());
    let forged = [&ENVELOPE[..at], bytes, &ENVELOPE[after..]].concat();
    let opened = sealwire_fuzz::open_all_ways(&forged, usize::from(piece));
    assert_eq!(opened.is_some(), forged == *ENVELOPE);
});
