//! `sealwire-glue MODULE OUT NAME`: what `wasm-bindgen --target web` does, for one module, and without a command line to download.

use std::env::args;
use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let (Some(module), Some(out), Some(name)) = (args().nth(1), args().nth(2), args().nth(3)) else {
        eprintln!("usage: sealwire-glue MODULE OUT NAME");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    // A trap leaves the instance unusable: `__wbg_reset_state` makes a new one, and objects of the old one refuse.
    let written = bindgen
        .web(true)
        .map(|bindgen| bindgen.omit_default_module_path(true).reset_state_function(true).typescript(true))
        .map(|bindgen| bindgen.input_path(module).out_name(&name).remove_producers_section(true))
        .and_then(|bindgen| bindgen.generate(out));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
