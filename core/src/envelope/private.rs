//! The plaintext of the private block: what the sealer tells the readers and nobody else (SPEC §6).

use crate::cbor::{self, IntMap, Writer};
use crate::error::{Error, Result};
use crate::identity::{Fingerprint, MAX_SLOTS};
use crate::suite::{Signer, TAG_LEN};

const BLOCK: usize = 64;
const MAX_BLOCKS: usize = 1024;
const MAX_TEXT: usize = 255;
/// Ed25519 in the COSE registry (RFC 9864).
const ED25519: i64 = -19;

const SIGNERS: i128 = 0;
const CREATED: i128 = 1;
const CONTENT_TYPE: i128 = 2;
const FILENAME: i128 = 3;
const AUDIENCE: i128 = 4;

#[derive(Default)]
pub(crate) struct PrivateBlock {
    pub(crate) signer: Option<Signer>,
    pub(crate) created: Option<u64>,
    pub(crate) content_type: Option<String>,
    pub(crate) filename: Option<String>,
    /// Ascending; empty if the audience is not stated.
    pub(crate) audience: Vec<Fingerprint>,
}

impl PrivateBlock {
    /// The padded plaintext, or `None` if there is nothing to say.
    pub(crate) fn encode(&self) -> Result<Option<Vec<u8>>> {
        let count = usize::from(self.signer.is_some())
            + usize::from(self.created.is_some())
            + usize::from(self.content_type.is_some())
            + usize::from(self.filename.is_some())
            + usize::from(!self.audience.is_empty());
        if count == 0 {
            return Ok(None);
        }
        let mut map = Writer::default().map(count);
        if let Some(signer) = &self.signer {
            map = map.uint(0).array(1).map(2).uint(0).int(ED25519).uint(1).bytes(signer.as_bytes());
        }
        if let Some(created) = self.created {
            map = map.uint(1).uint(created);
        }
        if let Some(content_type) = &self.content_type {
            map = map.uint(2).text(check_content_type(content_type).map_err(to_misuse)?);
        }
        if let Some(filename) = &self.filename {
            map = map.uint(3).text(check_filename(filename).map_err(to_misuse)?);
        }
        if !self.audience.is_empty() {
            let array = map.uint(4).array(self.audience.len());
            map = self.audience.iter().fold(array, |map, fingerprint| map.bytes(&fingerprint.0));
        }
        let mut block = map.done();
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        Ok(Some(block))
    }

    /// Reads a plaintext that the sealer wrote: it has been authenticated.
    pub(crate) fn read(plaintext: &[u8]) -> Result<Self> {
        let (encoded, padding) = cbor::split_first(plaintext)?;
        if padding.len() >= BLOCK || padding.iter().any(|&byte| byte != 0) {
            return Err(Error::Malformed(&"the private block's padding"));
        }
        cbor::check(encoded)?;
        let map = IntMap::view(encoded)?;
        if map.is_empty()? {
            return Err(Error::Malformed(&"an empty private block stands where it should be absent"));
        }
        if map.has_critical_beside(&[SIGNERS, CREATED, CONTENT_TYPE, FILENAME, AUDIENCE])? {
            return Err(Error::Unsupported(&"a critical field of the private block"));
        }
        Ok(Self {
            signer: map.optional(SIGNERS, read_signers)?,
            created: map.optional(CREATED, cbor::uint)?,
            content_type: map
                .optional(CONTENT_TYPE, |value| check_content_type(cbor::text(value)?))?
                .map(str::to_owned),
            filename: map.optional(FILENAME, |value| check_filename(cbor::text(value)?))?.map(str::to_owned),
            audience: map.optional(AUDIENCE, read_audience)?.unwrap_or_default(),
        })
    }
}

/// The encrypted block is 1 to 1024 times 64 bytes, and the tag.
pub(super) fn check_length(encrypted: &[u8]) -> Result<()> {
    let blocks = encrypted.len().saturating_sub(TAG_LEN);
    let valid = (1..=MAX_BLOCKS * BLOCK).contains(&blocks) && blocks.is_multiple_of(BLOCK);
    if valid { Ok(()) } else { Err(Error::Malformed(&"the private block's length")) }
}

fn read_signers(checked: &[u8]) -> Result<Signer> {
    let one = Error::Unsupported(&"another number of signers than one");
    let signers = cbor::array(checked, 0, u64::MAX)?;
    let [signer] = signers.as_slice() else { return Err(one) };
    let signer = IntMap::view(signer)?;
    if signer.field(0, cbor::int)? != ED25519.into() || signer.has_critical_beside(&[0, 1])? {
        return Err(Error::Unsupported(&"another signature algorithm than Ed25519"));
    }
    // After a slot has opened, a key that is none is one more wrong signer.
    Signer::from_bytes(signer.field(1, cbor::fixed_bytes)?).map_err(|_| Error::Rejected)
}

fn read_audience(checked: &[u8]) -> Result<Vec<Fingerprint>> {
    let encoded = cbor::array(checked, 1, u64::MAX)?;
    if encoded.len() > MAX_SLOTS {
        return Err(Error::Malformed(&"the audience has at most 1024 fingerprints"));
    }
    let audience = encoded
        .into_iter()
        .map(|value| cbor::fixed_bytes(value).map(|bytes| Fingerprint(*bytes)))
        .collect::<Result<Vec<_>>>()?;
    if audience.is_sorted_by(|a, b| a < b) {
        Ok(audience)
    } else {
        Err(Error::Malformed(&"the audience is not ascending"))
    }
}

fn check_content_type(text: &str) -> Result<&str> {
    if (1..=MAX_TEXT).contains(&text.len()) {
        Ok(text)
    } else {
        Err(Error::Malformed(&"a content type has 1 to 255 bytes"))
    }
}

/// A name, never a path: a reader who writes a file of this name writes a file, and in its own folder, on every system.
fn check_filename(name: &str) -> Result<&str> {
    let forbidden = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    let valid = (1..=MAX_TEXT).contains(&name.len())
        && !name.contains(forbidden)
        && !name.ends_with(['.', ' '])
        && !is_device(name);
    if valid {
        Ok(name)
    } else {
        Err(Error::Malformed(&"a filename is 1 to 255 bytes, and no path or device"))
    }
}

/// What Windows takes for a device, whatever extension follows.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    let port =
        |stem: &str| matches!(stem, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³");
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")).is_some_and(port)
}

fn to_misuse(error: Error) -> Error {
    match error {
        Error::Malformed(what) => Error::Misuse(what),
        other => other,
    }
}
