//! What the node asks the application, and what that answers: the boundary as data.
//!
//! The node never waits for an answer: each question has a deadline of the node's, and what is not answered by then
//! counts as [`Verdict::Ignore`]. A slow application delays its own transactions and blocks and nothing else.

use bytes::Bytes;
use chain::native::Validators;
use chain::{Block, Hash, Tip};

/// A question to the application.
#[derive(Debug, Clone)]
pub enum Question {
    /// Is this transaction worth passing on? A quick look. Answered by a verdict.
    CheckTx {
        /// The transaction.
        tx: Bytes,
    },
    /// May this proposed block be voted for? Its format was checked, and it stands on the block delivered last.
    /// Answered by a verdict.
    CheckBlock {
        /// The block.
        block: Block,
    },
    /// Which of these transactions, in which order, go into the next block? Answered by [`Answer::Built`].
    Build {
        /// The block before.
        parent: Tip,
        /// How many bytes of transactions there is room for, as encoded in the block.
        max_bytes: u64,
        /// What waits, oldest first.
        candidates: Vec<(Hash, Bytes)>,
    },
    /// This block is irreversible: take it in. They come in the order of the chain, each once. Answered by
    /// [`Answer::Applied`] when its effects outlast a crash.
    Deliver {
        /// The block.
        block: Block,
    },
}

/// The application's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a check.
    Verdict(Verdict),
    /// To a build: the ids of those that go in, in their order.
    Built(Vec<Hash>),
    /// To a delivery: where the application stands now.
    Applied(Applied),
    /// It cannot go on, for its own reasons: nothing more is delivered, and the status says so.
    Failed {
        /// The reason, for a person.
        reason: String,
    },
}

/// What the application says of a transaction or a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Accept,
    /// It cannot tell, or it is stale: no penalty.
    Ignore,
    /// It is wrong.
    Reject {
        /// Why, for a person.
        reason: String,
    },
}

/// Where the application stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The last block that it took in; the origin before the first.
    pub tip: Tip,
    /// The root of its state after that block, which later headers name; `None` where it keeps none.
    pub root: Option<Hash>,
    /// The validators that it asks for, where it does: a header announces them once they differ from those that are
    /// in force or announced. Every application of the chain must ask for the same after the same block.
    pub validators: Option<Validators>,
}
