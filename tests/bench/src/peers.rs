//! The peers, each doing what ours does.

use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sealwire::Aead;
use std::io::{Read, Write};

const CHUNK: usize = 16_384;
const TAG: usize = 16;

/// Bare `ring` over the same chunks, into the same kind of buffer.
pub struct Ring(LessSafeKey);

impl Ring {
    pub fn new(aead: Aead) -> Self {
        let algorithm: &'static Algorithm =
            if aead == Aead::Aes256Gcm { &AES_256_GCM } else { &CHACHA20_POLY1305 };
        Self(LessSafeKey::new(UnboundKey::new(algorithm, &[1; 32]).unwrap()))
    }

    fn nonce(index: usize) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&(index as u64).to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    pub fn seal(&self, plaintext: &[u8], out: &mut Vec<u8>) {
        out.resize(plaintext.len() + (plaintext.len() / CHUNK + 1) * TAG, 0);
        let mut chunks = plaintext.chunks(CHUNK);
        for (i, sealed) in out.chunks_mut(CHUNK + TAG).enumerate() {
            let chunk = chunks.next().unwrap_or_default();
            let (text, tag) = sealed.split_at_mut(chunk.len());
            text.copy_from_slice(chunk);
            let made = self.0.seal_in_place_separate_tag(Self::nonce(i), Aad::empty(), text).unwrap();
            tag.copy_from_slice(made.as_ref());
        }
    }

    pub fn open(&self, sealed: &[u8], out: &mut Vec<u8>) {
        let chunks = sealed.len().div_ceil(CHUNK + TAG);
        out.resize(sealed.len() - chunks * TAG, 0);
        let mut rest = out.as_mut_slice();
        for (i, sealed) in sealed.chunks(CHUNK + TAG).enumerate() {
            let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG);
            let (text, later) = std::mem::take(&mut rest).split_at_mut(ciphertext.len());
            rest = later;
            text.copy_from_slice(ciphertext);
            let tag = ring::aead::Tag::try_from(tag).unwrap();
            self.0.open_in_place_separate_tag(Self::nonce(i), Aad::empty(), tag, text, 0..).unwrap();
        }
    }
}

/// `age`, to one X25519 recipient.
pub struct Age {
    identity: age::x25519::Identity,
}

impl Age {
    pub fn new() -> Self {
        Self { identity: age::x25519::Identity::generate() }
    }

    pub fn seal(&self, plaintext: &[u8], sealed: &mut Vec<u8>) {
        let recipient = self.identity.to_public();
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
        sealed.clear();
        let mut writer = encryptor.wrap_output(sealed).unwrap();
        writer.write_all(plaintext).unwrap();
        writer.finish().unwrap();
    }

    pub fn open(&self, sealed: &[u8], plaintext: &mut Vec<u8>) {
        plaintext.clear();
        let decryptor = age::Decryptor::new(sealed).unwrap();
        let mut reader = decryptor.decrypt(std::iter::once(&self.identity as &dyn age::Identity)).unwrap();
        reader.read_to_end(plaintext).unwrap();
    }
}

/// The bare `hpke` crate, single shot, with keys that are parsed already.
pub struct Hpke<K: hpke::Kem> {
    private: K::PrivateKey,
    public: K::PublicKey,
}

type ChaCha = hpke::aead::ChaCha20Poly1305;
type Kdf = hpke::kdf::HkdfSha256;

impl<K: hpke::Kem> Hpke<K> {
    pub fn new() -> Self {
        let (private, public) = K::gen_keypair();
        Self { private, public }
    }

    pub fn seal(&self, plaintext: &[u8]) -> (K::EncappedKey, Vec<u8>) {
        hpke::single_shot_seal::<ChaCha, Kdf, K>(&hpke::OpModeS::Base, &self.public, b"info", plaintext, b"")
            .unwrap()
    }

    pub fn open(&self, (enc, sealed): &(K::EncappedKey, Vec<u8>)) -> Vec<u8> {
        hpke::single_shot_open::<ChaCha, Kdf, K>(
            &hpke::OpModeR::Base,
            &self.private,
            enc,
            b"info",
            sealed,
            b"",
        )
        .unwrap()
    }

    pub fn encapsulate(&self) {
        let (enc, _context) =
            hpke::setup_sender::<ChaCha, Kdf, K>(&hpke::OpModeS::Base, &self.public, b"info").unwrap();
        std::hint::black_box(enc);
    }
}

/// The AWS Encryption SDK with its default suite and a raw AES keyring: no network.
pub struct Esdk {
    runtime: tokio::runtime::Runtime,
    client: aws_esdk::client::Client,
    keyring: aws_esdk::material_providers::types::keyring::KeyringRef,
}

impl Esdk {
    pub fn new() -> Self {
        use aws_esdk::material_providers::client::Client as Providers;
        use aws_esdk::material_providers::types::AesWrappingAlg;
        use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
        use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let client =
            aws_esdk::client::Client::from_conf(AwsEncryptionSdkConfig::builder().build().unwrap()).unwrap();
        let providers = Providers::from_conf(MaterialProvidersConfig::builder().build().unwrap()).unwrap();
        let keyring = runtime
            .block_on(
                providers
                    .create_raw_aes_keyring()
                    .key_name("name")
                    .key_namespace("namespace")
                    .wrapping_key(vec![1_u8; 32])
                    .wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16)
                    .send(),
            )
            .unwrap();
        Self { runtime, client, keyring }
    }

    pub fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let sealed = self.client.encrypt().plaintext(plaintext).keyring(self.keyring.clone()).send();
        self.runtime.block_on(sealed).unwrap().ciphertext.unwrap().into_inner()
    }

    pub fn open(&self, sealed: &[u8]) -> Vec<u8> {
        let opened = self.client.decrypt().ciphertext(sealed).keyring(self.keyring.clone()).send();
        self.runtime.block_on(opened).unwrap().plaintext.unwrap().into_inner()
    }
}
