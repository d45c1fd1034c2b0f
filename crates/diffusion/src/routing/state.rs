//! The machine: its books, its entry, its deadlines.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chain::Hash;

use super::claim::Claim;
use super::destination::{Chosen, Destination, Distance};
use super::message::{How, MAX_RECIPIENTS, Message, Packet};
use super::neighbour::Neighbour;
use super::origin::Origin;
use super::routes::MAX_RETIRED;
use super::seen::Seen;
use super::sends::Sending;
use super::watch::Watches;
use super::{Config, Counts, Input, Output, Signature, Status, Ticket, Time};
use crate::sync::bodies::Producer;

/// How many signatures are checked at once for all peers together; a guess, some hundred milliseconds of work.
const MAX_CHECKS: usize = 8_192;

/// Why a signature is checked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check<P> {
    /// Somebody's claim that it can be reached.
    Route { peer: P, producer: Producer, seq: u64, signature: Signature },
    /// A claim of ours that we did not make.
    Own { peer: P, producer: Producer, seq: u64, signature: Signature },
    /// A receipt.
    Receipt { peer: P, id: Hash, place: u8, by: Producer, signature: Signature },
}

/// A packet that somebody looks at, and the copies that came meanwhile.
#[derive(Debug)]
pub(super) struct Judging<P> {
    pub(super) packet: Arc<Packet>,
    pub(super) copies: Vec<(P, How)>,
}

/// Routing at one node. `P` names a peer.
#[derive(Debug)]
pub struct State<P> {
    pub(super) config: Config,
    pub(super) me: Option<Origin>,
    pub(super) destinations: BTreeMap<Producer, Destination<P>>,
    /// The bounds of those who are no producers any more.
    pub(super) retired: BTreeMap<Producer, Distance>,
    pub(super) neighbours: BTreeMap<P, Neighbour>,
    pub(super) seen: Seen<P>,
    pub(super) judging: BTreeMap<Hash, Judging<P>>,
    pub(super) judging_until: VecDeque<(Duration, Hash)>,
    pub(super) judging_bytes: usize,
    pub(super) watches: Watches<P>,
    pub(super) sends: BTreeMap<Hash, Sending>,
    pub(super) send_bytes: usize,
    pub(super) checks: BTreeMap<Ticket, Check<P>>,
    next_ticket: u64,
    pub(super) next_nonce: u64,
    pub(super) counts: Counts,
}

impl<P: Copy + Ord> State<P> {
    /// Routing without links and without producers.
    pub fn new(config: Config) -> Self {
        Self {
            me: None,
            destinations: BTreeMap::new(),
            retired: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            seen: Seen::new(),
            judging: BTreeMap::new(),
            judging_until: VecDeque::new(),
            judging_bytes: 0,
            watches: Watches::new(),
            sends: BTreeMap::new(),
            send_bytes: 0,
            checks: BTreeMap::new(),
            next_ticket: 0,
            next_nonce: config.nonce,
            counts: Counts::default(),
            config,
        }
    }

    /// Takes in what happened, and appends what to do.
    pub fn handle(&mut self, now: Time, input: Input<P>, out: &mut Vec<Output<P>>) {
        match input {
            Input::Tick => {}
            Input::Producers { all, me } => self.on_producers(now, all, me),
            Input::Joined { peer, rtt, room } => self.on_joined(now, peer, rtt, room),
            Input::Left { peer } => self.on_left(now, peer),
            Input::Rtt { peer, rtt } => self.on_rtt(now, peer, rtt),
            Input::Room { peer, bytes } => {
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    neighbour.on_room(bytes);
                }
            }
            Input::Message { peer, message } => self.on_message(now, peer, message, out),
            Input::Verified { ticket, genuine } => self.on_verified(now, ticket, genuine, out),
            Input::Signed { claim: Claim::Route { seq, producer }, signature } => {
                self.on_claim_signed(producer, seq, signature);
            }
            Input::Signed { claim: Claim::Receipt { id, .. }, signature } => {
                self.on_receipt_signed(id, signature);
            }
            Input::Judged { id, verdict } => self.on_judged(now, id, verdict, out),
            Input::Send { ticket, to, body } => self.on_send(now, ticket, to, body, out),
        }
        self.on_time(now, out);
        self.flush(out);
    }

    /// When to be called at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        let origin = self.me.as_ref().map(Origin::next_deadline);
        let routes = self.destinations.values().filter_map(Destination::next_deadline);
        let judging = self.judging_until.front().map(|(until, _)| *until);
        let sends = self.sends.values().map(|send| send.due);
        routes.chain(origin).chain(self.watches.next_deadline()).chain(judging).chain(sends).min()
    }

    /// The next hop to a producer, if there is a route.
    pub fn next_hop(&self, producer: &Producer) -> Option<P> {
        self.route(producer).map(|chosen| chosen.via)
    }

    /// The routes in use: to whom, over whom, and how far.
    pub fn routes(&self) -> impl Iterator<Item = (Producer, P, u32)> {
        let chosen = |(producer, destination): (&Producer, &Destination<P>)| {
            destination.chosen().map(|chosen| (*producer, chosen.via, chosen.distance.metric))
        };
        self.destinations.iter().filter_map(chosen)
    }

    /// What operators may see.
    pub fn status(&self) -> Status {
        Status {
            peers: self.neighbours.len(),
            producers: self.destinations.len(),
            reachable: self.routes().count(),
            unconfirmed: self.sends.len(),
            seen_bytes: self.seen.bytes(),
            counts: self.counts,
        }
    }

    /// What happened so far; cheaper than the whole [`status`](Self::status).
    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn route(&self, producer: &Producer) -> Option<&Chosen<P>> {
        self.destinations.get(producer)?.chosen()
    }

    fn on_message(&mut self, now: Time, peer: P, message: Message, out: &mut Vec<Output<P>>) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else {
            return; // It left while the message waited for us.
        };
        // Routes are news about the sender alone, cheap, and never left out: what it told counts.
        if !matches!(message, Message::Routes(_)) && !neighbour.is_paced(now.mono, &self.config) {
            self.counts.hasty += 1;
            return;
        }
        match message {
            Message::Routes(routes) => self.on_routes(now, peer, routes, out),
            Message::Ask { producer, known, hops } => self.on_ask(now, peer, producer, known, hops, out),
            Message::Parcel { packet, how } => self.on_parcel(now, peer, packet, how, out),
            Message::Receipt { id, by, signature } => self.on_receipt(peer, id, by, signature, out),
        }
    }

    fn on_verified(&mut self, now: Time, ticket: Ticket, genuine: bool, out: &mut Vec<Output<P>>) {
        let check = self.checks.remove(&ticket).expect("a signature is checked once");
        let (Check::Route { peer, .. } | Check::Own { peer, .. } | Check::Receipt { peer, .. }) = check;
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.end_check();
        }
        match check {
            Check::Route { producer, seq, signature, .. } => {
                self.on_route_checked(now, producer, seq, &signature, genuine, out);
            }
            Check::Own { producer, seq, .. } => self.on_own_checked(now, producer, seq, genuine),
            Check::Receipt { peer, id, place, by, signature } => {
                self.on_receipt_checked(peer, id, place, by, signature, genuine, out);
            }
        }
    }

    /// What became due.
    fn on_time(&mut self, now: Time, out: &mut Vec<Output<P>>) {
        if self.next_deadline().is_none_or(|due| due > now.mono) {
            return;
        }
        if let Some(origin) = &mut self.me
            && let Some(seq) = origin.mint(now, &self.config)
        {
            out.push(Output::Sign { claim: Claim::Route { producer: origin.producer, seq } });
        }
        self.on_watches_due(now);
        let due = |destination: &Destination<P>| destination.next_deadline().is_some_and(|at| at <= now.mono);
        let due: Vec<Producer> =
            self.destinations.iter().filter(|(_, to)| due(to)).map(|(producer, _)| *producer).collect();
        due.into_iter().for_each(|producer| self.choose(now, producer));
        self.on_judging_due(now);
        self.on_sends_due(now, out);
    }

    /// Gives the links what they have room for.
    fn flush(&mut self, out: &mut Vec<Output<P>>) {
        let Self { me, destinations, neighbours, .. } = self;
        for (peer, neighbour) in neighbours {
            let reach = |producer: &Producer| match me.as_ref().filter(|me| me.producer == *producer) {
                Some(me) => me.claim().map(|(seq, signature)| (Distance { seq, metric: 0 }, signature)),
                None => {
                    let chosen = destinations.get(producer)?.chosen()?;
                    // Whom we go through need not go through us.
                    (chosen.via != *peer).then_some((chosen.distance, chosen.signature))
                }
            };
            neighbour.flush(reach, |message| out.push(Output::Send { peer: *peer, message }));
        }
    }

    /// Puts a message in line for a peer; false where there is no place for it.
    pub(super) fn post(&mut self, peer: P, message: Message) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else {
            return false;
        };
        let queued = neighbour.queue(message, &self.config);
        self.counts.no_room += u64::from(!queued);
        queued
    }

    /// Has a signature checked; false where too many are already.
    pub(super) fn check(&mut self, peer: P, check: Check<P>, out: &mut Vec<Output<P>>) -> bool {
        let may = self.checks.len() < MAX_CHECKS
            && self.neighbours.get_mut(&peer).is_some_and(Neighbour::begin_check);
        if !may {
            self.counts.passed_over += 1;
            return false;
        }
        let (claim, signature) = match check {
            Check::Route { producer, seq, signature, .. } | Check::Own { producer, seq, signature, .. } => {
                (Claim::Route { producer, seq }, signature)
            }
            Check::Receipt { id, by, signature, .. } => (Claim::Receipt { producer: by, id }, signature),
        };
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.checks.insert(ticket, check);
        out.push(Output::Verify { ticket, claim, signature });
        true
    }

    /// Panics where the books do not balance.
    pub fn check_invariants(&self) {
        for destination in self.destinations.values() {
            destination.check_invariants(|peer| self.neighbours.contains_key(peer));
            let hop = destination.chosen().map(|chosen| chosen.via);
            assert!(hop.is_none_or(|hop| self.neighbours.contains_key(&hop)), "a next hop is a neighbour");
        }
        let bound = |producer: &Producer| self.destinations.get(producer)?.bound();
        self.neighbours.values().for_each(|neighbour| neighbour.check_invariants(&self.config, bound));
        self.seen.check_invariants(self.config.seen_bytes);
        let (destinations, retired) = (self.destinations.len(), self.retired.len());
        assert!(destinations <= MAX_RECIPIENTS && retired <= MAX_RETIRED, "producers are bounded");
        let bytes: usize =
            self.judging.values().map(|it| it.packet.body().len() + super::parcels::JUDGING_BYTES).sum();
        assert_eq!(bytes, self.judging_bytes, "what is looked at is counted");
        assert!(self.judging_bytes <= self.config.judging_bytes, "what is looked at is bounded");
        assert!(self.watches.len() <= self.config.max_watches, "what is watched is bounded");
        self.watches.check_invariants(|hop| self.neighbours.contains_key(hop));
        let bytes: usize = self.sends.values().map(|send| send.packet.body().len()).sum();
        assert_eq!(bytes, self.send_bytes, "our own packets are counted");
        assert!(self.sends.len() <= self.config.max_sends, "our own packets are bounded");
        assert!(self.checks.len() <= MAX_CHECKS, "signatures under way are bounded");
    }
}
