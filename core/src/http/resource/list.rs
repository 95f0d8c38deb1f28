//! The JSON of a list, read without building more of it than is kept.

use super::ListShape;
use crate::error::Error;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use std::fmt::{Formatter, Result as FmtResult};

const MAX_LIST: usize = 10_000;
const MALFORMED: Error = Error::Malformed("a list is a JSON array of objects, each with an id of its own");

/// What counts of one object of a list.
pub(crate) struct Entry {
    pub(super) id: String,
    /// In its text form, if there is one.
    pub(super) envelope: Option<String>,
}

impl ListShape {
    /// Reads as far as the limit, whatever comes after it.
    pub(super) fn read(&self, body: &[u8]) -> Result<Vec<Entry>, Error> {
        let text = std::str::from_utf8(body).map_err(|_| MALFORMED)?;
        let mut json = serde_json::Deserializer::from_str(text);
        let mut entries = Vec::new();
        let read = json.deserialize_seq(List { shape: self, entries: &mut entries });
        if entries.len() > MAX_LIST {
            return Err(Error::TooLarge("a list has at most 10000 items"));
        }
        read.and_then(|()| json.end()).map_err(|_| MALFORMED)?;
        let mut ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        ids.sort_unstable();
        // Two versions of one resource would both pass for the newest.
        if ids.is_sorted_by(|one, next| one < next) { Ok(entries) } else { Err(MALFORMED) }
    }
}

struct List<'s, 'e> {
    shape: &'s ListShape,
    entries: &'e mut Vec<Entry>,
}

impl<'b> Visitor<'b> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(entry) = items.next_element_seed(Object(self.shape))? {
            self.entries.push(entry);
            if self.entries.len() > MAX_LIST {
                return Err(A::Error::custom("too many"));
            }
        }
        Ok(())
    }
}

struct Object<'s>(&'s ListShape);

impl<'b> DeserializeSeed<'b> for Object<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<Entry, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for Object<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut object: A) -> Result<Entry, A::Error> {
        let (mut id, mut envelope) = (None, None);
        while let Some(member) = object.next_key_seed(Name(self.0))? {
            match member {
                Member::Id if id.is_none() => id = Some(object.next_value_seed(Id)?),
                Member::Envelope if envelope.is_none() => envelope = Some(object.next_value_seed(Envelope)?),
                Member::Other => drop(object.next_value::<IgnoredAny>()?),
                // Readers differ in which one counts.
                Member::Id | Member::Envelope => return Err(A::Error::custom("a member that comes twice")),
            }
        }
        let id = id.ok_or(A::Error::missing_field("id"))?;
        Ok(Entry { id, envelope: envelope.flatten() })
    }
}

enum Member {
    Id,
    Envelope,
    Other,
}

struct Name<'s>(&'s ListShape);

impl<'b> DeserializeSeed<'b> for Name<'_> {
    type Value = Member;

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<Member, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Member;

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(match name {
            name if name == self.0.id_member => Member::Id,
            name if name == self.0.envelope_member => Member::Envelope,
            _ => Member::Other,
        })
    }
}

/// Text, or an unsigned integer.
struct Id;

impl<'b> DeserializeSeed<'b> for Id {
    type Value = String;

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<String, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Id {
    type Value = String;

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("text or an unsigned integer")
    }

    fn visit_str<E>(self, id: &str) -> Result<String, E> {
        Ok(id.into())
    }

    fn visit_u64<E>(self, id: u64) -> Result<String, E> {
        Ok(id.to_string())
    }

    /// So `serde_json` gives numbers, if another crate of the app asks for its `arbitrary_precision`.
    fn visit_map<A: MapAccess<'b>>(self, number: A) -> Result<String, A::Error> {
        let number = serde_json::Number::deserialize(MapAccessDeserializer::new(number))?;
        number.as_u64().map(|id| id.to_string()).ok_or(A::Error::invalid_type(Unexpected::Map, &self))
    }
}

/// Text; anything else is no envelope.
struct Envelope;

impl<'b> DeserializeSeed<'b> for Envelope {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Envelope {
    type Value = Option<String>;

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'b>>(self, items: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(items).map(|_| None)
    }

    fn visit_map<A: MapAccess<'b>>(self, object: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(object).map(|_| None)
    }
}
