//! The command line of `devnet`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anabranch::chain::native;
use clap::{Subcommand, ValueEnum};

use super::duration;

/// How many validators a devnet has where nobody says otherwise: the fewest of which one may lie.
pub(crate) const DEVNET_NODES: u32 = 4;

/// The most nodes in one process: each has a store, an application and links to all others.
const MAX_NODES: i64 = 32;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Devnet {
    #[command(subcommand)]
    pub(crate) order: Option<DevnetOrder>,
    /// How many validators agree on the chain [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_NODES))]
    pub(crate) nodes: Option<u32>,
    /// What the validators may do wrong without harm.
    #[arg(long, value_enum, default_value = "byzantine")]
    pub(crate) faults: Faults,
    /// How many more nodes follow, serve and relay [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_NODES))]
    pub(crate) followers: Option<u32>,
    /// Where to keep the nodes [default: a temporary directory, removed at the end].
    #[arg(long, env = "ANABRANCH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the first node serves clients; port 0 lets the system choose, the address is printed.
    #[arg(long, default_value = "127.0.0.1:3001", value_name = "ADDR")]
    pub(crate) downstream: SocketAddr,
    /// Stop after this long, such as `30s` or `5m`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) run_for: Option<Duration>,
    /// Make a transaction up this often, such as `1s` or `50ms`.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = duration)]
    pub(crate) every: Duration,
    /// Make nothing up: blocks are made of what is put in, and an empty one after `--every` without.
    #[arg(long)]
    pub(crate) no_made_up: bool,
}

/// What to do with a node of a running devnet.
#[derive(Debug, Subcommand)]
pub(crate) enum DevnetOrder {
    /// End a node at once, as a crash does.
    Kill(Target),
    /// Start a node that is down.
    Start(Target),
}

/// Which node of which devnet.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Its number, or its name such as `node-2` or `follower-1`.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// The devnet's directory.
    #[arg(long, env = "ANABRANCH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

/// What validators may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Faults {
    /// Less than a third of them may lie.
    Byzantine,
    /// Less than half of them may stop; none lies.
    Crash,
}

impl From<Faults> for native::Faults {
    fn from(faults: Faults) -> Self {
        match faults {
            Faults::Byzantine => Self::Byzantine,
            Faults::Crash => Self::Crash,
        }
    }
}
