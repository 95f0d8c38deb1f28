//! The shell lines of the documents run as they stand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Lines that cannot run inside a test, since they run the tests.
const LEFT_OUT: [&str; 1] = ["tests/run"];

/// The content of every ```sh block, in order.
fn shell_blocks(document: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(document).unwrap();
    let mut blocks = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (block, later) = after.split_once("```").unwrap();
        blocks.push(block.to_owned());
        rest = later;
    }
    blocks
}

/// Runs all lines of a document in one folder with `sealwire` on the PATH; `cargo` lines run in the checkout.
fn run(document: &str) {
    let folder = tempfile::tempdir().unwrap();
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "sealwire-cli"])
        .current_dir(root())
        .status();
    assert!(build.unwrap().success());
    let target = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_path_buf();
    let path = format!("{}:{}", target.display(), std::env::var("PATH").unwrap());
    let blocks = shell_blocks(&root().join(document));
    assert!(!blocks.is_empty(), "{document} has no shell block");
    for block in blocks {
        let block: Vec<&str> = block.lines().filter(|line| !LEFT_OUT.contains(line)).collect();
        let in_checkout = block.iter().any(|line| line.starts_with("cargo run"));
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block.join("\n")])
            .current_dir(if in_checkout { root() } else { folder.path().to_path_buf() })
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{document}: {block:?}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn readme() {
    run("README.md");
}

#[test]
fn readme_of_the_command_line() {
    run("bindings/cli/README.md");
}
