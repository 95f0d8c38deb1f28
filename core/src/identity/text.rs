//! The text forms of SPEC §10: Bech32m, lower case, without the length limit of 90.

use crate::error::{Error, Result};
use bech32::primitives::iter::Fe32IterExt as _;
use bech32::{Bech32m, Checksum, Fe32, Hrp};
use zeroize::Zeroizing;

const MAX_TEXT: usize = 4096;
const BEGINNINGS: &&str = &"a key's text begins sealwire1, sealwire-pin1 or sealwire-identity1";

/// Bech32m (BIP 350) in all but the length of its strings.
enum LongBech32m {}

impl Checksum for LongBech32m {
    type MidstateRepr = <Bech32m as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32m as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32m::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32m::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = MAX_TEXT;
    const CHECKSUM_LENGTH: usize = Bech32m::CHECKSUM_LENGTH;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32m::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32m::TARGET_RESIDUE;
}

/// What a text form holds, told by the part in front of its `1`.
#[derive(Clone, Copy)]
pub(super) enum TextForm {
    Recipient,
    Pin,
    Identity,
}

impl TextForm {
    const ALL: [Self; 3] = [Self::Recipient, Self::Pin, Self::Identity];

    fn prefix(self) -> &'static str {
        match self {
            Self::Recipient => "sealwire",
            Self::Pin => "sealwire-pin",
            Self::Identity => "sealwire-identity",
        }
    }

    fn begins(self, text: &str) -> bool {
        text.strip_prefix(self.prefix()).is_some_and(|rest| rest.starts_with('1'))
    }

    /// What is wrong if `found` stands where this is needed.
    fn mismatch(self, found: Self) -> Option<&'static &'static str> {
        match (found, self) {
            (Self::Identity, Self::Recipient) => Some(&"this is an identity (secret), a recipient is needed"),
            (Self::Identity, Self::Pin) => Some(&"this is an identity (secret), a pin is needed"),
            (Self::Pin, Self::Recipient) => Some(&"this is a pin, the recipient itself is needed"),
            (Self::Pin, Self::Identity) => Some(&"this is a pin, an identity (secret) is needed"),
            (Self::Recipient, Self::Identity) => Some(&"this is a recipient, an identity (secret) is needed"),
            (Self::Recipient, Self::Pin) => Some(&"this is a recipient, its pin is needed"),
            _ => None,
        }
    }

    /// Why a text has no good checksum: half of one, as a paste leaves it, is told from a mistyped one.
    fn damage(self, text: &str) -> &'static &'static str {
        if !text.is_empty() && !self.begins(text) {
            return BEGINNINGS;
        }
        match self {
            _ if self.has_length(text) => {
                &"the checksum is wrong: a character was changed or two were swapped"
            }
            Self::Recipient => {
                &"incomplete, or too long: a recipient has 2118 characters, or 223 with X25519"
            }
            Self::Pin => &"incomplete, or too long: a pin has 71 characters",
            Self::Identity => &"incomplete, or too long: an identity has 130 characters",
        }
    }

    fn has_length(self, text: &str) -> bool {
        matches!((self, text.len()), (Self::Recipient, 2118 | 223) | (Self::Pin, 71) | (Self::Identity, 130))
    }

    /// The text, in a buffer that did not grow: an identity's is secret, and growing leaves copies behind.
    pub(super) fn encode(self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(MAX_TEXT);
        let hrp = Hrp::parse_unchecked(self.prefix());
        // No key comes near the length limit, so this cannot fail.
        bech32::encode_lower_to_fmt::<LongBech32m, String>(&mut text, hrp, bytes).unwrap_or_default();
        text
    }

    pub(super) fn decode(self, text: &str) -> Result<Vec<u8>> {
        if text.len() > MAX_TEXT {
            return Err(Error::TooLarge(&"a key's text has at most 4096 characters"));
        }
        if let Some(found) = Self::ALL.into_iter().find(|form| form.begins(text))
            && let Some(mismatch) = self.mismatch(found)
        {
            return Err(Error::InvalidKey(mismatch));
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Error::InvalidKey(&"a key's text is in lower case"));
        }
        if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return Err(Error::InvalidKey(&"a key's text has no white space in or around it: trim it"));
        }
        let data = front(text).and_then(|front| front.strip_prefix(self.prefix())?.strip_prefix('1'));
        let data = data.ok_or(Error::InvalidKey(self.damage(text)))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
        bytes.extend(data.chars().map_while(|character| Fe32::from_char(character).ok()).fes_to_bytes());
        // One text per value: this finds a wrong checksum, and padding bits that are not zero, which would be a second one.
        let written = Zeroizing::new(self.encode(&bytes));
        if *written == text {
            Ok(std::mem::take(&mut bytes))
        } else if self.has_length(text) && written.len() == text.len() && front(&written) != front(text) {
            Err(Error::InvalidKey(&"a key's text with stray bits at its end"))
        } else {
            Err(Error::InvalidKey(self.damage(text)))
        }
    }
}

/// What stands before the checksum.
fn front(text: &str) -> Option<&str> {
    text.get(..text.len().checked_sub(LongBech32m::CHECKSUM_LENGTH)?)
}
