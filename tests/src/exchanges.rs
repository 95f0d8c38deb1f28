//! A service that takes exchanges, and what its clients send and get.

use sealwire::http::{
    Arrival, Carriage, ExchangeService, InPlace, KeyConfig, Method, Origin, RequestHead, RequestSealer,
    ResponseHead, ResponseOpener, SealedRequest, SealedResponse, ServiceKeys, Target, Unadmitted,
};
use sealwire::{Aead, Error, Kem};

/// When the tests take place, in Unix seconds.
pub const NOW: u64 = 1_800_000_000;
/// A day, in seconds.
pub const DAY: u64 = 24 * 3600;
/// Where the service takes tunnelled exchanges.
pub const TUNNEL: &str = "/ohttp";

/// Where the service is.
///
/// # Errors
/// None.
pub fn origin() -> Result<Origin, Error> {
    Origin::parse("https://api.example.com")
}

/// A service with one key.
///
/// # Errors
/// None, given randomness.
pub fn service(kem: Kem, aead: Aead) -> Result<ExchangeService, Error> {
    Ok(ExchangeService::new(origin()?, ServiceKeys::generate_with(kem, aead, DAY, NOW)?).tunnel(TUNNEL))
}

/// The key that clients of a service seal to.
///
/// # Errors
/// What the service's keys are not.
pub fn config(service: &ExchangeService) -> Result<KeyConfig, Error> {
    KeyConfig::parse_list(&service.with_keys(|keys| keys.ohttp_keys(NOW)))
}

/// In place, with nothing more exposed.
#[must_use]
pub fn in_place() -> Carriage {
    Carriage::InPlace(InPlace::new())
}

/// Through the service's own tunnel.
///
/// # Errors
/// None.
pub fn tunnel() -> Result<Carriage, Error> {
    Ok(Carriage::Tunnel(Target::new(origin()?, TUNNEL)?))
}

/// A request to the service.
///
/// # Errors
/// What the method or path is not.
pub fn request(method: &str, path_and_query: &str) -> Result<RequestHead, Error> {
    Ok(RequestHead::new(Method::new(method)?, Target::new(origin()?, path_and_query)?))
}

/// Seals in the whole form.
///
/// # Errors
/// Those of [`RequestSealer::seal`].
pub fn seal(
    service: &ExchangeService,
    carriage: &Carriage,
    head: RequestHead,
    body: &[u8],
) -> Result<(SealedRequest, ResponseOpener), Error> {
    RequestSealer::new(&config(service)?, carriage).seal(head, body, NOW)
}

/// What the service makes of a request that is here as a whole: the request and its body.
///
/// # Errors
/// What the service says.
pub fn receive(service: &ExchangeService, sealed: &SealedRequest) -> Result<(Unadmitted, Vec<u8>), Error> {
    receive_pieces(service, &sealed.head, &sealed.body, sealed.body.len(), NOW)
}

/// The same, in pieces of that length, at that time.
///
/// # Errors
/// What the service says; [`Error::Misuse`] if it takes the request for a plain one.
pub fn receive_pieces(
    service: &ExchangeService,
    outer: &RequestHead,
    body: &[u8],
    piece: usize,
    now: u64,
) -> Result<(Unadmitted, Vec<u8>), Error> {
    let Arrival::Sealed(mut opener) = service.arrive(outer)? else {
        return Err(Error::Misuse(&"a plain request"));
    };
    let mut content = Vec::new();
    for piece in body.chunks(piece.max(1)) {
        opener.push(service, piece, now, &mut content)?;
    }
    opener.finish(service, now, &mut content)?;
    Ok((opener.take_request(service, now)?.ok_or(Error::Truncated)?, content))
}

/// The service answers: a status and a body.
///
/// # Errors
/// None.
pub fn answer(request: Unadmitted, status: u16, body: &[u8]) -> Result<SealedResponse, Error> {
    let (_, response) = request.admit(true)?;
    response.seal(ResponseHead::new(status)?, body)
}
