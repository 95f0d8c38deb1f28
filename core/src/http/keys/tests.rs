//! Key documents that are signed as they should be and say what they should not: from a service that lies, or from a later version.

use super::{
    CLOCK_SKEW, MAX_KEY_LIFETIME, MAX_WRITTEN_HEAD, MAX_WRITTEN_KEY, ServiceKeys, ServicePins, TrustedKeys,
    signed,
};
use crate::cbor::Writer;
use crate::error::Result;
use crate::http::{LastSeen, Origin};
use crate::identity::Identity;
use crate::store::MemoryStore;
use crate::suite::{Aead, Kem};
use std::sync::Arc;

const NOW: u64 = 1_700_000_000;
const DAY: u64 = 24 * 3600;

/// The parts of a body, each encoded, by their keys.
type Parts = Vec<(i64, Vec<u8>)>;

struct Service {
    identity: Identity,
    keys: ServiceKeys,
}

fn uint(n: u64) -> Vec<u8> {
    Writer::default().uint(n).done()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().fold(Writer::default().array(texts.len()), |list, text| list.text(text)).done()
}

/// An encoded map, in the order that is given.
fn map(parts: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let map = Writer::default().map(parts.len());
    parts.iter().fold(map, |map, (key, value)| map.int(*key).encoded(value)).done()
}

impl Service {
    fn new() -> Self {
        let identity = Identity::generate_with(Kem::X25519).unwrap();
        Self { identity, keys: ServiceKeys::generate_with(Kem::X25519, Aead::Aes256Gcm, DAY, NOW).unwrap() }
    }

    /// What an honest body has.
    fn parts(&self) -> Parts {
        let list = Writer::default().bytes(&self.keys.ohttp_keys(NOW)).done();
        vec![
            (0, texts(&["https://api.example.com"])),
            (1, uint(NOW)),
            (2, uint(NOW)),
            (3, uint(NOW + DAY)),
            (4, list),
        ]
    }

    /// The document of any body, signed.
    fn document(&self, body: &[u8]) -> Vec<u8> {
        map(&self.outer(body))
    }

    fn outer(&self, body: &[u8]) -> Parts {
        let bytes = |bytes: &[u8]| Writer::default().bytes(bytes).done();
        let signature = self.identity.signing.sign(&signed(body));
        vec![(0, bytes(&self.identity.recipient().to_bytes())), (1, bytes(body)), (2, bytes(&signature))]
    }

    fn verify(&self, document: &[u8]) -> &'static str {
        let seen = LastSeen::in_store(MemoryStore::default());
        let pins = ServicePins::new([self.identity.recipient().pin()]);
        let origin = Origin::parse("https://api.example.com").unwrap();
        code(TrustedKeys::verify(document, &origin, &pins, &seen, NOW))
    }

    /// The code for an honest body after `change`.
    fn changed(&self, change: impl FnOnce(&mut Parts)) -> &'static str {
        let mut parts = self.parts();
        change(&mut parts);
        self.verify(&self.document(&map(&parts)))
    }
}

fn code<T>(result: Result<T>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

#[test]
fn an_honest_body_is_what_a_service_writes() {
    let service = Service::new();
    let origins = [Origin::parse("https://api.example.com").unwrap()];
    let written = service.keys.document(&service.identity, &origins, &[], NOW).unwrap();
    assert_eq!(service.document(&map(&service.parts())), written);
    assert_eq!(service.verify(&written), "ok");
}

#[test]
fn values_of_a_body() {
    let service = Service::new();
    let pins = |count: usize, len: usize| {
        (0..count).fold(Writer::default().array(count), |list, _| list.bytes(&vec![7; len])).done()
    };
    let bytes = |bytes: &[u8]| Writer::default().bytes(bytes).done();
    for (what, key, value, expected) in [
        ("other origins", 0, texts(&["https://a.example.com", "https://b.example.com"]), "Rejected"),
        ("more origins", 0, texts(&["https://a.example.com", "https://api.example.com"]), "ok"),
        ("no origin", 0, texts(&[]), "Malformed"),
        ("17 origins", 0, texts(&["https://api.example.com"; 17]), "TooLarge"),
        ("an origin in upper case", 0, texts(&["https://API.example.com"]), "Rejected"),
        ("an origin with a slash", 0, texts(&["https://api.example.com/"]), "Rejected"),
        ("an origin that is a number", 0, uint(1), "Malformed"),
        ("a serial that is text", 1, texts(&[]), "Malformed"),
        ("issued in the future", 2, uint(NOW + CLOCK_SKEW + 1), "Expired"),
        ("issued soon", 2, uint(NOW + CLOCK_SKEW), "ok"),
        ("expired", 3, uint(NOW), "Expired"),
        ("7 days", 3, uint(NOW + MAX_KEY_LIFETIME), "ok"),
        ("more than 7 days", 3, uint(NOW + MAX_KEY_LIFETIME + 1), "Malformed"),
        ("for ever", 3, uint(u64::MAX), "Malformed"),
        ("no keys", 4, bytes(&[]), "Unsupported"),
        ("broken keys", 4, bytes(&[0, 9, 1]), "Malformed"),
        ("a next pin", 5, pins(1, 32), "ok"),
        ("8 next pins", 5, pins(8, 32), "ok"),
        ("9 next pins", 5, pins(9, 32), "TooLarge"),
        ("no next pin", 5, pins(0, 32), "Malformed"),
        ("a short next pin", 5, pins(1, 31), "Malformed"),
        ("a critical key of a later version", 6, uint(1), "Unsupported"),
    ] {
        let found = service.changed(|parts| {
            parts.retain(|(found, _)| *found != key);
            parts.push((key, value));
            parts.sort_by_key(|(key, _)| *key);
        });
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn keys_of_a_body() {
    let service = Service::new();
    for missing in 0..=4 {
        assert_eq!(service.changed(|parts| drop(parts.remove(missing))), "Malformed", "{missing}");
    }
    assert_eq!(service.changed(|parts| parts.push((-1, uint(1)))), "ok", "ignorable");
    assert_eq!(service.changed(|parts| parts.push((4, uint(1)))), "Malformed", "twice");
    assert_eq!(service.changed(|parts| parts.swap(1, 2)), "Malformed", "in another order");
    let body = map(&service.parts());
    for other in [&[][..], &[0x80], &body[..body.len() - 1], &[body.as_slice(), &[0]].concat()] {
        assert_eq!(service.verify(&service.document(other)), "Malformed");
    }
    // A number that is not the shortest: the serial's 4 bytes in 8.
    let long = [&[0x1b, 0, 0, 0, 0][..], &u32::try_from(NOW).unwrap().to_be_bytes()].concat();
    assert_eq!(service.changed(|parts| parts[1].1 = long), "Malformed");
}

#[test]
fn keys_around_a_body() {
    let service = Service::new();
    let outer = service.outer(&map(&service.parts()));
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = outer.clone();
        change(&mut parts);
        service.verify(&map(&parts))
    };
    assert_eq!(with(&|parts| parts.push((3, uint(1)))), "Unsupported");
    assert_eq!(with(&|parts| parts.push((-1, uint(1)))), "ok");
    assert_eq!(with(&|parts| parts.push((2, uint(1)))), "Malformed");
    for missing in 0..3 {
        assert_eq!(with(&|parts| drop(parts.remove(missing))), "Malformed");
    }
    assert_eq!(with(&|parts| parts[2].1 = Writer::default().bytes(&[0; 63]).done()), "Malformed");
}

/// A signature is good for key documents alone, and over all of the label.
#[test]
fn a_signature_without_its_label() {
    let service = Service::new();
    let body = map(&service.parts());
    let mut outer = service.outer(&body);
    outer[2].1 = Writer::default().bytes(&service.identity.signing.sign(&body)).done();
    assert_eq!(service.verify(&map(&outer)), "Rejected");
}

/// The body of one service under another's name: the signer is not who signed.
#[test]
fn somebody_elses_body() {
    let (service, other) = (Service::new(), Service::new());
    let mut outer = service.outer(&map(&service.parts()));
    outer[0] = other.outer(&[])[0].clone();
    let document = map(&outer);
    assert_eq!((service.verify(&document), other.verify(&document)), ("Rejected", "Rejected"));
}

/// A `Vec` that grew would have left private keys behind it.
#[test]
fn what_is_saved_is_written_once() {
    let mut keys = ServiceKeys::generate_with(Kem::XWing, Aead::Aes256Gcm, 9, NOW).unwrap();
    (1..16).try_for_each(|_| keys.rotate(NOW)).unwrap();
    for key in keys.keys.iter_mut().map(|key| Arc::get_mut(key).unwrap()) {
        (key.id, key.serial, key.from, key.expires) = (255, u64::MAX, u64::MAX, u64::MAX);
    }
    (keys.serial, keys.last_id) = (u64::MAX, 255);
    let written = keys.write(NOW);
    let max = MAX_WRITTEN_HEAD + 16 * MAX_WRITTEN_KEY;
    assert_eq!((written.len(), written.capacity()), (max, max));
}
