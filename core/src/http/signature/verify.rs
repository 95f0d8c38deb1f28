//! Verifies requests: public keys in, a signer or a refusal out.

use super::body::{BodyCheck, BodyProof, VerifiedBody};
use super::fields::Input;
use super::key_id::KeyId;
use super::{ALGORITHM, TAG, VALIDITY, covered};
use crate::error::{Error, Result};
use crate::http::message::RequestHead;
use crate::suite::{Signer, label, sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

const MAX_NONCE: usize = 128;

/// What a verifier demands. The default is strict: 300 s of age and validity, 30 s between clocks, a nonce.
///
/// The tag `sealwire-origin-v1`, the algorithm Ed25519 and what SPEC "Origin" has covered are demanded always.
#[derive(Debug, Clone)]
pub struct OriginPolicy {
    required: Vec<String>,
    max_age: u64,
    max_validity: u64,
    clock_skew: u64,
    nonce_required: bool,
}

impl Default for OriginPolicy {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            max_age: VALIDITY,
            max_validity: VALIDITY,
            clock_skew: 30,
            nonce_required: true,
        }
    }
}

impl OriginPolicy {
    /// Demands that this field is there and covered, such as `if-match`.
    #[must_use]
    pub fn require(mut self, field: &str) -> Self {
        self.required.push(field.to_ascii_lowercase());
        self
    }

    /// Refuses what was signed longer ago, in seconds.
    #[must_use]
    pub fn max_age(mut self, seconds: u64) -> Self {
        self.max_age = seconds;
        self
    }

    /// Refuses what its signer wants to be valid for longer, in seconds: it would have to be remembered for as long.
    #[must_use]
    pub fn max_validity(mut self, seconds: u64) -> Self {
        self.max_validity = seconds;
        self
    }

    /// How far the clocks of signer and verifier may be apart, in seconds, either way.
    #[must_use]
    pub fn clock_skew(mut self, seconds: u64) -> Self {
        self.clock_skew = seconds;
        self
    }

    /// Takes signatures without a nonce. **They can be replayed** while they are valid, and no cache can tell.
    #[must_use]
    pub fn allow_missing_nonce(mut self) -> Self {
        self.nonce_required = false;
        self
    }

    /// When the signature was made, and until which second it may be accepted.
    fn accepted(&self, input: &Input, now: u64) -> Result<(u64, u64)> {
        let created = input.seconds("created")?.ok_or(Error::Rejected)?;
        let expires = input.seconds("expires")?.ok_or(Error::Rejected)?;
        let validity =
            expires.checked_sub(created).ok_or(Error::Malformed(&"a signature expires before it is made"))?;
        let until = created.saturating_add(self.max_age).min(expires).saturating_add(self.clock_skew);
        let begins = created.saturating_sub(self.clock_skew);
        if validity <= self.max_validity && (begins..=until).contains(&now) {
            Ok((created, until))
        } else {
            Err(Error::Expired)
        }
    }
}

/// Whose signatures count: a list of signers, or a function that looks one up.
pub trait OriginKeys {
    /// The key of that name, if it is one to be trusted now.
    fn signer(&self, id: &KeyId) -> Option<Signer>;

    /// All of them, if that is known beforehand: a verifier then makes their names once, and does not ask for one.
    fn all(&self) -> Option<&[Signer]> {
        None
    }
}

impl<F: Fn(&KeyId) -> Option<Signer>> OriginKeys for F {
    fn signer(&self, id: &KeyId) -> Option<Signer> {
        self(id)
    }
}

impl OriginKeys for Vec<Signer> {
    fn signer(&self, id: &KeyId) -> Option<Signer> {
        self.iter().find(|signer| signer.key_id() == *id).copied()
    }

    fn all(&self) -> Option<&[Signer]> {
        Some(self)
    }
}

/// Verifies who sent a request, with public keys alone; refuses whatever is not signed. See [`RequestSigner`](super::RequestSigner).
///
/// It says *who* and *that nothing was changed*, not *whether they may*, and not *whether it is the first time*: keep
/// [`VerifiedHead::nonce`] for that. Source: SPEC "Origin", RFC 9421 §3.2.
#[derive(Debug, Clone)]
pub struct RequestVerifier<K> {
    keys: K,
    /// Of keys that are a list. A stranger's request would otherwise cost a hash for each.
    by_name: Option<Arc<BTreeMap<KeyId, Signer>>>,
    policy: OriginPolicy,
}

impl<K: OriginKeys> RequestVerifier<K> {
    /// Takes signatures by these keys under this policy.
    #[must_use]
    pub fn new(keys: K, policy: OriginPolicy) -> Self {
        let by_name = keys.all().map(|all| all.iter().map(|signer| (signer.key_id(), *signer)).collect());
        Self { by_name: by_name.map(Arc::new), keys, policy }
    }

    /// Verifies a head, before its body is read. `now` is in seconds since 1970.
    ///
    /// The target's origin is **the configured public one**, never a received `Host`: a signature for another service
    /// would pass otherwise. Path and query stand as they were sent, byte for byte; fields as well, before any proxy of yours adds some.
    ///
    /// # Errors
    /// [`Error::Rejected`] for what is not signed, by an unknown key, or with less covered than is demanded; [`Error::Expired`] for what is
    /// too old, too early or valid for too long; [`Error::Malformed`] for fields that two readers could understand differently;
    /// [`Error::TooLarge`] above a limit of SPEC "Origin".
    pub fn verify_head(&self, head: &RequestHead, has_body: bool, now: u64) -> Result<VerifiedHead> {
        let (input, signature) = Input::find(&head.headers, |_, input| input.has_text("tag", TAG))?;
        let base = input.base(head)?;
        let components = input.components()?;
        let demanded = covered(&head.headers)?;
        // Of several lines whoever is behind may take one, which nobody signed by itself.
        for name in components.iter().filter(|name| !name.starts_with('@')) {
            head.headers.one(name)?;
        }
        let required = self.policy.required.iter().map(String::as_str);
        if !demanded.into_iter().chain(required).all(|name| components.iter().any(|it| it == name)) {
            return Err(Error::Rejected);
        }
        let proof = BodyProof::read(&head.headers, has_body)?;
        if input.text("alg")?.as_deref() != Some(ALGORITHM) {
            return Err(Error::Rejected);
        }
        let key_id = input.text("keyid")?.and_then(|id| KeyId::parse(&id).ok()).ok_or(Error::Rejected)?;
        let nonce = input.text("nonce")?;
        let times = self.policy.accepted(&input, now)?;
        let nonce = nonce.map(|nonce| OriginNonce::new(key_id, &nonce, times)).transpose()?;
        if nonce.is_none() && self.policy.nonce_required {
            return Err(Error::Rejected);
        }
        // A lookup that gives another key than it was asked for would let one signer pass as another.
        let signer = match &self.by_name {
            Some(by_name) => by_name.get(&key_id).copied(),
            None => self.keys.signer(&key_id).filter(|signer| signer.key_id() == key_id),
        };
        let signer = signer.ok_or(Error::Rejected)?;
        signer.verify(&base, &signature)?;
        Ok(VerifiedHead { signer, nonce, proof })
    }
}

/// A head whose signature is good. Its body is still to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct VerifiedHead {
    /// Who signed.
    pub signer: Signer,
    /// What a replay cache keeps. `None` only where the policy takes signatures without a nonce.
    pub nonce: Option<OriginNonce>,
    /// What the signature says of the body.
    pub proof: BodyProof,
}

impl VerifiedHead {
    /// Checks a body that is there in one piece; empty if there is none.
    ///
    /// # Errors
    /// [`Error::Rejected`] if it is not the one that was signed.
    pub fn body(&self, body: &[u8]) -> Result<VerifiedBody> {
        let mut check = self.check();
        check.push(body)?;
        check.finish()
    }

    /// Whether the body may be acted on while it arrives, because not all of it is covered here: its exchange verifies it.
    #[must_use]
    pub fn covers_a_stream(&self) -> bool {
        matches!(self.proof, BodyProof::BeginsWith(_))
    }

    /// Checks a body that arrives in pieces.
    #[must_use]
    pub fn check(&self) -> BodyCheck {
        BodyCheck::new(self.proof.clone())
    }
}

/// What a replay cache keeps of a request: refuse a second one with the same `id` ([`Error::Replayed`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OriginNonce {
    /// SHA-256 over key id and nonce: another signer's nonce is another id.
    pub id: [u8; 32],
    /// When the request says that it was signed. A cache that began later cannot know it.
    pub created: u64,
    /// The last second, since 1970, at which the verifier may still accept it. Forget it after that.
    pub keep_until: u64,
}

impl OriginNonce {
    fn new(key_id: KeyId, nonce: &str, (created, keep_until): (u64, u64)) -> Result<Self> {
        match nonce.len() {
            0 => Err(Error::Malformed(&"an empty nonce")),
            1..=MAX_NONCE => {
                let id = sha256(&[label::ORIGIN_NONCE, key_id.as_bytes(), nonce.as_bytes()]);
                Ok(Self { id, created, keep_until })
            }
            _ => Err(Error::TooLarge(&"a nonce has at most 128 bytes")),
        }
    }
}
