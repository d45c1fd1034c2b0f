//! The commands, one file each.

mod clients;
mod config;
mod db;
mod devnet;
mod follow;
mod import;
mod key;
mod peer;
mod peers;
mod ping;
mod report;
mod run;
mod serve;
mod status;
mod tx;

use clap::CommandFactory;

use crate::args::{Args, Command};
use crate::exit::Failure;
use crate::output::Output;
use crate::{logging, settings};

/// Runs the command of these arguments to its end.
///
/// # Errors
/// Whatever made it fail, with its exit code.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let config = settings::load(&args)?;
    logging::start(&config.log)?;
    let output = Output { json: args.json };
    match &args.command {
        Command::Import(import) => import::run(import, &config, output),
        Command::Run(_) => block_on(run::run(config, output)),
        Command::Follow(follow) => block_on(follow::run(follow, output)),
        Command::Devnet(devnet) => block_on(devnet::run(devnet, config, output)),
        Command::Tx(tx) => block_on(tx::run(tx, &config, output)),
        Command::Status(_) => block_on(status::run(&config, output)),
        Command::Clients(_) => block_on(clients::run(&config, output)),
        Command::Ping(ping) => block_on(ping::run(ping, &config, output)),
        Command::Peers(peers) => block_on(peers::run(peers, &config, output)),
        Command::Peer(peer) => block_on(peer::run(peer, &config, output)),
        Command::Key(key) => key::run(key, &config, output),
        Command::Db(db) => db::run(db, &config, output),
        Command::Config(command) => config::run(command, &config, output),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Args::command(), "anabranch", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// Runs a command that waits for sockets.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
