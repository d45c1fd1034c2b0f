//! What was handed to the disk and is not durable yet, in the order of its tickets.

use std::collections::{BTreeMap, VecDeque};

use chain::{Block, Hash};
use consensus::quorum;
use link::PeerId;

use crate::Ticket;

/// One append under way.
#[derive(Debug)]
pub(super) enum Append {
    /// A block above the irreversible tip, and who sent it.
    Fork(Block, Option<PeerId>),
    /// The blocks up to this one become irreversible.
    Settle(Hash),
    /// The blocks up to this one become bare.
    Bare(Hash),
    /// The bare blocks are settled, or forgotten.
    Begun,
    /// A record of the consensus journal.
    Journal(quorum::Ticket),
}

/// The appends under way.
#[derive(Debug, Default)]
pub(super) struct Storing {
    queue: VecDeque<(Ticket, Append)>,
    /// The blocks among them, and their sizes.
    blocks: BTreeMap<Hash, usize>,
    bytes: usize,
    settling: Option<Hash>,
    /// The last record of the journal, as consensus and as the disk counts it.
    journal: Option<(quorum::Ticket, Ticket)>,
    durable: Ticket,
}

impl Storing {
    /// An append was handed out.
    pub(super) fn push(&mut self, ticket: Ticket, append: Append) {
        match &append {
            Append::Fork(block, _) => {
                self.bytes += block.raw.len();
                self.blocks.insert(block.header.id, block.raw.len());
            }
            Append::Begun => {}
            Append::Settle(id) | Append::Bare(id) => {
                assert!(self.settling.is_none(), "one settlement at a time");
                self.settling = Some(*id);
            }
            Append::Journal(counted) => self.journal = Some((*counted, ticket)),
        }
        self.queue.push_back((ticket, append));
    }

    /// The next append that is durable by this watermark.
    pub(super) fn pop_durable(&mut self, watermark: Ticket) -> Option<Append> {
        self.durable = self.durable.max(watermark);
        let (ticket, _) = self.queue.front()?;
        if *ticket > watermark {
            return None;
        }
        let (_, append) = self.queue.pop_front()?;
        match &append {
            Append::Fork(block, _) => {
                self.bytes -= block.raw.len();
                self.blocks.remove(&block.header.id);
            }
            Append::Settle(_) | Append::Bare(_) => self.settling = None,
            Append::Begun | Append::Journal(_) => {}
        }
        Some(append)
    }

    /// What a message must wait for that goes out only after this record of the journal; `None`: it is durable.
    pub(super) fn after(&self, counted: quorum::Ticket) -> Option<Ticket> {
        let (last, ticket) = self.journal?;
        assert_eq!(last, counted, "a message waits for the last record before it");
        (ticket > self.durable).then_some(ticket)
    }

    /// Whether this is durable.
    pub(super) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket <= self.durable
    }

    /// Whether nothing is on its way to the disk.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the block is on its way to the disk.
    pub(super) fn contains(&self, id: &Hash) -> bool {
        self.blocks.contains_key(id)
    }

    /// Bytes of blocks on their way to the disk.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The block up to which all is becoming irreversible.
    pub(super) fn settling(&self) -> Option<Hash> {
        self.settling
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self) {
        let tickets = self.queue.iter().zip(self.queue.iter().skip(1));
        tickets.for_each(|((a, _), (b, _))| assert!(a < b, "appends are in the order of their tickets"));
        assert_eq!(self.bytes, self.blocks.values().sum::<usize>(), "bytes add up");
    }
}
