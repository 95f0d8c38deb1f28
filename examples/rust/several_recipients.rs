//! One signed message to several people, one of them unnamed.
//!
//! `cargo run --example several_recipients`
#![allow(clippy::print_stdout)] // An example shows what happens.

use sealwire::{
    Addressed, Expect, Header, Identity, Opener, Recipients, SealContext, Sealer, SignedBy, seal,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (alice, bob, carol) = (Identity::generate()?, Identity::generate()?, Identity::generate()?);
    let context = SealContext::new("minutes").field("2026-11-04");

    // Whoever knows Bob's public keys can tell that he is a reader. Of Carol nobody can tell, not even Bob;
    // and everybody sees that there are two.
    let readers = Recipients::new().recipient(bob.recipient()).anonymous(carol.recipient());
    let envelope = Sealer::new(&context).to(readers).sign(&alice).seal(b"We buy the house.")?;
    let slots = Header::parse(&envelope)?.unverified_slots().count();
    println!("one envelope of {} bytes, with {slots} slots; the payload is in it once", envelope.len());

    // Everybody opens it with their own keys, and says who may have written it: only Alice.
    let only_alice = Expect::OneOf(vec![alice.signer()]);
    for (name, reader) in [("Bob", &bob), ("Carol", &carol)] {
        let opened = Opener::new(reader, &context).expect(only_alice.clone()).open(&envelope)?;
        let listed = match opened.about.addressed_to_me {
            Addressed::Yes => "and sees that it is addressed to them",
            _ => "and is not on the list that the readers see",
        };
        println!("{name} reads \"{}\" by Alice, {listed}", String::from_utf8_lossy(&opened.plaintext));
        assert_eq!(opened.signer, SignedBy::Verified(alice.signer()));
    }

    // Bob's public keys are public, so anybody can write to him: a server too. `expect` is what keeps that out.
    let forged = seal(b"We do not buy the house.", bob.recipient(), &context)?;
    let lax = Opener::new(&bob, &context).open(&forged)?;
    let strict = Opener::new(&bob, &context).expect(only_alice).open(&forged);
    println!("a forged one: without expect it opens ({:?}), with it: {}", lax.signer, code(&strict));
    assert_eq!(lax.signer, SignedBy::Unsigned);
    assert_eq!(code(&strict), "Rejected");
    Ok(())
}

fn code<T>(result: &Result<T, sealwire::Error>) -> &'static str {
    result.as_ref().err().map_or("opened", sealwire::Error::code)
}
