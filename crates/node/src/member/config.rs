//! What a member is told at its start and keeps to.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use chain::native::Key;
use chain::tree;
use consensus::quorum;
use diffusion::{pieces, relay, sync};
use link::PeerId;

use crate::pool;

/// A member's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key that it votes with. Without one, or with one that is no validator's, it follows, serves and relays.
    pub key: Option<Key>,
    /// Who it is on its links: validators greet each other by it.
    pub peer_id: PeerId,
    /// The times of consensus.
    pub quorum: quorum::Config,
    /// Headers and finality with a peer.
    pub sync: sync::Config,
    /// Bodies near the head.
    pub bodies: sync::bodies::Config,
    /// Bodies while it is far behind.
    pub ranges: sync::ranges::Config,
    /// Whether a node that has nothing yet begins with a snapshot of the application's state, where peers give one. Not
    /// unless it is asked for: who does so holds no bodies of the blocks below, and others may have counted on it.
    pub snapshots: bool,
    /// A node that is fewer blocks behind than this takes them all. A guess: what comes in a few seconds.
    pub snapshot_worth: NonZeroU64,
    /// How long it waits for offers of states, and how often it looks whether it comes nearer to one. A guess: longer than a
    /// link takes to come back.
    pub snapshot_wait: Duration,
    /// After so many states that were not to be had it takes the whole chain. A guess: more than there are liars among a
    /// node's peers, few enough that nothing goes on for ever.
    pub snapshot_tries: NonZeroU32,
    /// How it takes its pieces.
    pub pieces: pieces::Config,
    /// How transactions travel; of what kinds there are, and how many wait, the pool's bounds say.
    pub relay: relay::Config,
    /// What may wait to be put into a block.
    pub pool: pool::Config,
    /// What is kept above the irreversible tip.
    pub tree: tree::Config,
    /// How many headers above the irreversible tip a peer may bring before those behind them wait.
    pub headers_ahead: NonZeroU32,
    /// How many undecided headers of the fork tree one peer may have brought. A guess: half of the tree.
    pub headers_per_peer: NonZeroU32,
    /// How many one producer may have signed, and all together that no certificate leads to: no fewer than
    /// `headers_ahead`, since an honest chain may be one producer's. A guess: twice that, a quarter of the tree.
    pub headers_per_producer: NonZeroU32,
    /// A node that lacks more bodies than this of what is certified takes them in ranges. A guess: about what a
    /// network makes while a link is set up.
    pub near: NonZeroU32,
    /// How many headers of the log are at hand for peers that are behind.
    pub loaded_headers: NonZeroUsize,
    /// How many delivered blocks the application may have outstanding.
    pub deliveries: NonZeroU32,
    /// How many bytes of them, but for the first.
    pub delivery_bytes: NonZeroUsize,
}

impl Config {
    /// The usual settings, with this key, for one whom others know by this name.
    pub fn new(key: Option<Key>, peer_id: PeerId) -> Self {
        let count = |n| NonZeroU32::new(n).expect("a bound is not zero");
        let some = |n| NonZeroUsize::new(n).expect("a bound is not zero");
        Self {
            key,
            peer_id,
            quorum: quorum::Config::default(),
            sync: sync::Config::default(),
            bodies: sync::bodies::Config::default(),
            ranges: sync::ranges::Config::default(),
            snapshots: false,
            snapshot_worth: NonZeroU64::new(1_000).expect("a bound is not zero"),
            snapshot_wait: Duration::from_secs(30),
            snapshot_tries: NonZeroU32::new(8).expect("a bound is not zero"),
            pieces: pieces::Config::default(),
            relay: relay::Config::default(),
            pool: pool::Config::default(),
            // Undecided siblings are branches of their own: there may be many of those, each one header long.
            tree: tree::Config {
                max_branches: tree::Config::default().max_headers,
                ..tree::Config::default()
            },
            headers_ahead: count(2_048),
            headers_per_peer: count(8_192),
            headers_per_producer: count(4_096),
            near: count(32),
            loaded_headers: some(8_192),
            deliveries: count(64),
            delivery_bytes: some(8 << 20),
        }
    }
}
