#![no_main]
//! A real envelope with something else in its middle, by those who fetch ranges of it or decrypt its chunks elsewhere: what opens is what was
//! sealed, at its place.
use sealwire::{Opener, OutsideOpening, RangeStart, Recipients, Sealer};
use std::ops::Range;
use std::sync::LazyLock;

static PAYLOAD: LazyLock<Vec<u8>> = LazyLock::new(|| (0..40_000_u32).map(|i| (i % 251) as u8).collect());
static ENVELOPE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (key, context) = (sealwire_fuzz::key(), sealwire_fuzz::context());
    Sealer::new(&context).to(Recipients::new().key(&key)).created(5).seal(&PAYLOAD).unwrap()
});
const SEALED_CHUNK: usize = 16_384 + 16;

libfuzzer_sys::fuzz_target!(|input: (u16, u8, u16, u16, &[u8])| {
    let (at, cut, start, len, bytes) = input;
    let at = usize::from(at) % (ENVELOPE.len() + 1);
    let after = (at + usize::from(cut)).min(ENVELOPE.len());
    let forged = [&ENVELOPE[..at], bytes, &ENVELOPE[after..]].concat();
    let (keys, context) = (sealwire_fuzz::key(), sealwire_fuzz::context());
    let opener = Opener::new(&keys, &context);
    let unchanged = forged == *ENVELOPE;

    let fetch = |range: Range<u64>| {
        let at = |place: u64| usize::try_from(place).unwrap().min(forged.len());
        &forged[at(range.start)..at(range.end)]
    };
    let range = u64::from(start)..u64::from(start) + u64::from(len);
    let opened = RangeStart::new(&forged, forged.len() as u64, &opener).and_then(|start| {
        let sealed = fetch(start.sealed());
        let source = start.finish(sealed)?;
        assert_eq!(source.len(), PAYLOAD.len() as u64);
        let sealed = fetch(source.sealed(range.clone())?);
        source.open(range.clone(), sealed)
    });
    match (opened, PAYLOAD.get(usize::from(start)..usize::from(start) + usize::from(len))) {
        (Ok(part), sealed) => assert_eq!(Some(part.as_slice()), sealed),
        (Err(_), sealed) => assert!(!unchanged || sealed.is_none()),
    }

    let outside = OutsideOpening::new(&forged, forged.len() as u64, &opener).and_then(|opening| {
        let sealed = &forged[usize::try_from(opening.front_len()).unwrap()..];
        let cipher = opening.key().cipher();
        let mut plaintext = Vec::new();
        for (chunk, i) in sealed.chunks(SEALED_CHUNK).zip(0..) {
            let mut text = vec![0; chunk.len().saturating_sub(16)];
            cipher.open_chunk(i, chunk, &mut text)?;
            plaintext.extend(text);
        }
        assert_eq!(plaintext.len() as u64, opening.plain_len());
        let tail = &plaintext[plaintext.len() - opening.tail_len()..];
        let closing = plaintext.split_off(usize::try_from(opening.payload_len(tail)?).unwrap());
        opening.finish(&closing, None)?;
        Ok(plaintext)
    });
    assert_eq!(outside.is_ok_and(|plaintext| plaintext == *PAYLOAD), unchanged);
});
