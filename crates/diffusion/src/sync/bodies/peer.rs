//! What is known of one peer.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use chain::Hash;

use super::{Config, Output, Producer};

/// How many bodies sent to a peer are remembered, so that none is sent twice by crossing messages: those of a round
/// trip. A guess.
const MAX_SENT: usize = 64;

/// How many headers without a promise are remembered of a peer: on honest connections those of a round trip, until the
/// promise comes. Whoever is forgotten too early waits for a time-out. A guess.
const MAX_HEARD: usize = 256;

/// How the bodies of a connection go, set by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// As it comes: active where it is a parent, else backup.
    #[default]
    Auto,
    /// Asked before all others.
    Active,
    /// Asked when nobody else is left.
    Backup,
    /// No bodies either way. Headers and finality still flow.
    Off,
}

/// One connected peer.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Peer {
    pub(super) mode: Mode,
    pub(super) rtt: Option<Duration>,
    /// How many requests in a row it let run out.
    pub(super) lapses: u32,
    /// When it last brought a body.
    pub(super) brought: Duration,
    /// The producers whose bodies are pushed to it.
    pub(super) follows: BTreeSet<Producer>,
    /// What it wants and we do not have, oldest first, and whether it follows the producer.
    pub(super) parked: VecDeque<(Hash, bool)>,
    /// The headers that it sent lately, without having promised to push their bodies.
    pub(super) heard: VecDeque<Hash>,
    /// The bodies that were sent to it lately, and whether unasked.
    pub(super) sent: VecDeque<(Hash, bool)>,
    /// Bodies of its that are not wanted yet, oldest first, with what they cost.
    pub(super) early: VecDeque<(Hash, usize)>,
}

impl Peer {
    /// Who is asked first: the lower.
    pub(super) fn standing(&self) -> Option<(u8, bool)> {
        let mode = match self.mode {
            Mode::Active => 0,
            Mode::Auto => 1,
            Mode::Backup => 2,
            Mode::Off => return None,
        };
        Some((mode, self.lapses > 1))
    }

    /// How long it may take for a body of this size, when everybody was asked so many times before.
    pub(super) fn timeout(&self, config: &Config, bytes: u64, rounds: u32) -> Duration {
        let base = self.rtt.map_or(config.timeout_unknown, |rtt| rtt.saturating_mul(3));
        let doubled = base.max(config.timeout_min).saturating_mul(1 << rounds.min(10));
        doubled.min(config.timeout_max) + transfer(config, bytes)
    }

    /// Whether there is room for it to follow the producer.
    pub(super) fn follow(&mut self, config: &Config, producer: Producer) -> bool {
        if self.follows.len() < config.producers.get() {
            self.follows.insert(producer);
        }
        self.follows.contains(&producer)
    }

    pub(super) fn hear(&mut self, id: Hash) {
        if self.heard.len() == MAX_HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back(id);
    }

    /// Sends it a body, unless it was sent lately.
    pub(super) fn push<P>(&mut self, peer: P, id: Hash, unasked: bool, out: &mut Vec<Output<P>>) {
        if self.sent.iter().any(|(sent, _)| *sent == id) {
            return;
        }
        if self.sent.len() == MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((id, unasked));
        out.push(Output::Serve { peer, id });
    }

    /// Whether the body was pushed lately, so that a request for it is answered already. It is said once: who asks again
    /// has not got it.
    pub(super) fn crosses_push(&mut self, id: Hash) -> bool {
        let pushed = self.sent.iter_mut().find(|(sent, unasked)| *sent == id && *unasked);
        pushed.map(|(_, unasked)| *unasked = false).is_some()
    }

    /// It asks for a body again that it was sent.
    pub(super) fn forget(&mut self, id: Hash) {
        self.sent.retain(|(sent, _)| *sent != id);
    }

    /// Takes the request for a body out of what waits.
    pub(super) fn unpark(&mut self, id: Hash) -> Option<bool> {
        let at = self.parked.iter().position(|(parked, _)| *parked == id)?;
        self.parked.remove(at).map(|(_, follow)| follow)
    }

    pub(super) fn take_early(&mut self, id: Hash) -> bool {
        let before = self.early.len();
        self.early.retain(|(early, _)| *early != id);
        self.early.len() < before
    }

    pub(super) fn early_bytes(&self) -> usize {
        self.early.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// How long a body of this size may be under way.
pub(super) fn transfer(config: &Config, bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / config.least_bytes_per_s)
}
