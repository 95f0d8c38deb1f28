//! API calls that stay opaque: exchanges, sealed resources, signed origin. Sans-io: bytes in, bytes out.

mod message;
mod signature;

pub use message::{Headers, MAX_HEADERS, Method, Origin, RequestHead, ResponseHead, Target};
pub use signature::{
    BodyCheck, BodyDigest, BodyProof, KeyId, OriginKeys, OriginNonce, OriginPolicy, RequestSigner,
    RequestVerifier, SignedBody, VerifiedBody, VerifiedHead,
};
