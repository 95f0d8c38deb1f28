//! Secrets stay where they are: nothing prints them, nothing copies them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use sealwire::{
    Candidate, ContentKey, Error, FileStore, Header, Identity, Kem, Keyring, Opener, Passphrase, SealContext,
    Sealer, SecretBytes, StretchedPassphrase, SymmetricKey, open, seal,
};
use sealwire_tests::people::{ALICE, note};

/// Compiles only while no type below implements the trait: with it, the call is ambiguous.
macro_rules! assert_not {
    ($trait:path: $($secret:ty),+) => {
        const _: () = {
            trait Ambiguous<A> { fn probe() {} }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Implements;
            impl<T: ?Sized + $trait> Ambiguous<Implements> for T {}
            $(let _ = <$secret as Ambiguous<_>>::probe;)+
        };
    };
}

assert_not!(Clone: Identity, SymmetricKey, Passphrase, StretchedPassphrase, SecretBytes, ContentKey, Candidate, Keyring, FileStore);
assert_not!(std::fmt::Display: Identity, SymmetricKey, Passphrase, StretchedPassphrase, SecretBytes, ContentKey, Candidate);
assert_not!(serde::Serialize: Identity, SymmetricKey, Passphrase, StretchedPassphrase, SecretBytes, ContentKey, Candidate);
assert_not!(PartialEq: Identity, SymmetricKey, Passphrase, StretchedPassphrase, SecretBytes, ContentKey, Candidate);
assert_not!(std::ops::Deref: Identity, SymmetricKey, Passphrase, StretchedPassphrase, SecretBytes, ContentKey, Candidate);

#[test]
fn debug_prints_the_name_only() {
    let context = note("1");
    let envelope = seal(b"secret text", ALICE.recipient(), &context).unwrap();
    let content_key = Header::parse(&envelope).unwrap().unlock(&*ALICE).unwrap();
    assert_eq!(format!("{:?}", *ALICE), "Identity");
    assert_eq!(format!("{:?}", SymmetricKey::from_bytes(&[1; 32])), "SymmetricKey");
    assert_eq!(format!("{:?}", Passphrase::new("hunter2").unwrap()), "Passphrase");
    let stretched = Passphrase::new("x").unwrap().costs(8, 1, 1).unwrap().stretch().unwrap();
    assert_eq!(format!("{stretched:?}"), "StretchedPassphrase");
    assert_eq!(format!("{:?}", SecretBytes::new(b"hunter2".to_vec())), "SecretBytes");
    assert_eq!(format!("{content_key:?}"), "ContentKey");
    assert_eq!(format!("{:?}", Candidate::from_bytes(&[1; 32])), "Candidate");
    let opened = format!("{:?}", open(&envelope, &*ALICE, &context).unwrap());
    assert_eq!(opened, "Opened { signer: Unsigned, .. }");

    let sealer = Sealer::new(&context).to(ALICE.recipient()).metadata("version", 3_u64).created(17);
    let envelope = sealer.filename("divorce.pdf").content_type("application/pdf").seal(b"x").unwrap();
    let finished = Opener::new(&*ALICE, &context).open_into(&envelope, &mut Vec::new()).unwrap();
    assert_eq!(
        format!("{finished:?}"),
        "Finished { signer: Unsigned, about: About { metadata: Metadata({\"version\": Number(3)}), .. } }"
    );
}

#[test]
fn public_values_print_public_text() {
    let recipient = ALICE.recipient();
    assert_eq!(format!("{recipient:?}"), format!("Recipient({})", recipient.fingerprint()));
    assert_eq!(recipient.fingerprint().to_string().len(), 39);
    assert_eq!(recipient.to_string().len(), 2118);
    assert_eq!(Identity::generate_with(Kem::X25519).unwrap().recipient().to_string().len(), 223);
    assert_eq!(recipient.pin().to_string().len(), 71);
    assert_eq!(ALICE.reveal().reveal().len(), 130);
}

/// Codes are an interface: in this order they stand in SPEC §15, and every language repeats them.
#[test]
fn codes_are_those_of_the_spec() {
    let ours: Vec<&str> = [
        Error::Malformed(&""),
        Error::Unsupported(&""),
        Error::InvalidKey(&""),
        Error::NotRecipient,
        Error::Rejected,
        Error::Truncated,
        Error::TooLarge(&""),
        Error::Misuse(&""),
        Error::Replayed,
        Error::Expired,
        Error::Unsealed { status: 400 },
        Error::Network(&""),
        Error::Store(std::io::ErrorKind::Other),
    ]
    .iter()
    .map(Error::code)
    .collect();
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../SPEC.md")).unwrap();
    let section = spec.split("## 15 Errors").nth(1).and_then(|rest| rest.split("## 16").next()).unwrap();
    let listed: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(ours, listed);
}

#[test]
fn errors_survive_std_io() {
    for error in [Error::Rejected, Error::Truncated, Error::Misuse(&"x"), Error::TooLarge(&"y")] {
        assert_eq!(Error::from(std::io::Error::from(error)), error);
    }
    let plain = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(Error::from(plain), Error::Store(std::io::ErrorKind::PermissionDenied));
}

/// An error says nothing of what was put in.
#[test]
fn errors_carry_no_input() {
    let identity = ALICE.reveal();
    let broken = format!("{}qq", identity.reveal_text().unwrap());
    let context = SealContext::new(&"very private context ".repeat(20));
    for error in [
        Identity::parse(&broken).unwrap_err(),
        seal(b"x", ALICE.recipient(), &context).unwrap_err(),
        open(b"sealwire, not quite", &*ALICE, &note("1")).unwrap_err(),
    ] {
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains("private") && !text.contains("identity1") && !text.contains("quite"),
            "{text}"
        );
    }
}
