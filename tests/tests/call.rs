//! A client's call without a network: what it says to send is handed to a service here, and the answer back, in pieces.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::http::{
    Answered, Awaiting, CallRequest, Caller, Counters, ENVELOPE_MEDIA_TYPE, ExchangeService, Headers,
    KEYS_MEDIA_TYPE, KEYS_PATH, LastSeen, Operation, Outcome, Policy, Received, RequestHead, ResponseHead,
    Rule, SealedResource, Sending, SendingBody, ServiceKeys, ServicePins, Target, Unadmitted,
};
use sealwire::{Aead, Error, Identity, Kem, MemoryStore, Recipients, Sealer, to_text};
use sealwire_tests::exchanges::{self, NOW, origin, receive_pieces};
use sealwire_tests::loopback::{DEVICE, copy, keys_in_place_of, person};
use sealwire_tests::people::note;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static SERVICE: LazyLock<Identity> = LazyLock::new(person);
const URL: &str = "https://api.example.com/notes/17";
const PROBLEM: &str = "application/problem+json";
const NO_SUCH_KEY: &[u8] = br#"{"type":"https://iana.org/assignments/http-problem-types#ohttp-key"}"#;
const BAD_DATE: &[u8] = br#"{"type":"https://iana.org/assignments/http-problem-types#date"}"#;

fn service() -> ExchangeService {
    exchanges::service(Kem::X25519, Aead::ChaCha20Poly1305).unwrap()
}

fn caller(change: impl FnOnce(Rule) -> Rule) -> Caller {
    let origin = origin().unwrap().to_string();
    let rule = change(Rule::at(&origin, "/notes/{id}").unwrap());
    let pins = ServicePins::new([SERVICE.recipient().pin()]);
    Caller::new(Policy::new().service(&origin, pins).unwrap().rule(rule)).identity(copy(&DEVICE))
}

fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    fields.iter().for_each(|(name, value)| headers.add(name, value).unwrap());
    headers
}

/// Hands an answer back, as a whole.
fn answer(awaiting: Awaiting, status: u16, kind: &str, body: &[u8], now: u64) -> Result<Outcome, Error> {
    let fields = headers(&[("content-type", kind), ("content-length", &body.len().to_string())]);
    match awaiting.answered(status, fields, false)? {
        Answered::Passing(_) => panic!("it passes"),
        Answered::Reading(receiving) => match receiving.push(body)? {
            Answered::Passing(_) => panic!("it passes"),
            Answered::Reading(receiving) => receiving.finish(now),
        },
    }
}

fn document(service: &ExchangeService, signer: &Identity) -> Vec<u8> {
    let origins = [service.origin().clone()];
    service.with_keys(|keys| keys.document(signer, &origins, &[], NOW)).unwrap()
}

fn again(outcome: Result<Outcome, Error>) -> Result<Sending, Error> {
    match outcome? {
        Outcome::Again(sending) => Ok(sending),
        _ => panic!("it is done"),
    }
}

fn done(outcome: Result<Outcome, Error>) -> Result<Received, Error> {
    match outcome? {
        Outcome::Done(received) => Ok(received),
        _ => panic!("it is not done"),
    }
}

/// Answers the question for keys.
fn give_keys(sending: Sending, service: &ExchangeService) -> Result<Sending, Error> {
    assert_eq!((sending.head.method.as_str(), sending.head.target.path()), ("GET", KEYS_PATH));
    assert_eq!(sending.head.headers.text("cache-control").unwrap(), Some("no-cache"));
    assert!(whole(&sending).is_empty());
    again(answer(sending.awaiting, 200, KEYS_MEDIA_TYPE, &document(service, &SERVICE), NOW))
}

/// A call to a service whose keys are not known yet.
fn call(caller: &Caller, request: CallRequest, service: &ExchangeService) -> Result<Sending, Error> {
    give_keys(caller.call(request, NOW)?, service)
}

fn whole(sending: &Sending) -> &[u8] {
    match &sending.body {
        SendingBody::Whole(body) => body,
        SendingBody::Streamed { .. } => panic!("it is a stream"),
    }
}

fn arrives(service: &ExchangeService, sending: &Sending) -> (Unadmitted, Vec<u8>) {
    receive_pieces(service, &sending.head, whole(sending), 1000, NOW).unwrap()
}

fn admitted(request: Unadmitted) -> RequestHead {
    request.admit(true).unwrap().0
}

/// Serves a request, and hands the sealed answer back.
fn serve(
    service: &ExchangeService,
    sending: Sending,
    head: ResponseHead,
    body: &[u8],
) -> Result<Outcome, Error> {
    let (request, _) = arrives(service, &sending);
    let sealed = request.admit(true)?.1.seal(head, body)?;
    let kind = sealed.head.headers.text("content-type")?.unwrap().to_owned();
    answer(sending.awaiting, sealed.head.status, &kind, &sealed.body, NOW)
}

fn page(status: u16) -> ResponseHead {
    ResponseHead::new(status).unwrap()
}

#[test]
fn keys_are_asked_for_once_and_then_the_request_travels() {
    let (service, caller) = (service(), caller(|rule| rule.exchange().sign()));
    let request = |body: &str| CallRequest::new("POST", URL).header("authorization", "Bearer t0k").body(body);
    let sending = call(&caller, request("milk"), &service).unwrap();
    assert_eq!(sending.head.target.url(), URL);
    assert_eq!(sending.head.headers.text("authorization").unwrap(), None);
    assert!(sending.head.headers.text("signature").unwrap().is_some());
    let (inner, body) = arrives(&service, &sending);
    inner.check_signer(Some(&DEVICE.signer().key_id().to_string())).unwrap();
    let head = admitted(inner);
    assert_eq!(
        (head.method.as_str(), head.headers.text("authorization").unwrap()),
        ("POST", Some("Bearer t0k"))
    );
    assert_eq!(body, b"milk");
    let received = done(serve(&service, sending, page(404), b"no milk")).unwrap();
    assert_eq!((received.head.status, received.body.as_slice()), (404, b"no milk".as_slice()));
    assert!(received.signer.is_none() && received.about.is_none());

    // The key is known now, to clones as well, until it is forgotten.
    let sending = caller.clone().call(request("more"), NOW).unwrap();
    assert_eq!(arrives(&service, &sending).1, b"more");
    caller.forget_service_keys();
    assert_eq!(caller.call(request("more"), NOW).unwrap().head.target.path(), KEYS_PATH);
    // Its time is over a day later, and in the middle of a call, too: what is sealed has the date of when it is sealed.
    let sending = caller.call(request("late"), NOW).unwrap();
    let late = answer(sending.awaiting, 200, KEYS_MEDIA_TYPE, &document(&service, &SERVICE), NOW + 200);
    let late = again(late).unwrap();
    assert_eq!(receive_pieces(&service, &late.head, whole(&late), 9, NOW + 200).unwrap().0.made(), NOW + 200);
    assert_eq!(caller.call(request("old"), NOW + exchanges::DAY).unwrap().head.target.path(), KEYS_PATH);
}

#[test]
fn keys_are_asked_for_again_after_an_hour() {
    let service = service();
    let caller = caller(Rule::exchange);
    let get = || CallRequest::new("GET", URL);
    let first = call(&caller, get(), &service).unwrap();
    assert_eq!(arrives(&service, &first).0.path(), "/notes/17");
    assert_eq!(caller.call(get(), NOW + 3599).unwrap().head.target.path(), "/notes/17");
    // The key was stolen, and there are others.
    service.change_keys(|keys| {
        *keys = ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, 7200, NOW + 10).unwrap();
    });
    let at = |keys: &ServiceKeys, now| keys.document(&SERVICE, &[origin().unwrap()], &[], now).unwrap();
    let later = NOW + 3600;
    let asks = || {
        let sending = caller.call(get(), later).unwrap();
        assert_eq!(sending.head.target.path(), KEYS_PATH);
        sending.awaiting
    };
    // What is no document takes nothing away; nor does it say that the old one is still the newest.
    let long = vec![7; 100_000];
    for (status, kind, body) in
        [(503, "text/html", &long[..]), (200, KEYS_MEDIA_TYPE, b"x"), (200, KEYS_MEDIA_TYPE, &long)]
    {
        let sending = again(answer(asks(), status, kind, body, later)).unwrap();
        assert_eq!(sending.head.target.path(), "/notes/17");
        assert!(receive_pieces(&service, &sending.head, whole(&sending), 1000, later).is_err());
    }
    let document = service.with_keys(|keys| at(keys, later));
    let sending = again(answer(asks(), 200, KEYS_MEDIA_TYPE, &document, later)).unwrap();
    receive_pieces(&service, &sending.head, whole(&sending), 1000, later).unwrap();
    assert_eq!(caller.call(get(), later + 1).unwrap().head.target.path(), "/notes/17");
    // Nobody goes by a key that has expired.
    let expired = later + 9 * 3600;
    let sending = caller.call(get(), expired).unwrap();
    let refused = answer(sending.awaiting, 503, "text/html", b"", expired).map(drop);
    assert_eq!(refused, Err(Error::Unsealed { status: 503 }));
}

#[test]
fn what_is_the_connections_is_not_the_apps() {
    let caller = caller(|rule| rule.seal(notes()).sign());
    let request = CallRequest::new("PUT", URL).header("content-length", "5").header("host", "x");
    let request = request.header("connection", "close").header("te", "trailers").header("x-app", "yes");
    let sending = caller.call(request.body("hello"), NOW).unwrap();
    for name in ["content-length", "host", "connection", "te"] {
        assert_eq!(sending.head.headers.one(name), Ok(None), "{name}");
    }
    assert_eq!(sending.head.headers.text("x-app"), Ok(Some("yes")));
}

#[test]
fn only_the_pinned_services_keys_are_believed() {
    let service = service();
    let genuine = document(&service, &SERVICE);
    for (status, kind, document, expected) in [
        (200, KEYS_MEDIA_TYPE, document(&service, &person()), Error::Rejected),
        (200, "text/html", genuine.clone(), Error::Unsealed { status: 200 }),
        (404, KEYS_MEDIA_TYPE, genuine.clone(), Error::Unsealed { status: 404 }),
        (400, PROBLEM, NO_SUCH_KEY.to_vec(), Error::Unsealed { status: 400 }),
        (200, KEYS_MEDIA_TYPE, vec![0; 65_537], Error::TooLarge(&"a response")),
    ] {
        let sending = caller(Rule::exchange).call(CallRequest::new("GET", URL), NOW).unwrap();
        assert_eq!(answer(sending.awaiting, status, kind, &document, NOW).err(), Some(expected));
    }
    let sending = caller(Rule::exchange).call(CallRequest::new("GET", URL), NOW).unwrap();
    let late = answer(sending.awaiting, 200, KEYS_MEDIA_TYPE, &genuine, NOW + exchanges::DAY);
    assert_eq!(late.err(), Some(Error::Expired));
}

#[test]
fn what_the_service_cannot_open_is_repeated_once_and_only_if_that_does_no_harm() {
    let repeats = |method: &str, idempotent: bool, streamed: bool| {
        let (service, request) = (service(), CallRequest::new(method, URL));
        let caller = caller(|rule| if idempotent { rule.exchange().idempotent() } else { rule.exchange() });
        let request = if streamed { request.streamed() } else { request };
        let first = call(&caller, request, &service).unwrap();
        let key = match &first.body {
            SendingBody::Streamed { .. } => None,
            SendingBody::Whole(_) => admitted(arrives(&service, &first).0)
                .headers
                .one("idempotency-key")
                .unwrap()
                .map(<[u8]>::to_vec),
        };
        assert_eq!(key.is_some(), idempotent && !streamed && method != "GET", "{method}");
        service.change_keys(|keys| {
            *keys = keys_in_place_of(keys, NOW + 1, || ServiceKeys::generate(NOW + 1).unwrap());
        });
        let second = match again(answer(first.awaiting, 400, PROBLEM, NO_SUCH_KEY, NOW + 1)) {
            // The old key is forgotten all the same.
            Err(error) => {
                assert_eq!(error.code(), "InvalidKey");
                assert_eq!(
                    caller.call(CallRequest::new("GET", URL), NOW).unwrap().head.target.path(),
                    KEYS_PATH
                );
                return false;
            }
            Ok(keys) => give_keys(keys, &service).unwrap(),
        };
        let head = admitted(arrives(&service, &second).0);
        assert_eq!(head.headers.one("idempotency-key").unwrap().map(<[u8]>::to_vec), key, "{method}");
        let third = again(answer(second.awaiting, 400, PROBLEM, NO_SUCH_KEY, NOW + 2));
        assert_eq!(third.err().unwrap().code(), "InvalidKey");
        true
    };
    for (method, idempotent, streamed, expected) in [
        ("GET", false, false, true),
        ("HEAD", false, false, true),
        ("POST", false, false, false),
        ("DELETE", false, false, false),
        ("OPTIONS", false, false, false),
        ("POST", true, false, true),
        ("DELETE", true, false, true),
        ("POST", true, true, false),
    ] {
        assert_eq!(repeats(method, idempotent, streamed), expected, "{method} {idempotent} {streamed}");
    }

    // A date is never repeated; what is idempotent only while the service remembers it.
    let (service, caller) = (service(), caller(|rule| rule.exchange().idempotent()));
    let sending = call(&caller, CallRequest::new("GET", URL), &service).unwrap();
    assert_eq!(answer(sending.awaiting, 400, PROBLEM, BAD_DATE, NOW).err(), Some(Error::Expired));
    for (method, after, expected) in [("POST", 300, "ok"), ("POST", 301, "InvalidKey"), ("GET", 301, "ok")] {
        let first = caller.call(CallRequest::new(method, URL), NOW).unwrap();
        let keys = again(answer(first.awaiting, 400, PROBLEM, NO_SUCH_KEY, NOW)).unwrap();
        let second =
            again(answer(keys.awaiting, 200, KEYS_MEDIA_TYPE, &document(&service, &SERVICE), NOW + after));
        assert_eq!(second.map_or_else(|error| error.code(), |_| "ok"), expected, "{method} {after}");
    }
}

#[test]
fn what_is_not_sealed_is_no_answer() {
    let (service, caller) = (service(), caller(Rule::exchange));
    let sent = || call(&caller, CallRequest::new("GET", URL), &service).unwrap();
    for (status, kind, body) in [
        (200, "application/json", b"{}".to_vec()),
        (502, "text/html", b"<h1>Bad Gateway</h1>".to_vec()),
        (400, "text/html", b"<h1>Bad Request</h1>".to_vec()),
        (400, "text/html", vec![b'x'; 4097]),
        (400, PROBLEM, [NO_SUCH_KEY, &vec![b' '; 4097]].concat()),
        (403, PROBLEM, NO_SUCH_KEY.to_vec()),
        (204, "text/html", Vec::new()),
        (101, "text/html", Vec::new()),
        // What fetch says of a redirect that it was told not to follow.
        (0, "text/html", Vec::new()),
        (304, "text/html", Vec::new()),
    ] {
        caller.forget_service_keys();
        let error = answer(sent().awaiting, status, kind, &body, NOW).err();
        assert_eq!(error, Some(Error::Unsealed { status }), "{kind}");
    }
    // A sealed answer that came by another way, or with another status, is none either.
    for (status, redirected) in [(200, true), (301, false), (307, false)] {
        caller.forget_service_keys();
        let sending = sent();
        let sealed = exchanges::answer(arrives(&service, &sending).0, 200, b"x").unwrap();
        let error = sending.awaiting.answered(status, sealed.head.headers, redirected).err();
        assert_eq!(error, Some(Error::Unsealed { status }));
    }
    // The answer to another request.
    caller.forget_service_keys();
    let (mine, other) = (sent(), caller.call(CallRequest::new("GET", URL), NOW).unwrap());
    let sealed = exchanges::answer(arrives(&service, &other).0, 200, b"x").unwrap();
    let kind = sealed.head.headers.text("content-type").unwrap().unwrap();
    assert_eq!(answer(mine.awaiting, 200, kind, &sealed.body, NOW).err(), Some(Error::Rejected));
}

#[test]
fn what_does_not_fit_its_rule_is_not_sent() {
    let code = |change: fn(Rule) -> Rule, request: CallRequest| {
        caller(change).call(request, NOW).err().map_or("ok", |error| error.code())
    };
    let get = || CallRequest::new("GET", URL);
    for (what, code, expected) in [
        ("a rule that protects nothing", code(|rule| rule, get()), "Misuse"),
        ("no rule", code(Rule::exchange, CallRequest::new("GET", "https://api.example.com/x")), "Misuse"),
        (
            "another origin",
            code(Rule::exchange, CallRequest::new("GET", "https://x.example/notes/1")),
            "Misuse",
        ),
        (
            "a user name",
            code(Rule::exchange, CallRequest::new("GET", "https://u@api.example.com/notes/1")),
            "Misuse",
        ),
        ("no URL", code(Rule::exchange, CallRequest::new("GET", "/notes/1")), "Malformed"),
        (
            "another scheme",
            code(Rule::exchange, CallRequest::new("GET", "ftp://api.example.com/")),
            "Malformed",
        ),
        ("a method", code(Rule::exchange, CallRequest::new("TRACE", URL)), "Unsupported"),
        ("a field", code(Rule::exchange, get().header("x", "a\r\nb")), "Malformed"),
        (
            "a stream in the clear",
            code(Rule::in_the_clear, CallRequest::new("POST", URL).streamed()),
            "Misuse",
        ),
        ("a reserved field", code(Rule::in_the_clear, get().header("sealwire-mode", "tunnel")), "Misuse"),
        ("in the clear", code(Rule::in_the_clear, get()), "ok"),
    ] {
        assert_eq!(code, expected, "{what}");
    }
    let sealed = |rule: Rule| rule.seal(notes());
    assert_eq!(code(sealed, CallRequest::new("PUT", URL).streamed()), "Misuse");
}

#[test]
fn urls_are_taken_as_their_parsers_write_them() {
    for (url, origin, path) in [
        ("https://a.example", "https://a.example", "/"),
        ("https://a.example/", "https://a.example", "/"),
        ("https://a.example/b/c?d=e/f?g#h?i", "https://a.example", "/b/c?d=e/f?g"),
        ("http://127.0.0.1:8080/#x", "http://127.0.0.1:8080", "/"),
        ("https://[::1]:9/a@b", "https://[::1]:9", "/a@b"),
    ] {
        let target = Target::parse(url).unwrap();
        assert_eq!((target.origin().to_string().as_str(), target.path_and_query()), (origin, path));
        assert_eq!(target.url(), format!("{origin}{path}"));
    }
    for url in [
        "",
        "a",
        "//a/b",
        "https:/a",
        "https://a?q",
        "https://",
        "https://A.example/",
        "https://a.example:443/",
        "https://a/../b",
        "https://a/b c",
        "https://a\\b/",
        "blob:https://a/b",
    ] {
        assert_eq!(Target::parse(url).unwrap_err().code(), "Malformed", "{url}");
    }
    for url in ["https://u:p@a.example/", "https://:p@a.example/", "https://@a.example/"] {
        assert_eq!(Target::parse(url).unwrap_err().code(), "Misuse", "{url}");
    }
}

#[test]
fn a_streamed_answer_passes_while_it_arrives() {
    let (service, caller) = (service(), caller(|rule| rule.exchange().streamed()).max_body(10));
    let sending = call(&caller, CallRequest::new("GET", URL), &service).unwrap();
    let sealer = arrives(&service, &sending).0.admit(true).unwrap().1;
    let (outer, mut rest) = sealer.stream(page(206)).unwrap();
    let kind = outer.head.headers.text("content-type").unwrap().unwrap();
    let mut answer = sending.awaiting.answered(200, headers(&[("content-type", kind)]), false).unwrap();
    // Byte by byte nothing passes before the head is here, and it does as soon as that is.
    for (at, byte) in outer.body.iter().enumerate() {
        let Answered::Reading(receiving) = answer else { panic!("after {at} bytes") };
        answer = receiving.push(&[*byte]).unwrap();
    }
    let Answered::Passing(mut passing) = answer else { panic!("the head is here") };
    assert_eq!((passing.head.status, passing.front.len(), passing.max_body), (206, 0, 10));
    let mut content = Vec::new();
    for piece in ["data: 1\n\n".to_owned(), "x".repeat(40_000)] {
        let mut sealed = Vec::new();
        rest.push(piece.as_bytes(), &mut sealed).unwrap();
        passing.body.push(&sealed, &mut content).unwrap();
        assert!(std::mem::take(&mut content) == piece.as_bytes());
    }
    let mut end = Vec::new();
    rest.finish(&mut end).unwrap();
    passing.body.push(&end, &mut content).unwrap();
    passing.body.finish(&mut content).unwrap();
    assert!(content.is_empty());

    // Without its end it is not complete; nor if it ends before there is a head.
    let sent = || caller.call(CallRequest::new("GET", URL), NOW).unwrap();
    let sealed =
        |sending: &Sending| exchanges::answer(arrives(&service, sending).0, 200, b"all").unwrap().body;
    let sending = sent();
    let body = sealed(&sending);
    let Ok(Answered::Reading(receiving)) =
        sending.awaiting.answered(200, headers(&[("content-type", kind)]), false)
    else {
        panic!()
    };
    let Ok(Answered::Passing(passing)) = receiving.push(&body[..body.len() - 19]) else { panic!() };
    assert_eq!(passing.front, b"all");
    assert_eq!(passing.body.finish(&mut content), Err(Error::Truncated));
    let sending = sent();
    let body = sealed(&sending);
    let Err(error) = self::answer(sending.awaiting, 200, kind, &body[..33], NOW) else { panic!() };
    assert_eq!(error, Error::Truncated);
}

#[test]
fn an_upload_is_sealed_while_it_is_made() {
    let (service, caller) = (service(), caller(|rule| rule.exchange().sign()));
    let sending = call(&caller, CallRequest::new("PUT", URL).streamed(), &service).unwrap();
    let Sending { head, body: SendingBody::Streamed { front, mut sealer }, awaiting } = sending else {
        panic!("it is whole")
    };
    assert!(head.headers.text("sealwire-exchange-head").unwrap().is_some());
    let mut body = front;
    for piece in ["one ", "", "two"] {
        sealer.push(piece.as_bytes(), &mut body).unwrap();
    }
    let cut = receive_pieces(&service, &head, &body, 7, NOW);
    assert_eq!(cut.err(), Some(Error::Truncated));
    sealer.finish(&mut body).unwrap();
    let (request, content) = receive_pieces(&service, &head, &body, 7, NOW).unwrap();
    assert_eq!(content, b"one two");
    // The answer is read as a whole, since the rule says nothing of streams.
    let sealed = exchanges::answer(request, 201, b"stored").unwrap();
    let kind = sealed.head.headers.text("content-type").unwrap().unwrap();
    let received = done(answer(awaiting, 200, kind, &sealed.body, NOW)).unwrap();
    assert_eq!((received.head.status, received.body.as_slice()), (201, b"stored".as_slice()));
}

#[test]
fn no_more_is_held_than_is_said() {
    let (service, body) = (service(), vec![b'z'; 100_001]);
    for (allowed, expected) in [(100_001, "ok"), (100_000, "TooLarge")] {
        let caller = caller(Rule::exchange).max_body(allowed);
        let sending = call(&caller, CallRequest::new("GET", URL), &service).unwrap();
        let received = done(serve(&service, sending, page(200), &body));
        assert_eq!(received.map_or_else(|error| error.code(), |_| "ok"), expected);
    }
    // Of what is not sealed, and of envelopes: as soon as it is too long.
    let caller = caller(|rule| rule.seal(notes())).max_body(1000);
    let sending = caller.call(CallRequest::new("GET", URL), NOW).unwrap();
    let Ok(Answered::Reading(receiving)) =
        sending.awaiting.answered(200, headers(&[("content-type", ENVELOPE_MEDIA_TYPE)]), false)
    else {
        panic!()
    };
    let Ok(Answered::Reading(receiving)) = receiving.push(&[0; 1000]) else { panic!() };
    assert_eq!(receiving.push(&[0]).err(), Some(Error::TooLarge(&"a response")));
    // What passes in the clear is not held here.
    let clear = self::caller(Rule::in_the_clear).max_body(1000);
    let sending = clear.call(CallRequest::new("GET", URL), NOW).unwrap();
    let Ok(Answered::Passing(mut passing)) = sending.awaiting.answered(500, headers(&[]), false) else {
        panic!()
    };
    let mut content = Vec::new();
    passing.body.push(&[7; 2000], &mut content).unwrap();
    passing.body.finish(&mut content).unwrap();
    assert_eq!((passing.head.status, content.len(), passing.max_body), (500, 2000, 1000));
}

#[test]
fn an_answer_without_an_end_is_not_waited_for() {
    let service = service();
    let caller = caller(Rule::exchange);
    let reading = |now, status, kind: &str| {
        let sending = caller.call(CallRequest::new("GET", URL), now).unwrap();
        assert_eq!(sending.head.target.path(), KEYS_PATH);
        match sending.awaiting.answered(status, headers(&[("content-type", kind)]), false).unwrap() {
            Answered::Reading(receiving) => receiving,
            Answered::Passing(_) => panic!("it passes"),
        }
    };
    let too_long = |now| {
        let Ok(Answered::Reading(receiving)) = reading(now, 200, KEYS_MEDIA_TYPE).push(&vec![0; 64 << 10])
        else {
            panic!()
        };
        assert!(receiving.wants_more());
        let Ok(Answered::Reading(receiving)) = receiving.push(&[0]) else { panic!() };
        assert!(!receiving.wants_more());
        receiving.finish(now)
    };
    // Nothing is known of the service.
    assert_eq!(too_long(NOW).err().unwrap().code(), "TooLarge");
    // There is a key from an hour ago.
    call(&caller, CallRequest::new("GET", URL), &service).unwrap();
    let later = NOW + 3600;
    assert_eq!(again(too_long(later)).unwrap().head.target.path(), "/notes/17");
    let page = reading(later, 503, "text/html");
    assert!(!page.wants_more());
    assert_eq!(again(page.finish(later)).unwrap().head.target.path(), "/notes/17");
}

/// Notes that the device writes to itself.
fn notes() -> SealedResource {
    SealedResource::new("notes", "id").to(&[DEVICE.recipient().clone()]).senders(&[DEVICE.signer()])
}

fn envelope(id: &str, version: u64, text: &str) -> Vec<u8> {
    let reader = [DEVICE.recipient().clone()];
    let context = note(id);
    let sealer = Sealer::new(&context).to(Recipients::from(&reader[..])).sign(&DEVICE);
    sealer.metadata("version", version).content_type("text/x-note").seal(text.as_bytes()).unwrap()
}

/// Who names readers believes that nobody else can read it.
#[test]
fn readers_are_not_named_in_vain() {
    let request = || CallRequest::new("PUT", URL).body("milk");
    for request in
        [request().to(&[DEVICE.recipient().clone()]), request().version(0), request().context(note("17"))]
    {
        let refused = caller(|rule| rule.exchange().sign()).call(request, NOW).err();
        assert_eq!(refused.unwrap().code(), "Misuse");
    }
    caller(|rule| rule.exchange().sign()).call(request(), NOW).unwrap();
}

#[test]
fn a_resource_is_sealed_to_people_and_opened_again() {
    let seen = LastSeen::in_store(MemoryStore::default());
    let caller = caller(|rule| rule.seal(notes()).sign()).last_seen(seen);
    let put = |version| {
        let request = CallRequest::new("PUT", URL).header("content-type", "text/plain").version(version);
        caller.call(request.body("milk"), NOW).unwrap()
    };
    let sending = put(3);
    assert_eq!(sending.head.headers.text("content-type").unwrap(), Some(ENVELOPE_MEDIA_TYPE));
    let stored = whole(&sending).to_vec();
    assert_eq!(sealwire::open(&stored, &*DEVICE, &note("17")).unwrap().plaintext, b"milk");
    // A server's word on a write is no data. That it took it counts before the rest of its answer has come.
    let written = done(answer(sending.awaiting, 201, "text/plain", b"thanks", NOW)).unwrap();
    assert_eq!((written.head.status, written.body.len()), (201, 0));
    // Nor is what describes it.
    assert_eq!(written.head.headers.one("content-length"), Ok(None));
    drop(put(9).awaiting.answered(500, headers(&[]), false));
    drop(put(4).awaiting.answered(204, headers(&[]), false));

    let get = |status, kind: &str, body: &[u8]| {
        let sending = caller.call(CallRequest::new("GET", URL), NOW).unwrap();
        done(answer(sending.awaiting, status, kind, body, NOW))
    };
    assert_eq!(get(200, ENVELOPE_MEDIA_TYPE, &stored).err(), Some(Error::Rejected), "an old version");
    let read = get(200, ENVELOPE_MEDIA_TYPE, &envelope("17", 4, "eggs")).unwrap();
    assert_eq!((read.body.as_slice(), read.signer), (b"eggs".as_slice(), Some(DEVICE.signer())));
    assert_eq!(read.about.unwrap().version(), Some(4));
    assert_eq!(read.head.headers.text("content-type").unwrap(), Some("text/x-note"));
    assert_eq!(get(200, ENVELOPE_MEDIA_TYPE, &envelope("18", 5, "eggs")).err(), Some(Error::Rejected));
    assert_eq!(get(200, "text/plain", b"eggs").err(), Some(Error::Unsealed { status: 200 }));
    assert_eq!(get(404, ENVELOPE_MEDIA_TYPE, &stored).err(), Some(Error::Unsealed { status: 404 }));
}

#[test]
fn a_list_is_opened_item_by_item() {
    let caller = caller(|rule| rule.seal(notes().list("id", "sealed")));
    let list = serde_json::json!([
        {"id": "1", "sealed": to_text(&envelope("1", 1, "one"))},
        {"id": "2", "sealed": to_text(&envelope("1", 1, "one"))},
        {"id": 3},
    ]);
    let get = |kind: &str, body: &str| {
        let sending = caller.call(CallRequest::new("GET", URL), NOW).unwrap();
        match answer(sending.awaiting, 200, kind, body.as_bytes(), NOW)? {
            Outcome::List(list) => Ok::<_, Error>(list),
            _ => panic!("it is no list"),
        }
    };
    let mut received = get("application/json", &list.to_string()).unwrap();
    assert_eq!((received.head.status, received.size_hint()), (200, (3, Some(3))));
    assert_eq!(received.next().unwrap().opened.unwrap().plaintext, b"one");
    let rest: Vec<_> = received.map(|item| (item.id, item.opened.err())).collect();
    assert_eq!(
        rest,
        [("2".into(), Some(Error::Rejected)), ("3".into(), Some(Error::Unsealed { status: 200 }))]
    );
    assert_eq!(get("application/json", "{}").err().unwrap().code(), "Malformed");
    assert_eq!(get("text/html", "[]").err(), Some(Error::Unsealed { status: 200 }));
}

#[test]
fn an_operator_hears_of_every_end() {
    let counters = Arc::new(Counters::default());
    let caller = caller(Rule::exchange).observer(counters.clone());
    for (request, error) in [
        (CallRequest::new("GET", URL), None),
        (CallRequest::new("GET", URL), Some(Error::Network(&"the driver's own"))),
        (CallRequest::new("GET", "nowhere"), Some(Error::Malformed(&"not a URL"))),
    ] {
        caller.report(&request).ended(error, Duration::from_millis(3));
    }
    let call = Operation::Call;
    assert_eq!(counters.snapshot(), [(call, "Malformed", 1), (call, "Network", 1), (call, "ok", 1)]);
    // That it was the service's keys that failed is an event of its own; that they came is none.
    let counters = Arc::new(Counters::default());
    let caller = caller.observer(counters.clone());
    let service = service();
    let (genuine, other) = (document(&service, &SERVICE), document(&service, &person()));
    for (status, kind, document) in [
        (200, KEYS_MEDIA_TYPE, &genuine),
        (401, PROBLEM, &genuine),
        (404, "", &genuine),
        (200, KEYS_MEDIA_TYPE, &other),
    ] {
        caller.forget_service_keys();
        let sending = caller.call(CallRequest::new("GET", URL), NOW).unwrap();
        drop(answer(sending.awaiting, status, kind, document, NOW));
    }
    let keys = Operation::Keys;
    assert_eq!(counters.snapshot(), [(keys, "Rejected", 1), (keys, "Unsealed", 2)]);
}
