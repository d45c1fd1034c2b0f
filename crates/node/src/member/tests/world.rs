//! A deterministic little world of members: links with latency and an order per channel, disks that lose what is not
//! durable, an application that may be slow.
//!
//! Checkers run all the time: no two nodes settle differently, what was published is never lost, no key signs two
//! things for one place, nobody sends more than there is room for, and all invariants of each member.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::native::ballot::Kind;
use chain::native::{Faults, Key, Params, Validator, Validators, transaction_id, transactions};
use chain::{Block, Entry, Format, Hash, Height, Position, Tip};
use consensus::quorum::{self, Bounds, Journal};
use link::{PeerId, Protocol, Time, channel};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::app::App;
use super::disk::Disk;
use crate::application::{Answer, Question, Verdict};
use crate::member::{Config, Event, Member, Violation};
use crate::work::Work;
use crate::{Command, Input, Kept, Notice, Output, Record, Role, Start, Ticket};

/// When the world begins, since the Unix epoch.
pub(super) const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// A transaction that no application takes into a block.
pub(super) const WRONG: &[u8] = b"wrong";

/// How a transaction begins that is right, and that no application takes into a block yet.
pub(super) const LATER: &[u8] = b"later";

/// A transaction that makes a block never get a verdict.
pub(super) const NEVER: &[u8] = b"never";

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn key(n: u8) -> Key {
    Key::from_seed(&[n; 32])
}

pub(super) fn peer(node: usize) -> PeerId {
    PeerId([node as u8 + 1; 32])
}

fn node_of(peer: PeerId) -> usize {
    usize::from(peer.0[0]) - 1
}

pub(super) fn validators(keys: &[u8]) -> Validators {
    let weight = std::num::NonZeroU64::MIN;
    Validators::new(keys.iter().map(|n| Validator { key: key(*n).public(), weight })).expect("a set")
}

/// A transaction that asks for these validators.
pub(super) fn change_tx(keys: &[u8]) -> Bytes {
    [b"validators:", keys].concat().into()
}

/// What the world is like.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) faults: Faults,
    /// The keys of the nodes; 0 is none.
    pub(super) keys: Vec<u8>,
    pub(super) validators: Vec<u8>,
    pub(super) links: Vec<(usize, usize)>,
    pub(super) latency: (Duration, Duration),
    pub(super) disk: Duration,
    pub(super) rest: Duration,
    pub(super) near: u32,
    /// How many undecided headers a peer may have brought, and a producer signed.
    pub(super) shares: (u32, u32),
    /// How many headers above the irreversible tip are looked at.
    pub(super) ahead: u32,
    /// After every so many blocks applications keep their state for newcomers, who begin with one when they are so far
    /// behind; 0 for never.
    pub(super) snapshots: u64,
}

impl Setup {
    /// So many validators, and so many nodes that follow, all linked with each other.
    pub(super) fn new(seed: u64, validators: u8, followers: u8) -> Self {
        let nodes = usize::from(validators + followers);
        let keys = (1..=validators).chain((0..followers).map(|_| 0)).collect();
        let links = (0..nodes).flat_map(|a| (0..a).map(move |b| (b, a))).collect();
        Self {
            seed,
            faults: Faults::Byzantine,
            keys,
            validators: (1..=validators).collect(),
            links,
            latency: (ms(5), ms(20)),
            disk: ms(2),
            rest: ms(1_000),
            near: 8,
            shares: (8_192, 4_096),
            ahead: 2_048,
            snapshots: 0,
        }
    }
}

pub(super) struct Node {
    pub(super) member: Option<Member>,
    pub(super) disk: Disk,
    pub(super) app: App,
    pub(super) life: u32,
    pub(super) outputs: u64,
    held: BTreeMap<(usize, Protocol), Held>,
    /// Links that are open.
    pub(super) peers: BTreeSet<usize>,
    published: u64,
    pub(super) notices: Vec<Notice>,
    /// What its driver keeps over its lives.
    pub(super) kept: Kept,
    pub(super) submitted: Vec<Result<Hash, crate::pool::Refusal>>,
    pub(super) obeyed: Vec<Result<String, String>>,
    /// How far its clock is behind.
    pub(super) is_slow_by: Duration,
}

/// What waits for the disk, and what waits behind it.
type Held = VecDeque<(Option<Ticket>, Bytes)>;

/// One direction of one channel of a link.
#[derive(Debug, Default)]
struct Line {
    /// What is under way or not done with.
    costs: VecDeque<u64>,
    last: Duration,
}

enum Happening {
    Arrive { from: usize, to: usize, link: u64, channel: Protocol, body: Bytes },
    Credit { from: usize, to: usize, link: u64, channel: Protocol, messages: u32 },
    Joined { a: usize, b: usize, link: u64 },
    Left { node: usize, peer: usize, life: u32 },
    Give { node: usize, life: u32, input: Input },
    Synced { node: usize, life: u32, ticket: Ticket },
    Apply { node: usize, life: u32, ticket: Ticket, block: Block },
    Start { node: usize },
}

/// Where a crash happens: before this output of this node is performed, and how much of what is not synced stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    pub(super) node: usize,
    pub(super) output: u64,
    pub(super) survives: usize,
}

/// Edits what a node sends: how liars lie.
pub(super) type Lie = Box<dyn Fn(usize, Protocol, Bytes) -> Vec<Bytes>>;

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) format: Format,
    pub(super) now: Duration,
    pub(super) nodes: Vec<Node>,
    pub(super) crashes: Vec<Crash>,
    pub(super) lies: BTreeMap<usize, Lie>,
    pub(super) blamed: Vec<(usize, usize, Violation)>,
    /// Links that do not work: set by hand.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// Of each channel, how many bytes went over all links.
    pub(super) traffic: BTreeMap<Protocol, u64>,
    rng: ChaCha8Rng,
    queue: BTreeMap<(Duration, u64), Happening>,
    count: u64,
    links: BTreeMap<(usize, usize), u64>,
    lines: BTreeMap<(usize, usize, Protocol), Line>,
    pub(super) chain: BTreeMap<u64, Hash>,
    said: BTreeMap<(u8, Height, u32, u8), Option<Hash>>,
    /// Whether messages go out before what led to them is durable: what a driver must not do.
    pub(super) speaks_early: bool,
    pub(super) said_twice: Option<(u8, Height)>,
    /// Who loses power right after its first vote for no block.
    pub(super) crashes_at_nil: Option<usize>,
    doomed: Option<usize>,
    /// How long a node is away after a crash.
    pub(super) away: Duration,
    trace: VecDeque<String>,
}

const WINDOW: u64 = 4 << 20;

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let weight = std::num::NonZeroU64::MIN;
        let params = Params {
            validators: setup
                .validators
                .iter()
                .map(|n| Validator { key: key(*n).public(), weight })
                .collect(),
            faults: setup.faults,
            slot_length_ms: NonZeroU32::new(10).expect("not zero"),
            ..Params::solo("world", 7, EPOCH.as_millis() as u64, key(1).public())
        };
        let format = Format::Native(Arc::new(params));
        let nodes = setup.keys.iter().map(|_| Node::new(&format, setup.snapshots)).collect();
        Self {
            rng: ChaCha8Rng::seed_from_u64(setup.seed),
            setup,
            format,
            now: Duration::ZERO,
            nodes,
            crashes: Vec::new(),
            lies: BTreeMap::new(),
            blamed: Vec::new(),
            cut: BTreeSet::new(),
            traffic: BTreeMap::new(),
            queue: BTreeMap::new(),
            count: 0,
            links: BTreeMap::new(),
            lines: BTreeMap::new(),
            chain: BTreeMap::new(),
            said: BTreeMap::new(),
            speaks_early: false,
            said_twice: None,
            crashes_at_nil: None,
            doomed: None,
            away: ms(300),
            trace: VecDeque::new(),
        }
    }

    /// Starts all nodes.
    pub(super) fn boot(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }

    pub(super) fn start(&mut self, node: usize) {
        let it = &self.nodes[node];
        assert!(it.member.is_none(), "it runs");
        let n = self.setup.keys[node];
        let mut config = Config::new((n > 0).then(|| key(n)), peer(node));
        let bounds = |least, most| Bounds { least: ms(least), most: ms(most) };
        config.quorum.propose = bounds(300, 5_000);
        config.quorum.vote = bounds(150, 5_000);
        config.quorum.repeat = ms(400);
        config.quorum.rest = self.setup.rest;
        let count = |n| NonZeroU32::new(n).expect("not zero");
        config.near = count(self.setup.near);
        config.headers_ahead = count(self.setup.ahead);
        config.headers_per_peer = count(self.setup.shares.0);
        config.headers_per_producer = count(self.setup.shares.1);
        config.snapshots = self.setup.snapshots > 0;
        (config.snapshot_wait, config.snapshot_tries) = (ms(3_000), count(3));
        (config.pieces.patience, config.pieces.lonely, config.pieces.stalled) =
            (ms(1_000), ms(3_000), ms(9_000));
        config.snapshot_worth =
            std::num::NonZeroU64::new(self.setup.snapshots).unwrap_or(config.snapshot_worth);
        let start = it.recovered(&self.format);
        let seed = self.rng.random();
        let format = self.format.clone();
        let member = Member::new(crate::Config { format, role: Role::Member(config) }, start, seed);
        let it = &mut self.nodes[node];
        it.member = Some(member);
        it.published = it.disk.log.len() as u64;
        self.note(node, "starts");
        self.give(node, Input::Tick);
        for (a, b) in self.setup.links.clone() {
            if a == node || b == node {
                self.connect(a, b);
            }
        }
    }

    /// A node stops where it stands: of what is not synced, a part stays.
    pub(super) fn crash(&mut self, node: usize, survives: usize) {
        let it = &mut self.nodes[node];
        if it.member.take().is_none() {
            return;
        }
        it.life += 1;
        let kept = it.disk.unsynced.len() * survives / 100;
        let unsynced = std::mem::take(&mut it.disk.unsynced);
        for (_, record) in unsynced.into_iter().take(kept) {
            it.disk.apply(record);
        }
        it.disk.unmarked.clear();
        it.disk.durable = Ticket(0);
        it.disk.fails = false;
        it.held.clear();
        it.app.sleeping.clear();
        it.app.busy = self.now;
        for other in std::mem::take(&mut self.nodes[node].peers) {
            self.links.remove(&(node.min(other), node.max(other)));
            if self.nodes[other].peers.remove(&node) {
                let life = self.nodes[other].life;
                self.at(ms(1), Happening::Left { node: other, peer: node, life });
            }
        }
        self.note(node, "crashes");
    }

    pub(super) fn start_in(&mut self, node: usize, after: Duration) {
        self.at(after, Happening::Start { node });
    }

    /// Parts a link, or mends it.
    pub(super) fn set_link(&mut self, a: usize, b: usize, is_open: bool) {
        let pair = (a.min(b), a.max(b));
        if is_open {
            self.cut.remove(&pair);
            return self.connect(pair.0, pair.1);
        }
        self.cut.insert(pair);
        self.close(a, b);
    }

    fn close(&mut self, a: usize, b: usize) {
        self.links.remove(&(a.min(b), a.max(b)));
        for (node, other) in [(a, b), (b, a)] {
            if self.nodes[node].peers.remove(&other) {
                self.nodes[node].held.retain(|(peer, _), _| *peer != other);
                self.give(node, Input::Peer { id: peer(other), event: Event::Left });
            }
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        if self.cut.contains(&(a, b)) {
            return;
        }
        self.count += 1;
        let link = self.count;
        let latency = self.latency();
        self.at(latency, Happening::Joined { a, b, link });
    }

    fn on_joined(&mut self, a: usize, b: usize, link: u64) {
        let is_up = |node: usize| self.nodes[node].member.is_some();
        if !is_up(a) || !is_up(b) || self.links.contains_key(&(a, b)) || self.cut.contains(&(a, b)) {
            return;
        }
        // Whoever has not noticed yet that the last link is gone notices now.
        let is_late = |it: &Happening| matches!(it, Happening::Left { node, peer, .. } if [(a, b), (b, a)].contains(&(*node, *peer)));
        let late: Vec<_> = self.queue.iter().filter(|(_, it)| is_late(it)).map(|(at, _)| *at).collect();
        for at in late {
            let left = self.queue.remove(&at).expect("it was there");
            self.happen(left);
        }
        self.links.insert((a, b), link);
        self.lines.retain(|(from, to, _), _| (*from, *to) != (a, b) && (*from, *to) != (b, a));
        self.nodes[a].peers.insert(b);
        self.nodes[b].peers.insert(a);
        for (node, other) in [(a, b), (b, a)] {
            let room = channel::defaults().iter().map(|channel| (channel.number, WINDOW)).collect();
            let event = Event::Joined { rtt: Some(ms(25)), pinned: false, room };
            self.give(node, Input::Peer { id: peer(other), event });
        }
    }

    /// Runs until the condition holds; `false` when it does not in this time.
    pub(super) fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let timers = self.nodes.iter().enumerate();
            let timers = timers.filter_map(|(node, it)| Some((it.member.as_ref()?.next_deadline()?, node)));
            let timer = timers.min();
            let event = self.queue.keys().next().copied();
            let times = [timer.map(|(at, _)| at), event.map(|(at, _)| at)];
            let Some(next) = times.into_iter().flatten().min() else { return false };
            if next > end {
                self.now = end;
                return done(self);
            }
            self.now = self.now.max(next);
            match timer {
                Some((at, node)) if event.is_none_or(|(event, _)| at < event) => self.give(node, Input::Tick),
                _ => {
                    let (_, event) = self.queue.pop_first().expect("it was looked at");
                    self.happen(event);
                }
            }
        }
        true
    }

    /// Runs until all these nodes have so many blocks.
    pub(super) fn reach(&mut self, nodes: &[usize], blocks: u64, limit: Duration) {
        let reached = self.run(limit, |world| nodes.iter().all(|node| world.settled(*node) >= blocks));
        assert!(reached, "seed {}: {blocks} blocks are not reached\n{}", self.setup.seed, self.story());
    }

    /// Runs for so long.
    pub(super) fn pass(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    pub(super) fn settled(&self, node: usize) -> u64 {
        self.nodes[node].published
    }

    pub(super) fn height(&self) -> u64 {
        (0..self.nodes.len()).map(|node| self.settled(node)).max().unwrap_or(0)
    }

    /// Gives a transaction to a node.
    pub(super) fn submit(&mut self, node: usize, tx: impl Into<Bytes>) -> Hash {
        let tx = tx.into();
        let id = transaction_id(&tx);
        self.give(node, Input::Submit { ticket: Ticket(1), tx });
        id
    }

    pub(super) fn command(&mut self, node: usize, command: Command) {
        self.give(node, Input::Command { ticket: Ticket(1), command });
    }

    /// Whether a transaction is in a block of a node's log.
    pub(super) fn has_tx(&self, node: usize, id: &Hash) -> bool {
        self.nodes[node].disk.txs.contains(id)
    }

    pub(super) fn status(&self, node: usize) -> crate::Status {
        let it = &self.nodes[node];
        it.member.as_ref().expect("it runs").status(self.time(node))
    }

    pub(super) fn story(&self) -> String {
        let states = (0..self.nodes.len()).map(|node| match &self.nodes[node].member {
            None => format!("node {node}: down, {} blocks", self.settled(node)),
            Some(_) => {
                let status = self.status(node);
                let member = status.member.expect("it is a member");
                format!(
                    "node {node}: {:?} {} blocks, {:?}, wanted {}, certified {:.12}, peers {:?}",
                    status.state,
                    status.settled,
                    member.consensus,
                    status.wanted,
                    member.certified.point,
                    member
                        .peers
                        .iter()
                        .map(|peer| (node_of(peer.id), peer.lag, peer.waiting))
                        .collect::<Vec<_>>()
                )
            }
        });
        let trace: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        format!("{}\n{}\n{:?}", trace.join("\n"), states.collect::<Vec<_>>().join("\n"), self.blamed)
    }

    /// Panics where a checker found something.
    pub(super) fn check(&self) {
        let seed = self.setup.seed;
        assert_eq!(self.said_twice, None, "seed {seed}: a key signed two things\n{}", self.story());
        if self.lies.is_empty() {
            assert!(self.blamed.is_empty(), "seed {seed}: an honest node was blamed\n{}", self.story());
        }
    }

    fn at(&mut self, after: Duration, what: Happening) {
        self.count += 1;
        self.queue.insert((self.now + after, self.count), what);
    }

    fn latency(&mut self) -> Duration {
        let (least, most) = self.setup.latency;
        self.rng.random_range(least..=most)
    }

    pub(super) fn note(&mut self, node: usize, what: impl Into<String>) {
        if self.trace.len() == 80 {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>8.3} node {node}: {}", self.now.as_secs_f64(), what.into()));
    }

    fn time(&self, node: usize) -> Time {
        Time { mono: self.now, wall: EPOCH + self.now - self.nodes[node].is_slow_by }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrive { from, to, link, channel, body } => {
                if self.is_link(from, to, link) {
                    let event = Event::Message { channel, body };
                    self.give(to, Input::Peer { id: peer(from), event });
                }
            }
            Happening::Credit { from, to, link, channel, messages } => {
                if self.is_link(from, to, link) {
                    let line = self.lines.get_mut(&(from, to, channel)).expect("something went over it");
                    line.costs.drain(..messages as usize);
                    let bytes = WINDOW - line.costs.iter().sum::<u64>();
                    let event = Event::Room { channel, bytes };
                    self.give(from, Input::Peer { id: peer(to), event });
                }
            }
            Happening::Joined { a, b, link } => self.on_joined(a, b, link),
            Happening::Left { node, peer: other, life } => {
                if self.nodes[node].life == life && self.nodes[node].member.is_some() {
                    self.nodes[node].held.retain(|(peer, _), _| *peer != other);
                    self.give(node, Input::Peer { id: peer(other), event: Event::Left });
                }
            }
            Happening::Give { node, life, input } if self.nodes[node].life == life => self.give(node, input),
            Happening::Synced { node, life, ticket } if self.nodes[node].life == life => {
                self.synced(node, ticket);
            }
            Happening::Apply { node, life, ticket, block } if self.nodes[node].life == life => {
                let answer = Answer::Applied(self.nodes[node].app.apply(&block));
                self.give(node, Input::Answered { ticket, answer });
            }
            Happening::Start { node } => self.start(node),
            Happening::Give { .. } | Happening::Synced { .. } | Happening::Apply { .. } => {}
        }
    }

    fn is_link(&self, a: usize, b: usize, link: u64) -> bool {
        self.links.get(&(a.min(b), a.max(b))) == Some(&link)
    }

    /// Hands an input over and performs what comes out, unless the node crashes in between.
    pub(super) fn give(&mut self, node: usize, input: Input) {
        let now = self.time(node);
        let Some(member) = &mut self.nodes[node].member else { return };
        let mut out = Vec::new();
        member.handle(now, input, &mut out);
        // Not each time: it costs more than all the rest.
        if self.count.is_multiple_of(3) {
            member.check_invariants();
        }
        let deadline = member.next_deadline();
        assert!(
            deadline.is_none_or(|at| at > now.mono),
            "what is due is done: {deadline:?} at {:?}",
            now.mono
        );
        for output in out {
            let nth = self.nodes[node].outputs;
            self.nodes[node].outputs += 1;
            let crash = self.crashes.iter().find(|crash| crash.node == node && crash.output == nth).copied();
            if let Some(crash) = crash {
                self.crash(node, crash.survives);
                self.start_in(node, self.away);
                return;
            }
            self.perform(node, output);
            self.fulfil();
            if self.nodes[node].member.is_none() {
                return;
            }
        }
    }

    /// Who was to lose power does.
    fn fulfil(&mut self) {
        if let Some(node) = self.doomed.take() {
            self.crash(node, 0);
            self.start_in(node, self.away);
        }
    }

    fn later(&mut self, node: usize, after: Duration, input: Input) {
        let life = self.nodes[node].life;
        self.at(after, Happening::Give { node, life, input });
    }

    fn perform(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { peer: to, channel, body, after } => {
                let held = self.nodes[node].held.entry((node_of(to), channel)).or_default();
                held.push_back((after, body));
                self.release(node);
            }
            Output::Took { peer: from, channel, messages } => {
                let from = node_of(from);
                if let Some(link) = self.links.get(&(node.min(from), node.max(from))).copied() {
                    let latency = self.latency();
                    self.at(latency, Happening::Credit { from, to: node, link, channel, messages });
                }
            }
            Output::Blame { peer: of, violation } => {
                self.note(node, format!("blames {}: {violation}", node_of(of)));
                let consequence = violation.consequence();
                self.blamed.push((node, node_of(of), violation));
                if consequence != crate::member::Consequence::Strike {
                    self.set_link(node, node_of(of), false);
                }
            }
            Output::Part { peer: with } => {
                self.note(node, format!("parts from {}", node_of(with)));
                self.close(node, node_of(with));
            }
            Output::Verify { ticket, work } => {
                let result = self.verify(&work);
                let after = ms(self.rng.random_range(0..3));
                self.later(node, after, Input::Verified { ticket, result });
            }
            Output::Ask { ticket, question } => self.ask(node, ticket, question),
            Output::Persist { ticket, record } => self.persist(node, ticket, record),
            Output::Load { ticket, load } => {
                let found = self.nodes[node].disk.load(&load);
                self.later(node, ms(1), Input::Loaded { ticket, found });
            }
            Output::Publish(view) => self.on_view(node, &view),
            Output::Submitted { result, .. } => self.nodes[node].submitted.push(result),
            Output::Obeyed { result, .. } => self.nodes[node].obeyed.push(result),
            Output::Notice(notice) => {
                self.note(node, format!("notices: {notice}"));
                if let Notice::Evidence(evidence) = &notice {
                    self.nodes[node].kept.evidence.push(evidence.clone());
                }
                self.nodes[node].notices.push(notice);
            }
            Output::Connect { .. } | Output::Upstream { .. } | Output::Disconnect { .. } => {
                unreachable!("a member has no upstreams")
            }
        }
    }

    fn verify(&self, work: &Work) -> Result<chain::format::Counts, crate::work::Fault> {
        work.run()
    }

    /// Sends what the disk has caught up with.
    fn release(&mut self, node: usize) {
        let durable = self.nodes[node].disk.durable;
        let early = self.speaks_early;
        let mut free = Vec::new();
        for ((to, channel), held) in &mut self.nodes[node].held {
            while held.front().is_some_and(|(after, _)| early || after.is_none_or(|after| after <= durable)) {
                let (_, body) = held.pop_front().expect("it was there");
                free.push((*to, *channel, body));
            }
        }
        for (to, channel, body) in free {
            self.send(node, to, channel, body);
        }
    }

    fn send(&mut self, node: usize, to: usize, channel: Protocol, body: Bytes) {
        let Some(link) = self.links.get(&(node.min(to), node.max(to))).copied() else { return };
        if channel == channel::CONSENSUS && !self.lies.contains_key(&node) {
            self.remember(node, &body);
        }
        let bodies = match self.lies.get(&node) {
            Some(lie) => lie(to, channel, body),
            None => vec![body],
        };
        for body in bodies {
            let latency = self.latency();
            let cost = channel::cost(body.len() as u32);
            *self.traffic.entry(channel).or_default() += cost;
            let line = self.lines.entry((node, to, channel)).or_default();
            line.costs.push_back(cost);
            let under_way: u64 = line.costs.iter().sum();
            assert!(under_way <= WINDOW, "node {node} sends more than {to} takes on {channel}: {under_way}");
            line.last = line.last.max(self.now + latency);
            let after = line.last - self.now;
            self.at(after, Happening::Arrive { from: node, to, link, channel, body });
        }
    }

    /// A message arrives as if one peer had sent it to another.
    pub(super) fn bring(&mut self, from: usize, to: usize, channel: Protocol, body: Bytes) {
        let line = self.lines.entry((from, to, channel)).or_default();
        line.costs.push_back(channel::cost(body.len() as u32));
        self.give(to, Input::Peer { id: peer(from), event: Event::Message { channel, body } });
    }

    /// An honest key says one thing for one place, in all its lives.
    fn remember(&mut self, node: usize, body: &Bytes) {
        let n = self.setup.keys[node];
        let Ok(message) = quorum::Message::decode(body) else { return };
        let (kind, block) = match &message {
            quorum::Message::Vote(vote) if vote.validator == key(n).public() => match vote.vote.kind {
                Kind::Prevote => (0, vote.vote.block),
                Kind::Precommit => (1, vote.vote.block),
            },
            quorum::Message::Proposal(proposal) if proposal.validator == key(n).public() => {
                (2, Some(proposal.header.id))
            }
            _ => return,
        };
        if kind == 0 && block.is_none() && self.crashes_at_nil == Some(node) {
            (self.crashes_at_nil, self.doomed) = (None, Some(node));
        }
        let is_durable = block.is_none_or(|id| self.nodes[node].disk.holds(&id));
        assert!(
            is_durable || self.speaks_early,
            "seed {}: {node} votes for what it may lose",
            self.setup.seed
        );
        let place = (n, message.height(), message.round(), kind);
        if *self.said.entry(place).or_insert(block) != block {
            self.said_twice = Some((n, message.height()));
        }
    }

    fn persist(&mut self, node: usize, ticket: Ticket, record: Record) {
        let (life, delay) = (self.nodes[node].life, self.setup.disk);
        if self.nodes[node].disk.fails {
            let error = "no space".to_owned();
            return self.later(node, ms(1), Input::PersistFailed { ticket, error });
        }
        self.nodes[node].disk.unsynced.push_back((ticket, record));
        self.at(delay, Happening::Synced { node, life, ticket });
    }

    fn synced(&mut self, node: usize, ticket: Ticket) {
        let disk = &mut self.nodes[node].disk;
        while let Some((_, record)) = disk.unsynced.pop_front_if(|(first, _)| *first <= ticket) {
            disk.apply(record);
        }
        disk.durable = ticket;
        self.release(node);
        self.fulfil();
        self.give(node, Input::Persisted { ticket });
    }

    fn on_view(&mut self, node: usize, view: &chain::View) {
        let it = &mut self.nodes[node];
        assert!(view.volatile.is_empty(), "readers see what is irreversible");
        assert!(view.settled >= it.published, "seed {}: what was published is lost", self.setup.seed);
        assert!(view.settled <= it.disk.log.len() as u64, "what is published is durable");
        it.published = view.settled;
        let Some(id) = view.irreversible.point.hash() else { return };
        let agreed = *self.chain.entry(view.settled).or_insert(id);
        assert_eq!(agreed, id, "seed {}: two nodes settled differently\n{}", self.setup.seed, self.story());
        self.note(node, format!("has {} blocks", view.settled));
    }

    fn ask(&mut self, node: usize, ticket: Ticket, question: Question) {
        if self.nodes[node].app.is_asleep {
            return self.nodes[node].app.sleeping.push((ticket, question));
        }
        let (now, life) = (self.now, self.nodes[node].life);
        let app = &mut self.nodes[node].app;
        app.busy = app.busy.max(now) + app.delay;
        let after = app.busy - now;
        let verdict = |verdict| Answer::Verdict(verdict);
        let reject = || Verdict::Reject { reason: "wrong".to_owned() };
        let answer = match question {
            Question::CheckTx { tx } if &tx[..] == WRONG && !app.is_careless => verdict(reject()),
            Question::CheckTx { .. } => verdict(Verdict::Accept),
            Question::CheckBlock { block } => {
                let txs = transactions(&block).expect("its format was checked");
                if txs.iter().any(|tx| &tx[..] == NEVER) {
                    return;
                }
                let is_wrong = txs.iter().any(|tx| &tx[..] == WRONG);
                verdict(if is_wrong { reject() } else { Verdict::Accept })
            }
            Question::Build { candidates, .. } => {
                let fit = candidates.into_iter().filter(|(_, tx)| !tx.starts_with(LATER));
                Answer::Built(fit.map(|(id, _)| id).collect())
            }
            Question::Snapshot(about) => app.answer(about),
            Question::Deliver { block } => {
                return self.at(after, Happening::Apply { node, life, ticket, block });
            }
        };
        self.at(after, Happening::Give { node, life, input: Input::Answered { ticket, answer } });
    }

    /// The application wakes up, and answers what it was asked.
    pub(super) fn wake(&mut self, node: usize) {
        self.nodes[node].app.is_asleep = false;
        for (ticket, question) in std::mem::take(&mut self.nodes[node].app.sleeping) {
            self.ask(node, ticket, question);
        }
    }
}

impl Node {
    fn new(format: &Format, every: u64) -> Self {
        let (disk, mut app) = (Disk::new(format), App::new());
        app.every = every;
        Self {
            member: None,
            disk,
            app,
            life: 0,
            outputs: 0,
            held: BTreeMap::new(),
            peers: BTreeSet::new(),
            published: 0,
            notices: Vec::new(),
            kept: Kept::default(),
            submitted: Vec::new(),
            obeyed: Vec::new(),
            is_slow_by: Duration::ZERO,
        }
    }

    /// What a start finds on the disk.
    fn recovered(&self, format: &Format) -> Start {
        let disk = &self.disk;
        let settled = disk.log.len() as u64;
        let first = disk.log.len().saturating_sub(16).max(disk.bare);
        let entry = |(at, (block, _)): (usize, &(Block, Option<Bytes>))| {
            let position = Position((first + at) as u64);
            Arc::new(Entry { position, header: block.header.clone(), block: block.raw.clone() })
        };
        let journal = match disk.is_journal_damaged {
            true => Journal::Damaged,
            false => Journal::Read(disk.journal.clone()),
        };
        Start {
            settled,
            irreversible: disk.log.last().map_or(Tip::default(), |(block, _)| block.header.tip()),
            state: disk.states.last().cloned().unwrap_or_else(|| format.genesis()),
            recent: disk.log[first..].iter().enumerate().map(entry).collect(),
            forks: disk.forks.clone(),
            certificate: disk.log.last().and_then(|(_, certificate)| certificate.clone()),
            journal,
            applied: Some(self.app.applied.clone()),
            kept: self.kept.clone(),
        }
    }
}
