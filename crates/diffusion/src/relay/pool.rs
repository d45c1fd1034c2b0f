//! The pool: what was accepted, in the order in which it came and in the order in which it is offered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chain::Hash;

use super::slots::{Slot, Slots};
use super::{Config, Kind, Name};
use crate::cbor;

/// What is kept of an item of our own.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    offered: Slots,
    requested: Slots,
    /// The same of peers that have left.
    offered_before: u32,
    requested_before: u32,
    /// Somebody offered it to us.
    pub(super) seen_back: bool,
    /// How long after an offer it is offered again.
    pause: Duration,
    /// When it is offered again.
    again: Option<Duration>,
}

/// A pooled item.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) bytes: Bytes,
    order: u64,
    /// Its place among what is offered; another one when it is offered again.
    offer: u64,
    expires: Duration,
    /// Who offered it to us.
    pub(super) known: Slots,
    /// Who was sent it since it was offered last.
    pub(super) served: Slots,
    pub(super) own: Option<Box<Own>>,
}

/// What was accepted.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    entries: BTreeMap<Name, Entry>,
    oldest: BTreeSet<(Kind, u64, Hash)>,
    offers: BTreeMap<u64, Name>,
    expiring: BTreeSet<(Duration, Name)>,
    again: BTreeSet<(Duration, Name)>,
    bytes: usize,
    next: u64,
}

impl Own {
    pub(super) fn new(seen_back: bool) -> Self {
        Self { seen_back, ..Self::default() }
    }

    pub(super) fn offered(&self) -> u32 {
        self.offered_before + self.offered.count()
    }

    pub(super) fn requested(&self) -> u32 {
        self.requested_before + self.requested.count()
    }

    fn forget(&mut self, slot: Slot) {
        self.offered_before += u32::from(self.offered.remove(slot));
        self.requested_before += u32::from(self.requested.remove(slot));
    }
}

impl Pool {
    pub(super) fn get(&self, name: &Name) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes an item in; `known` are those who offered it.
    pub(super) fn insert(
        &mut self,
        now: Duration,
        config: &Config,
        name: Name,
        bytes: Bytes,
        known: Slots,
        mut own: Option<Box<Own>>,
    ) {
        let expires = now.saturating_add(config.kinds[&name.kind].lifetime);
        if let Some(own) = own.as_mut().filter(|own| !own.seen_back) {
            own.pause = config.reoffer_first;
            own.again = Some(now + own.pause);
            self.again.insert((now + own.pause, name));
        }
        let order = self.next;
        self.next += 1;
        self.bytes += bytes.len();
        self.oldest.insert((name.kind, order, name.id));
        self.offers.insert(order, name);
        self.expiring.insert((expires, name));
        let served = Slots::default();
        let entry = Entry { bytes, order, offer: order, expires, known, served, own };
        assert!(self.entries.insert(name, entry).is_none(), "an item is pooled once");
    }

    pub(super) fn remove(&mut self, name: &Name) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.bytes -= entry.bytes.len();
        self.oldest.remove(&(name.kind, entry.order, name.id));
        self.offers.remove(&entry.offer);
        self.expiring.remove(&(entry.expires, *name));
        if let Some(again) = entry.own.as_ref().and_then(|own| own.again) {
            self.again.remove(&(again, *name));
        }
        Some(entry)
    }

    /// A peer offers what is here: it is not offered back, and where it is our own, it has arrived. False where it is
    /// not here.
    pub(super) fn on_offered(&mut self, name: &Name, slot: Slot) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return false };
        entry.known.insert(slot);
        if let Some(own) = &mut entry.own {
            own.seen_back = true;
            if let Some(again) = own.again.take() {
                self.again.remove(&(again, *name));
            }
        }
        true
    }

    /// Whether a peer may be sent an item: it is here, and was not sent to it since it was offered last.
    pub(super) fn can_serve(&self, name: &Name, slot: Slot) -> bool {
        self.entries.get(name).is_some_and(|entry| !entry.served.contains(slot))
    }

    /// A peer is sent an item.
    pub(super) fn on_served(&mut self, name: &Name, slot: Slot) {
        let entry = self.entries.get_mut(name).expect("what is sent is here");
        entry.served.insert(slot);
        if let Some(own) = &mut entry.own {
            own.requested.insert(slot);
        }
    }

    /// Whether there is something from this place on.
    pub(super) fn has_news(&self, cursor: u64) -> bool {
        self.offers.last_key_value().is_some_and(|(last, _)| *last >= cursor)
    }

    /// What a peer lacks from its place on, at most so much, with its sizes; moves the place.
    pub(super) fn take_news(&mut self, cursor: &mut u64, slot: Slot, max: usize) -> Vec<(Name, u32)> {
        let mut news = Vec::new();
        for (place, name) in self.offers.range(*cursor..) {
            if news.len() == max {
                break;
            }
            *cursor = place + 1;
            let entry = self.entries.get_mut(name).expect("what is offered is here");
            if entry.known.contains(slot) || entry.served.contains(slot) {
                continue;
            }
            if let Some(own) = &mut entry.own {
                own.offered.insert(slot);
            }
            news.push((*name, entry.bytes.len() as u32));
        }
        news
    }

    /// Offers again what nobody offered back.
    pub(super) fn offer_again(&mut self, now: Duration, config: &Config) {
        while let Some(&(due, name)) = self.again.first().filter(|(due, _)| *due <= now) {
            self.again.remove(&(due, name));
            let entry = self.entries.get_mut(&name).expect("what is offered again is here");
            self.offers.remove(&entry.offer);
            entry.offer = self.next;
            entry.served = Slots::default();
            self.offers.insert(self.next, name);
            self.next += 1;
            let own = entry.own.as_mut().expect("only our own is offered again");
            own.pause = own.pause.saturating_mul(2).min(config.reoffer_max);
            own.again = Some(now + own.pause);
            self.again.insert((now + own.pause, name));
        }
    }

    /// What was here for as long as it may be.
    pub(super) fn expired(&self, now: Duration) -> Option<Name> {
        self.expiring.first().filter(|(due, _)| *due <= now).map(|(_, name)| *name)
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let first = |due: &BTreeSet<(Duration, Name)>| due.first().map(|(due, _)| *due);
        first(&self.expiring).into_iter().chain(first(&self.again)).min()
    }

    /// The oldest of a kind, these left out, that fit together into so many bytes, each as a CBOR byte string. What does
    /// not fit is passed over.
    pub(super) fn candidates(
        &self,
        kind: Kind,
        max_bytes: u64,
        except: &BTreeSet<Hash>,
    ) -> Vec<(Hash, Bytes)> {
        let mut left = max_bytes;
        let mut found = Vec::new();
        for id in self.of_kind(kind).filter(|id| !except.contains(id)) {
            // Nothing is shorter than a head and a byte.
            if left < 2 {
                break;
            }
            let bytes = &self.entries[&Name { kind, id: *id }].bytes;
            let length = bytes.len() as u64;
            if let Some(rest) = left.checked_sub(length + cbor::head_bytes(length) as u64) {
                left = rest;
                found.push((*id, bytes.clone()));
            }
        }
        found
    }

    pub(super) fn has_other(&self, kind: Kind, than: &BTreeSet<Hash>) -> bool {
        self.of_kind(kind).any(|id| !than.contains(id))
    }

    /// Those of a kind, oldest first.
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Hash> {
        let all = self.oldest.range((kind, 0, Hash([0; 32]))..);
        all.take_while(move |(other, ..)| *other == kind).map(|(.., id)| id)
    }

    /// A peer has left.
    pub(super) fn forget(&mut self, slot: Slot) {
        for entry in self.entries.values_mut() {
            entry.known.remove(slot);
            entry.served.remove(slot);
            if let Some(own) = &mut entry.own {
                own.forget(slot);
            }
        }
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self, slots: &Slots) {
        let count = self.entries.len();
        assert_eq!(
            [self.oldest.len(), self.offers.len(), self.expiring.len()],
            [count; 3],
            "each is in order"
        );
        assert_eq!(self.bytes, self.entries.values().map(|entry| entry.bytes.len()).sum::<usize>());
        let again = |entry: &Entry| entry.own.as_ref().is_some_and(|own| own.again.is_some());
        assert_eq!(self.again.len(), self.entries.values().filter(|entry| again(entry)).count());
        for (name, entry) in &self.entries {
            assert_eq!(self.offers.get(&entry.offer), Some(name), "its place is its own");
            assert!(entry.known.is_within(slots) && entry.served.is_within(slots), "who left is forgotten");
            let own = entry.own.as_ref();
            assert!(own.is_none_or(|own| own.seen_back != own.again.is_some()), "ours is offered until seen");
        }
    }

    /// What is in it.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&Name, usize)> {
        self.entries.iter().map(|(name, entry)| (name, entry.bytes.len()))
    }
}
