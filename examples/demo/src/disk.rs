//! The SQLite file, as whoever runs the server has it: rows to read and to alter, and raw bytes to search.

use rusqlite::{Connection, params};
use sealwire::to_text;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

pub(crate) struct Disk {
    file: PathBuf,
    database: Connection,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Disk {
    pub(crate) fn open(file: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(file)?;
        database.busy_timeout(Duration::from_secs(5))?;
        Ok(Self { file: file.into(), database })
    }

    pub(crate) fn row(&self, path: &str) -> rusqlite::Result<Row> {
        self.database.query_row("SELECT header, body FROM rows WHERE path = ?1", [path], |row| {
            Ok(Row { header: row.get(0)?, body: row.get(1)? })
        })
    }

    /// Writes a row behind the API's back.
    pub(crate) fn alter(&self, path: &str, row: &Row) -> rusqlite::Result<()> {
        let update = "UPDATE rows SET header = ?1, body = ?2 WHERE path = ?3";
        self.database.execute(update, params![row.header, row.body, path]).map(drop)
    }

    pub(crate) fn rows(&self) -> rusqlite::Result<BTreeMap<String, Row>> {
        let mut query = self.database.prepare("SELECT path FROM rows")?;
        let paths: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        paths.into_iter().map(|path| Ok((path.clone(), self.row(&path)?))).collect()
    }

    /// Puts rows back that were altered.
    pub(crate) fn restore(&self, rows: &BTreeMap<String, Row>) -> rusqlite::Result<()> {
        for (path, row) in rows {
            if self.row(path)? != *row {
                self.alter(path, row)?;
            }
        }
        Ok(())
    }

    /// Every byte of the database file and of its write-ahead log, deleted pages and all.
    pub(crate) fn raw(&self) -> io::Result<Vec<u8>> {
        let mut log = self.file.clone().into_os_string();
        log.push("-wal");
        Ok([fs::read(&self.file)?, fs::read(log)?].concat())
    }
}

/// The forms under which a secret might stand in a file.
pub(crate) fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex(secret).into_bytes(), hex(secret).to_uppercase().into_bytes()];
    // Base64 looks different at each of three alignments; at its ends it depends on the neighbours, so those go.
    for (shift, depends) in [(0, 0), (1, 2), (2, 3)] {
        let text = to_text(&[vec![0; shift], secret.to_vec()].concat());
        let whole = (shift + secret.len()) * 8 / 6;
        let url_safe = text.get(depends..whole).unwrap_or_default();
        forms.push(url_safe.into());
        forms.push(url_safe.replace('-', "+").replace('_', "/").into());
    }
    forms
}

/// Whether `secret` stands in `bytes`, as it is, in hex or in base64.
pub(crate) fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    forms(secret).iter().any(|form| memchr::memmem::find(bytes, form).is_some())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
