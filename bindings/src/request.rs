//! Who sent a request: signatures by themselves, without a policy.

use crate::error::Result;
use crate::keys::Identity;
use crate::message::{Field, fields, request_head};
use sealwire::http::{RequestSigner, SignedBody};

/// A request to sign: `path_and_query` as it stands in the request line.
#[derive(uniffi::Record)]
pub struct Unsigned {
    pub method: String,
    pub origin: String,
    pub path_and_query: String,
    pub fields: Vec<Field>,
}

/// All fields of the signed request: those given, `content-digest`, `signature-input` and `signature`. `cover` names fields to be signed besides.
#[uniffi::export]
pub fn sign_request(
    request: Unsigned,
    identity: &Identity,
    cover: Vec<String>,
    body: &[u8],
    now: u64,
) -> Result<Vec<Field>> {
    let mut head = request_head(&request.method, &request.origin, &request.path_and_query, &request.fields)?;
    let signer = cover.iter().fold(RequestSigner::new(&identity.0), |signer, field| signer.cover(field));
    signer.sign(&mut head, SignedBody::Whole(body), now)?;
    Ok(fields(&head.headers))
}
