//! `cargo run -p sealwire-bindings --features bindgen --bin uniffi-bindgen -- generate …`

fn main() {
    uniffi::uniffi_bindgen_main();
}
