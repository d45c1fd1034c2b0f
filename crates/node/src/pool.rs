//! Transactions that wait for a block: first in, first out, bounded in count and bytes.
//!
//! It judges no transaction beyond its size: that is the application's.
//!
//! **Invariant** (see [`Pool::check_invariants`]): a transaction waits once, and what waits is bounded.

use std::collections::BTreeMap;

use bytes::Bytes;
use chain::Hash;

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

/// The waiting transactions.
#[derive(Debug)]
pub struct Pool {
    config: Config,
    /// By the order in which they came.
    waiting: BTreeMap<u64, (Hash, Bytes)>,
    places: BTreeMap<Hash, u64>,
    next: u64,
    bytes: usize,
}

impl Pool {
    /// An empty pool.
    pub fn new(config: Config) -> Self {
        Self { config, waiting: BTreeMap::new(), places: BTreeMap::new(), next: 0, bytes: 0 }
    }

    /// Takes a transaction with its id, or says why not.
    ///
    /// # Errors
    /// When it has no place here.
    pub fn submit(&mut self, id: Hash, tx: Bytes) -> Result<Hash, Refusal> {
        self.admits(&id, &tx)?;
        self.bytes += tx.len();
        self.places.insert(id, self.next);
        self.waiting.insert(self.next, (id, tx));
        self.next += 1;
        Ok(id)
    }

    /// Whether there is a place for a transaction.
    fn admits(&self, id: &Hash, tx: &Bytes) -> Result<(), Refusal> {
        let Config { max_count, max_bytes, max_tx_bytes } = self.config;
        if tx.is_empty() {
            return Err(Refusal::Empty);
        }
        if tx.len() > max_tx_bytes {
            return Err(Refusal::TooLarge { bytes: tx.len(), max_bytes: max_tx_bytes });
        }
        if self.places.contains_key(id) {
            return Err(Refusal::Duplicate);
        }
        if self.waiting.len() >= max_count || self.bytes + tx.len() > max_bytes {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// The next transaction in line.
    pub fn first(&self) -> Option<&Bytes> {
        self.waiting.first_key_value().map(|(_, (_, tx))| tx)
    }

    /// Takes the next transaction out of the line.
    pub fn take_first(&mut self) -> Option<Bytes> {
        let id = self.waiting.first_key_value().map(|(_, (id, _))| *id)?;
        self.remove(&id)
    }

    fn remove(&mut self, id: &Hash) -> Option<Bytes> {
        let (_, tx) = self.waiting.remove(&self.places.remove(id)?)?;
        self.bytes -= tx.len();
        Some(tx)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Panics where the books do not balance.
    pub fn check_invariants(&self) {
        assert_eq!(self.places.len(), self.waiting.len(), "each waiting transaction is known by its id");
        assert_eq!(self.bytes, self.waiting.values().map(|(_, tx)| tx.len()).sum::<usize>(), "bytes add up");
        assert!(self.waiting.len() <= self.config.max_count && self.bytes <= self.config.max_bytes);
    }
}
