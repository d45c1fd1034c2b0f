//! The node's own headers as a connection sees them: the fork tree, the best chain through it, the log below.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;

use bytes::Bytes;
use chain::{Hash, Header, Position, Tip, Tree};

use super::{Chain, Next, Place};

/// The best chain of headers above the LIB, by count: the tree knows parents only.
#[derive(Debug, Clone, Default)]
pub struct Trunk {
    /// The LIB's count.
    settled: u64,
    /// The blocks above it, the next first.
    places: VecDeque<Place>,
}

impl Trunk {
    /// The best chain of a tree.
    pub fn new<S>(tree: &Tree<S>) -> Self {
        let mut trunk = Self::default();
        trunk.follow(tree);
        trunk
    }

    /// Follows the tree after it changed, in time that goes with what changed. Says whether anything did.
    pub fn follow<S>(&mut self, tree: &Tree<S>) -> bool {
        let was = (self.settled, self.places.back().copied());
        self.settle(tree);
        let best = tree.best_header().point.hash().and_then(|id| place_of(tree, id));
        let mut joined = Vec::new();
        let mut at = best;
        while let Some(place) = at.filter(|place| self.at(place.count) != Some(place)) {
            joined.push(place);
            let prev = tree.header(&place.id().expect("a node has an id")).and_then(|header| header.prev);
            at = prev.and_then(|id| place_of(tree, id));
        }
        let kept = at.map_or(self.settled, |place| place.count) - self.settled;
        self.places.truncate(kept as usize);
        self.places.extend(joined.into_iter().rev());
        was != (self.settled, self.places.back().copied())
    }

    /// Lets what became irreversible go.
    fn settle<S>(&mut self, tree: &Tree<S>) {
        let root = tree.root();
        self.settled = root.settled;
        while self.places.front().is_some_and(|place| place.count < root.settled) {
            self.places.pop_front();
        }
        if let Some(place) = self.places.front().filter(|place| place.count == root.settled) {
            if place.tip == root.tip {
                self.places.pop_front();
            } else {
                self.places.clear();
            }
        }
    }

    fn at(&self, count: u64) -> Option<&Place> {
        self.places.get(count.checked_sub(self.settled + 1)? as usize)
    }
}

/// A node of the tree; the root is none.
fn place_of<S>(tree: &Tree<S>, id: Hash) -> Option<Place> {
    let (header, position) = (tree.header(&id)?, tree.position(&id)?);
    Some(Place { count: position.next().0, tip: header.tip() })
}

/// Headers of the log that are at hand, for peers that are behind: the newest, and what was loaded.
///
/// Bounded in headers. Each comes with its certificate where one is kept.
#[derive(Debug, Clone)]
pub struct Loaded {
    max_headers: NonZeroUsize,
    oldest: Tip,
    /// By the position of their first; the newest blocks are no chunk.
    chunks: BTreeMap<u64, Vec<Settled>>,
    /// The first positions of the chunks, the one loaded first in front: the order in which room is made.
    order: VecDeque<u64>,
    loaded: usize,
    /// The newest blocks of the log, oldest first, up to the LIB.
    newest: VecDeque<Settled>,
    /// How many blocks the log has.
    settled: u64,
}

/// A header of the log, and what shows that it is irreversible, where that is kept.
pub type Settled = (Header, Option<Bytes>);

impl Loaded {
    /// Nothing at hand of a log with so many blocks. Half of the bound is for the newest.
    pub fn new(max_headers: NonZeroUsize, oldest: Tip, settled: u64) -> Self {
        let (chunks, order, newest) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        Self { max_headers, oldest, chunks, order, loaded: 0, newest, settled }
    }

    /// These blocks have joined the log, oldest first.
    pub fn settle(&mut self, blocks: impl IntoIterator<Item = Settled>) {
        for block in blocks {
            self.newest.push_back(block);
            self.settled += 1;
            // The LIB itself always stays: its certificate is what peers wait for.
            if self.newest.len() > (self.max_headers.get() / 2).max(1) {
                self.newest.pop_front();
            }
        }
    }

    /// What [`super::Output::Load`] asked for. Older chunks make room.
    pub fn load(&mut self, from: Position, headers: Vec<Settled>) {
        self.unload(from.0);
        self.loaded += headers.len();
        self.order.push_back(from.0);
        self.chunks.insert(from.0, headers);
        while self.loaded > self.max_headers.get() && self.order.len() > 1 {
            self.unload(self.order[0]);
        }
    }

    /// The log was cut at its old end: this is the oldest block that is left.
    pub fn prune(&mut self, oldest: Tip) {
        self.oldest = oldest;
    }

    /// Panics where a bound does not hold. One chunk is kept whatever its size.
    pub fn check_invariants(&self) {
        let loaded: usize = self.chunks.values().map(Vec::len).sum();
        assert_eq!(self.loaded, loaded, "what is loaded adds up");
        assert!(loaded <= self.max_headers.get() || self.chunks.len() == 1, "what is loaded is bounded");
        assert!(self.newest.len() <= (self.max_headers.get() / 2).max(1), "the newest are bounded");
        assert_eq!(self.order.len(), self.chunks.len(), "every chunk has its turn");
    }

    fn unload(&mut self, from: u64) {
        if let Some(chunk) = self.chunks.remove(&from) {
            self.loaded -= chunk.len();
            self.order.retain(|start| *start != from);
        }
    }

    fn get(&self, position: Position) -> Option<&Settled> {
        let first = self.settled - self.newest.len() as u64;
        if let Some(index) = position.0.checked_sub(first) {
            return self.newest.get(index as usize);
        }
        let (from, chunk) = self.chunks.range(..=position.0).next_back()?;
        chunk.get((position.0 - from) as usize)
    }
}

/// The node's own headers.
pub struct Forks<'a, S> {
    /// What is above the LIB.
    pub tree: &'a Tree<S>,
    /// The best chain of it.
    pub trunk: &'a Trunk,
    /// What is below.
    pub loaded: &'a Loaded,
}

impl<S> Chain for Forks<'_, S> {
    fn lib(&self) -> Place {
        let root = self.tree.root();
        Place { count: root.settled, tip: root.tip }
    }

    fn head(&self) -> Place {
        self.trunk.places.back().copied().unwrap_or_else(|| self.lib())
    }

    fn oldest(&self) -> Tip {
        self.loaded.oldest
    }

    fn find(&self, id: Option<Hash>) -> Option<Place> {
        let lib = self.lib();
        match id {
            _ if id == lib.id() => Some(lib),
            Some(id) => place_of(self.tree, id),
            None => None,
        }
    }

    fn at(&self, count: u64) -> Option<Place> {
        let lib = self.lib();
        if count == lib.count { Some(lib) } else { self.trunk.at(count).copied() }
    }

    fn common(&self, a: &Place, b: &Place) -> Option<Place> {
        let (low, high) = if a.count <= b.count { (a, b) } else { (b, a) };
        if high.count > self.lib().count {
            // At or below the LIB there is but one chain; above, it must be in the tree.
            self.find(high.id()).filter(|found| found == high)?;
        }
        if low.count <= self.lib().count || self.trunk.at(low.count) == Some(low) && self.head() == *high {
            return Some(*low);
        }
        self.tree
            .common_ancestor(&low.point(), &high.point())
            .and_then(|cursor| self.find(cursor.point.hash()))
    }

    fn after(&self, place: &Place) -> Next {
        let position = Position(place.count);
        if place.count < self.lib().count {
            return match self.loaded.get(position) {
                Some((header, _)) => Next::Header(header.clone()),
                None => Next::Load(position),
            };
        }
        let Some(next) = self.trunk.at(place.count + 1) else { return Next::End };
        let header = next.id().and_then(|id| self.tree.header(&id)).expect("the best chain is in the tree");
        Next::Header(header.clone())
    }

    fn certificate(&self, place: &Place) -> Option<Bytes> {
        self.loaded.get(place.position()?).and_then(|(_, certificate)| certificate.clone())
    }
}
