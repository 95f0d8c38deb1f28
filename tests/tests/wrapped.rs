//! An app behind the layer and the client that calls it, over real HTTP on loopback.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use axum::Router;
use axum::extract::{OriginalUri, Path};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use sealwire::http::{
    Client, ExchangeService, Origin, OriginPolicy, Policy, RequestVerifier, Rule, SealwireLayer, ServiceKeys,
    ServicePins,
};
use sealwire::{Aead, Identity, Kem};
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

struct Served {
    origin: String,
    pins: ServicePins,
}

async fn serve(alice: &Identity) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let identity = Identity::generate_with(Kem::X25519).unwrap();
    let pins = ServicePins::new([identity.recipient().pin()]);
    let keys = ServiceKeys::generate_with(Kem::XWing, Aead::Aes256Gcm, 3600, now()).unwrap();
    let exchanges = ExchangeService::new(Origin::parse(&origin).unwrap(), keys);
    let layer = SealwireLayer::exchanges(exchanges, identity)
        .verify(RequestVerifier::new(vec![alice.signer()], OriginPolicy::default()))
        .plain("/health")
        .unwrap();
    let app = Router::new()
        .route("/health", get(|| async { "fine" }))
        .route(
            "/echo/{name}",
            post(|Path(name): Path<String>, body: String| async move { format!("{name}: {body}") }),
        )
        .route(
            "/search",
            get(|OriginalUri(uri): OriginalUri, headers: HeaderMap| async move {
                format!("{} {}", uri, headers["authorization"].to_str().unwrap())
            }),
        );
    let app = Router::new().fallback_service(layer.layer(app));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Served { origin, pins }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_app_answers_a_wrapped_client_and_nobody_else() {
    let alice = Identity::generate_with(Kem::X25519).unwrap();
    let Served { origin, pins } = serve(&alice).await;
    let rule = || Rule::at(&origin, "/{rest..}").unwrap();
    let policy = Policy::new().service(&origin, pins).unwrap().rule(rule().exchange().sign());
    let client = Client::new(reqwest::Client::new(), policy).identity(alice);

    let answer = client.post(&format!("{origin}/echo/bob")).body("hello").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "bob: hello");

    let answer = client.get(&format!("{origin}/search?q=a%20b")).bearer_auth("t0k").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "/search?q=a%20b Bearer t0k");

    let missing = client.get(&format!("{origin}/nothing")).send().await.unwrap();
    assert_eq!(missing.status(), 404);

    let plain = reqwest::get(format!("{origin}/search?q=1")).await.unwrap();
    assert_eq!(plain.status().as_u16(), 401);
    assert_eq!(reqwest::get(format!("{origin}/health")).await.unwrap().text().await.unwrap(), "fine");
}
