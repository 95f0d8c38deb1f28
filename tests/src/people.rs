//! Who takes part in the tests, and keys of every kind.

use sealwire::{
    Candidate, Error, Identity, Kem, KeyService, Keyring, Passphrase, SealContext, SymmetricKey, Unlock,
};
use serde_json::Value;
use std::sync::LazyLock;

fn generated(kem: Kem) -> Identity {
    Identity::generate_with(kem).unwrap_or_else(|error| unreachable!("no randomness: {error}"))
}

/// An X-Wing identity.
pub static ALICE: LazyLock<Identity> = LazyLock::new(|| generated(Kem::XWing));
/// Another X-Wing identity.
pub static BOB: LazyLock<Identity> = LazyLock::new(|| generated(Kem::XWing));
/// An X25519 identity.
pub static CAROL: LazyLock<Identity> = LazyLock::new(|| generated(Kem::X25519));

/// What the payloads of the tests are for.
#[must_use]
pub fn note(id: &str) -> SealContext {
    SealContext::new("notes").field(id)
}

/// A passphrase with the lowest costs, for tests that open often.
///
/// # Errors
/// None with these costs.
pub fn cheap_passphrase(text: &str) -> Result<Passphrase, Error> {
    Passphrase::new(text)?.costs(8, 1, 1)
}

/// A key service that binds nothing and never refuses: the slots tag alone has to hold.
pub struct CarelessService;

impl KeyService for CarelessService {
    fn service(&self) -> &'static str {
        "careless-kms"
    }

    fn wrap_key(&self, content_key: &[u8; 32], _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(content_key.iter().map(|byte| byte ^ 0x5a).collect())
    }

    fn unwrap_key(&self, wrapped: &[u8], _: &[u8]) -> Result<Option<Candidate>, Error> {
        let unwrapped: Vec<u8> = wrapped.iter().map(|byte| byte ^ 0x5a).collect();
        Ok(unwrapped.as_slice().try_into().ok().map(Candidate::from_bytes))
    }
}

/// The keys that a vector or the other implementation names.
///
/// # Errors
/// What the text forms say.
pub fn keys(named: &Value) -> Result<Box<dyn Unlock>, Error> {
    let text = |name: &str| named.get(name).and_then(Value::as_str);
    if let Some(identity) = text("identity") {
        return Ok(Box::new(Identity::parse(identity)?));
    }
    if let Some(passphrase) = text("passphrase") {
        return Ok(Box::new(Passphrase::new(passphrase)?));
    }
    if named.get("key").is_some() {
        return Ok(Box::new(symmetric(named)?));
    }
    let list = |name: &str| named.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut keyring = Keyring::default();
    for identity in list("identities") {
        keyring = keyring.and(Identity::parse(identity.as_str().unwrap_or_default())?);
    }
    for one in list("keyring") {
        keyring = match (one.get("passphrase"), one.get("key")) {
            (Some(text), _) => keyring.and(Passphrase::new(text.as_str().unwrap_or_default())?),
            (_, Some(_)) => keyring.and(symmetric(one)?),
            _ => return Err(Error::InvalidKey(&"a test's keyring")),
        };
    }
    Ok(Box::new(keyring))
}

fn symmetric(named: &Value) -> Result<SymmetricKey, Error> {
    let key = crate::vectors::hex_field(named, "key");
    let key = key.as_slice().try_into().map_err(|_| Error::InvalidKey(&"a test's symmetric key"))?;
    Ok(SymmetricKey::from_bytes(key))
}

/// A context as vectors write it: `["notes", "17", 5, {"hex": "00ff"}]`.
#[must_use]
pub fn context(written: &Value) -> SealContext {
    let mut parts = written.as_array().into_iter().flatten();
    let namespace = parts.next().and_then(Value::as_str).unwrap_or_default();
    parts.fold(SealContext::new(namespace), |context, field| match field {
        Value::String(text) => context.field(text.as_str()),
        Value::Number(number) => context.field(number.as_u64().unwrap_or_default()),
        other => context.field(crate::vectors::hex_field(other, "hex").as_slice()),
    })
}
