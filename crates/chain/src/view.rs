//! The chain view: what the rest of the process may see of the chain, published once per batch.
//!
//! One writer (the node's driver) publishes an `Arc<View>`; every reader keeps a [`Cursor`], never a view
//! across a wait. What a reader does next is derived from its cursor and the newest view, afresh each time
//! ([`View::next`]): nothing is queued for it. History below the irreversible tip is not in the view: it is
//! in the log, which a reader asks for in [`Chunk`]s.

mod orphans;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

pub use orphans::{MAX_ORPHAN_BLOCKS, MAX_ORPHAN_BYTES, MAX_ORPHANS, Orphans};
pub use writer::Writer;

use crate::{Hash, Header, Point, Position, Slot, Tip, codec};

/// How many of the newest irreversible blocks a view still holds, so that readers at the tip of a chain that
/// settles at once need no look into the log. A guess: a reader that lags further reads chunks anyway.
pub const MAX_RECENT: usize = 64;

/// How many bytes of such blocks; the newest stays whatever its size. Holds 64 full blocks of mainnet.
pub const MAX_RECENT_BYTES: usize = 6 << 20;

/// A block near the tip, on the chain of the view.
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
    /// The newest blocks of the log up to the irreversible tip, oldest first, without gaps.
    pub recent: Arc<[Arc<Entry>]>,
    /// The blocks after the irreversible tip up to the head, oldest first, without gaps.
    pub volatile: Arc<[Arc<Entry>]>,
    /// Blocks that left the chain lately, and where on this chain a reader there rolls back to.
    pub orphans: Arc<Orphans>,
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
    /// Whether that block is known to be in the log, where nothing rolls back any more.
    pub settled: bool,
}

/// What a reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Tell it of this block, the next one on the chain; then it stands at [`View::after`] it.
    Forward(&'a Arc<Entry>),
    /// It has everything: it waits for the next view.
    AtTip,
    /// Its block left the chain: roll it back to here.
    Backward(Cursor),
    /// Its block is in the log, and so is the next one, at this position: read a chunk.
    Settled(Position),
    /// Its block is so old that only the log knows whether it is on the chain: the block at this position
    /// must have the cursor's hash. Where it has, ask again with [`Cursor::settled`]; else it is lost.
    CheckLog(Position),
    /// Nobody knows its block any more: it must find an intersection again.
    Lost,
}

/// Where a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// On the chain, here.
    At(Cursor),
    /// If anywhere, then in the log.
    AskLog,
    /// Not on the chain.
    Absent,
}

impl Cursor {
    /// Before the first block.
    pub const ORIGIN: Self = Self { next: Position(0), point: Point::Origin, settled: true };

    /// After a block that may still leave the chain; `next` counts it.
    pub fn new(next: Position, point: Point) -> Self {
        Self { next, point, settled: next.0 == 0 }
    }

    /// After a block that is in the log; `next` counts it.
    pub fn settled(next: Position, point: Point) -> Self {
        Self { next, point, settled: true }
    }
}

impl View {
    /// The chain before anything is known of it.
    pub fn empty() -> Self {
        Self::new(0, Tip::default(), 0, Arc::new([]), Arc::new([]), Arc::default())
    }

    /// A view of these blocks. `recent` ends at the irreversible tip and `volatile` begins right after it.
    pub fn new(
        epoch: u64,
        irreversible: Tip,
        settled: u64,
        recent: Arc<[Arc<Entry>]>,
        volatile: Arc<[Arc<Entry>]>,
        orphans: Arc<Orphans>,
    ) -> Self {
        let newest = volatile.last().or(recent.last());
        let head = volatile.last().map_or(irreversible, |entry| entry.header.tip());
        let tip_suffix = codec::tip_suffix(&head);
        let tip_frame =
            newest.map_or(Bytes::new(), |entry| codec::roll_forward_frame(&entry.header.wire, &tip_suffix));
        Self { epoch, irreversible, settled, head, recent, volatile, orphans, tip_suffix, tip_frame }
    }

    /// How many blocks the chain has, the head included: a reader that has everything stands there.
    pub fn len(&self) -> Position {
        Position(self.settled + self.volatile.len() as u64)
    }

    /// Whether the chain has no block.
    pub fn is_empty(&self) -> bool {
        self.len().0 == 0
    }

    /// The cursor of a reader that has everything.
    pub fn tip_cursor(&self) -> Cursor {
        Cursor { next: self.len(), point: self.head.point, settled: self.volatile.is_empty() }
    }

    /// The block at this position, unless only the log has it or there is none.
    pub fn entry(&self, at: Position) -> Option<&Arc<Entry>> {
        match at.0.checked_sub(self.settled) {
            Some(above) => self.volatile.get(usize::try_from(above).ok()?),
            None => self.recent.get(usize::try_from(at.0.checked_sub(self.first_recent())?).ok()?),
        }
    }

    /// What a reader at this cursor does next.
    pub fn next(&self, cursor: &Cursor) -> Step<'_> {
        match self.is_on_chain(cursor) {
            Some(true) if cursor.next == self.len() => Step::AtTip,
            Some(true) => match self.entry(cursor.next) {
                Some(entry) => Step::Forward(entry),
                None => Step::Settled(cursor.next),
            },
            Some(false) => self.back(cursor).map_or(Step::Lost, Step::Backward),
            None => match self.back(cursor) {
                Some(ancestor) => Step::Backward(ancestor),
                None => Step::CheckLog(Position(cursor.next.0 - 1)),
            },
        }
    }

    /// The cursor of a reader that was just told of this block of this view.
    pub fn after(&self, entry: &Entry) -> Cursor {
        let next = entry.position.next();
        Cursor { next, point: entry.header.point(), settled: next.0 <= self.settled }
    }

    /// Where a point is, so far as the view can tell.
    pub fn find(&self, point: &Point) -> Find {
        let Point::Block(slot, hash) = *point else { return Find::At(Cursor::ORIGIN) };
        if let Some(entry) = search(&self.volatile, slot, hash).or_else(|| search(&self.recent, slot, hash)) {
            return Find::At(self.after(entry));
        }
        if self.irreversible.point == *point {
            return Find::At(Cursor::settled(Position(self.settled), *point));
        }
        // A boundary block shares its slot with the block after it: the log's last slot may hold two.
        match self.irreversible.point.slot() {
            Some(last) if slot <= last => Find::AskLog,
            _ => Find::Absent,
        }
    }

    /// Whether the cursor's block is on this chain; `None` where only the log can tell.
    fn is_on_chain(&self, cursor: &Cursor) -> Option<bool> {
        if cursor.next > self.len() {
            return Some(false);
        }
        let Some(at) = cursor.next.0.checked_sub(1) else { return Some(cursor.point == Point::Origin) };
        if let Some(entry) = self.entry(Position(at)) {
            return Some(entry.header.point() == cursor.point);
        }
        if cursor.next.0 == self.settled {
            return Some(self.irreversible.point == cursor.point);
        }
        cursor.settled.then_some(true)
    }

    fn back(&self, cursor: &Cursor) -> Option<Cursor> {
        let ancestor = self.orphans.ancestor(&cursor.point.hash()?)?;
        Some(Cursor { settled: ancestor.next.0 <= self.settled, ..ancestor })
    }

    fn first_recent(&self) -> u64 {
        self.settled - self.recent.len() as u64
    }
}

/// Finds a block by its slot, then its hash, among blocks ordered by slot.
fn search(entries: &[Arc<Entry>], slot: Slot, hash: Hash) -> Option<&Arc<Entry>> {
    let first = entries.partition_point(|entry| entry.header.slot < slot);
    entries[first..]
        .iter()
        .take_while(|entry| entry.header.slot == slot)
        .find(|entry| entry.header.id == hash)
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
