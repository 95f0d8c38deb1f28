//! The vectors of C2SP chunked encryption, made by pyca/cryptography, through this file's functions.

use super::{BodyKey, CHUNK, HEAD_LEN, SEALED_CHUNK, plain_len, sealed_len};
use crate::error::Error;
use crate::secret::Key;
use crate::suite::{Aead, sha256};
use crate::vectors::{Format, files, hex_field};

#[test]
fn conformance_chunked_encryption() {
    for (_, file) in files(Format::ChunkedEncryption).unwrap() {
        for vector in file["vectors"].as_array().unwrap() {
            check(vector);
        }
    }
}

fn check(vector: &serde_json::Value) {
    let aead = [Aead::Aes256Gcm, Aead::ChaCha20Poly1305]
        .into_iter()
        .find(|aead| vector["aead"] == aead.name())
        .unwrap();
    let context = hex_field(vector, "context");
    let salt = hex_field(vector, "salt");
    let key = Key::copied(&hex_field(vector, "key").try_into().unwrap());
    let (commitment, key) = super::derive(aead, &key, &salt, &context);
    let cipher = key.cipher();
    assert_eq!(commitment.to_vec(), hex_field(vector, "commitment"));

    let len = vector["plaintext_len"].as_u64().unwrap() as usize;
    let plaintext: Vec<u8> = (0..len).map(|i| (7 * i + (i >> 8) + 3) as u8).collect();
    let mut chunks = vec![0; sealed_len(len as u64).unwrap() as usize];
    cipher
        .seal_run(0, &mut chunks, |offset, text| {
            let text_len = text.len();
            text.copy_from_slice(&plaintext[offset..offset + text_len]);
        })
        .unwrap();
    let ciphertext = [salt, commitment.to_vec(), chunks.clone()].concat();
    assert_eq!(ciphertext.len() as u64, vector["ciphertext_len"].as_u64().unwrap());
    assert_eq!(sha256(&[&ciphertext]).to_vec(), hex_field(vector, "ciphertext_sha256"));

    assert_eq!(plain_len(chunks.len() as u64), Ok(len as u64));
    let mut opened = vec![0; len];
    cipher.open_run(0, &chunks, &mut opened).unwrap();
    assert!(opened == plaintext);
    // Sequential and random access are the same bytes.
    for index in [0, len / CHUNK / 2, len / CHUNK] {
        let sealed = &chunks[index * SEALED_CHUNK..chunks.len().min((index + 1) * SEALED_CHUNK)];
        let mut text = vec![0; sealed.len() - 16];
        cipher.open(index as u64, sealed, &mut text).unwrap();
        assert!(text == plaintext[index * CHUNK..len.min((index + 1) * CHUNK)]);
    }
}

#[test]
fn a_body_belongs_to_one_context() {
    let key = |context| BodyKey { aead: Aead::ChaCha20Poly1305, input_key: Key::copied(&[1; 32]), context };
    let (head, _) = key([2; 32]).start().unwrap();
    assert!(key([2; 32]).resume(&head).is_ok());
    assert_eq!(key([3; 32]).resume(&head).err(), Some(Error::Rejected));
    for i in 0..HEAD_LEN {
        let mut flipped = head;
        flipped[i] ^= 1;
        assert_eq!(key([2; 32]).resume(&flipped).err(), Some(Error::Rejected), "byte {i}");
    }
}

/// From the C2SP document: which lengths no message has.
#[test]
fn lengths_that_no_body_has() {
    for full in [0, 1, 2, 1000] {
        for rest in 0..16 {
            assert_eq!(plain_len(full * 16400 + rest), Err(Error::Truncated));
        }
        assert_eq!(plain_len(full * 16400 + 16), Ok(full * 16384));
        assert_eq!(plain_len(full * 16400 + 16399), Ok(full * 16384 + 16383));
    }
    assert_eq!(sealed_len(16384), Ok(16384 + 32));
    assert!(sealed_len((1 << 52) - 1).is_ok());
    assert!(matches!(sealed_len(1 << 52), Err(Error::TooLarge(_))));
}
