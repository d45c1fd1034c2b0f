//! All the blocks that there are in a small world, and one node's part of them as a [`Chain`].

use bytes::Bytes;
use chain::{Hash, Header, Height, Point, Position, Slot, Tip};
use diffusion::sync::{Chain, Next, Place};

/// A block's number; its parent has a lower one.
pub(crate) type Block = usize;

/// The blocks, and which of them become irreversible.
#[derive(Debug, Clone)]
pub(crate) struct Universe {
    parents: Vec<Option<Block>>,
    headers: Vec<Header>,
    /// In the order of the chain.
    pub(crate) finals: Vec<Block>,
}

/// What one node has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    /// The headers above the LIB, a bit each.
    pub(crate) known: u32,
    /// `None`: origin.
    pub(crate) lib: Option<Block>,
}

/// A node's headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headers<'a> {
    pub(crate) universe: &'a Universe,
    pub(crate) node: &'a Node,
    /// Whether what lies below the LIB is at hand.
    pub(crate) log: bool,
}

impl Universe {
    pub(crate) fn new(parents: &[Option<Block>], finals: &[Block]) -> Self {
        let mut headers: Vec<Header> = Vec::new();
        for (block, parent) in parents.iter().enumerate() {
            let height = parent.map_or(0, |parent| headers[parent].height.0 + 1);
            headers.push(Header {
                id: id(block),
                prev: parent.map(id),
                slot: Slot(height),
                height: Height(height),
                boundary: false,
                wire: Bytes::from(vec![block as u8]),
            });
        }
        let universe = Self { parents: parents.to_vec(), headers, finals: finals.to_vec() };
        for pair in finals.windows(2) {
            assert!(universe.is_above(pair[1], Some(pair[0])), "what is final is one chain");
        }
        universe
    }

    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    pub(crate) fn parent(&self, block: Block) -> Option<Block> {
        self.parents[block]
    }

    pub(crate) fn count(&self, block: Option<Block>) -> u64 {
        block.map_or(0, |block| self.headers[block].height.0 + 1)
    }

    /// Whether `block` is `other` or descends from it.
    pub(crate) fn is_above(&self, block: Block, other: Option<Block>) -> bool {
        let mut at = Some(block);
        while at != other {
            let Some(block) = at else { return false };
            at = self.parents[block];
        }
        true
    }

    pub(crate) fn header(&self, block: Block) -> Header {
        self.headers[block].clone()
    }

    pub(crate) fn place(&self, block: Option<Block>) -> Place {
        let tip = block.map_or(Tip::default(), |block| self.headers[block].tip());
        Place { count: self.count(block), tip }
    }

    /// The ancestor-or-self with this count.
    fn ancestor(&self, block: Option<Block>, count: u64) -> Option<Block> {
        let mut at = block;
        while self.count(at) > count {
            at = self.parents[at.expect("origin counts nothing")];
        }
        at
    }

    fn common(&self, a: Option<Block>, b: Option<Block>) -> Option<Block> {
        let mut count = self.count(a).min(self.count(b));
        while self.ancestor(a, count) != self.ancestor(b, count) {
            count -= 1;
        }
        self.ancestor(a, count)
    }
}

fn id(block: Block) -> Hash {
    Hash([block as u8 + 1; 32])
}

/// The block with this id.
pub(crate) fn block(id: Hash) -> Block {
    usize::from(id.0[0]) - 1
}

impl Node {
    pub(crate) fn knows(&self, block: Block) -> bool {
        self.known >> block & 1 == 1
    }

    pub(crate) fn head(&self, universe: &Universe) -> Option<Block> {
        let known = (0..universe.len()).filter(|block| self.knows(*block));
        known.max_by_key(|block| (universe.count(Some(*block)), *block)).or(self.lib)
    }

    /// Whether a header may hang here: its parent is there.
    pub(crate) fn takes(&self, universe: &Universe, block: Block) -> bool {
        let parent = universe.parent(block);
        !self.knows(block) && (parent == self.lib || parent.is_some_and(|parent| self.knows(parent)))
    }

    /// Makes a block irreversible and drops what it cuts off.
    pub(crate) fn settle(&mut self, universe: &Universe, block: Block) {
        assert!(self.knows(block));
        let stays = |other: &Block| *other != block && universe.is_above(*other, Some(block));
        let kept = (0..universe.len()).filter(|other| self.knows(*other)).filter(stays);
        self.known = kept.fold(0, |known, block| known | 1 << block);
        self.lib = Some(block);
    }

    /// Whether the block is irreversible here.
    pub(crate) fn has_settled(&self, universe: &Universe, block: Block) -> bool {
        self.lib.is_some_and(|lib| universe.is_above(lib, Some(block)))
    }
}

impl Headers<'_> {
    fn block(&self, place: &Place) -> Option<Block> {
        place.id().map(block)
    }

    fn holds(&self, block: Option<Block>) -> bool {
        block == self.node.lib || block.is_some_and(|block| self.node.knows(block))
    }
}

impl Chain for Headers<'_> {
    fn lib(&self) -> Place {
        self.universe.place(self.node.lib)
    }

    fn head(&self) -> Place {
        self.universe.place(self.node.head(self.universe))
    }

    fn oldest(&self) -> Tip {
        Tip::default()
    }

    fn find(&self, id: Option<Hash>) -> Option<Place> {
        let block = id.map(block);
        self.holds(block).then(|| self.universe.place(block))
    }

    fn at(&self, count: u64) -> Option<Place> {
        let head = self.node.head(self.universe);
        let range = self.universe.count(self.node.lib)..=self.universe.count(head);
        range.contains(&count).then(|| self.universe.place(self.universe.ancestor(head, count)))
    }

    fn common(&self, a: &Place, b: &Place) -> Option<Place> {
        let lib = self.lib().count;
        let (block_a, block_b) = (self.block(a), self.block(b));
        let is_there = |place: &Place, block| place.count <= lib || self.holds(block);
        let both = is_there(a, block_a) && is_there(b, block_b);
        both.then(|| self.universe.place(self.universe.common(block_a, block_b)))
    }

    fn after(&self, place: &Place) -> Next {
        let head = self.node.head(self.universe);
        if place.count >= self.universe.count(head) {
            return Next::End;
        }
        if place.count < self.lib().count && !self.log {
            return Next::Load(Position(place.count));
        }
        let next = self.universe.ancestor(head, place.count + 1).expect("above origin is a block");
        Next::Header(self.universe.header(next))
    }

    fn certificate(&self, place: &Place) -> Option<Bytes> {
        self.block(place).filter(|block| self.node.has_settled(self.universe, *block)).map(|_| Bytes::new())
    }
}

/// The highest of these points in a node's log.
pub(crate) fn find_in_log(universe: &Universe, node: &Node, points: &[Point]) -> Option<Place> {
    let places = points.iter().map(|point| universe.place(point.hash().map(block)));
    places.into_iter().find(|place| place.id().is_none_or(|id| node.has_settled(universe, block(id))))
}
