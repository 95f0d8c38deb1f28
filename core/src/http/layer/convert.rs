//! Between our messages and the `http` crate's.

use super::body::LayerBody;
use crate::error::{Error, Result};
use crate::http::message::{Headers, Method, Origin, RequestHead, ResponseHead, Target};
use http::header::{CONTENT_LENGTH, HOST};
use http::{Request, Response, StatusCode, request};
use http_body::Body;

/// The outer request as it came: with the path here, and without an origin that anybody claims.
pub(super) fn outer_head(origin: &Origin, parts: &request::Parts) -> Result<RequestHead> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let target = Target::new(origin.clone(), path)?;
    let mut head = RequestHead::new(Method::new(parts.method.as_str())?, target);
    let mut cookies = Vec::new();
    for (name, value) in &parts.headers {
        // HTTP/2 may send cookies in pieces (RFC 9113 §8.2.3).
        if name == http::header::COOKIE {
            cookies.push(value.as_bytes());
        } else {
            head.headers.add(name.as_str(), value.as_bytes())?;
        }
    }
    if !cookies.is_empty() {
        head.headers.add("cookie", cookies.join(&b"; "[..]))?;
    }
    Ok(head)
}

/// The request that the app gets.
pub(super) fn inner_request(head: &RequestHead, body: LayerBody) -> Result<Request<LayerBody>> {
    const UNFIT: Error = Error::Malformed("an inner request that HTTP does not take");
    let mut request = Request::builder().method(head.method.as_str()).uri(head.target.path_and_query());
    // What a gateway says of the client, no client says of itself: it comes with `pass_outer`, or not at all.
    let of_a_gateway =
        |name: &str| matches!(name, "forwarded" | "x-real-ip") || name.starts_with("x-forwarded-");
    for (name, value) in
        head.headers.iter().filter(|(name, _)| *name != "content-length" && !of_a_gateway(name))
    {
        request = request.header(name, value);
    }
    request = request.header(HOST, head.target.origin().authority());
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0 || !head.method.is_safe()) {
        request = request.header(CONTENT_LENGTH, length);
    }
    request.body(body).map_err(|_| UNFIT)
}

/// The head of the app's response.
pub(super) fn inner_head(status: StatusCode, fields: &http::HeaderMap) -> Result<ResponseHead> {
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
    response.body(body).map_err(|_| Error::Malformed("a response that HTTP does not take"))
}
