use crate::args::OpenArgs;
use crate::failure::{At, Result};
use crate::input::{Envelope, Input};
use crate::keys;
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{Addressed, Expect, Finished, OpenReader, Opener, SignedBy};
use std::io::{self, Read, Write};
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn run(args: &OpenArgs) -> Result<()> {
    let envelope = Envelope::read(Input::open(args.files.input.as_deref())?)?;
    let expected = keys::signers(&args.expect)?;
    let keyring = keys::keyring(&args.keys)?;
    let context = args.context.context();

    let mut opener = Opener::new(&keyring, &context);
    if !expected.is_empty() {
        opener = opener.expect(Expect::OneOf(expected));
    }
    let reader = OpenReader::detached(&envelope.header, envelope.body, &opener)?;

    let mut output = Output::create(args.files.output.as_deref(), Form::Payload)?;
    let opened = write_payload(reader, &mut output, envelope.body_len);
    let finished = if output.is_out() { opened.at("do not trust what was written so far")? } else { opened? };
    output.commit()?;
    Ok(tell(&finished)?)
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
fn tell(finished: &Finished) -> io::Result<()> {
    let mut err = io::stderr().lock();
    match finished.signer {
        SignedBy::Verified(signer) => writeln!(err, "signed by {signer}")?,
        _ => writeln!(err, "unsigned: anybody who knows a recipient may have written this")?,
    }
    let about = &finished.about;
    if about.addressed_to_me == Addressed::No {
        writeln!(err, "addressed to others: somebody passed it on to you")?;
    }
    if let Some(name) = &about.filename {
        writeln!(err, "file name {name:?}")?;
    }
    if let Some(media_type) = &about.content_type {
        writeln!(err, "content type {media_type:?}")?;
    }
    if let Some(created) =
        about.created.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
    {
        writeln!(err, "created {}", humantime::format_rfc3339_seconds(created))?;
    }
    Ok(())
}
