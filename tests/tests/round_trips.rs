//! What is sealed opens again, whichever way it is written and read.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::prop_assert_eq;
use proptest::test_runner::Config;
use sealwire::{
    Addressed, Aead, BODY_HEAD_LEN, Error, Expect, Header, OpenReader, OpenStream, Opener, Passphrase,
    RangeStart, Recipients, SealStream, SealWriter, Sealer, SeekReader, SignedBy, StretchedPassphrase,
    SymmetricKey, header_len, open, reseal, rewrap, seal, split,
};
use sealwire_tests::people::{ALICE, BOB, CAROL, cheap_passphrase, note};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::ops::Range;

const CHUNK: usize = 16_384;

/// Lengths around everything that has an edge, and zeros where padding could be mistaken.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        0_usize..400,
        (CHUNK - 80)..(CHUNK + 80),
        (2 * CHUNK - 80)..(2 * CHUNK + 80),
        0_usize..200_000,
    ];
    (length, any::<u8>(), 0_usize..600).prop_map(|(len, seed, zeros)| {
        let byte = |i: usize| u8::try_from((i * 31 + usize::from(seed)) % 256).unwrap();
        (0..len).map(|i| if i + zeros >= len { 0 } else { byte(i) }).collect()
    })
}

fn aeads() -> impl Strategy<Value = Aead> {
    prop_oneof![proptest::strategy::Just(Aead::Aes256Gcm), proptest::strategy::Just(Aead::ChaCha20Poly1305)]
}

proptest! {
    #![proptest_config(Config { cases: 96, ..Config::default() })]

    #[test]
    fn every_writer_and_every_reader_agree(
        payload in payloads(), aead in aeads(), signed: bool, padded: bool, cuts in proptest::collection::vec(0_usize..40_000, 0..6)
    ) {
        let key = SymmetricKey::from_bytes(&[9; 32]);
        let context = note("1");
        let mut sealer = Sealer::new(&context).to(Recipients::new().key(&key)).aead(aead).metadata("version", 7_u64);
        if signed {
            sealer = sealer.sign(&ALICE);
        }
        let one_shot = if padded { sealer.seal(&payload).unwrap() } else { sealer.clone().unpadded().seal(&payload).unwrap() };
        let mut pushed = Vec::new();
        let mut stream = SealStream::new(&sealer).unwrap();
        for piece in pieces(&payload, &cuts) {
            stream.push(piece, &mut pushed).unwrap();
        }
        stream.finish(&mut pushed).unwrap();
        let sized_sealer = if padded { sealer.clone() } else { sealer.clone().unpadded() };
        let mut sized = Vec::new();
        let mut stream = SealStream::with_len(&sized_sealer, payload.len() as u64).unwrap();
        let announced = stream.sealed_len().unwrap();
        for piece in pieces(&payload, &cuts) {
            stream.push(piece, &mut sized).unwrap();
        }
        stream.finish(&mut sized).unwrap();
        prop_assert_eq!((sized.len(), announced), (one_shot.len(), Some(sized.len() as u64)));
        let mut writer = SealWriter::new(Vec::new(), &sealer).unwrap();
        writer.write_all(&payload).unwrap();
        let written = writer.finish().unwrap();
        prop_assert_eq!(pushed.len(), written.len());

        let expect = if signed { Expect::OneOf(vec![ALICE.signer()]) } else { Expect::Anyone };
        let by = if signed { SignedBy::Verified(ALICE.signer()) } else { SignedBy::Unsigned };
        let opener = Opener::new(&key, &context).expect(expect);
        for envelope in [&one_shot, &pushed, &sized, &written] {
            let opened = opener.open(envelope).unwrap();
            prop_assert_eq!((&opened.plaintext, opened.signer), (&payload, by));

            let mut streamed = Vec::new();
            let mut stream = OpenStream::new(&opener);
            for piece in pieces(envelope, &cuts) {
                stream.push(piece, &mut streamed).unwrap();
            }
            let finished = stream.finish(&mut streamed).unwrap();
            prop_assert_eq!((&streamed, finished.signer, &finished.about), (&payload, by, &opened.about));

            let mut read = Vec::new();
            let mut reader = OpenReader::new(envelope.as_slice(), &opener).unwrap();
            reader.read_to_end(&mut read).unwrap();
            prop_assert_eq!((&read, reader.finish().unwrap().signer), (&payload, by));

            let mut seeking = SeekReader::new(Cursor::new(envelope), &opener).unwrap();
            prop_assert_eq!(seeking.len(), payload.len() as u64);
            for cut in &cuts {
                let at = (*cut).min(payload.len());
                seeking.seek(SeekFrom::Start(at as u64)).unwrap();
                let mut range = vec![0; (payload.len() - at).min(20_000)];
                seeking.read_exact(&mut range).unwrap();
                prop_assert_eq!(&range, &payload[at..at + range.len()]);
            }

            let part = |range: Range<u64>| &envelope[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
            let front = &envelope[..header_len(envelope).unwrap().unwrap() + BODY_HEAD_LEN];
            let start = RangeStart::new(front, envelope.len() as u64, &opener).unwrap();
            let end = part(start.sealed());
            let ranges = start.finish(end).unwrap();
            prop_assert_eq!((ranges.len(), ranges.about()), (payload.len() as u64, &opened.about));
            for cut in cuts.iter().chain(&[0]) {
                let from = (*cut).min(payload.len());
                for to in [from, (from + 20_000).min(payload.len()), payload.len()] {
                    let range = from as u64..to as u64;
                    let sealed = part(ranges.sealed(range.clone()).unwrap());
                    prop_assert_eq!(&ranges.open(range.clone(), sealed).unwrap(), &payload[from..to]);
                    prop_assert_eq!(ranges.open(range, &sealed[1..]).unwrap_err(), Error::Truncated);
                }
            }
            prop_assert_eq!(ranges.sealed(0..payload.len() as u64 + 1).unwrap_err().code(), "Misuse");
        }
    }

    #[test]
    fn rewrap_keeps_the_body(payload in payloads(), signed: bool) {
        let context = note("2");
        let mut sealer = Sealer::new(&context).to(ALICE.recipient());
        if signed {
            sealer = sealer.sign(&CAROL);
        }
        let envelope = sealer.seal(&payload).unwrap();
        let rewrapped = rewrap(&envelope, &*ALICE, &context, &[BOB.recipient()]).unwrap();
        prop_assert_eq!(split(&envelope).unwrap().1, split(&rewrapped).unwrap().1);
        let opened = open(&rewrapped, &*BOB, &context).unwrap();
        prop_assert_eq!(&opened.plaintext, &payload);
        prop_assert_eq!(open(&rewrapped, &*ALICE, &context).unwrap_err().code(), "NotRecipient");
        let addressed = if signed { Addressed::No } else { Addressed::Unstated };
        prop_assert_eq!(opened.about.addressed_to_me, addressed);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), front in 0_usize..80) {
        let envelope = seal(b"x", &[ALICE.recipient()], &note("3")).unwrap();
        let forged = [&envelope[..front], &bytes].concat();
        prop_assert_eq!(open(&forged, &*ALICE, &note("3")).is_err(), true);
    }
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| (*cut).min(bytes.len())).chain([0, bytes.len()]).collect();
    ends.sort_unstable();
    ends.windows(2).map(|window| &bytes[window[0]..window[1]]).collect()
}

/// Long enough for the cores to share the work, in every direction; with zeros that look like padding.
#[test]
fn long_payloads_on_all_cores() {
    let key = SymmetricKey::from_bytes(&[9; 32]);
    let context = note("4");
    for zeros in [0, 3_000_000] {
        let payload: Vec<u8> = (0..5_000_003_usize)
            .map(|i| if i > 5_000_003 - zeros { 0 } else { u8::try_from(i % 253).unwrap() })
            .collect();
        let sealer = Sealer::new(&context).to(Recipients::new().key(&key)).sign(&ALICE);
        let envelope = sealer.seal(&payload).unwrap();
        let mut read = Vec::new();
        let mut reader = OpenReader::new(envelope.as_slice(), &Opener::new(&key, &context)).unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == payload);
        assert_eq!(reader.finish().unwrap().signer, SignedBy::Verified(ALICE.signer()));
        assert!(open(&envelope, &key, &context).unwrap().plaintext == payload);

        // A flip anywhere leaves nothing behind.
        let mut flipped = envelope.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let mut buffer = Vec::new();
        assert!(Opener::new(&key, &context).open_into(&flipped, &mut buffer).is_err());
        assert!(buffer.is_empty());
    }
}

#[test]
fn room_in_front_is_the_callers() {
    let context = note("6");
    let sealer = Sealer::new(&context).to(ALICE.recipient());
    for payload in [&b""[..], b"hello", &[7; 40_000]] {
        // A buffer that held something, and one that has no room.
        for mut buffer in [vec![9; 100_000], Vec::new()] {
            sealer.seal_behind(5, payload, &mut buffer).unwrap();
            let envelope = buffer[5..].to_vec();
            assert_eq!(open(&envelope, &*ALICE, &context).unwrap().plaintext, payload);
            Opener::new(&*ALICE, &context).open_behind(3, &envelope, &mut buffer).unwrap();
            assert_eq!(&buffer[3..], payload);
            assert!(Opener::new(&*BOB, &context).open_behind(3, &envelope, &mut buffer).is_err());
            assert!(buffer.is_empty());
        }
    }
    assert_eq!(sealer.seal_behind(usize::MAX, b"x", &mut Vec::new()).unwrap_err().code(), "TooLarge");
}

#[test]
fn resealing_changes_the_key_and_keeps_what_was_said() {
    let context = note("5");
    let sealer = Sealer::new(&context).to(&[ALICE.recipient(), BOB.recipient()]).metadata("version", 1_u64);
    let envelope =
        sealer.clone().filename("a.txt").content_type("text/plain").created(1).for_web().seal(b"x").unwrap();
    let resealed = reseal(&envelope, &*ALICE, &context, ALICE.recipient()).unwrap();
    assert_ne!(
        Header::parse(&envelope).unwrap().unverified_id(),
        Header::parse(&resealed).unwrap().unverified_id()
    );
    assert_eq!(open(&resealed, &*BOB, &context).unwrap_err().code(), "NotRecipient");
    let (before, after) =
        (open(&envelope, &*ALICE, &context).unwrap(), open(&resealed, &*ALICE, &context).unwrap());
    assert_eq!((before.plaintext, before.about), (after.plaintext, after.about));
    assert_eq!(Header::parse(&resealed).unwrap().unverified_aead(), Aead::ChaCha20Poly1305);

    let signed = sealer.sign(&CAROL).seal(b"x").unwrap();
    assert_eq!(reseal(&signed, &*ALICE, &context, ALICE.recipient()).unwrap_err().code(), "Misuse");
    let opener = Opener::new(&*ALICE, &context);
    let resigned = Sealer::new(&context).to(BOB.recipient()).sign(&ALICE).reseal(&signed, &opener).unwrap();
    assert_eq!(open(&resigned, &*BOB, &context).unwrap().signer, SignedBy::Verified(ALICE.signer()));
}

#[test]
fn what_the_resealer_sets_comes_first() {
    let context = note("5");
    let sealer = Sealer::new(&context).to(ALICE.recipient());
    let aes = sealer.clone().aead(Aead::Aes256Gcm).part("title").seal(b"x").unwrap();
    let opener = Opener::new(&*ALICE, &context).part("title");
    let aead = |envelope: &[u8]| Header::parse(envelope).unwrap().unverified_aead();

    let kept = sealer.reseal(&aes, &opener).unwrap();
    assert_eq!(aead(&kept), Aead::Aes256Gcm);
    assert_eq!(opener.open(&kept).unwrap().plaintext, b"x");
    let moved = sealer.clone().for_web().part("text").reseal(&aes, &opener).unwrap();
    assert_eq!(aead(&moved), Aead::ChaCha20Poly1305);
    assert_eq!(opener.open(&moved).unwrap_err().code(), "Rejected");
    assert_eq!(opener.part("text").open(&moved).unwrap().plaintext, b"x");
}

#[test]
fn header_and_body_live_apart() {
    let context = note("6");
    let sealer = Sealer::new(&context).to(ALICE.recipient()).sign(&BOB);
    let (header, mut writer) = SealWriter::detached(Vec::new(), &sealer).unwrap();
    writer.write_all(&[5; 50_000]).unwrap();
    writer.flush().unwrap();
    writer.write_all(&[6; 50_000]).unwrap();
    let body = writer.finish().unwrap();
    let opener = Opener::new(&*ALICE, &context);
    let plaintext = [[5; 50_000], [6; 50_000]].concat();
    assert!(opener.open_detached(&header, &body).unwrap().plaintext == plaintext);
    let mut reader = OpenReader::detached(&header, body.as_slice(), &opener).unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == plaintext);
    let mut seeking = SeekReader::detached(&header, Cursor::new(&body), &opener).unwrap();
    seeking.seek(SeekFrom::End(-1)).unwrap();
    let mut last = [0];
    seeking.read_exact(&mut last).unwrap();
    assert_eq!(last, [6]);
    assert_eq!(seeking.read(&mut last).unwrap(), 0);
    assert!(seeking.seek(SeekFrom::Current(-200_000)).is_err());
}

/// A sink that fails leaves a writer that says so, and an envelope that readers refuse.
#[test]
fn a_sink_that_fails() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let context = note("7");
    let sealer = Sealer::new(&context).to(ALICE.recipient());
    let mut writer = SealWriter::new(Full(100_000), &sealer).unwrap();
    let error = writer.write_all(&vec![1; 3_000_000]).unwrap_err();
    assert_eq!(Error::from(error).code(), "Store");
    assert_eq!(Error::from(writer.finish().map(drop).unwrap_err()).code(), "Misuse");

    let mut cut = SealWriter::new(Vec::new(), &sealer).unwrap();
    cut.write_all(&[1; 100]).unwrap();
    cut.flush().unwrap();
    let whole = cut.finish().unwrap();
    let mut reader = OpenReader::new(&whole[..whole.len() - 20], &Opener::new(&*ALICE, &context));
    let error = match &mut reader {
        Ok(reader) => Error::from(reader.read_to_end(&mut Vec::new()).unwrap_err()),
        Err(error) => *error,
    };
    assert!(["Truncated", "Rejected"].contains(&error.code()));
}

/// Argon2id elsewhere: what comes out opens what the passphrase opens, and nothing else.
#[test]
fn a_stretched_passphrase_is_its_passphrase_for_one_salt() {
    let salt = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let passphrase = Passphrase::new("swordfish").unwrap().costs(64, 2, 2).unwrap();
    let bytes = passphrase.stretch_with(&salt).unwrap().reveal();
    // Argon2id of OpenSSL 3, through Python's `cryptography`.
    let expected = "000102030405060708090a0b0c0d0e0f000000400000000200000002\
        d476d81acdc3fd823c5d5f072aef035082a909f95e9143d56528f2eb8b27c6c0";
    let hex: String = bytes.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);

    let (context, read) = (note("1"), |bytes: &[u8]| StretchedPassphrase::from_bytes(bytes));
    let stretched = read(bytes.reveal()).unwrap();
    let readers = Recipients::new().recipient(BOB.recipient()).stretched(&stretched);
    let envelope = Sealer::new(&context).to(readers).seal(b"x").unwrap();
    assert_eq!(open(&envelope, &passphrase, &context).unwrap().plaintext, b"x");
    assert_eq!(open(&envelope, &stretched, &context).unwrap().plaintext, b"x");
    let other_salt = passphrase.stretch().unwrap();
    let other_costs =
        Passphrase::new("swordfish").unwrap().costs(64, 1, 2).unwrap().stretch_with(&salt).unwrap();
    let other = cheap_passphrase("sword").unwrap().costs(64, 2, 2).unwrap().stretch_with(&salt).unwrap();
    for wrong in [other_salt, other_costs, other] {
        assert_eq!(open(&envelope, &wrong, &context).map(drop), Err(Error::NotRecipient));
    }

    for len in (0..60).chain([61, 120]) {
        assert!(matches!(read(&vec![0; len]), Err(Error::InvalidKey(_))), "{len}");
    }
    let with = |at: usize, byte: u8| {
        let mut changed = bytes.reveal().to_vec();
        changed[at] = byte;
        read(&changed).map(drop).map_err(|error| error.code())
    };
    assert_eq!(with(16, 1), Err("TooLarge"));
    assert_eq!(with(23, 11), Err("TooLarge"));
    assert_eq!(with(23, 0), Err("Malformed"));
    let three = Recipients::new().stretched(&stretched).passphrase(&passphrase).stretched(&stretched);
    assert!(matches!(Sealer::new(&context).to(three).seal(b"x"), Err(Error::TooLarge(_))));
}
