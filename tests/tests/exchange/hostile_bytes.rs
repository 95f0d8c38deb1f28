//! Sealed bytes that were changed on the way.

use super::{code, sealer, x25519};
use sealwire::http::{
    Arrival, ExchangeService, Form, RequestSealer, ResponseHead, ResponseOpener, SealedRequest,
    SealedResponse,
};
use sealwire::{Aead, Kem};
use sealwire_tests::exchanges::{NOW, answer, config, in_place, receive, receive_pieces, request, service};

/// Small sealed requests: in a field, and in a body, in both forms.
fn small_requests(service: &ExchangeService) -> Vec<(Form, SealedRequest)> {
    let config = config(service).unwrap();
    let mut requests = Vec::new();
    for form in [Form::Whole, Form::Chunked] {
        for method in ["GET", "POST"] {
            let head = request(method, "/n").unwrap();
            let sealed = sealer(form, &config, &in_place()).seal(head, b"", NOW).unwrap().0;
            requests.push((form, sealed));
        }
    }
    requests
}

/// The encapsulation, wherever it travels.
fn bytes_of(sealed: &SealedRequest) -> Vec<u8> {
    match sealed.head.headers.text("sealwire-exchange").unwrap() {
        Some(field) => {
            let text = field.trim_end_matches(";chunked").trim_matches(':');
            base64(text)
        }
        None => sealed.body.clone(),
    }
}

/// The same request with another encapsulation.
fn carrying(sealed: &SealedRequest, bytes: &[u8]) -> SealedRequest {
    let mut head = sealed.head.clone();
    let Some(field) = sealed.head.headers.text("sealwire-exchange").unwrap() else {
        return SealedRequest { head, body: bytes.to_vec() };
    };
    let end = if field.ends_with(";chunked") { ";chunked" } else { "" };
    head.headers.set("sealwire-exchange", format!(":{}:{end}", to_base64(bytes))).unwrap();
    SealedRequest { head, body: Vec::new() }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(text: &str) -> Vec<u8> {
    let digits: Vec<usize> =
        text.bytes().filter_map(|byte| ALPHABET.iter().position(|digit| *digit == byte)).collect();
    let bits = digits.iter().flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1));
    let bits: Vec<usize> = bits.collect();
    let byte = |bits: &[usize]| u8::try_from(bits.iter().fold(0, |n, bit| n << 1 | bit)).unwrap();
    bits.chunks_exact(8).map(byte).collect()
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let n = [0, 1, 2].iter().fold(0, |n, at| n << 8 | usize::from(*group.get(*at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = ALPHABET[n >> (18 - 6 * at) & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[test]
fn every_flipped_bit_of_a_request() {
    // One X-Wing request will do: its head alone has 9,000 bits.
    for (service, how_many) in [(x25519(), 4), (service(Kem::XWing, Aead::Aes256Gcm).unwrap(), 1)] {
        for (form, sealed) in small_requests(&service).into_iter().take(how_many) {
            let mut bytes = bytes_of(&sealed);
            assert_eq!(code(receive(&service, &carrying(&sealed, &bytes))), "ok");
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let found = code(receive(&service, &carrying(&sealed, &bytes)));
                match (bit / 8, form) {
                    (0..=6, _) => assert_eq!(found, "InvalidKey"),
                    (_, Form::Whole) => assert_eq!(found, "Rejected", "bit {bit}"),
                    // A chunk's length is not authenticated; what follows from a wrong one is.
                    _ => assert!(["Rejected", "Truncated", "TooLarge"].contains(&found), "{bit} {found}"),
                }
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

#[test]
fn every_shorter_and_a_longer_request() {
    for service in [x25519(), service(Kem::XWing, Aead::Aes256Gcm).unwrap()] {
        let head_len = if config(&service).unwrap().kem() == Kem::XWing { 1127 } else { 39 };
        for (form, sealed) in small_requests(&service) {
            let bytes = bytes_of(&sealed);
            for len in 0..bytes.len() {
                let found = code(receive(&service, &carrying(&sealed, &bytes[..len])));
                let final_chunk = bytes.len() - 17;
                let expected = match form {
                    _ if len < head_len => "Truncated",
                    Form::Whole => "Rejected",
                    Form::Chunked if len > final_chunk => "Rejected",
                    Form::Chunked => "Truncated",
                };
                assert_eq!(found, expected, "{len} of {}", bytes.len());
            }
            for more in [&[0][..], &[0xff; 40], &bytes] {
                let longer = carrying(&sealed, &[&bytes, more].concat());
                assert_eq!(code(receive(&service, &longer)), "Rejected");
            }
        }
    }
}

/// A response in each form, and how to open it as often as wanted: sealed anew, since an opener is used up.
fn exchange(service: &ExchangeService, form: Form) -> (ResponseOpener, SealedResponse) {
    let config = config(service).unwrap();
    let head = request("GET", "/n").unwrap();
    let (sealed, opener) = sealer(form, &config, &in_place()).seal(head, b"", NOW).unwrap();
    (opener, answer(receive(service, &sealed).unwrap().0, 200, b"yes").unwrap())
}

#[test]
fn every_flipped_bit_of_a_response() {
    let service = x25519();
    for form in [Form::Whole, Form::Chunked] {
        for bit in 0..exchange(&service, form).1.body.len() * 8 {
            let (opener, mut response) = exchange(&service, form);
            response.body[bit / 8] ^= 1 << (bit % 8);
            let found = code(opener.open(&response.head, &response.body));
            match form {
                Form::Whole => assert_eq!(found, "Rejected"),
                Form::Chunked => {
                    assert!(["Rejected", "Truncated", "TooLarge"].contains(&found), "{bit} {found}");
                }
            }
        }
    }
}

#[test]
fn every_shorter_and_a_longer_response() {
    let service = x25519();
    for form in [Form::Whole, Form::Chunked] {
        let whole = exchange(&service, form).1.body.len();
        for len in 0..whole {
            let (opener, response) = exchange(&service, form);
            let expected = match form {
                _ if len < 32 => "Truncated",
                Form::Whole => "Rejected",
                // The last chunk: a zero, two bytes, a tag.
                Form::Chunked if len > whole - 19 => "Rejected",
                Form::Chunked => "Truncated",
            };
            assert_eq!(code(opener.open(&response.head, &response.body[..len])), expected, "{len}");
        }
        let (opener, mut response) = exchange(&service, form);
        response.body.push(0);
        assert_eq!(code(opener.open(&response.head, &response.body)), "Rejected");
    }
}

#[test]
fn the_response_to_another_request() {
    let service = x25519();
    for form in [Form::Whole, Form::Chunked] {
        let ((opener, _), (_, other)) = (exchange(&service, form), exchange(&service, form));
        assert_eq!(code(opener.open(&other.head, &other.body)), "Rejected");
    }
}

/// The sealed chunks behind `front` bytes, each with its length.
fn chunks(front: usize, mut sealed: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let start = sealed[..front].to_vec();
    sealed = &sealed[front..];
    let mut chunks = Vec::new();
    while !sealed.is_empty() {
        let size = 1 << (sealed[0] >> 6);
        let len = sealed[1..size].iter().fold(usize::from(sealed[0] & 63), |n, b| n << 8 | usize::from(*b));
        let end = if len == 0 { sealed.len() } else { size + len };
        chunks.push(sealed[..end].to_vec());
        sealed = &sealed[end..];
    }
    (start, chunks)
}

type Change = fn(&mut Vec<Vec<u8>>);

const CHANGES: [(&str, Change, &str); 7] = [
    ("two swapped", |chunks| chunks.swap(1, 2), "Rejected"),
    ("one dropped", |chunks| drop(chunks.remove(1)), "Rejected"),
    ("one repeated", |chunks| chunks.insert(2, chunks[1].clone()), "Rejected"),
    ("the final one cut off", |chunks| drop(chunks.pop()), "Truncated"),
    ("the last two cut off", |chunks| chunks.truncate(chunks.len() - 2), "Truncated"),
    (
        "another one made final",
        |chunks| {
            chunks.truncate(chunks.len() - 1);
            let last = chunks.pop().unwrap_or_default();
            let sealed = last[if last[0] < 64 { 1 } else { 2 }..].to_vec();
            chunks.push([&[0][..], &sealed].concat());
        },
        "Rejected",
    ),
    ("an empty one added", |chunks| chunks.insert(1, vec![16; 17]), "Rejected"),
];

#[test]
fn chunks_of_a_request_stay_in_their_order() {
    let service = x25519();
    let config = config(&service).unwrap();
    for (what, change, expected) in CHANGES {
        let (carriage, head) = (in_place(), request("POST", "/n").unwrap());
        let (sealed, _) = RequestSealer::new(&config, &carriage).stream(head, NOW).unwrap();
        let (mut bytes, mut body) = (sealed.front, sealed.body);
        [b"a", b"b", b"c"].into_iter().try_for_each(|piece| body.push(piece, &mut bytes)).unwrap();
        body.finish(&mut bytes).unwrap();
        let (start, mut chunks) = chunks(39, &bytes);
        change(&mut chunks);
        let changed = [start, chunks.concat()].concat();
        for piece in [1, changed.len()] {
            let found = receive_pieces(&service, &sealed.head, &changed, piece, NOW);
            assert_eq!(code(found), expected, "{what}");
        }
    }
}

#[test]
fn chunks_of_a_response_stay_in_their_order() {
    let service = x25519();
    let config = config(&service).unwrap();
    for (what, change, expected) in CHANGES {
        let head = request("GET", "/n").unwrap();
        let (sealed, opener) =
            RequestSealer::new(&config, &in_place()).chunked().seal(head, b"", NOW).unwrap();
        let (_, response) = receive(&service, &sealed).unwrap().0.admit(true).unwrap();
        let (outer, mut body) = response.stream(ResponseHead::new(200).unwrap()).unwrap();
        let mut bytes = outer.body;
        [b"a", b"b", b"c"].into_iter().try_for_each(|piece| body.push(piece, &mut bytes)).unwrap();
        body.finish(&mut bytes).unwrap();
        let (start, mut chunks) = chunks(32, &bytes);
        change(&mut chunks);
        let changed = [start, chunks.concat()].concat();
        assert_eq!(code(opener.open(&outer.head, &changed)), expected, "{what}");
    }
}

#[test]
fn after_a_failure_there_is_nothing_to_take() {
    let service = x25519();
    let config = config(&service).unwrap();
    let (carriage, head) = (in_place(), request("POST", "/n").unwrap());
    let (sealed, _) = RequestSealer::new(&config, &carriage).stream(head, NOW).unwrap();
    let Arrival::Sealed(mut opener) = service.arrive(&sealed.head).unwrap() else { panic!("plain") };
    let mut content = Vec::new();
    opener.push(&service, &sealed.front, NOW, &mut content).unwrap();
    assert_eq!(code(opener.push(&service, &[17; 18], NOW, &mut content)), "Rejected");
    assert_eq!(code(opener.push(&service, b"", NOW, &mut content)), "Misuse");
    assert_eq!(code(opener.take_request(&service, NOW)), "Misuse");
    assert_eq!(code(opener.finish(&service, NOW, &mut content)), "Misuse");
}

/// A claim costs nothing: what was not sent is neither waited for nor made room for.
#[test]
fn a_chunk_that_claims_to_be_huge() {
    let service = x25519();
    let config = config(&service).unwrap();
    let (carriage, head) = (in_place(), request("POST", "/n").unwrap());
    for claim in [16_384 + 17, 1 << 30, (1 << 62) - 1_u64] {
        let head = head.clone();
        let (sealed, _) = RequestSealer::new(&config, &carriage).stream(head, NOW).unwrap();
        let claimed = [sealed.front, (claim | 3 << 62).to_be_bytes().to_vec()].concat();
        assert_eq!(code(receive_pieces(&service, &sealed.head, &claimed, 5, NOW)), "TooLarge");
    }
}
