use crate::args::InspectArgs;
use crate::failure::Result;
use crate::input::{Envelope, Input};
use indicatif::{BinaryBytes, HumanCount};
use sealwire::{Aead, Header, Kem, Metadata, MetadataValue, SlotKind};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};

pub(super) fn run(args: &InspectArgs) -> Result<()> {
    let mut envelope = Envelope::read(Input::open(args.input.as_deref())?)?;
    let body = match envelope.body_len {
        Some(len) => len,
        None => io::copy(&mut envelope.body, &mut io::sink())?,
    };
    let claims = Claims { header: Header::parse(&envelope.header)?, text: envelope.text, body };
    let shown = if args.json { escaped(&format!("{:#}\n", claims.json())) } else { claims.page() };
    Ok(io::stdout().write_all(shown.as_bytes())?)
}

/// What can be seen without a key. Nothing of it is verified.
struct Claims<'a> {
    header: Header<'a>,
    /// It came in text form.
    text: bool,
    /// The body's length.
    body: u64,
}

/// Of SPEC §7: what a body has besides its plaintext, and a plaintext besides its payload.
const BODY_HEAD: u64 = sealwire::BODY_HEAD_LEN as u64;
const SEALED_CHUNK: u64 = 16400;
const CHUNK_TAG: u64 = 16;
const LENGTH_FIELD: u64 = 8;
const SIGNATURE: u64 = 64;

/// How long the payload can be: at least, at most.
type PayloadRange = (u64, u64);

impl Claims<'_> {
    /// `None` if no whole body has this length.
    fn payload(&self) -> Option<PayloadRange> {
        let chunks = self.body.checked_sub(BODY_HEAD)?;
        let last = (chunks % SEALED_CHUNK).checked_sub(CHUNK_TAG)?;
        let plain = chunks / SEALED_CHUNK * (SEALED_CHUNK - CHUNK_TAG) + last;
        // Without a private block there is no signer.
        let signature = if self.header.unverified_private_block_len().is_some() { SIGNATURE } else { 0 };
        Some(if self.header.unverified_padded() {
            (0, plain.saturating_sub(LENGTH_FIELD))
        } else {
            (plain.saturating_sub(signature), plain)
        })
    }

    fn locked_keys(&self) -> u64 {
        self.header.unverified_slots().map(locked_len).sum()
    }

    fn whole(&self) -> u64 {
        self.header.len() as u64 + self.body
    }

    fn json(&self) -> Value {
        let header = &self.header;
        let aead = header.unverified_aead();
        json!({
            "verified": false,
            "format_version": 1,
            "text_form": self.text,
            "envelope_id": hex(header.unverified_id()),
            "aead": { "id": aead.id(), "name": aead.name() },
            "padded": header.unverified_padded(),
            "private_block_bytes": header.unverified_private_block_len(),
            "metadata": metadata_json(header.unverified_metadata()),
            "slots": header.unverified_slots().map(slot_json).collect::<Vec<_>>(),
            "bytes": {
                "envelope": self.whole(),
                "header": header.len(),
                "locked_keys": self.locked_keys(),
                "body": self.body,
                "payload_at_least": self.payload().map(|(least, _)| least),
                "payload_at_most": self.payload().map(|(_, most)| most),
            },
        })
    }

    fn page(&self) -> String {
        let header = &self.header;
        let mut page = Page::default();
        page.line(
            "Sealwire envelope",
            if self.text { "format version 1, as text" } else { "format version 1" },
        );
        page.line("", "not verified: this is what the header claims, until a key has opened it");
        page.line("", "");
        page.line("id", &hex(header.unverified_id()));
        page.line("content", aead_name(header.unverified_aead()));
        page.line(
            "",
            if header.unverified_padded() { "padded: its exact length is hidden" } else { "not padded" },
        );
        page.line(
            "private block",
            &match header.unverified_private_block_len() {
                Some(len) => {
                    format!("{len} bytes, encrypted (may name a signer, a time, a type, a file name)")
                }
                None => "none: unsigned".into(),
            },
        );
        page.list("metadata (public)", header.unverified_metadata().iter().map(metadata_line));
        page.list("who can open", header.unverified_slots().map(slot_line));
        page.line("", "");
        page.line(
            "header",
            &format!(
                "{}, of which locked keys {}; {} of the whole",
                bytes(header.len() as u64),
                bytes(self.locked_keys()),
                percent(header.len() as u64, self.whole())
            ),
        );
        page.line("body", &bytes(self.body));
        page.line(
            "payload",
            &match self.payload() {
                Some((least, most)) if least == most => bytes(most),
                Some((0, most)) => format!("at most {}", bytes(most)),
                Some((least, most)) => {
                    let (least, most) = (HumanCount(least), HumanCount(most));
                    format!("{least} bytes if signed, else {most} (only a reader can tell)")
                }
                None if self.body == 0 => "elsewhere: this is a header alone".into(),
                None => "cut off: no whole body has this length".into(),
            },
        );
        page.0
    }
}

/// JSON in which a stranger's text cannot give a terminal orders or turn the writing direction: `{:?}` says what prints.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        // Below 0x7f JSON escapes already.
        if c < '\x7f' || c > '\x7f' && c.escape_debug().len() == 1 {
            escaped.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(escaped, "\\u{unit:04x}");
            });
        }
    }
    escaped
}

/// Lines with a title in front.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, title: &str, text: &str) {
        let line = format!("{title:<19}{text}");
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{}", line.trim_end());
    }

    fn list(&mut self, title: &str, texts: impl Iterator<Item = String>) {
        let mut title = title;
        for text in texts {
            self.line(title, &text);
            title = "";
        }
    }
}

fn aead_name(aead: Aead) -> &'static str {
    match aead {
        Aead::Aes256Gcm => "AES-256-GCM",
        Aead::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        other => other.name(),
    }
}

pub(super) fn metadata_line((key, value): (&str, &MetadataValue)) -> String {
    // A stranger's text is quoted: it may contain anything.
    match value {
        MetadataValue::Text(text) => format!("{key:?} = {text:?}"),
        MetadataValue::Number(number) => format!("{key:?} = {number}"),
        MetadataValue::Bytes(bytes) => format!("{key:?} = hex {}", hex(bytes)),
        _ => format!("{key:?} = (a value of another type)"),
    }
}

fn metadata_json(metadata: &Metadata) -> Value {
    let entry = |(key, value): (&str, &MetadataValue)| {
        let value = match value {
            MetadataValue::Text(text) => json!(text),
            MetadataValue::Number(number) => json!(number),
            MetadataValue::Bytes(bytes) => json!({ "hex": hex(bytes) }),
            _ => Value::Null,
        };
        (key.to_owned(), value)
    };
    Value::Object(metadata.iter().map(entry).collect())
}

fn slot_line(slot: &SlotKind<'_>) -> String {
    match *slot {
        SlotKind::Hpke { kem, hint: Some(hint), .. } => {
            format!("a recipient, {}, hint {}", kem_line(kem), hex(hint))
        }
        SlotKind::Hpke { kem, hint: None, .. } => format!("an anonymous recipient, {}", kem_line(kem)),
        SlotKind::Passphrase { memory, passes, lanes, .. } => {
            let memory = BinaryBytes(u64::from(memory) * 1024);
            format!("a passphrase, Argon2id with {memory}, {passes} passes, {lanes} lanes")
        }
        SlotKind::Symmetric { key_id, .. } => format!("a symmetric key, id {}", hex(key_id)),
        SlotKind::External { service, ct } => format!("the key service {service:?}, {} bytes", ct.len()),
        SlotKind::Unknown { kind } => format!("unknown to this version (kind {kind})"),
        _ => "unknown to this version".into(),
    }
}

fn kem_line(kem: Kem) -> &'static str {
    match kem {
        Kem::XWing => "X-Wing (post-quantum)",
        Kem::X25519 => "X25519 (not post-quantum)",
        _ => "another KEM",
    }
}

fn slot_json(slot: &SlotKind<'_>) -> Value {
    match *slot {
        SlotKind::Hpke { kem, hint, .. } => json!({
            "kind": "hpke",
            "kem": kem.id(),
            "post_quantum": kem == Kem::XWing,
            "hint": hint.map(|hint| hex(hint)),
            "locked_key_bytes": locked_len(slot),
        }),
        SlotKind::Passphrase { memory, passes, lanes, .. } => json!({
            "kind": "passphrase",
            "argon2id": { "memory_kib": memory, "passes": passes, "lanes": lanes },
            "locked_key_bytes": locked_len(slot),
        }),
        SlotKind::Symmetric { key_id, .. } => {
            json!({ "kind": "symmetric", "key_id": hex(key_id), "locked_key_bytes": locked_len(slot) })
        }
        SlotKind::External { service, .. } => {
            json!({ "kind": "external", "service": service, "locked_key_bytes": locked_len(slot) })
        }
        SlotKind::Unknown { kind } => json!({ "kind": kind }),
        _ => json!({ "kind": null }),
    }
}

/// How long a slot's locked key is, with what is needed to unlock it.
fn locked_len(slot: &SlotKind<'_>) -> u64 {
    let len = match *slot {
        SlotKind::Hpke { enc, ct, .. } => enc.len() + ct.len(),
        SlotKind::Passphrase { salt, ct, .. } => salt.len() + ct.len(),
        SlotKind::Symmetric { salt, ct, .. } => salt.len() + ct.len(),
        SlotKind::External { ct, .. } => ct.len(),
        _ => 0,
    };
    len as u64
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} bytes"),
        _ => format!("{} bytes ({})", HumanCount(count), BinaryBytes(count)),
    }
}

fn percent(part: u64, whole: u64) -> String {
    let per_mille = part.saturating_mul(1000).checked_div(whole).unwrap_or_default();
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
