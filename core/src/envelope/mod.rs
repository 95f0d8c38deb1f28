//! The header: bytes to structure and back, with every limit, and no cryptography (SPEC §1, §2).

mod metadata;
mod private;
mod text;

pub use metadata::{Metadata, MetadataValue};
pub(crate) use private::PrivateBlock;
pub(crate) use text::{from_base64, to_base64};
pub use text::{from_text, to_text};

use crate::cbor::{self, BytesHead, IntMap, Writer, bytes_head};
use crate::error::{Error, Result};
use crate::identity::{Slot, SlotKind, parse_slots};
use crate::suite::Aead;
use std::io::Read;

/// The first bytes of every envelope. The last one is the version of the format, the only one there is.
pub(crate) const MAGIC: &[u8; 9] = b"sealwire\x01";
/// The magic in text form (SPEC §13).
const TEXT_MAGIC: &[u8; 12] = b"c2VhbHdpcmUB";
pub(crate) const SLOTS_TAG_LEN: usize = 32;
const MAX_HEADER: u64 = 2 * 1024 * 1024;

const ID: i128 = 0;
const AEAD: i128 = 1;
const PADDING: i128 = 2;
const PRIVATE: i128 = 3;
const METADATA: i128 = 4;
const PADME: u64 = 1;

/// The front of an envelope: what it is, who can open it, and the tag that ties the two together.
///
/// It borrows from the envelope's bytes. **Nothing in it is verified** before a key has opened a slot
/// ([`Header::unlock`]): its fields are what a stranger claims, and are named so. Source: SPEC §1, §2.
///
/// ```
/// use sealwire::{Header, Identity, SealContext, seal};
///
/// let bob = Identity::generate()?;
/// let context = SealContext::new("notes").field("17");
/// let envelope = seal(b"hello", &[bob.recipient()], &context)?;
/// let header = Header::parse(&envelope)?;
/// assert_eq!(header.unverified_slots().count(), 1);
/// # Ok::<(), sealwire::Error>(())
/// ```
pub struct Header<'b> {
    /// magic ‖ FIXED.
    pub(crate) fixed: &'b [u8],
    /// The map inside FIXED.
    pub(crate) fixed_map: IntMap<'b>,
    /// SLOTS.
    pub(crate) slots_bytes: &'b [u8],
    pub(crate) slots: Vec<Slot<'b>>,
    pub(crate) tag: &'b [u8; SLOTS_TAG_LEN],
    pub(crate) id: &'b [u8; 32],
    pub(crate) aead: Aead,
    pub(crate) padded: bool,
    pub(crate) private: Option<&'b [u8]>,
    pub(crate) metadata: Metadata,
    len: usize,
}

impl<'b> Header<'b> {
    /// Reads the header at the front of `bytes`, which may go on with the body.
    ///
    /// Takes time and memory in proportion to the header's real size, at most 2 MiB. No key is touched.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`], [`Error::Truncated`] or [`Error::TooLarge`], as SPEC §1 to §4 say.
    pub fn parse(bytes: &'b [u8]) -> Result<Self> {
        let Frame { fixed, slots, end } = Frame::find(bytes)?.ok_or(Error::Truncated)?;
        let part = |from: usize, to: usize| bytes.get(from..to).ok_or(Error::Truncated);
        let tag = part(slots.end, end)?.try_into().map_err(|_| Error::Truncated)?;
        let fixed_content = part(fixed.content, fixed.end)?;
        let slots_content = part(slots.content, slots.end)?;
        cbor::check(fixed_content)?;
        cbor::check(slots_content)?;

        let map = IntMap::view(fixed_content)?;
        if map.has_critical_beside(&[ID, AEAD, PADDING, PRIVATE, METADATA])? {
            return Err(Error::Unsupported(&"a critical field of the fixed part"));
        }
        let private = map.optional(PRIVATE, cbor::bytes)?;
        private.map_or(Ok(()), private::check_length)?;
        Ok(Self {
            fixed: part(0, fixed.end)?,
            fixed_map: map,
            slots_bytes: part(fixed.end, slots.end)?,
            slots: parse_slots(slots_content)?,
            tag,
            id: map.field(ID, cbor::fixed_bytes)?,
            aead: Aead::with_id(map.field(AEAD, cbor::uint)?)?,
            padded: match map.optional(PADDING, cbor::uint)? {
                None => false,
                Some(PADME) => true,
                Some(_) => return Err(Error::Unsupported(&"another padding")),
            },
            private,
            metadata: map.optional(METADATA, Metadata::read)?.unwrap_or_default(),
            len: end,
        })
    }

    /// How many bytes the header takes; the body follows.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // A header is never empty.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The envelope id that the header claims.
    #[must_use]
    pub fn unverified_id(&self) -> &[u8; 32] {
        self.id
    }

    /// The AEAD of the body, as the header claims.
    #[must_use]
    pub fn unverified_aead(&self) -> Aead {
        self.aead
    }

    /// Whether the body is padded, as the header claims.
    #[must_use]
    pub fn unverified_padded(&self) -> bool {
        self.padded
    }

    /// How many bytes the private block takes, encrypted; `None` if there is none.
    #[must_use]
    pub fn unverified_private_block_len(&self) -> Option<usize> {
        self.private.map(<[u8]>::len)
    }

    /// The public metadata that the header claims.
    #[must_use]
    pub fn unverified_metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The slots that the header claims.
    pub fn unverified_slots(&self) -> impl Iterator<Item = &SlotKind<'b>> {
        self.slots.iter().map(|slot| &slot.kind)
    }
}

/// Where the pieces of a header begin and end.
struct Frame {
    fixed: ByteString,
    slots: ByteString,
    end: usize,
}

struct ByteString {
    content: usize,
    end: usize,
}

impl Frame {
    /// `None` if `bytes` ends before both lengths are known. Checks the claimed lengths against the limit at once.
    fn find(bytes: &[u8]) -> Result<Option<Self>> {
        let (magic, version) = MAGIC.split_at(8);
        if bytes.starts_with(TEXT_MAGIC) {
            return Err(Error::Malformed(&"this is the text form: from_text first"));
        }
        if !magic.starts_with(bytes.get(..8).unwrap_or(bytes)) {
            return Err(Error::Malformed(&"not a Sealwire envelope"));
        }
        match bytes.get(8..9) {
            None => return Ok(None),
            Some(found) if found != version => {
                return Err(Error::Unsupported(&"another version of the format"));
            }
            Some(_) => {}
        }
        let Some(fixed) = Self::byte_string(bytes, MAGIC.len())? else { return Ok(None) };
        let Some(slots) = Self::byte_string(bytes, fixed.end)? else { return Ok(None) };
        let end = slots.end + SLOTS_TAG_LEN;
        if end as u64 > MAX_HEADER {
            return Err(Error::TooLarge(&"a header has at most 2 MiB"));
        }
        Ok(Some(Self { fixed, slots, end }))
    }

    /// How long a header that begins like this is at least, for readers that must not read further.
    fn at_least(bytes: &[u8]) -> Result<usize> {
        let fixed_end = match bytes.len() < MAGIC.len() {
            true => None,
            false => Self::byte_string(bytes, MAGIC.len())?.map(|fixed| fixed.end),
        };
        Ok(fixed_end.unwrap_or(MAGIC.len()) + 1 + SLOTS_TAG_LEN)
    }

    fn byte_string(bytes: &[u8], start: usize) -> Result<Option<ByteString>> {
        let BytesHead::Known { head, content } = bytes_head(bytes.get(start..).unwrap_or_default())? else {
            return Ok(None);
        };
        match usize::try_from(content) {
            Ok(content_len) if content <= MAX_HEADER => {
                let content = start + head;
                Ok(Some(ByteString { content, end: content + content_len }))
            }
            _ => Err(Error::TooLarge(&"a header has at most 2 MiB")),
        }
    }
}

/// How long the header at the front of `bytes` is, for readers that receive it in pieces; `None` if more bytes are needed to tell.
///
/// # Errors
/// As soon as the bytes at hand cannot be the front of an acceptable envelope: [`Error::Malformed`], [`Error::Unsupported`], [`Error::TooLarge`].
///
/// ```
/// # use sealwire::{Identity, SealContext, header_len, seal};
/// # let bob = Identity::generate()?;
/// let envelope = seal(b"hello", &[bob.recipient()], &SealContext::new("notes"))?;
/// assert_eq!(header_len(&envelope[..20])?, None);
/// assert!(header_len(&envelope)?.is_some_and(|len| len < envelope.len()));
/// # Ok::<(), sealwire::Error>(())
/// ```
pub fn header_len(bytes: &[u8]) -> Result<Option<usize>> {
    Ok(Frame::find(bytes)?.map(|frame| frame.end))
}

/// A header with nothing after it.
pub(crate) fn whole_header(bytes: &[u8]) -> Result<Header<'_>> {
    let header = Header::parse(bytes)?;
    if header.len() == bytes.len() {
        Ok(header)
    } else {
        Err(Error::Malformed(&"something follows the header"))
    }
}

/// Reads the header from the front of `source`, and not a byte of the body: what [`Header::parse`] and the detached readers take.
///
/// # Errors
/// [`Error::Truncated`] if the source ends before the header does, [`Error::Store`] if it fails, and [`Error::Malformed`],
/// [`Error::Unsupported`] or [`Error::TooLarge`] as soon as it cannot be the front of an acceptable envelope.
pub fn read_header(source: &mut impl Read) -> Result<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        // While the length is not known, less is asked for than any header still has.
        let wanted = match header_len(&received)? {
            Some(len) if received.len() >= len => return Ok(received),
            Some(len) => len - received.len(),
            None => Frame::at_least(&received)?.saturating_sub(received.len()).max(1),
        };
        if source.take(wanted as u64).read_to_end(&mut received)? == 0 {
            return Err(Error::Truncated);
        }
    }
}

/// Cuts an envelope into header and body, to be stored apart (a row in a database, an object in a store).
///
/// # Errors
/// Those of [`Header::parse`].
pub fn split(envelope: &[u8]) -> Result<(&[u8], &[u8])> {
    let len = Header::parse(envelope)?.len;
    envelope.split_at_checked(len).ok_or(Error::Truncated)
}

/// Puts a header and a body together again. Nothing is checked: opening does that.
#[must_use]
pub fn join(header: &[u8], body: &[u8]) -> Vec<u8> {
    [header, body].concat()
}

/// What a sealer puts into the fixed part.
pub(crate) struct FixedPart<'a> {
    pub(crate) id: &'a [u8; 32],
    pub(crate) aead: Aead,
    pub(crate) padded: bool,
    pub(crate) metadata: &'a Metadata,
}

impl FixedPart<'_> {
    /// magic ‖ FIXED, with the private block or without.
    pub(crate) fn encode(&self, private: Option<&[u8]>) -> Result<Vec<u8>> {
        let metadata = self.metadata.encode()?;
        let count =
            2 + usize::from(self.padded) + usize::from(private.is_some()) + usize::from(metadata.is_some());
        let mut map = Writer::default().map(count).uint(0).bytes(self.id).uint(1).uint(self.aead.id());
        if self.padded {
            map = map.uint(2).uint(PADME);
        }
        if let Some(private) = private {
            map = map.uint(3).bytes(private);
        }
        if let Some(metadata) = metadata {
            map = map.uint(4).encoded(&metadata);
        }
        Ok(with_magic(&map.done()))
    }
}

/// magic ‖ the map as a byte string.
fn with_magic(map: &[u8]) -> Vec<u8> {
    [MAGIC, Writer::default().bytes(map).done().as_slice()].concat()
}

/// magic ‖ FIXED', the associated data of the private block: the fixed part without it.
pub(crate) fn fixed_without_private(header: &Header<'_>) -> Result<Vec<u8>> {
    Ok(with_magic(&header.fixed_map.without(&[PRIVATE])?))
}

/// The array of slots as a byte string: SLOTS.
pub(crate) fn encode_slots(array: &[u8]) -> Vec<u8> {
    Writer::default().bytes(array).done()
}

/// A whole header from its pieces, refused if a reader would refuse it for its size.
pub(crate) fn assemble(fixed: &[u8], slots: &[u8], tag: &[u8; SLOTS_TAG_LEN]) -> Result<Vec<u8>> {
    let header = [fixed, slots, tag].concat();
    if header.len() as u64 > MAX_HEADER {
        return Err(Error::TooLarge(&"a header has at most 2 MiB"));
    }
    Ok(header)
}
