use crate::args::RewrapArgs;
use crate::expected::Expected;
use crate::failure::{Result, note};
use crate::input::{Envelope, Input};
use crate::keys::{self, Readers};
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{BODY_HEAD_LEN, Header, OpenReader, SignedBy};
use std::io::{self, Read, Write};

pub(super) fn run(args: &RewrapArgs) -> Result<()> {
    let change = &args.change;
    let mut envelope = Envelope::read(Input::open(Some(&change.input))?)?;
    let expected = Expected::load(&change.expect)?;
    let keyring = keys::keyring(&change.keys, "Present passphrase")?;
    let readers = Readers::load(&change.readers, (&change.new_passphrase).into(), "New passphrase")?;
    let context = change.context.context();

    let opener = expected.opener(&keyring, &context);
    let mut body_front = Vec::new();
    envelope.body.by_ref().take(BODY_HEAD_LEN as u64).read_to_end(&mut body_front)?;
    let header = opener.rewrap_header(&envelope.header, &body_front, readers.list());
    let header = keys::explained(header, &change.keys)?;

    let target = change.output.as_ref().unwrap_or(&change.input);
    let mut output = Output::create(Some(target), Form::of_envelope(envelope.text))?;
    output.write_all(&header)?;
    // The body is copied while it is read and verified, so that nothing is put in the file's place that does not open.
    let copied = Copied { source: body_front.chain(envelope.body), copy: &mut output };
    let mut reader = OpenReader::detached(&envelope.header, copied, &opener)?;
    transfer(&mut reader, &mut io::sink(), envelope.body_len)?;
    let signed = reader.finish()?.signer;
    output.commit()?;

    let author = expected.author(signed, &Header::parse(&envelope.header)?);
    let still = if signed == SignedBy::Unsigned { "" } else { ", and still is" };
    note(format_args!("was {author}{still}"));
    keys::warn_if_locked_out(&header, &keyring)
}

/// Reads, and writes what was read.
struct Copied<R, W> {
    source: R,
    copy: W,
}

impl<R: Read, W: Write> Read for Copied<R, W> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(out)?;
        self.copy.write_all(out.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}
