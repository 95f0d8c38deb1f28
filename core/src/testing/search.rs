//! Finds canaries in bytes, in every form in which apps send and store text.

use super::canary::Canaries;
use crate::error::{Error, Result};
use crate::suite::hex;
use base64ct::{Base64, Base64Url, Encoding};
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use std::collections::BTreeSet;
use std::io::Read;

/// How many forms within one another are taken off: gzip in base64 in JSON in a query is four.
const MAX_DEPTH: usize = 4;
/// How much is decoded and inflated in one search.
const MAX_DECODED: usize = 512 * 1024 * 1024;
/// A run of fewer digits is no encoding of anything that could hold a canary.
const MIN_RUN: usize = 20;
/// How far two finds of a canary have to lie apart to be two: the same one is found in several ways.
const SAME_PLACE: usize = 8;
/// How many finds of one canary are kept of one message or file: a log in which every line leaks is a leak all the same.
const MAX_FINDS: usize = 1000;
const PLAINTEXT: &str = "plaintext";
const NO_SPACE: &str = "across white space";

/// Where a canary was found.
pub(super) struct Find {
    pub(super) canary: usize,
    /// From the outermost form to the innermost: `gzip > hex`.
    pub(super) form: String,
    pub(super) offset: usize,
}

/// What is looked for, made ready.
pub(super) struct Search {
    patterns: Vec<Pattern>,
    /// By the first two bytes: whether a pattern begins with them.
    begins: Vec<bool>,
}

struct Pattern {
    canary: usize,
    form: &'static str,
    bytes: Vec<u8>,
    any_case: bool,
}

impl Search {
    pub(super) fn new(canaries: &Canaries) -> Self {
        let patterns: Vec<_> =
            canaries.0.iter().enumerate().flat_map(|(i, canary)| patterns(i, canary.needle())).collect();
        let mut begins = vec![false; 1 << 16];
        for pattern in &patterns {
            let [Some(first), Some(second)] = [0, 1].map(|i| pattern.bytes.get(i).copied()) else { continue };
            for first in [first, first.to_ascii_lowercase(), first.to_ascii_uppercase()] {
                for second in [second, second.to_ascii_lowercase(), second.to_ascii_uppercase()] {
                    if let Some(begins) = begins.get_mut(usize::from(u16::from_be_bytes([first, second]))) {
                        *begins = true;
                    }
                }
            }
        }
        Self { patterns, begins }
    }

    /// Every canary in `bytes`. `at` says which offset to report for one in `bytes`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if there is more to decode than 512 MiB.
    pub(super) fn find(
        &self,
        bytes: &[u8],
        at: &dyn Fn(usize) -> usize,
        finds: &mut Vec<Find>,
    ) -> Result<()> {
        let mut dig = Dig { search: self, forms: Vec::new(), left: MAX_DECODED, finds };
        dig.dig(bytes, at)
    }
}

/// The forms that are looked for as they stand.
fn patterns(canary: usize, text: &str) -> Vec<Pattern> {
    let bytes = text.as_bytes();
    let pattern = |form, bytes: Vec<u8>, any_case| Pattern { canary, form, bytes, any_case };
    let hex = hex(bytes);
    let numbers = bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut patterns = vec![
        pattern(PLAINTEXT, bytes.to_vec(), true),
        pattern("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), false),
        pattern("UTF-16", text.encode_utf16().flat_map(u16::to_be_bytes).collect(), false),
        pattern("hex", hex.into_bytes(), true),
        pattern("list of numbers", numbers.into_bytes(), false),
    ];
    if text.contains(' ') {
        patterns.push(pattern("form-encoded", text.replace(' ', "+").into_bytes(), true));
    }
    for before in 0..3 {
        let shifted = [vec![0; before], bytes.to_vec()].concat();
        // Without the digits at either end that hold bits of what is beside it.
        let inside = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
        let standard = Base64::encode_string(&shifted).into_bytes();
        let url = Base64Url::encode_string(&shifted).into_bytes();
        let forms = if standard == url { vec![standard] } else { vec![standard, url] };
        let inner = forms.iter().filter_map(|digits| digits.get(inside.clone()));
        patterns.extend(inner.map(|digits| pattern("base64", digits.to_vec(), false)));
    }
    patterns
}

/// One search, on its way down through the forms.
struct Dig<'a> {
    search: &'a Search,
    forms: Vec<&'static str>,
    left: usize,
    finds: &'a mut Vec<Find>,
}

impl Dig<'_> {
    fn dig(&mut self, bytes: &[u8], at: &dyn Fn(usize) -> usize) -> Result<()> {
        self.look(bytes, at);
        if self.forms.len() == MAX_DEPTH {
            return Ok(());
        }
        if self.forms.last() != Some(&NO_SPACE) {
            if let Some((form, decoded)) = unescaped(bytes) {
                self.enter(form, &decoded, at)?;
            }
            if let Some(decoded) = without_white_space(bytes) {
                self.enter(NO_SPACE, &decoded, at)?;
            }
            self.inflate(bytes, at)?;
        }
        for run in base64_runs(bytes) {
            let digits = bytes.get(run.0..run.1).unwrap_or_default();
            self.enter("base64", &Decoded::run(from_base64(digits), run.0, (4, 3)), at)?;
        }
        for run in runs(bytes, |byte| byte.is_ascii_hexdigit()) {
            let digits = bytes.get(run.0..run.1).unwrap_or_default();
            let decoded = digits.chunks_exact(2).filter_map(from_hex).collect();
            self.enter("hex", &Decoded::run(decoded, run.0, (2, 1)), at)?;
        }
        Ok(())
    }

    fn look(&mut self, bytes: &[u8], at: &dyn Fn(usize) -> usize) {
        for (i, pair) in bytes.windows(2).enumerate() {
            let &[first, second] = pair else { continue };
            let pair = usize::from(u16::from_be_bytes([first, second]));
            if self.search.begins.get(pair) != Some(&true) {
                continue;
            }
            for pattern in &self.search.patterns {
                let Some(here) = bytes.get(i..i + pattern.bytes.len()) else { continue };
                let same =
                    here == pattern.bytes || pattern.any_case && here.eq_ignore_ascii_case(&pattern.bytes);
                if same {
                    self.found(pattern, at(i));
                }
            }
        }
    }

    fn found(&mut self, pattern: &Pattern, offset: usize) {
        let known = self.finds.iter().filter(|find| find.canary == pattern.canary);
        let is_new = known.clone().all(|find| find.offset.abs_diff(offset) >= SAME_PLACE);
        if is_new && known.count() < MAX_FINDS {
            let mut forms = self.forms.clone();
            if forms.is_empty() || pattern.form != PLAINTEXT {
                forms.push(pattern.form);
            }
            let form = forms.join(" > ");
            self.finds.push(Find { canary: pattern.canary, form, offset });
        }
    }

    fn enter(&mut self, form: &'static str, decoded: &Decoded, at: &dyn Fn(usize) -> usize) -> Result<()> {
        let left = self.left.checked_sub(decoded.bytes.len());
        self.left = left.ok_or(Error::TooLarge(&"more to decode than 512 MiB"))?;
        self.forms.push(form);
        let dug = self.dig(&decoded.bytes, &|offset| at(decoded.source(offset)));
        self.forms.pop();
        dug
    }

    /// What looks compressed, wherever it begins; deflate without a head only at the beginning. A stream that breaks off is searched as far as it goes.
    fn inflate(&mut self, bytes: &[u8], at: &dyn Fn(usize) -> usize) -> Result<()> {
        for i in 0..bytes.len() {
            let rest = bytes.get(i..).unwrap_or_default();
            let (form, reader): (_, Box<dyn Read + '_>) = match *rest {
                [0x1f, 0x8b, 8, ..] => ("gzip", Box::new(GzDecoder::new(rest))),
                [method, flags, ..] if is_zlib(method, flags) => ("zlib", Box::new(ZlibDecoder::new(rest))),
                _ if i == 0 => ("deflate", Box::new(DeflateDecoder::new(rest))),
                _ => continue,
            };
            let mut inflated = Vec::new();
            let limit = u64::try_from(self.left).unwrap_or(u64::MAX).saturating_add(1);
            // An error is the end of what looked like a stream.
            let _ = reader.take(limit).read_to_end(&mut inflated);
            if !inflated.is_empty() {
                self.enter(form, &Decoded::run(inflated, i, (0, 1)), at)?;
            }
        }
        Ok(())
    }
}

/// RFC 1950: method 8, a window of at most 32 KiB, no dictionary, a multiple of 31.
fn is_zlib(method: u8, flags: u8) -> bool {
    let both = u16::from_be_bytes([method, flags]);
    method & 0x0f == 8 && method >> 4 <= 7 && flags & 0x20 == 0 && both.is_multiple_of(31)
}

/// Decoded bytes, and where they came from.
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    /// Where a stretch begins: here, and in the source.
    stretches: Vec<(usize, usize)>,
    /// Bytes of the source for bytes here, as a fraction.
    scale: (usize, usize),
}

impl Decoded {
    fn run(bytes: Vec<u8>, start: usize, scale: (usize, usize)) -> Self {
        Self { bytes, stretches: vec![(0, start)], scale }
    }

    pub(super) fn stretches(bytes: Vec<u8>, stretches: Vec<(usize, usize)>) -> Self {
        Self { bytes, stretches, scale: (1, 1) }
    }

    /// Which byte of the source one here comes from.
    pub(super) fn source(&self, offset: usize) -> usize {
        let after = self.stretches.partition_point(|(here, _)| *here <= offset);
        let (here, source) = self.stretches.get(after.wrapping_sub(1)).copied().unwrap_or_default();
        source + (offset - here) * self.scale.0 / self.scale.1
    }
}

/// Percent-encoding and the escapes of JSON and of logs undone, wherever they stand.
fn unescaped(bytes: &[u8]) -> Option<(&'static str, Decoded)> {
    let mut decoded = Decoded::run(Vec::new(), 0, (1, 1));
    let (mut percents, mut escapes) = (false, false);
    let mut i = 0;
    while let Some(rest @ [byte, ..]) = bytes.get(i..) {
        let escape = match rest {
            [b'%', ..] => hex_digits(rest, 1, 2).map(|value| (value.to_be_bytes()[3..].to_vec(), 3)),
            [b'\\', ..] => backslash(rest),
            _ => None,
        };
        if let Some((value, length)) = escape {
            percents |= *byte == b'%';
            escapes |= *byte == b'\\';
            decoded.stretches.push((decoded.bytes.len(), i));
            decoded.bytes.extend(value);
            i += length;
            decoded.stretches.push((decoded.bytes.len(), i));
        } else {
            decoded.bytes.push(*byte);
            i += 1;
        }
    }
    let form = match (percents, escapes) {
        (false, false) => return None,
        (true, false) => "percent-encoded",
        (false, true) => "escaped",
        (true, true) => "percent-encoded or escaped",
    };
    Some((form, decoded))
}

/// What the escape at the beginning stands for, and its length.
fn backslash(rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let one = |byte: u8| Some((vec![byte], 2));
    match rest.get(1)? {
        b'n' => one(b'\n'),
        b'r' => one(b'\r'),
        b't' => one(b'\t'),
        byte @ (b'"' | b'\\' | b'/') => one(*byte),
        b'x' => hex_digits(rest, 2, 2).map(|value| (value.to_be_bytes()[3..].to_vec(), 4)),
        b'u' => {
            let high = hex_digits(rest, 2, 4)?;
            let low = if rest.get(6..8) == Some(b"\\u") { hex_digits(rest, 8, 4) } else { None };
            let text = |value| char::from_u32(value).map(|c| c.to_string().into_bytes());
            match (high, low) {
                (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                    text(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).map(|text| (text, 12))
                }
                _ => text(high).map(|text| (text, 6)),
            }
        }
        _ => None,
    }
}

fn hex_digits(bytes: &[u8], from: usize, count: usize) -> Option<u32> {
    bytes.get(from..from + count)?.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

fn from_hex(pair: &[u8]) -> Option<u8> {
    hex_digits(pair, 0, 2).and_then(|value| u8::try_from(value).ok())
}

fn without_white_space(bytes: &[u8]) -> Option<Decoded> {
    let mut decoded = Decoded::run(Vec::new(), 0, (1, 1));
    let mut begins = true;
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            begins = true;
            continue;
        }
        if begins {
            decoded.stretches.push((decoded.bytes.len(), i));
            begins = false;
        }
        decoded.bytes.push(*byte);
    }
    (decoded.bytes.len() < bytes.len()).then_some(decoded)
}

/// Runs of digits of either alphabet. Both, since `/` is a digit of one and stands between segments of paths of the other.
fn base64_runs(bytes: &[u8]) -> BTreeSet<(usize, usize)> {
    let standard = runs(bytes, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    let url = runs(bytes, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    standard.into_iter().chain(url).collect()
}

fn runs(bytes: &[u8], is_digit: impl Fn(u8) -> bool) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut start = 0;
    for (i, byte) in bytes.iter().map(|byte| is_digit(*byte)).chain([false]).enumerate() {
        if !byte {
            if i - start >= MIN_RUN {
                runs.push((start, i));
            }
            start = i + 1;
        }
    }
    runs
}

fn from_base64(digits: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.extend(u8::try_from(bits >> held & 0xff));
        }
    }
    decoded
}
