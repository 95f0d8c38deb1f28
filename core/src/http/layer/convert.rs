//! Between our messages and the `http` crate's.

use super::body::LayerBody;
use crate::error::{Error, Result};
use crate::http::message::{Headers, RequestHead, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

/// The request that the app gets.
pub(super) fn inner_request(head: &RequestHead) -> Result<Request<()>> {
    const UNFIT: Error = Error::Malformed(&"an inner request that HTTP does not take");
    let mut request = Request::builder().method(head.method.as_str()).uri(head.target.path_and_query());
    for (name, value) in head.headers.iter() {
        request = request.header(name, value);
    }
    request.body(()).map_err(|_| UNFIT)
}

/// The fields that the app gets of a request that came without an exchange: those that were verified. A cookie that came in pieces is one.
pub(super) fn verified_fields(head: &RequestHead) -> Result<HeaderMap> {
    const UNFIT: Error = Error::Malformed(&"a field that HTTP does not take");
    let mut fields = HeaderMap::new();
    for (name, value) in head.headers.iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| UNFIT)?;
        fields.append(name, HeaderValue::from_bytes(value).map_err(|_| UNFIT)?);
    }
    Ok(fields)
}

/// The head of the app's response.
pub(super) fn inner_head(status: StatusCode, fields: &HeaderMap) -> Result<ResponseHead> {
    let mut head = ResponseHead::new(status.as_u16())?;
    for (name, value) in fields {
        if !Headers::is_hop_by_hop(name.as_str()) {
            head.headers.add(name.as_str(), value.as_bytes())?;
        }
    }
    Ok(head)
}

pub(super) fn outer_response(head: &ResponseHead, body: LayerBody) -> Result<Response<LayerBody>> {
    let mut response = Response::builder().status(head.status);
    for (name, value) in head.headers.iter() {
        response = response.header(name, value);
    }
    response.body(body).map_err(|_| Error::Malformed(&"a response that HTTP does not take"))
}

/// Gives a response what every one gets: a `vary` more, the others in the place of the app's own.
pub(super) fn add_page_fields(fields: &Headers, to: &mut HeaderMap) {
    for (name, value) in fields.iter() {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        else {
            continue;
        };
        if name == http::header::VARY {
            to.append(name, value);
        } else {
            to.insert(name, value);
        }
    }
}
