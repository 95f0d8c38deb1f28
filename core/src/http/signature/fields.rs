//! The structured fields of a signature, and from them the bytes that are signed (RFC 9421 §2, §4; RFC 9651).
//! No keys, no clock, no policy.

use super::structured::{
    Dictionary, InnerList, Item, Member, Parameters, Refused, read_string, write_string,
};
use crate::error::{Error, Result};
use crate::http::exchange::{read_binary, write_binary};
use crate::http::message::{Headers, RequestHead};
use crate::suite::{SIGNATURE_LEN, SigningKey};

const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";

const MAX_FIELD: usize = 8 * 1024;
const MAX_COMPONENTS: usize = 32;

const TOO_LARGE: Error =
    Error::TooLarge(&"signature fields: 8 KiB, 8 labels, 32 components and 32 parameters");
const NOT_A_SIGNATURE: Error =
    Error::Malformed(&"Signature-Input and Signature are not what RFC 9421 describes");

/// The dictionary that all fields of that name make together (RFC 9651 §4.2); empty if there is none.
pub(super) fn dictionary(headers: &Headers, name: &str) -> Result<Dictionary> {
    let text = combined(headers, name);
    if text.len() > MAX_FIELD {
        return Err(TOO_LARGE);
    }
    Dictionary::parse(&text).map_err(|refused| match refused {
        Refused::TooLarge => TOO_LARGE,
        Refused::Malformed => {
            Error::Malformed(&"a field is no dictionary of RFC 9651, or not in canonical form")
        }
    })
}

/// The bytes of a member that is a byte sequence, and nothing more.
pub(super) fn byte_sequence<const N: usize>(member: &Member) -> Option<[u8; N]> {
    match member {
        Member::Item(Item { value, parameters }) if parameters.is_empty() => {
            read_binary(value).ok()?.try_into().ok()
        }
        _ => None,
    }
}

/// What a signature covers and says of itself: one member of Signature-Input.
pub(super) struct Input(InnerList);

impl Input {
    /// A signature that covers these, with these parameters in this order, each as [`string`] or [`integer`] wrote it.
    pub(super) fn new(components: &[&str], parameters: &[(&str, String)]) -> Result<Self> {
        let item = |name: &&str| Ok(Item { value: string(name)?, parameters: Parameters::default() });
        let items = components.iter().map(item).collect::<Result<_>>()?;
        Ok(Self(InnerList { items, parameters: Parameters::new(parameters) }))
    }

    /// The one signature that `wanted` takes, by its label and what it says of itself.
    ///
    /// `Rejected` if there is none: then nobody signed. `Malformed` if there are two: a reader could take either.
    pub(super) fn find(
        headers: &Headers,
        wanted: impl Fn(&str, &Self) -> bool,
    ) -> Result<(Self, [u8; SIGNATURE_LEN])> {
        let sizes = [INPUT, SIGNATURE].map(|name| headers.all(name).map(<[u8]>::len).sum::<usize>());
        if sizes.iter().sum::<usize>() > MAX_FIELD {
            return Err(TOO_LARGE);
        }
        let mut found = None;
        for (label, member) in dictionary(headers, INPUT)? {
            let Member::List(list) = member else { return Err(NOT_A_SIGNATURE) };
            let input = Self(list);
            if wanted(&label, &input) && found.replace((label, input)).is_some() {
                return Err(Error::Malformed(&"two signatures with the tag that one may have"));
            }
        }
        let signatures = dictionary(headers, SIGNATURE)?;
        let (label, input) = found.ok_or(Error::Rejected)?;
        let signature = signatures.find(&label).ok_or(Error::Rejected)?;
        Ok((input, byte_sequence(signature).ok_or(NOT_A_SIGNATURE)?))
    }

    /// Signs, and puts both members into their dictionaries, behind those that are there; replaces one of the same label.
    pub(super) fn sign(self, head: &mut RequestHead, label: &str, with: &SigningKey) -> Result<()> {
        let signature = write_binary(&with.sign(&self.base(head)?));
        let signature = Item { value: signature, parameters: Parameters::default() };
        for (name, member) in [(INPUT, Member::List(self.0)), (SIGNATURE, Member::Item(signature))] {
            let mut dictionary = dictionary(&head.headers, name)?;
            dictionary.put(label, member);
            head.headers.set(name, dictionary.write())?;
        }
        Ok(())
    }

    /// The names of what is covered: fields in lower case, and parts of the request line behind an `@`.
    pub(super) fn components(&self) -> Result<Vec<String>> {
        if self.0.items.len() > MAX_COMPONENTS {
            return Err(TOO_LARGE);
        }
        let mut names = Vec::new();
        for item in &self.0.items {
            let name = read_string(&item.value).ok_or(NOT_A_SIGNATURE)?;
            if !item.parameters.is_empty() {
                return Err(Error::Malformed(&"a covered component with parameters"));
            }
            if names.contains(&name) {
                return Err(Error::Malformed(&"a component is covered twice"));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// A parameter that is a string.
    pub(super) fn text(&self, parameter: &str) -> Result<Option<String>> {
        let value = self.0.parameters.find(parameter);
        value.map(|value| read_string(value).ok_or(NOT_A_SIGNATURE)).transpose()
    }

    pub(super) fn has_text(&self, parameter: &str, text: &str) -> bool {
        self.text(parameter).is_ok_and(|found| found.as_deref() == Some(text))
    }

    /// A parameter that is a time: seconds since 1970.
    pub(super) fn seconds(&self, parameter: &str) -> Result<Option<u64>> {
        let value = self.0.parameters.find(parameter);
        value.map(|value| value.parse().map_err(|_| NOT_A_SIGNATURE)).transpose()
    }

    /// What is signed (RFC 9421 §2.5): a line for each component, and one for the signature's own parameters.
    pub(super) fn base(&self, head: &RequestHead) -> Result<Vec<u8>> {
        let mut base = Vec::new();
        for name in self.components()? {
            let value = component(head, &name)?;
            base.extend_from_slice(&[b"\"", name.as_bytes(), b"\": ", &value, b"\n"].concat());
        }
        base.extend_from_slice(&[b"\"@signature-params\": ", self.0.write().as_bytes()].concat());
        Ok(base)
    }
}

/// The value of a component: a part of the request line (RFC 9421 §2.2), or a field (§2.1).
fn component(head: &RequestHead, name: &str) -> Result<Vec<u8>> {
    let target = &head.target;
    let value = match name {
        "@method" => head.method.as_str().into(),
        "@authority" => target.origin().authority().into(),
        "@path" => target.path().into(),
        "@query" => format!("?{}", target.query().unwrap_or_default()).into(),
        _ if name.starts_with('@') => {
            return Err(Error::Malformed(&"a covered component that requests do not have"));
        }
        _ if head.headers.all(name).next().is_none() => {
            return Err(Error::Malformed(&"a covered field is missing"));
        }
        _ => combined(&head.headers, name),
    };
    if value.is_ascii() { Ok(value) } else { Err(Error::Malformed(&"a covered field is not ASCII")) }
}

/// All values of a field as one (RFC 9421 §2.1). They have no white space around them, by their type.
fn combined(headers: &Headers, name: &str) -> Vec<u8> {
    headers.all(name).collect::<Vec<_>>().join(&b", "[..])
}

pub(super) fn string(text: &str) -> Result<String> {
    write_string(text).ok_or(Error::Malformed(&"not ASCII, where a structured field has to be"))
}

pub(super) fn integer(number: u64) -> Result<String> {
    if number < 10_u64.pow(15) {
        Ok(number.to_string())
    } else {
        Err(Error::Misuse(&"a time above 15 digits"))
    }
}
