//! The name of a signing key in a request (RFC 7638, RFC 8037).

use crate::envelope::{from_text, to_text};
use crate::error::{Error, Result};
use crate::suite::{Signer, sha256};
use std::fmt;

/// The name of a signing key: its JWK thumbprint, as in `keyid`. Get it from [`Signer::key_id`].
///
/// The text form is 43 characters of base64url. It names a key and proves nothing: whoever looks a key up by it has to know
/// by himself whom he trusts. Source: RFC 7638, RFC 8037 §2, SPEC "Origin".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] unless it is 43 characters of base64url, the last one canonical.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = from_text(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(Error::InvalidKey(&"a key id is 43 characters of base64url"))
    }

    /// The 32 bytes of the thumbprint.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Signer {
    /// The name of this key in signed requests.
    ///
    /// ```
    /// let alice = sealwire::Identity::generate()?;
    /// assert_eq!(alice.signer().key_id().to_string().len(), 43);
    /// # Ok::<(), sealwire::Error>(())
    /// ```
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        let x = to_text(self.as_bytes());
        KeyId(sha256(&[br#"{"crv":"Ed25519","kty":"OKP","x":""#, x.as_bytes(), br#""}"#]))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_text(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
