//! Who may have signed, and how the one who did is named.

use crate::failure::Result;
use crate::keys;
use sealwire::{Expect, Header, Opener, SealContext, SignedBy, Signer, SlotKind, Unlock};

/// Whom `--expect` names, and as what.
pub(crate) struct Expected(Vec<(Signer, String)>);

impl Expected {
    /// Each is what `open` prints of a signer (64 hex digits), or stands for a recipient.
    pub(crate) fn load(texts: &[String]) -> Result<Self> {
        texts.iter().map(|text| keys::signer(text)).collect::<Result<_>>().map(Self)
    }

    /// True if anybody is accepted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An opener that insists on them, or takes anybody if there are none.
    pub(crate) fn opener<'a>(&self, keys: &'a dyn Unlock, context: &'a SealContext) -> Opener<'a> {
        let opener = Opener::new(keys, context);
        if self.is_empty() {
            return opener;
        }
        opener.expect(Expect::OneOf(self.0.iter().map(|(signer, _)| *signer).collect()))
    }

    /// Who wrote an envelope that was verified.
    pub(crate) fn author(&self, signed: SignedBy, header: &Header<'_>) -> String {
        let SignedBy::Verified(signer) = signed else {
            let secret =
                match header.unverified_slots().all(|slot| matches!(slot, SlotKind::Passphrase { .. })) {
                    true => "the passphrase",
                    false => "a recipient",
                };
            return format!("unsigned: anybody who knows {secret} may have written this");
        };
        let hex = signer.to_string();
        match self.0.iter().find(|(expected, _)| *expected == signer) {
            Some((_, name)) if *name == hex => format!("signed by {hex}"),
            Some((_, name)) => format!("signed by {name} ({}…)", hex.get(..8).unwrap_or_default()),
            None => format!("signed by {hex} (compare: sealwire recipient --signer FILE)"),
        }
    }
}
