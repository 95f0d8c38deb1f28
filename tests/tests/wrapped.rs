//! A wrapped client and a wrapped app, over real HTTP on loopback, with nobody or somebody in between.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use axum::Router;
use axum::body::Body;
use axum::response::Response as Page;
use bytes::Bytes;
use futures::StreamExt;
use sealwire::http::{
    Carriage, Client, ExchangeService, InPlace, KEY_ROLLOUT, KEYS_MEDIA_TYPE, KEYS_PATH, LastSeen, Origin,
    Policy, Rule, SealedResource, SealwireLayer, ServiceKeys, ServicePins, Target,
};
use sealwire::{Aead, Error, Identity, Kem, MemoryStore};
use sealwire_tests::loopback::{
    DEVICE, Passing, Proxy, Service, Upstream, copy, device, http, known_devices, now, page, person, pieces,
    service_keys,
};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PROBLEM: &str = "application/problem+json";
const NO_SUCH_KEY: &str =
    r#"{"type":"https://iana.org/assignments/http-problem-types#ohttp-key","status":400}"#;
const BAD_DATE: &str = r#"{"type":"https://iana.org/assignments/http-problem-types#date","status":400}"#;

/// A service that demands both, with somebody in between.
async fn between() -> (Proxy, Service) {
    let proxy = Proxy::start().await;
    let service = Service::start_as(Some(&proxy.origin), all_carriages, |layer| {
        layer.verify(known_devices()).enforce_idempotency_keys()
    })
    .await;
    proxy.to(&service);
    (proxy, service)
}

fn all_carriages(service: ExchangeService) -> ExchangeService {
    service.tunnel("/gateway").post_carrier()
}

fn protected(rule: Rule) -> Rule {
    rule.exchange().sign()
}

async fn code(client: &Client, method: &str, url: &str) -> Result<u16, Error> {
    client.request(method, url).send().await.map(|response| response.status().as_u16())
}

fn tunnel(service: &Service) -> Carriage {
    Carriage::Tunnel(Target::new(Origin::parse(&service.origin).unwrap(), "/gateway").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_arrives_in_every_carriage_and_form() {
    let (proxy, service) = between().await;
    for carriage in [Carriage::InPlace(InPlace::new()), tunnel(&service)] {
        for streamed in [false, true] {
            let client = service.client(|rule| {
                let rule = rule.exchange_by(carriage.clone()).sign();
                if streamed { rule.streamed() } else { rule }
            });
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
                let request = client.request(method, service.url("/a%20b/c?q=1&q=%2F")).bearer_auth("t0k");
                let answer = request.send().await.unwrap();
                assert_eq!(
                    (answer.status().as_u16(), answer.headers().text("x-app").unwrap()),
                    (200, Some("yes"))
                );
                let text = answer.text().await.unwrap();
                let expected = format!("{method} /a%20b/c?q=1&q=%2F ");
                assert_eq!(text, if method == "HEAD" { "" } else { expected.as_str() }, "{method}");

                let seen = service.app.last();
                assert_eq!(seen.method.as_str(), method);
                assert_eq!(seen.headers["authorization"], "Bearer t0k");
                assert_eq!(seen.headers["host"], service.origin.strip_prefix("http://").unwrap());
                assert_eq!(seen.sender, Some(DEVICE.signer()));
                assert!(!seen.headers.keys().any(|name| name.as_str().starts_with("sealwire-")));

                let outside = proxy.passed().pop().unwrap();
                assert!(!outside.headers.contains_key("authorization"));
                if matches!(carriage, Carriage::Tunnel(_)) {
                    assert_eq!((outside.method.as_str(), outside.uri.as_str()), ("POST", "/gateway"));
                } else {
                    let shown = if method == "HEAD" { "GET" } else { method };
                    assert_eq!((outside.method.as_str(), outside.uri.as_str()), (shown, "/a%20b/c"));
                }
            }
        }
    }
    // Each client fetched keys once.
    assert_eq!(proxy.key_fetches(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_body_arrives() {
    let (_proxy, service) = between().await;
    for streamed in [false, true] {
        let client =
            service.client(|rule| if streamed { protected(rule).streamed() } else { protected(rule) });
        let url = service.url("/in");
        for len in [0, 1, 255, 16_384, 1 << 20] {
            let body: Vec<u8> = (0..len).map(|n: u32| n.to_le_bytes()[0]).collect();
            assert_eq!(client.post(&url).body(body.clone()).send().await.unwrap().status(), 200);
            assert_eq!(service.app.last().body.unwrap(), body);
        }
        client.put(&url).json(&serde_json::json!({"a": [1]})).send().await.unwrap();
        let seen = service.app.last();
        assert_eq!(seen.body.unwrap(), r#"{"a":[1]}"#);
        assert_eq!(
            (&seen.headers["content-type"], &seen.headers["content-length"]),
            (&"application/json".parse().unwrap(), &"9".parse().unwrap())
        );
        let (send, stream) = pieces();
        for piece in [&b"one "[..], b"", b"two"] {
            send.send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        }
        drop(send);
        assert_eq!(client.post(&url).body_stream(stream).send().await.unwrap().status(), 200);
        assert_eq!(service.app.last().body.unwrap(), "one two");
    }
    let missing = service.client(protected).get(service.url("/status/404")).send().await.unwrap();
    assert_eq!(missing.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_its_rule_is_not_sent() {
    let (proxy, service) = between().await;
    let misuse = |result: Result<u16, Error>, what: &str| {
        assert_eq!(result.unwrap_err().code(), "Misuse", "{what}");
    };
    let url = service.url("/x");
    let client = service.client(protected);
    misuse(code(&client, "GET", "http://127.0.0.1:1/x").await, "another origin");
    misuse(code(&client, "GET", &url.replace("http://", "https://")).await, "another scheme");
    misuse(code(&client, "GET", &url.replace("http://", "http://user@")).await, "a user name");
    misuse(code(&client, "GET", &url.replace("http://", "http://:pw@")).await, "a password");
    misuse(client.get(&url).body("x").send().await.map(|r| r.status().as_u16()), "a GET with a body");
    let request = client.get(&url).header("sealwire-mode", "tunnel");
    misuse(request.send().await.map(|r| r.status().as_u16()), "a reserved field");

    misuse(code(&service.client(|rule| rule), "GET", &url).await, "a rule that protects nothing");
    misuse(code(&service.client(Rule::sign), "GET", &url).await, "a rule that only signs");
    misuse(code(&Client::new(http(), Policy::new()), "GET", &url).await, "no rule");
    misuse(code(&Client::new(http(), service.policy(protected)), "GET", &url).await, "no identity");
    let narrow = Rule::at(&service.origin, "/notes/{id}").unwrap().exchange();
    let policy = Policy::new().service(&service.origin, service.pins.clone()).unwrap().rule(narrow);
    let narrow = Client::new(http(), policy);
    for path in ["/notes", "/notes/", "/notes/1/2", "/Notes/1", "/notes/..%2fx/y"] {
        misuse(code(&narrow, "GET", &service.url(path)).await, path);
    }
    let no_pins = Policy::new().rule(Rule::at(&service.origin, "/{rest..}").unwrap().exchange());
    misuse(code(&Client::new(http(), no_pins), "GET", &url).await, "no pins");
    for rule in [
        |rule: Rule| rule.in_the_clear(),
        |rule: Rule| rule.seal(SealedResource::new("n", "rest").to(&[DEVICE.recipient().clone()])),
    ] {
        let request = service.client(rule).post(&url).body_stream(pieces().1);
        misuse(request.send().await.map(|r| r.status().as_u16()), "a stream without an exchange");
    }
    for bad in ["nonsense", "/x", "ftp://h/x", "data:,x", "http://"] {
        assert_eq!(code(&client, "GET", bad).await.unwrap_err().code(), "Malformed", "{bad}");
    }
    assert_eq!(code(&client, "CONNECT", &url).await.unwrap_err().code(), "Unsupported");
    let broken = client.get(&url).header("x", "a\r\nb: c");
    assert_eq!(broken.send().await.unwrap_err().code(), "Malformed");
    assert_eq!((proxy.calls(), service.app.calls()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_rule_that_says_so_sends_in_the_clear() {
    let service = Service::start(|layer| layer.plain("/public").unwrap()).await;
    let client = service.client(Rule::in_the_clear);
    assert_eq!(
        client.get(service.url("/public")).send().await.unwrap().text().await.unwrap(),
        "GET /public "
    );
    assert_eq!(code(&client, "GET", &service.url("/other")).await.unwrap(), 400);
    // Under an exchange's rule the same plain answer is none.
    let error = code(&service.client(Rule::exchange), "GET", &service.url("/public")).await.unwrap_err();
    assert_eq!(error, Error::Unsealed { status: 200 });
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let (proxy, service) = between().await;
    let elsewhere = Service::start(|layer| layer.plain("/{rest..}").unwrap()).await;
    for to in [service.url("/b"), elsewhere.url("/b")] {
        for status in [301, 302, 303, 307, 308] {
            let target = to.clone();
            proxy.tamper(move |upstream, passing| {
                let target = target.clone();
                async move {
                    if passing.uri == "/b" {
                        return upstream.forward(&passing).await;
                    }
                    let mut page = page(status, "text/html", "moved");
                    page.headers_mut().insert("location", target.parse().unwrap());
                    page
                }
            });
            let error = code(&service.client(protected), "POST", &service.url("/a")).await.unwrap_err();
            assert_eq!(error, Error::Unsealed { status });
            // A client that was built to follow them: what comes from elsewhere is no answer.
            let following = reqwest::Client::builder().no_proxy().build().unwrap();
            let client = Client::new(following, service.policy(protected)).identity(device());
            let error = code(&client, "POST", &service.url("/a")).await.unwrap_err();
            assert_eq!(error.code(), "Unsealed", "{status}");
        }
    }
    assert_eq!(service.app.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sealed_is_no_answer() {
    let (proxy, service) = between().await;
    for streamed in [false, true] {
        let client =
            service.client(|rule| if streamed { protected(rule).streamed() } else { protected(rule) });
        let long = "x".repeat(10_000);
        for (status, kind, body) in [
            (502, "text/html", "<h1>Bad Gateway</h1>"),
            (200, "text/html", "<h1>Captive portal</h1>"),
            (200, "application/json", "{}"),
            (204, "text/plain", ""),
            (304, "text/plain", ""),
            (401, PROBLEM, r#"{"type":"about:blank","status":401}"#),
            (400, "text/html", "<h1>Bad Request</h1>"),
            (400, "text/html", long.as_str()),
            (400, PROBLEM, r#"{"type":"about:blank","status":400}"#),
            (400, "application/problem+json; charset=utf-8", NO_SUCH_KEY),
            (403, PROBLEM, NO_SUCH_KEY),
        ] {
            let body = body.to_owned();
            proxy.tamper(move |_, _| {
                let body = body.clone();
                async move { page(status, kind, body) }
            });
            let error = code(&client, "GET", &service.url("/")).await.unwrap_err();
            assert_eq!(error, Error::Unsealed { status }, "{kind}");
        }
        // A sealed answer in other clothes.
        for (status, name, value) in [
            (206, "x", "y"),
            (201, "x", "y"),
            (500, "x", "y"),
            (200, "content-encoding", "gzip"),
            (200, "content-encoding", "identity"),
            (200, "content-range", "bytes 0-9/10"),
            (200, "content-type", "message/ohttp-req"),
            (200, "content-type", "message/ohttp-res; v=1"),
            (200, "content-type", "application/octet-stream"),
        ] {
            proxy.tamper(move |upstream, passing| async move {
                let mut answer = upstream.forward(&passing).await;
                *answer.status_mut() = status.try_into().unwrap();
                answer.headers_mut().insert(name, value.parse().unwrap());
                answer
            });
            let error = code(&client, "GET", &service.url("/")).await.unwrap_err();
            assert_eq!(error, Error::Unsealed { status }, "{name}: {value}");
        }
    }
}

/// An answer's head and body, to be bent.
async fn opened(answer: Page) -> (axum::http::response::Parts, Vec<u8>) {
    let (parts, body) = answer.into_parts();
    (parts, axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_for_one_request_and_stand_as_they_are() {
    let (proxy, service) = between().await;
    let client = service.client(protected);
    let kept = Arc::new(Mutex::new(None));
    proxy.tamper(move |upstream, passing| {
        let kept = kept.clone();
        async move {
            let answer = opened(upstream.forward(&passing).await).await;
            let (parts, body) = kept.lock().unwrap().replace(answer.clone()).unwrap_or(answer);
            Page::from_parts(parts, Body::from(body))
        }
    });
    assert_eq!(code(&client, "GET", &service.url("/same")).await.unwrap(), 200);
    assert_eq!(code(&client, "GET", &service.url("/same")).await.unwrap_err(), Error::Rejected);

    for at in [0, 31, 32, 40, 299] {
        proxy.tamper(move |upstream, passing| async move {
            let (parts, mut body) = opened(upstream.forward(&passing).await).await;
            let at = at.min(body.len() - 1);
            body[at] ^= 1;
            Page::from_parts(parts, Body::from(body))
        });
        assert_eq!(code(&client, "GET", &service.url("/")).await.unwrap_err(), Error::Rejected, "{at}");
    }
    for (left, expected) in [(0, "Truncated"), (31, "Truncated"), (32, "Rejected"), (200, "Rejected")] {
        proxy.tamper(move |upstream, passing| async move {
            let (mut parts, mut body) = opened(upstream.forward(&passing).await).await;
            parts.headers.remove("content-length");
            body.truncate(left);
            Page::from_parts(parts, Body::from(body))
        });
        let error = code(&client, "GET", &service.url("/")).await.unwrap_err();
        assert_eq!(error.code(), expected, "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_is_never_complete() {
    let (proxy, service) = between().await;
    let client = service.client(|rule| protected(rule).streamed());
    let sent = "y".repeat(50_000);
    let full = Arc::new(Mutex::new(0));
    let len = full.clone();
    proxy.tamper(move |upstream, passing| {
        let len = len.clone();
        async move {
            let (parts, body) = opened(upstream.forward(&passing).await).await;
            *len.lock().unwrap() = body.len();
            Page::from_parts(parts, Body::from(body))
        }
    });
    let whole = client.post(service.url("/")).body(sent.clone()).send().await.unwrap();
    assert_eq!(whole.text().await.unwrap(), format!("POST / {sent}"));
    let full = *full.lock().unwrap();

    for broken in [false, true] {
        for left in [0, 20, 40, 200, 20_000, 40_000, full - 19, full - 18, full - 1] {
            proxy.tamper(move |upstream, passing| async move {
                let (mut parts, mut body) = opened(upstream.forward(&passing).await).await;
                parts.headers.remove("content-length");
                body.truncate(left);
                let (send, stream) = pieces();
                send.send(Ok(body.into())).unwrap();
                if broken {
                    send.send(Err(std::io::Error::other("gone"))).unwrap();
                }
                Page::from_parts(parts, Body::from_stream(stream))
            });
            let sending = client.post(service.url("/")).body(sent.clone()).send().await;
            let error = match sending {
                Err(error) => error,
                Ok(mut response) => loop {
                    match response.chunk().await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("{left} of {full} bytes are complete"),
                        Err(error) => {
                            // It goes on failing: nobody takes the next answer for the end.
                            assert_eq!(response.chunk().await.unwrap_err(), error);
                            break error;
                        }
                    }
                },
            };
            // A last chunk that has begun was cut if it does not open.
            let expected = match (broken, left > full - 19) {
                (true, _) => "Network",
                (false, true) => "Rejected",
                (false, false) => "Truncated",
            };
            assert_eq!(error.code(), expected, "{left} of {full}");
        }
    }
    // The app's own body fails.
    let direct = Service::start(|layer| layer).await;
    let client = direct.client(|rule| rule.exchange().streamed());
    // It may fail so soon that not even the head is there.
    let error = match client.get(direct.url("/breaks")).send().await {
        Err(error) => error,
        Ok(mut response) => loop {
            match response.chunk().await {
                Ok(Some(piece)) => assert_eq!(piece, b"half"),
                Ok(None) => panic!("half a body is complete"),
                Err(error) => break error,
            }
        },
    };
    assert!(matches!(error, Error::Network(_) | Error::Truncated), "{error}");
    let whole = direct.client(Rule::exchange).get(direct.url("/breaks")).send().await.unwrap();
    assert_eq!(whole.status(), 500);
}

/// Lets requests through, and forges the answers of the first `times`.
fn forge(proxy: &Proxy, times: usize, body: &'static str) {
    let done = Arc::new(Mutex::new(0));
    proxy.tamper(move |upstream: Upstream, passing: Passing| {
        let done = done.clone();
        async move {
            let answer = upstream.forward(&passing).await;
            let forged = {
                let mut done = done.lock().unwrap();
                *done += 1;
                *done <= times
            };
            if forged { page(400, PROBLEM, body) } else { answer }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_problem_makes_nothing_happen_twice() {
    let (proxy, service) = between().await;
    let client = service.client(protected);
    let url = service.url("/pay");
    let calls = || std::mem::take(&mut *COUNTED.lock().unwrap());
    static COUNTED: Mutex<usize> = Mutex::new(0);
    let count = |before: usize| *COUNTED.lock().unwrap() = service.app.calls() - before;

    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        let before = service.app.calls();
        forge(&proxy, 1, NO_SUCH_KEY);
        assert_eq!(code(&client, method, &url).await.unwrap_err().code(), "InvalidKey", "{method}");
        count(before);
        assert_eq!(calls(), 1, "{method}");
    }
    for method in ["GET", "HEAD"] {
        let before = service.app.calls();
        forge(&proxy, 1, NO_SUCH_KEY);
        assert_eq!(code(&client, method, &url).await.unwrap(), 200, "{method}");
        forge(&proxy, 100, NO_SUCH_KEY);
        assert_eq!(code(&client, method, &url).await.unwrap_err().code(), "InvalidKey", "{method}");
        forge(&proxy, 100, BAD_DATE);
        assert_eq!(code(&client, method, &url).await.unwrap_err(), Error::Expired, "{method}");
        count(before);
        // Once more after one forgery, once only after many, and never for a date.
        assert_eq!(calls(), 2 + 2 + 1, "{method}");
    }

    let idempotent = service.client(|rule| protected(rule).idempotent());
    for method in ["POST", "PUT", "DELETE"] {
        let before = service.app.calls();
        forge(&proxy, 1, NO_SUCH_KEY);
        assert_eq!(code(&idempotent, method, &url).await.unwrap(), 409, "{method}");
        forge(&proxy, 100, BAD_DATE);
        assert_eq!(code(&idempotent, method, &url).await.unwrap_err(), Error::Expired);
        count(before);
        assert_eq!(calls(), 2, "{method}");
        let key = service.app.last().headers["idempotency-key"].clone();
        assert!(key.len() >= 18, "{key:?}");
    }
    // The app's own key is kept; the same one is refused.
    forge(&proxy, 0, NO_SUCH_KEY);
    let before = service.app.calls();
    for expected in [200, 409] {
        let request = idempotent.post(&url).header("idempotency-key", "\"order 17\"");
        assert_eq!(request.send().await.unwrap().status(), expected);
    }
    assert_eq!(service.app.calls() - before, 1);
    // Streams are not repeated, and have a key, too.
    forge(&proxy, 1, NO_SUCH_KEY);
    let (send, stream) = pieces();
    send.send(Ok(Bytes::from_static(b"x"))).unwrap();
    drop(send);
    let error = idempotent.post(&url).body_stream(stream).send().await.unwrap_err();
    assert_eq!((error.code(), service.app.calls() - before), ("InvalidKey", 2));
    assert!(service.app.last().headers.contains_key("idempotency-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_disturbs_nobody() {
    let (proxy, service) = between().await;
    let client = service.client(protected);
    let exchanges = service.exchanges.clone().unwrap();
    assert_eq!(code(&client, "GET", &service.url("/")).await.unwrap(), 200);
    assert_eq!(code(&client, "GET", &service.url("/")).await.unwrap(), 200);
    assert_eq!(proxy.key_fetches(), 1);
    // A rotation leaves the old key; a client that knows it goes on.
    exchanges.change_keys(|keys| keys.rotate(now() - KEY_ROLLOUT - 60).unwrap());
    assert_eq!(code(&client, "POST", &service.url("/")).await.unwrap(), 200);
    assert_eq!(proxy.key_fetches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_an_old_key_gets_the_new_one() {
    let (proxy, service) = between().await;
    let client = service.client(protected);
    let idempotent = service.client(|rule| protected(rule).idempotent());
    let exchanges = service.exchanges.clone().unwrap();
    assert_eq!(code(&client, "GET", &service.url("/")).await.unwrap(), 200);
    assert_eq!(code(&idempotent, "GET", &service.url("/")).await.unwrap(), 200);
    // Serials follow the clock, and rise with every key; here all but the newest are lost.
    let replace = || {
        exchanges.change_keys(|keys| {
            let later = now() + 3601;
            keys.rotate(now() - KEY_ROLLOUT - 60).unwrap();
            keys.forget_expired(later);
        });
    };
    replace();
    assert_eq!(code(&client, "POST", &service.url("/")).await.unwrap_err().code(), "InvalidKey");
    assert_eq!(code(&client, "POST", &service.url("/")).await.unwrap(), 200);
    assert_eq!(code(&idempotent, "POST", &service.url("/")).await.unwrap(), 200);
    assert_eq!((proxy.key_fetches(), service.app.calls()), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_services_own_newest_keys_are_believed() {
    let (proxy, service) = between().await;
    let seen = LastSeen::in_store(MemoryStore::default());
    let client = || service.client(protected).last_seen(seen.clone());
    let serve = |document: Vec<u8>, kind: &'static str, status: u16| {
        proxy.tamper_all(move |upstream, passing| {
            let document = document.clone();
            async move {
                if passing.uri == KEYS_PATH {
                    page(status, kind, document)
                } else {
                    upstream.forward(&passing).await
                }
            }
        });
    };
    let url = service.url("/");
    let origin = Origin::parse(&service.origin).unwrap();
    let exchanges = service.exchanges.clone().unwrap();
    let document = |keys: &ServiceKeys, signer: &Identity, at: u64| {
        keys.document(signer, std::slice::from_ref(&origin), &[], at).unwrap()
    };
    let genuine = exchanges.with_keys(|keys| document(keys, &service.identity, now()));
    serve(genuine.clone(), KEYS_MEDIA_TYPE, 200);
    assert_eq!(code(&client(), "GET", &url).await.unwrap(), 200);

    let forged = exchanges.with_keys(|keys| document(keys, &person(), now()));
    let made = |at| ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, 3600, at).unwrap();
    let expired = document(&made(now() - 7200), &service.identity, now() - 7200);
    let elsewhere = [Origin::parse("https://other.example").unwrap()];
    let other = exchanges.with_keys(|keys| keys.document(&service.identity, &elsewhere, &[], now()).unwrap());
    let mut altered = genuine.clone();
    let at = altered.len() / 2;
    altered[at] ^= 1;
    let unsealed = |status| Error::Unsealed { status }.to_string();
    for (document, kind, status, expected) in [
        (forged, KEYS_MEDIA_TYPE, 200, Error::Rejected.to_string()),
        (expired, KEYS_MEDIA_TYPE, 200, Error::Expired.to_string()),
        (other, KEYS_MEDIA_TYPE, 200, Error::Rejected.to_string()),
        (altered, KEYS_MEDIA_TYPE, 200, Error::Rejected.to_string()),
        (genuine.clone(), "application/octet-stream", 200, unsealed(200)),
        (genuine.clone(), KEYS_MEDIA_TYPE, 404, unsealed(404)),
        (b"<h1>hello</h1>".to_vec(), "text/html", 200, unsealed(200)),
        (vec![0; 65_537], KEYS_MEDIA_TYPE, 200, Error::TooLarge(&"a response").to_string()),
    ] {
        serve(document, kind, status);
        let calls = service.app.calls();
        assert_eq!(code(&client(), "POST", &url).await.unwrap_err().to_string(), expected);
        assert_eq!(service.app.calls(), calls);
    }

    let rotate = |keys: &mut ServiceKeys| {
        keys.rotate_with(Kem::X25519, Aead::ChaCha20Poly1305, 120, now() - KEY_ROLLOUT - 60)
    };
    exchanges.change_keys(rotate).unwrap();
    serve(exchanges.with_keys(|keys| document(keys, &service.identity, now())), KEYS_MEDIA_TYPE, 200);
    assert_eq!(code(&client(), "GET", &url).await.unwrap(), 200);
    serve(genuine, KEYS_MEDIA_TYPE, 200);
    assert_eq!(code(&client(), "GET", &url).await.unwrap_err(), Error::Rejected, "an older serial");
    let forgetful = service.client(protected);
    assert_eq!(code(&forgetful, "GET", &url).await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_shows_what_it_says_and_no_more() {
    let (proxy, service) = between().await;
    let by = |in_place: InPlace| service.client(|rule| rule.exchange_by(Carriage::InPlace(in_place)).sign());
    let client = by(InPlace::new().expose_field("Authorization").expose_query());
    let request = client.get(service.url("/a?b=c")).bearer_auth("t0k").header("x-secret", "1");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let outside = proxy.passed().pop().unwrap();
    assert_eq!(
        (outside.uri.as_str(), &outside.headers["authorization"]),
        ("/a?b=c", &"Bearer t0k".parse().unwrap())
    );
    assert!(!outside.headers.contains_key("x-secret"));
    assert_eq!(service.app.last().uri, "/a?b=c");

    // A query that was changed outside is not believed inside, and a field neither.
    let unsigned = Proxy::start().await;
    let plain = Service::start_as(Some(&unsigned.origin), |exchanges| exchanges, |layer| layer).await;
    unsigned.to(&plain);
    let client = plain.client(|rule| {
        rule.exchange_by(Carriage::InPlace(InPlace::new().expose_field("authorization").expose_query()))
    });
    unsigned.tamper(|upstream, mut passing| async move {
        passing.headers.insert("authorization", "Bearer admin".parse().unwrap());
        upstream.forward(&passing).await
    });
    client.get(plain.url("/a?b=c")).bearer_auth("t0k").send().await.unwrap();
    assert_eq!(plain.app.last().headers["authorization"], "Bearer t0k");
    unsigned.tamper(|upstream, mut passing| async move {
        passing.uri = "/a?b=d".into();
        upstream.forward(&passing).await
    });
    let error = client.get(plain.url("/a?b=c")).send().await.unwrap_err();
    assert_eq!((error, plain.app.calls()), (Error::Unsealed { status: 400 }, 1));

    for name in ["content-type", "date", "range", "host", "signature", "cache-control"] {
        let error = code(&by(InPlace::new().expose_field(name)), "GET", &service.url("/")).await.unwrap_err();
        assert_eq!(error.code(), "Misuse", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_request_without_a_body_needs_the_post_carrier() {
    let (proxy, service) = between().await;
    let long = service.url(&format!("/a?q={}", "x".repeat(6000)));
    for method in ["GET", "HEAD", "DELETE"] {
        let calls = proxy.calls();
        assert_eq!(code(&service.client(protected), method, &long).await.unwrap_err().code(), "TooLarge");
        assert_eq!(proxy.calls(), calls);
        let client =
            service.client(|rule| rule.exchange_by(Carriage::InPlace(InPlace::new().post_carrier())).sign());
        assert_eq!(code(&client, method, &long).await.unwrap(), 200);
        let outside = proxy.passed().pop().unwrap();
        assert_eq!((outside.method.as_str(), outside.uri.as_str()), ("POST", "/a"));
        assert_eq!(service.app.last().method.as_str(), method);
    }
    // A service that does not take it says so by refusing.
    let strict = Service::start(|layer| layer.verify(known_devices())).await;
    let client =
        strict.client(|rule| rule.exchange_by(Carriage::InPlace(InPlace::new().post_carrier())).sign());
    let error = code(&client, "GET", &strict.url(&format!("/a?q={}", "x".repeat(6000)))).await.unwrap_err();
    assert_eq!((error, strict.app.calls()), (Error::Unsealed { status: 400 }, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_by_one() {
    let service = Service::start(|layer| layer.verify(known_devices())).await;
    let client = service.client(|rule| protected(rule).streamed());
    let mut response = client.get(service.url("/events")).send().await.unwrap();
    assert_eq!(response.headers().text("content-type").unwrap(), Some("text/event-stream"));
    // The server holds the second one back until it is told to go on.
    assert_eq!(response.chunk().await.unwrap().unwrap(), b"data: 1\n\n");
    // Whoever gives up waiting loses nothing, and is not told that it was all.
    assert!(tokio::time::timeout(Duration::from_millis(100), response.chunk()).await.is_err());
    service.app.go_on.notify_one();
    assert_eq!(response.chunk().await.unwrap().unwrap(), b"data: 2\n\n");
    assert_eq!(response.chunk().await.unwrap(), None);
    assert_eq!(response.chunk().await.unwrap(), None);
}

async fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(5), "it does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_dispatched_once_it_is_there_unless_the_route_streams() {
    let service = Service::start(|layer| layer.verify(known_devices()).stream("/streamed").unwrap()).await;
    let client = service.client(protected);
    for (path, early) in [("/streamed", true), ("/whole", false)] {
        let before = service.app.calls();
        *service.app.uploaded.lock().unwrap() = 0;
        let (send, stream) = pieces();
        send.send(Ok(Bytes::from_static(b"first "))).unwrap();
        let sending = tokio::spawn(client.post(service.url(path)).body_stream(stream).send());
        if early {
            until(|| *service.app.uploaded.lock().unwrap() == 6).await;
        } else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(service.app.calls(), before);
        }
        send.send(Ok(Bytes::from_static(b"second"))).unwrap();
        drop(send);
        let answer = sending.await.unwrap().unwrap();
        assert_eq!(answer.text().await.unwrap(), format!("POST {path} first second"));
        assert_eq!(service.app.calls(), before + 1);

        // The source fails: what was begun ends in an error, what was not begun does not begin.
        let before = service.app.calls();
        *service.app.uploaded.lock().unwrap() = 0;
        let (send, stream) = pieces();
        send.send(Ok(Bytes::from_static(b"first "))).unwrap();
        let sending = tokio::spawn(client.post(service.url(path)).body_stream(stream).send());
        if early {
            until(|| *service.app.uploaded.lock().unwrap() == 6).await;
        }
        send.send(Err(std::io::Error::other("the camera is gone"))).unwrap();
        assert_eq!(sending.await.unwrap().unwrap_err().code(), "Network");
        assert_eq!(service.app.calls(), before + usize::from(early));
        if early {
            assert_eq!(service.app.last().body, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_are_for_the_whole_call() {
    let (proxy, service) = between().await;
    let limit = Duration::from_millis(300);
    let client = service.client(protected);
    let began = Instant::now();
    let error = client.get(service.url("/slow")).timeout(limit).send().await.unwrap_err();
    assert_eq!(error, Error::Network(&"timed out"));
    assert!(began.elapsed() < Duration::from_secs(2));
    // The fetching of keys counts.
    proxy.tamper_all(|_, _| std::future::pending());
    let began = Instant::now();
    let fresh = service.client(protected);
    let error = fresh.get(service.url("/")).timeout(limit).send().await.unwrap_err();
    assert_eq!(error, Error::Network(&"timed out"));
    assert!(began.elapsed() < Duration::from_secs(2));
    // And the rest of a stream.
    let direct = Service::start(|layer| layer).await;
    let streaming = direct.client(|rule| rule.exchange().streamed());
    let mut response = streaming.get(direct.url("/events")).timeout(limit).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    assert_eq!(response.chunk().await.unwrap_err(), Error::Network(&"timed out"));
    let gone = Rule::at("http://127.0.0.1:1", "/{rest..}").unwrap().in_the_clear();
    let error = code(&Client::new(http(), Policy::new().rule(gone)), "GET", "http://127.0.0.1:1/x").await;
    assert_eq!(error.unwrap_err(), Error::Network(&"no connection"));
}

/// The client asks unsigned for the keys, through a gateway that lets nothing else in unsigned.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_stands_in_front_of_a_service() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (origin, identity) = (Origin::parse(&url).unwrap(), person());
    let pins = ServicePins::new([identity.recipient().pin()]);
    let service = SealwireLayer::exchanges(ExchangeService::new(origin.clone(), service_keys()), identity);
    let gateway = SealwireLayer::gateway(origin).verify(known_devices());
    let app = Router::new().fallback(async |body: String| format!("read {body}"));
    let app = Router::new().fallback_service(service.verify(known_devices()).layer(app));
    let app = Router::new().fallback_service(gateway.layer(app));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let rule = Rule::at(&url, "/{rest..}").unwrap();
    let client = |rule: Rule| {
        let policy = Policy::new().service(&url, pins.clone()).unwrap().rule(rule);
        Client::new(http(), policy).identity(device()).post(format!("{url}/notes")).body("milk")
    };
    let answer = client(rule.clone().exchange().sign()).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "read milk");
    assert_eq!(client(rule.exchange()).send().await.unwrap_err(), Error::Unsealed { status: 401 });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_got_no_answer_does_not_hear_that_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    // It reads, does what was asked, and falls over.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            drop(tokio::io::AsyncReadExt::read(&mut stream, &mut head).await);
        }
    });
    let rule = Rule::at(&origin, "/{rest..}").unwrap().in_the_clear();
    let client = Client::new(http(), Policy::new().rule(rule));
    let error = client.post(format!("{origin}/pay")).body("17").send().await.unwrap_err();
    assert_eq!(error, Error::Network(&"no answer came, and the request may have been carried out"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_has_the_shape_of_reqwests() {
    let service = Service::start(|layer| layer).await;
    let client = service.client(|rule| rule.exchange().streamed());
    let request = client.post(service.url("/shape")).header(http_name(), "17").bearer_auth(17);
    let answer = request.json("text").send().await.unwrap().error_for_status().unwrap();
    assert!(answer.status().is_success());
    let pieces: Vec<_> = answer.bytes_stream().map(Result::unwrap).collect().await;
    assert_eq!(pieces.concat(), b"POST /shape \"text\"");
    let seen = service.app.last();
    assert_eq!(
        (&seen.headers["x-note"], &seen.headers["authorization"]),
        (&"17".parse().unwrap(), &"Bearer 17".parse().unwrap())
    );
    for (status, is_error) in [(200, false), (304, false), (404, true), (500, true)] {
        let answer = client.get(service.url(&format!("/status/{status}"))).send().await.unwrap();
        let error = answer.error_for_status().err();
        assert_eq!(error.map(|error| error.0.as_u16()), is_error.then_some(status));
    }
    // A stream that breaks ends in an error, and then it ends.
    if let Ok(answer) = client.get(service.url("/breaks")).send().await {
        let pieces: Vec<_> = answer.bytes_stream().collect().await;
        assert!(matches!(pieces.last(), Some(Err(Error::Network(_) | Error::Truncated))), "{pieces:?}");
        assert!(pieces.iter().rev().skip(1).all(Result::is_ok), "{pieces:?}");
    }
}

fn http_name() -> reqwest::header::HeaderName {
    reqwest::header::HeaderName::from_static("x-note")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_holds_no_more_than_it_is_told_to() {
    let service = Service::start(|layer| layer.plain("/clear").unwrap()).await;
    let body = "z".repeat(2 << 20);
    for rule in [Rule::exchange, |rule: Rule| rule.exchange().streamed()] {
        let client = service.client(rule).max_body(100_000);
        let answer = match client.post(service.url("/")).body(body.clone()).send().await {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        assert_eq!(answer.unwrap_err().code(), "TooLarge");
    }
    let clear = service.client(Rule::in_the_clear).max_body(100_000);
    let answer = clear.post(service.url("/clear")).body(body).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap_err().code(), "TooLarge");
    // By chunks there is no limit.
    let client = service.client(|rule| rule.exchange().streamed()).max_body(100_000);
    let mut endless = client.get(service.url("/large")).send().await.unwrap();
    let mut read = 0;
    while read < 3 << 20 {
        read += endless.chunk().await.unwrap().unwrap().len();
    }
    // As a whole the service gives up, and says so sealed.
    let answer = service.client(Rule::exchange).get(service.url("/large")).send().await.unwrap();
    assert_eq!(answer.status(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_may_exchange_the_prefix_and_nothing_else() {
    let proxy = Proxy::start().await;
    let mounted = |service: ExchangeService| service.mounted("/api/v1", "/app");
    let service =
        Service::start_as(Some(&proxy.origin), mounted, |layer| layer.verify(known_devices())).await;
    proxy.to(&service);
    let routed = |from: &'static str, to: &'static str| {
        proxy.tamper(move |upstream, mut passing| async move {
            passing.uri = passing.uri.replacen(from, to, 1);
            upstream.forward(&passing).await
        });
    };
    let client = service.client(protected);
    routed("/api/v1", "/app");
    let answer = client.post(service.url("/api/v1/a?b=c")).body("x").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "POST /app/a?b=c x");
    for (from, to) in [("", ""), ("/api/v1", ""), ("/api/v1", "/app2"), ("/api/v1/a", "/app/b")] {
        routed(from, to);
        let error = code(&client, "POST", &service.url("/api/v1/a")).await.unwrap_err();
        assert_eq!(error.code(), "Unsealed", "{from} {to}");
    }
    assert_eq!(service.app.calls(), 1);
    // Keys are asked for past every cache: what it holds may be what the service has just refused.
    let fetch = proxy.passed().into_iter().find(|passing| passing.uri == KEYS_PATH).unwrap();
    assert_eq!(fetch.headers["cache-control"], "no-cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_key_needs_no_document() {
    let service = Service::start(|layer| layer.verify(known_devices())).await;
    let trusted = sealwire::http::TrustedKeys::from_config(service.key(), now() + 60);
    let rule = Rule::at(&service.origin, "/{rest..}").unwrap().exchange().sign();
    let policy = Policy::new().service_keys(&service.origin, trusted).unwrap().rule(rule);
    let client = Client::new(http(), policy).identity(copy(&DEVICE));
    assert_eq!(code(&client, "GET", &service.url("/")).await.unwrap(), 200);
}
