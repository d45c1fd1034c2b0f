//! What the scheduler knows of one peer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::Config;
use crate::ranges::Ranges;

/// How many round trips a peer may be silent while it holds up the head.
const TIMEOUT_ROUND_TRIPS: u32 = 3;

/// A range that a peer was asked for and has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) asked: Duration,
}

/// One peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) pinned: bool,
    pub(crate) has: Ranges,
    /// What it was asked for, in the order in which it answers.
    pub(crate) requests: VecDeque<Request>,
    /// The items that it owes us, with their estimated sizes: also those that others were asked for since.
    pub(crate) owed: BTreeMap<u64, u64>,
    pub(crate) owed_bytes: u64,
    /// How many bytes it may owe us.
    pub(crate) budget: u64,
    rtt: Option<Duration>,
    /// When it last delivered anything.
    pub(crate) delivered: Duration,
    /// Something of it lies unread.
    pub(crate) is_unread: bool,
    /// It held up the head, and gets nothing more until it has answered what it was asked for.
    pub(crate) overdue: bool,
    /// It held things up when it was here before, and has delivered nothing since.
    pub(crate) suspect: bool,
}

impl Peer {
    pub(crate) fn new(config: &Config, pinned: bool) -> Self {
        Self {
            pinned,
            has: Ranges::default(),
            requests: VecDeque::new(),
            owed: BTreeMap::new(),
            owed_bytes: 0,
            budget: config.peer_bytes_first.min(config.peer_bytes).get(),
            rtt: None,
            delivered: Duration::ZERO,
            is_unread: false,
            overdue: false,
            suspect: false,
        }
    }

    /// Takes a measured round trip into a moving mean (an eighth each, as TCP does).
    pub(crate) fn on_rtt(&mut self, rtt: Duration) {
        self.rtt = Some(self.rtt.map_or(rtt, |mean| (mean * 7 + rtt) / 8));
    }

    /// How long it may hold up the head in silence, before any doubling.
    pub(crate) fn timeout(&self, config: &Config) -> Duration {
        let rtt = self.rtt.unwrap_or(config.timeout_max);
        (rtt * TIMEOUT_ROUND_TRIPS).clamp(config.timeout_min, config.timeout_max)
    }

    /// Whether it may be asked for more. Above half of its budget it is left alone, so that it is asked for
    /// long ranges now and then and not for single items all the time.
    pub(crate) fn is_ready(&self, config: &Config) -> bool {
        let busy = self.requests.len() >= config.peer_requests.get() as usize;
        !self.overdue && !busy && (self.requests.is_empty() || self.owed_bytes <= self.budget / 2)
    }

    /// How many bytes it may be asked for now.
    pub(crate) fn room(&self) -> u64 {
        self.budget.saturating_sub(self.owed_bytes)
    }

    /// The items it owes from one request.
    pub(crate) fn owed_in(&self, from: u64, to: u64) -> Vec<u64> {
        self.owed.range(from..=to).map(|(key, _)| *key).collect()
    }

    pub(crate) fn owe(&mut self, key: u64, bytes: u64) {
        self.owed.insert(key, bytes);
        self.owed_bytes += bytes;
    }

    /// It does not owe the item any more.
    pub(crate) fn acquit(&mut self, key: u64) {
        if let Some(bytes) = self.owed.remove(&key) {
            self.owed_bytes -= bytes;
        }
    }
}
