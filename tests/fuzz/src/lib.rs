//! Shared by the targets: constant keys, and a comparison of all readers.

use sealwire::{
    Error, Keyring, OpenReader, OpenStream, Opener, Passphrase, SealContext, SeekReader, SymmetricKey,
};
use std::io::{Cursor, Read};

/// The key that the fixtures and the vectors are sealed to.
pub fn key() -> SymmetricKey {
    SymmetricKey::from_bytes(&[0x42; 32])
}

/// A symmetric key and a passphrase: slots of every kind are parsed, and some open.
pub fn keys() -> Keyring {
    Keyring::default().and(key()).and(Passphrase::new("swordfish").unwrap())
}

pub fn context() -> SealContext {
    SealContext::new("notes").field("17")
}

/// One-shot, pushed in pieces, read, and at random: the same payload, or the same code.
pub fn open_all_ways(envelope: &[u8], piece: usize) -> Option<Vec<u8>> {
    let (keys, context) = (key(), context());
    let opener = Opener::new(&keys, &context);
    let opened = opener.open(envelope);

    let mut pushed = Vec::new();
    let mut stream = OpenStream::new(&opener);
    let streamed = envelope
        .chunks(piece.max(1))
        .try_for_each(|piece| stream.push(piece, &mut pushed))
        .and_then(|()| stream.finish(&mut pushed));
    let mut read = Vec::new();
    let reader = OpenReader::new(envelope, &opener).and_then(|mut reader| {
        reader.read_to_end(&mut read)?;
        reader.finish()
    });
    // A reader of a stream meets the commitment before it can see that the end is missing (SPEC §7).
    let same = |a: &Error, b: &Error| a == b || matches!((a, b), (Error::Truncated, Error::Rejected));
    match &opened {
        Ok(opened) => {
            assert!(opened.plaintext == pushed && opened.plaintext == read);
            assert!(streamed.is_ok_and(|finished| finished.signer == opened.signer) && reader.is_ok());
            let mut seeking = SeekReader::new(Cursor::new(envelope), &opener).unwrap();
            let mut at_random = Vec::new();
            seeking.read_to_end(&mut at_random).unwrap();
            assert!(opened.plaintext == at_random);
        }
        Err(error) => {
            assert!(same(error, &streamed.unwrap_err()));
            assert!(same(error, &reader.map(drop).unwrap_err()));
            // It may open: it looks neither at all chunks nor at the padding. It must not panic.
            if let Ok(mut seeking) = SeekReader::new(Cursor::new(envelope), &opener) {
                drop(seeking.read_to_end(&mut Vec::new()));
            }
        }
    }
    opened.ok().map(|opened| opened.plaintext)
}
