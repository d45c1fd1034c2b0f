//! The machine: its books, its entry, its deadlines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chain::Hash;
use rand_chacha::ChaCha12Rng;

use super::cache::Cache;
use super::held::{Books, Held};
use super::judging::{End, Judging};
use super::peer::Peer;
use super::pool::Pool;
use super::pulls::Want;
use super::slots::Slots;
use super::{
    Config, Counts, Input, Kind, Message, Name, Output, PeerStatus, Progress, Stage, Status, Violation,
};

/// Relay at one node. `P` names a peer.
#[derive(Debug, Clone)]
pub struct State<P> {
    pub(super) config: Config,
    pub(super) rng: ChaCha12Rng,
    pub(super) pulling: bool,
    pub(super) peers: BTreeMap<P, Peer>,
    /// Those of the connected peers.
    pub(super) slots: Slots,
    pub(super) wants: BTreeMap<Name, Want<P>>,
    /// The leases that have not run out.
    pub(super) leases: BTreeSet<(Duration, P, Name)>,
    /// Who was asked last: the next one has its turn.
    pub(super) turn: Option<P>,
    pub(super) next_want: u64,
    pub(super) judging: BTreeMap<Name, Judging<P>>,
    /// When the application should have answered, or has taken too long.
    pub(super) judging_due: BTreeSet<(Duration, Name)>,
    pub(super) late: usize,
    pub(super) pool: Pool,
    pub(super) books: Books,
    pub(super) seen: Cache<End>,
    pub(super) bad: Cache<()>,
    pub(super) counts: Counts,
}

impl<P: Copy + Ord> State<P> {
    /// Relay without links and without items.
    pub fn new(config: Config, rng: ChaCha12Rng) -> Self {
        Self {
            rng,
            pulling: true,
            peers: BTreeMap::new(),
            slots: Slots::default(),
            wants: BTreeMap::new(),
            leases: BTreeSet::new(),
            turn: None,
            next_want: 0,
            judging: BTreeMap::new(),
            judging_due: BTreeSet::new(),
            late: 0,
            pool: Pool::default(),
            books: Books::default(),
            seen: Cache::new(config.max_seen),
            bad: Cache::new(config.max_bad),
            counts: Counts::default(),
            config,
        }
    }

    /// Takes in what happened, and appends what to do. What concerns a peer that is not there is ignored: it crossed its
    /// leaving.
    pub fn handle(&mut self, now: Duration, input: Input<P>, out: &mut Vec<Output<P>>) {
        match input {
            Input::Tick => {}
            Input::Pulling(pulling) => self.pulling = pulling,
            Input::Joined { peer, room } => self.on_joined(peer, room),
            Input::Left { peer } => self.on_left(peer),
            Input::Room { peer, bytes } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.room = bytes;
                }
            }
            Input::Message { peer, message } => self.on_message(now, peer, message, out),
            Input::Submit { ticket, kind, bytes } => self.on_submit(now, ticket, kind, bytes, out),
            Input::Judged { name, verdict } => self.on_judged(now, name, verdict, out),
            Input::Included { kind, ids } => self.on_included(kind, ids, out),
        }
        self.on_time(now, out);
        self.pull(now, out);
        self.flush(now, out);
    }

    /// When to be called at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        let leases = self.leases.first().map(|(due, ..)| *due);
        let judging = self.judging_due.first().map(|(due, _)| *due);
        let offers = self.peers.values().filter_map(|peer| peer.offer_at);
        offers.chain(leases).chain(judging).chain(self.pool.next_deadline()).min()
    }

    /// What may go into a block: the oldest of a kind, these left out, that fit together into so many bytes, each as a
    /// CBOR byte string. They stay until they are included.
    pub fn candidates(&self, kind: Kind, max_bytes: u64, except: &BTreeSet<Hash>) -> Vec<(Hash, Bytes)> {
        self.pool.candidates(kind, max_bytes, except)
    }

    /// Whether there is something to put into a block besides these.
    pub fn has_other(&self, kind: Kind, than: &BTreeSet<Hash>) -> bool {
        self.pool.has_other(kind, than)
    }

    /// An item of the pool.
    pub fn get(&self, name: &Name) -> Option<&Bytes> {
        self.pool.get(name).map(|entry| &entry.bytes)
    }

    /// How far an item came, as long as it is remembered.
    pub fn progress(&self, name: &Name) -> Option<Progress> {
        let own = |stage, own: Option<&super::pool::Own>| Progress {
            stage,
            offered: own.map_or(0, |own| own.offered()),
            requested: own.map_or(0, |own| own.requested()),
            seen_back: own.is_some_and(|own| own.seen_back),
        };
        if let Some(entry) = self.pool.get(name) {
            return Some(own(Stage::Pooled, entry.own.as_deref()));
        }
        if let Some(judging) = self.judging.get(name) {
            let stage = if judging.late { Stage::Late } else { Stage::Judging };
            return Some(own(stage, judging.own.as_deref()));
        }
        let ended = self.bad.get(name).map(|()| Stage::Rejected);
        ended.or_else(|| self.seen.get(name).map(End::stage)).map(|stage| own(stage, None))
    }

    /// What operators may see.
    pub fn status(&self) -> Status {
        Status {
            peers: self.peers.len(),
            pooled: self.pool.len(),
            pooled_bytes: self.pool.bytes(),
            judging: self.judging.len(),
            judging_bytes: self.judging.values().map(|judging| judging.bytes.len()).sum(),
            late: self.late,
            wanted: self.wants.len(),
            asked: self.wants.values().filter(|want| want.now.is_some()).count(),
            counts: self.counts,
        }
    }

    /// What operators may see of a peer.
    pub fn peer_status(&self, peer: &P) -> Option<PeerStatus> {
        self.peers.get(peer).map(Peer::status)
    }

    fn on_joined(&mut self, id: P, room: u64) {
        self.on_left(id);
        let slot = self.slots.first_free();
        self.slots.insert(slot);
        self.peers.insert(id, Peer::new(slot, room));
    }

    fn on_left(&mut self, id: P) {
        let Some(peer) = self.peers.remove(&id) else { return };
        self.forsake(id, &peer);
        self.slots.remove(peer.slot);
        self.pool.forget(peer.slot);
        for judging in self.judging.values_mut() {
            judging.known.remove(peer.slot);
        }
    }

    fn on_message(&mut self, now: Duration, peer: P, message: Message, out: &mut Vec<Output<P>>) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        match message {
            Message::Offer(offers) => self.on_offer(now, peer, offers, out),
            Message::Want(names) => self.on_want(peer, names, out),
            Message::Data { kind, bytes } => self.on_data(now, peer, kind, bytes, out),
            Message::No(names) => self.on_no(peer, names, out),
            Message::More { offers } => {
                known.may_offer = known.may_offer.saturating_add(offers);
                if known.may_offer > super::MAX_MORE {
                    known.may_offer = super::MAX_MORE;
                    out.push(Output::Misbehaved { peer, violation: Violation::TooMuchGranted });
                }
            }
        }
    }

    /// What became due.
    fn on_time(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        self.on_leases_due(now);
        self.on_judging_due(now, out);
        self.pool.offer_again(now, &self.config);
        while let Some(name) = self.pool.expired(now) {
            self.counts.expired += 1;
            self.leave_pool(name, End::Expired, out);
        }
    }

    /// Gives the links what they have room for: what keeps others waiting first.
    fn flush(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        for (id, peer) in &mut self.peers {
            peer.grant(&self.config, *id, out);
            peer.refuse(*id, out);
            let (pool, counts) = (&mut self.pool, &mut self.counts);
            if super::offers::serve(pool, counts, *id, peer, out) {
                super::offers::offer(pool, counts, &self.config, &mut self.rng, now, *id, peer, out);
            } else {
                // What was asked for goes first; when the link takes it, there is a new time for offers.
                peer.offer_at = None;
            }
        }
    }

    /// Panics where the books do not balance.
    pub fn check_invariants(&self) {
        self.peers.values().for_each(|peer| peer.check_invariants(&self.config));
        let slots: BTreeSet<usize> = self.peers.values().map(|peer| peer.slot).collect();
        assert_eq!(slots.len(), self.peers.len(), "each peer has a slot of its own");
        assert_eq!(self.slots.count() as usize, slots.len(), "who left has none");
        self.check_wants();
        self.check_judging();
        self.pool.check_invariants(&self.slots);
        self.seen.check_invariants();
        self.bad.check_invariants();
        self.check_books();
    }

    fn check_books(&self) {
        let mut kinds: BTreeMap<Kind, Held> = BTreeMap::new();
        let asked = self.wants.iter().filter_map(|(name, want)| Some((name.kind, want.now?.1 as usize)));
        let judging = self.judging.iter().map(|(name, judging)| (name.kind, judging.bytes.len()));
        let mut under_way = Held::default();
        for (kind, bytes) in asked.chain(judging) {
            under_way.add(bytes);
            kinds.entry(kind).or_default().add(bytes);
        }
        assert_eq!(under_way, self.books.judging, "what is under way or judged is counted");
        for (name, bytes) in self.pool.sizes() {
            kinds.entry(name.kind).or_default().add(bytes);
        }
        for (kind, held) in &self.books.kinds {
            let rules = &self.config.kinds[kind];
            assert_eq!(*held, kinds.get(kind).copied().unwrap_or_default(), "what is held is counted");
            assert!(held.count <= rules.max_count && held.bytes <= rules.max_bytes, "a kind is bounded");
        }
        assert!(kinds.keys().all(|kind| self.books.kinds.contains_key(kind)), "what is held is counted");
        let Config { max_judging, judging_bytes, .. } = self.config;
        let is_bounded = under_way.count <= max_judging && under_way.bytes <= judging_bytes;
        assert!(is_bounded || under_way.count == 1, "what is judged is bounded");
    }
}
