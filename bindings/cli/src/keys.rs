//! Recipients, identities and passphrases, from arguments and small files.

use crate::args::{KeyArgs, NewPassphraseArgs, PassphraseArgs, ReaderArgs};
use crate::failure::{At, Result};
use sealwire::{Error, Identity, Keyring, Passphrase, Recipient, Recipients, SecretBytes, Signer};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const IDENTITY_FILE_LIMIT: usize = 64 * 1024;
/// Room for 1024 X-Wing recipients, which is what an envelope holds.
const RECIPIENTS_FILE_LIMIT: usize = 4 * 1024 * 1024;
const RECIPIENTS_PER_FILE: usize = 1024;
/// 1024 bytes and a line end.
const PASSPHRASE_FILE_LIMIT: usize = 1026;

/// The new list of who can open, loaded and checked.
pub(crate) struct Readers {
    named: Vec<Recipient>,
    anonymous: Vec<Recipient>,
    passphrase: Option<Passphrase>,
    allow_classical: bool,
}

impl Readers {
    pub(crate) fn load(args: &ReaderArgs, passphrase: PassphraseSource<'_>) -> Result<Self> {
        let mut named = recipients(&args.to)?;
        for path in &args.recipients_file {
            named.extend(recipients_file(path)?);
        }
        Ok(Self {
            named,
            anonymous: recipients(&args.anonymous)?,
            passphrase: passphrase.read(true)?,
            allow_classical: args.allow_classical,
        })
    }

    pub(crate) fn list(&self) -> Recipients<'_> {
        let named = Recipients::from(&self.named);
        let with_anonymous = self.anonymous.iter().fold(named, Recipients::anonymous);
        let all = self.passphrase.iter().fold(with_anonymous, Recipients::passphrase);
        if self.allow_classical { all.allow_classical() } else { all }
    }
}

/// The keys to open with.
pub(crate) fn keyring(args: &KeyArgs) -> Result<Keyring> {
    let mut keyring = Keyring::default();
    for identity in identities(&args.identities)? {
        keyring = keyring.and(identity);
    }
    if let Some(passphrase) = PassphraseSource::from(&args.passphrase).read(false)? {
        keyring = keyring.and(passphrase);
    }
    Ok(keyring)
}

pub(crate) fn identities(paths: &[PathBuf]) -> Result<Vec<Identity>> {
    let mut identities = Vec::new();
    for path in paths {
        identities.extend(identity_file(path)?);
    }
    Ok(identities)
}

/// The one identity in a key file to sign with.
pub(crate) fn signing_identity(path: Option<&PathBuf>) -> Result<Option<Identity>> {
    let Some(path) = path else { return Ok(None) };
    let mut identities = identity_file(path)?;
    match (identities.pop(), identities.is_empty()) {
        (Some(identity), true) => Ok(Some(identity)),
        _ => Err(Error::Misuse("a key file to sign with has exactly one identity")).at(path.display()),
    }
}

fn identity_file(path: &Path) -> Result<Vec<Identity>> {
    let limit = Error::TooLarge("an identity file has at most 64 KiB");
    let text = text_file(path, IDENTITY_FILE_LIMIT, limit)?;
    Identity::parse_file(text.reveal_text().unwrap_or_default()).at(path.display())
}

/// Each is `sealwire1…`, or the path of a file that contains one.
pub(crate) fn recipients(texts: &[String]) -> Result<Vec<Recipient>> {
    texts.iter().map(|text| recipient(text)).collect()
}

/// The signing keys of recipients, for `open --expect`.
pub(crate) fn signers(texts: &[String]) -> Result<Vec<Signer>> {
    Ok(recipients(texts)?.iter().map(Recipient::signer).collect())
}

fn recipient(text: &str) -> Result<Recipient> {
    if text.starts_with("sealwire1") {
        return Ok(Recipient::parse(text)?);
    }
    // Not to be taken for a path, since error messages name paths.
    if text.starts_with("sealwire-") {
        return Err(Error::InvalidKey("a recipient begins with sealwire1").into());
    }
    let mut found = recipients_file(Path::new(text))?;
    match (found.pop(), found.is_empty()) {
        (Some(recipient), true) => Ok(recipient),
        _ => Err(Error::Misuse("more than one recipient in this file: use -R")).at(text),
    }
}

fn recipients_file(path: &Path) -> Result<Vec<Recipient>> {
    let limit = Error::TooLarge("a recipients file has at most 4 MiB");
    let text = text_file(path, RECIPIENTS_FILE_LIMIT, limit)?;
    let mut recipients = Vec::new();
    for (number, line) in text.reveal_text().unwrap_or_default().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if recipients.len() == RECIPIENTS_PER_FILE {
            return Err(Error::TooLarge("a recipients file has at most 1024 recipients")).at(path.display());
        }
        let place = format_args!("{}, line {}", path.display(), number + 1);
        recipients.push(Recipient::parse(line).at(place)?);
    }
    if recipients.is_empty() {
        return Err(Error::Malformed("there is no recipient in this file")).at(path.display());
    }
    Ok(recipients)
}

/// Where a passphrase comes from, if one is wanted.
pub(crate) enum PassphraseSource<'a> {
    None,
    Terminal,
    File(&'a Path),
}

impl<'a> PassphraseSource<'a> {
    fn new(terminal: bool, file: Option<&'a PathBuf>) -> Self {
        match file {
            Some(path) => Self::File(path),
            None if terminal => Self::Terminal,
            None => Self::None,
        }
    }

    /// Asks twice for a `new` passphrase, since a mistyped one would lock everybody out.
    fn read(self, new: bool) -> Result<Option<Passphrase>> {
        match self {
            Self::None => Ok(None),
            Self::File(path) => passphrase_file(path).map(Some),
            Self::Terminal => {
                let passphrase = ask("Passphrase: ")?;
                if new && *passphrase != *ask("Passphrase, again: ")? {
                    return Err(Error::Misuse("the two passphrases differ").into());
                }
                Ok(Some(Passphrase::new(&passphrase)?))
            }
        }
    }
}

impl<'a> From<&'a PassphraseArgs> for PassphraseSource<'a> {
    fn from(args: &'a PassphraseArgs) -> Self {
        Self::new(args.passphrase, args.passphrase_file.as_ref())
    }
}

impl<'a> From<&'a NewPassphraseArgs> for PassphraseSource<'a> {
    fn from(args: &'a NewPassphraseArgs) -> Self {
        Self::new(args.to_passphrase, args.to_passphrase_file.as_ref())
    }
}

fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .at("no terminal to ask for the passphrase (in scripts: a passphrase file)")
}

fn passphrase_file(path: &Path) -> Result<Passphrase> {
    let limit = Error::TooLarge("a passphrase file has at most 1 KiB");
    let file = text_file(path, PASSPHRASE_FILE_LIMIT, limit)?;
    let text = file.reveal_text().unwrap_or_default();
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    Passphrase::new(text).at(path.display())
}

/// A small file, as UTF-8 text: treated as secret, whatever it holds.
fn text_file(path: &Path, limit: usize, too_large: Error) -> Result<SecretBytes> {
    if path.as_os_str().to_string_lossy().starts_with("sealwire-identity1") {
        return Err(
            Error::Misuse("a key file is named by its path; the secret itself has no place here").into()
        );
    }
    // Room for all of it, so that it never moves and leaves a copy behind.
    let mut bytes = Vec::with_capacity(limit + 1);
    let file = File::open(path).at(path.display())?;
    let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    if read.at(path.display())? > limit {
        return Err(too_large).at(path.display());
    }
    if bytes.reveal_text().is_none() {
        return Err(Error::Malformed("not UTF-8 text")).at(path.display());
    }
    Ok(bytes)
}
