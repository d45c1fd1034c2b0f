//! Who brought which header: so that no single upstream fills the fork tree for all.

use std::collections::BTreeMap;

use chain::Hash;

use crate::UpstreamId;

/// For each header above the irreversible tip, under way or in the tree, the upstream that brought it first.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    by: BTreeMap<Hash, UpstreamId>,
    counts: BTreeMap<UpstreamId, usize>,
}

impl Sources {
    /// How many headers an upstream is charged with.
    pub(crate) fn count(&self, id: UpstreamId) -> usize {
        self.counts.get(&id).copied().unwrap_or(0)
    }

    /// Whether somebody is charged with a header.
    pub(crate) fn contains(&self, header: &Hash) -> bool {
        self.by.contains_key(header)
    }

    /// Charges an upstream with a header.
    pub(crate) fn add(&mut self, header: Hash, id: UpstreamId) {
        if self.by.insert(header, id).is_none() {
            *self.counts.entry(id).or_default() += 1;
        }
    }

    /// The header is gone from here: settled, dropped or refused.
    pub(crate) fn remove(&mut self, header: &Hash) {
        let Some(id) = self.by.remove(header) else { return };
        let count = self.counts.get_mut(&id).expect("who brought a header is counted");
        *count -= 1;
    }

    /// Panics where the counts do not add up.
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.by.len(), self.counts.values().sum::<usize>(), "each header is charged once");
    }
}
