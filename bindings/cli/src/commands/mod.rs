//! What each command does; one file per command.

mod completions;
mod inspect;
mod keygen;
mod open;
mod recipient;
mod reseal;
mod rewrap;
mod seal;

use crate::args::Command;
use crate::failure::Result;

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Keygen(args) => keygen::run(args),
        Command::Recipient(args) => recipient::run(args),
        Command::Seal(args) => seal::run(args),
        Command::Open(args) => open::run(args),
        Command::Rewrap(args) => rewrap::run(args),
        Command::Reseal(args) => reseal::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Completions(args) => completions::run(args),
    }
}
