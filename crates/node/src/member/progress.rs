//! Whether and how fast the chain moves: for the status alone, no decision rests on it.

use std::time::Duration;

use chain::{Height, Tip};

use super::Member;
use crate::status::State;
use consensus::quorum::Waiting;

/// Nothing new for so long while there is something to come: an operator should know. A guess: some rounds of consensus
/// that went wrong, or a time-out of a range with its second try.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Fewer blocks behind than this count as caught up.
const NEAR: u64 = 2;

/// How the irreversible tip moved.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When something last moved.
    moved: Duration,
    /// When a block last became irreversible, and which.
    settled: (Duration, u64),
    /// Where the present sync began.
    from: Option<(Duration, u64)>,
}

impl Progress {
    /// A header or a body was accepted.
    pub(super) fn moved(&mut self, now: Duration) {
        self.moved = now;
    }
}

impl Member {
    /// Takes note of how far it is.
    pub(super) fn look(&mut self) {
        let settled = self.tree.root().settled;
        if self.progress.settled.1 != settled {
            self.progress.settled = (self.now.mono, settled);
        }
        let is_behind = self.best_claimed().is_some_and(|tip| tip.height.0 + 1 > settled + NEAR);
        match is_behind {
            true => drop(self.progress.from.get_or_insert((self.now.mono, settled))),
            false => self.progress.from = None,
        }
    }

    /// The highest irreversible tip that a peer states.
    pub(super) fn best_claimed(&self) -> Option<Tip> {
        let tips = self.peers.values().filter(|peer| peer.is_joined).map(|peer| peer.sync.status().lib);
        tips.max_by_key(|tip| tip.height)
    }

    /// What it is about.
    pub(super) fn state(&self, now: Duration) -> State {
        if let Some(error) = &self.failed {
            return State::Failed { error: error.clone() };
        }
        if self.start.is_some() && !self.is_holding() {
            return State::Starting;
        }
        let settled = self.tree.root().settled;
        let claimed = self.best_claimed();
        let is_alone = self.peers.is_empty() && !self.is_sole_validator();
        if is_alone {
            return State::NoPeers;
        }
        let is_behind = |tip: &Tip| tip.height.0 + 1 > settled + NEAR || self.is_holding();
        if let Some(tip) = claimed.filter(is_behind) {
            let idle = now.saturating_sub(self.progress.moved.max(self.progress.settled.0));
            if idle >= STALLED_AFTER {
                return State::Stalled { idle };
            }
            let percent = 100.0 * settled as f64 / (tip.height.0 + 1) as f64;
            return State::Syncing { percent, left: self.left(now, settled, tip.height) };
        }
        let idle = now.saturating_sub(self.progress.settled.0);
        let waiting = self.quorum.status().waiting;
        let is_resting = matches!(waiting, Waiting::Work { .. } | Waiting::Others(_) | Waiting::Start);
        if idle >= STALLED_AFTER && !is_resting {
            return State::Undecided { idle, waiting };
        }
        if self.quorum.is_voting() || matches!(waiting, Waiting::Work { .. }) {
            State::Validating
        } else {
            State::CaughtUp
        }
    }

    fn is_sole_validator(&self) -> bool {
        let root = self.tree.root();
        let (set, _) = Self::native(&root.state).validators_at(Height(root.settled));
        let weight = self.me.and_then(|me| set.place(&me)).map(|place| set.members()[place].weight.get());
        weight.is_some_and(|weight| self.params.faults.is_quorum(weight, set.weight()))
    }

    fn left(&self, now: Duration, settled: u64, claimed: Height) -> Option<Duration> {
        let (since, from) = self.progress.from?;
        let done = settled.checked_sub(from).filter(|done| *done > 0)?;
        let missing = (claimed.0 + 1).saturating_sub(settled);
        let seconds = now.saturating_sub(since).as_secs_f64() * missing as f64 / done as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}
