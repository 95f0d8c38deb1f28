//! API calls that stay opaque: exchanges, sealed resources, signed origin. Sans-io: bytes in, bytes out.

mod exchange;
mod keys;
mod encapsulation;
mod replay;
mod last_seen;
mod binary;
mod message;

pub use encapsulation::Form;
pub use exchange::{
    Arrival, BodySealer, Carriage, ExchangeService, InPlace, Problem, RequestBodySealer, RequestOpener,
    RequestSealer, ResponseOpener, ResponseSealer, ResponseStream, SealedHead, SealedRequest, SealedResponse,
    Unadmitted,
};
pub use keys::{
    KEYS_MEDIA_TYPE, KEYS_PATH, KeyConfig, MAX_KEY_LIFETIME, ServiceKeys, ServicePins, TrustedKeys,
};
pub use last_seen::LastSeen;
pub use message::{Headers, MAX_HEADERS, Method, Origin, RequestHead, ResponseHead, Target};
pub use replay::{MemoryReplayCache, ReplayCache, ReplayId};

#[cfg(fuzzing)]
pub(crate) use binary::{Head, Reader};
#[cfg(fuzzing)]
pub(crate) use encapsulation::RequestSealing;

#[cfg(test)]
mod conformance;
