//! The Rust layer and the Rust client as somebody to talk to, for the tests of other languages.
//!
//!   peer serve [SIGNER…]                            prints {"origin", "pin"}, and serves until its standard input ends
//!   peer call ORIGIN PIN METHOD PATH [BODY]         prints {"status", "body"}, or {"error": code}
//!
//! The app answers with method, path and body; `/store/{id}` keeps what is put there, signed by one of the signers and not in an exchange;
//! `/upload` and `/events` stream; `/status/404` and `/status/500` are what they say.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use sealwire::http::{Client, OriginPolicy, Policy, RequestVerifier, Rule, ServicePins};
use sealwire::{Pin, Signer};
use sealwire_tests::loopback::{Service, http};
use serde_json::json;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["serve", ref signers @ ..] => serve(signers).await,
        ["call", origin, pin, method, path, ref body @ ..] => call(origin, pin, method, path, body).await,
        _ => std::process::exit(2),
    }
}

async fn serve(signers: &[&str]) {
    let signers: Vec<_> = signers.iter().map(|text| Signer::parse(text).unwrap()).collect();
    let service = Service::start(|layer| {
        let layer = layer.stream("/upload").unwrap();
        if signers.is_empty() {
            return layer;
        }
        let verifier = RequestVerifier::new(signers, OriginPolicy::default());
        layer.verify(verifier).signed_only("/store/{id}").unwrap().unsigned("/{rest..}").unwrap()
    })
    .await;
    println!(
        "{}",
        json!({ "origin": service.origin, "pin": service.identity.recipient().pin().to_string() })
    );
    // The second event of `/events` comes at once.
    service.app.go_on.notify_one();
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    ended.await.unwrap().unwrap();
}

async fn call(origin: &str, pin: &str, method: &str, path: &str, body: &[&str]) {
    let policy = Policy::new().service(origin, ServicePins::new([Pin::parse(pin).unwrap()])).unwrap();
    let policy = policy.rule(Rule::at(origin, "/{rest..}").unwrap().exchange());
    let client = Client::new(http(), policy);
    let request = client.request(method, format!("{origin}{path}"));
    let request = body.iter().fold(request, |request, body| request.body(body.as_bytes().to_vec()));
    let answer = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok::<_, sealwire::Error>(json!({ "status": status, "body": response.text().await? }))
    };
    println!("{}", answer.await.unwrap_or_else(|error| json!({ "error": error.code() })));
}
