//! The follower itself: what it holds, and the flat dispatch of its inputs.

use std::time::Duration;

use chain::tree::{self, Root, Tree};
use chain::view;
use chain::{Format, State};
use consensus::Depth;
use link::Time;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::bodies::Bodies;
use super::bounds::Bounds;
use super::progress::Progress;
use super::sources::Sources;
use super::storing::Storing;
use super::upstream::Upstream;
use super::verifying::Verifying;
use crate::config::Role;
use crate::pool::Refusal;
use crate::{Config, Input, Notice, Output, Start, Ticket, UpstreamId, status};

/// One sans-IO core that follows upstreams, and decides what readers see.
pub struct Follower {
    pub(crate) format: Format,
    pub(crate) bounds: Bounds,
    pub(crate) depth: Depth,
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
    pub(crate) progress: Progress,
    pub(crate) checks: status::Checks,
    pub(crate) failed: Option<String>,
    /// Whether anything was handled yet.
    pub(crate) is_started: bool,
    pub(crate) rng: ChaCha12Rng,
    tickets: u64,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("root", &self.tree.root().tip).finish_non_exhaustive()
    }
}

impl Follower {
    /// A node that goes on from what the store recovered. The seed is from the system, or a test's own.
    ///
    /// Give it a first [`Input::Tick`] at once: it publishes what it has and dials its upstreams.
    pub fn new(config: Config, start: Start, seed: [u8; 32]) -> Self {
        let Config { format, role: Role::Follow(follow) } = config else { panic!("a member is no follower") };
        let bounds = Bounds::new(&format, &follow);
        let root = Root { tip: start.irreversible, settled: start.settled, state: start.state };
        let judge = format.clone();
        let prefer: tree::Prefer = Box::new(move |a, b| judge.prefer(a, b));
        let mut node = Self {
            bounds,
            depth: Depth::new(follow),
            tree: Tree::new(bounds.tree(), prefer, root),
            views: view::Writer::new(start.recent),
            is_moved: false,
            is_changed: true,
            upstreams: (0..follow.upstreams).map(|_| Upstream::new()).collect(),
            verifying: Verifying::default(),
            sources: Sources::default(),
            bodies: Bodies::new(),
            storing: Storing::default(),
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
            if let Input::Submit { ticket, .. } = input {
                out.push(Output::Submitted { ticket, result: Err(Refusal::Failed) });
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
            Input::Loaded { ticket, found } => self.on_loaded(now, ticket, found, out),
            Input::LoadFailed { error, .. } => return self.on_load_failed(now, error, out),
            Input::Submit { ticket, .. } => {
                out.push(Output::Submitted { ticket, result: Err(Refusal::NotAProducer) });
            }
            Input::Command { ticket, .. } => out.push(Output::Obeyed {
                ticket,
                result: Err("this node follows upstreams: it has no peers and no votes".to_owned()),
            }),
            Input::Peer { .. } | Input::Answered { .. } => {
                unreachable!("a follower has neither peers nor an application")
            }
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
        dials.chain(bodies).min()
    }

    /// What follows from any input: everything that has become possible or due.
    fn advance(&mut self, now: Time, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.is_started, true) && self.trusts_one() {
            out.push(Output::Notice(Notice::SingleWitness));
        }
        self.connect_due(now, out);
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
