//! Both directions with the Python implementation, for every slot kind and sender, both AEADs.
//!
//! Needs Python with its packages, so it is run by `tests/run` and not by a bare `cargo test`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::{
    Addressed, Aead, Expect, Identity, Kem, Opener, Passphrase, Recipients, SealContext, Sealer, SignedBy,
    SymmetricKey, from_text, rewrap, to_text,
};
use sealwire_tests::interop::Python;
use sealwire_tests::people::keys;
use serde_json::{Value, json};

const KEY_HEX: &str = "4242424242424242424242424242424242424242424242424242424242424242";
const PASSPHRASE: &str = "correct horse battery staple";

/// One kind of reader: how Rust seals to it, how Python does, and how both unlock.
struct Reader {
    name: &'static str,
    python_to: Value,
    unlock: Value,
    audience_counts: bool,
}

struct Cast {
    x_wing: Identity,
    x25519: Identity,
    signer: Identity,
    key: SymmetricKey,
    passphrase: Passphrase,
}

impl Cast {
    fn new() -> Self {
        Self {
            x_wing: Identity::generate().unwrap(),
            x25519: Identity::generate_with(Kem::X25519).unwrap(),
            signer: Identity::generate().unwrap(),
            key: SymmetricKey::from_bytes(&[0x42; 32]),
            passphrase: Passphrase::new(PASSPHRASE).unwrap().costs(64, 1, 1).unwrap(),
        }
    }

    fn readers(&self) -> Vec<Reader> {
        let secret = |identity: &Identity| json!({"identity": identity.reveal().reveal_text().unwrap()});
        let public = |identity: &Identity| identity.recipient().to_string();
        let reader =
            |name, python_to, unlock, audience_counts| Reader { name, python_to, unlock, audience_counts };
        vec![
            reader("X-Wing", json!({"recipient": public(&self.x_wing)}), secret(&self.x_wing), true),
            reader("X25519", json!({"recipient": public(&self.x25519)}), secret(&self.x25519), true),
            reader(
                "anonymous X-Wing",
                json!({"anonymous": public(&self.x_wing)}),
                secret(&self.x_wing),
                false,
            ),
            reader(
                "anonymous X25519",
                json!({"anonymous": public(&self.x25519)}),
                secret(&self.x25519),
                false,
            ),
            reader(
                "passphrase",
                json!({"passphrase": PASSPHRASE, "m": 64, "t": 1, "p": 1}),
                json!({"passphrase": PASSPHRASE}),
                false,
            ),
            reader("symmetric", json!({"key": KEY_HEX}), json!({"key": KEY_HEX}), false),
        ]
    }

    fn rust_to(&self, name: &str) -> Recipients<'_> {
        let nobody = Recipients::new();
        match name {
            "X-Wing" => nobody.recipient(self.x_wing.recipient()),
            "X25519" => nobody.recipient(self.x25519.recipient()),
            "anonymous X-Wing" => nobody.anonymous(self.x_wing.recipient()),
            "anonymous X25519" => nobody.anonymous(self.x25519.recipient()),
            "passphrase" => nobody.passphrase(&self.passphrase),
            "symmetric" => nobody.key(&self.key),
            other => panic!("no reader {other}"),
        }
    }
}

/// Signed or not, padded or not, both AEADs, lengths around the chunk's, with and without private fields.
fn senders() -> Vec<(bool, bool, Aead, usize)> {
    let mut senders = Vec::new();
    for signed in [false, true] {
        for padded in [false, true] {
            for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
                for len in [0, 5, 16_383, 16_384, 40_000] {
                    senders.push((signed, padded, aead, len));
                }
            }
        }
    }
    senders
}

fn aead_name(aead: Aead) -> &'static str {
    if aead == Aead::Aes256Gcm { "AES-256-GCM" } else { "ChaCha20-Poly1305" }
}

fn payload(len: usize) -> Vec<u8> {
    // With zeros at its end, so that padding has to be told from payload.
    (0..len).map(|i| if i + 40 > len { 0 } else { u8::try_from(i % 251).unwrap() }).collect()
}

fn context() -> (SealContext, Value) {
    let context = SealContext::new("notes").field("17").field(5_u64).field([0, 255].as_slice());
    (context, json!(["notes", "17", 5, {"hex": "00ff"}]))
}

#[test]
fn rust_seals_and_python_opens() {
    let (mut python, cast, (context, context_json)) = (Python::start().unwrap(), Cast::new(), context());
    let signer = cast.signer.signer();
    for reader in cast.readers() {
        for (signed, padded, aead, len) in senders() {
            let mut sealer = Sealer::new(&context)
                .to(cast.rust_to(reader.name))
                .aead(aead)
                .part("page-1")
                .metadata("version", 3_u64)
                .metadata("id", "x")
                .created(1_700_000_000)
                .filename("a.txt");
            if signed {
                sealer = sealer.sign(&cast.signer);
            }
            if !padded {
                sealer = sealer.unpadded();
            }
            let envelope = sealer.seal(&payload(len)).unwrap();
            let answer = python
                .ask(&json!({
                    "op": "open", "envelope": to_text(&envelope), "unlock": reader.unlock,
                    "context": context_json, "part": "page-1",
                    "signers": if signed { json!([signer.to_string()]) } else { Value::Null },
                }))
                .unwrap();
            let what = format!("{} signed {signed} padded {padded} {aead:?} {len}: {answer}", reader.name);
            assert_eq!(answer["ok"], true, "{what}");
            assert_eq!(answer["plaintext"], to_text(&payload(len)), "{what}");
            assert_eq!(answer["signer"].as_str(), signed.then(|| signer.to_string()).as_deref(), "{what}");
            assert_eq!(answer["metadata"], json!({"version": 3, "id": "x"}), "{what}");
            assert_eq!(answer["filename"], "a.txt", "{what}");
            let addressed = if signed && reader.audience_counts { "yes" } else { "unstated" };
            assert_eq!(answer["addressed_to_me"], addressed, "{what}");
        }
    }
}

#[test]
fn python_seals_and_rust_opens() {
    let (mut python, cast, (context, context_json)) = (Python::start().unwrap(), Cast::new(), context());
    let signer = cast.signer.signer();
    for reader in cast.readers() {
        for (signed, padded, aead, len) in senders() {
            let identity = cast.signer.reveal();
            let answer = python
                .ask(&json!({
                    "op": "seal", "plaintext": to_text(&payload(len)), "to": [reader.python_to],
                    "context": context_json, "part": "page-1", "aead": aead_name(aead), "padded": padded,
                    "sign": if signed { json!(identity.reveal_text()) } else { Value::Null },
                    "metadata": {"version": 3, "id": "x"}, "created": 1_700_000_000, "content_type": null,
                    "filename": "a.txt", "audience": reader.audience_counts,
                }))
                .unwrap();
            let what = format!("{} signed {signed} padded {padded} {aead:?} {len}: {answer}", reader.name);
            assert_eq!(answer["ok"], true, "{what}");
            let envelope = from_text(answer["envelope"].as_str().unwrap()).unwrap();
            let keys = keys(&reader.unlock).unwrap();
            let mut opener = Opener::new(&*keys, &context).part("page-1");
            if signed {
                opener = opener.expect(Expect::OneOf(vec![signer]));
            }
            let opened = opener.open(&envelope).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(opened.plaintext == payload(len), "{what}");
            let by = if signed { SignedBy::Verified(signer) } else { SignedBy::Unsigned };
            assert_eq!(opened.signer, by, "{what}");
            assert_eq!(opened.about.filename.as_deref(), Some("a.txt"), "{what}");
            let addressed = if reader.audience_counts { Addressed::Yes } else { Addressed::Unstated };
            assert_eq!(opened.about.addressed_to_me, addressed, "{what}");
        }
    }
}

#[test]
fn each_rewraps_what_the_other_sealed() {
    let (mut python, cast) = (Python::start().unwrap(), Cast::new());
    let context = SealContext::new("notes").field("17");
    let context_json = json!(["notes", "17"]);
    let bob = Identity::generate().unwrap();
    let text = |identity: &Identity| json!({"identity": identity.reveal().reveal_text().unwrap()});

    let sealed =
        Sealer::new(&context).to(cast.x_wing.recipient()).sign(&cast.signer).seal(b"shared").unwrap();
    let answer = python
        .ask(&json!({
            "op": "rewrap", "envelope": to_text(&sealed), "unlock": text(&cast.x_wing), "context": context_json,
            "part": "", "to": [{"recipient": bob.recipient().to_string()}, {"key": KEY_HEX}],
        }))
        .unwrap();
    assert_eq!(answer["ok"], true, "{answer}");
    let rewrapped = from_text(answer["envelope"].as_str().unwrap()).unwrap();
    let expected = Expect::OneOf(vec![cast.signer.signer()]);
    let opened = Opener::new(&bob, &context).expect(expected).open(&rewrapped).unwrap();
    assert_eq!(opened.plaintext, b"shared");
    assert_eq!(opened.about.addressed_to_me, Addressed::No);
    assert_eq!(Opener::new(&cast.x_wing, &context).open(&rewrapped).unwrap_err().code(), "NotRecipient");

    let back = rewrap(&rewrapped, &cast.key, &context, &[cast.x_wing.recipient()]).unwrap();
    let answer = python
        .ask(&json!({
            "op": "open", "envelope": to_text(&back), "unlock": text(&cast.x_wing), "context": context_json,
            "part": "", "signers": [cast.signer.signer().to_string()],
        }))
        .unwrap();
    assert_eq!(answer["plaintext"], to_text(b"shared"), "{answer}");
}

#[test]
fn keys_have_the_same_text_forms() {
    let mut python = Python::start().unwrap();
    for kem in [Kem::XWing, Kem::X25519] {
        let ours = Identity::generate_with(kem).unwrap();
        let secret = ours.reveal();
        let answer = python.ask(&json!({"op": "identity", "text": secret.reveal_text()})).unwrap();
        assert_eq!(answer["recipient"], ours.recipient().to_string());
        let answer = python.ask(&json!({"op": "recipient", "text": ours.recipient().to_string()})).unwrap();
        let fingerprint: String =
            ours.recipient().fingerprint().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(answer["fingerprint"], fingerprint);
        assert_eq!(answer["signer"], ours.signer().to_string());

        let name = if kem == Kem::XWing { "X-Wing" } else { "X25519" };
        let theirs = python.ask(&json!({"op": "generate", "kem": name})).unwrap();
        let parsed = Identity::parse(theirs["identity"].as_str().unwrap()).unwrap();
        assert_eq!(theirs["recipient"], parsed.recipient().to_string());
    }
}
