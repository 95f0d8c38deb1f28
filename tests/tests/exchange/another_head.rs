//! Outer heads that are not what was sealed, and answers that are none.

use super::{code, sealer, x25519};
use sealwire::Error;
use sealwire::http::{
    Carriage, ExchangeService, Form, InPlace, Method, Origin, Problem, RequestHead, RequestSealer,
    ResponseHead, SealedRequest, Target,
};
use sealwire_tests::exchanges::{NOW, TUNNEL, answer, config, in_place, receive, request, seal, tunnel};

/// A request that was sealed for one thing, under the outer head of another.
#[test]
fn is_rejected() {
    let service = x25519().post_carrier();
    let at = |origin: &str, path: &str| Target::new(Origin::parse(origin).unwrap(), path).unwrap();
    let home = "https://api.example.com";
    for (what, inner, outer_method, outer_path, expected) in [
        ("itself", ("POST", home, "/a?q=1"), "POST", "/a", "ok"),
        ("its query shown", ("POST", home, "/a?q=1"), "POST", "/a?q=1", "ok"),
        ("another path", ("POST", home, "/a"), "POST", "/b", "Rejected"),
        ("a path below", ("POST", home, "/a"), "POST", "/a/", "Rejected"),
        ("a doubled slash", ("POST", home, "/a/b"), "POST", "/a//b", "Rejected"),
        ("a slash that is encoded", ("POST", home, "/a%2Fb"), "POST", "/a/b", "Rejected"),
        ("a letter that is encoded", ("POST", home, "/%61"), "POST", "/a", "Rejected"),
        ("upper-case digits", ("POST", home, "/%c3%a9"), "POST", "/%C3%A9", "Rejected"),
        ("another case", ("POST", home, "/A"), "POST", "/a", "Rejected"),
        ("another query", ("POST", home, "/a?q=1"), "POST", "/a?q=2", "Rejected"),
        ("a query where none is", ("POST", home, "/a"), "POST", "/a?q=1", "Rejected"),
        ("an empty query", ("POST", home, "/a"), "POST", "/a?", "Rejected"),
        ("another method", ("POST", home, "/a"), "PUT", "/a", "Rejected"),
        ("a method of another case", ("post", home, "/a"), "POST", "/a", "Rejected"),
        ("a DELETE as GET", ("DELETE", home, "/a"), "GET", "/a", "Rejected"),
        ("a GET as POST", ("GET", home, "/a"), "POST", "/a", "Rejected"),
        ("another host", ("POST", "https://evil.example.com", "/a"), "POST", "/a", "Rejected"),
        ("another port", ("POST", "https://api.example.com:8443", "/a"), "POST", "/a", "Rejected"),
        ("another scheme", ("POST", "http://api.example.com", "/a"), "POST", "/a", "Rejected"),
    ] {
        let (method, inner_origin, path) = inner;
        let head = RequestHead::new(Method::new(method).unwrap(), at(inner_origin, path));
        let (mut sealed, _) = seal(&service, &in_place(), head, b"").unwrap();
        sealed.head.method = Method::new(outer_method).unwrap();
        sealed.head.target = at("https://whatever.the.host.says", outer_path);
        assert_eq!(code(receive(&service, &sealed)), expected, "{what}");
    }
}

#[test]
fn in_place_and_tunnel_are_not_exchanged() {
    let service = x25519();
    let head = || request("POST", TUNNEL).unwrap();
    let (mut in_place, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
    in_place.head.target = head().target;
    assert_eq!(code(receive(&service, &in_place)), "Rejected");
    let (mut tunnelled, _) =
        seal(&service, &tunnel().unwrap(), request("POST", "/n").unwrap(), b"x").unwrap();
    tunnelled.head.target = request("POST", "/n").unwrap().target;
    assert_eq!(code(receive(&service, &tunnelled)), "Rejected");
}

#[test]
fn a_tunnel_is_the_body_of_a_post() {
    let service = x25519();
    let (mut sealed, _) = seal(&service, &in_place(), request("GET", "/n").unwrap(), b"").unwrap();
    sealed.head.target = request("GET", TUNNEL).unwrap().target;
    assert_eq!(code(service.arrive(&sealed.head)), "Malformed");
    let (mut sealed, _) = seal(&service, &tunnel().unwrap(), request("GET", "/n").unwrap(), b"").unwrap();
    sealed.head.method = Method::new("PUT").unwrap();
    assert_eq!(code(service.arrive(&sealed.head)), "Malformed");
}

/// Paths that two servers resolve differently are no targets at all.
#[test]
fn paths_that_nobody_may_ask_for() {
    for path in [
        "",
        "a",
        "*",
        "/a/../b",
        "/a/./b",
        "/..",
        "/.",
        "/%2e%2e/a",
        "/%2E./a",
        "/a/%2e",
        "/a b",
        "/a#b",
        "/a\\b",
        "/\u{e9}",
        "/a\r\nx",
        "/a\0",
        "/\"",
        "/<",
        "/{",
        "/|",
        "/^",
        "/`",
    ] {
        assert_eq!(code(request("GET", path)), "Malformed", "{path:?}");
    }
    assert_eq!(code(request("GET", &format!("/{}", "a".repeat(16_384)))), "TooLarge");
    for path in ["/", "//", "/a//b", "/...", "/a?..%2F../", "/%2F", "/a.b", "/?", "/%252e%252e/"] {
        assert_eq!(code(request("GET", path)), "ok", "{path:?}");
    }
}

#[test]
fn other_texts_of_an_origin() {
    for text in [
        "api.example.com",
        "https:/a",
        "https://",
        "https://a/",
        "https://A",
        "https://a:443",
        "http://a:80",
        "https://a:",
        "https://u@a",
        "ftp://a",
        "HTTPS://a",
        "https://a?b",
        "https://a b",
        " https://a",
    ] {
        assert_eq!(code(Origin::parse(text)), "Malformed", "{text:?}");
    }
    assert_eq!(code(Origin::parse(&format!("https://{}", "a".repeat(273)))), "Malformed");
    for text in ["https://a", "https://a:80", "http://a:443", "http://localhost:3000", "https://[::1]"] {
        assert_eq!(Origin::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn an_exchange_has_one_place() {
    let service = x25519();
    let (get, _) = seal(&service, &in_place(), request("GET", "/n").unwrap(), b"").unwrap();
    let field = get.head.headers.text("sealwire-exchange").unwrap().unwrap().to_owned();

    // In a field and in the body.
    let (mut both, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
    both.head.headers.add("sealwire-exchange", &field).unwrap();
    assert_eq!(code(receive(&service, &both)), "Malformed");
    // A body beside the field.
    let beside = SealedRequest { head: get.head.clone(), body: b"x".to_vec() };
    assert_eq!(code(receive(&service, &beside)), "Malformed");
    // Two fields.
    let mut twice = SealedRequest { head: get.head.clone(), body: Vec::new() };
    twice.head.headers.add("sealwire-exchange", &field).unwrap();
    assert_eq!(code(receive(&service, &twice)), "Malformed");
    // Two media types.
    let (mut twice, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
    twice.head.headers.add("content-type", "message/ohttp-req").unwrap();
    assert_eq!(code(receive(&service, &twice)), "Malformed");
    // A field as a gateway would never write it.
    for (value, expected) in [
        (field.trim_end_matches(':').to_owned(), "Malformed"),
        (format!("{field};chunked;chunked"), "Malformed"),
        (format!("{field}; chunked"), "Malformed"),
        (format!("{field}, {field}"), "Malformed"),
        (field.replace("=", ""), if field.contains('=') { "Malformed" } else { "ok" }),
        (field.replacen(':', ": ", 1), "Malformed"),
        (format!(":{}:", "A".repeat(6 * 1024)), "TooLarge"),
        ("::".into(), "Truncated"),
    ] {
        let mut changed = SealedRequest { head: get.head.clone(), body: Vec::new() };
        changed.head.headers.set("sealwire-exchange", &value).unwrap();
        assert_eq!(code(receive(&service, &changed)), expected, "{}", value.len());
    }
}

/// Chunk lengths are then random, so the failure may be any of these.
#[test]
fn the_other_form_does_not_open() {
    let service = x25519();
    let fails = |sealed: &SealedRequest| {
        ["Rejected", "TooLarge", "Truncated"].contains(&code(receive(&service, sealed)))
    };
    let (mut sealed, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
    sealed.head.headers.set("content-type", "message/ohttp-chunked-req").unwrap();
    assert!(fails(&sealed));
    let (mut sealed, _) = seal(&service, &in_place(), request("GET", "/n").unwrap(), b"").unwrap();
    let field = sealed.head.headers.text("sealwire-exchange").unwrap().unwrap().to_owned() + ";chunked";
    sealed.head.headers.set("sealwire-exchange", field).unwrap();
    assert!(fails(&sealed));
}

#[test]
fn a_coding_or_a_range_outside() {
    let service = x25519();
    for (name, value) in
        [("content-encoding", "gzip"), ("content-encoding", "identity"), ("range", "bytes=0-1")]
    {
        let (mut sealed, _) = seal(&service, &in_place(), request("POST", "/n").unwrap(), b"x").unwrap();
        sealed.head.headers.add(name, value).unwrap();
        assert_eq!(code(receive(&service, &sealed)), "Malformed", "{name}");
    }
}

#[test]
fn answers_that_are_not_sealed() {
    let ok = "message/ohttp-res";
    for (status, fields, expected) in [
        (200, vec![("content-type", ok)], "ok"),
        (206, vec![("content-type", ok)], "Unsealed"),
        (201, vec![("content-type", ok)], "Unsealed"),
        (302, vec![("content-type", ok), ("location", "/")], "Unsealed"),
        (502, vec![("content-type", "text/html")], "Unsealed"),
        (200, vec![], "Unsealed"),
        (200, vec![("content-type", "application/json")], "Unsealed"),
        (200, vec![("content-type", "message/ohttp-chunked-res")], "Unsealed"),
        (200, vec![("content-type", "message/ohttp-res; charset=utf-8")], "Unsealed"),
        (200, vec![("content-type", ok), ("content-type", ok)], "Unsealed"),
        (200, vec![("content-type", "\u{fffd}")], "Unsealed"),
        (200, vec![("content-type", ok), ("content-encoding", "gzip")], "Unsealed"),
        (
            200,
            vec![("content-type", ok), ("content-encoding", "br"), ("content-encoding", "gzip")],
            "Unsealed",
        ),
        (200, vec![("content-type", ok), ("content-range", "bytes 0-1/2")], "Unsealed"),
    ] {
        let service = x25519();
        let (sealed, opener) = seal(&service, &in_place(), request("GET", "/n").unwrap(), b"").unwrap();
        let response = answer(receive(&service, &sealed).unwrap().0, 200, b"yes").unwrap();
        let mut outer = ResponseHead::new(status).unwrap();
        fields.iter().try_for_each(|(name, value)| outer.headers.add(name, value)).unwrap();
        let opened = opener.open(&outer, &response.body);
        if expected == "Unsealed" {
            assert_eq!(opened, Err(Error::Unsealed { status }), "{fields:?}");
        }
        assert_eq!(code(opened), expected, "{fields:?}");
    }
}

#[test]
fn limits_of_bodies() {
    let service = x25519().max_body(1000);
    let config = config(&service).unwrap();
    for (len, expected) in [(1000, "ok"), (1001, "TooLarge"), (2_000_000, "TooLarge")] {
        for form in [Form::Whole, Form::Chunked] {
            let head = request("POST", "/n").unwrap();
            let (sealed, _) = sealer(form, &config, &in_place()).seal(head, &vec![0; len], NOW).unwrap();
            assert_eq!(code(receive(&service, &sealed)), expected, "{len}");

            let head = request("GET", "/n").unwrap();
            let (sealed, opener) = sealer(form, &config, &in_place()).seal(head, b"", NOW).unwrap();
            let response = answer(receive(&service, &sealed).unwrap().0, 200, &vec![0; len]).unwrap();
            let opened = opener.max_body(1000).open(&response.head, &response.body);
            assert_eq!(code(opened), expected, "{len}");
        }
    }
}

/// 64 MiB where it is held in memory; a stream is for what is longer.
#[test]
fn a_streamed_response_has_no_limit_of_its_own() {
    let service = x25519();
    let config = config(&service).unwrap();
    let head = request("GET", "/n").unwrap();
    let (sealed, opener) = RequestSealer::new(&config, &in_place()).chunked().seal(head, b"", NOW).unwrap();
    let (_, response) = receive(&service, &sealed).unwrap().0.admit(true).unwrap();
    let (outer, mut body) = response.stream(ResponseHead::new(200).unwrap()).unwrap();
    let mut stream = opener.stream(&outer.head).unwrap();
    let (mut sent, mut content, mut total) = (outer.body, Vec::new(), 0);
    for _ in 0..65 {
        body.push(&vec![0; 1024 * 1024], &mut sent).unwrap();
        stream.push(&sent, &mut content).unwrap();
        total += content.len();
        sent.clear();
        content.clear();
    }
    assert_eq!(total, 65 * 1024 * 1024);
}

#[test]
fn what_the_sealer_refuses() {
    let service = x25519();
    let cases: [(&str, &[u8], &str); 4] =
        [("GET", b"x", "Misuse"), ("HEAD", b"x", "Misuse"), ("OPTIONS", b"", "ok"), ("DELETE", b"x", "ok")];
    for (method, body, expected) in cases {
        for carriage in [in_place(), tunnel().unwrap()] {
            let head = request(method, "/n").unwrap();
            assert_eq!(code(seal(&service, &carriage, head, body)), expected, "{method}");
        }
    }
    assert_eq!(code(Method::new("CONNECT")), "Unsupported");
    assert_eq!(code(Method::new("TRACE")), "Unsupported");
    for method in ["", "G T", "G\r\n", &"G".repeat(33)] {
        assert_eq!(code(Method::new(method)), "Malformed");
    }
    let mut head = request("GET", "/n").unwrap();
    head.headers.add("Sealwire-Mode", "tunnel").unwrap();
    assert_eq!(code(seal(&service, &in_place(), head, b"")), "Misuse");
    for name in ["Content-Length", "content-type", "content-encoding", "Transfer-Encoding", "host", "range"] {
        let carriage = Carriage::InPlace(InPlace::new().expose_field(name));
        assert_eq!(code(seal(&service, &carriage, request("GET", "/n").unwrap(), b"")), "Misuse", "{name}");
    }
}

#[test]
fn problems_that_a_client_can_do_something_about() {
    for (error, status, found) in [
        (Error::InvalidKey(&""), 400, Some(Problem::UnknownKey)),
        (Error::Expired, 400, Some(Problem::Date)),
        (Error::Rejected, 400, None),
        (Error::Malformed(&""), 400, None),
        (Error::Replayed, 400, None),
        (Error::TooLarge(&""), 413, None),
        (Error::Store(std::io::ErrorKind::StorageFull), 503, None),
    ] {
        let (code, body) = ExchangeService::problem(&error);
        assert_eq!(code, status);
        let mut head = ResponseHead::new(code).unwrap();
        head.headers.add("content-type", "application/problem+json").unwrap();
        assert_eq!(Problem::of(&head, body.as_bytes()), found);
        head.headers.set("content-type", "text/html").unwrap();
        assert_eq!(Problem::of(&head, body.as_bytes()), None);
    }
}
