//! Exchanges: a request and its response, sealed between a client and a service (SPEC §18).

mod client;
mod service;

pub(crate) use client::describes_message;
pub use client::{
    Carriage, InPlace, Problem, RequestBodySealer, RequestSealer, ResponseOpener, ResponseStream, SealedHead,
    SealedRequest,
};
pub use service::{
    Arrival, BodySealer, ExchangeService, RequestOpener, ResponseSealer, SealedResponse, Unadmitted,
};

use super::message::Headers;
use crate::envelope::{from_base64, to_base64};
use crate::error::{Error, Result};

/// Fields with a meaning of their own. All but the date begin with `sealwire-`, which an app's own fields do not.
pub(crate) mod field {
    /// Outer: the encapsulation of a request without a body, as an sf-binary.
    pub(crate) const EXCHANGE: &str = "sealwire-exchange";
    /// Outer: hdr ‖ enc of a streamed request, for a signature to cover.
    pub(crate) const EXCHANGE_HEAD: &str = "sealwire-exchange-head";
    /// Outer, if the service opts in: the class of the inner status.
    pub(crate) const STATUS: &str = "sealwire-status";
    /// Inner: how the exchange travels, so that it cannot be made to travel otherwise.
    pub(crate) const MODE: &str = "sealwire-mode";
    /// Inner: the key id of whoever signs the outer request.
    pub(crate) const SIGNER: &str = "sealwire-signer";
    pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
    pub(crate) const RESERVED: &str = "sealwire-";
}

/// The values of the mode field.
pub(crate) mod mode {
    pub(crate) const IN_PLACE: &str = "in-place";
    /// In place, but a request without a body travels as POST.
    pub(crate) const IN_PLACE_POST: &str = "in-place-post";
    pub(crate) const TUNNEL: &str = "tunnel";
}

/// What every outer message says to what is on the way.
pub(crate) const NO_STORE: &str = "no-store, no-transform";
/// Problem types of RFC 9458 §6.5 in the IANA registry of HTTP problem types.
pub(crate) const PROBLEM_KEY: &str = "https://iana.org/assignments/http-problem-types#ohttp-key";
pub(crate) const PROBLEM_DATE: &str = "https://iana.org/assignments/http-problem-types#date";
/// For how many seconds after its first attempt a client repeats a request by itself, and a service remembers its idempotency key.
pub(crate) const REPEAT_WITHIN: u64 = 300;
/// How far clocks may be apart where nothing else bounds it, in seconds.
pub(crate) const CLOCKS: u64 = 60;
/// The longest value of the exchange field.
pub(crate) const MAX_EXCHANGE_FIELD: usize = 6 * 1024;

/// How many bytes a message in the whole form may have whose body may have `max_body`: padding and head come on top, at most an eighth, and what
/// a head may have.
pub(crate) fn max_sealed(max_body: u64) -> u64 {
    max_body.saturating_add(max_body / 8).saturating_add(512 * 1024)
}

/// Refuses fields that only Sealwire writes.
pub(crate) fn refuse_reserved(headers: &Headers) -> Result<()> {
    if headers.iter().any(|(name, _)| name.starts_with(field::RESERVED)) {
        return Err(Error::Misuse(&"field names that begin with sealwire- are Sealwire's own"));
    }
    Ok(())
}

/// An sf-binary (RFC 9651 §3.3.5): base64 between colons.
pub(crate) fn write_binary(bytes: &[u8]) -> String {
    [":", &to_base64(bytes), ":"].concat()
}

/// The bytes of an sf-binary, which has to be padded and canonical.
pub(crate) fn read_binary(text: &str) -> Result<Vec<u8>> {
    let inner = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    inner.and_then(from_base64).ok_or(Error::Malformed(&"a field is not an sf-binary"))
}
