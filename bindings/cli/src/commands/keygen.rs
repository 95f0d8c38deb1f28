use crate::args::KeygenArgs;
use crate::failure::{At, Result, note};
use sealwire::{Error, Identity};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::SystemTime;

pub(super) fn run(args: &KeygenArgs) -> Result<()> {
    let identity = Identity::generate_with(args.kem.into())?;
    let Some(path) = &args.output else {
        if io::stdout().is_terminal() {
            return Err(Error::Misuse(&"this would show the secret on a terminal: use -o or a pipe").into());
        }
        return Ok(write_identity(&mut io::stdout().lock(), &identity)?);
    };
    let shown = path.display();
    let mut file = match create_secret(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = format!("{shown} exists, and keygen never overwrites: choose another name");
            return Err(io::Error::new(error.kind(), text).into());
        }
        created => created.at(&shown)?,
    };
    let written = write_identity(&mut file, &identity).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key file helps nobody.
        let _ = fs::remove_file(path);
    }
    written.at(&shown)?;
    let recipient = identity.recipient();
    note(format_args!("fingerprint {}", recipient.fingerprint()));
    note(format_args!("to print this recipient again: sealwire recipient -i {shown}"));
    writeln!(io::stdout(), "{recipient}").at(format_args!("{shown} is made, but not its recipient printed"))
}

/// A new file for its owner alone; refuses to replace one.
fn create_secret(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_identity(out: &mut impl Write, identity: &Identity) -> io::Result<()> {
    let recipient = identity.recipient();
    writeln!(out, "# created: {}", humantime::format_rfc3339_seconds(SystemTime::now()))?;
    writeln!(out, "# recipient: {recipient}")?;
    writeln!(out, "# fingerprint: {}", recipient.fingerprint())?;
    out.write_all(identity.reveal().reveal())?;
    out.write_all(b"\n")?;
    out.flush()
}
