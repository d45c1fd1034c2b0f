//! `[downstream]`: the clients that are served.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use super::{Error, nonzero, nonzero32};

/// The clients that are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Downstream {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// The most clients at once; the one too many is refused before its handshake.
    pub max_clients: NonZeroU32,
    /// The most clients at once from one address.
    pub max_clients_per_address: NonZeroU32,
    /// Addresses of nodes that clients are told of when they ask for some; where there are none, peer-sharing is
    /// not offered.
    pub shared_peers: Vec<SocketAddr>,
    /// A connection that said nothing for so long may lose its place to a newer one of its address.
    pub silent_after_ms: NonZeroU64,
    /// A client that takes nothing for so long is disconnected.
    pub stalled_after_ms: NonZeroU64,
    /// What all clients together may have sent without its having been dealt with, or left untaken, or had read
    /// ahead for them.
    pub max_held_bytes: NonZeroU64,
    /// How long clients may finish what they are doing when the node stops.
    pub drain_ms: u64,
}

impl Default for Downstream {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            // 16,384 followers at 2 KB each are 32 MB; file descriptors are the other bound.
            max_clients: nonzero32(16_384),
            // A guess at what one application host opens; fairness, not safety: `max_clients` bounds memory.
            max_clients_per_address: nonzero32(4_096),
            shared_peers: Vec::new(),
            // A guess: a few round trips.
            silent_after_ms: nonzero(2_000),
            // Four times what the reference gives a reader for one segment.
            stalled_after_ms: nonzero(120_000),
            // 16 KiB for each of `max_clients`; one that is idle holds nothing.
            max_held_bytes: nonzero(256 << 20),
            // A guess: long enough for a block, shorter than a service manager's patience (10 s and up).
            drain_ms: 5_000,
        }
    }
}

impl Downstream {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let (per_address, all) = (self.max_clients_per_address.get(), self.max_clients.get());
        if per_address > all {
            return Err(Error::ClientsPerAddress { per_address, all });
        }
        Ok(())
    }
}
