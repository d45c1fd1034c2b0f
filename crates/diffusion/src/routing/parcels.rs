//! The machine's part that passes packets on: once looked at, along routes, or everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chain::Hash;

use super::message::{How, Message, Packet, Places};
use super::seen::{Entry, Standing};
use super::state::{Judging, State};
use super::watch::Watch;
use super::{Output, Time, Verdict, Violation};
use crate::sync::bodies::Producer;

/// How many copies of a packet that somebody looks at are remembered: each attempt from a few neighbours. A guess.
const MAX_COPIES: usize = 64;

/// What a packet takes besides its body while somebody looks at it, with the longest list of recipients.
pub(super) const JUDGING_BYTES: usize = 8 << 10;

impl<P: Copy + Ord> State<P> {
    pub(super) fn on_parcel(
        &mut self,
        now: Time,
        peer: P,
        packet: Arc<Packet>,
        how: How,
        out: &mut Vec<Output<P>>,
    ) {
        if !is_fresh(now, &packet, self.config.window) {
            self.counts.stale += 1;
            return;
        }
        let id = packet.id();
        if self.seen.get(&id).is_none() && !self.on_new(now, peer, &packet, out) {
            return;
        }
        let entry = self.seen.get_mut(&id).expect("it is remembered now");
        if entry.own.is_none() && !entry.to.is_empty() {
            entry.came_from(peer, how);
        }
        let standing = entry.standing;
        // It says that the packet came, whatever it is worth: otherwise a bad packet could make good hops suspect.
        self.give_receipt(id, out);
        match standing {
            Standing::Judging => {
                if let Some(judging) = self.judging.get_mut(&id)
                    && judging.copies.len() < MAX_COPIES
                {
                    judging.copies.push((peer, how));
                }
            }
            Standing::Passed => self.pass(now, Some(peer), &packet, how, out),
            Standing::Ignored => self.counts.duplicates += 1,
            Standing::Rejected => {
                out.push(Output::Misbehaved { peer, violation: Violation::BadPacket { id } });
            }
        }
    }

    /// A packet that was not seen before: has it looked at. False where there is no place for that.
    fn on_new(&mut self, now: Time, peer: P, packet: &Arc<Packet>, out: &mut Vec<Output<P>>) -> bool {
        let id = packet.id();
        let standing = if self.config.judge { Standing::Judging } else { Standing::Passed };
        if self.config.judge {
            let bytes = packet.body().len() + JUDGING_BYTES;
            if self.judging_bytes + bytes > self.config.judging_bytes || self.judging.contains_key(&id) {
                self.counts.unjudged += 1;
                return false;
            }
            self.judging_bytes += bytes;
            self.judging.insert(id, Judging { packet: packet.clone(), copies: Vec::new() });
            self.judging_until.push_back((now.mono + self.config.judge_timeout, id));
            out.push(Output::Judge { id, peer, body: packet.body().clone() });
        }
        self.remember(id, Entry::new(now.mono, packet, standing, None));
        true
    }

    pub(super) fn remember(&mut self, id: Hash, entry: Entry<P>) {
        // Twice the window: a packet from the future is fresh for that long.
        self.seen.insert(id, entry, self.config.seen_bytes, self.config.window * 2);
    }

    pub(super) fn on_judged(&mut self, now: Time, id: Hash, verdict: Verdict, out: &mut Vec<Output<P>>) {
        let Some(Judging { packet, copies }) = self.judging.remove(&id) else {
            return; // Too late.
        };
        self.judging_bytes -= packet.body().len() + JUDGING_BYTES;
        let Some(entry) = self.seen.get_mut(&id) else {
            return;
        };
        match verdict {
            Verdict::Accept => {
                entry.standing = Standing::Passed;
                copies.into_iter().for_each(|(peer, how)| self.pass(now, Some(peer), &packet, how, out));
            }
            Verdict::Ignore => entry.standing = Standing::Ignored,
            Verdict::Reject => {
                entry.standing = Standing::Rejected;
                let mut peers: Vec<P> = copies.into_iter().map(|(peer, _)| peer).collect();
                peers.sort_unstable();
                peers.dedup();
                let violation = Violation::BadPacket { id };
                out.extend(peers.into_iter().map(|peer| Output::Misbehaved { peer, violation }));
            }
        }
    }

    /// Packets that nobody said anything about in time are dropped without blame.
    pub(super) fn on_judging_due(&mut self, now: Time) {
        while let Some((until, id)) = self.judging_until.front().copied()
            && until <= now.mono
        {
            self.judging_until.pop_front();
            self.on_judged(now, id, Verdict::Ignore, &mut Vec::new());
        }
    }

    /// Passes a packet on, which may be our own: then it came from nobody.
    pub(super) fn pass(
        &mut self,
        now: Time,
        from: Option<P>,
        packet: &Arc<Packet>,
        how: How,
        out: &mut Vec<Output<P>>,
    ) {
        match how {
            How::Routed { attempt, duty } => self.pass_routed(now, from, packet, attempt, duty, out),
            How::Flood { attempt } => self.pass_flood(from, packet, attempt, out),
        }
    }

    fn pass_routed(
        &mut self,
        now: Time,
        from: Option<P>,
        packet: &Arc<Packet>,
        attempt: u8,
        duty: Places,
        out: &mut Vec<Output<P>>,
    ) {
        let entry = self.seen.get_mut(&packet.id()).expect("what is passed on is remembered");
        let fresh = entry.take_duty(attempt, duty);
        if fresh.is_empty() {
            self.counts.duplicates += 1;
            return;
        }
        let me = self.me.as_ref().map(|me| me.producer);
        let mut hops: BTreeMap<P, Places> = BTreeMap::new();
        let mut lost = false;
        for place in fresh.iter() {
            let producer = packet.to()[usize::from(place)];
            // Back to where it came from is no way: the sender's own way leads here.
            match self.next_hop(&producer).filter(|hop| Some(*hop) != from) {
                _ if Some(producer) == me => self.deliver(packet, out),
                Some(hop) => hops.entry(hop).or_default().insert(place),
                None => lost = true,
            }
        }
        for (hop, duty) in hops {
            let how = How::Routed { attempt, duty };
            if self.post(hop, Message::Parcel { packet: packet.clone(), how }) {
                self.watch(now, hop, packet, duty);
            }
        }
        // No route: everywhere, the sender included, since the way from here may lead through it.
        if lost && self.take_flood(packet, attempt) {
            self.flood(None, packet, attempt);
        }
    }

    fn pass_flood(&mut self, from: Option<P>, packet: &Arc<Packet>, attempt: u8, out: &mut Vec<Output<P>>) {
        if !self.take_flood(packet, attempt) {
            self.counts.duplicates += 1;
            return;
        }
        let me = self.me.as_ref().map(|me| me.producer);
        let mine = me.is_some_and(|me| packet.place(&me).is_some());
        if from.is_some() && (mine || packet.to().is_empty()) {
            self.deliver(packet, out);
        }
        if !(mine && packet.to().len() == 1) {
            self.flood(from, packet, attempt);
        }
    }

    fn take_flood(&mut self, packet: &Packet, attempt: u8) -> bool {
        self.seen.get_mut(&packet.id()).expect("what is passed on is remembered").take_flood(attempt)
    }

    /// Sends a packet over every link but one.
    fn flood(&mut self, except: Option<P>, packet: &Arc<Packet>, attempt: u8) {
        self.counts.floods += 1;
        let peers: Vec<P> = self.neighbours.keys().filter(|peer| Some(**peer) != except).copied().collect();
        for peer in peers {
            self.post(peer, Message::Parcel { packet: packet.clone(), how: How::Flood { attempt } });
        }
    }

    fn deliver(&mut self, packet: &Arc<Packet>, out: &mut Vec<Output<P>>) {
        let entry = self.seen.get_mut(&packet.id()).expect("what is delivered is remembered");
        if !entry.delivered {
            entry.delivered = true;
            out.push(Output::Deliver { id: packet.id(), body: packet.body().clone() });
        }
    }

    /// Watches whether a hop delivers to each of these. Half of the window only: at its end the recipient's clock may
    /// call a packet too old that ours does not.
    fn watch(&mut self, now: Time, hop: P, packet: &Packet, duty: Places) {
        if !is_fresh(now, packet, self.config.window / 2) {
            return;
        }
        for place in duty.iter() {
            let producer = packet.to()[usize::from(place)];
            let until = now.mono + self.delivery_time(&producer);
            if self.watches.len() < self.config.max_watches {
                let watch = Watch { hop, producer, until };
                self.watches.insert((packet.id(), place), watch);
            }
        }
    }

    /// How long until a delivery should be confirmed. It is less the nearer the producer is, so that of all hops on the
    /// way the last one before the fault notices first.
    pub(super) fn delivery_time(&self, producer: &Producer) -> Duration {
        let metric = self.route(producer).map_or(0, |chosen| chosen.distance.metric);
        let travel = Duration::from_millis(u64::from(metric) * 3);
        (self.config.deliver_base + travel).min(self.config.deliver_max)
    }

    /// Hops whose receipts did not come are not used for a while.
    pub(super) fn on_watches_due(&mut self, now: Time) {
        while let Some(Watch { hop, producer, .. }) = self.watches.take_due(now.mono) {
            if let Some(destination) = self.destinations.get_mut(&producer) {
                self.counts.faults += 1;
                destination.failed(now.mono, &self.config, hop);
                self.choose(now, producer);
            }
        }
    }
}

/// Whether a packet was sent near enough to now.
pub(super) fn is_fresh(now: Time, packet: &Packet, window: Duration) -> bool {
    now.wall.abs_diff(Duration::from_millis(packet.sent_ms())) <= window
}
