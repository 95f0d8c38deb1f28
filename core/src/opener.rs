//! What to open with: keys, context and whom to expect, and from them the keys of an existing body.

use crate::about::About;
use crate::chunks::{BodyKey, ChunkKey, HEAD_LEN};
use crate::content_key::ContentKey;
use crate::context::{SealContext, part_digest};
use crate::envelope::Header;
use crate::error::{Error, Result};
use crate::identity::Unlock;
use crate::layout::Layout;
use crate::sealer::SignedParts;
use crate::suite::Signer;

/// Opens with more than the defaults: whom to expect, a named part, streams, detached bodies.
///
/// ```
/// # use sealwire::{Expect, Identity, Opener, SealContext, Sealer};
/// # let (alice, bob) = (Identity::generate()?, Identity::generate()?);
/// # let context = SealContext::new("notes").field("17");
/// # let envelope = Sealer::new(&context).to(bob.recipient()).sign(&alice).seal(b"hello")?;
/// let opened = Opener::new(&bob, &context).expect(Expect::OneOf(vec![alice.signer()])).open(&envelope)?;
/// assert_eq!(opened.plaintext, b"hello");
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Opener<'a> {
    pub(crate) keys: &'a dyn Unlock,
    pub(crate) context: &'a SealContext,
    pub(crate) part: &'a str,
    expect: Expect,
}

/// Whom a reader expects to have signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Expect {
    /// Anybody, also nobody: anybody who knows a recipient may have written the envelope. A signature that is
    /// there still has to be right.
    #[default]
    Anyone,
    /// One of these signers; anybody else, and the unsigned, are [`Error::Rejected`].
    OneOf(Vec<Signer>),
}

/// Who signed, after everything was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedBy {
    /// This key signed exactly this payload, for exactly this context.
    Verified(Signer),
    /// Nobody signed: anybody who knows a recipient may have written the envelope.
    Unsigned,
}

/// What is known once everything was verified, next to the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// Who signed the payload.
    pub signer: SignedBy,
    /// What the sealer said about it.
    pub about: About,
}

impl<'a> Opener<'a> {
    /// An opener with these keys, for envelopes of this context.
    #[must_use]
    pub fn new(keys: &'a dyn Unlock, context: &'a SealContext) -> Self {
        Self { keys, context, expect: Expect::Anyone, part: "" }
    }

    /// Says who may have signed. The default is [`Expect::Anyone`].
    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// Names the body, as the sealer did.
    #[must_use]
    pub fn part(mut self, part: &'a str) -> Self {
        self.part = part;
        self
    }

    /// Steps 2 and 3 of SPEC §11: unlocks, and reads the private block.
    pub(crate) fn begin(&self, header: &Header<'_>) -> Result<Unlocked> {
        let context = self.context.digest()?;
        let part = part_digest(self.part)?;
        let key = header.unlock(self.keys)?;
        let private = key.open_private(header)?;
        if let Expect::OneOf(signers) = &self.expect
            && !private.signer.is_some_and(|signer| signers.contains(&signer))
        {
            return Err(Error::Rejected);
        }
        Ok(Unlocked {
            body_key: key.body_key(header.aead, &context, &part),
            signed: SignedParts { h_fixed: *key.h_fixed(), context, part },
            layout: Layout { padded: header.padded, signed: private.signer.is_some() },
            signer: private.signer,
            about: About::of(header, private, key.fingerprint),
            key,
        })
    }
}

/// An envelope whose header is verified and whose body is not.
pub(crate) struct Unlocked {
    pub(crate) key: ContentKey,
    pub(crate) layout: Layout,
    pub(crate) about: About,
    body_key: BodyKey,
    signed: SignedParts,
    signer: Option<Signer>,
}

impl Unlocked {
    /// Step 4 of SPEC §11: the commitment.
    pub(crate) fn body(&self, head: &[u8; HEAD_LEN]) -> Result<ChunkKey> {
        self.body_key.resume(head)
    }

    /// Step 5 of SPEC §11: the signature, among the last bytes of the plaintext.
    pub(crate) fn verify(&self, payload_hash: impl FnOnce() -> [u8; 32], tail: &[u8]) -> Result<SignedBy> {
        let Some(signer) = self.signer else { return Ok(SignedBy::Unsigned) };
        let signature = self.layout.signature(tail).ok_or(Error::Rejected)?;
        signer.verify(&self.signed.message(&payload_hash()), signature)?;
        Ok(SignedBy::Verified(signer))
    }
}
