//! What may be inside: Binary HTTP that no honest writer would write, from somebody who has the service's key or is the service.

use super::{code, peer, x25519};
use sealwire::Error;
use sealwire::http::{ExchangeService, Form, RequestHead, RequestSealer, ResponseHead};
use sealwire_tests::exchanges::{NOW, TUNNEL, receive_pieces, request, tunnel};
use sealwire_tests::raw::Raw;
use std::sync::LazyLock;

const DATE: (&[u8], &[u8]) = (b"date", b"Fri, 15 Jan 2027 08:00:00 GMT");
const CONTROL: [&str; 4] = ["POST", "https", "api.example.com", "/n"];
const HUGE: u64 = (1 << 62) - 1;

static SERVICE: LazyLock<ExchangeService> = LazyLock::new(x25519);

/// What the service makes of an inner message that arrives at `path`.
fn received_at(path: &str, message: &Raw, piece: usize) -> Result<(RequestHead, Vec<u8>), Error> {
    let (sealed, _) = peer::seal(&SERVICE, Form::Chunked, &message.0);
    let mut outer = request("POST", path)?;
    outer.headers.add("content-type", "message/ohttp-chunked-req")?;
    let (arrived, content) = receive_pieces(&SERVICE, &outer, &sealed, piece, NOW)?;
    Ok((arrived.admit(true)?.0, content))
}

fn received(message: &Raw) -> Result<(RequestHead, Vec<u8>), Error> {
    received_at(TUNNEL, message, 4096)
}

/// A request with these fields and the body `body`.
fn with_fields(fields: &[(&[u8], &[u8])]) -> Raw {
    Raw::request(CONTROL).fields(fields).string("body")
}

/// The indeterminate-length form.
fn indeterminate(fields: &[(&[u8], &[u8])], content: &[&[u8]]) -> Raw {
    let raw = CONTROL.iter().fold(Raw::default().varint(2), Raw::string);
    let raw = fields.iter().fold(raw, |raw, (name, value)| raw.string(name).string(value)).varint(0);
    content.iter().fold(raw, Raw::string).varint(0).varint(0)
}

#[test]
fn fields_of_a_request() {
    let long = vec![b'a'; 257];
    let cases: [(&[u8], &[u8], &str); 38] = [
        (b"x-app", b"1", "ok"),
        (b"x-app", b"", "ok"),
        (b"x-app", b"a\tb c", "ok"),
        (b"x-app", b"caf\xe9", "ok"),
        (b"x-app", b"a\r\nb: c", "Malformed"),
        (b"x-app", b"a\rb", "Malformed"),
        (b"x-app", b"a\nb", "Malformed"),
        (b"x-app", b"a\0b", "Malformed"),
        (b"x-app", b"a\x7fb", "Malformed"),
        (b"x-app", b" a", "Malformed"),
        (b"x-app", b"a ", "Malformed"),
        (b"x-app", b"\ta", "Malformed"),
        (b"x-app", b" ", "Malformed"),
        (b"X-App", b"a", "Malformed"),
        (b"x app", b"a", "Malformed"),
        (b"x-app:", b"a", "Malformed"),
        (b"x-app\r\n", b"a", "Malformed"),
        (b"x-\xff", b"a", "Malformed"),
        (b"", b"a", "Malformed"),
        (&long, b"a", "TooLarge"),
        (b":path", b"/other", "Malformed"),
        (b":authority", b"evil", "Malformed"),
        (b"host", b"api.example.com", "Malformed"),
        (b"connection", b"close", "Malformed"),
        (b"keep-alive", b"1", "Malformed"),
        (b"proxy-authorization", b"x", "Malformed"),
        (b"te", b"trailers", "Malformed"),
        (b"transfer-encoding", b"chunked", "Malformed"),
        (b"upgrade", b"h2c", "Malformed"),
        (b"content-length", b"4", "ok"),
        (b"content-length", b"3", "Malformed"),
        (b"content-length", b"5", "Malformed"),
        (b"content-length", b"+4", "Malformed"),
        (b"content-length", b"0x4", "Malformed"),
        (b"content-length", b"4, 4", "Malformed"),
        (b"content-length", b"", "Malformed"),
        (b"content-length", b"18446744073709551616", "Malformed"),
        (b"content-length", b"8388609", "TooLarge"),
    ];
    for (name, value, expected) in cases {
        let fields = [DATE, (name, value)];
        let text = String::from_utf8_lossy(name);
        for piece in [1, 4096] {
            let known = received_at(TUNNEL, &with_fields(&fields), piece);
            assert_eq!(code(known), expected, "{text}");
            if !name.is_empty() {
                let found = received_at(TUNNEL, &indeterminate(&fields, &[b"bo", b"dy"]), piece);
                assert_eq!(code(found), expected, "{text}");
            }
        }
    }
}

#[test]
fn fields_that_come_twice() {
    for (name, expected) in [
        ("x-app", "ok"),
        ("date", "Malformed"),
        ("content-length", "Malformed"),
        ("sealwire-mode", "Malformed"),
        ("sealwire-signer", "Malformed"),
        ("idempotency-key", "Malformed"),
    ] {
        let value: &[u8] = match name {
            "date" => DATE.1,
            "content-length" => b"4",
            "sealwire-mode" => b"tunnel",
            _ => b"a",
        };
        let field = (name.as_bytes(), value);
        let fields = if name == "date" { vec![field; 2] } else { vec![DATE, field, field] };
        let found = received(&with_fields(&fields));
        if let Ok((head, _)) = &found {
            assert_eq!(head.headers.all(name).count(), 2);
        }
        assert_eq!(code(found), expected, "{name}");
    }
}

#[test]
fn dates() {
    let cases: [(&[u8], &str); 9] = [
        (DATE.1, "ok"),
        (b"Friday, 15-Jan-27 08:00:00 GMT", "Expired"), // One form per date: the obsolete ones are not read.
        (b"Fri Jan 15 08:00:00 2027", "Expired"),
        (b"Fri, 15 Jan 2027 07:54:59 GMT", "Expired"),
        (b"Fri, 15 Jan 2027 08:05:01 GMT", "Expired"),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", "Expired"),
        (b"1800000000", "Expired"),
        (b"", "Expired"),
        (b"\xff", "Malformed"),
    ];
    for (date, expected) in cases {
        assert_eq!(code(received(&with_fields(&[(b"date", date)]))), expected);
    }
    assert_eq!(code(received(&with_fields(&[]))), "Expired");
}

#[test]
fn modes() {
    let fields = |mode: Option<&'static str>| {
        let mode = mode.map(|mode| (b"sealwire-mode".as_slice(), mode.as_bytes()));
        [DATE].into_iter().chain(mode).collect::<Vec<_>>()
    };
    for (mode, in_tunnel, in_place) in [
        (None, "ok", "Rejected"),
        (Some("tunnel"), "ok", "Rejected"),
        (Some("in-place"), "Rejected", "ok"),
        (Some("in-place-post"), "Rejected", "Rejected"),
        (Some("In-Place"), "Rejected", "Rejected"),
        (Some(""), "Rejected", "Rejected"),
    ] {
        let message = with_fields(&fields(mode));
        assert_eq!(code(received_at(TUNNEL, &message, 4096)), in_tunnel, "{mode:?}");
        assert_eq!(code(received_at("/n", &message, 4096)), in_place, "{mode:?}");
    }
}

#[test]
fn control_data() {
    let (long_path, long_method) = (format!("/{}", "a".repeat(16 * 1024)), "G".repeat(33));
    let long_authority = "a".repeat(273);
    for (control, expected) in [
        (CONTROL, "ok"),
        (["CONNECT", "https", "api.example.com", "/n"], "Unsupported"),
        (["", "https", "api.example.com", "/n"], "Malformed"),
        (["GET /x HTTP/1.1\r\n", "https", "api.example.com", "/n"], "Malformed"),
        ([&long_method, "https", "api.example.com", "/n"], "Malformed"),
        (["POST", "http", "api.example.com", "/n"], "Rejected"),
        (["POST", "HTTPS", "api.example.com", "/n"], "Malformed"),
        (["POST", "ftp", "api.example.com", "/n"], "Malformed"),
        (["POST", "", "api.example.com", "/n"], "Malformed"),
        (["POST", "https", "", "/n"], "Malformed"),
        (["POST", "https", "evil.example.com", "/n"], "Rejected"),
        (["POST", "https", "API.example.com", "/n"], "Malformed"),
        (["POST", "https", "api.example.com:443", "/n"], "Malformed"),
        (["POST", "https", "api.example.com.", "/n"], "Rejected"),
        (["POST", "https", "me@api.example.com", "/n"], "Malformed"),
        (["POST", "https", "api.example.com\r\n", "/n"], "Malformed"),
        (["POST", "https", &long_authority, "/n"], "Malformed"),
        (["POST", "https", "api.example.com", ""], "Malformed"),
        (["POST", "https", "api.example.com", "*"], "Malformed"),
        (["POST", "https", "api.example.com", "https://api.example.com/n"], "Malformed"),
        (["POST", "https", "api.example.com", "/a/../n"], "Malformed"),
        (["POST", "https", "api.example.com", "/a/%2E%2e/n"], "Malformed"),
        (["POST", "https", "api.example.com", "/n\r\nx: y"], "Malformed"),
        (["POST", "https", "api.example.com", "/n#f"], "Malformed"),
        (["POST", "https", "api.example.com", &long_path], "TooLarge"),
    ] {
        let message = Raw::request(control).fields(&[DATE]).string("body");
        assert_eq!(code(received(&message)), expected, "{control:?}");
    }
}

#[test]
fn framings() {
    for (framing, expected) in
        [(0, "ok"), (1, "Malformed"), (3, "Malformed"), (4, "Malformed"), (HUGE, "Malformed")]
    {
        let mut message = Raw::default().varint(framing);
        message.0.extend_from_slice(&with_fields(&[DATE]).0[8..]);
        assert_eq!(code(received(&message)), expected, "{framing}");
    }
}

#[test]
fn what_follows_a_message() {
    for known in [true, false] {
        let message = || if known { with_fields(&[DATE]) } else { indeterminate(&[DATE], &[b"bo", b"dy"]) };
        for padding in [0, 1, 1000] {
            assert_eq!(code(received(&message().bytes(vec![0; padding]))), "ok");
        }
        for padding in [[&[0; 999][..], &[1]].concat(), vec![0, 0, 1, 0, 0]] {
            assert_eq!(code(received(&message().bytes(padding))), "Malformed");
        }
    }
    let trailers = with_fields(&[DATE]).fields(&[("x-sum", "1")]);
    assert_eq!(code(received(&trailers)), "Unsupported");
    let mut trailers = indeterminate(&[DATE], &[b"body"]);
    trailers.0.truncate(trailers.0.len() - 8);
    assert_eq!(code(received(&trailers.string("x-sum").string("1").varint(0))), "Unsupported");
}

/// Empty sections at the end may be left out (RFC 9292 section 3.8); everything else that is missing is missed.
#[test]
fn every_shorter_message() {
    let control = Raw::request(CONTROL).0.len();
    let head = Raw::request(CONTROL).fields(&[DATE]).0.len();
    let message = with_fields(&[DATE]);
    for len in 0..message.0.len() {
        let expected = match len {
            _ if len == control => "Expired",
            _ if len == head => "ok",
            _ => "Truncated",
        };
        assert_eq!(code(received(&Raw(message.0[..len].to_vec()))), expected, "{len}");
    }
    let message = indeterminate(&[DATE], &[b"bo", b"dy"]);
    let no_content = indeterminate(&[DATE], &[]).0.len() - 16;
    for len in 0..message.0.len() {
        let expected = match len {
            _ if len == control => "Expired",
            _ if len == no_content || len == message.0.len() - 8 => "ok",
            _ => "Truncated",
        };
        assert_eq!(code(received(&Raw(message.0[..len].to_vec()))), expected, "{len}");
    }
}

/// Room for 2^62 bytes cannot be made: if a claim were believed, this would abort.
#[test]
fn claims() {
    let control = |raw: Raw, parts: usize| CONTROL[..parts].iter().fold(raw, Raw::string);
    let known = || Raw::default().varint(0);
    let unknown = || control(Raw::default().varint(2), 4);
    for claim in [HUGE, 1 << 32, 1 << 20] {
        for (what, message) in [
            ("method", known().varint(claim)),
            ("scheme", control(known(), 1).varint(claim)),
            ("authority", control(known(), 2).varint(claim)),
            ("path", control(known(), 3).varint(claim)),
            ("fields", control(known(), 4).varint(claim)),
            ("name", control(known(), 4).varint(100).varint(claim)),
            ("value", control(known(), 4).varint(100).string("x").varint(claim)),
            ("name without a section", unknown().varint(claim)),
            ("value without a section", unknown().string("x").varint(claim)),
        ] {
            // What does not fit its section is a contradiction; the section itself is within its limit.
            let expected = if matches!(what, "name" | "value") { "Malformed" } else { "TooLarge" };
            assert_eq!(code(received(&message)), expected, "{what} of {claim}");
        }
    }
    let content = Raw::request(CONTROL).fields(&[DATE]).varint(HUGE).bytes("little");
    assert_eq!(code(received(&content)), "TooLarge");
    let service = x25519().max_body(u64::MAX);
    let (sealed, _) = peer::seal(&service, Form::Chunked, &content.0);
    let mut outer = request("POST", TUNNEL).unwrap();
    outer.headers.add("content-type", "message/ohttp-chunked-req").unwrap();
    assert_eq!(code(receive_pieces(&service, &outer, &sealed, 10, NOW)), "Truncated");
}

#[test]
fn a_field_that_leaves_its_section() {
    for tail in [
        Raw::default().string("x").varint(5).bytes("1"),
        Raw::default().string("x").bytes([0xc0, 0]),
        Raw::default().bytes([0xc0]),
    ] {
        let section = Raw::default().string(DATE.0).string(DATE.1).bytes(&tail.0);
        // What follows would complete the field.
        let message = Raw::request(CONTROL).string(&section.0).bytes([0; 64]);
        assert_eq!(code(received(&message)), "Malformed");
    }
}

#[test]
fn limits_of_heads() {
    let many = |count: usize| [DATE].into_iter().chain((1..count).map(|_| (b"a".as_slice(), b"".as_slice())));
    assert_eq!(code(received(&with_fields(&many(256).collect::<Vec<_>>()))), "ok");
    assert_eq!(code(received(&with_fields(&many(257).collect::<Vec<_>>()))), "TooLarge");
    for (len, expected) in [(65_000, "ok"), (65_536, "TooLarge"), (200_000, "TooLarge")] {
        let value = vec![b'a'; len];
        assert_eq!(code(received(&with_fields(&[DATE, (b"a", &value)]))), expected, "{len}");
        assert_eq!(code(received(&indeterminate(&[DATE, (b"a", &value)], &[]))), expected, "{len}");
    }
}

/// What our client makes of an inner response.
fn answered(message: &Raw, max_body: u64) -> Result<(ResponseHead, Vec<u8>), Error> {
    let server = peer::server(ohttp::hpke::Aead::ChaCha20Poly1305);
    let (config, carriage) = (peer::config(&server), tunnel()?);
    let (sealed, opener) = RequestSealer::new(&config, &carriage).seal(request("GET", "/n")?, b"", NOW)?;
    let (_, sealed) = peer::answer(&server, Form::Whole, &sealed.body, &message.0);
    let mut outer = ResponseHead::new(200)?;
    outer.headers.add("content-type", "message/ohttp-res")?;
    opener.max_body(max_body).open(&outer, &sealed)
}

#[test]
fn responses() {
    let none: [(&str, &str); 0] = [];
    let interim = |raw: Raw, count: usize| {
        (0..count).fold(raw, |raw, _| raw.varint(103).fields(&[("link", "</style.css>")]))
    };
    let status = |status| Raw::response(status).fields(&none).string("body");
    for (what, message, expected) in [
        ("a plain one", status(200), "ok"),
        ("the highest status", status(599), "ok"),
        ("no status", status(0), "Malformed"),
        ("a low status", status(99), "Malformed"),
        ("a high status", status(600), "Malformed"),
        ("a huge status", status(HUGE), "Malformed"),
        ("a status that is 200 in its low bits", status((1 << 16) + 200), "Malformed"),
        ("16 interim ones", interim(Raw::default().varint(1), 16).varint(200).fields(&none), "ok"),
        ("17 interim ones", interim(Raw::default().varint(1), 17).varint(200).fields(&none), "TooLarge"),
        ("interim ones only", interim(Raw::default().varint(1), 2), "Truncated"),
        ("a request", with_fields(&[DATE]), "Malformed"),
        ("a line break", Raw::response(200).fields(&[("a", "b\r\nc: d")]), "Malformed"),
        ("an upper-case name", Raw::response(200).fields(&[("A", "b")]), "Malformed"),
        ("a field of a connection", Raw::response(200).fields(&[("connection", "close")]), "Malformed"),
        ("a pseudo-header", Raw::response(200).fields(&[(":status", "500")]), "Malformed"),
        ("trailers", status(200).fields(&[("a", "b")]), "Unsupported"),
        ("padding", status(200).bytes([0; 300]), "ok"),
        ("other padding", status(200).bytes([0, 0, 7]), "Malformed"),
        ("a content that is too long", Raw::response(200).fields(&none).string([0; 101]), "TooLarge"),
        ("a claim", Raw::response(200).fields(&none).varint(HUGE), "TooLarge"),
        ("nothing", Raw::default(), "Truncated"),
    ] {
        assert_eq!(code(answered(&message, 100)), expected, "{what}");
    }
}
