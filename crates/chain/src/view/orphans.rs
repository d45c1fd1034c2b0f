//! Blocks that left the chain lately.

use std::collections::{BTreeMap, VecDeque};

use crate::{Cursor, Hash};

/// How many orphans are remembered: a reader at an older one must find an intersection again (DESIGN,
/// "The chain view").
pub const MAX_ORPHANS: usize = 1_024;

/// The blocks that left the chain last, and for each where on the chain its own branch begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    ancestors: BTreeMap<Hash, Cursor>,
    /// The same hashes, the one that left first in front.
    order: VecDeque<Hash>,
}

impl FromIterator<(Hash, Cursor)> for Orphans {
    /// Orphans and where each rolls back to, the one that left first in front; the newest are kept.
    fn from_iter<T: IntoIterator<Item = (Hash, Cursor)>>(orphans: T) -> Self {
        let mut made = Self::default();
        for (id, ancestor) in orphans {
            if made.ancestors.insert(id, ancestor).is_none() {
                made.order.push_back(id);
            }
        }
        made.forget_oldest();
        made
    }
}

impl Orphans {
    /// Where on the chain a reader at this block rolls back to; `None` for what is not a known orphan.
    pub fn ancestor(&self, id: &Hash) -> Option<Cursor> {
        self.ancestors.get(id).copied()
    }

    /// How many orphans are known.
    pub fn len(&self) -> usize {
        self.ancestors.len()
    }

    /// Whether no orphan is known.
    pub fn is_empty(&self) -> bool {
        self.ancestors.is_empty()
    }

    /// Follows a change of the chain: back to `ancestor`, then forward.
    pub(super) fn follow(&mut self, ancestor: Cursor, rolled_back: &[Hash], rolled_forward: &[Hash]) {
        for orphan in self.ancestors.values_mut() {
            // Its branch left the old chain above the place where the new one does.
            if orphan.next > ancestor.next {
                *orphan = ancestor;
            }
        }
        // The newest blocks are where most readers stand: they come last, and are forgotten last.
        for id in rolled_back.iter().rev() {
            self.ancestors.insert(*id, ancestor);
            self.order.push_back(*id);
        }
        if rolled_forward.iter().any(|id| self.ancestors.contains_key(id)) {
            for id in rolled_forward {
                self.ancestors.remove(id);
            }
            self.order.retain(|id| self.ancestors.contains_key(id));
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        while self.order.len() > MAX_ORPHANS {
            let oldest = self.order.pop_front().expect("it is longer than its bound");
            self.ancestors.remove(&oldest);
        }
    }

    /// Panics where the two halves disagree or the bound is passed.
    pub(super) fn check_invariants(&self) {
        assert!(self.order.len() <= MAX_ORPHANS, "orphans are bounded");
        assert_eq!(self.order.len(), self.ancestors.len(), "each orphan has its place in the order");
        assert!(self.order.iter().all(|id| self.ancestors.contains_key(id)), "the order names orphans");
    }
}
