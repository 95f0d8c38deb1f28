//! The replay cache in a real Redis: what it refuses, forgets, and does when the server is not as it should be.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use sealwire::Error;
use sealwire::http::{RedisReplayCache, ReplayCache, ReplayId};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

struct Redis {
    process: Child,
    dir: TempDir,
    port: u16,
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Redis {
    /// Without persistence, and otherwise with these settings.
    async fn start(settings: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let mut redis = Self { process: spawn(&dir, port, settings), dir, port };
        redis.wait().await;
        redis
    }

    /// With nothing of before.
    async fn restart(&mut self) {
        self.stop();
        self.process = spawn(&self.dir, self.port, &[]);
        self.wait().await;
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn wait(&mut self) {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            assert!(self.process.try_wait().unwrap().is_none(), "redis-server ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server does not answer");
    }

    async fn cache(&self, name: &str) -> Result<RedisReplayCache, Error> {
        RedisReplayCache::connect(&format!("redis://127.0.0.1:{}/", self.port), name).await
    }

    fn cli(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn spawn(dir: &TempDir, port: u16, settings: &[&str]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
        .args(settings)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

/// A request that was made then and arrives now.
async fn insert(cache: &RedisReplayCache, id: u8, made: u64) -> Result<bool, Error> {
    cache.insert(ReplayId([id; 32]), made, now() + 600, now()).await
}

#[tokio::test]
async fn a_request_is_new_once_and_under_each_name() {
    let redis = Redis::start(&[]).await;
    let (cache, other) = (redis.cache("notes").await.unwrap(), redis.cache("gateway").await.unwrap());
    let again = redis.cache("notes").await.unwrap();
    let made = now() + 1;
    assert_eq!(insert(&cache, 1, made).await, Ok(true));
    assert_eq!((insert(&cache, 1, made).await, insert(&again, 1, made).await), (Ok(false), Ok(false)));
    assert_eq!((insert(&again, 2, made).await, insert(&other, 1, made).await), (Ok(true), Ok(true)));
}

/// Whatever the server's clock shows: a span, and a minute more.
#[tokio::test]
async fn an_id_is_forgotten_after_its_time() {
    let redis = Redis::start(&[]).await;
    let cache = redis.cache("notes").await.unwrap();
    for (clock, seconds) in [(now(), 600), (1_000_000, 600), (u64::MAX - 1000, 600), (now(), 0)] {
        redis.cli(&["del", "sealwire notes replay began"]);
        let inserted = cache.insert(ReplayId([7; 32]), clock, clock + seconds, clock).await;
        assert_eq!(inserted, Ok(true), "{clock}");
        let id = format!("sealwire notes replay {}", "\u{7}".repeat(32));
        let left: u64 = redis.cli(&["ttl", &id]).trim().parse().unwrap();
        assert!((seconds + 55..=seconds + 61).contains(&left), "{left}");
        redis.cli(&["del", &id]);
    }
    assert_eq!(redis.cli(&["ttl", "sealwire notes replay began"]).trim(), "-1");
}

#[tokio::test]
async fn a_memory_that_was_lost_lets_nothing_of_before_in() {
    let mut redis = Redis::start(&[]).await;
    let cache = redis.cache("notes").await.unwrap();
    let made = now();
    assert_eq!(code(insert(&cache, 1, made - 1).await), "Expired", "before the first connection");
    assert_eq!(insert(&cache, 1, made + 1).await, Ok(true));
    tokio::time::sleep(Duration::from_millis(2100)).await;
    redis.cli(&["flushall"]);
    assert_eq!(code(insert(&cache, 1, made + 1).await), "Expired");
    assert_eq!(insert(&cache, 2, now()).await, Ok(true));

    tokio::time::sleep(Duration::from_millis(1100)).await;
    let made = now() - 1;
    redis.restart().await;
    // The first one finds the connection broken.
    let mut found = code(insert(&cache, 2, made).await);
    for _ in 0..20 {
        if found == "Store" {
            tokio::time::sleep(Duration::from_millis(100)).await;
            found = code(insert(&cache, 2, made).await);
        }
    }
    assert_eq!(found, "Expired");
    assert_eq!(insert(&cache, 3, now()).await, Ok(true));
}

#[tokio::test]
async fn without_its_server_it_refuses_soon() {
    let mut redis = Redis::start(&[]).await;
    let cache = redis.cache("notes").await.unwrap();
    redis.stop();
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(code(insert(&cache, 1, now()).await), "Store");
        assert!(start.elapsed() < Duration::from_millis(1500));
    }
    assert_eq!(code(redis.cache("notes").await), "Store");
}

/// One that takes the connection and the command, and is silent.
#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for() {
    let redis = Redis::start(&[]).await;
    let cache = redis.cache("notes").await.unwrap();
    redis.cli(&["client", "pause", "10000", "all"]);
    let start = Instant::now();
    assert_eq!(code(insert(&cache, 1, now()).await), "Store");
    assert!(start.elapsed() < Duration::from_millis(1500));
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    for (settings, expected) in [
        (&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"][..], "Misuse"),
        (&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"], "Misuse"),
        (&["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"], "ok"),
        (&["--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"], "ok"),
        // Who may not be asked is believed.
        (
            &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--rename-command", "CONFIG", ""],
            "ok",
        ),
    ] {
        let redis = Redis::start(settings).await;
        assert_eq!(code(redis.cache("notes").await), expected, "{settings:?}");
    }
}

#[tokio::test]
async fn a_full_server_refuses_rather_than_forgets() {
    let redis = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]).await;
    let cache = redis.cache("notes").await.unwrap();
    let made = now() + 1;
    assert_eq!(insert(&cache, 1, made).await, Ok(true));
    redis.cli(&["config", "set", "maxmemory", "1"]);
    assert_eq!(code(insert(&cache, 2, made).await), "Store");
    redis.cli(&["config", "set", "maxmemory", "100mb"]);
    assert_eq!((insert(&cache, 1, made).await, insert(&cache, 2, made).await), (Ok(false), Ok(true)));
}

#[tokio::test]
async fn urls_and_names() {
    for (url, name) in [
        ("http://127.0.0.1/", "notes"),
        ("", "notes"),
        ("redis://127.0.0.1:1/", ""),
        ("redis://127.0.0.1:1/", "Notes"),
        ("redis://127.0.0.1:1/", "a b"),
        ("redis://127.0.0.1:1/", &"a".repeat(65)),
    ] {
        assert_eq!(code(RedisReplayCache::connect(url, name).await), "Misuse", "{url} {name}");
    }
    let start = Instant::now();
    assert_eq!(code(RedisReplayCache::connect("redis://127.0.0.1:1/", "a").await), "Store");
    assert!(start.elapsed() < Duration::from_secs(3));
}
