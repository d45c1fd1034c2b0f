//! Blocks that left the chain lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Entry;
use crate::{Cursor, Hash, Position};

/// How many orphans are remembered: a reader at an older one must find an intersection again (DESIGN,
/// "The chain view").
pub const MAX_ORPHANS: usize = 1_024;

/// Of how many orphans the block itself is kept, for readers who were being sent it. A guess: deeper rollbacks
/// than this are rare, and a reader of blocks is done with so few in no time.
pub const MAX_ORPHAN_BLOCKS: usize = 64;

/// How many bytes of such blocks: 64 full blocks of mainnet.
pub const MAX_ORPHAN_BYTES: usize = 6 << 20;

/// The blocks that left the chain last, and for each where on the chain its own branch begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    ancestors: BTreeMap<Hash, Cursor>,
    /// The same hashes, the one that left first in front.
    order: VecDeque<Hash>,
    /// Some of them in full, the one that left first in front.
    blocks: VecDeque<Arc<Entry>>,
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

    /// The block at a position of the branch that ends with this orphan, if it is still kept.
    pub fn on_branch(&self, end: &Hash, at: Position) -> Option<&Arc<Entry>> {
        let mut wanted = *end;
        loop {
            let entry = self.blocks.iter().find(|entry| entry.header.id == wanted)?;
            if entry.position <= at {
                return (entry.position == at).then_some(entry);
            }
            wanted = entry.header.prev?;
        }
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
            self.blocks.retain(|entry| self.ancestors.contains_key(&entry.header.id));
        }
        self.forget_oldest();
    }

    /// Whether this block is a known orphan that is not kept in full.
    pub(super) fn lacks(&self, entry: &Entry) -> bool {
        let id = &entry.header.id;
        self.ancestors.contains_key(id) && self.blocks.iter().all(|kept| kept.header.id != *id)
    }

    /// Keeps those of these blocks in full that are known orphans, oldest first, as many of the newest as the
    /// bounds allow.
    pub fn keep(&mut self, blocks: impl Iterator<Item = Arc<Entry>>) {
        self.blocks.extend(blocks.filter(|entry| self.ancestors.contains_key(&entry.header.id)));
        let mut bytes = 0;
        let fits = |entry: &&Arc<Entry>| {
            bytes += entry.block.len();
            bytes <= MAX_ORPHAN_BYTES
        };
        let kept = self.blocks.iter().rev().take(MAX_ORPHAN_BLOCKS).take_while(fits).count();
        self.blocks.drain(..self.blocks.len() - kept);
    }

    fn forget_oldest(&mut self) {
        while self.order.len() > MAX_ORPHANS {
            let oldest = self.order.pop_front().expect("it is longer than its bound");
            self.ancestors.remove(&oldest);
            self.blocks.retain(|entry| entry.header.id != oldest);
        }
    }

    /// Panics where the two halves disagree or the bound is passed.
    pub(super) fn check_invariants(&self) {
        assert!(self.order.len() <= MAX_ORPHANS, "orphans are bounded");
        assert_eq!(self.order.len(), self.ancestors.len(), "each orphan has its place in the order");
        assert!(self.order.iter().all(|id| self.ancestors.contains_key(id)), "the order names orphans");
        assert!(self.blocks.len() <= MAX_ORPHAN_BLOCKS, "blocks that left the chain are bounded");
        let bytes: usize = self.blocks.iter().map(|entry| entry.block.len()).sum();
        assert!(bytes <= MAX_ORPHAN_BYTES, "the bytes of blocks that left the chain are bounded");
        let known = |entry: &Arc<Entry>| self.ancestors.contains_key(&entry.header.id);
        assert!(self.blocks.iter().all(known), "only orphans are kept");
    }
}
