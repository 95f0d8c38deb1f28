//! Seal, open, rewrap, reseal: the whole story on one page.

use crate::about::About;
use crate::chunks::{HEAD_LEN, plain_len, sealed_len};
use crate::context::SealContext;
use crate::envelope::{Header, assemble, encode_slots, join, split, whole_header};
use crate::error::{Error, Result};
use crate::identity::{Recipients, Unlock, lock_all};
use crate::opener::{Finished, Opener, SignedBy, Unlocked};
use crate::sealer::{Begun, Sealer};
use crate::suite::sha256;
use zeroize::{Zeroize, Zeroizing};

/// Seals `plaintext` to `recipients`, for `context`.
///
/// The result is an envelope: only who is on the list can read it, nobody can change it unnoticed, and it opens only
/// for the same context. It is padded, and unsigned: anybody who knows a recipient may have written it (see
/// [`Sealer::sign`]). It is 1.4 KB longer than the padded payload for one X-Wing recipient, 0.3 KB for an X25519 one.
///
/// # Errors
/// [`Error::Misuse`] if there is nobody to seal to, if X25519 and X-Wing recipients are mixed, or for a context over its
/// limits; [`Error::TooLarge`] for more than 1024 recipients.
///
/// Source: SPEC §1 to §7.
///
/// ```
/// use sealwire::{Identity, SealContext, open, seal};
///
/// let bob = Identity::generate()?;
/// let context = SealContext::new("notes").field("17");
/// let envelope = seal(b"hello Bob", &[bob.recipient()], &context)?;
/// assert_eq!(open(&envelope, &bob, &context)?.plaintext, b"hello Bob");
/// # Ok::<(), sealwire::Error>(())
/// ```
pub fn seal<'a>(
    plaintext: &[u8],
    recipients: impl Into<Recipients<'a>>,
    context: &'a SealContext,
) -> Result<Vec<u8>> {
    Sealer::new(context).to(recipients).seal(plaintext)
}

/// Opens `envelope` with `keys`, for `context`.
///
/// Nothing is returned before everything was verified. It accepts unsigned envelopes and any signer, and says which it
/// was; to insist on a signer use [`Opener::expect`].
///
/// # Errors
/// [`Error::NotRecipient`] if no key opens a slot; [`Error::Rejected`] for another context, and for data that was altered or cut
/// inside a chunk; [`Error::Truncated`] if it ends in the header or between two chunks; and [`Error::Malformed`],
/// [`Error::Unsupported`] or [`Error::TooLarge`] for a header that is not one.
///
/// Source: SPEC §11.
pub fn open(envelope: &[u8], keys: &dyn Unlock, context: &SealContext) -> Result<Opened> {
    Opener::new(keys, context).open(envelope)
}

/// Replaces who can open `envelope` by the complete list `recipients`; the payload's bytes stay as they are.
///
/// **This does not revoke**: somebody who is no longer on the list may have kept the content key. [`reseal`] does, for
/// what is written from then on. A signature stays valid.
///
/// # Errors
/// Those of [`open`] for keys, context and header, and of [`seal`](seal()) for the list.
///
/// Source: SPEC §12.
///
/// ```
/// # use sealwire::{Identity, SealContext, open, rewrap, seal};
/// # let (bob, carol) = (Identity::generate()?, Identity::generate()?);
/// # let context = SealContext::new("notes").field("17");
/// # let envelope = seal(b"hello", &[bob.recipient()], &context)?;
/// let shared = rewrap(&envelope, &bob, &context, &[bob.recipient(), carol.recipient()])?;
/// assert_eq!(open(&shared, &carol, &context)?.plaintext, b"hello");
/// # Ok::<(), sealwire::Error>(())
/// ```
pub fn rewrap<'r>(
    envelope: &[u8],
    keys: &dyn Unlock,
    context: &SealContext,
    recipients: impl Into<Recipients<'r>>,
) -> Result<Vec<u8>> {
    Opener::new(keys, context).rewrap(envelope, recipients)
}

/// Opens `envelope` and seals its payload anew, with a new key, to the complete list `recipients`: the only revocation.
/// Metadata, content type, file name, creation time, padding and AEAD are kept. The new envelope is unsigned.
///
/// # Errors
/// Those of [`open`] and [`seal`](seal()); [`Error::Misuse`] if the envelope is signed, since the signature cannot be
/// carried over: sign anew with [`Sealer::reseal`].
///
/// Source: SPEC §12.
pub fn reseal<'a>(
    envelope: &[u8],
    keys: &dyn Unlock,
    context: &'a SealContext,
    recipients: impl Into<Recipients<'a>>,
) -> Result<Vec<u8>> {
    Sealer::new(context).to(recipients).reseal(envelope, &Opener::new(keys, context))
}

/// An opened envelope; everything in it was verified.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The payload.
    pub plaintext: Vec<u8>,
    /// Who signed it.
    pub signer: SignedBy,
    /// What the sealer said about it.
    pub about: About,
}

/// Without the plaintext, which does not belong in logs.
impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("signer", &self.signer).finish_non_exhaustive()
    }
}

/// A header and the bodies that it belongs to, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedParts {
    /// The header, to be kept with all bodies.
    pub header: Vec<u8>,
    /// One body per part.
    pub bodies: Vec<Vec<u8>>,
}

impl Sealer<'_> {
    /// Seals one payload: a whole envelope. Errors as for [`seal`](seal()).
    ///
    /// # Errors
    /// See [`seal`](seal()); also [`Error::TooLarge`] or [`Error::Misuse`] for metadata or private fields over their limits.
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut envelope = Vec::new();
        self.seal_into(plaintext, &mut envelope)?;
        Ok(envelope)
    }

    /// Like [`Sealer::seal`], into a buffer that is reused: its content is replaced, its memory kept.
    ///
    /// # Errors
    /// See [`Sealer::seal`]. The buffer's content is then unspecified, and never plaintext.
    pub fn seal_into(&self, plaintext: &[u8], envelope: &mut Vec<u8>) -> Result<()> {
        self.seal_behind(0, plaintext, envelope)
    }

    /// Like [`Sealer::seal_into`], with `room` bytes in front of the envelope for the caller to fill: a length, a type. What is in
    /// them is unspecified.
    ///
    /// # Errors
    /// See [`Sealer::seal_into`].
    pub fn seal_behind(&self, room: usize, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let begun = self.begin(self.pads(plaintext.len() as u64))?;
        seal_body(&begun, self.part, plaintext, room, &begun.header, out)
    }

    /// Seals several payloads under one header: the fields of a document, the pages of a file.
    ///
    /// Each is opened by itself with [`Opener::part`] and [`Opener::open_detached`], and cannot be taken for another.
    /// That none is missing is for the caller to check. Takes pairs of a part's name (at most 255 bytes, each once) and its payload.
    ///
    /// # Errors
    /// Those of [`Sealer::seal`]; [`Error::Misuse`] if a name comes twice.
    pub fn seal_parts(&self, parts: &[(&str, &[u8])]) -> Result<SealedParts> {
        let mut names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        if !names.is_sorted_by(|name, next| name < next) {
            return Err(Error::Misuse(&"two parts have the same name"));
        }
        let longest = parts.iter().map(|(_, payload)| payload.len()).max().unwrap_or_default();
        let begun = self.begin(self.pads(longest as u64))?;
        let seal_one = |(name, payload): &(&str, &[u8])| {
            let mut body = Vec::new();
            seal_body(&begun, name, payload, 0, &[], &mut body).map(|()| body)
        };
        let bodies = parts.iter().map(seal_one).collect::<Result<_>>()?;
        Ok(SealedParts { header: begun.header, bodies })
    }

    /// Opens `envelope` with `opener` and seals its payload anew to this sealer's recipients: a new key, id and body.
    ///
    /// Metadata, content type, file name, creation time, part, padding and AEAD are taken over; what this sealer sets itself
    /// comes first. A signed envelope needs a new signer, since the old signature cannot be carried over.
    ///
    /// **What you sign becomes yours.** A sealer that signs vouches for whatever `envelope` holds, also if somebody else wrote
    /// it, or nobody is known to have: give `opener` an [`Expect`](crate::Expect) of those whose content you want to sign.
    ///
    /// # Errors
    /// Those of [`Opener::open`] and [`Sealer::seal`]; [`Error::Misuse`] if `envelope` is signed and this sealer does not sign.
    pub fn reseal(&self, envelope: &[u8], opener: &Opener<'_>) -> Result<Vec<u8>> {
        let header = Header::parse(envelope)?;
        let mut plaintext = Zeroizing::new(Vec::new());
        let Finished { signer, about } = opener.open_into(envelope, &mut plaintext)?;
        if signer != SignedBy::Unsigned && self.signer.is_none() {
            return Err(Error::Misuse(&"the envelope is signed: reseal with a signer"));
        }
        let mut sealer = self.clone().keeping(&about);
        sealer.aead = self.aead.or(Some(header.unverified_aead()));
        sealer.padded = header.unverified_padded() && self.padded;
        if sealer.part.is_empty() {
            sealer.part = opener.part;
        }
        sealer.seal(&plaintext)
    }
}

/// Writes `front`, then the body of `payload`, into `out`, behind `room` bytes.
fn seal_body(
    begun: &Begun,
    part: &str,
    payload: &[u8],
    room: usize,
    front: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    let (head, key, signer) = begun.body(part)?;
    let signature = signer.sign(|| sha256(&[payload]));
    let signature = signature.as_ref().map_or(&[][..], |signature| signature);
    let closing = begun.layout.closing(payload.len() as u64, signature)?;
    let sealed = usize::try_from(sealed_len((payload.len() + closing.len()) as u64)?)
        .map_err(|_| Error::TooLarge(&"a payload for this machine's memory: use a stream"))?;
    let chunks_start = room.saturating_add(front.len() + HEAD_LEN);
    let len =
        chunks_start.checked_add(sealed).ok_or(Error::TooLarge(&"a payload for this machine's memory"))?;
    set_len(out, len);
    let (start, chunks) = out.split_at_mut(chunks_start);
    let (front_room, head_room) = start.split_at_mut(room).1.split_at_mut(front.len());
    front_room.copy_from_slice(front);
    head_room.copy_from_slice(&head);
    key.cipher().seal_run(0, chunks, |offset, text| copy_from_both(payload, &closing, offset, text))
}

/// Makes room in a buffer whose content will be overwritten: memory that comes zeroed from the system is not zeroed again.
fn set_len(buffer: &mut Vec<u8>, len: usize) {
    if buffer.capacity() < len {
        // It may hold an earlier payload.
        buffer.zeroize();
        *buffer = vec![0; len];
    } else {
        buffer.resize(len, 0);
    }
}

/// Fills `out` with what stands at `offset` of `first ‖ second`.
fn copy_from_both(first: &[u8], second: &[u8], offset: usize, out: &mut [u8]) {
    let from_first = first.get(offset..).unwrap_or_default();
    let from_second = second.get(offset.saturating_sub(first.len())..).unwrap_or_default();
    let (front, back) = out.split_at_mut(from_first.len().min(out.len()));
    front.iter_mut().zip(from_first).for_each(|(to, from)| *to = *from);
    back.iter_mut().zip(from_second).for_each(|(to, from)| *to = *from);
}

impl Opener<'_> {
    /// Opens a whole envelope. Errors as for [`open`].
    ///
    /// # Errors
    /// See [`open`]; [`Error::Rejected`] also for a signer who is not expected.
    pub fn open(&self, envelope: &[u8]) -> Result<Opened> {
        let mut plaintext = Vec::new();
        let Finished { signer, about } = self.open_into(envelope, &mut plaintext)?;
        Ok(Opened { plaintext, signer, about })
    }

    /// Like [`Opener::open`], into a buffer that is reused: its content is replaced, its memory kept.
    ///
    /// # Errors
    /// See [`Opener::open`]. The buffer is then wiped and empty.
    pub fn open_into(&self, envelope: &[u8], plaintext: &mut Vec<u8>) -> Result<Finished> {
        self.open_behind(0, envelope, plaintext)
    }

    /// Like [`Opener::open_into`], with `room` bytes in front of the payload for the caller to fill. What is in them is unspecified.
    ///
    /// # Errors
    /// See [`Opener::open_into`].
    pub fn open_behind(&self, room: usize, envelope: &[u8], out: &mut Vec<u8>) -> Result<Finished> {
        let opened = Header::parse(envelope).and_then(|header| {
            self.open_body(&header, envelope.get(header.len()..).unwrap_or_default(), room, out)
        });
        if opened.is_err() {
            out.zeroize();
        }
        opened
    }

    /// Opens a body that is stored apart from its header.
    ///
    /// # Errors
    /// See [`Opener::open`]; [`Error::Malformed`] if something follows the header.
    pub fn open_detached(&self, header: &[u8], body: &[u8]) -> Result<Opened> {
        let mut plaintext = Zeroizing::new(Vec::new());
        let Finished { signer, about } = self.open_body(&whole_header(header)?, body, 0, &mut plaintext)?;
        Ok(Opened { plaintext: std::mem::take(&mut plaintext), signer, about })
    }

    /// On an error `out` may hold what was not verified: the caller wipes it.
    fn open_body(
        &self,
        header: &Header<'_>,
        body: &[u8],
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<Finished> {
        let unlocked = self.begin(header)?;
        let (head, chunks) = body.split_first_chunk::<HEAD_LEN>().ok_or(Error::Truncated)?;
        let total = plain_len(chunks.len() as u64)?;
        unlocked.layout.check_total(total)?;
        let cipher = unlocked.body(head)?.cipher();
        let len = usize::try_from(total).ok().and_then(|total| total.checked_add(room));
        set_len(out, len.ok_or(Error::TooLarge(&"a body"))?);
        let plaintext = out.get_mut(room..).unwrap_or_default();
        cipher.open_run(0, chunks, plaintext)?;
        let (payload_len, signer) = verify_plaintext(&unlocked, plaintext)?;
        out.truncate(room + payload_len);
        Ok(Finished { signer, about: unlocked.about })
    }

    /// Replaces who can open `envelope`. See [`rewrap`](crate::rewrap()).
    ///
    /// # Errors
    /// See [`rewrap`](crate::rewrap()).
    pub fn rewrap<'r>(&self, envelope: &[u8], recipients: impl Into<Recipients<'r>>) -> Result<Vec<u8>> {
        let (header, body) = split(envelope)?;
        Ok(join(&self.rewrap_header(header, body, recipients)?, body))
    }

    /// Replaces who can open an envelope whose body is elsewhere: takes the header and (at least) the first 56 bytes of
    /// the body, and gives the new header. Its time does not depend on the body's size.
    ///
    /// The tag, and the body's commitment under this opener's context and part, are verified first, so that nobody can
    /// have the envelope of another row rewrapped to the wrong people.
    ///
    /// # Errors
    /// See [`rewrap`](crate::rewrap()); [`Error::Truncated`] if there are fewer than 56 bytes of the body.
    pub fn rewrap_header<'r>(
        &self,
        header: &[u8],
        body_front: &[u8],
        recipients: impl Into<Recipients<'r>>,
    ) -> Result<Vec<u8>> {
        let header = whole_header(header)?;
        let Unlocked { key, .. } = {
            let unlocked = self.begin(&header)?;
            let head = body_front.first_chunk::<HEAD_LEN>().ok_or(Error::Truncated)?;
            unlocked.body(head)?;
            unlocked
        };
        let slots = lock_all(&recipients.into(), key.key(), key.envelope_id(), key.h_fixed())?;
        let slots = encode_slots(&slots);
        let rewrapped = assemble(header.fixed, &slots, &key.slots_tag(&slots))?;
        // What is given away has been read back, as a reader will read it.
        Header::parse(&rewrapped)?.unlock(&key)?;
        Ok(rewrapped)
    }
}

/// Padding and signature of a whole plaintext: the payload's length and who signed it.
fn verify_plaintext(unlocked: &Unlocked, plaintext: &[u8]) -> Result<(usize, SignedBy)> {
    let layout = unlocked.layout;
    let (front, tail) = plaintext
        .len()
        .checked_sub(layout.tail_len())
        .and_then(|at| plaintext.split_at_checked(at))
        .ok_or(Error::Rejected)?;
    let payload_len = layout.payload_len(plaintext.len() as u64, tail)?;
    let payload_len = usize::try_from(payload_len).map_err(|_| Error::Rejected)?;
    let (payload, zeros) = front.split_at_checked(payload_len).ok_or(Error::Rejected)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(Error::Rejected);
    }
    Ok((payload_len, unlocked.verify(|| sha256(&[payload]), tail)?))
}
