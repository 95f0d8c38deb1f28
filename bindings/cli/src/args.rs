//! What can be typed. The doc comments are the help texts.

use crate::failure::Result as Done;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sealwire::{Aead, ContextField, Error, Kem, MetadataValue, SealContext};
use std::ffi::OsString;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a file, pipe or terminal failed               [Store]
  2  wrong usage                                   [Misuse]
  3  not an envelope that this version reads       [Malformed] [Unsupported] [TooLarge]
  4  not a valid recipient, identity or pin        [InvalidKey]
  5  none of the keys opens it                     [NotRecipient]
  6  altered or cut, or another context or signer  [Rejected]
  7  cut in the header or between two chunks       [Truncated]";

const COMPLETIONS: &str = "\
Where it goes:
  bash        sealwire completions bash > ~/.local/share/bash-completion/completions/sealwire
  zsh         sealwire completions zsh > \"${fpath[1]}/_sealwire\"
  fish        sealwire completions fish > ~/.config/fish/completions/sealwire.fish
  elvish      into rc.elv: eval (sealwire completions elvish | slurp)
  powershell  into $PROFILE: sealwire completions powershell | Out-String | Invoke-Expression";

/// Seal files so that only who you name can open them.
///
/// A RECIPIENT is `sealwire1…`, or the path of a file that contains one. IN and OUT are files; `-`, or
/// nothing, is standard input and output.
#[derive(Parser)]
#[command(name = "sealwire", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What was typed. Error messages repeat arguments, shells and lists of processes keep them: none may be a secret.
    pub(crate) fn typed() -> Done<Self> {
        let is_secret =
            |arg: OsString| arg.to_string_lossy().to_ascii_lowercase().contains("sealwire-identity1");
        if std::env::args_os().skip(1).any(is_secret) {
            return Err(
                Error::Misuse(&"an identity's text is a secret, and no argument: name its file").into()
            );
        }
        Ok(Self::parse())
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a new identity file
    Keygen(KeygenArgs),
    /// Print the recipients of an identity file, or the fingerprints of recipients
    Recipient(RecipientArgs),
    /// Seal a file or a pipe. You are not a reader of what you seal, unless you name yourself
    Seal(SealArgs),
    /// Open what was sealed
    Open(OpenArgs),
    /// Replace the complete list of who can open a file; its content stays as it is, so this does not revoke
    Rewrap(RewrapArgs),
    /// Seal a file anew, with a new key, to a new list: what revokes from now on
    Reseal(ResealArgs),
    /// Show what can be seen without a key
    Inspect(InspectArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

#[derive(Args)]
pub(crate) struct KeygenArgs {
    /// Write to FILE (mode 0600; never overwrites), and print the recipient instead of the identity
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Key agreement; x25519 has short recipients and is not post-quantum
    #[arg(long, value_name = "KEM", default_value = "x-wing")]
    pub(crate) kem: KemArg,
}

#[derive(Args)]
#[group(id = "whose", required = true, multiple = true, args = ["identities", "recipients"])]
pub(crate) struct RecipientArgs {
    /// Print the recipients of this identity file
    #[arg(short, long = "identity", value_name = "KEYFILE")]
    pub(crate) identities: Vec<PathBuf>,
    /// Recipients, to print their pin, fingerprint or signer
    #[arg(value_name = "RECIPIENT")]
    pub(crate) recipients: Vec<String>,
    #[command(flatten)]
    pub(crate) form: FormArgs,
}

/// How a recipient is printed.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct FormArgs {
    /// Print pins (the whole fingerprint, for configuration files and QR codes)
    #[arg(long)]
    pub(crate) pin: bool,
    /// Print fingerprints for people to compare
    #[arg(long)]
    pub(crate) fingerprint: bool,
    /// Print signing keys, as `open` names them
    #[arg(long)]
    pub(crate) signer: bool,
}

#[derive(Args)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    pub(crate) readers: ReaderArgs,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
    /// Sign with the one identity in KEYFILE
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) sign: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// Public metadata: authenticated, not encrypted. `version` is a number, all else text
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_metadata)]
    pub(crate) metadata: Vec<(String, MetadataValue)>,
    /// Tell the readers this file name: shown by `open`, which does not create it
    #[arg(long, value_name = "NAME", conflicts_with = "keep_name")]
    pub(crate) filename: Option<String>,
    /// Tell the readers the name of IN: shown by `open`, which does not create it
    #[arg(long, requires = "input")]
    pub(crate) keep_name: bool,
    /// Cipher of the content [default: aes if this CPU has instructions for it]
    #[arg(long, value_name = "AEAD")]
    pub(crate) aead: Option<AeadArg>,
    /// Write text (base64url) instead of bytes
    #[arg(short = 'a', long)]
    pub(crate) text: bool,
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

#[derive(Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// Accept only what this RECIPIENT (or signer, in hex) signed; may be repeated. Nothing is written before the signature
    /// was verified: what goes to a pipe waits in a temporary file, as large as it is
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) expect: Vec<String>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

#[derive(Args)]
pub(crate) struct RewrapArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Args)]
pub(crate) struct ResealArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Sign with the one identity in KEYFILE what it signed before, or what --expect names. A signed file needs it: the old
    /// signature is lost
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) sign: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Envelope to look at [default: standard input]
    #[arg(value_name = "IN")]
    pub(crate) input: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    pub(crate) shell: Shell,
}

/// From where, and where to.
#[derive(Args)]
pub(crate) struct FileArgs {
    /// Write to OUT, which appears whole or not at all
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// File to read [default: standard input]
    #[arg(value_name = "IN")]
    pub(crate) input: Option<PathBuf>,
}

/// What rewrap and reseal have in common: keys to open with, a new list, and a file that is changed in place.
#[derive(Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    #[command(flatten)]
    pub(crate) readers: ReaderArgs,
    #[command(flatten)]
    pub(crate) new_passphrase: NewPassphraseArgs,
    /// Change only what this RECIPIENT (or signer, in hex) signed; may be repeated
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) expect: Vec<String>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// Write to the file OUT instead of replacing IN
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// File to change
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
}

/// Who can open: the complete list, with the passphrase that goes with it.
#[derive(Args)]
pub(crate) struct ReaderArgs {
    /// Seal to RECIPIENT; may be repeated
    #[arg(short = 't', long = "to", value_name = "RECIPIENT")]
    pub(crate) to: Vec<String>,
    /// Seal to everybody in FILE: one recipient per line, `#` begins a comment line
    #[arg(short = 'R', long, value_name = "FILE")]
    pub(crate) recipients_file: Vec<PathBuf>,
    /// Seal to RECIPIENT without a hint that it is them
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) anonymous: Vec<String>,
    /// Let X25519 recipients stand beside X-Wing ones: one of them opens all to a quantum computer
    #[arg(long)]
    pub(crate) allow_classical: bool,
}

/// The keys to open with.
#[derive(Args)]
#[group(id = "keys", required = true, multiple = true, args = ["identities", "passphrase", "passphrase_file"])]
pub(crate) struct KeyArgs {
    /// Open with the identities in KEYFILE; may be repeated
    #[arg(short, long = "identity", value_name = "KEYFILE")]
    pub(crate) identities: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

#[derive(Args)]
pub(crate) struct PassphraseArgs {
    /// Ask for a passphrase
    #[arg(short, long, conflicts_with = "passphrase_file")]
    pub(crate) passphrase: bool,
    /// Take the passphrase from the file PATH (without its line end)
    #[arg(long, value_name = "PATH")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct NewPassphraseArgs {
    /// Ask for a passphrase that can open the new file
    #[arg(long, conflicts_with = "to_passphrase_file")]
    pub(crate) to_passphrase: bool,
    /// Take the passphrase that can open the new file from the file PATH
    #[arg(long, value_name = "PATH")]
    pub(crate) to_passphrase_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ContextArgs {
    /// What it is for; who opens must say the same. Fields are text, or numbers as `#17`; `/` in one is `%2F`, `%` is `%25`
    #[arg(long = "context", value_name = "NAMESPACE[/FIELD…]", value_parser = parse_context)]
    context: Option<SealContext>,
}

/// The namespace of files that were sealed without `--context`; it has no fields.
const DEFAULT_NAMESPACE: &str = "sealwire/file";

impl ContextArgs {
    pub(crate) fn context(&self) -> SealContext {
        self.context.clone().unwrap_or_else(|| SealContext::new(DEFAULT_NAMESPACE))
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum KemArg {
    XWing,
    X25519,
}

impl From<KemArg> for Kem {
    fn from(kem: KemArg) -> Self {
        match kem {
            KemArg::XWing => Self::XWing,
            KemArg::X25519 => Self::X25519,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum AeadArg {
    Aes,
    Chacha,
}

impl From<AeadArg> for Aead {
    fn from(aead: AeadArg) -> Self {
        match aead {
            AeadArg::Aes => Self::Aes256Gcm,
            AeadArg::Chacha => Self::ChaCha20Poly1305,
        }
    }
}

fn parse_context(text: &str) -> Result<SealContext, String> {
    let (namespace, fields) = text.split_once('/').map_or((text, None), |(first, rest)| (first, Some(rest)));
    fields.into_iter().flat_map(|fields| fields.split('/')).try_fold(
        SealContext::new(&percent_decode(namespace)?),
        |context, field| {
            let field = match field.strip_prefix('#') {
                None => ContextField::from(percent_decode(field)?),
                Some(number) => parse_number(number).ok_or("a number follows `#` (text: `%23`)")?.into(),
            };
            Ok(context.field(field))
        },
    )
}

/// RFC 3986 §2.1, and nothing that could be read in two ways.
fn percent_decode(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "two hex digits follow `%`, which is itself written `%25`";
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(WRONG)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| "namespace and text fields are UTF-8")
}

fn parse_metadata(text: &str) -> Result<(String, MetadataValue), String> {
    let (key, value) = text.split_once('=').ok_or("it takes the form KEY=VALUE")?;
    let value = match key {
        "version" => parse_number(value).ok_or("`version` is a number")?.into(),
        _ => value.into(),
    };
    Ok((key.into(), value))
}

/// One spelling per number: no sign, no zeros in front.
fn parse_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
