//! A header and a block as everything above the formats sees them.

use bytes::Bytes;

use crate::{Hash, Height, Point, Slot, Tip};

/// A decoded header together with its original bytes.
///
/// Cheap to clone. What only one format needs (signatures, nonces, validators) is read again from
/// [`Header::wire`] by that format when it judges the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The hash of the header: the id of its block.
    pub id: Hash,
    /// The block before; `None` for the first block of a chain.
    pub prev: Option<Hash>,
    /// When the block was made.
    pub slot: Slot,
    /// The block number that it states.
    pub height: Height,
    /// A Byron epoch boundary block: it shares its height with its parent and nobody signs it.
    pub boundary: bool,
    /// The header as it travels inside a RollForward: `[era, tag24(bytes)]` or its Byron form.
    pub wire: Bytes,
}

impl Header {
    /// The point of the block.
    pub fn point(&self) -> Point {
        Point::Block(self.slot, self.id)
    }

    /// The tip of a chain that ends here.
    pub fn tip(&self) -> Tip {
        Tip { point: self.point(), height: self.height }
    }
}

/// A decoded block together with its original bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its header, cut out of the same bytes.
    pub header: Header,
    /// The block as it is stored and as it travels inside tag 24: `[era, block]`.
    pub raw: Bytes,
}
