//! Signs requests.

use super::body::{BodyProof, read_beginning};
use super::fields::{Input, integer, string};
use super::{ALGORITHM, CONTENT_DIGEST, EXCHANGE_HEAD, LABEL, TAG, VALIDITY, covered};
use crate::envelope::to_base64;
use crate::error::{Error, Result};
use crate::http::exchange::write_binary;
use crate::http::message::{RequestHead, unix_seconds};
use crate::identity::Identity;
use crate::suite::{random_array, sha256};

/// Signs requests with a device's key, so that a gateway can tell whose they are without reading them.
///
/// Covered are method, authority, path, query and body, and of the fields those that say what the request is or in whose name:
/// `content-type`, `content-encoding`, `content-digest`, `authorization`, `cookie`, `sealwire-exchange` and
/// `sealwire-exchange-head`, each if it is there. **Other fields are not**, unless [`RequestSigner::cover`] names them.
/// A signature is for one request: valid for 300 s, with a nonce of its own. Source: SPEC "Origin", RFC 9421.
///
/// ```
/// use sealwire::http::{Method, Origin, OriginPolicy, RequestHead, RequestSigner, RequestVerifier, SignedBody, Target, VerifiedBody};
///
/// let alice = sealwire::Identity::generate()?;
/// let target = Target::new(Origin::parse("https://api.example.com")?, "/notes/17")?;
/// let mut head = RequestHead::new(Method::new("PUT")?, target);
/// head.headers.add("content-type", "application/vnd.sealwire")?;
/// let now = 1_700_000_000; // seconds since 1970
/// RequestSigner::new(&alice).sign(&mut head, SignedBody::Whole(b"sealed"), now)?;
///
/// let verifier = RequestVerifier::new(vec![alice.signer()], OriginPolicy::default());
/// let verified = verifier.verify_head(&head, true, now + 1)?; // before the body has come
/// assert_eq!(verified.signer, alice.signer());
/// assert_eq!(verified.body(b"sealed")?, VerifiedBody::Whole);
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RequestSigner<'i> {
    identity: &'i Identity,
    cover: Vec<String>,
}

/// The body of a request that is to be signed.
#[derive(Clone, Copy)]
pub enum SignedBody<'b> {
    /// None.
    None,
    /// All of it. An empty one is none: no transport tells them apart reliably.
    Whole(&'b [u8]),
    /// SHA-256 of all of it, where it is hashed elsewhere. It is not empty.
    Hashed(&'b [u8; 32]),
    /// An exchange that is sent as a stream. The field `sealwire-exchange-head` holds its first bytes (header and encapsulated key)
    /// as an sf-binary, and is signed in the body's place; the exchange itself verifies the rest.
    Streamed,
}

impl<'i> RequestSigner<'i> {
    /// Signs with the signing key of this identity.
    #[must_use]
    pub fn new(identity: &'i Identity) -> Self {
        Self { identity, cover: Vec::new() }
    }

    /// Covers one more field, in requests that have it. A verifier demands it with [`OriginPolicy::require`](super::OriginPolicy::require).
    #[must_use]
    pub fn cover(mut self, field: &str) -> Self {
        self.cover.push(field.to_ascii_lowercase());
        self
    }

    /// Adds `signature-input` and `signature`, and `content-digest` if there is a body, to the fields. `now` is in seconds since 1970.
    ///
    /// Signatures that others put there stay; an earlier one of this kind is replaced, so a request can be signed again before it
    /// is sent again. Change nothing that is covered afterwards.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the fields fit another kind of body, the signature's own fields are to be covered, or the time is beyond the
    /// year 3000. [`Error::Malformed`]
    /// if a covered field comes twice, or is not ASCII, or if signatures that are there are no signatures.
    /// [`Error::TooLarge`] above a limit of SPEC "Origin". The head is then as it was.
    pub fn sign(&self, head: &mut RequestHead, body: SignedBody<'_>, now: u64) -> Result<()> {
        let (mut signed, now) = (head.clone(), unix_seconds(now)?);
        let has_body = match body {
            SignedBody::None | SignedBody::Whole([]) => false,
            SignedBody::Whole(bytes) => {
                set_digest(&mut signed, &sha256(&[bytes]))?;
                true
            }
            SignedBody::Hashed(hash) => {
                set_digest(&mut signed, hash)?;
                true
            }
            SignedBody::Streamed => {
                let beginning = signed.headers.text(EXCHANGE_HEAD)?;
                read_beginning(
                    beginning.ok_or(Error::Misuse(&"a streamed body without sealwire-exchange-head"))?,
                )?;
                true
            }
        };
        if BodyProof::read(&signed.headers, has_body).is_err() {
            return Err(Error::Misuse(
                &"content-digest or sealwire-exchange-head, where the body has another kind",
            ));
        }
        self.input(&signed, now)?.sign(&mut signed, LABEL, &self.identity.signing)?;
        // What a verifier would refuse is not sent.
        Input::find(&signed.headers, |_, input| input.has_text("tag", TAG))?;
        *head = signed;
        Ok(())
    }

    fn input(&self, head: &RequestHead, now: u64) -> Result<Input> {
        let mut components = covered(&head.headers)?;
        for field in &self.cover {
            if matches!(field.as_str(), "signature" | "signature-input") {
                return Err(Error::Misuse(&"a signature does not cover itself"));
            }
            if head.headers.all(field).next().is_some() && !components.contains(&field.as_str()) {
                components.push(field);
            }
        }
        let nonce = to_base64(&random_array::<16>()?);
        let parameters = [
            ("created", integer(now)?),
            ("expires", integer(now.saturating_add(VALIDITY))?),
            ("nonce", string(&nonce)?),
            ("keyid", string(&self.identity.signer().key_id().to_string())?),
            ("alg", string(ALGORITHM)?),
            ("tag", string(TAG)?),
        ];
        Input::new(&components, &parameters)
    }
}

fn set_digest(head: &mut RequestHead, sha256: &[u8; 32]) -> Result<()> {
    head.headers.set(CONTENT_DIGEST, ["sha-256=", &write_binary(sha256)].concat())
}
