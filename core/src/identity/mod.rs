//! Who can open: identities, their public halves, and the slots that lock a content key for them.

mod recipient;
mod slot;
mod text;
mod unlock;

pub use recipient::{Fingerprint, Pin, Recipient};
pub use slot::{KeyService, Recipients, SlotKind};
pub(crate) use slot::{MAX_SLOTS, Slot, lock_all, parse_slots};
pub(crate) use unlock::slots_tag;
pub use unlock::{
    Candidate, Keyring, Passphrase, StretchedPassphrase, SymmetricKey, Unlock, UnlockBudget, UnlockRequest,
};

use crate::error::{Error, Result};
use crate::secret::{Key, SecretBytes};
use crate::store::SecretStore;
use crate::suite::{Kem, KemSecret, Signer, SigningKey};
use std::fmt;
use std::sync::Arc;
use text::TextForm;
use zeroize::Zeroize;

const IDENTITY_FILE_LIMIT: usize = 64 * 1024;
const IDENTITIES_PER_FILE: usize = 64;

/// The private keys of a person, a device or a service: one KEM key pair and one signing key pair.
///
/// Not `Clone`; wiped on drop; `Debug` prints only the type's name. The public half, to be given to
/// everybody, is [`Identity::recipient`]. Source: SPEC §10.
///
/// ```
/// let alice = sealwire::Identity::generate()?;
/// println!("send me things: {}", alice.recipient());
/// # Ok::<(), sealwire::Error>(())
/// ```
pub struct Identity {
    pub(crate) kem: KemSecret,
    /// Shared with the streams that sign at their end.
    pub(crate) signing: Arc<SigningKey>,
    recipient: Recipient,
}

impl Identity {
    /// A new identity with an X-Wing (post-quantum) KEM key pair.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system gives no randomness.
    pub fn generate() -> Result<Self> {
        Self::generate_with(Kem::XWing)
    }

    /// A new identity for the KEM of your choice. X25519 has recipients of 223 characters instead of
    /// 2118, and is **not** post-quantum.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system gives no randomness.
    pub fn generate_with(kem: Kem) -> Result<Self> {
        Ok(Self::assemble(KemSecret::generate(kem)?, SigningKey::generate()?))
    }

    fn assemble(kem: KemSecret, signing: SigningKey) -> Self {
        let recipient = Recipient::certify(kem.public(), &signing);
        Self { kem, signing: Arc::new(signing), recipient }
    }

    /// The public half, to be given to everybody.
    #[must_use]
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// The public signing key: what readers expect in [`Expect::OneOf`](crate::Expect::OneOf).
    #[must_use]
    pub fn signer(&self) -> Signer {
        self.signing.signer()
    }

    /// The secret text form, `sealwire-identity1…`, 130 characters.
    #[must_use]
    pub fn reveal(&self) -> SecretBytes {
        let mut bytes = Vec::with_capacity(66);
        bytes.extend_from_slice(&self.kem.kem().id().to_be_bytes());
        bytes.extend_from_slice(self.kem.expose());
        bytes.extend_from_slice(self.signing.seed());
        let text = TextForm::Identity.encode(&bytes);
        bytes.zeroize();
        SecretBytes::new(text.into_bytes())
    }

    /// Reads the secret text form. A whole identity file is for [`Identity::parse_file`].
    ///
    /// X25519 ignores five bits of a private key, so several texts can be one identity: compare recipients, never these.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if a character is wrong or the length, [`Error::Unsupported`] for another KEM.
    pub fn parse(text: &str) -> Result<Self> {
        if text.starts_with('#') || text.trim_end().contains('\n') {
            return Err(Error::InvalidKey(&"this is a whole identity file: use parse_file"));
        }
        let bytes = SecretBytes::new(TextForm::Identity.decode(text)?);
        let length = Error::InvalidKey(&"an identity has another length");
        let (id, keys) = bytes.reveal().split_first_chunk::<2>().ok_or(length)?;
        let kem = Kem::with_id(u16::from_be_bytes(*id).into())
            .ok_or(Error::Unsupported(&"an identity with another KEM"))?;
        let (kem_key, signing_seed) = keys.split_first_chunk::<32>().ok_or(length)?;
        let signing_seed: &[u8; 32] = signing_seed.try_into().map_err(|_| length)?;
        let kem = KemSecret::from_bytes(kem, Key::copied(kem_key))?;
        Ok(Self::assemble(kem, SigningKey::from_seed(signing_seed)))
    }

    /// Reads an identity file: one text form per line; empty lines and lines with `#` in front are skipped.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above 64 KiB or 64 identities, [`Error::Malformed`] if there is none, and those of [`Identity::parse`].
    pub fn parse_file(text: &str) -> Result<Vec<Self>> {
        if text.len() > IDENTITY_FILE_LIMIT {
            return Err(Error::TooLarge(&"an identity file has at most 64 KiB"));
        }
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        if lines.is_empty() {
            return Err(Error::Malformed(&"there is no identity in this file"));
        }
        if lines.len() > IDENTITIES_PER_FILE {
            return Err(Error::TooLarge(&"an identity file has at most 64 identities"));
        }
        lines.into_iter().map(Self::parse).collect()
    }

    /// Keeps this identity in `store` under `name`.
    ///
    /// # Errors
    /// Those of [`SecretStore::save`].
    pub fn save(&self, store: &dyn SecretStore, name: &str) -> Result<()> {
        store.save(name, &self.reveal())
    }

    /// The identity that was saved in `store` under `name`, or `None` if there is none.
    ///
    /// # Errors
    /// Those of [`SecretStore::load`] and [`Identity::parse`].
    pub fn load(store: &dyn SecretStore, name: &str) -> Result<Option<Self>> {
        let Some(secret) = store.load(name)? else { return Ok(None) };
        let text = secret.reveal_text().ok_or(Error::InvalidKey(&"a stored identity is not text"))?;
        Self::parse(text).map(Some)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
