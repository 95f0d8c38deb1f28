//! Stores: what is saved is there, whatever happens while it is saved.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::{
    AtomicFile, FileStore, Header, Identity, MemoryStore, Passphrase, SecretBytes, SecretStore, SlotKind,
    SymmetricKey,
};
use sealwire_tests::people::cheap_passphrase;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

fn keyed(folder: &Path) -> FileStore {
    FileStore::with_key(folder, SymmetricKey::from_bytes(&[3; 32]))
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn check_any(store: &dyn SecretStore) {
    assert!(store.load("nobody").unwrap().is_none());
    store.save("a.b_c-1", &secret("one")).unwrap();
    store.save("a.b_c-1", &secret("two")).unwrap();
    assert_eq!(store.load("a.b_c-1").unwrap().unwrap().reveal(), b"two");
    store.delete("a.b_c-1").unwrap();
    store.delete("a.b_c-1").unwrap();
    assert!(store.load("a.b_c-1").unwrap().is_none());
    let identity = Identity::generate().unwrap();
    identity.save(store, "me").unwrap();
    assert_eq!(Identity::load(store, "me").unwrap().unwrap().recipient(), identity.recipient());
    for name in ["", ".hidden", "..", "a/b", "a\\b", "A", "ä", "a b", &"a".repeat(65), "a\0"] {
        assert_eq!(store.save(name, &secret("x")).unwrap_err().code(), "Misuse", "{name:?}");
        assert_eq!(store.load(name).map(drop).unwrap_err().code(), "Misuse");
        assert_eq!(store.delete(name).unwrap_err().code(), "Misuse");
    }
}

#[test]
fn every_store_keeps_secrets() {
    check_any(&MemoryStore::default());
    let folder = tempfile::tempdir().unwrap();
    check_any(&keyed(&folder.path().join("made/when/needed")));
    check_any(&FileStore::with_passphrase(folder.path().join("p"), cheap_passphrase("x").unwrap()));
}

#[test]
fn files_are_sealed_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let store = keyed(folder.path());
    store.save("a", &secret("my secret")).unwrap();
    store.save("b", &secret("another")).unwrap();
    let path = folder.path().join("a.sealed");
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(9).any(|window| window == b"my secret"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Swapped, altered, cut, huge, or under another key.
    fs::copy(folder.path().join("b.sealed"), &path).unwrap();
    assert_eq!(store.load("a").map(drop).unwrap_err().code(), "Rejected");
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(store.load("a").is_err(), "{cut}");
    }
    fs::write(&path, vec![0; 1024 * 1024 + 1]).unwrap();
    assert_eq!(store.load("a").map(drop).unwrap_err().code(), "TooLarge");
    let other = FileStore::with_key(folder.path(), SymmetricKey::from_bytes(&[4; 32]));
    assert_eq!(other.load("b").map(drop).unwrap_err().code(), "NotRecipient");
}

/// What a stored file's one slot says of the passphrase.
fn salt(folder: &Path, name: &str) -> [u8; 16] {
    let sealed = fs::read(folder.join(format!("{name}.sealed"))).unwrap();
    let header = Header::parse(&sealed).unwrap();
    match header.unlock_requests()[..] {
        [ref slot] => match slot.kind() {
            SlotKind::Passphrase { salt, memory: 65536, passes: 3, lanes: 4, .. } => **salt,
            other => panic!("{other:?}"),
        },
        _ => panic!("one slot"),
    }
}

/// Else a server that names many resources would have its reader's phone run Argon2id for minutes.
#[test]
fn a_passphrase_is_hashed_once_for_all_files_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = || Passphrase::new("correct horse battery staple").unwrap();
    let store = || FileStore::with_passphrase(folder.path(), passphrase());
    let began = Instant::now();
    let first = store();
    first.save("first", &secret("1")).unwrap();
    let once = began.elapsed();
    let began = Instant::now();
    for n in 0..20 {
        first.save(&format!("n{n}"), &secret("x")).unwrap();
        assert_eq!(first.load(&format!("n{n}")).unwrap().unwrap().reveal(), b"x");
    }
    assert!(began.elapsed() < once * 10, "{:?}, and {once:?} for the first", began.elapsed());
    // A later process goes on with the salt of what it has opened; every slot has a key of its own all the same.
    let later = store();
    assert_eq!(later.load("first").unwrap().unwrap().reveal(), b"1");
    later.save("later", &secret("2")).unwrap();
    assert_eq!(salt(folder.path(), "later"), salt(folder.path(), "first"));
    let files: Vec<_> =
        (0..20).map(|n| fs::read(folder.path().join(format!("n{n}.sealed"))).unwrap()).collect();
    assert!(files.windows(2).all(|two| two[0][two[0].len() - 100..] != two[1][two[1].len() - 100..]));
    // Nobody else chooses a salt: what does not open, and what was made more cheaply, is not gone by.
    for (file, other) in [
        ("n0", FileStore::with_passphrase(folder.path(), Passphrase::new("another's").unwrap())),
        ("n1", FileStore::with_passphrase(folder.path(), passphrase().costs(8, 1, 1).unwrap())),
    ] {
        other.save(file, &secret("x")).unwrap();
        let store = store();
        assert_eq!(store.load(file).is_ok(), file == "n1");
        store.save("own", &secret("x")).unwrap();
        assert_ne!(salt(folder.path(), "own"), salt(folder.path(), "first"));
    }
    assert_eq!(store().load("later").unwrap().unwrap().reveal(), b"2");
}

#[test]
fn what_could_not_be_loaded_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let store = keyed(folder.path());
    store.save("a", &secret("old")).unwrap();
    let large = SecretBytes::new(vec![1; 1024 * 1024]);
    assert_eq!(store.save("a", &large).unwrap_err().code(), "TooLarge");
    assert_eq!(store.load("a").unwrap().unwrap().reveal(), b"old");
    let fits = SecretBytes::new(vec![1; 1024 * 1024 - 2048]);
    store.save("a", &fits).unwrap();
    assert_eq!(store.load("a").unwrap().unwrap().reveal(), fits.reveal());
}

#[test]
#[cfg(unix)]
fn a_store_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.sealed")).status().unwrap();
    assert!(made.success());
    fs::create_dir(folder.path().join("folder.sealed")).unwrap();
    let store = keyed(folder.path());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for name in ["folder", "pipe"] {
            tell.send(store.load(name).map(drop)).unwrap();
        }
    });
    for _ in 0..2 {
        let loaded = told.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(loaded.unwrap_err().code(), "Store");
    }
}

#[test]
fn an_atomic_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut dropped = AtomicFile::create(&path).unwrap();
    dropped.write_all(b"never").unwrap();
    drop(dropped);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(b"whole").unwrap();
    assert!(!path.exists());
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    assert!(AtomicFile::create(&folder.path().join("no/such/folder/file")).is_err());
}

/// Of what stands at a target nothing is lost but the content: links, permissions, devices and pipes stay.
#[test]
#[cfg(unix)]
fn an_atomic_file_replaces_files_and_nothing_else() {
    use nix::sys::stat::Mode;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str| -> std::io::Result<()> {
        let mut file = AtomicFile::create(&at(name))?;
        file.write_all(name.as_bytes())?;
        file.commit()
    };
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/file"), "old").unwrap();
    fs::set_permissions(at("real/file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/file", at("link")).unwrap();
    symlink("link", at("link-to-link")).unwrap();
    symlink("real/none-yet", at("dangling")).unwrap();
    symlink(at("real"), at("folder")).unwrap();
    symlink("circle", at("circle")).unwrap();

    write("link").unwrap();
    assert_eq!(fs::read(at("real/file")).unwrap(), b"link");
    write("link-to-link").unwrap();
    assert_eq!(fs::read(at("real/file")).unwrap(), b"link-to-link");
    assert_eq!(fs::metadata(at("real/file")).unwrap().permissions().mode() & 0o777, 0o640);
    write("dangling").unwrap();
    assert_eq!(fs::read(at("real/none-yet")).unwrap(), b"dangling");
    assert_eq!(fs::metadata(at("real/none-yet")).unwrap().permissions().mode() & 0o777, 0o600);
    write("folder/file").unwrap();
    assert_eq!(fs::read(at("real/file")).unwrap(), b"folder/file");
    for link in ["link", "link-to-link", "dangling", "folder"] {
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
    }
    assert!(write("circle").is_err());
    assert_eq!(write("real").unwrap_err().kind(), std::io::ErrorKind::IsADirectory);

    nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
    for not_a_file in [at("pipe"), "/dev/null".into()] {
        let error = AtomicFile::create(&not_a_file).map(drop).unwrap_err();
        assert_eq!(sealwire::Error::from(error).code(), "Misuse");
        assert!(!fs::metadata(&not_a_file).unwrap().is_file());
    }
    assert!(fs::metadata(at("pipe")).unwrap().file_type().is_fifo());
    // The store too keeps a link to where its file was moved.
    let store = keyed(folder.path());
    store.save("moved", &secret("one")).unwrap();
    fs::rename(at("moved.sealed"), at("real/moved.sealed")).unwrap();
    symlink("real/moved.sealed", at("moved.sealed")).unwrap();
    store.save("moved", &secret("two")).unwrap();
    assert!(fs::symlink_metadata(at("moved.sealed")).unwrap().is_symlink());
    assert_eq!(store.load("moved").unwrap().unwrap().reveal(), b"two");
    let left = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(left.count(), 0);
}

/// Kills a save at every single system call and looks at what is left: the old secret or the new one.
#[test]
#[cfg(target_os = "linux")]
fn a_save_survives_a_kill_at_every_system_call() {
    let folder = tempfile::tempdir().unwrap();
    let store = keyed(folder.path());
    let (mut old, mut new, mut calls) = (0, 0, 0);
    loop {
        store.save("precious", &secret("old")).unwrap();
        let finished = kill_at::nth_system_call(folder.path(), calls);
        let found = store.load("precious").unwrap().unwrap();
        match found.reveal() {
            b"old" => old += 1,
            b"new" => new += 1,
            other => panic!("neither old nor new: {other:?}"),
        }
        if finished {
            break;
        }
        calls += 1;
    }
    assert!(calls > 40 && old > 10 && new > 0, "{calls} stops, {old} old, {new} new");
}

#[cfg(target_os = "linux")]
mod kill_at {
    use nix::sys::ptrace;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};

    /// Has a child replace the secret, stops it at each entry to and exit from a system call, and kills it at the
    /// `n`th stop. True if it ended by itself before.
    pub(super) fn nth_system_call(folder: &Path, n: usize) -> bool {
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_save_once")).arg(folder).stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        ptrace::attach(pid).unwrap();
        assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(..)));
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        for _ in 0..n {
            ptrace::syscall(pid, None).unwrap();
            match waitpid(pid, None).unwrap() {
                WaitStatus::Exited(_, code) => {
                    assert_eq!(code, 0);
                    drop(child.wait()); // Already reaped above.
                    return true;
                }
                WaitStatus::Stopped(..) | WaitStatus::PtraceSyscall(_) => {}
                other => panic!("{other:?}"),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        false
    }
}
