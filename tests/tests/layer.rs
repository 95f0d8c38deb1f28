//! The layer against requests that no client of ours would send.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use axum::extract::ConnectInfo;
use sealwire::http::{
    Carriage, ENVELOPE_MEDIA_TYPE, ExchangeService, InPlace, KEY_ROLLOUT, KEYS_MEDIA_TYPE, KEYS_PATH,
    KeyConfig, LastSeen, MemoryReplayCache, Operation, Origin, RequestHead, RequestSigner, SealwireLayer,
    SignedBody, Target, TrustedKeys,
};
use sealwire::{Identity, MemoryStore};
use sealwire_tests::loopback::{
    Answer, DEVICE, OTHER_DEVICE, Service, Wire, http, known_devices, now, person, send_raw, service_keys,
};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

static STRANGER: LazyLock<Identity> = LazyLock::new(person);

/// Sends what has to be refused, once, unseen by the app, with one event of this code.
async fn refused(service: &Service, wire: &Wire, status: u16, operation: Operation, code: &str) -> Answer {
    let calls = service.app.calls();
    drop(service.events.take());
    let answer = wire.send(service).await;
    assert_eq!(service.app.calls(), calls, "the app has seen it: {code}");
    assert_eq!(service.events.take(), [(operation, code)]);
    assert_eq!(answer.status, status, "{code}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    answer
}

/// A device's request, sealed and signed.
fn honest(service: &Service, method: &str, path: &str) -> Wire {
    service.craft(method, path).signed_by(&DEVICE).seal(service).0
}

fn with_body(service: &Service) -> Wire {
    service.craft("POST", "/a").body(b"hello").signed_by(&DEVICE).seal(service).0
}

async fn strict() -> Service {
    Service::start(|layer| layer.verify(known_devices()).signed_only("/store/{id}").unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_not_sign_is_told_nothing() {
    let service = strict().await;
    let mut answers = Vec::new();
    let mut refuse = async |wire: Wire, code: &'static str| {
        answers.push(refused(&service, &wire, 401, Operation::Verify, code).await.without_date());
    };
    assert_eq!(honest(&service, "GET", "/a").send(&service).await.status, 200);

    refuse(service.craft("GET", "/a").plain(), "Rejected").await;
    refuse(service.craft("GET", "/a").seal(&service).0, "Rejected").await;
    refuse(honest(&service, "GET", "/a").without("signature"), "Rejected").await;
    refuse(honest(&service, "GET", "/a").without("signature-input"), "Rejected").await;
    refuse(service.craft("GET", "/a").signed_by(&STRANGER).seal(&service).0, "Rejected").await;

    let mut bent = honest(&service, "GET", "/a");
    let signature = bent.head.headers.text("signature").unwrap().unwrap().to_owned();
    let other = if signature.contains("sealwire=:A") { "sealwire=:B" } else { "sealwire=:A" };
    bent = bent.set("signature", &format!("{other}{}", signature.split_at(11).1));
    refuse(bent, "Rejected").await;
    refuse(honest(&service, "GET", "/a").set("signature", "no dictionary"), "Malformed").await;

    // Signed for another service that trusts the same device.
    let mut elsewhere = service.craft("GET", "/a").seal(&service).0;
    let other = Origin::parse("https://other.example").unwrap();
    elsewhere.head.target = Target::new(other, "/a").unwrap();
    elsewhere.sign(&DEVICE);
    refuse(elsewhere, "Rejected").await;
    // Changed on the way.
    refuse(honest(&service, "GET", "/a").to("/b"), "Rejected").await;
    refuse(honest(&service, "GET", "/a").to("/a?x=1"), "Rejected").await;
    refuse(honest(&service, "GET", "/a").method("DELETE"), "Rejected").await;
    refuse(honest(&service, "GET", "/a").line("authorization: Bearer admin"), "Rejected").await;
    refuse(honest(&service, "GET", "/a").line("cookie: admin=1"), "Rejected").await;
    refuse(with_body(&service).set("content-type", "message/ohttp-chunked-req"), "Rejected").await;
    let mut other_body = with_body(&service);
    *other_body.body.last_mut().unwrap() ^= 1;
    refuse(other_body, "Rejected").await;
    let mut more = with_body(&service);
    more.body.push(0);
    refuse(more, "Rejected").await;
    let mut none = with_body(&service);
    none.body.clear();
    refuse(none, "Rejected").await;
    // A body that nobody signed, however it is framed.
    let mut added = honest(&service, "GET", "/a");
    added.body = b"hello".to_vec();
    refuse(added, "Rejected").await;
    let mut framed = honest(&service, "GET", "/a").line("transfer-encoding: chunked");
    framed.body = b"5\r\nhello\r\n0\r\n\r\n".to_vec();
    refuse(framed.clone(), "Rejected").await;
    // Twice, where two readers would take two.
    for line in ["content-type: text/plain", "content-digest: sha-256=:AAAA:"] {
        refuse(with_body(&service).line(line), "Malformed").await;
    }
    refuse(honest(&service, "GET", "/a").line("sealwire-exchange: :AAAA:"), "Malformed").await;
    refuse(honest(&service, "GET", "/a").line("signature: sealwire=:AAAA:"), "Malformed").await;
    refuse(honest(&service, "GET", "/a").line("authorization: x").line("authorization: y"), "Malformed")
        .await;

    // Replayed, by whoever recorded it.
    let once = honest(&service, "GET", "/a");
    assert_eq!(once.send(&service).await.status, 200);
    refuse(once.clone(), "Replayed").await;
    // Recorded and signed by another device that the service knows.
    let mut stolen = once;
    stolen.sign(&OTHER_DEVICE);
    refuse(stolen, "Rejected").await;

    assert!(answers.len() > 20);
    assert_eq!(answers[0].body, br#"{"type":"about:blank","status":401}"#);
    assert_eq!(answers[0].header("www-authenticate"), Some("Signature"));
    // Nobody learns from the answer what was wrong.
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_tunnel_leads_only_to_where_unsigned_requests_may_go() {
    let service = Service::start_as(
        None,
        |exchanges| exchanges.tunnel("/gateway"),
        |layer| {
            let layer = layer.verify(known_devices()).unsigned("/gateway");
            layer.and_then(|layer| layer.unsigned("/login")).unwrap()
        },
    )
    .await;
    let target = Target::new(Origin::parse(&service.origin).unwrap(), "/gateway").unwrap();
    let tunnel =
        |path: &str| service.craft("GET", path).by(Carriage::Tunnel(target.clone())).seal(&service).0;
    assert_eq!(tunnel("/login").send(&service).await.status, 200);
    refused(&service, &tunnel("/a"), 401, Operation::Verify, "Rejected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_for_one_place_once() {
    let service =
        Service::start_as(None, |exchanges| exchanges.max_body(1000).tunnel("/gateway"), |layer| layer).await;
    let mut answers = Vec::new();
    let mut refuse = async |wire: Wire, code: &'static str| {
        answers.push(refused(&service, &wire, 400, Operation::Open, code).await.without_date());
    };
    let get = || service.craft("GET", "/a?b=c").seal(&service).0;
    let post = || service.craft("POST", "/a").body(b"hello").seal(&service).0;
    assert_eq!(get().send(&service).await.status, 200);
    assert_eq!(post().send(&service).await.status, 200);

    refuse(service.craft("GET", "/a").plain(), "Unsealed").await;
    refuse(service.craft("POST", "/a").body(b"hello").plain(), "Unsealed").await;
    refuse(get().to("/b"), "Rejected").await;
    refuse(get().to("/a/"), "Rejected").await;
    refuse(get().to("/%61"), "Rejected").await;
    refuse(get().to("/a?b=d"), "Rejected").await;
    refuse(get().method("DELETE"), "Rejected").await;
    refuse(get().method("POST"), "Rejected").await;
    refuse(post().method("PUT"), "Rejected").await;
    refuse(post().to("/gateway"), "Rejected").await;
    // Sealed to this key for another service, and without a mode.
    let mut other = service.craft("GET", "/a");
    let origin = Origin::parse("https://other.example").unwrap();
    other.head = RequestHead::new(other.head.method, Target::new(origin, "/a").unwrap());
    refuse(other.seal(&service).0, "Rejected").await;
    let target = Target::new(Origin::parse(&service.origin).unwrap(), "/gateway").unwrap();
    let tunnel = || service.craft("GET", "/a").by(Carriage::Tunnel(target.clone())).seal(&service).0;
    assert_eq!(tunnel().send(&service).await.status, 200);
    refuse(tunnel().to("/a"), "Rejected").await;
    refuse(tunnel().method("PUT"), "Malformed").await;
    let large = service.craft("DELETE", &format!("/a?q={}", "x".repeat(6000)));
    let carried = large.by(Carriage::InPlace(InPlace::new().post_carrier())).seal(&service).0;
    refuse(carried, "Rejected").await;

    // Both, neither, coded, in part.
    refuse(get().set("content-type", "message/ohttp-req"), "Malformed").await;
    let mut both = get();
    both.body = post().body;
    refuse(both, "Malformed").await;
    refuse(get().set("sealwire-exchange", ":AAAA"), "Malformed").await;
    refuse(get().set("sealwire-exchange", ":AAAA:"), "Truncated").await;
    refuse(get().set("sealwire-exchange", ":AB==:"), "Malformed").await;
    refuse(get().line("content-encoding: gzip"), "Malformed").await;
    refuse(post().line("range: bytes=0-1"), "Malformed").await;
    refuse(post().set("content-type", "message/ohttp-req; x=y"), "Unsealed").await;
    refuse(post().set("content-type", "Message/OHTTP-Req"), "Unsealed").await;
    for at in [8, 39, 60] {
        let mut bent = post();
        bent.body[at] ^= 1;
        refuse(bent, "Rejected").await;
    }
    for (left, code) in [(0, "Truncated"), (6, "Truncated"), (38, "Truncated"), (60, "Rejected")] {
        let mut cut = post();
        cut.body.truncate(left);
        refuse(cut, code).await;
    }
    // Once.
    for once in [get(), post(), tunnel()] {
        assert_eq!(once.send(&service).await.status, 200);
        refuse(once, "Replayed").await;
    }
    assert_eq!(answers[0].body, br#"{"type":"about:blank","status":400}"#);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");

    // In the other form the first bytes are a length, of anything.
    let status = post().set("content-type", "message/ohttp-chunked-req").send(&service).await.status;
    assert!(status == 400 || status == 413);

    // Two answers that say more, since an honest client can do something about it.
    let problem = |kind: &str, status: u16| {
        let registry = "https://iana.org/assignments/http-problem-types";
        format!("{{\"type\":\"{registry}#{kind}\",\"status\":{status}}}").into_bytes()
    };
    for at in [now() - 400, now() + 400, 0] {
        let stale = service.craft("GET", "/a").at(at).seal(&service).0;
        let answer = refused(&service, &stale, 400, Operation::Open, "Expired").await;
        assert_eq!(answer.body, problem("date", 400));
    }
    for at in [0, 2, 4, 6] {
        let mut unknown = post();
        unknown.body[at] ^= 0x55;
        let answer = refused(&service, &unknown, 400, Operation::Open, "InvalidKey").await;
        assert_eq!(answer.body, problem("ohttp-key", 400));
    }
    let large = service.craft("POST", "/a").body(&[0; 1001]);
    refused(&service, &large.seal(&service).0, 413, Operation::Open, "TooLarge").await;
    let endless = service.craft("POST", "/a").body(&[0; 700_000]).seal(&service).0;
    refused(&service, &endless, 413, Operation::Open, "TooLarge").await;
    let long = get().set("sealwire-exchange", &format!(":{}:", "A".repeat(6144)));
    refused(&service, &long, 413, Operation::Open, "TooLarge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_share_a_cache_share_what_they_have_seen() {
    let cache = Arc::new(MemoryReplayCache::new(100, now() - 1));
    let keys = || {
        let store = MemoryStore::default();
        SHARED_KEYS.change_keys(|keys| keys.save(&store, "k", now())).unwrap();
        sealwire::http::ServiceKeys::load(&store, "k", now()).unwrap().unwrap()
    };
    static SHARED_KEYS: LazyLock<ExchangeService> = LazyLock::new(|| {
        ExchangeService::new(Origin::parse("https://api.example.com").unwrap(), service_keys())
    });
    let start = || {
        let cache = cache.clone();
        Service::start_with(
            Some("https://api.example.com"),
            keys(),
            |exchanges| exchanges,
            |layer| layer.verify(known_devices()).replay(cache).signed_only("/store/{id}").unwrap(),
        )
    };
    let (one, two) = (start().await, start().await);
    let exchange = with_body(&one);
    assert_eq!(exchange.send(&one).await.status, 200);
    refused(&two, &exchange, 401, Operation::Verify, "Replayed").await;
    // The same exchange under a signature of its own is the same exchange.
    let mut again = exchange;
    again.sign(&DEVICE);
    refused(&two, &again, 400, Operation::Open, "Replayed").await;
    let stored = one.craft("PUT", "/store/1").body(b"x").signed_by(&DEVICE).plain();
    assert_eq!(stored.send(&two).await.status, 201);
    refused(&one, &stored, 401, Operation::Verify, "Replayed").await;

    // A full cache refuses; it does not forget.
    let full = Service::start(|layer| layer.replay(Arc::new(MemoryReplayCache::new(1, now() - 1)))).await;
    let first = full.craft("GET", "/a").seal(&full).0;
    assert_eq!(first.send(&full).await.status, 200);
    let second = full.craft("GET", "/a").seal(&full).0;
    refused(&full, &second, 503, Operation::Open, "Store").await;
    refused(&full, &first, 400, Operation::Open, "Replayed").await;
    // A process that has just begun does not know what was there before.
    let young = Service::start(|layer| layer.replay(Arc::new(MemoryReplayCache::new(9, now() + 5)))).await;
    refused(&young, &young.craft("GET", "/a").seal(&young).0, 400, Operation::Open, "Expired").await;
    let cache = Arc::new(MemoryReplayCache::new(9, now() - 5));
    let young = Service::gateway(|layer| layer.verify(known_devices()).replay(cache)).await;
    let mut signed = young.craft("GET", "/a").plain();
    RequestSigner::new(&DEVICE).sign(&mut signed.head, SignedBody::None, now() - 10).unwrap();
    refused(&young, &signed, 401, Operation::Verify, "Expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_fill_no_cache_but_their_own() {
    let cache = |capacity| Arc::new(MemoryReplayCache::new(capacity, now() - 1000));
    let service = Service::start(|layer| {
        let layer = layer.verify(known_devices()).unsigned("/login").unwrap().enforce_idempotency_keys();
        layer.replay_apart(cache(20), cache(10))
    })
    .await;
    // What has no effect twice has no idempotency id, so each takes one place.
    let stranger = |n: u32| service.craft("GET", "/login").header("idempotency-key", &format!("\"{n}\""));
    for n in 0..10 {
        assert_eq!(stranger(n).seal(&service).0.send(&service).await.status, 200, "{n}");
    }
    refused(&service, &stranger(10).seal(&service).0, 503, Operation::Open, "Store").await;
    let device = honest(&service, "GET", "/a");
    assert_eq!(device.send(&service).await.status, 200);
    refused(&service, &device, 401, Operation::Verify, "Replayed").await;
    let key = || with_body(&service);
    assert_eq!(key().send(&service).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_needs_public_keys_alone() {
    let service = Service::gateway(|layer| layer.verify(known_devices()).max_body(1000)).await;
    let put = |body: &[u8]| service.craft("PUT", "/store/1").body(body).signed_by(&DEVICE);
    let sealed = put(b"envelope").header("content-type", ENVELOPE_MEDIA_TYPE).plain();
    assert_eq!(sealed.send(&service).await.status, 201);
    assert_eq!(service.app.last().sender, Some(DEVICE.signer()));
    refused(&service, &sealed, 401, Operation::Verify, "Replayed").await;
    refused(&service, &put(b"x").plain().without("signature"), 401, Operation::Verify, "Rejected").await;
    refused(&service, &put(&[0; 1001]).plain(), 413, Operation::Verify, "TooLarge").await;
    let mut other = put(b"one").plain();
    other.body = b"two".to_vec();
    refused(&service, &other, 401, Operation::Verify, "Rejected").await;
    // Cookies in pieces are one cookie, in their order.
    let signed = || put(b"x").header("cookie", "a=1; b=2").plain().without("cookie");
    assert_eq!(signed().line("cookie: a=1").line("cookie: b=2").send(&service).await.status, 201);
    let cookies: Vec<_> = service.app.last().headers.get_all("cookie").iter().cloned().collect();
    assert_eq!(cookies, ["a=1; b=2"], "what was verified is what the app gets");
    let swapped = signed().line("cookie: b=2").line("cookie: a=1");
    refused(&service, &swapped, 401, Operation::Verify, "Rejected").await;
    // What nobody verifies nobody gets in.
    let shut = Service::gateway(|layer| layer).await;
    let signed = shut.craft("GET", "/a").signed_by(&DEVICE).plain();
    refused(&shut, &signed, 401, Operation::Verify, "Rejected").await;
    // Not even for keys, which it does not publish; with a verifier, who asks for those of the app gets through to it.
    let keys = shut.craft("GET", KEYS_PATH).plain();
    refused(&shut, &keys, 401, Operation::Verify, "Rejected").await;
    let before = service.app.calls();
    service.craft("GET", KEYS_PATH).plain().send(&service).await;
    assert_eq!(service.app.calls(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_slips_through_an_exception() {
    let service = Service::start(|layer| {
        layer
            .verify(known_devices())
            .plain("/health")
            .and_then(|layer| layer.plain("/public/{rest..}"))
            .and_then(|layer| layer.signed_only("/store/{id}"))
            .and_then(|layer| layer.unsigned("/login"))
            .unwrap()
    })
    .await;
    let raw = async |method: &str, target: &str| {
        let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        send_raw(service.address, request.as_bytes()).await
    };
    for target in ["/health", "/health?x=/secret", "/public/a", "/public/a/b.css", "/public/", "/public/..x"]
    {
        assert_eq!(raw("GET", target).await.status, 200, "{target}");
    }
    let calls = service.app.calls();
    for target in [
        "/health/",
        "/health/x",
        "/health%2f",
        "/health%2F",
        "//health",
        "/HEALTH",
        "/Health",
        "/%68ealth",
        "/health;x",
        "/health%00",
        "/health%20",
        "/./health",
        "/x/../health",
        "/health/..",
        "/health/.",
        "/health%3fx",
        "/healthx",
        "/",
        "/public",
        "/public/..",
        "/public/../secret",
        "/public/%2e%2e/secret",
        "/public/.%2E/secret",
        "/public/..%2fsecret",
        "/public/..%5csecret",
        "/public/a/../../secret",
        "/public/%zz",
        "/public/.%09./secret",
        "/public/..%20/secret",
        "/public/%20/secret",
        "/public/%7f",
        "/Public/a",
        "/login",
        "/login/",
        "/store/1",
        "/store/",
        "/store/1/2",
        "*",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let status = raw(method, target).await.status;
            assert!(status == 401 || status == 400, "{method} {target}: {status}");
        }
    }
    assert_eq!(raw("CONNECT", "x:443").await.status, 400);
    assert_eq!(raw("TRACE", "/a").await.status, 400);
    assert_eq!(service.app.calls(), calls);

    // What each exception does ask for.
    let unsigned = service.craft("POST", "/login").body(b"pw").seal(&service).0;
    assert_eq!(unsigned.send(&service).await.status, 200);
    assert_eq!(service.app.last().sender, None);
    // Who need not sign may, as oneself.
    let signed = || service.craft("POST", "/login").body(b"pw").signed_by(&DEVICE).seal(&service).0;
    let once = signed();
    assert_eq!(once.send(&service).await.status, 200);
    assert_eq!(service.app.last().sender, Some(DEVICE.signer()));
    refused(&service, &once, 401, Operation::Verify, "Replayed").await;
    refused(&service, &signed().without("signature"), 401, Operation::Verify, "Rejected").await;
    let mut taken_over = signed();
    taken_over.sign(&OTHER_DEVICE);
    refused(&service, &taken_over, 401, Operation::Verify, "Rejected").await;
    let strange = service.craft("POST", "/login").body(b"pw").seal(&service).0;
    assert_eq!(strange.set("signature-input", "x=();tag=\"other\"").send(&service).await.status, 200);
    assert_eq!(service.app.last().sender, None);
    let plain = service.craft("POST", "/login").body(b"pw").plain();
    refused(&service, &plain, 400, Operation::Open, "Unsealed").await;
    let unsigned = service.craft("PUT", "/store/1").body(b"x").plain();
    refused(&service, &unsigned, 401, Operation::Verify, "Rejected").await;
    let signed = service.craft("PUT", "/store/1").body(b"x").signed_by(&DEVICE).plain();
    assert_eq!(signed.send(&service).await.status, 201);
    // An exchange for one path does not become one for an excepted path.
    let moved = service.craft("POST", "/secret").body(b"x").seal(&service).0.to("/login");
    refused(&service, &moved, 400, Operation::Open, "Rejected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_goes_nowhere() {
    let service = Service::start(|layer| layer.plain("/plain").unwrap().max_body(1000)).await;
    let head = "GET /secret HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let field = |bytes: usize| format!("{head}x: {}\r\n\r\n", "y".repeat(bytes));
    let fields = |count: usize| format!("{head}{}\r\n", "x: y\r\n".repeat(count));
    for request in [
        format!("{head}x: a\r\n b\r\n\r\n"),
        format!("{head}x: a\nb: c\r\n\r\n"),
        format!("{head}x: a\rb\r\n\r\n"),
        format!("{head}x: a\0b\r\n\r\n"),
        format!("{head}x : a\r\n\r\n"),
        format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!"),
        format!("{head}content-length: +5\r\n\r\nhello"),
        "GET /secret HTTP/1.1\r\nGET /plain HTTP/1.1\r\n\r\n".into(),
        "GET  /plain HTTP/1.1\r\n\r\n".into(),
        "GET /secret\r\n\r\n".into(),
        "\0\u{1}\u{2}".repeat(100),
        field(70_000),
        field(1_000_000),
        fields(99),
        fields(2000),
    ] {
        let answer = send_raw(service.address, request.as_bytes()).await;
        assert!(matches!(answer.status, 0 | 400 | 413 | 431), "{}: {request:.90}", answer.status);
    }
    assert_eq!(service.app.calls(), 0);
    // What is smuggled behind a request is a request of its own, and asked the same.
    let two = format!("GET /plain HTTP/1.1\r\nhost: x\r\n\r\n{head}\r\n");
    let answer = send_raw(service.address, two.as_bytes()).await;
    assert!(String::from_utf8_lossy(&answer.body).contains("400 Bad Request"));
    assert_eq!(service.app.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outside_of_an_exchange_stays_outside() {
    let send = async |service: &Service| {
        let sealed =
            service.craft("POST", "/a?b=c").body(b"x").header("x-inner", "1").header("x-trace", "inner");
        let wire = sealed.seal(service).0;
        let wire =
            ["x-outer: 2", "x-trace: outer", "x-trace: outer 2", "forwarded: for=1.2.3.4", "te: trailers"]
                .into_iter()
                .fold(wire, Wire::line);
        assert_eq!(wire.send(service).await.status, 200);
        service.app.last()
    };
    let service = Service::start(|layer| layer).await;
    let seen = send(&service).await;
    let mut names: Vec<_> = seen.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "date", "host", "x-inner", "x-trace"]);
    assert_eq!((seen.headers["x-trace"].to_str().unwrap(), seen.has_peer), ("inner", false));
    assert_eq!((seen.uri.to_string().as_str(), seen.body.as_deref()), ("/a?b=c", Some(&b"x"[..])));
    assert_eq!(seen.headers["host"], service.address.to_string());

    let open = Service::start(|layer| {
        layer.pass_outer(&["X-Trace", "x-missing"]).pass_extension::<ConnectInfo<SocketAddr>>()
    })
    .await;
    let seen = send(&open).await;
    let traces: Vec<_> = seen.headers.get_all("x-trace").iter().collect();
    assert_eq!(traces, ["outer", "outer 2"]);
    assert!(seen.has_peer && !seen.headers.contains_key("x-outer"));
    // What an inner field says of a gateway's does not count, even if the gateway says nothing.
    let lying = open.craft("GET", "/a").header("x-trace", "inner").seal(&open).0;
    assert_eq!(lying.send(&open).await.status, 200);
    assert!(!open.app.last().headers.contains_key("x-trace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_of_some_origins_are_let_in() {
    let service =
        Service::start(|layer| layer.allow_origins(&["https://app.example"]).plain("/plain").unwrap()).await;
    let ask = async |method: &str, path: &str, origin: &str, more: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: {origin}\r\n{more}\r\n"
        );
        send_raw(service.address, request.as_bytes()).await
    };
    let cors = |answer: &Answer| -> Vec<(String, String)> {
        let about = |name: &str| name == "vary" || name.starts_with("access-control");
        let mut found: Vec<_> = answer.headers.iter().filter(|(name, _)| about(name)).cloned().collect();
        found.sort();
        found
    };
    let pairs = |expected: &[(&str, &str)]| -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let preflight =
        "access-control-request-method: POST\r\naccess-control-request-headers: cache-control\r\n";
    for path in ["/a", "/plain", KEYS_PATH] {
        let answer = ask("OPTIONS", path, "https://app.example", preflight).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(
            cors(&answer),
            pairs(&[
                (
                    "access-control-allow-headers",
                    "authorization, cache-control, content-digest, content-type, incremental, sealwire-exchange, sealwire-exchange-head, signature, signature-input"
                ),
                ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
                ("access-control-allow-origin", "https://app.example"),
                ("access-control-expose-headers", "content-type, sealwire-status"),
                ("access-control-max-age", "600"),
                ("vary", "origin"),
            ])
        );
    }
    let foreign = [
        "https://evil.example",
        "https://app.example.evil",
        "http://app.example",
        "null",
        "https://app.example:444",
    ];
    for origin in foreign {
        let answer = ask("OPTIONS", "/a", origin, preflight).await;
        assert_eq!((answer.status, cors(&answer)), (204, pairs(&[("vary", "origin")])), "{origin}");
        let answer = ask("GET", "/a", origin, "").await;
        assert_eq!((answer.status, cors(&answer)), (400, pairs(&[("vary", "origin")])));
    }
    assert_eq!(service.app.calls(), 0);
    let readable = pairs(&[
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-expose-headers", "content-type, sealwire-status"),
        ("vary", "origin"),
    ]);
    // Refusals, keys and answers can be read.
    for (path, status) in [("/a", 400), (KEYS_PATH, 200), ("/plain", 200)] {
        let answer = ask("GET", path, "https://app.example", "").await;
        assert_eq!((answer.status, cors(&answer)), (status, readable.clone()), "{path}");
    }
    let sealed = service.craft("GET", "/a").seal(&service).0.line("origin: https://app.example");
    assert_eq!(cors(&sealed.send(&service).await), readable);
    // An OPTIONS that is no preflight is a request like others; nobody is let in unasked.
    assert_eq!(ask("OPTIONS", "/a", "https://app.example", "").await.status, 400);
    let silent = Service::start(|layer| layer).await;
    let request = format!(
        "OPTIONS /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: https://app.example\r\n{preflight}\r\n"
    );
    let answer = send_raw(silent.address, request.as_bytes()).await;
    assert_eq!((answer.status, cors(&answer), silent.app.calls()), (204, Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_published_fresh() {
    let pin = person().recipient().pin();
    let service =
        Service::start_as(None, |exchanges| exchanges.tunnel("/gateway"), |layer| layer.next_pins(&[pin]))
            .await;
    let get = async |path: &str| service.craft("GET", path).plain().send(&service).await;
    let origin = Origin::parse(&service.origin).unwrap();
    let seen = LastSeen::in_store(MemoryStore::default());
    let first = get(KEYS_PATH).await;
    assert_eq!((first.status, first.header("content-type")), (200, Some(KEYS_MEDIA_TYPE)));
    let trusted = TrustedKeys::verify(&first.body, &origin, &service.pins, &seen, now()).unwrap();
    assert_eq!(trusted.config(now()).unwrap().id(), service.key().id());

    let ohttp = get("/.well-known/ohttp-gateway").await;
    assert_eq!((ohttp.status, ohttp.header("content-type")), (200, Some("application/ohttp-keys")));
    assert_eq!(KeyConfig::parse_list(&ohttp.body).unwrap().id(), service.key().id());

    service.exchanges.as_ref().unwrap().change_keys(|keys| keys.rotate(now() - KEY_ROLLOUT - 60)).unwrap();
    let second = get(KEYS_PATH).await;
    let trusted = TrustedKeys::verify(&second.body, &origin, &service.pins, &seen, now()).unwrap();
    assert_eq!(trusted.config(now()).unwrap().id(), service.key().id());
    assert_ne!(first.body, second.body);
    assert!(TrustedKeys::verify(&first.body, &origin, &service.pins, &seen, now()).is_err());

    // Nothing but a GET, nothing near it, and no list for others' clients where they cannot come.
    for (method, path) in
        [("POST", KEYS_PATH), ("GET", "/.well-known/sealwire-keys/"), ("GET", "//.well-known/sealwire-keys")]
    {
        refused(&service, &service.craft(method, path).plain(), 400, Operation::Open, "Unsealed").await;
    }
    let closed = Service::start(|layer| layer).await;
    let request = closed.craft("GET", "/.well-known/ohttp-gateway").plain();
    refused(&closed, &request, 400, Operation::Open, "Unsealed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_says_is_sealed() {
    let service = Service::start_as(None, ExchangeService::coarse_status, |layer| layer).await;
    for (method, path, status, coarse) in [
        ("GET", "/status/500", 500, "5xx"),
        ("POST", "/status/404", 404, "4xx"),
        ("HEAD", "/a", 200, "2xx"),
        ("PUT", "/store/1", 201, "2xx"),
        ("GET", "/breaks", 500, "5xx"),
    ] {
        for chunked in [false, true] {
            if chunked && path == "/breaks" {
                continue;
            }
            let craft = service.craft(method, path);
            let (wire, opener) = if chunked { craft.chunked() } else { craft }.seal(&service);
            let answer = wire.send(&service).await;
            let kind = if chunked { "message/ohttp-chunked-res" } else { "message/ohttp-res" };
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
            assert_eq!(answer.header("sealwire-status"), Some(coarse));
            assert_eq!(answer.header("cache-control"), Some("no-store, no-transform"));
            assert_eq!(answer.header("x-app"), None);
            let (head, body) = answer.open(opener).unwrap();
            assert_eq!(head.status, status);
            if method == "HEAD" {
                assert!(body.is_empty());
            }
        }
    }
    let codes: Vec<_> =
        service.events.take().into_iter().filter(|(operation, _)| *operation == Operation::Serve).collect();
    assert_eq!(codes.iter().filter(|(_, code)| *code == "app").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_for_one_request() {
    let service = Service::start(|layer| layer.enforce_idempotency_keys()).await;
    let send = async |method: &str, path: &str, key: &str| {
        let (wire, opener) = service.craft(method, path).header("idempotency-key", key).seal(&service);
        let answer = wire.send(&service).await;
        (answer.status, answer.open(opener).unwrap().0.status)
    };
    for (method, path, key, expected) in [
        ("POST", "/pay", "\"1\"", 200),
        ("POST", "/pay", "\"1\"", 409),
        ("POST", "/pay?again", "\"1\"", 409),
        ("POST", "/pay", "\"2\"", 200),
        ("POST", "/pay2", "\"1\"", 200),
        ("PUT", "/pay", "\"1\"", 200),
    ] {
        assert_eq!(send(method, path, key).await, (200, expected), "{method} {path} {key}");
    }
    assert_eq!(service.app.calls(), 4);
    let replayed = service.events.take().into_iter().filter(|event| *event == (Operation::Open, "Replayed"));
    assert_eq!(replayed.count(), 2);
    let twice = service.craft("POST", "/pay").header("idempotency-key", "a").header("idempotency-key", "b");
    refused(&service, &twice.seal(&service).0, 400, Operation::Open, "Malformed").await;
    // Where it is not enforced it is the app's.
    let lax = Service::start(|layer| layer).await;
    for _ in 0..2 {
        let wire = lax.craft("POST", "/pay").header("idempotency-key", "\"1\"").seal(&lax).0;
        assert_eq!(wire.send(&lax).await.status, 200);
    }
    assert_eq!(lax.app.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_route_hears_of_a_bad_end() {
    let service = Service::start(|layer| layer.stream("/streamed").unwrap()).await;
    let body = vec![7; 100_000];
    let craft = || service.craft("POST", "/streamed").body(&body).chunked().seal(&service).0;
    assert_eq!(craft().send(&service).await.status, 200);
    assert_eq!(service.app.last().body.unwrap().len(), body.len());
    for bend in [0, 1, 2] {
        let mut wire = craft();
        let at = wire.body.len() - 40_000;
        match bend {
            0 => wire.body[at] ^= 1,
            1 => wire.body.truncate(at),
            _ => wire.body.push(0),
        }
        wire.send(&service).await;
        assert_eq!(service.app.last().body, None, "{bend}");
    }
    // The same to a route that does not stream is not dispatched at all.
    let calls = service.app.calls();
    let mut wire = service.craft("POST", "/whole").body(&body).chunked().seal(&service).0;
    wire.body.truncate(50_000);
    refused(&service, &wire, 400, Operation::Open, "Truncated").await;
    assert_eq!(service.app.calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_route_does_not_wait_for_ever() {
    let timeout = Duration::from_millis(200);
    let service = Service::start(|layer| layer.stream("/up").unwrap().body_timeout(timeout)).await;
    let wire = || service.craft("POST", "/up").body(&[1; 100_000]).chunked().seal(&service).0.bytes();
    let connect = || tokio::net::TcpStream::connect(service.address);
    let (bytes, mut stream, mut answer) = (wire(), connect().await.unwrap(), [0; 12]);
    stream.write_all(&bytes[..bytes.len() / 2]).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await;
    assert!(matches!(read, Ok(Ok(_))), "the app still waits");
    assert_eq!(service.app.last().body, None);
    // All together may take longer.
    let (bytes, mut stream) = (wire(), connect().await.unwrap());
    for piece in bytes.chunks(bytes.len() / 4) {
        stream.write_all(piece).await.unwrap();
        tokio::time::sleep(timeout / 2).await;
    }
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!((&answer, service.app.last().body.unwrap().len()), (b"HTTP/1.1 200", 100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_not_waited_for() {
    let service = Service::start(|layer| {
        layer
            .verify(known_devices())
            .signed_only("/store/{id}")
            .unwrap()
            .body_timeout(Duration::from_millis(300))
    })
    .await;
    let stored = service.craft("PUT", "/store/1").body(b"hello").signed_by(&DEVICE).plain();
    for (wire, status, operation) in
        [(with_body(&service), 400, Operation::Open), (stored, 401, Operation::Verify)]
    {
        drop(service.events.take());
        let bytes = wire.bytes();
        let began = Instant::now();
        let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
        // All but the last byte, and then one byte of nothing at all.
        stream.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").into_bytes());
        assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(3));
        assert_eq!(service.events.take(), [(operation, "Network")]);
    }
    assert_eq!(service.app.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_leave_memory_to_the_signed() {
    let service = Service::start(|layer| layer.verify(known_devices()).unsigned("/login").unwrap()).await;
    let unsigned = || service.craft("POST", "/login").body(b"hello").seal(&service).0;
    let signed = || service.craft("POST", "/a").body(b"hello").signed_by(&DEVICE).seal(&service).0;
    let front = unsigned().body[..39].to_vec();
    let head = "POST /login HTTP/1.1\r\nhost: x\r\ncontent-type: message/ohttp-req\r\n";
    let head = format!("{head}content-length: 9900000\r\n\r\n");
    let mut strangers = Vec::new();
    // As much as there is, to the last bytes.
    for size in [9_800_000, 9_800_000, 500_000, 30_000, 2_000, 200] {
        for _ in 0..14 {
            let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&front).await.unwrap();
            // Who gets no more memory is cut off.
            drop(stream.write_all(&vec![7; size]).await);
            strangers.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    refused(&service, &unsigned(), 503, Operation::Open, "Store").await;
    assert_eq!(signed().send(&service).await.status, 200);
    drop(strangers);
    let freed = async {
        while unsigned().send(&service).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_layer_keeps_what_it_is_told() {
    let origin = Origin::parse("https://api.example.com").unwrap();
    let base = SealwireLayer::exchanges(ExchangeService::new(origin, service_keys()), person());
    let copy = base.clone();
    let strict = Service::start(move |layer| {
        let _held = (layer.clone(), copy);
        layer.clone().verify(known_devices())
    })
    .await;
    refused(&strict, &strict.craft("GET", "/a").seal(&strict).0, 401, Operation::Verify, "Rejected").await;
    drop((base, http()));
}
