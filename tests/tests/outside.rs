//! Chunks that another AEAD encrypts and decrypts, as a browser's WebCrypto does; here RustCrypto's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use sealwire::{Aead, ChunkKey, Error, Expect, Finished, Opener, OutsideOpening, Sealer, SignedBy, open};
use sealwire_tests::people::{ALICE, BOB, note};

const CHUNK: usize = 16_384;

/// Another implementation's word for one chunk.
fn crypt(key: &ChunkKey, index: usize, text: &[u8], encrypt: bool) -> Option<Vec<u8>> {
    let nonce = key.nonce(index as u64).unwrap();
    match (key.aead(), encrypt) {
        (Aead::Aes256Gcm, true) => Aes256Gcm::new(key.reveal().into()).encrypt(&nonce.into(), text).ok(),
        (Aead::Aes256Gcm, false) => Aes256Gcm::new(key.reveal().into()).decrypt(&nonce.into(), text).ok(),
        (_, true) => ChaCha20Poly1305::new(key.reveal().into()).encrypt(&nonce.into(), text).ok(),
        (_, false) => ChaCha20Poly1305::new(key.reveal().into()).decrypt(&nonce.into(), text).ok(),
    }
}

/// Every chunk but the last is full, and the last is not.
fn chunks(plaintext: &[u8]) -> Vec<&[u8]> {
    (0..=plaintext.len() / CHUNK)
        .map(|i| &plaintext[i * CHUNK..plaintext.len().min((i + 1) * CHUNK)])
        .collect()
}

fn seal_elsewhere(sealer: &Sealer<'_>, payload: &[u8]) -> Vec<u8> {
    let sealing = sealer.seal_outside(payload.len() as u64, Some(sha256(payload))).unwrap();
    let mut envelope = sealing.front;
    let plaintext = [payload, &sealing.closing].concat();
    for (i, chunk) in chunks(&plaintext).into_iter().enumerate() {
        envelope.extend(crypt(&sealing.key, i, chunk, true).unwrap());
    }
    assert_eq!(envelope.len() as u64, sealing.len);
    envelope
}

fn open_elsewhere(envelope: &[u8], opener: &Opener<'_>) -> Result<(Vec<u8>, Finished), Error> {
    let opening = OutsideOpening::new(envelope, envelope.len() as u64, opener)?;
    let mut plaintext = Vec::new();
    let sealed = &envelope[usize::try_from(opening.front_len()).unwrap()..];
    for (i, chunk) in sealed.chunks(CHUNK + 16).enumerate() {
        plaintext.extend(crypt(opening.key(), i, chunk, false).ok_or(Error::Rejected)?);
    }
    assert_eq!(plaintext.len() as u64, opening.plain_len());
    let tail = &plaintext[plaintext.len() - opening.tail_len()..];
    let closing = plaintext.split_off(usize::try_from(opening.payload_len(tail)?).unwrap());
    let hash = sha256(&plaintext);
    Ok((plaintext, opening.finish(&closing, Some(hash))?))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

const LENGTHS: [usize; 8] = [0, 1, 255, CHUNK - 80, CHUNK - 72, CHUNK, 3 * CHUNK - 72, 100_000];

#[test]
fn what_is_sealed_elsewhere_opens_here_and_the_other_way_round() {
    let context = note("outside");
    let expect = Expect::OneOf(vec![ALICE.signer()]);
    for len in LENGTHS {
        let payload = payload(len);
        for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
            for (signed, padded) in [(false, false), (false, true), (true, false), (true, true)] {
                let mut sealer = Sealer::new(&context).to(BOB.recipient()).aead(aead);
                if signed {
                    sealer = sealer.sign(&ALICE);
                }
                if !padded {
                    sealer = sealer.unpadded();
                }
                let mut opener = Opener::new(&*BOB, &context);
                if signed {
                    opener = opener.expect(expect.clone());
                }
                let by = if signed { SignedBy::Verified(ALICE.signer()) } else { SignedBy::Unsigned };

                let elsewhere = seal_elsewhere(&sealer, &payload);
                let opened = opener.open(&elsewhere).unwrap();
                assert_eq!((opened.plaintext == payload, opened.signer), (true, by), "{len} {aead:?}");

                let here = sealer.seal(&payload).unwrap();
                assert_eq!(here.len(), elsewhere.len());
                let (plaintext, finished) = open_elsewhere(&here, &opener).unwrap();
                assert_eq!((plaintext == payload, finished.signer), (true, by), "{len} {aead:?}");
            }
        }
    }
}

#[test]
fn what_is_altered_is_refused_as_here() {
    let context = note("outside");
    let opener = Opener::new(&*BOB, &context);
    let envelope = Sealer::new(&context).to(BOB.recipient()).sign(&ALICE).seal(&payload(40_000)).unwrap();
    for at in (0..envelope.len()).step_by(97) {
        let mut altered = envelope.clone();
        altered[at] ^= 1;
        let (here, elsewhere) =
            (open(&altered, &*BOB, &context).unwrap_err(), open_elsewhere(&altered, &opener).unwrap_err());
        assert_eq!(here.code(), elsewhere.code(), "byte {at}");
        let cut = &envelope[..at];
        let (here, elsewhere) =
            (open(cut, &*BOB, &context).unwrap_err(), open_elsewhere(cut, &opener).unwrap_err());
        assert_eq!(here.code(), elsewhere.code(), "cut at {at}");
    }
}

#[test]
fn a_closing_that_no_sealer_writes_is_refused() {
    let context = note("outside");
    let opener = Opener::new(&*BOB, &context);
    let envelope = Sealer::new(&context).to(BOB.recipient()).sign(&ALICE).seal(b"short").unwrap();
    let begin = || OutsideOpening::new(&envelope, envelope.len() as u64, &opener).unwrap();
    let opening = begin();
    let plaintext =
        crypt(opening.key(), 0, &envelope[usize::try_from(opening.front_len()).unwrap()..], false).unwrap();
    let (text, closing) = plaintext.split_at(5);
    let hash = Some(sha256(text));
    assert!(begin().finish(closing, hash).is_ok());
    assert_eq!(begin().finish(closing, Some([0; 32])), Err(Error::Rejected));
    assert!(matches!(begin().finish(closing, None), Err(Error::Misuse(_))));
    assert_eq!(begin().finish(&closing[1..], hash), Err(Error::Rejected));
    assert_eq!(begin().finish(&[], hash), Err(Error::Rejected));
    let mut padding = closing.to_vec();
    padding[0] = 1;
    assert_eq!(begin().finish(&padding, hash), Err(Error::Rejected));
    assert_eq!(begin().payload_len(&[]), Err(Error::Rejected));

    let sealer = Sealer::new(&context).to(BOB.recipient()).sign(&ALICE);
    assert!(matches!(sealer.seal_outside(5, None), Err(Error::Misuse(_))));
}
