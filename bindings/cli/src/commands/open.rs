use super::inspect::metadata_line;
use crate::args::OpenArgs;
use crate::expected::Expected;
use crate::failure::{At, Result, note};
use crate::input::{Envelope, Input};
use crate::keys;
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{About, Addressed, Error, Finished, Header, OpenReader};
use std::io::{Read, Seek, Write};
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
    let finished = if output.is_stream() && !expected.is_empty() {
        write_verified(reader, &mut output, envelope.body_len)?
    } else {
        let opened = write_payload(reader, &mut output, envelope.body_len);
        if output.is_out() { opened.at("do not trust what was written so far")? } else { opened? }
    };
    output.commit()?;
    tell(&expected.author(finished.signer, &Header::parse(&envelope.header)?), &finished.about);
    Ok(())
}

/// A payload is whole only when this has returned.
fn write_payload<R: Read>(
    mut reader: OpenReader<'_, R>,
    output: &mut impl Write,
    total: Option<u64>,
) -> Result<Finished> {
    transfer(&mut reader, output, total)?;
    Ok(reader.finish()?)
}

/// How much of a payload waits for its signature in memory; more of it waits on the disk.
const MOST_IN_MEMORY: usize = 1024 * 1024;

/// A pipe cannot take back what it got, and the signature stands at the end: nothing is written before it was verified. The
/// temporary file has no name, so that nothing is left behind whatever happens.
fn write_verified<R: Read>(
    reader: OpenReader<'_, R>,
    output: &mut Output,
    total: Option<u64>,
) -> Result<Finished> {
    let mut waiting = tempfile::spooled_tempfile(MOST_IN_MEMORY);
    let opened = write_payload(reader, &mut waiting, total);
    let failed = opened.as_ref().is_err_and(|failure| matches!(failure.error, Error::Store(_)));
    let finished =
        opened.hint(failed.then_some("the content waits for its signature in a temporary file"))?;
    waiting.rewind()?;
    transfer(&mut waiting, output, total)?;
    Ok(finished)
}

/// Says on stderr who signed and what the sealer said. Text from the envelope is quoted: it may contain anything.
fn tell(author: &str, about: &About) {
    note(author);
    if about.addressed_to_me == Addressed::No {
        note("addressed to others by name: you are an anonymous reader, or were added to the list later");
    }
    if let Some(name) = &about.filename {
        note(format_args!("file name {name:?}"));
    }
    if let Some(media_type) = &about.content_type {
        note(format_args!("content type {media_type:?}"));
    }
    for entry in about.metadata.iter() {
        note(format_args!("metadata {}", metadata_line(entry)));
    }
    match about.created {
        Some(seconds @ 0..=LAST_SECOND) => {
            let created = UNIX_EPOCH + Duration::from_secs(seconds);
            note(format_args!("created {}", humantime::format_rfc3339_seconds(created)));
        }
        Some(seconds) => note(format_args!("created {seconds} seconds after 1970")),
        None => {}
    }
}

/// Of the year 9999, after which RFC 3339 has no dates.
const LAST_SECOND: u64 = 253_402_300_799;
