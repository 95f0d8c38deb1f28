//! From a header and keys to the content key, and from the content key to all that hangs on it (SPEC §3, §5, §6).

use crate::chunks::BodyKey;
use crate::envelope::{Header, PrivateBlock, SLOTS_TAG_LEN, fixed_without_private};
use crate::error::{Error, Result};
use crate::identity::{Candidate, Fingerprint, Unlock, UnlockBudget, UnlockRequest, slots_tag};
use crate::secret::Key;
use crate::suite::{Aead, TAG_LEN, equal, hkdf_sha256, label, open0, random_key, seal0, sha256};
use std::fmt;
use zeroize::Zeroizing;

/// The key of one envelope, verified against that envelope's slots tag. Wiped on drop; `Debug` prints only the type's name.
///
/// It is bound to its envelope's fixed part and opens no other envelope. Use it wherever keys are asked for ([`Unlock`]):
/// `open(&envelope, &content_key, &context)` verifies the tag once more. Source: SPEC §3, §5.
pub struct ContentKey {
    key: Key,
    envelope_id: [u8; 32],
    h_fixed: [u8; 32],
    /// Whose slot it came from, if that was a recipient's.
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl ContentKey {
    /// A fresh key for a new envelope with this id. The fixed part comes later: see [`ContentKey::bind`].
    pub(crate) fn generate(envelope_id: [u8; 32]) -> Result<Self> {
        Ok(Self { key: random_key()?, envelope_id, h_fixed: [0; 32], fingerprint: None })
    }

    /// Ties a fresh key to its finished fixed part (magic ‖ FIXED).
    pub(crate) fn bind(&mut self, fixed: &[u8]) {
        self.h_fixed = sha256(&[fixed]);
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn envelope_id(&self) -> &[u8; 32] {
        &self.envelope_id
    }

    pub(crate) fn h_fixed(&self) -> &[u8; 32] {
        &self.h_fixed
    }

    fn derive(&self, label: &[u8]) -> Key {
        hkdf_sha256(&self.envelope_id, self.key.expose(), label)
    }

    /// What the body's chunks are encrypted with, for a context and a part (both hashed).
    pub(crate) fn body_key(&self, aead: Aead, context: &[u8; 32], part: &[u8; 32]) -> BodyKey {
        let context = sha256(&[label::BODY_CONTEXT, &self.h_fixed, context, part]);
        BodyKey { aead, input_key: self.derive(label::BODY_KEY), context }
    }

    /// HMAC over the fixed part and SLOTS.
    pub(crate) fn slots_tag(&self, slots: &[u8]) -> [u8; SLOTS_TAG_LEN] {
        slots_tag(&self.key, &self.envelope_id, &self.h_fixed, slots)
    }

    /// Encrypts the private block; `fixed` is magic ‖ FIXED'.
    pub(crate) fn seal_private(&self, fixed: &[u8], plaintext: &[u8]) -> Vec<u8> {
        seal0(&self.derive(label::PRIVATE_BLOCK_KEY), fixed, plaintext)
    }

    /// Decrypts the private block of a header that this key was verified against.
    pub(crate) fn open_private(&self, header: &Header<'_>) -> Result<PrivateBlock> {
        let Some(encrypted) = header.private else { return Ok(PrivateBlock::default()) };
        let key = self.derive(label::PRIVATE_BLOCK_KEY);
        let mut plaintext = Zeroizing::new(vec![0; encrypted.len().saturating_sub(TAG_LEN)]);
        if !open0(&key, &fixed_without_private(header)?, encrypted, &mut plaintext) {
            return Err(Error::Rejected);
        }
        PrivateBlock::read(&plaintext)
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey")
    }
}

impl Unlock for ContentKey {
    fn unlock(&self, request: &UnlockRequest<'_>, _: &mut UnlockBudget) -> Result<Option<Candidate>> {
        // The candidate is the same for every slot, so one slot is enough.
        let same = request.slot == 0 && request.h_fixed == self.h_fixed;
        let copy = || Candidate { key: Key::copied(self.key.expose()), fingerprint: self.fingerprint };
        Ok(same.then(copy))
    }
}

impl Header<'_> {
    /// What each slot asks for, in order: for keys that are asynchronous or in hardware.
    ///
    /// Find a slot that is yours, unlock it where your key is, and come back with [`Header::content_key`].
    #[must_use]
    pub fn unlock_requests(&self) -> Vec<UnlockRequest<'_>> {
        let h_fixed = sha256(&[self.fixed]);
        let tagged = (self.slots_bytes, self.tag);
        let request =
            |(slot, content)| UnlockRequest { slot, content, envelope_id: self.id, h_fixed, tagged };
        self.slots.iter().enumerate().map(request).collect()
    }

    /// Verifies a candidate against the slots tag: only then is it this envelope's content key.
    ///
    /// # Errors
    /// [`Error::NotRecipient`] if the tag differs: a wrong candidate or an altered header.
    pub fn content_key(&self, candidate: Candidate) -> Result<ContentKey> {
        let Candidate { key, fingerprint } = candidate;
        let h_fixed = sha256(&[self.fixed]);
        let key = ContentKey { key, envelope_id: *self.id, h_fixed, fingerprint };
        if equal(&key.slots_tag(self.slots_bytes), self.tag) { Ok(key) } else { Err(Error::NotRecipient) }
    }

    /// Tries `keys` on every slot until one opens and the slots tag agrees.
    ///
    /// # Errors
    /// [`Error::NotRecipient`] if none does, whatever the reason; or, if a key could not answer, what it said:
    /// [`Error::TooLarge`] after 128 KEM or key-service operations or 4 runs of Argon2, [`Error::Store`] from a key service.
    pub fn unlock(&self, keys: &dyn Unlock) -> Result<ContentKey> {
        self.unlock_within(keys, &mut UnlockBudget::default())
    }

    /// The same, with what is left of a budget.
    pub(crate) fn unlock_within(&self, keys: &dyn Unlock, budget: &mut UnlockBudget) -> Result<ContentKey> {
        let mut refusal = Error::NotRecipient;
        for request in self.unlock_requests() {
            match keys.unlock(&request, budget) {
                Ok(Some(candidate)) => {
                    if let Ok(key) = self.content_key(candidate) {
                        return Ok(key);
                    }
                }
                Ok(None) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::ContentKey;
    use crate::envelope::{FixedPart, Header, Metadata, assemble, encode_slots};
    use crate::error::Error;
    use crate::identity::{Recipients, SymmetricKey, lock_all};
    use crate::suite::Aead;

    /// Who has the content key can make another header under the same id: the key of the first does not open it.
    #[test]
    fn a_content_key_is_bound_to_its_fixed_part() {
        let (id, reader) = ([1; 32], SymmetricKey::from_bytes(&[2; 32]));
        let mut key = ContentKey::generate(id).unwrap();
        let [forged, own] = [true, false].map(|padded| {
            let aead = Aead::ChaCha20Poly1305;
            let fixed =
                FixedPart { id: &id, aead, padded, metadata: &Metadata::default() }.encode(None).unwrap();
            key.bind(&fixed);
            let slots = lock_all(&Recipients::new().key(&reader), key.key(), &id, key.h_fixed()).unwrap();
            let slots = encode_slots(&slots);
            assemble(&fixed, &slots, &key.slots_tag(&slots)).unwrap()
        });
        for header in [&forged, &own] {
            assert!(Header::parse(header).unwrap().unlock(&reader).is_ok());
        }
        assert!(Header::parse(&own).unwrap().unlock(&key).is_ok());
        assert_eq!(Header::parse(&forged).unwrap().unlock(&key).map(drop), Err(Error::NotRecipient));
    }
}
