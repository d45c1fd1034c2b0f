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

use crate::UpstreamId;

/// How many times in a row an upstream may lack a range of its own chain: once a roll-back crosses our
/// request; more often it announces what it does not have.
const MAX_LACKING: u32 = 3;

/// Ranges that one upstream owes at a time.
const MAX_RANGES: usize = 2;

/// Blocks of a range.
const MAX_RANGE: usize = 64;

/// A range that an upstream was asked for.
#[derive(Debug)]
struct Batch {
    /// What it still owes, oldest first.
    owed: VecDeque<(u64, Point)>,
}

/// All bodies that are wanted.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    target: Option<Point>,
    wanted: BTreeMap<u64, Point>,
    keys: BTreeMap<Hash, u64>,
    next_key: u64,
    asked: BTreeMap<UpstreamId, VecDeque<Batch>>,
    lacking: BTreeMap<UpstreamId, u32>,
}

impl Bodies {
    /// The end of the chain whose bodies are wanted.
    pub(crate) fn target(&self) -> Option<Point> {
        self.target
    }

    /// The bodies of another chain are wanted now, or, where it `extends` the one before, of its new end.
    pub(crate) fn retarget(&mut self, target: Option<Point>, missing: Vec<Header>, extends: bool) {
        self.target = target;
        if !extends {
            self.keep_prefix(&missing);
        }
        for header in missing {
            if !self.keys.contains_key(&header.id) {
                self.keys.insert(header.id, self.next_key);
                self.wanted.insert(self.next_key, header.point());
                self.next_key += 1;
            }
        }
    }

    /// Wants no more than the first of these that are wanted already, one after the other.
    fn keep_prefix(&mut self, missing: &[Header]) {
        let mut last = None;
        let kept: BTreeSet<u64> = missing
            .iter()
            .map_while(|header| {
                let key = *self.keys.get(&header.id)?;
                let ascends = last.is_none_or(|last| last < key);
                last = Some(key);
                ascends.then_some(key)
            })
            .collect();
        self.wanted.retain(|key, _| kept.contains(key));
        self.keys.retain(|_, key| kept.contains(key));
        // A gap: what follows stands on another block than what went before.
        self.next_key += 1;
    }

    /// The block that an upstream owes next.
    pub(crate) fn expected(&self, id: UpstreamId) -> Option<Point> {
        self.asked.get(&id)?.front()?.owed.front().map(|(_, point)| *point)
    }

    /// The block that an upstream owed next has come.
    pub(crate) fn arrived(&mut self, id: UpstreamId) {
        let batch = self.asked.get_mut(&id).and_then(VecDeque::front_mut).expect("something is owed");
        let (key, point) = batch.owed.pop_front().expect("something is owed");
        self.lacking.remove(&id);
        if self.wanted.get(&key) == Some(&point) {
            self.wanted.remove(&key);
            point.hash().and_then(|id| self.keys.remove(&id));
        }
    }

    /// A range ended; says how many blocks of it did not come.
    pub(crate) fn ended(&mut self, id: UpstreamId) -> Option<usize> {
        self.asked.get_mut(&id)?.pop_front().map(|batch| batch.owed.len())
    }

    /// An upstream does not have a range; says whether that was once too often.
    pub(crate) fn lacks(&mut self, id: UpstreamId) -> bool {
        self.asked.get_mut(&id).and_then(VecDeque::pop_front);
        let times = self.lacking.entry(id).or_default();
        *times += 1;
        *times >= MAX_LACKING
    }

    /// The next range for an upstream that has all wanted blocks up to `last`.
    pub(crate) fn next_range(&mut self, id: UpstreamId, last: u64) -> Option<(Point, Point)> {
        if self.asked.get(&id).is_some_and(|batches| batches.len() >= MAX_RANGES) {
            return None;
        }
        let assigned: BTreeSet<u64> =
            self.asked.values().flatten().flat_map(|batch| batch.owed.iter().map(|(key, _)| *key)).collect();
        let free = self.wanted.range(..=last).filter(|(key, _)| !assigned.contains(key));
        let mut owed: VecDeque<(u64, Point)> = VecDeque::new();
        for (key, point) in free.take(MAX_RANGE) {
            if owed.back().is_some_and(|(before, _)| before + 1 != *key) {
                break;
            }
            owed.push_back((*key, *point));
        }
        let range = (owed.front()?.1, owed.back()?.1);
        self.asked.entry(id).or_default().push_back(Batch { owed });
        Some(range)
    }

    /// The key of a wanted block.
    pub(crate) fn key(&self, id: &Hash) -> Option<u64> {
        self.keys.get(id).copied()
    }

    /// Whether nothing is wanted.
    pub(crate) fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    /// When to come back at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// An upstream is gone, with all that it owes.
    pub(crate) fn leave(&mut self, id: UpstreamId) {
        self.asked.remove(&id);
        self.lacking.remove(&id);
    }
}
