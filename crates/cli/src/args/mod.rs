//! The command line. Flags go over environment, environment over the file, the file over the defaults.

mod devnet;
mod init;
mod kv;
mod peers;
mod sim;
mod tx;

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use anabranch::network::PeerAddress;
use anabranch::peers::Listen;
use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use devnet::{DEVNET_NODES, Devnet, DevnetOrder};
pub(crate) use init::{Init, Machine};
pub(crate) use kv::{Get, Kv};
pub(crate) use peers::{Identity, Key, Mode, Peer, Peers, Ping, Who};
pub(crate) use sim::Sim;
pub(crate) use tx::{Tx, TxValidators};

const EXIT_CODES: &str = "Exit codes: 0 done · 1 failed · 2 wrong command line · 3 wrong configuration · \
4 data directory cannot be used · 5 network refused · 6 data damaged · 7 no node running · 8 interrupted · 9 security";

/// A real chain in, thousands of clients out.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Args {
    /// Print JSON: one object, or one object a line where the command goes on.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to log: a level or a filter such as `info,anabranch::upstream=debug`.
    #[arg(long, global = true, env = "ANABRANCH_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How to log, on standard error.
    #[arg(long, global = true, env = "ANABRANCH_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// See the configuration's key of the same name.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For a person.
    Text,
    /// One object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the blocks of a Cardano node's `immutable` directory into the data directory.
    Import(Import),
    /// Follow upstream servers and serve downstream clients until stopped.
    Run(Run),
    /// Print a line for each block that any node-to-node server rolls forward or back to.
    Follow(Follow),
    /// Run a network of one's own in one process: validators that agree on a chain, served downstream.
    Devnet(Devnet),
    /// Lay out a network of one's own for several machines: keys, genesis, a configuration for each.
    Init(Init),
    /// Run many nodes in a simulated world, from a seed, with faults and liars; say how well they did.
    Sim(Sim),
    /// Hand a transaction to a running node.
    #[command(subcommand)]
    Tx(Tx),
    /// Read what a running node's chain says, with a proof.
    #[command(subcommand)]
    Kv(Kv),
    /// Say what a running node is doing.
    Status(Place),
    /// List the clients of a running node, and what each is doing.
    Clients(Place),
    /// Link with a peer for a moment: how long it takes to get there, and what it says.
    Ping(Ping),
    /// List the links of a running node, and what each is doing.
    Peers(Peers),
    /// Add, pin, drop or ban a peer of a running node.
    #[command(subcommand)]
    Peer(Peer),
    /// Say where the validators of a running node's chain stand, and why they get no further.
    #[command(subcommand)]
    Consensus(Consensus),
    /// Do something about a block that is being decided on.
    #[command(subcommand)]
    Block(Block),
    /// Make or show the key that a node proves to its peers who it is with.
    #[command(subcommand)]
    Key(Key),
    /// Look after a data directory.
    #[command(subcommand)]
    Db(Db),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell.
    Completions {
        /// The shell to complete for.
        shell: clap_complete::Shell,
    },
}

/// Which node a command is about.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Place {
    /// The configuration file (TOML).
    #[arg(long, env = "ANABRANCH_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the node keeps its chain.
    #[arg(long, env = "ANABRANCH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// mainnet, preprod, preview, devnet, or the path of a network file.
    #[arg(long, env = "ANABRANCH_NETWORK", value_name = "NAME|FILE")]
    pub(crate) network: Option<String>,
    /// Where the admin API listens: a loopback address, or the path of a Unix socket [default: in the
    /// data directory].
    #[arg(long, env = "ANABRANCH_ADMIN", value_name = "ADDR|PATH")]
    pub(crate) admin: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The `immutable` directory of a Cardano node.
    #[arg(long, value_name = "DIR")]
    pub(crate) immutable: PathBuf,
    /// What to check beyond the sums of the files.
    #[arg(long, value_enum, default_value = "links")]
    pub(crate) check: Check,
}

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// Each block's hash, and that it names the block before.
    Links,
    /// Also each header's signatures, certificate and VRF proof, and each body's hash.
    Headers,
}

impl std::convert::From<Check> for anabranch::store::Check {
    fn from(check: Check) -> Self {
        match check {
            Check::Links => Self::Links,
            Check::Headers => Self::Headers,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Serve clients here; port 0 lets the system choose, the address is printed. May be repeated.
    #[arg(long, env = "ANABRANCH_DOWNSTREAM", value_name = "ADDR", value_delimiter = ',')]
    pub(crate) downstream: Vec<SocketAddr>,
    /// Follow this node-to-node server. May be repeated; more than one is what makes a liar visible.
    #[arg(long, env = "ANABRANCH_UPSTREAM", value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) upstream: Vec<String>,
    /// How many upstreams must serve a block before it is irreversible [default: more than half].
    #[arg(long, env = "ANABRANCH_AGREE", value_name = "M")]
    pub(crate) agree: Option<NonZeroUsize>,
    /// Listen for peers here: an address (port 0 lets the system choose) or `unix:PATH`. May be repeated.
    #[arg(long, env = "ANABRANCH_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    pub(crate) listen: Vec<Listen>,
    /// Link with this peer, which must prove that it has the key. May be repeated.
    #[arg(long, env = "ANABRANCH_PEER", value_name = "KEY@HOST:PORT", value_delimiter = ',')]
    pub(crate) peer: Vec<PeerAddress>,
    #[command(flatten)]
    pub(crate) identity: Identity,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Follow {
    /// The server to follow.
    #[arg(value_name = "HOST:PORT")]
    pub(crate) server: String,
    /// mainnet, preprod, preview, devnet, the path of a network file, or a network magic.
    #[arg(long, env = "ANABRANCH_NETWORK", value_name = "NAME|FILE|MAGIC")]
    pub(crate) network: String,
    /// Where to begin: `origin`, `tip`, or a point.
    #[arg(long, default_value = "tip", value_name = "origin|tip|SLOT.HASH")]
    pub(crate) from: From,
    /// Stop after so many roll-forwards.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// Fetch each block too.
    #[arg(long)]
    pub(crate) blocks: bool,
}

/// Where a follower begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// At the server's tip.
    Tip,
    /// At a point, or at origin.
    Point(anabranch::chain::Point),
}

impl std::str::FromStr for From {
    type Err = anabranch::chain::point::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tip" => Ok(Self::Tip),
            point => point.parse().map(Self::Point),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Consensus {
    /// The height and round, who proposes, the votes, what is waited for, and lies that were seen.
    Status(Place),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Block {
    /// Give a proposed block up that never gets a verdict: this node judges it wrong and never votes for it.
    Blacklist {
        #[command(flatten)]
        place: Place,
        /// The block's hash, as `consensus status` names it.
        #[arg(value_name = "ID")]
        id: anabranch::chain::Hash,
    },
    /// Take that back: the block is judged as any other when it is proposed again.
    Allow {
        #[command(flatten)]
        place: Place,
        /// The block's hash.
        #[arg(value_name = "ID")]
        id: anabranch::chain::Hash,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Check every record, link, sum and index entry.
    Verify {
        #[command(flatten)]
        place: Place,
        /// What to check beyond the sums of the files.
        #[arg(long, value_enum, default_value = "links")]
        check: Check,
        /// Read the whole log first, and cut it back before the first damage.
        #[arg(long)]
        repair: bool,
    },
    /// Remove the consensus journal: what this node's key voted for in the height that was under way is forgotten.
    ForgetJournal {
        #[command(flatten)]
        place: Place,
        /// The key votes nowhere else, and the others have decided that height, or never will without it.
        #[arg(long)]
        yes: bool,
    },
    /// Write the blocks out again.
    Export {
        #[command(flatten)]
        place: Place,
        /// Into this file, one after the other as the chunk files of a Cardano node hold them; `-` for standard
        /// output.
        #[arg(long, short, value_name = "FILE", required_unless_present = "immutable")]
        output: Option<PathBuf>,
        /// Into this new directory, as a Cardano node's `immutable`.
        #[arg(long, value_name = "DIR", conflicts_with = "output")]
        immutable: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the configuration in force: flags over environment over file over defaults.
    Show(Place),
    /// Say whether the configuration is sound.
    Check(Place),
}

/// Reads a public key of 64 hexadecimal digits.
fn validator_key(text: &str) -> Result<[u8; 32], String> {
    let hash: Result<anabranch::chain::Hash, _> = text.parse();
    hash.map(|hash| hash.0).map_err(|error| format!("`{text}` is no public key: {error}"))
}

/// Reads `250ms`, `30s`, `5m` or `2h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let refused = || format!("`{text}` is not a time: give `250ms`, `30s`, `5m` or `2h`");
    let number: u64 = number.parse().map_err(|_| refused())?;
    let ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refused()),
    };
    let total = number.checked_mul(ms).filter(|total| *total > 0).ok_or_else(refused)?;
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn reads_times_with_units_and_refuses_others() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "s", "0s", "5 m", "1d", "-1s", "99999999999999999999s", "9999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
