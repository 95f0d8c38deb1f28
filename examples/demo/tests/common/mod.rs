//! What the tests of the demo share.
#![allow(clippy::indexing_slicing, dead_code)] // Each test uses a part of it; JSON of another shape fails it.

use serde_json::Value;
use std::error::Error;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// What the hostile server and CDN do, and the code with which each must end.
const ACTS: [(&str, &str); 38] = [
    ("flips a bit in the text of Alice's note", "Rejected"),
    ("flips a bit in Bob's slot", "NotRecipient"),
    ("flips a bit in Alice's slot, not in Bob's", "NotRecipient"),
    ("raises the version number in the metadata", "NotRecipient"),
    ("swaps two of Alice's notes to Bob", "Rejected"),
    ("swaps them in a list of all notes", "Rejected"),
    ("writes Bob a note of its own, unsigned", "Rejected"),
    ("writes Bob a note that Mallory signed", "Rejected"),
    ("drops Alice's slot from the header", "NotRecipient"),
    ("adds a slot for Mallory, made for another note", "NotRecipient"),
    ("gives Carol her old header with the new text", "Rejected"),
    ("serves version 1 of the note, after version 2", "Rejected"),
    ("answers with an error page, and status 200", "Malformed"),
    ("has Bob share note 17 when he shares note 18", "Rejected"),
    ("cuts the attachment off at a chunk boundary", "Truncated"),
    ("takes one chunk out of its middle", "Rejected"),
    ("hands out its own public keys as Bob's", "InvalidKey"),
    ("answers with a note in plain text", "Unsealed"),
    ("sends Bob to another host for it", "Unsealed"),
    ("sends a sealed question to another host", "Unsealed"),
    ("answers Alice's question in plain text", "Unsealed"),
    ("answers with an error page of its own", "Unsealed"),
    ("flips a bit in the sealed answer", "Rejected"),
    ("answers with the answer to another question", "Rejected"),
    ("cuts the stream of events off", "Truncated"),
    ("serves a key of its own as the service's", "Rejected"),
    ("serves the service's keys of before", "Rejected"),
    ("lets an order through, then denies the key", "InvalidKey"),
    ("takes the signature off Alice's note", "Rejected"),
    ("flips a bit in the note on its way in", "Rejected"),
    ("changes the query of Bob's request", "Rejected"),
    ("sends Alice's note a second time", "Replayed"),
    ("sends a sealed, unsigned request again", "Replayed"),
    ("signs Alice's sealed question as Mallory", "Rejected"),
    ("asks in Alice's place, in plain text", "Unsealed"),
    ("flips a bit in a sealed request, and signs it", "Rejected"),
    ("moves a sealed request to another path", "Rejected"),
    ("takes a request out of the tunnel", "Rejected"),
];
/// What comes in addition where there are two servers.
const ACTS_OF_TWO: [(&str, &str); 2] = [
    ("sends Alice's note to the second server, too", "Replayed"),
    ("sends a sealed request to it, too", "Replayed"),
];

pub(crate) fn acts(servers: u64) -> Vec<(&'static str, &'static str)> {
    let more = if servers > 1 { ACTS_OF_TWO.as_slice() } else { &[] };
    [ACTS.as_slice(), more].concat()
}

/// Parts of what the people in the demo write, ask, are told and are known by.
const CANARIES: [&str; 8] = [
    "under the third stone",
    "4-8-15-16-23",
    "firewood and coffee",
    "the birthday cake",
    "the-way-to-the-cabin",
    "packing-for-the-cabin",
    "eighteen logs",
    "alices-session-token",
];

/// The canaries that stand in `bytes`, as they are or in hex.
pub(crate) fn canaries_in(bytes: &[u8]) -> Vec<&'static str> {
    let found = |canary: &&str| {
        let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
        [canary.as_bytes(), hex.as_bytes()].iter().any(|form| memchr::memmem::find(bytes, form).is_some())
    };
    CANARIES.into_iter().filter(found).collect()
}

/// Runs the demo, which has to succeed, and gives what it printed.
pub(crate) fn demo(arguments: &[&str]) -> Outcome<String> {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut stdout = demo.stdout.take().ok_or("no stdout")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + Duration::from_secs(150);
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
    if status.success() { Ok(text) } else { Err(format!("exit {status}:\n{text}").into()) }
}

/// What has to stand in the JSON document.
pub(crate) fn check_report(report: &Value, store: &str, servers: u64) -> Outcome {
    assert_eq!(report["ok"], true, "{report:#}");
    assert_eq!(report["error"], Value::Null);
    assert_eq!(report["store"], store);
    assert_eq!(report["replay_cache"], if servers > 1 { "redis" } else { "memory" });
    assert_eq!(report["servers"], servers);

    let told = report["acts"].as_array().ok_or("no acts")?;
    let found: Vec<_> = told.iter().map(|act| (act["did"].as_str(), act["code"].as_str())).collect();
    let expected: Vec<_> = acts(servers).into_iter().map(|(did, code)| (Some(did), Some(code))).collect();
    assert_eq!(found, expected);
    assert!(told.iter().all(|act| act["held"] == true && act["code"] == act["expected"]), "{told:#?}");
    let at = |side: &str| told.iter().filter(|act| act["at"] == side).count();
    assert_eq!((at("client"), at("server") as u64), (28, 10 + 2 * (servers - 1)));

    let canaries = &report["canaries"];
    assert_eq!(canaries["searched_for"], 11);
    for place in ["in_database", "in_access_log", "on_the_wire"] {
        assert_eq!(canaries[place], 0, "{canaries:#}");
    }
    assert!(canaries["wire_bytes"].as_u64() > Some(20_000_000), "both pictures, there and back");

    let reads = report["reads"].as_array().ok_or("no reads")?;
    let read = |who: &str, path: &str| {
        let is = |read: &&Value| read["who"] == who && read["path"] == path;
        reads.iter().rfind(is).ok_or(format!("{who} does not read {path}"))
    };
    let bobs = read("bob", "attachments/17")?;
    assert_eq!((&bobs["bytes"], &bobs["signed_by"]), (&5_222_454.into(), &"alice".into()));
    assert!(bobs["row_body"].as_u64() > Some(5_222_454));
    assert_eq!(read("bob", "notes/17")?["refused"], Value::Null);
    assert_eq!(read("carol", "notes/17")?["refused"], "NotRecipient");
    assert_eq!(read("carol", "attachments/17")?["refused"], "NotRecipient");

    let events = report["events"].as_array().ok_or("no events")?;
    let after = events.iter().map(|event| event["after_ms"].as_u64()).collect::<Option<Vec<_>>>();
    let after = after.ok_or("events without a time")?;
    assert_eq!(after.len(), 5);
    assert!(after.is_sorted() && after[4] - after[0] >= 300, "events that arrive one by one: {after:?}");
    let log = report["access_log"].as_array().ok_or("no log")?;
    assert!(
        log.iter().any(|line| line.as_str().is_some_and(|line| line.starts_with("POST /assistant/ask 200 ")))
    );
    assert!(log.iter().all(|line| line.as_str().is_some_and(|line| !line.contains("about="))));
    assert!(report["let_in"].as_u64() > Some(50) && report["seconds"].as_f64() > Some(0.5));
    Ok(())
}
