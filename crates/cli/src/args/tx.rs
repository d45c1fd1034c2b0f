//! The command line of `tx`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Place, validator_key};

#[derive(Debug, Subcommand)]
pub(crate) enum Tx {
    /// Put a value under a key.
    Put {
        #[command(flatten)]
        place: Place,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Take a key and its value away.
    Delete {
        #[command(flatten)]
        place: Place,
        /// The key.
        key: String,
    },
    /// Change who the validators are: propose it, have a quorum of them sign it, send it.
    #[command(subcommand)]
    Validators(TxValidators),
}

/// A change of validators travels from hand to hand as a file.
#[derive(Debug, Subcommand)]
pub(crate) enum TxValidators {
    /// Write a change down, as the next one on a running node's chain.
    Propose {
        #[command(flatten)]
        place: Place,
        /// The validator's public key, as `key show --validator` prints it.
        #[arg(value_parser = validator_key)]
        key: [u8; 32],
        /// Its new weight; 0 takes it out.
        weight: u64,
        /// The file to write.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Agree with a change: add the signature of this data directory's `validator.key`.
    Sign {
        #[command(flatten)]
        place: Place,
        /// The change.
        file: PathBuf,
    },
    /// Hand a change that enough have signed to a running node.
    Send {
        #[command(flatten)]
        place: Place,
        /// The change.
        file: PathBuf,
    },
}

impl Tx {
    /// Which node it is about.
    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Put { place, .. }
            | Self::Delete { place, .. }
            | Self::Validators(
                TxValidators::Propose { place, .. }
                | TxValidators::Sign { place, .. }
                | TxValidators::Send { place, .. },
            ) => place,
        }
    }
}
