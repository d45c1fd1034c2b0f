//! The program `anabranch`: a real chain in, thousands of clients out.
//!
//! It parses the command line, reads the configuration, runs one command and turns what went wrong into a
//! message that says what to do and a stable exit code ([`exit::Kind`]). What a node does is in the library
//! `anabranch`; nothing here knows a protocol.

mod args;
mod commands;
mod exit;
mod logging;
mod output;
mod progress;
mod remote;
mod settings;
mod shutdown;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let json = args.json;
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}
