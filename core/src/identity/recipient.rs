//! The public half of an identity (SPEC §10).

use super::text::TextForm;
use crate::error::{Error, Result};
use crate::suite::{Kem, KemPublic, SIGNATURE_LEN, Signer, SigningKey, hex, label, sha256};
use std::fmt;
use std::str::FromStr;

/// To whom something can be sealed: a KEM public key and a signing public key, which signs it.
///
/// Its text form begins `sealwire1` and can be pasted: 2118 characters for X-Wing, 223 for X25519. A
/// recipient that exists has been checked: both keys are valid, and the signing key has signed the KEM
/// key. That is **no proof that one person holds both**: who has a signing key can certify somebody
/// else's KEM key with it. That it belongs to the *person* you mean is for you to check, with
/// [`Recipient::fingerprint`] or [`Pin`].
///
/// Source: SPEC §10.
///
/// ```
/// use sealwire::{Identity, Recipient};
///
/// let text = Identity::generate()?.recipient().to_string();
/// let alice = Recipient::parse(&text)?;
/// assert!(Recipient::parse(&text.replace('q', "p")).is_err());
/// # let _ = alice;
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Recipient {
    pub(crate) key: KemPublic,
    key_bytes: Vec<u8>,
    signer: Signer,
    signature: [u8; SIGNATURE_LEN],
    fingerprint: Fingerprint,
}

impl Recipient {
    /// The recipient whose `signing` key vouches for `key`.
    pub(super) fn certify(key: KemPublic, signing: &SigningKey) -> Self {
        let key_bytes = key.to_bytes();
        let signature = signing.sign(&certified(key.kem(), &key_bytes));
        Self::assemble(key, key_bytes, signing.signer(), signature)
    }

    fn assemble(key: KemPublic, key_bytes: Vec<u8>, signer: Signer, signature: [u8; SIGNATURE_LEN]) -> Self {
        let id = key.kem().id().to_be_bytes();
        let digest = sha256(&[label::FINGERPRINT, &id, &key_bytes, signer.as_bytes()]);
        Self { key, key_bytes, signer, signature, fingerprint: Fingerprint(digest) }
    }

    /// Reads the text form, `sealwire1…`, with nothing around it.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if a character was changed or lost, a key is not valid, or the signing key has not signed
    /// the KEM key; [`Error::TooLarge`] above 4096 characters; [`Error::Unsupported`] for another KEM.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_bytes(&TextForm::Recipient.decode(text)?)
    }

    /// Reads the bytes of SPEC §10.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let length = Error::InvalidKey(&"a recipient has another length");
        let (id, rest) = bytes.split_first_chunk::<2>().ok_or(length)?;
        let kem = Kem::with_id(u16::from_be_bytes(*id).into())
            .ok_or(Error::Unsupported(&"a recipient with another KEM"))?;
        let (key_bytes, rest) = rest.split_at_checked(kem.public_len()).ok_or(length)?;
        let (signer, signature) = rest.split_first_chunk::<32>().ok_or(length)?;
        let signature: &[u8; SIGNATURE_LEN] = signature.try_into().map_err(|_| length)?;
        let signer = Signer::from_bytes(signer)?;
        signer
            .verify(&certified(kem, key_bytes), signature)
            .map_err(|_| Error::InvalidKey(&"the signing key has not signed the KEM key"))?;
        let key = KemPublic::from_bytes(kem, key_bytes)?;
        Ok(Self::assemble(key, key_bytes.to_vec(), signer, *signature))
    }

    /// The bytes of SPEC §10.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let id = self.kem().id().to_be_bytes();
        let parts: [&[u8]; 4] = [&id, &self.key_bytes, self.signer.as_bytes(), &self.signature];
        parts.concat()
    }

    /// Which KEM its content keys are agreed on with.
    #[must_use]
    pub fn kem(&self) -> Kem {
        self.key.kem()
    }

    /// The public signing key, to be listed in [`Expect::OneOf`](crate::Expect::OneOf).
    #[must_use]
    pub fn signer(&self) -> Signer {
        self.signer
    }

    /// SHA-256 over both public keys, for people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The short form for configuration files and QR codes.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin(self.fingerprint)
    }
}

/// What the signing key signs of the KEM key.
fn certified(kem: Kem, key: &[u8]) -> Vec<u8> {
    [label::RECIPIENT, &kem.id().to_be_bytes(), key].concat()
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&TextForm::Recipient.encode(&self.to_bytes()))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.fingerprint)
    }
}

impl FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Recipient {}

/// SHA-256 over both public keys of a recipient. Source: SPEC §10.
///
/// `Display` gives the form for people to compare: 8 groups of 4 hex digits (its first 16 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub(crate) [u8; 32]);

impl Fingerprint {
    /// All 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (groups, _) = self.0.as_chunks::<2>();
        let groups: Vec<String> = groups.iter().take(8).map(|group| hex(group)).collect();
        f.write_str(&groups.join(" "))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The whole fingerprint as text, `sealwire-pin1…`, 71 characters: names a recipient in a configuration file or a QR code.
///
/// A pin cannot be sealed to: fetch the full recipient from anywhere, and check it with [`Pin::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(pub(crate) Fingerprint);

impl Pin {
    /// Reads the text form, with nothing around it.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if a character was changed or lost.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = TextForm::Pin.decode(text)?;
        let bytes = bytes.try_into().map_err(|_| Error::InvalidKey(&"a pin has another length"))?;
        Ok(Self(Fingerprint(bytes)))
    }

    /// Refuses a recipient that is not the pinned one.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if it is another.
    pub fn check(&self, recipient: &Recipient) -> Result<()> {
        if recipient.fingerprint == self.0 {
            Ok(())
        } else {
            Err(Error::InvalidKey(&"another recipient than the pinned one"))
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&TextForm::Pin.encode(&self.0.0))
    }
}
