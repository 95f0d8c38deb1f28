//! The one loop that moves bytes, and its progress bar.

use crate::failure::{At, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;
use zeroize::Zeroizing;

const BLOCK: usize = 256 * 1024;

/// Moves all of `from` into `to`. `total` is how much that will be, for the progress bar.
pub(crate) fn transfer(from: &mut impl Read, to: &mut impl Write, total: Option<u64>) -> Result<()> {
    let mut progress = Progress::new(total);
    let mut block = Zeroizing::new(vec![0; BLOCK]);
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        to.write_all(block.get(..read).unwrap_or_default()).at("writing the output")?;
        progress.add(read as u64);
    }
}

/// A bar that shows on a terminal if the work is long, and is gone at the end.
struct Progress {
    bar: ProgressBar,
    /// It may still have to be shown: never if stderr is not a terminal.
    waiting: bool,
}

const LONG: Duration = Duration::from_secs(1);
const MUCH: u64 = 64 * 1024 * 1024;

impl Progress {
    fn new(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => {
                "{bar:20} {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
            }
            None => "{spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self { bar, waiting: io::stderr().is_terminal() }
    }

    fn add(&mut self, bytes: u64) {
        self.bar.inc(bytes);
        let much = self.bar.length().is_some_and(|total| total > MUCH);
        if self.waiting && (much || self.bar.elapsed() > LONG) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.waiting = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
