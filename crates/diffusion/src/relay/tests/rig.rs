//! A small world: nodes with relay, links with latencies that break and come back, applications that take their time,
//! peers that cheat.
//!
//! Every message goes through its encoding. After each event the books of the node that acted are checked; nothing is
//! sent beyond a link's room, and nothing offered to a peer that offered it over the same link.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::relay::{
    Config, Input, MAX_MORE, MAX_OFFERS, Message, Name, Offer, Output, Refusal, State, TRANSACTION, Ticket,
    Verdict, Violation,
};

/// What a link takes of messages that have not arrived.
const WINDOW: u64 = 64 << 10;

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    Honest,
    /// Offers all that it hears of, and answers nothing.
    Withholds,
    /// Offers all that it hears of with a wrong size, and sends it.
    Lies,
    /// Offers what is not, and more than it may; sends what nobody asked for; asks for anything; refuses.
    Floods,
}

#[derive(Debug)]
enum Event {
    Link { node: usize, peer: usize, epoch: u64, up: bool },
    Message { from: usize, to: usize, epoch: u64, bytes: Bytes },
    Ack { from: usize, to: usize, epoch: u64, cost: u64 },
    Judged { node: usize, life: u64, name: Name, verdict: Verdict },
}

/// A link between two nodes.
#[derive(Debug, Clone, Copy)]
struct Link {
    latency: Duration,
    epoch: u64,
    up: bool,
}

/// One side of a link that its node knows to be up.
#[derive(Debug, Default)]
struct Side {
    epoch: u64,
    under_way: u64,
    /// What the peer has offered over it.
    offered: BTreeSet<Name>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) state: State<usize>,
    pub(super) conduct: Conduct,
    sides: BTreeMap<usize, Side>,
    life: u64,
    /// Whether its application answers nothing; the questions wait.
    stalled: bool,
    questions: Vec<(Name, Bytes)>,
    /// What a cheat has heard of, with its size, and what it has.
    heard: BTreeMap<Name, u32>,
    has: BTreeMap<Name, Bytes>,
    /// How often it will flood; it would go on for ever.
    floods: u32,
    pub(super) blamed: Vec<(usize, Violation)>,
    /// How often it asked for each item.
    pub(super) asked: BTreeMap<Name, u32>,
    /// How often each item came.
    pub(super) got: BTreeMap<Name, u32>,
}

/// The world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) nodes: Vec<Node>,
    pub(super) rng: ChaCha12Rng,
    links: BTreeMap<(usize, usize), Link>,
    events: BTreeMap<(Duration, u64), Event>,
    next: u64,
    /// When the last message on a way arrives: ways keep their order.
    arrivals: BTreeMap<(usize, usize), Duration>,
    config: Config,
    /// How many messages of each kind honest nodes sent.
    pub(super) sent: BTreeMap<&'static str, u64>,
    /// How long an application takes at most.
    pub(super) judge_ms: u64,
}

impl World {
    pub(super) fn new(count: usize, seed: u64, config: Config) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            nodes: Vec::new(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            links: BTreeMap::new(),
            events: BTreeMap::new(),
            next: 0,
            arrivals: BTreeMap::new(),
            config,
            sent: BTreeMap::new(),
            judge_ms: 20,
        };
        for n in 0..count {
            let state = world.fresh(n as u64);
            world.nodes.push(Node {
                state,
                conduct: Conduct::Honest,
                sides: BTreeMap::new(),
                life: 0,
                stalled: false,
                questions: Vec::new(),
                heard: BTreeMap::new(),
                has: BTreeMap::new(),
                floods: 4,
                blamed: Vec::new(),
                asked: BTreeMap::new(),
                got: BTreeMap::new(),
            });
        }
        world
    }

    fn fresh(&mut self, seed: u64) -> State<usize> {
        State::new(self.config.clone(), ChaCha12Rng::seed_from_u64(seed))
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.rng.random_range(0..n)
    }

    /// Makes a link, or sets it up or down.
    pub(super) fn set_link(&mut self, a: usize, b: usize, latency_ms: u64, up: bool) {
        let key = (a.min(b), a.max(b));
        let epoch = self.next;
        let link = self.links.entry(key).or_insert(Link { latency: Duration::ZERO, epoch, up: false });
        if link.up != up {
            link.epoch = if up { epoch } else { link.epoch };
            link.up = up;
            link.latency = Duration::from_millis(latency_ms);
            let (latency, epoch) = (link.latency, link.epoch);
            for (node, peer) in [(a, b), (b, a)] {
                let late = latency.mul_f64(self.rng.random_range(0.0..1.0));
                self.at(self.now + late, Event::Link { node, peer, epoch, up });
            }
        }
    }

    pub(super) fn all_links(&self) -> Vec<(usize, usize)> {
        self.links.keys().copied().collect()
    }

    /// A node loses all that it knows, its links included.
    pub(super) fn restart(&mut self, n: usize) {
        for (a, b) in self.all_links() {
            if (a == n || b == n) && self.links[&(a, b)].up {
                let latency = self.links[&(a, b)].latency.as_millis() as u64;
                self.set_link(a, b, latency, false);
                self.set_link(a, b, latency, true);
            }
        }
        let seed = self.below(u64::MAX);
        let state = self.fresh(seed);
        let node = &mut self.nodes[n];
        node.state = state;
        node.sides.clear();
        node.questions.clear();
        node.life += 1;
    }

    /// An application stops to answer, or answers all that waits.
    pub(super) fn stall(&mut self, n: usize, stalled: bool) {
        self.nodes[n].stalled = stalled;
        if !stalled {
            let questions = std::mem::take(&mut self.nodes[n].questions);
            questions.into_iter().for_each(|(name, bytes)| self.judge(n, name, &bytes));
        }
    }

    pub(super) fn submit(&mut self, n: usize, bytes: Bytes) -> Result<Name, Refusal> {
        let out = self.give(n, Input::Submit { ticket: Ticket(0), kind: TRANSACTION, bytes });
        let answer = out.iter().find_map(|output| match output {
            Output::Submitted { result, .. } => Some(*result),
            _ => None,
        });
        answer.expect("a submission is answered at once")
    }

    pub(super) fn give(&mut self, n: usize, input: Input<usize>) -> Vec<Output<usize>> {
        let mut out = Vec::new();
        self.nodes[n].state.handle(self.now, input, &mut out);
        self.nodes[n].state.check_invariants();
        let due = self.nodes[n].state.next_deadline();
        assert!(due.is_none_or(|due| due > self.now), "what was due is done");
        for output in out.clone() {
            match output {
                Output::Send { peer, message } => {
                    *self.sent.entry(message.name()).or_default() += 1;
                    self.on_sent(n, peer, &message);
                    self.send(n, peer, message);
                }
                Output::Judge { name, bytes, .. } => {
                    if self.nodes[n].stalled {
                        self.nodes[n].questions.push((name, bytes));
                    } else {
                        self.judge(n, name, &bytes);
                    }
                }
                Output::Misbehaved { peer, violation } => self.nodes[n].blamed.push((peer, violation)),
                Output::Submitted { .. } | Output::Progressed { .. } => {}
            }
        }
        out
    }

    /// The rules that the messages of honest nodes keep.
    fn on_sent(&mut self, n: usize, peer: usize, message: &Message) {
        let honest = self.nodes[peer].conduct == Conduct::Honest;
        let node = &mut self.nodes[n];
        match message {
            // What a cheat offers and does not give it is taken not to have.
            Message::Offer(offers) if honest => {
                let side = &node.sides[&peer];
                for Offer { name, .. } in offers {
                    assert!(!side.offered.contains(name), "nothing is offered back to who offered it");
                }
            }
            Message::Want(names) => {
                names.iter().for_each(|name| *node.asked.entry(*name).or_default() += 1);
            }
            Message::Offer(_) | Message::Data { .. } | Message::No(_) | Message::More { .. } => {}
        }
    }

    /// What every application thinks of an item: its first byte says it.
    fn judge(&mut self, n: usize, name: Name, bytes: &Bytes) {
        let verdict = match bytes[0] {
            0 => Verdict::Reject,
            1 => Verdict::Ignore,
            _ => Verdict::Accept,
        };
        let takes = Duration::from_millis(1 + self.below(self.judge_ms));
        let life = self.nodes[n].life;
        self.at(self.now + takes, Event::Judged { node: n, life, name, verdict });
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let bytes = message.to_bytes();
        let cost = bytes.len() as u64 + 73;
        let honest = self.nodes[from].conduct == Conduct::Honest;
        let side = self.nodes[from].sides.get_mut(&to).expect("only who is there is sent anything");
        side.under_way += cost;
        assert!(!honest || side.under_way <= WINDOW, "nothing is sent beyond the room");
        let (epoch, latency) = (side.epoch, self.links[&(from.min(to), from.max(to))].latency);
        let last = self.arrivals.entry((from, to)).or_default();
        let arrives = (self.now + latency).max(*last);
        *last = arrives;
        self.at(arrives, Event::Message { from, to, epoch, bytes });
    }

    fn at(&mut self, when: Duration, event: Event) {
        self.events.insert((when, self.next), event);
        self.next += 1;
    }

    /// Runs for some time.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let event = self.events.first_key_value().map(|((when, _), _)| *when);
            let honest = self.nodes.iter().enumerate().filter(|(_, node)| node.conduct == Conduct::Honest);
            let due = honest.filter_map(|(n, node)| Some((node.state.next_deadline()?, n))).min();
            match (event, due) {
                (Some(when), due) if due.is_none_or(|(due, _)| when <= due) && when <= end => {
                    self.now = when;
                    let (_, event) = self.events.pop_first().expect("it is there");
                    self.on_event(event);
                }
                (_, Some((due, n))) if due <= end => {
                    self.now = due;
                    self.give(n, Input::Tick);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Link { node, peer, epoch, up } => self.on_link(node, peer, epoch, up),
            Event::Message { from, to, epoch, bytes } => {
                if self.is_current(to, from, epoch) {
                    let cost = bytes.len() as u64 + 73;
                    let latency = self.links[&(from.min(to), from.max(to))].latency;
                    self.at(self.now + latency, Event::Ack { from, to, epoch, cost });
                    self.on_message(from, to, &bytes);
                }
            }
            Event::Ack { from, to, epoch, cost } => {
                if self.is_current(from, to, epoch) {
                    let side = self.nodes[from].sides.get_mut(&to).expect("it is up");
                    side.under_way -= cost;
                    let bytes = WINDOW.saturating_sub(side.under_way);
                    if self.nodes[from].conduct == Conduct::Honest {
                        self.give(from, Input::Room { peer: to, bytes });
                    }
                }
            }
            Event::Judged { node, life, name, verdict } => {
                if self.nodes[node].life == life {
                    self.give(node, Input::Judged { name, verdict });
                }
            }
        }
    }

    fn is_current(&self, node: usize, peer: usize, epoch: u64) -> bool {
        self.nodes[node].sides.get(&peer).is_some_and(|side| side.epoch == epoch)
    }

    fn on_link(&mut self, node: usize, peer: usize, epoch: u64, up: bool) {
        let link = self.links[&(node.min(peer), node.max(peer))];
        let honest = self.nodes[node].conduct == Conduct::Honest;
        if up {
            if link.epoch != epoch || !link.up {
                return; // It broke before it was noticed.
            }
            let side = Side { epoch, ..Side::default() };
            self.nodes[node].sides.insert(peer, side);
            if honest {
                self.give(node, Input::Joined { peer, room: WINDOW });
            } else {
                self.send(node, peer, Message::More { offers: MAX_MORE });
            }
        } else if self.is_current(node, peer, epoch) {
            self.nodes[node].sides.remove(&peer);
            if honest {
                self.give(node, Input::Left { peer });
            }
        }
    }

    fn on_message(&mut self, from: usize, to: usize, bytes: &Bytes) {
        let message = Message::decode(bytes).expect("what is written can be read");
        if self.nodes[to].conduct != Conduct::Honest {
            return self.cheat(from, to, message);
        }
        match &message {
            Message::Offer(offers) => {
                let side = self.nodes[to].sides.get_mut(&from).expect("it is up");
                side.offered.extend(offers.iter().map(|offer| offer.name));
            }
            Message::Data { kind, bytes } => {
                *self.nodes[to].got.entry(Name::of(*kind, bytes)).or_default() += 1;
            }
            Message::No(names) => {
                let side = self.nodes[to].sides.get_mut(&from).expect("it is up");
                side.offered.retain(|name| !names.contains(name));
            }
            Message::Want(_) | Message::More { .. } => {}
        }
        self.give(to, Input::Message { peer: from, message });
    }

    /// What a cheat makes of a message.
    fn cheat(&mut self, from: usize, me: usize, message: Message) {
        match (self.nodes[me].conduct, message) {
            (Conduct::Floods, Message::More { .. }) => self.flood(from, me),
            (_, Message::Offer(offers)) => {
                let lies = self.nodes[me].conduct == Conduct::Lies;
                let heard = &mut self.nodes[me].heard;
                let new: Vec<Offer> = offers
                    .into_iter()
                    .filter(|offer| heard.insert(offer.name, offer.size).is_none())
                    .collect();
                if lies && !new.is_empty() {
                    self.send(me, from, Message::Want(new.iter().map(|offer| offer.name).collect()));
                }
                self.spread(me, from, &new);
            }
            (Conduct::Lies, Message::Data { kind, bytes }) => {
                self.nodes[me].has.insert(Name::of(kind, &bytes), bytes);
            }
            (Conduct::Lies, Message::Want(names)) => {
                for name in names {
                    match self.nodes[me].has.get(&name).cloned() {
                        Some(bytes) => self.send(me, from, Message::Data { kind: name.kind, bytes }),
                        None => self.send(me, from, Message::No(vec![name])),
                    }
                }
            }
            (Conduct::Floods, Message::Want(names)) => self.send(me, from, Message::No(names)),
            _ => {}
        }
    }

    /// Offers what it heard to everybody, who has it included; a liar with another size.
    fn spread(&mut self, me: usize, from: usize, offers: &[Offer]) {
        let more = u32::from(self.nodes[me].conduct == Conduct::Lies);
        let offers: Vec<Offer> =
            offers.iter().map(|offer| Offer { size: offer.size + more, ..*offer }).collect();
        let peers: Vec<usize> = self.nodes[me].sides.keys().copied().collect();
        for peer in peers.into_iter().filter(|peer| *peer != from && !offers.is_empty()) {
            self.send(me, peer, Message::Offer(offers.clone()));
        }
    }

    fn flood(&mut self, to: usize, me: usize) {
        let Some(left) = self.nodes[me].floods.checked_sub(1) else { return };
        self.nodes[me].floods = left;
        for _ in 0..8 {
            let offer = |name| Offer { name, size: 1_000 };
            let mut made = || Name::of(TRANSACTION, &self.rng.random::<[u8; 8]>());
            let offers = (0..MAX_OFFERS).map(|_| offer(made())).collect();
            let wants = (0..100).map(|_| made()).collect();
            let junk: [u8; 32] = self.rng.random();
            self.send(me, to, Message::Offer(offers));
            self.send(me, to, Message::Want(wants));
            let bytes = Bytes::copy_from_slice(&junk);
            self.send(me, to, Message::Data { kind: TRANSACTION, bytes });
        }
    }
}
