//! What to seal with: the options, and from them the header of a new envelope.

use crate::about::About;
use crate::chunks::{BodyKey, ChunkKey, HEAD_LEN};
use crate::content_key::ContentKey;
use crate::context::{SealContext, part_digest};
use crate::envelope::{FixedPart, Metadata, MetadataValue, PrivateBlock, assemble, encode_slots};
use crate::error::Result;
use crate::identity::{Identity, Recipients, lock_all};
use crate::layout::{Layout, MAX_PADDED};
use crate::suite::{Aead, SIGNATURE_LEN, SigningKey, label, random_array};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seals with more than the defaults: several kinds of readers, a signature, metadata.
///
/// Every default is the safe one: padded, post-quantum for X-Wing recipients, nothing in clear. Use
/// [`seal`](crate::seal()) where the defaults are enough. One `Sealer` may seal many payloads; each gets its own key.
///
/// ```
/// use sealwire::{Expect, Identity, Opener, SealContext, Sealer, SignedBy};
///
/// let (alice, bob) = (Identity::generate()?, Identity::generate()?);
/// let context = SealContext::new("notes").field("17");
/// let envelope = Sealer::new(&context)
///     .to(bob.recipient())
///     .sign(&alice)
///     .metadata("version", 3_u64)
///     .seal(b"Dear Bob")?;
///
/// let opened = Opener::new(&bob, &context).expect(Expect::OneOf(vec![alice.signer()])).open(&envelope)?;
/// assert_eq!(opened.plaintext, b"Dear Bob");
/// assert_eq!(opened.signer, SignedBy::Verified(alice.signer()));
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Sealer<'a> {
    pub(crate) context: &'a SealContext,
    pub(crate) recipients: Recipients<'a>,
    pub(crate) signer: Option<&'a Identity>,
    pub(crate) metadata: Metadata,
    pub(crate) created: Option<u64>,
    pub(crate) content_type: Option<String>,
    pub(crate) filename: Option<String>,
    /// The machine's preference unless chosen.
    pub(crate) aead: Option<Aead>,
    pub(crate) padded: bool,
    pub(crate) part: &'a str,
}

impl<'a> Sealer<'a> {
    /// A sealer for payloads of this context, and for nobody yet.
    #[must_use]
    pub fn new(context: &'a SealContext) -> Self {
        Self {
            context,
            recipients: Recipients::new(),
            signer: None,
            metadata: Metadata::default(),
            created: None,
            content_type: None,
            filename: None,
            aead: None,
            padded: true,
            part: "",
        }
    }

    /// Adds readers: `&bob`, `&[bob, carol]`, or [`Recipients`] with passphrases, keys and services.
    #[must_use]
    pub fn to(mut self, recipients: impl Into<Recipients<'a>>) -> Self {
        self.recipients = self.recipients.merge(recipients.into());
        self
    }

    /// Signs, so that readers can tell who wrote it. Without a signer anybody who knows a recipient may have written the
    /// envelope. Neither signer nor signature is visible to the server; the named recipients are listed to the readers
    /// as the audience. Ed25519 is not post-quantum. Source: SPEC §8.
    #[must_use]
    pub fn sign(mut self, identity: &'a Identity) -> Self {
        self.signer = Some(identity);
        self
    }

    /// Adds **public** metadata: authenticated, not encrypted. See [`Metadata`] for the limits.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: impl Into<MetadataValue>) -> Self {
        self.metadata.insert(key, value);
        self
    }

    /// States, to the readers only, when the payload was made: seconds since 1970-01-01T00:00:00Z. It is the sealer's claim.
    #[must_use]
    pub fn created(mut self, unix_seconds: u64) -> Self {
        self.created = Some(unix_seconds);
        self
    }

    /// States the payload's media type to the readers only; 1 to 255 bytes.
    #[must_use]
    pub fn content_type(mut self, media_type: &str) -> Self {
        self.content_type = Some(media_type.into());
        self
    }

    /// States a file name to the readers only; 1 to 255 bytes, a name and not a path.
    #[must_use]
    pub fn filename(mut self, name: &str) -> Self {
        self.filename = Some(name.into());
        self
    }

    /// Chooses the body's AEAD. The default is [`Aead::preferred`] on this machine.
    #[must_use]
    pub fn aead(mut self, aead: Aead) -> Self {
        self.aead = Some(aead);
        self
    }

    /// Chooses ChaCha20-Poly1305, which is fast and constant time in browsers too.
    #[must_use]
    pub fn for_web(self) -> Self {
        self.aead(Aead::ChaCha20Poly1305)
    }

    /// Leaves the padding out: the envelope then shows the payload's exact length. Streams are never padded.
    #[must_use]
    pub fn unpadded(mut self) -> Self {
        self.padded = false;
        self
    }

    /// Names the body; at most 255 bytes. See [`Sealer::seal_parts`].
    #[must_use]
    pub fn part(mut self, part: &'a str) -> Self {
        self.part = part;
        self
    }

    /// Takes over what another envelope says about its payload (metadata, creation time, content type, file name), where this
    /// sealer does not say something itself: for resealing a stream.
    #[must_use]
    pub fn keeping(mut self, about: &About) -> Self {
        for (key, value) in about.metadata.iter() {
            if self.metadata.find(key).is_none() {
                self.metadata.insert(key, value.clone());
            }
        }
        self.created = self.created.or(about.created);
        self.content_type = self.content_type.or_else(|| about.content_type.clone());
        self.filename = self.filename.or_else(|| about.filename.clone());
        self
    }

    /// Payloads of up to 1 GiB are padded, so that a reader of a stream never holds back more than a little.
    pub(crate) fn pads(&self, payload: u64) -> bool {
        self.padded && payload <= MAX_PADDED / 2
    }

    /// A fresh content key and the header that locks it for everybody.
    pub(crate) fn begin(&self, padded: bool) -> Result<Begun> {
        let context = self.context.digest()?;
        let aead = self.aead.unwrap_or_else(Aead::preferred);
        let mut key = ContentKey::generate(random_array()?)?;
        let fixed = self.fixed_part(&mut key, aead, padded)?;
        let slots = lock_all(&self.recipients, key.key(), key.envelope_id(), key.h_fixed())?;
        let slots = encode_slots(&slots);
        let header = assemble(&fixed, &slots, &key.slots_tag(&slots))?;
        let layout = Layout { padded, signed: self.signer.is_some() };
        let signer = self.signer.map(|identity| Arc::clone(&identity.signing));
        Ok(Begun { header, key, aead, context, signer, layout })
    }

    /// magic ‖ FIXED, with the private block encrypted in it.
    fn fixed_part(&self, key: &mut ContentKey, aead: Aead, padded: bool) -> Result<Vec<u8>> {
        let private = PrivateBlock {
            signer: self.signer.map(Identity::signer),
            created: self.created,
            content_type: self.content_type.clone(),
            filename: self.filename.clone(),
            audience: if self.signer.is_some() { self.recipients.audience() } else { Vec::new() },
        };
        let id = *key.envelope_id();
        let part = FixedPart { id: &id, aead, padded, metadata: &self.metadata };
        let mut fixed = part.encode(None)?;
        if let Some(plaintext) = private.encode()?.map(Zeroizing::new) {
            fixed = part.encode(Some(&key.seal_private(&fixed, &plaintext)))?;
        }
        key.bind(&fixed);
        Ok(fixed)
    }
}

/// A new envelope whose header is written and whose bodies are not.
pub(crate) struct Begun {
    pub(crate) header: Vec<u8>,
    pub(crate) layout: Layout,
    key: ContentKey,
    aead: Aead,
    context: [u8; 32],
    signer: Option<Arc<SigningKey>>,
}

impl Begun {
    /// The head and the key of one body, and what signs it.
    pub(crate) fn body(&self, part: &str) -> Result<([u8; HEAD_LEN], ChunkKey, BodySigner)> {
        let part = part_digest(part)?;
        let key: BodyKey = self.key.body_key(self.aead, &self.context, &part);
        let (head, chunk_key) = key.start()?;
        let signed = SignedParts { h_fixed: *self.key.h_fixed(), context: self.context, part };
        Ok((head, chunk_key, BodySigner { signer: self.signer.clone(), signed }))
    }
}

/// Signs one body when its payload's hash is known.
pub(crate) struct BodySigner {
    signer: Option<Arc<SigningKey>>,
    signed: SignedParts,
}

impl BodySigner {
    /// The signature, or nothing.
    pub(crate) fn sign(&self, payload_hash: impl FnOnce() -> [u8; 32]) -> Option<[u8; SIGNATURE_LEN]> {
        self.signer.as_ref().map(|signing| signing.sign(&self.signed.message(&payload_hash())))
    }

    pub(crate) fn is_signing(&self) -> bool {
        self.signer.is_some()
    }
}

/// What a signature covers besides the payload (SPEC §8).
pub(crate) struct SignedParts {
    pub(crate) h_fixed: [u8; 32],
    pub(crate) context: [u8; 32],
    pub(crate) part: [u8; 32],
}

impl SignedParts {
    pub(crate) fn message(&self, payload_hash: &[u8; 32]) -> Vec<u8> {
        [label::SIGNATURE, &self.h_fixed, &self.context, &self.part, payload_hash].concat()
    }
}
