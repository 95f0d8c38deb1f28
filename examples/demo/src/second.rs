//! A second server of the same service, in a process of its own: the way past one machine.
//!
//! It shares the rows, the replay cache and the service's keys with the first one, and no memory. What it needs to begin comes
//! through its standard input, secrets too: arguments and environments can be read by others.

use crate::Outcome;
use crate::accounts::Accounts;
use crate::script::now;
use crate::server::{self, AccessLog, Server, Setup};
use crate::store::{Place, Store};
use sealwire::http::{Origin, RedisReplayCache, ServiceKeys};
use sealwire::{FileStore, Identity, Recipient, SecretStore, SymmetricKey, from_text};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// The argument that makes a process a second server; for this program only.
pub(crate) const ARGUMENT: &str = "--as-second-server";

/// What all servers of a service have in common.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) origin: String,
    pub(crate) place: Place,
    /// A `redis://` URL.
    pub(crate) replay: String,
    pub(crate) keys: PathBuf,
    /// What opens the files in `keys`.
    pub(crate) keys_key: String,
    /// Names and recipients.
    pub(crate) accounts: Vec<(String, String)>,
    pub(crate) access_log: PathBuf,
}

/// The process, as the first one has it. It ends when this is dropped.
pub(crate) struct Second {
    pub(crate) address: SocketAddr,
    talk: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    _process: Child,
}

impl Second {
    pub(crate) async fn start(shared: &Shared) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout) = process.stdin.take().zip(process.stdout.take()).ok_or("no pipes")?;
        let mut talk = (stdin, BufReader::new(stdout).lines());
        let address = ask(&mut talk, &serde_json::to_string(shared)?).await?.parse()?;
        Ok(Self { address, talk: Mutex::new(talk), _process: process })
    }

    /// The codes of what it refused since this was last asked.
    pub(crate) async fn take_refusals(&self) -> Outcome<Vec<String>> {
        let codes = ask(&mut *self.talk.lock().await, "refusals").await?;
        Ok(codes.split_whitespace().map(ToOwned::to_owned).collect())
    }

    /// How many requests it let in.
    pub(crate) async fn verified(&self) -> Outcome<usize> {
        Ok(ask(&mut *self.talk.lock().await, "verified").await?.parse()?)
    }

    /// Has it load the service's keys anew, after the first server rotated them.
    pub(crate) async fn load_keys(&self) -> Outcome<()> {
        ask(&mut *self.talk.lock().await, "keys").await.map(drop)
    }
}

/// A line there, a line back.
async fn ask(
    (stdin, stdout): &mut (ChildStdin, Lines<BufReader<ChildStdout>>),
    line: &str,
) -> Outcome<String> {
    stdin.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(stdout.next_line().await?.ok_or("the second server is gone")?)
}

/// What the process does: it serves until its standard input ends.
pub(crate) async fn serve() -> Outcome<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let shared: Shared = serde_json::from_str(&next(&mut lines).await?.ok_or("nothing to begin with")?)?;
    let key = from_text(&shared.keys_key)?;
    let key = SymmetricKey::from_bytes(key.as_slice().try_into()?);
    let keys = FileStore::with_key(&shared.keys, key);
    let server = start(&shared, &keys).await?;
    let mut stdout = tokio::io::stdout();
    let mut answer = server.address.to_string();
    loop {
        stdout.write_all(format!("{answer}\n").as_bytes()).await?;
        stdout.flush().await?;
        answer = match next(&mut lines).await?.as_deref() {
            None => return Ok(()),
            Some("refusals") => server.audit.take_refusals().join(" "),
            Some("verified") => server.audit.verified().to_string(),
            Some("keys") => {
                let rotated = service_keys(&keys)?;
                server.service.change_keys(|keys| *keys = rotated);
                "loaded".into()
            }
            Some(_) => return Err("a command that nobody knows".into()),
        };
    }
}

async fn next(lines: &mut Lines<BufReader<Stdin>>) -> Outcome<Option<String>> {
    Ok(lines.next_line().await?)
}

/// Starts a server from what all have in common.
async fn start(shared: &Shared, keys: &dyn SecretStore) -> Outcome<Server> {
    let account =
        |(name, recipient): &(String, String)| Ok((name.clone(), Recipient::parse(recipient)?.signer()));
    server::start(Setup {
        origin: Origin::parse(&shared.origin)?,
        identity: Identity::load(keys, "identity")?.ok_or("the service has no identity")?,
        keys: service_keys(keys)?,
        accounts: Arc::new(Accounts::new(
            shared.accounts.iter().map(account).collect::<sealwire::Result<_>>()?,
        )),
        pages: Vec::new(),
        store: Arc::new(Store::open(&shared.place).await?),
        replay: Arc::new(RedisReplayCache::connect(&shared.replay, "notes").await?),
        log: AccessLog::create(&shared.access_log)?,
    })
    .await
}

pub(crate) fn service_keys(store: &dyn SecretStore) -> Outcome<ServiceKeys> {
    Ok(ServiceKeys::load(store, "keys", now())?.ok_or("the service has no keys")?)
}
