//! Requests and responses as data: heads with ordered fields, bodies as bytes. No I/O, no cryptography.

use crate::error::{Error, Result};
use std::fmt;

/// The most bytes that all fields of a message may have, names and values, with 4 for each field.
pub const MAX_HEADERS: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;
const MAX_NAME: usize = 256;
const MAX_METHOD: usize = 32;
const MAX_AUTHORITY: usize = 272;
const MAX_PATH: usize = 16 * 1024;

/// Fields that belong to one connection, or that the message's framing replaces: never in a sealed message (RFC 9292 §3.6, RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The header fields of a message, in order; a name may come more than once.
///
/// Names are lower case. Limits: 256 fields, names of 256 bytes, 64 KiB in all ([`Error::TooLarge`]). `Debug` prints the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(String, Vec<u8>)>,
    size: usize,
}

impl Headers {
    /// No fields yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fields of our own, which nothing can be smuggled in with.
    pub(crate) fn known(fields: &[(&'static str, &str)]) -> Self {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let size = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        Self { fields, size }
    }

    /// Adds a field at the end. The name is taken in lower case.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless the name is a token and the value is free of control characters and of white space
    /// around it (RFC 9110 §5): nothing can be smuggled in with a line break. [`Error::TooLarge`] above a limit.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<()> {
        let value = value.as_ref();
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::Malformed(&"a field name is not a token"));
        }
        let edge = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        let visible = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if edge(value.first()) || edge(value.last()) || !value.iter().all(visible) {
            return Err(Error::Malformed(&"a field value has control characters, or white space around it"));
        }
        let size = self.size.saturating_add(name.len()).saturating_add(value.len()).saturating_add(4);
        if name.len() > MAX_NAME || size > MAX_HEADERS || self.fields.len() >= MAX_FIELDS {
            return Err(Error::TooLarge(&"a message has at most 256 fields and 64 KiB of them"));
        }
        self.size = size;
        self.fields.push((name.to_ascii_lowercase(), value.to_vec()));
        Ok(())
    }

    /// Removes every field of that name, and adds this one.
    ///
    /// # Errors
    /// Those of [`Headers::add`].
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.remove(&name.to_ascii_lowercase());
        self.add(name, value)
    }

    /// Removes every field of that name (lower case).
    pub fn remove(&mut self, name: &str) {
        self.retain(|found| found != name);
    }

    /// Removes every field whose name begins like this.
    pub(crate) fn remove_prefixed(&mut self, prefix: &str) {
        self.retain(|found| !found.starts_with(prefix));
    }

    /// Removes every field whose name is not to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.fields.retain(|(found, _)| keep(found));
        self.size = self.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    }

    /// Every field, in order: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The values of every field of that name (lower case), in order.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.iter().filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The value of a field that may come once.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it comes twice: two readers would take different ones.
    pub fn one(&self, name: &str) -> Result<Option<&[u8]>> {
        let mut values = self.iter().filter(|(found, _)| *found == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Error::Malformed(&"a field comes twice that may come once")),
            (value, None) => Ok(value),
        }
    }

    /// The value of a field that may come once, as text.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it comes twice or is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        let text =
            |value| std::str::from_utf8(value).map_err(|_| Error::Malformed(&"a field value is not text"));
        self.one(name)?.map(text).transpose()
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether a field (lower case) belongs to one connection, and so never into a sealed message.
    #[must_use]
    pub fn is_hop_by_hop(name: &str) -> bool {
        HOP_BY_HOP.contains(&name)
    }
}

/// Values may be secret, so only names are shown.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// A request method: a token of at most 32 bytes, such as `GET`. Case counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// Takes a method.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it is a token of 1 to 32 bytes; [`Error::Unsupported`] for `CONNECT` and `TRACE`, which are no requests for a resource.
    pub fn new(method: &str) -> Result<Self> {
        if method.is_empty() || method.len() > MAX_METHOD || !method.bytes().all(is_token) {
            return Err(Error::Malformed(&"a method is a token of 1 to 32 bytes"));
        }
        if method == "CONNECT" || method == "TRACE" {
            return Err(Error::Unsupported(&"the methods CONNECT and TRACE"));
        }
        Ok(Self(method.into()))
    }

    /// The method's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// GET, HEAD or OPTIONS: the caller asks for no change (RFC 9110 §9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a service is, as everybody outside names it: scheme, host and port. `https://api.example.com`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    scheme: &'static str,
    authority: String,
}

impl Origin {
    /// Reads `https://host` or `https://host:port`. Plain `http` is for loopback and tests: see [`Origin::is_secure`].
    ///
    /// The host is in lower case, and the scheme's own port is left out, so that there is one text per origin.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything else: a path, a user name, upper case, a default port.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, authority) =
            split_scheme(text).ok_or(Error::Malformed(&"an origin is scheme://host"))?;
        if authority.contains(['/', '?', '#']) {
            return Err(Error::Malformed(&"an origin is scheme://host, without a slash or path at its end"));
        }
        Self::new(scheme, authority)
    }

    pub(crate) fn new(scheme: &str, authority: &str) -> Result<Self> {
        let (scheme, default_port) = match scheme {
            "https" => ("https", 443),
            "http" => ("http", 80),
            _ => return Err(Error::Malformed(&"a scheme is http or https")),
        };
        let malformed = Error::Malformed(
            &"an authority is a lower-case host, and its port unless it is the scheme's own",
        );
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let in_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        let in_address =
            |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || b".:".contains(&byte);
        let is_host = match host.strip_prefix('[') {
            Some(rest) => {
                rest.strip_suffix(']').is_some_and(|text| !text.is_empty() && text.bytes().all(in_address))
            }
            None => !host.is_empty() && host.bytes().all(in_name),
        };
        // One text per port: digits without zeros in front.
        let is_port = |port: &str| {
            port.parse::<u16>().is_ok_and(|n| n != 0 && n != default_port && n.to_string() == port)
        };
        if !is_host || authority.len() > MAX_AUTHORITY || !port.is_none_or(is_port) {
            return Err(malformed);
        }
        Ok(Self { scheme, authority: authority.into() })
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.scheme
    }

    /// Host, and port if it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme == "https"
    }
}

/// What stands before and behind `://`.
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// A service as everybody outside names it, and as it names itself behind a gateway that exchanges path prefixes.
#[derive(Debug, Clone)]
pub(crate) struct PublicUrl {
    pub(crate) origin: Origin,
    public_prefix: String,
    local_prefix: String,
}

impl PublicUrl {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, public_prefix: String::new(), local_prefix: String::new() }
    }

    pub(crate) fn mounted(mut self, public: &str, local: &str) -> Self {
        self.public_prefix = public.trim_end_matches('/').into();
        self.local_prefix = local.trim_end_matches('/').into();
        self
    }

    /// The target outside of a path and query here.
    pub(crate) fn public_target(&self, local: &str) -> Result<Target> {
        self.exchange_prefix(local, &self.local_prefix, &self.public_prefix)
    }

    /// The target here of a path and query outside.
    pub(crate) fn local_target(&self, public: &str) -> Result<Target> {
        self.exchange_prefix(public, &self.public_prefix, &self.local_prefix)
    }

    fn exchange_prefix(&self, path: &str, from: &str, to: &str) -> Result<Target> {
        let rest = path.strip_prefix(from).filter(|rest| rest.starts_with('/')).ok_or(Error::Rejected)?;
        Target::new(self.origin.clone(), &format!("{to}{rest}"))
    }
}

/// What a request is for: an origin, a path and a query.
///
/// `Debug` prints the origin alone: paths and queries hold ids and tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    origin: Origin,
    path: String,
    /// Where in `path` the query begins, behind its `?`.
    query: Option<usize>,
}

impl Target {
    /// A target from its origin, and its path with the query, as they stand in a request line.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless the path begins with `/` and is made of visible ASCII without `"#<>\^`, braces, `|` and the backtick;
    /// and if it has a segment `.` or `..` (also percent-encoded), which two servers resolve differently. [`Error::TooLarge`] above 16 KiB.
    pub fn new(origin: Origin, path_and_query: &str) -> Result<Self> {
        if path_and_query.len() > MAX_PATH {
            return Err(Error::TooLarge(&"a path and query have at most 16 KiB"));
        }
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
        if !path_and_query.starts_with('/') || !path_and_query.bytes().all(allowed) {
            return Err(Error::Malformed(&"a path begins with / and has visible ASCII characters only"));
        }
        let query = path_and_query.find('?').map(|at| at + 1);
        let target = Self { origin, path: path_and_query.into(), query };
        let dots = |segment: &str| {
            let segment = segment.to_ascii_lowercase();
            matches!(segment.as_str(), "." | "%2e" | ".." | ".%2e" | "%2e." | "%2e%2e")
        };
        if target.path().split('/').any(dots) {
            return Err(Error::Malformed(&"a path with . or .. in it"));
        }
        Ok(target)
    }

    /// Reads an absolute URL in the form that URL parsers write (WHATWG): lower-case host, no default port, percent-encoded path. Its fragment
    /// is left out, as in a request.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a URL with a user name or password, which would go into logs; [`Error::Malformed`] for what is no `http` or `https`
    /// URL in that form; those of [`Target::new`].
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = split_scheme(url).ok_or(Error::Malformed(&"not a URL"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(Error::Malformed(&"not a URL"))?;
        if authority.contains('@') {
            return Err(Error::Misuse(&"a URL with a user name: use the authorization field"));
        }
        let path = path.split('#').next().unwrap_or_default();
        Self::new(Origin::new(scheme, authority)?, if path.is_empty() { "/" } else { path })
    }

    /// The whole of it, as it is handed to what sends requests.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// The origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        let end = self.query.map_or(self.path.len(), |query| query - 1);
        self.path.get(..end).unwrap_or_default()
    }

    /// The query without its `?`, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.and_then(|query| self.path.get(query..))
    }

    /// Path and query, as in a request line.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.origin)
    }
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// What it is for.
    pub target: Target,
    /// The header fields.
    pub headers: Headers,
}

impl RequestHead {
    /// A head without fields.
    #[must_use]
    pub fn new(method: Method, target: Target) -> Self {
        Self { method, target, headers: Headers::new() }
    }
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseHead {
    /// The status, 200 to 599.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
}

impl ResponseHead {
    /// A head without fields.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless the status is final: 200 to 599.
    pub fn new(status: u16) -> Result<Self> {
        if (200..=599).contains(&status) {
            Ok(Self { status, headers: Headers::new() })
        } else {
            Err(Error::Malformed(&"a final status is 200 to 599"))
        }
    }
}

/// A time that can be one in Unix seconds. Milliseconds cannot: keys made with them would never be good, and nobody would know why.
pub(crate) fn unix_seconds(now: u64) -> Result<u64> {
    const YEAR_3000: u64 = 32_503_680_000;
    if now < YEAR_3000 {
        Ok(now)
    } else {
        Err(Error::Misuse(&"times are in Unix seconds, not in milliseconds"))
    }
}

/// A character of a token (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
