//! Taking out of the fork tree: what became irreversible, and what can be on our chain no more.

use std::sync::Arc;

use super::{Bare, Change, Refusal, Root, Settled, Tree};
use crate::{Entry, Hash, Header, Position};

impl<S> Tree<S> {
    /// Makes a block and all below it irreversible: it becomes the root, and every other fork is dropped.
    ///
    /// The block may lie off our chain: what is irreversible beats what is preferred, and the head moves there.
    pub fn irreversible(&mut self, id: Hash) -> Result<Settled, Refusal> {
        if self.root.tip.point.hash() == Some(id) {
            let change = self.move_head(self.head);
            return Ok(Settled { blocks: Vec::new(), change: self.report(change, Vec::new()) });
        }
        let node = self.nodes.get(&id).ok_or(Refusal::Unknown { id })?;
        if !node.complete {
            return Err(Refusal::Incomplete { id });
        }
        let path = self.climb(None, Some(id));
        let chained = self.is_chained(id);
        let mut change = self.move_head(if chained { self.head } else { Some(id) });
        let dropped = self.drop_beside(&path);
        let blocks = path.iter().map(|id| self.settle(*id)).collect();
        self.forget_ends();
        if !chained {
            change = self.follow(change);
        }
        Ok(Settled { blocks, change: self.report(change, dropped) })
    }

    /// Makes a block and all below it irreversible whether their bodies are there or not, and lets go of what bodies are:
    /// for a node that does not hold them. What stands above may become our chain then.
    pub fn irreversible_bare(&mut self, id: Hash) -> Result<Bare, Refusal> {
        if self.root.tip.point.hash() == Some(id) {
            let change = self.move_head(self.head);
            return Ok(Bare { headers: Vec::new(), change: self.report(change, Vec::new()) });
        }
        if !self.contains(&id) {
            return Err(Refusal::Unknown { id });
        }
        let path = self.climb(None, Some(id));
        let change = self.move_head(None);
        let dropped = self.drop_beside(&path);
        let headers = path.iter().map(|id| self.raise_root(*id).0).collect();
        self.forget_ends();
        for id in self.trunk.clone() {
            self.complete_from(id);
        }
        let change = self.follow(change);
        Ok(Bare { headers, change: self.report(change, dropped) })
    }

    /// Takes a node without children out of the tree.
    pub(super) fn unhang(&mut self, id: Hash) {
        let node = self.nodes.remove(&id).expect("what is dropped is in the tree");
        debug_assert!(node.children.is_empty(), "children are dropped before their parents");
        self.bytes -= node.bytes();
        self.branches.remove(&(node.header.height, id));
        match node.parent {
            None => self.trunk.retain(|child| *child != id),
            Some(parent_id) => {
                let parent = self.nodes.get_mut(&parent_id).expect("a parent outlives its children");
                parent.children.retain(|child| *child != id);
                if parent.children.is_empty() {
                    self.branches.insert((parent.header.height, parent_id));
                }
            }
        }
    }

    /// The node and all above it, parents before their children.
    fn subtree(&self, id: Hash) -> Vec<Hash> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(id) = found.get(next) {
            found.extend(&self.nodes[id].children);
            next += 1;
        }
        found
    }

    /// Drops every fork that leaves the path from the root to its last node.
    fn drop_beside(&mut self, path: &[Hash]) -> Vec<Hash> {
        let mut forks = Vec::new();
        let mut beside = &self.trunk;
        for id in path {
            forks.extend(beside.iter().filter(|child| *child != id));
            beside = &self.nodes[id].children;
        }
        let mut dropped = Vec::new();
        for fork in forks {
            let doomed = self.subtree(fork);
            for id in doomed.iter().rev() {
                self.unhang(*id);
            }
            dropped.extend(doomed);
        }
        dropped
    }

    /// Makes the only node right above the root, which is on our chain, the new root.
    fn settle(&mut self, id: Hash) -> Arc<Entry> {
        self.chain.pop_front().expect("the path is on the chain");
        let (_, body) = self.raise_root(id);
        body.expect("a settled block has a body")
    }

    /// Makes the only node right above the root the new root.
    fn raise_root(&mut self, id: Hash) -> (Header, Option<Arc<Entry>>) {
        let node = self.nodes.remove(&id).expect("the path is in the tree");
        assert_eq!(self.trunk, [id], "the forks beside the path are gone");
        self.bytes -= node.bytes();
        self.branches.remove(&(node.header.height, id));
        for child in &node.children {
            self.nodes.get_mut(child).expect("a child is a node").parent = None;
        }
        self.trunk = node.children;
        self.root = Root { tip: node.header.tip(), settled: node.position.next().0, state: node.state };
        (node.header, node.body)
    }

    /// Lets the head and the best header fall back to the root where they left the tree.
    fn forget_ends(&mut self) {
        if self.head.is_some_and(|head| !self.contains(&head)) {
            self.head = None;
        }
        if self.best.is_some_and(|best| !self.contains(&best)) {
            self.best = self.best_of(|_| true, self.head);
        }
    }

    /// Moves on to the best complete chain from where `change` left the head, as one change.
    fn follow(&mut self, change: Change) -> Change {
        let head = self.best_of(|id| self.nodes[id].complete, self.head);
        let more = self.move_head(head);
        join(change, more)
    }

    /// The best of some nodes, lower ones asked first, or `start` where none beats it.
    fn best_of(&self, among: impl Fn(&Hash) -> bool, start: Option<Hash>) -> Option<Hash> {
        let mut candidates: Vec<(Position, Hash)> =
            self.nodes.iter().filter(|(id, _)| among(id)).map(|(id, node)| (node.position, *id)).collect();
        candidates.sort_unstable();
        candidates.iter().fold(start, |best, (_, id)| if self.beats(*id, best) { Some(*id) } else { best })
    }
}

/// Two moves in a row as one: the second never takes back what the first brought.
fn join(mut first: Change, second: Change) -> Change {
    if !second.rolled_back.is_empty() {
        assert!(first.rolled_forward.is_empty(), "a move goes back before it goes forward");
        first.ancestor = second.ancestor;
    }
    first.rolled_back.extend(second.rolled_back);
    first.rolled_forward.extend(second.rolled_forward);
    first
}
