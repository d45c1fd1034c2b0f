//! A node with model servers around it: events and commands instead of bytes, a log in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::format::Detail;
use chain::native::{Builder, Key, Params};
use chain::{Block, Format, Hash, Point, Slot, State, Tip, View};
use consensus::depth;
use link::Time;
use ouroboros::handshake::Version;

use crate::config::Role;
use crate::follower::Follower;
use crate::follower::upstream::{Command, Event};
use crate::follower::violation::Closing;
use crate::{Config, Found, Input, Load, Notice, Output, Record, Start, Ticket, UpstreamId};

/// The wall clock at the start: slot 0 of the made chain lies far back, so that no header is from the future.
const WALL: Duration = Duration::from_secs(1_000_000);

/// The wall clock for the real blocks, all of which are older (2026).
const TODAY: Duration = Duration::from_secs(1_780_000_000);

/// Makes native blocks on any parent.
#[derive(Clone)]
pub(super) struct Forge {
    pub format: Format,
    pub key: Key,
    params: Arc<Params>,
    states: BTreeMap<Option<Hash>, State>,
}

impl Forge {
    pub(super) fn new() -> Self {
        let key = Key::from_seed(&[7; 32]);
        let params = Arc::new(Params::solo("test", 42, 0, key.public()));
        let format = Format::Native(params.clone());
        let states = [(None, format.genesis())].into();
        Self { format, key, params, states }
    }

    /// A block on `parent`; `salt` tells it from its siblings.
    pub(super) fn block(&mut self, parent: Option<&Block>, slot: u64, salt: &str) -> Block {
        let state = &self.states[&parent.map(|block| block.header.id)];
        let Detail::Native(detail) = &state.detail else { unreachable!("a native chain") };
        let mut builder = Builder::start(&self.params, &state.tip, detail, Slot(slot));
        builder.add(Bytes::from(salt.to_owned())).expect("there is room");
        let block = builder.finish(&self.key);
        let next = self.format.next(state, &block.header).expect("it follows its parent");
        self.states.insert(Some(block.header.id), next);
        block
    }

    /// The first `keep` blocks of a chain and `more` new ones.
    pub(super) fn chain(&mut self, base: &[Block], keep: usize, more: usize, salt: &str) -> Vec<Block> {
        let mut chain = base[..keep].to_vec();
        for _ in 0..more {
            let slot = chain.last().map_or(0, |block| block.header.slot.0 + 1);
            chain.push(self.block(chain.last(), slot, salt));
        }
        chain
    }
}

/// A server that speaks events.
#[derive(Default)]
pub(super) struct Server {
    pub chain: Vec<Block>,
    /// How many blocks of its chain the node was told of.
    told: usize,
    back: bool,
    credit: u32,
    pub connected: bool,
    pub refuses: bool,
    /// Answers fetches with nothing at all.
    pub mute: bool,
    /// Keeps its answers to fetches until it is told to [`Server::deliver`] them.
    pub late: bool,
    kept_back: VecDeque<Event>,
    /// Says that it has no blocks.
    pub lacks_bodies: bool,
    /// Replaces every body by this one.
    pub swapped: Option<Bytes>,
    pub fetched: usize,
    said: VecDeque<Event>,
}

impl Server {
    fn tip(&self) -> Tip {
        self.chain.last().map_or(Tip::default(), |block| block.header.tip())
    }

    /// Lets its chain be another.
    pub(super) fn switch(&mut self, chain: Vec<Block>) {
        let common = self.chain.iter().zip(&chain).take_while(|(a, b)| a == b).count();
        if self.told > common {
            (self.told, self.back) = (common, true);
        }
        self.chain = chain;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Intersect { points } => {
                let place = |point: &Point| match point {
                    Point::Origin => Some(0),
                    _ => self.chain.iter().position(|block| block.header.point() == *point).map(|at| at + 1),
                };
                let Some((point, told)) = points.iter().find_map(|point| Some((*point, place(point)?)))
                else {
                    self.said.push_back(Event::NotIntersected { tip: self.tip() });
                    return;
                };
                (self.told, self.back) = (told, true);
                self.said.push_back(Event::Intersected { point, tip: self.tip() });
            }
            Command::Demand { n } => self.credit += n,
            Command::Fetch { .. } if self.mute => {}
            Command::Fetch { from, to } => self.on_fetch(from, to),
            Command::SharePeers { .. } | Command::Done => {}
        }
    }

    fn on_fetch(&mut self, from: Point, to: Point) {
        let place = |at: Point| self.chain.iter().position(|block| block.header.point() == at);
        let (Some(first), Some(last), false) = (place(from), place(to), self.lacks_bodies) else {
            self.said.push_back(Event::NoBlocks);
            return;
        };
        self.fetched += last + 1 - first;
        let answer = if self.late { &mut self.kept_back } else { &mut self.said };
        answer.push_back(Event::BatchStarted);
        for block in &self.chain[first..=last] {
            let raw = self.swapped.clone().unwrap_or(block.raw.clone());
            answer.push_back(Event::Block { raw });
        }
        answer.push_back(Event::BatchDone);
    }

    /// Says some more of what it kept back.
    pub(super) fn deliver(&mut self, events: usize) {
        let events = events.min(self.kept_back.len());
        self.said.extend(self.kept_back.drain(..events));
    }

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.said.pop_front() {
            return Some(event);
        }
        if self.credit == 0 {
            return None;
        }
        let tip = self.tip();
        if std::mem::take(&mut self.back) {
            self.credit -= 1;
            let point = self.told.checked_sub(1).map_or(Point::Origin, |at| self.chain[at].header.point());
            return Some(Event::Backward { point, tip });
        }
        let block = self.chain.get(self.told)?;
        self.credit -= 1;
        self.told += 1;
        Some(Event::Forward { wire: block.header.wire.clone(), tip })
    }
}

/// The node, its servers, and what it did.
pub(super) struct Rig {
    pub node: Follower,
    pub mono: Duration,
    pub servers: Vec<Server>,
    pub log: Vec<Block>,
    pub forks: Vec<Block>,
    kept: BTreeSet<Hash>,
    pub view: Arc<View>,
    pub notices: Vec<Notice>,
    pub closings: Vec<(UpstreamId, Closing)>,
    pub submitted: Vec<Result<Hash, crate::pool::Refusal>>,
    /// Appends are neither written nor acknowledged while it is set.
    pub slow_disk: bool,
    /// No point of the log can be read while it is set.
    pub broken_log: bool,
    /// Whether the invariants are checked after each input: slow in a large tree.
    pub checks_each: bool,
    unwritten: Vec<(Ticket, Record)>,
    config: Config,
    inputs: VecDeque<Input>,
}

pub(super) fn follow(forge: &Forge, depth: u64, agree: u32, upstreams: u32) -> Config {
    follow_format(&forge.format, depth, agree, upstreams)
}

pub(super) fn follow_format(format: &Format, depth: u64, agree: u32, upstreams: u32) -> Config {
    let some = |agree| NonZeroU32::new(agree).expect("m is not zero");
    let depth = NonZeroU64::new(depth).expect("k is not zero");
    let role = Role::Follow(depth::Config { depth, agree: some(agree), upstreams });
    Config { format: format.clone(), role }
}

impl Rig {
    pub(super) fn new(config: Config, chains: Vec<Vec<Block>>) -> Self {
        let mut rig = Self::unstarted(config, chains);
        rig.give(Input::Tick);
        rig
    }

    pub(super) fn unstarted(config: Config, chains: Vec<Vec<Block>>) -> Self {
        config.validate().expect("a test's configuration is sound");
        let start = Start::genesis(&config.format);
        let servers = chains.into_iter().map(|chain| Server { chain, ..Server::default() }).collect();
        Self {
            node: Follower::new(config.clone(), start, [1; 32]),
            mono: Duration::ZERO,
            servers,
            log: Vec::new(),
            forks: Vec::new(),
            kept: BTreeSet::new(),
            view: Arc::new(View::empty()),
            notices: Vec::new(),
            closings: Vec::new(),
            submitted: Vec::new(),
            slow_disk: false,
            broken_log: false,
            checks_each: true,
            unwritten: Vec::new(),
            config,
            inputs: VecDeque::new(),
        }
    }

    pub(super) fn now(&self) -> Time {
        let wall = match self.config.format {
            Format::Cardano(_) => TODAY,
            Format::Native(_) => WALL,
        };
        Time { mono: self.mono, wall: wall + self.mono }
    }

    /// Gives the node an input, and everything that follows from it.
    pub(super) fn give(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.settle();
    }

    /// Lets things happen until nothing does any more, without time passing.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(input) = self.inputs.pop_front() {
                let mut out = Vec::new();
                self.node.handle(self.now(), input, &mut out);
                if self.checks_each {
                    self.node.check_invariants();
                }
                out.into_iter().for_each(|output| self.perform(output));
            }
            for (index, server) in self.servers.iter_mut().enumerate().filter(|(_, server)| server.connected)
            {
                if let Some(event) = server.next() {
                    self.inputs.push_back(Input::Upstream { id: UpstreamId(index as u32), event });
                }
            }
            if self.inputs.is_empty() {
                return;
            }
        }
    }

    /// Lets time pass, with every deadline on the way.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.mono + time;
        while let Some(due) = self.node.next_deadline().filter(|due| *due <= end) {
            self.mono = due.max(self.mono);
            self.give(Input::Tick);
            if self.node.next_deadline().is_some_and(|next| next <= self.mono) {
                panic!("a deadline that was met does not come again");
            }
        }
        self.mono = end;
        self.give(Input::Tick);
    }

    /// Writes and acknowledges what a slow disk has held back.
    pub(super) fn write(&mut self) {
        self.slow_disk = false;
        let Some(ticket) = self.unwritten.last().map(|(ticket, _)| *ticket) else { return };
        for (_, record) in std::mem::take(&mut self.unwritten) {
            self.keep(record);
        }
        self.give(Input::Persisted { ticket });
    }

    /// Starts a new node from what was written.
    pub(super) fn restart(&mut self) {
        let mut state = self.config.format.genesis();
        for block in &self.log {
            state = self.config.format.next(&state, &block.header).expect("the log is sound");
        }
        let start = Start {
            settled: self.log.len() as u64,
            irreversible: state.tip,
            state,
            recent: Vec::new(),
            forks: self.forks.clone(),
            ..Start::genesis(&self.config.format)
        };
        self.unwritten.clear();
        self.servers.iter_mut().for_each(|server| server.connected = false);
        self.node = Follower::new(self.config.clone(), start, [2; 32]);
        self.give(Input::Tick);
    }

    pub(super) fn head(&self) -> Point {
        self.view.head.point
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Connect { id } => self.connect(id),
            Output::Upstream { id, command } => {
                let server = &mut self.servers[id.0 as usize];
                if server.connected {
                    server.on_command(command);
                }
            }
            Output::Disconnect { id, closing } => {
                self.hang_up(id);
                self.closings.push((id, closing));
            }
            Output::Verify { ticket, work } => {
                self.inputs.push_back(Input::Verified { ticket, result: work.run() });
            }
            Output::Persist { ticket, record } => {
                if self.slow_disk {
                    self.unwritten.push((ticket, record));
                } else {
                    self.keep(record);
                    self.inputs.push_back(Input::Persisted { ticket });
                }
            }
            Output::Load { ticket, .. } if self.broken_log => {
                self.inputs.push_back(Input::LoadFailed { ticket, error: "bad sector".into() });
            }
            Output::Load { ticket, load: Load::Points(positions) } => {
                let point =
                    |at: &chain::Position| self.log.get(at.0 as usize).map(|block| block.header.point());
                let points = positions.iter().filter_map(point).collect();
                self.inputs.push_back(Input::Loaded { ticket, found: Found::Points(points) });
            }
            Output::Publish(view) => self.on_view(view),
            Output::Submitted { result, .. } => self.submitted.push(result),
            Output::Notice(notice) => self.notices.push(notice),
            other => panic!("a follower never says {other:?}"),
        }
    }

    fn on_view(&mut self, view: Arc<View>) {
        assert!(view.settled >= self.view.settled, "the irreversible tip never moves back");
        assert!(view.settled as usize <= self.log.len(), "what is published as settled is in the log");
        let kept = |id: &Hash| self.kept.contains(id);
        assert!(view.volatile.iter().all(|entry| kept(&entry.header.id)), "what is published is kept");
        self.view = view;
    }

    /// Writes a record.
    pub(super) fn keep(&mut self, record: Record) {
        match record {
            Record::Fork(block) => {
                self.kept.insert(block.header.id);
                self.forks.push(block);
            }
            Record::Settle { blocks, state, .. } => {
                let last = blocks.last().expect("a settlement is not empty");
                assert_eq!(state.tip, last.header.tip(), "the state is the one after the last block");
                for block in blocks {
                    assert_eq!(
                        block.header.prev,
                        self.log.last().map(|last| last.header.id),
                        "the log has no gap"
                    );
                    self.log.push(block);
                }
            }
            Record::Bare { .. } | Record::SettleBare { .. } | Record::ForgetBare => {
                panic!("a follower holds all bodies")
            }
            Record::Journal(_) => panic!("a follower does not vote"),
        }
    }

    fn connect(&mut self, id: UpstreamId) {
        let server = &mut self.servers[id.0 as usize];
        if server.refuses {
            self.inputs.push_back(Input::ConnectFailed { id, error: "refused".into() });
            return;
        }
        server.connected = true;
        self.inputs.push_back(Input::Upstream { id, event: Event::Ready { version: Version::V14 } });
    }

    /// Ends a connection, with all that was under way on it.
    pub(super) fn hang_up(&mut self, id: UpstreamId) {
        let server = &mut self.servers[id.0 as usize];
        (server.connected, server.credit, server.told, server.back) = (false, 0, 0, false);
        server.said.clear();
        let of_it = |input: &Input| matches!(input, Input::Upstream { id: from, .. } if *from == id);
        self.inputs.retain(|input| !of_it(input));
    }
}
