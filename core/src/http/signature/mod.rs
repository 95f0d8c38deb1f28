//! Who sent a request, checkable without reading it: HTTP Message Signatures (RFC 9421, Ed25519 only) over the
//! request line and a Content-Digest (RFC 9530). SPEC "Origin".
//!
//! [`RequestSigner`] signs for a device. [`RequestVerifier`] needs public keys alone: a gateway can refuse before it has read a body.

mod body;
mod fields;
mod key_id;
mod sign;
mod structured;
mod verify;

pub use body::{BodyCheck, BodyDigest, BodyProof, VerifiedBody};
pub use key_id::KeyId;
pub use sign::{RequestSigner, SignedBody};
pub use verify::{OriginKeys, OriginNonce, OriginPolicy, RequestVerifier, VerifiedHead};

use super::exchange::field::{EXCHANGE, EXCHANGE_HEAD};
use super::message::Headers;
use crate::error::Result;

/// What tells these signatures from those that others put into the same fields, for other ends.
const TAG: &str = "sealwire-origin-v1";
const LABEL: &str = "sealwire";
const ALGORITHM: &str = "ed25519";
/// Seconds from `created` to `expires`.
const VALIDITY: u64 = 300;

const CONTENT_DIGEST: &str = "content-digest";

/// Fields that say what the request is or in whose name: nobody may add, drop or change one of them unnoticed.
const COVERED_IF_PRESENT: [&str; 7] =
    ["content-type", "content-encoding", CONTENT_DIGEST, "authorization", "cookie", EXCHANGE, EXCHANGE_HEAD];

/// What a signature over a request with these fields has to cover at least, in the order that the signer writes.
fn covered(headers: &Headers) -> Result<Vec<&'static str>> {
    let mut names = vec!["@method", "@authority", "@path", "@query"];
    for name in COVERED_IF_PRESENT {
        if headers.one(name)?.is_some() {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod forged;
