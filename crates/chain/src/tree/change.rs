//! What the fork tree answers: what moved, what became irreversible, what was refused.

use std::sync::Arc;

use crate::{Cursor, Entry, Hash, Header, Tip};

/// What one call did to the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where the old and the new chain part: the old head itself when nothing was rolled back.
    pub ancestor: Cursor,
    /// The blocks that left our chain, newest first.
    pub rolled_back: Vec<Hash>,
    /// The blocks that joined our chain, oldest first.
    pub rolled_forward: Vec<Hash>,
    /// The head afterwards.
    pub head: Tip,
    /// The best header afterwards.
    pub best: Tip,
    /// What is in the tree no longer, though it did not become irreversible: evicted, or beside what did.
    pub dropped: Vec<Hash>,
}

impl Change {
    /// Whether our chain is another than before.
    pub fn is_move(&self) -> bool {
        !(self.rolled_back.is_empty() && self.rolled_forward.is_empty())
    }
}

/// What became irreversible, and what cannot be on our chain any more because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The blocks that became irreversible, oldest first: what the log appends.
    pub blocks: Vec<Arc<Entry>>,
    /// What moved; `dropped` names the forks that were cut off.
    pub change: Change,
}

/// What became irreversible without a look at its bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bare {
    /// The headers of the blocks, oldest first.
    pub headers: Vec<Header>,
    /// What moved; `dropped` names the forks that were cut off.
    pub change: Change,
}

/// Why the tree did not take something. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header is in the tree already, or is the root.
    #[error("header {id:.8} is known")]
    Known {
        /// The header.
        id: Hash,
    },
    /// The body is in the tree already.
    #[error("the body of {id:.8} is known")]
    HasBody {
        /// The block.
        id: Hash,
    },
    /// The block below is neither in the tree nor its root: too old, or not yet heard of.
    #[error("the parent of {id:.8} is not in the tree")]
    UnknownParent {
        /// The header.
        id: Hash,
        /// Its previous hash.
        parent: Option<Hash>,
    },
    /// The tree holds no such header.
    #[error("{id:.8} is not in the tree")]
    Unknown {
        /// What was asked for.
        id: Hash,
    },
    /// A block cannot become irreversible before all bodies up to it are there.
    #[error("a body below or at {id:.8} is missing")]
    Incomplete {
        /// The block.
        id: Hash,
    },
    /// No room for another header, and no lower branch to drop.
    #[error("the fork tree is full: {max} headers")]
    TooManyHeaders {
        /// The bound.
        max: usize,
    },
    /// No room for another branch, and no lower branch to drop.
    #[error("the fork tree is full: {max} branches")]
    TooManyBranches {
        /// The bound.
        max: usize,
    },
    /// No room for so many bytes, and no lower branch to drop.
    #[error("the fork tree is full: {bytes} more bytes would pass {max}")]
    TooManyBytes {
        /// What was to be added.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}
