//! Recipients, identities and passphrases, from arguments and small files.

use crate::args::{KeyArgs, NewPassphraseArgs, PassphraseArgs, ReaderArgs};
use crate::failure::{At, Failure, Result, note};
use sealwire::{Error, Header, Identity, Keyring, Passphrase, Recipient, Recipients, SecretBytes, Signer};
use std::fs::File;
use std::io::{self, Read};
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
    /// `prompt` is what the new passphrase is called when it is asked for.
    pub(crate) fn load(args: &ReaderArgs, passphrase: PassphraseSource<'_>, prompt: &str) -> Result<Self> {
        let mut named = recipients(&args.to)?;
        for path in &args.recipients_file {
            named.extend(recipients_file(path)?);
        }
        let anonymous = recipients(&args.anonymous)?;
        let passphrase = passphrase.read(prompt, true)?;
        if named.is_empty() && anonymous.is_empty() && passphrase.is_none() {
            return Err(Error::Misuse(&"say who can open it: --to RECIPIENT, -R FILE or a passphrase").into());
        }
        Ok(Self { named, anonymous, passphrase, allow_classical: args.allow_classical })
    }

    pub(crate) fn list(&self) -> Recipients<'_> {
        let named = Recipients::from(&self.named);
        let with_anonymous = self.anonymous.iter().fold(named, Recipients::anonymous);
        let all = self.passphrase.iter().fold(with_anonymous, Recipients::passphrase);
        if self.allow_classical { all.allow_classical() } else { all }
    }
}

/// The keys to open with. `prompt` is what their passphrase is called when it is asked for.
pub(crate) fn keyring(args: &KeyArgs, prompt: &str) -> Result<Keyring> {
    let mut keyring = Keyring::default();
    for identity in identities(&args.identities)? {
        keyring = keyring.and(identity);
    }
    if let Some(passphrase) = PassphraseSource::from(&args.passphrase).read(prompt, false)? {
        keyring = keyring.and(passphrase);
    }
    Ok(keyring)
}

/// `NotRecipient` is also what a wrong passphrase gets, and who typed it wants to know.
pub(crate) fn explained<T>(opened: std::result::Result<T, impl Into<Failure>>, args: &KeyArgs) -> Result<T> {
    let opened = opened.map_err(Into::into);
    let with_passphrase = args.passphrase.passphrase || args.passphrase.passphrase_file.is_some();
    let wrong = with_passphrase && opened.as_ref().is_err_and(|failure| failure.error == Error::NotRecipient);
    opened.hint(wrong.then_some("a wrong passphrase, or it was not sealed with one"))
}

/// Says on stderr if a new header does not let in the keys that the old one did.
pub(crate) fn warn_if_locked_out(header: &[u8], keyring: &Keyring) -> Result<()> {
    if let Err(Error::NotRecipient) = Header::parse(header)?.unlock(keyring) {
        note(
            "the keys you opened it with are not on the new list: you cannot open this file any more (add --to YOUR.pub)",
        );
    }
    Ok(())
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
        _ => Err(Error::Misuse(&"a key file to sign with has exactly one identity")).at(place(path)),
    }
}

fn identity_file(path: &Path) -> Result<Vec<Identity>> {
    let limit = Error::TooLarge(&"an identity file has at most 64 KiB");
    let text = text_file(path, IDENTITY_FILE_LIMIT, limit)?;
    let text = text.reveal_text().unwrap_or_default();
    if text.is_empty() {
        return Err(Error::Malformed(&"empty (did the command before it fail?)")).at(place(path));
    }
    let public = text.lines().any(|line| begins(line, &["sealwire1", "sealwire-pin1"]));
    let hint = public.then_some("sealwire keygen -o KEYFILE makes one");
    Identity::parse_file(text).hint(hint).at(place(path))
}

/// Each is `sealwire1…`, or the path of a file that contains one.
pub(crate) fn recipients(texts: &[String]) -> Result<Vec<Recipient>> {
    texts.iter().map(|text| recipient(text)).collect()
}

/// A signing key and what to call it: 64 hex digits, or the signer of a recipient.
pub(crate) fn signer(text: &str) -> Result<(Signer, String)> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok((Signer::parse(text).at(shown(text))?, text.to_owned()));
    }
    Ok((recipient(text)?.signer(), shown(text)))
}

fn recipient(text: &str) -> Result<Recipient> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Error::Misuse(&"an empty text is no recipient").into());
    }
    if is_key_text(trimmed) {
        let file = Path::new(text).is_file().then(|| format!("a file is meant? write ./{text}"));
        let hint = file.unwrap_or_else(|| recipient_hint(trimmed));
        return Recipient::parse(trimmed).hint(Some(&hint)).at(shown(trimmed));
    }
    if let Ok(false) = Path::new(text).try_exists() {
        let error = match text.contains(',') {
            true => SEVERAL,
            false => "no such file, and not a recipient (sealwire1…)",
        };
        return Err(io::Error::new(io::ErrorKind::NotFound, error)).at(shown(text));
    }
    let mut found = recipients_file(Path::new(text))?;
    match (found.pop(), found.is_empty()) {
        (Some(recipient), true) => Ok(recipient),
        _ => Err(Error::Misuse(&"more than one recipient in this file: use -R")).at(text),
    }
}

/// True if this is a key's text, whole or damaged, and not the name of a file: no file system takes a longer one.
fn is_key_text(text: &str) -> bool {
    text.get(..7).is_some_and(|front| front.eq_ignore_ascii_case("sealwir"))
        || text.len() > 255 && !text.contains('/')
}

const SEVERAL: &str = "one recipient at a time: repeat the option, or use -R FILE";

/// What to do about a text that is not a recipient's.
fn recipient_hint(text: &str) -> String {
    if begins(text, &["sealwire-identity1"]) {
        return "sealwire recipient -i KEYFILE prints it".into();
    }
    if begins(text, &["sealwire-pin1"]) {
        return "a pin is for checking one; ask for the recipient".into();
    }
    if text.contains(',') { SEVERAL.into() } else { format!("it has {} characters", text.chars().count()) }
}

fn begins(line: &str, fronts: &[&str]) -> bool {
    fronts.iter().any(|front| line.trim_start().starts_with(front))
}

/// An argument, as errors show it: of a key's text the beginning will do, and it may be a secret.
fn shown(argument: &str) -> String {
    let whole = !is_key_text(argument.trim()) && (argument.len() <= 64 || argument.contains('/'));
    if whole || argument.len() <= 12 {
        return argument.to_owned();
    }
    argument.trim().chars().take(12).chain(['…']).collect()
}

fn place(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

fn recipients_file(path: &Path) -> Result<Vec<Recipient>> {
    let limit = Error::TooLarge(&"a recipients file has at most 4 MiB");
    let text = text_file(path, RECIPIENTS_FILE_LIMIT, limit)?;
    let mut recipients = Vec::new();
    for (number, line) in text.reveal_text().unwrap_or_default().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if recipients.len() == RECIPIENTS_PER_FILE {
            return Err(Error::TooLarge(&"a recipients file has at most 1024 recipients")).at(place(path));
        }
        let place = format_args!("{}, line {}", place(path), number + 1);
        recipients.push(Recipient::parse(line).hint(Some(&recipient_hint(line))).at(place)?);
    }
    if recipients.is_empty() {
        return Err(Error::Malformed(&"there is no recipient in this file")).at(place(path));
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
    fn read(self, prompt: &str, new: bool) -> Result<Option<Passphrase>> {
        match self {
            Self::None => Ok(None),
            Self::File(path) => passphrase_file(path).map(Some),
            Self::Terminal => {
                let passphrase = ask(&format!("{prompt}: "))?;
                if new && *passphrase != *ask(&format!("{prompt}, again: "))? {
                    return Err(Error::Misuse(&"the two passphrases differ").into());
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
    let limit = Error::TooLarge(&"a passphrase file has at most 1 KiB");
    let file = text_file(path, PASSPHRASE_FILE_LIMIT, limit)?;
    let text = file.reveal_text().unwrap_or_default();
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    Passphrase::new(text).at(place(path))
}

/// A small file, as UTF-8 text: treated as secret, whatever it holds.
fn text_file(path: &Path, limit: usize, too_large: Error) -> Result<SecretBytes> {
    // Room for all of it, so that it never moves and leaves a copy behind.
    let mut bytes = Vec::with_capacity(limit + 1);
    let file = File::open(path).at(place(path))?;
    let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    if read.at(place(path))? > limit {
        return Err(too_large).at(place(path));
    }
    if bytes.reveal_text().is_none() {
        return Err(Error::Malformed(&"not UTF-8 text")).at(place(path));
    }
    Ok(bytes)
}
