//! The gate driven by hand, step by step: no socket, no clock, no runtime.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::http::{
    Admitted, Answer, Carriage, Check, Entering, ExchangeService, Gate, InPlace, KEY_ROLLOUT, KEYS_PATH,
    KeyConfig, LastSeen, MAX_HEADERS, Operation, OriginPolicy, Progress, Refusal, ReplayId, RequestHead,
    RequestSealer, RequestSigner, RequestVerifier, ResponseHead, ResponseOpener, ServiceKeys, ServicePins,
    SignedBody, TrustedKeys,
};
use sealwire::{Aead, Error, Identity, Kem, MemoryStore};
use sealwire_tests::exchanges::{DAY, NOW, TUNNEL, config, in_place, origin, request, service, tunnel};
use sealwire_tests::loopback::{DEVICE, OTHER_DEVICE, copy, person};
use std::collections::BTreeSet;

/// A request as it arrives.
#[derive(Clone)]
struct Wire {
    head: RequestHead,
    body: Vec<u8>,
}

impl Wire {
    fn sign(&mut self, signer: &Identity) {
        RequestSigner::new(signer).sign(&mut self.head, SignedBody::Whole(&self.body), NOW).unwrap();
    }

    fn signed_by(mut self, signer: &Identity) -> Self {
        self.sign(signer);
        self
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.head.headers.add(name, value).unwrap();
        self
    }

    fn enter(&self, gate: &Gate, now: u64) -> Result<Entering, Refusal> {
        let fields: Vec<_> = self.head.headers.iter().collect();
        let (method, target) = (self.head.method.as_str(), self.head.target.path_and_query());
        gate.enter(method, target, &fields, !self.body.is_empty(), now)
    }
}

/// What a driver remembers.
#[derive(Default)]
struct Seen(BTreeSet<[u8; 32]>);

impl Seen {
    fn insert(&mut self, id: ReplayId) -> Result<bool, Error> {
        Ok(self.0.insert(id.0))
    }

    /// All steps, with the body in pieces of 7 bytes.
    fn pass(&mut self, gate: &Gate, wire: &Wire) -> Result<Box<Admitted>, Refusal> {
        let Entering::Body(mut arriving) = wire.enter(gate, NOW)? else { panic!("no body is wanted") };
        for piece in wire.body.chunks(7) {
            let Progress::More(more) = arriving.push(piece, NOW)? else { panic!("it is let in early") };
            arriving = more;
        }
        self.check(arriving.finish(NOW)?.check(NOW)?)
    }

    fn check(&mut self, mut check: Check) -> Result<Box<Admitted>, Refusal> {
        loop {
            match check {
                Check::Admitted(admitted) => return Ok(admitted),
                Check::Remember(remember) => {
                    let fresh = self.insert(remember.id);
                    check = remember.inserted(fresh, NOW)?;
                }
            }
        }
    }

    /// Refused, with this answer in clear.
    fn refuse(&mut self, gate: &Gate, wire: &Wire, status: u16, operation: Operation, code: &str) {
        let refusal = self.pass(gate, wire).err().unwrap_or_else(|| panic!("let in, not {code}"));
        assert_eq!((refusal.operation(), refusal.error().code()), (operation, code));
        let answer = refusal.answer();
        assert_eq!(answer.head.status, status, "{code}");
        assert_eq!(field(&answer, "content-type"), Some("application/problem+json"));
        assert_eq!(field(&answer, "cache-control"), Some("no-store"));
    }
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.headers.text(name).unwrap()
}

fn exchanges() -> ExchangeService {
    service(Kem::X25519, Aead::ChaCha20Poly1305).unwrap()
}

fn key(gate: &Gate) -> KeyConfig {
    config(&gate.service().unwrap()).unwrap()
}

fn known_devices() -> RequestVerifier<Vec<sealwire::Signer>> {
    RequestVerifier::new(vec![DEVICE.signer(), OTHER_DEVICE.signer()], OriginPolicy::default())
}

fn open() -> Gate {
    Gate::exchanges(exchanges(), person())
}

fn strict() -> Gate {
    open().verify(known_devices())
}

/// Sealed for the service behind the gate; `signer` is named inside.
fn seal_as(
    gate: &Gate,
    head: RequestHead,
    body: &[u8],
    carriage: &Carriage,
    signer: Option<&Identity>,
) -> (Wire, ResponseOpener) {
    let key = key(gate);
    let mut sealer = RequestSealer::new(&key, carriage);
    if let Some(signer) = signer {
        sealer = sealer.signed_by(&signer.signer().key_id().to_string());
    }
    let (sealed, opener) = sealer.seal(head, body, NOW).unwrap();
    (Wire { head: sealed.head, body: sealed.body }, opener)
}

fn sealed(gate: &Gate, method: &str, target: &str, body: &[u8]) -> (Wire, ResponseOpener) {
    seal_as(gate, request(method, target).unwrap(), body, &in_place(), None)
}

fn signed(gate: &Gate, method: &str, target: &str, body: &[u8]) -> Wire {
    let head = request(method, target).unwrap();
    seal_as(gate, head, body, &in_place(), Some(&DEVICE)).0.signed_by(&DEVICE)
}

fn plain(method: &str, target: &str, body: &[u8]) -> Wire {
    Wire { head: request(method, target).unwrap(), body: body.to_vec() }
}

fn names(head: &RequestHead) -> Vec<&str> {
    let mut names: Vec<_> = head.headers.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_exchange_comes_in_and_its_answer_goes_out() {
    let gate = open();
    let tunnel = tunnel().unwrap();
    for (method, body, carriage, is_in_field) in [
        ("GET", &b""[..], &in_place(), true),
        ("POST", b"hello", &in_place(), false),
        ("POST", b"", &in_place(), false),
        ("GET", b"", &tunnel, false),
        ("POST", b"hello", &tunnel, false),
    ] {
        let mut head = request(method, "/notes?tag=a").unwrap();
        for (name, value) in [("x-inner", "1"), ("forwarded", "for=::1"), ("x-forwarded-for", "::1")] {
            head.headers.add(name, value).unwrap();
        }
        let (wire, opener) = seal_as(&gate, head, body, carriage, None);
        assert_eq!(wire.head.headers.one("sealwire-exchange").unwrap().is_some(), is_in_field);
        let wire = wire.field("x-outer", "2").field("x-request-id", "outer");
        let admitted = Seen::default().pass(&gate.clone().pass_outer(&["X-Request-Id"]), &wire).unwrap();
        assert_eq!(admitted.head.method.as_str(), method);
        assert_eq!(admitted.head.target.path_and_query(), "/notes?tag=a");
        assert_eq!(admitted.head.headers.text("host"), Ok(Some("api.example.com")));
        let length = (method == "POST").then(|| body.len().to_string());
        assert_eq!(admitted.head.headers.text("content-length"), Ok(length.as_deref()));
        let expected: &[&str] = match length {
            Some(_) => &["content-length", "date", "host", "x-inner", "x-request-id"],
            None => &["date", "host", "x-inner", "x-request-id"],
        };
        assert_eq!(names(&admitted.head), expected);
        assert_eq!((admitted.content.as_slice(), admitted.signer), (body, None));
        assert!(admitted.rest.is_none());

        let answer = admitted.sealer.unwrap().seal(ResponseHead::new(404).unwrap(), b"none").unwrap();
        let (head, body) = opener.open(&answer.head, &answer.body).unwrap();
        assert_eq!((answer.head.status, head.status, body.as_slice()), (200, 404, &b"none"[..]));
    }
}

#[test]
fn an_upload_begins_before_its_end_where_the_app_asked_for_it() {
    let stream = open().stream("/upload/{id}").unwrap();
    let key = key(&stream);
    let carriage = in_place();
    let start = |path: &str| {
        let head = request("POST", path).unwrap();
        let (sealed, _) = RequestSealer::new(&key, &carriage).stream(head, NOW).unwrap();
        let (mut body, mut sealer, mut pieces) = (sealed.front, sealed.body, Vec::new());
        for piece in [&b"one"[..], b"two"] {
            pieces.push(std::mem::take(&mut body));
            sealer.push(piece, &mut body).unwrap();
        }
        sealer.finish(&mut body).unwrap();
        pieces.push(body);
        (Wire { head: sealed.head, body: vec![0] }, pieces)
    };
    let (wire, pieces) = start("/upload/1");
    let Entering::Body(arriving) = wire.enter(&stream, NOW).unwrap() else { panic!() };
    let (front, rest) = pieces[0].split_at(20);
    let Progress::More(arriving) = arriving.push(front, NOW).unwrap() else { panic!() };
    let Progress::Enough(arrived) = arriving.push(rest, NOW).unwrap() else { panic!("it waits") };
    let mut seen = Seen::default();
    let admitted = seen.check(arrived.check(NOW).unwrap()).unwrap();
    assert_eq!(names(&admitted.head), ["date", "host"]);
    assert!(admitted.content.is_empty());
    let (mut rest, mut content) = (admitted.rest.unwrap(), admitted.content);
    rest.push(&pieces[1], NOW, &mut content).unwrap();
    assert_eq!(content, b"one");
    rest.push(&pieces[2], NOW, &mut content).unwrap();
    rest.finish(NOW, &mut content).unwrap();
    assert_eq!(content, b"onetwo");
    // What it is answered with is not held back on the way.
    let (sealed, _) = admitted.sealer.unwrap().stream(ResponseHead::new(200).unwrap()).unwrap();
    assert_eq!(sealed.head.headers.text("incremental"), Ok(Some("?1")));
    assert_eq!(sealed.head.headers.text("x-accel-buffering"), Ok(Some("no")));

    // Cut off after the app has begun: it hears of it.
    let (wire, pieces) = start("/upload/2");
    let Entering::Body(arriving) = wire.enter(&stream, NOW).unwrap() else { panic!() };
    let Progress::Enough(arrived) = arriving.push(&pieces[0], NOW).unwrap() else { panic!() };
    let admitted = seen.check(arrived.check(NOW).unwrap()).unwrap();
    let mut rest = admitted.rest.unwrap();
    rest.push(&pieces[1], NOW, &mut Vec::new()).unwrap();
    assert_eq!(rest.finish(NOW, &mut Vec::new()), Err(Error::Truncated));

    // Elsewhere, and where a signature covers the whole, all of it is waited for.
    let (mut wire, pieces) = start("/other");
    wire.body = pieces.concat();
    assert_eq!(seen.pass(&stream, &wire).unwrap().content, b"onetwo");
    wire.body.truncate(wire.body.len() - 30);
    seen.refuse(&stream, &wire, 400, Operation::Open, "Truncated");
    let (mut wire, pieces) = start("/upload/3");
    let verifying = stream.clone().verify(known_devices());
    wire.head.headers.remove("sealwire-exchange-head");
    wire.body = pieces.concat();
    wire.sign(&DEVICE);
    // Nobody is named inside, so it is not let in; but it was read to its end.
    seen.refuse(&verifying, &wire, 401, Operation::Verify, "Rejected");
    // The beginning alone is signed: it begins, and whoever goes on with something else is not the signer.
    let (sealed, _) = RequestSealer::new(&key, &carriage)
        .signed_by(&DEVICE.signer().key_id().to_string())
        .stream(request("POST", "/upload/4").unwrap(), NOW)
        .unwrap();
    let mut wire = Wire { head: sealed.head, body: sealed.front };
    RequestSigner::new(&DEVICE).sign(&mut wire.head, SignedBody::Streamed, NOW).unwrap();
    let Entering::Body(arriving) = wire.enter(&verifying, NOW).unwrap() else { panic!() };
    let Progress::Enough(arrived) = arriving.push(&wire.body, NOW).unwrap() else { panic!() };
    assert_eq!(seen.check(arrived.check(NOW).unwrap()).unwrap().signer, Some(DEVICE.signer()));
    let Entering::Body(arriving) = wire.enter(&verifying, NOW).unwrap() else { panic!() };
    wire.body[20] ^= 1;
    let refusal = arriving.push(&wire.body, NOW).err().unwrap();
    assert_eq!((refusal.operation(), refusal.error()), (Operation::Verify, Error::Rejected));
}

#[test]
fn each_request_comes_once() {
    let (gate, mut seen) = (strict(), Seen::default());
    let wire = signed(&gate, "POST", "/a", b"hello");
    assert_eq!(seen.pass(&gate, &wire).unwrap().signer, Some(DEVICE.signer()));
    assert_eq!(seen.0.len(), 2);
    seen.refuse(&gate, &wire, 401, Operation::Verify, "Replayed");
    // The same exchange under a fresh signature.
    let mut again = wire;
    again.head.headers.remove("signature");
    again.head.headers.remove("signature-input");
    again.sign(&DEVICE);
    seen.refuse(&gate, &again, 400, Operation::Open, "Replayed");

    // Too late: between the steps the time runs out, first that of the signature, then that of the date.
    let (window, skew) = (300, 30);
    let wire = signed(&gate, "GET", "/a", b"");
    for (late, code) in [(window + skew, "Expired"), (window + skew + 1, "Expired")] {
        let Entering::Body(arriving) = wire.enter(&gate, NOW).unwrap() else { panic!() };
        let refusal = match arriving.finish(NOW).unwrap().check(NOW + late) {
            // The nonce is still good, the date is not.
            Ok(Check::Remember(nonce)) => {
                assert_eq!((late, nonce.until), (window + skew, NOW + late));
                nonce.inserted(Ok(true), NOW + late).err().unwrap()
            }
            checked => checked.err().unwrap(),
        };
        let operation = if late == window + skew { Operation::Open } else { Operation::Verify };
        assert_eq!((refusal.operation(), refusal.error().code()), (operation, code));
    }
    // What the cache says is heard, at each question.
    for (full_at, status) in [(0, 503), (1, 503)] {
        let wire = signed(&gate, "GET", "/a", b"");
        let Entering::Body(arriving) = wire.enter(&gate, NOW).unwrap() else { panic!() };
        let mut check = arriving.finish(NOW).unwrap().check(NOW).unwrap();
        let mut asked = 0;
        let refusal = loop {
            let Check::Remember(remember) = check else { panic!("let in without a memory") };
            let full = Err(Error::Store(std::io::ErrorKind::StorageFull));
            match remember.inserted(if asked == full_at { full } else { Ok(true) }, NOW) {
                Ok(next) => check = next,
                Err(refusal) => break refusal,
            }
            asked += 1;
        };
        assert_eq!((asked, refusal.answer().head.status), (full_at, status));
    }
}

#[test]
fn who_signs_the_outside_is_who_the_inside_names() {
    let (gate, mut seen) = (strict(), Seen::default());
    let mut refuse = |wire: &Wire| seen.refuse(&gate, wire, 401, Operation::Verify, "Rejected");
    let seal = |signer| seal_as(&gate, request("POST", "/a").unwrap(), b"hello", &in_place(), signer).0;
    refuse(&seal(None));
    refuse(&seal(Some(&DEVICE)));
    refuse(&seal(None).signed_by(&DEVICE));
    refuse(&seal(Some(&DEVICE)).signed_by(&OTHER_DEVICE));
    refuse(&seal(Some(&DEVICE)).signed_by(&person()));
    refuse(&plain("POST", "/a", b"hello"));
    let mut bent = seal(Some(&DEVICE)).signed_by(&DEVICE);
    bent.body[50] ^= 1;
    refuse(&bent);
    // Signed, and no exchange.
    let unsealed = plain("POST", "/a", b"hello").signed_by(&DEVICE);
    seen.refuse(&gate, &unsealed, 400, Operation::Open, "Unsealed");

    // Unsigned tunnels lead to no path that asks for a signature.
    let gate = strict().unsigned(TUNNEL).unwrap().unsigned("/login").unwrap();
    let through = |path| seal_as(&gate, request("GET", path).unwrap(), b"", &tunnel().unwrap(), None).0;
    seen.pass(&gate, &through("/login")).unwrap();
    seen.refuse(&gate, &through("/a"), 401, Operation::Verify, "Rejected");
    // Who need not sign may, and is told apart from who signs badly.
    let head = || request("POST", "/login").unwrap();
    let named = seal_as(&gate, head(), b"pw", &in_place(), Some(&DEVICE)).0;
    assert_eq!(seen.pass(&gate, &named.clone().signed_by(&DEVICE)).unwrap().signer, Some(DEVICE.signer()));
    seen.refuse(&gate, &named.signed_by(&OTHER_DEVICE), 401, Operation::Verify, "Rejected");
}

#[test]
fn a_plain_path_is_not_looked_into() {
    let gate = strict().plain("/health").unwrap().plain("/").unwrap().plain("/public/{rest..}").unwrap();
    let enter =
        |method: &str, target: &str, fields: &[(&str, &[u8])]| gate.enter(method, target, fields, false, NOW);
    // Not even what a request of ours could not be: browsers send this query as it stands.
    for (method, target) in [
        ("GET", "/health"),
        ("GET", "/health?q=a|b"),
        ("TRACE", "/health"),
        ("GET", "/"),
        ("GET", "/public/a%20file"),
    ] {
        assert!(matches!(enter(method, target, &[("x", b" \n")]), Ok(Entering::Plain)), "{target}");
    }
    for (method, target) in [
        ("GET", "/health/"),
        ("GET", "/health;x"),
        ("GET", "/health%2f"),
        ("GET", "/x/../health"),
        ("GET", "//"),
        // CONNECT names no path.
        ("CONNECT", ""),
        ("GET", "*"),
        ("GET", "health"),
        // What no URL is, and what another server may cut or trim.
        ("GET", "/public/..#x"),
        ("GET", "/public/.\t./admin"),
        ("GET", "/public/.. /admin"),
        ("GET", "/public/\u{ff0e}\u{ff0e}/admin"),
        ("GET", "/public/..%09/admin"),
        ("GET", "/public/..%20/admin"),
        ("GET", "/public/%0a"),
    ] {
        let status = enter(method, target, &[]).err().unwrap().answer().head.status;
        assert!(status == 400 || status == 401, "{target}: {status}");
    }
}

#[test]
fn a_gateway_has_public_keys_alone() {
    let (gate, mut seen) =
        (Gate::gateway(origin().unwrap()).verify(known_devices()).max_body(10), Seen::default());
    let put = |body: &[u8]| plain("PUT", "/store/1", body).signed_by(&DEVICE);
    let admitted = seen.pass(&gate, &put(b"envelope")).unwrap();
    assert_eq!((admitted.content.as_slice(), admitted.signer), (&b"envelope"[..], Some(DEVICE.signer())));
    assert!(admitted.sealer.is_none() && admitted.rest.is_none());
    assert_eq!(seen.0.len(), 1);
    seen.pass(&gate, &put(b"")).unwrap();
    seen.pass(&gate, &put(b"0123456789")).unwrap();
    seen.refuse(&gate, &put(b"01234567890"), 413, Operation::Verify, "TooLarge");
    for bend in [b"Envelope".to_vec(), b"envelop".to_vec(), b"envelope.".to_vec(), Vec::new()] {
        let wire = Wire { body: bend, ..put(b"envelope") };
        seen.refuse(&gate, &wire, 401, Operation::Verify, "Rejected");
    }
    let added = Wire { body: b"x".to_vec(), ..put(b"") };
    seen.refuse(&gate, &added, 401, Operation::Verify, "Rejected");
    // No body, said by its length: what the transport says of it does not count then.
    let empty = put(b"").field("content-length", "0");
    let fields: Vec<_> = empty.head.headers.iter().collect();
    assert!(matches!(gate.enter("PUT", "/store/1", &fields, true, NOW), Ok(Entering::Body(_))));
    // Cookies in pieces are one cookie, in their order.
    let cookies = |first: &str, second: &str| {
        let mut wire = plain("PUT", "/store/1", b"x").field("cookie", "a=1; b=2").signed_by(&DEVICE);
        wire.head.headers.remove("cookie");
        wire.field("cookie", first).field("cookie", second)
    };
    seen.pass(&gate, &cookies("a=1", "b=2")).unwrap();
    seen.refuse(&gate, &cookies("b=2", "a=1"), 401, Operation::Verify, "Rejected");
    // It opens nothing, and passes a streamed exchange on by its beginning.
    let passed = signed(&open(), "POST", "/a", b"hello");
    let gate = gate.max_body(10_000);
    assert_eq!(seen.pass(&gate, &passed).unwrap().content, passed.body);
    // The keys of the service behind it are public: who asks for them, and says nothing else, signs nothing.
    for method in ["GET", "HEAD"] {
        assert!(matches!(plain(method, KEYS_PATH, b"").enter(&gate, NOW), Ok(Entering::Plain)), "{method}");
    }
    for (method, target, body) in [
        ("POST", KEYS_PATH, ""),
        ("get", KEYS_PATH, ""),
        ("GET", KEYS_PATH, "x"),
        ("GET", "/.well-known/sealwire-keys?q", ""),
        ("GET", "/.well-known/sealwire-keys/", ""),
        ("GET", "/.well-known/sealwire%2Dkeys", ""),
        ("GET", "//.well-known/sealwire-keys", ""),
        ("GET", "/.well-known/ohttp-gateway", ""),
    ] {
        seen.refuse(&gate, &plain(method, target, body.as_bytes()), 401, Operation::Verify, "Rejected");
    }
    // Without a verifier nobody gets in.
    let shut = Gate::gateway(origin().unwrap());
    seen.refuse(&shut, &put(b"x"), 401, Operation::Verify, "Rejected");
    seen.refuse(&shut, &plain("GET", KEYS_PATH, b""), 401, Operation::Verify, "Rejected");
}

#[test]
fn keys_are_published_and_made_once() {
    let (identity, next) = (person(), person().recipient().pin());
    let pins = ServicePins::new([identity.recipient().pin()]);
    let gate = Gate::exchanges(exchanges(), identity).verify(known_devices());
    let get = |gate: &Gate, path: &str, now: u64| {
        let Ok(Entering::Answer(answer)) = gate.enter("GET", path, &[], false, now) else { panic!("{path}") };
        assert_eq!(answer.head.status, 200);
        answer
    };
    let first = get(&gate, KEYS_PATH, NOW);
    assert_eq!(field(&first, "content-type"), Some("application/vnd.sealwire-keys"));
    let seen = LastSeen::in_store(MemoryStore::default());
    let verify = |answer: &Answer, now| {
        TrustedKeys::verify(&answer.body, &origin().unwrap(), &pins, &seen, now)
            .unwrap()
            .config(now)
            .unwrap()
            .id()
    };
    assert_eq!(verify(&first, NOW), key(&gate).id());
    let minute = NOW - NOW % 60;
    let same = get(&gate, KEYS_PATH, minute);
    assert_eq!(same.body, get(&gate, KEYS_PATH, minute + 59).body);
    assert_ne!(same.body, get(&gate, KEYS_PATH, minute + 60).body);
    // Other keys, or other pins, are published at once.
    gate.service().unwrap().change_keys(|keys| keys.rotate(NOW - 3600)).unwrap();
    let rotated = get(&gate, KEYS_PATH, NOW);
    assert_eq!(verify(&rotated, NOW), key(&gate).id());
    assert_ne!(rotated.body, first.body);
    assert_eq!(
        get(&gate, "/.well-known/ohttp-gateway", NOW).body,
        gate.service().unwrap().with_keys(|keys| keys.ohttp_keys(NOW))
    );
    let named = gate.clone().next_pins(&[next]);
    assert_ne!(get(&named, KEYS_PATH, NOW).body, rotated.body);
    assert_eq!(get(&gate, KEYS_PATH, NOW).body, rotated.body);
    // None when all keys are gone: said as it is, in clear.
    let refusal = gate.enter("GET", KEYS_PATH, &[], false, NOW + 8 * 24 * 3600).err().unwrap();
    assert_eq!(refusal.error(), Error::Expired);
}

#[test]
fn browsers_are_asked_in() {
    let gate = strict().allow_origins(&["https://app.example"]);
    let ask = |gate: &Gate, origin: &[u8]| {
        let fields = [("Origin", origin), ("Access-Control-Request-Method", b"POST")];
        let Ok(Entering::Answer(answer)) = gate.enter("OPTIONS", "/a", &fields, false, NOW) else { panic!() };
        assert_eq!((answer.head.status, answer.body.len()), (204, 0));
        answer
    };
    let ours = ask(&gate, b"https://app.example");
    assert_eq!(field(&ours, "access-control-allow-methods"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"));
    assert!(ask(&gate, b"https://evil.example").head.headers.is_empty());
    assert!(ask(&strict(), b"https://app.example").head.headers.is_empty());
    let fields = |gate: &Gate, origin: &[u8]| {
        gate.page_fields(Some(origin))
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        fields(&gate, b"https://app.example"),
        [
            "vary: origin",
            "access-control-allow-origin: https://app.example",
            "access-control-expose-headers: content-type, sealwire-status"
        ]
    );
    assert_eq!(fields(&gate, b"null"), ["vary: origin"]);
    assert!(fields(&strict(), b"https://app.example").is_empty());
    // No preflight: a request like others.
    assert!(gate.enter("OPTIONS", "/a", &[("origin", b"https://app.example")], false, NOW).is_err());
}

#[test]
fn what_is_too_much_or_too_little() {
    let (gate, mut seen) = (Gate::exchanges(exchanges().max_body(1000), person()), Seen::default());
    let large = sealed(&gate, "POST", "/a", &[0; 1001]).0;
    seen.refuse(&gate, &large, 413, Operation::Open, "TooLarge");
    let endless = sealed(&gate, "POST", "/a", &[0; 700_000]).0;
    seen.refuse(&gate, &endless, 413, Operation::Open, "TooLarge");
    let fields = ["x".repeat(MAX_HEADERS / 2), "y".repeat(MAX_HEADERS / 2)];
    let fields: Vec<_> = fields.iter().map(|value| ("x", value.as_bytes())).collect();
    let refusal = gate.enter("GET", "/a", &fields, false, NOW).err().unwrap();
    assert_eq!(refusal.answer().head.status, 413);
    let whole = sealed(&gate, "POST", "/a", b"hello").0;
    for (left, code) in
        [(1, "Truncated"), (38, "Truncated"), (60, "Rejected"), (whole.body.len() - 1, "Rejected")]
    {
        let mut cut = whole.clone();
        cut.body.truncate(left);
        seen.refuse(&gate, &cut, 400, Operation::Open, code);
    }
    seen.pass(&gate, &whole).unwrap();
    // What the driver has against a body is answered like what the gate has.
    let Entering::Body(arriving) = whole.enter(&gate, NOW).unwrap() else { panic!() };
    let refusal = arriving.refuse(Error::Network(&"a body was too slow"));
    assert_eq!((refusal.operation(), refusal.answer().head.status), (Operation::Open, 400));
}

#[test]
fn after_admission_every_answer_is_sealed() {
    let gate = open().enforce_idempotency_keys();
    let pay = |key: &str, carriage: &Carriage| {
        let mut head = request("POST", "/pay").unwrap();
        head.headers.add("idempotency-key", key).unwrap();
        seal_as(&gate, head, b"1", carriage, None)
    };
    let told = |refusal: Refusal, opener: ResponseOpener, code: &str| {
        assert_eq!((refusal.operation(), refusal.error().code()), (Operation::Open, code));
        assert!(refusal.key_id().is_some());
        let answer = refusal.answer();
        assert_eq!((answer.head.status, field(&answer, "content-type")), (200, Some("message/ohttp-res")));
        let (head, body) = opener.open(&answer.head, &answer.body).unwrap();
        assert!(body.is_empty());
        head.status
    };
    let mut seen = Seen::default();
    seen.pass(&gate, &pay("1", &in_place()).0).unwrap();
    seen.pass(&gate, &pay("2", &in_place()).0).unwrap();
    let (wire, opener) = pay("1", &Carriage::InPlace(InPlace::new()));
    assert_eq!(told(seen.pass(&gate, &wire).err().unwrap(), opener, "Replayed"), 409);

    // The cache is out of reach after it has let the exchange in.
    let (wire, opener) = pay("3", &in_place());
    let Entering::Body(mut arriving) = wire.enter(&gate, NOW).unwrap() else { panic!() };
    let Progress::More(more) = arriving.push(&wire.body, NOW).unwrap() else { panic!() };
    arriving = more;
    let Check::Remember(exchange) = arriving.finish(NOW).unwrap().check(NOW).unwrap() else { panic!() };
    assert_eq!((exchange.made, exchange.until), (NOW, NOW + 600));
    let Check::Remember(key) = exchange.inserted(Ok(true), NOW).unwrap() else { panic!() };
    assert_eq!((key.made, key.until), (NOW, NOW + 300 + 360));
    let refusal = key.inserted(Err(Error::Store(std::io::ErrorKind::TimedOut)), NOW).err().unwrap();
    assert_eq!(told(refusal, opener, "Store"), 503);

    // What the driver cannot hand on.
    let (wire, opener) = sealed(&gate, "POST", "/a", b"hello");
    let admitted = seen.pass(&gate, &wire).unwrap();
    assert_eq!(told(admitted.refuse(Error::Malformed(&"no request")), opener, "Malformed"), 400);
}

/// Two processes with the same keys, in the minute in which another one is published.
#[test]
fn processes_agree_on_what_is_published() {
    let store = MemoryStore::default();
    let begin = NOW - NOW % 60;
    let mut keys = ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, DAY, begin).unwrap();
    keys.rotate(begin + 30).unwrap();
    keys.save(&store, "service", begin + 30).unwrap();
    let identity = person();
    let process = || {
        let keys = ServiceKeys::load(&store, "service", begin + 30).unwrap().unwrap();
        Gate::exchanges(ExchangeService::new(origin().unwrap(), keys), copy(&identity))
    };
    let (one, two) = (process(), process());
    let published = begin + 30 + KEY_ROLLOUT;
    let (seen, pins) =
        (LastSeen::in_store(MemoryStore::default()), ServicePins::new([identity.recipient().pin()]));
    let id = |gate: &Gate, now: u64| {
        let Ok(Entering::Answer(answer)) = gate.enter("GET", KEYS_PATH, &[], false, now) else { panic!() };
        let keys = TrustedKeys::verify(&answer.body, &origin().unwrap(), &pins, &seen, now).unwrap();
        keys.config(now).unwrap().id()
    };
    let first = id(&one, published - 1);
    assert_eq!([id(&two, published + 1), id(&one, published + 2)], [first, first]);
    let next = id(&two, published + 30);
    assert_eq!((next, id(&one, published + 31)), (first.wrapping_add(1), next));

    // A first key is published at once, in the middle of a minute too.
    let keys = ServiceKeys::generate_with(Kem::X25519, Aead::ChaCha20Poly1305, DAY, published + 90).unwrap();
    one.service().unwrap().change_keys(|own| *own = keys);
    let own = LastSeen::in_store(MemoryStore::default());
    let Ok(Entering::Answer(answer)) = one.enter("GET", KEYS_PATH, &[], false, published + 90) else {
        panic!()
    };
    let keys = TrustedKeys::verify(&answer.body, &origin().unwrap(), &pins, &own, published + 90).unwrap();
    assert!(keys.config(published + 90).is_ok());
}
