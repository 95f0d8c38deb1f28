//! Runs the demo as a user would, and reads what it printed.
#![allow(clippy::indexing_slicing)] // JSON of another shape fails the test.

mod common;

use common::{Outcome, acts, canaries_in, demo};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_demo_tells_its_story_and_every_hostile_act_is_refused() -> Outcome {
    let text = demo(&[])?;
    let mut rows = 0;
    for (act, code) in acts(1) {
        let line = text.lines().find(|line| line.contains(act)).ok_or(act)?;
        assert_eq!(line.split_whitespace().last(), Some(code), "{line}");
        rows += 1;
    }
    assert!(text.contains(&format!("All {rows} acts were refused")), "an act that this test does not know");
    assert!(text.contains("canary check: 11 pieces") && text.contains("none found"), "{text}");
    assert!(text.contains("Alarm code: 4-8-15-16-23."), "Bob reads the note:\n{text}");
    assert!(text.contains("GET /assistant/stream 200"), "the path of an exchange is in the log:\n{text}");
    assert!(!text.contains('\x1b'), "colours only in a terminal");
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 103).collect();
    assert_eq!(wide, [""; 0], "lines that are too wide");
    Ok(())
}

#[test]
fn its_json_says_the_same_and_what_it_leaves_behind_holds_no_secret() -> Outcome {
    let report: serde_json::Value = serde_json::from_str(&demo(&["--json", "--keep"])?)?;
    let folder = Path::new(report["folder"].as_str().ok_or("no folder")?);
    common::check_report(&report, "sqlite", 1)?;

    let log = fs::read(folder.join("access.log"))?;
    let mut held = fs::read(folder.join("notes.sqlite"))?;
    held.extend(fs::read(folder.join("notes.sqlite-wal")).unwrap_or_default());
    assert!(held.len() > 10_000_000, "both versions of the picture");
    assert_eq!(canaries_in(&held), [""; 0]);
    assert_eq!(canaries_in(&log), [""; 0]);
    let logged = |line: &str| memchr::memmem::find(&log, line.as_bytes()).is_some();
    assert!(logged("PUT /notes/17 204") && logged("GET /assistant/stream 200"), "a log that is of use");
    // The search finds what is there: the picture that Alice attached, and Bob's copy of it.
    let copy = fs::read(folder.join("bob/attachments-17"))?;
    assert_eq!(copy, fs::read(folder.join("the-way-to-the-cabin.bmp"))?);
    fs::remove_dir_all(folder)?;
    Ok(())
}

#[cfg(unix)]
#[test]
fn it_stays_up_if_it_is_told_to_until_it_is_interrupted() -> Outcome {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["--json", "--serve"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut document = String::new();
    for line in BufReader::new(demo.stdout.take().ok_or("no stdout")?).lines() {
        let line = line?;
        document += &line;
        if line == "}" {
            break;
        }
    }
    let report: serde_json::Value = serde_json::from_str(&document)?;
    let address = |name: &str| report[name].as_str().and_then(|url| url.strip_prefix("http://"));
    let (api, page) = address("origin").zip(address("page")).ok_or("no address")?;
    let ask = |address: &str, call: &str, host: &str| -> Outcome<String> {
        let mut connection = TcpStream::connect(address)?;
        write!(connection, "{call} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let (about, note) = (ask(api, "GET /", api)?, ask(api, "GET /notes/17", api)?);
    // The page is there, whether the npm package is built or not, and so is the hostile server's console: for the page alone.
    let front = ask(page, "GET /", page)?;
    let rows = ask(page, "GET /console/rows", page)?;
    let rebound = ask(page, "GET /console/rows", "rebound.example")?;
    let from_elsewhere = ask(page, "POST /console/honest", page)?;
    let at_the_api = ask(api, "GET /console/rows", api)?;
    Command::new("kill").args(["-INT", &demo.id().to_string()]).status()?;
    let status = demo.wait()?;
    assert!(about.starts_with("HTTP/1.1 200") && about.contains("stores what it cannot read"), "{about}");
    assert!(
        front.starts_with("HTTP/1.1 200") && front.contains("script-src 'self' 'wasm-unsafe-eval'"),
        "{front}"
    );
    assert!(front.contains("<!doctype html>") || front.contains("wasm/build"), "{front}");
    assert!(rows.starts_with("HTTP/1.1 200") && rows.ends_with("[]"), "nobody wrote yet: {rows}");
    for refused in [rebound, from_elsewhere] {
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    }
    assert!(at_the_api.starts_with("HTTP/1.1 401"), "no part of the API: {at_the_api}");
    assert!(note.starts_with("HTTP/1.1 401"), "unsigned is refused: {note}");
    assert!(status.success(), "{status}");
    Ok(())
}

#[test]
fn a_wrong_option_is_said() -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--store").output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a URL that begins with postgres"));
    Ok(())
}
