//! Services for the npm package's tests: `web_server SIGNER…` prints where they are, and does what lines on standard input say.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use sealwire::Signer;
use sealwire::http::{OriginPolicy, RequestVerifier};
use sealwire_tests::loopback::{Service, keys_in_place_of, now, service_keys};
use serde_json::{Value, json};

/// Where the pages come from.
const PAGE: &str = "https://app.example";

#[tokio::main]
async fn main() {
    let signers: Vec<_> = std::env::args().skip(1).map(|signer| Signer::parse(&signer).unwrap()).collect();
    let known = || RequestVerifier::new(signers.clone(), OriginPolicy::default());
    let services = [
        (
            "open",
            Service::start_as(
                None,
                |it| it.tunnel("/gateway").post_carrier(),
                |layer| layer.allow_origins(&[PAGE]),
            )
            .await,
        ),
        (
            "signed",
            Service::start_as(
                None,
                |it| it.tunnel("/gateway"),
                |layer| layer.verify(known()).enforce_idempotency_keys().allow_origins(&[PAGE]),
            )
            .await,
        ),
        ("store", Service::gateway(|layer| layer.verify(known()).allow_origins(&[PAGE])).await),
    ];
    let place = |(name, service): &(&str, Service)| {
        let pin = service.identity.recipient().pin().to_string();
        ((*name).to_owned(), json!({ "origin": service.origin, "pin": pin }))
    };
    println!("{}", Value::Object(services.iter().map(place).collect()));

    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (command, name) = line.split_once(' ').unwrap();
        let service =
            services.iter().find_map(|(known, service)| (*known == name).then_some(service)).unwrap();
        let said = match command {
            "rotate" => {
                service
                    .exchanges
                    .as_ref()
                    .unwrap()
                    .change_keys(|keys| *keys = keys_in_place_of(keys, now(), service_keys));
                json!(null)
            }
            "go" => {
                service.app.go_on.notify_one();
                json!(null)
            }
            "uploaded" => json!(*service.app.uploaded.lock().unwrap()),
            "calls" => json!(service.app.calls()),
            "last" => {
                let last = service.app.last();
                let fields = last
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())));
                json!({
                    "method": last.method.as_str(),
                    "uri": last.uri.to_string(),
                    "headers": Value::Object(fields.collect()),
                    "body": last.body.map(|body| String::from_utf8_lossy(&body).into_owned()),
                    "sender": last.sender.map(|sender| sender.to_string()),
                })
            }
            _ => panic!("no such command"),
        };
        println!("{said}");
    }
}
