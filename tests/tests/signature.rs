//! Signed requests, as an outside user meets them: what verifies, and everything that must not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::http::{
    BodyProof, Headers, Method, Origin, OriginPolicy, RequestHead, RequestSigner, RequestVerifier,
    SignedBody, Target, VerifiedBody, VerifiedHead,
};
use sealwire::{Error, Signer, to_text};
use sealwire_tests::people::{ALICE, BOB, CAROL};
use std::collections::BTreeSet;
use std::time::Instant;

const NOW: u64 = 1_700_000_000;
const BODY: &[u8] = b"a sealed note";

/// An sf-binary of a multiple of three bytes, which needs no padding.
fn sf_binary(bytes: &[u8]) -> String {
    format!(":{}:", to_text(bytes).replace('-', "+").replace('_', "/"))
}

fn request(method: &str, path_and_query: &str, fields: &[(&str, &str)]) -> RequestHead {
    request_to("https://api.example.com", method, path_and_query, fields)
}

fn request_to(origin: &str, method: &str, path_and_query: &str, fields: &[(&str, &str)]) -> RequestHead {
    let target = Target::new(Origin::parse(origin).unwrap(), path_and_query).unwrap();
    let mut head = RequestHead::new(Method::new(method).unwrap(), target);
    fields.iter().for_each(|(name, value)| head.headers.add(name, value).unwrap());
    head
}

fn signed(mut head: RequestHead, body: SignedBody<'_>) -> RequestHead {
    RequestSigner::new(&CAROL).cover("if-match").sign(&mut head, body, NOW).unwrap();
    head
}

/// A request of every kind of body, with that body.
fn requests() -> Vec<(RequestHead, Vec<u8>)> {
    let exchange: Vec<u8> = (0..200).collect();
    let begins = sf_binary(&exchange[..39]);
    let get = request("GET", "/notes/17", &[("authorization", "Bearer 1"), ("cookie", "a=1; b=2")]);
    let fields = [("content-type", "application/vnd.sealwire"), ("if-match", "\"3\""), ("accept", "*/*")];
    let put = request("PUT", "/notes/17?draft=1", &fields);
    let carried = request("GET", "/notes?", &[("sealwire-exchange", "AAEC")]);
    let fields = [("content-type", "message/ohttp-chunked-req"), ("sealwire-exchange-head", begins.as_str())];
    let streamed = request("POST", "/", &fields);
    vec![
        (signed(get, SignedBody::None), vec![]),
        (signed(put, SignedBody::Whole(BODY)), BODY.to_vec()),
        (signed(carried, SignedBody::Whole(b"")), vec![]),
        (signed(streamed, SignedBody::Streamed), exchange),
    ]
}

fn verifier() -> RequestVerifier<Vec<Signer>> {
    RequestVerifier::new(vec![ALICE.signer(), CAROL.signer(), BOB.signer()], OriginPolicy::default())
}

fn verify_head(head: &RequestHead, has_body: bool) -> Result<VerifiedHead, Error> {
    verifier().verify_head(head, has_body, NOW)
}

fn verify(head: &RequestHead, body: &[u8]) -> Result<VerifiedBody, Error> {
    verify_head(head, !body.is_empty())?.body(body)
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

/// The head with one field's lines replaced by these.
fn with_field(head: &RequestHead, name: &str, lines: &[&[u8]]) -> Result<RequestHead, Error> {
    let mut changed = head.clone();
    changed.headers.remove(name);
    lines.iter().try_for_each(|line| changed.headers.add(name, line))?;
    Ok(changed)
}

fn with_target(head: &RequestHead, method: &str, origin: &str, path: &str) -> Result<RequestHead, Error> {
    let mut changed = RequestHead::new(Method::new(method)?, Target::new(Origin::parse(origin)?, path)?);
    changed.headers = head.headers.clone();
    Ok(changed)
}

#[test]
fn every_kind_of_request_is_verified() {
    let expected = [VerifiedBody::None, VerifiedBody::Whole, VerifiedBody::None, VerifiedBody::Beginning];
    for ((head, body), expected) in requests().iter().zip(expected) {
        let verified = verify_head(head, !body.is_empty()).unwrap();
        assert_eq!(verified.signer, CAROL.signer());
        assert_eq!(verified.body(body), Ok(expected));
        for piece in [1, 7, 1000] {
            let mut check = verified.check();
            body.chunks(piece).for_each(|piece| check.push(piece).unwrap());
            assert_eq!(check.finish(), Ok(expected));
        }
        let beginning = matches!(&verified.proof, BodyProof::BeginsWith(begins) if body.starts_with(begins));
        assert_eq!(beginning, expected == VerifiedBody::Beginning);
    }
}

#[test]
fn what_is_written_is_what_the_spec_says() {
    let (head, _) = &requests()[1];
    let input = head.headers.text("signature-input").unwrap().unwrap();
    let covered =
        r#"sealwire=("@method" "@authority" "@path" "@query" "content-type" "content-digest" "if-match")"#;
    assert!(input.starts_with(&format!("{covered};created={NOW};expires={};nonce=\"", NOW + 300)), "{input}");
    let end = format!(r#"";keyid="{}";alg="ed25519";tag="sealwire-origin-v1""#, CAROL.signer().key_id());
    assert!(input.ends_with(&end), "{input}");
}

#[test]
fn every_flip_is_refused() {
    let mut flips = 0;
    for (head, body) in requests() {
        assert_eq!(code(verify(&head, &body)), "ok");
        let covered: Vec<&str> =
            head.headers.iter().map(|(name, _)| name).filter(|name| *name != "accept").collect();
        for name in covered {
            let value = head.headers.one(name).unwrap().unwrap();
            for (at, bit) in (0..value.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut flipped = value.to_vec();
                flipped[at] ^= 1 << bit;
                // What is no field value any more never comes to a verifier.
                let Ok(changed) = with_field(&head, name, &[&flipped]) else { continue };
                assert!(verify(&changed, &body).is_err(), "{name}: byte {at}, bit {bit}");
                flips += 1;
            }
        }
        let (method, origin) = (head.method.as_str(), head.target.origin().to_string());
        let line = [method, &origin, head.target.path_and_query()];
        for part in 0..3 {
            for (at, bit) in (0..line[part].len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
                let mut flipped = line[part].as_bytes().to_vec();
                flipped[at] ^= 1 << bit;
                let flipped = String::from_utf8(flipped).unwrap();
                let mut other = line;
                other[part] = &flipped;
                let Ok(changed) = with_target(&head, other[0], other[1], other[2]) else { continue };
                assert!(verify(&changed, &body).is_err(), "{flipped}");
                flips += 1;
            }
        }
        // Of a stream, its beginning is signed; the exchange verifies the rest.
        let signed_len =
            if head.headers.one("sealwire-exchange-head").unwrap().is_some() { 39 } else { body.len() };
        for (at, bit) in (0..signed_len).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = body.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(code(verify(&head, &flipped)), "Rejected");
            flips += 1;
        }
    }
    assert!(flips > 10_000, "only {flips} flips");
}

#[test]
fn a_body_is_neither_cut_nor_added_nor_swapped() {
    let requests = requests();
    for (head, body) in &requests {
        let verified = verify_head(head, !body.is_empty()).unwrap();
        let streamed = matches!(verified.proof, BodyProof::BeginsWith(_));
        for len in 0..body.len() {
            let outcome = code(verified.body(&body[..len]));
            assert_eq!(outcome, if streamed && len >= 39 { "ok" } else { "Rejected" }, "{len}");
        }
        let longer = code(verified.body(&[body.as_slice(), b"more"].concat()));
        assert_eq!(longer, if streamed { "ok" } else { "Rejected" });
        // A refusal stays, also for those who do not listen to `push`.
        let mut check = verified.check();
        if check.push(b"other bytes").is_err() {
            assert_eq!(code(check.push(b"")), "Rejected");
        }
        assert_eq!(code(check.finish()), "Rejected");
    }
    let (get, put) = (&requests[0].0, &requests[1].0);
    assert_eq!(code(verify_head(get, true)), "Rejected", "a body added");
    assert_eq!(code(verify_head(put, false)), "Rejected", "a body taken away");
    let digest = put.headers.one("content-digest").unwrap().unwrap();
    let added = with_field(get, "content-digest", &[digest]).unwrap();
    assert_eq!((code(verify(&added, b"")), code(verify(&added, BODY))), ("Rejected", "Rejected"));
    let stripped = with_field(put, "content-digest", &[]).unwrap();
    assert_eq!(code(verify(&stripped, BODY)), "Malformed", "a covered field is missing");
}

#[test]
fn nothing_unsigned_passes() {
    for (head, body) in requests() {
        let fields = ["signature-input", "signature"];
        for name in fields {
            let stripped = with_field(&head, name, &[]).unwrap();
            assert_eq!(code(verify(&stripped, &body)), "Rejected", "without {name}");
            let empty = with_field(&head, name, &[b""]).unwrap();
            assert_eq!(code(verify(&empty, &body)), "Rejected", "empty {name}");
        }
        let naked = fields.iter().fold(head.clone(), |head, name| with_field(&head, name, &[]).unwrap());
        assert_eq!(code(verify(&naked, &body)), "Rejected");
        let nobody = RequestVerifier::new(Vec::new(), OriginPolicy::default());
        assert_eq!(code(nobody.verify_head(&head, !body.is_empty(), NOW)), "Rejected");
        let others = RequestVerifier::new(vec![ALICE.signer(), BOB.signer()], OriginPolicy::default());
        assert_eq!(code(others.verify_head(&head, !body.is_empty(), NOW)), "Rejected");
        let lookup = |id: &sealwire::http::KeyId| (*id == CAROL.signer().key_id()).then(|| CAROL.signer());
        let lookup = RequestVerifier::new(lookup, OriginPolicy::default());
        assert_eq!(code(lookup.verify_head(&head, !body.is_empty(), NOW)), "ok");
    }
}

#[test]
fn a_signature_belongs_to_one_request() {
    let requests = requests();
    for (i, (head, body)) in requests.iter().enumerate() {
        for (j, (other, _)) in requests.iter().enumerate().filter(|(j, _)| i != *j) {
            let mut transplanted = head.clone();
            for name in ["signature-input", "signature"] {
                transplanted.headers.set(name, other.headers.one(name).unwrap().unwrap()).unwrap();
            }
            assert!(verify(&transplanted, body).is_err(), "{j} on {i}");
        }
        let (method, path) = (head.method.as_str(), head.target.path_and_query());
        for origin in ["https://api.example.net", "https://api.example.com:8443", "https://example.com"] {
            let elsewhere = with_target(head, method, origin, path).unwrap();
            assert_eq!(code(verify(&elsewhere, body)), "Rejected", "{origin}");
        }
        for path in
            ["/notes/18", "/notes/17/", "/Notes/17", "/notes/%317", "/notes/17?draft=1&x", "//notes/17"]
        {
            let elsewhere = with_target(head, method, "https://api.example.com", path).unwrap();
            assert_eq!(code(verify(&elsewhere, body)), "Rejected", "{path}");
        }
    }
    // The scheme is not a component: the authority is the configured one, and names no scheme.
    let (head, _) = &requests[0];
    assert_eq!(
        code(verify(&with_target(head, "GET", "http://api.example.com", "/notes/17").unwrap(), b"")),
        "ok"
    );
}

#[test]
fn what_says_in_whose_name_is_not_added() {
    for (head, body) in requests() {
        for name in ["content-type", "content-encoding", "authorization", "cookie", "sealwire-exchange"] {
            let mut changed = head.clone();
            changed.headers.add(name, "x").unwrap();
            let expected = if head.headers.one(name).unwrap().is_some() { "Malformed" } else { "Rejected" };
            assert_eq!(code(verify(&changed, &body)), expected, "{name}");
        }
        let mut harmless = head.clone();
        harmless.headers.add("x-forwarded-for", "192.0.2.1").unwrap();
        assert_eq!(code(verify(&harmless, &body)), "ok");
    }
    let (get, put) = (&requests()[0].0, &requests()[1].0);
    let demanding = RequestVerifier::new(vec![CAROL.signer()], OriginPolicy::default().require("If-Match"));
    assert_eq!(code(demanding.verify_head(put, true, NOW)), "ok");
    assert_eq!(code(demanding.verify_head(get, false, NOW)), "Rejected");
}

#[test]
fn doubled_fields_are_malformed() {
    for (head, body) in requests() {
        for name in ["content-type", "content-digest", "authorization", "cookie", "sealwire-exchange-head"] {
            let Some(value) = head.headers.one(name).unwrap() else { continue };
            let doubled = with_field(&head, name, &[value, value]).unwrap();
            assert_eq!(code(verify(&doubled, &body)), "Malformed", "{name}");
        }
        for name in ["signature-input", "signature"] {
            let value = head.headers.one(name).unwrap().unwrap();
            // The same label twice: RFC 9651 would take the second, another reader the first.
            let doubled = with_field(&head, name, &[value, value]).unwrap();
            assert_eq!(code(verify(&doubled, &body)), "Malformed", "{name}");
            let second = [b"second", value.strip_prefix(b"sealwire").unwrap()].concat();
            let two = with_field(&head, name, &[value, &second]).unwrap();
            let expected = if name == "signature-input" { "Malformed" } else { "ok" };
            assert_eq!(code(verify(&two, &body)), expected, "a second one in {name}");
        }
    }
}

/// Replaces a piece of Signature-Input.
fn forged(head: &RequestHead, from: &str, to: &str) -> RequestHead {
    let input = head.headers.text("signature-input").unwrap().unwrap();
    assert!(input.contains(from), "{input}");
    with_field(head, "signature-input", &[input.replacen(from, to, 1).as_bytes()]).unwrap()
}

#[test]
fn signature_input_is_neither_reordered_nor_rewritten() {
    let (head, body) = &requests()[1];
    let key_id = ALICE.signer().key_id().to_string();
    let keyid = format!("keyid=\"{}\"", CAROL.signer().key_id());
    for (from, to, expected) in [
        ("\"@path\" \"@query\"", "\"@query\" \"@path\"", "Rejected"),
        ("\"@path\" ", "", "Rejected"),
        ("\"if-match\"", "\"accept\"", "Rejected"),
        ("\"if-match\"", "\"if-match\" \"accept\"", "Rejected"),
        ("\"content-digest\" ", "", "Rejected"),
        ("sealwire=", "other=", "Rejected"),
        ("created=1700000000", "created=1700000001", "Rejected"),
        ("created=1700000000;expires=1700000300", "expires=1700000300;created=1700000000", "Rejected"),
        ("expires=1700000300", "expires=1700000299", "Rejected"),
        ("expires=1700000300", "expires=1800000000", "Expired"),
        ("created=1700000000;expires=1700000300", "created=1600000000;expires=1600000300", "Expired"),
        (keyid.as_str(), &format!("keyid=\"{key_id}\""), "Rejected"),
        (keyid.as_str(), "keyid=\"AAAA\"", "Rejected"),
        (keyid.as_str(), "keyid=AAAA", "Malformed"),
        ("alg=\"ed25519\"", "alg=\"hmac-sha256\"", "Rejected"),
        (";alg=\"ed25519\"", "", "Rejected"),
        ("sealwire-origin-v1", "sealwire-origin-v2", "Rejected"),
        (";tag=\"sealwire-origin-v1\"", "", "Rejected"),
        ("\"if-match\"", "\"if-match\" \"@path\"", "Malformed"),
        ("\"if-match\"", "\"if-match\" \"x-absent\"", "Malformed"),
        ("\"if-match\"", "\"if-match\" \"@status\"", "Malformed"),
        ("\"if-match\"", "if-match", "Malformed"),
        ("\"@path\"", "\"@path\";req", "Malformed"),
        ("\"if-match\"", "\"if-match\";sf", "Malformed"),
        ("\"if-match\"", "\"if-match\";bs", "Malformed"),
        ("\"if-match\"", "\"if-match\";tr", "Malformed"),
        ("\"if-match\"", "\"if-match\";key=\"a\"", "Malformed"),
        ("created=1700000000", "created=1700000000;created=1700000000", "Malformed"),
        ("created=1700000000", "created=01700000000", "Malformed"),
        ("created=1700000000", "created=-1", "Malformed"),
        ("created=1700000000", "created=1.5", "Malformed"),
        ("created=1700000000", "created=\"1700000000\"", "Malformed"),
        ("created=1700000000", "created", "Malformed"),
        ("(", "", "Malformed"),
        (")", "", "Malformed"),
        ("(", "((", "Malformed"),
        ("sealwire=", "Sealwire=", "Malformed"),
        ("sealwire=", "sealwire", "Malformed"),
        ("sealwire=", "a, sealwire=", "Malformed"),
        ("sealwire=", ",sealwire=", "Malformed"),
        ("sealwire=", "a=();tag=\"x\", sealwire=", "ok"),
        ("sealwire=", "a=(),\tsealwire=", "ok"), // White space that RFC 9651 has between members.
        ("\"@method\" ", "\"@method\"  ", "ok"), // And that its canonical form, which is signed, has not.
    ] {
        assert_eq!(code(verify(&forged(head, from, to), body)), expected, "{from} -> {to}");
    }
    let signature = head.headers.text("signature").unwrap().unwrap();
    for (forged, expected) in [
        (signature.replace("sealwire=:", "sealwire=\"") + "\"", "Malformed"),
        (signature.replace("sealwire=:", "sealwire=:AAAA"), "Malformed"),
        (signature.replace("==:", ":"), "Malformed"),
        (signature.to_owned() + ";a=1", "Malformed"),
        (format!("{signature}, other=:AAAA:"), "ok"),
        (format!("sealwire=:{}:", "A".repeat(86) + "=="), "Rejected"),
    ] {
        let changed = with_field(head, "signature", &[forged.as_bytes()]).unwrap();
        assert_eq!(code(verify(&changed, body)), expected, "{forged}");
    }
}

#[test]
fn time_counts() {
    for (head, body) in requests() {
        let at = |policy: OriginPolicy, now| {
            let verifier = RequestVerifier::new(vec![CAROL.signer()], policy);
            code(verifier.verify_head(&head, !body.is_empty(), now))
        };
        let policy = OriginPolicy::default;
        for (policy, now, expected) in [
            (policy(), NOW - 31, "Expired"),
            (policy(), NOW - 30, "ok"),
            (policy(), NOW + 330, "ok"),
            (policy(), NOW + 331, "Expired"),
            (policy(), 0, "Expired"),
            (policy(), u64::MAX, "Expired"),
            (policy().max_age(10).clock_skew(0), NOW + 10, "ok"),
            (policy().max_age(10).clock_skew(0), NOW + 11, "Expired"),
            (policy().max_age(10).clock_skew(0), NOW - 1, "Expired"),
            (policy().max_validity(299), NOW, "Expired"),
        ] {
            assert_eq!(at(policy, now), expected, "{now}");
        }
    }
    let far = RequestSigner::new(&CAROL).sign(&mut request("GET", "/", &[]), SignedBody::None, u64::MAX);
    assert_eq!(code(far), "Misuse");
}

#[test]
fn a_replay_can_be_told() {
    let mut ids = BTreeSet::new();
    for (head, body) in requests().into_iter().chain(requests()) {
        let seen = verify_head(&head, !body.is_empty()).unwrap().nonce.unwrap();
        let again = verifier().verify_head(&head, !body.is_empty(), NOW + 20).unwrap().nonce.unwrap();
        assert_eq!(seen, again);
        assert_eq!(seen.keep_until, NOW + 330);
        assert!(ids.insert(seen.id), "two requests with one nonce");
    }
    // Signing again is another request, and replaces the signature.
    let mut head = requests().remove(0).0;
    RequestSigner::new(&CAROL).sign(&mut head, SignedBody::None, NOW).unwrap();
    assert!(ids.insert(verify_head(&head, false).unwrap().nonce.unwrap().id));
}

/// Of two lines an application may take the one without what restricts it.
#[test]
fn a_covered_field_stands_on_one_line() {
    let verifier = |policy| RequestVerifier::new(vec![CAROL.signer()], policy);
    for policy in [OriginPolicy::default(), OriginPolicy::default().require("if-match")] {
        let head = signed(request("GET", "/", &[("if-match", "\"1\", \"2\"")]), SignedBody::None);
        assert!(verifier(policy.clone()).verify_head(&head, false, NOW).is_ok());
        let split = with_field(&head, "if-match", &[b"\"1\"", b"\"2\""]).unwrap();
        let refused = verifier(policy).verify_head(&split, false, NOW).map(drop);
        assert_eq!(refused.unwrap_err().code(), "Malformed");
    }
}

/// Known keys of which each is asked for its name once, whatever comes.
#[test]
fn a_strangers_request_costs_the_same_whatever_the_number_of_keys() {
    let mut head = request("GET", "/", &[]);
    RequestSigner::new(&ALICE).sign(&mut head, SignedBody::None, NOW).unwrap();
    let time = |keys: usize| {
        let verifier = RequestVerifier::new(vec![CAROL.signer(); keys], OriginPolicy::default());
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(verifier.verify_head(&head, false, NOW), Err(Error::Rejected));
        }
        began.elapsed()
    };
    let (one, many) = (time(1), time(20_000));
    assert!(many < one * 20, "{many:?}, and {one:?} with one key");
}

#[test]
fn signatures_of_others_stay() {
    let mut head = request("GET", "/", &[]);
    head.headers.add("signature-input", "proxy=(\"@path\");tag=\"proxy\", second=()").unwrap();
    head.headers.add("signature", "proxy=:AAAA:").unwrap();
    let head = signed(head, SignedBody::None);
    let input = head.headers.text("signature-input").unwrap().unwrap();
    assert!(input.starts_with("proxy=(\"@path\");tag=\"proxy\", second=(), sealwire=("), "{input}");
    assert!(head.headers.text("signature").unwrap().unwrap().starts_with("proxy=:AAAA:, sealwire=:"));
    assert_eq!(verify(&head, b""), Ok(VerifiedBody::None));
    // On lines of their own, too.
    let lines: Vec<&[u8]> = input.split(", ").map(str::as_bytes).collect();
    assert_eq!(verify(&with_field(&head, "signature-input", &lines).unwrap(), b""), Ok(VerifiedBody::None));
}

#[test]
fn the_signer_refuses_what_a_verifier_would() {
    let outcome = |fields: &[(&str, &str)], body| {
        let mut head = request("POST", "/", fields);
        let before = head.clone();
        let outcome = code(RequestSigner::new(&CAROL).sign(&mut head, body, NOW));
        assert!(outcome == "ok" || head == before, "a refused head was changed");
        outcome
    };
    let begins = sf_binary(&[7; 39]);
    let whole = SignedBody::Whole(BODY);
    for (fields, body, expected) in [
        (&[("content-digest", "sha-256=:AAAA:")][..], SignedBody::None, "Misuse"),
        (&[("content-digest", "sha-256=:AAAA:")], SignedBody::Whole(b""), "Misuse"),
        (&[("content-digest", "sha-256=:AAAA:")], whole, "ok"), // Replaced.
        (&[], SignedBody::Streamed, "Misuse"),
        (&[("sealwire-exchange-head", begins.as_str())], SignedBody::Streamed, "ok"),
        (&[("sealwire-exchange-head", begins.as_str())], SignedBody::None, "Misuse"),
        (&[("sealwire-exchange-head", begins.as_str())], whole, "Misuse"),
        (&[("sealwire-exchange-head", "AAAA")], SignedBody::Streamed, "Malformed"),
        (&[("cookie", "a=1"), ("cookie", "b=2")], SignedBody::None, "Malformed"),
        (&[("authorization", "ä")], SignedBody::None, "Malformed"),
        (&[("signature", "a")], SignedBody::None, "ok"), // Another's, broken or not.
        (&[("signature", "\"")], SignedBody::None, "Malformed"),
        (&[("signature-input", "a=1")], SignedBody::None, "Malformed"),
    ] {
        assert_eq!(outcome(fields, body), expected, "{fields:?}");
    }
    let own = RequestSigner::new(&CAROL).cover("Signature");
    assert_eq!(code(own.sign(&mut request("GET", "/", &[]), SignedBody::None, NOW)), "Misuse");
}

#[test]
fn what_is_too_large_is_refused() {
    let mut head = request("GET", "/", &[]);
    let many: Vec<String> = (0..32).map(|i| format!("x-{i}")).collect();
    let mut signer = RequestSigner::new(&CAROL);
    for name in &many {
        head.headers.add(name, "1").unwrap();
        signer = signer.cover(name);
    }
    assert_eq!(code(signer.sign(&mut head, SignedBody::None, NOW)), "TooLarge");

    let (head, _) = &requests()[0];
    let add = |name: &str, value: &[u8]| {
        let mut headers = Headers::new();
        head.headers.iter().for_each(|(name, value)| headers.add(name, value).unwrap());
        headers.add(name, value).unwrap();
        let mut changed = head.clone();
        changed.headers = headers;
        code(verify(&changed, b""))
    };
    let labels = |count: usize| (0..count).map(|i| format!("l{i}=()")).collect::<Vec<_>>().join(", ");
    assert_eq!(add("signature-input", labels(7).as_bytes()), "ok");
    assert_eq!(add("signature-input", labels(8).as_bytes()), "TooLarge");
    let long = |len: usize| format!("l=(\"{}\")", "x".repeat(len));
    assert_eq!(add("signature-input", long(7000).as_bytes()), "ok");
    assert_eq!(add("signature-input", long(8000).as_bytes()), "TooLarge");
    assert_eq!(add("signature", format!("l=:{}:", "A".repeat(8000)).as_bytes()), "TooLarge");
    assert_eq!(add("signature-input", &[b'('; 8193]), "TooLarge");
    let empty: String = (0..4000).map(|_| "a,").collect();
    assert_eq!(add("signature-input", empty.as_bytes()), "TooLarge");
    assert_eq!(add("signature-input", &b"((((((((".repeat(800)), "Malformed");
}
