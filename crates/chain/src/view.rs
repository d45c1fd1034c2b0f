//! The chain view: what the rest of the process may see of the chain, published once per batch.
//!
//! One writer (the node's driver) publishes an `Arc<View>`; every reader keeps a [`Cursor`], never a view
//! across a wait. History below the irreversible tip is not in the view: it is in the log, which a reader
//! asks for in [`Chunk`]s.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Hash, Header, Point, Position, Tip};

/// A block above the irreversible tip, on the chain of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// Its header.
    pub header: Header,
    /// The block's original bytes.
    pub block: Bytes,
}

/// The chain at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// Grows by one with each view published.
    pub epoch: u64,
    /// The irreversible tip: the last block of the log.
    pub irreversible: Tip,
    /// How many blocks the log holds: the irreversible tip stands at this position less one.
    pub settled: u64,
    /// The head: where a follower that has everything waits.
    pub head: Tip,
    /// The blocks after the irreversible tip up to the head, oldest first, without gaps.
    pub volatile: Arc<[Arc<Entry>]>,
    /// Blocks that left the chain lately, and the point on this chain that a reader there rolls back to.
    pub orphans: Arc<BTreeMap<Hash, Point>>,
    /// The head as CBOR, as it ends a RollForward or a RollBackward of this view.
    pub tip_suffix: Bytes,
    /// The whole RollForward for the head's own header, shared by all that wait; empty at origin.
    pub tip_frame: Bytes,
}

/// Where a reader stands: at the block it was last told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// How many blocks the reader has been told of along its chain: 0 at origin.
    pub next: Position,
    /// The point of the last of them.
    pub point: Point,
}

/// A run of consecutive headers out of the log, shared by all readers near it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The position of the first header.
    pub first: Position,
    /// The headers in their wire form, one after the other.
    pub bytes: Bytes,
    /// For each header, where it ends in `bytes` and its point.
    pub entries: Box<[ChunkEntry]>,
}

/// One header of a [`Chunk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Where the header ends in the chunk's bytes; it begins where the one before ends.
    pub end: u32,
    /// The point of its block.
    pub point: Point,
}
