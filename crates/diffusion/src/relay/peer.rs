//! What is known of one peer: what it gives, what it gets, and what the link takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chain::Hash;

use super::slots::Slot;
use super::{Config, Kind, MAX_OFFERS, MAX_WANTED, Message, Name, Output, PeerStatus};

/// What a message costs of the link's window besides its body: its head, and the link's flat charge.
pub(super) const OVERHEAD_BYTES: u64 = 9 + 64;

/// An answer that it owes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    /// The size that it declared.
    pub(super) size: u32,
    /// When its lease ends.
    pub(super) until: Duration,
    /// Whether it did.
    pub(super) lapsed: bool,
}

/// One connected peer.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) slot: Slot,
    pub(super) room: u64,
    /// How many more offers it lets us send.
    pub(super) may_offer: u32,
    /// It was offered all that the pool has before this place, as far as it lacked it.
    pub(super) cursor: u64,
    /// When it is offered what is new.
    pub(super) offer_at: Option<Duration>,
    /// What it wants and will get, the first first.
    pub(super) serve: VecDeque<Name>,
    /// What it wants and will not get.
    pub(super) noes: Vec<Name>,
    /// How many more offers we let it send.
    pub(super) granted: u32,
    /// What it offers and is not here, with the size that it declares.
    pub(super) offers: BTreeMap<Name, u32>,
    /// Of these, what it may be asked for now, the oldest first.
    pub(super) ready: BTreeSet<(Kind, u64, Hash)>,
    pub(super) owed: BTreeMap<Name, Owed>,
    pub(super) owed_bytes: usize,
    pub(super) overdue: usize,
    /// Up to when its wrong items are paid for.
    paid: Duration,
    pub(super) status: PeerStatus,
}

impl Peer {
    pub(super) fn new(slot: Slot, room: u64) -> Self {
        Self {
            slot,
            room,
            may_offer: 0,
            cursor: 0,
            offer_at: None,
            serve: VecDeque::new(),
            noes: Vec::new(),
            granted: 0,
            offers: BTreeMap::new(),
            ready: BTreeSet::new(),
            owed: BTreeMap::new(),
            owed_bytes: 0,
            overdue: 0,
            paid: Duration::ZERO,
            status: PeerStatus::default(),
        }
    }

    /// Sends it a message, where the link takes it.
    pub(super) fn send<P>(&mut self, peer: P, message: Message, out: &mut Vec<Output<P>>) -> bool {
        let left = self.room.checked_sub(message.max_bytes() + OVERHEAD_BYTES);
        if let Some(left) = left {
            self.room = left;
            out.push(Output::Send { peer, message });
        }
        left.is_some()
    }

    /// How many offers it may be sent now.
    pub(super) fn offer_room(&self) -> usize {
        let each = Message::max_bytes_of_offers(MAX_OFFERS) + OVERHEAD_BYTES;
        let whole = (self.room / each) as usize * MAX_OFFERS;
        let rest = (self.room % each).saturating_sub(Message::max_bytes_of_offers(0) + OVERHEAD_BYTES);
        let one = Message::max_bytes_of_offers(1) - Message::max_bytes_of_offers(0);
        (whole + (rest / one) as usize).min(self.may_offer as usize)
    }

    /// Whether it may be asked for one more item, beside so many that go out in the same message.
    pub(super) fn may_be_asked(&self, config: &Config, asking: usize) -> bool {
        let brought = usize::try_from(self.status.useful).unwrap_or(usize::MAX);
        let most = config.first_ids.get().saturating_add(brought).min(config.asked_ids.get()).min(MAX_WANTED);
        let bytes = Message::max_bytes_of_names(asking + 1) + OVERHEAD_BYTES;
        self.overdue == 0 && self.owed.len() < most && self.room >= bytes
    }

    /// Whether an item of this size may be under way from it beside the others.
    pub(super) fn may_bring(&self, config: &Config, size: u32) -> bool {
        self.owed.is_empty() || self.owed_bytes + size as usize <= config.asked_bytes
    }

    pub(super) fn owe(&mut self, name: Name, size: u32, until: Duration) {
        self.owed_bytes += size as usize;
        let before = self.owed.insert(name, Owed { size, until, lapsed: false });
        assert!(before.is_none(), "nobody is asked twice before it answered");
    }

    /// It answered.
    pub(super) fn settle(&mut self, name: &Name) -> Option<Owed> {
        let owed = self.owed.remove(name)?;
        self.owed_bytes -= owed.size as usize;
        self.overdue -= usize::from(owed.lapsed);
        Some(owed)
    }

    /// The lease of an answer that it owes ran out.
    pub(super) fn lapse(&mut self, name: &Name) {
        self.owed.get_mut(name).expect("a lease is of what is owed").lapsed = true;
        self.overdue += 1;
        self.status.lapses += 1;
    }

    /// It brought a wrong item; true where these are too many.
    pub(super) fn wrong(&mut self, now: Duration, config: &Config) -> bool {
        self.status.wrong += 1;
        self.paid = self.paid.max(now);
        let many = self.paid - now >= config.bad_pace * config.bad_burst;
        if !many {
            self.paid += config.bad_pace;
        }
        many
    }

    /// Asks it for more offers, as soon as there is a place for a quarter of what may be open.
    pub(super) fn grant<P>(&mut self, config: &Config, peer: P, out: &mut Vec<Output<P>>) {
        let max = config.open_offers.min(super::MAX_MORE);
        let open = self.offers.len() as u32 + self.granted;
        let offers = max.saturating_sub(open);
        if offers > 0 && offers >= max / 4 && self.send(peer, Message::More { offers }, out) {
            self.granted += offers;
        }
    }

    /// Tells it what it will not get.
    pub(super) fn refuse<P: Copy>(&mut self, peer: P, out: &mut Vec<Output<P>>) {
        if !self.noes.is_empty() && self.send(peer, Message::No(self.noes.clone()), out) {
            self.noes = Vec::new();
        }
    }

    pub(super) fn status(&self) -> PeerStatus {
        let (offers, asked) = (self.offers.len(), self.owed.len());
        PeerStatus { offers, asked, overdue: self.overdue, ..self.status }
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self, config: &Config) {
        let open = self.offers.len() + self.granted as usize;
        assert!(open <= config.open_offers.min(super::MAX_MORE) as usize, "open offers are bounded");
        assert!(self.serve.len() + self.noes.len() <= MAX_WANTED, "what it waits for is bounded");
        assert!(self.owed.len() <= config.asked_ids.get().min(MAX_WANTED), "what it owes is bounded");
        let bytes: usize = self.owed.values().map(|owed| owed.size as usize).sum();
        assert_eq!(bytes, self.owed_bytes, "what it owes is counted");
        assert!(bytes <= config.asked_bytes || self.owed.len() == 1, "what it owes is bounded in bytes");
        assert_eq!(self.owed.values().filter(|owed| owed.lapsed).count(), self.overdue, "lapses are counted");
        assert!(self.ready.len() <= self.offers.len(), "only what it offers is asked for");
    }
}
