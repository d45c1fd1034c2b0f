//! What was measured: who heard of each block when, over how many hops, how often too much, and all that was sent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chain::{Block, Hash};
use diffusion::sync::Message;
use link::Protocol;
use link::channel::{BODIES, SYNC};

use super::show;

/// How many of the last blocks are followed.
const FOLLOWED: usize = 64;

/// Of one block at one node.
#[derive(Debug, Clone, Copy)]
struct Seen {
    header: bool,
    body: bool,
    final_: bool,
    hops: u16,
}

/// A block on its way.
#[derive(Debug)]
struct Followed {
    made: Duration,
    seen: Vec<Seen>,
}

/// All that is measured.
#[derive(Debug, Default)]
pub(super) struct Figures {
    nodes: usize,
    /// Blocks by a sum over their bytes, and over their header's.
    known: BTreeMap<(usize, u32), Hash>,
    followed: BTreeMap<Hash, Followed>,
    order: VecDeque<(Hash, [(usize, u32); 2])>,
    /// How long headers, bodies and finality took to each node, in microseconds.
    pub(super) headers: Vec<u64>,
    pub(super) bodies: Vec<u64>,
    pub(super) finality: Vec<u64>,
    /// The same of transactions, from when they were put in to the first node that has them irreversible.
    pub(super) transactions: Vec<u64>,
    pub(super) hops: Vec<u64>,
    /// Headers and bodies that came to nodes that had them.
    pub(super) headers_again: u64,
    pub(super) bodies_again: u64,
    pub(super) blocks: u64,
    pub(super) connections: u64,
    pub(super) breaks: u64,
    pub(super) crashes: u64,
    pub(super) partitions: u64,
    pub(super) sleeps: u64,
    pub(super) lies: u64,
    pub(super) submitted: u64,
    pub(super) refused: u64,
    waiting: BTreeMap<Hash, Duration>,
    /// Messages and bytes by channel and number.
    sent: BTreeMap<(Protocol, u8), (u64, u64)>,
}

impl Figures {
    pub(super) fn new(nodes: u32) -> Self {
        Self { nodes: nodes as usize, ..Self::default() }
    }

    /// A node has a block of its own, or the first body of somebody's.
    pub(super) fn on_block(&mut self, now: Duration, node: u32, block: &Block) {
        let id = block.header.id;
        if self.followed.contains_key(&id) {
            return;
        }
        self.blocks += 1;
        let none = Seen { header: false, body: false, final_: false, hops: 0 };
        let mut seen = vec![none; self.nodes];
        seen[node as usize] = Seen { header: true, body: true, ..none };
        self.followed.insert(id, Followed { made: now, seen });
        let keys = [sum(&block.header.wire), sum(&block.raw)];
        for key in keys {
            self.known.insert(key, id);
        }
        self.order.push_back((id, keys));
        if self.order.len() > FOLLOWED
            && let Some((oldest, keys)) = self.order.pop_front()
        {
            self.followed.remove(&oldest);
            for key in keys {
                self.known.remove(&key);
            }
        }
    }

    /// A message is sent.
    pub(super) fn on_sent(&mut self, channel: Protocol, body: &Bytes) {
        let count = self.sent.entry((channel, show::number(channel, body))).or_default();
        *count = (count.0 + 1, count.1 + body.len() as u64);
    }

    /// A message arrives.
    pub(super) fn on_arrived(&mut self, now: Duration, from: u32, to: u32, channel: Protocol, body: &Bytes) {
        let key = match channel {
            SYNC if show::number(channel, body) == 1 => match Message::decode(body) {
                Ok(Message::Header(wire)) => sum(&wire),
                Ok(_) | Err(_) => return,
            },
            BODIES => sum(body),
            _ => return,
        };
        let Some(block) = self.known.get(&key).and_then(|id| self.followed.get_mut(id)) else { return };
        let hops = block.seen[from as usize].hops + 1;
        let took = now.saturating_sub(block.made).as_micros() as u64;
        let seen = &mut block.seen[to as usize];
        let (was, times, again) = match channel {
            SYNC => (&mut seen.header, &mut self.headers, &mut self.headers_again),
            _ => (&mut seen.body, &mut self.bodies, &mut self.bodies_again),
        };
        if std::mem::replace(was, true) {
            *again += 1;
            return;
        }
        times.push(took);
        if channel == BODIES {
            seen.hops = hops;
            self.hops.push(hops.into());
        }
    }

    /// A block is irreversible for a node.
    pub(super) fn on_final(&mut self, now: Duration, node: u32, id: &Hash) {
        let Some(block) = self.followed.get_mut(id) else { return };
        if !std::mem::replace(&mut block.seen[node as usize].final_, true) {
            self.finality.push(now.saturating_sub(block.made).as_micros() as u64);
        }
    }

    /// A transaction was put in and taken.
    pub(super) fn on_submitted(&mut self, now: Duration, id: Hash) {
        self.submitted += 1;
        self.waiting.entry(id).or_insert(now);
    }

    /// A transaction is irreversible at the first node.
    pub(super) fn on_transaction(&mut self, now: Duration, id: &Hash) {
        if let Some(since) = self.waiting.remove(id) {
            self.transactions.push(now.saturating_sub(since).as_micros() as u64);
        }
    }

    /// What was sent: kind, messages, bytes.
    pub(super) fn sent(&self) -> impl Iterator<Item = (String, u64, u64)> {
        self.sent
            .iter()
            .map(|((channel, number), (messages, bytes))| (show::kind(*channel, *number), *messages, *bytes))
    }
}

/// Enough to know a block again that nobody made to be taken for another.
fn sum(bytes: &Bytes) -> (usize, u32) {
    (bytes.len(), crc32c::crc32c(bytes))
}
