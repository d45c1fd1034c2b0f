//! The fork tree: every header and block above the irreversible tip, and which chain of them is ours.
//!
//! The tree is rooted at the irreversible tip. It takes headers that its caller has judged, with the header
//! state after each, and bodies in any order. The *head* is the best block whose whole path from the root
//! has bodies; the *best header* is the best of all, the one whose bodies are worth fetching. What moved is
//! reported as data ([`Change`]); what becomes irreversible leaves the tree ([`Settled`]).
//!
//! It deliberately does not check a header or a body, decide what is irreversible, or touch a disk.
//!
//! **Invariants** (see [`Tree::check_invariants`]): every node hangs from the root without gaps of position;
//! `complete` means a body at every step from the root; the head is complete; the chain kept for readers is
//! the path to the head; the bounds of [`Config`] hold after every call.

mod change;
mod insert;
mod prune;
mod walk;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

pub use change::{Bare, Change, Refusal, Settled};

use crate::{Block, Cursor, Entry, Hash, Header, Height, Point, Position, Tip};

/// The bounds of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How many headers are kept. The default holds the deepest roll-back of the public Cardano networks
    /// (2,160) on a few forks, and a window of headers ahead of their bodies.
    pub max_headers: NonZeroUsize,
    /// How many branches (nodes without children) are kept. A guess: honest forks are a handful at a time.
    pub max_branches: NonZeroUsize,
    /// How many bytes of headers and bodies are kept. The default holds 2,160 mainnet blocks of full size
    /// (88 KiB).
    pub max_bytes: NonZeroUsize,
}

impl Default for Config {
    fn default() -> Self {
        let some = |n| NonZeroUsize::new(n).expect("a bound is not zero");
        Self { max_headers: some(16_384), max_branches: some(256), max_bytes: some(256 << 20) }
    }
}

/// Says which of two headers ends the better chain: `Greater` when the first does.
pub type Prefer = Box<dyn Fn(&Header, &Header) -> Ordering + Send + Sync>;

/// The irreversible tip, from which everything in the tree hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root<S> {
    /// Where it is.
    pub tip: Tip,
    /// How many blocks are irreversible: the root stands at this position less one.
    pub settled: u64,
    /// The header state after it.
    pub state: S,
}

/// A header in the tree, perhaps with its body.
#[derive(Debug, Clone)]
struct Node<S> {
    header: Header,
    state: S,
    position: Position,
    /// The node below; `None` for the root.
    parent: Option<Hash>,
    children: Vec<Hash>,
    body: Option<Arc<Entry>>,
    /// Whether this and every node below has its body.
    complete: bool,
}

impl<S> Node<S> {
    fn bytes(&self) -> usize {
        self.header.wire.len() + self.body.as_ref().map_or(0, |entry| entry.block.len())
    }
}

/// The fork tree. `S` is the header state that belongs to each node.
pub struct Tree<S> {
    config: Config,
    prefer: Prefer,
    root: Root<S>,
    /// The ids of the nodes right above the root.
    trunk: Vec<Hash>,
    nodes: BTreeMap<Hash, Node<S>>,
    /// The nodes without children, lowest first: the order in which room is made.
    branches: BTreeSet<(Height, Hash)>,
    /// `None`: the root.
    head: Option<Hash>,
    /// `None`: the root.
    best: Option<Hash>,
    /// The blocks from the root (exclusive) to the head (inclusive).
    chain: VecDeque<Arc<Entry>>,
    bytes: usize,
}

impl<S> Tree<S> {
    /// A tree of nothing but its root.
    pub fn new(config: Config, prefer: Prefer, root: Root<S>) -> Self {
        Self {
            config,
            prefer,
            root,
            trunk: Vec::new(),
            nodes: BTreeMap::new(),
            branches: BTreeSet::new(),
            head: None,
            best: None,
            chain: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The irreversible tip with its count and state.
    pub fn root(&self) -> &Root<S> {
        &self.root
    }

    /// The end of our chain: the best block whose whole path has bodies.
    pub fn head(&self) -> Tip {
        self.tip_of(self.head)
    }

    /// The end of the best chain of headers: the one whose bodies are worth fetching.
    pub fn best_header(&self) -> Tip {
        self.tip_of(self.best)
    }

    /// The blocks after the root up to the head, oldest first.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> + DoubleEndedIterator {
        self.chain.iter()
    }

    /// How many headers the tree holds.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the tree is nothing but its root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many bytes of headers and bodies the tree holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many branches (nodes without children) the tree holds.
    pub fn branches(&self) -> usize {
        self.branches.len()
    }

    /// Whether the block stands in the tree; the root does not count.
    pub fn contains(&self, id: &Hash) -> bool {
        self.nodes.contains_key(id)
    }

    /// The header, if the tree holds it.
    pub fn header(&self, id: &Hash) -> Option<&Header> {
        self.nodes.get(id).map(|node| &node.header)
    }

    /// The block with its position, if the tree holds its body.
    pub fn block(&self, id: &Hash) -> Option<&Arc<Entry>> {
        self.nodes.get(id).and_then(|node| node.body.as_ref())
    }

    /// Where the block stands on its chain.
    pub fn position(&self, id: &Hash) -> Option<Position> {
        self.nodes.get(id).map(|node| node.position)
    }

    /// Whether the block and all below it have their bodies.
    pub fn is_complete(&self, id: &Hash) -> bool {
        self.nodes.get(id).is_some_and(|node| node.complete)
    }

    /// The header state at a point: at the root or at a node.
    pub fn state(&self, at: &Point) -> Option<&S> {
        if *at == self.root.tip.point {
            return Some(&self.root.state);
        }
        self.nodes.get(&at.hash()?).map(|node| &node.state)
    }

    /// The header state that a header with this previous hash is judged against.
    pub fn parent_state(&self, header: &Header) -> Result<&S, Refusal> {
        match self.parent_of(header)? {
            None => Ok(&self.root.state),
            Some(parent) => Ok(&self.nodes[&parent].state),
        }
    }

    /// Every header of the tree, in no order that means anything.
    pub fn headers(&self) -> impl Iterator<Item = &Header> {
        self.nodes.values().map(|node| &node.header)
    }

    /// Every block of the tree, each after the one below it.
    pub fn blocks(&self) -> Vec<Block> {
        let mut found: Vec<&Arc<Entry>> = self.nodes.values().filter_map(|node| node.body.as_ref()).collect();
        found.sort_by_key(|entry| entry.position);
        found.iter().map(|entry| Block { header: entry.header.clone(), raw: entry.block.clone() }).collect()
    }

    /// Panics where an invariant of the module's doc does not hold. Costs time in the size of the tree.
    pub fn check_invariants(&self) {
        self.check_nodes();
        self.check_bounds();
        self.check_chain();
    }

    fn tip_of(&self, at: Option<Hash>) -> Tip {
        at.map_or(self.root.tip, |id| self.nodes[&id].header.tip())
    }

    fn cursor_of(&self, at: Option<Hash>) -> Cursor {
        match at {
            None => Cursor::settled(Position(self.root.settled), self.root.tip.point),
            Some(id) => {
                let node = &self.nodes[&id];
                Cursor::new(node.position.next(), node.header.point())
            }
        }
    }

    /// The node that a header hangs from; `None` for the root.
    fn parent_of(&self, header: &Header) -> Result<Option<Hash>, Refusal> {
        match (header.prev, self.root.tip.point) {
            (None, Point::Origin) => Ok(None),
            (Some(prev), Point::Block(_, root)) if prev == root => Ok(None),
            (Some(prev), _) if self.nodes.contains_key(&prev) => Ok(Some(prev)),
            (parent, _) => Err(Refusal::UnknownParent { id: header.id, parent }),
        }
    }

    fn check_nodes(&self) {
        let mut bytes = 0;
        for (id, node) in &self.nodes {
            assert_eq!(*id, node.header.id, "a node is filed under its id");
            let (below, complete, siblings) = match node.parent {
                None => (Position(self.root.settled), true, &self.trunk),
                Some(parent) => {
                    let parent = &self.nodes[&parent];
                    (parent.position.next(), parent.complete, &parent.children)
                }
            };
            assert_eq!(node.position, below, "positions have no gaps");
            assert_eq!(node.complete, complete && node.body.is_some(), "complete means bodies all the way");
            assert_eq!(
                siblings.iter().filter(|sibling| *sibling == id).count(),
                1,
                "a parent knows its child"
            );
            let leaf = self.branches.contains(&(node.header.height, *id));
            assert_eq!(leaf, node.children.is_empty(), "the branches are the nodes without children");
            bytes += node.bytes();
        }
        let children: usize = self.nodes.values().map(|node| node.children.len()).sum();
        assert_eq!(children + self.trunk.len(), self.nodes.len(), "every child is a node");
        assert_eq!(bytes, self.bytes, "the bytes are counted");
    }

    fn check_bounds(&self) {
        assert!(self.nodes.len() <= self.config.max_headers.get(), "headers are bounded");
        assert!(self.branches.len() <= self.config.max_branches.get(), "branches are bounded");
        assert!(self.bytes <= self.config.max_bytes.get(), "bytes are bounded");
    }

    fn check_chain(&self) {
        assert!(self.best.is_some() || self.nodes.is_empty(), "a header beats the root");
        assert!(self.head.is_none_or(|head| self.nodes[&head].complete), "the head is complete");
        let mut at = self.head;
        for entry in self.chain.iter().rev() {
            let node = &self.nodes[&at.expect("the chain ends at the root")];
            assert_eq!(node.header, entry.header, "the chain is the path to the head");
            assert_eq!(node.position, entry.position, "an entry stands where its node does");
            at = node.parent;
        }
        assert_eq!(at, None, "the chain begins at the root");
    }
}
