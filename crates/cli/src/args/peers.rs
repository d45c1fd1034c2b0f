//! The arguments of the commands about peers.

use std::path::PathBuf;
use std::time::Duration;

use anabranch::network::PeerAddress;
use anabranch::peers::Named;
use clap::{Subcommand, ValueEnum};

use super::{Place, duration};

/// Who this node, or this command, is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Identity {
    /// The file with the key [default: peer.key in the data directory; for `ping` one made for the occasion].
    #[arg(long, env = "ANABRANCH_IDENTITY", value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a new key in a file that is not there yet, and print what peers know it by.
    Generate {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        identity: Identity,
        /// The key that the node votes with, instead: validator.key in the data directory.
        #[arg(long, conflicts_with = "identity")]
        validator: bool,
    },
    /// Print what peers know the key by.
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        identity: Identity,
        /// The key that the node votes with, instead: validator.key in the data directory.
        #[arg(long, conflicts_with = "identity")]
        validator: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Go on, and print the list again every so often, such as `1s`.
    #[arg(long, value_name = "TIME", value_parser = duration, num_args = 0..=1, default_missing_value = "1s")]
    pub(crate) watch: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Peer {
    /// Link with a peer, now and after each restart.
    Add {
        #[command(flatten)]
        place: Place,
        /// Who, and where it listens.
        #[arg(value_name = "KEY@HOST:PORT")]
        peer: PeerAddress,
    },
    /// Reserve a place for a peer, and never give it up; with its address it is added too.
    Pin(Who),
    /// Give the reserved place back; the peer stays.
    Unpin(Who),
    /// Disconnect a peer and forget it.
    Drop(Who),
    /// Disconnect a peer and refuse it from now on.
    Ban(Who),
    /// Let a banned peer in again.
    Unban(Who),
    /// Set how bodies of blocks go between a peer and the node, for as long as it runs.
    Mode {
        #[command(flatten)]
        who: Who,
        /// How.
        #[arg(value_enum)]
        mode: Mode,
    },
}

/// How bodies go between a peer and the node.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Mode {
    /// It is asked before all others.
    Active,
    /// It is asked when nobody else is left.
    Backup,
    /// No bodies either way; headers and finality still flow.
    Off,
    /// As it comes.
    Auto,
}

/// Which peer of which node.
#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Who.
    #[arg(value_name = "KEY[@HOST:PORT]")]
    pub(crate) peer: Named,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ping {
    /// Whom to ping.
    #[arg(value_name = "KEY@HOST:PORT")]
    pub(crate) peer: PeerAddress,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// How many round trips to measure.
    #[arg(long, default_value = "4", value_name = "N")]
    pub(crate) count: std::num::NonZeroU32,
    /// Also send messages of this many bytes, have them sent back, and say how fast that went.
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<std::num::NonZeroU32>,
}
