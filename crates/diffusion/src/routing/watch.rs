//! Routed copies whose receipts should come: whether the next hop delivers.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chain::Hash;

use crate::sync::bodies::Producer;

/// A packet, and the place of one of its recipients.
pub(super) type Key = (Hash, u8);

/// A routed copy whose receipt should come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch<P> {
    pub(super) hop: P,
    pub(super) producer: Producer,
    pub(super) until: Duration,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Watches<P> {
    watches: BTreeMap<Key, Watch<P>>,
    order: BTreeSet<(Duration, Key)>,
}

impl<P: Copy + Ord> Watches<P> {
    pub(super) fn new() -> Self {
        Self { watches: BTreeMap::new(), order: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    /// Begins one. One that is under way already goes on: it is the first copy that is waited for.
    pub(super) fn insert(&mut self, key: Key, watch: Watch<P>) {
        if let Entry::Vacant(vacant) = self.watches.entry(key) {
            vacant.insert(watch);
            self.order.insert((watch.until, key));
        }
    }

    /// Whether a receipt is waited for from this hop.
    pub(super) fn is_at(&self, key: Key, hop: P) -> bool {
        self.watches.get(&key).is_some_and(|watch| watch.hop == hop)
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(watch) = self.watches.remove(&key) {
            self.order.remove(&(watch.until, key));
        }
    }

    /// The next that is over without a receipt.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Watch<P>> {
        let (until, key) = *self.order.first()?;
        if until > now {
            return None;
        }
        self.order.pop_first();
        self.watches.remove(&key)
    }

    /// Forgets those of a hop that is gone.
    pub(super) fn take_of(&mut self, hop: P) -> Vec<Key> {
        let keys: Vec<Key> =
            self.watches.iter().filter(|(_, watch)| watch.hop == hop).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| self.remove(*key));
        keys
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.order.first().map(|(until, _)| *until)
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self, is_here: impl Fn(&P) -> bool) {
        assert_eq!(self.watches.len(), self.order.len(), "each watch has its place");
        assert!(self.watches.values().all(|watch| is_here(&watch.hop)), "hops are here");
    }
}
