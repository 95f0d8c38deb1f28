//! Sealed resources: bodies that a service stores for people and cannot read (SPEC §20).

mod list;

pub(crate) use list::Entry;

use super::last_seen::LastSeen;
use super::message::ResponseHead;
use super::pattern::Params;
use crate::context::SealContext;
use crate::envelope::{Header, from_text};
use crate::error::{Error, Result};
use crate::identity::{Identity, Recipient, Recipients, Unlock, UnlockBudget};
use crate::opener::{Expect, Opener, SignedBy};
use crate::seal::Opened;
use crate::sealer::Sealer;
use crate::suite::{Signer, hex};

/// The media type of an envelope.
pub const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.sealwire";

/// One kind of resource whose bodies are sealed to people and signed.
///
/// Its context is a namespace and a stable id, never the URL: so an envelope survives a domain move and is the same in a list.
/// Choose the id before you POST. Whoever reads says which senders they take: recipients' keys are public, so without that a server
/// could write a note of its own. Source: SPEC §20.
#[derive(Debug, Clone)]
pub struct SealedResource {
    namespace: String,
    id_parameter: String,
    recipients: Vec<Recipient>,
    senders: Vec<Signer>,
    list: Option<ListShape>,
}

#[derive(Debug, Clone)]
struct ListShape {
    id_member: String,
    envelope_member: String,
}

impl SealedResource {
    /// Resources of this namespace, whose id is the parameter of this name in the rule's pattern.
    #[must_use]
    pub fn new(namespace: &str, id_parameter: &str) -> Self {
        Self {
            namespace: namespace.into(),
            id_parameter: id_parameter.into(),
            recipients: Vec::new(),
            senders: Vec::new(),
            list: None,
        }
    }

    /// Who can read what is written, unless a request says otherwise.
    #[must_use]
    pub fn to(mut self, recipients: &[Recipient]) -> Self {
        self.recipients = recipients.to_vec();
        self
    }

    /// Whose writing is believed. Without any, nothing opens.
    #[must_use]
    pub fn senders(mut self, senders: &[Signer]) -> Self {
        self.senders = senders.to_vec();
        self
    }

    /// Responses are JSON arrays of objects; in each, `id_member` is the resource's id (text, or a number) and `envelope_member` the envelope
    /// in its text form.
    #[must_use]
    pub fn list(mut self, id_member: &str, envelope_member: &str) -> Self {
        self.list = Some(ListShape { id_member: id_member.into(), envelope_member: envelope_member.into() });
        self
    }

    pub(crate) fn is_list(&self) -> bool {
        self.list.is_some()
    }

    /// The context of the resource that a URL names.
    pub(crate) fn context(&self, params: &Params) -> Result<SealContext> {
        let id = params.iter().find(|(name, _)| *name == self.id_parameter).map(|(_, id)| id);
        let id =
            id.ok_or(Error::Misuse(&"the rule's pattern does not name the id: give the request a context"))?;
        Ok(self.context_of(id))
    }

    fn context_of(&self, id: &str) -> SealContext {
        SealContext::new(&self.namespace).field(id)
    }

    /// Seals and signs a body. `version` goes into the public metadata, for readers to compare.
    ///
    /// # Errors
    /// Those of [`Sealer::seal`].
    pub fn seal_body(
        &self,
        body: &[u8],
        content_type: Option<&str>,
        signer: &Identity,
        context: &SealContext,
        recipients: Option<&[Recipient]>,
        version: Option<u64>,
    ) -> Result<Vec<u8>> {
        let recipients = recipients.unwrap_or(&self.recipients);
        let mut sealer = Sealer::new(context).to(Recipients::from(recipients)).sign(signer);
        if let Some(version) = version {
            sealer = sealer.metadata("version", version);
        }
        if let Some(content_type) = content_type {
            sealer = sealer.content_type(content_type);
        }
        sealer.seal(body)
    }

    /// Opens the body of a response that has to be an envelope from one of the senders, and not older than what was seen.
    ///
    /// # Errors
    /// [`Error::Unsealed`] for a response of another status or media type, [`Error::Rejected`] for another sender, an unsigned one or an
    /// older version (none counts as 0), and those of [`open`](crate::open()).
    pub fn open_body(
        &self,
        head: &ResponseHead,
        body: &[u8],
        keys: &dyn Unlock,
        context: &SealContext,
        seen: &LastSeen,
    ) -> Result<Opened> {
        if !(200..300).contains(&head.status)
            || head.headers.text("content-type")? != Some(ENVELOPE_MEDIA_TYPE)
        {
            return Err(Error::Unsealed { status: head.status });
        }
        self.open_envelope(body, keys, &mut UnlockBudget::default(), context, seen)
    }

    fn open_envelope(
        &self,
        envelope: &[u8],
        keys: &dyn Unlock,
        budget: &mut UnlockBudget,
        context: &SealContext,
        seen: &LastSeen,
    ) -> Result<Opened> {
        let expect = Expect::OneOf(self.senders.clone());
        let key = Header::parse(envelope)?.unlock_within(keys, budget)?;
        let opened = Opener::new(&key, context).expect(expect).open(envelope)?;
        let SignedBy::Verified(signer) = opened.signer else { return Err(Error::Rejected) };
        // Without a version it counts as 0: else a writer's first, unversioned envelopes could be served for ever.
        self.remember(seen, context, &signer, opened.about.version().unwrap_or(0))?;
        Ok(opened)
    }

    /// Refuses a version below one that was seen of this context, of any of the senders that are believed now.
    pub(crate) fn remember(
        &self,
        seen: &LastSeen,
        context: &SealContext,
        writer: &Signer,
        version: u64,
    ) -> Result<()> {
        seen.advance_from(&name_of(context)?, &self.senders, writer, version)
    }

    /// The same before it is written, and nothing is remembered.
    pub(crate) fn check_version(
        &self,
        seen: &LastSeen,
        context: &SealContext,
        writer: &Signer,
        version: u64,
    ) -> Result<()> {
        seen.check_from(&name_of(context)?, &self.senders, writer, version)
    }

    /// Opens every envelope of a JSON array, each for its own id. That none was left out nobody can tell.
    ///
    /// Each envelope has 4 KEM or key-service operations for itself; all together have 128 more, and 4 runs of Argon2. What would need more is
    /// that item's [`Error::TooLarge`]: many anonymous slots, say. `http::Client` lets other tasks run between two items.
    ///
    /// # Errors
    /// [`Error::Unsealed`] for a response of another status or media type, [`Error::Malformed`] for JSON of another shape or an id that comes twice, [`Error::TooLarge`]
    /// above 10,000 items. What is wrong with one item is that item's error.
    pub fn open_list(
        &self,
        head: &ResponseHead,
        body: &[u8],
        keys: &dyn Unlock,
        seen: &LastSeen,
    ) -> Result<Vec<ListItem>> {
        let entries = self.read_list(head, body)?;
        let mut budget = UnlockBudget::default();
        Ok(entries.into_iter().map(|entry| self.open_entry(entry, head, keys, &mut budget, seen)).collect())
    }

    /// What there is to open; nothing is opened yet.
    pub(crate) fn read_list(&self, head: &ResponseHead, body: &[u8]) -> Result<Vec<Entry>> {
        let shape = self.list.as_ref().ok_or(Error::Misuse(&"the rule says nothing of a list"))?;
        let media_type =
            head.headers.text("content-type")?.map(|value| value.split(';').next().unwrap_or_default());
        if !(200..300).contains(&head.status) || media_type.map(str::trim) != Some("application/json") {
            return Err(Error::Unsealed { status: head.status });
        }
        shape.read(body)
    }

    pub(crate) fn open_entry(
        &self,
        entry: Entry,
        head: &ResponseHead,
        keys: &dyn Unlock,
        budget: &mut UnlockBudget,
        seen: &LastSeen,
    ) -> ListItem {
        budget.next_item();
        let Entry { id, envelope } = entry;
        let envelope = envelope.ok_or(Error::Unsealed { status: head.status });
        let opened = envelope
            .and_then(|text| from_text(&text))
            .and_then(|bytes| self.open_envelope(&bytes, keys, budget, &self.context_of(&id), seen));
        ListItem { id, opened }
    }
}

/// What a context's versions are remembered by.
fn name_of(context: &SealContext) -> Result<String> {
    Ok(hex(&context.digest()?))
}

/// One item of a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListItem {
    /// The resource's id, as the list says; if the item opened, it is right.
    pub id: String,
    /// What it holds, or why it does not open.
    pub opened: Result<Opened>,
}
