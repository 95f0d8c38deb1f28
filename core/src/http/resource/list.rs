//! The JSON of a list, read without building more of it than is kept.

use super::ListShape;
use crate::error::{Error, Result};
use crate::json::{Reader, Value};

const MAX_LIST: usize = 10_000;
const MALFORMED: Error = Error::Malformed(&"a list is a JSON array of objects, each with an id of its own");

/// What counts of one object of a list.
pub(crate) struct Entry {
    pub(super) id: String,
    /// In its text form, if there is one.
    pub(super) envelope: Option<String>,
}

impl ListShape {
    /// Reads as far as the limit, whatever comes after it.
    pub(super) fn read(&self, body: &[u8]) -> Result<Vec<Entry>> {
        let mut json = Reader::new(std::str::from_utf8(body).map_err(|_| MALFORMED)?);
        let mut entries = Vec::new();
        let read = json.array(|json| {
            entries.push(self.read_entry(json)?);
            (entries.len() <= MAX_LIST).then_some(())
        });
        if entries.len() > MAX_LIST {
            return Err(Error::TooLarge(&"a list has at most 10000 items"));
        }
        if read.is_none() || !json.is_over() {
            return Err(MALFORMED);
        }
        let mut ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        ids.sort_unstable();
        // Two versions of one resource would both pass for the newest.
        if ids.is_sorted_by(|one, next| one < next) { Ok(entries) } else { Err(MALFORMED) }
    }

    fn read_entry(&self, json: &mut Reader<'_>) -> Option<Entry> {
        let (mut id, mut envelope) = (None, None);
        json.object(|json, name| {
            // Of two with one name, readers differ in which counts.
            let is_first = match name {
                name if name == self.id_member => id.replace(read_id(json.value()?)?).is_none(),
                name if name == self.envelope_member => envelope.replace(read_text(json.value()?)).is_none(),
                _ => return json.skip(),
            };
            is_first.then_some(())
        })?;
        Some(Entry { id: id?, envelope: envelope.flatten() })
    }
}

/// Text, or an unsigned integer.
fn read_id(value: Value<'_>) -> Option<String> {
    match value {
        Value::Text(id) => Some(id.into()),
        Value::Number(number) => number.parse().ok().map(|id: u64| id.to_string()),
        Value::Other => None,
    }
}

/// Text; anything else is no envelope.
fn read_text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.into()),
        _ => None,
    }
}
