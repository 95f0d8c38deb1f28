//! What a browser on another origin needs to be told (Fetch standard, CORS).

use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, header};

/// The web origins whose pages may call the service.
#[derive(Clone, Default)]
pub(super) struct Cors(pub(super) Vec<String>);

/// What pages send: the fields of exchanges and signatures, and what apps commonly add.
const ALLOW_HEADERS: &str = "authorization, cache-control, content-digest, content-type, incremental, sealwire-exchange, sealwire-exchange-head, signature, signature-input";
const ALLOW_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const EXPOSE_HEADERS: &str = "content-type, sealwire-status";

impl Cors {
    /// The answer to a preflight, which never reaches the app, before [`Cors::allow`]; `None` if the request is none.
    pub(super) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<()>> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.knows(request.headers().get(header::ORIGIN)) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOW_METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOW_HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        Some(response)
    }

    /// Lets a page of this origin read the response, if it may.
    pub(super) fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|origin| self.knows(Some(origin))) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSE_HEADERS));
        }
    }

    fn knows(&self, origin: Option<&HeaderValue>) -> bool {
        origin.is_some_and(|origin| self.0.iter().any(|known| known.as_bytes() == origin.as_bytes()))
    }
}
