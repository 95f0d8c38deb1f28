//! A service's keys: what it keeps and publishes, what a client believes of that, and which requests were seen before.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use sealwire::http::{KEY_ROLLOUT, KeyConfig, LastSeen, ServiceKeys, ServicePins, TrustedKeys};
use sealwire::{Aead, Error, Identity, Kem, MemoryStore, Pin};
use sealwire_tests::exchanges::{DAY, NOW, origin};

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

fn x25519(now: u64) -> ServiceKeys {
    ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, DAY, now).unwrap()
}

fn pin(identity: &Identity) -> Pin {
    identity.recipient().pin()
}

fn pinned(identity: &Identity) -> ServicePins {
    ServicePins::new([pin(identity)])
}

fn seen() -> LastSeen {
    LastSeen::in_store(MemoryStore::default())
}

fn document(keys: &ServiceKeys, signer: &Identity, next: &[Pin], now: u64) -> Vec<u8> {
    keys.document(signer, &[origin().unwrap()], next, now).unwrap()
}

fn verify(document: &[u8], pins: &ServicePins, seen: &LastSeen, now: u64) -> Result<(), Error> {
    key_id(document, pins, seen, now).map(drop)
}

/// Which key a client takes from a document.
fn key_id(document: &[u8], pins: &ServicePins, seen: &LastSeen, now: u64) -> Result<u8, Error> {
    TrustedKeys::verify(document, &origin()?, pins, seen, now)?.config(now).map(KeyConfig::id)
}

mod kept {
    use super::{DAY, Error, KEY_ROLLOUT, NOW, code, origin, x25519};
    use sealwire::http::{ExchangeService, KeyConfig, MAX_KEY_LIFETIME, SealedRequest, ServiceKeys};
    use sealwire::{Aead, FileStore, Kem, MemoryStore, SecretBytes, SecretStore, SymmetricKey};
    use sealwire_tests::exchanges::{in_place, receive_pieces, request, seal};

    fn newest(keys: &ServiceKeys, now: u64) -> Result<u8, Error> {
        KeyConfig::parse_list(&keys.ohttp_keys(now)).map(|config| config.id())
    }

    /// The ids that come after that of the first key, which is random.
    fn ids_after(keys: &ServiceKeys) -> impl Fn(u8) -> u8 + use<> {
        let first = newest(keys, NOW).unwrap();
        move |n| first.wrapping_add(n)
    }

    #[test]
    fn milliseconds_are_no_time() {
        let keys = |now| ServiceKeys::generate(now).map(drop);
        assert_eq!(keys(NOW), Ok(()));
        assert_eq!(keys(32_503_679_999), Ok(()), "the last second of the year 2999");
        for now in [32_503_680_000, NOW * 1000, u64::MAX] {
            assert_eq!(code(keys(now)), "Misuse");
            assert_eq!(code(ServiceKeys::generate(NOW).unwrap().rotate(now)), "Misuse");
        }
    }

    #[test]
    fn saved_keys_are_the_same_and_ids_go_on() {
        let store = MemoryStore::default();
        assert!(ServiceKeys::load(&store, "service", NOW).unwrap().is_none());
        let mut keys = x25519(NOW);
        let nth = ids_after(&keys);
        keys.rotate_with(Kem::XWing, Aead::Aes256Gcm, DAY, NOW).unwrap();
        keys.save(&store, "service", NOW).unwrap();
        let mut loaded = ServiceKeys::load(&store, "service", NOW).unwrap().unwrap();
        for (now, id) in [(NOW, nth(0)), (NOW + KEY_ROLLOUT, nth(1))] {
            assert_eq!(loaded.ohttp_keys(now), keys.ohttp_keys(now));
            assert_eq!((newest(&loaded, now), loaded.expires(now)), (Ok(id), keys.expires(now)));
        }
        loaded.rotate(NOW + 2).unwrap();
        assert_eq!(newest(&loaded, NOW + 2 + KEY_ROLLOUT), Ok(nth(2)));
        // Also when every key has expired in between.
        let later = NOW + 100 * DAY;
        loaded.forget_expired(later);
        assert_eq!(code(newest(&loaded, later)), "Unsupported");
        loaded.rotate(later).unwrap();
        assert_eq!(newest(&loaded, later), Ok(nth(3)));
    }

    #[test]
    fn what_was_kept_is_service_keys_or_nothing() {
        let store = MemoryStore::default();
        let keys = x25519(NOW);
        keys.save(&store, "service", NOW).unwrap();
        let saved = store.load("service").unwrap().unwrap().reveal().to_vec();
        for len in 0..saved.len() {
            store.save("service", &SecretBytes::new(saved[..len].to_vec())).unwrap();
            assert_eq!(code(ServiceKeys::load(&store, "service", NOW)), "Malformed", "{len}");
        }
    }

    #[test]
    fn older_keys_do_not_replace_newer_ones() {
        let store = MemoryStore::default();
        let mut keys = x25519(NOW);
        keys.save(&store, "service", NOW).unwrap();
        let load = || ServiceKeys::load(&store, "service", NOW).unwrap().unwrap();
        let (older, mut other) = (load(), load());
        keys.rotate(NOW + 1).unwrap();
        keys.save(&store, "service", NOW + 1).unwrap();
        // Again, and when some have expired, too.
        for now in [NOW + 1, NOW + DAY, NOW + 100 * DAY] {
            keys.save(&store, "service", now).unwrap();
            assert_eq!(code(older.save(&store, "service", now)), "Misuse");
        }
        // Of two that were made in one second the first to be saved stays.
        other.rotate(NOW + 1).unwrap();
        let store = MemoryStore::default();
        keys.save(&store, "service", NOW + 1).unwrap();
        assert_eq!(code(other.save(&store, "service", NOW + 1)), "Misuse");
        // What was made anew, because the old ones were stolen, is newer.
        let anew = x25519(NOW + 2);
        anew.save(&store, "service", NOW + 2).unwrap();
        assert_eq!(code(keys.save(&store, "service", NOW + 2)), "Misuse");
        // What is no keys is not replaced either.
        store.save("service", &SecretBytes::new(b"something else".to_vec())).unwrap();
        assert_eq!(code(keys.save(&store, "service", NOW + 2)), "Malformed");
    }

    #[test]
    fn who_loads_while_others_save_finds_whole_keys() {
        let folder = tempfile::tempdir().unwrap();
        let store = || FileStore::with_key(folder.path(), SymmetricKey::from_bytes(&[7; 32]));
        let (first, second) = (x25519(NOW), x25519(NOW + 1));
        second.save(&store(), "service", NOW + 1).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        second.save(&store(), "service", NOW + 1).unwrap();
                        assert_eq!(code(first.save(&store(), "service", NOW + 1)), "Misuse");
                    }
                });
            }
        });
        let saved = ServiceKeys::load(&store(), "service", NOW + 1).unwrap().unwrap();
        assert_eq!(saved.ohttp_keys(NOW + 1), second.ohttp_keys(NOW + 1));
    }

    #[test]
    fn expired_keys_are_neither_saved_nor_loaded() {
        let (ours, theirs) = (MemoryStore::default(), MemoryStore::default());
        let mut keys = x25519(NOW);
        keys.rotate(NOW).unwrap();
        keys.save(&ours, "service", NOW + DAY - 1).unwrap();
        keys.save(&theirs, "service", NOW + DAY).unwrap();
        let len = |store: &MemoryStore| store.load("service").unwrap().unwrap().reveal().len();
        assert!(len(&theirs) + 32 < len(&ours));
        let loaded = |now| ServiceKeys::load(&ours, "service", now).unwrap().unwrap();
        assert_eq!(format!("{:?}", loaded(NOW + DAY)), format!("ServiceKeys([{}])", ids_after(&keys)(1)));
        assert_eq!((loaded(NOW + DAY).has_expired(NOW + DAY), keys.has_expired(NOW + DAY)), (false, true));
        assert!(!keys.has_expired(NOW + DAY - 1));
        keys.forget_expired(NOW + DAY);
        assert!(!keys.has_expired(NOW + DAY));
    }

    /// A service that was down for long makes new ones, as its first start did.
    #[test]
    fn of_keys_that_have_all_expired_nothing_is_loaded_and_new_ones_take_their_place() {
        let store = MemoryStore::default();
        x25519(NOW).save(&store, "service", NOW).unwrap();
        assert!(ServiceKeys::load(&store, "service", NOW + DAY - 1).unwrap().is_some());
        assert!(ServiceKeys::load(&store, "service", NOW + DAY).unwrap().is_none());
        x25519(NOW + DAY).save(&store, "service", NOW + DAY).unwrap();
        assert!(ServiceKeys::load(&store, "service", NOW + DAY).unwrap().is_some());
        // A clock that was set back does not make the older ones newer.
        assert_eq!(code(x25519(NOW).save(&store, "service", NOW)), "Misuse");
    }

    /// Until it is published, other processes have time to load it; then each of them has it.
    #[test]
    fn a_new_key_is_understood_before_it_is_published() {
        let keys = x25519(NOW);
        let nth = ids_after(&keys);
        let service = ExchangeService::new(origin().unwrap(), keys);
        service.change_keys(|keys| keys.rotate(NOW)).unwrap();
        let at = |now| service.with_keys(|keys| newest(keys, now));
        assert_eq!((at(NOW), at(NOW + KEY_ROLLOUT - 1)), (Ok(nth(0)), Ok(nth(0))));
        assert_eq!(at(NOW + KEY_ROLLOUT), Ok(nth(1)));
        // As a client would of a process whose clock is ahead.
        let store = MemoryStore::default();
        service.with_keys(|keys| keys.save(&store, "service", NOW + DAY)).unwrap();
        let newer = ServiceKeys::load(&store, "service", NOW + DAY).unwrap().unwrap();
        let newer = ExchangeService::new(origin().unwrap(), newer);
        let (sealed, _) = seal(&newer, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
        let found = receive_pieces(&service, &sealed.head, &sealed.body, 99, NOW);
        assert_eq!(found.map(|(arrived, _)| arrived.key_id()), Ok(nth(1)));
    }

    #[test]
    fn when_a_new_key_is_published() {
        let published = |keys: &ServiceKeys, now| (newest(keys, now).unwrap(), keys.ohttp_keys(now).len());
        let (x25519_len, both_len) = (43, 43 + 1227);
        // No later than the one that it replaces ends.
        let mut keys = x25519(NOW);
        let nth = ids_after(&keys);
        keys.rotate(NOW + DAY - 10).unwrap();
        assert_eq!(newest(&keys, NOW + DAY - 1), Ok(nth(0)));
        assert_eq!(newest(&keys, NOW + DAY), Ok(nth(1)));
        // The first one of another KEM waits, too: a process that does not have it yet could not read what is sealed to it.
        keys.rotate_with(Kem::XWing, Aead::Aes256Gcm, DAY, NOW + DAY).unwrap();
        assert_eq!(published(&keys, NOW + DAY), (nth(1), x25519_len));
        assert_eq!(published(&keys, NOW + DAY + KEY_ROLLOUT), (nth(2), both_len));
        // Its own end is that much later, so that it is published for its whole life.
        assert_eq!(keys.expires(NOW + DAY + KEY_ROLLOUT), Some(NOW + 2 * DAY + KEY_ROLLOUT));
    }

    #[test]
    fn rotation_keeps_the_old_keys_until_they_expire() {
        let keys = x25519(NOW);
        let nth = ids_after(&keys);
        let service = ExchangeService::new(origin().unwrap(), keys);
        let (old, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
        service
            .change_keys(|keys| keys.rotate_with(Kem::X25519, Aead::Aes256Gcm, 7 * DAY, NOW - KEY_ROLLOUT))
            .unwrap();
        let (new, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
        let service = service.window(DAY);
        let found = |sealed: &SealedRequest, now| {
            receive_pieces(&service, &sealed.head, &sealed.body, 99, now).map(|(arrived, _)| arrived.key_id())
        };
        assert_eq!((found(&old, NOW + DAY - 1), found(&new, NOW + DAY - 1)), (Ok(nth(0)), Ok(nth(1))));
        // At its expiry, to the second, and without anybody having swept it.
        assert_eq!((code(found(&old, NOW + DAY)), found(&new, NOW + DAY)), ("InvalidKey", Ok(nth(1))));
        service.change_keys(|keys| keys.forget_expired(NOW + DAY));
        assert_eq!(code(found(&old, NOW)), "InvalidKey");
    }

    #[test]
    fn lifetimes_and_numbers_of_keys() {
        for (lifetime, expected) in
            [(0, "Misuse"), (1, "ok"), (MAX_KEY_LIFETIME, "ok"), (MAX_KEY_LIFETIME + 1, "Misuse")]
        {
            let keys = ServiceKeys::generate_with(Kem::X25519, Aead::Aes256Gcm, lifetime, NOW);
            assert_eq!(code(keys), expected, "{lifetime}");
        }
        let mut keys = x25519(NOW);
        (1..16).try_for_each(|_| keys.rotate(NOW)).unwrap();
        assert_eq!(code(keys.rotate(NOW)), "TooLarge");
        assert_eq!(code(keys.rotate(NOW + DAY)), "ok", "the first one has made room");
    }

    /// A key that lives long while 256 short-lived ones come and go keeps its id for itself.
    #[test]
    fn an_id_is_not_in_use_twice() {
        let mut keys = ServiceKeys::generate_with(Kem::X25519, Aead::Aes256Gcm, 7 * DAY, NOW).unwrap();
        let first = newest(&keys, NOW).unwrap();
        for step in 1..=260 {
            // Each comes when the one before it has gone.
            let now = NOW + step - KEY_ROLLOUT;
            keys.forget_expired(now + KEY_ROLLOUT);
            keys.rotate_with(Kem::X25519, Aead::Aes256Gcm, 1, now).unwrap();
            let newest = newest(&keys, NOW + step).unwrap();
            assert!(newest != first);
            assert_eq!(format!("{keys:?}"), format!("ServiceKeys([{newest}, {first}])"));
        }
    }

    #[test]
    fn lists_of_configurations() {
        let keys = x25519(NOW);
        let (list, id) = (keys.ohttp_keys(NOW), newest(&keys, NOW).unwrap());
        let unknown_kem = [&[0, 11, 9, 0x77, 0x77][..], &[0; 8]].concat();
        let parse = |bytes: &[u8]| KeyConfig::parse_list(bytes).map(|config| config.id());
        assert_eq!(parse(&[unknown_kem.clone(), list.clone()].concat()), Ok(id));
        assert_eq!(code(parse(&unknown_kem)), "Unsupported");
        assert_eq!(code(parse(b"")), "Unsupported");
        assert_eq!(code(parse(&list.repeat(16))), "ok");
        assert_eq!(code(parse(&list.repeat(17))), "TooLarge");
        assert_eq!(code(parse(&vec![0; 65_537])), "TooLarge");
        for len in 1..list.len() {
            assert_eq!(code(parse(&list[..len])), "Malformed", "{len}");
        }
        // Key of small order; an unknown AEAD; an unknown KDF; no suite; lengths that disagree.
        for (at, with, expected) in [
            (5, [0; 32].to_vec(), "InvalidKey"),
            (41, vec![9, 9], "Unsupported"),
            (39, vec![0, 2], "Unsupported"),
            (37, vec![0, 0], "Malformed"),
            (37, vec![0, 8], "Malformed"),
            (1, vec![40], "Malformed"),
        ] {
            let mut changed = list.clone();
            changed.splice(at..at + with.len(), with);
            assert_eq!(code(parse(&changed)), expected, "{at}");
        }
    }
}

mod published {
    use super::{
        DAY, LastSeen, MemoryStore, NOW, ServicePins, TrustedKeys, code, document, key_id, origin, pin,
        pinned, seen, verify, x25519,
    };
    use sealwire::http::{KEY_ROLLOUT, Origin, ServiceKeys};
    use sealwire::{Aead, Error, Kem, SecretBytes, SecretStore};
    use sealwire_tests::people::{ALICE, BOB, CAROL};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn a_document_is_believed_for_its_signer_origin_and_time() {
        let document = document(&x25519(NOW), &ALICE, &[], NOW);
        let verify = |pins, now| verify(&document, &pins, &seen(), now);
        assert_eq!(verify(pinned(&ALICE), NOW), Ok(()));
        assert_eq!(verify(ServicePins::new([pin(&BOB), pin(&ALICE)]), NOW), Ok(()));
        assert_eq!(code(verify(pinned(&BOB), NOW)), "Rejected");
        assert_eq!(code(verify(ServicePins::new([]), NOW)), "Rejected");
        for (now, expected) in [
            (NOW - 301, "Expired"),
            (NOW - 300, "ok"),
            (NOW + DAY - 1, "ok"),
            (NOW + DAY, "Expired"),
            (u64::MAX, "Expired"),
        ] {
            assert_eq!(code(verify(pinned(&ALICE), now)), expected, "{now}");
        }
        for origin in ["https://api.example.org", "http://api.example.com", "https://api.example.com:8443"] {
            let origin = Origin::parse(origin).unwrap();
            let found = TrustedKeys::verify(&document, &origin, &pinned(&ALICE), &seen(), NOW);
            assert_eq!(code(found), "Rejected");
        }
    }

    #[test]
    fn believed_keys_end_with_their_document() {
        let document = document(&x25519(NOW), &ALICE, &[], NOW);
        let trusted =
            TrustedKeys::verify(&document, &origin().unwrap(), &pinned(&ALICE), &seen(), NOW).unwrap();
        assert_eq!(code(trusted.config(NOW + DAY - 1)), "ok");
        assert_eq!(code(trusted.config(NOW + DAY)), "Expired");
    }

    #[test]
    fn an_older_document_is_not_taken_back() {
        let mut keys = x25519(NOW);
        let first = document(&keys, &ALICE, &[], NOW);
        keys.rotate(NOW + 10 - KEY_ROLLOUT).unwrap();
        let second = document(&keys, &ALICE, &[], NOW + 10);
        let (pins, seen) = (pinned(&ALICE), seen());
        assert_eq!(verify(&first, &pins, &seen, NOW + 10), Ok(()));
        assert_eq!(verify(&first, &pins, &seen, NOW + 10), Ok(()));
        assert_eq!(verify(&second, &pins, &seen, NOW + 10), Ok(()));
        assert_eq!(code(verify(&first, &pins, &seen, NOW + 10)), "Rejected");
        assert_eq!(verify(&second, &pins, &seen, NOW + 10), Ok(()));
        // Two rotations within a second are in order, too.
        keys.rotate(NOW + 10 - KEY_ROLLOUT).unwrap();
        let third = document(&keys, &ALICE, &[], NOW + 10);
        assert_eq!(verify(&third, &pins, &seen, NOW + 10), Ok(()));
        assert_eq!(code(verify(&second, &pins, &seen, NOW + 10)), "Rejected");
    }

    /// A document of a stranger leaves nothing behind.
    #[test]
    fn what_is_refused_is_not_remembered() {
        let (pins, seen) = (pinned(&ALICE), seen());
        let forged = document(&x25519(NOW + 200), &BOB, &[pin(&BOB)], NOW);
        assert_eq!(code(verify(&forged, &pins, &seen, NOW)), "Rejected");
        assert_eq!(verify(&document(&x25519(NOW), &ALICE, &[], NOW), &pins, &seen, NOW), Ok(()));
        assert_eq!(code(verify(&forged, &pins, &seen, NOW)), "Rejected");
    }

    #[test]
    fn next_pins_carry_over_to_the_next_identity() {
        let (pins, seen) = (pinned(&ALICE), seen());
        let by = |signer, next: &[_], now| document(&x25519(now), signer, next, now);
        assert_eq!(code(verify(&by(&BOB, &[], NOW), &pins, &seen, NOW)), "Rejected");
        assert_eq!(code(verify(&by(&ALICE, &[pin(&BOB)], NOW), &pins, &seen, NOW)), "ok");
        assert_eq!(code(verify(&by(&BOB, &[], NOW + 1), &pins, &seen, NOW + 1)), "ok");
        assert_eq!(code(verify(&by(&CAROL, &[], NOW + 2), &pins, &seen, NOW + 2)), "Rejected");
        // And on, from the next to the one after it.
        assert_eq!(code(verify(&by(&BOB, &[pin(&CAROL)], NOW + 3), &pins, &seen, NOW + 3)), "ok");
        assert_eq!(code(verify(&by(&CAROL, &[], NOW + 4), &pins, &seen, NOW + 4)), "ok");
        // What was learned belongs to that origin.
        let other = Origin::parse("https://other.example.com").unwrap();
        let for_other = x25519(NOW).document(&BOB, std::slice::from_ref(&other), &[], NOW).unwrap();
        assert_eq!(code(TrustedKeys::verify(&for_other, &other, &pins, &seen, NOW)), "Rejected");
    }

    /// A store in which saving learned pins takes a while, and whoever else wants to gets in between.
    #[derive(Default)]
    struct Slow(MemoryStore, AtomicUsize);

    impl SecretStore for Slow {
        fn save(&self, name: &str, secret: &SecretBytes) -> Result<(), Error> {
            if name.starts_with("pins.") && self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(200));
            }
            self.0.save(name, secret)
        }

        fn load(&self, name: &str) -> Result<Option<SecretBytes>, Error> {
            self.0.load(name)
        }

        fn delete(&self, name: &str) -> Result<(), Error> {
            self.0.delete(name)
        }
    }

    #[test]
    fn a_withdrawn_pin_does_not_come_back_by_a_race() {
        let keys = x25519(NOW);
        let named = document(&keys, &ALICE, &[pin(&BOB)], NOW);
        let withdrawn = document(&keys, &ALICE, &[], NOW + 10);
        let forged = document(&x25519(NOW + 20), &BOB, &[], NOW + 20);
        let (pins, seen) = (pinned(&ALICE), LastSeen::in_store(Slow::default()));
        std::thread::scope(|scope| {
            scope.spawn(|| verify(&named, &pins, &seen, NOW + 20).unwrap());
            std::thread::sleep(Duration::from_millis(50));
            verify(&withdrawn, &pins, &seen, NOW + 20).unwrap();
        });
        assert_eq!(verify(&forged, &pins, &seen, NOW + 20), Err(Error::Rejected));
    }

    #[test]
    fn a_next_pin_is_withdrawn_by_the_apps_own_identity() {
        let (pins, seen) = (pinned(&ALICE), seen());
        let keys = x25519(NOW);
        let by = |signer, next: &[_], now| verify(&document(&keys, signer, next, now), &pins, &seen, NOW + 9);
        assert_eq!(code(by(&ALICE, &[pin(&BOB)], NOW + 1)), "ok");
        assert_eq!(code(by(&BOB, &[], NOW + 2)), "ok", "who was named takes nothing away");
        assert_eq!(code(by(&BOB, &[], NOW + 2)), "ok");
        assert_eq!(code(by(&ALICE, &[], NOW + 3)), "ok");
        assert_eq!(code(by(&BOB, &[], NOW + 4)), "Rejected");
        // The earlier document, served again, does not bring it back, and one from before it takes nothing away.
        assert_eq!(code(by(&ALICE, &[pin(&BOB)], NOW + 1)), "ok");
        assert_eq!(code(by(&BOB, &[], NOW + 4)), "Rejected");
        assert_eq!(code(by(&ALICE, &[pin(&BOB)], NOW + 5)), "ok");
        assert_eq!(code(by(&ALICE, &[], NOW + 3)), "ok");
        assert_eq!(code(by(&BOB, &[], NOW + 6)), "ok");
    }

    /// Not for ever: an update of the app that drops the pin of a stolen identity also forgets how high its serials were.
    #[test]
    fn a_thiefs_serials_end_with_its_pin() {
        let seen = seen();
        let (both, bob) = (ServicePins::new([pin(&ALICE), pin(&BOB)]), pinned(&BOB));
        let highest = document(&x25519(NOW + 300), &ALICE, &[], NOW);
        assert_eq!(code(verify(&highest, &both, &seen, NOW)), "ok");
        let honest = document(&x25519(NOW), &BOB, &[], NOW);
        assert_eq!(code(verify(&honest, &both, &seen, NOW)), "Rejected");
        assert_eq!(code(verify(&honest, &bob, &seen, NOW)), "ok");
    }

    /// Two processes with the same saved keys, one of which has not loaded the newest: no client sees one of them go back.
    #[test]
    fn processes_agree_until_a_new_key_is_published() {
        let store = MemoryStore::default();
        let mut rotating = x25519(NOW);
        rotating.save(&store, "service", NOW).unwrap();
        let load = |now| ServiceKeys::load(&store, "service", now).unwrap().unwrap();
        let (other, later) = (load(NOW), NOW + KEY_ROLLOUT);
        rotating.rotate(NOW).unwrap();
        rotating.save(&store, "service", NOW).unwrap();
        let (pins, seen) = (pinned(&ALICE), seen());
        let sees = |keys: &_, now| key_id(&document(keys, &ALICE, &[], now), &pins, &seen, now);
        let first = sees(&rotating, NOW).unwrap();
        assert_eq!((sees(&other, later - 1), sees(&rotating, later - 1)), (Ok(first), Ok(first)));
        assert_eq!(sees(&rotating, later), Ok(first.wrapping_add(1)));
        assert_eq!(sees(&load(later), later), Ok(first.wrapping_add(1)));
        assert_eq!(code(sees(&other, later)), "Rejected", "who does not load is found out");
    }

    #[test]
    fn trust_on_first_use_holds_to_the_first() {
        let store = Arc::new(MemoryStore::default());
        let pins = ServicePins::trust_on_first_use();
        let seen = LastSeen::in_store(Shared(store.clone()));
        let by = |signer, now| document(&x25519(now), signer, &[], now);
        assert_eq!(code(verify(&by(&ALICE, NOW), &pins, &seen, NOW)), "ok");
        assert_eq!(code(verify(&by(&BOB, NOW + 1), &pins, &seen, NOW + 1)), "Rejected");
        assert_eq!(code(verify(&by(&ALICE, NOW + 1), &pins, &seen, NOW + 1)), "ok");
        // After a restart, too.
        let again = LastSeen::in_store(Shared(store));
        assert_eq!(code(verify(&by(&BOB, NOW + 2), &pins, &again, NOW + 2)), "Rejected");
        assert_eq!(code(verify(&by(&ALICE, NOW), &pins, &again, NOW + 2)), "Rejected", "an older serial");
    }

    struct Shared(Arc<MemoryStore>);

    impl SecretStore for Shared {
        fn save(&self, name: &str, secret: &SecretBytes) -> Result<(), Error> {
            self.0.save(name, secret)
        }

        fn load(&self, name: &str) -> Result<Option<SecretBytes>, Error> {
            self.0.load(name)
        }

        fn delete(&self, name: &str) -> Result<(), Error> {
            self.0.delete(name)
        }
    }

    #[test]
    fn every_flipped_bit_and_every_length() {
        let (pins, seen) = (pinned(&CAROL), seen());
        let mut document = document(&x25519(NOW), &CAROL, &[pin(&BOB)], NOW);
        for bit in 0..document.len() * 8 {
            document[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&document, &pins, &seen, NOW).is_err(), "{bit}");
            document[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..document.len() {
            assert_eq!(code(verify(&document[..len], &pins, &seen, NOW)), "Malformed", "{len}");
        }
        let longer = [document.as_slice(), &[0]].concat();
        assert_eq!(code(verify(&longer, &pins, &seen, NOW)), "Malformed");
        assert_eq!(code(verify(&vec![0; 65_537], &pins, &seen, NOW)), "TooLarge");
        assert_eq!(verify(&document, &pins, &seen, NOW), Ok(()));
    }

    #[test]
    fn what_a_service_does_not_publish() {
        let (keys, origin) = (x25519(NOW), origin().unwrap());
        let publish = |origins: &[Origin], next: usize, now| {
            code(keys.document(&ALICE, origins, &vec![pin(&BOB); next], now))
        };
        let origins = vec![origin; 17];
        assert_eq!(publish(&[], 0, NOW), "Misuse");
        assert_eq!(publish(&origins[..16], 8, NOW), "ok");
        assert_eq!(publish(&origins, 0, NOW), "Misuse");
        assert_eq!(publish(&origins[..1], 9, NOW), "Misuse");
        assert_eq!(publish(&origins[..1], 0, NOW + DAY), "Expired");
    }

    /// The newest key may be the first to go.
    #[test]
    fn a_short_lived_key_does_not_end_the_others() {
        let mut keys = x25519(NOW);
        keys.rotate_with(Kem::X25519, Aead::Aes256Gcm, 60, NOW - KEY_ROLLOUT).unwrap();
        let (pins, seen) = (pinned(&ALICE), seen());
        let short = key_id(&document(&keys, &ALICE, &[], NOW), &pins, &seen, NOW).unwrap();
        let long = |keys: &_| key_id(&document(keys, &ALICE, &[], NOW + 60), &pins, &seen, NOW + 60);
        assert_eq!(long(&keys), Ok(short.wrapping_sub(1)));
        // What has gone still counts for the serial.
        let store = MemoryStore::default();
        keys.save(&store, "service", NOW + 60).unwrap();
        assert_eq!(long(&ServiceKeys::load(&store, "service", NOW + 60).unwrap().unwrap()), long(&keys));
        keys.forget_expired(NOW + 60);
        assert_eq!(long(&keys), Ok(short.wrapping_sub(1)));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_document_that_clients_refuse() {
        let mut keys = x25519(NOW);
        keys.rotate(NOW).unwrap();
        let document = document(&keys, &ALICE, &[], NOW - 100);
        assert_eq!(code(verify(&document, &pinned(&ALICE), &seen(), NOW - 100)), "ok");
    }
}

mod seen_before {
    use super::{NOW, code};
    use futures::executor::block_on;
    use sealwire::http::{MemoryReplayCache, ReplayCache, ReplayId};

    #[test]
    fn a_request_is_new_once() {
        let cache = MemoryReplayCache::new(10, NOW);
        let insert = |id, now| block_on(cache.insert(ReplayId([id; 32]), now, now + 600, now));
        assert_eq!((insert(1, NOW), insert(1, NOW), insert(2, NOW)), (Ok(true), Ok(false), Ok(true)));
        assert_eq!(insert(1, NOW + 600), Ok(false));
    }

    #[test]
    fn a_full_cache_refuses_rather_than_forgets() {
        let cache = MemoryReplayCache::new(2, NOW);
        let insert = |id, now| block_on(cache.insert(ReplayId([id; 32]), now, now + 600, now));
        assert_eq!((insert(1, NOW), insert(2, NOW + 1)), (Ok(true), Ok(true)));
        assert_eq!(code(insert(3, NOW + 2)), "Store");
        assert_eq!(insert(1, NOW + 2), Ok(false), "what it knows it still knows");
        // The first one's time is over: there is room for one.
        assert_eq!(code(insert(3, NOW + 600)), "Store");
        assert_eq!(insert(3, NOW + 601), Ok(true));
        assert_eq!(code(insert(4, NOW + 601)), "Store");
        assert_eq!(
            code(block_on(MemoryReplayCache::new(0, NOW).insert(ReplayId([0; 32]), NOW, NOW, NOW))),
            "Store"
        );
    }

    #[test]
    fn what_was_made_before_it_began_may_have_been_seen() {
        let cache = MemoryReplayCache::new(2, NOW);
        let insert = |made| code(block_on(cache.insert(ReplayId([7; 32]), made, NOW + 600, NOW)));
        assert_eq!((insert(NOW - 1), insert(NOW)), ("Expired", "ok"));
    }
}
