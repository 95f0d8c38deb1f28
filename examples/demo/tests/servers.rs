//! The demo on PostgreSQL and Redis, which have to be installed: each test starts its own, on loopback, in a temporary folder.
#![cfg(unix)]

mod common;

use common::{Outcome, canaries_in, check_report, demo};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[test]
fn two_servers_share_a_replay_cache_in_redis() -> Outcome {
    let redis = Redis::start()?;
    let report = serde_json::from_str(&demo(&["--json", "--replay", &redis.url])?)?;
    check_report(&report, "sqlite", 2)
}

#[test]
fn rows_in_postgresql_and_two_servers() -> Outcome {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let options = ["--json", "--store", &postgres.url, "--replay", &redis.url];
    let report = serde_json::from_str(&demo(&options)?)?;
    check_report(&report, "postgres", 2)?;

    // Tables, log and write-ahead log, in which everything stands that was ever written.
    let held = all_files(postgres.folder.path())?;
    assert!(memchr::memmem::find(&held, b"notes/17").is_some(), "a search that finds what is there");
    assert_eq!(canaries_in(&held), [""; 0]);
    let schemas =
        postgres.run("psql", &["-At", "-d", &postgres.url, "-c", "SELECT nspname FROM pg_namespace"])?;
    assert!(schemas.contains("public") && !schemas.contains("sealwire"), "left as it was found: {schemas}");
    Ok(())
}

struct Redis {
    url: String,
    server: Child,
    _folder: TempDir,
}

impl Redis {
    fn start() -> Outcome<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--maxmemory-policy", "noeviction", "--dir"]).arg(folder.path());
        let server = command.stdout(Stdio::null()).spawn()?;
        let started = Self { url: format!("redis://127.0.0.1:{port}/"), server, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("Redis does not start".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

struct Postgres {
    url: String,
    folder: TempDir,
    programs: PathBuf,
    /// It does not run as root.
    user: Option<u32>,
}

impl Postgres {
    fn start() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let user = if id(&["-u"])? == 0 { Some(id(&["-u", "postgres"])?) } else { None };
        if let Some(user) = user {
            std::os::unix::fs::chown(folder.path(), Some(user), None)?;
        }
        let port = free_port()?;
        let url = format!("postgres://demo@127.0.0.1:{port}/postgres");
        let postgres = Self { url, folder, programs: programs()?, user };
        let (data, log) = (postgres.folder.path().join("data"), postgres.folder.path().join("log"));
        let (data, log) = (data.to_string_lossy(), log.to_string_lossy());
        postgres.run("initdb", &["-D", &data, "-U", "demo", "-A", "trust", "-N"])?;
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off");
        postgres.run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"])?;
        Ok(postgres)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.folder.path()).stderr(Stdio::inherit());
        if let Some(user) = self.user {
            command.uid(user);
        }
        // Into a file, since the server that pg_ctl starts would keep a pipe open.
        let printed = tempfile::tempfile()?;
        let status = command.stdout(printed.try_clone()?).status()?;
        let mut text = String::new();
        std::io::Seek::rewind(&mut &printed)?;
        std::io::Read::read_to_string(&mut &printed, &mut text)?;
        if status.success() { Ok(text) } else { Err(format!("{program}: {status}\n{text}").into()) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        drop(self.run("pg_ctl", &["-D", &data.to_string_lossy(), "-m", "immediate", "stop"]));
    }
}

/// Where PostgreSQL's programs are: Debian keeps them out of PATH.
fn programs() -> Outcome<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    for version in fs::read_dir("/usr/lib/postgresql").into_iter().flatten() {
        folders.push(version?.path().join("bin"));
    }
    let has_all =
        |folder: &PathBuf| ["initdb", "pg_ctl", "psql"].iter().all(|name| folder.join(name).exists());
    folders.into_iter().find(has_all).ok_or_else(|| "PostgreSQL is not installed".into())
}

fn id(arguments: &[&str]) -> Outcome<u32> {
    Ok(String::from_utf8(Command::new("id").args(arguments).output()?.stdout)?.trim().parse()?)
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Every byte of every file below `folder`.
fn all_files(folder: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => bytes.extend(all_files(&entry.path())?),
            // One that is gone by now was only temporary.
            _ => bytes.extend(fs::read(entry.path()).unwrap_or_default()),
        }
    }
    Ok(bytes)
}
