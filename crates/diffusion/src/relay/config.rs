//! The settings of relay.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Kind, MAX_ITEM_BYTES, TRANSACTION};

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which kinds of items are relayed. Offers of others are passed over: a newer node may know more kinds.
    pub kinds: BTreeMap<Kind, Rules>,
    /// How many items of one peer's offers may be neither here nor given up, the grants under way included; 0 for a node
    /// that wants none. A guess: some thousand small items a second over a round trip of 100 ms.
    pub open_offers: u32,
    /// How many items one peer may be asked for at once; at most [`MAX_WANTED`](super::MAX_WANTED).
    pub asked_ids: NonZeroUsize,
    /// How many, before it brought any: as many more as it brought. Whoever comes back again and again only to
    /// withhold what it offers delays few items a time. A guess.
    pub first_ids: NonZeroUsize,
    /// How many bytes one peer may be asked for at once; a larger item is asked for alone. A guess: what 1 Mbit/s
    /// brings within a lease.
    pub asked_bytes: usize,
    /// How long a peer may take before another one is asked (spec/diffusion.md, "Relay").
    pub lease: Duration,
    /// How long the application may take before an item counts as late. A guess: as long as a lease.
    pub judge_timeout: Duration,
    /// How long a late item waits for a verdict before it is given up. A guess: longer than any pause that heals.
    pub patience: Duration,
    /// How many items may be under way or without a verdict: so many questions the application has before it at most.
    /// A guess: a second's worth at a thousand a second.
    pub max_judging: usize,
    /// How many bytes of them; one alone may be longer. A guess.
    pub judging_bytes: usize,
    /// How long an accepted item waits at most until it is offered to a peer, together with others; drawn at random
    /// each time. A guess: little beside a block's time.
    pub offer_delay: Duration,
    /// How soon an item of our own is offered again when nobody offers it back; twice as long each time. A guess.
    pub reoffer_first: Duration,
    /// The longest. A guess.
    pub reoffer_max: Duration,
    /// How soon an item of which the application could tell nothing may be tried again. A guess: some blocks.
    pub ignored_for: Duration,
    /// How many items that are not here any more are remembered by name, and how they ended. A guess: as many as may be
    /// in the pool.
    pub max_seen: usize,
    /// How many wrong items are. A guess.
    pub max_bad: usize,
    /// How many wrong items a peer may bring in a burst. A guess.
    pub bad_burst: u32,
    /// How long it takes until one more is allowed. A guess.
    pub bad_pace: Duration,
}

/// The limits of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Its name, for operators.
    pub name: &'static str,
    /// The longest item; at most [`MAX_ITEM_BYTES`].
    pub max_item_bytes: usize,
    /// How many may be pooled, under way or without a verdict.
    pub max_count: usize,
    /// How many bytes of them.
    pub max_bytes: usize,
    /// How long one is pooled at most.
    pub lifetime: Duration,
}

impl Config {
    /// Transactions alone, of at most so many bytes each: what fits a block.
    pub fn transactions(max_item_bytes: usize) -> Self {
        Self {
            kinds: BTreeMap::from([(TRANSACTION, Rules::transactions(max_item_bytes))]),
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let some = |n| NonZeroUsize::new(n).expect("a bound is not zero");
        let secs = Duration::from_secs;
        Self {
            kinds: BTreeMap::new(),
            open_offers: 1_024,
            asked_ids: some(256),
            first_ids: some(16),
            asked_bytes: 256 << 10,
            lease: secs(2),
            judge_timeout: secs(2),
            patience: secs(600),
            max_judging: 1_024,
            judging_bytes: 8 << 20,
            offer_delay: Duration::from_millis(50),
            reoffer_first: secs(5),
            reoffer_max: secs(300),
            ignored_for: secs(10),
            max_seen: 65_536,
            max_bad: 16_384,
            bad_burst: 64,
            bad_pace: secs(1),
        }
    }
}

impl Rules {
    /// The limits of transactions of at most so many bytes each. Count and bytes are guesses: many blocks' worth,
    /// little memory. So is the lifetime: whoever still wants it sends it again.
    pub fn transactions(max_item_bytes: usize) -> Self {
        Self {
            name: "transaction",
            max_item_bytes: max_item_bytes.min(MAX_ITEM_BYTES),
            max_count: 65_536,
            max_bytes: 32 << 20,
            lifetime: Duration::from_secs(3_600),
        }
    }
}
