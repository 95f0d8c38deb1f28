//! Paths with parameters, for rules.

use crate::error::{Error, Result};

/// The values of a pattern's parameters, by their names, percent-decoded.
pub(crate) type Params = Vec<(String, String)>;

/// A path with parameters: `/notes/{id}`, `/files/{rest..}`.
#[derive(Debug, Clone)]
pub(crate) struct PathPattern {
    segments: Vec<Segment>,
    tail: Option<String>,
}

#[derive(Debug, Clone)]
enum Segment {
    Fixed(String),
    Parameter(String),
}

const FOREIGN: Error =
    Error::Malformed(&"a pattern has {name} for one segment, {name..} for all that follow; no * and :name");

impl PathPattern {
    pub(crate) fn parse(pattern: &str) -> Result<Self> {
        let malformed =
            Error::Malformed(&"a pattern is a path with {name} segments, and {name..} at its end");
        let mut parts: Vec<&str> = pattern.strip_prefix('/').ok_or(malformed)?.split('/').collect();
        let name = |part: &str| {
            let name = part.strip_prefix('{')?.strip_suffix('}')?;
            let plain =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            plain.then(|| name.to_owned())
        };
        let tail = parts
            .last()
            .and_then(|part| part.strip_suffix("..}"))
            .and_then(|part| name(&format!("{part}}}")));
        if tail.is_some() {
            parts.pop();
        }
        let segment = |part: &str| match name(part) {
            Some(name) => Ok(Segment::Parameter(name)),
            None if part.contains(['{', '}']) => Err(malformed),
            // Other frameworks' parameters. As literals they would cover nothing, and the app would learn of it at its first request.
            None if part.contains('*') || part.starts_with(':') => Err(FOREIGN),
            None => Ok(Segment::Fixed(part.into())),
        };
        let segments = parts.into_iter().map(segment).collect::<Result<Vec<_>>>()?;
        let named = segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name),
            Segment::Fixed(_) => None,
        });
        let mut names: Vec<&String> = named.chain(&tail).collect();
        names.sort_unstable();
        if names.is_sorted_by(|one, next| one < next) {
            Ok(Self { segments, tail })
        } else {
            Err(Error::Malformed(&"a pattern has two parameters of one name"))
        }
    }

    /// The parameters, if the path is of this kind. A tail with a `/` in one of its segments (`%2F`) has no value: as `a/b` it would be the
    /// same as two segments.
    pub(crate) fn matches(&self, path: &str) -> Option<Params> {
        let mut rest = path.strip_prefix('/')?.split('/');
        let mut params = Params::new();
        for segment in &self.segments {
            let found = rest.next()?;
            match segment {
                Segment::Fixed(fixed) if fixed == found => {}
                Segment::Parameter(name) if !found.is_empty() => {
                    params.push((name.clone(), percent_decode(found)?));
                }
                _ => return None,
            }
        }
        let tail: Vec<&str> = rest.collect();
        match &self.tail {
            Some(name) if !tail.is_empty() => {
                let decoded = tail.into_iter().map(percent_decode).collect::<Option<Vec<_>>>()?;
                if decoded.iter().all(|segment| !segment.contains('/')) {
                    params.push((name.clone(), decoded.join("/")));
                }
            }
            None if tail.is_empty() => {}
            _ => return None,
        }
        Some(params)
    }

    /// Whether a server that is not strict might take `path` for one of this kind: with other letters' case, doubled or closing slashes, what
    /// need not be percent-encoded or is so twice, parameters after `;`, or segments that climb.
    pub(crate) fn may_match(&self, path: &str) -> bool {
        let Some(once) = percent_decode(path) else { return true };
        let twice = percent_decode(&once);
        [Some(once), twice].iter().flatten().any(|path| self.matches_segments(&read_loosely(path)))
    }

    fn matches_segments(&self, found: &[&str]) -> bool {
        let mut found = found.iter();
        let is = |fixed: &str, found: &str| fixed.eq_ignore_ascii_case(found);
        let fits = self.segments.iter().all(|segment| match segment {
            Segment::Fixed(fixed) if fixed.is_empty() => true,
            Segment::Fixed(fixed) => found.next().is_some_and(|found| {
                is(fixed, found) || percent_decode(fixed).is_some_and(|fixed| is(&fixed, found))
            }),
            Segment::Parameter(_) => found.next().is_some(),
        });
        fits && self.tail.is_some() == found.next().is_some()
    }
}

/// The segments of a decoded path, as a server might read them.
fn read_loosely(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default().trim() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments
}

/// Whether another server might read a path as another one: a climbing one, also in `%2e%2e%2f` or with a space that it trims; one that is
/// cut at `;` or `#`, decoded once more, or joined over an empty segment; a letter that need not be percent-encoded. What makes an exception
/// for a path makes none for such a one, which would take it elsewhere.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/\\;#?".contains(&byte) || byte.is_ascii_control();
    let trimmed = |segment: &str| segment.starts_with("%20") || segment.ends_with("%20");
    let encoded = path.split('%').skip(1).any(|encoded| {
        let byte = encoded.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_none_or(is_plain)
    });
    path.contains(';')
        || path.as_bytes().windows(2).any(|pair| pair == b"//")
        || encoded
        || path.split('/').any(trimmed)
}

/// RFC 3986 §2.1; `None` if it is not UTF-8 or a `%` stands alone.
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, later)) = rest.split_first() {
        rest = later;
        if byte == b'%' {
            let (digits, later) = rest.split_first_chunk::<2>()?;
            let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
            decoded.push(u8::try_from(high? << 4 | low?).ok()?);
            rest = later;
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::PathPattern;

    #[test]
    fn patterns_match_whole_segments() {
        let find = |pattern: &str, path: &str| PathPattern::parse(pattern).unwrap().matches(path);
        let param = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(find("/notes/{id}", "/notes/17").unwrap(), param("id", "17"));
        assert_eq!(find("/notes/{id}", "/notes/a%2Fb").unwrap(), param("id", "a/b"));
        assert_eq!(find("/files/{rest..}", "/files/a/b").unwrap(), param("rest", "a/b"));
        // One resource, one URL.
        assert_eq!(find("/files/{rest..}", "/files/a%2Fb").unwrap().len(), 0);
        assert_eq!(find("/files/{rest..}", "/files/a/%2fb").unwrap().len(), 0);
        assert_eq!(find("/", "/").unwrap().len(), 0);
        for (pattern, path) in [
            ("/notes/{id}", "/notes/"),
            ("/notes/{id}", "/notes/1/2"),
            ("/notes/{id}", "/note/1"),
            ("/notes/{id}", "/notes/%zz"),
            ("/notes/{id}", "/notes/%ff"),
            ("/files/{rest..}", "/files"),
            ("/a", "/a/"),
            ("/a", "/A"),
        ] {
            assert!(find(pattern, path).is_none(), "{pattern} {path}");
        }
        for pattern in [
            "notes",
            "/{",
            "/{}",
            "/{a..}/b",
            "/x{a}",
            "/{a b}",
            "/{a}/b/{a}",
            "/{a}/{a..}",
            "/orders/*",
            "/a/:id",
            "/*rest",
            "/a*",
        ] {
            assert_eq!(PathPattern::parse(pattern).unwrap_err().code(), "Malformed", "{pattern}");
        }
    }
}
