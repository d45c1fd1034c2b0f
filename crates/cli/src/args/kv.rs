//! The command line of `kv`.

use clap::Subcommand;

use super::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum Kv {
    /// Say what a key has, and in which state of the chain.
    Get(Get),
    /// List the validators that the application asks for, and how many changes of them there were.
    Validators(Place),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The key.
    pub(crate) key: String,
    /// Have it proven, and check the proof against a header that validators agreed on.
    #[arg(long)]
    pub(crate) proof: bool,
}

impl Kv {
    /// Which node it is about.
    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Get(Get { place, .. }) | Self::Validators(place) => place,
        }
    }
}
