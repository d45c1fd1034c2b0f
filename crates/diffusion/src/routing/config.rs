//! The settings of routing.

use std::time::Duration;

use chain::Hash;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which chain's network: part of everything that is signed.
    pub network: Hash,
    /// The first nonce of our packets: drawn at random at each start, so that packets of two lives differ.
    pub nonce: u64,
    /// Whether somebody looks at each packet before it is passed on or delivered.
    pub judge: bool,
    /// How long that may take; afterwards the packet is dropped without blame. A guess.
    pub judge_timeout: Duration,
    /// How often a producer claims anew that it can be reached. A guess: a claim is some hundred bytes a link.
    pub refresh: Duration,
    /// How soon after a claim the next may follow when others ask for one. A guess: every claim travels everywhere.
    pub mint_every: Duration,
    /// How long the newest claim of a producer is believed: three and a half times [`Config::refresh`], as Babel does.
    pub expiry: Duration,
    /// How long a route of an older claim is used after a newer one was heard. A guess: far more than a claim takes to
    /// travel everywhere.
    pub grace: Duration,
    /// How soon an unanswered question for a newer claim is repeated; twice as long each time.
    pub ask_every: Duration,
    /// How often a question of others for one producer is passed on at most.
    pub pass_ask_every: Duration,
    /// By how much the time at which a packet says it was sent may differ from our clock. Nothing older is taken, so
    /// what was forgotten cannot be played again for ever.
    pub window: Duration,
    /// How long a delivery is waited for beyond three times the metric.
    pub deliver_base: Duration,
    /// The longest that one routed attempt is waited for.
    pub deliver_max: Duration,
    /// How long a packet that went everywhere is waited for; twice as long each time.
    pub flood_timeout: Duration,
    /// For how long a hop that did not deliver is not used for that producer; twice as long each time in a row.
    pub fault_first: Duration,
    /// The longest.
    pub fault_max: Duration,
    /// How many bytes of memory of packets seen are kept; the oldest are forgotten first.
    pub seen_bytes: usize,
    /// How many bytes of packets may be waiting to be looked at.
    pub judging_bytes: usize,
    /// How many bytes may wait for the room of one link.
    pub outbox_bytes: u64,
    /// How many of our own packets may be unconfirmed.
    pub max_sends: usize,
    /// How many bytes of them.
    pub send_bytes: usize,
    /// How many deliveries are watched at once for whether they succeed.
    pub max_watches: usize,
    /// The mean time between two messages of one peer, beyond a burst.
    pub pace: Duration,
    /// How many messages a peer may send in a burst.
    pub burst: u32,
}

impl Config {
    /// The defaults. All but [`Config::expiry`] are guesses unless they say otherwise.
    pub fn new(network: Hash, nonce: u64) -> Self {
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        Self {
            network,
            nonce,
            judge: true,
            judge_timeout: secs(2),
            refresh: secs(30),
            mint_every: secs(1),
            expiry: secs(105),
            grace: secs(10),
            ask_every: secs(1),
            pass_ask_every: ms(500),
            window: secs(120),
            deliver_base: ms(500),
            deliver_max: secs(5),
            flood_timeout: secs(1),
            fault_first: secs(10),
            fault_max: secs(300),
            seen_bytes: 16 << 20,
            judging_bytes: 8 << 20,
            outbox_bytes: 2 << 20,
            max_sends: 1_024,
            send_bytes: 16 << 20,
            max_watches: 8_192,
            pace: ms(1),
            burst: 4_000,
        }
    }
}
