//! Headers between their arrival and the fork tree, and what happens to upstreams whose headers leave it.

use chain::format::{Counts, Reason};
use chain::tree::Refusal;
use chain::{Hash, Height, Point};
use link::Time;

use super::Follower;
use super::upstream::{Command, Fragment, Phase};
use super::verifying::Pending;
use super::violation::{Cause, Violation};
use crate::work::Fault;
use crate::{Notice, Output, Ticket, UpstreamId};

/// Headers that may be asked for and not yet come, for each upstream: the reference clients pipeline up to
/// 300 (spec page, "Limits").
const MAX_ASKED: u32 = 300;

/// More are asked for when at most so many are on their way: half of the window, so that it never runs dry
/// within a round trip and commands are not sent one by one.
const ASK_AGAIN: u32 = MAX_ASKED / 2;

/// Headers of one upstream whose checks may be under way: some milliseconds of work for a pool. A guess.
const MAX_UNVERIFIED: u64 = 1_024;

impl Follower {
    /// The checks of a header ended.
    pub(crate) fn on_verified(
        &mut self,
        now: Time,
        ticket: Ticket,
        result: Result<Counts, Fault>,
        out: &mut Vec<Output>,
    ) {
        match result {
            Ok(counts) => {
                self.checks.add(&counts);
                for pending in self.verifying.passed(ticket) {
                    self.insert_header(now, pending, out);
                }
            }
            Err(Fault::Header(reason)) => self.on_invalid(now, ticket, &reason, out),
            Err(Fault::Certificate(_) | Fault::Claim) => unreachable!("a follower has headers checked alone"),
        }
    }

    /// Asks every upstream for as many headers as it may send now.
    pub(crate) fn ask_headers(&mut self, out: &mut Vec<Output>) {
        for index in 0..self.upstreams.len() {
            let n = self.headers_wanted(&self.upstreams[index].phase);
            let asked = match &mut self.upstreams[index].phase {
                Phase::Following(fragment) => &mut fragment.asked,
                Phase::Trailing { asked, .. } => asked,
                Phase::Waiting { .. }
                | Phase::Connecting
                | Phase::Locating { .. }
                | Phase::Intersecting { .. } => continue,
            };
            if n > 0 && *asked <= ASK_AGAIN {
                *asked += n;
                out.push(Output::Upstream { id: UpstreamId(index as u32), command: Command::Demand { n } });
            }
        }
    }

    fn headers_wanted(&self, phase: &Phase) -> u32 {
        match phase {
            Phase::Trailing { asked, .. } => MAX_ASKED.saturating_sub(*asked),
            Phase::Following(fragment) => {
                let window = MAX_ASKED.saturating_sub(fragment.asked);
                let coming = fragment.unverified.len() as u64 + u64::from(fragment.asked);
                let ahead = self.height_above_root(&fragment.at) + coming;
                let room = self.bounds.headers_ahead().saturating_sub(ahead);
                let unverified = MAX_UNVERIFIED.saturating_sub(coming);
                u64::from(window).min(room).min(unverified) as u32
            }
            Phase::Waiting { .. }
            | Phase::Connecting
            | Phase::Locating { .. }
            | Phase::Intersecting { .. } => 0,
        }
    }

    /// How many blocks lie between the irreversible tip and this point, the point included.
    pub(crate) fn height_above_root(&self, at: &Point) -> u64 {
        let position = at.hash().and_then(|id| self.tree.position(&id));
        position.map_or(0, |position| position.next().0 - self.tree.root().settled)
    }

    fn insert_header(&mut self, now: Time, pending: Pending, out: &mut Vec<Output>) {
        let point = pending.header.point();
        match self.tree.insert_header(pending.header, pending.state) {
            Ok(change) => {
                self.progress.moved(now.mono);
                for index in 0..self.upstreams.len() {
                    let stood = self.upstreams[index].fragment().map(|fragment| fragment.at);
                    if let Some(fragment) = self.upstreams[index].fragment_mut() {
                        fragment.verified(point);
                        if Some(fragment.at) != stood {
                            self.moved(UpstreamId(index as u32));
                        }
                    }
                }
                self.on_change(now, change, out);
            }
            Err(reason) => self.on_refused(now, point, reason, out),
        }
    }

    /// The tree has no place for a header that is sound: whoever stands on it cannot be followed now.
    fn on_refused(&mut self, now: Time, point: Point, reason: Refusal, out: &mut Vec<Output>) {
        let Some(id) = point.hash() else { return };
        out.push(Output::Notice(Notice::Refused { point, reason }));
        self.sources.remove(&id);
        self.drop_orphans();
        self.disconnect_where(now, |fragment| fragment.is_waiting_for(&id), &Cause::Crowded, out);
    }

    /// Every upstream that has an invalid header in its chain has lied.
    fn on_invalid(&mut self, now: Time, ticket: Ticket, reason: &Reason, out: &mut Vec<Output>) {
        let Some(id) = self.verifying.header_of(ticket) else { return };
        for gone in self.verifying.drop_from(id) {
            self.sources.remove(&gone);
        }
        let cause = Violation::HeaderInvalid { id, reason: reason.clone() }.into();
        self.disconnect_where(now, |fragment| fragment.is_waiting_for(&id), &cause, out);
    }

    /// Headers left the tree: some, given oldest first, became irreversible, others cannot be on our chain any more.
    pub(crate) fn on_gone(&mut self, now: Time, settled: &[Hash], dropped: &[Hash], out: &mut Vec<Output>) {
        let gone = || settled.iter().chain(dropped);
        gone().for_each(|id| self.sources.remove(id));
        self.drop_orphans();
        for index in 0..self.upstreams.len() {
            let id = UpstreamId(index as u32);
            let Some(fragment) = self.upstreams[index].fragment() else { continue };
            if self.tree.state(&fragment.at).is_some() {
                continue;
            }
            let (last, asked) = (fragment.last(), fragment.asked);
            let stated = self.upstreams[index].tip.map_or(Height(0), |tip| tip.height);
            let is_behind =
                fragment.unverified.is_empty() && last.hash().is_none_or(|at| !dropped.contains(&at));
            if !is_behind && self.is_conflict(self.tree.root().tip.height, stated) {
                let cause = self.conflict(id, last, out);
                self.disconnect(now, id, cause, out);
            } else {
                self.begin_trailing(now, id, last, asked);
            }
        }
        self.depth.on_gone(gone());
        self.is_moved = true;
    }

    /// Drops the headers under way whose parent is in the tree no longer.
    fn drop_orphans(&mut self) {
        let Self { tree, verifying, sources, .. } = self;
        for gone in verifying.drop_orphans(|header| tree.parent_state(header).is_ok()) {
            sources.remove(&gone);
        }
    }

    fn disconnect_where(
        &mut self,
        now: Time,
        stands: impl Fn(&Fragment) -> bool,
        cause: &Cause,
        out: &mut Vec<Output>,
    ) {
        for index in 0..self.upstreams.len() {
            if self.upstreams[index].fragment().is_some_and(&stands) {
                self.disconnect(now, UpstreamId(index as u32), cause.clone(), out);
            }
        }
    }
}
