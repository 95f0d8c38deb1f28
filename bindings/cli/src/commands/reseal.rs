use crate::args::ResealArgs;
use crate::failure::Result;
use crate::input::{Envelope, Input};
use crate::keys::{self, Readers};
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{Error, Header, OpenReader, Opener, SealWriter, Sealer, SignedBy};
use std::io::{Read, Write};

pub(super) fn run(args: &ResealArgs) -> Result<()> {
    let change = &args.change;
    let envelope = Envelope::read(Input::open(Some(&change.input))?)?;
    let keyring = keys::keyring(&change.keys)?;
    let signer = keys::signing_identity(args.sign.as_ref())?;
    let readers = Readers::load(&change.readers, (&change.new_passphrase).into())?;
    let context = change.context.context();

    let opener = Opener::new(&keyring, &context);
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
    if Header::parse(&envelope.header)?.unverified_padded() {
        in_memory(envelope, &opener, &sealer, output)
    } else {
        streaming(envelope, &opener, sealer, signer.is_some(), output)
    }
}

/// Streams are not padded, and what was padded shall stay so. Only payloads of up to 1 GiB are.
const PADDED_LIMIT: u64 = 1280 * 1024 * 1024;

fn in_memory(
    mut envelope: Envelope,
    opener: &Opener<'_>,
    sealer: &Sealer<'_>,
    mut output: Output,
) -> Result<()> {
    let mut whole = envelope.header;
    let read = envelope.body.by_ref().take(PADDED_LIMIT + 1).read_to_end(&mut whole)?;
    if read as u64 > PADDED_LIMIT {
        return Err(Error::TooLarge("a padded envelope above 1.25 GiB").into());
    }
    output.write_all(&sealer.reseal(&whole, opener)?)?;
    output.commit()
}

fn streaming(
    envelope: Envelope,
    opener: &Opener<'_>,
    sealer: Sealer<'_>,
    signs: bool,
    output: Output,
) -> Result<()> {
    let mut reader = OpenReader::detached(&envelope.header, envelope.body, opener)?;
    // The header is verified now.
    let mut sealer = sealer.aead(Header::parse(&envelope.header)?.unverified_aead());
    if let Some(about) = reader.about() {
        sealer = sealer.keeping(about);
    }
    let mut writer = SealWriter::new(output, &sealer)?;
    transfer(&mut reader, &mut writer, envelope.body_len)?;
    if reader.finish()?.signer != SignedBy::Unsigned && !signs {
        return Err(Error::Misuse("the envelope is signed: reseal with --sign").into());
    }
    writer.finish()?.commit()
}
