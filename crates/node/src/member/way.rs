//! The way from the irreversible tip to the last certified block, and how far the bodies on it are here.
//!
//! It is kept and not looked up: while a node catches up, each body that comes may be the one that settles hundreds, and
//! a look at all of them with each would cost the square of what is under way.
//!
//! **Invariant**: it is the path in the tree from its root to the last certified block; what is counted as complete is.

use std::collections::VecDeque;

use chain::tree::Tree;
use chain::{Hash, Header, State, Tip};

/// The way.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// The blocks above the root, lowest first.
    ids: VecDeque<Hash>,
    /// How many of them are complete, from the lowest on.
    complete: usize,
    /// The bytes of those.
    bytes: usize,
}

impl Way {
    /// A block of the tree was certified: the way leads up to it, unless it went further already.
    pub(super) fn lead(&mut self, tree: &Tree<State>, to: &Tip) {
        let end = self.ids.back().and_then(|id| tree.header(id)).map_or(tree.root().tip, Header::tip);
        if !self.ids.is_empty() && to.height <= end.height {
            return;
        }
        if let Some(more) = tree.path(&end.point, &to.point) {
            self.ids.extend(more.iter().map(|header| header.id));
        }
    }

    /// Branches left the tree to make room, and what is certified up to here did not. Whole branches do: while the end
    /// of the way stands, all of it does.
    pub(super) fn dropped(&mut self, tree: &Tree<State>, certified: Option<&Hash>) {
        if self.ids.back().is_some_and(|end| !tree.contains(end)) {
            *self = Self::default();
            if let Some(last) = certified.and_then(|id| tree.header(id)) {
                self.lead(tree, &last.tip());
            }
        }
    }

    /// So many of its blocks are irreversible.
    pub(super) fn settled(&mut self, bodies: impl IntoIterator<Item = usize>) {
        for bytes in bodies {
            self.ids.pop_front();
            self.complete -= 1;
            self.bytes -= bytes;
        }
    }

    /// So many of its blocks are irreversible without a look at their bodies.
    pub(super) fn bared(&mut self, count: usize) {
        self.ids.drain(..count);
        (self.complete, self.bytes) = (0, 0);
    }

    /// Counts the bodies that have come since it was last asked.
    pub(super) fn look(&mut self, tree: &Tree<State>) {
        while let Some(entry) = self.ids.get(self.complete).and_then(|id| tree.block(id)) {
            self.complete += 1;
            self.bytes += entry.block.len();
        }
    }

    /// How many blocks from the lowest on are complete.
    pub(super) fn complete(&self) -> usize {
        self.complete
    }

    /// The bytes of those.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The blocks from the lowest on that are complete.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Hash> {
        self.ids.iter().take(self.complete)
    }

    /// Panics where the way is not what the tree says.
    pub(super) fn check_invariants(&self, tree: &Tree<State>, certified: Option<&Hash>) {
        let root = tree.root().tip.point;
        let last = certified.and_then(|id| tree.header(id)).map_or(root, |last| last.point());
        let path = tree.path(&root, &last).expect("what is certified hangs on the root");
        assert!(
            path.iter().map(|header| &header.id).eq(&self.ids),
            "the way leads to the last certified block"
        );
        let bodies = self.ready().map(|id| tree.block(id).expect("what counts as complete is").block.len());
        assert_eq!(bodies.sum::<usize>(), self.bytes, "its bytes add up");
    }
}
