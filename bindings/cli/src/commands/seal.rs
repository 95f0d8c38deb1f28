use crate::args::SealArgs;
use crate::failure::{Result, note};
use crate::input::Input;
use crate::keys::{self, Readers};
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{Error, Recipients, SealContext, SealWriter, Sealer, SymmetricKey};
use std::path::Path;

pub(super) fn run(args: &SealArgs) -> Result<()> {
    let mut input = Input::open(args.files.input.as_deref())?;
    let filename = filename(args)?;
    let signer = keys::signing_identity(args.sign.as_ref())?;
    let readers = Readers::load(&args.readers, (&args.passphrase).into(), "Passphrase")?;
    let context = args.context.context();

    let mut sealer = Sealer::new(&context).to(readers.list());
    for (key, value) in &args.metadata {
        sealer = sealer.metadata(key, value.clone());
    }
    if let Some(identity) = &signer {
        sealer = sealer.sign(identity);
    }
    if let Some(name) = filename {
        sealer = sealer.filename(name);
    }
    if let Some(aead) = args.aead {
        sealer = sealer.aead(aead.into());
    }

    let output = Output::create(args.files.output.as_deref(), Form::of_envelope(args.text))?;
    let mut writer = SealWriter::new(output, &sealer)?;
    transfer(&mut input.reader, &mut writer, input.len)?;
    writer.finish()?.commit()
}

fn filename(args: &SealArgs) -> Result<Option<&str>> {
    if !args.keep_name {
        return Ok(args.filename.as_deref());
    }
    let name = args.files.input.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    match name {
        Some("-") | None => Err(Error::Misuse(&"--keep-name needs an IN with a name in UTF-8").into()),
        Some(name) if is_filename(name)? => Ok(Some(name)),
        Some(name) => {
            note(format_args!(
                "the name {name:?} is left out: not every system can have a file of that name"
            ));
            Ok(None)
        }
    }
}

/// The core knows which names it takes, and says so when it seals.
fn is_filename(name: &str) -> Result<bool> {
    let (key, context) = (SymmetricKey::generate()?, SealContext::new("name"));
    match Sealer::new(&context).to(Recipients::new().key(&key)).filename(name).seal(b"") {
        Err(Error::Misuse(_)) => Ok(false),
        sealed => Ok(sealed.map(|_| true)?),
    }
}
