//! API calls that stay opaque: exchanges, sealed resources, signed origin. Sans-io: bytes in, bytes out.

mod binary;
mod message;

pub use message::{Headers, MAX_HEADERS, Method, Origin, RequestHead, ResponseHead, Target};
