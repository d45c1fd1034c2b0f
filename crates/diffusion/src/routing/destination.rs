//! The ways to one producer: what the neighbours offer, and which of it is used.
//!
//! The feasibility condition of Babel (RFC 8966, 3.5.1) over distances (sequence number, metric): an offer is used only
//! if it is strictly better than the best distance that we ever had, [`Destination::bound`]. What we tell is never
//! better than our bound, and a neighbour uses us only while what we told is better than its own. So along the next
//! hops of correct nodes bounds fall strictly, whatever liars say, and there is no loop at any time.
//!
//! It knows no other producer, and sends nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Config;
use super::claim::Signature;
use super::message::MAX_METRIC;

/// By how much another route must be better before it takes the place of one that works: an eighth.
const HYSTERESIS: u32 = 8;

/// How many hops are remembered that did not deliver: more than a node has neighbours that lie to it.
const MAX_FAULTS: usize = 64;

/// How often a question for a newer claim is repeated while nothing changes.
const MAX_ASKS: u32 = 8;

/// How far a producer is, and by which of its claims. A higher sequence number is better than any metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distance {
    pub(super) seq: u64,
    pub(super) metric: u32,
}

impl Distance {
    /// Whether it is strictly better: of a newer claim, or shorter.
    pub(super) fn beats(self, other: Self) -> bool {
        self.seq > other.seq || self.seq == other.seq && self.metric < other.metric
    }
}

/// What a neighbour says, with a claim that is genuine.
#[derive(Debug, Clone)]
struct Offer {
    distance: Distance,
    /// Since when there is a newer claim.
    superseded: Option<Duration>,
}

/// The newest genuine claim.
#[derive(Debug, Clone)]
struct Newest {
    seq: u64,
    signature: Signature,
    since: Duration,
}

/// The route in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen<P> {
    pub(super) via: P,
    /// From here.
    pub(super) distance: Distance,
    pub(super) signature: Signature,
}

/// A hop that did not deliver.
#[derive(Debug, Clone, Copy)]
struct Fault {
    times: u32,
    until: Duration,
}

/// The ways to one producer.
#[derive(Debug, Clone)]
pub(super) struct Destination<P> {
    bound: Option<Distance>,
    newest: Option<Newest>,
    /// The signature of each claim that is offered, and of the newest.
    signatures: BTreeMap<u64, Signature>,
    offers: BTreeMap<P, Offer>,
    /// What neighbours said and whose claim is still being checked.
    waiting: BTreeMap<P, (Distance, Signature)>,
    chosen: Option<Chosen<P>>,
    faults: BTreeMap<P, Fault>,
    asked: u32,
    ask_at: Option<Duration>,
    passed_ask: Option<Duration>,
    due: Option<Duration>,
}

/// What to do with what a neighbour said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is taken into account.
    Taken,
    /// It waits; the claim is being checked already.
    Waits,
    /// It waits; the claim must be checked.
    Check,
}

impl<P: Copy + Ord> Destination<P> {
    /// Nobody has said anything. The bound is that of an earlier acquaintance.
    pub(super) fn new(bound: Option<Distance>) -> Self {
        Self {
            bound,
            newest: None,
            signatures: BTreeMap::new(),
            offers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            chosen: None,
            faults: BTreeMap::new(),
            asked: 0,
            ask_at: None,
            passed_ask: None,
            due: None,
        }
    }

    pub(super) fn bound(&self) -> Option<Distance> {
        self.bound
    }

    pub(super) fn chosen(&self) -> Option<&Chosen<P>> {
        self.chosen.as_ref()
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.due
    }

    /// The highest sequence number that is known to be the producer's.
    pub(super) fn highest(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.seq)
    }

    /// A neighbour has no route any more, or is gone.
    pub(super) fn lost(&mut self, peer: P) {
        self.offers.remove(&peer);
        self.waiting.remove(&peer);
    }

    /// A neighbour has a route; its claim counts once it is known to be genuine.
    pub(super) fn heard(&mut self, peer: P, distance: Distance, signature: &Signature) -> Heard {
        self.waiting.remove(&peer);
        if distance.seq < self.highest() {
            // Its own newer one is on its way, or it tells tales of old: no route until then.
            self.offers.remove(&peer);
            return Heard::Taken;
        }
        if self.newest.as_ref().is_some_and(|new| new.seq == distance.seq && new.signature == *signature) {
            self.offers.insert(peer, Offer { distance, superseded: None });
            return Heard::Taken;
        }
        let known =
            self.waiting.values().any(|(other, theirs)| other.seq == distance.seq && theirs == signature);
        self.waiting.insert(peer, (distance, *signature));
        if known { Heard::Waits } else { Heard::Check }
    }

    /// A claim was checked. Returns who told of it, if it is not genuine.
    pub(super) fn checked(
        &mut self,
        now: Duration,
        seq: u64,
        signature: &Signature,
        genuine: bool,
    ) -> Vec<P> {
        let told = |(distance, theirs): &(Distance, Signature)| distance.seq == seq && theirs == signature;
        let tellers: Vec<P> =
            self.waiting.iter().filter(|(_, told_us)| told(told_us)).map(|(p, _)| *p).collect();
        if !genuine {
            tellers.iter().for_each(|peer| self.lost(*peer));
            return tellers;
        }
        if self.newest.as_ref().is_none_or(|newest| newest.seq < seq) {
            self.offers.values_mut().for_each(|offer| offer.superseded = offer.superseded.or(Some(now)));
            self.newest = Some(Newest { seq, signature: *signature, since: now });
            self.signatures.insert(seq, *signature);
        }
        for peer in tellers {
            let (distance, _) = self.waiting.remove(&peer).expect("it waits");
            if distance.seq == self.highest() {
                self.offers.insert(peer, Offer { distance, superseded: None });
            } else {
                self.offers.remove(&peer);
            }
        }
        Vec::new()
    }

    /// Chooses the route again. `cost` says what the hop to a neighbour costs. True where what we tell changed.
    pub(super) fn choose(
        &mut self,
        now: Duration,
        config: &Config,
        cost: impl Fn(&P) -> Option<u32>,
    ) -> bool {
        let usable: BTreeMap<P, Distance> = self
            .offers
            .iter()
            .filter(|(peer, offer)| self.is_usable(now, config, peer, offer))
            .filter_map(|(peer, offer)| Some((*peer, offer.distance.further(cost(peer)?)?)))
            .collect();
        let before = self.chosen;
        let kept = before.and_then(|chosen| Some((chosen.via, *usable.get(&chosen.via)?)));
        let best = usable.into_iter().min_by_key(|(peer, distance)| (distance.metric, *peer));
        let choice = match (kept, best) {
            (Some((via, kept)), Some((_, best))) if kept.metric - best.metric <= kept.metric / HYSTERESIS => {
                Some((via, kept))
            }
            (_, best) => best,
        };
        self.chosen =
            choice.map(|(via, distance)| Chosen { via, distance, signature: self.signatures[&distance.seq] });
        if let Some(Chosen { distance, .. }) = self.chosen
            && self.bound.is_none_or(|bound| distance.beats(bound))
        {
            self.bound = Some(distance);
        }
        self.plan(now, config);
        let offered: Vec<u64> = self.offers.values().map(|offer| offer.distance.seq).collect();
        let highest = self.highest();
        self.signatures.retain(|seq, _| *seq == highest || offered.contains(seq));
        before != self.chosen
    }

    /// Whether an offer may be used: feasible, of a claim that still counts, over a hop that delivers.
    fn is_usable(&self, now: Duration, config: &Config, peer: &P, offer: &Offer) -> bool {
        self.bound.is_none_or(|bound| offer.distance.beats(bound))
            && self.expires(config, offer).is_some_and(|at| now < at)
            && self.faults.get(peer).is_none_or(|fault| fault.until <= now)
    }

    fn expires(&self, config: &Config, offer: &Offer) -> Option<Duration> {
        let newest = self.newest.as_ref()?.since + config.expiry;
        Some(offer.superseded.map_or(newest, |since| newest.min(since + config.grace)))
    }

    /// When to look again: the end of a claim or of a fault, the next question.
    fn plan(&mut self, now: Duration, config: &Config) {
        // Without any claim there is nobody to ask for a newer one.
        let starves = self.chosen.is_none() && self.newest.is_some() && self.asked < MAX_ASKS;
        self.ask_at = if starves { Some(self.ask_at.unwrap_or(now)) } else { None };
        if self.chosen.is_some() {
            self.asked = 0;
        }
        let ends = self.offers.values().filter_map(|offer| self.expires(config, offer));
        let faults = self.faults.values().map(|fault| fault.until);
        self.due = ends.chain(faults).filter(|at| *at > now).chain(self.ask_at).min();
    }

    /// The question for a newer claim, where it is time for one: newer than which.
    pub(super) fn ask(&mut self, now: Duration, config: &Config) -> Option<(u64, Signature)> {
        self.ask_at.filter(|at| *at <= now)?;
        self.ask_at = Some(now + config.ask_every * (1 << self.asked.min(MAX_ASKS)));
        self.asked += 1;
        self.passed_ask = Some(now);
        self.plan(now, config);
        self.newest.as_ref().map(|newest| (newest.seq, newest.signature))
    }

    /// A neighbour came: whoever starves may ask again.
    pub(super) fn hope(&mut self) {
        (self.asked, self.ask_at) = (0, None);
    }

    /// Whether somebody else's question may be passed on now.
    pub(super) fn may_pass_ask(&mut self, now: Duration, config: &Config) -> bool {
        let may = self.passed_ask.is_none_or(|last| last + config.pass_ask_every <= now);
        if may {
            self.passed_ask = Some(now);
        }
        may
    }

    /// A hop did not deliver.
    pub(super) fn failed(&mut self, now: Duration, config: &Config, peer: P) {
        if self.faults.len() >= MAX_FAULTS && !self.faults.contains_key(&peer) {
            let soonest = self.faults.iter().min_by_key(|(_, fault)| fault.until).map(|(peer, _)| *peer);
            soonest.map(|peer| self.faults.remove(&peer));
        }
        let fault = self.faults.entry(peer).or_insert(Fault { times: 0, until: now });
        // What was sent before the fault was known fails as well, and says nothing new.
        if fault.until <= now {
            let rest = config.fault_first.saturating_mul(1 << fault.times.min(16)).min(config.fault_max);
            *fault = Fault { times: fault.times + 1, until: now + rest };
        }
    }

    /// A hop delivered.
    pub(super) fn delivered(&mut self, peer: P) {
        self.faults.remove(&peer);
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self, is_here: impl Fn(&P) -> bool) {
        if let Some(chosen) = &self.chosen {
            let offer = &self.offers[&chosen.via];
            let bound = self.bound.expect("a route in use bounds what may follow");
            assert!(offer.distance.beats(bound), "what is used is feasible");
            assert!(!chosen.distance.beats(bound), "what is told is not better than the bound");
            assert_eq!(offer.distance.seq, chosen.distance.seq, "a route has its offer's claim");
        }
        for offer in self.offers.values() {
            assert!(self.signatures.contains_key(&offer.distance.seq), "each claim has its signature");
            assert!(offer.distance.seq <= self.highest(), "the newest claim is the newest");
        }
        assert!(
            self.signatures.len() <= self.offers.len() + 1,
            "signatures are those of offers, and the newest"
        );
        assert!(self.offers.keys().chain(self.waiting.keys()).all(is_here), "offers are neighbours'");
        assert!(self.faults.len() <= MAX_FAULTS, "few faults are remembered");
    }
}

impl Distance {
    /// One hop further away.
    fn further(self, cost: u32) -> Option<Self> {
        let metric = self.metric.checked_add(cost).filter(|metric| *metric <= MAX_METRIC)?;
        Some(Self { metric, ..self })
    }
}
