//! SPEC §17, regenerated: every value of the example must stand in SPEC.md as it is made here. §19 has its own, in `http`.

use crate::suite::scripted_random;
use crate::{Aead, Header, Recipients, SealContext, Sealer, SymmetricKey, open};
use std::fmt::Write;

#[test]
fn the_worked_example_of_the_spec() {
    let key = SymmetricKey::from_bytes(&[0x42; 32]);
    let context = SealContext::new("notes").field("17");
    scripted_random::start();
    let envelope = Sealer::new(&context)
        .to(Recipients::new().key(&key))
        .metadata("version", 1_u64)
        .aead(Aead::ChaCha20Poly1305)
        .unpadded()
        .seal(b"hello")
        .unwrap();
    scripted_random::stop();
    assert_eq!(open(&envelope, &key, &context).unwrap().plaintext, b"hello");

    let header = Header::parse(&envelope).unwrap();
    let content_key = header.unlock(&key).unwrap();
    let body = &envelope[header.len()..];
    let request = &header.unlock_requests()[0];
    let context_digest = context.digest().unwrap();
    let part_digest = crate::context::part_digest("").unwrap();
    let body_key = content_key.body_key(Aead::ChaCha20Poly1305, &context_digest, &part_digest);
    stands_in_the_spec(&[
        ("symmetric key", &[0x42; 32][..]),
        ("content key", content_key.key().expose()),
        ("magic ‖ FIXED", header.fixed),
        ("H_fixed", content_key.h_fixed()),
        ("key id", &key.id()),
        ("binding", &request.binding()),
        ("SLOTS", header.slots_bytes),
        ("slots tag", header.tag),
        ("SHA-256(context)", &context_digest),
        ("SHA-256(part)", &part_digest),
        ("body input key", body_key.input_key.expose()),
        ("body context", &body_key.context),
        ("salt", &body[..24]),
        ("commitment", &body[24..56]),
        ("chunk 0", &body[56..]),
    ]);
    assert!(
        spec().contains(&crate::to_text(&envelope)),
        "SPEC §17 should end with:\n{}",
        crate::to_text(&envelope)
    );
}

/// Fails unless SPEC.md has these values, one after the other: name, length, and hex in lines of 40 bytes.
pub(crate) fn stands_in_the_spec(values: &[(&str, &[u8])]) {
    let mut example = String::new();
    for (name, value) in values {
        writeln!(example, "{name} ({})", value.len()).unwrap();
        for line in value.chunks(40) {
            let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(example, "    {hex}").unwrap();
        }
    }
    assert!(spec().contains(&example), "SPEC.md should read:\n{example}");
}

/// SPEC.md.
pub(crate) fn spec() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../SPEC.md")).unwrap()
}
