//! A node that is far behind and has nothing yet: it begins with a snapshot of the application's state.
//!
//! It follows certified headers from genesis as everybody does, and lets go of their bodies: what is certified leaves the
//! tree *bare*, headers and certificates alone, up to the block of a state that peers offer. When a certified header
//! names that state's root, the pieces are taken from whoever gives them; the application puts the state in place, the
//! store marks the bare blocks, and the node goes on above them as any other.
//!
//! Until the mark nothing of it is durable, readers see nothing, and peers' questions about the log wait; what peers hear of
//! what is irreversible rests on certificates alone. A crash before the mark begins anew; where the application had put the
//! state in place already, the log is brought up to it without a piece.
//!
//! It always ends. A state that no header names, that nobody gives or that is too far away at the pace there is, is
//! given up, and the next one offered is gone for. After several of these, or where none is offered any more, it parts
//! from its peers and takes the whole chain, from genesis.
//!
//! **Invariants**: no piece is asked for before a certified header names the root of its state. Of what was given up it
//! knows no more than it tries, and of what peers' machines want of the log no more than two things each.

mod bare;
mod taking;

use std::time::Duration;

use chain::native::StateRoot;
use chain::tree::{Root, Tree};
use chain::{Height, Tip};
use diffusion::pieces::{self, Message};
use diffusion::sync::{self, bodies};
use link::PeerId;

use super::Member;
use super::peer::Peer;
use super::state::{Ask, Job, Read};
use super::storing::Append;
use crate::application::{Applied, Snapshot};
use crate::{Load, Notice, Output, Record};

/// How long a node that is far behind waits for offers before it takes the whole chain. A guess: offers come right after
/// the hello.
const PATIENCE: Duration = Duration::from_secs(5);

/// As long where all peers that are there have said that they give nothing. A guess: others join at about the same time.
const SOON: Duration = Duration::from_secs(1);

/// A state that is further away than so many waits at the pace of the last one is given up. A guess: an hour, with waits of
/// half a minute; and a liar's that is above all that will ever be certified costs no more than one.
const MAX_WAITS: u64 = 120;

/// How many questions about the log the machine of one connection has open.
const MAX_LATER: usize = 2;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Nobody is far ahead, as far as is known; else offers are waited for until then.
    Waiting { until: Option<Duration> },
    /// The application is asked whether it takes snapshots at all.
    Asking { to: StateRoot },
    /// What is certified becomes bare, up to the block of this state, once there is one to go for.
    Following { to: Option<StateRoot> },
    /// The pieces are taken.
    Taking { to: StateRoot },
    /// The application puts the state in place.
    Placing { to: StateRoot },
    /// It stands there: the mark is written.
    Marking { applied: Applied },
    /// No state is to be had: all blocks are taken, once nothing is on its way to the disk.
    Leaving,
}

/// What the pace is measured by.
#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Duration,
    /// How many blocks were bare when it began.
    from: u64,
}

/// A node that has nothing yet.
#[derive(Debug)]
pub(super) struct Newcomer {
    phase: Phase,
    /// The state that the application has already, from an earlier life.
    own: Option<StateRoot>,
    /// While it follows headers.
    wait: Option<Wait>,
    /// States that were offered and are none, that no header names, or that are too far away.
    refused: Vec<StateRoot>,
    /// States that were begun and that nobody gave to the end.
    gone: Vec<StateRoot>,
    /// What peers' machines want of the log, for when there is one.
    later: Vec<(PeerId, Load, bool)>,
}

impl Newcomer {
    /// One with an application that stands here.
    pub(super) fn new(applied: &Applied) -> Self {
        let own = applied.state_root();
        let phase = if own.is_some() { Phase::Following { to: own } } else { Phase::Waiting { until: None } };
        Self { phase, own, wait: None, refused: Vec::new(), gone: Vec::new(), later: Vec::new() }
    }

    /// Whether bodies are not to be taken now.
    fn is_holding(&self) -> bool {
        self.phase != Phase::Waiting { until: None }
    }
}

impl Member {
    /// Whether bodies are not to be taken, since a snapshot may make them needless.
    pub(super) fn is_holding(&self) -> bool {
        self.newcomer.as_ref().is_some_and(Newcomer::is_holding)
    }

    /// When a newcomer has waited long enough.
    pub(super) fn newcomer_deadline(&self) -> Option<Duration> {
        let newcomer = self.newcomer.as_ref().filter(|_| self.failed.is_none())?;
        match newcomer.phase {
            // Looked at before that as well: who is there may have nothing to give.
            Phase::Waiting { until: Some(until) } => {
                let soon = until.saturating_sub(PATIENCE - SOON);
                Some(if soon > self.now.mono { soon } else { until })
            }
            Phase::Waiting { until: None } => None,
            Phase::Following { .. } => newcomer.wait.map(|wait| wait.until),
            Phase::Asking { .. }
            | Phase::Taking { .. }
            | Phase::Placing { .. }
            | Phase::Marking { .. }
            | Phase::Leaving => None,
        }
    }

    /// What a newcomer goes for, and how far it is: the height of its state, and how many blocks are bare.
    pub(super) fn goal(&self) -> Option<(Height, u64)> {
        let height = match &self.newcomer.as_ref()?.phase {
            Phase::Asking { to } | Phase::Taking { to } | Phase::Placing { to } => to.height,
            Phase::Following { to } => to.as_ref()?.height,
            Phase::Marking { applied } => applied.tip.height,
            Phase::Waiting { .. } | Phase::Leaving => return None,
        };
        Some((height, self.tree.root().settled))
    }

    /// Does what a newcomer has to do next.
    pub(super) fn newcome(&mut self, out: &mut Vec<Output>) {
        if self.failed.is_some() {
            return;
        }
        self.wish(out);
        match self.newcomer.as_ref().map(|newcomer| newcomer.phase.clone()) {
            Some(Phase::Waiting { until }) => self.wait_for_offers(until, out),
            Some(Phase::Following { .. }) => self.follow(out),
            Some(Phase::Leaving) => self.begin_anew(out),
            Some(
                Phase::Asking { .. } | Phase::Taking { .. } | Phase::Placing { .. } | Phase::Marking { .. },
            )
            | None => {}
        }
    }

    /// Tells peers that it wants to know what they give, each once.
    fn wish(&mut self, out: &mut Vec<Output>) {
        if !self.is_holding() {
            return;
        }
        let untold = self.peers.iter().filter(|(_, peer)| peer.is_joined && !peer.is_wished);
        for id in untold.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.peers.get_mut(&id).expect("it is here").is_wished = true;
            self.send_pieces(id, &Message::Wish, out);
        }
    }

    fn set_phase(&mut self, phase: Phase) {
        if let Some(newcomer) = &mut self.newcomer {
            newcomer.phase = phase;
        }
    }

    fn wait_for_offers(&mut self, until: Option<Duration>, out: &mut Vec<Output>) {
        if self.tree.root().settled > 0 || self.storing.settling().is_some() || self.ranged.is_some() {
            self.newcomer = None;
            return;
        }
        let worth = self.config.snapshot_worth.get();
        if self.best_claimed().is_none_or(|claimed| claimed.height.0 < worth) {
            return self.set_phase(Phase::Waiting { until: None });
        }
        if let Some(to) = self.best_offer() {
            self.set_phase(Phase::Asking { to });
            return self.ask_snapshot(Ask::Restore(to), Snapshot::Restore { to }, out);
        }
        let now = self.now.mono;
        let until = until.unwrap_or(now.saturating_add(PATIENCE));
        let mut joined = self.peers.iter().filter(|(_, peer)| peer.is_joined);
        let is_in_vain = joined.all(|(id, _)| self.pieces.has_said(id));
        let at = if is_in_vain { until.saturating_sub(PATIENCE - SOON) } else { until };
        match at <= now {
            true => self.take_all(),
            false => self.set_phase(Phase::Waiting { until: Some(until) }),
        }
    }

    /// It is no newcomer: it takes the whole chain.
    fn take_all(&mut self) {
        self.newcomer = None;
        self.is_lacking = true;
    }

    /// The lowest state that peers offer, is worth it and can still be reached; of those that were begun and given up before,
    /// one only where there is no other. Not the highest: that of a liar may be above all that will ever be certified, and
    /// whoever goes for it passes by the others.
    fn best_offer(&self) -> Option<StateRoot> {
        let (newcomer, settled) = (self.newcomer.as_ref()?, self.tree.root().settled);
        let least = settled.max(self.config.snapshot_worth.get());
        let offers = self.pieces.offered().map(|(_, state)| state);
        let offers = offers.filter(|state| state.height.0.saturating_add(1) >= least);
        let offers = offers.filter(|state| !newcomer.refused.contains(state));
        let begun = |state: &StateRoot| newcomer.gone.iter().filter(|gone| *gone == state).count();
        offers.min_by_key(|state| (begun(state), state.height, state.root))
    }

    /// Goes for what is offered now, unless it has tried often enough.
    fn choose(&mut self, out: &mut Vec<Output>) {
        let Some(newcomer) = &self.newcomer else { return };
        let tries = newcomer.refused.len() + newcomer.gone.len();
        if tries >= self.config.snapshot_tries.get() as usize {
            return self.leave(out);
        }
        let to = newcomer.own.or_else(|| self.best_offer());
        self.set_phase(Phase::Following { to });
    }

    /// Follows headers to what it goes for.
    fn follow(&mut self, out: &mut Vec<Output>) {
        self.choose(out);
        let to = match self.newcomer.as_ref().map(|newcomer| &newcomer.phase) {
            Some(Phase::Following { to }) => *to,
            _ => return,
        };
        if let Some(to) = to {
            self.follow_to(to, out);
        }
        let is_following =
            self.newcomer.as_ref().is_some_and(|it| matches!(it.phase, Phase::Following { .. }));
        if is_following {
            self.look_at_pace(to, out);
        }
    }

    /// After each wait: is it worth going on?
    fn look_at_pace(&mut self, to: Option<StateRoot>, out: &mut Vec<Output>) {
        let (now, settled) = (self.now.mono, self.tree.root().settled);
        let until = now.saturating_add(self.config.snapshot_wait);
        let Some(newcomer) = &mut self.newcomer else { return };
        let wait = *newcomer.wait.get_or_insert(Wait { until, from: settled });
        if wait.until > now {
            return;
        }
        newcomer.wait = Some(Wait { until, from: settled });
        let advanced = settled - wait.from;
        match to {
            None => self.leave(out),
            Some(to) => {
                let left = to.height.0.saturating_add(1).saturating_sub(settled);
                if advanced == 0 || left > advanced.saturating_mul(MAX_WAITS) {
                    self.refuse(to, false, out);
                }
            }
        }
    }

    /// Those who offered it lied, no header names it, or it is too far away.
    fn refuse(&mut self, to: StateRoot, is_lie: bool, out: &mut Vec<Output>) {
        let givers = self.pieces.offered().filter(|(_, state)| *state == to);
        for id in givers.map(|(id, _)| id).collect::<Vec<_>>() {
            if is_lie {
                self.blame(id, pieces::Violation::Offer { height: to.height }.into(), out);
            }
        }
        if let Some(newcomer) = &mut self.newcomer {
            newcomer.refused.push(to);
            newcomer.own = None;
        }
        self.choose(out);
    }

    /// Nobody gave it to the end.
    fn on_gone(&mut self, of: StateRoot, out: &mut Vec<Output>) {
        if let Some(newcomer) = &mut self.newcomer {
            newcomer.gone.push(of);
            newcomer.wait = None;
        }
        self.choose(out);
    }

    /// Gives up: all blocks are to be taken.
    fn leave(&mut self, out: &mut Vec<Output>) {
        out.push(Output::Notice(Notice::NoSnapshot { bare: self.tree.root().settled }));
        self.set_phase(Phase::Leaving);
        self.begin_anew(out);
    }

    /// Begins at genesis as a node that never heard of snapshots. What was said to peers rests on headers that leave the
    /// tree, so that it parts from all of them; links that come after this know nothing of it.
    fn begin_anew(&mut self, out: &mut Vec<Output>) {
        if !self.storing.is_empty() {
            return;
        }
        self.newcomer = None;
        self.is_lacking = true;
        self.tell_pieces(pieces::Input::Stop, out);
        self.ask_snapshot(Ask::Forget, Snapshot::Forget, out);
        if self.tree.root().settled == 0 {
            return;
        }
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Begun);
        out.push(Output::Persist { ticket, record: Record::ForgetBare });
        for (id, peer) in &mut self.peers {
            if !peer.is_condemned {
                out.push(Output::Part { peer: *id });
            }
            let fresh = Peer::new(self.config.sync, peer.rtt, peer.is_pinned);
            *peer = Peer { is_condemned: true, ..fresh };
        }
        self.forget_headers();
    }

    /// Nothing is known of the chain but its genesis.
    fn forget_headers(&mut self) {
        self.works.retain(|_, job| !matches!(job, Job::Fin(..)));
        self.loads.retain(|_, read| matches!(read, Read::Deliveries | Read::Applied));
        self.asks.retain(|_, ask| !matches!(ask, Ask::Piece(_)));
        let judge = self.format.clone();
        let root = Root { tip: Tip::default(), settled: 0, state: self.format.genesis() };
        self.tree = Tree::new(self.config.tree, Box::new(move |a, b| judge.prefer(a, b)), root);
        self.trunk = sync::Trunk::new(&self.tree);
        self.loaded = sync::Loaded::new(self.config.loaded_headers, Tip::default(), 0);
        self.bodies = bodies::State::new(self.config.bodies);
        self.ranges = sync::ranges::State::new(self.config.ranges);
        (self.ranged, self.few_since) = (None, None);
        self.early.clear();
        self.finality = super::finality::Finality::default();
        self.way = super::way::Way::default();
        self.shares = super::shares::Shares::default();
    }

    /// Keeps what a peer's machine wants of the log until there is one. Says whether it does.
    pub(super) fn keep_for_later(&mut self, id: PeerId, load: &Load, has_origin: bool) -> bool {
        let is_bare = self.is_holding() && self.tree.root().settled > 0;
        let Some(newcomer) = self.newcomer.as_mut().filter(|_| is_bare) else { return false };
        newcomer.later.push((id, load.clone(), has_origin));
        let open = newcomer.later.iter().filter(|(peer, ..)| *peer == id).count();
        assert!(open <= MAX_LATER, "the machine of a connection waits for what it asked");
        true
    }

    /// Nothing is kept for a peer that is gone.
    pub(super) fn drop_later(&mut self, id: PeerId) {
        if let Some(newcomer) = &mut self.newcomer {
            newcomer.later.retain(|(peer, ..)| *peer != id);
        }
    }
}
