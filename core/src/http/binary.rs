//! Binary HTTP (RFC 9292): messages to bytes and back, in pieces, with every limit. No cryptography.

use super::message::{Headers, MAX_HEADERS, Method, Origin, RequestHead, ResponseHead, Target};
use crate::error::{Error, Result};
use crate::layout::padded_len;

/// More than the fields themselves may take, since each has two lengths.
const MAX_SECTION: u64 = 2 * MAX_HEADERS as u64;
const MAX_INTERIM: u32 = 16;
/// How many bytes of a head are looked at in one go.
const STEP: usize = 4096;
const TRUNCATED_LENGTH: Error = Error::Malformed(&"a Binary HTTP length does not fit its section");

/// What is different between requests and responses.
pub(crate) trait Head: Sized {
    /// The framing indicators of RFC 9292 §3: known-length and indeterminate-length.
    const FRAMINGS: [u64; 2];

    /// Reads the control data, once `bytes` holds all of it: an interim response is to be skipped.
    fn read_control(bytes: &mut Bytes<'_>) -> Result<Option<Control<Self>>>;
    fn write_control(&self, out: &mut Vec<u8>);
    fn headers(&self) -> &Headers;
    fn headers_mut(&mut self) -> &mut Headers;
    /// How long the content has to be, if the head says so and is to be believed.
    fn content_length(&self) -> Result<Option<u64>>;
}

pub(crate) enum Control<H> {
    Final(H),
    Interim,
}

impl Head for RequestHead {
    const FRAMINGS: [u64; 2] = [0, 2];

    fn read_control(bytes: &mut Bytes<'_>) -> Result<Option<Control<Self>>> {
        // One after the other: behind a part that is incomplete nothing can be read.
        let Some(method) = bytes.string(MAX_SECTION)? else { return Ok(None) };
        let Some(scheme) = bytes.string(MAX_SECTION)? else { return Ok(None) };
        let Some(authority) = bytes.string(MAX_SECTION)? else { return Ok(None) };
        let Some(path) = bytes.string(MAX_SECTION)? else { return Ok(None) };
        let text =
            |bytes| std::str::from_utf8(bytes).map_err(|_| Error::Malformed(&"control data is not text"));
        let origin = Origin::new(text(scheme)?, text(authority)?)?;
        let target = Target::new(origin, text(path)?)?;
        Ok(Some(Control::Final(Self::new(Method::new(text(method)?)?, target))))
    }

    fn write_control(&self, out: &mut Vec<u8>) {
        let origin = self.target.origin();
        for part in [self.method.as_str(), origin.scheme(), origin.authority(), self.target.path_and_query()]
        {
            write_string(part.as_bytes(), out);
        }
    }

    fn headers(&self) -> &Headers {
        &self.headers
    }

    fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    fn content_length(&self) -> Result<Option<u64>> {
        let parse = |text: &str| {
            // Digits alone: a number's parser would also take "+5", which the next server may read otherwise.
            let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok());
            number.ok_or(Error::Malformed(&"a content-length is not a number"))
        };
        self.headers.text("content-length")?.map(parse).transpose()
    }
}

impl Head for ResponseHead {
    const FRAMINGS: [u64; 2] = [1, 3];

    fn read_control(bytes: &mut Bytes<'_>) -> Result<Option<Control<Self>>> {
        Ok(match bytes.varint() {
            None => None,
            Some(100..=199) => Some(Control::Interim),
            Some(status) => Some(Control::Final(Self::new(u16::try_from(status).unwrap_or_default())?)),
        })
    }

    fn write_control(&self, out: &mut Vec<u8>) {
        write_varint(self.status.into(), out);
    }

    fn headers(&self) -> &Headers {
        &self.headers
    }

    fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The answer to HEAD has the length of what it leaves out, so nothing follows from the field.
    fn content_length(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// A whole message in the known-length form, padded with zeros to one of few lengths.
pub(crate) fn write_message(head: &impl Head, content: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    write_fields(head, &mut section);
    let mut out = Vec::with_capacity(64 + section.len() + content.len() + content.len() / 8);
    write_start(head, 0, &mut out);
    write_string(&section, &mut out);
    write_string(content, &mut out);
    // The trailer section is left out: absent is empty (RFC 9292 §3.8), and so is what reads as zeros.
    out.resize(usize::try_from(padded_len(out.len() as u64)).unwrap_or(out.len()), 0);
    out
}

/// The front of a message in the indeterminate-length form: all but content and end.
pub(crate) fn write_head(head: &impl Head) -> Vec<u8> {
    let mut out = Vec::new();
    write_start(head, 1, &mut out);
    write_fields(head, &mut out);
    out.push(0);
    out
}

/// A piece of content in the indeterminate-length form.
pub(crate) fn write_content(content: &[u8], out: &mut Vec<u8>) {
    if !content.is_empty() {
        write_string(content, out);
    }
}

/// The end of a message in the indeterminate-length form: no more content, no trailers.
pub(crate) const END: [u8; 2] = [0, 0];

fn write_start<H: Head>(head: &H, framing: usize, out: &mut Vec<u8>) {
    write_varint(H::FRAMINGS.get(framing).copied().unwrap_or_default(), out);
    head.write_control(out);
}

/// All fields but those of one connection and of the framing.
fn write_fields(head: &impl Head, out: &mut Vec<u8>) {
    for (name, value) in head.headers().iter().filter(|(name, _)| !Headers::is_hop_by_hop(name)) {
        write_string(name.as_bytes(), out);
        write_string(value, out);
    }
}

fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A variable-length integer (RFC 9000 §16), in its shortest form. Lengths in memory are far below 2^62.
pub(crate) fn write_varint(n: u64, out: &mut Vec<u8>) {
    let [.., c3, c2, c1, c0] = n.to_be_bytes();
    match n {
        0..0x40 => out.push(c0),
        0x40..0x4000 => out.extend([c1 | 0x40, c0]),
        0x4000..0x4000_0000 => out.extend([c3 | 0x80, c2, c1, c0]),
        _ => out.extend((n | 3 << 62).to_be_bytes()),
    }
}

/// Bytes of which an element may still be incomplete.
pub(crate) struct Bytes<'b>(pub(crate) &'b [u8]);

impl<'b> Bytes<'b> {
    /// The next variable-length integer, if all of it is there.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let (bytes, rest) = self.0.split_at_checked(1 << (first >> 6))?;
        self.0 = rest;
        let (masked, others) = (u64::from(first & 0x3f), bytes.get(1..)?);
        Some(others.iter().fold(masked, |n, byte| n << 8 | u64::from(*byte)))
    }

    /// The next string with its length in front, if all of it is there. Its claim is checked before it is.
    fn string(&mut self, max: u64) -> Result<Option<&'b [u8]>> {
        let Some(len) = self.varint() else { return Ok(None) };
        if len > max {
            return Err(Error::TooLarge(&"a part of a message's head"));
        }
        let len = usize::try_from(len).map_err(|_| Error::TooLarge(&"a part of a message's head"))?;
        Ok(self.0.split_at_checked(len).map(|(string, rest)| {
            self.0 = rest;
            string
        }))
    }
}

/// Reads one message that arrives in pieces, in either form.
///
/// Memory: what is incomplete of the head (bounded), and the head. Content goes straight to the caller, up to `max_content`.
pub(crate) struct Reader<H> {
    phase: Phase,
    indeterminate: bool,
    /// The control data, while the header section is read.
    control: Option<H>,
    head: Option<H>,
    interim: u32,
    /// Bytes of the head's next element.
    pending: Vec<u8>,
    content_len: u64,
    /// What the head said of it.
    promised: Option<u64>,
    max_content: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Framing,
    Control,
    /// A section begins: its length, in the known-length form.
    Section(Section),
    /// Within a section, of which so many bytes are left in the known-length form.
    Fields(Section, u64),
    /// The length of the content, or of its next piece.
    ContentLength,
    Content(u64),
    Padding,
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Interim,
    Header,
    Trailer,
}

impl<H: Head> Reader<H> {
    pub(crate) fn new(max_content: u64) -> Self {
        Self {
            phase: Phase::Framing,
            indeterminate: false,
            control: None,
            head: None,
            interim: 0,
            pending: Vec::new(),
            content_len: 0,
            promised: None,
            max_content,
        }
    }

    /// The head, as soon as all of it has arrived; once.
    pub(crate) fn take_head(&mut self) -> Option<H> {
        self.head.take()
    }

    /// Takes the next piece and appends what it has of the content to `content`.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`] or [`Error::TooLarge`]; the reader is then of no further use.
    pub(crate) fn push(&mut self, mut piece: &[u8], content: &mut Vec<u8>) -> Result<()> {
        loop {
            if let Phase::Content(left) = self.phase {
                // What was taken for the head's next element comes first.
                let mut from_pending = std::mem::take(&mut self.pending);
                let taken = self.take_content(left, &from_pending, content);
                from_pending.drain(..taken);
                self.pending = from_pending;
                if self.pending.is_empty()
                    && let Phase::Content(left) = self.phase
                {
                    let taken = self.take_content(left, piece, content);
                    piece = piece.get(taken..).unwrap_or_default();
                }
                if matches!(self.phase, Phase::Content(_)) {
                    return Ok(());
                }
            } else if self.phase == Phase::Padding {
                if self.pending.iter().chain(piece).any(|byte| *byte != 0) {
                    return Err(Error::Malformed(&"something follows a Binary HTTP message"));
                }
                self.pending.clear();
                return Ok(());
            } else if !self.step()? {
                if piece.is_empty() {
                    return Ok(());
                }
                // Content itself is never taken for a next element, only its length.
                let step = if self.phase == Phase::ContentLength { 1 } else { STEP };
                let (next, rest) = piece.split_at(piece.len().min(step));
                self.pending.extend_from_slice(next);
                piece = rest;
            }
        }
    }

    /// Says that nothing follows: the head if it was not taken yet.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the message is not complete; sections at its end that are empty may be left out (RFC 9292 §3.8).
    pub(crate) fn finish(&mut self) -> Result<()> {
        let at_start_of_section = match self.phase {
            Phase::Padding | Phase::Section(Section::Header | Section::Trailer) => true,
            Phase::ContentLength => !self.indeterminate || self.content_len == 0,
            Phase::Fields(Section::Header, _) => {
                self.indeterminate && self.control.as_ref().is_some_and(|h| h.headers().is_empty())
            }
            Phase::Fields(Section::Trailer, _) => self.indeterminate,
            _ => false,
        };
        if !at_start_of_section || !self.pending.is_empty() {
            return Err(Error::Truncated);
        }
        if let Some(head) = self.control.take() {
            self.complete_head(head)?;
        }
        self.check_length()?;
        self.phase = Phase::Padding;
        Ok(())
    }

    fn take_content(&mut self, left: u64, from: &[u8], content: &mut Vec<u8>) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(from.len());
        content.extend_from_slice(from.get(..taken).unwrap_or_default());
        let left = left - taken as u64;
        self.phase = match left {
            0 if self.indeterminate => Phase::ContentLength,
            0 => Phase::Section(Section::Trailer),
            left => Phase::Content(left),
        };
        taken
    }

    /// Reads the next element of the pending bytes; false if it is not complete.
    fn step(&mut self) -> Result<bool> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut bytes = Bytes(&pending);
        let next = self.element(&mut bytes)?;
        if let Some(next) = next {
            let left = bytes.0.len();
            pending.drain(..pending.len() - left);
            self.phase = next;
        }
        self.pending = pending;
        Ok(next.is_some())
    }

    /// The phase after the next element; `None` if that is not complete.
    fn element(&mut self, bytes: &mut Bytes<'_>) -> Result<Option<Phase>> {
        Ok(Some(match self.phase {
            Phase::Framing => {
                let Some(framing) = bytes.varint() else { return Ok(None) };
                let form = H::FRAMINGS.iter().position(|known| *known == framing);
                self.indeterminate = form.ok_or(Error::Malformed(&"another framing of Binary HTTP"))? == 1;
                Phase::Control
            }
            Phase::Control => match H::read_control(bytes)? {
                None => return Ok(None),
                Some(Control::Final(head)) => {
                    self.control = Some(head);
                    Phase::Section(Section::Header)
                }
                Some(Control::Interim) if self.interim < MAX_INTERIM => {
                    self.interim += 1;
                    Phase::Section(Section::Interim)
                }
                Some(Control::Interim) => {
                    return Err(Error::TooLarge(&"a response has at most 16 interim ones"));
                }
            },
            Phase::Section(section) if self.indeterminate => Phase::Fields(section, MAX_SECTION),
            Phase::Section(section) => match bytes.varint() {
                None => return Ok(None),
                Some(len) if len > MAX_SECTION => return Err(Error::TooLarge(&"a section of fields")),
                Some(len) => Phase::Fields(section, len),
            },
            Phase::Fields(section, 0) if !self.indeterminate => self.end_of(section)?,
            Phase::Fields(section, left) => {
                let before = bytes.0.len();
                let Some(name) = self.within(left, bytes)? else { return Ok(None) };
                if name.is_empty() && self.indeterminate {
                    return self.end_of(section).map(Some);
                }
                let Some(value) = self.within(left, bytes)? else { return Ok(None) };
                let left = left.checked_sub((before - bytes.0.len()) as u64).ok_or(TRUNCATED_LENGTH)?;
                self.field(section, name, value)?;
                Phase::Fields(section, left)
            }
            Phase::ContentLength => match bytes.varint() {
                None => return Ok(None),
                Some(0) => Phase::Section(Section::Trailer),
                Some(len) => {
                    self.content_len = self.content_len.saturating_add(len);
                    if self.content_len > self.max_content {
                        return Err(Error::TooLarge(&"a message's content"));
                    }
                    Phase::Content(len)
                }
            },
            Phase::Content(_) | Phase::Padding => self.phase,
        }))
    }

    /// A string of a section of which `left` bytes are left.
    fn within<'b>(&self, left: u64, bytes: &mut Bytes<'b>) -> Result<Option<&'b [u8]>> {
        bytes.string(left).map_err(|error| if self.indeterminate { error } else { TRUNCATED_LENGTH })
    }

    fn field(&mut self, section: Section, name: &[u8], value: &[u8]) -> Result<()> {
        let name = std::str::from_utf8(name).map_err(|_| Error::Malformed(&"a field name is not a token"))?;
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) || Headers::is_hop_by_hop(name) {
            return Err(Error::Malformed(&"a field of another name than sealed messages have"));
        }
        match (section, &mut self.control) {
            (Section::Header, Some(head)) => head.headers_mut().add(name, value),
            (Section::Trailer, _) => Err(Error::Unsupported(&"trailer fields")),
            _ => Ok(()),
        }
    }

    fn end_of(&mut self, section: Section) -> Result<Phase> {
        Ok(match section {
            Section::Interim => Phase::Control,
            Section::Header => {
                let head = self.control.take().ok_or(Error::Truncated)?;
                self.complete_head(head)?;
                Phase::ContentLength
            }
            Section::Trailer => {
                self.check_length()?;
                Phase::Padding
            }
        })
    }

    /// A head that says how long the content is must be right, and above the limit it is refused at once.
    fn complete_head(&mut self, head: H) -> Result<()> {
        if let Some(promised) = head.content_length()? {
            if promised > self.max_content {
                return Err(Error::TooLarge(&"a message's content"));
            }
            self.promised = Some(promised);
        }
        self.head = Some(head);
        Ok(())
    }

    fn check_length(&self) -> Result<()> {
        if self.promised.is_none_or(|promised| promised == self.content_len) {
            Ok(())
        } else {
            Err(Error::Malformed(&"a content-length that is not the content's"))
        }
    }
}

#[cfg(test)]
mod tests;
