//! Deterministic CBOR (RFC 8949 §4.2.1, SPEC §0): one encoding per value, everything else refused.
//!
//! [`check`] walks a whole item once and refuses whatever a deterministic encoder would not have
//! written. The views below it then borrow from checked bytes and allocate nothing.

use crate::error::{Error, Result};
use minicbor::data::{Int, Type};
use minicbor::{Decoder, Encoder};

const MAX_DEPTH: u8 = 8;
const NOT_CBOR: Error = Error::Malformed("not deterministic CBOR");

/// Refuses `bytes` unless they are exactly one deterministically encoded item.
pub(crate) fn check(bytes: &[u8]) -> Result<()> {
    let mut decoder = Decoder::new(bytes);
    check_item(&mut decoder, MAX_DEPTH)?;
    if decoder.position() == bytes.len() { Ok(()) } else { Err(NOT_CBOR) }
}

fn check_item(d: &mut Decoder<'_>, depth: u8) -> Result<()> {
    let start = d.position();
    match d.datatype().map_err(malformed)? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
            let n = d.u64().map_err(malformed)?;
            check_head(d, start, n, 0)
        }
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            let n = i128::from(d.int().map_err(malformed)?);
            check_head(d, start, u64::try_from(-1 - n).map_err(|_| NOT_CBOR)?, 0)
        }
        Type::Bytes => {
            let len = d.bytes().map_err(malformed)?.len();
            check_head(d, start, len as u64, len)
        }
        Type::String => {
            let len = d.str().map_err(malformed)?.len();
            check_head(d, start, len as u64, len)
        }
        Type::Array => {
            let depth = depth.checked_sub(1).ok_or(NOT_CBOR)?;
            let len = d.array().map_err(malformed)?.ok_or(NOT_CBOR)?;
            check_head(d, start, len, 0)?;
            (0..len).try_for_each(|_| check_item(d, depth))
        }
        Type::Map => {
            let depth = depth.checked_sub(1).ok_or(NOT_CBOR)?;
            let len = d.map().map_err(malformed)?.ok_or(NOT_CBOR)?;
            check_head(d, start, len, 0)?;
            let mut previous: &[u8] = &[];
            for _ in 0..len {
                let key_start = d.position();
                check_item(d, depth)?;
                let key = d.input().get(key_start..d.position()).ok_or(NOT_CBOR)?;
                if key <= previous {
                    return Err(NOT_CBOR);
                }
                previous = key;
                check_item(d, depth)?;
            }
            Ok(())
        }
        Type::Bool => d.bool().map(drop).map_err(malformed),
        Type::Null => d.null().map_err(malformed),
        _ => Err(NOT_CBOR),
    }
}

/// The head of the item at `start` must be the shortest that can carry `argument`.
fn check_head(d: &Decoder<'_>, start: usize, argument: u64, content: usize) -> Result<()> {
    if d.position() - start == head_len(argument) + content { Ok(()) } else { Err(NOT_CBOR) }
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

fn malformed(_: minicbor::decode::Error) -> Error {
    NOT_CBOR
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
        _ => return Err(Error::Malformed("a CBOR byte string was expected")),
    };
    let Some(argument) = bytes.get(1..head) else { return Ok(BytesHead::NeedMore) };
    let content = match head {
        1 => u64::from(first - 0x40),
        _ => argument.iter().fold(0, |n, &b| n << 8 | u64::from(b)),
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
        self.optional(key, read)?.ok_or(Error::Malformed("a required field is missing"))
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
        let mut d = Decoder::new(self.0);
        let map = self.0;
        let len = d.map().map_err(|_| Error::Malformed("a CBOR map was expected"))?;
        let len = len.ok_or(NOT_CBOR)?;
        Ok((0..len).map(move |_| {
            let start = d.position();
            let key = d.int().map_err(|_| Error::Malformed("a map key is not an integer"))?;
            let value_start = d.position();
            d.skip().map_err(malformed)?;
            Ok(Entry {
                key: i128::from(key),
                value: map.get(value_start..d.position()).ok_or(NOT_CBOR)?,
                encoded: map.get(start..d.position()).ok_or(NOT_CBOR)?,
            })
        }))
    }
}

/// The elements of a checked array, encoded, of which there must be `min` to `max`.
pub(crate) fn array(checked: &[u8], min: u64, max: u64) -> Result<Vec<&[u8]>> {
    let mut d = Decoder::new(checked);
    let len = d.array().map_err(|_| Error::Malformed("a CBOR array was expected"))?;
    let len = len.ok_or(NOT_CBOR)?;
    if len < min {
        return Err(Error::Malformed("an array has too few elements"));
    }
    if len > max {
        return Err(Error::TooLarge("an array has too many elements"));
    }
    (0..len).map(|_| take_item(&mut d)).collect()
}

/// The entries of a checked map with text keys, of which there must be 1 to `max`.
pub(crate) fn text_map(checked: &[u8], max: u64) -> Result<Vec<(&str, &[u8])>> {
    let mut d = Decoder::new(checked);
    let len = d.map().map_err(|_| Error::Malformed("a CBOR map was expected"))?;
    let len = len.ok_or(NOT_CBOR)?;
    if len == 0 {
        return Err(Error::Malformed("an empty map stands where it should be absent"));
    }
    if len > max {
        return Err(Error::TooLarge("a map has too many entries"));
    }
    let entry = |_| {
        let key = d.str().map_err(|_| Error::Malformed("a map key is not text"))?;
        Ok((key, take_item(&mut d)?))
    };
    (0..len).map(entry).collect()
}

fn take_item<'b>(d: &mut Decoder<'b>) -> Result<&'b [u8]> {
    let start = d.position();
    d.skip().map_err(malformed)?;
    d.input().get(start..d.position()).ok_or(NOT_CBOR)
}

pub(crate) fn uint(checked: &[u8]) -> Result<u64> {
    Decoder::new(checked).u64().map_err(|_| Error::Malformed("an unsigned integer was expected"))
}

pub(crate) fn int(checked: &[u8]) -> Result<i128> {
    let int: Int = Decoder::new(checked).int().map_err(|_| Error::Malformed("an integer was expected"))?;
    Ok(i128::from(int))
}

pub(crate) fn text(checked: &[u8]) -> Result<&str> {
    Decoder::new(checked).str().map_err(|_| Error::Malformed("text was expected"))
}

pub(crate) fn bytes(checked: &[u8]) -> Result<&[u8]> {
    Decoder::new(checked).bytes().map_err(|_| Error::Malformed("a byte string was expected"))
}

/// A byte string of exactly `N` bytes.
pub(crate) fn fixed_bytes<const N: usize>(checked: &[u8]) -> Result<&[u8; N]> {
    bytes(checked)?.try_into().map_err(|_| Error::Malformed("a byte string has a wrong length"))
}

/// Writes deterministic CBOR, given that the caller adds map keys in ascending order.
pub(crate) struct Writer(Encoder<Vec<u8>>);

impl Default for Writer {
    fn default() -> Self {
        Self(Encoder::new(Vec::new()))
    }
}

/// The sink is a `Vec`, so no write can fail: the results that say so are dropped here, once.
impl Writer {
    /// One that does not grow up to `bytes`, for secrets.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Encoder::new(Vec::with_capacity(bytes)))
    }

    pub(crate) fn uint(mut self, n: u64) -> Self {
        drop(self.0.u64(n));
        self
    }

    pub(crate) fn int(mut self, n: i64) -> Self {
        drop(self.0.i64(n));
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        drop(self.0.bytes(bytes));
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        drop(self.0.str(text));
        self
    }

    pub(crate) fn array(mut self, len: usize) -> Self {
        drop(self.0.array(len as u64));
        self
    }

    pub(crate) fn map(mut self, len: usize) -> Self {
        drop(self.0.map(len as u64));
        self
    }

    /// Something that is encoded already.
    pub(crate) fn encoded(mut self, item: &[u8]) -> Self {
        self.0.writer_mut().extend_from_slice(item);
        self
    }

    /// What is written so far.
    pub(crate) fn written(&self) -> &[u8] {
        self.0.writer()
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_writer()
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
