//! JSON (RFC 8259), read for a few of its members without building more of it than is kept.

use std::borrow::Cow;

/// Reads one value after the other from the front of a text. `None` says that it is not JSON there, or not what was asked for.
pub(crate) struct Reader<'j>(&'j str);

/// A value, as far as anybody wants it.
pub(crate) enum Value<'j> {
    Text(Cow<'j, str>),
    /// As it stands.
    Number(&'j str),
    Other,
}

const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

impl<'j> Reader<'j> {
    pub(crate) fn new(text: &'j str) -> Self {
        Self(text)
    }

    /// An array, each of whose elements `element` reads.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.takes(b'[').then_some(())?;
        if self.takes(b']') {
            return Some(());
        }
        loop {
            element(self)?;
            if !self.takes(b',') {
                return self.takes(b']').then_some(());
            }
        }
    }

    /// An object, each of whose values `member` reads, given the name.
    pub(crate) fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        self.takes(b'{').then_some(())?;
        if self.takes(b'}') {
            return Some(());
        }
        loop {
            let name = self.name()?;
            member(self, &name)?;
            if !self.takes(b',') {
                return self.takes(b'}').then_some(());
            }
        }
    }

    /// Any value. Of arrays and objects it keeps nothing, however deep they are.
    pub(crate) fn value(&mut self) -> Option<Value<'j>> {
        self.trim();
        let text = self.0;
        self.skip()?;
        let raw = text.get(..text.len() - self.0.len())?;
        Some(match raw.as_bytes().first()? {
            b'"' => Value::Text(unescaped(raw)?),
            b'-' | b'0'..=b'9' => Value::Number(raw),
            _ => Value::Other,
        })
    }

    /// Passes any value, which may also hold halves of surrogate pairs.
    pub(crate) fn skip(&mut self) -> Option<()> {
        // A stranger's nesting is no depth of a recursion.
        let mut open = Vec::new();
        loop {
            self.trim();
            match self.0.as_bytes().first()? {
                b'"' => self.skip_string()?,
                b'-' | b'0'..=b'9' => self.skip_number()?,
                bracket @ (b'[' | b'{') => {
                    let end = if *bracket == b'[' { b']' } else { b'}' };
                    self.takes(*bracket);
                    if !self.takes(end) {
                        open.push(end);
                        self.skip_name(end)?;
                        continue;
                    }
                }
                _ => self.0 = ["true", "false", "null"].iter().find_map(|word| self.0.strip_prefix(word))?,
            }
            while let Some(&end) = open.last() {
                if self.takes(b',') {
                    self.skip_name(end)?;
                    break;
                }
                self.takes(end).then(|| open.pop())?;
            }
            if open.is_empty() {
                return Some(());
            }
        }
    }

    /// Nothing but white space follows.
    pub(crate) fn is_over(&self) -> bool {
        self.0.trim_start_matches(WHITE_SPACE).is_empty()
    }

    fn name(&mut self) -> Option<Cow<'j, str>> {
        let Value::Text(name) = self.value()? else { return None };
        self.takes(b':').then_some(name)
    }

    /// In objects there is one before each value.
    fn skip_name(&mut self, end: u8) -> Option<()> {
        if end == b']' {
            return Some(());
        }
        self.trim();
        self.skip_string()?;
        self.takes(b':').then_some(())
    }

    fn skip_string(&mut self) -> Option<()> {
        let mut rest = self.0.strip_prefix('"')?;
        loop {
            let at = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            let found = rest.get(at..)?;
            if let Some(after) = found.strip_prefix('"') {
                self.0 = after;
                return Some(());
            }
            let escaped = found.strip_prefix('\\')?;
            rest = match escaped.strip_prefix('u') {
                None => escaped.strip_prefix(['"', '\\', '/', 'b', 'f', 'n', 'r', 't'])?,
                Some(digits) => {
                    let is_hex = digits.get(..4)?.bytes().all(|digit| digit.is_ascii_hexdigit());
                    is_hex.then(|| digits.get(4..)).flatten()?
                }
            };
        }
    }

    fn skip_number(&mut self) -> Option<()> {
        let rest = self.0.strip_prefix('-').unwrap_or(self.0);
        let mut rest = match rest.strip_prefix('0') {
            Some(rest) => rest,
            None => digits(rest)?,
        };
        if let Some(fraction) = rest.strip_prefix('.') {
            rest = digits(fraction)?;
        }
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            rest = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
        }
        self.0 = rest;
        Some(())
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.trim();
        let rest = self.0.strip_prefix(char::from(byte));
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn trim(&mut self) {
        self.0 = self.0.trim_start_matches(WHITE_SPACE);
    }
}

/// What follows after one digit or more.
fn digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// The text of a string that was skipped, quotes and all. A half of a surrogate pair is none.
fn unescaped(raw: &str) -> Option<Cow<'_, str>> {
    let mut rest = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !rest.contains('\\') {
        return Some(rest.into());
    }
    let mut text = String::with_capacity(rest.len());
    while let Some((before, escaped)) = rest.split_once('\\') {
        text.push_str(before);
        let mut characters = escaped.chars();
        text.push(match characters.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = code_unit(escaped.get(1..5)?)?;
                let second = escaped.get(5..11).and_then(|more| code_unit(more.strip_prefix("\\u")?));
                let is_pair = matches!((first, second), (0xd800..0xdc00, Some(_)));
                characters = escaped.get(if is_pair { 11 } else { 5 }..)?.chars();
                let units = [first].into_iter().chain(second.filter(|_| is_pair));
                char::decode_utf16(units).next()?.ok()?
            }
            itself => itself,
        });
        rest = characters.as_str();
    }
    text.push_str(rest);
    Some(text.into())
}

fn code_unit(digits: &str) -> Option<u16> {
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Reader, Value};
    use proptest::prelude::{prop_assert_eq, proptest};

    /// A text that is one value: that value if it is a string, and otherwise how it is written.
    fn read(json: &str) -> Option<String> {
        let mut reader = Reader::new(json);
        let value = reader.value()?;
        reader.is_over().then_some(match value {
            Value::Text(text) => text.into(),
            Value::Number(_) => "number".into(),
            Value::Other => "other".into(),
        })
    }

    fn by_serde(json: &str) -> Option<String> {
        let ignored = serde_json::from_str::<serde::de::IgnoredAny>(json).ok();
        let first = json.trim_start_matches([' ', '\t', '\n', '\r']).chars().next();
        match first {
            Some('"') => serde_json::from_str(json).ok(),
            Some('-' | '0'..='9') => ignored.map(|_| "number".into()),
            _ => ignored.map(|_| "other".into()),
        }
    }

    #[test]
    fn reads_what_serde_json_reads() {
        for json in [
            r#""\ud83d\ude00 \u00e4\n\/\\""#,
            r#""\ud83d""#,
            r#""\ud83d\u0041""#,
            r#""\ude00""#,
            r#""\u+123""#,
            r#""\x""#,
            "\"\u{1f}\"",
            "\"\u{7f}ä\"",
            r#""a"#,
            r#""a" b"#,
            "-0",
            "01",
            "1.",
            ".5",
            "1e5",
            "1E+",
            "-",
            "[1, [2], {}, {\"a\": [] } ]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[}",
            "{\"a\" : 1, \"a\":{\"b\":null}}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:2}",
            "{\"a\":1]",
            "truefalse",
            "true",
            "nul",
            "",
            " ",
            "\u{a0}1",
            "\u{feff}1",
            "1\u{c}",
        ] {
            assert_eq!(read(json), by_serde(json), "{json}");
        }
    }

    #[test]
    fn the_depth_of_what_is_skipped_is_nobodys_stack() {
        let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
        assert_eq!(read(&deep).as_deref(), Some("other"));
        assert_eq!(read(deep.get(1..).unwrap()), None);
    }

    proptest! {
        #[test]
        fn reads_no_more_and_no_less_than_serde_json(
            json in r#"([\[{]?[ \n]?(("[a ]?(\\[nu"x]?(00[0-9a-f]{1,3}|d83d|\\ude00)?)?")?:?([0-9.eE+\-]{0,4}|true|null|\[\]|\{\})[ ]?[,\]}]?){0,4}[\]}]{0,2})"#,
        ) {
            prop_assert_eq!(read(&json), by_serde(&json));
        }
    }
}
