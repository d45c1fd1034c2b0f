//! The newest blocks of the log, kept in memory: for peers that lack them and for the application.
//!
//! **Invariant**: they follow each other without a gap, up to the irreversible tip; bounded in count and bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chain::view::{MAX_RECENT, MAX_RECENT_BYTES};
use chain::{Entry, Hash, Position};

/// How many. A guess: what a peer lacks that was away for a minute.
const MAX_BLOCKS: usize = 256;

/// How many bytes of them; the newest stays whatever its size. A guess.
const MAX_BYTES: usize = 32 << 20;

/// The newest blocks of the log.
#[derive(Debug, Default)]
pub(super) struct Recent {
    entries: VecDeque<Arc<Entry>>,
    places: BTreeMap<Hash, Position>,
    bytes: usize,
}

impl Recent {
    /// One more block has joined the log.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        self.bytes += entry.block.len();
        self.places.insert(entry.header.id, entry.position);
        self.entries.push_back(entry);
        while self.entries.len() > MAX_BLOCKS || (self.bytes > MAX_BYTES && self.entries.len() > 1) {
            let oldest = self.entries.pop_front().expect("there are some");
            self.places.remove(&oldest.header.id);
            self.bytes -= oldest.block.len();
        }
    }

    /// The block, where it is one of them.
    pub(super) fn get(&self, id: &Hash) -> Option<&Arc<Entry>> {
        self.at(*self.places.get(id)?)
    }

    /// The block at a position of the log, where it is one of them.
    pub(super) fn at(&self, position: Position) -> Option<&Arc<Entry>> {
        let first = self.entries.front()?.position;
        self.entries.get(usize::try_from(position.0.checked_sub(first.0)?).ok()?)
    }

    /// The blocks from a position on.
    pub(super) fn from(&self, position: Position) -> impl Iterator<Item = &Arc<Entry>> {
        let first = self.entries.front().map_or(0, |entry| entry.position.0);
        let skip = usize::try_from(position.0.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip)
    }

    /// Whether they are as many as a start reads back, or all that there are from genesis on. Not so right above bare blocks:
    /// what was in these is not known.
    pub(super) fn reaches_back(&self) -> bool {
        let is_whole = self.entries.front().is_some_and(|entry| entry.position == Position(0));
        is_whole || self.entries.len() >= MAX_RECENT || self.bytes >= MAX_RECENT_BYTES
    }

    /// Panics where an invariant does not hold.
    pub(super) fn check_invariants(&self, settled: u64) {
        let mut next = self.entries.front().map_or(settled, |entry| entry.position.0);
        for entry in &self.entries {
            assert_eq!(entry.position.0, next, "recent blocks have no gaps");
            next += 1;
        }
        assert_eq!(next, settled, "recent blocks end at the irreversible tip");
        assert_eq!(self.places.len(), self.entries.len(), "each is found by its id");
        assert!(self.entries.len() <= MAX_BLOCKS, "recent blocks are bounded");
        assert!(self.bytes <= MAX_BYTES || self.entries.len() == 1, "their bytes are bounded");
    }
}
