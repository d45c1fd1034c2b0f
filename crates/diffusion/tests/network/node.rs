//! A node without disks, signatures or sockets: the production machines over a real fork tree.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use chain::tree::{Root, Tree};
use chain::{Block, Hash, Header, Position, Tip};
use diffusion::sync::bodies::{self, Mode};
use diffusion::sync::{self, Chain, Forks, Input, Loaded, Message, Output, Place, Trunk};

use crate::forge;

/// How many bytes the sync channel takes before its sender waits.
const WINDOW_BYTES: u64 = 1_500;

/// Headers of the log have their certificates at every so many positions, beside the newest.
const CERTIFICATE_EVERY: u64 = 3;

/// What a node wants sent.
#[derive(Debug)]
pub(crate) enum Sent {
    Sync(usize, Message),
    Body(usize, Block),
}

pub(crate) struct Node {
    pub(crate) name: usize,
    tree: Tree<()>,
    trunk: Trunk,
    loaded: Loaded,
    /// What is irreversible, oldest first.
    pub(crate) log: Vec<Header>,
    /// Every body that was stored.
    held: BTreeMap<Hash, Block>,
    early: BTreeMap<(usize, Hash), Block>,
    announced: BTreeMap<Hash, Vec<usize>>,
    /// Certified, and waiting for bodies.
    certified: Option<Tip>,
    connections: BTreeMap<usize, sync::State>,
    pub(crate) bodies: bodies::State<usize>,
    pub(crate) headers_twice: u64,
    now: Duration,
}

impl Node {
    pub(crate) fn new(name: usize) -> Self {
        let root = Root { tip: Tip::default(), settled: 0, state: () };
        let prefer = |a: &Header, b: &Header| (a.height, a.id).cmp(&(b.height, b.id));
        let tree = Tree::new(chain::tree::Config::default(), Box::new(prefer), root);
        Self {
            name,
            trunk: Trunk::new(&tree),
            loaded: Loaded::new(NonZeroUsize::new(4).unwrap(), Tip::default(), 0),
            tree,
            log: Vec::new(),
            held: BTreeMap::new(),
            early: BTreeMap::new(),
            announced: BTreeMap::new(),
            certified: None,
            connections: BTreeMap::new(),
            bodies: bodies::State::new(bodies::Config::default()),
            headers_twice: 0,
            now: Duration::ZERO,
        }
    }

    pub(crate) fn lib(&self) -> Tip {
        self.tree.root().tip
    }

    pub(crate) fn best(&self) -> Tip {
        self.tree.best_header()
    }

    pub(crate) fn head(&self) -> Tip {
        self.tree.head()
    }

    /// Whether it lacks no body.
    pub(crate) fn is_done(&self) -> bool {
        self.head() == self.best() && self.certified.is_none() && self.bodies.status().wanted == 0
    }

    pub(crate) fn show(&self) -> String {
        let of = |tip: Tip| format!("{}:{:.4}", tip.height, tip.point.hash().unwrap_or_default());
        let connections = self.connections.iter().map(|(peer, state)| {
            let status = state.status();
            let at = |place: Option<Place>| place.map(|place| of(place.tip));
            format!(
                "{peer}: S {:?} R {:?} lib {} fin {}",
                at(status.sent),
                at(status.received),
                of(status.lib),
                of(status.fin)
            )
        });
        let connections: Vec<String> = connections.collect();
        format!(
            "node {}: lib {} best {} head {} certified {:?} {:?} {connections:#?}",
            self.name,
            of(self.lib()),
            of(self.best()),
            of(self.head()),
            self.certified.map(of),
            self.bodies.status()
        )
    }

    /// A block that may become irreversible here next: everything up to it is there.
    pub(crate) fn next_on(&self, lib: Option<Hash>) -> Option<Header> {
        if self.lib().point.hash() != lib {
            return None;
        }
        self.tree.chain().next().map(|entry| entry.header.clone())
    }

    pub(crate) fn connect(&mut self, peer: usize, out: &mut Vec<Sent>) {
        self.connections.insert(peer, sync::State::new(sync::Config::default()));
        self.input(peer, Input::Start, out);
    }

    pub(crate) fn disconnect(&mut self, peer: usize, out: &mut Vec<Sent>) {
        self.connections.remove(&peer);
        self.announced.values_mut().for_each(|peers| peers.retain(|other| *other != peer));
        self.bodies(bodies::Input::Left { peer }, out);
    }

    pub(crate) fn set_mode(&mut self, peer: usize, mode: Mode, out: &mut Vec<Sent>) {
        self.bodies(bodies::Input::Mode { peer, mode }, out);
    }

    /// Room on the sync channel to a peer.
    pub(crate) fn room(&mut self, peer: usize, queued: u64, out: &mut Vec<Sent>) {
        let bytes = WINDOW_BYTES.saturating_sub(queued);
        self.input(peer, Input::Room { bytes }, out);
    }

    pub(crate) fn tick(&mut self, now: Duration, out: &mut Vec<Sent>) {
        self.now = now;
        self.bodies(bodies::Input::Tick, out);
    }

    pub(crate) fn produce(&mut self, dice: &mut forge::Dice, out: &mut Vec<Sent>) {
        let parent = self.head().point.hash().and_then(|id| self.tree.header(&id).cloned());
        let parent = parent.or_else(|| self.log.last().cloned());
        let block = forge::make(parent.as_ref(), self.name, dice);
        self.tree.insert_header(block.header.clone(), ()).expect("it hangs on the head");
        self.store(block, None, out);
        self.moved(out);
    }

    pub(crate) fn receive(&mut self, peer: usize, message: Message, out: &mut Vec<Sent>) {
        let bytes = message.to_bytes();
        match Message::decode(&bytes).expect("what a node sends can be read") {
            Message::Hello(hello) => {
                self.input(peer, Input::Hello(hello), out);
                self.bodies(bodies::Input::Joined { peer }, out);
                let rtt = Duration::from_millis(20);
                self.bodies(bodies::Input::Rtt { peer, rtt }, out);
            }
            Message::Header(wire) => {
                let header = forge::decode(&wire);
                self.announced.entry(header.id).or_default().push(peer);
                self.headers_twice += u64::from(self.tree.contains(&header.id));
                let (id, producer) = (header.id, forge::producer(&header));
                self.bodies(bodies::Input::Announced { peer, id, producer }, out);
                self.input(peer, Input::Header(header), out);
            }
            Message::Fin(fin) => self.input(peer, Input::Fin(fin), out),
            Message::Want { id, follow } => {
                let held = self.held.get(&id).map(|block| forge::producer(&block.header));
                self.bodies(bodies::Input::Asked { peer, id, follow, held }, out);
            }
            Message::No { id } => self.bodies(bodies::Input::Refused { peer, id }, out),
            Message::Range { .. } => panic!("nobody is that far behind"),
            Message::Pushes { producer } => self.bodies(bodies::Input::Pushes { peer, producer }, out),
            Message::Stop { producer } => self.bodies(bodies::Input::Stopped { peer, producer }, out),
        }
    }

    pub(crate) fn receive_body(&mut self, peer: usize, block: Block, out: &mut Vec<Sent>) {
        let id = block.header.id;
        let (producer, bytes) = (forge::producer(&block.header), block.raw.len());
        let held = self.held.contains_key(&id);
        self.early.insert((peer, id), block);
        self.bodies(bodies::Input::Arrived { peer, id, producer, bytes, held }, out);
    }

    /// The consensus of this node decides.
    pub(crate) fn decide(&mut self, tip: Tip, out: &mut Vec<Sent>) {
        self.certify(tip, out);
    }

    pub(crate) fn check(&self) {
        self.tree.check_invariants();
        self.bodies.check_invariants();
        let forks = self.forks();
        for state in self.connections.values() {
            state.check_invariants(&forks);
        }
        // B1, with what the machine does not know: what the best chain lacks is wanted.
        for header in
            self.tree.path(&self.lib().point, &self.best().point).expect("the best is above the root")
        {
            let id = header.id;
            assert!(self.held.contains_key(&id) || self.bodies.is_wanted(&id), "B1: {id:.8} is forgotten");
        }
    }

    fn forks(&self) -> Forks<'_, ()> {
        Forks { tree: &self.tree, trunk: &self.trunk, loaded: &self.loaded }
    }

    fn input(&mut self, peer: usize, input: Input, out: &mut Vec<Sent>) {
        let Some(state) = self.connections.get_mut(&peer) else { return };
        let forks = Forks { tree: &self.tree, trunk: &self.trunk, loaded: &self.loaded };
        let mut said = Vec::new();
        state.handle(&forks, input, &mut said);
        for output in said {
            self.perform(peer, output, out);
        }
    }

    fn perform(&mut self, peer: usize, output: Output, out: &mut Vec<Sent>) {
        match output {
            Output::Send(message) => {
                let told =
                    if let Message::Header(wire) = &message { Some(forge::decode(wire)) } else { None };
                out.push(Sent::Sync(peer, message));
                if let Some(header) = told {
                    let held = self.held.contains_key(&header.id).then(|| forge::producer(&header));
                    self.bodies(bodies::Input::Told { peer, id: header.id, held }, out);
                }
            }
            Output::Insert(header) => {
                self.tree.insert_header(header, ()).expect("P1: the parent is there");
                self.input(peer, Input::Moved, out);
                self.moved(out);
            }
            Output::Commit(fin) => self.certify(fin.tip, out),
            Output::Find { points } => {
                let at = |id| self.log.iter().position(|header| Some(header.id) == id);
                let place = points.iter().find_map(|point| match at(point.hash()) {
                    Some(at) => Some(Place { count: at as u64 + 1, tip: self.log[at].tip() }),
                    None => point.hash().is_none().then(Place::default),
                });
                self.input(peer, Input::Found(place), out);
            }
            Output::Load { from: Position(from) } => {
                let header = |at: u64| {
                    let certificate = at.is_multiple_of(CERTIFICATE_EVERY).then(Bytes::new);
                    (self.log[at as usize].clone(), certificate)
                };
                let chunk = (from..self.log.len() as u64).take(3).map(header).collect();
                self.loaded.load(Position(from), chunk);
                self.input(peer, Input::Loaded, out);
            }
            Output::Passed { .. } => {}
            Output::Behind { .. } | Output::PeerBehind { .. } => panic!("everybody has everything"),
            Output::Violation(violation) => panic!("node {} blames {peer}: {violation}", self.name),
        }
    }

    fn certify(&mut self, tip: Tip, out: &mut Vec<Sent>) {
        if self.certified.is_none_or(|certified| certified.height < tip.height) {
            self.certified = Some(tip);
        }
        self.want_bodies(out);
        self.commit(out);
    }

    fn commit(&mut self, out: &mut Vec<Sent>) {
        let Some(id) = self.certified.and_then(|tip| tip.point.hash()) else { return };
        if !self.tree.is_complete(&id) {
            return;
        }
        let place = self.forks().find(Some(id)).expect("it is complete");
        for peer in self.connections.keys().copied().collect::<Vec<_>>() {
            self.input(peer, Input::Settling(place), out);
        }
        self.certified = None;
        let settled = self.tree.irreversible(id).expect("it is complete");
        let headers: Vec<Header> = settled.blocks.iter().map(|entry| entry.header.clone()).collect();
        self.loaded.settle(headers.iter().map(|header| (header.clone(), Some(Bytes::new()))));
        self.log.extend(headers);
        for id in settled.change.dropped {
            self.bodies(bodies::Input::Unwant { id }, out);
        }
        self.moved(out);
    }

    /// The tree changed.
    fn moved(&mut self, out: &mut Vec<Sent>) {
        self.trunk.follow(&self.tree);
        for peer in self.connections.keys().copied().collect::<Vec<_>>() {
            self.input(peer, Input::Moved, out);
        }
        self.want_bodies(out);
    }

    fn want_bodies(&mut self, out: &mut Vec<Sent>) {
        let root = self.lib().point;
        let ends = [Some(self.best()), self.certified];
        let paths = ends.iter().flatten().filter_map(|end| self.tree.path(&root, &end.point));
        let lacking: Vec<Header> =
            paths.flatten().filter(|header| !self.held.contains_key(&header.id)).cloned().collect();
        for header in lacking {
            let (id, producer) = (header.id, forge::producer(&header));
            if self.bodies.is_wanted(&id) {
                continue;
            }
            let announcers = self.announced.get(&id).cloned().unwrap_or_default();
            let from = announcers.first().copied();
            self.bodies(bodies::Input::Want { id, producer, bytes: 100, from }, out);
            for peer in announcers {
                self.bodies(bodies::Input::Announced { peer, id, producer }, out);
            }
        }
    }

    fn store(&mut self, block: Block, from: Option<usize>, out: &mut Vec<Sent>) {
        let (id, producer) = (block.header.id, forge::producer(&block.header));
        self.held.insert(id, block.clone());
        if self.tree.contains(&id) && self.tree.block(&id).is_none() {
            self.tree.insert_body(block).expect("its header is there");
        }
        self.bodies(bodies::Input::Stored { id, producer, from }, out);
        self.commit(out);
    }

    fn bodies(&mut self, input: bodies::Input<usize>, out: &mut Vec<Sent>) {
        let mut said = Vec::new();
        let arrived = match &input {
            bodies::Input::Arrived { peer, id, .. } => Some((*peer, *id)),
            _ => None,
        };
        self.bodies.handle(self.now, input, &mut said);
        let kept = said.iter().any(|output| matches!(output, bodies::Output::Keep { .. }));
        let taken = said.iter().any(|output| matches!(output, bodies::Output::Take { .. }));
        if let Some(arrived) = arrived.filter(|_| !kept && !taken) {
            self.early.remove(&arrived);
        }
        for output in said {
            match output {
                bodies::Output::Send { peer, message } => out.push(Sent::Sync(peer, message)),
                bodies::Output::Serve { peer, id } => out.push(Sent::Body(peer, self.held[&id].clone())),
                bodies::Output::Take { peer, id } => {
                    let block = self.early.remove(&(peer, id)).expect("it has arrived");
                    self.store(block, Some(peer), out);
                }
                bodies::Output::Keep { .. } => {}
                bodies::Output::Forget { peer, id } => drop(self.early.remove(&(peer, id))),
            }
        }
    }
}
