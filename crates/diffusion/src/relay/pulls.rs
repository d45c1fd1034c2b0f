//! The machine's part that gets items: what is offered and not here, who is asked for it, what comes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use bytes::Bytes;
use chain::Hash;

use super::peer::{Owed, Peer};
use super::slots::Slots;
use super::state::State;
use super::{Kind, Message, Name, Offer, Output, Violation};

/// An item that was offered and is not here.
#[derive(Debug, Clone)]
pub(super) struct Want<P> {
    /// The first offered, the first asked for.
    order: u64,
    offerers: BTreeSet<P>,
    /// Who is waited for, and the size that it declared.
    pub(super) now: Option<(P, u32)>,
}

impl<P: Copy + Ord> State<P> {
    pub(super) fn on_offer(&mut self, now: Duration, peer: P, offers: Vec<Offer>, out: &mut Vec<Output<P>>) {
        for Offer { name, size } in offers {
            let known = self.peers.get_mut(&peer).expect("it is there");
            let Some(left) = known.granted.checked_sub(1) else {
                out.push(Output::Misbehaved { peer, violation: Violation::UngrantedOffers });
                return;
            };
            known.granted = left;
            self.on_one_offer(now, peer, name, size);
        }
    }

    fn on_one_offer(&mut self, now: Duration, peer: P, name: Name, size: u32) {
        let slot = self.peers[&peer].slot;
        let Some(rules) = self.config.kinds.get(&name.kind) else {
            self.counts.strange += 1;
            return;
        };
        if size as usize > rules.max_item_bytes {
            self.counts.too_large += 1;
            return;
        }
        if self.pool.on_offered(&name, slot)
            || self.is_judged_already(&name, slot)
            || self.is_past(now, &name)
        {
            return;
        }
        let known = self.peers.get_mut(&peer).expect("it is there");
        if known.offers.contains_key(&name) {
            return;
        }
        known.offers.insert(name, size);
        let next = &mut self.next_want;
        let want = self.wants.entry(name).or_insert_with(|| {
            *next += 1;
            Want { order: *next, offerers: BTreeSet::new(), now: None }
        });
        want.offerers.insert(peer);
        if want.now.is_none() && !known.owed.contains_key(&name) {
            known.ready.insert((name.kind, want.order, name.id));
        }
    }

    /// Asks for what may be asked for: one item of each peer in turn, so that none fills all places.
    pub(super) fn pull(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        if !self.pulling {
            return;
        }
        let from = self.turn.map_or(Unbounded, Excluded);
        let behind = self.peers.range((from, Unbounded));
        let before = self.peers.range(..).take_while(|(id, _)| self.turn.is_some_and(|turn| **id <= turn));
        let able = behind.chain(before).filter(|(_, peer)| !peer.ready.is_empty());
        let mut turns: Vec<P> = able.map(|(id, _)| *id).collect();
        let mut asks: BTreeMap<P, Vec<Name>> = BTreeMap::new();
        while !turns.is_empty() {
            turns.retain(|&peer| {
                let asking = asks.get(&peer).map_or(0, Vec::len);
                let Some((name, size)) = self.choose(peer, asking) else { return false };
                self.ask(now, peer, name, size);
                asks.entry(peer).or_default().push(name);
                true
            });
        }
        for (id, names) in asks {
            let peer = self.peers.get_mut(&id).expect("it was asked");
            assert!(
                peer.send(id, Message::Want(names), out),
                "nothing is asked without room for the question"
            );
        }
    }

    /// What a peer is asked for next: the oldest of its offers whose kind has a place.
    fn choose(&self, id: P, asking: usize) -> Option<(Name, u32)> {
        let peer = &self.peers[&id];
        if !peer.may_be_asked(&self.config, asking) {
            return None;
        }
        let first = |kind: &Kind| {
            let mut of_kind = peer.ready.range((*kind, 0, Hash([0; 32]))..);
            let (_, order, id) = of_kind.next().filter(|(other, ..)| other == kind)?;
            let name = Name { kind: *kind, id: *id };
            let size = peer.offers[&name];
            let fits =
                self.books.has_room(&self.config, *kind, size as usize) && peer.may_bring(&self.config, size);
            fits.then_some((*order, name, size))
        };
        self.config.kinds.keys().filter_map(first).min().map(|(_, name, size)| (name, size))
    }

    fn ask(&mut self, now: Duration, id: P, name: Name, size: u32) {
        let want = self.wants.get_mut(&name).expect("what is ready is wanted");
        want.now = Some((id, size));
        for offerer in &want.offerers {
            let offerer = self.peers.get_mut(offerer).expect("who offers is there");
            offerer.ready.remove(&(name.kind, want.order, name.id));
        }
        let until = now.saturating_add(self.config.lease);
        self.peers.get_mut(&id).expect("it offers").owe(name, size, until);
        self.leases.insert((until, id, name));
        self.books.take(name.kind, size as usize);
        self.turn = Some(id);
        self.counts.asked += 1;
    }

    pub(super) fn on_data(
        &mut self,
        now: Duration,
        peer: P,
        kind: Kind,
        bytes: Bytes,
        out: &mut Vec<Output<P>>,
    ) {
        let name = Name::of(kind, &bytes);
        let Some(Owed { size, lapsed, .. }) = self.settle(peer, &name) else {
            out.push(Output::Misbehaved { peer, violation: Violation::UnaskedItem { name } });
            return;
        };
        self.counts.late += u64::from(lapsed);
        let known = self.peers.get_mut(&peer).expect("it answers");
        known.status.late += u64::from(lapsed);
        let slot = known.slot;
        if size as usize != bytes.len() {
            let violation = Violation::WrongSize { name, declared: size, found: bytes.len() };
            out.push(Output::Misbehaved { peer, violation });
            self.withdraw(peer, &name);
            return;
        }
        // It may be here by now: from another one after a lease, as our own, in a block.
        let Some(want) = self.wants.get(&name) else {
            self.counts.duplicates += 1;
            known.status.duplicates += 1;
            return;
        };
        if let Some((_, reserved)) = want.now {
            self.books.give_back(kind, reserved as usize);
        }
        if !self.books.has_room(&self.config, kind, bytes.len()) {
            // Only what comes after its lease has lost its place.
            if let Some((_, reserved)) = want.now {
                self.books.take(kind, reserved as usize);
            }
            self.counts.no_room += 1;
            self.withdraw(peer, &name);
            return;
        }
        known.status.useful += 1;
        self.books.take(kind, bytes.len());
        let mut offerers = self.resolve(&name);
        offerers.insert(slot);
        self.judge(now, name, bytes, Some(peer), offerers, None, out);
    }

    pub(super) fn on_no(&mut self, peer: P, names: Vec<Name>, out: &mut Vec<Output<P>>) {
        for name in names {
            if self.settle(peer, &name).is_none() {
                out.push(Output::Misbehaved { peer, violation: Violation::UnaskedRefusal { name } });
                return;
            }
            self.withdraw(peer, &name);
        }
    }

    /// A peer answers; what it owed for this.
    fn settle(&mut self, peer: P, name: &Name) -> Option<Owed> {
        let owed = self.peers.get_mut(&peer).expect("it is there").settle(name)?;
        self.leases.remove(&(owed.until, peer, *name));
        Some(owed)
    }

    /// A peer does not offer an item any more: it answered otherwise.
    fn withdraw(&mut self, peer: P, name: &Name) {
        let known = self.peers.get_mut(&peer).expect("it is there");
        if known.offers.remove(name).is_none() {
            return;
        }
        let want = self.wants.get_mut(name).expect("what is offered and not here is wanted");
        known.ready.remove(&(name.kind, want.order, name.id));
        want.offerers.remove(&peer);
        self.unask(peer, name);
    }

    /// An item is not waited for from this peer any more. Others may be asked; without any it is given up.
    fn unask(&mut self, peer: P, name: &Name) {
        let want = self.wants.get_mut(name).expect("it is wanted");
        if let Some((_, size)) = want.now.filter(|(waited, _)| *waited == peer) {
            want.now = None;
            self.books.give_back(name.kind, size as usize);
            for offerer in &want.offerers {
                let offerer = self.peers.get_mut(offerer).expect("who offers is there");
                if !offerer.owed.contains_key(name) {
                    offerer.ready.insert((name.kind, want.order, name.id));
                }
            }
        }
        if want.offerers.is_empty() {
            assert!(want.now.is_none(), "who is waited for offers it");
            self.wants.remove(name);
        }
    }

    /// An item is wanted no more; says who offered it. What is reserved for it is the caller's.
    pub(super) fn resolve(&mut self, name: &Name) -> Slots {
        let mut slots = Slots::default();
        let Some(want) = self.wants.remove(name) else { return slots };
        for offerer in want.offerers {
            let offerer = self.peers.get_mut(&offerer).expect("who offers is there");
            offerer.offers.remove(name);
            offerer.ready.remove(&(name.kind, want.order, name.id));
            slots.insert(offerer.slot);
        }
        slots
    }

    /// The same, with what is reserved for it.
    pub(super) fn unwant(&mut self, name: &Name) -> Slots {
        if let Some((_, size)) = self.wants.get(name).and_then(|want| want.now) {
            self.books.give_back(name.kind, size as usize);
        }
        self.resolve(name)
    }

    /// Leases that ran out: others are asked.
    pub(super) fn on_leases_due(&mut self, now: Duration) {
        while let Some(&(until, id, name)) = self.leases.first().filter(|(until, ..)| *until <= now) {
            self.leases.remove(&(until, id, name));
            self.counts.lapses += 1;
            self.peers.get_mut(&id).expect("who has a lease is there").lapse(&name);
            if self.wants.contains_key(&name) {
                self.unask(id, &name);
            }
        }
    }

    /// A peer has left, with all that it offered and owes.
    pub(super) fn forsake(&mut self, id: P, peer: &Peer) {
        for (name, owed) in &peer.owed {
            self.leases.remove(&(owed.until, id, *name));
        }
        for name in peer.offers.keys() {
            let want = self.wants.get_mut(name).expect("what is offered and not here is wanted");
            want.offerers.remove(&id);
            self.unask(id, name);
        }
    }

    pub(super) fn check_wants(&self) {
        for (name, want) in &self.wants {
            assert!(!want.offerers.is_empty(), "what nobody offers is not wanted");
            assert!(!self.judging.contains_key(name) && self.pool.get(name).is_none(), "what is here is not");
            if let Some((peer, _)) = want.now {
                let owed = self.peers[&peer].owed.get(name).expect("who is waited for was asked");
                assert!(!owed.lapsed && want.offerers.contains(&peer), "and its lease lasts");
            }
            for offerer in &want.offerers {
                let peer = &self.peers[offerer];
                assert!(peer.offers.contains_key(name), "an offer is known on both sides");
                let ready = peer.ready.contains(&(name.kind, want.order, name.id));
                assert_eq!(ready, want.now.is_none() && !peer.owed.contains_key(name), "who can be asked is");
            }
        }
        let offers: usize = self.peers.values().map(|peer| peer.offers.len()).sum();
        let offerers: usize = self.wants.values().map(|want| want.offerers.len()).sum();
        assert_eq!(offers, offerers, "an offer is known on both sides");
        let leases: usize = self.peers.values().map(|peer| peer.owed.len() - peer.overdue).sum();
        assert_eq!(self.leases.len(), leases, "leases are of what is owed");
    }
}
