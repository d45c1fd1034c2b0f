//! The commands, one file each.

mod block;
mod clients;
mod config;
mod consensus;
mod db;
mod devnet;
mod follow;
mod import;
mod init;
mod key;
mod kv;
mod peer;
mod peers;
mod ping;
mod report;
mod run;
mod serve;
mod sim;
mod status;
mod tx;

use std::time::Duration;

use clap::CommandFactory;

use crate::args::{Args, Command, Consensus};
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
        Command::Init(init) => init::run(init, output),
        Command::Sim(sim) => sim::run_world(sim, output),
        Command::Tx(tx) => block_on(tx::run(tx, &config, output)),
        Command::Kv(kv) => block_on(kv::run(kv, &config, output)),
        Command::Status(_) => block_on(status::run(&config, output)),
        Command::Clients(_) => block_on(clients::run(&config, output)),
        Command::Ping(ping) => block_on(ping::run(ping, &config, output)),
        Command::Consensus(Consensus::Status(_)) => block_on(consensus::run(&config, output)),
        Command::Block(block) => block_on(block::run(block, &config, output)),
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

/// How long a command that is over waits for what cannot be broken off: the system's look-up of a name, which may take
/// half a minute where no server of names answers. A guess: nothing that must be finished takes longer.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// Runs a command that waits for sockets.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(LEFT_OVER);
    done
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_cannot_be_broken_off_keeps_no_command_from_ending() {
        let (let_go, waits) = mpsc::channel::<()>();
        let done = block_on(async {
            // As the look-up of a name does where nobody answers.
            drop(tokio::task::spawn_blocking(move || waits.recv()));
            Ok(())
        });
        assert!(done.is_ok());
        drop(let_go);
    }
}
