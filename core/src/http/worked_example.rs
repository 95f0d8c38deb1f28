//! The worked example of SPEC §19, regenerated.

use super::binary::write_message;
use super::encapsulation::{Arriving, ChunkOpener};
use super::{
    Arrival, Carriage, ExchangeService, Form, InPlace, LastSeen, Method, Origin, RequestHead, RequestSealer,
    ResponseHead, ServiceKeys, ServicePins, Target, TrustedKeys,
};
use crate::suite::scripted_random;
use crate::worked_example::stands_in_the_spec;
use crate::{Aead, Identity, Kem, MemoryStore};

const NOW: u64 = 1_750_000_000;

#[test]
fn the_worked_exchange_of_the_spec() {
    let origin = Origin::parse("https://api.example.com").unwrap();
    scripted_random::start();
    let identity = Identity::generate_with(Kem::X25519).unwrap();
    let keys = ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, 86400, NOW).unwrap();
    let document = keys.document(&identity, std::slice::from_ref(&origin), &[], NOW).unwrap();
    let pins = ServicePins::new([identity.recipient().pin()]);
    let seen = LastSeen::in_store(MemoryStore::default());
    let trusted = TrustedKeys::verify(&document, &origin, &pins, &seen, NOW).unwrap();

    let target = Target::new(origin.clone(), "/notes?tag=a").unwrap();
    let mut head = RequestHead::new(Method::new("POST").unwrap(), target);
    head.headers.add("content-type", "text/plain").unwrap();
    let carriage = Carriage::InPlace(InPlace::new());
    let sealer = RequestSealer::new(trusted.config(NOW).unwrap(), &carriage);
    let (request, opener) = sealer.seal(head, b"hello", NOW).unwrap();

    let mut sealed = request.body.as_slice();
    let mut arrived =
        Arriving::new(Form::Whole).push(&mut sealed, |name| keys.find(name, NOW)).unwrap().unwrap();
    let mut message = sealed.to_vec();
    let message = arrived.opening.open_chunk(&[], &mut message).unwrap();

    let configs = keys.ohttp_keys(NOW);
    let service = ExchangeService::new(origin, keys);
    let Arrival::Sealed(mut arrival) = service.arrive(&request.head).unwrap() else {
        panic!("not an exchange")
    };
    let mut content = Vec::new();
    arrival.push(&service, &request.body, NOW, &mut content).unwrap();
    arrival.finish(&service, NOW, &mut content).unwrap();
    let unadmitted = arrival.take_request(&service, NOW).unwrap().unwrap();
    let replay_id = unadmitted.replay_id();
    let answer = ResponseHead::new(201).unwrap();
    let response = unadmitted.admit(true).unwrap().1.seal(answer.clone(), b"17").unwrap();
    scripted_random::stop();
    let opened = opener.open(&response.head, &response.body).unwrap();
    assert_eq!((opened.0.status, opened.1.as_slice()), (201, &b"17"[..]));

    stands_in_the_spec(&[
        ("fingerprint of the identity", identity.recipient().fingerprint().as_bytes()),
        ("configurations", &configs),
        ("key document", &document),
        ("request, before its zeros", without_zeros(message)),
        ("encapsulated request", &request.body),
        ("replay id", &replay_id.0),
        ("response, before its zeros", without_zeros(&write_message(&answer, b"17"))),
        ("encapsulated response", &response.body),
    ]);
}

fn without_zeros(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &message[..end]
}
