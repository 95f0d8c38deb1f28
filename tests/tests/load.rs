//! Many hostile connections at once, while honest clients go on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use sealwire_tests::loopback::{DEVICE, Service, known_devices};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HOSTILE: usize = 200;
const HONEST: usize = 4;
const FOR: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_millis(500);
/// How much more memory the process may have during the attack than before it, clients and all.
const MAX_GROWTH: usize = 256 << 20;

/// Bytes of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// What an attacker sends: some of it at once, the rest after a while if the connection still stands.
fn attacks(service: &Service) -> Vec<(Vec<u8>, Vec<u8>)> {
    let honest = service.craft("POST", "/a").body(&[1; 20_000]).signed_by(&DEVICE).seal(service).0;
    let bytes = honest.bytes();
    let (front, rest) = bytes.split_at(bytes.len() / 2);
    let mut bent = honest.clone();
    *bent.body.last_mut().unwrap() ^= 1;
    let unsigned = service.craft("POST", "/a").body(&[2; 100_000]).seal(service).0;
    let claim = |length: &str| {
        format!(
            "POST /a HTTP/1.1\r\nhost: x\r\ncontent-type: message/ohttp-req\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut signed_claim = honest.clone();
    signed_claim.raw = vec!["transfer-encoding: chunked".into()];
    signed_claim.body = b"7fffffffffffff\r\nx".to_vec();
    let mut zeros = honest.clone();
    zeros.raw = vec!["transfer-encoding: chunked".into()];
    zeros.body = [b"fffff\r\n".to_vec(), vec![0; 0xfffff], b"\r\n0\r\n\r\n".to_vec()].concat();
    vec![
        // Garbage, and half a request.
        ((0..5000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect(), Vec::new()),
        (front.to_vec(), Vec::new()),
        // The whole of one, slowly; the same one over and over.
        (front.to_vec(), rest.to_vec()),
        (bytes.clone(), Vec::new()),
        (bent.bytes(), Vec::new()),
        (unsigned.bytes(), Vec::new()),
        // Claims of a length that never comes.
        (claim("9223372036854775807").into_bytes(), b"x".to_vec()),
        (claim("99999999999999999999999").into_bytes(), Vec::new()),
        (signed_claim.bytes(), vec![0; 4096]),
        (zeros.bytes(), Vec::new()),
        (b"GET /a HTTP/1.1\r\nx: ".to_vec(), vec![b'y'; 100_000]),
    ]
}

async fn attack(address: SocketAddr, attack: &(Vec<u8>, Vec<u8>)) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    drop(stream.write_all(&attack.0).await);
    if !attack.1.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(stream.write_all(&attack.1).await);
    }
    let mut answer = [0; 32];
    let wait = tokio::time::timeout(BODY_TIMEOUT * 4, stream.read(&mut answer)).await;
    matches!(wait, Ok(Ok(read)) if answer[..read].starts_with(b"HTTP/1.1 2"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_clients_go_on_under_attack() {
    let service =
        Arc::new(Service::start(|layer| layer.verify(known_devices()).body_timeout(BODY_TIMEOUT)).await);
    let before = resident();
    let over = Arc::new(AtomicBool::new(false));
    let attempts = Arc::new(AtomicUsize::new(0));
    let let_in = Arc::new(AtomicUsize::new(0));
    let attacks = Arc::new(attacks(&service));
    let mut hostile = Vec::new();
    for n in 0..HOSTILE {
        let (over, attempts, let_in, attacks) =
            (over.clone(), attempts.clone(), let_in.clone(), attacks.clone());
        let address = service.address;
        hostile.push(tokio::spawn(async move {
            for turn in n.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                attempts.fetch_add(1, Ordering::Relaxed);
                if attack(address, &attacks[turn % attacks.len()]).await {
                    let_in.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    let mut honest = Vec::new();
    for n in 0..HONEST {
        let (service, over) = (service.clone(), over.clone());
        let client = service.client(|rule| rule.exchange().sign());
        honest.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let body = format!("{n} {}", times.len());
                let answer = client.post(service.url("/honest")).body(body.clone()).send().await.unwrap();
                assert_eq!(answer.text().await.unwrap(), format!("POST /honest {body}"));
                times.push(began.elapsed());
            }
            times
        }));
    }
    let mut most = 0;
    let began = Instant::now();
    while began.elapsed() < FOR {
        tokio::time::sleep(Duration::from_millis(50)).await;
        most = most.max(resident());
    }
    over.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for client in honest {
        times.extend(client.await.unwrap());
    }
    for attacker in hostile {
        attacker.await.unwrap();
    }
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100];
    let growth = most.saturating_sub(before);
    println!(
        "{} honest calls beside {} hostile ones: p50 {:?}, p99 {:?}; {} MiB more memory",
        times.len(),
        attempts.load(Ordering::Relaxed),
        at(50),
        at(99),
        growth >> 20
    );
    assert!(times.len() >= 100 && attempts.load(Ordering::Relaxed) >= HOSTILE);
    assert!(growth < MAX_GROWTH, "{growth}");
    // The one request that is recorded and sent again was let in once, in one of its two paces.
    assert_eq!(let_in.load(Ordering::Relaxed), 1);
    let strange = service.app.seen().into_iter().filter(|seen| seen.uri != "/honest");
    assert_eq!(strange.count(), 1);
}
