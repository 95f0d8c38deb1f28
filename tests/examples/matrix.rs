//! Rust's share of `tests/matrix/`: writes its cases into the folder at the path given.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use sealwire::{
    About, Addressed, Aead, Identity, Kem, MetadataValue, Opener, Passphrase, Recipients, SealContext,
    SealStream, Sealer, SymmetricKey, Unlock, to_text,
};
use sealwire_tests::people::context;
use sealwire_tests::vectors::hex;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let cases: Vec<Value> = serde_json::from_str(include_str!("../matrix/cases.json")).unwrap();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let vector = serde_json::to_vec_pretty(&sealed(case)).unwrap();
        std::fs::write(folder.join(format!("rust-{name}.json")), vector).unwrap();
    }
}

/// What the readers may be.
enum Reader {
    Identity(Box<Identity>),
    Passphrase(Passphrase),
    Key(SymmetricKey),
}

fn sealed(case: &Value) -> Value {
    let to = case["to"].as_str().unwrap();
    let secret = "correct horse battery staple";
    let (reader, unlock) = match to {
        "passphrase" => {
            let passphrase = Passphrase::new(secret).unwrap().costs(8192, 1, 1).unwrap();
            (Reader::Passphrase(passphrase), json!({ "passphrase": secret }))
        }
        "key" => {
            let key = SymmetricKey::generate().unwrap();
            let unlock = json!({ "key": to_hex(key.reveal().reveal()) });
            (Reader::Key(key), unlock)
        }
        kem => {
            let kem = if kem == "X25519" { Kem::X25519 } else { Kem::XWing };
            let identity = Identity::generate_with(kem).unwrap();
            let unlock = json!({ "identity": identity.reveal().reveal_text().unwrap() });
            (Reader::Identity(Box::new(identity)), unlock)
        }
    };
    let (recipients, keys): (Recipients<'_>, &dyn Unlock) = match &reader {
        Reader::Identity(identity) if to == "anonymous" => {
            (Recipients::new().anonymous(identity.recipient()), &**identity)
        }
        Reader::Identity(identity) => (Recipients::new().recipient(identity.recipient()), &**identity),
        Reader::Passphrase(passphrase) => (Recipients::new().passphrase(passphrase), passphrase),
        Reader::Key(key) => (Recipients::new().key(key), key),
    };
    let context: SealContext = context(&case["context"]);
    let signer = Identity::generate_with(Kem::X25519).unwrap();
    let mut sealer = Sealer::new(&context).to(recipients).part(case["part"].as_str().unwrap_or_default());
    if case["sign"] == true {
        sealer = sealer.sign(&signer);
    }
    if case["padded"] == false {
        sealer = sealer.unpadded();
    }
    sealer = match case["aead"].as_str() {
        Some("Aes256Gcm") => sealer.aead(Aead::Aes256Gcm),
        Some(_) => sealer.aead(Aead::ChaCha20Poly1305),
        None => sealer,
    };
    for (key, value) in case["metadata"].as_object().into_iter().flatten() {
        sealer = match (value.as_str(), value.as_u64()) {
            (Some(text), _) => sealer.metadata(key, text),
            (_, Some(number)) => sealer.metadata(key, number),
            _ => sealer.metadata(key, MetadataValue::Bytes(hex(value["hex"].as_str().unwrap()).unwrap())),
        };
    }
    if let Some(created) = case["created"].as_u64() {
        sealer = sealer.created(created);
    }
    if let Some(media_type) = case["content_type"].as_str() {
        sealer = sealer.content_type(media_type);
    }
    if let Some(filename) = case["filename"].as_str() {
        sealer = sealer.filename(filename);
    }
    let payload: Vec<u8> =
        (0..case["length"].as_u64().unwrap()).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    let envelope =
        if case["streamed"] == true { streamed(&sealer, &payload) } else { sealer.seal(&payload).unwrap() };
    let about = Opener::new(keys, &context)
        .part(case["part"].as_str().unwrap_or_default())
        .open(&envelope)
        .unwrap()
        .about;
    json!({
        "about": format!("Sealed in Rust: {}.", case["name"].as_str().unwrap()),
        "spec": "matrix",
        "operation": "open",
        "expect": "ok",
        "envelope": to_text(&envelope),
        "unlock": unlock,
        "context": case["context"],
        "part": case["part"].as_str().unwrap_or_default(),
        "signers": if case["sign"] == true { json!([signer.signer().to_string()]) } else { Value::Null },
        "plaintext": to_hex(&payload),
        "signer": if case["sign"] == true { json!(signer.signer().to_string()) } else { Value::Null },
        "metadata": case.get("metadata").cloned().unwrap_or_else(|| Map::new().into()),
        "created": case.get("created"),
        "content_type": case.get("content_type"),
        "filename": case.get("filename"),
        "addressed_to_me": addressed(&about),
    })
}

/// Only what is signed says to whom; a passphrase and a key are nobody.
fn addressed(about: &About) -> &'static str {
    match about.addressed_to_me {
        Addressed::Yes => "yes",
        Addressed::No => "no",
        _ => "unstated",
    }
}

fn streamed(sealer: &Sealer<'_>, payload: &[u8]) -> Vec<u8> {
    let (mut stream, mut envelope) = (SealStream::new(sealer).unwrap(), Vec::new());
    for piece in payload.chunks(10_000) {
        stream.push(piece, &mut envelope).unwrap();
    }
    stream.finish(&mut envelope).unwrap();
    envelope
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
