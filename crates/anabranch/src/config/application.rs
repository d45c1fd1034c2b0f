//! `[pool]` and `[application]`: what waits for a block, and what the application is asked.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use super::{nonzero, nonzero32};

/// Transactions that wait for a block. As much may wait for the application's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// How many.
    pub max_count: NonZeroU32,
    /// How many bytes of them.
    pub max_bytes: NonZeroU64,
    /// The longest; one that fits no block is refused anyway.
    pub max_tx_bytes: NonZeroU32,
}

impl Default for Pool {
    fn default() -> Self {
        // Guesses: an hour of a thousand-transaction block a minute; many blocks' worth, little memory.
        Self { max_count: nonzero32(65_536), max_bytes: nonzero(32 << 20), max_tx_bytes: nonzero32(16 << 10) }
    }
}

/// What the application is asked, and for how long it is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Application {
    /// Threads that check transactions, beside the one that delivers.
    pub check_threads: NonZeroU32,
    /// How many transactions may wait to be checked,
    pub max_checks: NonZeroU32,
    /// and how many bytes of them.
    pub max_check_bytes: NonZeroU64,
    /// Who gave a transaction is answered without its verdict after so long.
    pub check_timeout_ms: NonZeroU64,
    /// A question that waited so long is answered without the application.
    pub patience_ms: NonZeroU64,
    /// How many blocks may be on their way to it,
    pub deliveries: NonZeroU32,
    /// and how many bytes of them, but for the first.
    pub delivery_bytes: NonZeroU64,
    /// How many blocks it is given at once.
    pub max_delivered: NonZeroU32,
    /// How long a stop waits for an application that is at work.
    pub grace_ms: NonZeroU64,
    /// An application that gives newcomers its state keeps it after every so many blocks: the same at all nodes of a chain,
    /// so that one newcomer can ask many.
    pub snapshot_every: NonZeroU64,
}

impl Default for Application {
    fn default() -> Self {
        // Guesses, all of them.
        Self {
            // One may block and another goes on.
            check_threads: nonzero32(2),
            // A second's worth at a thousand a second.
            max_checks: nonzero32(1_024),
            max_check_bytes: nonzero(8 << 20),
            check_timeout_ms: nonzero(2_000),
            // Above every deadline of the node.
            patience_ms: nonzero(10_000),
            // Enough that one sync for all of them does not show, few enough that a failure costs little.
            deliveries: nonzero32(64),
            delivery_bytes: nonzero(8 << 20),
            max_delivered: nonzero32(64),
            // Longer than a sync of a slow disk.
            grace_ms: nonzero(5_000),
            // With a block a second a quarter of an hour, and as long to take one while the next is kept already.
            snapshot_every: nonzero(1_000),
        }
    }
}
