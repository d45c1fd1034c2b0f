//! A node of ours without disks, signatures or sockets: the production machines over a real fork tree.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use chain::tree::{Root, Tree};
use chain::{Block, Hash, Header, Tip};
use diffusion::sync::bodies::{self, Producer};
use diffusion::sync::{self, Forks, Loaded, Message, Trunk};

use super::blocks::{self, producer};
use super::tally::Bytes;
use super::world::{self, Input, Output};

/// How much the sync channel of a link takes: more than is ever under way here.
const WINDOW_BYTES: u64 = 1 << 20;

/// What a node sends.
pub(crate) enum Sent {
    Sync(Message),
    Body(Block),
}

/// What it waits for.
pub(crate) enum Timer {
    /// The deadline of a body that is wanted.
    Deadline,
    /// The disk has a body that came from a peer.
    Stored(Block, usize),
}

/// One node.
pub(crate) struct Node {
    name: usize,
    /// How long it takes until a body is durable.
    disk: Duration,
    tree: Tree<()>,
    trunk: Trunk,
    loaded: Loaded,
    /// Bodies that are durable.
    held: BTreeMap<Hash, Producer>,
    /// Bodies that are about to be.
    storing: BTreeSet<Hash>,
    /// Bodies that arrived and are not durable.
    early: BTreeMap<(usize, Hash), Block>,
    /// Who announced a header first.
    announced: BTreeMap<Hash, usize>,
    connections: BTreeMap<usize, sync::State>,
    bodies: bodies::State<usize>,
    /// When the next tick is scheduled.
    tick: Option<Duration>,
    now: Duration,
}

type Out = Vec<Output<Node>>;

impl Node {
    pub(crate) fn new(name: usize, disk: Duration) -> Self {
        let root = Root { tip: Tip::default(), settled: 0, state: () };
        let prefer = |a: &Header, b: &Header| (a.height, a.id).cmp(&(b.height, b.id));
        let tree = Tree::new(chain::tree::Config::default(), Box::new(prefer), root);
        Self {
            name,
            disk,
            trunk: Trunk::new(&tree),
            loaded: Loaded::new(NonZeroUsize::MIN, Tip::default(), 0),
            tree,
            held: BTreeMap::new(),
            storing: BTreeSet::new(),
            early: BTreeMap::new(),
            announced: BTreeMap::new(),
            connections: BTreeMap::new(),
            bodies: bodies::State::new(bodies::Config::default()),
            tick: None,
            now: Duration::ZERO,
        }
    }
}

impl world::Node for Node {
    type Message = Sent;
    type Timer = Timer;

    fn handle(&mut self, now: Duration, input: Input<Self>, out: &mut Out) {
        self.now = now;
        match input {
            Input::Join(peers) => out.extend(peers.into_iter().map(Output::Open)),
            Input::Opened(peer, latency) => {
                self.connections.insert(peer, sync::State::new(sync::Config::default()));
                self.sync(peer, sync::Input::Room { bytes: WINDOW_BYTES }, out);
                self.sync(peer, sync::Input::Start, out);
                self.bodies(bodies::Input::Joined { peer }, out);
                self.bodies(bodies::Input::Rtt { peer, rtt: latency * 2 }, out);
            }
            Input::Lost(peer) => {
                self.connections.remove(&peer);
                self.bodies(bodies::Input::Left { peer }, out);
            }
            Input::Received(from, Sent::Sync(message)) => self.on_message(from, message, out),
            Input::Received(from, Sent::Body(block)) => self.on_body(from, block, out),
            Input::Due(Timer::Deadline) => {
                self.tick = None;
                self.bodies(bodies::Input::Tick, out);
            }
            Input::Due(Timer::Stored(block, from)) => self.on_stored(block, Some(from), out),
            Input::Make(block) => {
                out.push(Output::Delivered { height: block.header.height.0, from: self.name });
                self.tree.insert_header(block.header.clone(), ()).expect("its maker has the one before");
                self.on_stored(block, None, out);
                self.moved(out);
            }
        }
        self.wait(out);
    }
}

impl Node {
    fn on_message(&mut self, peer: usize, message: Message, out: &mut Out) {
        match message {
            Message::Hello(hello) => self.sync(peer, sync::Input::Hello(hello), out),
            Message::Header(wire) => {
                let header = blocks::decode(&wire);
                let (id, producer) = (header.id, producer(&header));
                self.announced.entry(id).or_insert(peer);
                self.bodies(bodies::Input::Announced { peer, id, producer }, out);
                self.sync(peer, sync::Input::Header(header), out);
            }
            Message::Fin(fin) => self.sync(peer, sync::Input::Fin(fin), out),
            Message::Want { id, follow } => {
                let held = self.held.get(&id).copied();
                self.bodies(bodies::Input::Asked { peer, id, follow, held }, out);
            }
            Message::No { id } => self.bodies(bodies::Input::Refused { peer, id }, out),
            Message::Range { .. } => unreachable!("nobody is that far behind"),
            Message::Pushes { producer } => self.bodies(bodies::Input::Pushes { peer, producer }, out),
            Message::Stop { producer } => self.bodies(bodies::Input::Stopped { peer, producer }, out),
        }
    }

    fn on_body(&mut self, peer: usize, block: Block, out: &mut Out) {
        let (id, bytes) = (block.header.id, block.raw.len());
        let producer = producer(&block.header);
        let held = self.has(&id);
        if !held {
            out.push(Output::Delivered { height: block.header.height.0, from: peer });
            self.early.insert((peer, id), block);
        }
        self.bodies(bodies::Input::Arrived { peer, id, producer, bytes, held }, out);
    }

    fn on_stored(&mut self, block: Block, from: Option<usize>, out: &mut Out) {
        let (id, producer) = (block.header.id, producer(&block.header));
        self.held.insert(id, producer);
        self.storing.remove(&id);
        self.early.retain(|(_, early), _| *early != id);
        self.tree.insert_body(block).expect("its header is there");
        self.bodies(bodies::Input::Stored { id, producer, from }, out);
    }

    fn sync(&mut self, peer: usize, input: sync::Input, out: &mut Out) {
        let Some(state) = self.connections.get_mut(&peer) else { return };
        let forks = Forks { tree: &self.tree, trunk: &self.trunk, loaded: &self.loaded };
        let mut said = Vec::new();
        state.handle(&forks, input, &mut said);
        for output in said {
            self.perform(peer, output, out);
        }
    }

    fn perform(&mut self, peer: usize, output: sync::Output, out: &mut Out) {
        match output {
            sync::Output::Send(message) => {
                let header = match &message {
                    Message::Header(wire) => Some(blocks::decode(wire)),
                    _ => None,
                };
                send(peer, message, out);
                if let Some(header) = header {
                    let held = self.held.get(&header.id).copied();
                    self.bodies(bodies::Input::Told { peer, id: header.id, held }, out);
                    self.sync(peer, sync::Input::Room { bytes: WINDOW_BYTES }, out);
                }
            }
            sync::Output::Insert(header) => {
                self.tree.insert_header(header, ()).expect("its parent is there");
                self.moved(out);
            }
            other => unreachable!("in a calm network there is no {other:?}"),
        }
    }

    /// The tree changed: peers are told, and what the best chain lacks is wanted.
    fn moved(&mut self, out: &mut Out) {
        self.trunk.follow(&self.tree);
        for peer in self.connections.keys().copied().collect::<Vec<_>>() {
            self.sync(peer, sync::Input::Moved, out);
        }
        let mut lacking = Vec::new();
        let mut at = self.tree.best_header().point.hash();
        while let Some(header) = at.and_then(|id| self.tree.header(&id)) {
            if self.has(&header.id) || self.bodies.is_wanted(&header.id) {
                break;
            }
            lacking.push(header.clone());
            at = header.prev;
        }
        for header in lacking.into_iter().rev() {
            let (id, producer) = (header.id, producer(&header));
            let from = self.announced.get(&id).copied();
            self.bodies(bodies::Input::Want { id, producer, bytes: blocks::BODY_BYTES as u64, from }, out);
        }
    }

    /// Whether a body is durable or about to be.
    fn has(&self, id: &Hash) -> bool {
        self.held.contains_key(id) || self.storing.contains(id)
    }

    fn bodies(&mut self, input: bodies::Input<usize>, out: &mut Out) {
        let arrived = match &input {
            bodies::Input::Arrived { peer, id, .. } => Some((*peer, *id)),
            _ => None,
        };
        let mut said = Vec::new();
        self.bodies.handle(self.now, input, &mut said);
        let keeps = |output: &bodies::Output<_>| {
            matches!(output, bodies::Output::Keep { .. } | bodies::Output::Take { .. })
        };
        if let Some(arrived) = arrived.filter(|_| !said.iter().any(keeps)) {
            self.early.remove(&arrived);
        }
        for output in said {
            match output {
                bodies::Output::Send { peer, message } => send(peer, message, out),
                bodies::Output::Serve { peer, id } => {
                    let entry = self.tree.block(&id).expect("what is served is there");
                    let block = Block { header: entry.header.clone(), raw: entry.block.clone() };
                    let (header, payload) = (blocks::HEADER_BYTES as u64, blocks::BODY_BYTES as u64);
                    let bytes = Bytes { header, payload, ..Bytes::default() };
                    out.push(Output::Send { to: peer, message: Sent::Body(block), bytes });
                }
                bodies::Output::Take { peer, id } => self.take(peer, id, out),
                bodies::Output::Keep { .. } => {}
                bodies::Output::Forget { peer, id } => drop(self.early.remove(&(peer, id))),
            }
        }
    }

    fn take(&mut self, peer: usize, id: Hash, out: &mut Out) {
        let block = self.early[&(peer, id)].clone();
        if self.disk.is_zero() {
            return self.on_stored(block, Some(peer), out);
        }
        self.storing.insert(id);
        out.push(Output::After(self.disk, Timer::Stored(block, peer)));
    }

    /// Asks to be told of the next deadline, unless it will be.
    fn wait(&mut self, out: &mut Out) {
        let Some(next) = self.bodies.next_deadline() else { return };
        if self.tick.is_none_or(|tick| tick > next) {
            self.tick = Some(next);
            out.push(Output::After(next.saturating_sub(self.now), Timer::Deadline));
        }
    }
}

fn send(to: usize, message: Message, out: &mut Out) {
    let bytes = message.to_bytes().len() as u64;
    let bytes = match &message {
        Message::Header(_) => Bytes { header: bytes, ..Bytes::default() },
        _ => Bytes { control: bytes, ..Bytes::default() },
    };
    out.push(Output::Send { to, message: Sent::Sync(message), bytes });
}
