//! Something for whoever knows a passphrase: a backup, or a key store on the disk.
//!
//! `cargo run --example passphrase`
#![allow(clippy::print_stdout)] // An example shows what happens.

use sealwire::{FileStore, Identity, Passphrase, Recipients, SealContext, Sealer, open};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = SealContext::new("backups").field("phone");
    let passphrase = Passphrase::new("correct horse battery staple")?;

    // A passphrase is one more kind of reader; it can stand beside people.
    let alice = Identity::generate()?;
    let readers = Recipients::new().recipient(alice.recipient()).passphrase(&passphrase);
    let backup = Sealer::new(&context).to(readers).seal(b"contacts, photos, notes")?;

    // Trying one passphrase takes 64 MiB of memory and a noticeable time, on purpose: whoever steals the backup has to
    // pay that for each guess. A short passphrase is guessed all the same.
    let began = Instant::now();
    let restored = open(&backup, &Passphrase::new("correct horse battery staple")?, &context)?;
    println!("restored with the passphrase in {} ms", began.elapsed().as_millis());
    assert_eq!(restored.plaintext, b"contacts, photos, notes");
    assert_eq!(open(&backup, &alice, &context)?.plaintext, restored.plaintext);

    let wrong = open(&backup, &Passphrase::new("correct horse battery stable")?, &context);
    let code = wrong.err().map_or("opened", |error| error.code());
    println!("a wrong passphrase is {code}, like any other key that does not fit");
    assert_eq!(code, "NotRecipient");

    // The same protects a key store: one sealed file per identity. It survives the process.
    let folder = tempfile::tempdir()?;
    let store = FileStore::with_passphrase(folder.path(), passphrase);
    alice.save(&store, "alice")?;
    let loaded = Identity::load(&store, "alice")?.ok_or("nothing was stored")?;
    assert_eq!(loaded.recipient().fingerprint(), alice.recipient().fingerprint());
    println!("and Alice's identity came back from {}", folder.path().join("alice.sealed").display());
    Ok(())
}
