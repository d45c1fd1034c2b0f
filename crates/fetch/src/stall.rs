//! Who holds up the head of the window, since when, and what follows.

use std::time::Duration;

use crate::peer::Peer;
use crate::{Output, Scheduler};

/// Time-outs double at most so often: from 2 s to 64 s, as in Bitcoin's block stalling.
const MAX_DOUBLINGS: u32 = 5;

/// So many items must arrive at the head before one doubling is taken back. A guess.
const PROGRESS_PER_DOUBLING: u32 = 8;

/// Who judges so much later than it was to was busy or stopped, and did not wait for anybody. A guess: far more than a
/// process that has nothing to do is woken late.
const OVERSLEPT: Duration = Duration::from_millis(250);

/// So often in a row may it be our own doing that nothing comes; then whoever holds up the head is judged all the same.
/// A guess: one who floods us and delivers nothing is not here for ever.
const MAX_EXCUSES: u32 = 4;

/// Watches the head of the window.
#[derive(Debug)]
pub(crate) struct Stall<P> {
    /// The lowest wanted item, and when it became that.
    pub(crate) head: Option<u64>,
    since: Duration,
    starving: Option<Starving<P>>,
    /// How often time-outs are doubled.
    doublings: u32,
    /// Items that arrived at the head since the last doubling or its taking back.
    progress: u32,
    /// How often nobody was judged since the head last moved, since it was our own doing.
    excuses: u32,
}

/// A peer that holds up the head, though perhaps not in silence, while others sit idle.
#[derive(Debug, Clone, Copy)]
struct Starving<P> {
    peer: P,
    /// How long somebody sat idle before, since this peer holds up the head.
    waited: Duration,
    /// Since when somebody sits idle, if now somebody does.
    since: Option<Duration>,
}

impl<P> Default for Stall<P> {
    fn default() -> Self {
        Self { head: None, since: Duration::ZERO, starving: None, doublings: 0, progress: 0, excuses: 0 }
    }
}

impl<P> Starving<P> {
    /// For how long somebody has been sitting idle without a break.
    fn idle(&self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

impl<P> Stall<P> {
    pub(crate) fn on_head(&mut self, head: Option<u64>, now: Duration) {
        (self.head, self.since, self.excuses) = (head, now, 0);
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
        if self.yields(blocker) {
            return Some(self.stall.since);
        }
        let silent = self.silent_at(blocker);
        match self.stall.starving {
            Some(Starving { peer, waited, since: Some(since) }) if peer == blocker => {
                Some(silent.min(since + self.patience(blocker).saturating_sub(waited)))
            }
            _ => Some(silent),
        }
    }

    /// Takes the items of a late peer from it, and evicts it if it was silent and is not pinned.
    pub(crate) fn judge(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        let Some(blocker) = self.blocker() else { return };
        if self.late_at().is_none_or(|late| now < late) || self.excuses(blocker, now) {
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

    /// Whether it is our own doing that a late peer is late: something of it lies unread, or we were not waiting at all.
    /// Its time begins anew then.
    fn excuses(&mut self, blocker: P, now: Duration) -> bool {
        if self.yields(blocker) || self.stall.excuses == MAX_EXCUSES {
            return false;
        }
        let overslept = now > self.silent_at(blocker) + OVERSLEPT;
        let is_ours = overslept || self.peers[&blocker].is_unread;
        if is_ours {
            self.stall.excuses += 1;
            self.stall.since = now;
            self.stall.starving = None;
        }
        is_ours
    }

    /// Notes for how long the head has been held up while somebody who has it sat idle.
    ///
    /// That others are busy for a moment stops the clock and does not set it back: each item that drips in makes
    /// room for one more, which keeps somebody busy. The clock begins anew when somebody else, or nobody,
    /// holds up the head.
    pub(crate) fn watch(&mut self, now: Duration) {
        let Some(peer) = self.blocker() else {
            self.stall.starving = None;
            return;
        };
        let before = self.stall.starving.filter(|before| before.peer == peer);
        let waited = before.map_or(Duration::ZERO, |before| before.waited + before.idle(now));
        let since = (self.is_window_full() && self.is_idle_beside(peer)).then_some(now);
        self.stall.starving = Some(Starving { peer, waited, since });
    }

    /// Whether a peer that held things up before need not be waited for: another can be asked for the head now.
    fn yields(&self, blocker: P) -> bool {
        let Some(head) = self.head().filter(|_| self.peers[&blocker].suspect) else { return false };
        let can = |peer: &Peer| !peer.suspect && peer.is_ready(self.config()) && peer.has.contains(head);
        self.peers.values().any(can)
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
