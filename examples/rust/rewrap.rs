//! Sharing with one more reader, why taking a name off the list is not revocation, and what is.
//!
//! `cargo run --example rewrap`
#![allow(clippy::print_stdout)] // An example shows what happens.

use sealwire::{Header, Identity, SealContext, open, reseal, rewrap, seal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (bob, carol) = (Identity::generate()?, Identity::generate()?);
    let context = SealContext::new("plans").field(7_u64);
    let envelope = seal(b"the plan", bob.recipient(), &context)?;

    // Sharing: Bob names the complete new list. The payload is not touched, however large it is; if header and body are
    // stored apart, `Opener::rewrap_header` does it with the header alone.
    let shared = rewrap(&envelope, &bob, &context, &[bob.recipient(), carol.recipient()])?;
    assert_eq!(open(&shared, &carol, &context)?.plaintext, b"the plan");
    println!("Carol reads what Bob shared with her");

    // An app on Carol's device can keep the content key: the one that all slots of this envelope lock.
    let kept = Header::parse(&shared)?.unlock(&carol)?;

    // Bob shares it anew, without Carol. Her identity finds no slot any more...
    let narrowed = rewrap(&shared, &bob, &context, bob.recipient())?;
    let with_identity = open(&narrowed, &carol, &context).err().map_or("opened", |error| error.code());
    println!("after a rewrap without her, Carol's identity gets {with_identity}");
    assert_eq!(with_identity, "NotRecipient");

    // ...but the payload is the same under the same key, so what she kept still opens it. Rewrap does NOT revoke.
    assert_eq!(open(&narrowed, &kept, &context)?.plaintext, b"the plan");
    println!("and the content key that she kept still opens it: a rewrap does not revoke");

    // Reseal seals anew: new key, new body. It counts for what the server hands out from now on; what Carol has read,
    // and copies of the old envelope, nobody can take back.
    let resealed = reseal(&narrowed, &bob, &context, bob.recipient())?;
    let with_kept = open(&resealed, &kept, &context).err().map_or("opened", |error| error.code());
    println!("after a reseal it gets {with_kept}");
    assert_eq!(with_kept, "NotRecipient");
    assert_eq!(open(&resealed, &bob, &context)?.plaintext, b"the plan");
    Ok(())
}
