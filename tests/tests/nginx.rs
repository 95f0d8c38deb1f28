//! Exchanges through a real nginx, which routes, limits and logs them as any other request, and reads nothing of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use sealwire::http::{
    Client, ExchangeService, Origin, OriginPolicy, Policy, RequestVerifier, Rule, SealwireLayer, ServiceKeys,
    ServicePins,
};
use sealwire::{Aead, Error, Identity, Kem, to_text};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// In a query, a field, a body and a response: nothing that nginx writes may have one of them.
const CANARIES: [&str; 4] =
    ["canary-of-the-query", "canary-of-the-field", "canary-of-the-body", "canary-of-the-response"];

/// What an operator may write. Everything that nginx knows of a request goes to the log.
fn config(dir: &Path, listen: &str, app: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        r#"
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{}}
http {{
    client_body_temp_path {dir}/client;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    log_format all '$request|$status|$args|$request_body|$http_authorization|$http_x_field|$http_sealwire_exchange'
        '|$http_content_type|$http_signature_input|$sent_http_content_type|$sent_http_x_app|$upstream_status';
    access_log {dir}/access.log all;
    limit_req_zone $uri zone=by_path:1m rate=1r/m;
    limit_req_status 429;
    upstream app {{
        server {app};
        keepalive 4;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {{
        listen {listen};
        location = /.well-known/sealwire-keys {{ proxy_pass http://app; }}
        location /api/ {{ proxy_pass http://app/; }}
        location /api/limited/ {{
            limit_req zone=by_path burst=2 nodelay;
            proxy_pass http://app/limited/;
        }}
        location /api/live/ {{ proxy_pass http://app/live/; }}
        location /api/old/ {{
            proxy_http_version 1.0;
            proxy_pass http://app/old/;
        }}
        location /api/buffered/ {{
            proxy_http_version 1.0;
            proxy_ignore_headers X-Accel-Buffering;
            proxy_pass http://app/buffered/;
        }}
        location /api/broken/ {{ proxy_pass http://127.0.0.1:1/; }}
    }}
}}
"#
    )
}

struct Nginx {
    process: Child,
    dir: TempDir,
    origin: String,
    client: Client,
    /// Lets the app send one more event.
    gate: Arc<Semaphore>,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn program() -> PathBuf {
    let usual = Path::new("/usr/sbin/nginx");
    if usual.exists() { usual.into() } else { "nginx".into() }
}

impl Nginx {
    /// An app behind the layer behind nginx, and a client that knows nothing of nginx.
    async fn start(http2: bool) -> Self {
        let (port, gate) = (free_port(), Arc::new(Semaphore::new(0)));
        let origin = format!("http://127.0.0.1:{port}");
        let (owner, alice) =
            (Identity::generate_with(Kem::X25519).unwrap(), Identity::generate_with(Kem::X25519).unwrap());
        let pins = ServicePins::new([owner.recipient().pin()]);
        let app = app(&origin, owner, &alice, gate.clone()).await;

        let dir = tempfile::tempdir().unwrap();
        let listen = if http2 { format!("127.0.0.1:{port} http2") } else { format!("127.0.0.1:{port}") };
        std::fs::write(dir.path().join("nginx.conf"), config(dir.path(), &listen, app)).unwrap();
        let process = Command::new(program())
            .arg("-p")
            .arg(dir.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("nginx does not start: is it installed? {error}"));
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        let rule = |pattern| Rule::at(&origin, pattern).unwrap().exchange().sign();
        let policy = Policy::new()
            .service(&origin, pins)
            .unwrap()
            .rule(rule("/api/old/{rest..}").streamed())
            .rule(rule("/api/buffered/{rest..}").streamed())
            .rule(rule("/api/live/{rest..}").streamed())
            .rule(rule("/api/{rest..}"));
        let http = reqwest::Client::builder();
        let http = if http2 { http.http2_prior_knowledge() } else { http.http1_only() };
        let client = Client::new(http.build().unwrap(), policy).identity(alice);
        Self { process, dir, origin, client, gate }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    /// The log, once it has a line with that; nginx writes it after the response.
    async fn log_with(&self, expected: &str) -> String {
        for _ in 0..100 {
            let log = self.read("access.log");
            if log.contains(expected) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{expected} does not come in:\n{}", self.read("access.log"));
    }

    /// The canaries that stand in anything that nginx has written, in any of these spellings.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        let mut folders = vec![self.dir.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let written = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
                let found =
                    CANARIES.iter().flat_map(|canary| spellings(canary)).filter(|it| written.contains(it));
                leaks.extend(found.map(|found| format!("{found} in {}", entry.path().display())));
            }
        }
        leaks
    }
}

/// As it is, in hex, and in base64 at each of three alignments, without the characters that depend on its neighbours.
fn spellings(canary: &str) -> Vec<String> {
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut spellings = vec![canary.to_string(), hex.to_uppercase(), hex];
    for before in 0..3 {
        let text = to_text(&[&b"..."[..before], canary.as_bytes()].concat());
        let neighbours = if before == 0 { 0 } else { before + 1 };
        spellings.push(text.chars().skip(neighbours).take(text.len() - neighbours - 2).collect());
    }
    spellings
}

async fn app(origin: &str, owner: Identity, alice: &Identity, gate: Arc<Semaphore>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let keys = ServiceKeys::generate_with(Kem::XWing, Aead::Aes256Gcm, 3600, now).unwrap();
    let exchanges = ExchangeService::new(Origin::parse(origin).unwrap(), keys).mounted("/api", "");
    let layer = SealwireLayer::exchanges(exchanges, owner)
        .verify(RequestVerifier::new(vec![alice.signer()], OriginPolicy::default()))
        .plain("/plain")
        .unwrap();
    let app = Router::new()
        .route("/notes/{id}", any(echo))
        .route("/limited/{id}", any(echo))
        .route("/plain", any(echo))
        .route("/old/{id}", get(events))
        .route("/buffered/{id}", get(events))
        .route("/live/{id}", get(events))
        .with_state(gate);
    let app = Router::new().fallback_service(layer.layer(app));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    let field = head.headers.get("x-field").map_or(0, axum::http::HeaderValue::len);
    let text = format!("{} {} {field} {} {}", head.method, head.uri, body.len(), CANARIES[3]);
    ([("x-app", CANARIES[3])], text).into_response()
}

/// Three events, each when the gate lets it out.
async fn events(State(gate): State<Arc<Semaphore>>) -> Response {
    let events = futures::stream::unfold((0, gate), |(number, gate)| async move {
        if number == 3 {
            return None;
        }
        gate.acquire().await.unwrap().forget();
        let event = Bytes::from(format!("data: {number}\n\n"));
        Some((Ok::<_, std::io::Error>(event), (number + 1, gate)))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Calls with a canary in query, field and body; the answer has one, too.
async fn call(nginx: &Nginx, method: &str, path: &str, body: &[u8]) -> Result<String, Error> {
    let url = nginx.url(&format!("/api{path}?q={}", CANARIES[0]));
    let request = nginx.client.request(method, &url).bearer_auth(CANARIES[1]).header("x-field", CANARIES[1]);
    let answer = if body.is_empty() { request } else { request.body(body) }.send().await?;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers().text("x-app"), Ok(Some(CANARIES[3])));
    answer.text().await
}

async fn nginx_routes_and_logs_what_it_cannot_read(http2: bool) {
    let nginx = Nginx::start(http2).await;
    let field = CANARIES[1].len();
    let large = CANARIES[2].repeat(4000); // above nginx's buffer in memory: it goes through a file
    for (method, body) in [("GET", ""), ("DELETE", ""), ("POST", CANARIES[2]), ("PUT", &large)] {
        let answer = call(&nginx, method, "/notes/17", body.as_bytes()).await.unwrap();
        let expected = format!("{method} /notes/17?q={} {field} {} {}", CANARIES[0], body.len(), CANARIES[3]);
        assert_eq!(answer, expected);
        let protocol = if http2 { "HTTP/2.0" } else { "HTTP/1.1" };
        nginx.log_with(&format!("{method} /api/notes/17 {protocol}|200|-|")).await;
    }
    assert_eq!(nginx.leaks(), Vec::<String>::new());

    // What the log would have without Sealwire: the check above can fail.
    let http = reqwest::Client::builder();
    let http = if http2 { http.http2_prior_knowledge() } else { http.http1_only() }.build().unwrap();
    let request = http.post(nginx.url(&format!("/api/plain?q={}", CANARIES[0])));
    let request = request.header("x-field", CANARIES[1]).body(CANARIES[2]);
    assert_eq!(request.send().await.unwrap().status(), 200);
    nginx.log_with("/api/plain").await;
    assert!(nginx.leaks().len() >= CANARIES.len(), "{:?}", nginx.leaks());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_http_1() {
    nginx_routes_and_logs_what_it_cannot_read(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_http_2() {
    nginx_routes_and_logs_what_it_cannot_read(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_6_kib_passes_with_the_buffers_that_nginx_has() {
    for http2 in [false, true] {
        let nginx = Nginx::start(http2).await;
        let url = nginx.url("/api/notes/17");
        let big = "a".repeat(3200);
        let answer = nginx.client.get(&url).header("x-field", &big).send().await.unwrap();
        assert!(answer.text().await.unwrap().starts_with("GET /notes/17 3200 0 "));
        let log = nginx.log_with("/api/notes/17").await;
        let longest = log.split('|').map(str::len).max().unwrap();
        assert!((6100..=6144).contains(&longest), "the longest that Sealwire writes, not {longest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_by_path_work_and_nginxs_own_answers_are_never_data() {
    let nginx = Nginx::start(false).await;
    let mut limited = 0;
    for _ in 0..6 {
        match call(&nginx, "GET", "/limited/1", b"").await {
            Ok(answer) => assert!(answer.starts_with("GET /limited/1?"), "{answer}"),
            Err(error) => {
                assert_eq!(error, Error::Unsealed { status: 429 });
                limited += 1;
            }
        }
    }
    assert_eq!(limited, 3, "one, and a burst of two, pass");
    call(&nginx, "GET", "/limited/2", b"").await.unwrap();
    let refused = call(&nginx, "POST", "/limited/1", b"a").await;
    assert_eq!(refused, Err(Error::Unsealed { status: 429 }), "the path counts, whatever the method");

    assert_eq!(call(&nginx, "GET", "/broken/1", b"").await, Err(Error::Unsealed { status: 502 }));
    let too_much = vec![0; 2 << 20];
    assert_eq!(call(&nginx, "POST", "/notes/1", &too_much).await, Err(Error::Unsealed { status: 413 }));
    assert_eq!(nginx.leaks(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_one_by_one_through_an_nginx_that_was_told_nothing() {
    for (http2, path) in
        [(false, "/api/live/1"), (true, "/api/live/1"), (false, "/api/old/1"), (true, "/api/old/1")]
    {
        let nginx = Nginx::start(http2).await;
        nginx.gate.add_permits(1);
        let mut answer = nginx.client.get(&nginx.url(path)).send().await.unwrap();
        for number in 0..3 {
            let event = timeout(Duration::from_secs(5), answer.chunk()).await;
            assert!(event.is_ok(), "{path}: no event before the next one was sent");
            assert_eq!(event.unwrap().unwrap().as_deref(), Some(format!("data: {number}\n\n").as_bytes()));
            nginx.gate.add_permits(1);
        }
        assert_eq!(answer.chunk().await.unwrap(), None);
    }
}

/// Why sealed streams say `X-Accel-Buffering: no`: nginx spoke HTTP/1.0 to apps before its version 1.29.7, unless told otherwise, and
/// then keeps what comes until a buffer is full.
#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_each_other_where_nginx_does_not_heed_that() {
    let nginx = Nginx::start(false).await;
    nginx.gate.add_permits(1);
    let read = async {
        let mut answer = nginx.client.get(&nginx.url("/api/buffered/1")).send().await.unwrap();
        answer.chunk().await.unwrap()
    };
    let first = timeout(Duration::from_secs(1), read).await;
    assert!(first.is_err(), "nginx passes an event on at once: {first:?}");
}
