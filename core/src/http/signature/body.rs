//! What ties a body to the signature over its head (RFC 9530).

use super::fields::{byte_sequence, dictionary};
use super::{CONTENT_DIGEST, EXCHANGE_HEAD};
use crate::error::{Error, Result};
use crate::http::exchange::read_binary;
use crate::http::message::Headers;
use crate::suite::{PayloadHash, Sha512Hash};

/// An exchange begins with 7 bytes of key id and suite and at least 32 of encapsulated key (RFC 9458 §4.3).
const MIN_BEGINNING: usize = 7 + 32;
const MAX_BEGINNING: usize = 2048;

/// What a verified signature says of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyProof {
    /// There is none, and there must be none.
    None,
    /// Its digest.
    Digest(BodyDigest),
    /// The bytes with which it begins. **The rest is not covered**: the exchange that begins so has to verify it.
    BeginsWith(Vec<u8>),
}

impl BodyProof {
    /// What the fields say, all of which the signature covers.
    pub(super) fn read(headers: &Headers, has_body: bool) -> Result<Self> {
        match (has_body, headers.one(CONTENT_DIGEST)?, headers.text(EXCHANGE_HEAD)?) {
            (false, None, None) => Ok(Self::None),
            (true, Some(_), None) => BodyDigest::read(headers).map(Self::Digest),
            (true, None, Some(beginning)) => read_beginning(beginning).map(Self::BeginsWith),
            (true, Some(_), Some(_)) => Err(Error::Malformed(&"two proofs of one body")),
            (true, None, None) | (false, _, _) => Err(Error::Rejected),
        }
    }
}

/// A shorter beginning would leave a body open; an empty one would be no proof at all.
pub(super) fn read_beginning(text: &str) -> Result<Vec<u8>> {
    let beginning = read_binary(text)?;
    match beginning.len() {
        0..MIN_BEGINNING => Err(Error::Malformed(&"an exchange begins with 39 bytes at least")),
        MIN_BEGINNING..=MAX_BEGINNING => Ok(beginning),
        _ => Err(Error::TooLarge(&"the beginning of an exchange has at most 2048 bytes")),
    }
}

/// The digests of a body, by SHA-256, SHA-512 or both: each that is there has to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyDigest {
    sha256: Option<[u8; 32]>,
    sha512: Option<[u8; 64]>,
}

impl BodyDigest {
    fn read(headers: &Headers) -> Result<Self> {
        let digests = dictionary(headers, CONTENT_DIGEST)?;
        let not_a_digest = Error::Malformed(&"a digest of another length or type");
        let sha256 =
            digests.find("sha-256").map(|found| byte_sequence(found).ok_or(not_a_digest)).transpose()?;
        let sha512 =
            digests.find("sha-512").map(|found| byte_sequence(found).ok_or(not_a_digest)).transpose()?;
        // Weaker ones (RFC 9530 §5) count as none.
        if sha256.is_none() && sha512.is_none() { Err(Error::Rejected) } else { Ok(Self { sha256, sha512 }) }
    }
}

/// What is known of a body whose check has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum VerifiedBody {
    /// There was none, as the signer says.
    None,
    /// Every byte of it is the signer's.
    Whole,
    /// Its first bytes are the signer's. The rest is whoever's, until the exchange has verified it.
    Beginning,
}

/// Checks a body that arrives in pieces. No piece is the signer's before [`BodyCheck::finish`] has said so.
pub struct BodyCheck {
    proof: BodyProof,
    sha256: PayloadHash,
    sha512: Sha512Hash,
    /// How many bytes of the beginning have come.
    begun: usize,
    failed: bool,
}

impl BodyCheck {
    pub(super) fn new(proof: BodyProof) -> Self {
        let (sha256, sha512) = Default::default();
        Self { proof, sha256, sha512, begun: 0, failed: false }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`Error::Rejected`] as soon as no continuation can make the body good; every later call says so too.
    pub fn push(&mut self, piece: &[u8]) -> Result<()> {
        match &self.proof {
            BodyProof::None => self.failed |= !piece.is_empty(),
            BodyProof::Digest(BodyDigest { sha256, sha512 }) => {
                if sha256.is_some() {
                    self.sha256.update(piece);
                }
                if sha512.is_some() {
                    self.sha512.update(piece);
                }
            }
            BodyProof::BeginsWith(beginning) => {
                let missing = beginning.get(self.begun..).unwrap_or_default();
                self.failed |= !missing.iter().zip(piece).all(|(a, b)| a == b);
                self.begun += missing.len().min(piece.len());
            }
        }
        if self.failed { Err(Error::Rejected) } else { Ok(()) }
    }

    /// The body has ended: is it the signer's?
    ///
    /// # Errors
    /// [`Error::Rejected`] if it is not.
    pub fn finish(self) -> Result<VerifiedBody> {
        let verified = match &self.proof {
            BodyProof::None => Some(VerifiedBody::None),
            BodyProof::Digest(BodyDigest { sha256, sha512 }) => {
                let (by_256, by_512) = (self.sha256.done(), self.sha512.done());
                let same = sha256.is_none_or(|it| it == by_256) && sha512.is_none_or(|it| it == by_512);
                same.then_some(VerifiedBody::Whole)
            }
            BodyProof::BeginsWith(beginning) => {
                (self.begun == beginning.len()).then_some(VerifiedBody::Beginning)
            }
        };
        verified.filter(|_| !self.failed).ok_or(Error::Rejected)
    }
}
