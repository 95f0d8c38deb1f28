//! Runs the demo as a user would, and reads what it printed.

use std::error::Error;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the hostile server does, and the code with which each must end.
const ACTS: [(&str, &str); 16] = [
    ("flips a bit in the text of Alice's note", "Rejected"),
    ("flips a bit in Bob's slot", "NotRecipient"),
    ("flips a bit in Alice's slot, not in Bob's", "NotRecipient"),
    ("raises the version number in the metadata", "NotRecipient"),
    ("swaps two of Alice's notes to Bob", "Rejected"),
    ("writes Bob a note of its own, unsigned", "Rejected"),
    ("writes Bob a note that Mallory signed", "Rejected"),
    ("drops Alice's slot from the header", "NotRecipient"),
    ("adds a slot for Mallory, made for another note", "NotRecipient"),
    ("gives Carol her old header with the new text", "Rejected"),
    ("serves version 1 of the note, after version 2", "OldVersion"),
    ("answers with an error page, and status 200", "Malformed"),
    ("has Bob share note 17 when he shares note 18", "Rejected"),
    ("cuts the attachment off at a chunk boundary", "Truncated"),
    ("takes one chunk out of its middle", "Rejected"),
    ("hands out its own public keys as Bob's", "InvalidKey"),
];

#[test]
fn the_demo_tells_its_story_and_every_hostile_act_is_refused() -> Result<(), Box<dyn Error>> {
    let mut demo =
        Command::new(env!("CARGO_BIN_EXE_demo")).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut stdout = demo.stdout.take().ok_or("no stdout")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + Duration::from_secs(90);
    let status = loop {
        match demo.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                demo.kill()?;
                return Err("the demo did not end in time".into());
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let text = reader.join().map_err(|_| "the reader failed")??;
    assert!(status.success(), "exit {status}:\n{text}");

    for (act, code) in ACTS {
        let line = text.lines().find(|line| line.contains(act)).ok_or(act)?;
        assert_eq!(line.split_whitespace().last(), Some(code), "{line}");
    }
    let table = text.lines().skip_while(|line| !line.contains("what the server did")).skip(2);
    assert_eq!(
        table.take_while(|line| !line.is_empty()).count(),
        ACTS.len(),
        "an act that this test does not know"
    );
    assert!(text.contains("All 16 acts were refused"), "{text}");
    assert!(text.contains("canary check: 6 pieces") && text.contains("none found"), "{text}");
    assert!(text.contains("Alarm code: 4-8-15-16-23."), "Bob reads the note:\n{text}");
    assert!(!text.contains('\x1b'), "colours only in a terminal");
    assert!(text.lines().all(|line| line.chars().count() <= 103), "a line is too wide:\n{text}");
    Ok(())
}
