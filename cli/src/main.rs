//! `wvs`: the command line of the WebAssembly virtual server.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by it"))]

mod args;
mod client;
mod commands;
mod error;
mod exit;
mod local;
mod logging;
mod output;
mod render;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use exit::Exit;
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version come this way too. Whoever closed the pipe does not want to know.
            let _ = message.print();
            return if message.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    let output = Output::new(&cli.global);
    logging::start(&cli.global, matches!(cli.command, Command::Run(_)), &output);
    match commands::execute(&cli, &output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::write_message(&error::render(&error, output.message_paint));
            error.exit().into()
        }
    }
}
