//! The scheduler: its books, and who is asked for what.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Config;
use crate::peer::{Peer, Request};
use crate::stall::Stall;

/// How many items may be wanted at once: what is wanted is far larger than any window, and still small.
const MAX_WANTED: usize = 1 << 20;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<P> {
    /// An item is wanted. Its number is higher than any before; numbers in a row may be asked for as a range.
    Want {
        /// The item.
        key: u64,
        /// How many bytes it probably has.
        bytes: u64,
    },
    /// Items are not wanted any more. They may still arrive.
    Unwant {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A peer can be asked. It is not known to have anything yet.
    Joined {
        /// Who.
        peer: P,
        /// Never evict it: it was named by the operator, or has a reserved place.
        pinned: bool,
    },
    /// What [`Joined`](Self::Joined) said of a peer's place is so from now on.
    Pinned {
        /// Who.
        peer: P,
        /// Never evict it.
        pinned: bool,
    },
    /// A peer that has joined held things up when it was here before. Until it delivers, others are asked rather
    /// than it, and what it holds up goes to them as soon as they can be asked.
    Suspect {
        /// Who.
        peer: P,
    },
    /// A peer can not be asked any more: others are asked for what it owes.
    Left {
        /// Who.
        peer: P,
    },
    /// A peer has these items.
    Has {
        /// Who.
        peer: P,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A peer does not have these items any more.
    Lacks {
        /// Who.
        peer: P,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A round trip to a peer was measured.
    Rtt {
        /// Who.
        peer: P,
        /// How long it took.
        rtt: Duration,
    },
    /// A peer delivered an item, and it is right.
    Received {
        /// Who.
        peer: P,
        /// The item.
        key: u64,
        /// How many bytes it has.
        bytes: u64,
    },
    /// A peer has answered the oldest request that it was sent, in full or as far as it could: what it did not
    /// deliver it does not have.
    Done {
        /// Who.
        peer: P,
    },
    /// Something that a peer sent lies here and was not read yet: what it owes may be among it. Counts until the next
    /// tick that judges.
    Unread {
        /// Who.
        peer: P,
    },
    /// All news are told: now is the time to ask, and to judge who is late.
    Tick {
        /// Whether to ask for more. Where what has arrived cannot be put away, it is not.
        ask: bool,
        /// Whether all that peers sent has been read, or was said to be [unread](Self::Unread). Otherwise nobody is
        /// judged.
        judge: bool,
    },
}

/// What to do. Comes of [`Input::Tick`] alone, so that items that become wanted together are asked for
/// together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<P> {
    /// Ask a peer for a range.
    Request {
        /// Whom.
        peer: P,
        /// The first item.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Part from a peer: it holds up everybody and delivers nothing.
    Evict {
        /// From whom.
        peer: P,
    },
}

/// What operators may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Items that are wanted and have not arrived.
    pub wanted: usize,
    /// Items that somebody was asked for.
    pub in_flight: usize,
    /// Their estimated bytes.
    pub in_flight_bytes: u64,
    /// Items that arrived while nobody wanted them: twice, or too late.
    pub useless: u64,
    /// Peers evicted so far.
    pub evicted: u64,
}

/// A wanted item.
#[derive(Debug)]
struct Want<P> {
    bytes: u64,
    /// Who was asked for it.
    asked: Option<P>,
}

/// The scheduler. `P` names a peer.
#[derive(Debug)]
pub struct Scheduler<P> {
    config: Config,
    wanted: BTreeMap<u64, Want<P>>,
    /// The wanted items that nobody was asked for.
    free: BTreeSet<u64>,
    /// What arrived before the head of the window did, with its size.
    ahead: BTreeMap<u64, u64>,
    ahead_bytes: u64,
    pub(crate) peers: BTreeMap<P, Peer>,
    /// One above the highest number so far.
    next: u64,
    status: Status,
    pub(crate) stall: Stall<P>,
}

impl<P: Copy + Ord> Scheduler<P> {
    /// A scheduler that wants nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            wanted: BTreeMap::new(),
            free: BTreeSet::new(),
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            peers: BTreeMap::new(),
            next: 0,
            status: Status::default(),
            stall: Stall::default(),
        }
    }

    /// Takes in what happened; a tick says what to do. Inputs about a peer that has not joined are ignored:
    /// they crossed its leaving.
    pub fn handle(&mut self, now: Duration, input: Input<P>, out: &mut Vec<Output<P>>) {
        match input {
            Input::Want { key, bytes } => self.on_want(now, key, bytes),
            Input::Unwant { from, to } => self.on_unwant(now, from, to),
            Input::Joined { peer, pinned } => self.on_joined(peer, pinned),
            Input::Pinned { peer, pinned } => self.with(peer, |peer| peer.pinned = pinned),
            Input::Suspect { peer } => self.with(peer, |peer| peer.suspect = true),
            Input::Left { peer } => self.on_left(peer),
            Input::Has { peer, from, to } => self.on_has(peer, from, to),
            Input::Lacks { peer, from, to } => self.with(peer, |peer| peer.has.remove(from, to)),
            Input::Rtt { peer, rtt } => self.with(peer, |peer| peer.on_rtt(rtt)),
            Input::Received { peer, key, bytes } => self.on_received(now, peer, key, bytes),
            Input::Done { peer } => self.on_done(peer),
            Input::Unread { peer } => self.with(peer, |peer| peer.is_unread = true),
            Input::Tick { ask, judge } => self.on_tick(now, ask, judge, out),
        }
    }

    /// When to come back with a tick at the latest: when a peer that holds up the head is late.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.late_at()
    }

    /// What operators may see.
    pub fn status(&self) -> Status {
        Status { wanted: self.wanted.len(), ..self.status }
    }

    /// Whether the item is wanted and has not arrived.
    pub fn is_wanted(&self, key: u64) -> bool {
        self.wanted.contains_key(&key)
    }

    /// The number that the next wanted item may have at the lowest.
    pub fn next_key(&self) -> u64 {
        self.next
    }

    /// The scheduler's bounds.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The lowest wanted item.
    pub(crate) fn head(&self) -> Option<u64> {
        self.wanted.first_key_value().map(|(key, _)| *key)
    }

    /// Who was asked for the lowest wanted item.
    pub(crate) fn blocker(&self) -> Option<P> {
        self.wanted.first_key_value().and_then(|(_, want)| want.asked)
    }

    /// Whether there is nothing left to ask for, or no room for it.
    pub(crate) fn is_window_full(&self) -> bool {
        self.free.is_empty() || !self.has_room(0)
    }

    fn on_want(&mut self, now: Duration, key: u64, bytes: u64) {
        assert!(key >= self.next, "numbers grow");
        assert!(self.wanted.len() < MAX_WANTED, "what is wanted is bounded by whoever wants it");
        self.next = key + 1;
        self.wanted.insert(key, Want { bytes, asked: None });
        self.free.insert(key);
        self.head_moved(now);
    }

    fn on_unwant(&mut self, now: Duration, from: u64, to: u64) {
        if from > to {
            return;
        }
        let keys: Vec<u64> = self.wanted.range(from..=to).map(|(key, _)| *key).collect();
        for key in keys {
            self.take(key);
        }
        let ahead: Vec<u64> = self.ahead.range(from..=to).map(|(key, _)| *key).collect();
        for key in ahead {
            self.ahead_bytes -= self.ahead.remove(&key).expect("it was just seen");
        }
        self.head_moved(now);
    }

    fn on_joined(&mut self, peer: P, pinned: bool) {
        self.on_left(peer);
        self.peers.insert(peer, Peer::new(&self.config, pinned));
    }

    fn on_left(&mut self, peer: P) {
        if self.peers.contains_key(&peer) {
            self.release(peer);
            self.peers.remove(&peer);
        }
    }

    fn on_has(&mut self, peer: P, from: u64, to: u64) {
        // What is below the head is of no use, and would only fill the set.
        let lowest = self.head().unwrap_or(self.next);
        self.with(peer, |peer| peer.has.insert(from.max(lowest), to));
    }

    fn on_received(&mut self, now: Duration, peer: P, key: u64, bytes: u64) {
        self.with(peer, |peer| {
            peer.acquit(key);
            peer.delivered = now;
        });
        let was_head = self.head() == Some(key);
        if self.take(key).is_none() {
            self.status.useless += 1;
            return;
        }
        self.with(peer, |peer| peer.suspect = false);
        if was_head {
            self.stall.on_progress();
        } else {
            self.ahead.insert(key, bytes);
            self.ahead_bytes += bytes;
        }
        self.head_moved(now);
    }

    fn on_done(&mut self, id: P) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(Request { from, to, .. }) = peer.requests.pop_front() else { return };
        let missing = peer.owed_in(from, to);
        for key in &missing {
            peer.acquit(*key);
            peer.has.remove(*key, *key);
        }
        if missing.is_empty() && !peer.overdue {
            peer.budget = peer.budget.saturating_mul(2).min(self.config.peer_bytes.get());
        }
        peer.overdue &= !peer.requests.is_empty();
        for key in missing {
            if self.wanted.get(&key).is_some_and(|want| want.asked == Some(id)) {
                self.free(key);
            }
        }
    }

    fn on_tick(&mut self, now: Duration, ask: bool, judge: bool, out: &mut Vec<Output<P>>) {
        if judge {
            self.judge(now, out);
            self.peers.values_mut().for_each(|peer| peer.is_unread = false);
        }
        if ask {
            self.ask(now, out);
        }
        self.watch(now);
    }

    /// Asks peers for free items, the lowest first, until nobody can be asked for anything.
    fn ask(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        let mut from = 0;
        while let Some(key) = self.free.range(from..).next().copied() {
            let bytes = self.wanted[&key].bytes;
            if self.head() != Some(key) && !self.has_room(bytes) {
                return;
            }
            let ready = self.peers.iter().filter(|(_, peer)| peer.is_ready(&self.config));
            let having = ready.clone().filter(|(_, peer)| peer.has.contains(key));
            // Not a suspect, then the most room, then the first by name.
            match having.max_by_key(|(id, peer)| (!peer.suspect, peer.room(), Reverse(**id))) {
                Some((&peer, _)) => {
                    let to = self.request(now, peer, key);
                    out.push(Output::Request { peer, from: key, to });
                    from = to + 1;
                }
                None => match ready.filter_map(|(_, peer)| peer.has.next_from(key)).min() {
                    Some(next) => from = next,
                    None => return,
                },
            }
        }
    }

    /// Writes a request from this item on into the books, as long as it may be, and gives its last item.
    fn request(&mut self, now: Duration, id: P, from: u64) -> u64 {
        let (mut to, mut bytes) = (from, self.assign(id, from));
        for _ in 1..self.config.request_items.get() {
            let Some(next) = to.checked_add(1).filter(|next| self.free.contains(next)) else { break };
            let more = self.wanted[&next].bytes;
            let peer = &self.peers[&id];
            let fits = bytes + more <= self.config.request_bytes.get() && more <= peer.room();
            if !fits || !peer.has.contains(next) || !self.has_room(more) {
                break;
            }
            bytes += self.assign(id, next);
            to = next;
        }
        let peer = self.peers.get_mut(&id).expect("a peer that is asked has joined");
        peer.requests.push_back(Request { from, to, asked: now });
        to
    }

    /// Marks a free item as asked of a peer, and gives its size.
    fn assign(&mut self, id: P, key: u64) -> u64 {
        let want = self.wanted.get_mut(&key).expect("a free item is wanted");
        want.asked = Some(id);
        self.free.remove(&key);
        self.status.in_flight += 1;
        self.status.in_flight_bytes += want.bytes;
        let bytes = want.bytes;
        self.peers.get_mut(&id).expect("a peer that is asked has joined").owe(key, bytes);
        bytes
    }

    /// Makes everything that a peer was asked for free for others. What it still delivers is welcome.
    pub(crate) fn release(&mut self, id: P) {
        let owed: Vec<u64> = self.peers[&id].owed.keys().copied().collect();
        for key in owed {
            if self.wanted.get(&key).is_some_and(|want| want.asked == Some(id)) {
                self.free(key);
            }
        }
    }

    fn free(&mut self, key: u64) {
        let want = self.wanted.get_mut(&key).expect("only wanted items are freed");
        want.asked = None;
        let bytes = want.bytes;
        self.free.insert(key);
        self.status.in_flight -= 1;
        self.status.in_flight_bytes -= bytes;
    }

    /// Strikes an item off what is wanted.
    fn take(&mut self, key: u64) -> Option<Want<P>> {
        let want = self.wanted.remove(&key)?;
        match want.asked {
            None => {
                self.free.remove(&key);
            }
            Some(_) => {
                self.status.in_flight -= 1;
                self.status.in_flight_bytes -= want.bytes;
            }
        }
        Some(want)
    }

    /// Whether so many more bytes of items other than the head may be in flight.
    fn has_room(&self, bytes: u64) -> bool {
        let items = self.ahead.len() + self.status.in_flight;
        let used = self.ahead_bytes + self.status.in_flight_bytes;
        items < self.config.window_items.get() as usize && used + bytes <= self.config.window_bytes.get()
    }

    /// Lets what has become history go when the head has moved.
    fn head_moved(&mut self, now: Duration) {
        let head = self.head();
        if self.stall.head == head {
            return;
        }
        self.stall.on_head(head, now);
        let lowest = head.unwrap_or(self.next);
        while let Some(entry) = self.ahead.first_entry().filter(|entry| *entry.key() < lowest) {
            self.ahead_bytes -= entry.remove();
        }
        if let Some(below) = lowest.checked_sub(1) {
            self.peers.values_mut().for_each(|peer| peer.has.remove(0, below));
        }
    }

    fn with(&mut self, peer: P, act: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            act(peer);
        }
    }

    pub(crate) fn on_evicted(&mut self) {
        self.status.evicted += 1;
    }

    /// Panics where the books do not balance. Costs time in the number of wanted items.
    pub fn check_invariants(&self) {
        let (mut count, mut bytes) = (0, 0);
        for (key, want) in &self.wanted {
            assert_eq!(self.free.contains(key), want.asked.is_none(), "free is what nobody was asked for");
            if let Some(peer) = &want.asked {
                assert!(self.peers[peer].owed.contains_key(key), "who was asked owes it");
                (count, bytes) = (count + 1, bytes + want.bytes);
            }
            assert!(*key < self.next && !self.ahead.contains_key(key), "what arrived is not wanted");
        }
        assert_eq!(self.free.len() + count, self.wanted.len(), "only wanted items are free");
        assert_eq!((count, bytes), (self.status.in_flight, self.status.in_flight_bytes), "in flight adds up");
        assert_eq!(self.ahead_bytes, self.ahead.values().sum::<u64>(), "what is ahead adds up");
        let head = self.head().unwrap_or(self.next);
        assert!(self.ahead.keys().all(|key| *key > head), "what is ahead is above the head");
        // The head is asked for whatever its size. What comes late, after others were asked, is welcome too.
        assert!(count <= self.config.window_items.get() as usize + 1, "what is in flight is bounded");
        for peer in self.peers.values() {
            assert_eq!(peer.owed_bytes, peer.owed.values().sum::<u64>(), "what is owed adds up");
            assert!(peer.requests.len() <= self.config.peer_requests.get() as usize, "requests are bounded");
            let asked =
                |key: &u64| peer.requests.iter().any(|request| (request.from..=request.to).contains(key));
            assert!(peer.owed.keys().all(asked), "only what was asked for is owed");
        }
    }
}
