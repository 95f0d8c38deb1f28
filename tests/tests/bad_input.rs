//! What bad input gets: refused, every single time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, missing_docs)]

use sealwire::{
    Aead, Candidate, Error, Expect, Header, Identity, Kem, KeyService, Keyring, Metadata, OpenReader,
    OpenStream, Opener, Passphrase, Pin, Recipient, Recipients, SealContext, SealedParts, Sealer, Signer,
    SymmetricKey, Unlock, UnlockBudget, from_text, join, open, reseal, rewrap, seal, split, to_text,
};
use sealwire_tests::people::{ALICE, BOB, CAROL, CarelessService, cheap_passphrase, context, keys, note};
use sealwire_tests::vectors::{Format, files, hex};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const CHUNK: usize = 16_384;
const SEALED_CHUNK: usize = CHUNK + 16;

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

/// An envelope, and what opens it.
struct Sample {
    name: String,
    envelope: Vec<u8>,
    keys: Box<dyn Unlock>,
    context: SealContext,
}

/// Small envelopes of each slot kind, signed and not, padded and not, with the keys that open them.
fn small_envelopes() -> Vec<Sample> {
    let context = note("1");
    let key = SymmetricKey::from_bytes(&[7; 32]);
    let passphrase = cheap_passphrase("swordfish").unwrap();
    let identity = |identity: &Identity| {
        Box::new(Identity::parse(identity.reveal().reveal_text().unwrap()).unwrap()) as Box<dyn Unlock>
    };
    let mut envelopes = Vec::new();
    for signed in [false, true] {
        let kinds: [(&str, Recipients<'_>, Box<dyn Unlock>); 6] = [
            ("X-Wing", Recipients::new().recipient(ALICE.recipient()), identity(&ALICE)),
            ("X25519", Recipients::new().recipient(CAROL.recipient()), identity(&CAROL)),
            ("anonymous", Recipients::new().anonymous(CAROL.recipient()), identity(&CAROL)),
            (
                "passphrase",
                Recipients::new().passphrase(&passphrase),
                Box::new(cheap_passphrase("swordfish").unwrap()),
            ),
            ("symmetric", Recipients::new().key(&key), Box::new(SymmetricKey::from_bytes(&[7; 32]))),
            ("external", Recipients::new().service(&CarelessService), Box::new(CarelessService)),
        ];
        for (name, readers, keys) in kinds {
            let sealer = Sealer::new(&context).to(readers).metadata("version", 2_u64);
            let sealer =
                if signed { sealer.sign(&BOB) } else { sealer.unpadded().aead(Aead::ChaCha20Poly1305) };
            let envelope = sealer.seal(b"attack at dawn").unwrap();
            envelopes.push(Sample {
                name: format!("{name}, signed {signed}"),
                envelope,
                keys,
                context: note("1"),
            });
        }
    }
    envelopes
}

/// Vectors that open, made by the other implementation: among them unknown slots and ignorable fields.
fn foreign_envelopes() -> Vec<Sample> {
    files(Format::Envelope)
        .unwrap()
        .into_iter()
        .filter(|(_, case)| case["operation"] == "open" && case["expect"] == "ok" && case["part"] == "")
        .map(|(path, case)| {
            let envelope = from_text(case["envelope"].as_str().unwrap()).unwrap();
            Sample {
                name: path.display().to_string(),
                envelope,
                keys: keys(&case["unlock"]).unwrap(),
                context: context(&case["context"]),
            }
        })
        .filter(|sample| sample.envelope.len() < 1024)
        .collect()
}

#[test]
fn every_flip_of_every_bit_is_refused() {
    let mut flips = 0;
    for Sample { name, envelope, keys, context } in small_envelopes().into_iter().chain(foreign_envelopes()) {
        assert_eq!(code(open(&envelope, &*keys, &context)), "ok", "{name}");
        let mut flipped = envelope.clone();
        for bit in 0..envelope.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped, &*keys, &context).is_err(), "{name}: bit {bit} of {}", envelope.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            flips += 1;
        }
    }
    assert!(flips > 80_000, "only {flips} flips");
}

#[test]
fn every_truncation_and_every_extension_is_refused() {
    for Sample { name, envelope, keys, context } in small_envelopes().into_iter().chain(foreign_envelopes()) {
        for len in 0..envelope.len() {
            let cut = &envelope[..len];
            let outcome = code(open(cut, &*keys, &context));
            assert!(["Truncated", "Rejected"].contains(&outcome), "{name}: {len} bytes: {outcome}");
        }
        for more in [&[0][..], &[0; 16], &[0; 16_400], &envelope] {
            assert!(open(&[&envelope, more].concat(), &*keys, &context).is_err(), "{name}");
        }
    }
}

/// A payload that its signer did not write, with right chunks, as a co-recipient can make it. From the other implementation.
#[test]
fn a_reader_gives_nothing_after_a_wrong_signature() {
    let vectors = files(Format::Envelope).unwrap();
    let case = |name| &vectors.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
    let forged = case("signature-payload-replaced.json");
    let alice = case("signers-expected.json")["signer"].as_str().and_then(hex).unwrap();
    let signer = Signer::from_bytes(&alice.try_into().unwrap()).unwrap();
    let (keys, context) = (keys(&forged["unlock"]).unwrap(), context(&forged["context"]));
    let envelope = from_text(forged["envelope"].as_str().unwrap()).unwrap();
    let (header, body) = split(&envelope).unwrap();
    for expect in [Expect::Anyone, Expect::OneOf(vec![signer])] {
        let opener = Opener::new(&*keys, &context).expect(expect);
        let mut reader = OpenReader::detached(header, body, &opener).unwrap();
        for _ in 0..3 {
            assert!(reader.read(&mut [0; 100]).is_err());
        }
        let mut stream = OpenStream::new(&opener);
        let mut plaintext = b"before".to_vec();
        stream.push(&envelope, &mut plaintext).unwrap();
        assert_eq!(code(stream.finish(&mut plaintext)), "Rejected");
        assert_eq!(plaintext, b"before");
    }
}

#[test]
fn nothing_is_left_after_an_error() {
    let context = note("left");
    let payload: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let good = Sealer::new(&context).to(ALICE.recipient()).sign(&BOB).seal(&payload).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let opener = Opener::new(&*ALICE, &context);

    let mut reader = OpenReader::new(flipped.as_slice(), &opener).unwrap();
    let mut provisional = Vec::new();
    assert!(reader.read_to_end(&mut provisional).is_err());
    assert!(payload.starts_with(&provisional));
    assert!(reader.read(&mut [0; 100]).is_err());

    let mut stream = OpenStream::new(&opener);
    let mut plaintext = b"before".to_vec();
    let half = good.len() / 2;
    let mut middle_flipped = good.clone();
    middle_flipped[half] ^= 1;
    assert_eq!(code(stream.push(&middle_flipped, &mut plaintext)), "Rejected");
    assert_eq!(plaintext, b"before");

    let for_bob = seal(b"x", BOB.recipient(), &context).unwrap();
    let other_context = note("right");
    let elsewhere = Opener::new(&*ALICE, &other_context);
    let mut buffer = Vec::new();
    for (opener, bad) in [
        (&opener, for_bob.as_slice()),
        (&opener, b"not an envelope"),
        (&opener, &good[..good.len() - 1]),
        (&opener, &good[..Header::parse(&good).unwrap().len()]),
        (&opener, &flipped),
        (&elsewhere, &good),
    ] {
        Opener::new(&*ALICE, &context).open_into(&good, &mut buffer).unwrap();
        assert!(opener.open_into(bad, &mut buffer).is_err());
        assert!(buffer.is_empty());
    }
}

#[test]
fn chunks_cannot_be_moved() {
    let context = note("chunks");
    let sealer = Sealer::new(&context).to(ALICE.recipient()).unpadded();
    let payload: Vec<u8> = (0..4 * CHUNK + 100).map(|i| u8::try_from(i % 250).unwrap()).collect();
    let [envelope, other] = [sealer.seal(&payload).unwrap(), sealer.seal(&payload).unwrap()];
    let cut = |envelope: &[u8]| {
        let start = Header::parse(envelope).unwrap().len() + 56;
        let chunks: Vec<Vec<u8>> = envelope[start..].chunks(SEALED_CHUNK).map(<[u8]>::to_vec).collect();
        (envelope[..start].to_vec(), chunks)
    };
    let (front, chunks) = cut(&envelope);
    let (other_front, other_chunks) = cut(&other);
    assert_eq!(chunks.len(), 5);
    let check = |what: &str, chunks: &[Vec<u8>], expected: &str| {
        let forged = [front.clone(), chunks.concat()].concat();
        assert_eq!(code(open(&forged, &*ALICE, &context)), expected, "{what}");
    };
    check("untouched", &chunks, "ok");
    for a in 0..5 {
        let mut dropped = chunks.clone();
        dropped.remove(a);
        check("dropped", &dropped, if a == 4 { "Truncated" } else { "Rejected" });
        let mut repeated = chunks.clone();
        repeated.insert(a, chunks[a].clone());
        check("repeated", &repeated, "Rejected");
        let mut foreign = chunks.clone();
        foreign[a] = other_chunks[a].clone();
        check("from another envelope", &foreign, "Rejected");
        for b in 0..a {
            let mut swapped = chunks.clone();
            swapped.swap(a, b);
            check("swapped", &swapped, "Rejected");
        }
    }
    // A whole body under another header.
    let (header, _) = split(&envelope).unwrap();
    let (_, body) = split(&other).unwrap();
    assert_eq!(code(open(&join(header, body), &*ALICE, &context)), "Rejected");
    drop(other_front);
}

type EncodedSlots = Vec<Vec<u8>>;

/// The slots of an envelope as they stand, and the envelope with others in their place.
fn slots(envelope: &[u8]) -> (EncodedSlots, impl Fn(&[Vec<u8>]) -> Vec<u8>) {
    let (header, body) = split(envelope).unwrap();
    let mut decoder = minicbor::Decoder::new(&header[9..]);
    decoder.bytes().unwrap();
    let start = 9 + decoder.position();
    let content = decoder.bytes().unwrap().to_vec();
    let mut inner = minicbor::Decoder::new(&content);
    let count = inner.array().unwrap().unwrap();
    let mut slots = Vec::new();
    for _ in 0..count {
        let from = inner.position();
        inner.skip().unwrap();
        slots.push(content[from..inner.position()].to_vec());
    }
    let (front, tag) = (header[..start].to_vec(), header[header.len() - 32..].to_vec());
    let body = body.to_vec();
    let put_back = move |slots: &[Vec<u8>]| {
        let mut array = minicbor::Encoder::new(Vec::new());
        array.array(slots.len() as u64).unwrap();
        let array = [array.into_writer(), slots.concat()].concat();
        let mut bytes = minicbor::Encoder::new(Vec::new());
        bytes.bytes(&array).unwrap();
        [front.clone(), bytes.into_writer(), tag.clone(), body.clone()].concat()
    };
    (slots, put_back)
}

#[test]
fn slots_cannot_be_touched() {
    let context = note("slots");
    let dave = Identity::generate().unwrap();
    let to = || {
        Recipients::new().recipient(ALICE.recipient()).recipient(BOB.recipient()).recipient(dave.recipient())
    };
    let envelope = Sealer::new(&context).to(to()).seal(b"for three").unwrap();
    let other = Sealer::new(&context).to(to()).seal(b"for three").unwrap();
    let (slots_here, put_back) = slots(&envelope);
    let (slots_there, _) = slots(&other);
    assert_eq!(put_back(&slots_here), envelope);
    let refused = |what: &str, slots: &[Vec<u8>]| {
        let forged = put_back(slots);
        for reader in [&*ALICE, &*BOB, &dave] {
            assert_eq!(code(open(&forged, reader, &context)), "NotRecipient", "{what}");
        }
    };
    for a in 0..3 {
        let mut dropped = slots_here.clone();
        dropped.remove(a);
        refused("dropped", &dropped);
        let mut repeated = slots_here.clone();
        repeated.push(slots_here[a].clone());
        refused("repeated", &repeated);
        let mut transplanted = slots_here.clone();
        transplanted[a] = slots_there[a].clone();
        refused("transplanted", &transplanted);
        let mut added = slots_here.clone();
        added.insert(a, slots_there[a].clone());
        refused("added", &added);
        for b in 0..a {
            let mut reordered = slots_here.clone();
            reordered.swap(a, b);
            refused("reordered", &reordered);
        }
    }
    refused("an unknown slot added", &[slots_here.clone(), vec![vec![0xa1, 0x00, 0x18, 0x63]]].concat());
}

#[test]
fn absurd_claims_cost_nothing() {
    let start = Instant::now();
    let magic = b"sealwire\x01";
    for (claim, expected) in [
        (&[0x5b, 0, 0, 1, 0, 0, 0, 0, 0][..], "TooLarge"), // 1 TiB
        (&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "TooLarge"),
        (&[0x5a, 0x7f, 0xff, 0xff, 0xff], "TooLarge"),
        (&[0x5a, 0x00, 0x1f, 0xff, 0xff], "Truncated"), // 2 MiB, which are not there
        (&[0x41, 0xa0, 0x5b, 0, 0, 1, 0, 0, 0, 0, 0], "TooLarge"),
        (&[0x5b, 0, 0, 0, 0, 0, 0, 0, 1, 0xa0], "Malformed"), // a length that is not the shortest
        (&[0x5f, 0x41, 0xa0, 0xff], "Malformed"),
        (&[0xa0], "Malformed"),
    ] {
        let envelope = [magic, claim].concat();
        assert_eq!(code(Header::parse(&envelope)), expected, "{claim:02x?}");
        assert_eq!(code(open(&envelope, &*ALICE, &note("1"))), expected);
        let context = note("1");
        let mut stream = OpenStream::new(&Opener::new(&*ALICE, &context));
        let pushed = stream.push(&envelope, &mut Vec::new());
        let outcome = if pushed.is_ok() { code(stream.finish(&mut Vec::new())) } else { code(pushed) };
        assert_eq!(outcome, expected);
    }
    // A million-element array inside a small header is walked, not collected.
    let bomb = [
        magic.as_slice(),
        &[0x4b, 0xa1, 0x00, 0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x41, 0x80],
        &[0; 32],
    ];
    assert_eq!(code(Header::parse(&bomb.concat())), "Malformed");
    assert!(start.elapsed().as_millis() < 1000);
}

#[test]
fn the_sealer_refuses_what_readers_refuse() {
    let context = note("limits");
    let key = SymmetricKey::generate().unwrap();
    let many = |count: usize| (0..count).fold(Recipients::new(), |to, _| to.key(&key));
    assert_eq!(code(seal(b"", many(1024), &context)), "ok");
    assert_eq!(code(seal(b"", many(1025), &context)), "TooLarge");
    assert_eq!(code(seal(b"", Recipients::new(), &context)), "Misuse");
    let anonymous =
        |count: usize| (0..count).fold(Recipients::new(), |to, _| to.anonymous(CAROL.recipient()));
    assert_eq!(code(seal(b"", anonymous(64), &context)), "ok");
    assert_eq!(code(seal(b"", anonymous(65), &context)), "TooLarge");
    let passphrase = cheap_passphrase("x").unwrap();
    let passphrases = |count: usize| (0..count).fold(Recipients::new(), |to, _| to.passphrase(&passphrase));
    assert_eq!(code(seal(b"", passphrases(2), &context)), "ok");
    assert_eq!(code(seal(b"", passphrases(3), &context)), "TooLarge");
    let mix = || Recipients::new().recipient(ALICE.recipient()).recipient(CAROL.recipient());
    assert_eq!(code(seal(b"", mix(), &context)), "Misuse");
    assert_eq!(code(seal(b"", mix().allow_classical(), &context)), "ok");
    let envelope = seal(b"", ALICE.recipient(), &context).unwrap();
    assert_eq!(code(rewrap(&envelope, &*ALICE, &context, mix())), "Misuse");
    assert_eq!(code(rewrap(&envelope, &*ALICE, &context, Recipients::new())), "Misuse");
    assert_eq!(code(reseal(&envelope, &*ALICE, &context, Recipients::new())), "Misuse");

    let sealer = Sealer::new(&context).to(ALICE.recipient());
    let with_entries = |count: u64| {
        (0..count).fold(sealer.clone(), |sealer, i| sealer.metadata(&format!("key {i}"), i)).seal(b"")
    };
    assert_eq!(code(with_entries(64)), "ok");
    assert_eq!(code(with_entries(65)), "TooLarge");
    assert_eq!(code(sealer.clone().metadata(&"k".repeat(64), "v".repeat(4096).as_str()).seal(b"")), "ok");
    assert_eq!(code(sealer.clone().metadata(&"k".repeat(65), 1_u64).seal(b"")), "TooLarge");
    assert_eq!(code(sealer.clone().metadata("k", "v".repeat(4097).as_str()).seal(b"")), "TooLarge");
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "a\nb",
        "a\0",
        "C:a",
        "a\u{9b}2J",
        "a.",
        "a ",
        "nul.txt",
        "COM1",
        &"n".repeat(256),
    ] {
        assert_eq!(code(sealer.clone().filename(name).seal(b"")), "Misuse", "{name:?}");
    }
    assert_eq!(code(sealer.clone().metadata("version", "7").seal(b"")), "Misuse");
    assert_eq!(code(sealer.clone().metadata("version", [7].as_slice()).seal(b"")), "Misuse");
    assert_eq!(code(sealer.clone().content_type(&"t".repeat(256)).seal(b"")), "Misuse");
    assert_eq!(code(sealer.clone().part(&"p".repeat(256)).seal(b"")), "Misuse");
    assert_eq!(code(sealer.seal_parts(&[("a", b"1"), ("a", b"2")])), "Misuse");

    for bad in [
        SealContext::new(""),
        SealContext::new(&"n".repeat(129)),
        (0..17_u64).fold(SealContext::new("n"), SealContext::field),
        SealContext::new("n").field("f".repeat(1025)),
        SealContext::new("n").field(vec![0; 1025].as_slice()),
    ] {
        assert_eq!(code(seal(b"", ALICE.recipient(), &bad)), "Misuse");
        assert_eq!(code(open(&envelope, &*ALICE, &bad)), "Misuse");
    }
    assert_eq!(code(Passphrase::new("")), "Misuse");
    assert_eq!(code(Passphrase::new(&"x".repeat(1025))), "Misuse");
    for (costs, expected) in [
        ((262_144, 10, 8), "ok"),
        ((262_145, 1, 1), "TooLarge"),
        ((64, 11, 1), "TooLarge"),
        ((1024, 1, 9), "TooLarge"),
        ((15, 1, 2), "Malformed"),
        ((64, 0, 1), "Malformed"),
        ((64, 1, 0), "Malformed"),
    ] {
        let passphrase = Passphrase::new("x").unwrap().costs(costs.0, costs.1, costs.2);
        assert_eq!(code(passphrase), expected, "{costs:?}");
    }
}

#[test]
fn contexts_parts_and_signers_are_checked() {
    let context = note("17");
    let envelope = Sealer::new(&context).to(ALICE.recipient()).sign(&BOB).part("a").seal(b"x").unwrap();
    let opener = Opener::new(&*ALICE, &context);
    assert_eq!(code(opener.clone().part("a").open(&envelope)), "ok");
    assert_eq!(code(opener.open(&envelope)), "Rejected");
    assert_eq!(code(opener.clone().part("b").open(&envelope)), "Rejected");
    for other in
        [note("18"), SealContext::new("notes"), SealContext::new("notes").field(17_u64), note("17").field("")]
    {
        assert_eq!(code(Opener::new(&*ALICE, &other).part("a").open(&envelope)), "Rejected");
        // A hostile server cannot have another row rewrapped either.
        let rewrapped = Opener::new(&*ALICE, &other).part("a").rewrap(&envelope, BOB.recipient());
        assert_eq!(code(rewrapped), "Rejected");
    }
    let expecting = |signers| opener.clone().part("a").expect(Expect::OneOf(signers)).open(&envelope);
    assert_eq!(code(expecting(vec![BOB.signer()])), "ok");
    assert_eq!(code(expecting(vec![ALICE.signer(), BOB.signer()])), "ok");
    assert_eq!(code(expecting(vec![ALICE.signer()])), "Rejected");
    assert_eq!(code(expecting(vec![])), "Rejected");
    let unsigned = Sealer::new(&context).to(ALICE.recipient()).seal(b"x").unwrap();
    assert_eq!(
        code(Opener::new(&*ALICE, &context).expect(Expect::OneOf(vec![BOB.signer()])).open(&unsigned)),
        "Rejected"
    );
    assert_eq!(code(open(&envelope, &*BOB, &context)), "NotRecipient");
}

/// Reasons why no slot opens look alike, and take the same class of time: one Argon2 each.
#[test]
fn a_passphrase_reader_is_no_oracle() {
    let context = note("oracle");
    let right = Passphrase::new("right").unwrap().costs(32 * 1024, 2, 1).unwrap();
    let envelope = seal(b"x", Recipients::new().passphrase(&right), &context).unwrap();
    let header_len = Header::parse(&envelope).unwrap().len();
    let mut altered_slot = envelope.clone();
    altered_slot[header_len - 40] ^= 1; // in ct
    let mut altered_tag = envelope.clone();
    altered_tag[header_len - 1] ^= 1;
    let timed = |envelope: &[u8], passphrase: &str| {
        let passphrase = Passphrase::new(passphrase).unwrap();
        let mut times: Vec<_> = (0..5)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(open(envelope, &passphrase, &context), Err(Error::NotRecipient));
                start.elapsed()
            })
            .collect();
        times.sort();
        times[2].as_secs_f64()
    };
    let times = [timed(&envelope, "wrong"), timed(&altered_slot, "right"), timed(&altered_tag, "right")];
    let (slowest, fastest) =
        (times.iter().copied().fold(0.0, f64::max), times.iter().copied().fold(1e9, f64::min));
    assert!(slowest < 3.0 * fastest, "{times:?}");
}

#[test]
fn kem_operations_are_bounded() {
    let context = note("budget");
    let strangers = || (0..64).fold(Recipients::new(), |to, _| to.anonymous(CAROL.recipient()));
    let envelope = seal(b"x", strangers(), &context).unwrap();
    let two =
        (0..2).fold(Keyring::default(), |ring, _| ring.and(Identity::generate_with(Kem::X25519).unwrap()));
    assert_eq!(code(open(&envelope, &two, &context)), "NotRecipient");
    let three =
        (0..3).fold(Keyring::default(), |ring, _| ring.and(Identity::generate_with(Kem::X25519).unwrap()));
    assert_eq!(code(open(&envelope, &three, &context)), "TooLarge");
}

/// A key service that turns each byte with its own number, and counts how often it is asked.
struct Counting {
    number: u8,
    calls: Arc<AtomicUsize>,
}

impl Counting {
    fn new(number: u8) -> Self {
        Self { number, calls: Arc::default() }
    }
}

impl KeyService for Counting {
    fn service(&self) -> &'static str {
        "counting"
    }

    fn wrap_key(&self, content_key: &[u8; 32], _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(content_key.iter().map(|byte| byte ^ self.number).collect())
    }

    fn unwrap_key(&self, wrapped: &[u8], _: &[u8]) -> Result<Option<Candidate>, Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let unwrapped: Vec<u8> = wrapped.iter().map(|byte| byte ^ self.number).collect();
        Ok(unwrapped.as_slice().try_into().ok().map(Candidate::from_bytes))
    }
}

#[test]
fn calls_of_a_key_service_are_bounded() {
    let context = note("bill");
    let key = SymmetricKey::from_bytes(&[7; 32]);
    let theirs = Counting::new(1);
    let to = (0..1000).fold(Recipients::new(), |to, _| to.service(&theirs)).key(&key);
    let envelope = seal(b"x", to, &context).unwrap();
    let ours = Counting::new(2);
    assert_eq!(code(open(&envelope, &ours, &context)), "TooLarge");
    assert_eq!(ours.calls.load(Ordering::Relaxed), 128);
    // What needs no call goes on.
    let calls = Arc::clone(&ours.calls);
    assert_eq!(code(open(&envelope, &Keyring::default().and(ours).and(key), &context)), "ok");
    assert_eq!(calls.load(Ordering::Relaxed), 2 * 128);
}

#[test]
fn runs_of_argon2_are_bounded() {
    let context = note("hours");
    let [one, two] = ["one", "two"].map(|text| cheap_passphrase(text).unwrap());
    let envelope = seal(b"x", Recipients::new().passphrase(&one).passphrase(&two), &context).unwrap();
    let keyring = |texts: &[&str]| {
        texts.iter().fold(Keyring::default(), |ring, text| ring.and(Passphrase::new(text).unwrap()))
    };
    assert_eq!(code(open(&envelope, &keyring(&["a", "two"]), &context)), "ok");
    assert_eq!(code(open(&envelope, &keyring(&["a", "b"]), &context)), "NotRecipient");
    assert_eq!(code(open(&envelope, &keyring(&["a", "b", "c", "one"]), &context)), "ok");
    assert_eq!(code(open(&envelope, &keyring(&["a", "b", "c", "two"]), &context)), "TooLarge");
}

/// Runs itself anew with less memory than the header claims: 256 MiB for one Argon2.
#[test]
#[cfg(target_os = "linux")]
fn too_little_memory_for_argon2_is_no_panic() {
    const NAME: &str = "too_little_memory_for_argon2_is_no_panic";
    if std::env::var_os(NAME).is_some() {
        let costly = Passphrase::new("x").unwrap().costs(256 * 1024, 1, 1).unwrap();
        let sealed = seal(b"x", Recipients::new().passphrase(&costly), &note("memory"));
        assert_eq!(sealed, Err(Error::Store(std::io::ErrorKind::OutOfMemory)));
        return;
    }
    let status = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 262144 && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--test-threads=1"])
        .env(NAME, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_keyring_goes_on_after_a_wrong_candidate() {
    let context = note("ring");
    let envelope = seal(b"x", Recipients::new().service(&Counting::new(2)), &context).unwrap();
    let both = |first, second| Keyring::default().and(Counting::new(first)).and(Counting::new(second));
    assert_eq!(code(open(&envelope, &both(2, 1), &context)), "ok");
    assert_eq!(code(open(&envelope, &both(1, 2), &context)), "ok");
    assert_eq!(code(open(&envelope, &both(1, 3), &context)), "NotRecipient");
}

#[test]
fn a_content_key_opens_its_own_envelope_only() {
    let context = note("content key");
    let [first, second] = [(); 2].map(|()| seal(b"x", ALICE.recipient(), &context).unwrap());
    let key = Header::parse(&first).unwrap().unlock(&*ALICE).unwrap();
    assert_eq!(code(open(&first, &key, &context)), "ok");
    assert_eq!(code(open(&second, &key, &context)), "NotRecipient");
    let rewrapped = rewrap(&first, &key, &context, &[BOB.recipient(), ALICE.recipient()]).unwrap();
    assert_eq!(code(open(&rewrapped, &key, &context)), "ok");
    // It would be the same for every slot, so one answer is enough.
    let answers = |envelope: &[u8]| {
        let header = Header::parse(envelope).unwrap();
        let mut budget = UnlockBudget::default();
        let requests = header.unlock_requests();
        requests.iter().filter(|request| key.unlock(request, &mut budget).unwrap().is_some()).count()
    };
    assert_eq!((answers(&first), answers(&rewrapped), answers(&second)), (1, 1, 0));
    let header = Header::parse(&second).unwrap();
    assert_eq!(code(header.content_key(Candidate::from_bytes(&[0; 32]))), "NotRecipient");
}

#[test]
fn recipients_say_what_is_wrong() {
    let text = BOB.recipient().to_string();
    let letters: Vec<usize> = (9..text.len()).step_by(97).collect();
    for at in letters {
        let wrong = if &text[at..=at] == "q" { "p" } else { "q" };
        let altered = [&text[..at], wrong, &text[at + 1..]].concat();
        let error = Recipient::parse(&altered).unwrap_err();
        assert!(error.to_string().contains("a character was changed"), "{error}");
        assert_eq!(error.code(), "InvalidKey");
    }
    assert_eq!(code(Recipient::parse(&text.to_uppercase())), "InvalidKey");
    assert_eq!(code(Recipient::parse(&format!("{text}\n"))), "InvalidKey");
    assert_eq!(code(Recipient::parse(&format!("{text}{}", "q".repeat(3000)))), "TooLarge");
    assert_eq!(code(Recipient::parse(&BOB.recipient().pin().to_string())), "InvalidKey");
    assert_eq!(code(Recipient::parse(BOB.reveal().reveal_text().unwrap())), "InvalidKey");
    for cut in 0..60 {
        assert_eq!(code(Recipient::parse(&text[..cut])), "InvalidKey");
    }
    assert_eq!(code(BOB.recipient().pin().check(BOB.recipient())), "ok");
    assert_eq!(code(BOB.recipient().pin().check(ALICE.recipient())), "InvalidKey");
}

#[test]
fn a_key_of_the_wrong_kind_is_named() {
    let recipient = BOB.recipient().to_string();
    let pin = BOB.recipient().pin().to_string();
    let secret = BOB.reveal();
    let secret = secret.reveal_text().unwrap();
    let is = |error: Error, found: &str, needed: &str| {
        assert_eq!(error.code(), "InvalidKey");
        let text = error.to_string();
        assert!(text.contains(&format!("this is {found}")), "{text}");
        assert!(text.contains(needed) && text.ends_with("is needed"), "{text}");
    };
    is(Recipient::parse(secret).unwrap_err(), "an identity (secret)", "a recipient");
    is(Recipient::parse(&pin).unwrap_err(), "a pin", "the recipient");
    is(Pin::parse(secret).unwrap_err(), "an identity (secret)", "a pin");
    is(Pin::parse(&recipient).unwrap_err(), "a recipient", "pin");
    is(Identity::parse(&recipient).unwrap_err(), "a recipient", "an identity");
    is(Identity::parse(&pin).unwrap_err(), "a pin", "an identity");
    // What somebody would paste: the lines of a file that keygen wrote, or two identities.
    for file in [format!("# recipient: {pin}\n{secret}\n"), format!("{secret}\n{secret}\n")] {
        let error = Identity::parse(&file).unwrap_err();
        assert_eq!(error.code(), "InvalidKey");
        assert!(error.to_string().contains("parse_file"), "{error}");
    }
    assert!(Identity::parse(&format!("{secret}\n")).unwrap_err().to_string().contains("trim it"));
}

#[test]
fn signers_have_one_text() {
    let signer = BOB.signer();
    // RFC 8032 §7.1, test 1.
    let rfc = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(Signer::parse(rfc).unwrap().as_bytes()[..4], [0xd7, 0x5a, 0x98, 0x01]);
    assert_eq!(Signer::parse(rfc).unwrap().to_string(), rfc);
    assert_eq!(Signer::parse(&signer.to_string()).unwrap(), signer);
    for wrong in [&rfc.to_uppercase(), &rfc[1..], &format!("{rfc}0"), &rfc.replace("d75", "+75"), "", "é"] {
        assert_eq!(code(Signer::parse(wrong)), "InvalidKey", "{wrong}");
    }
    assert_eq!(code(Signer::parse(&"0".repeat(64))), "InvalidKey");
}

#[test]
fn the_text_form_is_told_from_bytes() {
    let context = note("text");
    let envelope = seal(b"hello", CAROL.recipient(), &context).unwrap();
    let text = to_text(&envelope);
    let error = open(text.as_bytes(), &*CAROL, &context).unwrap_err();
    assert_eq!(error, Error::Malformed(&"this is the text form: from_text first"));
    for wrong in [format!("{text}\n"), format!("{text}="), text.replace('c', "+")] {
        let error = from_text(&wrong).unwrap_err();
        assert_eq!(error.code(), "Malformed");
        assert!(error.to_string().contains("no white space, no =, - and _ instead of + and /"), "{error}");
    }
}

#[test]
fn a_field_is_what_it_holds() {
    let name = String::from("17");
    let text = [note("").field("17"), note("").field(&name), note("").field(name.clone())];
    let bytes = [
        note("").field(&b"17"[..]),
        note("").field(b"17"),
        note("").field(*b"17"),
        note("").field(b"17".to_vec()),
    ];
    assert!(text.iter().all(|context| *context == text[0]));
    assert!(bytes.iter().all(|context| *context == bytes[0]));
    let number = note("").field(17_u64);
    let [text, bytes, number] =
        [&text[0], &bytes[0], &number].map(|context| seal(b"x", CAROL.recipient(), context).unwrap());
    let as_text = note("").field(&name);
    assert_eq!(code(open(&text, &*CAROL, &as_text)), "ok");
    assert_eq!(code(open(&bytes, &*CAROL, &as_text)), "Rejected");
    assert_eq!(code(open(&number, &*CAROL, &as_text)), "Rejected");
}

#[test]
fn identity_files_are_bounded() {
    let line = CAROL.reveal();
    let line = line.reveal_text().unwrap();
    assert_eq!(Identity::parse_file(&format!("# me\n\n  {line}  \n")).unwrap().len(), 1);
    assert_eq!(code(Identity::parse_file("# nobody\n")), "Malformed");
    assert_eq!(code(Identity::parse_file(&format!("{line}\n").repeat(64))), "ok");
    assert_eq!(code(Identity::parse_file(&format!("{line}\n").repeat(65))), "TooLarge");
    assert_eq!(code(Identity::parse_file(&"#".repeat(64 * 1024 + 1))), "TooLarge");
    assert_eq!(code(Identity::parse_file(&line.replace('1', "2"))), "InvalidKey");
}

#[test]
fn detached_parts_do_not_mix() {
    let context = note("parts");
    let sealer = Sealer::new(&context).to(ALICE.recipient());
    let SealedParts { header, bodies, .. } =
        sealer.seal_parts(&[("title", b"T"), ("text", b"body")]).unwrap();
    let read = |part, body: &[u8]| Opener::new(&*ALICE, &context).part(part).open_detached(&header, body);
    assert_eq!(read("title", &bodies[0]).unwrap().plaintext, b"T");
    assert_eq!(read("text", &bodies[1]).unwrap().plaintext, b"body");
    assert_eq!(code(read("title", &bodies[1])), "Rejected");
    let trailing = [header.as_slice(), &[0]].concat();
    let opener = Opener::new(&*ALICE, &context).part("title");
    assert_eq!(code(opener.open_detached(&trailing, &bodies[0])), "Malformed");
    for len in 0..bodies[0].len() {
        assert!(["Truncated", "Rejected"].contains(&code(read("title", &bodies[0][..len]))));
    }
    assert_eq!(code(opener.rewrap_header(&header, &bodies[0][..55], BOB.recipient())), "Truncated");
    assert_eq!(code(opener.rewrap_header(&header, &bodies[1][..56], BOB.recipient())), "Rejected");
    assert_eq!(code(opener.rewrap_header(&header, &bodies[0][..56], BOB.recipient())), "ok");
}

#[test]
fn metadata_is_a_map_by_key() {
    let mut metadata = Metadata::default();
    metadata.insert("b", 1_u64);
    metadata.insert("a", "x");
    metadata.insert("b", 2_u64);
    let entries: Vec<_> = metadata.iter().map(|(key, _)| key).collect();
    assert_eq!(entries, ["a", "b"]);
}
