//! Packets that came by: so that each is passed on once per attempt, delivered once, and its receipts find the way back.
//!
//! Bounded in bytes; the oldest are forgotten first. What is forgotten and comes again would be passed on again, but
//! not for ever: packets older than the window are taken by nobody.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chain::Hash;

use super::Ticket;
use super::claim::Signature;
use super::message::{How, MAX_ATTEMPTS, Packet, Places};
use crate::sync::bodies::Producer;

/// How many neighbours are remembered from whom a packet came; receipts go back to these. A guess: twice the usual
/// number of neighbours.
const MAX_GIVERS: usize = 16;

/// What an entry takes beside its lists: its own size, its place in two indexes, and some air.
const ENTRY_BYTES: usize = 512;

/// How far a packet is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody looks at it.
    Judging,
    /// It is passed on.
    Passed,
    /// It is not, and nobody is to blame.
    Ignored,
    /// It is bad.
    Rejected,
}

/// Our own receipt for a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Receipt {
    /// It is not for us.
    None,
    /// It is being signed.
    Asked,
    /// There it is.
    Signed(Signature),
}

/// A neighbour from whom a packet came.
#[derive(Debug, Clone)]
struct Giver<P> {
    peer: P,
    /// The attempts that came, one bit each.
    attempts: u8,
    /// The recipients whose receipts it was sent.
    told: Places,
}

/// One packet.
#[derive(Debug, Clone)]
pub(super) struct Entry<P> {
    pub(super) standing: Standing,
    pub(super) to: Box<[Producer]>,
    /// Where it is our own.
    pub(super) own: Option<Ticket>,
    pub(super) delivered: bool,
    pub(super) receipt: Receipt,
    /// Who has it for certain.
    pub(super) confirmed: Places,
    since: Duration,
    routed: [Places; MAX_ATTEMPTS as usize],
    flooded: u8,
    givers: Vec<Giver<P>>,
}

impl<P: Copy + Ord> Entry<P> {
    pub(super) fn new(now: Duration, packet: &Packet, standing: Standing, own: Option<Ticket>) -> Self {
        Self {
            standing,
            to: packet.to().into(),
            own,
            delivered: false,
            receipt: Receipt::None,
            confirmed: Places::default(),
            since: now,
            routed: Default::default(),
            flooded: 0,
            givers: Vec::new(),
        }
    }

    /// What it takes of the memory, at most.
    fn bytes(&self) -> usize {
        ENTRY_BYTES + size_of_val(&*self.to) + MAX_GIVERS * size_of::<Giver<P>>()
    }

    /// A producer's place among the recipients.
    pub(super) fn place(&self, producer: &Producer) -> Option<u8> {
        self.to.binary_search(producer).ok().map(|place| place as u8)
    }

    /// A copy came from a neighbour: receipts go back to it, again for each attempt.
    pub(super) fn came_from(&mut self, peer: P, how: How) {
        let attempt = 1 << how.attempt();
        if let Some(giver) = self.givers.iter_mut().find(|giver| giver.peer == peer) {
            if giver.attempts & attempt == 0 {
                giver.attempts |= attempt;
                giver.told = Places::default();
            }
        } else if self.givers.len() < MAX_GIVERS {
            self.givers.push(Giver { peer, attempts: attempt, told: Places::default() });
        }
    }

    /// Those who wait for a recipient's receipt; they count as told now.
    pub(super) fn take_untold(&mut self, place: u8) -> Vec<P> {
        let untold = self.givers.iter_mut().filter(|giver| !giver.told.contains(place));
        untold
            .map(|giver| {
                giver.told.insert(place);
                giver.peer
            })
            .collect()
    }

    /// Whether anybody but `peer` waits for a recipient's receipt.
    pub(super) fn is_awaited(&self, place: u8, peer: P) -> bool {
        self.givers.iter().any(|giver| giver.peer != peer && !giver.told.contains(place))
    }

    /// Who brought a recipient's receipt need not be told.
    pub(super) fn knows(&mut self, peer: P, place: u8) {
        if let Some(giver) = self.givers.iter_mut().find(|giver| giver.peer == peer) {
            giver.told.insert(place);
        }
    }

    /// Of the recipients that a routed copy is for, those to whom this attempt was not passed on yet.
    pub(super) fn take_duty(&mut self, attempt: u8, duty: Places) -> Places {
        let done = &mut self.routed[usize::from(attempt)];
        let fresh = duty.minus(*done);
        done.0 |= duty.0;
        fresh
    }

    /// Whether this attempt did not go everywhere from here yet; it counts as gone now.
    pub(super) fn take_flood(&mut self, attempt: u8) -> bool {
        let fresh = self.flooded >> attempt & 1 == 0;
        self.flooded |= 1 << attempt;
        fresh
    }
}

/// All packets that are remembered.
#[derive(Debug)]
pub(super) struct Seen<P> {
    entries: BTreeMap<Hash, Entry<P>>,
    order: VecDeque<Hash>,
    bytes: usize,
}

impl<P: Copy + Ord> Seen<P> {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, id: &Hash) -> Option<&Entry<P>> {
        self.entries.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &Hash) -> Option<&mut Entry<P>> {
        self.entries.get_mut(id)
    }

    /// Remembers a packet, at the cost of the oldest, and of those that nobody takes any more.
    pub(super) fn insert(&mut self, id: Hash, entry: Entry<P>, max_bytes: usize, life: Duration) {
        let now = entry.since;
        while let Some(oldest) = self.order.front()
            && (self.bytes + entry.bytes() > max_bytes || self.entries[oldest].since + life < now)
        {
            let oldest = self.order.pop_front().expect("it was there");
            let gone = self.entries.remove(&oldest).expect("what is in order is there");
            self.bytes -= gone.bytes();
        }
        self.bytes += entry.bytes();
        let before = self.entries.insert(id, entry);
        assert!(before.is_none(), "a packet is remembered once");
        self.order.push_back(id);
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self, max_bytes: usize) {
        assert_eq!(self.entries.len(), self.order.len(), "each packet has its place");
        assert_eq!(self.bytes, self.entries.values().map(Entry::bytes).sum::<usize>(), "bytes are counted");
        assert!(self.bytes <= max_bytes || self.entries.len() == 1, "memory is bounded");
    }
}
