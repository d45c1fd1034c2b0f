//! The machine of bodies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chain::Hash;

use super::peer::{Mode, Peer, transfer};
use super::{Config, Input, Output, Producer, Status};
use crate::sync::Message;

/// How many bodies that arrived are remembered with who brought them, so that of two senders the later can be told to
/// stop. A guess: some minutes of blocks.
const MAX_BROUGHT: usize = 1_024;

/// What keeping a body costs beside its bytes, so that empty ones are not free.
const EARLY_OVERHEAD_BYTES: usize = 64;

/// A wanted body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Want<P> {
    producer: Producer,
    bytes: u64,
    /// Who has the header, the first that had it in front.
    announcers: Vec<P>,
    /// Who was asked in this round, refused or not.
    asked: BTreeSet<P>,
    /// Who is waited for.
    now: Option<P>,
    /// Since when.
    since: Duration,
    /// When to look again; `None` while there is nobody to ask.
    deadline: Option<Duration>,
    /// How often everybody was asked.
    rounds: u32,
}

/// Whose pushes of a producer's bodies we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parent<P> {
    peer: P,
    /// Whether it has said that it pushes what comes now.
    pushes: bool,
}

/// The bodies of one node. `P` names a peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State<P> {
    config: Config,
    peers: BTreeMap<P, Peer>,
    wants: BTreeMap<Hash, Want<P>>,
    deadlines: BTreeSet<(Duration, Hash)>,
    parents: BTreeMap<Producer, Parent<P>>,
    brought: VecDeque<(Hash, P)>,
    status: Status,
}

impl<P: Copy + Ord> State<P> {
    /// A node that wants nothing and knows nobody.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            wants: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            parents: BTreeMap::new(),
            brought: VecDeque::new(),
            status: Status::default(),
        }
    }

    /// Takes in what happened. What concerns a peer that is not there is ignored: it crossed its leaving.
    ///
    /// # Panics
    /// When more is wanted than [`State::room`] says.
    pub fn handle(&mut self, now: Duration, input: Input<P>, out: &mut Vec<Output<P>>) {
        match input {
            Input::Joined { peer } => self.on_joined(now, peer, out),
            Input::Left { peer } => self.on_left(now, peer, out),
            Input::Rtt { peer, rtt } => self.with(peer, |peer| peer.rtt = Some(rtt)),
            Input::Mode { peer, mode } => self.on_mode(now, peer, mode, out),
            Input::Want { id, producer, bytes, from } => self.on_want(now, id, producer, bytes, from, out),
            Input::Unwant { id } => drop(self.drop_want(id)),
            Input::Announced { peer, id, producer } => {
                self.on_announced(now, peer, id, producer, out);
            }
            Input::Arrived { peer, id, producer, bytes, held } => {
                self.on_arrived(now, peer, id, producer, bytes, held, out);
            }
            Input::Stored { id, producer, from } => self.on_stored(id, producer, from, out),
            Input::Told { peer, id, held } => self.on_told(peer, id, held, out),
            Input::Asked { peer, id, follow, held } => {
                self.on_asked(now, peer, id, follow, held, out);
            }
            Input::Refused { peer, id } => self.on_refused(now, peer, id, out),
            Input::Stopped { peer, producer } => {
                self.with(peer, |peer| peer.follows.retain(|followed| *followed != producer));
            }
            Input::Pushes { peer, producer } => self.on_pushes(peer, producer),
            Input::Tick => self.on_tick(now, out),
        }
    }

    /// When to come back with a tick at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// How many more bodies may be wanted.
    pub fn room(&self) -> usize {
        self.config.wants.get() - self.wants.len()
    }

    /// Whether the body is wanted and has not arrived.
    pub fn is_wanted(&self, id: &Hash) -> bool {
        self.wants.contains_key(id)
    }

    /// Whose pushes of this producer's bodies we take.
    pub fn parent(&self, producer: &Producer) -> Option<P> {
        self.parents.get(producer).map(|parent| parent.peer)
    }

    /// What operators may see.
    pub fn status(&self) -> Status {
        let parked = self.peers.values().map(|peer| peer.parked.len()).sum();
        Status { wanted: self.wants.len(), parents: self.parents.len(), parked, ..self.status }
    }

    /// Panics where B1 or a bound does not hold.
    pub fn check_invariants(&self) {
        let nobody = !self.peers.values().any(|peer| peer.standing().is_some());
        for (id, want) in &self.wants {
            assert!(want.now.is_none_or(|peer| self.peers.contains_key(&peer)), "who is waited for is there");
            assert!(want.deadline.is_some() || nobody, "B1: a wanted body is asked for, or will be");
            let filed = want.deadline.is_none_or(|at| self.deadlines.contains(&(at, *id)));
            assert!(filed, "a deadline is filed");
            assert!(want.announcers.len() <= self.config.announcers.get(), "announcers are bounded");
        }
        let due = self.wants.values().filter(|want| want.deadline.is_some()).count();
        assert_eq!(due, self.deadlines.len(), "deadlines are those of what is wanted");
        assert!(self.wants.len() <= self.config.wants.get(), "what is wanted is bounded");
        assert!(
            self.parents.values().all(|parent| self.peers.contains_key(&parent.peer)),
            "parents are there"
        );
        assert!(self.parents.len() <= self.config.producers.get(), "parents are bounded");
        for peer in self.peers.values() {
            assert!(peer.parked.len() <= self.config.parked.get(), "what is parked is bounded");
            assert!(peer.follows.len() <= self.config.producers.get(), "what is followed is bounded");
            assert!(peer.early_bytes() <= self.config.early_bytes.get(), "what is kept is bounded");
        }
    }

    fn on_joined(&mut self, now: Duration, peer: P, out: &mut Vec<Output<P>>) {
        self.on_left(now, peer, out);
        self.peers.insert(peer, Peer::default());
        self.ask_idle(now, out);
    }

    fn on_left(&mut self, now: Duration, id: P, out: &mut Vec<Output<P>>) {
        let Some(peer) = self.peers.remove(&id) else { return };
        out.extend(peer.early.iter().map(|(block, _)| Output::Forget { peer: id, id: *block }));
        self.parents.retain(|_, parent| parent.peer != id);
        self.brought.retain(|(_, peer)| *peer != id);
        for want in self.wants.values_mut() {
            want.announcers.retain(|peer| *peer != id);
            want.asked.remove(&id);
        }
        self.leave(now, id, out);
    }

    /// Asks others for everything that a peer was waited for.
    fn leave(&mut self, now: Duration, peer: P, out: &mut Vec<Output<P>>) {
        let waiting = self.wants.iter().filter(|(_, want)| want.now == Some(peer));
        let waiting: Vec<Hash> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            self.ask(now, id, out);
        }
    }

    fn on_mode(&mut self, now: Duration, id: P, mode: Mode, out: &mut Vec<Output<P>>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.mode = mode;
        match mode {
            Mode::Auto | Mode::Active => return self.ask_idle(now, out),
            Mode::Backup => {}
            Mode::Off => {
                peer.follows.clear();
                let parked = std::mem::take(&mut peer.parked);
                out.extend(parked.into_iter().map(|(block, _)| no(id, block)));
            }
        }
        let fed: Vec<Producer> = self
            .parents
            .iter()
            .filter(|(_, parent)| parent.peer == id)
            .map(|(producer, _)| *producer)
            .collect();
        for producer in fed {
            self.parents.remove(&producer);
            out.push(stop(id, producer));
        }
        self.leave(now, id, out);
        self.ask_idle(now, out);
    }

    fn on_want(
        &mut self,
        now: Duration,
        id: Hash,
        producer: Producer,
        bytes: u64,
        from: Option<P>,
        out: &mut Vec<Output<P>>,
    ) {
        if self.wants.contains_key(&id) {
            return from.into_iter().for_each(|peer| self.on_announced(now, peer, id, producer, out));
        }
        let early = self.peers.iter_mut().find(|(_, peer)| peer.early.iter().any(|(early, _)| *early == id));
        if let Some((&sender, peer)) = early {
            peer.take_early(id);
            self.remember(id, sender);
            return out.push(Output::Take { peer: sender, id });
        }
        assert!(self.room() > 0, "what is wanted is bounded by whoever wants it");
        let announcers = from.into_iter().filter(|peer| self.peers.contains_key(peer)).collect();
        let want = Want {
            producer,
            bytes,
            announcers,
            asked: BTreeSet::new(),
            now: None,
            since: now,
            deadline: None,
            rounds: 0,
        };
        self.wants.insert(id, want);
        match self.parents.get(&producer) {
            // It comes unasked, unless its header came before the promise.
            Some(parent) if parent.pushes && !self.peers[&parent.peer].heard.contains(&id) => {
                self.await_from(now, id, parent.peer);
            }
            Some(_) | None => self.ask(now, id, out),
        }
    }

    fn on_announced(
        &mut self,
        now: Duration,
        peer: P,
        id: Hash,
        producer: Producer,
        out: &mut Vec<Output<P>>,
    ) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        if self.parents.get(&producer) != Some(&Parent { peer, pushes: true }) {
            self.with(peer, |peer| peer.hear(id));
        }
        let max = self.config.announcers.get();
        let Some(want) = self.wants.get_mut(&id) else { return };
        if want.announcers.len() < max && !want.announcers.contains(&peer) {
            want.announcers.push(peer);
        }
        if want.now.is_none() {
            self.ask(now, id, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one input")]
    fn on_arrived(
        &mut self,
        now: Duration,
        id: P,
        block: Hash,
        producer: Producer,
        bytes: usize,
        held: bool,
        out: &mut Vec<Output<P>>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.brought = now;
        peer.lapses = 0;
        peer.unpark(block);
        if self.drop_want(block).is_some() {
            self.remember(block, id);
            return out.push(Output::Take { peer: id, id: block });
        }
        if held {
            return self.on_twice(id, block, producer, out);
        }
        let max = self.config.early_bytes.get();
        let bytes = bytes.saturating_add(EARLY_OVERHEAD_BYTES);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if bytes > max || peer.early.iter().any(|(early, _)| *early == block) {
            self.status.useless += 1;
            return;
        }
        while peer.early_bytes() + bytes > max {
            let (old, _) = peer.early.pop_front().expect("bytes are those of bodies");
            self.status.useless += 1;
            out.push(Output::Forget { peer: id, id: old });
        }
        peer.early.push_back((block, bytes));
        out.push(Output::Keep { peer: id, id: block });
    }

    /// We had it: of two senders the later stops. When that is the parent, the earlier takes its place.
    fn on_twice(&mut self, id: P, block: Hash, producer: Producer, out: &mut Vec<Output<P>>) {
        self.status.twice += 1;
        let first = self.brought.iter().find(|(brought, _)| *brought == block).map(|(_, peer)| *peer);
        if first == Some(id) {
            return;
        }
        if self.parents.get(&producer).is_some_and(|parent| parent.peer == id) {
            self.parents.remove(&producer);
            self.parents.extend(first.map(|peer| (producer, Parent { peer, pushes: false })));
        }
        out.push(stop(id, producer));
    }

    fn on_stored(&mut self, block: Hash, producer: Producer, from: Option<P>, out: &mut Vec<Output<P>>) {
        self.drop_want(block);
        let config = self.config;
        for (&id, peer) in &mut self.peers {
            let parked = peer.unpark(block);
            if parked == Some(true) && peer.follow(&config, producer) {
                out.push(pushes(id, producer));
            }
            if from != Some(id) && (parked.is_some() || peer.follows.contains(&producer)) {
                peer.push(id, block, parked.is_none(), out);
            }
        }
    }

    fn on_told(&mut self, id: P, block: Hash, held: Option<Producer>, out: &mut Vec<Output<P>>) {
        let (Some(peer), Some(producer)) = (self.peers.get_mut(&id), held) else { return };
        if peer.follows.contains(&producer) {
            peer.push(id, block, true, out);
        }
    }

    fn on_asked(
        &mut self,
        now: Duration,
        id: P,
        block: Hash,
        follow: bool,
        held: Option<Producer>,
        out: &mut Vec<Output<P>>,
    ) {
        let config = self.config;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.mode == Mode::Off {
            return out.push(no(id, block));
        }
        if let Some(producer) = held {
            if follow && peer.follow(&config, producer) {
                out.push(pushes(id, producer));
            }
            // A request that crossed the push is answered by it.
            if !peer.crosses_push(block) {
                peer.forget(block);
                peer.push(id, block, false, out);
            }
            return;
        }
        let follows = peer.unpark(block) == Some(true);
        if peer.parked.len() == config.parked.get() {
            let (old, _) = peer.parked.pop_front().expect("there are some");
            out.push(no(id, old));
        }
        peer.parked.push_back((block, follow || follows));
        // It waits for us as we wait for it: as happens where a tree has lost a node, between two of those below.
        if self.wants.get(&block).is_some_and(|want| want.now == Some(id)) {
            self.ask(now, block, out);
        }
    }

    fn on_refused(&mut self, now: Duration, peer: P, id: Hash, out: &mut Vec<Output<P>>) {
        if self.wants.get(&id).is_some_and(|want| want.now == Some(peer)) {
            self.ask(now, id, out);
        }
    }

    fn on_pushes(&mut self, peer: P, producer: Producer) {
        if let Some(parent) = self.parents.get_mut(&producer).filter(|parent| parent.peer == peer) {
            parent.pushes = true;
        }
    }

    fn on_tick(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        while let Some(&(_, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            let want = &self.wants[&id];
            if let Some(peer) = want.now {
                let until = self.until(peer, want);
                if until > now {
                    self.set_deadline(id, Some(until));
                    continue;
                }
                self.status.late += 1;
                self.with(peer, |peer| peer.lapses += 1);
            }
            self.ask(now, id, out);
        }
    }

    /// Until when a peer may take: it gets more time while it brings other bodies, but not for ever.
    fn until(&self, peer: P, want: &Want<P>) -> Duration {
        let peer = &self.peers[&peer];
        let timeout = peer.timeout(&self.config, want.bytes, want.rounds);
        let longest = self.config.timeout_max + transfer(&self.config, want.bytes);
        (peer.brought.max(want.since) + timeout).min(want.since + longest)
    }

    /// Asks the next one for a body, and makes it the producer's parent.
    fn ask(&mut self, now: Duration, id: Hash, out: &mut Vec<Output<P>>) {
        let want = &self.wants[&id];
        let (producer, before) = (want.producer, want.now);
        let Some(peer) = self.next(want) else { return self.ask_later(now, id) };
        self.await_from(now, id, peer);
        let follow = self.move_parent(producer, before, peer, out);
        out.push(Output::Send { peer, message: Message::Want { id, follow } });
    }

    /// Makes a peer a producer's parent, unless another one is who was not just found wanting. Says whether it is.
    fn move_parent(
        &mut self,
        producer: Producer,
        before: Option<P>,
        peer: P,
        out: &mut Vec<Output<P>>,
    ) -> bool {
        let parent = self.parents.get(&producer).map(|parent| parent.peer);
        if parent == Some(peer) {
            return true;
        }
        if parent.is_some() && parent != before {
            return false;
        }
        if parent.is_none() && self.parents.len() == self.config.producers.get() {
            return false;
        }
        out.extend(parent.map(|parent| stop(parent, producer)));
        self.parents.insert(producer, Parent { peer, pushes: false });
        true
    }

    /// Who is asked next: by hand, then who keeps its word, then the parent, then who announced it, the first first,
    /// then anybody.
    fn next(&self, want: &Want<P>) -> Option<P> {
        let parent = self.parents.get(&want.producer).map(|parent| parent.peer);
        let candidates = self.peers.iter().filter(|(id, _)| !want.asked.contains(id));
        let ranked = candidates.filter_map(|(id, peer)| {
            let announced = want.announcers.iter().position(|other| other == id);
            let place = announced.unwrap_or(self.config.announcers.get());
            Some((peer.standing()?, parent != Some(*id), place, *id))
        });
        ranked.min().map(|(.., id)| id)
    }

    /// Everybody was asked: after a pause all are asked again. Without anybody, whoever joins is asked.
    fn ask_later(&mut self, now: Duration, id: Hash) {
        let nobody = !self.peers.values().any(|peer| peer.standing().is_some());
        let (max, min) = (self.config.timeout_max, self.config.timeout_min);
        let want = self.wants.get_mut(&id).expect("it is wanted");
        want.now = None;
        want.asked.clear();
        let pause = min.saturating_mul(1 << want.rounds.min(10)).min(max);
        want.rounds = want.rounds.saturating_add(1);
        self.set_deadline(id, (!nobody).then_some(now + pause));
    }

    /// Asks for what nobody is waited for.
    fn ask_idle(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        let idle = self.wants.iter().filter(|(_, want)| want.now.is_none()).map(|(id, _)| *id);
        for id in idle.collect::<Vec<_>>() {
            self.ask(now, id, out);
        }
    }

    fn await_from(&mut self, now: Duration, id: Hash, peer: P) {
        let want = self.wants.get_mut(&id).expect("it is wanted");
        want.asked.insert(peer);
        want.now = Some(peer);
        want.since = now;
        let timeout = self.peers[&peer].timeout(&self.config, want.bytes, want.rounds);
        self.set_deadline(id, Some(now + timeout));
    }

    fn set_deadline(&mut self, id: Hash, deadline: Option<Duration>) {
        let want = self.wants.get_mut(&id).expect("it is wanted");
        if let Some(at) = want.deadline {
            self.deadlines.remove(&(at, id));
        }
        want.deadline = deadline;
        self.deadlines.extend(deadline.map(|at| (at, id)));
    }

    fn drop_want(&mut self, id: Hash) -> Option<Want<P>> {
        let want = self.wants.remove(&id)?;
        if let Some(at) = want.deadline {
            self.deadlines.remove(&(at, id));
        }
        Some(want)
    }

    fn remember(&mut self, id: Hash, peer: P) {
        self.status.arrived += 1;
        if self.brought.len() == MAX_BROUGHT {
            self.brought.pop_front();
        }
        self.brought.push_back((id, peer));
    }

    fn with(&mut self, peer: P, act: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            act(peer);
        }
    }
}

fn no<P>(peer: P, id: Hash) -> Output<P> {
    Output::Send { peer, message: Message::No { id } }
}

fn stop<P>(peer: P, producer: Producer) -> Output<P> {
    Output::Send { peer, message: Message::Stop { producer } }
}

fn pushes<P>(peer: P, producer: Producer) -> Output<P> {
    Output::Send { peer, message: Message::Pushes { producer } }
}
