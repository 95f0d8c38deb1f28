use super::inspect::metadata_line;
use crate::args::OpenArgs;
use crate::expected::Expected;
use crate::failure::{At, Result};
use crate::input::{Envelope, Input};
use crate::keys;
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{About, Addressed, Finished, Header, OpenReader};
use std::io::{self, Read, Write};
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn run(args: &OpenArgs) -> Result<()> {
    let envelope = Envelope::read(Input::open(args.files.input.as_deref())?)?;
    let expected = Expected::load(&args.expect)?;
    let keyring = keys::keyring(&args.keys, "Passphrase")?;
    let context = args.context.context();

    let opener = expected.opener(&keyring, &context);
    let reader = OpenReader::detached(&envelope.header, envelope.body, &opener);
    let reader = keys::explained(reader, &args.keys)?;

    let mut output = Output::create(args.files.output.as_deref(), Form::Payload)?;
    let opened = write_payload(reader, &mut output, envelope.body_len);
    let finished = if output.is_out() { opened.at("do not trust what was written so far")? } else { opened? };
    output.commit()?;
    let author = expected.author(finished.signer, &Header::parse(&envelope.header)?);
    Ok(tell(&author, &finished.about)?)
}

/// A payload is whole only when this has returned.
fn write_payload<R: Read>(
    mut reader: OpenReader<'_, R>,
    output: &mut Output,
    total: Option<u64>,
) -> Result<Finished> {
    transfer(&mut reader, output, total)?;
    Ok(reader.finish()?)
}

/// Says on stderr who signed and what the sealer said. Text from the envelope is quoted: it may contain anything.
fn tell(author: &str, about: &About) -> io::Result<()> {
    let mut err = io::stderr().lock();
    writeln!(err, "{author}")?;
    if about.addressed_to_me == Addressed::No {
        writeln!(err, "addressed to others: somebody passed it on to you")?;
    }
    if let Some(name) = &about.filename {
        writeln!(err, "file name {name:?}")?;
    }
    if let Some(media_type) = &about.content_type {
        writeln!(err, "content type {media_type:?}")?;
    }
    for entry in about.metadata.iter() {
        writeln!(err, "metadata {}", metadata_line(entry))?;
    }
    if let Some(created) =
        about.created.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
    {
        writeln!(err, "created {}", humantime::format_rfc3339_seconds(created))?;
    }
    Ok(())
}
