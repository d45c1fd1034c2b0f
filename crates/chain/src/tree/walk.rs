//! Walking the fork tree: ancestors, paths, and the move from one head to another.

use super::{Change, Tree};
use crate::{Cursor, Hash, Header, Point, Tip};

impl<S> Tree<S> {
    /// The last place that the chains to both points share: at the root or at a node.
    ///
    /// `None` when a point is neither the root nor in the tree.
    pub fn common_ancestor(&self, a: &Point, b: &Point) -> Option<Cursor> {
        let (a, b) = (self.resolve(a)?, self.resolve(b)?);
        Some(self.cursor_of(self.fork(a, b)))
    }

    /// The headers after `from` up to and with `to`, oldest first.
    ///
    /// `None` when a point is neither the root nor in the tree, or `from` is not below `to`.
    pub fn path(&self, from: &Point, to: &Point) -> Option<Vec<&Header>> {
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        let mut path = Vec::new();
        let mut at = to;
        while at != from {
            let node = &self.nodes[&at?];
            path.push(&node.header);
            at = node.parent;
        }
        path.reverse();
        Some(path)
    }

    /// Whether the point is the root, or on the chain from the root to the head.
    pub fn is_on_chain(&self, at: &Point) -> bool {
        match self.resolve(at) {
            None => false,
            Some(None) => true,
            Some(Some(id)) => self.is_chained(id),
        }
    }

    /// Whether the node is on the chain to the head.
    pub(super) fn is_chained(&self, id: Hash) -> bool {
        let index = self.nodes[&id].position.0 - self.root.settled;
        self.chain.get(index as usize).is_some_and(|entry| entry.header.id == id)
    }

    /// `Some(None)`: the root; `Some(Some(id))`: a node.
    fn resolve(&self, at: &Point) -> Option<Option<Hash>> {
        if *at == self.root.tip.point {
            return Some(None);
        }
        let id = at.hash()?;
        self.nodes.get(&id).filter(|node| node.header.point() == *at).map(|_| Some(id))
    }

    /// The last node on the way from the root to both; `None` for the root.
    fn fork(&self, mut a: Option<Hash>, mut b: Option<Hash>) -> Option<Hash> {
        while a != b {
            let (node_a, node_b) = (&self.nodes[&a?], &self.nodes[&b?]);
            if node_a.position >= node_b.position {
                a = node_a.parent;
            }
            if node_b.position >= node_a.position {
                b = node_b.parent;
            }
        }
        a
    }

    /// The path from `from` (exclusive) up to `to` (inclusive), oldest first; `from` is below `to`.
    pub(super) fn climb(&self, from: Option<Hash>, to: Option<Hash>) -> Vec<Hash> {
        let mut path = Vec::new();
        let mut at = to;
        while at != from {
            let id = at.expect("the lower end is on the path");
            path.push(id);
            at = self.nodes[&id].parent;
        }
        path.reverse();
        path
    }

    /// Makes `to` the head, lets the kept chain follow, and says what moved.
    ///
    /// The old head must still be in the tree.
    pub(super) fn move_head(&mut self, to: Option<Hash>) -> Change {
        let ancestor = self.fork(self.head, to);
        let mut rolled_back = self.climb(ancestor, self.head);
        rolled_back.reverse();
        let rolled_forward = self.climb(ancestor, to);
        self.chain.truncate(self.chain.len() - rolled_back.len());
        for id in &rolled_forward {
            let entry = self.nodes[id].body.as_ref().expect("a block on the chain has a body");
            self.chain.push_back(entry.clone());
        }
        self.head = to;
        let ancestor = self.cursor_of(ancestor);
        Change {
            ancestor,
            rolled_back,
            rolled_forward,
            head: self.head(),
            best: Tip::default(),
            dropped: Vec::new(),
        }
    }

    /// Finishes a change when everything else is done.
    pub(super) fn report(&self, change: Change, dropped: Vec<Hash>) -> Change {
        Change { head: self.head(), best: self.best_header(), dropped, ..change }
    }
}
