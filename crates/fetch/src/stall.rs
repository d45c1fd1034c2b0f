//! Who holds up the head of the window, since when, and what follows.

use std::time::Duration;

use crate::{Output, Scheduler};

/// Time-outs double at most so often: from 2 s to 64 s, as in Bitcoin's block stalling.
const MAX_DOUBLINGS: u32 = 5;

/// So many items must arrive at the head before one doubling is taken back. A guess.
const PROGRESS_PER_DOUBLING: u32 = 8;

/// Watches the head of the window.
#[derive(Debug)]
pub(crate) struct Stall<P> {
    /// The lowest wanted item, and when it became that.
    pub(crate) head: Option<u64>,
    since: Duration,
    /// A peer that holds up the head, though not in silence, while another sits idle; and since when.
    starving: Option<(P, Duration)>,
    /// How often time-outs are doubled.
    doublings: u32,
    /// Items that arrived at the head since the last doubling or its taking back.
    progress: u32,
}

impl<P> Default for Stall<P> {
    fn default() -> Self {
        Self { head: None, since: Duration::ZERO, starving: None, doublings: 0, progress: 0 }
    }
}

impl<P> Stall<P> {
    pub(crate) fn on_head(&mut self, head: Option<u64>, now: Duration) {
        (self.head, self.since) = (head, now);
    }

    /// An item arrived at the head.
    pub(crate) fn on_progress(&mut self) {
        self.progress += 1;
        if self.progress >= PROGRESS_PER_DOUBLING {
            self.progress = 0;
            self.doublings = self.doublings.saturating_sub(1);
        }
    }

    fn on_eviction(&mut self) {
        self.progress = 0;
        self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
    }
}

impl<P: Copy + Ord> Scheduler<P> {
    /// When the peer that holds up the head is late; `None` when nobody does.
    pub(crate) fn late_at(&self) -> Option<Duration> {
        let blocker = self.blocker()?;
        let silent = self.silent_at(blocker);
        match self.stall.starving {
            Some((peer, since)) if peer == blocker => Some(silent.min(since + self.patience(blocker))),
            _ => Some(silent),
        }
    }

    /// Takes the items of a late peer from it, and evicts it if it was silent and is not pinned.
    pub(crate) fn judge(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        let Some(blocker) = self.blocker() else { return };
        if self.late_at().is_none_or(|late| now < late) {
            return;
        }
        let silent = now >= self.silent_at(blocker);
        self.release(blocker);
        self.stall.starving = None;
        let floor = self.config().peer_bytes_first.get();
        let peer = self.peers.get_mut(&blocker).expect("who was asked has joined");
        peer.overdue = true;
        peer.budget = (peer.budget / 2).max(floor.min(peer.budget));
        if silent && !peer.pinned {
            self.stall.on_eviction();
            self.on_evicted();
            out.push(Output::Evict { peer: blocker });
        }
    }

    /// Notes whether the head is held up while somebody who has it sits idle.
    pub(crate) fn watch(&mut self, now: Duration) {
        let starving =
            self.blocker().filter(|blocker| self.is_window_full() && self.is_idle_beside(*blocker));
        self.stall.starving = match (self.stall.starving, starving) {
            (Some((before, since)), Some(peer)) if before == peer => Some((peer, since)),
            (_, peer) => peer.map(|peer| (peer, now)),
        };
    }

    /// Whether another peer has the head and nothing to do.
    fn is_idle_beside(&self, blocker: P) -> bool {
        let Some(head) = self.head() else { return false };
        let others = self.peers.iter().filter(|(id, _)| **id != blocker);
        others.map(|(_, peer)| peer).any(|peer| peer.requests.is_empty() && peer.has.contains(head))
    }

    /// When the peer will have been silent for too long: since it was asked, since it last delivered, and since
    /// the head is the head.
    fn silent_at(&self, id: P) -> Duration {
        let peer = &self.peers[&id];
        let asked = peer.requests.front().map_or(Duration::ZERO, |request| request.asked);
        asked.max(peer.delivered).max(self.stall.since) + self.patience(id)
    }

    fn patience(&self, id: P) -> Duration {
        self.peers[&id].timeout(self.config()) * (1 << self.stall.doublings)
    }
}
