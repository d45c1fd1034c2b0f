//! Transactions that wait for a block: how much may wait, and why one is refused. They wait in [`diffusion::relay`].

/// How much may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// At most so many transactions. A guess: an hour of a thousand-transaction block a minute.
    pub max_count: usize,
    /// At most so many bytes of them. A guess: many blocks' worth, little memory.
    pub max_bytes: usize,
    /// One transaction at most; it must fit into a block.
    pub max_tx_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_count: 65_536, max_bytes: 32 << 20, max_tx_bytes: 16 << 10 }
    }
}

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node makes no blocks.
    #[error("this node makes no blocks: give the transaction to one that does")]
    NotAProducer,
    /// This node failed and accepts nothing more.
    #[error("this node has stopped accepting; its status says why")]
    Failed,
    /// Nothing in it.
    #[error("the transaction is empty")]
    Empty,
    /// Too large.
    #[error("the transaction has {bytes} bytes, {max_bytes} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// It waits already.
    #[error("the transaction waits already")]
    Duplicate,
    /// It is in a block that is irreversible.
    #[error("the transaction is in the chain already: another that does the same needs other bytes")]
    Included,
    /// No room.
    #[error("the pool is full: try again after the next block")]
    Full,
    /// The application says no.
    #[error("the application refuses the transaction: {reason}")]
    Rejected {
        /// Why, for a person.
        reason: String,
    },
}
