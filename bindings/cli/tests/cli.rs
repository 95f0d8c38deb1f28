//! The built command line, as a shell sees it: arguments, pipes, files, exit codes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic)]

use sealwire::{FileStore, Identity, Passphrase, SealContext, SecretStore};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A folder with the identities alice (X-Wing), bob (X-Wing) and carol (X25519), in which commands run.
struct Shell {
    folder: TempDir,
}

struct Ran {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Shell {
    fn new() -> Self {
        let shell = Self { folder: TempDir::new().unwrap() };
        for (name, kem) in [("alice", "x-wing"), ("bob", "x-wing"), ("carol", "x25519")] {
            shell.ok(&["keygen", "--kem", kem, "-o", &format!("{name}.key")]);
            let recipient = shell.ok(&["recipient", "-i", &format!("{name}.key")]).stdout;
            fs::write(shell.path(&format!("{name}.pub")), recipient).unwrap();
        }
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_sealwire"))
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn pipe(&self, arguments: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self.spawn(arguments);
        let mut to_child = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // The command may end before it has read everything.
            scope.spawn(move || drop(to_child.write_all(stdin)));
            let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
            Ran { code: status.code().unwrap(), stdout, stderr: String::from_utf8(stderr).unwrap() }
        })
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.pipe(arguments, b"")
    }

    fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        ran
    }

    /// Fails with this exit code and error code.
    fn fails(&self, code: i32, name: &str, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("sealwire: "), "{}", ran.stderr);
        assert!(ran.stderr.ends_with(&format!(" [{name}]\n")), "{}", ran.stderr);
        ran
    }

    fn opens(&self, key: &str, file: &str, plaintext: &[u8]) {
        assert_eq!(self.ok(&["open", "-i", key, file]).stdout, plaintext);
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::parse_file(&self.text(name)).unwrap().pop().unwrap()
    }

    fn header_len(&self, file: &str) -> usize {
        sealwire::Header::parse(&self.bytes(file)).unwrap().len()
    }

    fn inspect(&self, file: &str) -> serde_json::Value {
        serde_json::from_slice(&self.ok(&["inspect", "--json", file]).stdout).unwrap()
    }

    fn no_temporary_files(&self) {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let stray: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
        assert!(stray.is_empty(), "{stray:?}");
    }
}

/// More than two blocks of a stream, and not a multiple of a chunk.
fn long_payload() -> Vec<u8> {
    (0..2_500_001_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[test]
fn keygen_writes_a_file_for_its_owner_and_never_overwrites() {
    let shell = Shell::new();
    let made = shell.ok(&["keygen", "-o", "new.key"]);
    let file = shell.text("new.key");
    let lines: Vec<&str> = file.lines().collect();
    let recipient = String::from_utf8(shell.ok(&["recipient", "-i", "new.key"]).stdout).unwrap();
    // The public half on stdout, so that `keygen -o alice.key > alice.pub` does both.
    assert_eq!(String::from_utf8(made.stdout).unwrap(), recipient);
    let fingerprint = shell.identity("new.key").recipient().fingerprint();
    let again = "to print this recipient again: sealwire recipient -i new.key";
    assert_eq!(made.stderr, format!("fingerprint {fingerprint}\n{again}\n"));
    assert!(lines[0].starts_with("# created: 2") && lines[0].ends_with('Z'), "{}", lines[0]);
    assert_eq!(lines[1], format!("# recipient: {}", recipient.trim()));
    assert!(lines[2].starts_with("# fingerprint: "));
    assert!(lines[3].starts_with("sealwire-identity1"));
    assert_eq!(lines.len(), 4);

    let refused = shell.fails(1, "Store", &["keygen", "-o", "new.key"]);
    let never = "sealwire: new.key exists, and keygen never overwrites: choose another name [Store]\n";
    assert_eq!(refused.stderr, never);
    assert_eq!(shell.text("new.key"), file);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(shell.path("new.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn keygen_without_a_file_prints_one() {
    let shell = Shell::new();
    let printed = shell.ok(&["keygen", "--kem", "x25519"]);
    assert!(printed.stderr.is_empty());
    shell.write("printed.key", &printed.stdout);
    assert_eq!(shell.ok(&["recipient", "-i", "printed.key"]).stdout.len(), 224);
}

#[test]
fn recipient_prints_every_form_of_identities_and_of_recipients() {
    let shell = Shell::new();
    let alice = shell.identity("alice.key");
    let recipient = alice.recipient();
    for (flag, expected) in [
        ("--pin", recipient.pin().to_string()),
        ("--fingerprint", recipient.fingerprint().to_string()),
        ("--signer", recipient.signer().to_string()),
    ] {
        let expected = format!("{expected}\n").into_bytes();
        assert_eq!(shell.ok(&["recipient", flag, "-i", "alice.key"]).stdout, expected);
        assert_eq!(shell.ok(&["recipient", flag, "alice.pub"]).stdout, expected);
        assert_eq!(shell.ok(&["recipient", flag, &recipient.to_string()]).stdout, expected);
    }
    for nobody in [&["recipient"][..], &["recipient", "--fingerprint"]] {
        let refused = shell.run(nobody);
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("--identity <KEYFILE>|RECIPIENT"), "{}", refused.stderr);
    }
    assert_eq!(shell.run(&["recipient", "--pin", "--signer", "alice.pub"]).code, 2);
}

#[test]
fn seals_and_opens_through_pipes_and_files() {
    let shell = Shell::new();
    let payload = long_payload();
    let sealed = shell.pipe(&["seal", "--to", "alice.pub"], &payload);
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    let opened = shell.pipe(&["open", "-i", "alice.key", "-"], &sealed.stdout);
    assert!(opened.stdout == payload);
    assert_eq!(opened.stderr, "unsigned: anybody who knows a recipient may have written this\n");

    shell.write("in", &payload);
    shell.ok(&["seal", "--to", shell.text("alice.pub").trim(), "-o", "out.sealed", "in"]);
    shell.ok(&["open", "-i", "alice.key", "-o", "out", "out.sealed"]);
    assert!(shell.bytes("out") == payload);
    shell.no_temporary_files();

    for length in [0, 1, 16383, 16384, 16385] {
        let sealed = shell.pipe(&["seal", "--to", "carol.pub", "-o", "-"], &payload[..length]).stdout;
        assert!(shell.pipe(&["open", "-i", "carol.key"], &sealed).stdout == payload[..length], "{length}");
    }
}

#[test]
fn seals_to_many() {
    let shell = Shell::new();
    shell.write("in", "hello");
    let team = format!("# the team\n\n{}{}", shell.text("alice.pub"), shell.text("bob.pub"));
    shell.write("team", team);
    shell.ok(&["keygen", "-o", "dora.key"]);
    shell.write("dora.pub", shell.ok(&["recipient", "-i", "dora.key"]).stdout);
    shell.ok(&["seal", "-R", "team", "--anonymous", "dora.pub", "-o", "in.sealed", "in"]);
    for key in ["alice.key", "bob.key", "dora.key"] {
        shell.opens(key, "in.sealed", b"hello");
    }
    shell.fails(5, "NotRecipient", &["open", "-i", "carol.key", "in.sealed"]);
    // Several identities, the right one last.
    let many = ["open", "-i", "carol.key", "-i", "dora.key", "in.sealed"];
    assert_eq!(shell.ok(&many).stdout, b"hello");

    let mixed = ["seal", "--to", "alice.pub", "--to", "carol.pub", "-o", "mixed.sealed", "in"];
    shell.fails(2, "Misuse", &mixed);
    assert!(!shell.path("mixed.sealed").exists());
    shell.ok(&[&mixed[..], &["--allow-classical"]].concat());
    shell.opens("carol.key", "mixed.sealed", b"hello");
    shell.fails(2, "Misuse", &["seal", "in"]);
}

#[test]
fn a_failed_open_leaves_no_file_and_keeps_an_old_one() {
    let shell = Shell::new();
    let payload = long_payload();
    shell.write("in", &payload);
    shell.ok(&["seal", "--to", "alice.pub", "-o", "good.sealed", "in"]);
    let good = shell.bytes("good.sealed");
    shell.write("cut.sealed", &good[..good.len() - 1]);
    shell.write("cut-at-a-chunk.sealed", &good[..shell.header_len("good.sealed") + 56 + 100 * 16400]);
    shell.write("cut-header.sealed", &good[..500]);
    let mut altered = good.clone();
    altered[2_000_000] ^= 1;
    shell.write("altered.sealed", altered);
    shell.write("other.sealed", "not an envelope at all");
    shell.write("old", "what was there");

    for (code, name, arguments) in [
        (5, "NotRecipient", vec!["-i", "bob.key", "good.sealed"]),
        (6, "Rejected", vec!["-i", "alice.key", "--context", "other", "good.sealed"]),
        (6, "Rejected", vec!["-i", "alice.key", "--expect", "alice.pub", "good.sealed"]),
        (6, "Rejected", vec!["-i", "alice.key", "altered.sealed"]),
        (6, "Rejected", vec!["-i", "alice.key", "cut.sealed"]),
        (7, "Truncated", vec!["-i", "alice.key", "cut-at-a-chunk.sealed"]),
        (7, "Truncated", vec!["-i", "alice.key", "cut-header.sealed"]),
        (3, "Malformed", vec!["-i", "alice.key", "other.sealed"]),
        (1, "Store", vec!["-i", "alice.key", "nowhere.sealed"]),
        (1, "Store", vec!["-i", "nobody.key", "good.sealed"]),
        (1, "Store", vec!["-i", "alice.key", "."]),
        (4, "InvalidKey", vec!["-i", "alice.pub", "good.sealed"]),
    ] {
        shell.fails(code, name, &[&["open", "-o", "new"], &arguments[..]].concat());
        assert!(!shell.path("new").exists(), "{arguments:?}");
        shell.fails(code, name, &[&["open", "-o", "old"], &arguments[..]].concat());
        assert_eq!(shell.text("old"), "what was there", "{arguments:?}");
    }
    let cut = shell.run(&["open", "-i", "alice.key", "-o", "new", "cut.sealed"]);
    assert!(cut.stderr.contains("altered or cut short"), "{}", cut.stderr);
    shell.no_temporary_files();
}

#[test]
fn a_stream_that_ends_too_early_is_said_to() {
    let shell = Shell::new();
    let payload = long_payload();
    let sealed = shell.pipe(&["seal", "--to", "carol.pub"], &payload).stdout;
    shell.write("sealed", &sealed);
    let cut = &sealed[..shell.header_len("sealed") + 56 + 140 * 16400];
    let opened = shell.pipe(&["open", "-i", "carol.key"], cut);
    assert_eq!(opened.code, 7);
    assert_eq!(
        opened.stderr,
        "sealwire: do not trust what was written so far: truncated: the input ends too early [Truncated]\n"
    );
    assert!(!opened.stdout.is_empty() && payload.starts_with(&opened.stdout));
}

#[test]
fn says_who_signed_and_insists_when_asked() {
    let shell = Shell::new();
    shell.write("in", "hello");
    shell.ok(&["seal", "--to", "alice.pub", "--sign", "bob.key", "--keep-name", "-o", "in.sealed", "in"]);
    let opened = shell.ok(&["open", "-i", "alice.key", "--expect", "bob.pub", "in.sealed"]);
    let bob = shell.identity("bob.key").signer().to_string();
    assert_eq!(opened.stderr, format!("signed by bob.pub ({}…)\nfile name \"in\"\n", &bob[..8]));
    let anybody = shell.ok(&["open", "-i", "alice.key", "in.sealed"]).stderr;
    let compare = format!("signed by {bob} (compare: sealwire recipient --signer FILE)\n");
    assert!(anybody.starts_with(&compare), "{anybody}");
    // What it prints there can be expected the next time.
    assert_eq!(shell.ok(&["recipient", "--signer", "bob.pub"]).stdout, format!("{bob}\n").as_bytes());
    let as_hex = shell.ok(&["open", "-i", "alice.key", "--expect", &bob, "in.sealed"]).stderr;
    assert!(as_hex.starts_with(&format!("signed by {bob}\n")), "{as_hex}");
    let carol = shell.identity("carol.key").signer().to_string();
    shell.fails(6, "Rejected", &["open", "-i", "alice.key", "--expect", &carol, "in.sealed"]);
    shell.fails(4, "InvalidKey", &["open", "-i", "alice.key", "--expect", &bob.to_uppercase(), "in.sealed"]);
    shell.fails(6, "Rejected", &["open", "-i", "alice.key", "--expect", "carol.pub", "in.sealed"]);
    let either = ["open", "-i", "alice.key", "--expect", "carol.pub", "--expect", "bob.pub", "in.sealed"];
    shell.ok(&either);

    // Passed on by a reader.
    shell.ok(&["rewrap", "-i", "alice.key", "--to", "carol.pub", "-o", "on.sealed", "in.sealed"]);
    let passed_on = shell.ok(&["open", "-i", "carol.key", "on.sealed"]).stderr;
    assert!(
        passed_on.contains("addressed to others by name: you are an anonymous reader, or"),
        "{passed_on}"
    );

    shell.write("two.key", shell.text("alice.key") + &shell.text("bob.key"));
    shell.fails(2, "Misuse", &["seal", "--to", "alice.pub", "--sign", "two.key", "in"]);
}

/// The signature stands at the end: what is forged must not have reached `tar x` by then.
#[test]
fn nothing_reaches_a_pipe_before_the_expected_signature_is_verified() {
    let shell = Shell::new();
    let payload = long_payload();
    let sealed = shell.pipe(&["seal", "--to", "carol.pub", "--sign", "bob.key"], &payload).stdout;
    let expecting = ["open", "-i", "carol.key", "--expect", "bob.pub"];
    let opened = shell.pipe(&expecting, &sealed);
    assert!(opened.code == 0 && opened.stdout == payload, "{}", opened.stderr);

    // Only the last chunk, which holds the signature, is wrong.
    let mut forged = sealed.clone();
    *forged.last_mut().unwrap() ^= 1;
    let refused = shell.pipe(&expecting, &forged);
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(refused.stdout.is_empty(), "{} bytes of a forgery", refused.stdout.len());
    assert!(!shell.pipe(&expecting[..3], &forged).stdout.is_empty());
    #[cfg(unix)]
    {
        assert!(Command::new("mkfifo").arg(shell.path("fifo")).status().unwrap().success());
        let fifo = shell.path("fifo");
        let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
        let refused = shell.pipe(&[&expecting[..], &["-o", "fifo"]].concat(), &forged);
        assert_eq!(refused.code, 6);
        assert!(reader.join().unwrap().is_empty());
    }
}

#[test]
fn what_a_stranger_said_is_printed_without_harm() {
    let shell = Shell::new();
    let context = SealContext::new("sealwire/file");
    let alice = shell.identity("alice.key");
    let hostile = "a\u{7f}\u{9b}31m\u{202e}\u{2066}\u{1d173}ü";
    let harmless = r"a\u{7f}\u{9b}31m\u{202e}\u{2066}\u{1d173}ü";
    for (created, shown) in [
        (253_402_300_799, "created 9999-12-31T23:59:59Z\n"),
        (253_402_300_800, "created 253402300800 seconds after 1970\n"),
        (u64::MAX, "created 18446744073709551615 seconds after 1970\n"),
    ] {
        let sealer = sealwire::Sealer::new(&context).to(alice.recipient()).created(created);
        let sealer = sealer.metadata(hostile, hostile).content_type(hostile).filename("a\u{202e}b");
        shell.write("in.sealed", sealer.seal(b"hello").unwrap());
        let said = shell.ok(&["open", "-i", "alice.key", "-o", "out", "in.sealed"]).stderr;
        assert!(said.ends_with(shown), "{said}");
        assert!(said.contains(&format!("metadata \"{harmless}\" = \"{harmless}\"\n")), "{said}");
        assert!(said.contains(&format!("content type \"{harmless}\"\n")), "{said}");
        assert!(said.contains(r#"file name "a\u{202e}b""#), "{said}");
        assert_eq!(shell.text("out"), "hello");
    }
    let page = String::from_utf8(shell.ok(&["inspect", "in.sealed"]).stdout).unwrap();
    assert!(page.contains(harmless), "{page}");
    let json = String::from_utf8(shell.ok(&["inspect", "--json", "in.sealed"]).stdout).unwrap();
    assert!(json.contains(r#""a\u007f\u009b31m\u202e\u2066\ud834\udd73ü""#), "{json}");
    assert_eq!(shell.inspect("in.sealed")["metadata"][hostile], hostile);
}

#[test]
fn passphrases() {
    let shell = Shell::new();
    shell.write("in", "hello");
    shell.write("passphrase", "correct horse\n");
    shell.write("same", "correct horse\r\n");
    shell.write("wrong", "correct house\n");
    shell.ok(&["seal", "--passphrase-file", "passphrase", "-o", "in.sealed", "in"]);
    assert_eq!(shell.ok(&["open", "--passphrase-file", "same", "in.sealed"]).stdout, b"hello");
    let wrong = shell.fails(5, "NotRecipient", &["open", "--passphrase-file", "wrong", "in.sealed"]);
    assert!(wrong.stderr.contains("(a wrong passphrase, or it was not sealed with one)"), "{}", wrong.stderr);
    let no_passphrase = shell.fails(5, "NotRecipient", &["open", "-i", "bob.key", "in.sealed"]);
    assert!(!no_passphrase.stderr.contains("passphrase"), "{}", no_passphrase.stderr);
    for change in ["rewrap", "reseal"] {
        let change = [change, "--passphrase-file", "wrong", "--to", "carol.pub", "in.sealed"];
        let wrong = shell.fails(5, "NotRecipient", &change);
        assert!(wrong.stderr.contains("(a wrong passphrase"), "{}", wrong.stderr);
    }
    let author = shell.ok(&["open", "--passphrase-file", "same", "in.sealed"]).stderr;
    assert_eq!(author, "unsigned: anybody who knows the passphrase may have written this\n");
    let rewrap =
        ["rewrap", "--passphrase-file", "same", "--to", "carol.pub", "--to-passphrase-file", "wrong"];
    shell.ok(&[&rewrap[..], &["in.sealed"]].concat());
    shell.opens("carol.key", "in.sealed", b"hello");
    assert_eq!(shell.ok(&["open", "--passphrase-file", "wrong", "in.sealed"]).stdout, b"hello");
    assert_eq!(shell.run(&["open", "-p", "--passphrase-file", "wrong", "in.sealed"]).code, 2);
}

#[test]
fn small_files_have_limits_and_errors_name_the_place() {
    let shell = Shell::new();
    shell.write("in", "hello");
    shell.write("long", "p".repeat(1025));
    shell.write("longer", "p".repeat(1027));
    shell.write("empty", "\n");
    shell.write("comments", "# nobody\n");
    shell.write("big.key", "#".repeat(64 * 1024 + 1));
    shell.write("many", shell.text("carol.pub").repeat(1025));
    shell.write("two", shell.text("carol.pub").repeat(2));
    shell.write("big", "#".repeat(4 * 1024 * 1024 + 1));
    shell.write("typo", format!("# team\n{}{}x\n", shell.text("carol.pub"), shell.text("carol.pub").trim()));
    shell.write("binary", b"sealwire1\xff");
    shell.write("half.key", "sealwire-identity1qqq\n");
    for (code, name, arguments) in [
        (2, "Misuse", vec!["seal", "--passphrase-file", "long", "in"]),
        (3, "TooLarge", vec!["seal", "--passphrase-file", "longer", "in"]),
        (2, "Misuse", vec!["seal", "--passphrase-file", "empty", "in"]),
        (3, "TooLarge", vec!["recipient", "-i", "big.key"]),
        (3, "TooLarge", vec!["seal", "-R", "many", "in"]),
        (3, "TooLarge", vec!["seal", "-R", "big", "in"]),
        (3, "Malformed", vec!["seal", "-R", "comments", "in"]),
        (3, "Malformed", vec!["seal", "-R", "binary", "in"]),
        (2, "Misuse", vec!["seal", "--to", "two", "in"]),
        (1, "Store", vec!["seal", "--to", "nobody.pub", "in"]),
        (4, "InvalidKey", vec!["seal", "--to", "sealwire1qqqq", "in"]),
        (4, "InvalidKey", vec!["seal", "-R", "typo", "in"]),
        (4, "InvalidKey", vec!["seal", "-R", "alice.key", "in"]),
    ] {
        shell.fails(code, name, &arguments);
    }
    assert!(shell.run(&["seal", "-R", "typo", "in"]).stderr.contains("typo, line 3: "));
    let nobody = shell.fails(2, "Misuse", &["seal", "in"]).stderr;
    assert!(nobody.contains("--to RECIPIENT, -R FILE or a passphrase"), "{nobody}");
    let half = shell.fails(4, "InvalidKey", &["recipient", "-i", "half.key"]).stderr;
    assert!(half.contains("incomplete, or too long: an identity has 130 characters"), "{half}");
}

#[test]
fn a_secret_on_the_command_line_is_not_repeated() {
    let shell = Shell::new();
    shell.write("in", "hello");
    let secret = shell.identity("alice.key").reveal().reveal_text().unwrap().to_owned();
    let in_a_path = format!("./{secret}");
    for arguments in [
        &["seal", "--to", &secret, "in"][..],
        &["seal", "-R", &secret, "in"],
        &["seal", "--sign", &secret, "in"],
        &["open", "-i", &secret, "in"],
        &["open", "-i", "alice.key", &secret],
        &["open", "-i", "alice.key", "-o", &format!("nodir/{secret}"), "in"],
        &["seal", "--to", "alice.pub", "in", &secret],
        &["seal", "--to", "alice.pub", "--aead", &secret, "in"],
        &["seal", "--to", "alice.pub", "--metadata", &secret, "in"],
        &["open", "-i", &in_a_path, "in"],
        &["keygen", "-o", &format!("nodir/{secret}")],
        &[&secret.to_uppercase()],
        &[&secret],
    ] {
        let refused = shell.fails(2, "Misuse", arguments);
        assert!(!refused.stderr.to_lowercase().contains(&secret[..20]), "{}", refused.stderr);
    }
}

#[test]
fn contexts_are_those_of_the_library() {
    let shell = Shell::new();
    let context = SealContext::new("notes").field(17_u64).field("body");
    let sealed = sealwire::seal(b"hello", shell.identity("alice.key").recipient(), &context).unwrap();
    shell.write("in.sealed", &sealed);
    let opened = shell.ok(&["open", "-i", "alice.key", "--context", "notes/#17/body", "in.sealed"]);
    assert_eq!(opened.stdout, b"hello");
    for other in ["notes/17/body", "notes/#17", "notes/body/#17"] {
        shell.fails(6, "Rejected", &["open", "-i", "alice.key", "--context", other, "in.sealed"]);
    }
    shell.fails(6, "Rejected", &["open", "-i", "alice.key", "in.sealed"]);
    shell.fails(2, "Misuse", &["open", "-i", "alice.key", "--context", "", "in.sealed"]);
    // One spelling per number.
    for wrong in ["x", "", "+17", "017", "17 ", "18446744073709551616"] {
        let context = format!("notes/#{wrong}/body");
        let opened = shell.run(&["open", "-i", "alice.key", "--context", &context, "in.sealed"]);
        assert_eq!(opened.code, 2, "{wrong}");
    }

    // Everything can be written: here a slash, a number sign and a percent sign.
    let odd = SealContext::new("a/b").field("#1").field("100%").field("ü/");
    shell.write("odd.sealed", sealwire::seal(b"odd", shell.identity("alice.key").recipient(), &odd).unwrap());
    let opened = ["open", "-i", "alice.key", "--context", "a%2Fb/%231/100%25/%C3%bc%2f", "odd.sealed"];
    assert_eq!(shell.ok(&opened).stdout, b"odd");
    for wrong in ["a%", "a%2", "a%+2", "a/%zz", "a/%ff", "a%2Fb/%é"] {
        assert_eq!(
            shell.run(&["open", "-i", "alice.key", "--context", wrong, "in.sealed"]).code,
            2,
            "{wrong}"
        );
    }
    let secret = sealwire::SecretBytes::new(b"kept".to_vec());
    let store = FileStore::with_passphrase(shell.path("store"), Passphrase::new("correct horse").unwrap());
    store.save("alice", &secret).unwrap();
    shell.write("passphrase", "correct horse\n");
    let context = ["--context", "sealwire%2Fstore/alice", "store/alice.sealed"];
    assert_eq!(
        shell.ok(&[&["open", "--passphrase-file", "passphrase"], &context[..]].concat()).stdout,
        b"kept"
    );

    // The documented default.
    let plain = shell.pipe(&["seal", "--to", "alice.pub"], b"hello").stdout;
    let default = SealContext::new("sealwire/file");
    assert_eq!(sealwire::open(&plain, &shell.identity("alice.key"), &default).unwrap().plaintext, b"hello");
}

#[test]
fn text_form() {
    let shell = Shell::new();
    let payload = long_payload();
    let sealed = shell.pipe(&["seal", "-a", "--to", "carol.pub"], &payload).stdout;
    let text = String::from_utf8(sealed).unwrap();
    assert!(text.starts_with("c2VhbHdpcmUB") && text.ends_with('\n') && text.lines().count() == 1);
    // It is what the library writes.
    sealwire::Header::parse(&sealwire::from_text(text.trim()).unwrap()).unwrap();
    assert!(shell.pipe(&["open", "-i", "carol.key"], text.as_bytes()).stdout == payload);
    let wrapped: Vec<&[u8]> = text.as_bytes().chunks(76).collect();
    assert!(shell.pipe(&["open", "-i", "carol.key"], &wrapped.join(&b"\r\n"[..])).stdout == payload);

    let stray = text.replacen("AA", "A=", 1);
    assert_eq!(shell.pipe(&["open", "-i", "carol.key"], stray.as_bytes()).code, 3);
    for length in 0..7 {
        let text = shell.pipe(&["seal", "--text", "--to", "carol.pub"], &payload[..length]).stdout;
        assert_eq!(shell.pipe(&["open", "-i", "carol.key"], &text).stdout, payload[..length]);
    }

    // What was text stays text.
    shell.write("in.txt", &text);
    shell.ok(&["rewrap", "-i", "carol.key", "--to", "alice.pub", "in.txt"]);
    assert!(shell.text("in.txt").starts_with("c2VhbHdpcmUB"));
    assert!(shell.ok(&["open", "-i", "alice.key", "in.txt"]).stdout == payload);
    assert_eq!(shell.inspect("in.txt")["text_form"], true);
}

#[test]
fn rewrap_in_place_leaves_the_body_as_it_is() {
    let shell = Shell::new();
    shell.write("in", long_payload());
    shell.ok(&["seal", "--to", "alice.pub", "--sign", "bob.key", "-o", "in.sealed", "in"]);
    let before = shell.bytes("in.sealed");
    let body = &before[shell.header_len("in.sealed")..];
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(shell.path("in.sealed"), fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("in.sealed", shell.path("link")).unwrap();
    }

    shell.fails(5, "NotRecipient", &["rewrap", "-i", "carol.key", "--to", "carol.pub", "in.sealed"]);
    let wrong_context = ["rewrap", "-i", "alice.key", "--context", "x", "--to", "bob.pub", "in.sealed"];
    shell.fails(6, "Rejected", &wrong_context);
    shell.fails(2, "Misuse", &["rewrap", "-i", "alice.key", "in.sealed"]);
    assert!(shell.bytes("in.sealed") == before);

    let file = if cfg!(unix) { "link" } else { "in.sealed" };
    shell.ok(&["rewrap", "-i", "alice.key", "--to", "bob.pub", file]);
    let after = shell.bytes("in.sealed");
    assert!(&after[shell.header_len("in.sealed")..] == body);
    shell.fails(5, "NotRecipient", &["open", "-i", "alice.key", "in.sealed"]);
    let opened = shell.ok(&["open", "-i", "bob.key", "--expect", "bob.pub", "in.sealed"]);
    assert!(opened.stdout == long_payload());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(shell.path("in.sealed")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert!(fs::symlink_metadata(shell.path("link")).unwrap().is_symlink());
    }
    shell.no_temporary_files();
}

#[test]
fn reads_headers_longer_than_the_first_read() {
    let shell = Shell::new();
    shell.write("in", "hello");
    shell.write("many", shell.text("alice.pub").repeat(40));
    shell.ok(&["seal", "-R", "many", "-o", "in.sealed", "in"]);
    assert!(shell.header_len("in.sealed") > 40_000);
    shell.ok(&["rewrap", "-i", "alice.key", "--to", "bob.pub", "-R", "many", "in.sealed"]);
    shell.opens("bob.key", "in.sealed", b"hello");
    // A claim of 1 TiB in a few bytes.
    shell.write("claim", b"sealwire\x01\x5b\x00\x00\x01\x00\x00\x00\x00\x00");
    shell.fails(3, "TooLarge", &["inspect", "claim"]);
}

#[test]
fn reseal_makes_a_new_envelope_and_keeps_what_was_said() {
    let shell = Shell::new();
    shell.write("in", long_payload());
    let describe =
        ["--metadata", "version=7", "--metadata", "doc=x", "--filename", "n.txt", "--aead", "chacha"];
    shell.ok(&[&["seal", "--to", "alice.pub", "-o", "in.sealed", "in"], &describe[..]].concat());
    let before = shell.inspect("in.sealed");
    shell.ok(&["reseal", "-i", "alice.key", "--to", "bob.pub", "in.sealed"]);
    let after = shell.inspect("in.sealed");
    assert_ne!(before["envelope_id"], after["envelope_id"]);
    for kept in ["metadata", "aead", "padded", "private_block_bytes", "bytes"] {
        assert_eq!(before[kept], after[kept]);
    }
    let opened = shell.ok(&["open", "-i", "bob.key", "in.sealed"]);
    assert!(opened.stdout == long_payload());
    let said = "file name \"n.txt\"\nmetadata \"doc\" = \"x\"\nmetadata \"version\" = 7\n";
    assert!(opened.stderr.ends_with(said), "{}", opened.stderr);
    shell.fails(5, "NotRecipient", &["open", "-i", "alice.key", "in.sealed"]);
}

#[test]
fn reseal_of_a_signed_file_asks_for_a_signature() {
    let shell = Shell::new();
    shell.write("in", long_payload());
    shell.ok(&["seal", "--to", "alice.pub", "--sign", "alice.key", "-o", "in.sealed", "in"]);
    let before = shell.bytes("in.sealed");
    shell.fails(2, "Misuse", &["reseal", "-i", "alice.key", "--to", "bob.pub", "in.sealed"]);
    shell.fails(2, "Misuse", &["reseal", "-i", "alice.key", "--to", "bob.pub", "-o", "-", "in.sealed"]);
    assert!(shell.bytes("in.sealed") == before);
    shell.no_temporary_files();
    let mine = ["reseal", "-i", "alice.key", "--to", "bob.pub", "--sign", "alice.key", "in.sealed"];
    shell.ok(&mine);
    shell.ok(&["open", "-i", "bob.key", "--expect", "alice.pub", "in.sealed"]);
}

/// Who can replace a file must not have it signed by who reseals it.
#[test]
fn reseal_signs_what_is_mine_or_expected_and_nothing_else() {
    let shell = Shell::new();
    let context = SealContext::new("sealwire/file");
    let (alice, bob) = (shell.identity("alice.key"), shell.identity("bob.key"));
    let reseal = ["reseal", "-i", "alice.key", "--to", "alice.pub", "--sign", "alice.key"];
    for padded in [false, true] {
        let sealer = sealwire::Sealer::new(&context).to(alice.recipient());
        let sealer = if padded { sealer } else { sealer.unpadded() };
        shell.write("unsigned", sealer.seal(b"I owe Mallory a house").unwrap());
        shell.write("other", sealer.clone().sign(&bob).seal(b"I owe Mallory a house").unwrap());
        shell.write("mine", sealer.sign(&alice).seal(b"hello").unwrap());
        for (file, why) in [("unsigned", "nobody signed it"), ("other", "say with --expect whose")] {
            let before = shell.bytes(file);
            let refused = shell.fails(2, "Misuse", &[&reseal[..], &[file]].concat());
            assert!(refused.stderr.contains(why), "{}", refused.stderr);
            assert!(shell.bytes(file) == before);
        }
        shell.ok(&[&reseal[..], &["mine"]].concat());
        shell.ok(&[&reseal[..], &["--expect", "bob.pub", "other"]].concat());
        for file in ["mine", "other"] {
            shell.ok(&["open", "-i", "alice.key", "--expect", "alice.pub", file]);
        }
        shell.no_temporary_files();
    }
}

#[test]
fn reseal_keeps_padding() {
    let shell = Shell::new();
    let context = SealContext::new("sealwire/file");
    let alice = shell.identity("alice.key");
    shell.write("in.sealed", sealwire::seal(b"hello", alice.recipient(), &context).unwrap());
    shell.ok(&["reseal", "-i", "alice.key", "--to", "bob.pub", "-o", "out.sealed", "in.sealed"]);
    assert_eq!(shell.inspect("out.sealed")["padded"], true);
    shell.opens("bob.key", "out.sealed", b"hello");
    shell.opens("alice.key", "in.sealed", b"hello");
}

#[test]
fn inspect_shows_what_needs_no_key() {
    let shell = Shell::new();
    shell.write("in", "hello");
    let metadata = ["--metadata", "version=7", "--metadata", "doc=\u{1b}[2J"];
    shell.ok(&[
        &["seal", "--to", "bob.pub", "--anonymous", "alice.pub", "-o", "in.sealed", "in"],
        &metadata[..],
    ]
    .concat());
    let shown = shell.inspect("in.sealed");
    let whole = shell.bytes("in.sealed");
    assert_eq!(shown["verified"], false);
    assert_eq!(shown["format_version"], 1);
    assert_eq!(shown["padded"], false);
    assert_eq!(shown["metadata"], serde_json::json!({ "version": 7, "doc": "\u{1b}[2J" }));
    assert_eq!(shown["slots"][0]["kem"], 0x647a);
    assert_eq!(shown["slots"][0]["hint"].as_str().unwrap().len(), 8);
    assert!(shown["slots"][1]["hint"].is_null());
    assert_eq!(shown["bytes"]["envelope"], whole.len());
    assert_eq!(shown["bytes"]["header"], shell.header_len("in.sealed"));
    assert_eq!(shown["bytes"]["payload_at_least"], 5);
    assert_eq!(shown["bytes"]["payload_at_most"], 5);
    let piped = shell.pipe(&["inspect", "--json"], &whole).stdout;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&piped).unwrap(), shown);

    let page = String::from_utf8(shell.ok(&["inspect", "in.sealed"]).stdout).unwrap();
    for part in [
        "not verified",
        "\"version\" = 7",
        r#""doc" = "\u{1b}[2J""#,
        "an anonymous recipient",
        "payload            5 bytes",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // A header alone, and a body that was cut.
    let header = shell.pipe(&["inspect"], &whole[..shell.header_len("in.sealed")]);
    assert!(String::from_utf8(header.stdout).unwrap().contains("a header alone"));
    let cut = shell.pipe(&["inspect", "-"], &whole[..whole.len() - 6]);
    assert!(String::from_utf8(cut.stdout).unwrap().contains("cut off"));
}

#[test]
fn signed_payloads_are_bounded_by_inspect() {
    let shell = Shell::new();
    let signed = shell.pipe(&["seal", "--to", "alice.pub", "--sign", "bob.key"], &[7; 20_000]).stdout;
    shell.write("in.sealed", signed);
    let sizes = &shell.inspect("in.sealed")["bytes"];
    assert_eq!(sizes["payload_at_least"], 20_000);
    assert_eq!(sizes["payload_at_most"], 20_064);
    let page = String::from_utf8(shell.ok(&["inspect", "in.sealed"]).stdout).unwrap();
    let payload = "payload            20,000 bytes if signed, else 20,064 (only a reader can tell)\n";
    assert!(page.ends_with(payload), "{page}");
}

/// A log that output is appended to is not a file to be replaced.
#[cfg(target_os = "linux")]
#[test]
fn an_open_file_is_not_replaced() {
    let shell = Shell::new();
    shell.write("in.sealed", shell.pipe(&["seal", "--to", "alice.pub"], b"hello").stdout);
    std::os::unix::fs::symlink("/dev/stdout", shell.path("link")).unwrap();
    for (out, written) in [
        ("/dev/stdout", Some("before\nhello")),
        ("/dev/stderr", None),
        ("/dev/fd/1", None),
        ("/proc/self/fd/1", None),
        ("/dev/../proc/thread-self/fd/1", None),
        ("link", None),
    ] {
        shell.write("log", "before\n");
        let log = || fs::OpenOptions::new().append(true).open(shell.path("log")).unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_sealwire"))
            .args(["open", "-i", "alice.key", "-o", out, "in.sealed"])
            .current_dir(shell.folder.path())
            .stdout(log())
            .stderr(if out == "/dev/stderr" { log().into() } else { Stdio::null() })
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(if written.is_some() { 0 } else { 2 }), "{out}");
        let expected = written.unwrap_or("before\n");
        assert!(shell.text("log").starts_with(expected), "{out}: {}", shell.text("log"));
    }
    // What is no file is still written into.
    assert_eq!(shell.ok(&["open", "-i", "alice.key", "-o", "/dev/fd/1", "in.sealed"]).stdout, b"hello");
}

/// What was done is done, also if it cannot be said.
#[cfg(target_os = "linux")]
#[test]
fn a_full_stderr_changes_nothing() {
    let shell = Shell::new();
    shell.write("in.sealed", shell.pipe(&["seal", "--to", "alice.pub"], b"hello").stdout);
    let rewrap = ["rewrap", "-i", "alice.key", "--to", "bob.pub", "-o", "rewrapped", "in.sealed"];
    let reseal = ["reseal", "-i", "alice.key", "--to", "bob.pub", "-o", "resealed", "in.sealed"];
    for arguments in [
        &["keygen", "-o", "new.key"][..],
        &["open", "-i", "alice.key", "-o", "out", "in.sealed"],
        &rewrap,
        &reseal,
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_sealwire"))
            .args(arguments)
            .current_dir(shell.folder.path())
            .stderr(full)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(0), "{arguments:?}");
    }
    shell.ok(&["recipient", "-i", "new.key"]);
    assert_eq!(shell.text("out"), "hello");
    shell.opens("bob.key", "rewrapped", b"hello");
    shell.opens("bob.key", "resealed", b"hello");
}

#[test]
fn a_file_name_that_cannot_be_told_is_left_out() {
    let shell = Shell::new();
    for name in ["nul", "note.", "a b.txt"] {
        shell.write(name, "hello");
        let sealed = shell.ok(&["seal", "--to", "alice.pub", "--keep-name", "-o", "out", name]);
        let opened = shell.ok(&["open", "-i", "alice.key", "out"]);
        assert_eq!(opened.stdout, b"hello");
        let told = name == "a b.txt";
        assert_eq!(opened.stderr.contains("file name"), told, "{}", opened.stderr);
        let note = format!("the name {name:?} is left out: not every system can have a file of that name\n");
        assert_eq!(sealed.stderr, if told { String::new() } else { note });
    }
    // Who types it wants it.
    shell.fails(2, "Misuse", &["seal", "--to", "alice.pub", "--filename", "a:b.txt", "a b.txt"]);
}

/// A file that somebody else put there does not say who may read what replaces it.
#[cfg(unix)]
#[test]
fn a_planted_file_does_not_open_the_output_to_others() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let shell = Shell::new();
    shell.write("in.sealed", shell.pipe(&["seal", "--to", "alice.pub"], b"hello").stdout);
    for (other, expected) in [(false, 0o644), (true, 0o600)] {
        shell.write("out", "planted");
        fs::set_permissions(shell.path("out"), fs::Permissions::from_mode(0o644)).unwrap();
        // Only root can give files away; others test their own alone.
        if other && chown(shell.path("out"), Some(65534), None).is_err() {
            return;
        }
        shell.ok(&["open", "-i", "alice.key", "-o", "out", "in.sealed"]);
        assert_eq!(shell.text("out"), "hello");
        assert_eq!(fs::metadata(shell.path("out")).unwrap().permissions().mode() & 0o777, expected);
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_yet_is_followed_and_a_missing_folder_is_named() {
    let shell = Shell::new();
    shell.write("in", "hello");
    std::os::unix::fs::symlink("not-yet", shell.path("link")).unwrap();
    shell.ok(&["seal", "--to", "alice.pub", "-o", "link", "in"]);
    assert!(fs::symlink_metadata(shell.path("link")).unwrap().is_symlink());
    shell.opens("alice.key", "not-yet", b"hello");
    let nowhere = shell.fails(1, "Store", &["seal", "--to", "alice.pub", "-o", "nodir/t.s", "in"]);
    assert_eq!(nowhere.stderr, "sealwire: nodir/t.s: the folder nodir does not exist [Store]\n");
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let shell = Shell::new();
    shell.write("in", "hello");
    assert!(Command::new("mkfifo").arg(shell.path("fifo")).status().unwrap().success());
    let fifo = shell.path("fifo");
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    shell.ok(&["seal", "--to", "carol.pub", "-o", "fifo", "in"]);
    let sealed = reader.join().unwrap();
    assert!(fs::metadata(shell.path("fifo")).unwrap().file_type().is_fifo());
    assert_eq!(shell.pipe(&["open", "-i", "carol.key"], &sealed).stdout, b"hello");
}

/// Of an envelope that somebody else may have put there: what it was is said, and can be insisted on.
#[test]
fn a_change_says_what_was_there_and_who_is_locked_out() {
    let shell = Shell::new();
    let locked_out = "the keys you opened it with are not on the new list: you cannot open this file any more \
                      (add --to YOUR.pub)\n";
    let unsigned = "was unsigned: anybody who knows a recipient may have written this";
    let bob = shell.identity("bob.key").signer().to_string();
    let signed = format!("was signed by bob.pub ({}…)", &bob[..8]);
    let context = SealContext::new("sealwire/file");
    shell.write("in", "hello");
    for padded in [false, true] {
        let (alice, signer) = (shell.identity("alice.key"), shell.identity("bob.key"));
        let sealer = sealwire::Sealer::new(&context).to(alice.recipient());
        let sealer = if padded { sealer } else { sealer.unpadded() };
        shell.write("forged", sealer.seal(b"hello").unwrap());
        shell.write("signed", sealer.sign(&signer).seal(b"hello").unwrap());
        let before = shell.bytes("forged");

        for change in ["rewrap", "reseal"] {
            let list = [change, "-i", "alice.key", "--to", "alice.pub", "--to", "bob.pub"];
            let expecting = [&list[..], &["--expect", "bob.pub"]].concat();
            shell.fails(6, "Rejected", &[&expecting[..], &["forged"]].concat());
            assert!(shell.bytes("forged") == before, "{change}");
            shell.fails(6, "Rejected", &[&list[..], &["--expect", "carol.pub", "signed"]].concat());
            let changed = shell.ok(&[&list[..], &["-o", "out", "forged"]].concat());
            assert_eq!(changed.stderr, format!("{unsigned}\n"));
            let alone = [change, "-i", "alice.key", "--to", "bob.pub", "-o", "out", "forged"];
            assert_eq!(shell.ok(&alone).stderr, format!("{unsigned}\n{locked_out}"));
        }
        let mine = ["--expect", "bob.pub", "--to", "alice.pub", "-o", "out", "signed"];
        let rewrapped = shell.ok(&[&["rewrap", "-i", "alice.key"], &mine[..]].concat());
        assert_eq!(rewrapped.stderr, format!("{signed}, and still is\n"));
        shell.ok(&["open", "-i", "alice.key", "--expect", "bob.pub", "out"]);
        let resealed = shell.ok(&[&["reseal", "-i", "alice.key", "--sign", "alice.key"], &mine[..]].concat());
        assert_eq!(resealed.stderr, format!("{signed}; is now signed by you\n"));
        shell.ok(&["open", "-i", "alice.key", "--expect", "alice.pub", "out"]);
    }
}

#[test]
fn rewrap_refuses_what_does_not_open() {
    let shell = Shell::new();
    shell.write("in", long_payload());
    shell.ok(&["seal", "--to", "alice.pub", "-o", "good.sealed", "in"]);
    let good = shell.bytes("good.sealed");
    let mut altered = good.clone();
    altered[2_000_000] ^= 1;
    shell.write("altered", &altered);
    shell.fails(6, "Rejected", &["rewrap", "-i", "alice.key", "--to", "alice.pub", "altered"]);
    assert!(shell.bytes("altered") == altered);
    shell.write("cut", &good[..shell.header_len("good.sealed") + 56 + 100 * 16400]);
    shell.fails(7, "Truncated", &["rewrap", "-i", "alice.key", "--to", "alice.pub", "cut"]);
    shell.no_temporary_files();
}

#[test]
fn a_recipient_is_told_from_a_file_name() {
    let shell = Shell::new();
    shell.write("in", "hello");
    let carol = shell.text("carol.pub").trim().to_owned();
    shell.ok(&["seal", "--to", &format!(" {carol}\n"), "-o", "out", "in"]);
    let upper = shell.fails(4, "InvalidKey", &["seal", "--to", &carol.to_uppercase(), "in"]);
    assert!(upper.stderr.contains("lower case"), "{}", upper.stderr);
    let bob = shell.text("bob.pub").trim().to_owned();
    for damaged in
        [carol[1..].to_owned(), carol.replacen('1', "", 1), bob[1..].to_owned(), bob[20..].to_owned()]
    {
        let refused = shell.run(&["seal", "--to", &damaged, "in"]);
        assert!([1, 4].contains(&refused.code), "{}", refused.stderr);
        assert!(refused.stderr.len() < 200, "{}", refused.stderr);
        assert!(!refused.stderr.contains("File name too long"), "{}", refused.stderr);
    }
    let half = shell.fails(4, "InvalidKey", &["seal", "--to", &bob[..1059], "in"]);
    let incomplete =
        "incomplete, or too long: a recipient has 2118 characters, or 223 with X25519 (it has 1059";
    assert!(half.stderr.contains(incomplete), "{}", half.stderr);
    for several in ["alice.pub,bob.pub".to_owned(), format!("{carol},{bob}")] {
        let refused = shell.run(&["seal", "--to", &several, "in"]);
        assert!(refused.stderr.contains("repeat the option, or use -R FILE"), "{}", refused.stderr);
    }
    shell.fails(2, "Misuse", &["seal", "--to", "", "in"]);
    let mixed = shell.fails(2, "Misuse", &["seal", "--to", "alice.pub", "--to", "carol.pub", "in"]);
    assert!(mixed.stderr.contains("(--allow-classical)"), "{}", mixed.stderr);
    let nobody = shell.fails(1, "Store", &["seal", "--to", "bob", "in"]);
    assert_eq!(nobody.stderr, "sealwire: bob: no such file, and not a recipient (sealwire1…) [Store]\n");
    // A file can be called so, and is then named by a path.
    shell.write("sealwire.pub", &carol);
    let refused = shell.fails(4, "InvalidKey", &["seal", "--to", "sealwire.pub", "in"]);
    assert!(refused.stderr.contains("write ./sealwire.pub"), "{}", refused.stderr);
    shell.ok(&["seal", "--to", "./sealwire.pub", "-o", "out", "in"]);
}

#[test]
fn a_wrong_kind_of_key_is_named_with_the_way_to_the_right_one() {
    let shell = Shell::new();
    shell.write("in", "hello");
    shell.write("pin", shell.ok(&["recipient", "--pin", "alice.pub"]).stdout);
    shell.write("nothing", "");
    for (code, name, arguments, what, how) in [
        (
            4,
            "InvalidKey",
            ["seal", "--to", "alice.key"],
            "this is an identity (secret), a recipient",
            "recipient -i",
        ),
        (4, "InvalidKey", ["seal", "--to", "pin"], "this is a pin, the recipient", "ask for the recipient"),
        (4, "InvalidKey", ["open", "-i", "alice.pub"], "this is a recipient, an identity", "keygen -o"),
        (4, "InvalidKey", ["open", "-i", "pin"], "this is a pin, an identity", "keygen -o"),
        (
            3,
            "Malformed",
            ["open", "-i", "nothing"],
            "nothing: malformed: empty",
            "did the command before it fail?",
        ),
    ] {
        shell.write("in.sealed", shell.pipe(&["seal", "--to", "alice.pub"], b"hello").stdout);
        let file = if arguments[0] == "open" { "in.sealed" } else { "in" };
        let refused = shell.fails(code, name, &[&arguments[..], &[file]].concat()).stderr;
        assert!(refused.contains(what) && refused.contains(how), "{refused}");
    }
}

#[test]
fn a_key_file_is_not_written_over() {
    let shell = Shell::new();
    let before = shell.text("alice.key");
    shell.write("in", "hello");
    shell.write("in.sealed", shell.pipe(&["seal", "--to", "alice.pub"], b"hello").stdout);
    for over in [
        &["seal", "--to", "alice.pub", "-o", "alice.key", "in"][..],
        &["open", "-i", "alice.key", "-o", "alice.key", "in.sealed"],
        &["rewrap", "-i", "alice.key", "--to", "alice.pub", "-o", "alice.key", "in.sealed"],
        &["reseal", "-i", "alice.key", "--to", "alice.pub", "-o", "alice.key", "in.sealed"],
    ] {
        let refused = shell.fails(2, "Misuse", over);
        assert!(refused.stderr.contains("alice.key: misuse: this is a key file"), "{}", refused.stderr);
        assert_eq!(shell.text("alice.key"), before);
    }
    // What only looks similar is an ordinary file.
    shell.write("notes", "# about sealwire-identity1\nsealwire1\n");
    shell.ok(&["seal", "--to", "alice.pub", "-o", "notes", "in"]);
}

/// Waits until the command has written plaintext into its temporary file.
#[cfg(unix)]
fn temporary_file(shell: &Shell) -> PathBuf {
    for _ in 0..500 {
        for entry in fs::read_dir(shell.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let is_temporary = entry.file_name().to_string_lossy().ends_with(".tmp");
            if is_temporary && entry.metadata().is_ok_and(|found| found.len() > 0) {
                return entry.path();
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("no temporary file")
}

#[cfg(unix)]
fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_leaves_no_plaintext_behind() {
    use std::os::unix::process::ExitStatusExt;
    let shell = Shell::new();
    let sealed = shell.pipe(&["seal", "--to", "carol.pub"], &long_payload()).stdout;
    shell.write("out", "what was there");
    for (name, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1)] {
        // Whoever runs the tests may ignore signals, and what is ignored stays so: here they are as a terminal gives them.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,TERM,HUP", env!("CARGO_BIN_EXE_sealwire")])
            .args(["open", "-i", "carol.key", "-o", "out"])
            .current_dir(shell.folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut to_child = child.stdin.take().unwrap();
        to_child.write_all(&sealed[..2_400_000]).unwrap();
        temporary_file(&shell);
        send(name, &child);
        // A shell says 128 and this number: 130, 143, 129.
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
        shell.no_temporary_files();
        assert_eq!(shell.text("out"), "what was there");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_stays_so() {
    let shell = Shell::new();
    let sealed = shell.pipe(&["seal", "--to", "carol.pub"], &long_payload()).stdout;
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" open -i carol.key -o out", env!("CARGO_BIN_EXE_sealwire")])
        .current_dir(shell.folder.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut to_child = child.stdin.take().unwrap();
    to_child.write_all(&sealed[..2_400_000]).unwrap();
    temporary_file(&shell);
    send("-HUP", &child);
    to_child.write_all(&sealed[2_400_000..]).unwrap();
    drop(to_child);
    assert!(child.wait().unwrap().success());
    assert!(shell.bytes("out") == long_payload());
}

/// Runs a command on a terminal: answers each question, and gives what was shown and the exit code. An answer can come before
/// the terminal's echo is off, so what is shown may contain it.
#[cfg(target_os = "linux")]
fn on_a_terminal(shell: &Shell, command: &str, answers: &[(&str, &str)]) -> (String, i32) {
    use std::io::Read;
    // What asks something else than expected is not waited for.
    let command = format!("timeout --foreground 20 {} {command}", env!("CARGO_BIN_EXE_sealwire"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
        .current_dir(shell.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to_child, mut from_child) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut seen) = (Vec::new(), 0);
    for (question, answer) in answers {
        let mut byte = [0];
        while !String::from_utf8_lossy(&shown[seen..]).ends_with(question) {
            assert_eq!(
                from_child.read(&mut byte).unwrap(),
                1,
                "{question}: {}",
                String::from_utf8_lossy(&shown)
            );
            shown.push(byte[0]);
        }
        seen = shown.len();
        writeln!(to_child, "{answer}").unwrap();
    }
    from_child.read_to_end(&mut shown).unwrap();
    (String::from_utf8_lossy(&shown).into_owned(), child.wait().unwrap().code().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_asked_for_each_passphrase_by_name_and_shown_no_key() {
    let shell = Shell::new();
    shell.write("in", "hello");
    let asked = [("Passphrase: ", "old one"), ("Passphrase, again: ", "old one")];
    let (shown, code) = on_a_terminal(&shell, "seal -p -o in.sealed in", &asked);
    assert_eq!(code, 0, "{shown}");
    let asked = [
        ("Present passphrase: ", "old one"),
        ("New passphrase: ", "new one"),
        ("New passphrase, again: ", "new one"),
    ];
    let (shown, code) = on_a_terminal(&shell, "rewrap -p --to-passphrase in.sealed", &asked);
    assert_eq!(code, 0, "{shown}");
    let (shown, code) = on_a_terminal(&shell, "open -p in.sealed", &[("Passphrase: ", "new one")]);
    assert!(code == 0 && shown.contains("hello"), "{shown}");

    let (shown, code) = on_a_terminal(&shell, "keygen", &[]);
    assert!(code == 2 && shown.contains("[Misuse]") && !shown.contains("sealwire-identity1"), "{shown}");
}

/// What a terminal obeys is refused, also where a write ends between its two bytes.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_shown_plain_text_alone() {
    let shell = Shell::new();
    let block = 256 * 1024;
    for (payload, shows) in [
        ("grün \u{a0}\u{201c}x\u{201d}\n".to_owned(), true),
        ("\u{9b}31m".to_owned(), false),
        ("\u{1b}[31m".to_owned(), false),
        (format!("{}\u{9b}31m", "x".repeat(block - 1)), false),
        (format!("{}\u{a0}ok", "x".repeat(block - 1)), true),
    ] {
        shell.write("text.sealed", shell.pipe(&["seal", "--to", "carol.pub"], payload.as_bytes()).stdout);
        let (shown, code) = on_a_terminal(&shell, "open -i carol.key text.sealed", &[]);
        assert_eq!(code, if shows { 0 } else { 2 }, "{shown}");
        assert!(!shown.contains(['\u{9b}', '\u{1b}']), "{shown}");
    }
}

#[test]
fn usage() {
    let shell = Shell::new();
    for shell_name in ["bash", "zsh", "fish", "powershell"] {
        let script = shell.ok(&["completions", shell_name]).stdout;
        assert!(String::from_utf8(script).unwrap().contains("rewrap"), "{shell_name}");
    }
    let help = String::from_utf8(shell.ok(&["completions", "--help"]).stdout).unwrap();
    for shell_name in ["bash ", "zsh ", "fish ", "elvish ", "powershell "] {
        assert!(help.contains(&format!("\n  {shell_name}")), "{help}");
    }
    let version = shell.ok(&["--version"]).stdout;
    assert_eq!(version, format!("sealwire {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    let help = String::from_utf8(shell.ok(&["--help"]).stdout).unwrap();
    assert!(help.contains("[NotRecipient]"));
    for wrong in
        [&["open", "in"][..], &["seal", "--metadata", "version=x"], &["frobnicate"], &["seal", "--keep-name"]]
    {
        assert_eq!(shell.run(wrong).code, 2, "{wrong:?}");
    }
    shell.fails(2, "Misuse", &["seal", "--to", "alice.pub", "--keep-name", "-"]);
}

/// The highest resident set so far, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_of_100_mb_takes_less_than_16_mib() {
    use std::io::Read;
    static PIECE: [u8; 1_000_000] = [0x5a; 1_000_000];
    const LIMIT: u64 = 16 * 1024;
    let shell = Shell::new();
    let mut seal = shell.spawn(&["seal", "--to", "alice.pub"]);
    let mut open = shell.spawn(&["open", "-i", "alice.key"]);
    let (mut to_seal, mut from_seal) = (seal.stdin.take().unwrap(), seal.stdout.take().unwrap());
    let (mut to_open, mut from_open) = (open.stdin.take().unwrap(), open.stdout.take().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::copy(&mut from_seal, &mut to_open).unwrap());
        let opened = scope.spawn(move || {
            let (mut count, mut block) = (0, vec![0; 65536]);
            loop {
                match from_open.read(&mut block).unwrap() {
                    0 => return count,
                    read => count += read,
                }
            }
        });
        for _ in 0..100 {
            to_seal.write_all(&PIECE).unwrap();
        }
        // Both still wait for the end.
        let peaks = [peak_memory(&seal), peak_memory(&open)];
        drop(to_seal);
        assert!(seal.wait().unwrap().success() && open.wait().unwrap().success());
        assert_eq!(opened.join().unwrap(), 100_000_000);
        assert!(peaks.iter().all(|&peak| peak < LIMIT), "{peaks:?} KiB");
    });
}
