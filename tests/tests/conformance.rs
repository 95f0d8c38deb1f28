//! Every case of `tests/vectors/envelope/` and of `SEALWIRE_VECTORS`: one file, one outcome.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::{
    Addressed, Error, Expect, Identity, MetadataValue, OpenReader, Opened, Opener, Pin, Recipient, SignedBy,
    Signer, from_text,
};
use sealwire_tests::people::{context, keys};
use sealwire_tests::vectors::{Format, files, hex, hex_field};
use serde_json::Value;
use std::io::Read;

#[test]
fn conformance_envelope_vectors() {
    let cases = files(Format::Envelope).unwrap();
    let mut wrong = Vec::new();
    for (path, case) in &cases {
        let expected = case["expect"].as_str().unwrap();
        let outcome = run(case);
        if outcome != expected {
            wrong.push(format!("{}: expected {expected}, was {outcome}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 120, "only {} cases", cases.len());
}

/// The code of the outcome; an `ok` that gives something else than the file says is `different: …`.
fn run(case: &Value) -> String {
    let text = || case["text"].as_str().unwrap();
    let result = match case["operation"].as_str().unwrap() {
        "open" => run_open(case),
        "recipient" => Recipient::parse(text())
            .map(|recipient| *recipient.fingerprint().as_bytes() == *hex_field(case, "fingerprint")),
        "pin" => Pin::parse(text()).map(|pin| pin.to_string() == text()),
        "identity" => Identity::parse(text()).map(|identity| {
            identity.recipient().fingerprint().as_bytes().to_vec() == hex_field(case, "fingerprint")
        }),
        "text" => from_text(text()).map(|bytes| bytes == hex_field(case, "bytes")),
        other => panic!("unknown operation {other}"),
    };
    match result {
        Ok(true) => "ok".into(),
        Ok(false) => "ok, but different".into(),
        Err(error) => error.code().into(),
    }
}

fn run_open(case: &Value) -> Result<bool, Error> {
    let envelope = from_text(case["envelope"].as_str().unwrap())?;
    let keys = keys(&case["unlock"])?;
    let context = context(&case["context"]);
    let expect = match case["signers"].as_array() {
        None => Expect::Anyone,
        Some(signers) => Expect::OneOf(
            signers
                .iter()
                .map(|signer| {
                    Signer::from_bytes(&hex(signer.as_str().unwrap()).unwrap().try_into().unwrap()).unwrap()
                })
                .collect(),
        ),
    };
    let opener = Opener::new(&*keys, &context).expect(expect).part(case["part"].as_str().unwrap());
    let opened = opener.open(&envelope);
    check_stream(&opener, &envelope, &opened);
    opened.map(|opened| matches(&opened, case))
}

/// The reader of streams gives the same payload, or the same code.
fn check_stream(opener: &Opener<'_>, envelope: &[u8], opened: &Result<Opened, Error>) {
    let mut plaintext = Vec::new();
    let streamed = OpenReader::new(envelope, opener).and_then(|mut reader| {
        reader.read_to_end(&mut plaintext)?;
        reader.finish()
    });
    match (opened, streamed) {
        (Ok(opened), Ok(finished)) => {
            assert!(opened.plaintext == plaintext);
            assert_eq!((opened.signer, &opened.about), (finished.signer, &finished.about));
        }
        (Err(one_shot), Err(streamed)) => {
            assert_eq!(one_shot.code(), streamed.code());
            assert!(plaintext.is_empty(), "a vector is shorter than what a reader opens at once");
            let mut reused = b"an earlier payload".to_vec();
            assert!(opener.open_into(envelope, &mut reused).is_err());
            assert!(reused.is_empty());
        }
        (one_shot, streamed) => panic!("one-shot: {one_shot:?}, streamed: {streamed:?}"),
    }
}

fn matches(opened: &Opened, case: &Value) -> bool {
    let plaintext = match case["plaintext"].as_str() {
        Some(plaintext) => Some(opened.plaintext.clone()) == hex(plaintext),
        None => opened.plaintext.len() as u64 == case["plaintext_len"].as_u64().unwrap(),
    };
    let signer = match opened.signer {
        SignedBy::Verified(signer) => Some(signer.to_string()),
        _ => None,
    };
    let addressed = match opened.about.addressed_to_me {
        Addressed::Yes => "yes",
        Addressed::No => "no",
        _ => "unstated",
    };
    let metadata: serde_json::Map<String, Value> =
        opened.about.metadata.iter().map(|(key, value)| (key.to_owned(), json(value))).collect();
    plaintext
        && signer.as_deref() == case["signer"].as_str()
        && addressed == case["addressed_to_me"]
        && Value::Object(metadata) == case["metadata"]
        && opened.about.created == case["created"].as_u64()
        && opened.about.content_type.as_deref() == case["content_type"].as_str()
        && opened.about.filename.as_deref() == case["filename"].as_str()
}

fn json(value: &MetadataValue) -> Value {
    match value {
        MetadataValue::Text(text) => text.as_str().into(),
        MetadataValue::Number(number) => (*number).into(),
        MetadataValue::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({ "hex": hex })
        }
        _ => Value::Null,
    }
}
