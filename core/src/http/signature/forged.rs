//! What its signer really signed, and a verifier has to refuse all the same; and the worked example of SPEC "Origin".

use super::fields::{Input, integer, string};
use super::{OriginPolicy, RequestSigner, RequestVerifier, SignedBody, VerifiedBody, VerifiedHead};
use crate::error::{Error, Result};
use crate::http::message::{Method, Origin, RequestHead, Target};
use crate::suite::{Kem, scripted_random, sha256};
use crate::{Identity, Signer};
use base64ct::{Base64, Encoding};
use std::sync::LazyLock;

const NOW: u64 = 1_700_000_000;
const BODY: &[u8] = b"hello";

static ALICE: LazyLock<Identity> = LazyLock::new(|| Identity::generate_with(Kem::X25519).unwrap());

fn head(fields: &[(&str, &str)]) -> RequestHead {
    let target = Target::new(Origin::parse("https://api.example.com").unwrap(), "/notes/17?draft=1").unwrap();
    let mut head = RequestHead::new(Method::new("PUT").unwrap(), target);
    fields.iter().for_each(|(name, value)| head.headers.add(name, value).unwrap());
    head
}

/// Every field that a signature has to cover, but for the beginning of a stream.
fn full() -> (RequestHead, Vec<&'static str>) {
    let digest = format!("sha-256=:{}:", Base64::encode_string(&sha256(&[BODY])));
    let fields = [
        ("content-type", "application/vnd.sealwire"),
        ("content-encoding", "identity"),
        ("content-digest", &digest),
        ("authorization", "Bearer 1"),
        ("cookie", "a=1"),
        ("sealwire-exchange", "AAAA"),
    ];
    let names = ["@method", "@authority", "@path", "@query"].into_iter().chain(fields.map(|(name, _)| name));
    (head(&fields), names.collect())
}

type Parameters = Vec<(&'static str, String)>;

fn parameters() -> Parameters {
    vec![
        ("created", integer(NOW).unwrap()),
        ("expires", integer(NOW + 300).unwrap()),
        ("nonce", string("n").unwrap()),
        ("keyid", string(&ALICE.signer().key_id().to_string()).unwrap()),
        ("alg", string("ed25519").unwrap()),
        ("tag", string("sealwire-origin-v1").unwrap()),
    ]
}

/// The standard parameters with one of them changed, or left out.
fn but(name: &'static str, value: Option<String>) -> Parameters {
    let mut parameters = parameters();
    let at = parameters.iter().position(|(found, _)| *found == name).unwrap();
    match value {
        Some(value) => parameters[at].1 = value,
        None => drop(parameters.remove(at)),
    }
    parameters
}

fn sign(head: &mut RequestHead, components: &[&str], parameters: Parameters) {
    Input::new(components, &parameters).unwrap().sign(head, "sealwire", &ALICE.signing).unwrap();
}

fn verifier() -> RequestVerifier<Vec<Signer>> {
    RequestVerifier::new(vec![ALICE.signer()], OriginPolicy::default())
}

fn verify(head: &RequestHead, has_body: bool) -> Result<VerifiedHead> {
    verifier().verify_head(head, has_body, NOW)
}

fn code<T>(result: Result<T>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

#[test]
fn every_component_is_demanded() {
    let (unsigned, names) = full();
    let outcome = |components: &[&str]| {
        let mut head = unsigned.clone();
        sign(&mut head, components, parameters());
        code(verify(&head, true))
    };
    assert_eq!(outcome(&names), "ok");
    assert_eq!(outcome(&[]), "Rejected");
    for name in &names {
        let others: Vec<_> = names.iter().copied().filter(|other| other != name).collect();
        assert_eq!(outcome(&others), "Rejected", "{name}");
    }
    let reversed: Vec<_> = names.iter().copied().rev().collect();
    assert_eq!(outcome(&reversed), "ok", "the order is the signer's");
}

#[test]
fn every_parameter_is_demanded_and_has_its_type() {
    let outcome = |parameters: Parameters| {
        let (mut head, names) = full();
        sign(&mut head, &names, parameters);
        code(verify(&head, true))
    };
    for (name, _) in parameters() {
        assert_eq!(outcome(but(name, None)), "Rejected", "{name}");
        let other =
            if name == "created" || name == "expires" { string("1").unwrap() } else { integer(1).unwrap() };
        let expected = if name == "tag" { "Rejected" } else { "Malformed" };
        assert_eq!(outcome(but(name, Some(other))), expected, "{name}");
    }
    let bob = Identity::generate_with(Kem::X25519).unwrap();
    let text = |text: &str| Some(string(text).unwrap());
    for (name, value, expected) in [
        ("alg", text("ED25519"), "Rejected"),
        ("alg", text("hmac-sha256"), "Rejected"),
        ("tag", text("sealwire-origin-v2"), "Rejected"),
        ("keyid", text("test-key"), "Rejected"),
        ("keyid", text(&bob.signer().key_id().to_string()), "Rejected"),
        ("nonce", text(""), "Malformed"),
        ("nonce", text(&"n".repeat(128)), "ok"),
        ("nonce", text(&"n".repeat(129)), "TooLarge"),
        ("created", Some("-1".into()), "Malformed"),
        ("expires", Some(integer(NOW - 1).unwrap()), "Malformed"),
        ("expires", Some(integer(NOW + 301).unwrap()), "Expired"),
    ] {
        assert_eq!(outcome(but(name, value.clone())), expected, "{name} {value:?}");
    }
    let mut more = parameters();
    more.push(("ignorable", "?1".into()));
    assert_eq!(outcome(more), "ok");
}

#[test]
fn a_signature_is_good_for_its_time_only() {
    let (mut head, names) = full();
    sign(&mut head, &names, but("expires", Some(integer(NOW + 100).unwrap())));
    let at = |policy: OriginPolicy, now| {
        code(RequestVerifier::new(vec![ALICE.signer()], policy).verify_head(&head, true, now))
    };
    let default = OriginPolicy::default;
    for (policy, first, last) in [
        (default(), NOW - 30, NOW + 130),
        (default().clock_skew(0), NOW, NOW + 100),
        (default().max_age(50), NOW - 30, NOW + 80),
        (default().clock_skew(u64::MAX), 0, u64::MAX),
    ] {
        assert_eq!((at(policy.clone(), first), at(policy.clone(), last)), ("ok", "ok"));
        if first > 0 {
            assert_eq!(at(policy.clone(), first - 1), "Expired");
            assert_eq!(at(policy, last + 1), "Expired");
        }
    }
    assert_eq!(at(default().max_validity(99), NOW), "Expired");
    let kept = verify(&head, true).unwrap().nonce.unwrap().keep_until;
    assert_eq!(kept, NOW + 130, "as long as it may be accepted");
}

#[test]
fn a_body_needs_one_proof_that_is_covered() {
    let line = ["@method", "@authority", "@path", "@query"];
    let sha256 = format!("sha-256=:{}:", Base64::encode_string(&sha256(&[BODY])));
    let with_wrong_512 = format!("{sha256}, sha-512=:{}:", Base64::encode_string(&[0; 64]));
    let beginning = |len| crate::http::exchange::write_binary(&vec![7; len]);
    let (short, good, long) = (beginning(38), beginning(39), beginning(2049));
    let outcome = |fields: &[(&str, &str)], has_body| {
        let mut head = head(fields);
        let names: Vec<_> = line.into_iter().chain(fields.iter().map(|(name, _)| *name)).collect();
        sign(&mut head, &names, parameters());
        code(verify(&head, has_body).and_then(|head| head.body(if has_body { BODY } else { b"" })))
    };
    let (digest, stream) = ("content-digest", "sealwire-exchange-head");
    for (fields, has_body, expected) in [
        (&[][..], false, "ok"),
        (&[], true, "Rejected"),
        (&[(digest, &*sha256)], true, "ok"),
        (&[(digest, &*sha256)], false, "Rejected"),
        (&[(digest, &*with_wrong_512)], true, "Rejected"),
        (&[(digest, "md5=:XUFAKrxLKna5cZ2REBfFkg==:")], true, "Rejected"),
        (&[(digest, "sha-256=:XUFAKrxLKna5cZ2REBfFkg==:")], true, "Malformed"),
        (&[(digest, "sha-256=\"x\"")], true, "Malformed"),
        (&[(digest, "sha-256")], true, "Malformed"),
        (&[(stream, &*good)], false, "Rejected"),
        (&[(stream, &*good)], true, "Rejected"), // The body begins otherwise.
        (&[(stream, &*short)], true, "Malformed"),
        (&[(stream, "")], true, "Malformed"),
        (&[(stream, "=")], true, "Malformed"),
        (&[(stream, &*long)], true, "TooLarge"),
        (&[(digest, &*sha256), (stream, &*good)], true, "Malformed"),
    ] {
        assert_eq!(outcome(fields, has_body), expected, "{fields:?}, {has_body}");
    }
}

#[test]
fn components_are_limited_and_known() {
    let (mut full, names) = full();
    let many: Vec<String> = (names.len()..33).map(|i| format!("x-{i}")).collect();
    many.iter().for_each(|name| full.headers.add(name, "1").unwrap());
    full.headers.add("x-text", "ä").unwrap();
    let outcome = |more: &[&str]| {
        let mut head = full.clone();
        let components = [&names, more].concat();
        let signed =
            Input::new(&components, &parameters()).unwrap().sign(&mut head, "sealwire", &ALICE.signing);
        signed.and_then(|()| verify(&head, true).map(drop))
    };
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(outcome(&many[1..]), Ok(()));
    assert!(matches!(outcome(&many), Err(Error::TooLarge(_))));
    for unknown in ["@status", "@query-param", "@target-uri", "@", "", "x-absent", "X-10", "x-text", "cookie"]
    {
        assert!(matches!(outcome(&[unknown]), Err(Error::Malformed(_))), "{unknown}");
    }
}

#[test]
fn one_signature_of_ours_and_any_of_others() {
    let (mut head, names) = full();
    let other = but("tag", Some(string("web-bot-auth").unwrap()));
    Input::new(&["@path"], &other).unwrap().sign(&mut head, "other", &ALICE.signing).unwrap();
    assert_eq!(code(verify(&head, true)), "Rejected");
    sign(&mut head, &names, parameters());
    assert_eq!(code(verify(&head, true)), "ok");
    Input::new(&names, &parameters()).unwrap().sign(&mut head, "second", &ALICE.signing).unwrap();
    assert_eq!(code(verify(&head, true)), "Malformed");
    assert_eq!(code(RequestSigner::new(&ALICE).sign(&mut head, SignedBody::Whole(BODY), NOW)), "Malformed");
}

#[test]
fn a_lookup_cannot_pass_one_signer_for_another() {
    let (mut head, names) = full();
    sign(&mut head, &names, parameters());
    let bob = Identity::generate_with(Kem::X25519).unwrap().signer();
    let careless = RequestVerifier::new(|_: &_| Some(bob), OriginPolicy::default());
    assert_eq!(careless.verify_head(&head, true, NOW), Err(Error::Rejected));

    let mut under_bob = full().0;
    sign(&mut under_bob, &names, but("keyid", Some(string(&bob.key_id().to_string()).unwrap())));
    let careless = RequestVerifier::new(|_: &_| Some(ALICE.signer()), OriginPolicy::default());
    assert_eq!(careless.verify_head(&under_bob, true, NOW), Err(Error::Rejected));
}

#[test]
fn a_body_that_was_hashed_elsewhere_is_signed_as_if_it_were_here() {
    let signed = |body: SignedBody<'_>| {
        scripted_random::start();
        let mut head = head(&[("content-type", "application/vnd.sealwire")]);
        RequestSigner::new(&ALICE).sign(&mut head, body, NOW).unwrap();
        scripted_random::stop();
        head
    };
    let _ = ALICE.signer();
    let hashed = signed(SignedBody::Hashed(&sha256(&[BODY])));
    assert_eq!(hashed, signed(SignedBody::Whole(BODY)));
    let verifier = RequestVerifier::new(vec![ALICE.signer()], OriginPolicy::default());
    assert_eq!(verifier.verify_head(&hashed, true, NOW).unwrap().body(BODY), Ok(VerifiedBody::Whole));
}

#[test]
fn the_worked_example_of_the_spec() {
    scripted_random::start();
    let identity = Identity::generate_with(Kem::X25519).unwrap();
    let mut head = head(&[("content-type", "application/vnd.sealwire")]);
    RequestSigner::new(&identity).sign(&mut head, SignedBody::Whole(BODY), NOW).unwrap();
    scripted_random::stop();

    let verifier = RequestVerifier::new(vec![identity.signer()], OriginPolicy::default());
    let verified = verifier.verify_head(&head, true, NOW).unwrap();
    assert_eq!(verified.body(BODY), Ok(VerifiedBody::Whole));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (input, _) = Input::find(&head.headers, |label, _| label == "sealwire").unwrap();
    let field = |name| format!("{name}: {}\n", head.headers.text(name).unwrap().unwrap());
    let example = [
        format!("signing key, 32-byte seed\n    {}\n", hex(identity.signing.seed())),
        format!("public key\n    {}\n", identity.signer()),
        format!("key id\n    {}\n", identity.signer().key_id()),
        format!(
            "\nsignature base\n\n{}\n\nfields\n\n",
            String::from_utf8(input.base(&head).unwrap()).unwrap()
        ),
        ["content-type", "content-digest", "signature-input", "signature"].map(field).concat(),
        format!("\nreplay id\n    {}\n", hex(&verified.nonce.unwrap().id)),
    ];
    // It was made first by another implementation (Python, pyca/cryptography).
    assert!(
        crate::worked_example::spec().contains(&example.concat()),
        "SPEC §21 should read:\n{}",
        example.concat()
    );
}
