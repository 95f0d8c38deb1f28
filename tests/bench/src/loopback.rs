//! Client and layer over loopback, each in a process of its own.

use crate::http::{empty, response_key, zero};
use crate::table::{Table, Target, micros};
use crate::timing::{Effort, pair};
use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use hpke::kdf::HkdfSha256;
use hpke::{OpModeR, OpModeS};
use sealwire::http::{
    Carriage, Client, ExchangeService, InPlace, KeyConfig, Method, Origin, Policy, RequestHead,
    RequestSealer, Rule, SealwireLayer, ServiceKeys, ServicePins, Target as Url,
};
use sealwire::{Aead, Identity, Kem};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const JSON: &str = "application/json";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A child: an app behind the layer, with `/plain/…` beside it. `what` is KEM and AEAD. Prints its origin and its keys; ends with its stdin.
pub fn serve(what: &str) {
    let kem = if what.starts_with("xwing") { Kem::XWing } else { Kem::X25519 };
    let aead = if what.ends_with("chacha") { Aead::ChaCha20Poly1305 } else { Aead::Aes256Gcm };
    let runtime = runtime();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let keys = ServiceKeys::generate_with(kem, aead, 3600, now()).unwrap();
        let hex: String = keys.ohttp_keys(now()).iter().map(|byte| format!("{byte:02x}")).collect();
        let exchanges = ExchangeService::new(Origin::parse(&origin).unwrap(), keys);
        let layer = SealwireLayer::exchanges(exchanges, Identity::generate_with(Kem::X25519).unwrap());
        let layer = layer.plain("/plain/{rest..}").unwrap();
        let app = Router::new()
            .route("/plain/echo", post(|body: Bytes| async move { body }))
            .route("/echo", post(|body: Bytes| async move { body }))
            .route("/plain/download/{mib}", get(large))
            .route("/download/{mib}", get(large));
        println!("{origin} {hex}");
        axum::serve(listener, Router::new().fallback_service(layer.layer(app))).await.unwrap();
    });
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// So many MiB, made as they are sent.
async fn large(axum::extract::Path(mib): axum::extract::Path<u64>) -> Body {
    let block = Bytes::from(vec![7; 64 * 1024]);
    Body::from_stream(futures_util::stream::iter(
        (0..mib * 16).map(move |_| Ok::<_, std::io::Error>(block.clone())),
    ))
}

struct Server {
    child: Child,
    origin: String,
    config: KeyConfig,
}

impl Server {
    fn start(what: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["--child", "serve", what])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (origin, hex) = line.trim().split_once(' ').unwrap();
        let keys: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        Self { child, origin: origin.into(), config: KeyConfig::parse_list(&keys).unwrap() }
    }

    /// Seconds of CPU that the process has used.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // Ticks of a hundredth of a second: utime and stime.
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    fn peak_mib(&self) -> f64 {
        peak(&format!("/proc/{}/status", self.child.id()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn peak(status: &str) -> f64 {
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// A request that is ready to be sent.
type Ready = reqwest::Request;

fn plain_request(http: &reqwest::Client, origin: &str) -> Ready {
    http.post(format!("{origin}/plain/echo"))
        .header("content-type", JSON)
        .body(vec![b'x'; 1024])
        .build()
        .unwrap()
}

/// Sealed before the run, so that only the service's work is measured.
fn sealed_request(http: &reqwest::Client, server: &Server) -> Ready {
    let target = Url::new(Origin::parse(&server.origin).unwrap(), "/echo").unwrap();
    let mut head = RequestHead::new(Method::new("POST").unwrap(), target);
    head.headers.add("content-type", JSON).unwrap();
    let carriage = Carriage::InPlace(InPlace::new());
    let (sealed, _) = RequestSealer::new(&server.config, &carriage).seal(head, &[b'x'; 1024], now()).unwrap();
    let mut request = http.post(format!("{}/echo", server.origin)).body(sealed.body);
    for (name, value) in sealed.head.headers.iter() {
        request = request.header(name, value);
    }
    request.build().unwrap()
}

/// Requests per second that the service does when asked as fast as it answers.
async fn capacity(http: &reqwest::Client, origin: &str, seconds: f64) -> f64 {
    let start = Instant::now();
    let workers = (0..32).map(|_| {
        let (http, origin) = (http.clone(), origin.to_owned());
        tokio::spawn(async move {
            let mut done = 0_u64;
            while start.elapsed().as_secs_f64() < seconds {
                http.execute(plain_request(&http, &origin)).await.unwrap().bytes().await.unwrap();
                done += 1;
            }
            done
        })
    });
    let mut done = 0;
    for worker in workers.collect::<Vec<_>>() {
        done += worker.await.unwrap();
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// Sends at a fixed rate whatever the answers do (open loop): seconds from when each was due to when it was answered, ascending.
async fn open_loop(http: &reqwest::Client, requests: Vec<Ready>, rate: f64) -> Vec<f64> {
    let start = Instant::now();
    let mut sent = Vec::new();
    for (i, request) in requests.into_iter().enumerate() {
        let due = Duration::from_secs_f64(i as f64 / rate);
        // Timers tick in milliseconds: who is late already does not wait for the next one.
        if let Some(early) = due.checked_sub(start.elapsed()) {
            tokio::time::sleep(early).await;
        }
        let http = http.clone();
        sent.push(tokio::spawn(async move {
            let answer = http.execute(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), 200);
            answer.bytes().await.unwrap();
            (start.elapsed() - due).as_secs_f64()
        }));
    }
    let mut times = Vec::new();
    for answer in sent {
        times.push(answer.await.unwrap());
    }
    times.sort_by(f64::total_cmp);
    times
}

pub fn added_cpu(table: &mut Table, quick: bool) {
    let seconds = if quick { 0.3 } else { 4.0 };
    runtime().block_on(async {
        let http = reqwest::Client::new();
        let mut rows = Vec::new();
        let mut rate = 0.0;
        for what in ["x25519 chacha", "xwing chacha"] {
            let server = Server::start(what);
            let plain_capacity = capacity(&http, &server.origin, seconds / 2.0).await;
            // Faster than this the sender, which shares the two cores, would be measured too.
            rate = (0.3 * plain_capacity).min(1500.0);
            let count = (rate * seconds) as usize;
            let plain: Vec<Ready> = (0..count).map(|_| plain_request(&http, &server.origin)).collect();
            let sealed: Vec<Ready> = (0..count).map(|_| sealed_request(&http, &server)).collect();
            let before = server.cpu();
            let plain_times = open_loop(&http, plain, rate).await;
            let between = server.cpu();
            let sealed_times = open_loop(&http, sealed, rate).await;
            let after = server.cpu();
            let added = ((after - between) - (between - before)) / count as f64;
            rows.push((what, plain_capacity, added, plain_times, sealed_times));
        }
        table.heading(&format!(
            "Loopback through axum, open loop, {rate:.0} requests/s of 1 KiB each way: CPU added at the server, beside bare HPKE open and response seal (time)"
        ));
        for (what, capacity, added, plain, sealed) in rows {
            let bare = if what.starts_with("xwing") {
                bare_service::<hpke::kem::XWing>()
            } else {
                bare_service::<hpke::kem::X25519HkdfSha256>()
            };
            table.cost(&format!("{what}, CPU per exchange"), (added, bare), Target::AtMost(1.5));
            let at = |times: &[f64], share: f64| micros(times[(times.len() as f64 * share) as usize]);
            table.note(&format!("{what}, p50, p99"), &format!("{}, {}", at(&sealed, 0.5), at(&sealed, 0.99)));
            let what = format!("plain JSON beside it, p50, p99 (of at most {capacity:.0}/s)");
            table.note(&what, &format!("{}, {}", at(&plain, 0.5), at(&plain, 0.99)));
        }
    });
}

/// Seconds of one bare HPKE open and one response seal of 1 KiB.
fn bare_service<K: hpke::Kem>() -> f64 {
    let (private, public) = K::gen_keypair();
    let (enc, mut sender) =
        hpke::setup_sender::<hpke::aead::ChaCha20Poly1305, HkdfSha256, K>(&OpModeS::Base, &public, b"info")
            .unwrap();
    let sealed = sender.seal(&[b'x'; 1024], b"").unwrap();
    let effort = Effort { samples: 5, sample: Duration::from_millis(20) };
    let open = || {
        let mut receiver = hpke::setup_receiver::<hpke::aead::ChaCha20Poly1305, HkdfSha256, K>(
            &OpModeR::Base,
            &private,
            &enc,
            b"info",
        )
        .unwrap();
        let mut response = receiver.open(&sealed, b"").unwrap();
        let mut secret = [0; 32];
        receiver.export(b"message/bhttp response", &mut secret).unwrap();
        let key = response_key(&secret, &[9; 32], &ring::aead::CHACHA20_POLY1305);
        key.seal_in_place_append_tag(zero(), empty(), &mut response).unwrap();
    };
    let (once, again) = pair(effort, open, open);
    once.min(again)
}

/// A child: reads `URL` as a stream, plain or through an exchange, and prints GB/s and its peak memory.
pub fn download(argument: &str) {
    let url = argument.to_owned();
    runtime().block_on(async {
        let (mut total, start) = (0_u64, Instant::now());
        if url.contains("/plain/") {
            let mut answer = reqwest::get(&url).await.unwrap();
            while let Some(piece) = answer.chunk().await.unwrap() {
                total += piece.len() as u64;
            }
        } else {
            let origin = url.rsplit_once("/download").unwrap().0;
            let policy = Policy::new().service(origin, ServicePins::trust_on_first_use()).unwrap();
            let rule = Rule::at(origin, "/{rest..}").unwrap().exchange().streamed();
            let client = Client::new(reqwest::Client::new(), policy.rule(rule));
            let mut answer = client.get(&url).send().await.unwrap();
            while let Some(piece) = answer.chunk().await.unwrap() {
                total += piece.len() as u64;
            }
        }
        println!("{} {}", total as f64 / start.elapsed().as_secs_f64() / 1e9, peak("/proc/self/status"));
    });
}

pub fn downloads(table: &mut Table, quick: bool) {
    let mib = if quick { 16 } else { 1024 };
    table.heading(&format!(
        "A streamed download of {mib} MiB over loopback, client and layer, beside the plain one"
    ));
    for (what, least) in [("x25519 aes", Some(0.6)), ("x25519 chacha", None)] {
        let server = Server::start(what);
        let run = |path: &str| {
            let program = std::env::current_exe().unwrap();
            let url = format!("{}{path}/{mib}", server.origin);
            let output = Command::new(program).args(["--child", "download", &url]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let (speed, peak) = text.trim().split_once(' ').unwrap();
            (speed.parse::<f64>().unwrap(), peak.parse::<f64>().unwrap())
        };
        let mut runs: Vec<_> = (0..3).map(|_| (run("/download"), run("/plain/download"))).collect();
        runs.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
        let ((sealed, client_peak), (plain, _)) = runs[1];
        let size = mib << 20;
        let times = (size as f64 / sealed / 1e9, size as f64 / plain / 1e9);
        table.faster(what, times, size, least.map_or(Target::None, Target::AtLeast));
        table.ceiling(&format!("{what}, client's peak"), client_peak, "MiB", 32.0);
        table.ceiling(&format!("{what}, server's peak"), server.peak_mib(), "MiB", 32.0);
    }
}
