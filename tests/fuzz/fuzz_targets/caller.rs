#![no_main]
//! Any answer to a call whose rule demands protection: what is not the sender's own envelope never becomes data.
use sealwire::http::{
    Answered, CallRequest, Caller, ENVELOPE_MEDIA_TYPE, Headers, KEYS_MEDIA_TYPE, Outcome, Policy, Rule,
    SealedResource, ServicePins,
};
use sealwire::{Error, Identity, Kem, SealContext, Sealer};
use sealwire_fuzz::NOW;
use std::sync::{Arc, LazyLock};

static ALICE: LazyLock<Arc<Identity>> =
    LazyLock::new(|| Arc::new(Identity::generate_with(Kem::X25519).unwrap()));
static ENVELOPE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let context = SealContext::new("notes").field("17");
    Sealer::new(&context).to(ALICE.recipient()).sign(&ALICE).seal(b"hello").unwrap()
});
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let notes = SealedResource::new("notes", "id").senders(&[ALICE.signer()]);
    let rule = |pattern| Rule::at("https://a.b", pattern).unwrap();
    Policy::new()
        .service("https://a.b", ServicePins::new([ALICE.recipient().pin()]))
        .unwrap()
        .rule(rule("/notes").seal(notes.clone().list("id", "sealed")))
        .rule(rule("/notes/{id}").seal(notes))
        .rule(rule("/exchange").exchange())
});

const MEDIA_TYPES: [&str; 5] =
    [ENVELOPE_MEDIA_TYPE, "application/json", KEYS_MEDIA_TYPE, "application/problem+json", "text/html"];

libfuzzer_sys::fuzz_target!(|input: (u8, u8, bool, u16, u16, u8, u8, &[u8])| {
    let (url, media_type, redirected, status, at, cut, piece, bytes) = input;
    let at = usize::from(at) % (ENVELOPE.len() + 1);
    let after = (at + usize::from(cut)).min(ENVELOPE.len());
    let body = [&ENVELOPE[..at], bytes, &ENVELOPE[after..]].concat();
    let url = ["https://a.b/notes", "https://a.b/notes/17", "https://a.b/exchange"][usize::from(url) % 3];

    let caller = Caller::new(POLICY.clone()).identity(ALICE.clone());
    let awaiting = caller.call(CallRequest::new("GET", url), NOW).unwrap().awaiting;
    let mut headers = Headers::new();
    let media_type = MEDIA_TYPES[usize::from(media_type) % MEDIA_TYPES.len()];
    headers.add("content-type", media_type).unwrap();
    let answered = awaiting.answered(status, headers, redirected).and_then(|answered| {
        let mut pieces = body.chunks(usize::from(piece).max(1));
        let read = pieces.try_fold(answered, |answered, piece| match answered {
            Answered::Reading(receiving) => receiving.push(piece),
            Answered::Passing(_) => panic!("handed on before it was verified"),
        })?;
        let Answered::Reading(receiving) = read else { return Err(Error::Misuse(&"it passes")) };
        receiving.finish(NOW)
    });
    match answered {
        Ok(Outcome::Done(received)) => assert!(received.body == b"hello" && body == *ENVELOPE && !redirected),
        Ok(Outcome::List(list)) => list.for_each(|item| assert!(item.opened.is_err())),
        Ok(Outcome::Again(_)) => panic!("keys that nobody signed"),
        Err(_) => {}
    }
});
