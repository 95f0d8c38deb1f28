//! The structured fields of a signature, and from them the bytes that are signed (RFC 9421 §2, §4; RFC 9651).
//! No keys, no clock, no policy.

use crate::error::{Error, Result};
use crate::http::message::{Headers, RequestHead};
use crate::suite::{SIGNATURE_LEN, SigningKey};
use sfv::{
    BareItem, Dictionary, FieldType, InnerList, Integer, Item, Key, ListEntry, ListSerializer, Parameters,
    Parser,
};

const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";

const MAX_FIELD: usize = 8 * 1024;
const MAX_MEMBERS: usize = 8;
const MAX_COMPONENTS: usize = 32;

const TOO_LARGE: Error = Error::TooLarge("signature fields: 8 KiB, 8 labels and 32 components");
const NOT_A_SIGNATURE: Error =
    Error::Malformed("Signature-Input and Signature are not what RFC 9421 describes");

/// The dictionary that all fields of that name make together (RFC 9651 §4.2); empty if there is none.
///
/// Refuses what a serialiser would not have written, spaces aside: RFC 9651 lets the second of two members or parameters win,
/// and base64 with other pad bits pass, so two readers could take two things from it.
pub(super) fn dictionary(headers: &Headers, name: &str) -> Result<Dictionary> {
    let text = combined(headers, name);
    if text.len() > MAX_FIELD {
        return Err(TOO_LARGE);
    }
    let not_canonical = Error::Malformed("a field is no dictionary of RFC 9651, or not in canonical form");
    let dictionary: Dictionary = Parser::new(&text).parse().map_err(|_| not_canonical)?;
    if dictionary.len() > MAX_MEMBERS {
        return Err(TOO_LARGE);
    }
    let canonical = dictionary.serialize().unwrap_or_default();
    let visible = |byte: &&u8| !matches!(byte, b' ' | b'\t');
    if text.iter().filter(visible).eq(canonical.as_bytes().iter().filter(visible)) {
        Ok(dictionary)
    } else {
        Err(not_canonical)
    }
}

/// The bytes of a member that is a byte sequence, and nothing more.
pub(super) fn byte_sequence<const N: usize>(member: &ListEntry) -> Option<[u8; N]> {
    match member {
        ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), params }) if params.is_empty() => {
            bytes.as_slice().try_into().ok()
        }
        _ => None,
    }
}

/// What a signature covers and says of itself: one member of Signature-Input.
pub(super) struct Input(InnerList);

impl Input {
    /// A signature that covers these, with these parameters in this order.
    pub(super) fn new(components: &[&str], parameters: Vec<(&str, BareItem)>) -> Result<Self> {
        let items = components.iter().map(|name| Ok(Item::new(string(name)?))).collect::<Result<_>>()?;
        let parameters = parameters.into_iter().map(|(name, value)| Ok((key(name)?, value)));
        Ok(Self(InnerList::with_params(items, parameters.collect::<Result<Parameters>>()?)))
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
            let ListEntry::InnerList(list) = member else { return Err(NOT_A_SIGNATURE) };
            let input = Self(list);
            if wanted(label.as_str(), &input) && found.replace((label, input)).is_some() {
                return Err(Error::Malformed("two signatures with the tag that one may have"));
            }
        }
        let signatures = dictionary(headers, SIGNATURE)?;
        let (label, input) = found.ok_or(Error::Rejected)?;
        let signature = signatures.get(&label).ok_or(Error::Rejected)?;
        Ok((input, byte_sequence(signature).ok_or(NOT_A_SIGNATURE)?))
    }

    /// Signs, and puts both members into their dictionaries, behind those that are there; replaces one of the same label.
    pub(super) fn sign(self, head: &mut RequestHead, label: &str, with: &SigningKey) -> Result<()> {
        let signature = with.sign(&self.base(head)?).to_vec();
        let members: [(&str, ListEntry); 2] = [(INPUT, self.0.into()), (SIGNATURE, signature.into())];
        for (name, member) in members {
            let mut dictionary = dictionary(&head.headers, name)?;
            dictionary.insert(key(label)?, member);
            head.headers.set(name, dictionary.serialize().unwrap_or_default())?;
        }
        Ok(())
    }

    /// The names of what is covered: fields in lower case, and parts of the request line behind an `@`.
    pub(super) fn components(&self) -> Result<Vec<&str>> {
        if self.0.items.len() > MAX_COMPONENTS {
            return Err(TOO_LARGE);
        }
        let mut names = Vec::new();
        for item in &self.0.items {
            let name = item.bare_item.as_string().ok_or(NOT_A_SIGNATURE)?.as_str();
            if !item.params.is_empty() {
                return Err(Error::Malformed("a covered component with parameters"));
            }
            if names.contains(&name) {
                return Err(Error::Malformed("a component is covered twice"));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// A parameter that is a string.
    pub(super) fn text(&self, parameter: &str) -> Result<Option<&str>> {
        match self.0.params.get(parameter) {
            Some(BareItem::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(NOT_A_SIGNATURE),
            None => Ok(None),
        }
    }

    /// A parameter that is a time: seconds since 1970.
    pub(super) fn seconds(&self, parameter: &str) -> Result<Option<u64>> {
        let Some(value) = self.0.params.get(parameter) else { return Ok(None) };
        let seconds = value.as_integer().and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map(Some).ok_or(NOT_A_SIGNATURE)
    }

    /// What is signed (RFC 9421 §2.5): a line for each component, and one for the signature's own parameters.
    pub(super) fn base(&self, head: &RequestHead) -> Result<Vec<u8>> {
        let mut base = Vec::new();
        for name in self.components()? {
            let value = component(head, name)?;
            base.extend_from_slice(&[b"\"", name.as_bytes(), b"\": ", &value, b"\n"].concat());
        }
        let mut serializer = ListSerializer::new();
        let mut list = serializer.inner_list();
        list.items(&self.0.items);
        drop(list.finish().parameters(&self.0.params));
        let parameters = serializer.finish().unwrap_or_default();
        base.extend_from_slice(&[b"\"@signature-params\": ", parameters.as_bytes()].concat());
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
            return Err(Error::Malformed("a covered component that requests do not have"));
        }
        _ if head.headers.all(name).next().is_none() => {
            return Err(Error::Malformed("a covered field is missing"));
        }
        _ => combined(&head.headers, name),
    };
    if value.is_ascii() { Ok(value) } else { Err(Error::Malformed("a covered field is not ASCII")) }
}

/// All values of a field as one (RFC 9421 §2.1). They have no white space around them, by their type.
fn combined(headers: &Headers, name: &str) -> Vec<u8> {
    headers.all(name).collect::<Vec<_>>().join(&b", "[..])
}

pub(super) fn string(text: &str) -> Result<BareItem> {
    let text = sfv::String::try_from(text.to_owned());
    text.map(BareItem::String).map_err(|_| Error::Malformed("not ASCII, where a structured field has to be"))
}

pub(super) fn integer(number: u64) -> Result<BareItem> {
    let number = Integer::try_from(number);
    number.map(BareItem::Integer).map_err(|_| Error::Misuse("a time above 15 digits"))
}

fn key(name: &str) -> Result<Key> {
    Key::try_from(name.to_owned()).map_err(|_| NOT_A_SIGNATURE)
}
