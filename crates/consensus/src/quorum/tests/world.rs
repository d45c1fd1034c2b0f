//! A deterministic world: nodes with disks that lose what was not synced, a network that delays, loses and parts,
//! and liars, which are correct nodes whose outputs are edited.
//!
//! Two checkers run all the time: no two nodes decide differently, and no honest key ever signs two things for one
//! place, across all its restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::native::ballot::{self, Kind};
use chain::native::{Builder, Certificate, Change, Checks, Faults, Key, Params, State, Validator};
use chain::{Format, Hash, Header, Height, Slot, Tip};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::quorum::{
    Bounds, Config, Enters, Entry, Evidence, Halt, Input, Journal, Message, Output, Polka, Proposal, Quorum,
    Record, RoundVote, Start, Ticket, Vote, Waiting,
};

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How a validator lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// It says nothing.
    Silence,
    /// It tells one half of the others something else than the other half: votes and proposals.
    Twice,
    /// It signs with bytes of its own.
    Forgery,
    /// It proposes blocks that nobody may vote for.
    WrongBlocks,
    /// It proposes blocks and never hands them out.
    NoBodies,
    /// It says everything much too late.
    Late,
    /// It signs whatever comes to its mind, of any round, and puts others' votes together as it likes.
    Noise,
}

/// What the world is like.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) faults: Faults,
    /// Which key each node has: two nodes may have one.
    pub(super) keys: Vec<u8>,
    /// The keys of the first validators.
    pub(super) validators: Vec<u8>,
    pub(super) lies: BTreeMap<usize, Lie>,
    /// Of 100 messages, so many are lost.
    pub(super) loss: u32,
    pub(super) delay: (Duration, Duration),
    pub(super) disk: Duration,
    pub(super) judging: Duration,
    pub(super) config: Config,
    /// Whether blocks that are decided elsewhere come by sync.
    pub(super) has_sync: bool,
    pub(super) change: Option<(Height, Change)>,
}

pub(super) struct Node {
    pub(super) quorum: Option<Quorum>,
    pub(super) journal: Vec<Bytes>,
    pub(super) is_damaged: bool,
    unsynced: Vec<(Ticket, Bytes)>,
    durable: Ticket,
    held: Vec<(Ticket, Message)>,
    decided: Vec<(Ticket, Hash, Certificate)>,
    pub(super) log: Vec<(Header, Certificate)>,
    state: State,
    blocks: BTreeMap<Hash, Header>,
    life: u32,
    pub(super) group: u8,
    pub(super) outputs: u64,
    pub(super) halted: Option<Halt>,
    pub(super) evidence: Vec<Evidence>,
    pub(super) refused: u64,
    pub(super) built: u64,
    pub(super) has_work: bool,
}

enum Event {
    Deliver { to: usize, bytes: Bytes },
    Synced { node: usize, life: u32, ticket: Ticket },
    Logged { node: usize, life: u32, block: Hash, certificate: Certificate },
    Built { node: usize, life: u32, header: Header },
    Fetched { node: usize, life: u32, header: Header },
    Judged { node: usize, life: u32, block: Hash },
    Restart { node: usize },
    Sync,
}

/// Where a crash happens: before this output of this node is performed, and how much of what is not synced stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    pub(super) node: usize,
    pub(super) output: u64,
    /// In percent.
    pub(super) survives: usize,
}

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) params: Params,
    pub(super) now: Duration,
    pub(super) nodes: Vec<Node>,
    pub(super) crashes: Vec<Crash>,
    pub(super) trace: Vec<String>,
    rng: ChaCha8Rng,
    queue: BTreeMap<(Duration, u64), Event>,
    count: u64,
    chain: BTreeMap<Height, Hash>,
    said: BTreeMap<(u8, Height, u32, u8), Option<Hash>>,
    wrong: BTreeSet<Hash>,
    /// The last votes that were sent, for those who make things up of them.
    heard: Vec<Vote>,
    pub(super) messages: u64,
    /// Whether messages go out before what led to them is durable: what a driver must not do.
    pub(super) speaks_early: bool,
    /// Which messages are lost, counted from the first.
    pub(super) lost: BTreeSet<u64>,
    pub(super) disagreement: Option<Height>,
    pub(super) said_twice: Option<(u8, Height)>,
}

impl Setup {
    /// So many validators of one weight, on a good network.
    pub(super) fn new(seed: u64, nodes: u8, faults: Faults) -> Self {
        let bounds = |least, most| Bounds { least: ms(least), most: ms(most) };
        Self {
            seed,
            faults,
            keys: (1..=nodes).collect(),
            validators: (1..=nodes).collect(),
            lies: BTreeMap::new(),
            loss: 0,
            delay: (ms(5), ms(20)),
            disk: ms(3),
            judging: ms(5),
            config: Config {
                propose: bounds(200, 5_000),
                vote: bounds(100, 5_000),
                growth_percent: 150,
                repeat: ms(300),
                rest: Duration::ZERO,
            },
            has_sync: true,
            change: None,
        }
    }
}

pub(super) fn key(n: u8) -> Key {
    Key::from_seed(&[n; 32])
}

fn public(n: u8) -> [u8; 32] {
    key(n).public()
}

pub(super) fn validator(n: u8) -> Validator {
    Validator { key: key(n).public(), weight: NonZeroU64::MIN }
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let params = Params {
            validators: setup.validators.iter().map(|n| validator(*n)).collect(),
            faults: setup.faults,
            ..Params::solo("world", 9, 0, key(1).public())
        };
        let state = State::genesis(&params);
        let nodes = setup.keys.iter().map(|_| Node::new(&state)).collect();
        let rng = ChaCha8Rng::seed_from_u64(setup.seed);
        let mut world = Self {
            setup,
            params,
            now: Duration::ZERO,
            nodes,
            crashes: Vec::new(),
            trace: Vec::new(),
            rng,
            queue: BTreeMap::new(),
            count: 0,
            chain: BTreeMap::new(),
            said: BTreeMap::new(),
            wrong: BTreeSet::new(),
            heard: Vec::new(),
            messages: 0,
            speaks_early: false,
            lost: BTreeSet::new(),
            disagreement: None,
            said_twice: None,
        };
        world.at(ms(50), Event::Sync);
        world
    }

    /// Starts all nodes.
    pub(super) fn boot(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }

    /// Starts a node from its disk.
    pub(super) fn start(&mut self, node: usize) {
        let chain = self.params.chain();
        let key = key(self.setup.keys[node]);
        let quorum = Quorum::new(chain, self.setup.faults, Some(key), self.setup.config);
        let it = &mut self.nodes[node];
        (it.quorum, it.durable) = (Some(quorum), Ticket(0));
        let records = it.journal.iter().map(|bytes| Record::decode(bytes).expect("our own")).collect();
        let journal = if it.is_damaged { Journal::Damaged } else { Journal::Read(records) };
        self.begin(node, journal);
    }

    fn begin(&mut self, node: usize, journal: Journal) {
        let it = &self.nodes[node];
        let parent = it.log.last().map_or(Tip::default(), |(header, _)| header.tip());
        let (validators, _) = it.state.validators_at(Height(it.log.len() as u64));
        let has_work = it.has_work;
        self.tell(node, Input::Start(Box::new(Start { parent, validators, has_work, journal })));
    }

    /// A node stops where it stands: of what is not synced, a part stays.
    pub(super) fn crash(&mut self, node: usize, survives: usize) {
        let it = &mut self.nodes[node];
        it.quorum = None;
        it.life += 1;
        let kept = it.unsynced.len() * survives / 100;
        let unsynced = std::mem::take(&mut it.unsynced);
        for (_, record) in unsynced.into_iter().take(kept) {
            append(&mut it.journal, record);
        }
        it.held.clear();
        it.decided.clear();
        self.note(node, format!("crashed, {kept} records survived"));
    }

    /// An older copy of the log is put in place: none. The journal stays.
    pub(super) fn lose_log(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.log.clear();
        it.state = State::genesis(&self.params);
    }

    pub(super) fn restart_in(&mut self, node: usize, after: Duration) {
        self.at(self.now + after, Event::Restart { node });
    }

    /// Parts the network: only nodes of one group hear each other.
    pub(super) fn part(&mut self, groups: &[u8]) {
        self.nodes.iter_mut().zip(groups).for_each(|(node, group)| node.group = *group);
    }

    /// Runs until the condition holds; `false` when it does not in this time.
    pub(super) fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let timers = self
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(node, it)| it.quorum.as_ref()?.next_deadline().map(|at| (at, node)));
            let timer = timers.min();
            let event = self.queue.keys().next().copied();
            let next = match (timer, event) {
                (Some((at, _)), Some((event, _))) => at.min(event),
                (Some((at, _)), None) => at,
                (None, Some((event, _))) => event,
                (None, None) => return false,
            };
            if next > end {
                self.now = end;
                return done(self);
            }
            self.now = self.now.max(next);
            match (timer, event) {
                (Some((at, node)), event) if event.is_none_or(|(event, _)| at < event) => {
                    self.tell(node, Input::Tick);
                }
                _ => {
                    let (_, event) = self.queue.pop_first().expect("it was looked at");
                    self.on_event(event);
                }
            }
        }
        true
    }

    /// Runs until all these nodes have so many blocks.
    pub(super) fn reach(&mut self, nodes: &[usize], height: usize, limit: Duration) -> bool {
        let reached =
            self.run(limit, |world| nodes.iter().all(|node| world.nodes[*node].log.len() >= height));
        self.check();
        reached
    }

    /// Panics where a checker found something.
    pub(super) fn check(&self) {
        let seed = self.setup.seed;
        assert_eq!(self.disagreement, None, "seed {seed}: two nodes decided differently\n{}", self.story());
        assert_eq!(self.said_twice, None, "seed {seed}: a key signed two things\n{}", self.story());
        if self.setup.lies.is_empty() {
            let refused: u64 = self.nodes.iter().map(|node| node.refused).sum();
            assert_eq!(refused, 0, "seed {seed}: an honest message was refused\n{}", self.story());
        }
    }

    pub(super) fn story(&self) -> String {
        let last = self.trace.len().saturating_sub(60);
        self.trace[last..].join("\n")
    }

    pub(super) fn honest(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| !self.setup.lies.contains_key(node)).collect()
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.count += 1;
        self.queue.insert((at, self.count), event);
    }

    fn note(&mut self, node: usize, what: String) {
        self.trace.push(format!("{:>8.3} node {node}: {what}", self.now.as_secs_f64()));
    }

    /// Hands an input over and performs what comes out, unless the node crashes in between.
    pub(super) fn tell(&mut self, node: usize, input: Input) {
        let now = self.now;
        let Some(quorum) = &mut self.nodes[node].quorum else { return };
        let mut out = Vec::new();
        quorum.handle(now, input, &mut out);
        quorum.check_invariants();
        for output in out {
            let nth = self.nodes[node].outputs;
            self.nodes[node].outputs += 1;
            let crash = self.crashes.iter().find(|crash| crash.node == node && crash.output == nth).copied();
            if let Some(crash) = crash {
                self.crash(node, crash.survives);
                self.restart_in(node, ms(400));
                return;
            }
            self.perform(node, output);
        }
    }

    fn perform(&mut self, node: usize, output: Output) {
        let life = self.nodes[node].life;
        match output {
            Output::Persist { ticket, record } => {
                assert_eq!(
                    Record::decode(&record.encode()),
                    Ok(record.clone()),
                    "a record can be read again"
                );
                self.nodes[node].unsynced.push((ticket, record.encode()));
                let at = self.now + self.setup.disk;
                self.at(at, Event::Synced { node, life, ticket });
            }
            Output::Send { message, after } => {
                self.nodes[node].held.push((after, message));
                self.release(node);
            }
            Output::Want { header } => self.fetch(node, header, ms(1)),
            Output::Produce { parent, round, .. } => self.produce(node, &parent, round),
            Output::Commit { block, certificate, after } => {
                self.nodes[node].decided.push((after, block, certificate));
                self.release(node);
            }
            Output::Evidence(evidence) => {
                assert!(evidence.is_proof(&self.params.chain()), "evidence proves something");
                self.nodes[node].evidence.push(evidence);
            }
            Output::Refused(violation) => {
                self.note(node, format!("refused: {violation}"));
                self.nodes[node].refused += 1;
            }
            Output::Halted(halt) => {
                self.note(node, format!("halted: {halt}"));
                self.nodes[node].halted = Some(halt);
            }
        }
    }

    /// Performs what the disk has caught up with.
    fn release(&mut self, node: usize) {
        let durable = self.nodes[node].durable;
        let held = std::mem::take(&mut self.nodes[node].held);
        for (after, message) in held {
            match after <= durable || self.speaks_early {
                true => self.send(node, message),
                false => self.nodes[node].held.push((after, message)),
            }
        }
        let decided = std::mem::take(&mut self.nodes[node].decided);
        for (after, block, certificate) in decided {
            if after > durable {
                self.nodes[node].decided.push((after, block, certificate));
                continue;
            }
            let (life, at) = (self.nodes[node].life, self.now + self.setup.disk);
            self.at(at, Event::Logged { node, life, block, certificate });
        }
    }

    fn send(&mut self, node: usize, message: Message) {
        assert_eq!(Message::decode(&message.encode()), Ok(message.clone()), "a message can be read again");
        self.note(node, format!("sends {} {}/{}", message.name(), message.height(), message.round()));
        let lie = self.setup.lies.get(&node).copied();
        if lie.is_none() {
            self.remember(node, &message);
        }
        if let Message::Vote(vote) = &message {
            self.heard.push(vote.clone());
            if self.heard.len() > 40 {
                self.heard.remove(0);
            }
        }
        for to in (0..self.nodes.len()).filter(|to| *to != node) {
            if lie == Some(Lie::Noise) {
                for _ in 0..6 {
                    let noise = self.noise(node, message.height());
                    self.deliver(node, to, &noise, Duration::ZERO);
                }
            }
            let told = match lie {
                Some(Lie::Silence) => continue,
                Some(Lie::Forgery) => forged(message.clone()),
                Some(Lie::Twice) if to % 2 == 0 => self.twice(node, &message),
                _ => message.clone(),
            };
            let late = if lie == Some(Lie::Late) { ms(2_000) } else { Duration::ZERO };
            self.deliver(node, to, &told, late);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: &Message, late: Duration) {
        if self.nodes[from].group != self.nodes[to].group || self.rng.random_range(0..100) < self.setup.loss {
            return;
        }
        self.messages += 1;
        if self.lost.contains(&self.messages) {
            return;
        }
        let (least, most) = self.setup.delay;
        let delay = self.rng.random_range(least..=most);
        self.at(self.now + delay + late, Event::Deliver { to, bytes: message.encode() });
    }

    /// An honest key says one thing for one place.
    fn remember(&mut self, node: usize, message: &Message) {
        let key = self.setup.keys[node];
        // A key that two nodes have is no honest one.
        if self.setup.keys.iter().filter(|other| **other == key).count() > 1 {
            return;
        }
        let (kind, block) = match message {
            Message::Vote(vote) => match vote.vote.kind {
                Kind::Prevote => (0, vote.vote.block),
                Kind::Precommit => (1, vote.vote.block),
            },
            Message::Proposal(proposal) if proposal.validator == public(key) => (2, Some(proposal.header.id)),
            Message::Proposal(_) | Message::Polka(_) | Message::Entry(_) => return,
        };
        let place = (key, message.height(), message.round(), kind);
        if *self.said.entry(place).or_insert(block) != block {
            self.said_twice = Some((key, message.height()));
        }
    }

    /// Something else for the same place, signed.
    fn twice(&mut self, node: usize, message: &Message) -> Message {
        let (chain, key) = (self.params.chain(), key(self.setup.keys[node]));
        match message {
            Message::Vote(vote) => {
                let other = match vote.vote.block {
                    None => self.nodes[node].blocks.keys().next().copied(),
                    Some(_) => None,
                };
                let other = ballot::Vote { block: other, ..vote.vote };
                let signature = key.sign(&other.signed_bytes(&chain));
                Message::Vote(Vote { vote: other, validator: key.public(), signature })
            }
            Message::Proposal(proposal) => {
                let header = self.block(node, proposal.round, b"another");
                self.nodes[node].blocks.insert(header.id, header.clone());
                let mut other = Proposal { header, valid: None, ..(**proposal).clone() };
                other.signature = key.sign(&other.ballot().signed_bytes(&chain));
                Message::Proposal(Box::new(other))
            }
            Message::Polka(_) | Message::Entry(_) => message.clone(),
        }
    }

    /// Anything at all that decodes, mostly signed.
    fn noise(&mut self, node: usize, height: Height) -> Message {
        let (chain, key) = (self.params.chain(), key(self.setup.keys[node]));
        let round = self.rng.random_range(0..14);
        let kind = if self.rng.random_bool(0.5) { Kind::Prevote } else { Kind::Precommit };
        let some = self.heard[self.rng.random_range(0..self.heard.len())].vote.block;
        let count = self.rng.random_range(0..5);
        let votes: Vec<Vote> =
            (0..count).map(|_| self.heard[self.rng.random_range(0..self.heard.len())].clone()).collect();
        let of = votes.first().map_or(round, |vote| vote.vote.round);
        match self.rng.random_range(0..5) {
            0 => {
                let vote = ballot::Vote { kind, height, round, block: some };
                let signature = key.sign(&vote.signed_bytes(&chain));
                Message::Vote(Vote { vote, validator: key.public(), signature })
            }
            1 => {
                let made = self.rng.random_range(0..=round);
                let header = self.block(node, made, b"noise");
                self.nodes[node].blocks.insert(header.id, header.clone());
                let valid = (round > 0).then(|| self.rng.random_range(0..round));
                let mut offer =
                    Proposal { round, valid, header, validator: key.public(), signature: [0; 64] };
                offer.signature = key.sign(&offer.ballot().signed_bytes(&chain));
                Message::Proposal(Box::new(offer))
            }
            2 => {
                let votes = votes.into_iter().map(|vote| (vote.validator, vote.signature)).collect();
                Message::Polka(Polka { height, round: of, block: some.unwrap_or_default(), votes })
            }
            3 => {
                let enters = if self.rng.random_bool(0.5) { Enters::Skip } else { Enters::Next };
                let given = |it: Vote| RoundVote {
                    kind: it.vote.kind,
                    block: it.vote.block,
                    validator: it.validator,
                    signature: it.signature,
                };
                let votes = votes.into_iter().map(given).collect();
                Message::Entry(Entry { height, round: of, enters, votes })
            }
            _ => Message::Vote(self.heard[self.rng.random_range(0..self.heard.len())].clone()),
        }
    }

    fn block(&self, node: usize, round: u32, text: &'static [u8]) -> Header {
        let it = &self.nodes[node];
        let parent = it.log.last().map_or(Tip::default(), |(header, _)| header.tip());
        let slot = Slot(parent.point.slot().map_or(0, |slot| slot.0 + 1).max(self.now.as_millis() as u64));
        let mut builder = Builder::start(&self.params, &parent, &it.state, slot);
        builder.add(Bytes::from_static(text)).expect("it fits");
        builder.add(Bytes::copy_from_slice(&it.life.to_be_bytes())).expect("it fits");
        if let Some((height, change)) = &self.setup.change
            && *height == Height(it.log.len() as u64)
        {
            builder = builder.change(change.clone());
        }
        builder.round(0, round.into()).finish(&key(self.setup.keys[node])).header
    }

    fn produce(&mut self, node: usize, parent: &Tip, round: u32) {
        let header = self.block(node, round, b"a transaction");
        assert_eq!(header.prev, parent.point.hash(), "blocks are asked for on the last irreversible one");
        let lie = self.setup.lies.get(&node);
        if lie == Some(&Lie::WrongBlocks) {
            self.wrong.insert(header.id);
        }
        self.nodes[node].built += 1;
        let life = self.nodes[node].life;
        self.tell(node, Input::Built(header.clone()));
        self.at(self.now + self.setup.disk, Event::Built { node, life, header });
    }

    fn fetch(&mut self, node: usize, header: Header, after: Duration) {
        let life = self.nodes[node].life;
        self.at(self.now + after, Event::Fetched { node, life, header });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Deliver { to, bytes } => {
                let message = Message::decode(&bytes).expect("all that is sent can be read");
                self.tell(to, Input::Message(message));
            }
            Event::Synced { node, life, ticket } if self.nodes[node].life == life => {
                let it = &mut self.nodes[node];
                let synced = it.unsynced.iter().take_while(|(unsynced, _)| *unsynced <= ticket).count();
                for (_, record) in it.unsynced.drain(..synced) {
                    append(&mut it.journal, record);
                }
                it.durable = ticket;
                self.tell(node, Input::Persisted(ticket));
                self.release(node);
            }
            Event::Logged { node, life, block, certificate } if self.nodes[node].life == life => {
                let header = self.nodes[node].blocks.get(&block).expect("it was durable").clone();
                if self.nodes[node].log.len() as u64 == certificate.height().0 {
                    self.commit(node, header, certificate);
                }
            }
            Event::Built { node, life, header } if self.nodes[node].life == life => {
                let block = header.id;
                self.nodes[node].blocks.insert(block, header);
                self.tell(node, Input::Stored(block));
            }
            Event::Fetched { node, life, header } if self.nodes[node].life == life => {
                self.on_fetched(node, header)
            }
            Event::Judged { node, life, block } if self.nodes[node].life == life => {
                let signed =
                    self.nodes[node].blocks.get(&block).is_some_and(|it| Checks::new(it).run().is_ok());
                let is_right = signed && !self.wrong.contains(&block);
                self.tell(node, Input::Judged { block, is_right });
            }
            Event::Restart { node } => self.start(node),
            Event::Sync => {
                if self.setup.has_sync {
                    (0..self.nodes.len()).for_each(|node| self.catch_up(node));
                }
                self.at(self.now + ms(100), Event::Sync);
            }
            // Of an earlier life.
            Event::Synced { .. }
            | Event::Logged { .. }
            | Event::Built { .. }
            | Event::Fetched { .. }
            | Event::Judged { .. } => {}
        }
    }

    /// A body comes when a node that can be heard has it and hands it out.
    fn on_fetched(&mut self, node: usize, header: Header) {
        if self.nodes[node].log.len() as u64 > header.height.0 {
            return;
        }
        let gives = |(other, it): (usize, &Node)| {
            it.group == self.nodes[node].group
                && it.blocks.contains_key(&header.id)
                && (other == node || self.setup.lies.get(&other) != Some(&Lie::NoBodies))
        };
        if !self.nodes.iter().enumerate().any(gives) {
            return self.fetch(node, header, ms(50));
        }
        let (life, block) = (self.nodes[node].life, header.id);
        self.nodes[node].blocks.insert(block, header);
        self.at(self.now + self.setup.judging, Event::Judged { node, life, block });
        self.tell(node, Input::Stored(block));
    }

    /// Takes the next block, with its certificate, from a node that is ahead.
    fn catch_up(&mut self, node: usize) {
        if self.nodes[node].quorum.is_none() {
            return;
        }
        let at = self.nodes[node].log.len();
        let group = self.nodes[node].group;
        let ahead =
            self.nodes.iter().find(|it| it.group == group && it.quorum.is_some() && it.log.len() > at);
        if let Some((header, certificate)) = ahead.and_then(|it| it.log.get(at)).cloned() {
            self.nodes[node].blocks.insert(header.id, header.clone());
            self.commit(node, header, certificate);
        }
    }

    /// A block is durable with its certificate.
    fn commit(&mut self, node: usize, header: Header, certificate: Certificate) {
        let height = header.height;
        assert_eq!(certificate.block(), header.id);
        assert_eq!(Certificate::decode(&certificate.encode()), Ok(certificate.clone()));
        let (validators, _) = self.nodes[node].state.validators_at(height);
        certificate
            .verify(&self.params.chain(), &validators, self.setup.faults)
            .expect("a decision comes with its proof");
        assert!(!self.wrong.contains(&header.id), "a wrong block was decided\n{}", self.story());
        if *self.chain.entry(height).or_insert(header.id) != header.id {
            self.disagreement = Some(height);
        }
        self.note(node, format!("has block {height} of round {}", certificate.round()));
        let it = &mut self.nodes[node];
        let format = Format::Native(Arc::new(self.params.clone()));
        let whole = chain::State {
            tip: it.log.last().map_or(Tip::default(), |(header, _)| header.tip()),
            next: chain::Position(it.log.len() as u64),
            boundary: false,
            detail: chain::format::Detail::Native(it.state.clone()),
        };
        let next = format.next(&whole, &header).expect("a decided block follows the rules");
        it.state = next.native().expect("native").clone();
        it.log.push((header, certificate));
        it.blocks.retain(|_, header| header.height >= height);
        self.begin(node, Journal::Read(Vec::new()));
    }

    pub(super) fn waiting(&self, node: usize) -> Option<Waiting> {
        Some(self.nodes[node].quorum.as_ref()?.status().waiting)
    }
}

impl Node {
    fn new(state: &State) -> Self {
        Self {
            quorum: None,
            journal: Vec::new(),
            is_damaged: false,
            unsynced: Vec::new(),
            durable: Ticket(0),
            held: Vec::new(),
            decided: Vec::new(),
            log: Vec::new(),
            state: state.clone(),
            blocks: BTreeMap::new(),
            life: 0,
            group: 0,
            outputs: 0,
            halted: None,
            evidence: Vec::new(),
            refused: 0,
            built: 0,
            has_work: true,
        }
    }
}

/// A record that begins a height replaces all before it.
fn append(journal: &mut Vec<Bytes>, record: Bytes) {
    if matches!(Record::decode(&record), Ok(Record::Height { .. })) {
        journal.clear();
    }
    journal.push(record);
}

fn forged(message: Message) -> Message {
    match message {
        Message::Vote(vote) => Message::Vote(Vote { signature: [7; 64], ..vote }),
        Message::Proposal(mut proposal) => {
            proposal.signature = [7; 64];
            Message::Proposal(proposal)
        }
        Message::Polka(mut polka) => {
            polka.votes.iter_mut().for_each(|(_, signature)| *signature = [7; 64]);
            Message::Polka(polka)
        }
        Message::Entry(mut entry) => {
            entry.votes.iter_mut().for_each(|vote| vote.signature = [7; 64]);
            Message::Entry(entry)
        }
    }
}
