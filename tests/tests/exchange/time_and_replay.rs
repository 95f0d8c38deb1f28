//! Dates, replays and who signs.

use super::{code, x25519};
use sealwire::http::{RequestSealer, SealedRequest};
use sealwire_tests::exchanges::{NOW, config, in_place, receive, receive_pieces, request, seal};

#[test]
fn a_date_within_the_window() {
    let service = x25519().window(60);
    for (now, expected) in [
        (NOW - 61, "Expired"),
        (NOW - 60, "ok"),
        (NOW, "ok"),
        (NOW + 60, "ok"),
        (NOW + 61, "Expired"),
        (0, "Expired"),
    ] {
        let (sealed, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
        let found = receive_pieces(&service, &sealed.head, &sealed.body, 4096, now);
        assert_eq!(code(found), expected, "{now}");
    }
}

/// As long as a request is good, its id is remembered: also in the window's last second.
#[test]
fn ids_are_kept_until_the_date_has_run_out() {
    for window in [0, 60, u64::MAX] {
        let service = x25519().window(window);
        let (sealed, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
        let (arrived, _) = receive(&service, &sealed).unwrap();
        assert!(arrived.keep_until() >= NOW.saturating_add(window.saturating_mul(2)));
    }
}

#[test]
fn a_replay_has_the_same_id_however_it_travels() {
    let service = x25519();
    let id = |sealed: &SealedRequest| receive(&service, sealed).unwrap().0.replay_id();
    let (first, _) = seal(&service, &in_place(), request("GET", "/n?q=1").unwrap(), b"").unwrap();
    let (second, _) = seal(&service, &in_place(), request("GET", "/n?q=1").unwrap(), b"").unwrap();
    assert_eq!(id(&first), id(&first));
    assert_ne!(id(&first), id(&second));
    let mut shown = SealedRequest { head: first.head.clone(), body: Vec::new() };
    shown.head.target = request("GET", "/n?q=1").unwrap().target;
    shown.head.headers.add("x-other", "1").unwrap();
    assert_eq!(id(&first), id(&shown));
    assert_eq!(code(receive(&service, &first).unwrap().0.admit(false)), "Replayed");
}

#[test]
fn idempotency_ids_name_key_method_and_path() {
    let service = x25519();
    let id = |method: &str, path: &str, key: Option<&str>| {
        let mut head = request(method, path).unwrap();
        key.into_iter().try_for_each(|key| head.headers.add("idempotency-key", key)).unwrap();
        let (sealed, _) = seal(&service, &in_place(), head, b"x").unwrap();
        receive(&service, &sealed).unwrap().0.idempotency_id()
    };
    let first = id("POST", "/n", Some("k1"));
    assert!(first.is_some());
    assert_eq!(first, id("POST", "/n", Some("k1")));
    assert_eq!(first, id("POST", "/n?q=1", Some("k1")));
    for other in [id("POST", "/n", Some("k2")), id("PUT", "/n", Some("k1")), id("POST", "/m", Some("k1"))] {
        assert!(other.is_some() && first != other);
    }
    assert_eq!(id("POST", "/n", None), None);
}

#[test]
fn who_signs_outside_is_named_inside() {
    let service = x25519();
    let config = config(&service).unwrap();
    for (inner, verified, expected) in [
        (Some("alice"), Some("alice"), "ok"),
        (None, None, "ok"),
        (Some("alice"), Some("mallory"), "Rejected"),
        (Some("alice"), None, "Rejected"),
        (None, Some("mallory"), "Rejected"),
    ] {
        let carriage = in_place();
        let sealer = RequestSealer::new(&config, &carriage);
        let sealer = inner.into_iter().fold(sealer, RequestSealer::signed_by);
        let (sealed, _) = sealer.seal(request("POST", "/n").unwrap(), b"x", NOW).unwrap();
        let (arrived, _) = receive(&service, &sealed).unwrap();
        assert_eq!(code(arrived.check_signer(verified)), expected);
        let (head, _) = arrived.admit(true).unwrap();
        assert_eq!(head.headers.text("sealwire-signer").unwrap(), None);
    }
}
