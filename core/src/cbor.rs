//! Deterministic CBOR (RFC 8949 §4.2.1, SPEC §0): one encoding per value, everything else refused.
//!
//! [`check`] walks a whole item once and refuses whatever a deterministic encoder would not have
//! written. The views below it then borrow from checked bytes and allocate nothing.

use crate::error::{Error, Result};

const MAX_DEPTH: u8 = 8;
const NOT_CBOR: Error = Error::Malformed(&"not deterministic CBOR");

// The major types that occur (RFC 8949 §3.1).
const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const NULL: u8 = 0xf6;

/// Refuses `bytes` unless they are exactly one deterministically encoded item.
pub(crate) fn check(bytes: &[u8]) -> Result<()> {
    if skip(bytes, MAX_DEPTH)?.is_empty() { Ok(()) } else { Err(NOT_CBOR) }
}

/// The item in front, encoded, and what follows it.
pub(crate) fn split_first(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    take(bytes, MAX_DEPTH)
}

/// What follows the item in front, if that is deterministic.
fn skip(bytes: &[u8], depth: u8) -> Result<&[u8]> {
    let (major, argument, rest) = read_head(bytes)?;
    match major {
        UINT | NEGATIVE => Ok(rest),
        BYTES => split(rest, argument).map(|(_, rest)| rest),
        TEXT => {
            let (text, rest) = split(rest, argument)?;
            std::str::from_utf8(text).map(|_| rest).map_err(|_| NOT_CBOR)
        }
        ARRAY => {
            let depth = depth.checked_sub(1).ok_or(NOT_CBOR)?;
            (0..argument).try_fold(rest, |rest, _| skip(rest, depth))
        }
        MAP => {
            let depth = depth.checked_sub(1).ok_or(NOT_CBOR)?;
            let (mut previous, mut rest): (&[u8], _) = (&[], rest);
            for _ in 0..argument {
                let (key, value) = take(rest, depth)?;
                if key <= previous {
                    return Err(NOT_CBOR);
                }
                previous = key;
                rest = skip(value, depth)?;
            }
            Ok(rest)
        }
        _ if matches!(bytes.first(), Some(FALSE..=NULL)) => Ok(rest),
        _ => Err(NOT_CBOR),
    }
}

fn take(bytes: &[u8], depth: u8) -> Result<(&[u8], &[u8])> {
    let rest = skip(bytes, depth)?;
    bytes.split_at_checked(bytes.len() - rest.len()).ok_or(NOT_CBOR)
}

/// Major type and argument of the item in front, which must be the shortest head that can carry it, and what follows.
fn read_head(bytes: &[u8]) -> Result<(u8, u64, &[u8])> {
    let (&first, rest) = bytes.split_first().ok_or(NOT_CBOR)?;
    let (major, low) = (first >> 5, first & 0x1f);
    let (argument, rest) = match low {
        0..=23 => (low.into(), rest),
        24..=27 => {
            let (argument, rest) = rest.split_at_checked(1 << (low - 24)).ok_or(NOT_CBOR)?;
            (big_endian(argument), rest)
        }
        _ => return Err(NOT_CBOR),
    };
    if bytes.len() - rest.len() == head_len(argument) { Ok((major, argument, rest)) } else { Err(NOT_CBOR) }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

fn split(bytes: &[u8], len: u64) -> Result<(&[u8], &[u8])> {
    usize::try_from(len).ok().and_then(|len| bytes.split_at_checked(len)).ok_or(NOT_CBOR)
}

fn head_len(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// What the start of a byte string says of its length, for readers that have only part of it.
pub(crate) enum BytesHead {
    /// More bytes are needed before the length is known.
    NeedMore,
    /// The head takes `head` bytes and announces `content` bytes.
    Known { head: usize, content: u64 },
}

/// Reads the head of a byte string from the front of `bytes`, refusing one that is not the shortest.
pub(crate) fn bytes_head(bytes: &[u8]) -> Result<BytesHead> {
    let Some(&first) = bytes.first() else { return Ok(BytesHead::NeedMore) };
    let head = match first {
        0x40..=0x57 => 1,
        0x58 => 2,
        0x59 => 3,
        0x5a => 5,
        0x5b => 9,
        _ => return Err(Error::Malformed(&"a CBOR byte string was expected")),
    };
    let Some(argument) = bytes.get(1..head) else { return Ok(BytesHead::NeedMore) };
    let content = match head {
        1 => u64::from(first - 0x40),
        _ => big_endian(argument),
    };
    if head == head_len(content) { Ok(BytesHead::Known { head, content }) } else { Err(NOT_CBOR) }
}

/// A checked map with integer keys: a view, no allocation whatever it holds.
#[derive(Clone, Copy)]
pub(crate) struct IntMap<'b>(&'b [u8]);

/// One entry of an [`IntMap`]: the key, the encoded value, and both as they stand.
struct Entry<'b> {
    key: i128,
    value: &'b [u8],
    encoded: &'b [u8],
}

impl<'b> IntMap<'b> {
    /// A view of `checked`, which [`check`] has passed (alone or as part of a larger item).
    pub(crate) fn view(checked: &'b [u8]) -> Result<Self> {
        let map = Self(checked);
        map.entries()?.try_for_each(|entry| entry.map(drop))?;
        Ok(map)
    }

    pub(crate) fn is_empty(self) -> Result<bool> {
        Ok(self.entries()?.next().is_none())
    }

    /// The encoded value under `key`.
    pub(crate) fn find(self, key: i128) -> Result<Option<&'b [u8]>> {
        for entry in self.entries()? {
            let entry = entry?;
            if entry.key == key {
                return Ok(Some(entry.value));
            }
        }
        Ok(None)
    }

    /// The value under `key`, which must be there, read by `read`.
    pub(crate) fn field<T>(self, key: i128, read: impl Fn(&'b [u8]) -> Result<T>) -> Result<T> {
        self.optional(key, read)?.ok_or(Error::Malformed(&"a required field is missing"))
    }

    /// The value under `key`, if it is there, read by `read`.
    pub(crate) fn optional<T>(self, key: i128, read: impl Fn(&'b [u8]) -> Result<T>) -> Result<Option<T>> {
        self.find(key)?.map(read).transpose()
    }

    /// True if there is a critical key (≥ 0) that is not among `known`.
    pub(crate) fn has_critical_beside(self, known: &[i128]) -> Result<bool> {
        for entry in self.entries()? {
            let key = entry?.key;
            if key >= 0 && !known.contains(&key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same map, encoded, without the entries whose keys are in `left_out`.
    pub(crate) fn without(self, left_out: &[i128]) -> Result<Vec<u8>> {
        let mut kept = 0;
        let mut content = Vec::with_capacity(self.0.len());
        for entry in self.entries()? {
            let entry = entry?;
            if !left_out.contains(&entry.key) {
                kept += 1;
                content.extend_from_slice(entry.encoded);
            }
        }
        let mut map = Writer::default().map(kept).done();
        map.extend_from_slice(&content);
        Ok(map)
    }

    fn entries(self) -> Result<impl Iterator<Item = Result<Entry<'b>>>> {
        let (len, mut rest) = container(self.0, MAP, Error::Malformed(&"a CBOR map was expected"))?;
        Ok((0..len).map(move |_| {
            let entry = rest;
            let (key, value) = split_first(entry)?;
            let key = int(key).map_err(|_| Error::Malformed(&"a map key is not an integer"))?;
            let encoded_value;
            (encoded_value, rest) = split_first(value)?;
            let (encoded, _) = entry.split_at_checked(entry.len() - rest.len()).ok_or(NOT_CBOR)?;
            Ok(Entry { key, value: encoded_value, encoded })
        }))
    }
}

/// The elements of a checked array, encoded, of which there must be `min` to `max`.
pub(crate) fn array(checked: &[u8], min: u64, max: u64) -> Result<Vec<&[u8]>> {
    let (len, mut rest) = container(checked, ARRAY, Error::Malformed(&"a CBOR array was expected"))?;
    if len < min {
        return Err(Error::Malformed(&"an array has too few elements"));
    }
    if len > max {
        return Err(Error::TooLarge(&"an array has too many elements"));
    }
    let mut elements = Vec::new();
    for _ in 0..len {
        let element;
        (element, rest) = split_first(rest)?;
        elements.push(element);
    }
    Ok(elements)
}

/// The entries of a checked map with text keys, of which there must be 1 to `max`.
pub(crate) fn text_map(checked: &[u8], max: u64) -> Result<Vec<(&str, &[u8])>> {
    let (len, mut rest) = container(checked, MAP, Error::Malformed(&"a CBOR map was expected"))?;
    if len == 0 {
        return Err(Error::Malformed(&"an empty map stands where it should be absent"));
    }
    if len > max {
        return Err(Error::TooLarge(&"a map has too many entries"));
    }
    let mut entries = Vec::new();
    for _ in 0..len {
        let (key, value);
        (key, rest) = split_first(rest)?;
        let key = text(key).map_err(|_| Error::Malformed(&"a map key is not text"))?;
        (value, rest) = split_first(rest)?;
        entries.push((key, value));
    }
    Ok(entries)
}

/// How many elements or entries there are, and what follows the head.
fn container(checked: &[u8], expected: u8, other: Error) -> Result<(u64, &[u8])> {
    match read_head(checked)? {
        (major, len, rest) if major == expected => Ok((len, rest)),
        _ => Err(other),
    }
}

pub(crate) fn uint(checked: &[u8]) -> Result<u64> {
    match read_head(checked)? {
        (UINT, n, _) => Ok(n),
        _ => Err(Error::Malformed(&"an unsigned integer was expected")),
    }
}

pub(crate) fn int(checked: &[u8]) -> Result<i128> {
    match read_head(checked)? {
        (UINT, n, _) => Ok(n.into()),
        (NEGATIVE, n, _) => Ok(-1 - i128::from(n)),
        _ => Err(Error::Malformed(&"an integer was expected")),
    }
}

pub(crate) fn text(checked: &[u8]) -> Result<&str> {
    let (len, rest) = container(checked, TEXT, Error::Malformed(&"text was expected"))?;
    std::str::from_utf8(split(rest, len)?.0).map_err(|_| NOT_CBOR)
}

pub(crate) fn bytes(checked: &[u8]) -> Result<&[u8]> {
    let (len, rest) = container(checked, BYTES, Error::Malformed(&"a byte string was expected"))?;
    split(rest, len).map(|(bytes, _)| bytes)
}

/// A byte string of exactly `N` bytes.
pub(crate) fn fixed_bytes<const N: usize>(checked: &[u8]) -> Result<&[u8; N]> {
    bytes(checked)?.try_into().map_err(|_| Error::Malformed(&"a byte string has a wrong length"))
}

/// Writes deterministic CBOR, given that the caller adds map keys in ascending order.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// One that does not grow up to `bytes`, for secrets.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn uint(self, n: u64) -> Self {
        self.head(UINT, n)
    }

    pub(crate) fn int(self, n: i64) -> Self {
        match u64::try_from(n) {
            Ok(n) => self.head(UINT, n),
            Err(_) => self.head(NEGATIVE, n.unsigned_abs() - 1),
        }
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.head(BYTES, bytes.len() as u64).encoded(bytes)
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.head(TEXT, text.len() as u64).encoded(text.as_bytes())
    }

    pub(crate) fn array(self, len: usize) -> Self {
        self.head(ARRAY, len as u64)
    }

    pub(crate) fn map(self, len: usize) -> Self {
        self.head(MAP, len as u64)
    }

    /// Something that is encoded already.
    pub(crate) fn encoded(mut self, item: &[u8]) -> Self {
        self.0.extend_from_slice(item);
        self
    }

    /// What is written so far.
    pub(crate) fn written(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }

    fn head(mut self, major: u8, argument: u64) -> Self {
        let argument_bytes = argument.to_be_bytes();
        let [.., low] = argument_bytes;
        let (info, len) = match head_len(argument) {
            1 => (low, 0),
            2 => (24, 1),
            3 => (25, 2),
            5 => (26, 4),
            _ => (27, 8),
        };
        self.0.push(major << 5 | info);
        self.0.extend(argument_bytes.iter().skip(8 - len));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, check};

    fn hex(text: &str) -> Vec<u8> {
        let nibbles: Vec<u8> = text.bytes().map(|b| (b as char).to_digit(16).unwrap() as u8).collect();
        nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// From RFC 8949 appendix A: the examples of the types that the format uses.
    #[test]
    fn accepts_the_deterministic_examples_of_rfc_8949() {
        for item in [
            "00",
            "17",
            "1818",
            "1903e8",
            "1a000f4240",
            "1b000000e8d4a51000",
            "1bffffffffffffffff",
            "20",
            "3863",
            "3903e7",
            "3bffffffffffffffff",
            "f4",
            "f5",
            "f6",
            "40",
            "4401020304",
            "60",
            "6449455446",
            "62c3bc",
            "80",
            "83010203",
            "8301820203820405",
            "a0",
            "a201020304",
            "a26161016162820203",
        ] {
            assert_eq!(check(&hex(item)), Ok(()), "{item}");
        }
    }

    #[test]
    fn refuses_every_other_encoding() {
        for item in [
            "",
            "1800",
            "1817",
            "190000",
            "1900ff",
            "1a0000ffff",
            "1b00000000ffffffff",
            "3800",
            "5800",
            "580101",
            "7800",
            "9800",
            "980101",
            "b800",
            "5f42010243030405ff",
            "7f657374726561646d696e67ff",
            "9fff",
            "bf6161019fff",
            "a203040102",
            "a201020103",
            "f90000",
            "fa47c35000",
            "fb3ff199999999999a",
            "f7",
            "f0",
            "f818",
            "c074323031332d30332d32315432303a30343a30305a",
            "61ff",
            "0000",
            "8201",
            "a101",
            "1c",
            "ff",
            "5bffffffffffffffff",
            "9bffffffffffffffff",
            "bb7fffffffffffffff",
        ] {
            assert!(check(&hex(item)).is_err(), "{item}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| [vec![0x81; n], vec![0x00]].concat();
        assert_eq!(check(&nested(MAX_DEPTH.into())), Ok(()));
        assert!(check(&nested(usize::from(MAX_DEPTH) + 1)).is_err());
        assert!(check(&nested(1_000_000)).is_err());
    }
}
