//! Bodies: which are wanted, what each upstream was asked for, and what comes back.
//!
//! Which upstream is asked for which range and when is the scheduler's in `fetch`, which knows keys only:
//! each wanted block gets the next number, so that numbers in a row are blocks in a row of one chain, and a
//! chain begun afresh leaves a gap.
//!
//! **Invariants**: a block is wanted under one key; what an upstream still owes is answered in the order in
//! which it was asked, since block-fetch answers in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chain::{Hash, Header, Point};
use fetch::{Input, Output, Scheduler};

use crate::UpstreamId;

/// How many times in a row an upstream may lack a range of its own chain: once a roll-back crosses our
/// request; more often it announces what it does not have.
const MAX_LACKING: u32 = 3;

/// What a body is taken to weigh before the first has come: about the mean of preview's.
const FIRST_ESTIMATE: u64 = 1_024;

/// A range that an upstream was asked for: what it still owes, oldest first.
type Batch = VecDeque<(u64, Point)>;

/// All bodies that are wanted.
#[derive(Debug)]
pub(crate) struct Bodies {
    scheduler: Scheduler<UpstreamId>,
    /// The upstreams that the scheduler knows.
    joined: BTreeSet<UpstreamId>,
    target: Option<Point>,
    wanted: BTreeMap<u64, Point>,
    keys: BTreeMap<Hash, u64>,
    asked: BTreeMap<UpstreamId, VecDeque<Batch>>,
    lacking: BTreeMap<UpstreamId, u32>,
    /// The moving mean of their sizes: a header does not say how large its body is.
    mean_bytes: u64,
    /// The lowest number that the next wanted block may have.
    next_key: u64,
    /// The block that has the number below, if it may still be followed by its child in one range.
    last: Option<Hash>,
}

/// What to do about bodies.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Ask for a range.
    Range(UpstreamId, Point, Point),
    /// Part from an upstream that holds up everything.
    Evict(UpstreamId),
}

impl Bodies {
    /// Nothing is wanted yet.
    pub(crate) fn new() -> Self {
        Self {
            scheduler: Scheduler::new(fetch::Config::default()),
            joined: BTreeSet::new(),
            target: None,
            wanted: BTreeMap::new(),
            keys: BTreeMap::new(),
            asked: BTreeMap::new(),
            lacking: BTreeMap::new(),
            mean_bytes: FIRST_ESTIMATE,
            next_key: 0,
            last: None,
        }
    }

    /// The end of the chain whose bodies are wanted.
    pub(crate) fn target(&self) -> Option<Point> {
        self.target
    }

    /// The key of a wanted block.
    pub(crate) fn key(&self, id: &Hash) -> Option<u64> {
        self.keys.get(id).copied()
    }

    /// How many are wanted.
    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// The bodies of another chain are wanted now, or, where it `extends` the one before, of its new end.
    pub(crate) fn retarget(
        &mut self,
        now: Duration,
        target: Option<Point>,
        missing: &[Header],
        extends: bool,
    ) {
        self.target = target;
        if !extends {
            self.keep_prefix(now, missing);
        }
        for header in missing {
            if !self.keys.contains_key(&header.id) {
                // A gap where blocks between the two are here already: a range would bring them again.
                let key = self.next_key + u64::from(self.last != header.prev);
                (self.next_key, self.last) = (key + 1, Some(header.id));
                self.keys.insert(header.id, key);
                self.wanted.insert(key, header.point());
                self.tell(now, Input::Want { key, bytes: self.mean_bytes });
            }
        }
    }

    /// Wants no more than the first of these that are wanted already, one after the other.
    fn keep_prefix(&mut self, now: Duration, missing: &[Header]) {
        let mut last = None;
        let prefix = missing.iter().map_while(|header| {
            let key = *self.keys.get(&header.id)?;
            let ascends = last.is_none_or(|last| last < key);
            last = Some(key);
            ascends.then_some(key)
        });
        let kept: BTreeSet<u64> = prefix.collect();
        let dropped: Vec<u64> = self.wanted.keys().filter(|key| !kept.contains(key)).copied().collect();
        for key in dropped {
            self.wanted.remove(&key);
            self.tell(now, Input::Unwant { from: key, to: key });
        }
        self.keys.retain(|_, key| kept.contains(key));
        // What follows stands on another block than what went before.
        self.last = None;
    }

    /// An upstream is followed now. One that was before, and trailed meanwhile, still owes what it was asked for.
    pub(crate) fn join(&mut self, now: Duration, id: UpstreamId, rtt: Option<Duration>, suspect: bool) {
        if !self.joined.insert(id) {
            return;
        }
        self.tell(now, Input::Joined { peer: id, pinned: false });
        if let Some(rtt) = rtt {
            self.tell(now, Input::Rtt { peer: id, rtt });
        }
        if suspect {
            self.tell(now, Input::Suspect { peer: id });
        }
    }

    /// An upstream is gone, with all that it owes.
    pub(crate) fn leave(&mut self, now: Duration, id: UpstreamId) {
        self.joined.remove(&id);
        self.asked.remove(&id);
        self.lacking.remove(&id);
        self.tell(now, Input::Left { peer: id });
    }

    /// An upstream has every wanted block up to this one, and none above it.
    pub(crate) fn has(&mut self, now: Duration, id: UpstreamId, last: Option<u64>) {
        if let Some(last) = last {
            self.tell(now, Input::Has { peer: id, from: 0, to: last });
        }
        let from = last.map_or(0, |last| last + 1);
        self.tell(now, Input::Lacks { peer: id, from, to: u64::MAX });
    }

    /// A round trip was measured.
    pub(crate) fn on_rtt(&mut self, now: Duration, id: UpstreamId, rtt: Duration) {
        self.tell(now, Input::Rtt { peer: id, rtt });
    }

    /// The block that an upstream owes next.
    pub(crate) fn expected(&self, id: UpstreamId) -> Option<Point> {
        self.asked.get(&id)?.front()?.front().map(|(_, point)| *point)
    }

    /// The block that an upstream owed next has come, and is right.
    pub(crate) fn arrived(&mut self, now: Duration, id: UpstreamId, bytes: usize) {
        let batch = self.asked.get_mut(&id).and_then(VecDeque::front_mut).expect("something is owed");
        let (key, point) = batch.pop_front().expect("something is owed");
        self.lacking.remove(&id);
        self.mean_bytes = (self.mean_bytes * 15 + bytes as u64) / 16;
        if self.wanted.remove(&key).is_some() {
            point.hash().and_then(|id| self.keys.remove(&id));
        }
        self.tell(now, Input::Received { peer: id, key, bytes: bytes as u64 });
    }

    /// A range ended; says how many blocks of it did not come.
    pub(crate) fn ended(&mut self, now: Duration, id: UpstreamId) -> usize {
        let batch = self.asked.get_mut(&id).and_then(VecDeque::pop_front);
        self.tell(now, Input::Done { peer: id });
        batch.map_or(0, |batch| batch.len())
    }

    /// An upstream does not have a range; says whether that was once too often.
    pub(crate) fn lacks(&mut self, now: Duration, id: UpstreamId) -> bool {
        self.ended(now, id);
        let times = self.lacking.entry(id).or_default();
        *times += 1;
        *times >= MAX_LACKING
    }

    /// What to ask for now, and whom to let go. Asks for nothing while what has come cannot be put away.
    pub(crate) fn asks(&mut self, now: Duration, may_ask: bool) -> Vec<Ask> {
        let mut out = Vec::new();
        self.scheduler.handle(now, Input::Tick { ask: may_ask, judge: true }, &mut out);
        out.into_iter()
            .map(|output| match output {
                Output::Request { peer, from, to } => self.on_request(peer, from, to),
                Output::Evict { peer } => Ask::Evict(peer),
            })
            .collect()
    }

    fn on_request(&mut self, id: UpstreamId, from: u64, to: u64) -> Ask {
        let batch: Batch = self.wanted.range(from..=to).map(|(key, point)| (*key, *point)).collect();
        assert_eq!(batch.len() as u64, to - from + 1, "only wanted blocks are asked for, and in a row");
        let ends = batch.front().zip(batch.back()).map(|((_, first), (_, last))| (*first, *last));
        let (first, last) = ends.expect("a range is not empty");
        self.asked.entry(id).or_default().push_back(batch);
        Ask::Range(id, first, last)
    }

    /// When to come back at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.scheduler.next_deadline()
    }

    /// Panics where the books do not balance.
    pub(crate) fn check_invariants(&self) {
        self.scheduler.check_invariants();
        assert_eq!(self.keys.len(), self.wanted.len(), "a block is wanted under one key");
        for (key, point) in &self.wanted {
            assert_eq!(point.hash().and_then(|id| self.key(&id)), Some(*key), "its key is its own");
            assert!(self.scheduler.is_wanted(*key), "the scheduler wants the same");
        }
    }

    fn tell(&mut self, now: Duration, input: Input<UpstreamId>) {
        let mut out = Vec::new();
        self.scheduler.handle(now, input, &mut out);
        assert!(out.is_empty(), "the scheduler acts on ticks alone");
    }
}

#[cfg(test)]
mod tests {
    use chain::{Height, Slot};

    use super::*;

    fn header(n: u8) -> Header {
        let prev = n.checked_sub(1).map(|n| Hash([n; 32]));
        let (slot, height) = (Slot(n.into()), Height(n.into()));
        Header { id: Hash([n; 32]), prev, slot, height, boundary: false, wire: Default::default() }
    }

    /// The ranges that one upstream is asked for that has everything.
    fn ranges(bodies: &mut Bodies) -> Vec<(u64, u64)> {
        bodies.join(Duration::ZERO, UpstreamId(0), None, false);
        bodies.has(Duration::ZERO, UpstreamId(0), bodies.next_key.checked_sub(1));
        let slot = |point: Point| point.slot().map_or(0, |slot| slot.0);
        let ask = |ask| match ask {
            Ask::Range(_, from, to) => (slot(from), slot(to)),
            Ask::Evict(_) => panic!("nobody is late"),
        };
        bodies.asks(Duration::ZERO, true).into_iter().map(ask).collect()
    }

    #[test]
    fn a_range_does_not_span_a_block_that_is_here_already() {
        let mut bodies = Bodies::new();
        let missing = [1, 2, 4, 5].map(header);
        bodies.retarget(Duration::ZERO, Some(missing[3].point()), &missing, false);
        assert_eq!(ranges(&mut bodies), [(1, 2), (4, 5)]);
    }

    #[test]
    fn a_chain_that_grows_is_fetched_in_one_range() {
        let mut bodies = Bodies::new();
        for n in 1..=4 {
            bodies.retarget(Duration::ZERO, Some(header(n).point()), &[header(n)], n > 1);
        }
        assert_eq!(ranges(&mut bodies), [(1, 4)]);
        bodies.leave(Duration::ZERO, UpstreamId(0));
        // Block 5 came of another fork: 6 follows 4, but not in a range.
        bodies.retarget(Duration::ZERO, Some(header(6).point()), &[header(6)], true);
        assert_eq!(ranges(&mut bodies), [(1, 4), (6, 6)]);
    }
}
