//! What the node asks the application, and what that answers: the boundary as data.
//!
//! The node never waits for an answer: each question has a deadline of the node's, and what is not answered by then
//! counts as [`Verdict::Ignore`]. A slow application delays its own transactions and blocks and nothing else.

use bytes::Bytes;
use chain::native::{StateRoot, Validators};
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
    /// Something about snapshots of its state.
    Snapshot(Snapshot),
}

/// A question about snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// Of which states does it give pieces? Answered by [`Answer::Snapshots`].
    Offered,
    /// A piece, for a peer. Answered by [`Answer::Piece`].
    Piece {
        /// Of which state.
        of: StateRoot,
        /// The piece's name.
        name: Bytes,
    },
    /// Begin to put this state together. Answered by [`Answer::Restoring`].
    Restore {
        /// Which.
        to: StateRoot,
    },
    /// Take this piece, whoever gave it. Answered by [`Answer::Taken`].
    Take {
        /// The piece's name.
        name: Bytes,
        /// The piece.
        piece: Bytes,
    },
    /// No piece is wanted any more: stand there. Answered by [`Answer::Applied`].
    Restored {
        /// The block that it is the state after.
        tip: Tip,
    },
    /// Drop what was put together: nothing is taken after all. Answered by [`Answer::Restoring`] with `None`.
    Forget,
}

/// What became of a piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was right, and is kept; these are wanted as well now.
    Right {
        /// Their names.
        more: Vec<Bytes>,
    },
    /// It is not what it should be, whoever gave it: nothing was taken, and it is still wanted.
    Wrong {
        /// Why, for a person.
        reason: String,
    },
    /// It is not wanted, or not any more.
    Unasked,
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
    /// The states of which it gives pieces, newest first.
    Snapshots(Vec<StateRoot>),
    /// The piece; `None` where it does not give it, or not any more.
    Piece(Option<Bytes>),
    /// The pieces that it wants first; `None` where it takes no snapshots, or not any more.
    Restoring(Option<Vec<Bytes>>),
    /// What became of a piece.
    Taken(Taken),
    /// It cannot go on, for its own reasons: nothing more is delivered, and the status says so. To a question about
    /// snapshots: it has no answer to this one.
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
