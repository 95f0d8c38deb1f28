//! Argon2 as WebAssembly: 64 MiB that an instance never gives back, so that each run has one of its own.
#![allow(missing_docs, unreachable_pub)] // Nothing here is public: `ts/` is.

use js_sys::{Array, Uint8Array};
use sealwire::{Error, Passphrase, Result};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

/// Runs Argon2id, with a fresh salt if none is given. 60 bytes, to be wiped by who asked; what is thrown is `[code, message]`.
#[wasm_bindgen]
pub fn stretch(
    text: Vec<u8>,
    memory: Option<u32>,
    passes: Option<u32>,
    lanes: Option<u32>,
    salt: Option<Vec<u8>>,
) -> std::result::Result<Uint8Array, JsValue> {
    let text = Zeroizing::new(text);
    let stretched = run(&text, memory.zip(passes).zip(lanes), salt);
    stretched.map_err(|error| Array::of2(&error.code().into(), &error.to_string().into()).into())
}

fn run(text: &[u8], costs: Option<((u32, u32), u32)>, salt: Option<Vec<u8>>) -> Result<Uint8Array> {
    let text = std::str::from_utf8(text).map_err(|_| Error::Misuse(&"a passphrase is UTF-8"))?;
    let passphrase = Passphrase::new(text)?;
    let passphrase = match costs {
        Some(((memory, passes), lanes)) => passphrase.costs(memory, passes, lanes)?,
        None => passphrase,
    };
    let stretched = match salt {
        None => passphrase.stretch()?,
        Some(salt) => {
            passphrase.stretch_with(&salt.try_into().map_err(|_| Error::Misuse(&"a salt has 16 bytes"))?)?
        }
    };
    Ok(Uint8Array::from(stretched.reveal().reveal()))
}
