//! What a member is told at its start and keeps to.

use chain::native::Key;
use consensus::quorum;
use diffusion::sync;

use crate::pool;

/// A member's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key that it votes with. Without one, or with one that is no validator's, it follows, serves and relays.
    pub key: Option<Key>,
    /// The times of consensus.
    pub quorum: quorum::Config,
    /// Headers and finality with a peer.
    pub sync: sync::Config,
    /// Bodies near the head.
    pub bodies: sync::bodies::Config,
    /// Bodies while it is far behind.
    pub ranges: sync::ranges::Config,
    /// What may wait to be put into a block.
    pub pool: pool::Config,
}

impl Config {
    /// The usual settings, with this key.
    pub fn new(key: Option<Key>) -> Self {
        Self {
            key,
            quorum: quorum::Config::default(),
            sync: sync::Config::default(),
            bodies: sync::bodies::Config::default(),
            ranges: sync::ranges::Config::default(),
            pool: pool::Config::default(),
        }
    }
}
