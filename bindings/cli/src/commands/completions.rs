use crate::args::{Cli, CompletionsArgs};
use crate::failure::Result;
use clap::CommandFactory;
use std::io::{self, Write};

pub(super) fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sealwire", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
