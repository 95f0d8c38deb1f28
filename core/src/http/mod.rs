//! API calls that stay opaque: exchanges, sealed resources, signed origin. Sans-io: bytes in, bytes out.

#[cfg(feature = "reqwest")]
mod client;
#[cfg(feature = "tower")]
mod layer;
mod call;
mod gate;
mod policy;
mod resource;
mod pattern;
mod observe;
mod signature;
mod exchange;
mod keys;
mod encapsulation;
#[cfg(feature = "redis")]
mod redis_cache;
mod replay;
mod last_seen;
mod binary;
mod message;

pub use call::{
    Answered, Awaiting, CallReport, CallRequest, Caller, Outcome, PassingAnswer, PassingBody, Received,
    ReceivedList, Receiving, Sending, SendingBody,
};
#[cfg(feature = "reqwest")]
pub use client::{BytesStream, Client, RequestBuilder, Response, StatusError};
pub use encapsulation::Form;
pub use exchange::{
    Arrival, BodySealer, Carriage, ExchangeService, InPlace, Problem, RequestBodySealer, RequestOpener,
    RequestSealer, ResponseOpener, ResponseSealer, ResponseStream, SealedHead, SealedRequest, SealedResponse,
    Unadmitted,
};
pub use gate::{
    Admitted, Answer, Arrived, Arriving, Check, ContentOpener, Entering, Gate, MAX_RESPONSE, Progress,
    Refusal, Remember,
};
pub use keys::{
    KEY_ROLLOUT, KEYS_MEDIA_TYPE, KEYS_PATH, KeyConfig, MAX_KEY_LIFETIME, ServiceKeys, ServicePins,
    TrustedKeys,
};
pub use last_seen::LastSeen;
#[cfg(feature = "tower")]
pub use layer::{BoxError, LayerBody, SealwireLayer, SealwireService, Sender};
pub use message::{Headers, MAX_HEADERS, Method, Origin, RequestHead, ResponseHead, Target};
pub use observe::{Counters, Event, Observer, Operation};
pub use policy::{Policy, Rule};
#[cfg(feature = "redis")]
pub use redis_cache::RedisReplayCache;
pub use replay::{MemoryReplayCache, ReplayCache, ReplayId};
pub use resource::{ENVELOPE_MEDIA_TYPE, ListItem, SealedResource};
pub use signature::{
    BodyCheck, BodyDigest, BodyProof, KeyId, OriginKeys, OriginNonce, OriginPolicy, RequestSigner,
    RequestVerifier, SignedBody, VerifiedBody, VerifiedHead,
};

#[cfg(fuzzing)]
pub(crate) use binary::{Head, Reader};
#[cfg(fuzzing)]
pub(crate) use encapsulation::RequestSealing;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod worked_example;
