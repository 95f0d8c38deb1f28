use crate::args::RecipientArgs;
use crate::failure::Result;
use crate::keys;
use sealwire::Identity;
use std::io::{self, Write};

pub(super) fn run(args: &RecipientArgs) -> Result<()> {
    let identities = keys::identities(&args.identities)?;
    let named = keys::recipients(&args.recipients)?;
    let mut out = io::stdout().lock();
    for recipient in identities.iter().map(Identity::recipient).chain(&named) {
        if args.form.pin {
            writeln!(out, "{}", recipient.pin())?;
        } else if args.form.fingerprint {
            writeln!(out, "{}", recipient.fingerprint())?;
        } else if args.form.signer {
            writeln!(out, "{}", recipient.signer())?;
        } else {
            writeln!(out, "{recipient}")?;
        }
    }
    Ok(())
}
