//! Making native blocks: this node is the chain's only producer, and each block is irreversible once durable.
//!
//! At most one block a slot, and none while the one before is still on its way to the disk: a slow disk
//! makes fewer blocks, not a longer queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::Slot;
use chain::format::{Detail, Format};
use chain::native::{self, Builder, Key};
use consensus::Consensus;
use link::Time;

use super::Follower;
use crate::config::Role;
use crate::pool::{Pool, Refusal};
use crate::{Output, Ticket, pool};

/// What a producer needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key that signs; its public half is the chain's producer.
    pub key: Key,
    /// What may wait to be put into a block.
    pub pool: pool::Config,
}

/// The making of blocks.
#[derive(Debug)]
pub(crate) struct Producer {
    pub key: Key,
    pub params: Arc<native::Params>,
    pub pool: Pool,
    /// Blocks made since the start.
    pub made: u64,
    /// When the next slot begins, on the monotonic clock.
    pub next_slot: Option<Duration>,
}

impl Producer {
    /// The producer that a configuration asks for, if it does.
    pub(crate) fn new(config: &crate::Config) -> Option<Self> {
        match (&config.role, &config.format) {
            (Role::Produce(produce), Format::Native(params)) => {
                let mut pool = produce.pool.clone();
                // What fits no block would wait for ever, and all behind it.
                pool.max_tx_bytes = pool.max_tx_bytes.min(native::max_transaction_bytes(params));
                Some(Self {
                    key: produce.key.clone(),
                    params: params.clone(),
                    pool: Pool::new(pool),
                    made: 0,
                    next_slot: None,
                })
            }
            (Role::Produce(_), Format::Cardano(_)) => {
                panic!("a configuration is validated before it is used")
            }
            (Role::Follow(_) | Role::Member(_), _) => None,
        }
    }
}

impl Follower {
    /// Makes the block of the present slot, unless it is made.
    pub(crate) fn produce_due(&mut self, now: Time, out: &mut Vec<Output>) {
        let Consensus::Solo(solo) = self.consensus else { return };
        let Some(producer) = &mut self.producer else { return };
        let slot = self.format.slot_at(now.wall);
        let starts = self.format.slot_start(Slot(slot.0.saturating_add(1)));
        producer.next_slot = Some(now.mono.saturating_add(starts.saturating_sub(now.wall)));
        let begun = self.format.slot_start(slot) <= now.wall;
        if begun && self.storing.is_idle() && solo.is_due(slot, self.tree.head().point.slot()) {
            self.produce(now, slot, out);
        }
    }

    fn produce(&mut self, now: Time, slot: Slot, out: &mut Vec<Output>) {
        let head = self.tree.head();
        let parent = self.tree.state(&head.point).expect("the head is in the tree");
        let Detail::Native(state) = &parent.detail else { unreachable!("only native blocks are made") };
        let producer = self.producer.as_mut().expect("only a producer gets here");
        let mut builder = Builder::start(&producer.params, &head, state, slot);
        while let Some(tx) = producer.pool.first() {
            if builder.add(tx.clone()).is_err() {
                break;
            }
            producer.pool.take_first();
        }
        let block = builder.finish(&producer.key);
        producer.made += 1;
        let state = self.format.next(parent, &block.header).expect("our own block follows our own head");
        let change = self.tree.insert_header(block.header.clone(), state).expect("there is room on the head");
        self.on_change(now, change, out);
        self.store(block, out);
    }

    /// When the next slot begins, on the monotonic clock.
    pub(crate) fn next_slot(&self) -> Option<Duration> {
        self.producer.as_ref().and_then(|producer| producer.next_slot)
    }
    /// Takes a transaction into the pool.
    pub(crate) fn on_submit(&mut self, ticket: Ticket, tx: Bytes, out: &mut Vec<Output>) {
        let result = match &mut self.producer {
            _ if self.failed.is_some() => Err(Refusal::Failed),
            None => Err(Refusal::NotAProducer),
            Some(producer) => producer.pool.submit(native::transaction_id(&tx), tx),
        };
        out.push(Output::Submitted { ticket, result });
    }
}
