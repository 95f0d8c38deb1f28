//! An upload that arrives in pieces, as from an async body: sealed piece by piece, opened piece by piece, never whole in memory.
//!
//! `cargo run --example stream`
#![allow(clippy::print_stdout)] // An example shows what happens.

use sealwire::{Error, Expect, Identity, OpenStream, Opener, SealContext, SealStream, Sealer, SignedBy};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

const PIECES: usize = 1000;
const PIECE: usize = 7001; // Pieces need not fit the chunks of the format.

fn main() -> Result<(), Error> {
    let (alice, bob) = (Identity::generate()?, Identity::generate()?);
    let context = SealContext::new("uploads").field("7");

    // The channel stands for the network. It holds 4 pieces, so neither side gets far ahead of the other.
    let (network, arrivals) = sync_channel(4);
    let sealer = Sealer::new(&context).to(bob.recipient()).sign(&alice);
    let opener = Opener::new(&bob, &context).expect(Expect::OneOf(vec![alice.signer()]));
    let received = thread::scope(|scope| {
        let sending = scope.spawn(|| send(network, &sealer));
        let received = receive(&arrivals, &opener)?;
        sending.join().unwrap_or(Err(Error::Misuse(&"the sender panicked")))?;
        Ok::<_, Error>(received)
    })?;
    println!("{received} bytes arrived in pieces, signed by Alice");
    assert_eq!(received, PIECES * PIECE);

    // Without its end an upload is refused, however much of it was authentic.
    let mut sealed = Vec::new();
    SealStream::new(&sealer)?.push(&[7; 100_000], &mut sealed)?; // no `finish`
    let mut cut = OpenStream::new(&opener);
    cut.push(&sealed, &mut Vec::new())?;
    let refused = cut.finish(&mut Vec::new()).map_err(|error| error.code());
    println!("an upload that was broken off is {}", refused.as_ref().err().unwrap_or(&"accepted"));
    assert_eq!(refused.err(), Some("Truncated"));
    Ok(())
}

/// In async code: `while let Some(piece) = body.next().await`, and `network.send(sealed).await` for each piece. A push never waits.
fn send(network: SyncSender<Vec<u8>>, sealer: &Sealer<'_>) -> Result<(), Error> {
    let gone = |_| Error::Misuse(&"the other side hung up");
    let mut stream = SealStream::new(sealer)?;
    for number in 0..PIECES {
        let mut sealed = Vec::new(); // often empty: up to 16 KiB wait for their chunk to be full
        stream.push(&piece(number), &mut sealed)?;
        network.send(sealed).map_err(gone)?;
    }
    let mut end = Vec::new();
    stream.finish(&mut end)?; // do not forget it: without it there is no end
    network.send(end).map_err(gone)
}

/// How many bytes the payload had, once all of it was verified.
fn receive(arrivals: &Receiver<Vec<u8>>, opener: &Opener<'_>) -> Result<usize, Error> {
    let mut stream = OpenStream::new(opener);
    // Provisional until `finish`: put it where it can still be thrown away, such as an `AtomicFile`.
    let mut provisional = Vec::new();
    for sealed in arrivals {
        stream.push(&sealed, &mut provisional)?;
    }
    let finished = stream.finish(&mut provisional)?;
    assert!(matches!(finished.signer, SignedBy::Verified(_)));
    assert!(provisional.chunks(PIECE).enumerate().all(|(number, found)| found == piece(number)));
    Ok(provisional.len())
}

fn piece(number: usize) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().take(PIECE).collect()
}
