use crate::args::ResealArgs;
use crate::expected::Expected;
use crate::failure::{Result, note};
use crate::input::{Envelope, Input};
use crate::keys::{self, Readers};
use crate::output::{Form, Output};
use crate::transfer::transfer;
use sealwire::{Error, Header, Identity, OpenReader, Opener, SealWriter, Sealer, SignedBy, Signer};
use std::io::{Read, Write};

pub(super) fn run(args: &ResealArgs) -> Result<()> {
    let change = &args.change;
    let envelope = Envelope::read(Input::open(Some(&change.input))?)?;
    let expected = Expected::load(&change.expect)?;
    let keyring = keys::keyring(&change.keys, "Present passphrase")?;
    let signer = keys::signing_identity(args.sign.as_ref())?;
    let readers = Readers::load(&change.readers, (&change.new_passphrase).into(), "New passphrase")?;
    let context = change.context.context();

    let opener = expected.opener(&keyring, &context);
    let rule = Rule { signer: signer.as_ref().map(Identity::signer), insists: !expected.is_empty() };
    let old = envelope.header.clone();
    let mut sealer = Sealer::new(&context).to(readers.list());
    if let Some(identity) = &signer {
        sealer = sealer.sign(identity);
    }
    let target = change.output.as_ref().unwrap_or(&change.input);
    let output = Output::create(Some(target), Form::of_envelope(envelope.text))?;
    if output.is_stream() {
        // Whether the old signature is missed is known at the end only.
        return Err(Error::Misuse(&"reseal writes to a file: use -o").into());
    }
    let signed = if Header::parse(&old)?.unverified_padded() {
        in_memory(envelope, &opener, &sealer, &rule, output)
    } else {
        streaming(envelope, &opener, sealer, &rule, output)
    };
    let signed = keys::explained(signed, &change.keys)?;

    let author = expected.author(signed, &Header::parse(&old)?);
    let now = if signer.is_some() { "; is now signed by you" } else { "" };
    note(format_args!("was {author}{now}"));
    keys::warn_if_locked_out(&Envelope::read(Input::open(Some(target))?)?.header, &keyring)
}

/// What may be sealed anew, by who had signed it.
struct Rule {
    /// Who signs now.
    signer: Option<Signer>,
    /// The opener accepts only whom `--expect` names.
    insists: bool,
}

impl Rule {
    /// Whoever can replace a file must not have it signed by who reseals it.
    fn check(&self, author: SignedBy) -> Result<()> {
        let refused = match (author, self.signer) {
            (SignedBy::Unsigned, None) => return Ok(()),
            (_, None) => &"the envelope is signed: reseal with --sign",
            (_, Some(_)) if self.insists => return Ok(()),
            (SignedBy::Verified(author), Some(me)) if author == me => return Ok(()),
            (SignedBy::Unsigned, Some(_)) => {
                &"nobody signed it, so anybody may have written it: open it, look at it, and seal it anew"
            }
            _ => &"somebody else signed it: say with --expect whose content you sign",
        };
        Err(Error::Misuse(refused).into())
    }
}

/// Streams are not padded, and what was padded shall stay so. Only payloads of up to 1 GiB are.
const PADDED_LIMIT: u64 = 1280 * 1024 * 1024;

fn in_memory(
    mut envelope: Envelope,
    opener: &Opener<'_>,
    sealer: &Sealer<'_>,
    rule: &Rule,
    mut output: Output,
) -> Result<SignedBy> {
    let mut whole = envelope.header;
    let read = envelope.body.by_ref().take(PADDED_LIMIT + 1).read_to_end(&mut whole)?;
    if read as u64 > PADDED_LIMIT {
        return Err(Error::TooLarge(&"a padded envelope above 1.25 GiB").into());
    }
    let signed = OpenReader::new(whole.as_slice(), opener)?.finish()?.signer;
    rule.check(signed)?;
    output.write_all(&sealer.reseal(&whole, opener)?)?;
    output.commit()?;
    Ok(signed)
}

fn streaming(
    envelope: Envelope,
    opener: &Opener<'_>,
    sealer: Sealer<'_>,
    rule: &Rule,
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
    rule.check(signed)?;
    writer.finish()?.commit()?;
    Ok(signed)
}
