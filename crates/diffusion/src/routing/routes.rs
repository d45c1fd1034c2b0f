//! The machine's part that keeps routes: links and producers that come and go, claims, questions for newer ones.

use std::collections::BTreeSet;
use std::time::Duration;

use super::destination::{Destination, Distance, Heard};
use super::message::{MAX_HOPS, MAX_RECIPIENTS, Message, Route};
use super::neighbour::Neighbour;
use super::origin::Origin;
use super::state::{Check, State};
use super::{Output, Signature, Time, Violation};
use crate::sync::bodies::Producer;

/// How many of those who are no producers any more are remembered. A guess: years of changes.
pub(super) const MAX_RETIRED: usize = 1_024;

impl<P: Copy + Ord> State<P> {
    pub(super) fn on_producers(&mut self, now: Time, all: Vec<Producer>, me: Option<Producer>) {
        let before = self.me.as_ref().map(|me| me.producer);
        if before != me {
            let bound = self.me.as_ref().and_then(Origin::claim).map(|(seq, _)| Distance { seq, metric: 0 });
            before.zip(bound).into_iter().for_each(|(producer, bound)| self.keep_bound(producer, bound));
            self.me = me.map(|producer| Origin::new(now, producer));
        }
        let others: BTreeSet<Producer> =
            all.into_iter().filter(|producer| Some(*producer) != me).take(MAX_RECIPIENTS).collect();
        let gone: Vec<Producer> =
            self.destinations.keys().filter(|producer| !others.contains(producer)).copied().collect();
        for producer in gone {
            self.retire(producer);
        }
        self.mark(before.into_iter().chain(me));
        for producer in others {
            if !self.destinations.contains_key(&producer) {
                let bound = self.retired.remove(&producer);
                self.destinations.insert(producer, Destination::new(bound));
                // Neighbours may have told of it before it meant anything to us.
                self.ask_all(producer, None, 0, None);
            }
        }
    }

    /// A producer is none any more. Its bound stays: were it taken back, old offers could close a loop.
    fn retire(&mut self, producer: Producer) {
        let bound = self.destinations.remove(&producer).and_then(|gone| gone.bound());
        self.mark([producer]);
        if let Some(bound) = bound {
            self.keep_bound(producer, bound);
        }
    }

    fn keep_bound(&mut self, producer: Producer, bound: Distance) {
        if self.retired.len() >= MAX_RETIRED {
            let oldest = self.retired.iter().min_by_key(|(_, bound)| bound.seq).map(|(oldest, _)| *oldest);
            oldest.map(|oldest| self.retired.remove(&oldest));
        }
        self.retired.insert(producer, bound);
    }

    pub(super) fn on_joined(&mut self, now: Time, peer: P, rtt: Option<Duration>, room: u64) {
        let before = self.neighbours.insert(peer, Neighbour::new(rtt, room));
        assert!(before.is_none(), "a peer has one link");
        let producers: Vec<Producer> = self.destinations.keys().copied().collect();
        let me = self.me.as_ref().map(|me| me.producer);
        let neighbour = self.neighbours.get_mut(&peer).expect("it has just come");
        producers.iter().copied().chain(me).for_each(|producer| neighbour.mark(producer));
        for producer in producers {
            self.destinations.get_mut(&producer).expect("it is known").hope();
            self.choose(now, producer);
        }
    }

    pub(super) fn on_left(&mut self, now: Time, peer: P) {
        if self.neighbours.remove(&peer).is_none() {
            return;
        }
        let producers: Vec<Producer> = self.destinations.keys().copied().collect();
        for producer in producers {
            self.destinations.get_mut(&producer).expect("it is known").lost(peer);
            self.choose(now, producer);
        }
        self.forsake(now, peer);
    }

    pub(super) fn on_rtt(&mut self, now: Time, peer: P, rtt: Duration) {
        if self.neighbours.get_mut(&peer).is_some_and(|neighbour| neighbour.on_rtt(rtt)) {
            let producers: Vec<Producer> = self.destinations.keys().copied().collect();
            producers.into_iter().for_each(|producer| self.choose(now, producer));
        }
    }

    pub(super) fn on_routes(&mut self, now: Time, peer: P, routes: Vec<Route>, out: &mut Vec<Output<P>>) {
        for route in routes {
            match route {
                Route::Lost { producer } => {
                    if let Some(destination) = self.destinations.get_mut(&producer) {
                        destination.lost(peer);
                        self.choose(now, producer);
                    }
                }
                Route::Reach { producer, seq, metric, signature } => {
                    self.on_reach(now, peer, producer, Distance { seq, metric }, signature, out);
                }
            }
        }
    }

    fn on_reach(
        &mut self,
        now: Time,
        peer: P,
        producer: Producer,
        distance: Distance,
        signature: Signature,
        out: &mut Vec<Output<P>>,
    ) {
        if let Some(me) = &self.me
            && me.producer == producer
        {
            self.on_own(peer, distance.seq, signature, out);
            return;
        }
        // Another node may know of producers earlier than we do, or later.
        let Some(destination) = self.destinations.get_mut(&producer) else {
            return;
        };
        let check = Check::Route { peer, producer, seq: distance.seq, signature };
        if destination.heard(peer, distance, &signature) == Heard::Check && !self.check(peer, check, out) {
            self.destinations.get_mut(&producer).expect("it is known").lost(peer);
        }
        self.choose(now, producer);
    }

    /// A claim of our own comes back to us. One that is newer than ours we did not make, if it is ours at all.
    fn on_own(&mut self, peer: P, seq: u64, signature: Signature, out: &mut Vec<Output<P>>) {
        if let Some(me) = &self.me
            && me.is_elsewhere(seq)
        {
            let producer = me.producer;
            self.check(peer, Check::Own { peer, producer, seq, signature }, out);
        }
    }

    /// Nobody is blamed for one that is not ours: questions are passed on as they come.
    pub(super) fn on_own_checked(&mut self, now: Time, producer: Producer, seq: u64, genuine: bool) {
        if let Some(me) = &mut self.me
            && me.producer == producer
            && genuine
            && me.is_elsewhere(seq)
        {
            me.learn(now, seq, &self.config);
            self.counts.claims_elsewhere += 1;
        }
    }

    pub(super) fn on_route_checked(
        &mut self,
        now: Time,
        producer: Producer,
        seq: u64,
        signature: &Signature,
        genuine: bool,
        out: &mut Vec<Output<P>>,
    ) {
        if let Some(destination) = self.destinations.get_mut(&producer) {
            let forgers = destination.checked(now.mono, seq, signature, genuine);
            let violation = Violation::ForgedRoute { producer };
            out.extend(forgers.into_iter().map(|peer| Output::Misbehaved { peer, violation }));
            self.choose(now, producer);
        }
    }

    pub(super) fn on_claim_signed(&mut self, producer: Producer, seq: u64, signature: Signature) {
        if let Some(me) = &mut self.me
            && me.producer == producer
            && me.signed(seq, signature)
        {
            self.mark([producer]);
        }
    }

    /// Somebody needs a newer claim of a producer than it has.
    pub(super) fn on_ask(
        &mut self,
        now: Time,
        peer: P,
        producer: Producer,
        known: Option<(u64, Signature)>,
        hops: u8,
        out: &mut Vec<Output<P>>,
    ) {
        if let Some(me) = &mut self.me
            && me.producer == producer
        {
            match known {
                Some((seq, signature)) if me.is_elsewhere(seq) => self.on_own(peer, seq, signature, out),
                Some((seq, _)) if me.asked(now, seq, &self.config) => {}
                _ => self.repeat(peer, producer),
            }
            return;
        }
        let Some(destination) = self.destinations.get_mut(&producer) else {
            return;
        };
        let newer = |distance: &Distance| known.is_none_or(|(seq, _)| distance.seq > seq);
        if destination.chosen().is_some_and(|chosen| chosen.via != peer && newer(&chosen.distance)) {
            self.repeat(peer, producer);
        } else if let Some(hops) = hops.checked_sub(1)
            && destination.may_pass_ask(now.mono, &self.config)
        {
            self.ask_all(producer, known, hops, Some(peer));
        }
    }

    /// Chooses the route to a producer again, tells of it, and asks for a newer claim where there is none.
    pub(super) fn choose(&mut self, now: Time, producer: Producer) {
        let Some(destination) = self.destinations.get_mut(&producer) else {
            return;
        };
        let cost = |peer: &P| self.neighbours.get(peer).map(Neighbour::cost);
        let changed = destination.choose(now.mono, &self.config, cost);
        let ask = destination.ask(now.mono, &self.config);
        if changed {
            self.mark([producer]);
        }
        if ask.is_some() {
            self.ask_all(producer, ask, MAX_HOPS, None);
        }
    }

    fn ask_all(&mut self, producer: Producer, known: Option<(u64, Signature)>, hops: u8, except: Option<P>) {
        let peers: Vec<P> = self.neighbours.keys().filter(|peer| Some(**peer) != except).copied().collect();
        for peer in peers {
            self.post(peer, Message::Ask { producer, known, hops });
        }
    }

    fn mark(&mut self, producers: impl IntoIterator<Item = Producer>) {
        for producer in producers {
            self.neighbours.values_mut().for_each(|neighbour| neighbour.mark(producer));
        }
    }

    fn repeat(&mut self, peer: P, producer: Producer) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.repeat(producer);
        }
    }
}
