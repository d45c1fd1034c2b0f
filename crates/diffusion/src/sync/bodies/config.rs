//! The bounds of body broadcast.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

/// The bounds of body broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Config {
    /// How many bodies may be wanted at once: what is more is far behind, and comes in ranges. A guess.
    pub wants: NonZeroUsize,
    /// How many announcers of a body are remembered: beyond them, any peer is asked. A guess: a node's degree.
    pub announcers: NonZeroUsize,
    /// How many requests of one peer wait for their bodies; the oldest is refused to make room. A guess.
    pub parked: NonZeroUsize,
    /// How many producers' parents are remembered, and how many a peer may follow: as many as there are validators.
    pub producers: NonZeroUsize,
    /// How many bytes of bodies that outran their headers are kept, for each peer: two of the largest blocks.
    pub early_bytes: NonZeroUsize,
    /// A request that is not answered goes to the next one after three round trips, but not before this: the body may
    /// have some hops to come. A guess, above what the slowest of 1,000 nodes waits (DESIGN, "Numbers to reach").
    pub timeout_min: Duration,
    /// Nor after more than this, for each round of asking. A guess.
    pub timeout_max: Duration,
    /// The time-out of a peer whose round trip is not known.
    pub timeout_unknown: Duration,
    /// How many bytes a second a peer must bring: the time-out grows with the body. 1 Mbit/s.
    pub least_bytes_per_s: NonZeroU64,
}

impl Default for Config {
    fn default() -> Self {
        let some = |n| NonZeroUsize::new(n).expect("a bound is not zero");
        Self {
            wants: some(1_024),
            announcers: some(16),
            parked: some(256),
            producers: some(1_024),
            early_bytes: some(32 << 20),
            timeout_min: Duration::from_millis(400),
            timeout_max: Duration::from_secs(10),
            timeout_unknown: Duration::from_secs(1),
            least_bytes_per_s: NonZeroU64::new(125_000).expect("a bound is not zero"),
        }
    }
}
