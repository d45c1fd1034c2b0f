//! A follower's machine and a server's machine, joined by two pipes: whatever the chain does meanwhile, and however
//! the pipes cut the bytes, the follower is told a chain that hangs together, and in the end the server's.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::tree::{self, Root, Tree};
use chain::view::Writer;
use chain::{Block, Chunk, Cursor, Hash, Header, Height, Point, Position, Slot, Tip, View};
use link::Time;
use ouroboros::handshake::{Offer, Version, VersionData};
use ouroboros::server::{self, Client};
use ouroboros::upstream::{self, Command, Event, Reason};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const MAGIC: u32 = 42;
const DATA: VersionData =
    VersionData { magic: MAGIC, initiator_only: false, peer_sharing: true, query: false, peras: false };

/// How many headers a chunk of the log holds here: few, so that chunks end often.
const CHUNK: usize = 5;

/// The chain as the server has it: fork tree, log and the view that it published last.
struct Chain {
    /// Whether the view holds the newest blocks of the log, or the log alone does.
    remembers: bool,
    tree: Tree<()>,
    writer: Writer,
    log: Vec<Block>,
    view: Arc<View>,
    made: u64,
    all: BTreeMap<Hash, Block>,
}

impl Chain {
    fn new(remembers: bool) -> Self {
        let by_height = |a: &Header, b: &Header| -> Ordering { (a.height, a.id).cmp(&(b.height, b.id)) };
        let root = Root { tip: Tip::default(), settled: 0, state: () };
        let tree = Tree::new(tree::Config::default(), Box::new(by_height), root);
        let mut writer = Writer::default();
        let view = writer.publish(&tree);
        Self { remembers, tree, writer, log: Vec::new(), view, made: 0, all: BTreeMap::new() }
    }

    /// Hangs a block above the block this far below the head.
    fn grow(&mut self, below: usize, size: usize) {
        let chain: Vec<Tip> = self.tree.chain().map(|entry| entry.header.tip()).collect();
        let root = self.tree.root().tip;
        let parent = chain.len().checked_sub(below + 1).map_or(root, |at| chain[at]);
        self.made += 1;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.made.to_be_bytes());
        let mut wire = vec![0x82, 0x18, 0x64, 0xd8, 0x18, 0x58, 32];
        wire.extend_from_slice(&id);
        let header = Header {
            id: Hash(id),
            prev: parent.point.hash(),
            slot: Slot(parent.height.0 * 2 + 2 + self.made % 2),
            height: Height(parent.height.0 + 1),
            boundary: false,
            wire: Bytes::from(wire),
        };
        let raw = Bytes::from(vec![self.made as u8; size]);
        let block = Block { header: header.clone(), raw };
        let change = self.tree.insert_header(header, ()).expect("there is room");
        self.writer.on_change(&change);
        let change = self.tree.insert_body(block.clone()).expect("there is room");
        self.writer.on_change(&change);
        self.all.insert(block.header.id, block);
    }

    /// Makes all but the newest blocks of the chain irreversible.
    fn settle(&mut self, keep: usize) {
        let ids: Vec<Hash> = self.tree.chain().map(|entry| entry.header.id).collect();
        if let Some(at) = ids.len().checked_sub(keep + 1) {
            let settled = self.tree.irreversible(ids[at]).expect("the block is complete");
            self.log.extend(settled.blocks.iter().map(|entry| self.all[&entry.header.id].clone()));
            if self.remembers {
                self.writer.on_settled(&settled);
            } else {
                self.writer.on_change(&settled.change);
            }
        }
    }

    fn publish(&mut self) {
        self.view = self.writer.publish(&self.tree);
    }

    /// The published chain from its first block on.
    fn points(&self) -> Vec<Point> {
        let settled = self.log[..self.view.settled as usize].iter().map(|block| block.header.point());
        settled.chain(self.view.volatile.iter().map(|entry| entry.header.point())).collect()
    }

    fn position(&self, point: &Point) -> Option<Position> {
        let at = self.log.iter().position(|block| block.header.point() == *point)?;
        Some(Position(at as u64))
    }

    /// What the log and the books say to a question.
    fn answer(&self, question: server::Output) -> Option<server::Input<'static>> {
        use server::{Input, Output};
        match question {
            Output::Opened { .. } | Output::Closed(_) | Output::InboxRoom => None,
            Output::FirstInLog(points) => {
                let found = points
                    .iter()
                    .find_map(|point| Some(Cursor::settled(self.position(point)?.next(), *point)));
                Some(Input::FirstInLog(found))
            }
            Output::Chunk(position) => Some(Input::Chunk(Arc::new(self.chunk(position)))),
            Output::Check(position, point) => Some(Input::Checked(self.position(&point) == Some(position))),
            Output::Range(from, to) => Some(Input::Range(self.position(&from), self.position(&to))),
            Output::Blocks(from, to) => {
                let last = (to.0 + 1).min(from.0 + 3) as usize;
                let blocks = self.log[from.0 as usize..last].iter().map(|block| block.raw.clone());
                Some(Input::Blocks(from, blocks.collect()))
            }
            Output::Peers(amount) => {
                let peers = (0..3.min(u16::from(amount))).map(|port| ([10, 0, 0, 1], port).into());
                Some(Input::Peers(peers.collect()))
            }
            Output::Offered(_) | Output::Transactions(_) => panic!("the follower has no transactions"),
        }
    }

    fn chunk(&self, position: Position) -> Chunk {
        let first = position.0 as usize / CHUNK * CHUNK;
        let blocks = &self.log[first..(first + CHUNK).min(self.log.len())];
        let mut bytes = Vec::new();
        let entries = blocks.iter().map(|block| {
            bytes.extend_from_slice(&block.header.wire);
            chain::view::ChunkEntry { end: bytes.len() as u32, point: block.header.point() }
        });
        let entries = entries.collect();
        Chunk { first: Position(first as u64), bytes: Bytes::from(bytes), entries }
    }
}

/// Both machines and the bytes between them.
struct World {
    chain: Chain,
    client: Client,
    follower: upstream::State,
    now: Duration,
    to_server: VecDeque<u8>,
    to_follower: VecDeque<u8>,
    /// What the follower was told, as a chain.
    told: Vec<Point>,
    blocks: Vec<Bytes>,
    batches: Vec<bool>,
    rtts: usize,
    peers: usize,
    is_ready: bool,
    /// The chain that the question for an intersection is about.
    asked: Option<Vec<Point>>,
}

impl World {
    fn new(remembers: bool) -> Self {
        let now = Duration::from_secs(1);
        let offer = Offer { oldest: Version::OLDEST, newest: Version::V15, data: DATA };
        let client = Client::new(Arc::new(server::Config { offer }), time(now));
        let config = upstream::Config {
            peer_sharing: true,
            requests_in_flight: NonZeroU32::new(7).unwrap(),
            ..upstream::Config::new(MAGIC)
        };
        let mut world = Self {
            chain: Chain::new(remembers),
            client,
            follower: upstream::State::new(&config, time(now), ChaCha8Rng::seed_from_u64(3)),
            now,
            to_server: VecDeque::new(),
            to_follower: VecDeque::new(),
            told: Vec::new(),
            blocks: Vec::new(),
            batches: Vec::new(),
            rtts: 0,
            peers: 0,
            is_ready: false,
            asked: None,
        };
        world.pump();
        world
    }

    fn command(&mut self, command: Command) {
        if self.is_ready {
            self.follow(upstream::Input::Command(command));
        }
    }

    /// Delivers so many bytes each way, in one piece.
    fn deliver(&mut self, to_server: usize, to_follower: usize) {
        let bytes: Vec<u8> = self.to_server.drain(..to_server.min(self.to_server.len())).collect();
        self.serve(server::Input::Received(&bytes));
        let bytes: Vec<u8> = self.to_follower.drain(..to_follower.min(self.to_follower.len())).collect();
        self.follow(upstream::Input::Received(&bytes));
    }

    fn serve(&mut self, input: server::Input<'_>) {
        let mut questions = Vec::new();
        self.client.handle(time(self.now), input, &self.chain.view, &mut questions);
        self.settle_questions(questions);
        self.pump();
    }

    fn settle_questions(&mut self, questions: Vec<server::Output>) {
        for question in questions {
            if let server::Output::Closed(reason) = &question {
                panic!("the server closed: {reason}");
            }
            if let Some(answer) = self.chain.answer(question) {
                let mut more = Vec::new();
                self.client.handle(time(self.now), answer, &self.chain.view, &mut more);
                self.settle_questions(more);
            }
        }
        self.client.check_invariants();
    }

    fn follow(&mut self, input: upstream::Input<'_>) {
        let mut events = Vec::new();
        self.follower.handle(time(self.now), input, &mut events);
        events.into_iter().for_each(|event| self.on_event(event));
        self.follower.check_invariants();
        self.pump();
    }

    /// Moves what both have to say into the pipes.
    fn pump(&mut self) {
        let mut bytes = Vec::new();
        while self.follower.transmit(time(self.now), 500, &mut bytes) {}
        self.to_server.extend(bytes);
        loop {
            let mut bytes = Vec::new();
            let mut questions = Vec::new();
            let view = self.chain.view.clone();
            let more = self.client.transmit(time(self.now), &view, 3_000, &mut bytes, &mut questions);
            let asked = !questions.is_empty();
            self.settle_questions(questions);
            self.to_follower.extend(&bytes);
            if !more && !asked {
                break;
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Ready { version } => {
                assert_eq!(version, Version::V15);
                self.is_ready = true;
            }
            Event::Forward { wire, .. } => {
                let block =
                    self.chain.all.values().find(|block| block.header.wire == wire).expect("its header");
                assert_eq!(
                    block.header.prev,
                    self.told.last().and_then(Point::hash),
                    "it hangs on the last one"
                );
                self.told.push(block.header.point());
            }
            Event::Backward { point: Point::Origin, .. } => self.told.clear(),
            Event::Backward { point, .. } => {
                let at = self.told.iter().position(|told| *told == point).expect("a block that was told of");
                self.told.truncate(at + 1);
            }
            Event::Intersected { point, .. } => {
                // The chain that it was asked about: answers to earlier requests may have moved on since.
                self.told = self.asked.take().expect("it was asked");
                let at = self.told.iter().position(|told| *told == point);
                assert!(at.is_some() || point == Point::Origin, "one of the points that were listed");
                self.told.truncate(at.map_or(0, |at| at + 1));
            }
            Event::Block { raw } => self.blocks.push(raw),
            Event::BatchDone => self.batches.push(true),
            Event::NoBlocks => self.batches.push(false),
            Event::Rtt { .. } => self.rtts += 1,
            Event::Peers { peers } => self.peers += peers.len(),
            Event::Waiting | Event::BatchStarted => {}
            Event::NotIntersected { .. } => panic!("origin is on every chain"),
            Event::Closed { reason } => panic!("the follower closed: {reason}"),
        }
    }

    fn intersect(&mut self) {
        if self.is_ready && self.asked.is_none() {
            self.asked = Some(self.told.clone());
            let points = self.told.iter().rev().step_by(3).copied().chain([Point::Origin]).collect();
            self.command(Command::Intersect { points });
        }
    }

    /// Publishes, delivers everything, and lets the follower have all of the chain.
    fn finish(&mut self) {
        self.chain.publish();
        for _ in 0..10_000 {
            self.serve(server::Input::Tick);
            if self.to_server.is_empty() && self.to_follower.is_empty() {
                if self.is_ready && self.told == self.chain.points() && self.asked.is_none() {
                    return;
                }
                if self.asked.is_some() {
                    // The question waits behind requests, and these wait for the chain to change.
                    self.chain.grow(0, 1);
                    self.chain.publish();
                    self.pump();
                } else {
                    self.command(Command::Demand { n: 20 });
                }
            }
            self.deliver(100, 1_000);
        }
        panic!("told {:?} of {:?}", self.told, self.chain.points());
    }
}

fn time(mono: Duration) -> Time {
    Time { mono, wall: Duration::ZERO }
}

#[derive(Debug, Clone)]
enum Op {
    Grow { below: usize, size: usize },
    Settle { keep: usize },
    Publish,
    Deliver { to_server: usize, to_follower: usize },
    Demand { n: u32 },
    Intersect,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0usize..1, 1usize..300).prop_map(|(below, size)| Op::Grow { below, size }),
        2 => (0usize..6, 1usize..300).prop_map(|(below, size)| Op::Grow { below, size }),
        2 => (0usize..6).prop_map(|keep| Op::Settle { keep }),
        3 => Just(Op::Publish),
        6 => (0usize..200, 0usize..2_000)
            .prop_map(|(to_server, to_follower)| Op::Deliver { to_server, to_follower }),
        3 => (1u32..12).prop_map(|n| Op::Demand { n }),
        2 => Just(Op::Intersect),
    ];
    prop::collection::vec(op, 1..160)
}

proptest! {
    #[test]
    fn the_follower_gets_the_servers_chain_whatever_it_does(remembers in any::<bool>(), ops in ops()) {
        let mut world = World::new(remembers);
        for op in ops {
            world.now += Duration::from_millis(5);
            match op {
                Op::Grow { below, size } => world.chain.grow(below, size),
                // The log may be ahead of the view, never behind it.
                Op::Settle { keep } => world.chain.settle(keep),
                Op::Publish => {
                    world.chain.publish();
                    world.pump();
                }
                Op::Deliver { to_server, to_follower } => world.deliver(to_server, to_follower),
                Op::Demand { n } => world.command(Command::Demand { n }),
                Op::Intersect => world.intersect(),
            }
        }
        world.finish();
        prop_assert!(world.rtts > 0);
    }
}

#[test]
fn every_block_of_a_range_comes_as_it_is_stored() {
    let mut world = World::new(false);
    (0..40).for_each(|n| world.chain.grow(0, 1 + n * 1_700));
    world.chain.settle(10);
    world.finish();
    let points = world.told.clone();
    let stored: Vec<Bytes> =
        points.iter().map(|point| world.chain.all[&point.hash().unwrap()].raw.clone()).collect();

    // All of it, one block, backwards, from off the chain; pipelined.
    let nowhere = Point::Block(Slot(3), Hash([0xee; 32]));
    let ranges =
        [(points[0], points[39]), (points[35], points[35]), (points[9], points[3]), (points[0], nowhere)];
    for (from, to) in ranges {
        world.command(Command::Fetch { from, to });
    }
    world.command(Command::SharePeers { n: 2 });
    while !(world.to_server.is_empty() && world.to_follower.is_empty()) {
        world.deliver(37, 1_501);
    }
    assert_eq!(world.batches, [true, true, false, false]);
    assert_eq!(world.blocks[..40], stored);
    assert_eq!(world.blocks[40..], stored[35..36]);
    assert_eq!(world.peers, 2);
}

#[test]
fn keep_alive_goes_on_while_the_chain_stands_still() {
    let mut world = World::new(false);
    world.chain.grow(0, 10);
    world.finish();
    world.command(Command::Demand { n: 1 });
    for _ in 0..100 {
        world.now += Duration::from_secs(5);
        world.serve(server::Input::Tick);
        world.follow(upstream::Input::Tick);
        world.deliver(1_000, 1_000);
    }
    assert!(world.rtts > 40, "{} round trips in 500 s", world.rtts);
}

#[test]
fn another_network_is_refused_with_the_reason() {
    let mut world = World::new(false);
    let offer = Offer { oldest: Version::V14, newest: Version::V15, data: VersionData { magic: 7, ..DATA } };
    world.client = Client::new(Arc::new(server::Config { offer }), time(world.now));
    let proposal: Vec<u8> = world.to_server.drain(..).collect();
    let (mut outputs, mut answer, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let (now, view) = (time(world.now), world.chain.view.clone());
    world.client.handle(now, server::Input::Received(&proposal), &view, &mut outputs);
    world.client.transmit(now, &view, 1_000, &mut answer, &mut outputs);
    assert_eq!(outputs, [server::Output::Closed(server::Reason::OtherNetwork { magic: MAGIC })]);
    world.follower.handle(now, upstream::Input::Received(&answer), &mut events);
    let [Event::Closed { reason: Reason::Handshake(refused) }] = &events[..] else { panic!("{events:?}") };
    assert!(refused.to_string().contains("network"), "{refused}");
}
