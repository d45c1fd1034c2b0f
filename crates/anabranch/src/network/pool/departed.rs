//! Connections that are over, and why: kept for operators, bounded.
//!
//! Those that never proved a key have a ring of their own, so that noise does not wash out the others. What
//! fell out of a ring is still in the counts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use link::PeerId;
use link::reason::Reason;
use link::state::State;

use crate::network::address::Remote;
use crate::network::status::{Departed, Direction};

/// How many of each kind are remembered.
const MAX_REMEMBERED: usize = 128;

/// One connection that is over.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) id: u64,
    pub(super) peer: Option<PeerId>,
    pub(super) remote: Remote,
    pub(super) direction: Direction,
    /// The last state before its end began.
    pub(super) state: State,
    pub(super) reason: Reason,
    pub(super) lasted: Duration,
    pub(super) at: Duration,
    pub(super) strikes: u32,
}

/// The connections that are over.
#[derive(Debug, Default)]
pub(super) struct Past {
    proven: VecDeque<Gone>,
    nobodies: VecDeque<Gone>,
    /// By the reason's name, of which there are few.
    counts: BTreeMap<&'static str, u64>,
}

impl Past {
    /// Notes a connection that is over.
    pub(super) fn note(&mut self, gone: Gone) {
        self.count(&gone.reason);
        let ring = if gone.peer.is_some() { &mut self.proven } else { &mut self.nobodies };
        if ring.len() == MAX_REMEMBERED {
            ring.pop_front();
        }
        ring.push_back(gone);
    }

    /// Counts an end without remembering it: there was not even a place.
    pub(super) fn count(&mut self, reason: &Reason) {
        *self.counts.entry(reason.name()).or_default() += 1;
    }

    /// How many ended for which reason.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.clone()
    }

    /// Those that are remembered, the last one first.
    pub(super) fn listed(&self, now: Duration) -> Vec<Departed> {
        let mut all: Vec<&Gone> = self.proven.iter().chain(&self.nobodies).collect();
        all.sort_by_key(|gone| std::cmp::Reverse((gone.at, gone.id)));
        all.into_iter().map(|gone| gone.listed(now)).collect()
    }
}

impl Gone {
    fn listed(&self, now: Duration) -> Departed {
        Departed {
            id: self.id,
            peer: self.peer,
            address: self.remote.clone(),
            direction: self.direction,
            state: self.state,
            reason: self.reason.name(),
            text: self.reason.to_string(),
            lasted_ms: self.lasted.as_millis() as u64,
            ago_ms: now.saturating_sub(self.at).as_millis() as u64,
            strikes: self.strikes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(id: u64, peer: Option<PeerId>) -> Gone {
        Gone {
            id,
            peer,
            remote: Remote::Pipe,
            direction: Direction::Accepted,
            state: State::Authenticating,
            reason: if peer.is_some() { Reason::Dropped } else { Reason::HandshakeTimeout },
            lasted: Duration::ZERO,
            at: Duration::from_millis(id),
            strikes: 0,
        }
    }

    #[test]
    fn noise_washes_nobody_out_and_is_counted() {
        let mut past = Past::default();
        past.note(gone(0, Some(PeerId([7; 32]))));
        for id in 1..=1_000 {
            past.note(gone(id, None));
        }
        let listed = past.listed(Duration::from_secs(2));
        assert_eq!(listed.len(), MAX_REMEMBERED + 1);
        assert_eq!((listed[0].id, listed[0].ago_ms), (1_000, 1_000));
        assert_eq!(listed.last().unwrap().peer, Some(PeerId([7; 32])));
        assert_eq!(past.counts()[Reason::HandshakeTimeout.name()], 1_000);
    }
}
