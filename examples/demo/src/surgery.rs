//! What a hostile server does to rows and requests, byte by byte.

use crate::Outcome;
use crate::proxy::{Answer, Call, Step};
use crate::script::now;
use crate::store::Row;
use axum::http::{HeaderName, HeaderValue, Method};
use sealwire::http::{KEYS_PATH, Origin, RequestHead, RequestSigner, SignedBody, Target};
use sealwire::{Header, Identity, SlotKind};
use std::ops::Range;
use std::sync::Arc;

pub(crate) fn flip(bytes: &mut [u8], at: usize) -> Outcome<()> {
    *bytes.get_mut(at).ok_or("there is no such byte")? ^= 1;
    Ok(())
}

pub(crate) fn cut(bytes: &mut Vec<u8>, range: Range<usize>) -> Outcome<()> {
    if range.start >= bytes.len() {
        return Err("there is nothing to cut".into());
    }
    bytes.drain(range.start..range.end.min(bytes.len()));
    Ok(())
}

/// Where a chunk lies in a body: after 56 bytes of head, 16 KiB and a tag each.
pub(crate) fn chunk(number: usize) -> Range<usize> {
    const SEALED_CHUNK: usize = 16 * 1024 + 16;
    56 + number * SEALED_CHUNK..56 + (number + 1) * SEALED_CHUNK
}

pub(crate) fn flip_in_slot(row: &mut Row, number: usize) -> Outcome<()> {
    let header = Header::parse(&row.header)?;
    let Some(SlotKind::Hpke { ct, .. }) = header.unverified_slots().nth(number) else {
        return Err("there is no such slot".into());
    };
    let at = memchr::memmem::find(&row.header, *ct).ok_or("the slot is somewhere else")?;
    flip(&mut row.header, at)
}

/// The version is a small number, and stands right after its name.
pub(crate) fn raise_version(row: &mut Row) -> Outcome<()> {
    let at = memchr::memmem::find(&row.header, b"version").ok_or("there is no version")?;
    *row.header.get_mut(at + b"version".len()).ok_or("the version has no value")? += 1;
    Ok(())
}

/// Where the slots lie in a header: after 9 bytes of magic and one byte string comes theirs, with slots of one length.
pub(crate) struct Slots {
    string: Range<usize>,
    first: usize,
    slot_len: usize,
}

impl Slots {
    pub(crate) fn find(header: &[u8]) -> Outcome<Self> {
        let fixed = byte_string(header, 9)?;
        let content = byte_string(header, fixed.end)?;
        let number = usize::from(header.get(content.start).ok_or("no slots")? & 0x1f);
        let slot_len = (content.len() - 1) / number.max(1);
        Ok(Self { string: fixed.end..content.end, first: content.start + 1, slot_len })
    }

    pub(crate) fn slot<'h>(&self, header: &'h [u8], number: usize) -> Outcome<&'h [u8]> {
        let start = self.first + number * self.slot_len;
        Ok(header.get(start..start + self.slot_len).ok_or("there is no such slot")?)
    }

    /// Writes other slots in place of those that are there. All else, the tag too, stays.
    pub(crate) fn replace(&self, header: &mut Vec<u8>, slots: &[&[u8]]) -> Outcome<()> {
        let content = [&[0x80 + u8::try_from(slots.len())?], slots.concat().as_slice()].concat();
        let [high, low] = u16::try_from(content.len())?.to_be_bytes();
        header.splice(self.string.clone(), [&[0x59, high, low], content.as_slice()].concat());
        Ok(())
    }
}

/// The content of the CBOR byte string at `at`, with one or two bytes of length.
fn byte_string(bytes: &[u8], at: usize) -> Outcome<Range<usize>> {
    let (start, len) = match bytes.get(at..) {
        Some([0x58, len, ..]) => (at + 2, usize::from(*len)),
        Some([0x59, high, low, ..]) => (at + 3, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return Err("a header of another form".into()),
    };
    Ok(start..start + len)
}

pub(crate) fn flipped(mut call: Call) -> Call {
    let mut body = call.body.to_vec();
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
    call.body = body.into();
    call
}

const SIGNATURE_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("signature"),
    HeaderName::from_static("signature-input"),
];

pub(crate) fn unsign(call: &mut Call) {
    for name in SIGNATURE_FIELDS {
        call.headers.remove(name);
    }
}

/// Mallory's account: her signature is good, and the server takes it for hers.
pub(crate) struct Signing {
    identity: Arc<Identity>,
    origin: Origin,
}

impl Signing {
    pub(crate) fn new(mallory: &Arc<Identity>, origin: &str) -> Outcome<Self> {
        Ok(Self { identity: mallory.clone(), origin: Origin::parse(origin)? })
    }

    /// Takes the signature off a request, and signs it anew.
    pub(crate) fn step(&self, mut call: Call) -> Step {
        // The keys are fetched unsigned, by everybody.
        if call.method == Method::GET && call.path == KEYS_PATH {
            return Step::Pass(call);
        }
        match self.sign(&mut call) {
            Ok(()) => Step::Pass(call),
            Err(_) => Step::Answer(Answer::new(500, "text/plain", "Mallory cannot sign this")),
        }
    }

    pub(crate) fn sign(&self, call: &mut Call) -> Outcome<()> {
        unsign(call);
        let target = Target::new(self.origin.clone(), &call.path)?;
        let mut head = RequestHead::new(sealwire::http::Method::new(call.method.as_str())?, target);
        for (name, value) in &call.headers {
            head.headers.add(name.as_str(), value.as_bytes())?;
        }
        RequestSigner::new(&self.identity).sign(&mut head, SignedBody::Whole(&call.body), now())?;
        for name in SIGNATURE_FIELDS {
            if let Some(value) = head.headers.one(name.as_str())? {
                call.headers.insert(name, HeaderValue::from_bytes(value)?);
            }
        }
        Ok(())
    }
}
