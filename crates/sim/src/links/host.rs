//! A peer: who it is, what memory it has, and what it was told and has not taken.

use std::collections::BTreeMap;

use bytes::Bytes;
use link::budget::{Budget, Charge};
use link::channel;
use link::{Identity, Protocol};

use super::check::ConnectionId;
use super::config::Behaviour;

/// One of the peers.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) behaviour: Behaviour,
    pub(super) identity: Identity,
    pub(super) budget: Budget,
    /// What was delivered and not taken, by number.
    held: BTreeMap<u64, Held>,
    /// The bytes of its bodies.
    held_bytes: u64,
    /// What it takes of the windows of channels.
    untaken: BTreeMap<(ConnectionId, Protocol), u64>,
    next: u64,
}

/// A message that the application has not taken.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: ConnectionId,
    pub(super) channel: Protocol,
    pub(super) body: Bytes,
    /// What it holds of the budget.
    pub(super) _charge: Option<Charge>,
}

impl Held {
    /// What it takes of its channel's window.
    pub(super) fn cost(&self) -> u32 {
        u32::try_from(channel::cost(self.body.len() as u32)).expect("a message is short")
    }
}

impl Host {
    pub(super) fn new(behaviour: Behaviour, identity: Identity, budget_bytes: u64) -> Self {
        let budget = Budget::new(budget_bytes);
        let (held, untaken) = (BTreeMap::new(), BTreeMap::new());
        Self { behaviour, identity, budget, held, held_bytes: 0, untaken, next: 0 }
    }

    /// Keeps a message until it is taken; its number.
    pub(super) fn hold(&mut self, held: Held) -> u64 {
        self.next += 1;
        self.held_bytes += held.body.len() as u64;
        *self.untaken.entry((held.connection, held.channel)).or_default() += u64::from(held.cost());
        self.held.insert(self.next, held);
        self.next
    }

    /// Takes a message.
    pub(super) fn take(&mut self, number: u64) -> Held {
        let held = self.held.remove(&number).expect("each message is taken once");
        self.held_bytes -= held.body.len() as u64;
        let place = (held.connection, held.channel);
        let untaken = self.untaken.get_mut(&place).expect("it was counted");
        *untaken -= u64::from(held.cost());
        if *untaken == 0 {
            self.untaken.remove(&place);
        }
        held
    }

    /// How many bytes of bodies it holds.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// How many messages it holds.
    pub(super) fn held_messages(&self) -> usize {
        self.held.len()
    }

    /// What it holds of one channel, as its window counts it.
    pub(super) fn untaken_bytes(&self, connection: ConnectionId, channel: Protocol) -> u64 {
        self.untaken.get(&(connection, channel)).copied().unwrap_or(0)
    }
}
