//! The scheduler's bounds.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// The bounds of a scheduler. Sizes are as estimated by whoever wants an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How many items may be in flight, or have arrived before the head of the window has.
    pub window_items: NonZeroU32,
    /// How many bytes of such items. The head of the window is asked for whatever its size.
    pub window_bytes: NonZeroU64,
    /// How many items one request asks for. A guess: large enough that requests do not count.
    pub request_items: NonZeroU32,
    /// How many bytes one request asks for: small enough that ranges spread over peers.
    pub request_bytes: NonZeroU64,
    /// How many requests one peer may owe us: a tenth and less of what Cardano's clients pipeline.
    pub peer_requests: NonZeroU32,
    /// How many bytes a new peer may owe us; twice as many after each request that it answers in full.
    pub peer_bytes_first: NonZeroU64,
    /// How many bytes a peer may owe us at most: 100 ms at 40 MB/s.
    pub peer_bytes: NonZeroU64,
    /// The time-out of a peer at hand: after it, a peer that holds up the head is given up. From Bitcoin's
    /// block stalling.
    pub timeout_min: Duration,
    /// The time-out of a peer far away, or of one whose round trip is not known: three round trips, but no
    /// more than this.
    pub timeout_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let count = |n| NonZeroU32::new(n).expect("a bound is not zero");
        let bytes = |n| NonZeroU64::new(n).expect("a bound is not zero");
        Self {
            window_items: count(4_096),
            window_bytes: bytes(32 << 20),
            request_items: count(256),
            request_bytes: bytes(1 << 20),
            peer_requests: count(8),
            peer_bytes_first: bytes(512 << 10),
            peer_bytes: bytes(4 << 20),
            timeout_min: Duration::from_secs(2),
            timeout_max: Duration::from_secs(20),
        }
    }
}
