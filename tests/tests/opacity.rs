//! The opacity kit on an app that is opaque, and on apps that each break one thing: every detector has to fire.
#![allow(
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use sealwire::http::{
    Client, ExchangeService, Origin, OriginPolicy, Policy, ReplayCache, ReplayId, RequestVerifier, Rule,
    SealedResource, SealwireLayer, ServiceKeys, ServicePins,
};
use sealwire::testing::{Canaries, Canary, OpacityCheck, OpacityReport, Recorder, Tampering};
use sealwire::{Aead, Error, Identity, Kem, Result};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[path = "../../examples/rust/opacity.rs"]
#[allow(unreachable_pub)] // An example of its own, and a module here.
mod example;

/// What `TEXT` looks like in other forms was made by Python.
const TEXT: &str = "Correct-Horse+Battery/Staple é";

fn marker() -> (Canary, Canaries) {
    let canary = Canary::of("note body", TEXT).unwrap();
    let _ = canary.text();
    let canaries = Canaries::from([&canary]);
    (canary, canaries)
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn failed(report: &OpacityReport) -> Vec<(&str, &str)> {
    let failed = report.items().iter().filter(|item| !item.passed);
    failed.map(|item| (item.name.as_str(), item.detail.as_str())).collect()
}

/// The names of failed checks of one call.
fn accepted<'r>(report: &'r OpacityReport, call: &str) -> Vec<&'r str> {
    let failed = failed(report).into_iter();
    failed.filter_map(|(name, _)| name.strip_prefix(call)?.strip_prefix(": ")).collect()
}

/// An app on plain HTTP behind a recorder.
async fn recorded(app: Router) -> Recorder {
    let (recorder, listener) = recorder().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    recorder
}

async fn recorder() -> (Recorder, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Recorder::start(listener.local_addr().unwrap()).await.unwrap(), listener)
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

// Canaries in bytes.

#[test]
fn a_canary_is_found_in_every_form() {
    let (_, canaries) = marker();
    let utf16 = |bytes: fn(u16) -> [u8; 2]| TEXT.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let latin: Vec<u8> = TEXT.bytes().collect();
    let hex: String = latin.iter().map(|byte| format!("{byte:02X}")).collect();
    let text = |text: &str| text.as_bytes().to_vec();
    let gzip = "1f8b0800000000000203cbcb2f49b55270ce2f2a4a4d2ed1f5c82f2a4ed5764a2c29492daad40f2e492cc8495538bc5221352f0500febdc51429000000";
    let forms: Vec<(&str, usize, Vec<u8>)> = vec![
        ("plaintext", 3, text(&format!("a: {TEXT}."))),
        ("plaintext", 0, text(&TEXT.to_uppercase().replace('É', "é"))),
        ("base64", 7, text("eyJrIjpDb3JyZWN0LUhvcnNlK0JhdHRlcnkvU3RhcGxlIMOpIn0=")),
        ("base64", 8, text("eyJrIjp4Q29ycmVjdC1Ib3JzZStCYXR0ZXJ5L1N0YXBsZSDDqSJ9")),
        ("base64", 10, text("eyJrIjp4eUNvcnJlY3QtSG9yc2UrQmF0dGVyeS9TdGFwbGUgw6kifQ==")),
        ("base64", 3, text("-_9Db3JyZWN0LUhvcnNlK0JhdHRlcnkvU3RhcGxlIMOp-_8")),
        (
            "across white space > base64",
            67,
            text(
                "enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enpDb3JyZWN0\nLUhvcnNlK0JhdHRlcnkvU3RhcGxlIMOp\n",
            ),
        ),
        ("hex", 2, text(&format!("0x{hex}"))),
        ("hex", 2, text(&format!("0x{}", hex.to_lowercase()))),
        ("percent-encoded", 3, text("?q=Correct-Horse%2BBattery/Staple%20%C3%A9&x=1")),
        ("percent-encoded > form-encoded", 3, text("?q=Correct-Horse%2BBattery%2FStaple+%C3%A9")),
        (
            "percent-encoded",
            0,
            text(
                "%43%6f%72%72%65%63%74%2d%48%6f%72%73%65%2b%42%61%74%74%65%72%79%2f%53%74%61%70%6c%65%20%c3%a9",
            ),
        ),
        ("percent-encoded > base64", 4, text("d=YUNvcn%4A%6cY3QtSG9yc2UrQmF0dGVyeS9TdGFwbGUgw6k%3D")),
        ("escaped", 1, text(r#""Correct-Horse+Battery/Staple \u00e9""#)),
        ("escaped", 1, text(r#""Correct-Horse+Battery\/Staple é""#)),
        (
            "escaped",
            1,
            text(
                r#""\u0043\u006F\u0072\u0072\u0065\u0063\u0074\u002D\u0048\u006F\u0072\u0073\u0065\u002B\u0042\u0061\u0074\u0074\u0065\u0072\u0079\u002F\u0053\u0074\u0061\u0070\u006C\u0065\u0020\u00E9""#,
            ),
        ),
        ("escaped", 1, text(r#""Correct-Horse+Battery/Staple \xc3\xa9""#)),
        ("UTF-16", 0, utf16(u16::to_le_bytes)),
        ("UTF-16", 0, utf16(u16::to_be_bytes)),
        (
            "across white space > list of numbers",
            1,
            text(
                "[67, 111, 114, 114, 101, 99, 116, 45, 72, 111, 114, 115, 101, 43, 66, 97, 116, 116, 101, 114, 121, 47, 83, 116, 97, 112, 108, 101, 32, 195, 169]",
            ),
        ),
        ("gzip", 2, [b"xx".to_vec(), unhex(gzip)].concat()),
        ("gzip", 0, unhex(&gzip[..gzip.len() - 16])),
        (
            "zlib",
            1,
            unhex(
                "00789ccbcb2f49b55270ce2f2a4a4d2ed1f5c82f2a4ed5764a2c29492daad40f2e492cc8495538bc5221352f05003f190f92",
            ),
        ),
        (
            "deflate",
            0,
            unhex("cbcb2f49b55270ce2f2a4a4d2ed1f5c82f2a4ed5764a2c29492daad40f2e492cc8495538bc5221352f0500"),
        ),
        (
            "gzip > base64 > gzip",
            0,
            unhex(
                "1f8b0800000000000203ab56aa52b252f23029f674840067478b321f1f835cc3d03c177f9fca02ef9060f320cbe4f432ef6cf3b094ecfc62efd0ec92c292c0009fecece24ad79c307f9ff260479f8228576f931c90014ab5e810006a953ea664000000",
            ),
        ),
        (
            "base64 > gzip",
            5,
            text("data:H4sIAAAAAAACA8vLL0m1UnDOLypKTS7R9cgvKk7VdkosKUktqtQPLkksyElVOLxSITUvBQD+vcUUKQAAAA=="),
        ),
    ];
    let recorder = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let recorder = recorder.block_on(Recorder::start(([127, 0, 0, 1], 9).into())).unwrap();
    for (form, offset, bytes) in forms {
        let report = recorder.report(&canaries).unwrap().scan_bytes("row", &bytes).unwrap();
        let found: Vec<_> = failed(&report).into_iter().filter(|(name, _)| name.starts_with("row")).collect();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(found, [("row: note body", format!("as {form} at byte {offset}").as_str())], "{shown}");
        assert!(!report.to_string().contains("Horse"));
    }
    let other =
        recorder.report(&canaries).unwrap().scan_bytes("row", b"Correct-Horse Battery Staple").unwrap();
    assert!(other.items().last().unwrap().passed);
}

#[tokio::test]
async fn what_inflates_without_end_is_an_error() {
    let (_, canaries) = marker();
    let (recorder, _listener) = recorder().await;
    // 2,200,000 times the longest match, 258 bytes: 541 MiB out of 3.5 MB.
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    // RFC 1951 §3.2.6: a last block with fixed codes; the literal 0 (00110000); length 258 (11000101) at distance 1 (00000).
    let mut bits = vec![1, 1, 0];
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    for _ in 0..2_200_000 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }
    bomb.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0u8, |value, bit| value << 1 | bit)));
    let report = recorder.report(&canaries).unwrap().scan_bytes("row", &bomb);
    assert!(matches!(report, Err(Error::TooLarge(_))), "{report:?}");
}

#[tokio::test]
async fn files_and_their_names_are_looked_into() {
    let (canary, canaries) = marker();
    let (recorder, _listener) = recorder().await;
    let folder = tempfile::Builder::new().prefix("data").tempdir().unwrap();
    let root = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
    let report = || recorder.report(&canaries).unwrap();
    let found = |report: OpacityReport| -> Vec<String> {
        failed(&report).into_iter().skip(1).map(|(name, detail)| format!("{name}: {detail}")).collect()
    };

    assert_eq!(found(report().scan_folder(&folder).unwrap()), [format!("{root}: there is no file in it")]);
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    std::fs::write(folder.path().join("logs/app.log"), format!("12:00 saved {}", canary.text())).unwrap();
    std::fs::write(folder.path().join("Correct-Horse%2BBattery%2FStaple %C3%A9"), "").unwrap();
    std::fs::write(folder.path().join("fine"), "Correct").unwrap();
    assert_eq!(
        found(report().scan_folder(&folder).unwrap()),
        [
            format!("{root}: note body: the name of file 1, as percent-encoded at byte 0"),
            format!("{root}: note body: logs/app.log, as plaintext at byte 12"),
        ]
    );
    let log = report().scan_file(folder.path().join("logs/app.log")).unwrap();
    assert_eq!(found(log), ["app.log: note body: as plaintext at byte 12"]);
    assert!(matches!(report().scan_file(folder.path().join("none")), Err(Error::Store(_))));
}

#[tokio::test]
async fn what_proves_nothing_does_not_pass() {
    let (recorder, _listener) = recorder().await;
    let canary = Canary::new("token").unwrap();
    let report = recorder.report(&Canaries::from([&canary])).unwrap();
    assert_eq!(failed(&report).len(), 2, "{report}");
    assert!(std::panic::catch_unwind(|| report.assert_opaque()).is_err());
    let first = canary.text();
    assert!(first.len() == 26 && first != Canary::new("token").unwrap().text());
    assert!(!format!("{canary:?}").contains(first));
    assert!(matches!(Canary::of("token", "1234567"), Err(Error::Misuse(_))));
}

#[tokio::test]
async fn a_canary_that_is_everywhere_hides_no_other() {
    let (many, one) = (Canary::of("many", "everywhere").unwrap(), Canary::of("one", "only here").unwrap());
    let (recorder, _listener) = recorder().await;
    let log = format!("{}{}", many.text().repeat(5000), one.text());
    let report = recorder.report(&Canaries::from([&many, &one])).unwrap().scan_bytes("log", log.as_bytes());
    let report = report.unwrap();
    assert_eq!(failed(&report).last(), Some(&("log: one", "as plaintext at byte 50000")), "{report}");
}

// The recorder.

/// A server that answers every connection with these bytes, and gives back what it got.
async fn raw(recorder_of: TcpListener, answer: Vec<u8>) -> Vec<u8> {
    let (mut connection, _) = recorder_of.accept().await.unwrap();
    let mut got = vec![0; 64 * 1024];
    let mut length = 0;
    while !got[..length].ends_with(b"\r\n0\r\n\r\n") {
        length += connection.read(&mut got[length..]).await.unwrap();
    }
    connection.write_all(&answer).await.unwrap();
    got.truncate(length);
    got
}

#[tokio::test]
async fn bytes_pass_as_they_are_and_chunks_are_put_together() {
    let (_, canaries) = marker();
    let (recorder, listener) = recorder().await;
    let chunked = |start: &str| {
        let (front, back) = TEXT.split_at(9);
        let mut bytes =
            format!("{start}\r\nTransfer-Encoding:  chunked\r\nx-ODD:  kept \r\n\r\n").into_bytes();
        bytes.extend(format!("9;ext=1\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n", back.len()).bytes());
        bytes
    };
    let request = chunked("POST /a?b=%20 HTTP/1.1\r\nHost: x");
    let answer =
        [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec(), chunked("HTTP/1.1 418 Odd  Reason")]
            .concat();
    let server = tokio::spawn(raw(listener, answer.clone()));
    let mut client = TcpStream::connect(&recorder.url()["http://".len()..]).await.unwrap();
    client.write_all(&request).await.unwrap();
    let mut got = vec![0; answer.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(server.await.unwrap(), request);
    assert_eq!(got, answer);

    let report = recorder.report(&canaries).unwrap();
    let at = |bytes: &[u8]| bytes.windows(9).position(|nine| nine == b"Correct-H").unwrap();
    let expected = [
        format!("request 1, as plaintext at byte {}", at(&request)),
        format!("answer to request 1, as plaintext at byte {}", at(&answer)),
    ];
    assert_eq!(failed(&report).iter().map(|(_, detail)| *detail).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn events_pass_before_the_answer_ends() {
    let (recorder, listener) = recorder().await;
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n";
        connection.write_all(head).await.unwrap();
        // Waits for the client to have read the first event, and says it with the second half of its request.
        let mut got = Vec::new();
        while !got.ends_with(b"go") {
            let mut buffer = [0; 1024];
            let length = connection.read(&mut buffer).await.unwrap();
            got.extend(&buffer[..length]);
        }
        connection.write_all(b"data: 2\n\n").await.unwrap();
    });
    let mut client = TcpStream::connect(&recorder.url()["http://".len()..]).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n..").await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"data: 1\n\n") {
        let mut buffer = [0; 1024];
        let length = client.read(&mut buffer).await.unwrap();
        got.extend(&buffer[..length]);
    }
    client.write_all(b"go").await.unwrap();
    client.read_to_end(&mut got).await.unwrap();
    assert!(got.ends_with(b"data: 1\n\ndata: 2\n\n"));
    server.await.unwrap();
}

#[tokio::test]
async fn more_than_is_kept_is_an_error() {
    let (_, canaries) = marker();
    let recorder = recorded(Router::new().route("/", get(async || "fine"))).await.limit(600);
    let call = async || http().get(recorder.url()).send().await.unwrap().text().await.unwrap();
    assert_eq!(call().await, "fine");
    recorder.report(&canaries).unwrap().assert_opaque();
    for _ in 0..5 {
        assert_eq!(call().await, "fine");
    }
    assert!(matches!(recorder.report(&canaries), Err(Error::TooLarge(_))));
}

#[tokio::test]
async fn leaks_on_the_wire_are_found() {
    let (canary, canaries) = marker();
    let gzip = unhex(
        "1f8b0800000000000203ab564aca4fa954b25272ce2f2a4a4d2ed1f5c82f2a4ed5764a2c29492daad40f2e492cc8495538bc52a91600734b2f242a000000",
    );
    let brotli = |body: &'static [u8]| ([("content-encoding", "br")], body);
    let app = Router::new()
        .route("/", post(async || "fine").get(async || "fine"))
        .route("/gzip", get(move || async move { ([("content-encoding", "gzip")], gzip) }))
        .route("/br", get(move || async move { brotli(b"\x0b\x02\x80hello\x03") }));
    let recorder = recorded(app).await;
    let (url, http) = (recorder.url(), http());
    let base64 = "Q29ycmVjdC1Ib3JzZStCYXR0ZXJ5L1N0YXBsZSDDqQ==";
    let hex: String = canary.text().bytes().map(|byte| format!("{byte:02x}")).collect();
    http.post(url).body(format!("{{\"body\":\"{TEXT}\"}}")).send().await.unwrap();
    http.get(format!("{url}/?q={base64}")).send().await.unwrap();
    http.get(format!("{url}/gzip")).send().await.unwrap();
    http.get(url).header("x-token", hex).send().await.unwrap();
    http.get(format!("{url}/br")).send().await.unwrap();

    let report = recorder.report(&canaries).unwrap();
    let found: Vec<_> =
        failed(&report).into_iter().map(|(_, detail)| detail.split(" at ").next().unwrap()).collect();
    let expected = [
        "answer to request 5: cannot look into the content coding br",
        "request 1, as plaintext",
        "request 2, as base64",
        "answer to request 3, as gzip",
        "request 4, as hex",
    ];
    assert_eq!(found, expected, "{report}");
}

// Tampering.

const OF_ANSWERS: [Tampering; 8] = [
    Tampering::TruncatedAnswer,
    Tampering::AlteredAnswer,
    Tampering::PlaintextAnswer,
    Tampering::JsonAnswer,
    Tampering::AnotherAnswer,
    Tampering::Redirect,
    Tampering::ErrorPage,
    Tampering::NoContentType,
];

struct App {
    recorder: Recorder,
    alice: Arc<Identity>,
    policy: Policy,
}

impl App {
    /// An app whose layer, rule and client are as they should be, but for what the caller changes.
    async fn start(
        layer: impl FnOnce(SealwireLayer) -> SealwireLayer,
        rule: impl FnOnce(Rule) -> Rule,
        verifies: bool,
    ) -> Self {
        let (recorder, listener) = recorder().await;
        let alice = Identity::generate_with(Kem::X25519).unwrap();
        let service = Identity::generate_with(Kem::X25519).unwrap();
        let pins = ServicePins::new([service.recipient().pin()]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let keys = ServiceKeys::generate_with(Kem::X25519, Aead::Aes256Gcm, 3600, now).unwrap();
        let exchanges = ExchangeService::new(Origin::parse(recorder.url()).unwrap(), keys);
        let mut sealing = SealwireLayer::exchanges(exchanges, service);
        if verifies {
            sealing = sealing.verify(RequestVerifier::new(vec![alice.signer()], OriginPolicy::default()));
        }
        let routes = Router::new()
            .route("/echo", post(async |body: String| body))
            .route("/list", get(async || "one, two"))
            .route("/long", get(async || "x".repeat(100_000)));
        let app = Router::new().fallback_service(layer(sealing).layer(routes));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let rule = rule(Rule::at(recorder.url(), "/{rest..}").unwrap().exchange().sign());
        let policy = Policy::new().service(recorder.url(), pins).unwrap().rule(rule);
        Self { recorder, alice: Arc::new(alice), policy }
    }

    fn client(&self, http: reqwest::Client) -> Client {
        Client::new(http, self.policy.clone()).identity(self.alice.clone())
    }

    async fn check(&self, http: reqwest::Client) -> OpacityReport {
        let (canary, canaries) = marker();
        let client = self.client(http);
        let check = OpacityCheck::new(&self.recorder, &canaries)
            .call("echo", |url| client.post(format!("{url}/echo")).body(canary.text()).send())
            .call("list", |url| client.get(format!("{url}/list?q=1")).bearer_auth("t".repeat(40)).send());
        check.run().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_app_passes_with_every_check() {
    let app = App::start(|layer| layer, |rule| rule, true).await;
    let report = app.check(http()).await;
    report.assert_opaque();
    assert_eq!(report.items().len(), 2 + 2 * Tampering::ALL.len() + 1);
    let applied = |call: &str| {
        let items = report.items().iter().filter(|item| item.name.starts_with(call));
        items.filter(|item| !item.detail.starts_with("does not apply")).count()
    };
    // A body has no exchange in a field, and a field no digest; nothing here is streamed.
    assert_eq!((applied("echo"), applied("list")), (1 + 15, 1 + 15));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_stream_passes() {
    let app = App::start(|layer| layer.stream("/echo").unwrap(), |rule| rule.streamed(), true).await;
    let (canary, canaries) = marker();
    let client = app.client(http());
    let read = |url: String, method: &'static str, body: &'static str| {
        let request = client.request(method, &url);
        let request = if body.is_empty() { request } else { request.body(body) };
        async move { request.send().await?.bytes().await }
    };
    let _ = canary.text();
    let check = OpacityCheck::new(&app.recorder, &canaries)
        .call("echo", |url| read(format!("{url}/echo"), "POST", TEXT))
        .call("list", |url| read(format!("{url}/list"), "GET", ""));
    check.run().await.unwrap().assert_opaque();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_only_stores_envelopes_passes() {
    let (recorder, listener) = recorder().await;
    let alice = Arc::new(Identity::generate_with(Kem::X25519).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let stored = folder.path().to_path_buf();
    let file = move |uri: &axum::http::Uri| stored.join(uri.path().replace('/', "_"));
    let (saved, loaded) = (file.clone(), file);
    let routes = Router::new().route(
        "/notes/{id}",
        put(move |OriginalUri(uri): OriginalUri, body: axum::body::Bytes| async move {
            std::fs::write(saved(&uri), body).unwrap();
            StatusCode::NO_CONTENT
        })
        .get(move |OriginalUri(uri): OriginalUri| async move {
            ([("content-type", "application/vnd.sealwire")], std::fs::read(loaded(&uri)).unwrap())
        }),
    );
    let layer = SealwireLayer::gateway(Origin::parse(recorder.url()).unwrap())
        .verify(RequestVerifier::new(vec![alice.signer()], OriginPolicy::default()));
    let app = Router::new().fallback_service(layer.layer(routes));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let notes =
        SealedResource::new("notes", "id").to(&[alice.recipient().clone()]).senders(&[alice.signer()]);
    let rule = Rule::at(recorder.url(), "/notes/{id}").unwrap().seal(notes).sign();
    let client = Client::new(http(), Policy::new().rule(rule)).identity(alice);

    let (canary, canaries) = marker();
    let save = |url: String, id: u8| client.put(format!("{url}/notes/{id}")).body(canary.text()).send();
    let report = OpacityCheck::new(&recorder, &canaries)
        .write("save 17", |url| save(url, 17))
        .write("save 18", |url| save(url, 18))
        .call("read", |url| client.get(format!("{url}/notes/17")).send())
        .run()
        .await
        .unwrap()
        .scan_folder(&folder)
        .unwrap();
    report.assert_opaque();
    assert_eq!(report.items().iter().filter(|item| item.name.starts_with("save 17")).count(), 1 + 9 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_protection_fails_every_check_that_applies() {
    let notes = Arc::new(Mutex::new(BTreeMap::<String, String>::new()));
    let save = async |State(notes): State<Arc<Mutex<BTreeMap<String, String>>>>,
                      OriginalUri(uri): OriginalUri,
                      headers: HeaderMap,
                      body: String| {
        assert!(headers.contains_key("host"));
        notes.lock().unwrap().insert(uri.path().to_owned(), body);
        "saved"
    };
    let app = Router::new().route("/a", post(save)).route("/b", post(save)).with_state(notes);
    let recorder = recorded(app).await;
    let (canary, canaries) = marker();
    let client = reqwest::Client::new();
    let call = |url: String| {
        let request = client.post(url).body(canary.text().to_owned());
        let request =
            request.header("signature", "x").header("signature-input", "x").header("content-digest", "x");
        let request = request.header("sealwire-exchange", "x").header("sealwire-exchange-head", "x");
        async move { request.send().await?.text().await }
    };
    let check = OpacityCheck::new(&recorder, &canaries)
        .call("a", |url| call(format!("{url}/a")))
        .call("b", |url| call(format!("{url}/b")));
    let report = check.run().await.unwrap();
    let every: Vec<_> = Tampering::ALL.iter().map(|tampering| tampering.name()).collect();
    assert_eq!(accepted(&report, "a"), every, "{report}");
    assert!(failed(&report).iter().any(|(name, _)| *name == "wire: note body"));

    let left_out = OpacityCheck::new(&recorder, &canaries)
        .call("a", |url| call(format!("{url}/a")))
        .call("b", |url| call(format!("{url}/b")))
        .without(Tampering::ErrorPage);
    let report = left_out.run().await.unwrap();
    assert!(!accepted(&report, "a").contains(&"error page"));
    assert!(report.items().iter().any(|item| item.name == "a: error page" && item.detail == "left out"));
}

/// Takes every request for a new one.
struct Forgetful;

impl ReplayCache for Forgetful {
    fn insert<'c>(
        &'c self,
        _: ReplayId,
        _: u64,
        _: u64,
        _: u64,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'c>> {
        Box::pin(async { Ok(true) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_replays_is_found() {
    let app = App::start(|layer| layer.replay(Arc::new(Forgetful)), |rule| rule, true).await;
    let report = app.check(http()).await;
    let expected = [
        ("echo: replayed request", "the server answered 200"),
        ("list: replayed request", "the server answered 200"),
    ];
    assert_eq!(failed(&report), expected, "{report}");
}

/// It could not tell who signs from who has signed somebody else's exchange anew, so it lets in nobody whose exchange names a signer.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_checks_no_signature_is_found() {
    let app = App::start(|layer| layer, |rule| rule, false).await;
    let report = app.check(http()).await;
    let names: Vec<_> = failed(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["echo: untouched", "list: untouched"], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_plain_requests_is_found() {
    let app = App::start(|layer| layer.plain("/list").unwrap(), |rule| rule, true).await;
    let (_, canaries) = marker();
    let client = app.client(http());
    let plain = http();
    let check = OpacityCheck::new(&app.recorder, &canaries)
        .call("echo", |url| client.post(format!("{url}/echo")).body("hello").send())
        .call("list", |url| {
            let request = plain.get(format!("{url}/list"));
            async move { request.send().await?.text().await }
        });
    let report = check.run().await.unwrap();
    // Whoever sends it to the plain path gets past the layer, and is stopped by the app alone.
    assert_eq!(accepted(&report, "echo"), ["swapped path"], "{report}");
    assert!(accepted(&report, "list").contains(&"unprotected request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_follows_redirects_is_found() {
    let app = App::start(|layer| layer, |rule| rule, true).await;
    let report = app.check(reqwest::Client::new()).await;
    assert_eq!(accepted(&report, "echo"), ["redirect"], "{report}");
    assert_eq!(accepted(&report, "list"), ["redirect"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_the_end_of_a_stream_is_found() {
    let app = App::start(|layer| layer, |rule| rule.streamed(), true).await;
    let (_, canaries) = marker();
    let client = app.client(http());
    let call = |method: &str, url: String| {
        let request = client.request(method, &url);
        async move {
            let mut answer = request.send().await?;
            while let Ok(Some(_)) = answer.chunk().await {}
            Ok::<_, Error>(())
        }
    };
    let check = OpacityCheck::new(&app.recorder, &canaries)
        .call("echo", |url| call("POST", format!("{url}/echo")))
        .call("long", |url| call("GET", format!("{url}/long")));
    let report = check.run().await.unwrap();
    // An altered byte may be seen before the call has its answer, as the network cuts the pieces.
    let accepted = accepted(&report, "long");
    assert_eq!(
        accepted.iter().filter(|name| **name != "altered answer").collect::<Vec<_>>(),
        [&"truncated answer"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_falls_back_to_plaintext_is_found() {
    let app = App::start(|layer| layer, |rule| rule, true).await;
    let (canary, canaries) = marker();
    let (client, plain) = (app.client(http()), http());
    let call = |method: &'static str, url: String| {
        let (sealed, plain) = (client.request(method, &url).body(canary.text()), plain.clone());
        let sealed = if method == "GET" { client.get(&url) } else { sealed };
        async move {
            if let Err(Error::Unsealed { .. }) = sealed.send().await {
                let request = plain.request(method.parse().unwrap(), url).body(TEXT);
                let _ = request.send().await.map_err(|_| Error::Network(&"plain"))?;
            }
            Ok::<_, Error>(())
        }
    };
    let check = OpacityCheck::new(&app.recorder, &canaries)
        .call("echo", |url| call("POST", format!("{url}/echo")))
        .call("list", |url| call("GET", format!("{url}/list")));
    let report = check.run().await.unwrap();
    let of_answers: Vec<_> = OF_ANSWERS.iter().map(|tampering| tampering.name()).collect();
    assert!(accepted(&report, "echo").iter().all(|name| of_answers.contains(name)), "{report}");
    for name in
        ["plaintext answer", "plain JSON answer", "error page", "answer without content-type", "redirect"]
    {
        assert!(accepted(&report, "echo").contains(&name), "{name}\n{report}");
    }
    assert!(failed(&report).iter().any(|(name, _)| *name == "wire: note body"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_plain_json_is_found_by_an_answer_that_it_can_read() {
    #[derive(serde::Deserialize)]
    struct Note {
        #[allow(dead_code)]
        text: String,
    }
    let recorder = recorded(
        Router::new()
            .route("/a", get(async || "{\"text\":\"1\"}"))
            .route("/b", get(async || "{\"text\":\"1\"}")),
    )
    .await;
    let (_, canaries) = marker();
    let client = http();
    let read = |url: String| {
        let request = client.get(url);
        async move {
            let text = request.send().await.map_err(std::io::Error::other)?.text().await;
            serde_json::from_str::<Note>(&text.map_err(std::io::Error::other)?).map_err(std::io::Error::other)
        }
    };
    let check = OpacityCheck::new(&recorder, &canaries)
        .call("a", |url| read(format!("{url}/a")))
        .call("b", |url| read(format!("{url}/b")))
        .in_the_clear("application/json", "", "{\"text\":\"forged\"}");
    let report = check.run().await.unwrap();
    assert!(!accepted(&report, "a").contains(&"plain JSON answer"));
    assert!(accepted(&report, "b").contains(&"plain JSON answer"), "{report}");
}

#[tokio::test]
async fn a_check_needs_calls_that_work() {
    let (_, canaries) = marker();
    let recorder = recorded(Router::new().route("/", get(async || "fine"))).await;
    let alone = OpacityCheck::new(&recorder, &canaries).call("alone", async |_| Ok::<_, Error>(()));
    assert!(matches!(alone.run().await, Err(Error::Misuse(_))));
    let idle = OpacityCheck::new(&recorder, &canaries)
        .call("idle", async |_| Ok::<_, Error>(()))
        .call("broken", async |_| Err::<(), _>(Error::Rejected));
    let report = idle.run().await.unwrap();
    let expected = [
        ("idle: untouched", "it sent nothing through the recorder"),
        ("broken: untouched", "it does not work: the call failed with Rejected"),
        ("wire", "nothing went through the recorder"),
    ];
    assert_eq!(failed(&report), expected);
}

// The documents.

#[test]
fn the_example_runs() {
    example::main().unwrap();
}
