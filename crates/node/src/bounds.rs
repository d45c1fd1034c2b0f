//! How much a node holds: the bounds that follow from its configuration.

use std::num::NonZeroUsize;

use chain::tree;

use crate::config::Config;

/// Headers beyond what must be kept to decide, that a node takes before their bodies: enough that bodies
/// never wait for headers. A guess: some seconds of fetching.
const HEADERS_AHEAD: u64 = 1_024;

/// Bytes of bodies on their way to the disk: no more is asked for above it. A guess: some large syncs.
pub(crate) const MAX_STORING_BYTES: usize = 32 << 20;

/// The largest body of the public Cardano networks, with its header and some room.
const BODY_BYTES: u64 = 96 << 10;

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    depth: u64,
    upstreams: u64,
}

impl Bounds {
    /// For a node that keeps `depth` blocks volatile.
    pub(crate) fn new(config: &Config) -> Self {
        Self { depth: config.depth(), upstreams: u64::from(config.upstreams()) }
    }

    /// How many headers of one chain are taken above the irreversible tip.
    pub(crate) fn headers_ahead(&self) -> u64 {
        self.depth + HEADERS_AHEAD
    }

    /// How many headers one upstream may bring: its chain, and as many again on forks that it left.
    pub(crate) fn headers_each(&self) -> usize {
        (self.headers_ahead() * 2) as usize
    }

    /// How many bytes of bodies are kept: one chain in full, and as much again for all forks.
    fn bytes(&self) -> usize {
        (self.headers_ahead() * 2 * BODY_BYTES) as usize
    }

    /// The fork tree's bounds: no upstream can use up another's share, so it never has to drop a branch.
    /// One more share is for what came back from the disk.
    pub(crate) fn tree(&self) -> tree::Config {
        let headers = NonZeroUsize::new(self.headers_each() * (self.upstreams as usize + 1));
        let headers = headers.unwrap_or(NonZeroUsize::MIN);
        let max_bytes = NonZeroUsize::new(self.bytes()).unwrap_or(NonZeroUsize::MIN);
        tree::Config { max_headers: headers, max_branches: headers, max_bytes }
    }
}
