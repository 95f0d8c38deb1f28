//! Sealwire as WebAssembly: convert, call, convert. What users see, and its documentation, is the TypeScript in `ts/`.
#![allow(missing_docs, unreachable_pub)] // Nothing here is public: `ts/` is.

mod call;
mod error;
#[cfg(feature = "server")]
mod gate;
mod keys;
mod outside;
mod request;
mod seal;
mod stretch;
#[cfg(feature = "traps")]
mod traps;
mod unlock;
#[cfg(feature = "server")]
mod verify;

/// A third of the size of the standard library's.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
