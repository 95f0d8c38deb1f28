//! The rows of the API: a SQLite file, or PostgreSQL. It also lets whoever runs the server alter rows behind the API's back.

use crate::Outcome;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, fs, io, process};
use tokio_postgres::NoTls;

/// What the API keeps of a resource. The envelope's header and body are two columns, so that readers can be added by
/// replacing the small one.
#[derive(Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) revision: i64,
    /// Who wrote it first, as the signature of the request said.
    pub(crate) owner: String,
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// Rows by their paths.
pub(crate) type Rows = BTreeMap<String, Row>;

/// Where the rows are.
#[derive(Serialize, Deserialize)]
pub(crate) enum Place {
    Sqlite {
        file: PathBuf,
    },
    /// A `postgres://` URL, and a schema for this run alone.
    Postgres {
        url: String,
        schema: String,
    },
}

impl Place {
    /// The database at a `postgres://` URL; without one, a SQLite file in `folder`.
    pub(crate) fn new(url: Option<&str>, folder: &Path) -> Self {
        match url {
            None => Self::Sqlite { file: folder.join("notes.sqlite") },
            Some(url) => {
                Self::Postgres { url: url.into(), schema: format!("sealwire_demo_{}", process::id()) }
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { file } => write!(f, "SQLite, {}", file.display()),
            // The URL may hold a password.
            Self::Postgres { schema, .. } => write!(f, "PostgreSQL, schema {schema}"),
        }
    }
}

pub(crate) enum Store {
    Sqlite { database: Mutex<Connection>, file: PathBuf },
    Postgres { database: tokio_postgres::Client, schema: String },
}

// One text for both: parameters first appear in their order, as SQLite counts them.
const PUT: &str = "INSERT INTO rows (path, revision, owner, header, body) VALUES ($1, 1, $2, $3, $4)
    ON CONFLICT (path) DO UPDATE SET revision = rows.revision + 1, header = excluded.header, body = excluded.body
    WHERE rows.owner = excluded.owner";
const REPLACE_HEADER: &str =
    "UPDATE rows SET header = $1, revision = revision + 1 WHERE path = $2 AND revision = $3";
const FIND: &str = "SELECT path, revision, owner, header, body FROM rows WHERE path = $1";
/// Somebody who adds readers to a row needs its header, and this much of its body.
const FIND_FRONT: &str =
    "SELECT path, revision, owner, header, substr(body, 1, 56) FROM rows WHERE path = $1";
const ALL: &str = "SELECT path, revision, owner, header, body FROM rows ORDER BY path";
const DELETE: &str = "DELETE FROM rows WHERE path = $1";
const ALTER: &str = "UPDATE rows SET header = $1, body = $2 WHERE path = $3";

impl Store {
    /// A connection of its own. The first one makes the table.
    pub(crate) async fn open(place: &Place) -> Outcome<Self> {
        Ok(match place {
            Place::Sqlite { file } => {
                let database = Connection::open(file)?;
                database.busy_timeout(Duration::from_secs(5))?;
                database.pragma_update(None, "journal_mode", "WAL")?;
                database.execute_batch(&table("BLOB"))?;
                Self::Sqlite { database: Mutex::new(database), file: file.clone() }
            }
            Place::Postgres { url, schema } => {
                let (database, connection) = tokio_postgres::connect(url, NoTls).await?;
                tokio::spawn(connection);
                let begin = format!("CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path TO {schema};");
                database.batch_execute(&format!("{begin} {}", table("BYTEA"))).await?;
                Self::Postgres { database, schema: schema.clone() }
            }
        })
    }

    /// Writes a row; false if it is somebody else's.
    pub(crate) async fn put(&self, path: &str, owner: &str, header: &[u8], body: &[u8]) -> Outcome<bool> {
        Ok(match self {
            Self::Sqlite { database, .. } => {
                lock(database).execute(PUT, params![path, owner, header, body])? == 1
            }
            Self::Postgres { database, .. } => {
                database.execute(PUT, &[&path, &owner, &header, &body]).await? == 1
            }
        })
    }

    /// Gives a row another header; false if it is not at this revision any more.
    pub(crate) async fn replace_header(&self, path: &str, revision: i64, header: &[u8]) -> Outcome<bool> {
        Ok(match self {
            Self::Sqlite { database, .. } => {
                lock(database).execute(REPLACE_HEADER, params![header, path, revision])? == 1
            }
            Self::Postgres { database, .. } => {
                database.execute(REPLACE_HEADER, &[&header, &path, &revision]).await? == 1
            }
        })
    }

    pub(crate) async fn find(&self, path: &str) -> Outcome<Option<Row>> {
        self.first(FIND, path).await
    }

    pub(crate) async fn find_front(&self, path: &str) -> Outcome<Option<Row>> {
        self.first(FIND_FRONT, path).await
    }

    async fn first(&self, query: &str, path: &str) -> Outcome<Option<Row>> {
        let found = match self {
            Self::Sqlite { database, .. } => {
                lock(database).query_row(query, params![path], from_sqlite).optional()?
            }
            Self::Postgres { database, .. } => {
                database.query_opt(query, &[&path]).await?.map(|row| from_postgres(&row)).transpose()?
            }
        };
        Ok(found.map(|(_, row)| row))
    }

    pub(crate) async fn all(&self) -> Outcome<Rows> {
        Ok(match self {
            Self::Sqlite { database, .. } => {
                lock(database).prepare(ALL)?.query_map([], from_sqlite)?.collect::<Result<_, _>>()?
            }
            Self::Postgres { database, .. } => {
                database.query(ALL, &[]).await?.iter().map(from_postgres).collect::<Result<_, _>>()?
            }
        })
    }

    /// Puts other bytes into a row, as nobody but the server's owner can.
    pub(crate) async fn alter(&self, path: &str, row: &Row) -> Outcome<()> {
        let Row { header, body, .. } = row;
        match self {
            Self::Sqlite { database, .. } => {
                lock(database).execute(ALTER, params![header, body, path])?;
            }
            Self::Postgres { database, .. } => {
                database.execute(ALTER, &[header, body, &path]).await?;
            }
        }
        Ok(())
    }

    /// Deletes a row.
    pub(crate) async fn delete(&self, path: &str) -> Outcome<()> {
        match self {
            Self::Sqlite { database, .. } => {
                lock(database).execute(DELETE, params![path])?;
            }
            Self::Postgres { database, .. } => {
                database.execute(DELETE, &[&path]).await?;
            }
        }
        Ok(())
    }

    /// Every byte that is kept: of SQLite the file and its write-ahead log, deleted pages and all; of PostgreSQL the rows.
    pub(crate) async fn raw(&self) -> Outcome<Vec<u8>> {
        if let Self::Sqlite { file, .. } = self {
            let mut log = file.clone().into_os_string();
            log.push("-wal");
            let log = fs::read(log).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(Vec::new()),
                _ => Err(error),
            })?;
            return Ok([fs::read(file)?, log].concat());
        }
        let mut raw = Vec::new();
        for (path, row) in self.all().await? {
            raw.extend([path.as_bytes(), row.owner.as_bytes(), &row.header, &row.body].concat());
        }
        Ok(raw)
    }

    /// Leaves somebody's PostgreSQL as it was found.
    pub(crate) async fn remove(&self) -> Outcome<()> {
        if let Self::Postgres { database, schema } = self {
            database.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
        }
        Ok(())
    }
}

fn table(bytes: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS rows (path TEXT PRIMARY KEY, revision BIGINT NOT NULL, owner TEXT NOT NULL, header {bytes} NOT NULL, body {bytes} NOT NULL)"
    )
}

fn lock(database: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    database.lock().unwrap_or_else(PoisonError::into_inner)
}

fn from_sqlite(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, Row)> {
    let (revision, owner) = (row.get(1)?, row.get(2)?);
    Ok((row.get(0)?, Row { revision, owner, header: row.get(3)?, body: row.get(4)? }))
}

fn from_postgres(row: &tokio_postgres::Row) -> Result<(String, Row), tokio_postgres::Error> {
    let (revision, owner) = (row.try_get(1)?, row.try_get(2)?);
    Ok((row.try_get(0)?, Row { revision, owner, header: row.try_get(3)?, body: row.try_get(4)? }))
}
