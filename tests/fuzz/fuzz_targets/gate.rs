#![no_main]
//! Any request, in lines: method, path, fields, and after an empty line the body. Nobody has signed or sealed it, so only what the gate lets in
//! as it is gets in.
use sealwire::Identity;
use sealwire::Kem;
use sealwire::http::{Entering, Gate, Origin, OriginPolicy, Progress, RequestVerifier};
use sealwire_fuzz::NOW;
use std::sync::LazyLock;

static GATES: LazyLock<[Gate; 3]> = LazyLock::new(|| {
    let identity = || Identity::generate_with(Kem::X25519).unwrap();
    let verifier = || RequestVerifier::new(vec![identity().signer()], OriginPolicy::default());
    let open = |gate: Gate| gate.plain("/public/{name}").unwrap().allow_origins(&["https://page.example"]);
    [
        open(Gate::exchanges(sealwire_fuzz::service(), identity())),
        open(Gate::exchanges(sealwire_fuzz::service(), identity()).verify(verifier())),
        open(Gate::gateway(Origin::parse("https://a.b").unwrap()).verify(verifier())),
    ]
});

libfuzzer_sys::fuzz_target!(|input: (u8, u8, &[u8])| {
    let (gate, piece, bytes) = input;
    let gate = &GATES[usize::from(gate) % GATES.len()];
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (front, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let front = String::from_utf8_lossy(front);
    let mut lines = front.split('\n');
    let (method, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let fields: Vec<_> = lines
        .map(|line| line.split_once(':').unwrap_or((line, "")))
        .map(|(name, value)| (name, value.trim().as_bytes()))
        .collect();
    match gate.enter(method, path, &fields, !body.is_empty(), NOW) {
        Ok(Entering::Plain) => {
            let path = path.split('?').next().unwrap_or_default();
            let name = path.strip_prefix("/public/").unwrap_or("/").to_ascii_lowercase().replace("%2e", ".");
            let climbs =
                name == "." || name == ".." || ["/", "\\", "%2f", "%5c"].iter().any(|cut| name.contains(cut));
            // A gateway has no keys of its own: who asks for those behind it gets through.
            assert!(!climbs || path == sealwire::http::KEYS_PATH, "{path}");
        }
        Ok(Entering::Answer(answer)) => assert!(answer.head.status < 300 || answer.head.status == 304),
        Err(refusal) => assert!(refusal.answer().head.status >= 400),
        Ok(Entering::Body(arriving)) => {
            let mut pieces = body.chunks(usize::from(piece).max(1));
            let arrived = pieces.try_fold(arriving, |arriving, piece| match arriving.push(piece, NOW) {
                Ok(Progress::More(more)) => Ok(more),
                Ok(Progress::Enough(_)) => panic!("let in"),
                Err(refusal) => Err(refusal),
            });
            assert!(arrived.and_then(|arriving| arriving.finish(NOW)).is_err());
        }
    }
});
