//! Finds test vectors: the project's own, and those that somebody brings in the folder `SEALWIRE_VECTORS`.
//!
//! Every JSON file is told by its content, not its name; one that nobody recognises is an error, never skipped.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What a vector file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One case of this project: `tests/vectors/envelope/`.
    Envelope,
    /// C2SP Wycheproof, with its `algorithm`.
    Wycheproof(&'static str),
    /// A list of HPKE test vectors (RFC 9180, draft-ietf-hpke-pq).
    Hpke,
    /// A list of X-Wing test vectors.
    XWing,
    /// C2SP chunked encryption.
    ChunkedEncryption,
    /// One signed request as in RFC 9421 appendix B, with its signature base.
    HttpSignature,
    /// A list of signed requests of web-bot-auth.
    WebBotAuth,
    /// A list of structured field tests (RFC 9651).
    StructuredFields,
    /// One request and its response in Oblivious HTTP (RFC 9458 appendix A), perhaps in its chunked form.
    ObliviousHttp,
}

const WYCHEPROOF: [&str; 8] =
    ["AES-GCM", "CHACHA20-POLY1305", "EDDSA", "HKDF-SHA-256", "HKDF-SHA-512", "HMACSHA256", "XDH", "ML-KEM"];

impl Format {
    fn of(content: &Value) -> Option<Self> {
        if content.get("operation").is_some() {
            return Some(Self::Envelope);
        }
        if let Some(algorithm) = content.get("algorithm").and_then(Value::as_str) {
            return WYCHEPROOF.into_iter().find(|known| *known == algorithm).map(Self::Wycheproof);
        }
        if content.get("spec").is_some_and(|spec| spec.to_string().contains("c2sp.org/chunked-encryption")) {
            return Some(Self::ChunkedEncryption);
        }
        if content.get("signature_base").is_some() {
            return Some(Self::HttpSignature);
        }
        if content.get("encapsulated_request").is_some() {
            return Some(Self::ObliviousHttp);
        }
        let first = content.get(0)?;
        if first.get("kem_id").is_some() {
            return Some(Self::Hpke);
        }
        if first.get("signature_input").is_some() {
            return Some(Self::WebBotAuth);
        }
        if first.get("header_type").is_some() {
            return Some(Self::StructuredFields);
        }
        first.get("eseed").map(|_| Self::XWing)
    }
}

/// All files of a format. Refuses files that nobody would run, a folder without any file, and a format without any.
///
/// # Errors
/// A sentence that names the file.
pub fn files(format: Format) -> Result<Vec<(PathBuf, Value)>, String> {
    let mut folders = vec![own_folder()];
    folders.extend(std::env::var_os("SEALWIRE_VECTORS").map(PathBuf::from));
    let mut found = Vec::new();
    for folder in folders {
        let paths = json_files(&folder)?;
        if paths.is_empty() {
            return Err(format!("{}: no vector files", folder.display()));
        }
        for path in paths {
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let content: Value =
                serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            match Format::of(&content) {
                None => return Err(format!("{}: a vector file of no known format", path.display())),
                Some(known) if known == format => found.push((path, content)),
                Some(_) => {}
            }
        }
    }
    if found.is_empty() { Err(format!("no vector file of the format {format:?}")) } else { Ok(found) }
}

/// `tests/vectors/` of this checkout.
#[must_use]
pub fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        if path.is_dir() {
            files.extend(json_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads lower- or upper-case hex; `None` if it is not hex.
#[must_use]
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// The field `name` as hex.
///
/// # Panics
/// If it is not there or not hex: a broken vector file.
#[must_use]
pub fn hex_field(case: &Value, name: &str) -> Vec<u8> {
    let field = case.get(name).and_then(Value::as_str).and_then(hex);
    assert!(field.is_some(), "a vector without the hex field {name}: {case}");
    field.unwrap_or_default()
}
