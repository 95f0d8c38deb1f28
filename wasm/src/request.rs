//! Says who sends a request. A head is method, origin, path with query, and the fields as a flat list: name, value, name, value…

use crate::error::Result;
use crate::keys::Identity;
use sealwire::Signer;
use sealwire::http::{Method, Origin, RequestHead, RequestSigner, SignedBody, Target};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
pub struct Head(pub(crate) RequestHead);

#[wasm_bindgen]
impl Head {
    #[wasm_bindgen(constructor)]
    pub fn new(method: &str, origin: &str, path_and_query: &str) -> Result<Self> {
        let target = Target::new(Origin::parse(origin)?, path_and_query)?;
        Ok(Self(RequestHead::new(Method::new(method)?, target)))
    }

    pub fn add(&mut self, name: &str, value: &str) -> Result<()> {
        Ok(self.0.headers.add(name, value)?)
    }

    /// The value of a field that was signed or added.
    pub fn field(&self, name: &str) -> Result<Option<String>> {
        Ok(self.0.headers.text(name)?.map(str::to_owned))
    }

    /// `body` is all of it, or its SHA-256 if it was hashed.
    pub fn sign(
        &mut self,
        identity: &Identity,
        cover: Vec<String>,
        body: &[u8],
        is_hash: bool,
        now: u64,
    ) -> Result<()> {
        let signer = cover.iter().fold(RequestSigner::new(&identity.0), |signer, field| signer.cover(field));
        let body = match body.try_into() {
            Ok(hash) if is_hash => SignedBody::Hashed(hash),
            _ => SignedBody::Whole(body),
        };
        Ok(signer.sign(&mut self.0, body, now)?)
    }
}

/// The name of a signer's key in signatures.
#[wasm_bindgen(js_name = keyId)]
pub fn key_id(signer: &str) -> Result<String> {
    Ok(Signer::parse(signer)?.key_id().to_string())
}
