//! What was handed to the disk and is not durable yet.

use std::collections::{BTreeMap, VecDeque};

use chain::{Block, Hash};

use crate::Ticket;

/// One append under way.
#[derive(Debug)]
pub(crate) enum Append {
    /// A block above the irreversible tip.
    Fork(Block),
    /// The blocks up to this one become irreversible.
    Settle(Hash),
}

/// The appends under way, in order.
#[derive(Debug, Default)]
pub(crate) struct Storing {
    queue: VecDeque<(Ticket, Append)>,
    /// The blocks among them, and their sizes.
    blocks: BTreeMap<Hash, usize>,
    bytes: usize,
    settling: bool,
}

impl Storing {
    /// An append was handed out.
    pub(crate) fn push(&mut self, ticket: Ticket, append: Append) {
        match &append {
            Append::Fork(block) => {
                self.bytes += block.raw.len();
                self.blocks.insert(block.header.id, block.raw.len());
            }
            Append::Settle(_) => {
                assert!(!self.settling, "one settlement at a time");
                self.settling = true;
            }
        }
        self.queue.push_back((ticket, append));
    }

    /// The next append that is durable by this watermark.
    pub(crate) fn pop_durable(&mut self, watermark: Ticket) -> Option<Append> {
        let (ticket, _) = self.queue.front()?;
        if *ticket > watermark {
            return None;
        }
        let (_, append) = self.queue.pop_front()?;
        match &append {
            Append::Fork(block) => {
                self.bytes -= block.raw.len();
                self.blocks.remove(&block.header.id);
            }
            Append::Settle(_) => self.settling = false,
        }
        Some(append)
    }

    /// Whether the block is on its way to the disk.
    pub(crate) fn contains(&self, id: &Hash) -> bool {
        self.blocks.contains_key(id)
    }

    /// Bytes of blocks on their way to the disk.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether blocks are becoming irreversible.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling
    }

    /// Panics where the books do not balance.
    pub(crate) fn check_invariants(&self) {
        let tickets = self.queue.iter().zip(self.queue.iter().skip(1));
        tickets.for_each(|((a, _), (b, _))| assert!(a < b, "appends are in the order of their tickets"));
        assert_eq!(self.bytes, self.blocks.values().sum::<usize>(), "bytes add up");
    }
}
