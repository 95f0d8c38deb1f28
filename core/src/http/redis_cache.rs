//! A replay cache that several processes of one service share.

use super::replay::{ReplayCache, ReplayId};
use crate::error::{Error, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;

/// How long an answer may take. A request waits for it, and is refused without it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A [`ReplayCache`] in Redis (6.2 or later, or what speaks its protocol).
///
/// Configure the server with `maxmemory-policy noeviction`: one that evicts forgets early, and lets replays in. When it is full or out of reach,
/// requests are refused ([`Error::Store`]). It sees 32-byte ids, of which nothing can be told, and when requests come.
pub struct RedisReplayCache {
    connection: ConnectionManager,
}

impl RedisReplayCache {
    /// Connects to `redis://host:port/db`, and again whenever the connection breaks.
    ///
    /// # Errors
    /// [`Error::Misuse`] for what is not such a URL; [`Error::Store`] if the server is out of reach.
    pub async fn connect(url: &str) -> Result<Self> {
        let client = redis::Client::open(url).map_err(|_| Error::Misuse("not a redis:// URL"))?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(TIMEOUT))
            .set_connection_timeout(Some(TIMEOUT));
        let connection = ConnectionManager::new_with_config(client, config).await.map_err(unreachable)?;
        Ok(Self { connection })
    }
}

impl ReplayCache for RedisReplayCache {
    fn insert<'c>(
        &'c self,
        id: ReplayId,
        _made: u64,
        until: u64,
        _now: u64,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'c>> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let key = [b"sealwire replay ".as_slice(), &id.0].concat();
            // One atomic step: set if absent, and forget after the second `until`.
            let mut set = redis::cmd("SET");
            set.arg(key).arg(1).arg("NX").arg("EXAT").arg(until.saturating_add(1));
            let set: redis::RedisResult<Option<String>> = set.query_async(&mut connection).await;
            set.map(|answer| answer.is_some()).map_err(unreachable)
        })
    }
}

/// By value, to fit `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn unreachable(_: redis::RedisError) -> Error {
    Error::Store(ErrorKind::NotConnected)
}
