//! What becomes of the temporary file when the command is told to end: Ctrl-C, `kill`, a closed terminal.

use sealwire::AtomicFile;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The file that must not outlive the command: with `open` it holds plaintext.
static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Makes a file whose temporary form is removed if the command is told to end.
pub(crate) fn guarded(create: impl FnOnce() -> io::Result<AtomicFile>) -> io::Result<AtomicFile> {
    #[cfg(unix)]
    unix::watch()?;
    // Held while the file is made, so that no signal finds it made and not yet named.
    let mut temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    let file = create()?;
    *temporary = Some(file.temporary_path().to_path_buf());
    Ok(file)
}

#[cfg(unix)]
mod unix {
    use super::{PoisonError, TEMPORARY, io};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use std::{fs, process, thread};

    /// Waits for a signal in a thread of its own, and then ends the command.
    pub(super) fn watch() -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&s| !is_ignored(s)))?;
        thread::Builder::new().spawn(move || {
            let Some(signal) = signals.forever().next() else { return };
            // Not given back: no other file is made from now on.
            let temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(path) = temporary.as_ref() {
                // Gone already if it was put in its place.
                let _ = fs::remove_file(path);
            }
            // Dies of the signal, so that a shell's loop stops too; the shell says 128 and the signal's number.
            let _ = emulate_default_handler(signal);
            process::exit(128 + signal);
        })?;
        Ok(())
    }

    /// `nohup` and a script's `&` have signals ignored, and that must stay so. Only Linux tells; elsewhere nothing counts as
    /// ignored.
    fn is_ignored(signal: i32) -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
        mask >> (signal - 1) & 1 == 1
    }
}
