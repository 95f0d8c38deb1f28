//! Other people's vectors through this folder's own functions. Expected values are as published.

use super::aead::{with_ring, with_rustcrypto};
use super::hpke::open_with_aad;
use super::{
    Aead, Exported, HpkeAead, Kem, KemPublic, KemSecret, ResponseKey, Signer, argon2id, expand_sha512,
    hkdf_sha256, hmac_sha256, label,
};
use crate::secret::Key;
use crate::vectors::{Format, files, hex, hex_field, own_folder};
use ml_kem::ml_kem_768;
use serde_json::Value;
use std::io::Read;

/// Every test of every Wycheproof file of an algorithm, with its group.
fn wycheproof(algorithm: &'static str) -> Vec<(Value, Value)> {
    let mut cases = Vec::new();
    for (_, file) in files(Format::Wycheproof(algorithm)).unwrap() {
        for group in file["testGroups"].as_array().unwrap() {
            for case in group["tests"].as_array().unwrap() {
                cases.push((group.clone(), case.clone()));
            }
        }
    }
    cases
}

fn is_valid(case: &Value) -> bool {
    match case["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        other => panic!("unknown result {other}"),
    }
}

fn key32(bytes: &[u8]) -> Key {
    Key::copied(bytes.try_into().unwrap())
}

fn check_aead(algorithm: &'static str, aead: Aead) {
    let mut run = 0;
    for (group, case) in wycheproof(algorithm) {
        if (group["keySize"].as_u64(), group["ivSize"].as_u64()) != (Some(256), Some(96)) {
            continue; // Not an AEAD of the format: the type admits 32-byte keys and 12-byte nonces only.
        }
        let [key, nonce, aad, msg, ct, tag] =
            ["key", "iv", "aad", "msg", "ct", "tag"].map(|name| hex_field(&case, name));
        let (key, nonce) = (key32(&key), <[u8; 12]>::try_from(nonce).unwrap());
        let sealed = [ct.as_slice(), &tag].concat();
        let (ring, rustcrypto) =
            (with_ring::AeadKey::new(aead, &key), with_rustcrypto::AeadKey::new(aead, &key));
        let (text, tag) = sealed.split_last_chunk().unwrap();
        let mut out = [text.to_vec(), text.to_vec()];
        let opened = [
            ring.open_in_place(nonce, &aad, &mut out[0], tag),
            rustcrypto.open_in_place(nonce, &aad, &mut out[1], tag),
        ];
        assert_eq!(opened, [is_valid(&case); 2], "{case}");
        let mut other = vec![1; text.len()];
        assert_eq!(rustcrypto.open_into(nonce, &aad, text, tag, &mut other), is_valid(&case), "{case}");
        assert_eq!(other, out[1], "{case}");
        if is_valid(&case) {
            assert_eq!(out, [msg.clone(), msg.clone()], "{case}");
            let mut buffers = [[msg.as_slice(), &[0; 16]].concat(), [msg.as_slice(), &[0; 16]].concat()];
            ring.seal(nonce, &aad, &mut buffers[0]);
            rustcrypto.seal(nonce, &aad, &mut buffers[1]);
            let mut other = vec![1; sealed.len()];
            rustcrypto.seal_into(nonce, &aad, &msg, &mut other);
            assert_eq!(other, sealed, "{case}");
            assert_eq!(buffers, [sealed.clone(), sealed], "{case}");
        } else {
            assert!(out.iter().flatten().all(|&byte| byte == 0), "unauthenticated bytes were left: {case}");
        }
        run += 1;
    }
    assert!(run >= 60, "only {run} cases of {algorithm}");
}

#[test]
fn conformance_wycheproof_aes_gcm() {
    check_aead("AES-GCM", Aead::Aes256Gcm);
}

#[test]
fn conformance_wycheproof_chacha20_poly1305() {
    check_aead("CHACHA20-POLY1305", Aead::ChaCha20Poly1305);
}

#[test]
fn conformance_wycheproof_ed25519() {
    for (group, case) in wycheproof("EDDSA") {
        let key: [u8; 32] = hex_field(&group["publicKey"], "pk").try_into().unwrap();
        let verified = Signer::from_bytes(&key).is_ok_and(|signer| {
            let signature: Result<[u8; 64], _> = hex_field(&case, "sig").try_into();
            signature.is_ok_and(|signature| signer.verify(&hex_field(&case, "msg"), &signature).is_ok())
        });
        assert_eq!(verified, is_valid(&case), "{case}");
    }
}

/// A key and an R of small order verify any message under the permissive rules; ours refuse them.
#[test]
fn conformance_ed25519_small_order_and_non_canonical_keys() {
    for key in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        assert!(Signer::from_bytes(&hex(key).unwrap().try_into().unwrap()).is_err(), "{key}");
    }
}

#[test]
fn conformance_wycheproof_hkdf_sha256() {
    for (_, case) in wycheproof("HKDF-SHA-256") {
        let [ikm, salt, info] = ["ikm", "salt", "info"].map(|name| hex_field(&case, name));
        if !is_valid(&case) {
            continue; // Too much output asked for: the function gives 32 bytes only.
        }
        let okm = hex_field(&case, "okm");
        let ours = hkdf_sha256(&salt, &ikm, &info);
        let len = okm.len().min(32);
        assert_eq!(ours.expose()[..len], okm[..len], "{case}");
    }
}

#[test]
fn conformance_wycheproof_hkdf_sha512() {
    for (_, case) in wycheproof("HKDF-SHA-512") {
        let [ikm, salt, info] = ["ikm", "salt", "info"].map(|name| hex_field(&case, name));
        if !is_valid(&case) {
            continue; // Above 255 blocks, which the one caller never asks for.
        }
        let (prk, _) = hkdf::Hkdf::<sha2::Sha512>::extract(Some(&salt), &ikm);
        let mut okm = vec![0; hex_field(&case, "okm").len()];
        expand_sha512(&prk, &[&info], &mut okm);
        assert_eq!(okm, hex_field(&case, "okm"), "{case}");
    }
}

#[test]
fn conformance_wycheproof_hmac_sha256() {
    let mut run = 0;
    for (group, case) in wycheproof("HMACSHA256") {
        if group["keySize"].as_u64() != Some(256) {
            continue; // The type admits 32-byte keys only.
        }
        let tag = hex_field(&case, "tag");
        let ours = hmac_sha256(&key32(&hex_field(&case, "key")), &[&hex_field(&case, "msg")]);
        assert_eq!(super::equal(&ours[..tag.len()], &tag), is_valid(&case), "{case}");
        run += 1;
    }
    assert!(run >= 50);
}

#[test]
fn conformance_wycheproof_x25519() {
    for (_, case) in wycheproof("XDH") {
        let [public, private, shared] =
            ["public", "private", "shared"].map(|name| <[u8; 32]>::try_from(hex_field(&case, name)).unwrap());
        let ours = x25519_dalek::StaticSecret::from(private).diffie_hellman(&public.into());
        assert_eq!(ours.as_bytes(), &shared, "{case}");
        // What a KEM must not use is refused as a public key: no contribution, or a second encoding.
        let flags = case["flags"].to_string();
        if flags.contains("ZeroSharedSecret") || flags.contains("NonCanonicalPublic") {
            assert!(KemPublic::from_bytes(Kem::X25519, &public).is_err(), "{case}");
        } else if shared != [0; 32] && public[31] < 0x7f {
            assert!(KemPublic::from_bytes(Kem::X25519, &public).is_ok(), "{case}");
        }
    }
}

/// An X-Wing public key whose ML-KEM half is `ek`.
fn x_wing_with(ek: &[u8]) -> Result<KemPublic, crate::Error> {
    let mut x25519_base_point = [0; 32];
    x25519_base_point[0] = 9;
    KemPublic::from_bytes(Kem::XWing, &[ek, &x25519_base_point].concat())
}

fn ml_kem_from_seed(seed: &[u8]) -> ml_kem_768::DecapsulationKey {
    ml_kem_768::DecapsulationKey::from_seed(seed.try_into().unwrap())
}

#[test]
fn conformance_wycheproof_ml_kem_768() {
    use ml_kem::KeyExport;
    use ml_kem::kem::Decapsulate;
    let mut run = 0;
    for (group, case) in wycheproof("ML-KEM") {
        assert_eq!(group["parameterSet"], "ML-KEM-768");
        let seed = hex_field(&case, "seed");
        if seed.len() != 64 {
            assert!(!is_valid(&case));
            continue; // The type admits 64-byte seeds only.
        }
        let key = ml_kem_from_seed(&seed);
        let ek = hex_field(&case, "ek");
        if is_valid(&case) {
            assert_eq!(key.encapsulation_key().to_bytes().as_slice(), ek, "{case}");
            assert!(x_wing_with(&ek).is_ok(), "{case}");
        }
        if case.get("c").is_some() {
            let shared = <ml_kem_768::Ciphertext>::try_from(hex_field(&case, "c").as_slice())
                .map(|ciphertext| key.decapsulate(&ciphertext).to_vec());
            let expected = hex_field(&case, "K");
            assert_eq!(shared.is_ok_and(|shared| shared == expected), is_valid(&case), "{case}");
        }
        run += 1;
    }
    assert!(run >= 200, "only {run}");
}

/// FIPS 203 §7.2, the modulus check: a key with a coefficient out of range is not a key.
#[test]
fn conformance_cctv_ml_kem_keys_out_of_range() {
    let packed = std::fs::File::open(own_folder().join("foreign/cctv-ml-kem/modulus-768.txt.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 780);
    for line in text.lines() {
        assert!(x_wing_with(&hex(line).unwrap()).is_err());
    }
}

#[test]
fn conformance_cctv_ml_kem_decapsulation() {
    use ml_kem::KeyExport;
    use ml_kem::kem::Decapsulate;
    let read = |name: &str| {
        let text = std::fs::read_to_string(own_folder().join("foreign/cctv-ml-kem").join(name)).unwrap();
        move |field: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field} = ")));
            line.and_then(hex)
        }
    };
    // All three come with expanded keys, and two with seeds from before the final FIPS 203.
    for name in ["intermediate-768.txt", "unluckysample-768.txt", "strcmp-768.txt"] {
        let field = read(name);
        let expanded = field("dk").unwrap();
        #[allow(deprecated)] // Expanded keys are for vectors; the format stores seeds.
        let key =
            ml_kem_768::DecapsulationKey::from_expanded(expanded.as_slice().try_into().unwrap()).unwrap();
        let ciphertext = field("c").unwrap();
        assert_eq!(
            Some(key.decapsulate(ciphertext.as_slice().try_into().unwrap()).to_vec()),
            field("K"),
            "{name}"
        );
        if let Some(ek) = field("ek") {
            assert!(x_wing_with(&ek).is_ok(), "{name}");
            assert!(key.encapsulation_key().to_bytes().as_slice() == ek, "{name}");
            let m = field("m").unwrap();
            let (c, shared) =
                key.encapsulation_key().encapsulate_deterministic(m.as_slice().try_into().unwrap());
            assert_eq!((Some(c.to_vec()), Some(shared.to_vec())), (field("c"), field("K")), "{name}");
        }
    }
}

/// RFC 9180 and draft-ietf-hpke-pq vectors of our two suites, base mode.
#[test]
fn conformance_hpke() {
    let mut opened = 0;
    for (path, file) in files(Format::Hpke).unwrap() {
        for vector in file.as_array().unwrap() {
            let number = |name: &str| vector[name].as_u64().unwrap();
            let kem = Kem::with_id(number("kem_id"));
            let (Some(kem), 0, 1, 3) = (kem, number("mode"), number("kdf_id"), number("aead_id")) else {
                continue; // A suite that the format does not have.
            };
            let secret = hex_field(vector, "skRm");
            let parsed = KemSecret::from_bytes(kem, key32(&secret)).unwrap();
            assert_eq!(parsed.public().to_bytes(), hex_field(vector, "pkRm"), "{}", path.display());
            let Some(first) = vector.get("encryptions").and_then(|list| list.get(0)) else { continue };
            let text = open_with_aad(
                kem,
                &secret,
                &hex_field(vector, "enc"),
                &hex_field(vector, "info"),
                &hex_field(first, "aad"),
                &hex_field(first, "ct"),
            );
            assert_eq!(text, Some(hex_field(first, "pt")), "{}", path.display());
            opened += 1;
        }
    }
    assert!(opened >= 2, "one vector per suite at least");
}

#[test]
fn conformance_x_wing() {
    use hpke::{Deserializable, Kem as _};
    for (path, file) in files(Format::XWing).unwrap() {
        for vector in file.as_array().unwrap() {
            let seed = hex_field(vector, "seed");
            let secret = KemSecret::from_bytes(Kem::XWing, key32(&seed)).unwrap();
            assert_eq!(secret.public().to_bytes(), hex_field(vector, "pk"), "{}", path.display());
            type XWing = hpke::kem::XWing;
            let key = <XWing as hpke::Kem>::PrivateKey::from_bytes(&seed).unwrap();
            let ct = <XWing as hpke::Kem>::EncappedKey::from_bytes(&hex_field(vector, "ct")).unwrap();
            let shared = XWing::decap(&key, None, &ct).unwrap_or_else(|_| panic!("decapsulation"));
            assert_eq!(shared.0.as_slice(), hex_field(vector, "ss"), "{}", path.display());
        }
    }
}

/// The secrets of published exchanges, one step at a time; `http::conformance` opens the messages themselves.
#[test]
fn conformance_ohttp_secrets() {
    for (path, vector) in files(Format::ObliviousHttp).unwrap() {
        let chunked = vector.get("chunked").is_some();
        let [request, info, export, salt] =
            ["encapsulated_request", "info", "export", "salt"].map(|name| hex_field(&vector, name));
        let (enc, nonce) = salt.split_at(32);
        assert_eq!(&request[7..39], enc, "{}", path.display());
        let secret = KemSecret::from_bytes(Kem::X25519, key32(&hex_field(&vector, "skR"))).unwrap();
        let context = secret.start_receiving(HpkeAead::Aes128Gcm, enc, &info).unwrap();
        let label: &[u8] =
            if chunked { b"message/bhttp chunked response" } else { b"message/bhttp response" };
        let exported = context.export(label, HpkeAead::Aes128Gcm.key_len()).unwrap();
        assert_eq!(*exported, export, "{}", path.display());

        // Shorter output of HKDF is the beginning of longer output.
        let derived = |info| hkdf_sha256(&salt, &export, info).expose().to_vec();
        assert_eq!(derived(b"key")[..16], hex_field(&vector, "key"), "{}", path.display());
        assert_eq!(derived(b"nonce")[..12], hex_field(&vector, "nonce"), "{}", path.display());
        let mut key = ResponseKey::new(HpkeAead::Aes128Gcm, &Exported::new(export), enc, nonce).unwrap();
        for expected in vector.get("chunk_nonces").and_then(Value::as_array).into_iter().flatten() {
            let expected = hex(expected.as_str().unwrap()).unwrap();
            assert_eq!(key.next_nonce().unwrap().to_vec(), expected, "{}", path.display());
        }
    }
}

/// RFC 9106 §5.3 has a secret and associated data, which the format does not use; this value comes from the
/// reference implementation's test suite (phc-winner-argon2, `test.c`, Argon2id version 0x13, m = 64 MiB).
#[test]
fn conformance_argon2id() {
    let reference = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
    let mut salt = [0; 8];
    salt.copy_from_slice(b"somesalt");
    let params = argon2::Params::new(65536, 2, 1, Some(32)).unwrap();
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = [0; 32];
    argon.hash_password_into(b"password", &salt, &mut out).unwrap();
    assert_eq!(out.to_vec(), hex(reference).unwrap());
    // Made with pyca/cryptography's Argon2id: m = 64 KiB, t = 1, p = 1, salt = 16 bytes of 0x07.
    let ours = argon2id(b"password", &[7; 16], 64, 1, 1).unwrap();
    assert_eq!(ours.expose().to_vec(), hex(PYCA_ARGON2ID).unwrap());
}

const PYCA_ARGON2ID: &str = "0c942bca9ed020b5e04d9a95ac32b2b0cbfa78e2635489e9455d5a5d07b3de83";

#[test]
fn labels_are_prefix_free() {
    let labels = [
        label::BODY_KEY,
        label::SLOTS_TAG_KEY,
        label::PRIVATE_BLOCK_KEY,
        label::SLOTS_TAG,
        label::SLOT,
        label::SLOT_HINT,
        label::KEY_ID,
        label::BODY_CONTEXT,
        label::SIGNATURE,
        label::RECIPIENT,
        label::FINGERPRINT,
        label::ORIGIN_NONCE,
        label::SERVICE_KEYS,
        label::REPLAY_ID,
        label::IDEMPOTENCY_KEY,
        label::LAST_SEEN,
    ];
    for (i, a) in labels.iter().enumerate() {
        assert!(labels.iter().enumerate().all(|(j, b)| i == j || !b.starts_with(a)));
    }
}
