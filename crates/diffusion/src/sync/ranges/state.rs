//! The machine of ranges.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chain::{Hash, Point};
use fetch::Scheduler;

use super::Config;
use crate::sync::Message;

/// The most blocks of a range: whoever is asked for more sends no more.
pub const MAX_RANGE: u64 = 256;

/// Something that happened. `P` names a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<P> {
    /// Both hellos of a connection have come.
    Joined {
        /// Who.
        peer: P,
        /// Whether it is kept whatever it does.
        pinned: bool,
    },
    /// Whether a peer is kept whatever it does has changed.
    Pinned {
        /// Who.
        peer: P,
        /// Whether it is.
        pinned: bool,
    },
    /// A connection is gone.
    Left {
        /// Who.
        peer: P,
    },
    /// A round trip was measured.
    Rtt {
        /// To whom.
        peer: P,
        /// How long it took.
        rtt: Duration,
    },
    /// A body is wanted, after all that are wanted already and on one chain with them; some between may be here. Wanting
    /// what is wanted changes nothing.
    Want {
        /// The block.
        block: Point,
        /// The block before it.
        prev: Option<Hash>,
        /// How large its header says it is.
        bytes: u64,
    },
    /// Nothing is wanted any more: the best chain is another.
    Clear,
    /// A peer has a block of the chain that is wanted, and so all below it: its cursors stand there or above.
    Has {
        /// Who.
        peer: P,
        /// The block.
        id: Hash,
    },
    /// A peer sent a body of a range, and it is the one its header names.
    Arrived {
        /// Who.
        peer: P,
        /// The block.
        id: Hash,
        /// How large it is.
        bytes: u64,
    },
    /// A body came in another way.
    Unwant {
        /// Of which block.
        id: Hash,
    },
    /// A peer has sent what it has of the oldest range that it was asked for.
    Done {
        /// Who.
        peer: P,
    },
    /// Something that a peer sent was not read yet: what it owes may be among it.
    Unread {
        /// Who.
        peer: P,
    },
    /// All news are told: now is the time to ask.
    Tick {
        /// Whether to ask for more. Where what has arrived cannot be put away, it is not.
        ask: bool,
        /// Whether to judge who is late: all that peers sent has been read, or was said to be unread.
        judge: bool,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this on the sync channel.
    Send {
        /// To whom.
        peer: P,
        /// A [`Message::Range`].
        message: Message,
    },
    /// Part from a peer: it holds up everybody and delivers nothing.
    Evict {
        /// From whom.
        peer: P,
    },
}

/// What operators may see.
pub type Status = fetch::Status;

/// The ranges of one node. `P` names a peer.
#[derive(Debug)]
pub struct State<P> {
    scheduler: Scheduler<P>,
    blocks: BTreeMap<u64, Point>,
    keys: BTreeMap<Hash, u64>,
    /// What arrived before all below it did: peers may still say that they have it. As much as the window.
    ahead: BTreeMap<u64, Hash>,
    /// The block that was wanted last: its child may follow it in one range.
    last: Option<Hash>,
    next: u64,
    /// The first number of the chain that it is part of.
    begin: u64,
    /// The ranges that each peer was asked for and has not ended, oldest first.
    asked: BTreeMap<P, VecDeque<BTreeMap<Hash, u64>>>,
}

impl<P: Copy + Ord> State<P> {
    /// A node that wants nothing and knows nobody. No range is longer than [`MAX_RANGE`].
    pub fn new(config: Config) -> Self {
        let items = u64::from(config.request_items.get());
        assert!(items <= MAX_RANGE, "who is asked for more than {MAX_RANGE} blocks sends no more");
        let (blocks, keys, ahead) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let asked = BTreeMap::new();
        Self { scheduler: Scheduler::new(config), blocks, keys, ahead, last: None, next: 0, begin: 0, asked }
    }

    /// Takes in what happened; a tick says what to do. What concerns a peer that is not there is ignored.
    pub fn handle(&mut self, now: Duration, input: Input<P>, out: &mut Vec<Output<P>>) {
        match input {
            Input::Joined { peer, pinned } => {
                self.asked.insert(peer, VecDeque::new());
                self.pass(now, fetch::Input::Joined { peer, pinned }, out);
            }
            Input::Pinned { peer, pinned } => self.pass(now, fetch::Input::Pinned { peer, pinned }, out),
            Input::Left { peer } => {
                self.asked.remove(&peer);
                self.pass(now, fetch::Input::Left { peer }, out);
            }
            Input::Rtt { peer, rtt } => self.pass(now, fetch::Input::Rtt { peer, rtt }, out),
            Input::Want { block, prev, bytes } => self.on_want(now, block, prev, bytes, out),
            Input::Unwant { id } => self.on_unwant(now, id, out),
            Input::Clear => self.on_clear(now, out),
            Input::Has { peer, id } => self.on_has(now, peer, id, out),
            Input::Arrived { peer, id, bytes } => self.on_arrived(now, peer, id, bytes, out),
            Input::Done { peer } => {
                self.asked.get_mut(&peer).and_then(VecDeque::pop_front);
                self.pass(now, fetch::Input::Done { peer }, out);
            }
            Input::Unread { peer } => self.pass(now, fetch::Input::Unread { peer }, out),
            Input::Tick { ask, judge } => self.pass(now, fetch::Input::Tick { ask, judge }, out),
        }
    }

    /// When to come back with a tick at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.scheduler.next_deadline()
    }

    /// Whether the body is wanted and has not arrived.
    pub fn is_wanted(&self, id: &Hash) -> bool {
        self.keys.contains_key(id)
    }

    /// How many bodies are wanted.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no body is wanted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What operators may see.
    pub fn status(&self) -> Status {
        self.scheduler.status()
    }

    /// Panics where the books do not balance.
    pub fn check_invariants(&self) {
        self.scheduler.check_invariants();
        assert_eq!(self.blocks.len(), self.keys.len(), "a block is wanted under one number");
        for (key, block) in &self.blocks {
            let id = block.hash().expect("the origin has no body");
            assert_eq!(self.keys.get(&id), Some(key), "the two maps are one");
            assert!(self.scheduler.is_wanted(*key), "what is wanted is asked for");
        }
    }

    fn on_want(
        &mut self,
        now: Duration,
        block: Point,
        prev: Option<Hash>,
        bytes: u64,
        out: &mut Vec<Output<P>>,
    ) {
        let Some(id) = block.hash().filter(|id| !self.keys.contains_key(id)) else { return };
        // A gap, so that no range goes over what is here, or from one chain to another.
        let is_gap = self.last.is_some() && self.last != prev;
        let key = self.next + u64::from(is_gap);
        self.blocks.insert(key, block);
        self.keys.insert(id, key);
        (self.last, self.next) = (Some(id), key + 1);
        self.pass(now, fetch::Input::Want { key, bytes }, out);
    }

    fn on_unwant(&mut self, now: Duration, id: Hash, out: &mut Vec<Output<P>>) {
        if let Some(key) = self.take(&id) {
            self.pass(now, fetch::Input::Unwant { from: key, to: key }, out);
        }
    }

    /// Wants a block no more; under which number it was wanted.
    fn take(&mut self, id: &Hash) -> Option<u64> {
        let key = self.keys.remove(id)?;
        self.blocks.remove(&key);
        self.ahead.insert(key, *id);
        let lowest = self.blocks.first_key_value().map_or(self.next, |(key, _)| *key);
        self.ahead = self.ahead.split_off(&lowest);
        Some(key)
    }

    fn on_clear(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        self.blocks.clear();
        self.keys.clear();
        self.ahead.clear();
        if let Some(to) = self.next.checked_sub(1) {
            self.pass(now, fetch::Input::Unwant { from: 0, to }, out);
        }
        self.begin = self.next;
    }

    fn on_has(&mut self, now: Duration, peer: P, id: Hash, out: &mut Vec<Output<P>>) {
        let ahead = || self.ahead.iter().find(|(_, other)| **other == id).map(|(key, _)| *key);
        let Some(to) = self.keys.get(&id).copied().or_else(ahead) else { return };
        self.pass(now, fetch::Input::Has { peer, from: self.begin.min(to), to }, out);
    }

    fn on_arrived(&mut self, now: Duration, peer: P, id: Hash, bytes: u64, out: &mut Vec<Output<P>>) {
        let owed =
            self.asked.get_mut(&peer).and_then(|ranges| ranges.iter_mut().find_map(|keys| keys.remove(&id)));
        let wanted = self.take(&id);
        // It may come twice, where another was asked as well; who brings it has answered all the same.
        if let Some(key) = wanted.or(owed) {
            self.pass(now, fetch::Input::Received { peer, key, bytes }, out);
        }
    }

    fn pass(&mut self, now: Duration, input: fetch::Input<P>, out: &mut Vec<Output<P>>) {
        let mut said = Vec::new();
        self.scheduler.handle(now, input, &mut said);
        for output in said {
            out.push(match output {
                fetch::Output::Request { peer, from, to } => {
                    let keys =
                        self.blocks.range(from..=to).filter_map(|(key, block)| Some((block.hash()?, *key)));
                    let keys = keys.collect();
                    self.asked.get_mut(&peer).expect("who is asked has joined").push_back(keys);
                    let message = Message::Range { from: self.blocks[&from], to: self.blocks[&to] };
                    Output::Send { peer, message }
                }
                fetch::Output::Evict { peer } => Output::Evict { peer },
            });
        }
    }
}
