//! Sealwire's story on real HTTP: a blind notes API, Alice, Bob, Carol, and a server that turns hostile.
//!
//! `cargo run -p demo`. Everything stays on this machine: a free port on loopback, and a temporary folder.
#![allow(clippy::print_stderr)] // The last word, if something failed.

mod hostile;
mod client;
mod disk;
mod server;
mod show;

use client::{Item, Person};
use disk::{Disk, Row, forms, hex, holds};
use hostile::Stage;
use sealwire::{Addressed, Header, SignedBy, SlotKind, to_text};
use show::{bold, count, dim, good};
use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const NOTE: Item = Item { kind: "notes", id: "17" };
const OTHER_NOTE: Item = Item { kind: "notes", id: "18" };
const ATTACHMENT: Item = Item { kind: "attachments", id: "17" };

const TEXT: &str = "Dear Bob,\n\nthe cabin is ours from Friday.\nKey: under the third stone.\nAlarm code: 4-8-15-16-23.\n\nAlice";
const OTHER_TEXT: &str = "Bob, please bring firewood and coffee.";
/// Parts of what nobody but the readers may ever find.
const CANARIES: [&str; 5] =
    ["under the third stone", "4-8-15-16-23", "firewood and coffee", "the-way-to-the-cabin", "image/bmp"];

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    match tokio::time::timeout(Duration::from_secs(60), story()).await {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => eprintln!("\nThe demo failed: {error}"),
        Err(_) => eprintln!("\nThe demo failed: it did not end within 60 seconds"),
    }
    ExitCode::FAILURE
}

async fn story() -> Outcome<()> {
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("notes.sqlite");
    let server = server::start(&database).await?;
    let disk = Disk::open(&database)?;
    let person = |name| Person::new(name, folder.path(), server.address);

    show::title("Sealwire: a notes API that stores what it cannot read");
    show::line(format!("server   http://{}, with no key and no line of Sealwire in it", server.address));
    show::line(format!("database {} (removed at the end)", database.display()));
    show::line(dim(
        "Each person is a client with a key store of its own. The calls are real HTTP, here without TLS:",
    ));
    show::line(dim("what follows holds even for a server, or a proxy, that sees every byte."));

    show::heading("1  Three people meet");
    let (mut alice, mut bob, mut carol) = (person("alice")?, person("bob")?, person("carol")?);
    let mallory = person("mallory")?;
    for one in [&alice, &bob, &carol] {
        one.publish().await?;
        let keys = count(one.identity().recipient().to_string().len());
        let call = format!("PUT /people/{}", one.name);
        show::call(
            one.name,
            &call,
            format!("{keys} characters; {}", one.identity().recipient().fingerprint()),
        );
    }
    alice.meet(&bob).await?;
    bob.meet(&alice).await?;
    bob.meet(&carol).await?;
    carol.meet(&alice).await?;
    show::lines(&[
        "They fetched each other's keys from the server, and checked them against the pin (71 characters,",
        "a QR code) that they had shown each other in person. So the server cannot slip in its own.",
    ]);

    show::heading("2  Alice writes to Bob: a signed note, and a picture of 5 MB");
    let picture = folder.path().join("the-way-to-the-cabin.bmp");
    fs::write(&picture, landscape())?;
    let sent = alice.write(NOTE, TEXT, &["bob"]).await?;
    show::call("alice", "PUT /notes/17", format!("{} bytes, for Bob and herself", count(sent)));
    let sent = alice.attach(ATTACHMENT, &picture, &["bob"]).await?;
    show::call("alice", "PUT /attachments/17", format!("{} bytes, sealed 1 MiB at a time", count(sent)));
    alice.write(OTHER_NOTE, OTHER_TEXT, &["bob"]).await?;
    show::call("alice", "PUT /notes/18", "another one, which will matter later");
    bob_reads(&bob, &disk).await?;
    what_the_server_sees(&disk)?;

    show::heading("3  Bob lets Carol read it too: rewrap");
    for item in [NOTE, ATTACHMENT] {
        let moved = bob.share(item, "alice", &["alice", "carol"]).await?;
        let whole = count(disk.row(&item.path())?.body.len());
        let call = format!("PUT /{}/header", item.path());
        show::call(
            "bob",
            &call,
            format!("{} bytes moved; the body of {whole} stays where it is", count(moved)),
        );
    }
    let opened = carol.read(NOTE, "alice").await?;
    check(opened.plaintext == TEXT.as_bytes(), "Carol reads what Alice wrote")?;
    check(matches!(opened.signer, SignedBy::Verified(_)), "Alice's signature survives a rewrap")?;
    check(opened.about.addressed_to_me == Addressed::No, "Carol can tell that it was passed on")?;
    show::line(
        "Carol reads it. It is still signed by Alice, and Carol can tell that it was passed on to her.",
    );

    show::heading("4  Alice takes Carol off the list: reseal, the only revocation");
    let old_note = disk.row(&NOTE.path())?;
    for item in [NOTE, ATTACHMENT] {
        let version = alice.revoke(item, &["bob"]).await?;
        show::call(
            "alice",
            &format!("PUT /{}", item.path()),
            format!("version {version}: a new key, for Bob and herself"),
        );
    }
    check(bob.read(NOTE, "alice").await?.plaintext == TEXT.as_bytes(), "Bob reads the new version")?;
    check(fs::read(bob.download(ATTACHMENT, "alice").await?.0)? == landscape(), "Bob has the picture")?;
    let refused = carol.read(NOTE, "alice").await.err().map(|failure| failure.code());
    check(refused.as_deref() == Some("NotRecipient"), "Carol is refused")?;
    show::line(format!("Bob reads version 2. Carol gets {}.", good("NotRecipient")));
    show::line(dim("What Carol has read she may have kept, and version 1 too: nothing can take that back."));

    show::heading("5  Is anything of it in the database?");
    search(&disk)?;

    show::heading("6  The server turns hostile");
    show::lines(&[
        "It alters its rows, and then somebody's app makes an ordinary call. Before each act the same call",
        "was made on the rows as they should be, and succeeded (but Carol's, who is off the list).",
    ]);
    let stage = Stage {
        disk: &disk,
        alice: &alice,
        bob: &bob,
        carol: &carol,
        mallory: &mallory,
        old_note: &old_note,
    };
    show::table_head();
    let not_refused = hostile::run(&stage).await?;
    show::blank();
    show::lines(&[
        "* Version 1 is a true note of Alice's, so Sealwire opens it. This app keeps the highest version that",
        "  it has seen, and does not go back. It cannot tell on a first read, nor that a row was left out.",
        "The codes do not say which check refused, so that nobody can probe. The middle column explains.",
    ]);
    show::blank();
    if not_refused > 0 {
        return Err(
            format!("{not_refused} acts of the hostile server were not refused as they must be").into()
        );
    }
    let acts = hostile::number_of_acts();
    show::line(good(format!("All {acts} acts were refused. {:.1} s.", began.elapsed().as_secs_f64())));
    show::line(dim(
        "Not part of this demo yet: requests and responses sealed on their way, and signed requests.",
    ));
    Ok(())
}

/// Bob opens both, side by side with the rows.
async fn bob_reads(bob: &Person, disk: &Disk) -> Outcome<()> {
    let note = bob.read(NOTE, "alice").await?;
    check(note.plaintext == TEXT.as_bytes(), "Bob reads what Alice wrote")?;
    check(note.about.addressed_to_me == Addressed::Yes, "it is addressed to Bob")?;
    let SignedBy::Verified(signer) = note.signer else { return Err("the note is not signed".into()) };
    let Row { header, body } = disk.row(&NOTE.path())?;
    let mut left: Vec<String> = TEXT.lines().map(str::to_owned).collect();
    left.extend([
        String::new(),
        format!("signed by  Alice ({}…), verified", hex(signer.as_bytes().get(..4).unwrap_or_default())),
        "addressed  to Bob".into(),
    ]);
    let mut right = vec![format!("header  {} bytes", count(header.len()))];
    right.extend(show::hex_lines(&header, 3));
    right.push(format!("body    {} bytes", count(body.len())));
    right.extend(show::hex_lines(&body, 3));
    right.push("in base64".into());
    right.push(format!("{}…", to_text(body.get(..33).unwrap_or_default())));
    show::side_by_side(("Bob reads /notes/17", &left), ("the database holds", &right));

    let (path, finished) = bob.download(ATTACHMENT, "alice").await?;
    let bytes = fs::read(path)?;
    check(bytes == landscape(), "Bob has the picture, byte for byte")?;
    check(matches!(finished.signer, SignedBy::Verified(_)), "the picture is signed")?;
    let Row { body, .. } = disk.row(&ATTACHMENT.path())?;
    let (stride, text) = (IMAGE_WIDTH * 3, |text: Option<String>| text.unwrap_or_default());
    let mut left = show::picture(bytes.get(BMP_HEADER..).unwrap_or_default(), stride);
    left.push(format!("{}, {}", text(finished.about.filename), text(finished.about.content_type)));
    left.push(format!("{} bytes, signed by Alice, verified", count(bytes.len())));
    let mut right = show::picture(body.get(BMP_HEADER..).unwrap_or_default(), stride);
    right.push("name, type, signer: encrypted in the header".into());
    right.push(format!("{} bytes, drawn in the same way", count(body.len())));
    show::side_by_side(("Bob opens /attachments/17", &left), ("the database holds", &right));
    Ok(())
}

/// What is not hidden, read from the rows without any key.
fn what_the_server_sees(disk: &Disk) -> Outcome<()> {
    show::blank();
    show::line(bold("What the server does see, without any key:"));
    for item in [NOTE, ATTACHMENT] {
        let Row { header, body } = disk.row(&item.path())?;
        let parsed = Header::parse(&header)?;
        let slots = parsed.unverified_slots().filter(|slot| matches!(slot, SlotKind::Hpke { .. })).count();
        let size = if parsed.unverified_padded() { "padded" } else { "a stream: the exact size" };
        let version = client::version(parsed.unverified_metadata());
        show::line(format!(
            "  {:<15} {slots} recipients, version {version}, {} bytes of body ({size})",
            item.path(),
            count(body.len())
        ));
    }
    show::lines(&[
        "  Who calls, when, from where and for which row. And, as it knows everybody's public keys, it can",
        "  test whose slots these are: each has a hint by which its reader finds it. (Anonymous ones do not.)",
    ]);
    Ok(())
}

/// Searches the raw database for the canaries, and proves that the search would find them.
fn search(disk: &Disk) -> Outcome<()> {
    let raw = disk.raw()?;
    let image = landscape();
    let pixels = image.get(image.len() / 2..).and_then(|rest| rest.get(..48)).ok_or("no picture")?;
    let canaries: Vec<&[u8]> = CANARIES.iter().map(|canary| canary.as_bytes()).chain([pixels]).collect();
    for canary in &canaries {
        check(!holds(&raw, canary), "no canary is in the database")?;
        for planted in forms(canary) {
            check(holds(&[&raw, planted.as_slice()].concat(), canary), "a planted canary is found")?;
        }
    }
    let clear = NOTE.path();
    check(holds(&raw, clear.as_bytes()), "what is in clear is found")?;
    show::line(format!(
        "canary check: {} pieces of text, file name, type and pixels, as they are, in hex and in base64,",
        canaries.len()
    ));
    show::line(format!(
        "searched in {} bytes of notes.sqlite and notes.sqlite-wal: {}",
        count(raw.len()),
        good("none found")
    ));
    show::line(dim(format!(
        "The same search finds \"{clear}\", which is no secret, and each piece once it is planted."
    )));
    Ok(())
}

fn check(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("this should hold: {what}").into()) }
}

const IMAGE_WIDTH: usize = 1280;
const IMAGE_HEIGHT: usize = 1360;
const BMP_HEADER: usize = 54;

/// Hills under an evening sun: an uncompressed BMP of 5 MB, top row first.
fn landscape() -> Vec<u8> {
    let (width, height) = (IMAGE_WIDTH, IMAGE_HEIGHT);
    let ridge = |x: usize, period: usize, steep: usize| (x % period).abs_diff(period / 2) * steep / 4;
    let number = |number: usize| u32::try_from(number).unwrap_or_default().to_le_bytes();
    let negative_height = i32::try_from(height).unwrap_or_default().wrapping_neg().to_le_bytes();
    let size = BMP_HEADER + width * height * 3;
    let mut bmp = Vec::with_capacity(size);
    bmp.extend([b"BM".as_slice(), &number(size), &number(0), &number(BMP_HEADER)].concat());
    bmp.extend([number(40), number(width), negative_height, [1, 0, 24, 0]].concat());
    bmp.extend([[0; 4]; 6].concat());
    for y in 0..height {
        let sky = u8::try_from(150 + y * 100 / height).unwrap_or(250);
        for x in 0..width {
            let sun = x.abs_diff(900).pow(2) + y.abs_diff(360).pow(2) < 180 * 180;
            let far = y > 620 + ridge(x, 640, 3);
            let near = y > 900 + ridge(x + 300, 1000, 2);
            let [red, green, blue] = match (near, far, sun) {
                (true, ..) => [20, 40, 25],
                (_, true, _) => [90, 110, 100],
                (.., true) => [255, 255, 230],
                _ => [sky, sky - 30, 170],
            };
            bmp.extend([blue, green, red]);
        }
    }
    bmp
}
