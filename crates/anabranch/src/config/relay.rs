//! `[relay]`: how transactions travel between peers.

use std::num::{NonZeroU32, NonZeroU64};

use diffusion::relay::MAX_WANTED;
use serde::{Deserialize, Serialize};

use super::{Error, nonzero, nonzero32};

/// How transactions travel between peers: offered by id and size, pulled once, judged, offered on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// How many offers of one peer may be open; 0: this node pulls none.
    pub open_offers: u32,
    /// How many transactions one peer may be asked for at once; at most 256.
    pub asked_ids: NonZeroU32,
    /// How many, before it brought any: as many more as it brought.
    pub first_ids: NonZeroU32,
    /// How many bytes one peer may be asked for at once; a larger transaction is asked for alone.
    pub asked_bytes: NonZeroU32,
    /// How long a peer may take before another one is asked.
    pub lease_ms: NonZeroU64,
    /// How long a transaction waits at most for an application that does not answer.
    pub patience_ms: NonZeroU64,
    /// How many transactions may be under way or without a verdict,
    pub max_judging: NonZeroU32,
    /// and how many bytes of them.
    pub judging_bytes: NonZeroU32,
    /// How long an accepted one waits at most until it is offered, together with others.
    pub offer_delay_ms: u64,
    /// How soon one of our own is offered again when nobody offers it back; it doubles,
    pub reoffer_first_ms: NonZeroU64,
    /// up to this.
    pub reoffer_max_ms: NonZeroU64,
    /// How soon one of which the application could tell nothing may be tried again.
    pub ignored_for_ms: u64,
    /// How many that are gone are remembered,
    pub max_seen: NonZeroU32,
    /// and how many wrong ones.
    pub max_bad: NonZeroU32,
    /// How many wrong ones a peer may bring in a burst,
    pub bad_burst: NonZeroU32,
    /// and how long it takes until one more is allowed.
    pub bad_pace_ms: NonZeroU64,
}

impl Default for Relay {
    fn default() -> Self {
        // Guesses, but for the lease, which is diffusion.md's.
        Self {
            // Some thousand small ones a second over a round trip of 100 ms.
            open_offers: 1_024,
            asked_ids: nonzero32(256),
            first_ids: nonzero32(16),
            // What 1 Mbit/s brings within a lease.
            asked_bytes: nonzero32(256 << 10),
            lease_ms: nonzero(2_000),
            // Longer than any pause that heals.
            patience_ms: nonzero(600_000),
            max_judging: nonzero32(4_096),
            judging_bytes: nonzero32(16 << 20),
            // Little beside a block's time.
            offer_delay_ms: 50,
            reoffer_first_ms: nonzero(5_000),
            reoffer_max_ms: nonzero(300_000),
            // Some blocks.
            ignored_for_ms: 10_000,
            // As many as may wait.
            max_seen: nonzero32(65_536),
            max_bad: nonzero32(16_384),
            bad_burst: nonzero32(64),
            bad_pace_ms: nonzero(1_000),
        }
    }
}

impl Relay {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let found = self.asked_ids.get();
        if found as usize > MAX_WANTED {
            return Err(Error::TooMuch { key: "relay.asked_ids", found, most: MAX_WANTED as u32 });
        }
        if self.first_ids > self.asked_ids {
            return Err(Error::Order { less: "relay.first_ids", more: "relay.asked_ids" });
        }
        if self.reoffer_first_ms > self.reoffer_max_ms {
            return Err(Error::Order { less: "relay.reoffer_first_ms", more: "relay.reoffer_max_ms" });
        }
        Ok(())
    }
}
