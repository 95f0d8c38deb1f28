//! Checks who sent a request.

use crate::error::Result;
use crate::request::Head;
use js_sys::Function;
use sealwire::Signer;
use sealwire::http::{KeyId, OriginPolicy, RequestVerifier, VerifiedBody};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
#[derive(Default)]
pub struct VerifyPolicy(OriginPolicy);

#[wasm_bindgen]
impl VerifyPolicy {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn require(&mut self, field: &str) {
        self.0 = self.0.clone().require(field);
    }

    #[wasm_bindgen(js_name = maxAge)]
    pub fn max_age(&mut self, seconds: u64) {
        self.0 = self.0.clone().max_age(seconds);
    }

    #[wasm_bindgen(js_name = maxValidity)]
    pub fn max_validity(&mut self, seconds: u64) {
        self.0 = self.0.clone().max_validity(seconds);
    }

    #[wasm_bindgen(js_name = clockSkew)]
    pub fn clock_skew(&mut self, seconds: u64) {
        self.0 = self.0.clone().clock_skew(seconds);
    }

    #[wasm_bindgen(js_name = allowMissingNonce)]
    pub fn allow_missing_nonce(&mut self) {
        self.0 = self.0.clone().allow_missing_nonce();
    }

    /// `lookup` gets a key id in hex and gives a signer in hex, or nothing.
    pub fn verify(&self, head: &Head, lookup: &Function, has_body: bool, now: u64) -> Result<VerifiedHead> {
        let keys = |id: &KeyId| {
            let found = lookup.call1(&JsValue::UNDEFINED, &id.to_string().into()).ok()?;
            Signer::parse(&found.as_string()?).ok()
        };
        let verifier = RequestVerifier::new(keys, self.0.clone());
        Ok(VerifiedHead(verifier.verify_head(&head.0, has_body, now)?))
    }
}

#[wasm_bindgen]
pub struct VerifiedHead(sealwire::http::VerifiedHead);

#[wasm_bindgen]
impl VerifiedHead {
    pub fn signer(&self) -> String {
        self.0.signer.to_string()
    }

    #[wasm_bindgen(js_name = nonceId)]
    pub fn nonce_id(&self) -> Option<Vec<u8>> {
        self.0.nonce.map(|nonce| nonce.id.to_vec())
    }

    /// When it was made, and until when it may be accepted.
    #[wasm_bindgen(js_name = nonceTimes)]
    pub fn nonce_times(&self) -> Vec<u64> {
        self.0.nonce.map_or_else(Vec::new, |nonce| vec![nonce.created, nonce.keep_until])
    }

    /// `none`, `whole` or `beginning`, for a body that is there in one piece.
    pub fn body(&self, body: &[u8]) -> Result<String> {
        let verified = match self.0.body(body)? {
            VerifiedBody::None => "none",
            VerifiedBody::Whole => "whole",
            VerifiedBody::Beginning => "beginning",
        };
        Ok(verified.into())
    }
}
