//! Shared by the targets: constant keys, and a comparison of all readers.

use sealwire::http::{
    Arrival, ExchangeService, KeyConfig, Method, Origin, RequestHead, ServiceKeys, Target, Unadmitted,
};
use sealwire::{
    Aead, Error, Kem, Keyring, OpenReader, OpenStream, Opener, Passphrase, SealContext, SeekReader,
    SymmetricKey,
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
    // Codes, not texts: the first byte tells that this is no envelope, and only the twelfth that it is one in its text form.
    // A reader of a stream meets the commitment before it can see that the end is missing (SPEC §7).
    let same = |a: &Error, b: &Error| {
        assert!(
            a.code() == b.code() || matches!((a, b), (Error::Truncated, Error::Rejected)),
            "{a:?}, {b:?}"
        );
    };
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
            same(error, &streamed.unwrap_err());
            same(error, &reader.map(drop).unwrap_err());
            // It may open: it looks neither at all chunks nor at the padding. It must not panic.
            if let Ok(mut seeking) = SeekReader::new(Cursor::new(envelope), &opener) {
                drop(seeking.read_to_end(&mut Vec::new()));
            }
        }
    }
    opened.ok().map(|opened| opened.plaintext)
}

pub const NOW: u64 = 1_800_000_000;

/// A service that takes exchanges in place and at `/ohttp`.
pub fn service() -> ExchangeService {
    let keys = ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, 60, NOW).unwrap();
    ExchangeService::new(Origin::parse("https://a.b").unwrap(), keys).tunnel("/ohttp").max_body(10_000)
}

pub fn config(service: &ExchangeService) -> KeyConfig {
    KeyConfig::parse_list(&service.with_keys(|keys| keys.ohttp_keys(NOW))).unwrap()
}

pub fn request(method: &str, path: &str) -> RequestHead {
    let target = Target::new(Origin::parse("https://a.b").unwrap(), path).unwrap();
    RequestHead::new(Method::new(method).unwrap(), target)
}

/// What the service makes of an outer request whose body arrives in pieces of this length.
pub fn receive(
    service: &ExchangeService,
    outer: &RequestHead,
    body: &[u8],
    piece: usize,
) -> Result<(Unadmitted, Vec<u8>), Error> {
    let Arrival::Sealed(mut opener) = service.arrive(outer)? else { return Err(Error::Misuse(&"plain")) };
    let mut content = Vec::new();
    body.chunks(piece.max(1)).try_for_each(|piece| opener.push(service, piece, NOW, &mut content))?;
    opener.finish(service, NOW, &mut content)?;
    Ok((opener.take_request(service, NOW)?.unwrap(), content))
}
