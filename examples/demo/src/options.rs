//! The command line.

/// What there is to say to whoever got it wrong.
pub(crate) const USAGE: &str = "cargo run -p demo [-- OPTIONS]

  --json                  print one JSON document in place of the story
  --serve                 afterwards serve a page, on which you are Alice and Bob, until Ctrl-C
  --keep                  keep the folder with the database, the access log and the key stores
  --store postgres://…    keep the rows in PostgreSQL, in a schema of its own, not in a SQLite file
  --replay redis://…      share the replay cache in Redis, and start a second server";

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) json: bool,
    pub(crate) serve: bool,
    pub(crate) keep: bool,
    pub(crate) store: Option<String>,
    pub(crate) replay: Option<String>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let mut url = |scheme: &str| {
                let url = arguments.next().filter(|url| url.starts_with(scheme));
                url.map(Some).ok_or(format!("{argument} needs a URL that begins with {scheme}"))
            };
            match argument.as_str() {
                "--json" => options.json = true,
                "--serve" => options.serve = true,
                "--keep" => options.keep = true,
                "--store" => options.store = url("postgres")?,
                "--replay" => options.replay = url("redis://")?,
                _ => return Err(format!("{argument} is not an option")),
            }
        }
        Ok(options)
    }
}
