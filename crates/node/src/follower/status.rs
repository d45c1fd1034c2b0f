//! What an operator wants to know of a follower.

use chain::Tip;
use link::Time;

use super::Follower;
use crate::UpstreamId;
use crate::status::{State, Status, Upstream};

impl Follower {
    /// What an operator wants to know now.
    pub fn status(&self, now: Time) -> Status {
        let (head, root) = (self.tree.head(), self.tree.root());
        let best_claimed = self.best_claimed();
        Status {
            state: self.state(now, head, best_claimed),
            irreversible: root.tip,
            settled: root.settled,
            head,
            best_claimed,
            agree: self.agree(),
            witnesses: self.upstreams.iter().filter(|upstream| upstream.fragment().is_some()).count() as u32,
            headers: self.tree.len(),
            bytes: self.tree.bytes(),
            wanted: self.bodies.len(),
            verifying: self.verifying.len(),
            checks: self.checks,
            pool: 0,
            produced: 0,
            upstreams: (0..self.upstreams.len()).map(|index| self.upstream_status(now, index)).collect(),
            member: None,
        }
    }

    fn state(&self, now: Time, head: Tip, best_claimed: Option<Tip>) -> State {
        if let Some(error) = &self.failed {
            return State::Failed { error: error.clone() };
        }
        if !self.is_started {
            return State::Starting;
        }
        if !self.upstreams.iter().any(|upstream| upstream.is_connected()) {
            return State::NoUpstreams;
        }
        self.progress.state(now.mono, head, best_claimed)
    }

    /// The highest tip that as many connected upstreams as must agree state or exceed.
    pub(crate) fn best_claimed(&self) -> Option<Tip> {
        let connected = self.upstreams.iter().filter(|upstream| upstream.is_connected());
        let mut tips: Vec<Tip> = connected.filter_map(|upstream| upstream.tip).collect();
        tips.sort_by_key(|tip| std::cmp::Reverse(tip.height));
        let last = tips.len().checked_sub(1)?;
        tips.get(last.min((self.agree() as usize).saturating_sub(1))).copied()
    }

    fn upstream_status(&self, now: Time, index: usize) -> Upstream {
        let upstream = &self.upstreams[index];
        Upstream {
            id: UpstreamId(index as u32),
            phase: upstream.phase.name(),
            phase_age: now.mono.saturating_sub(upstream.since),
            tip: upstream.tip,
            at: upstream.at(),
            headers: upstream.headers,
            bodies: upstream.bodies,
            rtt: upstream.rtt,
            faults: upstream.faults,
            last_closing: upstream.last_closing.clone(),
        }
    }
}
