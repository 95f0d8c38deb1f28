//! The smallest thing: Alice seals a note to Bob, a server keeps it, Bob opens it.
//!
//! `cargo run --example seal_open`
#![allow(clippy::print_stdout)] // An example shows what happens.

use sealwire::{Identity, Recipient, SealContext, from_text, open, seal, to_text};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Bob's private keys. They stay on his device; `save` them in a `FileStore` or a keychain.
    let bob = Identity::generate()?;

    // What Bob gives away: a text that he can paste, print as a QR code or publish. Alice reads it back.
    let pasted = bob.recipient().to_string();
    let to_bob = Recipient::parse(&pasted)?;

    // What the payload is for: a namespace of your choice and the row's stable id. It is never sent. Sealing and
    // opening must agree on it, so a server cannot pass one row off as another.
    let context = SealContext::new("notes").field("17");

    let envelope = seal(b"Meet me at noon.", &[to_bob], &context)?;
    let stored = to_text(&envelope); // for JSON and the like; a BLOB column takes the bytes as they are
    println!("Bob's recipient  {}… ({} characters)", pasted.get(..40).unwrap_or_default(), pasted.len());
    println!("the server keeps {}… ({} characters)", stored.get(..40).unwrap_or_default(), stored.len());
    assert!(!envelope.windows(4).any(|bytes| bytes == b"noon"));

    let opened = open(&from_text(&stored)?, &bob, &context)?;
    println!("Bob reads        {}", String::from_utf8_lossy(&opened.plaintext));
    assert_eq!(opened.plaintext, b"Meet me at noon.");

    // Anything else is refused, and says why with a code that is the same in every language.
    let mallory = Identity::generate()?;
    let other_row = SealContext::new("notes").field("18");
    let as_mallory = open(&envelope, &mallory, &context).map_err(|error| error.code());
    let as_other_row = open(&envelope, &bob, &other_row).map_err(|error| error.code());
    println!("Mallory gets     {}", as_mallory.as_ref().err().unwrap_or(&"the note"));
    println!("as row 18 it is  {}", as_other_row.as_ref().err().unwrap_or(&"accepted"));
    assert_eq!(as_mallory, Err("NotRecipient"));
    assert_eq!(as_other_row, Err("Rejected"));
    Ok(())
}
