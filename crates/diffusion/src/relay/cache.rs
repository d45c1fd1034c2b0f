//! Names that are remembered for a while: bounded in number, the oldest are forgotten first.

use std::collections::BTreeMap;

use super::Name;

/// Names, and what is known of each.
#[derive(Debug, Clone)]
pub(super) struct Cache<V> {
    max: usize,
    known: BTreeMap<Name, (u64, V)>,
    order: BTreeMap<u64, Name>,
    next: u64,
}

impl<V> Cache<V> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, known: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }

    pub(super) fn get(&self, name: &Name) -> Option<&V> {
        self.known.get(name).map(|(_, value)| value)
    }

    /// Remembers a name as the newest.
    pub(super) fn insert(&mut self, name: Name, value: V) {
        self.remove(&name);
        self.known.insert(name, (self.next, value));
        self.order.insert(self.next, name);
        self.next += 1;
        while self.known.len() > self.max {
            let (_, oldest) = self.order.pop_first().expect("each has its place");
            self.known.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, name: &Name) {
        if let Some((place, _)) = self.known.remove(name) {
            self.order.remove(&place);
        }
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self) {
        assert!(self.known.len() <= self.max, "what is remembered is bounded");
        assert_eq!(self.known.len(), self.order.len(), "each has its place");
    }
}
