//! Calls a service of another language, whose address, pin and known devices are on the command line; run by `wasm/test/server.test.mjs`.
//!
//!     web_client calls   URL PIN DEVICE            everything that the client can do
//!     web_client notes   URL PIN DEVICE            what the examples take
//!     web_client hostile URL PIN DEVICE OTHER      what must be refused, and as the tower layer does; prints the layer's events
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use sealwire::http::{
    Carriage, Client, ExchangeService, InPlace, KEYS_PATH, KeyConfig, LastSeen, Method, Origin, OriginPolicy,
    Policy, RequestHead, RequestSealer, RequestVerifier, Rule, SealedResource, ServicePins, Target,
    TrustedKeys,
};
use sealwire::{Identity, MemoryStore, Pin};
use sealwire_tests::loopback::{Answer, Service, Wire, copy, http, now, pieces, send_raw};
use std::net::SocketAddr;

const TUNNEL: &str = "/ohttp";
const MAX_BODY: u64 = 8 * 1024 * 1024;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["calls", url, pin, device] => calls(url, pin, Identity::parse(device).unwrap()).await,
        ["notes", url, pin, device] => notes(url, pin, Identity::parse(device).unwrap()).await,
        ["hostile", url, pin, device, other] => {
            hostile(url, pin, Identity::parse(device).unwrap(), Identity::parse(other).unwrap()).await;
        }
        _ => panic!("usage: web_client calls|notes|hostile URL PIN DEVICE [OTHER]"),
    }
}

async fn calls(origin: &str, pin: &str, device: Identity) {
    let signer = device.signer().to_string();
    let pins = ServicePins::new([Pin::parse(pin).unwrap()]);
    let client = |change: &dyn Fn(Rule) -> Rule| {
        let rule = change(Rule::at(origin, "/{rest..}").unwrap());
        let policy = Policy::new().service(origin, pins.clone()).unwrap().rule(rule);
        Client::new(http(), policy).identity(copy(&device))
    };
    let url = |path: &str| format!("{origin}{path}");

    let tunnel = Target::parse(&url(TUNNEL)).unwrap();
    let whole = client(&|rule| rule.exchange().sign());
    let streamed = client(&|rule| rule.exchange().streamed().sign());
    let tunnelled = client(&|rule| rule.exchange_by(Carriage::Tunnel(tunnel.clone())).sign());
    for client in [&whole, &streamed, &tunnelled] {
        for (method, path, body) in [
            ("GET", "/echo?a=b%20c&d=%27", ""),
            ("POST", "/echo", "hello"),
            ("POST", "/echo", ""),
            ("PUT", "/echo/1?x", "hello"),
            ("PATCH", "/echo", "hello"),
            ("DELETE", "/echo", ""),
        ] {
            let asked = client.request(method, &url(path)).header("x-inner", "caf\u{e9}").body(body);
            let answer = asked.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let fields = answer.headers();
            assert_eq!(fields.text("x-signer"), Ok(Some(signer.as_str())));
            assert_eq!(fields.all("set-cookie").collect::<Vec<_>>(), [&b"a=1"[..], b"b=2"]);
            assert_eq!(fields.text("x-inner"), Ok(Some("caf\u{e9}")));
            assert_eq!(answer.text().await.unwrap(), format!("{method} {path} {body}"));
        }
        let head = client.head(&url("/echo")).send().await.unwrap();
        assert_eq!((head.status(), head.bytes().await.unwrap().len()), (200, 0));
        for status in [204, 304, 404, 500] {
            let answer = client.get(&url(&format!("/status/{status}"))).send().await.unwrap();
            assert_eq!(answer.status(), status);
            assert!(answer.bytes().await.unwrap().is_empty());
        }
        let large = vec![7; 3 << 20];
        let answer = client.post(&url("/length")).body(large).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), (3 << 20).to_string());
    }

    // The second event is made when the first one was read.
    let mut events = streamed.get(&url("/events")).send().await.unwrap();
    assert_eq!(events.chunk().await.unwrap().unwrap(), b"data: 1\n\n");
    assert_eq!(whole.post(&url("/go")).send().await.unwrap().status(), 200);
    assert_eq!(events.chunk().await.unwrap().unwrap(), b"data: 2\n\n");
    assert_eq!(events.chunk().await.unwrap(), None);

    // 32 MiB each way, while they are made.
    let mut large = streamed.get(&url("/large")).send().await.unwrap();
    let mut length = 0;
    while let Some(piece) = large.chunk().await.unwrap() {
        length += piece.len();
    }
    assert_eq!(length, 32 << 20);
    // The app has the first piece before the second is made.
    let (send, body) = pieces();
    send.send(Ok(vec![1; 1000].into())).unwrap();
    let upload = tokio::spawn(streamed.post(&url("/upload/1")).body_stream(body).send());
    assert_eq!(whole.get(&url("/uploaded")).send().await.unwrap().text().await.unwrap(), "1000");
    for _ in 0..64 {
        send.send(Ok(vec![2; 65_536].into())).unwrap();
    }
    drop(send);
    let answer = upload.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), (1000 + 64 * 65_536).to_string());

    // What breaks off is not taken for whole.
    let mut broken = streamed.get(&url("/breaks")).send().await.unwrap();
    let code = loop {
        match broken.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it seems whole"),
            Err(error) => break error.code(),
        }
    };
    assert!(code == "Truncated" || code == "Network", "{code}");
    assert_eq!(whole.get(&url("/breaks")).send().await.unwrap().status(), 500);
    assert_eq!(whole.get(&url("/mistake")).send().await.unwrap().status(), 500);

    // What the service only stores.
    let stored =
        client(&|rule| rule.seal(SealedResource::new("store", "rest").senders(&[device.signer()])).sign());
    let put = stored.put(&url("/store/1")).to(&[device.recipient().clone()]).body("for me").send().await;
    assert_eq!(put.unwrap().status(), 201);
    let note = stored.get(&url("/store/1")).send().await.unwrap();
    assert_eq!(note.signer(), Some(device.signer()));
    assert_eq!(note.text().await.unwrap(), "for me");
    assert_eq!(http().get(url("/health")).send().await.unwrap().text().await.unwrap(), "well");
}

async fn notes(origin: &str, pin: &str, device: Identity) {
    let signer = device.signer().to_string();
    let rule = Rule::at(origin, "/notes/{id}").unwrap().exchange().sign();
    let pins = ServicePins::new([Pin::parse(pin).unwrap()]);
    let policy = Policy::new().service(origin, pins).unwrap().rule(rule);
    let client = Client::new(http(), policy).identity(device);
    let url = format!("{origin}/notes/17");
    assert_eq!(client.get(&url).send().await.unwrap().status(), 404);
    assert_eq!(client.put(&url).body("meet me at noon").send().await.unwrap().status(), 204);
    let note: serde_json::Value = client.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(note, serde_json::json!({ "text": "meet me at noon", "by": signer }));
    assert_eq!(http().get(&url).send().await.unwrap().status(), 401);
    assert_eq!(http().get(format!("{origin}/health")).send().await.unwrap().text().await.unwrap(), "well");
}

/// A service to be hostile to.
struct Side {
    origin: String,
    address: SocketAddr,
    key: KeyConfig,
}

impl Side {
    fn head(&self, method: &str, path: &str) -> RequestHead {
        let target = Target::new(Origin::parse(&self.origin).unwrap(), path).unwrap();
        RequestHead::new(Method::new(method).unwrap(), target)
    }

    fn sealed(&self, method: &str, path: &str, body: &[u8], signer: Option<&Identity>, at: u64) -> Wire {
        let carriage = Carriage::InPlace(InPlace::new());
        let mut sealer = RequestSealer::new(&self.key, &carriage);
        if let Some(signer) = signer {
            sealer = sealer.signed_by(&signer.signer().key_id().to_string());
        }
        let (sealed, _) = sealer.seal(self.head(method, path), body, at).unwrap();
        let mut wire = Wire { head: sealed.head, body: sealed.body, raw: Vec::new() };
        if let Some(signer) = signer {
            wire.sign(signer);
        }
        wire
    }

    fn plain(&self, method: &str, path: &str, body: &[u8]) -> Wire {
        Wire { head: self.head(method, path), body: body.to_vec(), raw: Vec::new() }
    }

    async fn send(&self, wire: &Wire) -> Answer {
        send_raw(self.address, &wire.bytes()).await
    }
}

/// What is tried, each with the status that it has to get.
fn attempts(side: &Side, device: &Identity, other: &Identity) -> Vec<(&'static str, u16, Wire)> {
    let signed = || side.sealed("POST", "/notes", b"hello", Some(device), now());
    let unsigned = || side.sealed("POST", "/open/a", b"hello", None, now());
    let stored = || {
        let mut wire =
            side.plain("PUT", "/store/1", b"envelope").set("content-type", "application/vnd.sealwire");
        wire.sign(device);
        wire
    };
    let bent = |mut wire: Wire, at: usize| {
        wire.body[at] ^= 1;
        wire
    };
    let cut = |mut wire: Wire, left: usize| {
        wire.body.truncate(left);
        wire
    };
    let resigned = |mut wire: Wire, signer: &Identity| {
        wire.sign(signer);
        wire
    };
    let (first, again, field) = (signed(), unsigned(), side.sealed("GET", "/open/a?b", b"", None, now()));
    let length = unsigned().body.len();
    let mut exchange = field.clone();
    let value = exchange.head.headers.text("sealwire-exchange").unwrap().unwrap().to_owned();
    exchange = exchange.set("sealwire-exchange", &value.replacen(&value[80..82], "zz", 1));
    let stranger = Identity::generate_with(sealwire::Kem::X25519).unwrap();
    vec![
        ("signed", 200, first.clone()),
        ("replayed, with its signature", 401, first.clone()),
        ("replayed, signed anew by its signer", 400, resigned(first, device)),
        ("unsigned where that is enough", 200, again.clone()),
        ("replayed, unsigned", 400, again),
        ("in a field", 200, field.clone()),
        ("replayed, in a field", 400, field),
        ("a field that was altered", 400, exchange),
        ("key id flipped", 400, bent(unsigned(), 0)),
        ("a suite of its head flipped", 400, bent(unsigned(), 6)),
        ("its encapsulated key flipped", 400, bent(unsigned(), 20)),
        ("its content flipped", 400, bent(unsigned(), 60)),
        ("its end flipped", 400, bent(unsigned(), length - 1)),
        ("its signed content flipped", 401, bent(signed(), 60)),
        ("nothing left", 400, cut(unsigned(), 0)),
        ("a head left", 400, cut(unsigned(), 7)),
        ("all but one byte", 400, cut(unsigned(), length - 1)),
        ("signed, and cut", 401, cut(signed(), 60)),
        ("to another path", 400, unsigned().to("/open/b")),
        ("to another path, signed", 401, signed().to("/others")),
        ("by another method", 400, unsigned().method("PUT")),
        ("for another service", 400, {
            let elsewhere =
                Side { origin: "https://other.example".into(), address: side.address, key: side.key.clone() };
            elsewhere.sealed("POST", "/open/a", b"hello", None, now())
        }),
        ("with a Host of another", 200, unsigned().line("x-forwarded-host: other.example")),
        ("without its signature", 401, signed().without("signature").without("signature-input")),
        ("signed by another, whom the service knows", 401, resigned(signed(), other)),
        ("signed by a stranger", 401, resigned(signed(), &stranger)),
        ("signed by who is not named inside", 401, resigned(unsigned(), device)),
        ("without its digest", 401, signed().without("content-digest")),
        ("of yesterday", 400, side.sealed("POST", "/open/a", b"hello", None, now() - 86_400)),
        ("of tomorrow", 400, side.sealed("POST", "/open/a", b"hello", None, now() + 86_400)),
        ("too large inside", 413, side.sealed("POST", "/open/a", &vec![0; 8_400_000], None, now())),
        ("too large, signed", 413, resigned(side.plain("PUT", "/store/1", &vec![0; 8_400_000]), device)),
        ("plain", 401, side.plain("POST", "/notes", b"hello")),
        (
            "plain and signed, where an exchange is demanded",
            400,
            resigned(side.plain("POST", "/notes", b"hello"), device),
        ),
        ("plain where only a signature is not demanded", 400, side.plain("POST", "/open/a", b"hello")),
        ("stored", 201, stored()),
        ("stored, and altered", 401, bent(stored(), 0)),
        ("stored, without its digest", 401, stored().without("content-digest")),
        ("stored, with another type", 401, stored().set("content-type", "text/html")),
        ("stored, unsigned", 401, side.plain("PUT", "/store/1", b"envelope")),
        ("a coding of it", 400, unsigned().set("content-encoding", "gzip")),
        ("in a field and in the body", 400, unsigned().set("sealwire-exchange", ":AAAA:")),
        ("a tunnel that is none", 401, unsigned().to(TUNNEL)),
        ("a plain path with more to it", 401, side.plain("GET", "/health/x", b"")),
        ("a plain path", 200, side.plain("GET", "/health", b"")),
    ]
}

async fn hostile(origin: &str, pin: &str, device: Identity, other: Identity) {
    let verifier = RequestVerifier::new(vec![device.signer(), other.signer()], OriginPolicy::default());
    let exchanges = |service: ExchangeService| service.tunnel(TUNNEL).max_body(MAX_BODY);
    let layer = Service::start_as(None, exchanges, |layer| {
        let layer = layer.verify(verifier).max_body(MAX_BODY).plain("/health").unwrap();
        let layer = layer.signed_only("/store/{id}").unwrap().unsigned("/open/{rest..}").unwrap();
        layer.stream("/upload/{id}").unwrap()
    })
    .await;
    let ours = Side { origin: layer.origin.clone(), address: layer.address, key: layer.key() };

    let document = http().get(format!("{origin}{KEYS_PATH}")).send().await.unwrap();
    assert_eq!(document.headers()["content-type"], "application/vnd.sealwire-keys");
    let document = document.bytes().await.unwrap();
    let (pins, seen) =
        (ServicePins::new([Pin::parse(pin).unwrap()]), LastSeen::in_store(MemoryStore::default()));
    let keys = TrustedKeys::verify(&document, &Origin::parse(origin).unwrap(), &pins, &seen, now()).unwrap();
    let key = keys.config(now()).unwrap().clone();
    let address = origin.strip_prefix("http://").unwrap().parse().unwrap();
    let theirs = Side { origin: origin.to_owned(), address, key };

    let pairs = attempts(&ours, &device, &other).into_iter().zip(attempts(&theirs, &device, &other));
    for ((name, status, to_ours), (_, _, to_theirs)) in pairs {
        let (expected, found) = (ours.send(&to_ours).await, theirs.send(&to_theirs).await);
        assert_eq!((expected.status, found.status), (status, status), "{name}");
        if status >= 400 {
            for field in ["content-type", "cache-control", "www-authenticate"] {
                assert_eq!(expected.header(field), found.header(field), "{name}: {field}");
            }
            assert_eq!(expected.body, found.body, "{name}");
        }
    }
    let events = layer.events.take();
    let events: Vec<_> =
        events.iter().map(|(operation, code)| format!("[\"{}\",\"{code}\"]", operation.name())).collect();
    println!("[{}]", events.join(","));
}
