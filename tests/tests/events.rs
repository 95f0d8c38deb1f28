//! What an operator hears, and what not. One test, since a process has one tracing subscriber.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::http::{Client, Counters, Operation, Rule, SealedResource};
use sealwire_tests::loopback::{DEVICE, Events, Service, device, http, known_devices, now};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// Keeps everything of every library's events and spans.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(String, String)>>>);

struct Text<'t>(&'t mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sealwire")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = String::new();
        span.record(&mut Text(&mut text));
        self.0.lock().unwrap().push((span.metadata().target().into(), text));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = event.metadata().level().to_string();
        event.record(&mut Text(&mut text));
        self.0.lock().unwrap().push((event.metadata().target().into(), text));
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_hears_how_it_ended_and_nothing_else() {
    let kept = Kept::default();
    tracing::subscriber::set_global_default(kept.clone()).unwrap();
    let service = Service::start(|layer| {
        layer.verify(known_devices()).plain("/plain").unwrap().signed_only("/store/{id}").unwrap()
    })
    .await;
    let heard = Arc::new(Events::default());
    let notes =
        SealedResource::new("notes-ns", "id").to(&[DEVICE.recipient().clone()]).senders(&[DEVICE.signer()]);
    let policy = service.policy(|_| Rule::at(&service.origin, "/store/{id}").unwrap().seal(notes).sign());
    let all = Rule::at(&service.origin, "/{rest..}").unwrap().exchange().sign();
    let client = Client::new(http(), policy.rule(all)).identity(device()).observer(heard.clone());

    // The good ones.
    let request = client.post(service.url("/path-secret?query-secret=1"));
    request.bearer_auth("token-secret").body("body-secret").send().await.unwrap();
    assert_eq!(heard.take(), [(Operation::Call, "ok")]);
    assert_eq!(service.events.take(), [(Operation::Open, "ok"), (Operation::Serve, "ok")]);
    client.put(service.url("/store/id-secret")).version(1).body("body-secret").send().await.unwrap();
    assert_eq!(heard.take(), [(Operation::Call, "ok")]);
    assert_eq!(service.events.take(), [(Operation::Verify, "ok"), (Operation::Serve, "ok")]);
    client.get(service.url("/status/500")).send().await.unwrap();
    assert_eq!(service.events.take(), [(Operation::Open, "ok"), (Operation::Serve, "app")]);
    service.craft("GET", "/plain").plain().send(&service).await;
    assert_eq!(service.events.take(), [(Operation::Serve, "ok")]);
    drop(heard.take());

    // The bad ones: one event each, with its code.
    let error = client.get("http://nowhere-secret.example/path-secret").send().await.unwrap_err();
    assert_eq!((error.code(), heard.take()), ("Misuse", vec![(Operation::Call, "Misuse")]));
    let error = client.get(service.url("/store/missing-secret")).send().await.unwrap_err();
    assert_eq!((error.code(), heard.take()), ("Unsealed", vec![(Operation::Call, "Unsealed")]));
    drop(service.events.take());
    let sealed = |path: &str| service.craft("POST", path).body(b"body-secret").signed_by(&DEVICE);
    let stale = sealed("/path-secret").at(now() - 500).seal(&service).0;
    let mut bent = sealed("/path-secret").seal(&service).0;
    bent.body.pop();
    let mut unknown = sealed("/path-secret").seal(&service).0;
    unknown.body[0] ^= 1;
    unknown.sign(&DEVICE);
    let mut forged = sealed("/path-secret").seal(&service).0;
    forged.body.pop();
    forged.sign(&DEVICE);
    for (wire, event) in [
        (sealed("/path-secret").plain(), (Operation::Open, "Unsealed")),
        (service.craft("GET", "/path-secret").plain(), (Operation::Verify, "Rejected")),
        (stale, (Operation::Open, "Expired")),
        (bent, (Operation::Verify, "Rejected")),
        (unknown, (Operation::Open, "InvalidKey")),
        (forged, (Operation::Open, "Rejected")),
        (sealed("/path-secret").plain().set("content-encoding", "x"), (Operation::Verify, "Rejected")),
    ] {
        wire.send(&service).await;
        assert_eq!(service.events.take(), [event]);
    }

    let kept = kept.0.lock().unwrap().clone();
    assert!(kept.len() >= 16, "{kept:#?}");
    let service_text = service.origin.trim_start_matches("http://");
    let key_id = DEVICE.signer().key_id().to_string();
    for (target, text) in &kept {
        assert_eq!(target, "sealwire");
        for forbidden in
            ["secret", "notes-ns", "/", service_text, "127.0.0.1", key_id.as_str(), "Bearer", "POST"]
        {
            assert!(!text.contains(forbidden), "{forbidden}: {text}");
        }
        // Refusals are warnings, with a code; every field is one of these.
        assert_eq!(text.starts_with("WARN"), !text.contains("code=\"ok\""), "{text}");
        let names = text.split(' ').skip(1).filter_map(|part| part.split_once('=')).map(|(name, _)| name);
        let known = ["operation", "protection", "size", "code", "micros", "key_id"];
        assert!(names.into_iter().all(|name| known.contains(&name)), "{text}");
    }
    // 11 bytes are told as 16.
    assert!(kept.iter().any(|(_, text)| text.contains("operation=\"call\"") && text.contains("size=16 ")));

    let counters = Arc::new(Counters::default());
    let counting = service.client(|rule| rule.exchange().sign()).observer(counters.clone());
    for _ in 0..3 {
        counting.get(service.url("/a")).send().await.unwrap();
    }
    assert_eq!(counting.get("http://x.example/").send().await.unwrap_err().code(), "Misuse");
    assert_eq!(counters.snapshot(), [(Operation::Call, "Misuse", 1), (Operation::Call, "ok", 3)]);
}
