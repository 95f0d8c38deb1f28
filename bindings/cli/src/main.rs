//! `sealwire`: Sealwire for the shell. Arguments in, core called, result out; no cryptography and no format here.
//!
//! A command's arguments are in `args`, what it does in `commands/<its name>`.

mod args;
mod commands;
mod expected;
mod keys;
mod input;
mod output;
mod interrupt;
mod transfer;
mod failure;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::Cli::typed().and_then(|cli| commands::run(&cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
