//! `/consensus`: where the validators of a chain stand, and why they get no further.

use chain::Hash;
use serde::{Deserialize, Serialize};

use super::Tip;

/// Where the validators stand, as this node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consensus {
    /// The height that is decided on; none before the chain is read, and none once this node votes no more.
    pub height: Option<u64>,
    /// The round of it.
    pub round: u32,
    /// Who proposes in that round, where this node votes.
    pub proposer: Option<String>,
    /// The weight of those whose first vote came.
    pub prevotes: u64,
    /// The weight of those whose second vote came.
    pub precommits: u64,
    /// The weight of all validators.
    pub weight: u64,
    /// What is waited for, and what may be done about it.
    pub waiting: String,
    /// The last block that is known to be irreversible.
    pub certified: Tip,
    /// Blocks that were given up by hand.
    pub blacklist: Vec<String>,
    /// Validators that signed two things of which an honest one signs one, as seen by this node, in earlier lives as well, oldest first.
    pub evidence: Vec<Evidence>,
}

/// A lie of a validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who lied.
    pub validator: String,
    /// At which height.
    pub height: u64,
    /// In which round.
    pub round: u32,
    /// What was signed twice: `votes` or `proposals`.
    pub of: String,
}

impl From<&node::member::Status> for Consensus {
    fn from(status: &node::member::Status) -> Self {
        let consensus = &status.consensus;
        Self {
            height: consensus.height.map(|height| height.0),
            round: consensus.round,
            proposer: consensus.proposer.map(|key| Hash(key).to_string()),
            prevotes: consensus.prevotes,
            precommits: consensus.precommits,
            weight: consensus.weight,
            waiting: consensus.waiting.to_string(),
            certified: status.certified.into(),
            blacklist: status.blacklist.iter().map(ToString::to_string).collect(),
            evidence: status.evidence.iter().map(Evidence::from).collect(),
        }
    }
}

impl From<&consensus::quorum::Evidence> for Evidence {
    fn from(evidence: &consensus::quorum::Evidence) -> Self {
        let of = match evidence {
            consensus::quorum::Evidence::Votes(_) => "votes",
            consensus::quorum::Evidence::Proposals(_) => "proposals",
        };
        Self {
            validator: Hash(evidence.validator()).to_string(),
            height: evidence.height().0,
            round: evidence.round(),
            of: of.into(),
        }
    }
}
