//! A replay cache that several processes of one service share.

use super::replay::{ReplayCache, ReplayId};
use crate::error::{Error, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, FromRedisValue};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long an answer may take, a new connection included. A request waits for it, and is refused without it.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How much longer than asked an id is kept: for the way there, and for processes whose clock is behind this one's, in seconds.
const MARGIN: u64 = 61;

/// One atomic step: when the memory began, whether the request is from before that, and the id set if absent.
const INSERT: &str = "
local began = redis.call('GET', KEYS[2])
if not began then
    began = ARGV[3]
    redis.call('SET', KEYS[2], began)
end
if tonumber(ARGV[1]) < tonumber(began) then return 'before' end
if redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[2]) then return 'new' end
return 'seen'
";

/// A [`ReplayCache`] in Redis (6.2 or later, or what speaks its protocol, with `EVAL`). Feature `redis`.
///
/// Like the one in memory it refuses requests that were made before it began ([`Error::Expired`]): after a restart without persistence
/// or `FLUSHALL` nothing of before is let in again. When it is full or out of reach, requests are refused ([`Error::Store`]). It sees
/// 32-byte ids, of which nothing can be told, and when requests come.
///
/// **Who can send unsigned exchanges can fill it**, some 200 bytes for each: give those a server of their own
/// ([`SealwireLayer::replay_apart`](super::SealwireLayer::replay_apart)), since names on one server share its memory.
///
/// **What is lost lets a repeat in**: a request that an app sends again, with the same `Idempotency-Key` and a new date, is new to a memory that
/// began between the two. Where that must not be, the app keeps the keys with what they have done, in its own database.
///
/// **What goes back in time lets replays in**, of requests that are not older than the service's window: a restart from a snapshot or
/// a log that was not written to the end (so use no persistence at all, or `appendfsync always`), and a failover to a replica that
/// lags behind. So does a step forward of the Redis server's clock.
pub struct RedisReplayCache {
    connection: ConnectionManager,
    name: String,
}

impl RedisReplayCache {
    /// Connects to `redis://host:port/db`, and again whenever the connection breaks. Processes with the same keys have the same `name`
    /// (1 to 64 of `a-z 0-9 . _ -`); a gateway and the service behind it have two, or each refuses what the other has let in.
    ///
    /// The server must not evict: with a `maxmemory` it needs `maxmemory-policy noeviction`. Where `CONFIG GET` is forbidden this cannot
    /// be checked, and is yours to see to.
    ///
    /// # Errors
    /// [`Error::Misuse`] for another URL or name, or a server that evicts; [`Error::Store`] if it is out of reach.
    pub async fn connect(url: &str, name: &str) -> Result<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            return Err(Error::Misuse(&"a replay cache's name is 1 to 64 of a-z 0-9 . _ -"));
        }
        let client = redis::Client::open(url).map_err(|_| Error::Misuse(&"not a redis:// URL"))?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_response_timeout(Some(TIMEOUT))
            .set_connection_timeout(Some(TIMEOUT));
        let connection = ConnectionManager::new_with_config(client, config).await.map_err(unreachable)?;
        let cache = Self { connection, name: name.into() };
        if cache.evicts().await {
            return Err(Error::Misuse(&"a Redis with a maxmemory needs maxmemory-policy noeviction"));
        }
        // From now on: a first request would otherwise be older than the memory that it begins.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        cache.ask::<()>(redis::cmd("SETNX").arg(cache.key("began")).arg(now)).await?;
        Ok(cache)
    }

    /// False, too, if the server does not say.
    async fn evicts(&self) -> bool {
        let setting = async |name| {
            let answer: Result<Vec<String>> = self.ask(redis::cmd("CONFIG").arg("GET").arg(name)).await;
            answer.ok().and_then(|mut answer| answer.pop())
        };
        let limited = setting("maxmemory").await.is_some_and(|bytes| bytes != "0");
        limited && setting("maxmemory-policy").await.is_some_and(|policy| policy != "noeviction")
    }

    fn key(&self, what: &str) -> String {
        format!("sealwire {} replay {what}", self.name)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection.clone();
        let answer = tokio::time::timeout(TIMEOUT, command.query_async(&mut connection)).await;
        answer.map_err(|_| Error::Store(ErrorKind::TimedOut))?.map_err(unreachable)
    }
}

impl ReplayCache for RedisReplayCache {
    fn insert<'c>(
        &'c self,
        id: ReplayId,
        made: u64,
        until: u64,
        now: u64,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'c>> {
        Box::pin(async move {
            let id = [self.key("").as_bytes(), &id.0].concat();
            // A span of time, since the server's clock is another one.
            let seconds = until.saturating_sub(now).saturating_add(MARGIN);
            let mut insert = redis::cmd("EVAL");
            insert.arg(INSERT).arg(2).arg(id).arg(self.key("began")).arg(made).arg(seconds).arg(now);
            match self.ask::<String>(&insert).await?.as_str() {
                "new" => Ok(true),
                "seen" => Ok(false),
                "before" => Err(Error::Expired),
                _ => Err(Error::Store(ErrorKind::InvalidData)),
            }
        })
    }
}

/// By value, to fit `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn unreachable(_: redis::RedisError) -> Error {
    Error::Store(ErrorKind::NotConnected)
}
