#![no_main]
//! Any fields on a request, one a line: only what was signed verifies, and what our signer makes of the rest.
use sealwire::http::{
    KeyId, Method, Origin, OriginPolicy, RequestHead, RequestSigner, RequestVerifier, SignedBody, Target,
};
use sealwire::{Identity, Kem, Signer, from_text};
use std::sync::LazyLock;

/// Who signed the worked example, which the corpus begins with.
static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let key = from_text("Kay64UG8yvCyLhqU000LxzYeUm0L_hLIl5S8kyKWbdc").unwrap();
    Signer::from_bytes(&key.try_into().unwrap()).unwrap()
});
static ALICE: LazyLock<Identity> = LazyLock::new(|| Identity::generate_with(Kem::X25519).unwrap());
const NOW: u64 = 1_700_000_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = Target::new(Origin::parse("https://api.example.com").unwrap(), "/notes/17?draft=1").unwrap();
    let mut head = RequestHead::new(Method::new("PUT").unwrap(), target);
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let _ = head.headers.add(&name, parts.next().unwrap_or_default().trim_ascii());
    }
    let keys = |id: &KeyId| [*SIGNER, ALICE.signer()].into_iter().find(|signer| signer.key_id() == *id);
    let verifier = RequestVerifier::new(keys, OriginPolicy::default());
    if let Ok(verified) = verifier.verify_head(&head, true, NOW) {
        assert!(verified.signer == *SIGNER && verified.body(b"hello").is_ok());
    }
    assert!(verifier.verify_head(&head, false, NOW).is_err());
    if RequestSigner::new(&ALICE).sign(&mut head, SignedBody::Whole(bytes), NOW).is_ok() {
        let verified = verifier.verify_head(&head, !bytes.is_empty(), NOW).unwrap();
        assert!(verified.signer == ALICE.signer() && verified.body(bytes).is_ok());
    }
});
