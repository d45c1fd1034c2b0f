//! The Node itself: what it holds, and the flat dispatch of its inputs.

use std::sync::Arc;
use std::time::Duration;

use chain::tree::{self, Root, Tree};
use chain::view;
use chain::{Block, Entry, Format, State, Tip};
use consensus::Consensus;
use link::Time;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use crate::bodies::Bodies;
use crate::bounds::Bounds;
use crate::config::Config;
use crate::produce::Producer;
use crate::progress::Progress;
use crate::sources::Sources;
use crate::status;
use crate::storing::Storing;
use crate::upstream::Upstream;
use crate::verifying::Verifying;
use crate::{Input, Notice, Output, Ticket, UpstreamId};

/// What the store recovered: where a node goes on.
#[derive(Debug, Clone)]
pub struct Start {
    /// How many blocks the log holds.
    pub settled: u64,
    /// The last of them.
    pub irreversible: Tip,
    /// The state after it.
    pub state: State,
    /// The newest blocks of the log, oldest first; may be empty.
    pub recent: Vec<Arc<Entry>>,
    /// The blocks above the irreversible tip, of all forks, in any order.
    pub forks: Vec<Block>,
}

impl Start {
    /// A node that knows nothing yet.
    pub fn genesis(format: &Format) -> Self {
        let state = format.genesis();
        Self { settled: 0, irreversible: state.tip, state, recent: Vec::new(), forks: Vec::new() }
    }
}

/// One sans-IO core that follows upstreams, makes blocks, and decides what readers see.
pub struct Node {
    pub(crate) format: Format,
    pub(crate) bounds: Bounds,
    pub(crate) consensus: Consensus,
    pub(crate) tree: Tree<State>,
    pub(crate) views: view::Writer,
    /// Whether an upstream's chain has changed since the target was chosen.
    pub(crate) is_moved: bool,
    /// Whether the tree has changed since the last view.
    pub(crate) is_changed: bool,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) verifying: Verifying,
    pub(crate) sources: Sources,
    pub(crate) bodies: Bodies,
    pub(crate) storing: Storing,
    pub(crate) producer: Option<Producer>,
    pub(crate) progress: Progress,
    pub(crate) checks: status::Checks,
    pub(crate) failed: Option<String>,
    /// Whether anything was handled yet.
    pub(crate) is_started: bool,
    pub(crate) rng: ChaCha12Rng,
    tickets: u64,
}

impl Node {
    /// A node that goes on from what the store recovered. The seed is from the system, or a test's own.
    ///
    /// Give it a first [`Input::Tick`] at once: it publishes what it has and dials its upstreams.
    pub fn new(config: Config, start: Start, seed: [u8; 32]) -> Self {
        let bounds = Bounds::new(&config);
        let format = config.format.clone();
        let root = Root { tip: start.irreversible, settled: start.settled, state: start.state };
        let judge = format.clone();
        let prefer: tree::Prefer = Box::new(move |a, b| judge.prefer(a, b));
        let mut node = Self {
            bounds,
            consensus: config.consensus(),
            tree: Tree::new(bounds.tree(), prefer, root),
            views: view::Writer::new(start.recent),
            is_moved: false,
            is_changed: true,
            upstreams: (0..config.upstreams()).map(|_| Upstream::new()).collect(),
            verifying: Verifying::default(),
            sources: Sources::default(),
            bodies: Bodies::new(),
            storing: Storing::default(),
            producer: Producer::new(&config),
            progress: Progress::default(),
            checks: status::Checks::default(),
            failed: None,
            is_started: false,
            rng: ChaCha12Rng::from_seed(seed),
            tickets: 0,
            format,
        };
        node.replant(start.forks);
        node
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.failed.is_some() {
            if let Input::Submit { ticket, tx } = input {
                self.on_submit(ticket, tx, out);
            }
            return;
        }
        match input {
            Input::Tick => {}
            Input::Upstream { id, event } => self.on_event(now, id, event, out),
            Input::ConnectFailed { id, error } => self.on_connect_failed(now, id, error),
            Input::Verified { ticket, result } => self.on_verified(now, ticket, result, out),
            Input::Persisted { ticket } => self.on_persisted(now, ticket, out),
            Input::PersistFailed { error, .. } => return self.on_persist_failed(now, error, out),
            Input::Loaded { ticket, points } => self.on_loaded(now, ticket, points, out),
            Input::LoadFailed { error, .. } => return self.on_load_failed(now, error, out),
            Input::Submit { ticket, tx } => self.on_submit(ticket, tx, out),
        }
        self.advance(now, out);
    }

    /// When to come back with a [`Input::Tick`] at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.failed.is_some() {
            return None;
        }
        let dials = self.upstreams.iter().filter_map(Upstream::dial_at);
        let bodies = self.bodies.next_deadline();
        let slot = self.next_slot();
        dials.chain(bodies).chain(slot).min()
    }

    /// What follows from any input: everything that has become possible or due.
    fn advance(&mut self, now: Time, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.is_started, true) && self.trusts_one() {
            out.push(Output::Notice(Notice::SingleWitness));
        }
        self.connect_due(now, out);
        self.produce_due(now, out);
        self.ask_headers(out);
        self.choose_target(now);
        self.ask_bodies(now, out);
        self.settle_decided(out);
        self.publish(out);
        self.progress.look(now.mono, self.tree.head().height, self.best_claimed().map(|tip| tip.height));
    }

    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn upstream(&self, id: UpstreamId) -> &Upstream {
        &self.upstreams[id.0 as usize]
    }

    pub(crate) fn upstream_mut(&mut self, id: UpstreamId) -> &mut Upstream {
        &mut self.upstreams[id.0 as usize]
    }
}
