//! A small world: nodes with routing, links with latencies that break and come back, liars, simulated signatures.
//!
//! Every message goes through its encoding. After each event the books of the node that acted are checked, and the
//! next hops of all honest nodes are followed: none may lead in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chain::Hash;

use crate::routing::message::Message;
use crate::routing::{
    Claim, Config, Input, Output, Refusal, Route, Signature, State, Ticket, Time, To, Verdict, Violation,
};
use crate::sync::bodies::Producer;

/// The wall clock when the world begins: long after zero, so that clocks can go back.
const EPOCH: Duration = Duration::from_secs(1_000_000);

/// What a link takes.
pub(super) const ROOM: u64 = 4 << 20;

/// Random numbers that are the same on every machine: splitmix64.
#[derive(Debug, Clone)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug)]
enum Event {
    /// One side of a link notices that it is up, or that it is down.
    Up {
        node: usize,
        peer: usize,
        epoch: u64,
    },
    Down {
        node: usize,
        peer: usize,
        epoch: u64,
    },
    Message {
        from: usize,
        to: usize,
        epoch: u64,
        bytes: Bytes,
    },
    Input {
        node: usize,
        life: u64,
        input: Input<usize>,
    },
}

/// A link between two nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) latency: Duration,
    epoch: u64,
    up: bool,
}

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    Honest,
    /// Short ways to everybody, old and forged claims, little passed on.
    Liar,
    /// Short ways to everybody, and nothing that travels along them is passed on.
    Hole,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) state: State<usize>,
    pub(super) key: Option<Producer>,
    pub(super) conduct: Conduct,
    /// By how much its clock is wrong, in ms.
    pub(super) skew_ms: i64,
    /// The links that it knows to be up.
    joined: BTreeMap<usize, u64>,
    life: u64,
    /// What a liar has heard: it tells it again.
    heard: Vec<Route>,
    pub(super) delivered: BTreeMap<Hash, u32>,
    pub(super) confirmed: BTreeMap<Ticket, BTreeSet<Producer>>,
    pub(super) over: BTreeMap<Ticket, (Duration, Vec<Producer>)>,
    pub(super) blamed: Vec<(usize, Violation)>,
}

/// The world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) nodes: Vec<Node>,
    pub(super) links: BTreeMap<(usize, usize), Link>,
    pub(super) rng: Rng,
    events: BTreeMap<(Duration, u64), Event>,
    next_event: u64,
    next_epoch: u64,
    /// When the last message on a way arrives: ways keep their order.
    arrivals: BTreeMap<(usize, usize), Duration>,
    signed: BTreeSet<Claim>,
    /// Bodies that begin with this byte are bad.
    pub(super) bad: Option<u8>,
    /// Whether liars' next hops are followed as well: then there are loops to be found.
    pub(super) trusting: bool,
    /// How many messages of each kind were sent.
    pub(super) sent: BTreeMap<&'static str, u64>,
    pub(super) config: Config,
    next_ticket: u64,
}

pub(super) fn producer(n: usize) -> Producer {
    Producer([n as u8 + 1; 32])
}

pub(super) fn sign(claim: &Claim) -> Signature {
    let hash = chain::native::blake2b(&claim.bytes(&Hash([0; 32])));
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&hash.0);
    signature
}

/// What a hole makes of what it should send.
fn swallow(message: Message) -> Vec<Message> {
    let nearer = |route| match route {
        Route::Reach { producer, seq, signature, .. } => Route::Reach { producer, seq, metric: 0, signature },
        lost => lost,
    };
    match message {
        Message::Routes(routes) => vec![Message::Routes(routes.into_iter().map(nearer).collect())],
        Message::Parcel { .. } | Message::Receipt { .. } => Vec::new(),
        message => vec![message],
    }
}

impl World {
    /// Nodes without links; all are producers.
    pub(super) fn new(count: usize, seed: u64, config: Config) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            nodes: Vec::new(),
            links: BTreeMap::new(),
            rng: Rng(seed),
            events: BTreeMap::new(),
            next_event: 0,
            next_epoch: 1,
            arrivals: BTreeMap::new(),
            signed: BTreeSet::new(),
            bad: None,
            trusting: false,
            sent: BTreeMap::new(),
            config,
            next_ticket: 0,
        };
        for n in 0..count {
            world.nodes.push(Node {
                state: State::new(world.config.clone()),
                key: Some(producer(n)),
                conduct: Conduct::Honest,
                skew_ms: 0,
                joined: BTreeMap::new(),
                life: 0,
                heard: Vec::new(),
                delivered: BTreeMap::new(),
                confirmed: BTreeMap::new(),
                over: BTreeMap::new(),
                blamed: Vec::new(),
            });
        }
        world
    }

    pub(super) fn is_honest(&self, n: usize) -> bool {
        self.nodes[n].conduct == Conduct::Honest
    }

    /// Tells everybody who the producers are.
    pub(super) fn begin(&mut self) {
        (0..self.nodes.len()).for_each(|n| self.tell_producers(n, None));
    }

    /// Tells a node who the producers are, but for one.
    pub(super) fn tell_producers(&mut self, n: usize, but: Option<usize>) {
        let but = but.and_then(|but| self.nodes[but].key);
        let all = self.nodes.iter().filter_map(|node| node.key).filter(|key| Some(*key) != but).collect();
        let me = self.nodes[n].key;
        self.input(n, Input::Producers { all, me });
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.events.insert((at, self.next_event), event);
        self.next_event += 1;
    }

    /// Brings a link up, or down: each side notices within some ms.
    pub(super) fn set_link(&mut self, a: usize, b: usize, latency_ms: u64, up: bool) {
        let (a, b) = (a.min(b), a.max(b));
        let epoch = self.next_epoch;
        let old = self.links.get(&(a, b)).copied();
        if old.is_some_and(|old| old.up == up) || old.is_none() && !up {
            return;
        }
        self.next_epoch += 1;
        let latency = Duration::from_millis(latency_ms);
        let before = old.map_or(0, |old| old.epoch);
        self.links.insert((a, b), Link { latency, epoch: if up { epoch } else { before }, up });
        for (node, peer) in [(a, b), (b, a)] {
            // What is noticed of one link is noticed in its order.
            let noticed = self.arrivals.entry((node, peer + 1_000)).or_default();
            let at = (*noticed + Duration::from_micros(1)).max(self.now)
                + Duration::from_millis(self.rng.below(50));
            self.arrivals.insert((node, peer + 1_000), at);
            let event =
                if up { Event::Up { node, peer, epoch } } else { Event::Down { node, peer, epoch: before } };
            self.push(at, event);
        }
    }

    /// Both ends of a link find that its round trip is another.
    pub(super) fn measure(&mut self, a: usize, b: usize) {
        for (node, peer) in [(a, b), (b, a)] {
            let rtt = Duration::from_millis(self.rng.below(200));
            self.input(node, Input::Rtt { peer, rtt });
        }
    }

    /// A node forgets everything, and its links go with it.
    pub(super) fn restart(&mut self, n: usize) {
        let down: Vec<_> =
            self.links.iter().filter(|((a, b), link)| link.up && (*a == n || *b == n)).collect();
        let down: Vec<_> = down.into_iter().map(|(ends, link)| (*ends, link.latency)).collect();
        for ((a, b), latency) in down {
            self.set_link(a, b, latency.as_millis() as u64, false);
            self.set_link(a, b, latency.as_millis() as u64, true);
        }
        let nonce = self.rng.next();
        let node = &mut self.nodes[n];
        node.state = State::new(Config { nonce, ..self.config.clone() });
        (node.joined, node.life) = (BTreeMap::new(), node.life + 1);
        // What it delivered it forgot as well.
        node.delivered.clear();
        self.tell_producers(n, None);
    }

    pub(super) fn time(&self, n: usize) -> Time {
        let skew = Duration::from_millis(self.nodes[n].skew_ms.unsigned_abs());
        let wall = EPOCH + self.now;
        let wall = if self.nodes[n].skew_ms < 0 { wall - skew } else { wall + skew };
        Time { mono: self.now, wall }
    }

    pub(super) fn send(&mut self, from: usize, to: To, body: &[u8]) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.input(from, Input::Send { ticket, to, body: Bytes::copy_from_slice(body) });
        ticket
    }

    pub(super) fn input(&mut self, n: usize, input: Input<usize>) {
        let now = self.time(n);
        let mut out = Vec::new();
        self.nodes[n].state.handle(now, input, &mut out);
        self.nodes[n].state.check_invariants();
        for output in out {
            self.perform(n, output);
        }
        self.check_loops();
    }

    fn later(&mut self, n: usize, ms: u64, input: Input<usize>) {
        let life = self.nodes[n].life;
        self.push(self.now + Duration::from_millis(ms), Event::Input { node: n, life, input });
    }

    fn perform(&mut self, n: usize, output: Output<usize>) {
        let delay = self.rng.below(3);
        match output {
            Output::Send { peer, message } => {
                let messages = match self.nodes[n].conduct {
                    Conduct::Honest => vec![message],
                    Conduct::Liar => self.lie(n, message),
                    Conduct::Hole => swallow(message),
                };
                messages.into_iter().for_each(|message| self.transmit(n, peer, &message));
                self.later(n, 5, Input::Room { peer, bytes: ROOM });
            }
            Output::Verify { ticket, claim, signature } => {
                let genuine = self.signed.contains(&claim) && signature == sign(&claim);
                self.later(n, delay, Input::Verified { ticket, genuine });
            }
            Output::Sign { claim } => {
                assert_eq!(Some(claim.producer()), self.nodes[n].key, "we sign for ourselves");
                self.signed.insert(claim);
                self.later(n, delay, Input::Signed { claim, signature: sign(&claim) });
            }
            Output::Judge { id, body, .. } => {
                let bad = self.bad.is_some() && body.first().copied() == self.bad;
                let verdict = if bad { Verdict::Reject } else { Verdict::Accept };
                self.later(n, delay, Input::Judged { id, verdict });
            }
            Output::Deliver { id, .. } => *self.nodes[n].delivered.entry(id).or_default() += 1,
            Output::Confirmed { ticket, by } => {
                let news = self.nodes[n].confirmed.entry(ticket).or_default().insert(by);
                assert!(news, "a recipient confirms once");
            }
            Output::Over { ticket, missing } => {
                self.nodes[n].over.insert(ticket, (self.now, missing));
            }
            Output::Refused { why: Refusal::Unknown { .. }, .. } => {}
            Output::Refused { why, .. } => panic!("refused: {why}"),
            Output::Misbehaved { peer, violation } => {
                assert!(!self.is_honest(peer) || self.bad.is_some(), "{n} blames {peer}: {violation}");
                self.nodes[n].blamed.push((peer, violation));
            }
        }
    }

    fn transmit(&mut self, from: usize, to: usize, message: &Message) {
        let Some(epoch) = self.nodes[from].joined.get(&to).copied() else { return };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert!(bytes.len() as u64 <= message.max_bytes(), "{} is longer than it says", message.name());
        *self.sent.entry(message.name()).or_default() += 1;
        let link = self.links[&(from.min(to), from.max(to))];
        let at = self.arrivals.entry((from, to)).or_default();
        *at = (self.now + link.latency).max(*at);
        let at = *at;
        self.push(at, Event::Message { from, to, epoch, bytes: bytes.into() });
    }

    /// What a liar makes of what it should send: short ways to everybody, old claims, forged ones; nothing passed on,
    /// or something else.
    fn lie(&mut self, n: usize, message: Message) -> Vec<Message> {
        match message {
            Message::Routes(routes) => {
                let lies = routes.into_iter().map(|route| self.lie_about(n, route)).collect();
                vec![Message::Routes(lies)]
            }
            Message::Parcel { .. } if self.rng.chance(70) => Vec::new(),
            Message::Receipt { id, by, mut signature } => match self.rng.below(4) {
                0 => {
                    signature[5] ^= 1;
                    vec![Message::Receipt { id, by, signature }]
                }
                1 => vec![Message::Receipt { id, by, signature }; 3],
                _ => Vec::new(),
            },
            message => {
                let old = self.nodes[n].heard.len() as u64;
                let mut all = vec![message];
                if old > 0 && self.rng.chance(50) {
                    let route = self.nodes[n].heard[self.rng.below(old) as usize];
                    all.push(Message::Routes(vec![route]));
                }
                all
            }
        }
    }

    fn lie_about(&mut self, n: usize, route: Route) -> Route {
        let Route::Reach { producer, seq, mut signature, .. } = route else {
            return route;
        };
        if self.nodes[n].heard.len() < 64 {
            self.nodes[n].heard.push(Route::Reach { producer, seq, metric: 0, signature });
        }
        let seq = if self.rng.chance(10) { seq + 1 } else { seq };
        if self.rng.chance(5) {
            signature[9] ^= 4;
        }
        Route::Reach { producer, seq, metric: 0, signature }
    }

    /// Goes on until this time.
    pub(super) fn run(&mut self, until: Duration) {
        let mut steps = 0u32;
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let deadlines = self.nodes.iter().enumerate();
            let deadline = deadlines.filter_map(|(n, node)| Some((node.state.next_deadline()?, n))).min();
            let next = event.into_iter().chain(deadline.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            steps = if next > self.now { 0 } else { steps + 1 };
            assert!(steps < 20_000, "time stands still");
            self.now = self.now.max(next);
            match deadline.filter(|(at, _)| event.is_none_or(|event| *at < event)) {
                Some((_, n)) => self.input(n, Input::Tick),
                None => self.step(),
            }
        }
        self.now = until;
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run(self.now + time);
    }

    fn step(&mut self) {
        let (_, event) = self.events.pop_first().expect("there is one");
        match event {
            Event::Up { node, peer, epoch } => {
                let link = self.links[&(node.min(peer), node.max(peer))];
                if link.up && link.epoch == epoch {
                    self.nodes[node].joined.insert(peer, epoch);
                    let rtt = self.rng.chance(80).then_some(link.latency * 2);
                    self.input(node, Input::Joined { peer, rtt, room: ROOM });
                }
            }
            Event::Down { node, peer, epoch } => {
                if self.nodes[node].joined.get(&peer) == Some(&epoch) {
                    self.nodes[node].joined.remove(&peer);
                    self.input(node, Input::Left { peer });
                }
            }
            Event::Message { from, to, epoch, bytes } => {
                let alive = self.links[&(from.min(to), from.max(to))].up;
                if !alive || self.nodes[from].joined.get(&to) != Some(&epoch) {
                    return;
                }
                // A link is open on one side first: the bytes wait.
                if self.nodes[to].joined.get(&from) != Some(&epoch) {
                    let at = self.now + Duration::from_millis(1);
                    let last = self.arrivals.entry((from, to)).or_default();
                    *last = at.max(*last);
                    self.push(at, Event::Message { from, to, epoch, bytes });
                    return;
                }
                let message = Message::decode(&bytes).expect("what is sent can be read");
                self.input(to, Input::Message { peer: from, message });
            }
            Event::Input { node, life, input } => {
                if self.nodes[node].life == life {
                    self.input(node, input);
                }
            }
        }
    }

    /// Whether two nodes are joined by a link that both know.
    pub(super) fn is_joined(&self, a: usize, b: usize) -> bool {
        let epoch = self.nodes[a].joined.get(&b);
        epoch.is_some() && epoch == self.nodes[b].joined.get(&a)
    }

    /// Follows the next hops of honest nodes over links that are there on both sides.
    pub(super) fn check_loops(&self) {
        for to in self.nodes.iter().filter_map(|node| node.key) {
            for start in 0..self.nodes.len() {
                let mut at = start;
                for hops in 0.. {
                    assert!(hops <= self.nodes.len(), "a loop on the way from {start} to {to:?}");
                    match self.nodes[at].state.next_hop(&to) {
                        Some(hop) if (self.trusting || self.is_honest(at)) && self.is_joined(at, hop) => {
                            at = hop
                        }
                        _ => break,
                    }
                }
            }
        }
    }

    /// The honest nodes that honest nodes join to this one.
    pub(super) fn reachable(&self, from: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            for peer in 0..self.nodes.len() {
                if self.is_honest(peer) && self.is_joined(at, peer) && found.insert(peer) {
                    next.push(peer);
                }
            }
        }
        found
    }
}
