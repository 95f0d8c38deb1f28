//! A file that need not fit in memory: sealed and opened as a stream, and read in the middle without the rest.
//!
//! `cargo run --example large_file`
#![allow(clippy::print_stdout)] // An example shows what happens.

use sealwire::{
    AtomicFile, Expect, Identity, OpenReader, Opener, SealContext, SealWriter, Sealer, SeekReader, SignedBy,
};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

const LINE: usize = 64;
const SIZE: u64 = 64 * 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let (alice, bob) = (Identity::generate()?, Identity::generate()?);
    let context = SealContext::new("backups").field("2026-11");
    make_log(&at("log.txt"))?;

    // Sealing: copy the file into a writer. It needs about 2 MiB of memory, whatever the size. Do not forget `finish`.
    let sealer = Sealer::new(&context).to(bob.recipient()).sign(&alice).filename("log.txt");
    let mut sealed = SealWriter::new(AtomicFile::create(&at("log.sealed"))?, &sealer)?;
    io::copy(&mut File::open(at("log.txt"))?, &mut sealed)?;
    sealed.finish()?.commit()?;
    println!("sealed {SIZE} bytes into {}", at("log.sealed").metadata()?.len());

    // Opening: what comes out is authentic piece by piece, but only the end says that nothing is missing and who
    // signed. So write it to a file that appears once all is verified.
    let opener = Opener::new(&bob, &context).expect(Expect::OneOf(vec![alice.signer()]));
    let mut reader = OpenReader::new(File::open(at("log.sealed"))?, &opener)?;
    let mut restored = AtomicFile::create(&at("restored.txt"))?;
    let copied = io::copy(&mut reader, &mut restored)?;
    let finished = reader.finish()?;
    assert_eq!(finished.signer, SignedBy::Verified(alice.signer()));
    restored.commit()?;
    assert_eq!(copied, SIZE);
    println!("restored {copied} bytes of {:?}, signed by Alice", finished.about.filename.unwrap_or_default());

    // Random access: a range costs the chunks (16 KiB) that it touches. Good for video, archives and HTTP ranges.
    let mut anywhere = SeekReader::new(File::open(at("log.sealed"))?, &opener)?;
    anywhere.seek(SeekFrom::Start(SIZE / 2))?;
    let mut line = [0; LINE];
    anywhere.read_exact(&mut line)?;
    let line = String::from_utf8_lossy(&line);
    println!("in the middle it says: {}", line.trim_end());
    assert!(line.starts_with("line 524288 "));
    Ok(())
}

/// Lines of 64 bytes with their number in front.
fn make_log(path: &std::path::Path) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create(path)?);
    for number in 0..SIZE / LINE as u64 {
        writeln!(file, "{:<63}", format!("line {number} of a long log"))?;
    }
    file.flush()
}
