//! What is known of one peer.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use chain::Hash;

use super::{Config, Producer};

/// How many pushes are remembered, so that requests that cross them are not answered twice: those of a round trip.
/// A guess.
const MAX_PUSHED: usize = 64;

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
#[derive(Debug, Clone, Default)]
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
    /// What was pushed to it lately, unasked.
    pub(super) pushed: VecDeque<Hash>,
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

    pub(super) fn follow(&mut self, config: &Config, producer: Producer) {
        if self.follows.len() < config.producers.get() {
            self.follows.insert(producer);
        }
    }

    pub(super) fn remember_push(&mut self, id: Hash) {
        if self.pushed.len() == MAX_PUSHED {
            self.pushed.pop_front();
        }
        self.pushed.push_back(id);
    }

    /// Whether the body was pushed lately. It is said once: who asks again has not got it.
    pub(super) fn forget_push(&mut self, id: Hash) -> bool {
        let before = self.pushed.len();
        self.pushed.retain(|pushed| *pushed != id);
        self.pushed.len() < before
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
