//! Putting headers and bodies into the fork tree, and making room for them.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Change, Node, Refusal, Tree};
use crate::{Block, Entry, Hash, Header, Height, Position};

impl<S> Tree<S> {
    /// Takes a header that was judged, with the header state after it.
    ///
    /// The head does not move; the best header may. When the tree is full the lowest branch makes room, unless
    /// the new header would be lower still.
    pub fn insert_header(&mut self, header: Header, state: S) -> Result<Change, Refusal> {
        let id = header.id;
        if self.contains(&id) || self.root.tip.point.hash() == Some(id) {
            return Err(Refusal::Known { id });
        }
        let parent = self.parent_of(&header)?;
        let dropped = self.room_for_header(&header, parent)?;
        self.hang(header, state, parent);
        if self.beats(id, self.best) {
            self.best = Some(id);
        }
        let change = self.move_head(self.head);
        Ok(self.report(change, dropped))
    }

    /// Takes the body of a header in the tree. The caller has checked that it belongs to it.
    pub fn insert_body(&mut self, block: Block) -> Result<Change, Refusal> {
        let id = block.header.id;
        let node = self.nodes.get(&id).ok_or(Refusal::Unknown { id })?;
        if node.body.is_some() {
            return Err(Refusal::HasBody { id });
        }
        let dropped = self.room_for_body(id, block.raw.len())?;
        self.bytes += block.raw.len();
        let node = self.nodes.get_mut(&id).expect("a node is not evicted for its own body");
        let (position, header) = (node.position, node.header.clone());
        node.body = Some(Arc::new(Entry { position, header, block: block.raw }));
        let head = self.complete_from(id);
        let change = self.move_head(head);
        Ok(self.report(change, dropped))
    }

    /// Whether a chain that ends in this node is better than one that ends in the other.
    ///
    /// What stands right above a block always beats it, whatever the heights say: a Byron boundary block has
    /// the height of its parent.
    pub(super) fn beats(&self, id: Hash, other: Option<Hash>) -> bool {
        let node = &self.nodes[&id];
        let Some(other_id) = other else { return true };
        node.parent == other
            || (self.prefer)(&node.header, &self.nodes[&other_id].header) == Ordering::Greater
    }

    fn hang(&mut self, header: Header, state: S, parent: Option<Hash>) {
        let id = header.id;
        self.branches.insert((header.height, id));
        let position = match parent {
            None => {
                self.trunk.push(id);
                Position(self.root.settled)
            }
            Some(parent_id) => {
                let parent = self.nodes.get_mut(&parent_id).expect("the parent was just found");
                parent.children.push(id);
                self.branches.remove(&(parent.header.height, parent_id));
                parent.position.next()
            }
        };
        let node =
            Node { header, state, position, parent, children: Vec::new(), body: None, complete: false };
        self.bytes += node.bytes();
        self.nodes.insert(id, node);
    }

    /// Marks what a body completes, and says what the head becomes.
    pub(super) fn complete_from(&mut self, id: Hash) -> Option<Hash> {
        let mut head = self.head;
        let below = self.nodes[&id].parent;
        if !below.is_none_or(|parent| self.nodes[&parent].complete) {
            return head;
        }
        let mut reached = vec![id];
        while let Some(id) = reached.pop() {
            let node = self.nodes.get_mut(&id).expect("a child is a node");
            if node.body.is_none() {
                continue;
            }
            node.complete = true;
            reached.extend(node.children.iter().rev());
            if self.beats(id, head) {
                head = Some(id);
            }
        }
        head
    }

    fn room_for_header(&mut self, header: &Header, parent: Option<Hash>) -> Result<Vec<Hash>, Refusal> {
        let branching = parent.is_none_or(|id| !self.nodes[&id].children.is_empty());
        let (max_headers, max_branches) = (self.config.max_headers.get(), self.config.max_branches.get());
        let max_bytes = self.config.max_bytes.get();
        let bytes = header.wire.len();
        let lack = |tree: &Self, gone: &Gone| {
            if tree.nodes.len() - gone.headers >= max_headers {
                Some(Refusal::TooManyHeaders { max: max_headers })
            } else if branching && tree.branches.len() - gone.branches >= max_branches {
                Some(Refusal::TooManyBranches { max: max_branches })
            } else if tree.bytes - gone.bytes + bytes > max_bytes {
                Some(Refusal::TooManyBytes { bytes, max: max_bytes })
            } else {
                None
            }
        };
        self.make_room(parent, header.height, lack)
    }

    fn room_for_body(&mut self, id: Hash, bytes: usize) -> Result<Vec<Hash>, Refusal> {
        let max = self.config.max_bytes.get();
        if self.bytes + bytes <= max {
            return Ok(Vec::new());
        }
        // A body on the way to the best header is worth as much as that header.
        let height = match self.kept(&[self.best]).contains(&id) {
            true => self.best_header().height,
            false => self.nodes[&id].header.height,
        };
        self.make_room(Some(id), height, |tree, gone| {
            (tree.bytes - gone.bytes + bytes > max).then_some(Refusal::TooManyBytes { bytes, max })
        })
    }

    /// Drops whole branches, the lowest first, until nothing is lacking. Changes nothing when it cannot.
    ///
    /// The paths to the head, the best header and `keep` stay, and so does every branch at least as high as
    /// the newcomer: of two that compete for room the lower one loses.
    fn make_room(
        &mut self,
        keep: Option<Hash>,
        height: Height,
        lack: impl Fn(&Self, &Gone) -> Option<Refusal>,
    ) -> Result<Vec<Hash>, Refusal> {
        let mut gone = Gone::default();
        let Some(mut refusal) = lack(self, &gone) else { return Ok(Vec::new()) };
        let kept = self.kept(&[self.head, self.best, keep]);
        let lower = self.branches.iter().take_while(|(leaf, _)| *leaf < height);
        for &(_, leaf) in lower {
            self.fell(leaf, &kept, &mut gone);
            match lack(self, &gone) {
                None => {
                    for id in &gone.ids {
                        self.unhang(*id);
                    }
                    return Ok(gone.ids);
                }
                Some(still) => refusal = still,
            }
        }
        Err(refusal)
    }

    /// The ids on the paths to these nodes.
    fn kept(&self, ends: &[Option<Hash>]) -> BTreeSet<Hash> {
        let mut kept = BTreeSet::new();
        for end in ends {
            let mut at = *end;
            while let Some(id) = at {
                if !kept.insert(id) {
                    break;
                }
                at = self.nodes[&id].parent;
            }
        }
        kept
    }

    /// Counts a branch as gone, from its leaf down to where another begins or to what is kept.
    fn fell(&self, leaf: Hash, kept: &BTreeSet<Hash>, gone: &mut Gone) {
        let mut at = Some(leaf);
        while let Some(id) = at {
            let node = &self.nodes[&id];
            let forked = node.children.iter().any(|child| !gone.set.contains(child));
            if forked || kept.contains(&id) {
                // Where nothing is left above a kept node, it becomes a leaf itself and frees no branch.
                gone.branches += usize::from(forked);
                return;
            }
            gone.headers += 1;
            gone.bytes += node.bytes();
            gone.set.insert(id);
            gone.ids.push(id);
            at = node.parent;
        }
        gone.branches += 1;
    }
}

/// What making room would drop.
#[derive(Default)]
struct Gone {
    headers: usize,
    branches: usize,
    bytes: usize,
    /// Children before their parents.
    ids: Vec<Hash>,
    set: BTreeSet<Hash>,
}
