//! `[peers]`: the other nodes that this one is linked with: who they are, and how many there may be.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use link::PeerId;
use serde::{Deserialize, Serialize};

use super::{Error, keys, nonzero, nonzero32};
use crate::network::PeerAddress;
use crate::peers::Listen;

/// The most entries of a list of peers. A guess: each that is dialled costs a timer and some hundred bytes.
pub const MAX_PEERS: usize = 4_096;

/// The other nodes that this one is linked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    /// Where to listen for peers: `ADDRESS:PORT` (port 0 lets the system choose) or `unix:PATH`.
    pub listen: Vec<Listen>,
    /// Peers to dial, as `KEY@HOST:PORT` or `KEY@unix:PATH`; names are looked up afresh at each dial.
    pub dial: Vec<PeerAddress>,
    /// Keys of peers that get a reserved place and are never given up.
    #[serde(with = "keys")]
    pub pinned: Vec<PeerId>,
    /// Keys that may connect; where there are none, every key may that is not denied.
    #[serde(with = "keys")]
    pub allow: Vec<PeerId>,
    /// Keys that may not connect.
    #[serde(with = "keys")]
    pub deny: Vec<PeerId>,
    /// The file with this node's key; `peer.key` in the data directory where it is not set, made at the first
    /// start.
    pub identity: Option<PathBuf>,
    /// The most connections at once, those in their handshake included.
    pub max_connections: NonZeroU32,
    /// Of these, places that only pinned peers get.
    pub reserved: u32,
    /// The most connections at once that others made, without the reserved ones.
    pub max_inbound: u32,
    /// The most connections at once that this node made, without the reserved ones.
    pub max_outbound: u32,
    /// The most connections at once with one IPv4 address or IPv6 /64.
    pub max_per_address: NonZeroU32,
    /// The most handshakes at once.
    pub max_handshakes: NonZeroU32,
    /// A connection that has proven no key for so long may lose its place to a newcomer that finds none.
    pub silent_after_ms: u64,
    /// One address may try to connect once in this time; 0: as often as it likes. Loopback is exempt.
    pub try_interval_ms: u64,
    /// So many tries a second are taken from one IPv4 /24 or IPv6 /48. Loopback is exempt.
    pub tries_per_prefix: NonZeroU32,
    /// How long a dial may take, the look-up of a name included.
    pub dial_timeout_ms: NonZeroU64,
    /// The pause after a first dial that failed; it doubles.
    pub first_pause_ms: NonZeroU64,
    /// The longest pause between dials.
    pub longest_pause_ms: NonZeroU64,
    /// After a connection that lasted so long the pauses begin anew.
    pub settled_after_ms: u64,
    /// A peer that is not pinned is given up after so many failed dials in a row.
    pub give_up_after: NonZeroU32,
    /// Questions that one peer may owe an answer to.
    pub max_requests: NonZeroU32,
    /// A peer that was disconnected for its strikes is refused for so long.
    pub cool_off_ms: u64,
    /// How long links may send what is queued, and the reason, when the node stops.
    pub drain_ms: u64,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            dial: Vec::new(),
            pinned: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            identity: None,
            // A guess: what a node of hundreds of peers needs; each costs some 5 KB of kernel memory.
            max_connections: nonzero32(512),
            // Guesses: a fleet of one operator; others' connections cannot take what this node dials itself.
            reserved: 32,
            max_inbound: 384,
            max_outbound: 96,
            // A guess: some nodes behind one router.
            max_per_address: nonzero32(16),
            // What follows is link.md's table, "Limits".
            max_handshakes: nonzero32(512),
            // A guess: a few round trips.
            silent_after_ms: 1_000,
            try_interval_ms: 5_000,
            tries_per_prefix: nonzero32(64),
            dial_timeout_ms: nonzero(10_000),
            first_pause_ms: nonzero(1_000),
            longest_pause_ms: nonzero(300_000),
            // Guesses from here on: two keep-alives,
            settled_after_ms: 60_000,
            // two and a half hours of pauses,
            give_up_after: nonzero32(40),
            // a window of small requests,
            max_requests: nonzero32(1_024),
            // as long as strikes count.
            cool_off_ms: 600_000,
            // The spec's limit of the state `closing`.
            drain_ms: 1_000,
        }
    }
}

impl Peers {
    pub(super) fn validate(&self) -> Result<(), Error> {
        for (list, count) in self.lists() {
            if count > MAX_PEERS {
                return Err(Error::ManyPeers { list, count });
            }
        }
        self.validate_keys()?;
        let (reserved, all) = (self.reserved, self.max_connections.get());
        if reserved > all {
            return Err(Error::Reserved { reserved, all });
        }
        if self.first_pause_ms > self.longest_pause_ms {
            return Err(Error::Order { less: "peers.first_pause_ms", more: "peers.longest_pause_ms" });
        }
        Ok(())
    }

    fn lists(&self) -> [(&'static str, usize); 4] {
        [
            ("peers.dial", self.dial.len()),
            ("peers.pinned", self.pinned.len()),
            ("peers.allow", self.allow.len()),
            ("peers.deny", self.deny.len()),
        ]
    }

    /// Whom one list wants and another refuses.
    fn validate_keys(&self) -> Result<(), Error> {
        let mut dialled = BTreeSet::new();
        for peer in &self.dial {
            if !dialled.insert(peer.key) {
                return Err(Error::TwicePeer { key: peer.key });
            }
        }
        let (allow, deny) = (BTreeSet::from_iter(&self.allow), BTreeSet::from_iter(&self.deny));
        let wanted = dialled.iter().map(|key| (key, "peers.dial"));
        let pinned = self.pinned.iter().map(|key| (key, "peers.pinned"));
        let allowed = self.allow.iter().map(|key| (key, "peers.allow"));
        for (key, list) in wanted.chain(pinned).chain(allowed) {
            if deny.contains(key) {
                return Err(Error::Denied { key: *key, list });
            }
            if !allow.is_empty() && !allow.contains(key) {
                return Err(Error::NotAllowed { key: *key, list });
            }
        }
        Ok(())
    }
}
