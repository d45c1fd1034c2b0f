//! The boundary to the application: what a chain of one's own implements ([`Logic`]), and the threads that ask it
//! ([`Pool`]).
//!
//! The node asks and goes on: it never waits for an answer, and what is not answered by its deadline counts as
//! [`Verdict::Ignore`]. The application may block as long as it likes on the threads of the pool; it delays its own
//! transactions and blocks and nothing else.
//!
//! Bytes cross the boundary, never a handle to a database. The application decides what a transaction means, the
//! node decides everything between peers. The shapes follow `spec/diffusion.md`, "The two records, as Rust"; what the
//! node asks and hears as data is [`node::application`].
//!
//! **Invariant:** deliveries reach the application in the order of the chain, each once while the process runs, from
//! one thread; what is asked after a delivery (a block to check, a block to build) sees it. A transaction may be
//! checked beside a delivery.
//!
//! **Invariant:** the threads are a fixed number, the queues have a bound, and no task or thread is made per item.

mod pool;
mod queries;
mod queue;

use bytes::Bytes;
use chain::native::{StateRoot, transactions};
use chain::{Block, Hash, Tip};

pub use node::application::{Answer, Applied, Question, Snapshot, Taken, Verdict};
pub use pool::{Config, Pool};
pub use queries::{Queries, Unanswered};

/// How many bytes a transaction takes in a block beside its own, at most.
pub const TRANSACTION_HEAD_BYTES: u64 = 5;

/// How many bytes the name of a piece has at most.
pub const MAX_PIECE_NAME_BYTES: usize = 64;

/// How many bytes a piece of a snapshot has at most: a message that no link minds.
pub const MAX_PIECE_BYTES: usize = 1 << 20;

/// An application: what the blocks of a chain mean.
///
/// Its methods are called from the threads of a [`Pool`] and may block. `check_tx`, `snapshots` and `piece` may run on
/// several threads at once and beside the others; of the others, one runs at a time. After the same blocks, the applications of all
/// nodes must be in the same state: whatever decides what a block does (no clock, no randomness, no order of a hash
/// map) comes out of the blocks.
pub trait Logic: Send + Sync + 'static {
    /// Is this transaction worth passing on? A quick look at it, against the state of now.
    ///
    /// [`Verdict::Reject`] is for what is wrong for ever; what may become right, or was right once, is
    /// [`Verdict::Ignore`].
    fn check_tx(&self, tx: &[u8]) -> Verdict;

    /// May this proposed block be voted for? It stands on the block delivered last.
    ///
    /// Unless the application says otherwise: if each of its transactions, alone, passes
    /// [`check_tx`](Self::check_tx).
    fn check_block(&self, block: &Block) -> Verdict {
        let Ok(transactions) = transactions(block) else {
            return Verdict::Reject { reason: "its transactions cannot be read".into() };
        };
        let verdicts = transactions.iter().map(|tx| self.check_tx(tx));
        verdicts.fold(Verdict::Accept, |all, one| match (&all, &one) {
            (Verdict::Reject { .. }, _) | (Verdict::Ignore, Verdict::Accept | Verdict::Ignore) => all,
            _ => one,
        })
    }

    /// Which of these transactions, in which order, go into the block after `parent`? The ids of those that do.
    ///
    /// `max_bytes` bounds what they take in the block: each its own bytes and [`TRANSACTION_HEAD_BYTES`] at most.
    /// Unless the application says otherwise: those that pass [`check_tx`](Self::check_tx), oldest first, while there
    /// is room.
    fn build(&self, _parent: Tip, max_bytes: u64, candidates: &[(Hash, Bytes)]) -> Vec<Hash> {
        let mut left = max_bytes;
        let mut ids = Vec::new();
        for (id, tx) in candidates {
            let bytes = tx.len() as u64 + TRANSACTION_HEAD_BYTES;
            if bytes <= left && self.check_tx(tx) == Verdict::Accept {
                left -= bytes;
                ids.push(*id);
            }
        }
        ids
    }

    /// Where the application stands. Asked once at the start: deliveries go on after it.
    ///
    /// # Errors
    /// When it cannot say; the node does not start then.
    fn applied(&self) -> Result<Applied, Failed>;

    /// Takes in an irreversible block, and says where the application stands then. Its effects outlast a crash once
    /// this returns.
    ///
    /// A block is delivered even where the application would not have voted for it: others had the majority. What it
    /// cannot make sense of must do nothing, at every node alike.
    ///
    /// # Errors
    /// When it cannot go on, a full disk say: nothing more is delivered until the node is started again.
    fn deliver(&self, block: &Block) -> Result<Applied, Failed>;

    /// Takes in several blocks in a row, oldest first, and says where the application stood after each. For
    /// applications that save work so: one sync for all of them.
    ///
    /// # Errors
    /// As [`deliver`](Self::deliver); the node then takes none of them for delivered, and asks
    /// [`applied`](Self::applied) at the next start.
    fn deliver_all(&self, blocks: &[Block]) -> Result<Vec<Applied>, Failed> {
        blocks.iter().map(|block| self.deliver(block)).collect()
    }

    /// Of which states it gives snapshots to newcomers, newest first; the same at all nodes, as far as they are there.
    ///
    /// Unless the application says otherwise: of none.
    fn snapshots(&self) -> Vec<StateRoot> {
        Vec::new()
    }

    /// A piece of a snapshot; `None` where there is none of this name, or the snapshot is gone. Names are the
    /// application's own, of at most [`MAX_PIECE_NAME_BYTES`] bytes, and a piece has at most [`MAX_PIECE_BYTES`].
    ///
    /// # Errors
    /// When it cannot be read.
    fn piece(&self, _of: &StateRoot, _name: &[u8]) -> Result<Option<Bytes>, Failed> {
        Ok(None)
    }

    /// Begins to put the state with this root together, dropping what it had begun before; which pieces it wants first,
    /// or `None` where it takes no snapshots. Until [`restored`](Self::restored) it stands where it stood.
    ///
    /// # Errors
    /// When it cannot go on.
    fn restore(&self, _to: &StateRoot) -> Result<Option<Vec<Bytes>>, Failed> {
        Ok(None)
    }

    /// Takes a piece that anybody may have given: what it wants next, or what is wrong with it.
    ///
    /// # Errors
    /// When it cannot go on, for reasons of its own.
    fn restore_piece(&self, _name: &[u8], _piece: &[u8]) -> Result<Taken, Failed> {
        Ok(Taken::Unasked)
    }

    /// No piece is wanted any more: the state takes the place of the one before, at once and for good. It is that after
    /// this block, and deliveries go on after it.
    ///
    /// # Errors
    /// When pieces are missing, or it cannot go on.
    fn restored(&self, _tip: Tip) -> Result<Applied, Failed> {
        Err(Failed::new("this application takes no snapshots"))
    }

    /// Drops what it had begun to put together.
    ///
    /// # Errors
    /// When it cannot go on.
    fn forget_restore(&self) -> Result<(), Failed> {
        Ok(())
    }

    /// Answers what a reader asks of its state: the body of `POST /query`, in the application's own encoding, as is the
    /// answer. May run beside everything else, on a thread of its own.
    ///
    /// Unless the application says otherwise: it answers nothing.
    ///
    /// # Errors
    /// When it does not understand the question or cannot answer it; the reason reaches the reader.
    fn query(&self, _question: &[u8]) -> Result<Bytes, Failed> {
        Err(Failed::new("this application answers no questions"))
    }
}

/// The application cannot go on. Made of any error, by `?` too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Why, for a person.
    pub reason: String,
}

impl Failed {
    /// For this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

// It is no `std::error::Error` itself: then this could not be written.
impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { reason: error.to_string() }
    }
}

/// Asks an application at the start where it stands; a panic of it is a failure.
///
/// # Errors
/// When it cannot say.
pub fn applied(logic: &dyn Logic) -> Result<Applied, Failed> {
    pool::guarded(|| logic.applied()).unwrap_or_else(|panic| Err(Failed::new(panic)))
}

#[cfg(test)]
mod tests;
