//! What a connection may see of the node's headers.

use bytes::Bytes;
use chain::{Hash, Header, Height, Point, Position, Slot, Tip};

/// A block that we know, and where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// How many blocks lead up to it and with it: 0 at origin.
    pub count: u64,
    /// The block.
    pub tip: Tip,
}

/// What comes after a block on the best chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This header.
    Header(Header),
    /// The header at this position of the log, which is not at hand: it is loaded, and then asked for again.
    Load(Position),
    /// Nothing: it is the head.
    End,
}

/// The node's headers: a tree rooted at the last irreversible block (the LIB), the log below it, and the best chain
/// through both.
pub trait Chain {
    /// The last irreversible block.
    fn lib(&self) -> Place;

    /// The end of the best chain of headers.
    fn head(&self) -> Place;

    /// The oldest block that we can still send; origin where we have them all.
    fn oldest(&self) -> Tip;

    /// The block, where it is the LIB or in the tree above it; `None` asks for origin. What lies below the LIB is not
    /// found here.
    fn find(&self, id: Option<Hash>) -> Option<Place>;

    /// The block of the best chain with this count, from the LIB to the head.
    fn at(&self, count: u64) -> Option<Place>;

    /// The last block that the chains to both share. A block at or below the LIB's count lies on the log. `None` when
    /// one of them has left the tree.
    fn common(&self, a: &Place, b: &Place) -> Option<Place>;

    /// What comes on the best chain after a block of it.
    fn after(&self, place: &Place) -> Next;

    /// What shows that a block at or below the LIB is irreversible, where it is at hand; empty on chains where headers
    /// show it. Of the LIB itself it should be there. The denser they lie in the log, the less of a peer that is far
    /// behind fits into its tree before it can commit.
    fn certificate(&self, place: &Place) -> Option<Bytes>;
}

/// What orders the blocks of one chain: a slot is only shared by a boundary block and the block after it.
pub fn rank(tip: &Tip) -> (Option<Slot>, Height) {
    (tip.point.slot(), tip.height)
}

impl Place {
    /// The block's id; `None` for origin.
    pub fn id(&self) -> Option<Hash> {
        self.tip.point.hash()
    }

    /// Where it stands in the log or the tree; `None` for origin.
    pub fn position(&self) -> Option<Position> {
        self.count.checked_sub(1).map(Position)
    }

    /// The block's point.
    pub fn point(&self) -> Point {
        self.tip.point
    }

    /// The place of a header right after this one.
    pub fn then(&self, header: &Header) -> Self {
        Self { count: self.count + 1, tip: header.tip() }
    }
}
