use crate::args::ResealArgs;
use crate::expected::Expected;
use crate::failure::Result;
use crate::input::{Envelope, Input};
use crate::keys::{self, Readers};
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{Error, Header, OpenReader, Opener, SealWriter, Sealer, SignedBy};
use std::io::{self, Read, Write};

pub(super) fn run(args: &ResealArgs) -> Result<()> {
    let change = &args.change;
    let envelope = Envelope::read(Input::open(Some(&change.input))?)?;
    let expected = Expected::load(&change.expect)?;
    let keyring = keys::keyring(&change.keys, "Present passphrase")?;
    let signer = keys::signing_identity(args.sign.as_ref())?;
    let readers = Readers::load(&change.readers, (&change.new_passphrase).into(), "New passphrase")?;
    let context = change.context.context();

    let opener = expected.opener(&keyring, &context);
    let old = envelope.header.clone();
    let mut sealer = Sealer::new(&context).to(readers.list());
    if let Some(identity) = &signer {
        sealer = sealer.sign(identity);
    }
    let target = change.output.as_ref().unwrap_or(&change.input);
    let output = Output::create(Some(target), Form::of_envelope(envelope.text))?;
    if output.is_stream() {
        // Whether the old signature is missed is known at the end only.
        return Err(Error::Misuse("reseal writes to a file: use -o").into());
    }
    let signed = if Header::parse(&old)?.unverified_padded() {
        in_memory(envelope, &opener, &sealer, output)
    } else {
        streaming(envelope, &opener, sealer, signer.is_some(), output)
    };
    let signed = keys::explained(signed, &change.keys)?;

    let author = expected.author(signed, &Header::parse(&old)?);
    let now = if signer.is_some() { "; is now signed by you" } else { "" };
    writeln!(io::stderr(), "was {author}{now}")?;
    keys::warn_if_locked_out(&Envelope::read(Input::open(Some(target))?)?.header, &keyring)
}

/// Streams are not padded, and what was padded shall stay so. Only payloads of up to 1 GiB are.
const PADDED_LIMIT: u64 = 1280 * 1024 * 1024;

fn in_memory(
    mut envelope: Envelope,
    opener: &Opener<'_>,
    sealer: &Sealer<'_>,
    mut output: Output,
) -> Result<SignedBy> {
    let mut whole = envelope.header;
    let read = envelope.body.by_ref().take(PADDED_LIMIT + 1).read_to_end(&mut whole)?;
    if read as u64 > PADDED_LIMIT {
        return Err(Error::TooLarge("a padded envelope above 1.25 GiB").into());
    }
    let signed = OpenReader::new(whole.as_slice(), opener)?.finish()?.signer;
    output.write_all(&sealer.reseal(&whole, opener)?)?;
    output.commit()?;
    Ok(signed)
}

fn streaming(
    envelope: Envelope,
    opener: &Opener<'_>,
    sealer: Sealer<'_>,
    signs: bool,
    output: Output,
) -> Result<SignedBy> {
    let mut reader = OpenReader::detached(&envelope.header, envelope.body, opener)?;
    // The header is verified now.
    let mut sealer = sealer.aead(Header::parse(&envelope.header)?.unverified_aead());
    if let Some(about) = reader.about() {
        sealer = sealer.keeping(about);
    }
    let mut writer = SealWriter::new(output, &sealer)?;
    transfer(&mut reader, &mut writer, envelope.body_len)?;
    let signed = reader.finish()?.signer;
    if signed != SignedBy::Unsigned && !signs {
        return Err(Error::Misuse("the envelope is signed: reseal with --sign").into());
    }
    writer.finish()?.commit()?;
    Ok(signed)
}
