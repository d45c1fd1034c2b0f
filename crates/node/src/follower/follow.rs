//! Following upstreams: dial, find the intersection, take headers, follow roll-backs, part.
//!
//! An upstream is *followed* while its chain goes through our irreversible tip, and *trails* while it does not:
//! then its headers are only compared, until one of them is our irreversible tip. It may be behind, perhaps on
//! a short fork that it will leave; so it is in *conflict* with us only when its chain is k blocks higher than
//! our irreversible tip and does not go through it.

use std::time::Duration;

use bytes::Bytes;
use chain::{Header, Height, Point, Tip};
use link::Time;
use rand::RngExt;

use super::upstream::{Command, Event, Fragment, Phase};
use super::violation::{Cause, Closing, Violation};
use super::{Follower, locator};
use crate::work::Work;
use crate::{CLOCK_SKEW, Found, Load, Notice, Output, Ticket, UpstreamId};

/// Faults in a row that are counted: a pause that has doubled so often is at its longest anyway.
const MAX_FAULTS: u32 = 16;

/// How often an upstream's chain may roll back before it is longer than it ever was. A node switches to a longer
/// chain, or to one as long by the tie rule, so this is far more than honest; but one that left a liar's longer
/// chain may take hours to reach that height again. A guess.
const MAX_ROLL_BACKS: u32 = 1_000;

/// An upstream that followed for so long without a fault starts with a clean slate. A guess.
const PROVEN: Duration = Duration::from_secs(120);

impl Follower {
    /// Dials those whose pause is over.
    pub(crate) fn connect_due(&mut self, now: Time, out: &mut Vec<Output>) {
        for (index, upstream) in self.upstreams.iter_mut().enumerate() {
            if let Phase::Waiting { until } = upstream.phase
                && until <= now.mono
            {
                upstream.enter(now.mono, Phase::Connecting);
                out.push(Output::Connect { id: UpstreamId(index as u32) });
            }
        }
    }

    /// What an upstream's machine says.
    pub(crate) fn on_event(&mut self, now: Time, id: UpstreamId, event: Event, out: &mut Vec<Output>) {
        if matches!(self.upstream(id).phase, Phase::Waiting { .. }) {
            // The connection ended by our own decision while this was on its way.
            return;
        }
        let done = match event {
            Event::Ready { .. } => self.on_ready(now, id, out),
            Event::Intersected { point, tip } => self.on_intersected(now, id, point, tip, out),
            Event::NotIntersected { .. } => Err(Cause::NoIntersection),
            Event::Forward { wire, tip } => self.on_forward(now, id, wire, tip, out),
            Event::Backward { point, tip } => self.on_backward(now, id, point, tip),
            Event::Waiting => Ok(()),
            Event::BatchStarted => Ok(()),
            Event::Block { raw } => self.on_block(now, id, raw, out),
            Event::BatchDone => self.on_batch_done(now, id),
            Event::NoBlocks => self.on_no_blocks(now, id),
            Event::Rtt { rtt } => self.on_rtt(now, id, rtt),
            Event::Peers { .. } => Ok(()),
            Event::Closed { reason } => {
                self.part(now, id, Cause::Closed(reason));
                return;
            }
        };
        if let Err(cause) = done {
            self.disconnect(now, id, cause, out);
        }
    }

    /// A dial that led nowhere, or a connection that is gone without a word of its machine.
    pub(crate) fn on_connect_failed(&mut self, now: Time, id: UpstreamId, error: String) {
        let cause = match self.upstream(id).phase {
            Phase::Waiting { .. } => return,
            Phase::Connecting => Cause::Unreachable(error),
            Phase::Locating { .. } | Phase::Intersecting { .. } => Cause::Lost(error),
            Phase::Trailing { .. } | Phase::Following(_) => Cause::Lost(error),
        };
        self.part(now, id, cause);
    }

    /// The points of the log that were asked for.
    pub(crate) fn on_loaded(&mut self, now: Time, ticket: Ticket, found: Found, out: &mut Vec<Output>) {
        let Found::Points(settled) = found else { unreachable!("a follower reads points alone") };
        let waits = |phase: &Phase| matches!(phase, Phase::Locating { ticket: t } if *t == ticket);
        let Some(index) = self.upstreams.iter().position(|upstream| waits(&upstream.phase)) else { return };
        let offered = locator::points(&self.tree, settled);
        let command = Command::Intersect { points: offered.clone() };
        let irreversible = self.tree.root().tip;
        self.upstreams[index].enter(now.mono, Phase::Intersecting { offered, irreversible });
        out.push(Output::Upstream { id: UpstreamId(index as u32), command });
    }

    fn on_ready(&mut self, now: Time, id: UpstreamId, out: &mut Vec<Output>) -> Result<(), Cause> {
        let ticket = self.next_ticket();
        self.upstream_mut(id).enter(now.mono, Phase::Locating { ticket });
        let positions = locator::positions(self.tree.root().settled);
        out.push(Output::Load { ticket, load: Load::Points(positions) });
        Ok(())
    }

    fn on_intersected(
        &mut self,
        now: Time,
        id: UpstreamId,
        point: Point,
        tip: Tip,
        out: &mut Vec<Output>,
    ) -> Result<(), Cause> {
        self.upstream_mut(id).tip = Some(tip);
        let Phase::Intersecting { offered, irreversible } = &self.upstream(id).phase else { return Ok(()) };
        let Some(index) = offered.iter().position(|offer| *offer == point) else {
            return Err(Violation::IntersectionUnknown { at: point }.into());
        };
        let has_irreversible = offered[..index].iter().all(|offer| *offer != irreversible.point);
        if !has_irreversible && self.is_conflict(irreversible.height, tip.height) {
            return Err(self.conflict(id, point, out));
        }
        if self.tree.state(&point).is_some() {
            self.begin_following(now, id, Fragment::new(point));
        } else {
            self.upstream_mut(id).enter(now.mono, Phase::Trailing { last: point, asked: 0, told: 0 });
        }
        Ok(())
    }

    fn on_forward(
        &mut self,
        now: Time,
        id: UpstreamId,
        wire: Bytes,
        tip: Tip,
        out: &mut Vec<Output>,
    ) -> Result<(), Cause> {
        let header = self.format.header(&wire).map_err(Violation::HeaderUndecodable)?;
        let upstream = self.upstream_mut(id);
        upstream.tip = Some(tip);
        let (is_trailing, last, asked) = match &mut upstream.phase {
            Phase::Following(fragment) => (false, fragment.last(), &mut fragment.asked),
            Phase::Trailing { last, asked, .. } => (true, *last, asked),
            Phase::Waiting { .. }
            | Phase::Connecting
            | Phase::Locating { .. }
            | Phase::Intersecting { .. } => {
                return Err(Violation::HeaderUnasked.into());
            }
        };
        *asked = asked.checked_sub(1).ok_or(Violation::HeaderUnasked)?;
        if last != Point::Origin && header.prev != last.hash() {
            return Err(Violation::HeaderUnlinked { id: header.id, last }.into());
        }
        match is_trailing {
            true => self.trail(now, id, header, out),
            false => self.take_header(now, id, header, out),
        }
    }

    /// A header of an upstream that is behind us: only compared.
    fn trail(
        &mut self,
        now: Time,
        id: UpstreamId,
        header: Header,
        out: &mut Vec<Output>,
    ) -> Result<(), Cause> {
        let irreversible = self.tree.root().tip;
        let is_conflict = self.is_conflict(irreversible.height, header.height);
        let longest = self.longest_trail();
        let upstream = self.upstream_mut(id);
        let Phase::Trailing { last, asked, told } = &mut upstream.phase else {
            unreachable!("only called when trailing")
        };
        if header.point() == irreversible.point {
            let mut fragment = Fragment::new(header.point());
            fragment.asked = *asked;
            self.begin_following(now, id, fragment);
        } else if is_conflict {
            return Err(self.conflict(id, header.point(), out));
        } else {
            *last = header.point();
            *told += 1;
            if *told > longest {
                return Err(Violation::TrailsForEver { told: longest }.into());
            }
        }
        Ok(())
    }

    /// A header above our irreversible tip: judged, unless another upstream brought it already.
    fn take_header(
        &mut self,
        now: Time,
        id: UpstreamId,
        header: Header,
        out: &mut Vec<Output>,
    ) -> Result<(), Cause> {
        self.check_slot(now, &header)?;
        let point = header.point();
        self.following(id).announced(header.height);
        if self.tree.contains(&header.id) {
            self.following(id).at = point;
            self.moved(id);
        } else {
            if !self.verifying.contains(&header.id) {
                self.begin_checks(id, header, out)?;
            }
            self.following(id).unverified.push_back(point);
        }
        self.upstream_mut(id).headers += 1;
        Ok(())
    }

    fn check_slot(&self, now: Time, header: &Header) -> Result<(), Violation> {
        let ahead = self.format.slot_start(header.slot).saturating_sub(now.wall);
        if ahead > CLOCK_SKEW {
            return Err(Violation::HeaderFromTheFuture { id: header.id, ahead });
        }
        Ok(())
    }

    fn begin_checks(
        &mut self,
        id: UpstreamId,
        header: Header,
        out: &mut Vec<Output>,
    ) -> Result<(), Violation> {
        let last = self.following(id).last();
        let known = last.hash().and_then(|hash| self.verifying.state(&hash));
        let parent = known.or_else(|| self.tree.state(&last)).expect("a fragment stands on known headers");
        let invalid = |reason| Violation::HeaderInvalid { id: header.id, reason };
        let state = self.format.next(parent, &header).map_err(invalid)?;
        let checks = self.format.checks(parent, &header);
        if self.sources.count(id) >= self.bounds.headers_each() {
            return Err(Violation::TooManyForks { headers: self.bounds.headers_each() });
        }
        let ticket = self.next_ticket();
        self.sources.add(header.id, id);
        self.verifying.begin(ticket, header, state);
        out.push(Output::Verify { ticket, work: Work::Header(checks) });
        Ok(())
    }

    fn on_backward(&mut self, now: Time, id: UpstreamId, to: Point, tip: Tip) -> Result<(), Cause> {
        let irreversible = self.tree.root().tip.point;
        let known = self.tree.state(&to).is_some();
        let longest = self.longest_trail();
        let upstream = self.upstream_mut(id);
        upstream.tip = Some(tip);
        match &mut upstream.phase {
            Phase::Trailing { last, asked, told } => {
                *asked = asked.saturating_sub(1);
                *last = to;
                *told += 1;
                if *told > longest {
                    return Err(Violation::TrailsForEver { told: longest }.into());
                }
            }
            Phase::Following(fragment) => {
                fragment.asked = fragment.asked.saturating_sub(1);
                if fragment.rolled_back() > MAX_ROLL_BACKS {
                    return Err(Violation::RollBacks { times: MAX_ROLL_BACKS }.into());
                }
                if !fragment.roll_back_unverified(to) {
                    if !known && to.slot() > irreversible.slot() {
                        return Err(Violation::RollBackUnknown { to }.into());
                    }
                    if !known {
                        let asked = fragment.asked;
                        self.begin_trailing(now, id, to, asked);
                        return Ok(());
                    }
                    fragment.roll_back(to);
                }
                self.moved(id);
            }
            Phase::Waiting { .. }
            | Phase::Connecting
            | Phase::Locating { .. }
            | Phase::Intersecting { .. } => {
                return Err(Violation::HeaderUnasked.into());
            }
        }
        Ok(())
    }

    fn on_rtt(&mut self, now: Time, id: UpstreamId, rtt: Duration) -> Result<(), Cause> {
        self.bodies.on_rtt(now.mono, id, rtt);
        self.upstream_mut(id).rtt = Some(rtt);
        Ok(())
    }

    /// How often a chain may move before it goes through our irreversible tip: once for each block below it, and
    /// some more where it rolls back on the way. What it says is not checked, and would cost us for ever.
    fn longest_trail(&self) -> u64 {
        self.tree.root().settled + 2 * self.bounds.headers_ahead()
    }

    /// Whether a chain of that height, which does not go through our irreversible block, is another for good.
    pub(crate) fn is_conflict(&self, irreversible: Height, height: Height) -> bool {
        height.0 >= irreversible.0.saturating_add(self.bounds.depth())
    }

    /// An upstream's chain does not go through our irreversible tip, for now. It has nothing that is wanted, but
    /// may still owe what it was asked for.
    pub(crate) fn begin_trailing(&mut self, now: Time, id: UpstreamId, last: Point, asked: u32) {
        self.bodies.has(now.mono, id, None);
        self.upstream_mut(id).enter(now.mono, Phase::Trailing { last, asked, told: 0 });
        self.moved(id);
    }

    /// Tells the operator that an upstream's chain conflicts with ours.
    pub(crate) fn conflict(&mut self, id: UpstreamId, at: Point, out: &mut Vec<Output>) -> Cause {
        let irreversible = self.tree.root().tip.point;
        out.push(Output::Notice(Notice::Conflict { id, at, irreversible }));
        Cause::Conflict
    }

    /// Closes a connection from our side.
    pub(crate) fn disconnect(&mut self, now: Time, id: UpstreamId, cause: Cause, out: &mut Vec<Output>) {
        let closing = self.part(now, id, cause);
        out.push(Output::Disconnect { id, closing });
    }

    /// The end of a connection: takes everything back that the upstream was to do for us.
    fn part(&mut self, now: Time, id: UpstreamId, cause: Cause) -> Closing {
        let jitter = self.rng.random_range(0.75..1.25);
        let owes = self.bodies.expected(id).is_some();
        let upstream = self.upstream_mut(id);
        upstream.suspect |= owes || matches!(cause, Cause::NoBlocks | Cause::Stalled);
        if upstream.fragment().is_some() && now.mono.saturating_sub(upstream.since) >= PROVEN {
            upstream.faults = 0;
        }
        let pause = cause.pause();
        let doubled = pause.first.saturating_mul(1 << upstream.faults);
        let cool_off = doubled.min(pause.longest).mul_f64(jitter);
        upstream.faults = (upstream.faults + 1).min(MAX_FAULTS);
        let closing = Closing { cause, cool_off };
        upstream.last_closing = Some(closing.clone());
        upstream.enter(now.mono, Phase::Waiting { until: now.mono.saturating_add(cool_off) });
        self.bodies.leave(now.mono, id);
        self.moved(id);
        closing
    }

    fn begin_following(&mut self, now: Time, id: UpstreamId, fragment: Fragment) {
        let upstream = self.upstream_mut(id);
        upstream.enter(now.mono, Phase::Following(fragment));
        let (rtt, suspect) = (upstream.rtt, upstream.suspect);
        self.bodies.join(now.mono, id, rtt, suspect);
        self.moved(id);
    }

    fn following(&mut self, id: UpstreamId) -> &mut Fragment {
        self.upstream_mut(id).fragment_mut().expect("only called when following")
    }
}
