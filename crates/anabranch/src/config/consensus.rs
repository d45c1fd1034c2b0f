//! `[consensus]`: the times of a validator, and the key that it votes with.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Error, nonzero, nonzero32};

/// The times of a validator. They are learned; these are the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consensus {
    /// The file with the key that this node votes with; `validator.key` in the data directory, where there is one and
    /// it is not set. Without a key the node follows, serves and relays.
    pub key: Option<PathBuf>,
    /// The least time that a proposal is waited for, with its body and until it is judged.
    pub propose_least_ms: NonZeroU64,
    /// The most.
    pub propose_most_ms: NonZeroU64,
    /// The least time that votes are waited for once a quorum has voted and does not agree.
    pub vote_least_ms: NonZeroU64,
    /// The most.
    pub vote_most_ms: NonZeroU64,
    /// How long each further round of a height may take, in percent of the one before.
    pub growth_percent: NonZeroU32,
    /// After so long without progress the last votes are sent once more.
    pub repeat_ms: NonZeroU64,
    /// How long to wait with an empty block when there is nothing to say; 0: not at all.
    pub rest_ms: u64,
}

impl Default for Consensus {
    fn default() -> Self {
        Self {
            key: None,
            // Guesses for links of up to a few hundred milliseconds, which learning then corrects.
            propose_least_ms: nonzero(1_000),
            propose_most_ms: nonzero(60_000),
            vote_least_ms: nonzero(500),
            vote_most_ms: nonzero(30_000),
            growth_percent: nonzero32(150),
            repeat_ms: nonzero(2_000),
            // A guess: often enough to see that the chain lives, seldom enough that the disk does not fill with nothing.
            rest_ms: 10_000,
        }
    }
}

impl Consensus {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let pairs = [
            (
                self.propose_least_ms,
                self.propose_most_ms,
                "consensus.propose_least_ms",
                "consensus.propose_most_ms",
            ),
            (self.vote_least_ms, self.vote_most_ms, "consensus.vote_least_ms", "consensus.vote_most_ms"),
        ];
        for (least, most, less, more) in pairs {
            if least > most {
                return Err(Error::Order { less, more });
            }
        }
        match self.growth_percent.get() {
            101..=400 => Ok(()),
            found => Err(Error::Growth { found }),
        }
    }
}
