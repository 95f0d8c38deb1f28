//! What a browser on another origin needs to be told (Fetch standard, CORS).

use super::refusal::Answer;
use crate::http::message::Headers;

/// The web origins whose pages may call the service.
#[derive(Clone, Default)]
pub(super) struct Cors(pub(super) Vec<String>);

/// What pages send: the fields of exchanges and signatures, and what apps commonly add.
const ALLOW_HEADERS: &str = "authorization, cache-control, content-digest, content-type, incremental, sealwire-exchange, sealwire-exchange-head, signature, signature-input";
const ALLOW_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const EXPOSE_HEADERS: &str = "content-type, sealwire-status";

impl Cors {
    /// The answer to a preflight, which never reaches the app, before [`Cors::fields`]; `None` if the request is none.
    pub(super) fn preflight(&self, method: &str, fields: &[(&str, &[u8])]) -> Option<Answer> {
        let field = |wanted: &str| {
            fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
        };
        if method != "OPTIONS" || field("access-control-request-method").is_none() {
            return None;
        }
        let allowed = [
            ("access-control-allow-methods", ALLOW_METHODS),
            ("access-control-allow-headers", ALLOW_HEADERS),
            ("access-control-max-age", "600"),
        ];
        let fields = if self.knows(field("origin")) { allowed.as_slice() } else { &[] };
        Some(Answer::new(204, fields, Vec::new()))
    }

    /// Lets a page of this origin read the response, if it may.
    pub(super) fn fields(&self, origin: Option<&[u8]>) -> Headers {
        let allowed = self.0.iter().find(|known| origin == Some(known.as_bytes()));
        match allowed {
            _ if self.0.is_empty() => Headers::new(),
            None => Headers::known(&[("vary", "origin")]),
            Some(origin) => Headers::known(&[
                ("vary", "origin"),
                ("access-control-allow-origin", origin),
                ("access-control-expose-headers", EXPOSE_HEADERS),
            ]),
        }
    }

    fn knows(&self, origin: Option<&[u8]>) -> bool {
        origin.is_some_and(|origin| self.0.iter().any(|known| known.as_bytes() == origin))
    }
}
