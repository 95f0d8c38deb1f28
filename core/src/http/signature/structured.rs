//! Dictionaries of RFC 9651, in the form in which a serialiser writes them.
//!
//! Everything else is refused, spaces aside: RFC 9651 lets the second of two members or parameters win, and base64 with other pad bits pass,
//! so two readers could take two things from it. Values stay text until one is read.

use crate::envelope::from_base64;

const MAX_MEMBERS: usize = 8;
const MAX_PARAMETERS: usize = 32;
/// The value of what has none. It is not written.
const TRUE: &str = "?1";

/// Why a text is no dictionary that is taken.
#[derive(Debug)]
pub(super) enum Refused {
    Malformed,
    TooLarge,
}

#[derive(Default)]
pub(super) struct Dictionary(Vec<(String, Member)>);

pub(super) enum Member {
    Item(Item),
    List(InnerList),
}

/// A value with parameters.
pub(super) struct Item {
    pub(super) value: String,
    pub(super) parameters: Parameters,
}

pub(super) struct InnerList {
    pub(super) items: Vec<Item>,
    pub(super) parameters: Parameters,
}

#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Dictionary {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refused> {
        Scanner(text).dictionary()
    }

    pub(super) fn find(&self, key: &str) -> Option<&Member> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, member)| member)
    }

    /// Where a member of that key is, or behind the others.
    pub(super) fn put(&mut self, key: &str, member: Member) {
        match self.0.iter_mut().find(|(found, _)| found == key) {
            Some((_, old)) => *old = member,
            None => self.0.push((key.into(), member)),
        }
    }

    pub(super) fn write(&self) -> String {
        let members = self.0.iter().map(|(key, member)| match member {
            Member::Item(Item { value, parameters }) => [&named(key, value), &*parameters.write()].concat(),
            Member::List(list) => [key, "=", &list.write()].concat(),
        });
        members.collect::<Vec<_>>().join(", ")
    }
}

impl IntoIterator for Dictionary {
    type Item = (String, Member);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl InnerList {
    pub(super) fn write(&self) -> String {
        let items = self.items.iter().map(|item| [&*item.value, &item.parameters.write()].concat());
        ["(", &items.collect::<Vec<_>>().join(" "), ")", &self.parameters.write()].concat()
    }
}

impl Parameters {
    pub(super) fn new(parameters: &[(&str, String)]) -> Self {
        Self(parameters.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }

    fn write(&self) -> String {
        self.0.iter().flat_map(|(name, value)| [";".into(), named(name, value)]).collect()
    }
}

fn named(name: &str, value: &str) -> String {
    if value == TRUE { name.into() } else { [name, "=", value].concat() }
}

/// A string as a value, if it is one.
pub(super) fn write_string(text: &str) -> Option<String> {
    let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_visible.then(|| ["\"", &text.replace('\\', "\\\\").replace('"', "\\\""), "\""].concat())
}

/// The string that a value is.
pub(super) fn read_string(value: &str) -> Option<String> {
    let mut quoted = value.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut text = String::new();
    while let Some(character) = quoted.next() {
        text.push(if character == '\\' { quoted.next()? } else { character });
    }
    Some(text)
}

/// What is still to be read.
struct Scanner<'t>(&'t [u8]);

impl<'t> Scanner<'t> {
    fn dictionary(&mut self) -> Result<Dictionary, Refused> {
        let mut members = Dictionary::default();
        self.skip(b" ");
        while !self.0.is_empty() {
            let key = self.key()?;
            if members.find(key).is_some() {
                return Err(Refused::Malformed);
            }
            if members.0.len() == MAX_MEMBERS {
                return Err(Refused::TooLarge);
            }
            let member = match self.takes(b'=') {
                true if self.takes(b'(') => Member::List(self.inner_list()?),
                has_value => Member::Item(self.item(has_value)?),
            };
            members.0.push((key.into(), member));
            self.skip(b" \t");
            if self.0.is_empty() {
                break;
            }
            if !self.takes(b',') {
                return Err(Refused::Malformed);
            }
            self.skip(b" \t");
            if self.0.is_empty() {
                return Err(Refused::Malformed);
            }
        }
        Ok(members)
    }

    /// Behind its opening parenthesis.
    fn inner_list(&mut self) -> Result<InnerList, Refused> {
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.takes(b')') {
                return Ok(InnerList { items, parameters: self.parameters()? });
            }
            let value = self.value()?.into();
            items.push(Item { value, parameters: self.parameters()? });
            if !matches!(self.0, [b' ' | b')', ..]) {
                return Err(Refused::Malformed);
            }
        }
    }

    fn item(&mut self, has_value: bool) -> Result<Item, Refused> {
        Ok(Item { value: self.value_or_true(has_value)?.into(), parameters: self.parameters()? })
    }

    fn parameters(&mut self) -> Result<Parameters, Refused> {
        let mut parameters = Parameters::default();
        while self.takes(b';') {
            self.skip(b" ");
            let name = self.key()?;
            if parameters.find(name).is_some() {
                return Err(Refused::Malformed);
            }
            if parameters.0.len() == MAX_PARAMETERS {
                return Err(Refused::TooLarge);
            }
            let has_value = self.takes(b'=');
            parameters.0.push((name.into(), self.value_or_true(has_value)?.into()));
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Result<&'t str, Refused> {
        let key = self.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        if matches!(key, [b'a'..=b'z' | b'*', ..]) { text(key) } else { Err(Refused::Malformed) }
    }

    fn value_or_true(&mut self, has_value: bool) -> Result<&'t str, Refused> {
        if !has_value {
            return Ok(TRUE);
        }
        let value = self.value()?;
        if value == TRUE { Err(Refused::Malformed) } else { Ok(value) }
    }

    fn value(&mut self) -> Result<&'t str, Refused> {
        let value = self.0;
        if self.pass_value() != Some(true) {
            return Err(Refused::Malformed);
        }
        text(value.get(..value.len() - self.0.len()).unwrap_or_default())
    }

    /// Whether a canonical value was passed; nothing if the text ends before.
    fn pass_value(&mut self) -> Option<bool> {
        let first = *self.0.first()?;
        if !matches!(first, b'-' | b'0'..=b'9') {
            self.next();
        }
        Some(match first {
            b'"' => loop {
                match self.next()? {
                    b'"' => break true,
                    b'\\' if matches!(self.next()?, b'"' | b'\\') => {}
                    b' '..=b'[' | b']'..=b'~' => {}
                    _ => break false,
                }
            },
            b'%' => self.next()? == b'"' && self.pass_display_string()?,
            b':' => {
                let base64 = self.all(|byte| byte != b':');
                self.takes(b':') && text(base64).is_ok_and(|base64| from_base64(base64).is_some())
            }
            b'?' => matches!(self.next()?, b'0' | b'1'),
            b'@' => self.pass_number() == Some(0),
            b'-' | b'0'..=b'9' => self.pass_number().is_some(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                true
            }
            _ => false,
        })
    }

    /// How many digits a canonical number has behind the point.
    fn pass_number(&mut self) -> Option<usize> {
        let is_negative = self.takes(b'-');
        let whole = self.all(|byte| byte.is_ascii_digit());
        let fraction = if self.takes(b'.') { Some(self.all(|byte| byte.is_ascii_digit())) } else { None };
        let is_canonical = match fraction {
            None => whole.len() <= 15 && !(is_negative && whole == b"0"),
            Some(fraction) => {
                whole.len() <= 12
                    && matches!(fraction, [_] | [.., b'1'..=b'9'])
                    && fraction.len() <= 3
                    && !(is_negative && (whole, fraction) == (b"0", b"0"))
            }
        };
        let is_shortest = matches!(whole, [_] | [b'1'..=b'9', ..]);
        (is_canonical && is_shortest).then_some(fraction.map_or(0, <[u8]>::len))
    }

    /// Behind its opening quote. Text in UTF-8, with all escaped that has to be and nothing else.
    fn pass_display_string(&mut self) -> Option<bool> {
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(std::str::from_utf8(&bytes).is_ok()),
                b'%' => {
                    let byte = hex_digit(self.next()?)? << 4 | hex_digit(self.next()?)?;
                    if matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b'"') {
                        return Some(false);
                    }
                    bytes.push(byte);
                }
                byte @ b' '..=b'~' => bytes.push(byte),
                _ => return Some(false),
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.0.first() == Some(&byte);
        if is_next {
            self.next();
        }
        is_next
    }

    fn skip(&mut self, spaces: &[u8]) {
        while self.0.first().is_some_and(|byte| spaces.contains(byte)) {
            self.next();
        }
    }

    fn all(&mut self, wanted: fn(u8) -> bool) -> &'t [u8] {
        let end = self.0.iter().position(|&byte| !wanted(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(bytes).map_err(|_| Refused::Malformed)
}
