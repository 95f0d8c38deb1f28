//! What must not happen, for tests of what happens then.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
#[allow(clippy::panic)]
pub fn trap_panic() {
    panic!("a test's panic");
}

/// More than any memory has.
#[wasm_bindgen]
pub fn trap_out_of_memory() -> usize {
    let hungry: Vec<Vec<u8>> = (0..4096).map(|_| vec![1; 1 << 20]).collect();
    hungry.iter().map(Vec::len).sum()
}
