//! Test that your app is opaque: record its calls, look for canaries, and tamper with everything.
//!
//! `cargo run -p sealwire-tests --example opacity`
#![allow(clippy::print_stdout)] // An example shows what happens.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, put};
use sealwire::http::{
    Client, ExchangeService, Origin, OriginPolicy, Policy, RequestVerifier, Rule, SealwireLayer, ServiceKeys,
    ServicePins,
};
use sealwire::testing::{Canaries, Canary, OpacityCheck, Recorder};
use sealwire::{Identity, Signer};
use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// The whole of it.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let (alice, data) = (Identity::generate()?, tempfile::tempdir()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let recorder = Recorder::start(listener.local_addr()?).await?;
    let pins = start_app(listener, recorder.url(), alice.signer(), data.path().join("app.log"))?;
    let client = client(recorder.url(), pins, alice)?;

    let (body, search) = (Canary::new("note body")?, Canary::new("search")?);
    let report = OpacityCheck::new(&recorder, &Canaries::from([&body, &search]))
        .call("save", |url| client.put(format!("{url}/notes/17")).body(body.text()).send())
        .call("find", |url| client.get(format!("{url}/notes?q={}", search.text())).send())
        .run()
        .await?
        .scan_folder(data.path())?;
    report.assert_opaque();
    println!("{report}");
    Ok(())
}

/// The app under test: it answers its callers, and logs what it did.
fn start_app(
    listener: TcpListener,
    origin: &str,
    alice: Signer,
    log: std::path::PathBuf,
) -> Result<ServicePins, Box<dyn Error>> {
    let save = |State(log): State<std::path::PathBuf>, Path(id): Path<u64>, body: String| async move {
        std::fs::write(log, format!("note {id}: {} bytes\n", body.len())).map_or("failed", |()| "saved")
    };
    let app =
        Router::new().route("/notes/{id}", put(save)).route("/notes", get(async || "none")).with_state(log);

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let identity = Identity::generate()?;
    let pins = ServicePins::new([identity.recipient().pin()]);
    let exchanges = ExchangeService::new(Origin::parse(origin)?, ServiceKeys::generate(now)?);
    let layer = SealwireLayer::exchanges(exchanges, identity)
        .verify(RequestVerifier::new(vec![alice], OriginPolicy::default()));
    let app = Router::new().fallback_service(layer.layer(app));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(pins)
}

fn client(origin: &str, pins: ServicePins, alice: Identity) -> Result<Client, Box<dyn Error>> {
    let policy = Policy::new().service(origin, pins)?.rule(Rule::at(origin, "/{rest..}")?.exchange().sign());
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    Ok(Client::new(http, policy).identity(alice))
}
