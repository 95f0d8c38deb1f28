//! Other people's exchanges through this folder's own functions. Expected values are as published.

use super::binary::Reader;
use super::encapsulation::{Arrived, Arriving, ChunkOpener, ChunkReader, ChunkSealer, Form};
use super::keys::{KeyConfig, ServiceKeys};
use super::message::{RequestHead, ResponseHead};
use crate::cbor::Writer;
use crate::secret::SecretBytes;
use crate::store::{MemoryStore, SecretStore};
use crate::suite::Kem;
use crate::vectors::{Format, files, hex_field};
use serde_json::Value;

const NOW: u64 = 1_700_000_000;

fn vectors() -> Vec<(Form, Value)> {
    let form = |vector: &Value| match vector.get("chunked") {
        Some(_) => Form::Chunked,
        None => Form::Whole,
    };
    files(Format::ObliviousHttp).unwrap().into_iter().map(|(_, vector)| (form(&vector), vector)).collect()
}

/// The published private key, as [`ServiceKeys::save`] would have kept it: one key, for AES-128-GCM.
fn service_keys(vector: &Value) -> ServiceKeys {
    let id = u64::from(hex_field(vector, "key_config")[0]);
    let list = Writer::default().array(3).uint(NOW).uint(id);
    let key = list.array(7).uint(id).uint(Kem::X25519.id().into()).uint(1).uint(NOW).uint(NOW).uint(NOW + 1);
    let saved = key.bytes(&hex_field(vector, "skR")).done();
    let store = MemoryStore::default();
    store.save("keys", &SecretBytes::new(saved)).unwrap();
    ServiceKeys::load(&store, "keys", NOW).unwrap().unwrap()
}

fn arrive(form: Form, vector: &Value) -> (Arrived, Vec<u8>) {
    let request = hex_field(vector, "encapsulated_request");
    let mut rest = request.as_slice();
    let arrived =
        Arriving::new(form).push(&mut rest, |name| service_keys(vector).find(name, NOW)).unwrap().unwrap();
    (arrived, rest.to_vec())
}

/// What is sealed, by the form's own rules.
fn open(form: Form, mut opener: impl ChunkOpener, sealed: &[u8]) -> Vec<u8> {
    match form {
        Form::Whole => opener.open_chunk(&[], &mut sealed.to_vec()).unwrap().to_vec(),
        Form::Chunked => {
            let (mut opened, mut chunks) = (Vec::new(), ChunkReader::new(opener));
            let mut take = |plaintext: &[u8]| {
                opened.extend_from_slice(plaintext);
                Ok(())
            };
            sealed.chunks(3).for_each(|piece| chunks.push(piece, &mut take).unwrap());
            chunks.finish(take).unwrap();
            opened
        }
    }
}

#[test]
fn conformance_ohttp_forms() {
    let forms: Vec<_> = vectors().into_iter().map(|(form, _)| form).collect();
    assert!(forms.contains(&Form::Whole) && forms.contains(&Form::Chunked));
}

#[test]
fn conformance_ohttp_key_config() {
    for (_, vector) in vectors() {
        let config = hex_field(&vector, "key_config");
        let list = [(config.len() as u16).to_be_bytes().as_slice(), &config].concat();
        let parsed = KeyConfig::parse_list(&list).unwrap();
        assert_eq!((parsed.id(), parsed.kem(), parsed.aead.id()), (1, Kem::X25519, 1));
        // The public key is the private one's.
        let published = service_keys(&vector).ohttp_keys(NOW);
        assert_eq!(KeyConfig::parse_list(&published).unwrap().key.to_bytes(), parsed.key.to_bytes());
    }
}

#[test]
fn conformance_ohttp_request() {
    for (form, vector) in vectors() {
        let (arrived, sealed) = arrive(form, &vector);
        let message = open(form, arrived.opening, &sealed);
        assert_eq!(message, hex_field(&vector, "binary_request"));
        let (mut reader, mut content) = (Reader::<RequestHead>::new(0), Vec::new());
        reader.push(&message, &mut content).unwrap();
        reader.finish().unwrap();
        let head = reader.take_head().unwrap();
        assert_eq!((head.method.as_str(), head.headers.len(), content.len()), ("GET", 0, 0));
        assert_eq!(format!("{}{}", head.target.origin(), head.target.path()), "https://example.com/");
    }
}

#[test]
fn conformance_ohttp_response() {
    for (form, vector) in vectors() {
        let (arrived, _) = arrive(form, &vector);
        let response = hex_field(&vector, "encapsulated_response");
        let (nonce, sealed) = response.split_at(arrived.secret.nonce_len());
        let message = open(form, arrived.secret.key(nonce).unwrap(), sealed);
        assert_eq!(message, hex_field(&vector, "binary_response"));
        let (mut reader, mut content) = (Reader::<ResponseHead>::new(0), Vec::new());
        reader.push(&message, &mut content).unwrap();
        reader.finish().unwrap();
        assert_eq!(reader.take_head().unwrap().status, 200);
    }
}

/// Sealing is deterministic once the nonce is chosen, so ours must give the published bytes.
#[test]
fn conformance_ohttp_response_sealed_by_us() {
    for (form, vector) in vectors() {
        let (arrived, _) = arrive(form, &vector);
        let published = hex_field(&vector, "encapsulated_response");
        let message = hex_field(&vector, "binary_response");
        let mut sealed = published[..arrived.secret.nonce_len()].to_vec();
        let mut key = arrived.secret.key(&sealed).unwrap();
        match form {
            Form::Whole => key.seal_chunk(&[], &[&message], &mut sealed).unwrap(),
            Form::Chunked => {
                // As published: one byte, two bytes, none.
                for chunk in [&message[..1], &message[1..]] {
                    sealed.push(chunk.len() as u8 + 16);
                    key.seal_chunk(&[], &[chunk], &mut sealed).unwrap();
                }
                sealed.push(0);
                key.seal_chunk(b"final", &[], &mut sealed).unwrap();
            }
        }
        assert_eq!(sealed, published);
    }
}
