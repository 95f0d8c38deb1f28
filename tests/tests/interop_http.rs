//! Exchanges, service keys and signed origin against the implementation in `tests/interop/python/`, which knows nothing but SPEC.md.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use sealwire::http::{
    Arrival, Carriage, ExchangeService, InPlace, KeyConfig, LastSeen, Method, Origin, OriginPolicy,
    RequestHead, RequestSealer, RequestSigner, RequestVerifier, ResponseHead, ResponseOpener, ResponseSealer,
    SealwireLayer, ServiceKeys, ServicePins, SignedBody, Target, TrustedKeys,
};
use sealwire::{Aead, Error, Identity, Kem, MemoryStore, Pin, Signer, from_text, to_text};
use sealwire_tests::interop::Python;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ORIGIN: &str = "https://api.example.com";
const AUTHORITY: &str = "api.example.com";
const NOW: u64 = 1_750_000_000;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ok(answer: &Value, what: &str) {
    assert_eq!(answer["ok"], true, "{what}: {answer}");
}

fn code(answer: &Value) -> &str {
    if answer["ok"] == true { "ok" } else { answer["code"].as_str().unwrap() }
}

fn code_of<T>(result: &Result<T, Error>) -> &'static str {
    result.as_ref().err().map_or("ok", Error::code)
}

fn bytes_of(value: &Value) -> Vec<u8> {
    from_text(value.as_str().unwrap()).unwrap()
}

// ---- the outside of a request, as both sides see it

#[derive(Clone)]
struct Outer {
    method: String,
    path: String,
    query: Option<String>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Outer {
    fn of(head: &RequestHead, body: &[u8]) -> Self {
        let fields = head.headers.iter();
        Self {
            method: head.method.as_str().into(),
            path: head.target.path().into(),
            query: head.target.query().map(Into::into),
            fields: fields
                .map(|(name, value)| (name.into(), String::from_utf8(value.into()).unwrap()))
                .collect(),
            body: body.into(),
        }
    }

    fn from_json(outer: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let fields = outer["fields"].as_array().unwrap();
        Self {
            method: text(&outer["method"]),
            path: text(&outer["path"]),
            query: outer["query"].as_str().map(Into::into),
            fields: fields.iter().map(|field| (text(&field[0]), text(&field[1]))).collect(),
            body: bytes_of(&outer["body"]),
        }
    }

    fn ask(&self, operation: &str, more: Value) -> Value {
        let mut ask = json!({
            "op": operation, "method": self.method, "path": self.path, "query": self.query,
            "fields": self.fields, "body": to_text(&self.body),
        });
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask
    }

    fn head(&self) -> RequestHead {
        let target = match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        };
        let target = Target::new(Origin::parse(ORIGIN).unwrap(), &target).unwrap();
        let mut head = RequestHead::new(Method::new(&self.method).unwrap(), target);
        for (name, value) in &self.fields {
            head.headers.add(name, value).unwrap();
        }
        head
    }

    fn field(&mut self, name: &str) -> &mut String {
        &mut self.fields.iter_mut().find(|field| field.0 == name).unwrap().1
    }
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> RequestHead {
    let target = Target::new(Origin::parse(ORIGIN).unwrap(), target).unwrap();
    let mut head = RequestHead::new(Method::new(method).unwrap(), target);
    fields.iter().for_each(|(name, value)| head.headers.add(name, value).unwrap());
    head
}

/// Everything a service does before it dispatches, but for the replay cache.
fn rust_opens(
    service: &ExchangeService,
    outer: &Outer,
    signers: &[Signer],
) -> Result<(RequestHead, Vec<u8>, ResponseSealer), Error> {
    let head = outer.head();
    let verified = if signers.is_empty() {
        None
    } else {
        let verifier = RequestVerifier::new(signers.to_vec(), OriginPolicy::default());
        let verified = verifier.verify_head(&head, !outer.body.is_empty(), NOW)?;
        let _ = verified.body(&outer.body)?;
        Some(verified.signer.key_id().to_string())
    };
    let Arrival::Sealed(mut opener) = service.arrive(&head)? else {
        return Err(Error::Unsealed { status: 0 });
    };
    let mut content = Vec::new();
    if !opener.is_in_field() || !outer.body.is_empty() {
        opener.push(service, &outer.body, NOW, &mut content)?;
    }
    opener.finish(service, NOW, &mut content)?;
    let unadmitted = opener.take_request(service, NOW)?.ok_or(Error::Truncated)?;
    unadmitted.check_signer(verified.as_deref())?;
    let (head, sealer) = unadmitted.admit(true)?;
    Ok((head, content, sealer))
}

// ---- keys and people

fn kem_name(kem: Kem) -> &'static str {
    if kem == Kem::XWing { "X-Wing" } else { "X25519" }
}

fn identity() -> Identity {
    Identity::generate_with(Kem::X25519).unwrap()
}

struct PythonService {
    number: Value,
    config: KeyConfig,
}

fn python_service(python: &mut Python, kem: Kem, aead: &str, options: Value) -> PythonService {
    let mut ask =
        json!({"op": "http_service", "origin": ORIGIN, "kem": kem_name(kem), "aead": aead, "now": NOW});
    ask.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let service = python.ask(&ask).unwrap();
    ok(&service, "service");
    let pins = ServicePins::new([Pin::parse(service["pin"].as_str().unwrap()).unwrap()]);
    let document = bytes_of(&service["document"]);
    let origin = Origin::parse(ORIGIN).unwrap();
    let trusted =
        TrustedKeys::verify(&document, &origin, &pins, &LastSeen::in_store(MemoryStore::default()), NOW)
            .unwrap();
    assert_eq!(trusted.config(NOW).unwrap().kem(), kem);
    PythonService { number: service["service"].clone(), config: trusted.config(NOW).unwrap().clone() }
}

/// A service in Rust at a fixed time, and a client in Python that has its keys.
fn rust_service(
    python: &mut Python,
    kem: Kem,
    aead: Aead,
    signer: Option<&Identity>,
) -> (ExchangeService, Value) {
    let keys = ServiceKeys::generate_with(kem, aead, 3600, NOW).unwrap();
    let owner = identity();
    let document = keys.document(&owner, &[Origin::parse(ORIGIN).unwrap()], &[], NOW).unwrap();
    let client = python
        .ask(&json!({
            "op": "http_client", "origin": ORIGIN, "pins": [owner.recipient().pin().to_string()], "now": NOW,
            "document": to_text(&document), "identity": signer.map(|signer| signer.reveal().reveal_text().unwrap().to_string()),
            "clock": NOW,
        }))
        .unwrap();
    ok(&client, "client");
    let service =
        ExchangeService::new(Origin::parse(ORIGIN).unwrap(), keys).tunnel("/gateway").post_carrier();
    (service, client["client"].clone())
}

// ---- the SPEC's own examples, and others' vectors

#[test]
fn python_recomputes_the_worked_examples_of_the_spec() {
    let spec = include_str!("../../SPEC.md");
    let mut python = Python::start().unwrap();
    let exchange = python.ask(&json!({"op": "worked_exchange"})).unwrap();
    ok(&exchange, "§19");
    let example = spec.split_once("**Worked example.** The service").unwrap().1.split("```").nth(1).unwrap();
    let mut found: Vec<(String, String)> = Vec::new();
    for line in example.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("    ") {
            Some(hex) => found.last_mut().unwrap().1.push_str(hex),
            None => found.push((line.rsplit_once(" (").unwrap().0.into(), String::new())),
        }
    }
    assert_eq!(found.len(), 8, "{found:?}");
    for (name, value) in found {
        assert_eq!(exchange[&name], value, "{name}");
    }

    let signature = python.ask(&json!({"op": "worked_signature"})).unwrap();
    ok(&signature, "§21");
    let example = spec.split_once("**Example.** `PUT https").unwrap().1.split("```").nth(1).unwrap();
    for name in ["signing key, 32-byte seed", "public key", "key id", "replay id"] {
        let value = signature[name].as_str().unwrap();
        assert!(example.contains(&format!("\n{name}\n    {value}\n")), "{name}: {value}");
    }
    for name in ["signature base", "fields"] {
        let value = signature[name].as_str().unwrap();
        assert!(example.contains(&format!("\n{name}\n\n{value}\n")), "{name}: {value}");
    }
}

#[test]
fn pythons_hpke_has_the_values_of_others() {
    let answer = Python::start().unwrap().ask(&json!({"op": "http_vectors"})).unwrap();
    assert_eq!(answer, json!({"ok": true, "hpke": 3, "x_wing": 3, "fields": 1266}), "{answer}");
}

// ---- a client in Python, a service in Rust, over loopback

struct Served {
    origin: String,
    pin: String,
}

/// Says what came: method, target, fields that matter, and the length of the body; then the body.
async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    let authorization = head.headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    let first = format!("{} {} {authorization} {}\n", head.method, head.uri, body.len());
    ([("x-app", "yes")], [first.as_bytes(), &body].concat()).into_response()
}

/// Five events, each sent only after a pause.
async fn events() -> Response {
    let events = futures::stream::unfold(0, |number| async move {
        if number == 5 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from(format!("data: {number}\n\n"))), number + 1))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn serve(kem: Kem, aead: Aead, signer: Signer) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let owner = identity();
    let pin = owner.recipient().pin().to_string();
    let keys = ServiceKeys::generate_with(kem, aead, 3600, now()).unwrap();
    let exchanges =
        ExchangeService::new(Origin::parse(&origin).unwrap(), keys).tunnel("/gateway").post_carrier();
    let layer = SealwireLayer::exchanges(exchanges, owner)
        .verify(RequestVerifier::new(vec![signer], OriginPolicy::default()));
    let app = Router::new()
        .route("/echo/{name}", any(echo))
        .route("/events", get(events))
        .route("/gone", get(|| async { axum::http::StatusCode::GONE }));
    let app = Router::new().fallback_service(layer.layer(app));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Served { origin, pin }
}

fn suites() -> [(Kem, Aead); 4] {
    [Kem::XWing, Kem::X25519]
        .map(|kem| [(kem, Aead::Aes256Gcm), (kem, Aead::ChaCha20Poly1305)])
        .concat()
        .try_into()
        .unwrap()
}

/// Lengths around a chunk's, for bodies.
const LENGTHS: [usize; 5] = [1, 5, 16_384, 16_385, 60_000];

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_completes_exchanges_with_the_layer() {
    let mut python = Python::start().unwrap();
    for (kem, aead) in suites() {
        let alice = identity();
        let Served { origin, pin } = serve(kem, aead, alice.signer()).await;
        let client = python
            .ask(&json!({
                "op": "http_client", "origin": origin, "pins": [pin],
                "identity": alice.reveal().reveal_text().unwrap(),
            }))
            .unwrap();
        let client = &client["client"];
        let fields = json!([["authorization", "Bearer 1"], ["accept", "*/*"], ["x-utf8", "\u{e4}"]]);
        for chunked in [false, true] {
            for mode in ["in-place", "in-place-post", "tunnel"] {
                let mut send = |method: &str, target: &str, content: &[u8]| {
                    let mode = if mode == "in-place-post" && !content.is_empty() { "in-place" } else { mode };
                    let answer = python
                        .ask(&json!({
                            "op": "http_send", "client": client, "method": method, "target": target,
                            "fields": fields, "content": to_text(content), "chunked": chunked, "mode": mode,
                            "tunnel": "/gateway",
                        }))
                        .unwrap();
                    ok(&answer, &format!("{kem:?} {aead:?} {mode} chunked {chunked} {method} {target}"));
                    answer
                };
                for method in ["GET", "DELETE", "OPTIONS"] {
                    let answer = send(method, "/echo/a?q=a%20b&c", b"");
                    assert_eq!(answer["status"], 200);
                    let expected = format!("{method} /echo/a?q=a%20b&c Bearer 1 0\n");
                    assert_eq!(bytes_of(&answer["content"]), expected.as_bytes());
                    let sent_by_app = json!(["x-app", "yes"]);
                    assert!(answer["fields"].as_array().unwrap().contains(&sent_by_app), "{answer}");
                }
                assert_eq!(bytes_of(&send("HEAD", "/echo/a", b"")["content"]), b"");
                assert_eq!(send("GET", "/gone", b"")["status"], 410);
                for (method, len) in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"].iter().zip(LENGTHS) {
                    let sent = payload(len);
                    let answer = send(method, "/echo/a", &sent);
                    let expected = [format!("{method} /echo/a Bearer 1 {len}\n").as_bytes(), &sent].concat();
                    assert!(bytes_of(&answer["content"]) == expected, "{method} {len}");
                }
            }
        }
        let answer = python
            .ask(&json!({
                "op": "http_send", "client": client, "method": "GET", "target": "/events", "fields": [],
                "chunked": true, "pieces": true,
            }))
            .unwrap();
        ok(&answer, "events");
        let pieces: Vec<Vec<u8>> = answer["pieces"].as_array().unwrap().iter().map(bytes_of).collect();
        let expected: Vec<Vec<u8>> = (0..5).map(|number| format!("data: {number}\n\n").into()).collect();
        assert_eq!(pieces, expected, "one by one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_is_refused_as_the_spec_says() {
    let (mut python, alice) = (Python::start().unwrap(), identity());
    let Served { origin, pin } = serve(Kem::X25519, Aead::ChaCha20Poly1305, alice.signer()).await;
    let mut refused = |pin: &str, signer: Option<&Identity>, method: &str, clock: Option<u64>| {
        let mut ask = json!({
            "op": "http_client", "origin": origin, "pins": [pin],
            "identity": signer.map(|signer| signer.reveal().reveal_text().unwrap().to_string()),
        });
        if let Some(clock) = clock {
            ask["clock"] = clock.into();
        }
        let client = python.ask(&ask).unwrap();
        python
            .ask(&json!({
                "op": "http_send", "client": client["client"], "method": method, "target": "/echo/a",
                "fields": [], "content": "",
            }))
            .unwrap()
    };
    assert_eq!(code(&refused(&pin, Some(&alice), "GET", None)), "ok");
    let another = identity().recipient().pin().to_string();
    assert_eq!(code(&refused(&another, Some(&alice), "GET", None)), "Rejected", "another's keys");
    assert_eq!(code(&refused(&pin, Some(&identity()), "POST", None)), "Unsealed", "not one of the signers");
    assert_eq!(code(&refused(&pin, None, "POST", None)), "Unsealed", "unsigned");
    let early = refused(&pin, Some(&alice), "POST", Some(now() - 290));
    assert_eq!(
        code(&early),
        "Unsealed",
        "signed before the replay cache began: refused like any other signature"
    );
    assert_eq!(code(&refused(&pin, Some(&alice), "POST", Some(now() + 20))), "ok", "a clock that is fast");
}

// ---- a client in Rust, a service in Python

#[test]
fn a_client_in_rust_completes_exchanges_with_a_service_in_python() {
    let mut python = Python::start().unwrap();
    let gateway = Target::new(Origin::parse(ORIGIN).unwrap(), "/gateway").unwrap();
    let carriages = [
        Carriage::InPlace(InPlace::new()),
        Carriage::InPlace(InPlace::new().expose_query().expose_field("x-request-id").post_carrier()),
        Carriage::Tunnel(gateway),
    ];
    let alice = identity();
    for kem in [Kem::XWing, Kem::X25519] {
        for aead in ["AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"] {
            let options = json!({"tunnel": "/gateway", "post_carrier": true});
            let service = python_service(&mut python, kem, aead, options);
            for (carriage, chunked, signed) in carriages.iter().flat_map(|carriage| {
                [(false, false), (true, false), (false, true), (true, true)]
                    .map(|(chunked, signed)| (carriage, chunked, signed))
            }) {
                for (method, len) in [("GET", 0), ("HEAD", 0), ("DELETE", 0), ("POST", 5), ("PUT", 60_000)] {
                    let what =
                        format!("{kem:?} {aead} {carriage:?} chunked {chunked} signed {signed} {method}");
                    let fields = [("x-request-id", "17"), ("cookie", "a=b"), ("content-type", "text/plain")];
                    let head = request(method, "/notes/17?tag=a", &fields);
                    let mut sealer = RequestSealer::new(&service.config, carriage);
                    if chunked {
                        sealer = sealer.chunked();
                    }
                    let key_id = alice.signer().key_id().to_string();
                    if signed {
                        sealer = sealer.signed_by(&key_id);
                    }
                    let (mut sealed, response) = sealer.seal(head, &payload(len), NOW).unwrap();
                    if signed {
                        let body = SignedBody::Whole(&sealed.body);
                        RequestSigner::new(&alice).sign(&mut sealed.head, body, NOW).unwrap();
                    }
                    let outer = Outer::of(&sealed.head, &sealed.body);
                    let signers = if signed { json!([alice.signer().to_string()]) } else { Value::Null };
                    let ask = json!({"service": service.number, "now": NOW, "signers": signers});
                    let ask = outer.ask("http_open", ask);
                    let opened = python.ask(&ask).unwrap();
                    ok(&opened, &what);
                    assert_eq!(opened["method"], method, "{what}");
                    assert_eq!(opened["target"], "/notes/17?tag=a", "{what}");
                    assert!(bytes_of(&opened["content"]) == payload(len), "{what}");
                    assert_eq!(opened["signer"].as_str(), signed.then_some(key_id.as_str()), "{what}");
                    for (name, value) in fields {
                        assert!(
                            opened["fields"].as_array().unwrap().contains(&json!([name, value])),
                            "{what}"
                        );
                    }
                    let again = python.ask(&ask).unwrap();
                    assert_eq!(code(&again), "Replayed", "{what}");

                    let pieces = [payload(3), payload(20_000)];
                    let answer = python
                        .ask(&json!({
                            "op": "http_answer", "exchange": opened["exchange"], "status": 201,
                            "fields": [["x-a", "1"]], "pieces": pieces.each_ref().map(|piece| to_text(piece)),
                        }))
                        .unwrap();
                    let (head, body) = outer_response(200, &answer);
                    let (head, content) = response.open(&head, &body).unwrap();
                    assert_eq!((head.status, head.headers.text("x-a")), (201, Ok(Some("1"))), "{what}");
                    assert!(content == pieces.concat(), "{what}");
                }
            }
        }
    }
}

fn outer_response(status: u16, answer: &Value) -> (ResponseHead, Vec<u8>) {
    ok(answer, "answer");
    let mut head = ResponseHead::new(status).unwrap();
    for field in answer["fields"].as_array().unwrap() {
        head.headers.add(field[0].as_str().unwrap(), field[1].as_str().unwrap()).unwrap();
    }
    (head, answer["pieces"].as_array().unwrap().iter().flat_map(bytes_of).collect())
}

#[test]
fn requests_that_are_sealed_while_they_are_sent_are_read_by_python() {
    let (mut python, alice) = (Python::start().unwrap(), identity());
    for kem in [Kem::XWing, Kem::X25519] {
        let service = python_service(&mut python, kem, "AES-256-GCM", json!({}));
        let key_id = alice.signer().key_id().to_string();
        let carriage = Carriage::InPlace(InPlace::new());
        let sealer = RequestSealer::new(&service.config, &carriage).signed_by(&key_id);
        let (mut sealed, _) = sealer.stream(request("POST", "/upload", &[]), NOW).unwrap();
        RequestSigner::new(&alice).sign(&mut sealed.head, SignedBody::Streamed, NOW).unwrap();
        let mut body = sealed.front;
        for piece in [&b"a"[..], &payload(40_000), b""] {
            sealed.body.push(piece, &mut body).unwrap();
        }
        sealed.body.finish(&mut body).unwrap();
        let signers = [alice.signer().to_string()];
        let mut outer = Outer::of(&sealed.head, &body);
        let ask = json!({"service": service.number, "now": NOW, "signers": signers});
        let opened = python.ask(&outer.ask("http_open", ask.clone())).unwrap();
        ok(&opened, "streamed");
        assert!(bytes_of(&opened["content"]) == [b"a", &payload(40_000)[..]].concat());
        outer.body[38] ^= 1;
        assert_eq!(code(&python.ask(&outer.ask("http_open", ask)).unwrap()), "Rejected", "another beginning");
    }
}

// ---- tampered with

type Tamper = (&'static str, &'static str, fn(&mut Outer));
type ChunksTamper = (&'static str, &'static str, fn(&mut Vec<Vec<u8>>));

fn flip(body: &mut [u8], at: usize) {
    body[at] ^= 1;
}

fn flip_last(outer: &mut Outer) {
    let last = outer.body.len() - 1;
    flip(&mut outer.body, last);
}

/// What is wrong with a request in the body of a POST to /notes?tag=a, and what both sides say to it.
const IN_BODY: &[Tamper] = &[
    ("nothing", "ok", |_| ()),
    ("its end flipped", "Rejected", flip_last),
    ("enc flipped", "Rejected", |outer| flip(&mut outer.body, 8)),
    ("another key id", "InvalidKey", |outer| flip(&mut outer.body, 0)),
    ("another KEM", "InvalidKey", |outer| flip(&mut outer.body, 2)),
    ("another AEAD", "InvalidKey", |outer| flip(&mut outer.body, 6)),
    ("cut", "Rejected", |outer| _ = outer.body.pop()),
    ("cut in hdr", "Truncated", |outer| outer.body.truncate(6)),
    ("cut in enc", "Truncated", |outer| outer.body.truncate(30)),
    ("no body", "Truncated", |outer| outer.body.clear()),
    ("another path", "Rejected", |outer| outer.path = "/notes2".into()),
    ("the path in another spelling", "Rejected", |outer| outer.path = "/%6eotes".into()),
    ("another method", "Rejected", |outer| outer.method = "PUT".into()),
    ("another query", "Rejected", |outer| outer.query = Some("tag=b".into())),
    ("an empty query", "Rejected", |outer| outer.query = Some(String::new())),
    ("the same query", "ok", |outer| outer.query = Some("tag=a".into())),
    ("moved into the tunnel", "Rejected", |outer| outer.path = "/gateway".into()),
    ("a content coding", "Malformed", |outer| outer.fields.push(("content-encoding".into(), "gzip".into()))),
    ("a range", "Malformed", |outer| outer.fields.push(("range".into(), "bytes=0-1".into()))),
    ("two content types", "Malformed", |outer| {
        outer.fields.push(("content-type".into(), "text/plain".into()));
    }),
    ("in both places", "Malformed", |outer| outer.fields.push(("sealwire-exchange".into(), ":AA==:".into()))),
    ("a parameter", "Unsealed", |outer| outer.field("content-type").push_str(";a=b")),
    ("another case", "Unsealed", |outer| *outer.field("content-type") = "Message/ohttp-req".into()),
];

/// Of a GET of /notes?tag=a in the field.
const IN_FIELD: &[Tamper] = &[
    ("nothing", "ok", |_| ()),
    ("another parameter", "Malformed", |outer| outer.field("sealwire-exchange").push_str(";a")),
    ("a space", "Malformed", |outer| outer.field("sealwire-exchange").push_str("; chunked")),
    ("a value", "Malformed", |outer| outer.field("sealwire-exchange").push_str(";chunked=?1")),
    ("no colon", "Malformed", |outer| _ = outer.field("sealwire-exchange").pop()),
    ("empty", "Truncated", |outer| *outer.field("sealwire-exchange") = "::".into()),
    ("not padded", "Malformed", |outer| *outer.field("sealwire-exchange") = ":AAA:".into()),
    ("trailing bits", "Malformed", |outer| *outer.field("sealwire-exchange") = ":AAB=:".into()),
    ("6145 bytes", "TooLarge", |outer| *outer.field("sealwire-exchange") = format!(":{}:", "A".repeat(6143))),
    ("twice", "Malformed", |outer| outer.fields.push(("sealwire-exchange".into(), ":AA==:".into()))),
    ("a body beside it", "Malformed", |outer| outer.body = b"a".to_vec()),
    ("another method", "Rejected", |outer| outer.method = "HEAD".into()),
    ("a POST of it", "Rejected", |outer| outer.method = "POST".into()),
    ("another path", "Rejected", |outer| outer.path = "/notes/".into()),
    ("in the tunnel", "Malformed", |outer| outer.path = "/gateway".into()),
    ("no field", "Unsealed", |outer| outer.fields.retain(|field| field.0 != "sealwire-exchange")),
];

/// Of the chunks of a request in the body, behind hdr and enc.
const CHUNKS: &[ChunksTamper] = &[
    ("nothing", "ok", |_| ()),
    ("reordered", "Rejected", |chunks| chunks.swap(0, 1)),
    ("dropped", "Rejected", |chunks| drop(chunks.remove(1))),
    ("the first dropped", "Rejected", |chunks| drop(chunks.remove(0))),
    ("doubled", "Rejected", |chunks| chunks.insert(1, chunks[0].clone())),
    ("no last chunk", "Truncated", |chunks| drop(chunks.pop())),
    ("a cut last chunk", "Rejected", |chunks| _ = chunks.last_mut().unwrap().pop()),
    ("an empty last chunk", "Rejected", |chunks| chunks.last_mut().unwrap().truncate(1)),
    ("cut in a chunk", "Truncated", |chunks| {
        chunks.truncate(2);
        chunks[1].truncate(500);
    }),
    ("a chunk without plaintext", "Rejected", |chunks| chunks.insert(1, [&[16][..], &[0; 16]].concat())),
    ("a chunk of less than a tag", "Rejected", |chunks| chunks.insert(1, vec![3, 0, 0, 0])),
    ("a claim of 16401 bytes", "TooLarge", |chunks| chunks.insert(1, vec![0x80, 0, 0x40, 0x11])),
    ("a claim of 2^62 - 1 bytes", "TooLarge", |chunks| chunks.insert(1, vec![0xff; 8])),
    ("a longer last chunk", "TooLarge", |chunks| chunks.last_mut().unwrap().extend([0; 16_401])),
    ("the last one as another", "Rejected", |chunks| {
        let last = chunks.pop().unwrap();
        chunks.push([&[u8::try_from(last.len() - 1).unwrap()][..], &last[1..], &[0]].concat());
    }),
    ("another one as the last", "Rejected", |chunks| {
        chunks.truncate(1);
        chunks[0].splice(..4, [0]);
    }),
];

/// The framed chunks; the last one with its 0x00.
fn framed(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while body[0] != 0 {
        let size = 1 << (body[0] >> 6);
        let len = body[1..size].iter().fold(usize::from(body[0] & 63), |n, byte| n << 8 | usize::from(*byte));
        let (chunk, rest) = body.split_at(size + len);
        chunks.push(chunk.to_vec());
        body = rest;
    }
    chunks.push(body.to_vec());
    chunks
}

fn seal_in_rust(config: &KeyConfig, method: &str, content: &[u8], chunked: bool) -> (Outer, ResponseOpener) {
    let carriage = Carriage::InPlace(InPlace::new());
    let sealer = RequestSealer::new(config, &carriage);
    let sealer = if chunked { sealer.chunked() } else { sealer };
    let (sealed, response) = sealer.seal(request(method, "/notes?tag=a", &[]), content, NOW).unwrap();
    (Outer::of(&sealed.head, &sealed.body), response)
}

fn seal_in_python(
    python: &mut Python,
    client: &Value,
    method: &str,
    content: &[u8],
    chunked: bool,
) -> (Outer, Value) {
    let sealed = python
        .ask(&json!({
            "op": "http_seal", "client": client, "method": method, "target": "/notes?tag=a", "fields": [],
            "content": to_text(content), "chunked": chunked,
        }))
        .unwrap();
    ok(&sealed, "seal");
    (Outer::from_json(&sealed), sealed["exchange"].clone())
}

#[test]
fn tampered_requests_are_refused_on_both_sides_with_the_same_code() {
    let mut python = Python::start().unwrap();
    for kem in [Kem::XWing, Kem::X25519] {
        let options = json!({"tunnel": "/gateway", "post_carrier": true});
        let theirs = python_service(&mut python, kem, "ChaCha20-Poly1305", options);
        let (ours, client) = rust_service(&mut python, kem, Aead::ChaCha20Poly1305, None);
        let mut both = |what: &str,
                        expected: &str,
                        method: &str,
                        content: &[u8],
                        chunked: bool,
                        tamper: &dyn Fn(&mut Outer)| {
            let (mut outer, _) = seal_in_rust(&theirs.config, method, content, chunked);
            tamper(&mut outer);
            let ask = outer.ask("http_open", json!({"service": theirs.number, "now": NOW}));
            let answer = python.ask(&ask).unwrap();
            assert_eq!(code(&answer), expected, "Python, {kem:?}, {method}: {what}: {answer}");
            let (mut outer, _) = seal_in_python(&mut python, &client, method, content, chunked);
            tamper(&mut outer);
            let opened = rust_opens(&ours, &outer, &[]);
            assert_eq!(code_of(&opened), expected, "Rust, {kem:?}, {method}: {what}");
        };
        for (what, expected, tamper) in IN_BODY {
            both(what, expected, "POST", b"hello", false, tamper);
        }
        for (what, expected, tamper) in IN_FIELD {
            both(what, expected, "GET", b"", false, tamper);
        }
        let front = if kem == Kem::XWing { 7 + 1120 } else { 7 + 32 };
        for (what, expected, tamper) in CHUNKS {
            both(what, expected, "POST", &payload(60_000), true, &|outer| {
                let mut chunks = framed(&outer.body[front..]);
                tamper(&mut chunks);
                outer.body.truncate(front);
                outer.body.extend(chunks.concat());
            });
        }
    }
}

#[test]
fn tampered_responses_are_refused_on_both_sides_with_the_same_code() {
    let mut python = Python::start().unwrap();
    let theirs = python_service(&mut python, Kem::X25519, "AES-256-GCM", json!({}));
    let (ours, client) = rust_service(&mut python, Kem::X25519, Aead::Aes256Gcm, None);
    let mut both =
        |what: &str, expected: &str, chunked: bool, tamper: &dyn Fn(&mut ResponseHead, &mut Vec<u8>)| {
            let (outer, response) = seal_in_rust(&theirs.config, "POST", b"hello", chunked);
            let opened =
                python.ask(&outer.ask("http_open", json!({"service": theirs.number, "now": NOW}))).unwrap();
            let ask = json!({
                "op": "http_answer", "exchange": opened["exchange"], "status": 200, "fields": [],
                "content": to_text(&payload(60_000)),
            });
            let (mut head, mut body) = outer_response(200, &python.ask(&ask).unwrap());
            tamper(&mut head, &mut body);
            assert_eq!(code_of(&response.open(&head, &body)), expected, "Rust: {what}");

            let (outer, exchange) = seal_in_python(&mut python, &client, "POST", b"hello", chunked);
            let (_, _, sealer) = rust_opens(&ours, &outer, &[]).unwrap();
            let sealed = sealer.seal(ResponseHead::new(200).unwrap(), &payload(60_000)).unwrap();
            let (mut head, mut body) = (sealed.head, sealed.body);
            tamper(&mut head, &mut body);
            let fields =
                Outer { method: String::new(), path: String::new(), query: None, fields: Vec::new(), body };
            let mut ask = fields.ask("http_read", json!({"exchange": exchange, "status": head.status}));
            let fields =
                head.headers.iter().map(|(name, value)| json!([name, String::from_utf8_lossy(value)]));
            ask["fields"] = fields.collect();
            let answer = python.ask(&ask).unwrap();
            assert_eq!(code(&answer), expected, "Python: {what}: {answer}");
            if expected == "Unsealed" {
                assert_eq!(answer["status"], head.status);
            }
        };
    for chunked in [false, true] {
        both("nothing", "ok", chunked, &|_, _| ());
        for status in [201, 204, 206, 302, 400, 500] {
            both("another status", "Unsealed", chunked, &|head, _| head.status = status);
        }
        both("a content coding", "Unsealed", chunked, &|head, _| {
            head.headers.add("content-encoding", "identity").unwrap();
        });
        both("a range", "Unsealed", chunked, &|head, _| {
            head.headers.add("content-range", "bytes 0-1/2").unwrap();
        });
        both("another type", "Unsealed", chunked, &|head, _| {
            head.headers.set("content-type", "application/json").unwrap();
        });
        both("the type of the other form", "Unsealed", chunked, &|head, _| {
            let other = if chunked { "message/ohttp-res" } else { "message/ohttp-chunked-res" };
            head.headers.set("content-type", other).unwrap();
        });
        both("no type", "Unsealed", chunked, &|head, _| head.headers.remove("content-type"));
        both("cut in the nonce", "Truncated", chunked, &|_, body| body.truncate(31));
        both("nothing but the nonce", if chunked { "Truncated" } else { "Rejected" }, chunked, &|_, body| {
            body.truncate(32);
        });
        both("empty", "Truncated", chunked, &|_, body| body.clear());
        both("the nonce flipped", "Rejected", chunked, &|_, body| flip(body, 0));
        both("cut", "Rejected", chunked, &|_, body| _ = body.pop());
        both("something behind it", "Rejected", chunked, &|_, body| body.push(0));
    }
    for (what, expected, tamper) in CHUNKS {
        both(what, expected, true, &|_, body| {
            let mut chunks = framed(&body[32..]);
            tamper(&mut chunks);
            body.truncate(32);
            body.extend(chunks.concat());
        });
    }
}

// ---- signed

/// Of a signed POST of an exchange in the body.
const SIGNED: &[Tamper] = &[
    ("nothing", "ok", |_| ()),
    ("no signature", "Rejected", |outer| outer.fields.retain(|field| !field.0.starts_with("signature"))),
    ("no value", "Rejected", |outer| outer.fields.retain(|field| field.0 != "signature")),
    ("another body", "Rejected", flip_last),
    ("no body", "Rejected", |outer| outer.body.clear()),
    ("no digest", "Malformed", |outer| outer.fields.retain(|field| field.0 != "content-digest")),
    ("another method", "Rejected", |outer| outer.method = "PUT".into()),
    ("another path", "Rejected", |outer| outer.path = "/notes/1".into()),
    ("a query", "Rejected", |outer| outer.query = Some("tag=a".into())),
    ("a cookie", "Rejected", |outer| outer.fields.push(("cookie".into(), "a=b".into()))),
    ("a second type", "Malformed", |outer| outer.fields.push(("content-type".into(), "text/plain".into()))),
    ("a field that is not covered", "ok", |outer| {
        outer.fields.push(("x-forwarded-for".into(), "::1".into()))
    }),
    ("more parameters", "Rejected", |outer| outer.field("signature-input").push_str(";a=1")),
    ("a parameter twice", "Malformed", |outer| outer.field("signature-input").push_str(";created=1")),
    ("a number with a zero", "Malformed", |outer| outer.field("signature-input").push_str(";a=01")),
    ("white space", "ok", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace(";alg", ";  alg");
    }),
    ("another algorithm", "Rejected", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace("\"ed25519\"", "\"rsa-v1_5-sha256\"");
    }),
    ("a token for the algorithm", "Malformed", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace("\"ed25519\"", "ed25519");
    }),
    ("no algorithm", "Rejected", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace(";alg=\"ed25519\"", "");
    }),
    ("a token for the tag", "Rejected", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace("\"sealwire-origin-v1\"", "sealwire-origin-v1");
    }),
    ("an empty nonce", "Malformed", |outer| {
        let input = outer.field("signature-input");
        let (front, rest) = input.split_once("nonce=\"").unwrap();
        *input =
            format!("{front}nonce=\"{}", rest.split_once('"').unwrap().1).replace("nonce=\"", "nonce=\"\"");
    }),
    ("a component with a parameter", "Malformed", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace("\"@path\"", "\"@path\";req");
    }),
    ("a component twice", "Malformed", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace("\"@path\"", "\"@path\" \"@path\"");
    }),
    ("a component that is none of the four", "Malformed", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace("\"@path\"", "\"@path\" \"@scheme\"");
    }),
    ("a component less", "Rejected", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace(" \"@query\"", "");
    }),
    ("a field that is not there", "Malformed", |outer| {
        let input = outer.field("signature-input");
        *input = input.replace("\"@path\"", "\"@path\" \"if-match\"");
    }),
    ("a signature that is a string", "Malformed", |outer| {
        *outer.field("signature") = "sealwire=\"a\"".into()
    }),
    ("a short signature", "Malformed", |outer| *outer.field("signature") = "sealwire=:AA==:".into()),
    ("a signature that is not padded", "Malformed", |outer| {
        let signature = outer.field("signature");
        *signature = signature.replace("==:", ":");
    }),
    ("another label", "Rejected", |outer| {
        let signature = outer.field("signature");
        *signature = signature.replace("sealwire=", "another=");
    }),
    ("both labels", "ok", |outer| {
        for name in ["signature", "signature-input"] {
            let field = outer.field(name);
            *field = field.replace("sealwire=", "another=");
        }
    }),
    ("8 KiB", "TooLarge", |outer| {
        let more = format!(", a=:{}:", "A".repeat(8192));
        outer.field("signature").push_str(&more);
    }),
];

#[test]
fn tampered_signatures_are_refused_on_both_sides_with_the_same_code() {
    let (mut python, alice, bob) = (Python::start().unwrap(), identity(), identity());
    let theirs = python_service(&mut python, Kem::X25519, "ChaCha20-Poly1305", json!({}));
    let (ours, client) = rust_service(&mut python, Kem::X25519, Aead::ChaCha20Poly1305, Some(&alice));
    let signers = [bob.signer(), alice.signer()];
    let names = signers.map(|signer| signer.to_string());
    let key_id = alice.signer().key_id().to_string();
    let carriage = Carriage::InPlace(InPlace::new());
    let seal = || {
        let sealer = RequestSealer::new(&theirs.config, &carriage).signed_by(&key_id);
        sealer.seal(request("POST", "/notes", &[]), b"hello", NOW).unwrap().0
    };
    let mut resigned = seal();
    RequestSigner::new(&bob).sign(&mut resigned.head, SignedBody::Whole(&resigned.body), NOW).unwrap();
    let more = json!({"service": theirs.number, "now": NOW, "signers": names});
    let ask = Outer::of(&resigned.head, &resigned.body).ask("http_open", more.clone());
    assert_eq!(code(&python.ask(&ask).unwrap()), "Rejected", "Python: Bob signs what Alice sealed");

    for (what, expected, tamper) in SIGNED {
        let mut sealed = seal();
        RequestSigner::new(&alice).sign(&mut sealed.head, SignedBody::Whole(&sealed.body), NOW).unwrap();
        let mut outer = Outer::of(&sealed.head, &sealed.body);
        tamper(&mut outer);
        let answer = python.ask(&outer.ask("http_open", more.clone())).unwrap();
        assert_eq!(code(&answer), *expected, "Python: {what}: {answer}");

        let sealed = python
            .ask(&json!({
                "op": "http_seal", "client": client, "method": "POST", "target": "/notes", "fields": [],
                "content": to_text(b"hello"),
            }))
            .unwrap();
        ok(&sealed, "seal");
        let mut outer = Outer::from_json(&sealed);
        tamper(&mut outer);
        assert_eq!(code_of(&rust_opens(&ours, &outer, &signers)), *expected, "Rust: {what}");
    }
}

#[test]
fn both_sides_judge_the_times_of_a_signature_alike() {
    let (mut python, alice) = (Python::start().unwrap(), identity());
    let mut sealed = request("GET", "/notes", &[]);
    RequestSigner::new(&alice).sign(&mut sealed, SignedBody::None, NOW).unwrap();
    let outer = Outer::of(&sealed, b"");
    for (at, expected) in [(NOW - 31, "Expired"), (NOW - 30, "ok"), (NOW + 330, "ok"), (NOW + 331, "Expired")]
    {
        let verifier = RequestVerifier::new(vec![alice.signer()], OriginPolicy::default());
        let verified = verifier.verify_head(&sealed, false, at);
        assert_eq!(code_of(&verified), expected, "Rust: {at}");
        let ask = json!({"authority": AUTHORITY, "signers": [alice.signer().to_string()], "now": at});
        let answer = python.ask(&outer.ask("origin_verify", ask)).unwrap();
        assert_eq!(code(&answer), expected, "Python: {at}");
        if let Ok(verified) = verified {
            let nonce = verified.nonce.unwrap();
            assert_eq!(answer["replay_id"], hex(&nonce.id));
            assert_eq!(answer["until"], nonce.keep_until);
            assert_eq!(answer["key_id"], alice.signer().key_id().to_string());
        }
    }
}

/// What a signer who knows no better may write for a body; all of it is signed.
#[test]
fn proofs_of_a_body_are_judged_alike() {
    let (mut python, alice) = (Python::start().unwrap(), identity());
    let sha256 = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let sha512 =
        "sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:";
    let head = format!(":{}:", "A".repeat(52));
    let cases: Vec<(&str, String, &str, &str)> = [
        ("content-digest", sha256, "hello", "ok"),
        ("content-digest", sha512, "hello", "ok"),
        ("content-digest", &format!("{sha256}, {sha512}"), "hello", "ok"),
        ("content-digest", &format!("{sha256},{sha512}"), "hello", "ok"),
        ("content-digest", &format!("{sha256}, md5=:AA==:"), "hello", "ok"),
        ("content-digest", &format!("{sha256}, {sha512}"), "hellO", "Rejected"),
        ("content-digest", &format!("{sha256}, sha-512=:{}==:", "A".repeat(86)), "hello", "Rejected"),
        ("content-digest", "md5=:AA==:", "hello", "Rejected"),
        ("content-digest", "md5=:AA==:", "", "Rejected"),
        ("content-digest", "", "hello", "Rejected"),
        ("content-digest", sha256, "", "Rejected"),
        ("content-digest", "sha-256=:AA==:", "hello", "Malformed"),
        ("content-digest", "sha-256=a", "hello", "Malformed"),
        ("content-digest", "sha-256", "hello", "Malformed"),
        ("content-digest", "sha-256=(:AA==:)", "hello", "Malformed"),
        ("content-digest", &sha256.replace("=:", ":").replace("256:", "256=:"), "hello", "Malformed"),
        ("content-digest", &format!("{sha256}, {sha256}"), "hello", "Malformed"),
        ("content-digest", &format!("{sha256};a=1"), "hello", "Malformed"),
        ("content-digest", "=", "hello", "Malformed"),
        ("sealwire-exchange-head", &head, "hello", "Rejected"),
        ("sealwire-exchange-head", &head, "", "Rejected"),
        ("sealwire-exchange-head", ":AAAA:", "hello", "Malformed"),
        ("sealwire-exchange-head", &format!("{head};a"), "hello", "Malformed"),
        ("sealwire-exchange-head", "a", "hello", "Malformed"),
        ("sealwire-exchange-head", &format!(":{}:", "A".repeat(2732)), "hello", "TooLarge"),
    ]
    .map(|(name, value, body, expected)| (name, value.to_string(), body, expected))
    .into();
    for (name, value, body, expected) in cases {
        let outer = Outer {
            method: "POST".into(),
            path: "/notes".into(),
            query: None,
            fields: vec![(name.into(), value.clone())],
            body: body.into(),
        };
        let ask = json!({"authority": AUTHORITY, "identity": alice.reveal().reveal_text().unwrap().to_string(), "now": NOW});
        let signed = python.ask(&outer.ask("origin_sign", ask)).unwrap();
        ok(&signed, &value);
        let outer = Outer::from_json(&signed);
        let verifier = RequestVerifier::new(vec![alice.signer()], OriginPolicy::default());
        let head = verifier.verify_head(&outer.head(), !outer.body.is_empty(), NOW);
        let verified = head.and_then(|head| head.body(&outer.body));
        assert_eq!(code_of(&verified), expected, "Rust: {name}: {value}, {body:?}");
        let ask = json!({"authority": AUTHORITY, "signers": [alice.signer().to_string()], "now": NOW});
        let answer = python.ask(&outer.ask("origin_verify", ask)).unwrap();
        assert_eq!(code(&answer), expected, "Python: {name}: {value}, {body:?}: {answer}");
    }
}

// ---- key documents

/// The same verdict. What has several faults may be refused for any of them, as they were found.
fn alike(a: &str, b: &str) -> bool {
    let faults = ["Malformed", "Unsupported", "TooLarge", "Truncated", "InvalidKey"];
    a == b || (faults.contains(&a) && faults.contains(&b))
}

/// Every byte flipped, every cut: both say the same, whatever it is.
#[test]
fn key_documents_are_judged_alike() {
    let (mut python, owner) = (Python::start().unwrap(), identity());
    let origin = Origin::parse(ORIGIN).unwrap();
    let keys = ServiceKeys::generate_with(Kem::X25519, Aead::Aes256Gcm, 3600, NOW).unwrap();
    let document =
        keys.document(&owner, std::slice::from_ref(&origin), &[identity().recipient().pin()], NOW).unwrap();
    let pin = owner.recipient().pin();
    let mut seen = std::collections::BTreeMap::new();
    let mut judge = |document: &[u8], origin: &Origin, pin: Pin, at: u64, what: &str| {
        let trusted = TrustedKeys::verify(
            document,
            origin,
            &ServicePins::new([pin]),
            &LastSeen::in_store(MemoryStore::default()),
            at,
        );
        let origin = format!("{}://{}", origin.scheme(), origin.authority());
        let answer = python
            .ask(&json!({
                "op": "http_document", "document": to_text(document), "origin": origin, "pins": [pin.to_string()],
                "now": at,
            }))
            .unwrap();
        assert!(alike(code(&answer), code_of(&trusted)), "{what}: Rust {}, {answer}", code_of(&trusted));
        *seen.entry(code_of(&trusted)).or_insert(0) += 1;
        code_of(&trusted)
    };
    assert_eq!(judge(&document, &origin, pin, NOW, "as it is"), "ok");
    for (at, expected) in
        [(NOW - 301, "Expired"), (NOW - 300, "ok"), (NOW + 3599, "ok"), (NOW + 3600, "Expired")]
    {
        assert_eq!(judge(&document, &origin, pin, at, "another time"), expected, "{at}");
    }
    assert_eq!(judge(&document, &origin, identity().recipient().pin(), NOW, "another pin"), "Rejected");
    let another = Origin::parse("https://api.example.org").unwrap();
    assert_eq!(judge(&document, &another, pin, NOW, "another origin"), "Rejected");
    for at in 0..document.len() {
        for bit in [1, 0x20, 0x80] {
            let mut flipped = document.clone();
            flipped[at] ^= bit;
            assert_ne!(judge(&flipped, &origin, pin, NOW, &format!("byte {at} flipped by {bit}")), "ok");
        }
        assert_ne!(judge(&document[..at], &origin, pin, NOW, &format!("cut to {at}")), "ok");
    }
    for expected in ["Malformed", "Unsupported", "InvalidKey", "Rejected"] {
        assert!(seen.contains_key(expected), "{expected} never came: {seen:?}");
    }
}

#[test]
fn key_configurations_are_judged_alike() {
    let mut python = Python::start().unwrap();
    let mut judge = |list: &[u8], what: &str| {
        let chosen = KeyConfig::parse_list(list);
        let answer =
            python.ask(&json!({"op": "http_configurations", "configurations": to_text(list)})).unwrap();
        assert!(alike(code(&answer), code_of(&chosen)), "{what}: Rust {}, Python {answer}", code_of(&chosen));
        if let Ok(chosen) = &chosen {
            assert_eq!(answer["key_id"], chosen.id(), "{what}");
        }
        code_of(&chosen)
    };
    let keys = ServiceKeys::generate_with(Kem::X25519, Aead::Aes256Gcm, 3600, NOW).unwrap();
    let first = keys.ohttp_keys(NOW);
    let second =
        ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, 3600, NOW).unwrap().ohttp_keys(NOW);
    let both = [&first[..], &second].concat();
    assert_eq!(judge(&both, "two"), "ok");
    for at in 0..both.len() {
        for bit in [1, 0x20, 0x80] {
            let mut flipped = both.clone();
            flipped[at] ^= bit;
            judge(&flipped, &format!("byte {at} flipped by {bit}"));
        }
        judge(&both[..at], &format!("cut to {at}"));
    }
    assert_eq!(judge(&first.repeat(16), "16"), "ok");
    assert_eq!(judge(&first.repeat(17), "17"), "TooLarge");
    let strange = [0, 3, 1, 0xff, 0xff];
    assert_eq!(judge(&strange, "an unknown KEM"), "Unsupported");
    assert_eq!(judge(&[&strange, &first[..]].concat(), "an unknown KEM, then a key"), "ok");
    assert_eq!(judge(&[&first[..], &[0, 3, 1, 0, 0x20]].concat(), "a key, then a broken one"), "ok");
    assert_eq!(judge(&[0, 0], "an empty one"), "Malformed");
}

// ---- messages that nobody writes

fn string(text: &[u8]) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap();
    if len < 64 {
        [&[u8::try_from(len).unwrap()][..], text].concat()
    } else {
        [&(len | 0x4000).to_be_bytes()[..], text].concat()
    }
}

fn control(method: &str, scheme: &str, authority: &str, target: &str) -> Vec<u8> {
    [method, scheme, authority, target].map(|part| string(part.as_bytes())).concat()
}

fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| [string(name.as_bytes()), string(value.as_bytes())])
        .flatten()
        .collect()
}

const DATE: (&str, &str) = ("date", "Sun, 15 Jun 2025 15:06:40 GMT");
const MODE: (&str, &str) = ("sealwire-mode", "in-place");

fn known(control: &[u8], fields: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    [&[0][..], control, &string(&section(fields)), &string(content)].concat()
}

#[test]
fn messages_that_nobody_writes_are_judged_alike() {
    let mut python = Python::start().unwrap();
    let (ours, client) = rust_service(&mut python, Kem::X25519, Aead::ChaCha20Poly1305, None);
    let mut seen = std::collections::BTreeMap::new();
    let mut differ = Vec::new();
    let mut judge = |message: &[u8], what: &str| {
        let answer = python
            .ask(&json!({
                "op": "http_seal_raw", "client": client, "message": to_text(message), "method": "POST", "path": "/n",
            }))
            .unwrap();
        ok(&answer, what);
        let opened = rust_opens(&ours, &Outer::from_json(&answer), &[]);
        if !alike(answer["verdict"].as_str().unwrap(), code_of(&opened)) {
            differ.push(format!(
                "{what}: Rust {}, Python {}: {}",
                code_of(&opened),
                answer["verdict"],
                hex(message)
            ));
        }
        *seen.entry(code_of(&opened)).or_insert(0) += 1;
        code_of(&opened)
    };
    let usual = control("POST", "https", AUTHORITY, "/n");
    let message = known(&usual, &[DATE, MODE], b"hello");
    assert_eq!(judge(&message, "as it is"), "ok");
    for at in 0..message.len() {
        for bit in [1, 2, 4, 8, 16, 32, 64, 128] {
            let mut flipped = message.clone();
            flipped[at] ^= bit;
            judge(&flipped, &format!("known: byte {at} flipped by {bit}"));
        }
        judge(&message[..at], &format!("known: cut to {at}"));
    }
    let fields = section(&[DATE, MODE]);
    let long = [&[2][..], &usual, &fields, &[0], &string(b"hel"), &string(b"lo"), &[0, 0]].concat();
    assert_eq!(judge(&long, "indeterminate"), "ok");
    for at in 0..long.len() {
        for bit in [1, 4, 32, 64, 128] {
            let mut flipped = long.clone();
            flipped[at] ^= bit;
            judge(&flipped, &format!("indeterminate: byte {at} flipped by {bit}"));
        }
        judge(&long[..at], &format!("indeterminate: cut to {at}"));
    }
    for end in [&[0][..], &[0; 500], &[0, 1], &[1], &[0x40, 0]] {
        judge(&[&message, end].concat(), &format!("known, then {end:?}"));
        judge(&[&long, end].concat(), &format!("indeterminate, then {end:?}"));
        judge(&[&[0][..], &usual, &string(&fields), end].concat(), &format!("no content, then {end:?}"));
        judge(&[&[2][..], &usual, &fields, end].concat(), &format!("no end of fields, then {end:?}"));
    }
    for method in
        ["", "post", "CONNECT", "TRACE", "connect", "PO ST", "P\u{e9}", &"M".repeat(32), &"M".repeat(33)]
    {
        judge(
            &known(&control(method, "https", AUTHORITY, "/n"), &[DATE, MODE], b""),
            &format!("method {method}"),
        );
    }
    for scheme in ["", "http", "HTTPS", "ftp", "https:"] {
        judge(
            &known(&control("POST", scheme, AUTHORITY, "/n"), &[DATE, MODE], b""),
            &format!("scheme {scheme}"),
        );
    }
    let long_host = "a".repeat(272);
    let longer_host = "a".repeat(273);
    for authority in [
        "",
        "API.example.com",
        "api.example.com:443",
        "api.example.com:80",
        "api.example.com:0443",
        "api.example.com:",
        "api.example.com:65536",
        "api.example.com:0",
        "user@api.example.com",
        "[::1]",
        "[::1]:8443",
        "[::G]",
        "[::1",
        "::1",
        "[]",
        "[1]x",
        "a b",
        ":8443",
        "[v1.a]",
        &long_host,
        &longer_host,
    ] {
        judge(
            &known(&control("POST", "https", authority, "/n"), &[DATE, MODE], b""),
            &format!("authority {authority}"),
        );
    }
    let long_target = format!("/{}", "a".repeat(16_383));
    for target in [
        "",
        "n",
        "*",
        "//n",
        "/n?",
        "/n??",
        "/n#a",
        "/./n",
        "/n/..",
        "/n/.",
        "/n/%2e",
        "/n/%2E%2e/a",
        "/n/.%2e",
        "/n/..a",
        "/n/...",
        "/n?/../",
        "/n%",
        "/n%zz",
        "/n\\",
        "/n^",
        "/n`",
        "/n|",
        "/n{",
        "/n}",
        "/n<",
        "/n>",
        "/n\"",
        "/n[]",
        "/n ",
        "/n\t",
        "/n\u{e9}",
        "/n%2f",
        "https://api.example.com/n",
        &long_target,
    ] {
        judge(
            &known(&control("POST", "https", AUTHORITY, target), &[DATE, MODE], b""),
            &format!("target {target}"),
        );
    }
    let (big_name, bigger_name) = ("n".repeat(256), "n".repeat(257));
    for (name, value) in [
        ("a", ""),
        ("", "a"),
        ("A", "a"),
        ("a b", "a"),
        ("a:", "a"),
        (":path", "/"),
        ("a\u{e9}", "a"),
        ("a", " a"),
        ("a", "a "),
        ("a", "\ta"),
        ("a", "a\tb"),
        ("a", "a\nb"),
        ("a", "a\rb"),
        ("a", "a\0b"),
        ("a", "\u{7f}"),
        ("a", "\u{e9}"),
        ("connection", "close"),
        ("host", AUTHORITY),
        ("keep-alive", "a"),
        ("proxy-authenticate", "a"),
        ("proxy-authorization", "a"),
        ("proxy-connection", "a"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "a"),
        ("trailer", "a"),
        ("content-length", "5"),
        ("content-length", "05"),
        ("content-length", "+5"),
        ("content-length", "4"),
        ("content-length", ""),
        ("content-length", "5, 5"),
        ("content-length", "18446744073709551621"),
        ("date", "Sun, 15 Jun 2025 15:06:40 GMT"),
        ("sealwire-mode", "in-place"),
        ("sealwire-signer", "a"),
        ("sealwire-signer", ""),
        ("sealwire-other", "a"),
        ("idempotency-key", "a"),
        ("content-type", "a"),
        ("cookie", "a"),
        (&big_name, "a"),
        (&bigger_name, "a"),
    ] {
        let what = format!("{name}: {value:?}");
        judge(&known(&usual, &[DATE, MODE, (name, value)], b"hello"), &what);
        judge(
            &known(&usual, &[DATE, MODE, (name, value), (name, value)], b"hello"),
            &format!("{what}, twice"),
        );
        judge(&known(&usual, &[(name, value)], b"hello"), &format!("{what}, alone"));
    }
    for date in [
        "",
        "Sun, 15 Jun 2025 15:01:40 GMT",
        "Sun, 15 Jun 2025 15:01:39 GMT",
        "Sun, 15 Jun 2025 15:11:40 GMT",
        "Sun, 15 Jun 2025 15:11:41 GMT",
        "Mon, 15 Jun 2025 15:06:40 GMT",
        "Sun, 15 Jun 2025 15:06:40 UTC",
        "Sunday, 15-Jun-25 15:06:40 GMT",
        "Sun Jun 15 15:06:40 2025",
        "Sun, 15 Jun 2025 15:06:60 GMT",
        "1750000000",
        "Sun,  15 Jun 2025 15:06:40 GMT",
        "sun, 15 jun 2025 15:06:40 gmt",
        "Sun, 15 Jun 2025 15:06:40 GMT\u{e9}",
    ] {
        judge(&known(&usual, &[("date", date), MODE], b""), &format!("date {date}"));
    }
    for mode in ["", "tunnel", "in-place-post", "In-Place", "in-place, in-place", "x", "in-place\u{e9}"] {
        judge(&known(&usual, &[DATE, ("sealwire-mode", mode)], b""), &format!("mode {mode}"));
    }
    for count in [253, 254, 255] {
        let mut fields = vec![DATE, MODE];
        fields.resize(2 + count, ("a", "b"));
        let section = section(&fields);
        let section =
            [&(u32::try_from(section.len()).unwrap() | 0x8000_0000).to_be_bytes()[..], &section].concat();
        judge(&[&[0][..], &usual, &section, &[0]].concat(), &format!("{} fields", 2 + count));
    }
    let trailers = [&message[..], &string(&section(&[("a", "b")]))].concat();
    assert_eq!(judge(&trailers, "trailers"), "Unsupported");
    for claim in [&[0x80, 2, 0, 1][..], &[0xff; 8], &[0xc0, 0, 0, 0, 0, 0, 0, 5]] {
        judge(&[&[0][..], &usual, claim].concat(), &format!("a section of {claim:?}"));
        judge(&[&[0][..], &usual, &string(&fields), claim].concat(), &format!("content of {claim:?}"));
        judge(&[&[2][..], &usual, claim].concat(), &format!("a name of {claim:?}"));
        judge(&[&[0][..], claim].concat(), &format!("a method of {claim:?}"));
    }
    assert!(differ.is_empty(), "{} of them:\n{}", differ.len(), differ.join("\n"));
    for expected in ["ok", "Malformed", "Unsupported", "Rejected", "Truncated", "TooLarge", "Expired"] {
        assert!(seen.contains_key(expected), "{expected} never came: {seen:?}");
    }
}
