use crate::args::RewrapArgs;
use crate::failure::Result;
use crate::input::{Envelope, Input};
use crate::keys::{self, Readers};
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{BODY_HEAD_LEN, Opener};
use std::io::{Read, Write};

pub(super) fn run(args: &RewrapArgs) -> Result<()> {
    let change = &args.change;
    let mut envelope = Envelope::read(Input::open(Some(&change.input))?)?;
    let keyring = keys::keyring(&change.keys)?;
    let readers = Readers::load(&change.readers, (&change.new_passphrase).into())?;
    let context = change.context.context();

    let mut body_front = Vec::new();
    envelope.body.by_ref().take(BODY_HEAD_LEN as u64).read_to_end(&mut body_front)?;
    let header =
        Opener::new(&keyring, &context).rewrap_header(&envelope.header, &body_front, readers.list())?;

    let target = change.output.as_ref().unwrap_or(&change.input);
    let mut output = Output::create(Some(target), Form::of_envelope(envelope.text))?;
    output.write_all(&header)?;
    output.write_all(&body_front)?;
    transfer(&mut envelope.body, &mut output, envelope.body_len)?;
    output.commit()
}
