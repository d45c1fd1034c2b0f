//! Benchmarks, side by side in one run with what a user would pick instead.
//!
//! `bench NAME` starts each server and its load as processes of their own (this program again, under
//! hidden names), so that their CPU and memory are counted apart. The load decodes every header and block
//! that it gets. Beside ours run `bare`, a loop of system calls that does no work and is the floor, and
//! `pallas`, a server as a user of `pallas-network` would write it.

mod bare;
mod data;
mod load;
mod nodes;
mod ours;
mod pallas;
mod process;
mod report;
mod sealing;
mod tls;
mod wire;

mod broadcast;
mod catchup;
mod connects;
mod consensus;
mod fanout;
mod handshakes;
mod headers;
mod idle;
mod import;
mod lanes;
mod link;
mod log;
mod simulator;
mod sync;
mod tip;

use clap::{Parser, Subcommand};

use crate::data::Source;

/// Benchmarks, side by side with what a user would pick instead.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object instead of a table.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// 1,000 one-at-a-time followers; memory of 10,000 idle ones.
    Fanout(fanout::Args),
    /// One pipelining follower; block-fetch of small and of large blocks.
    Catchup(catchup::Args),
    /// From a new tip to the last of 4,000 waiting followers.
    Tip(tip::Args),
    /// Importing the real blocks.
    Import(import::Args),
    /// Synced appends to the block log.
    Log(log::Args),
    /// How many headers one core judges in a second.
    Headers(headers::Args),
    /// Handshakes of links, dialling and accepting on one core; what a session weighs.
    Handshakes(handshakes::Args),
    /// One encrypted link, 64 KB messages.
    Link(link::Args),
    /// Urgent messages while blocks stream.
    Lanes(lanes::Args),
    /// Four validators that agree on transactions.
    Consensus(consensus::Args),
    /// A fresh node catches up with a chain that validators have certified.
    Sync(sync::Args),
    /// Bodies of blocks through networks of many nodes, in virtual time.
    Broadcast(broadcast::Args),
    /// Seconds of a simulated world in a second.
    Sim(simulator::Args),
    /// What open links weigh while nothing happens on them.
    #[command(name = "idle_links")]
    IdleLinks(idle::Args),
    /// One end of the links of `idle_links` (started by the benchmarks).
    #[command(name = "idle_links_end", hide = true)]
    IdleLinksEnd(idle::EndArgs),
    /// One end of `lanes` (started by the benchmarks).
    #[command(hide = true)]
    LanesEnd(lanes::EndArgs),
    /// The line of `lanes` (started by the benchmarks).
    #[command(hide = true)]
    LanesRelay(lanes::RelayArgs),
    /// One end of a link (started by the benchmarks).
    #[command(hide = true)]
    LinkEnd(link::EndArgs),
    /// A server under test (started by the benchmarks).
    #[command(hide = true)]
    Serve(Serve),
    /// A load on a server (started by the benchmarks).
    #[command(hide = true)]
    Load(load::Args),
}

/// Which server a benchmark starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    Ours,
    /// A loop of system calls that does no work.
    Bare,
    /// A straightforward program on `pallas-network`'s `PeerServer`.
    Pallas,
}

/// How a server under test is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    #[arg(value_enum)]
    pub(crate) kind: Kind,
    /// Which chain it serves.
    #[arg(long, default_value = "preview")]
    pub(crate) source: Source,
    /// How many of the last blocks it keeps back, to publish one at each `swap`.
    #[arg(long, default_value_t = 0)]
    pub(crate) hold_back: usize,
    /// How many threads serve.
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let report = match &cli.command {
        Command::Fanout(args) => fanout::run(args)?,
        Command::Catchup(args) => catchup::run(args)?,
        Command::Tip(args) => tip::run(args)?,
        Command::Import(args) => import::run(args)?,
        Command::Log(args) => log::run(args)?,
        Command::Headers(args) => headers::run(args)?,
        Command::Handshakes(args) => handshakes::run(args)?,
        Command::Link(args) => link::run(args)?,
        Command::Lanes(args) => lanes::run(args)?,
        Command::Consensus(args) => consensus::run(args)?,
        Command::Sync(args) => sync::run(args)?,
        Command::Sim(args) => simulator::run_bench(args)?,
        Command::Broadcast(args) => broadcast::run(args)?,
        Command::IdleLinks(args) => idle::run(args)?,
        Command::IdleLinksEnd(args) => return idle::run_end(args),
        Command::LanesEnd(args) => return lanes::run_end(args),
        Command::LanesRelay(args) => return lanes::run_relay(args),
        Command::LinkEnd(args) => return link::run_end(args),
        Command::Serve(serve) => return start(serve),
        Command::Load(args) => return load::run(args),
    };
    report.print(cli.json);
    Ok(())
}

fn start(serve: &Serve) -> anyhow::Result<()> {
    match serve.kind {
        Kind::Ours => ours::run(serve),
        Kind::Bare => bare::run(serve),
        Kind::Pallas => pallas::run(serve),
    }
}
