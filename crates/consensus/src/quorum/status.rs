//! What an operator sees: where the validators stand, and what this one waits for.

use std::time::Duration;

use chain::{Hash, Height};

use super::boundary::{Halt, Watch};
use super::message::Key;

/// The state of the decision, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The height that is decided on.
    pub height: Option<Height>,
    /// The round of it.
    pub round: u32,
    /// Who proposes in that round.
    pub proposer: Option<Key>,
    /// The weight of those whose first vote came.
    pub prevotes: u64,
    /// The weight of those whose second vote came.
    pub precommits: u64,
    /// The weight of all.
    pub weight: u64,
    /// Why there is no progress.
    pub waiting: Waiting,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    /// The chain must be read first.
    #[error("the chain is being read")]
    Start,
    /// Others decide.
    #[error("{0}")]
    Others(Watch),
    /// There is nothing to put into a block.
    #[error("there is nothing to say")]
    Work {
        /// When an empty block is made.
        until: Duration,
    },
    /// The proposer has not proposed.
    #[error("the proposal has not come")]
    Proposal,
    /// We propose, and our block is not made or not durable yet.
    #[error("our own block is being made")]
    OurBlock,
    /// A proposed block is on its way.
    #[error("the body of block {block:.8} has not come")]
    Body {
        /// The block.
        block: Hash,
    },
    /// A proposed block is with the application.
    #[error("block {block:.8} has not been judged: if it never is, give it up with `block blacklist`")]
    Verdict {
        /// The block.
        block: Hash,
    },
    /// Too few have voted first, or they do not agree.
    #[error("too few validators have given their first vote")]
    Prevotes,
    /// Too few have voted second, or they do not agree.
    #[error("too few validators have given their second vote")]
    Precommits,
    /// The decided block must be written first.
    #[error("the decided block is being written")]
    Commit,
    /// The journal is being written.
    #[error("the journal is being written")]
    Disk,
    /// This node does not vote any more.
    #[error("{0}")]
    Halted(Halt),
}
