//! The arguments of the commands about peers.

use std::path::PathBuf;

use clap::Subcommand;

use super::Place;

/// Who this node, or this command, is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Identity {
    /// The file with the key [default: peer.key in the data directory].
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
    },
    /// Print what peers know the key by.
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        identity: Identity,
    },
}
