#![no_main]
//! Any bytes as a key document or a list of configurations, and a real one with something else in its middle.
use sealwire::http::{KeyConfig, LastSeen, Origin, ServicePins, TrustedKeys};
use sealwire::{Identity, Kem, MemoryStore};
use sealwire_fuzz::NOW;
use std::sync::LazyLock;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate_with(Kem::X25519).unwrap());
static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin::parse("https://a.b").unwrap());
static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let pin = IDENTITY.recipient().pin();
    let origins = [ORIGIN.clone()];
    sealwire_fuzz::service().with_keys(|keys| keys.document(&IDENTITY, &origins, &[pin], NOW)).unwrap()
});

libfuzzer_sys::fuzz_target!(|input: (u16, u8, &[u8])| {
    let (at, cut, bytes) = input;
    let verify = |document: &[u8], pins| {
        TrustedKeys::verify(document, &ORIGIN, &pins, &LastSeen::in_store(MemoryStore::default()), NOW)
    };
    drop(KeyConfig::parse_list(bytes));
    drop(verify(bytes, ServicePins::trust_on_first_use()));
    let at = usize::from(at) % (DOCUMENT.len() + 1);
    let after = (at + usize::from(cut)).min(DOCUMENT.len());
    let forged = [&DOCUMENT[..at], bytes, &DOCUMENT[after..]].concat();
    let pins = ServicePins::new([IDENTITY.recipient().pin()]);
    assert_eq!(verify(&forged, pins).is_ok(), forged == *DOCUMENT);
});
