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

use std::time::Duration;

use bytes::Bytes;
use chain::native::{StateRoot, read_fields};
use chain::tree::{Root, Tree};
use chain::{Hash, Header, Height, Tip};
use diffusion::pieces::{self, Message, Verdict};
use diffusion::sync::{self, Place, Settled, bodies};
use link::PeerId;

use super::Member;
use super::peer::Peer;
use super::state::{Ask, Job, Read};
use super::storing::Append;
use crate::application::{Applied, Snapshot, Taken};
use crate::{Load, Notice, Output, Record};

/// How long a node that is far behind waits for offers before it takes the whole chain. A guess: offers come right after
/// the hello.
const PATIENCE: Duration = Duration::from_secs(5);

/// As long where all peers that are there have said that they give nothing. A guess: others join at about the same time.
const SOON: Duration = Duration::from_secs(1);

/// How many headers become bare at once.
const MAX_BARE: usize = 1_024;

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

    fn follow_to(&mut self, to: StateRoot, out: &mut Vec<Output>) {
        if self.tree.root().settled <= to.height.0 {
            return self.bare_due(to.height, out);
        }
        match self.named(to.height) {
            Some(Some(root)) if root == to.root => self.begin_taking(to, out),
            Some(named) => self.refuse(to, named.is_some(), out),
            None => {}
        }
    }

    /// The root that a certified header names of the state after the block at this height: `None` while it is not
    /// known, `Some(None)` where none will.
    fn named(&self, height: Height) -> Option<Option<Hash>> {
        let (_, last) = self.finality.last()?;
        let end = self.tree.header(&last)?.point();
        let path = self.tree.path(&self.tree.root().tip.point, &end)?;
        let named = path.iter().filter_map(|header| read_fields(header).ok()?.state);
        let mut named = named.skip_while(|state| state.height < height);
        named.next().map(|state| (state.height == height).then_some(state.root))
    }

    fn begin_taking(&mut self, to: StateRoot, out: &mut Vec<Output>) {
        let own = self.newcomer.as_ref().and_then(|newcomer| newcomer.own);
        if own == Some(to) {
            // An earlier life came that far.
            let applied = self.applying.as_ref().and_then(|applying| applying.last()).cloned();
            return self.mark(applied.expect("it stands there"), out);
        }
        self.set_phase(Phase::Taking { to });
        self.ask_snapshot(Ask::Restore(to), Snapshot::Restore { to }, out);
    }

    /// Lets what is certified become bare, up to this height.
    fn bare_due(&mut self, height: Height, out: &mut Vec<Output>) {
        if self.storing.settling().is_some() {
            return;
        }
        let Some((last, certificate)) = self.next_bare(height) else { return };
        let root = self.tree.root().tip.point;
        let path = self.tree.path(&root, &last.point()).expect("it is above the root");
        let headers: Vec<Header> = path.into_iter().cloned().collect();
        let state = self.tree.state(&last.point()).expect("it is in the tree").clone();
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Bare(last.id));
        out.push(Output::Persist { ticket, record: Record::Bare { headers, state, certificate } });
    }

    /// Up to which block, and what shows it: the next certified one, or one before it where that is too far.
    fn next_bare(&self, height: Height) -> Option<(Header, Option<Bytes>)> {
        let (at, certified) = self.finality.certified.first_key_value()?;
        let end = self.tree.header(&certified.id)?.point();
        let path = self.tree.path(&self.tree.root().tip.point, &end)?;
        let last = path.iter().take(MAX_BARE).take_while(|header| header.height <= height).last()?;
        let certificate = (last.height == *at).then(|| certified.certificate.clone());
        Some(((**last).clone(), certificate))
    }

    /// The store has headers that are to be bare.
    pub(super) fn on_bare(&mut self, id: Hash, out: &mut Vec<Output>) {
        let place = self.settling(&id, out);
        self.progress.moved(self.now.mono);
        let bare = self.tree.irreversible_bare(id).expect("what becomes bare stays in the tree");
        self.way.bared(bare.headers.len());
        self.on_change(&bare.change, out);
        let certified = self.settled_certificates(place.tip.height);
        let certificate = |header: &Header| certified.get(&header.height).map(|it| it.certificate.clone());
        self.forget_refused();
        for header in &bare.headers {
            self.shares.remove(&header.id);
            self.tell_bodies(bodies::Input::Unwant { id: header.id }, out);
        }
        let headers: Vec<Settled> = bare.headers.iter().map(|it| (it.clone(), certificate(it))).collect();
        self.loaded.settle(headers);
        self.is_unblocked = true;
        self.moved(out);
        self.tell_producers(out);
    }

    /// Tells the machine of pieces, and does what it says.
    pub(super) fn tell_pieces(&mut self, input: pieces::Input<PeerId>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        self.pieces.handle(self.now.mono, input, &mut said);
        for output in said {
            match output {
                pieces::Output::Send { peer, message } => self.send_pieces(peer, &message, out),
                pieces::Output::Judge { of, name, piece } => {
                    let about = Snapshot::Take { name: name.clone(), piece };
                    self.ask_snapshot(Ask::Take(of, name), about, out);
                }
                pieces::Output::Done { of } => self.on_all_pieces(of, out),
                pieces::Output::Gone { of } => self.on_gone(of, out),
                pieces::Output::Violation { peer, violation } => self.blame(peer, violation.into(), out),
            }
        }
    }

    /// The application has said whether it takes a snapshot, and what it wants of it first.
    pub(super) fn on_restoring(&mut self, to: StateRoot, names: Option<Vec<Bytes>>, out: &mut Vec<Output>) {
        let phase = self.newcomer.as_ref().map(|newcomer| newcomer.phase.clone());
        match (phase, names) {
            (Some(Phase::Asking { to: asked }), Some(_)) if asked == to => {
                self.set_phase(Phase::Following { to: Some(to) });
            }
            (Some(Phase::Asking { .. }), _) => self.take_all(),
            (Some(Phase::Taking { to: asked }), Some(names)) if asked == to => {
                self.tell_pieces(pieces::Input::Begin { of: to, names }, out);
            }
            (Some(Phase::Taking { .. }), _) => self.stop_restoring("it takes no snapshot any more", out),
            _ => {}
        }
    }

    /// The application has looked at a piece.
    pub(super) fn on_taken(&mut self, of: StateRoot, name: Bytes, taken: Taken, out: &mut Vec<Output>) {
        let verdict = match taken {
            Taken::Right { more } => {
                self.progress.moved(self.now.mono);
                Verdict::Right { more }
            }
            Taken::Wrong { reason } => Verdict::Wrong { reason },
            // It has it already.
            Taken::Unasked => Verdict::Right { more: Vec::new() },
        };
        self.tell_pieces(pieces::Input::Judged { of, name, verdict }, out);
    }

    fn on_all_pieces(&mut self, of: StateRoot, out: &mut Vec<Output>) {
        self.set_phase(Phase::Placing { to: of });
        let tip = self.tree.root().tip;
        self.ask_snapshot(Ask::Restored, Snapshot::Restored { tip }, out);
    }

    /// The application stands at the state.
    pub(super) fn on_restored(&mut self, applied: Applied, out: &mut Vec<Output>) {
        let Some(Phase::Placing { to }) = self.newcomer.as_ref().map(|newcomer| newcomer.phase.clone())
        else {
            return;
        };
        if applied.tip != self.tree.root().tip || applied.state_root() != Some(to) {
            return self.stop_restoring("it stands elsewhere than at the snapshot that it took", out);
        }
        self.mark(applied, out);
    }

    fn mark(&mut self, applied: Applied, out: &mut Vec<Output>) {
        let state = self.tree.root().state.clone();
        self.set_phase(Phase::Marking { applied });
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Begun);
        out.push(Output::Persist { ticket, record: Record::SettleBare { state } });
    }

    /// The bare blocks are settled: from here on it is a node like any other.
    pub(super) fn on_begun(&mut self, out: &mut Vec<Output>) {
        // Where they were forgotten, it is none any more.
        let Some(newcomer) = self.newcomer.take() else { return };
        let Phase::Marking { applied } = newcomer.phase else { unreachable!("the mark is made last") };
        self.applying = Some(super::applying::Applying::at_the_tip(applied));
        for (id, load, has_origin) in newcomer.later {
            self.load_for(id, load, has_origin, out);
        }
        (self.is_news, self.is_lacking, self.is_unblocked) = (true, true, true);
        self.moved(out);
        self.tell_producers(out);
        self.start_height(out);
    }

    /// Something that the application cannot do: an operator has to look.
    pub(super) fn stop_restoring(&mut self, reason: &str, out: &mut Vec<Output>) {
        self.tell_pieces(pieces::Input::Stop, out);
        self.stop_applying(reason.to_owned(), out);
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

    /// What precedes that a block and all below it leave the tree for the log.
    pub(super) fn settling(&mut self, id: &Hash, out: &mut Vec<Output>) -> Place {
        let position = self.tree.position(id).expect("what settles stays in the tree");
        let tip = self.tree.header(id).expect("it is in the tree").tip();
        let place = Place { count: position.next().0, tip };
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_sync(peer, sync::Input::Settling(place), out);
        }
        place
    }
}
