//! What an app and its service see of each other.

use super::{code, names, sealer, services, x25519};
use proptest::prelude::*;
use sealwire::http::{
    Arrival, Carriage, ExchangeService, Form, InPlace, RequestSealer, ResponseHead, SealedRequest,
    ServiceKeys,
};
use sealwire::{Aead, Error, Kem};
use sealwire_tests::exchanges::{
    DAY, NOW, answer, config, in_place, origin, receive, receive_pieces, request, seal, tunnel,
};

#[test]
fn every_suite_method_form_and_carriage() {
    let methods = [("GET", false), ("HEAD", false), ("DELETE", false), ("POST", true), ("PATCH", true)];
    for service in services() {
        let config = config(&service).unwrap();
        for (carriage, form) in [
            (in_place(), Form::Whole),
            (in_place(), Form::Chunked),
            (tunnel().unwrap(), Form::Whole),
            (tunnel().unwrap(), Form::Chunked),
        ] {
            for (method, has_body) in methods {
                let body: &[u8] = if has_body { b"the body" } else { b"" };
                let mut head = request(method, "/notes/17?draft=1").unwrap();
                head.headers.add("authorization", "Bearer secret").unwrap();
                head.headers.add("accept", "text/plain").unwrap();
                head.headers.add("accept", "text/html").unwrap();
                let (sealed, opener) = sealer(form, &config, &carriage).seal(head, body, NOW).unwrap();
                let (arrived, content) = receive(&service, &sealed).unwrap();
                assert_eq!(content, body);
                assert_eq!((arrived.made(), arrived.key_id()), (NOW, config.id()));
                let (inner, response) = arrived.admit(true).unwrap();
                assert_eq!((inner.method.as_str(), response.form()), (method, form));
                assert_eq!(inner.target.path_and_query(), "/notes/17?draft=1");
                assert_eq!(names(&inner.headers), ["authorization", "accept", "accept", "date"]);

                let mut reply = ResponseHead::new(404).unwrap();
                reply.headers.add("set-cookie", "a=1").unwrap();
                reply.headers.add("set-cookie", "b=2").unwrap();
                let sealed = response.seal(reply, b"no such note").unwrap();
                assert_eq!(sealed.head.status, 200);
                let (reply, content) = opener.open(&sealed.head, &sealed.body).unwrap();
                assert_eq!((reply.status, content.as_slice()), (404, b"no such note".as_slice()));
                assert_eq!(names(&reply.headers), ["set-cookie", "set-cookie"]);
            }
        }
    }
}

#[test]
fn what_is_seen_outside() {
    let service = x25519();
    let show = |carriage: &Carriage, method: &str, body: &[u8]| {
        let mut head = request(method, "/notes/17?token=s3cret").unwrap();
        head.headers.add("authorization", "Bearer s3cret").unwrap();
        head.headers.add("content-type", "text/x-s3cret").unwrap();
        let (sealed, _) = seal(&service, carriage, head, body).unwrap();
        let SealedRequest { head, body } = sealed;
        assert!(!body.windows(6).any(|window| window == b"s3cret"));
        let line = format!("{} {}", head.method, head.target.path_and_query());
        let names = names(&head.headers).join(" ");
        let shown = head.headers.iter().any(|(_, value)| value.windows(6).any(|w| w == b"s3cret"));
        (line, names, shown, body.is_empty())
    };
    let expected = |line: &str, names: &str, shown, bodyless| (line.into(), names.into(), shown, bodyless);
    let all = InPlace::new().expose_field("Authorization").expose_query();
    for (carriage, method, body, seen) in [
        (in_place(), "GET", "", expected("GET /notes/17", "cache-control sealwire-exchange", false, true)),
        (in_place(), "HEAD", "", expected("GET /notes/17", "cache-control sealwire-exchange", false, true)),
        (in_place(), "PUT", "s3cret", expected("PUT /notes/17", "cache-control content-type", false, false)),
        (
            Carriage::InPlace(all),
            "GET",
            "",
            expected(
                "GET /notes/17?token=s3cret",
                "authorization cache-control sealwire-exchange",
                true,
                true,
            ),
        ),
        (
            tunnel().unwrap(),
            "DELETE",
            "",
            expected("POST /ohttp", "cache-control content-type", false, false),
        ),
    ] {
        assert_eq!(show(&carriage, method, body.as_bytes()), seen);
    }
}

#[test]
fn what_is_exposed_is_inside_too() {
    let service = x25519();
    let carriage = Carriage::InPlace(InPlace::new().expose_field("authorization").expose_query());
    let mut head = request("GET", "/notes?q=1").unwrap();
    head.headers.add("authorization", "Bearer inner").unwrap();
    let (mut sealed, _) = seal(&service, &carriage, head, b"").unwrap();
    sealed.head.headers.set("authorization", "Bearer somebody else's").unwrap();
    let (head, _) = receive(&service, &sealed).unwrap().0.admit(true).unwrap();
    assert_eq!(head.headers.text("authorization").unwrap(), Some("Bearer inner"));
}

#[test]
fn a_field_is_replaced_in_whatever_case_it_is_named() {
    let mut head = request("GET", "/n").unwrap();
    head.headers.add("Accept", "a").unwrap();
    head.headers.add("accept", "b").unwrap();
    head.headers.set("ACCEPT", "c").unwrap();
    assert_eq!(head.headers.all("accept").collect::<Vec<_>>(), [b"c"]);
}

/// One length for many: a request says no more than the next power's fraction of its own.
#[test]
fn whole_messages_are_padded() {
    let service = x25519();
    let mut lengths: Vec<_> = (0..150)
        .map(|len| {
            let head = request("POST", "/notes").unwrap();
            seal(&service, &in_place(), head, &vec![7; len]).unwrap().0.body.len()
        })
        .collect();
    lengths.dedup();
    assert!(lengths.len() <= 2, "{lengths:?}");
}

#[test]
fn bodies_of_every_kind_of_length_up_and_down() {
    let service = x25519();
    let config = config(&service).unwrap();
    for pieces in [
        vec![vec![]],
        vec![vec![1]; 40],
        vec![vec![2; 16_379], vec![3; 1]],
        vec![vec![4; 16_383]],
        vec![vec![5; 16_384]],
        vec![vec![6; 16_385]],
        vec![vec![7; 50_000], vec![], vec![8; 123], vec![9; 16_384]],
    ] {
        let (carriage, head) = (in_place(), request("POST", "/upload").unwrap());
        let (sealed, opener) = RequestSealer::new(&config, &carriage).stream(head, NOW).unwrap();
        let (mut up, mut body) = (sealed.front, sealed.body);
        pieces.iter().try_for_each(|piece| body.push(piece, &mut up)).unwrap();
        body.finish(&mut up).unwrap();
        for size in [1, 16_384, up.len()] {
            let (arrived, content) = receive_pieces(&service, &sealed.head, &up, size, NOW).unwrap();
            assert!(content == pieces.concat());
            drop(arrived);
        }
        let (arrived, _) = receive_pieces(&service, &sealed.head, &up, 999, NOW).unwrap();
        let (_, response) = arrived.admit(true).unwrap();
        let (outer, mut body) = response.stream(ResponseHead::new(200).unwrap()).unwrap();
        let mut down = outer.body;
        pieces.iter().try_for_each(|piece| body.push(piece, &mut down)).unwrap();
        body.finish(&mut down).unwrap();
        let (mut stream, mut content) = (opener.stream(&outer.head).unwrap(), Vec::new());
        down.chunks(777).try_for_each(|piece| stream.push(piece, &mut content)).unwrap();
        assert_eq!(stream.take_head().unwrap().status, 200);
        assert_eq!(stream.finish(&mut content).unwrap(), None);
        assert!(content == pieces.concat());
    }
}

/// Server-sent events: what was pushed can be read before anything follows.
#[test]
fn each_piece_can_be_read_at_once() {
    let service = x25519();
    let config = config(&service).unwrap();
    let (carriage, head) = (in_place(), request("POST", "/events").unwrap());
    let (sealed, opener) = RequestSealer::new(&config, &carriage).stream(head, NOW).unwrap();
    let Arrival::Sealed(mut opener_up) = service.arrive(&sealed.head).unwrap() else { panic!("plain") };
    let (mut content, mut body) = (Vec::new(), sealed.body);
    opener_up.push(&service, &sealed.front, NOW, &mut content).unwrap();
    let arrived = opener_up.take_request(&service, NOW).unwrap().unwrap();
    assert!(opener_up.take_request(&service, NOW).unwrap().is_none(), "it is taken once");
    let mut sent = Vec::new();
    body.push(b"up", &mut sent).unwrap();
    opener_up.push(&service, &sent, NOW, &mut content).unwrap();
    assert_eq!(content, b"up");
    let (_, response) = arrived.admit(true).unwrap();
    let (outer, mut body) = response.stream(ResponseHead::new(200).unwrap()).unwrap();
    let mut stream = opener.stream(&outer.head).unwrap();
    let mut events = Vec::new();
    stream.push(&outer.body, &mut events).unwrap();
    assert!(stream.take_head().is_some() && events.is_empty());
    let mut sent = Vec::new();
    body.push(b"data: 1\n\n", &mut sent).unwrap();
    stream.push(&sent, &mut events).unwrap();
    assert_eq!(events, b"data: 1\n\n");
    assert_eq!(code(stream.finish(&mut events)), "Truncated");
}

#[test]
fn behind_a_gateway_that_changes_the_prefix() {
    let keys = || ServiceKeys::generate_with(Kem::X25519, Aead::Aes256Gcm, DAY, NOW).unwrap();
    for (public, local, outside, inside) in [
        ("/api", "", "/api/notes", Some("/notes")),
        ("/api/", "/", "/api/notes", Some("/notes")),
        ("", "/v2", "/notes", Some("/v2/notes")),
        ("/api", "/v2", "/api/notes", Some("/v2/notes")),
        ("/api", "/v2", "/apinotes", None),
        ("/api", "/v2", "/other/notes", None),
    ] {
        let service = ExchangeService::new(origin().unwrap(), keys()).mounted(public, local);
        let head = request("GET", &format!("{outside}?q")).unwrap();
        let (mut sealed, _) = seal(&service, &in_place(), head, b"").unwrap();
        // What the gateway makes of the path.
        sealed.head.target = request("GET", inside.unwrap_or(outside)).unwrap().target;
        let found = receive(&service, &sealed)
            .map(|(arrived, _)| arrived.admit(true).unwrap().0.target.path_and_query().to_owned());
        let expected = inside.map(|path| format!("{path}?q")).ok_or(Error::Rejected);
        assert_eq!(found, expected, "{public} {local} {outside}");
    }
}

#[test]
fn coarse_status_is_opt_in() {
    for (status, class) in [(200, "2xx"), (304, "3xx"), (404, "4xx"), (503, "5xx")] {
        for opted in [false, true] {
            let service = if opted { x25519().coarse_status() } else { x25519() };
            let (sealed, opener) = seal(&service, &in_place(), request("GET", "/").unwrap(), b"").unwrap();
            let (arrived, _) = receive(&service, &sealed).unwrap();
            let response = answer(arrived, status, b"").unwrap();
            let shown = response.head.headers.text("sealwire-status").unwrap();
            assert_eq!((response.head.status, shown), (200, opted.then_some(class)));
            assert_eq!(response.head.headers.text("cache-control").unwrap(), Some("no-store, no-transform"));
            assert_eq!(opener.open(&response.head, &response.body).unwrap().0.status, status);
        }
    }
}

#[test]
fn the_answer_to_head_keeps_the_length_of_what_it_leaves_out() {
    let service = x25519();
    for (method, expected) in [("HEAD", Some("1234")), ("GET", None)] {
        let (sealed, opener) = seal(&service, &in_place(), request(method, "/").unwrap(), b"").unwrap();
        let (_, response) = receive(&service, &sealed).unwrap().0.admit(true).unwrap();
        let mut head = ResponseHead::new(200).unwrap();
        head.headers.add("content-length", "1234").unwrap();
        let sealed = response.seal(head, b"").unwrap();
        let (head, _) = opener.open(&sealed.head, &sealed.body).unwrap();
        assert_eq!(head.headers.text("content-length").unwrap(), expected);
    }
}

#[test]
fn requests_that_are_too_long_for_a_field_travel_as_post_if_both_allow_it() {
    let long = format!("/notes?q={}", "x".repeat(6000));
    let carrier = Carriage::InPlace(InPlace::new().post_carrier());
    let service = x25519();
    let head = || request("GET", &long).unwrap();
    assert_eq!(code(seal(&service, &in_place(), head(), b"")), "TooLarge");
    let (sealed, _) = seal(&service, &carrier, head(), b"").unwrap();
    assert_eq!((sealed.head.method.as_str(), sealed.body.is_empty()), ("POST", false));
    assert_eq!(code(receive(&service, &sealed)), "Rejected");
    let service = service.post_carrier();
    let (inner, _) = receive(&service, &sealed).unwrap().0.admit(true).unwrap();
    assert_eq!((inner.method.as_str(), inner.target.path_and_query()), ("GET", long.as_str()));
    // A short one still has its own method.
    let (sealed, _) = seal(&service, &carrier, request("GET", "/notes").unwrap(), b"").unwrap();
    assert_eq!(sealed.head.method.as_str(), "GET");
}

#[test]
fn plain_requests_are_told_from_exchanges() {
    let mut head = request("POST", "/notes").unwrap();
    assert!(matches!(x25519().arrive(&head).unwrap(), Arrival::Plain));
    head.headers.add("content-type", "application/json").unwrap();
    assert!(matches!(x25519().arrive(&head).unwrap(), Arrival::Plain));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the pieces on either side of either way are, the message is the same.
    #[test]
    fn arbitrary_messages_in_arbitrary_pieces(
        fields in proptest::collection::vec(("[a-z][a-z0-9-]{0,30}", "[!-~]{0,60}"), 0..20),
        body in proptest::collection::vec(any::<u8>(), 0..40_000),
        (sent, received) in (1_usize..20_000, 1_usize..20_000),
        chunked in any::<bool>(),
    ) {
        let service = x25519();
        let config = config(&service).unwrap();
        let carriage = tunnel().unwrap();
        let mut head = request("POST", "/notes").unwrap();
        let special = ["host", "te", "connection", "date", "upgrade", "content-length"];
        let fields: Vec<_> = fields.into_iter().filter(|(name, _)| !special.contains(&name.as_str())).collect();
        for (name, value) in &fields {
            head.headers.add(name, value).unwrap();
        }
        let (outer, bytes, opener) = if chunked {
            let (sealed, opener) = RequestSealer::new(&config, &carriage).stream(head, NOW).unwrap();
            let (mut bytes, mut writer) = (sealed.front, sealed.body);
            body.chunks(sent).try_for_each(|piece| writer.push(piece, &mut bytes)).unwrap();
            writer.finish(&mut bytes).unwrap();
            (sealed.head, bytes, opener)
        } else {
            let (sealed, opener) = RequestSealer::new(&config, &carriage).seal(head, &body, NOW).unwrap();
            (sealed.head, sealed.body, opener)
        };
        let (arrived, content) = receive_pieces(&service, &outer, &bytes, received, NOW).unwrap();
        prop_assert!(content == body);
        let (mut inner, response) = arrived.admit(true).unwrap();
        inner.headers.remove("date");
        let found: Vec<_> = inner.headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
        let expected: Vec<_> = fields.iter().map(|(n, v)| (n.clone(), v.as_bytes().to_vec())).collect();
        prop_assert_eq!(found, expected);

        let mut reply = ResponseHead::new(200).unwrap();
        for (name, value) in &fields {
            reply.headers.add(name, value).unwrap();
        }
        let sealed = response.seal(reply.clone(), &body).unwrap();
        let (mut stream, mut content) = (opener.stream(&sealed.head).unwrap(), Vec::new());
        sealed.body.chunks(received).try_for_each(|piece| stream.push(piece, &mut content)).unwrap();
        prop_assert_eq!(stream.finish(&mut content).unwrap(), Some(reply));
        prop_assert!(content == body);
    }
}
