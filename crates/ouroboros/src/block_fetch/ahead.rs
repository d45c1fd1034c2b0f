//! Blocks of the log that were read before there was room to send them.

use std::collections::VecDeque;

use bytes::Bytes;
use chain::Position;

/// Consecutive blocks, and what they take.
#[derive(Debug)]
pub(super) struct Ahead {
    /// The first of these is the block at `first`.
    blocks: VecDeque<Bytes>,
    first: Position,
    /// What was read at once: before which position each read ends, and its bytes. Its blocks share one buffer,
    /// which is there until the last of them is let go.
    reads: VecDeque<(Position, usize)>,
    low_mark: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { blocks: VecDeque::new(), first: Position(0), reads: VecDeque::new(), low_mark: 0 }
    }
}

impl Ahead {
    /// Takes blocks, the first of which is at this position; they follow on what is here, or replace it.
    pub(super) fn put(&mut self, first: Position, blocks: VecDeque<Bytes>) {
        self.low_mark = blocks.len() / 2;
        if self.blocks.is_empty() || self.end() != first {
            self.first = first;
            self.blocks.clear();
            self.reads.clear();
        }
        let bytes = blocks.iter().map(Bytes::len).sum();
        self.blocks.extend(blocks);
        self.reads.push_back((self.end(), bytes));
    }

    /// Lets go of the blocks before this position; whether the one there is here.
    pub(super) fn skip_to(&mut self, at: Position) -> bool {
        while self.first < at && self.blocks.pop_front().is_some() {
            self.first = self.first.next();
        }
        while self.reads.front().is_some_and(|(end, _)| *end <= self.first) {
            self.reads.pop_front();
        }
        self.first == at && !self.blocks.is_empty()
    }

    /// The first block.
    pub(super) fn front(&self) -> Option<&Bytes> {
        self.blocks.front()
    }

    /// The position after the last block.
    pub(super) fn end(&self) -> Position {
        Position(self.first.0 + self.blocks.len() as u64)
    }

    /// Whether so few blocks are left that the next ones had better be asked for.
    pub(super) fn is_low(&self) -> bool {
        self.blocks.len() <= self.low_mark
    }

    /// How many bytes it keeps from being freed.
    pub(super) fn bytes(&self) -> usize {
        self.reads.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Panics where the parts do not hold together.
    pub(super) fn check_invariants(&self) {
        let end = self.reads.back().map_or(self.first, |(end, _)| *end);
        assert_eq!(end, self.end(), "each block that was read ahead is counted");
    }
}
