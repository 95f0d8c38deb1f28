//! What a sealer says about a payload.

use crate::envelope::{Header, Metadata, MetadataValue, PrivateBlock};
use crate::identity::Fingerprint;
use std::fmt;

/// What the sealer said about the payload; all of it authenticated with the envelope.
/// `Debug` prints the public metadata only: the rest was for the readers, and does not belong in logs.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// The public metadata: the server saw it too.
    pub metadata: Metadata,
    /// When it was made, by the sealer's clock: seconds since 1970-01-01T00:00:00Z.
    pub created: Option<u64>,
    /// The payload's media type.
    pub content_type: Option<String>,
    /// A file name; never a path.
    pub filename: Option<String>,
    /// Whether the sealer addressed it to the reader who opened it.
    pub addressed_to_me: Addressed,
}

impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

/// Was this addressed to me by name? Forwarding is possible by nature: a co-reader may rewrap an envelope to you. The list
/// names recipients only, none of the anonymous ones, and a rewrap does not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addressed {
    /// The sealer listed this reader.
    Yes,
    /// The sealer listed others and not this reader: somebody added them later (a rewrap, honest or not), or the sealer
    /// addressed it to them anonymously beside named recipients.
    No,
    /// The sealer listed nobody, or the envelope was opened without a recipient's key.
    Unstated,
}

impl About {
    /// The version of the resource, from the metadata's reserved key `version`. Compare it with the last one that you saw: a
    /// server can serve an old envelope as new.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        match self.metadata.find("version") {
            Some(MetadataValue::Number(version)) => Some(*version),
            _ => None,
        }
    }

    /// Of a header that was verified, with its private block and the recipient whose slot opened.
    pub(crate) fn of(header: &Header<'_>, private: PrivateBlock, opened_by: Option<Fingerprint>) -> Self {
        let addressed_to_me = match opened_by {
            Some(mine) if private.audience.contains(&mine) => Addressed::Yes,
            Some(_) if !private.audience.is_empty() => Addressed::No,
            _ => Addressed::Unstated,
        };
        Self {
            metadata: header.metadata.clone(),
            created: private.created,
            content_type: private.content_type,
            filename: private.filename,
            addressed_to_me,
        }
    }
}
