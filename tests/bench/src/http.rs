//! Exchanges and signatures, both ends, without a network.

use crate::table::{Table, Target};
use crate::timing::{Effort, pair};
use ed25519_dalek::{Signer as _, SigningKey};
use hpke::aead::{AesGcm256, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::{OpModeR, OpModeS};
use sealwire::http::{
    Arrival, Carriage, ExchangeService, InPlace, KeyConfig, Method, Origin, OriginPolicy, RequestHead,
    RequestSealer, RequestSigner, RequestVerifier, ResponseHead, ServiceKeys, SignedBody, Target as Url,
};
use sealwire::{Aead, Identity, Kem};
use std::hint::black_box;

const NOW: u64 = 1_750_000_000;
const ORIGIN: &str = "https://api.example.com";

pub fn head(method: &str, path: &str) -> RequestHead {
    let mut head = RequestHead::new(
        Method::new(method).unwrap(),
        Url::new(Origin::parse(ORIGIN).unwrap(), path).unwrap(),
    );
    head.headers.add("content-type", "application/json").unwrap();
    head
}

/// A service with one key, and that key as a client has it.
fn service(kem: Kem, aead: Aead) -> (ExchangeService, KeyConfig) {
    let keys = ServiceKeys::generate_with(kem, aead, 3600, NOW).unwrap();
    let config = KeyConfig::parse_list(&keys.ohttp_keys(NOW)).unwrap();
    (ExchangeService::new(Origin::parse(ORIGIN).unwrap(), keys), config)
}

/// One exchange in place: sealed and opened, there and back.
fn exchange(service: &ExchangeService, config: &KeyConfig, carriage: &Carriage, body: &[u8]) {
    let (request, opener) =
        RequestSealer::new(config, carriage).seal(head("POST", "/items"), body, NOW).unwrap();
    let Arrival::Sealed(mut arrival) = service.arrive(&request.head).unwrap() else { panic!() };
    let mut content = Vec::new();
    arrival.push(service, &request.body, NOW, &mut content).unwrap();
    arrival.finish(service, NOW, &mut content).unwrap();
    let (_, sealer) = arrival.take_request(service, NOW).unwrap().unwrap().admit(true).unwrap();
    let response = sealer.seal(ResponseHead::new(200).unwrap(), body).unwrap();
    let opened = opener.open(&response.head, &response.body).unwrap();
    assert_eq!(opened.1.len(), body.len());
}

/// The two bare operations: a request in HPKE there, and a response in an AEAD whose key is exported, back (RFC 9458).
fn bare<A: hpke::aead::Aead, K: hpke::Kem>(
    (private, public): &(K::PrivateKey, K::PublicKey),
    algorithm: &'static ring::aead::Algorithm,
    body: &[u8],
) {
    let info = [7; 30];
    let (enc, mut sender) = hpke::setup_sender::<A, HkdfSha256, K>(&OpModeS::Base, public, &info).unwrap();
    let sealed = sender.seal(body, b"").unwrap();
    let mut receiver =
        hpke::setup_receiver::<A, HkdfSha256, K>(&OpModeR::Base, private, &enc, &info).unwrap();
    assert_eq!(receiver.open(&sealed, b"").unwrap().len(), body.len());

    let (mut at_service, mut at_client) = ([0; 32], [0; 32]);
    receiver.export(b"message/bhttp response", &mut at_service).unwrap();
    sender.export(b"message/bhttp response", &mut at_client).unwrap();
    let (nonce, mut response) = ([9; 32], body.to_vec());
    response_key(&at_service, &nonce, algorithm)
        .seal_in_place_append_tag(zero(), empty(), &mut response)
        .unwrap();
    let opened = response_key(&at_client, &nonce, algorithm);
    assert_eq!(opened.open_in_place(zero(), empty(), &mut response).unwrap().len(), body.len());
}

pub fn response_key(
    secret: &[u8],
    nonce: &[u8],
    algorithm: &'static ring::aead::Algorithm,
) -> ring::aead::LessSafeKey {
    let (mut key, mut base) = ([0; 32], [0; 12]);
    let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(Some(nonce), secret);
    hkdf.expand(b"key", &mut key).unwrap();
    hkdf.expand(b"nonce", &mut base).unwrap();
    ring::aead::LessSafeKey::new(ring::aead::UnboundKey::new(algorithm, &key).unwrap())
}

pub fn zero() -> ring::aead::Nonce {
    ring::aead::Nonce::assume_unique_for_key([0; 12])
}

pub fn empty() -> ring::aead::Aad<[u8; 0]> {
    ring::aead::Aad::empty()
}

/// `hpke-http` as its README sets it up.
struct HpkeHttp {
    client: hpke_http::Client,
    server: hpke_http::Server,
}

const PSK: &[u8] = b"example pre-shared key with 32 bytes!!";

impl HpkeHttp {
    fn new() -> Self {
        let limits = hpke_http::Limits::default;
        let (private, public) = hpke_http::generate_key_pair().unwrap().into_parts();
        let client =
            hpke_http::Client::new(&public, b"key-1".to_vec(), PSK.to_vec(), b"tenant-1".to_vec(), limits())
                .unwrap();
        Self { client, server: hpke_http::Server::new(&private, b"key-1".to_vec(), limits()).unwrap() }
    }

    fn exchange(&self, body: &[u8]) {
        let request = hpke_http::Request {
            method: hpke_http::Method::Post,
            authority: b"api.example.com".to_vec(),
            path: b"/items".to_vec(),
            headers: Vec::new(),
            body: body.to_vec(),
        };
        let (sealed, right) = self.client.protect(&request).unwrap().into_parts();
        let parsed = self.server.preparse(&sealed).unwrap();
        let authenticated = self.server.authenticate(parsed.token, PSK).unwrap();
        let opened = authenticated.token.admit(authenticated.replay.decision(true)).unwrap();
        let reply = hpke_http::Response { status: 200, headers: Vec::new(), body: body.to_vec() };
        let reply = opened.response.protect_finite(&reply).unwrap();
        assert_eq!(right.open_finite(&reply).unwrap().body.len(), body.len());
    }
}

pub fn exchanges(table: &mut Table, effort: Effort, quick: bool) {
    table.heading("One exchange in place, both ends, no network, beside the bare hpke operations and response AEAD (time)");
    let carriage = Carriage::InPlace(InPlace::new());
    let classical = <X25519HkdfSha256 as hpke::Kem>::gen_keypair();
    let x_wing = <XWing as hpke::Kem>::gen_keypair();
    let mib = if quick { 64 * 1024 } else { 1 << 20 };
    let (aes, chacha) = (&ring::aead::AES_256_GCM, &ring::aead::CHACHA20_POLY1305);
    for size in [1024, mib] {
        let body = noise(size);
        let target = if size == 1024 { Target::AtMost(1.3) } else { Target::None };
        for aead in [Aead::ChaCha20Poly1305, Aead::Aes256Gcm] {
            for kem in [Kem::X25519, Kem::XWing] {
                let (service, config) = service(kem, aead);
                let times = pair(
                    effort,
                    || exchange(&service, &config, &carriage, &body),
                    || match (kem, aead) {
                        (Kem::X25519, Aead::ChaCha20Poly1305) => {
                            bare::<ChaCha20Poly1305, X25519HkdfSha256>(&classical, chacha, &body);
                        }
                        (Kem::X25519, _) => bare::<AesGcm256, X25519HkdfSha256>(&classical, aes, &body),
                        (_, Aead::ChaCha20Poly1305) => {
                            bare::<ChaCha20Poly1305, XWing>(&x_wing, chacha, &body)
                        }
                        _ => bare::<AesGcm256, XWing>(&x_wing, aes, &body),
                    },
                );
                table.cost(&format!("{} KiB each way, {kem:?}, {}", size / 1024, aead.name()), times, target);
            }
        }
    }
    table.heading("The same beside hpke-http 4's round trip, set up as in its README");
    let peer = HpkeHttp::new();
    for (size, least) in [(1024, 2.0), (mib, 20.0)] {
        let body = noise(size);
        for kem in [Kem::X25519, Kem::XWing] {
            let (service, config) = service(kem, Aead::preferred());
            let times =
                pair(effort, || exchange(&service, &config, &carriage, &body), || peer.exchange(&body));
            let what = format!("{} KiB each way, {kem:?}, {}", size / 1024, Aead::preferred().name());
            table.faster(&what, times, size, Target::AtLeast(least));
        }
    }
}

pub fn signatures(table: &mut Table, effort: Effort) {
    table.heading("A signature over a 1 KiB request, sign and verify, beside bare Ed25519 over its signature base (time)");
    let identity = Identity::generate_with(Kem::X25519).unwrap();
    let verifier = RequestVerifier::new(vec![identity.signer()], OriginPolicy::default());
    let body = noise(1024);
    let signer = RequestSigner::new(&identity);
    let key = SigningKey::from_bytes(&[3; 32]);
    let base = noise(520);
    let times = pair(
        effort,
        || {
            let mut head = head("POST", "/notes/17");
            signer.sign(&mut head, SignedBody::Whole(&body), NOW).unwrap();
            let verified = verifier.verify_head(&head, true, NOW).unwrap();
            let _ = black_box(verified.body(&body).unwrap());
        },
        || {
            let signature = key.sign(&base);
            key.verifying_key().verify_strict(&base, &signature).unwrap();
        },
    );
    table.cost("sign and verify", times, Target::AtMost(1.5));
}

/// Bytes that no compression shortens.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
