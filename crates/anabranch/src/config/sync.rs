//! `[sync]`: headers, finality and bodies between peers of a chain that validators agree on.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use super::{Error, nonzero, nonzero32};

/// What may be kept and waited for between peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// How many headers are kept above the irreversible tip, on all forks.
    pub max_headers: NonZeroU32,
    /// How many bytes of headers and bodies.
    pub max_bytes: NonZeroU64,
    /// How many headers above the irreversible tip a peer may bring before those behind them wait.
    pub headers_ahead: NonZeroU32,
    /// How many undecided headers one peer may have brought: what is more is refused,
    pub headers_per_peer: NonZeroU32,
    /// and how many one producer may have signed.
    pub headers_per_producer: NonZeroU32,
    /// A node that lacks more certified bodies than this takes them in ranges from many peers.
    pub near: NonZeroU32,
    /// Whether a node that has nothing yet begins with a snapshot of the application's state, where peers give one, and so
    /// holds no bodies of the blocks below,
    pub snapshots: bool,
    /// unless it is fewer blocks behind than this.
    pub snapshot_worth: NonZeroU64,
    /// How long it waits for an offer, and how often it looks whether it comes nearer to one.
    pub snapshot_wait_ms: NonZeroU64,
    /// After so many snapshots that were not to be had it takes the whole chain.
    pub snapshot_tries: NonZeroU32,
    /// After so long a piece of it is asked of another peer.
    pub piece_timeout_ms: NonZeroU64,
    /// How many headers of the log are at hand for peers that are behind.
    pub loaded_headers: NonZeroU32,
    /// How many tidings of finality wait for their headers, for each peer.
    pub parked_finality: NonZeroU32,
    /// How many bodies may be wanted at once near the head.
    pub wants: NonZeroU32,
    /// How many announcers of a body are remembered.
    pub announcers: NonZeroU32,
    /// How many requests of one peer wait for their bodies.
    pub parked: NonZeroU32,
    /// How many bytes of bodies that outran their headers are kept, for each peer.
    pub early_bytes: NonZeroU32,
    /// A request for a body goes to the next peer after three round trips, but not before this,
    pub body_timeout_min_ms: NonZeroU64,
    /// nor after more than this.
    pub body_timeout_max_ms: NonZeroU64,
    /// How many bytes a second a peer must bring of a body.
    pub least_bytes_per_s: NonZeroU64,
    /// How many bodies may be under way, or have come before the first one that is missing, in ranges,
    pub window_blocks: NonZeroU32,
    /// and how many bytes of them.
    pub window_bytes: NonZeroU64,
    /// After so long a peer that holds up the others' ranges is given up; longer after each, and for far ones,
    pub range_timeout_min_ms: NonZeroU64,
    /// but not longer than this.
    pub range_timeout_max_ms: NonZeroU64,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            // What the deepest roll-back of the public Cardano networks takes, a few times over: far above what is
            // undecided here, and so room for headers ahead of their bodies.
            max_headers: nonzero32(16_384),
            max_bytes: nonzero(256 << 20),
            // A guess: a window of headers, small beside the tree.
            headers_ahead: nonzero32(2_048),
            // A half and a quarter of the tree: guesses. An honest window may be one peer's and one producer's.
            headers_per_peer: nonzero32(8_192),
            headers_per_producer: nonzero32(4_096),
            // A guess: about what a network makes while a link is set up.
            near: nonzero32(32),
            // Guesses: what comes in a few seconds; longer than a link takes to come back; more than there are liars among a
            // node's peers; a large piece over a slow line, behind bodies of blocks.
            snapshots: false,
            snapshot_worth: nonzero(1_000),
            snapshot_wait_ms: nonzero(30_000),
            snapshot_tries: nonzero32(8),
            piece_timeout_ms: nonzero(20_000),
            // A guess: some megabytes.
            loaded_headers: nonzero32(8_192),
            // On honest links none does, unless the tree had no room.
            parked_finality: nonzero32(16),
            // Guesses: what is more is far behind; a node's degree; two of the largest blocks.
            wants: nonzero32(1_024),
            announcers: nonzero32(16),
            parked: nonzero32(256),
            early_bytes: nonzero32(32 << 20),
            // Above what the slowest of 1,000 nodes waits for a body.
            body_timeout_min_ms: nonzero(400),
            body_timeout_max_ms: nonzero(10_000),
            // 1 Mbit/s.
            least_bytes_per_s: nonzero(125_000),
            // As for upstreams: a second or two of a fast line.
            window_blocks: nonzero32(4_096),
            window_bytes: nonzero(32 << 20),
            // From Bitcoin's block stalling, and three round trips of the slowest.
            range_timeout_min_ms: nonzero(2_000),
            range_timeout_max_ms: nonzero(20_000),
        }
    }
}

impl Sync {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let pairs = [
            (
                self.body_timeout_min_ms,
                self.body_timeout_max_ms,
                "sync.body_timeout_min_ms",
                "sync.body_timeout_max_ms",
            ),
            (
                self.range_timeout_min_ms,
                self.range_timeout_max_ms,
                "sync.range_timeout_min_ms",
                "sync.range_timeout_max_ms",
            ),
        ];
        for (min, max, less, more) in pairs {
            if min > max {
                return Err(Error::Order { less, more });
            }
        }
        let shares = [
            (self.headers_per_peer, "sync.headers_per_peer"),
            (self.headers_per_producer, "sync.headers_per_producer"),
        ];
        if let Some((_, more)) = shares.iter().find(|(share, _)| *share < self.headers_ahead) {
            return Err(Error::Order { less: "sync.headers_ahead", more });
        }
        match self.headers_ahead < self.max_headers {
            true => Ok(()),
            false => Err(Error::Order { less: "sync.headers_ahead", more: "sync.max_headers" }),
        }
    }
}
