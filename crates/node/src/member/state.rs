//! The member itself: what it holds, and the flat dispatch of its inputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::format::Detail;
use chain::native::{Key, Params, StateRoot};
use chain::tree::{self, Root, Tree};
use chain::{Block, Format, Hash, State, view};
use consensus::{Quorum, quorum};
use diffusion::pieces;
use diffusion::relay::{self, Name};
use diffusion::routing;
use diffusion::sync::bodies::{self, Mode};
use diffusion::sync::{Loaded, Trunk, ranges};
use link::{PeerId, Time};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use super::applying::Applying;
use super::finality::Finality;
use super::giving::Giving;
use super::judging::Proposed;
use super::newcomer::Newcomer;
use super::peer::Peer;
use super::producing::Producing;
use super::progress::Progress;
use super::recent::Recent;
use super::relaying::Senders;
use super::shares::Shares;
use super::speaking::Speaking;
use super::storing::Storing;
use super::way::Way;
use crate::config::Role;
use crate::{Config, Input, Output, Start, Ticket, member};

/// One sans-IO core of a chain that validators agree on.
pub struct Member {
    pub(super) format: Format,
    pub(super) params: Arc<Params>,
    pub(super) chain: Hash,
    pub(super) config: member::Config,
    pub(super) key: Option<Key>,
    pub(super) me: Option<quorum::Key>,
    /// The time of the input that is being handled.
    pub(super) now: Time,
    pub(super) tree: Tree<State>,
    pub(super) trunk: Trunk,
    pub(super) loaded: Loaded,
    pub(super) recent: Recent,
    pub(super) views: view::Writer,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    /// What the operator set, also for peers that are not here.
    pub(super) modes: BTreeMap<PeerId, Mode>,
    pub(super) bodies: bodies::State<PeerId>,
    /// Bodies that came before anybody wanted them: which, and how many, `bodies` says.
    pub(super) early: BTreeMap<(PeerId, Hash), Block>,
    pub(super) ranges: ranges::State<PeerId>,
    /// The count of the last block that was wanted in ranges, while any is.
    pub(super) ranged: Option<u64>,
    /// Since when the irreversible tip, at this count, waits for a few bodies by id.
    pub(super) few_since: Option<(u64, Duration)>,
    /// When peers are taken to have again what they left out.
    pub(super) ranges_again: Duration,
    pub(super) routing: routing::State<PeerId>,
    pub(super) speaking: Speaking,
    pub(super) works: BTreeMap<Ticket, Job>,
    /// The headers whose checks are under way.
    pub(super) checking: BTreeSet<Hash>,
    pub(super) loads: BTreeMap<Ticket, Read>,
    pub(super) storing: Storing,
    pub(super) finality: Finality,
    pub(super) way: Way,
    pub(super) shares: Shares,
    pub(super) quorum: Quorum,
    /// What consensus is to be told, in order, once it has said what it is saying.
    pub(super) untold: VecDeque<quorum::Input>,
    pub(super) is_telling: bool,
    /// What the message was refused for that is being told.
    pub(super) refused: Option<quorum::Violation>,
    pub(super) proposed: BTreeMap<Hash, Proposed>,
    pub(super) blacklist: BTreeSet<Hash>,
    pub(super) producing: Option<Producing>,
    /// The blocks that this process made at the present height.
    pub(super) mine: BTreeSet<Hash>,
    pub(super) produced: u64,
    pub(super) applying: Option<Applying>,
    pub(super) asks: BTreeMap<Ticket, Ask>,
    /// What of the application's state is given to peers.
    pub(super) giving: Giving,
    /// What of it is taken from them.
    pub(super) pieces: pieces::State<PeerId>,
    /// While it has nothing yet.
    pub(super) newcomer: Option<Newcomer>,
    pub(super) relay: relay::State<PeerId>,
    pub(super) senders: Senders,
    /// What the application did not take into the last block of ours that it put in order.
    pub(super) left_out: BTreeSet<Hash>,
    /// The transactions of blocks of this height that our application refused: one of them will be why.
    pub(super) set_aside: BTreeSet<Hash>,
    pub(super) progress: Progress,
    pub(super) failed: Option<String>,
    /// What consensus is started with; `None` once it was.
    pub(super) start: Option<quorum::Journal>,
    /// Whether inboxes may have become readable though nothing came.
    pub(super) is_unblocked: bool,
    /// Whether more bodies may be wanted than are.
    pub(super) is_lacking: bool,
    /// Whether readers have not seen the irreversible tip.
    pub(super) is_news: bool,
    pub(super) is_clock_told: bool,
    pub(super) checks: crate::status::Checks,
    tickets: u64,
}

/// Why something is verified.
#[derive(Debug)]
pub(super) enum Job {
    /// A header, whoever waits for it.
    Header(Hash),
    /// The certificate of the first finality in a peer's line.
    Fin(PeerId, Hash),
    /// A claim about routes.
    Claim(routing::Ticket),
}

/// Why the log is read.
#[derive(Debug)]
pub(super) enum Read {
    /// Headers for a peer, from this position on.
    Headers(PeerId, chain::Position),
    /// Where a peer's points stand; whether the origin is among them.
    Find(PeerId, bool),
    /// The range that a peer asked for first.
    Range(PeerId),
    /// Blocks for the application.
    Deliveries,
    /// Whether the application's last block is ours.
    Applied,
}

/// What the application was asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// About a transaction.
    Tx(Name),
    /// About a proposed block.
    Block(Hash),
    /// To order transactions.
    Build,
    /// To take a block in.
    Deliver,
    /// Of which states it gives pieces.
    Snapshots,
    /// For a piece that a peer wants.
    Piece(PeerId),
    /// To put a state together.
    Restore(StateRoot),
    /// To take a piece of it.
    Take(StateRoot, Bytes),
    /// To stand there.
    Restored,
    /// To drop it.
    Forget,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("root", &self.tree.root().tip).finish_non_exhaustive()
    }
}

impl Member {
    /// A member that goes on from what the store recovered. The seed is from the system, or a test's own.
    pub fn new(config: Config, start: Start, seed: [u8; 32]) -> Self {
        let Config { format, role } = config;
        let (Format::Native(params), Role::Member(config)) = (format.clone(), role) else {
            panic!("a configuration is validated before it is used")
        };
        let mut rng = ChaCha12Rng::from_seed(seed);
        let chain = params.chain();
        let judge = format.clone();
        let prefer: tree::Prefer = Box::new(move |a, b| judge.prefer(a, b));
        let root = Root { tip: start.irreversible, settled: start.settled, state: start.state };
        let tree = Tree::new(config.tree, prefer, root);
        let (recent, loaded) =
            super::settle::recall(&start.recent, start.certificate, start.settled, config.loaded_headers);
        let max_tx_bytes = chain::native::max_transaction_bytes(&params);
        let relay = super::relaying::config(config.relay.clone(), &config.pool, max_tx_bytes);
        let is_new = config.snapshots && start.settled == 0;
        let newcomer = start.applied.as_ref().filter(|_| is_new).map(Newcomer::new);
        let mut member = Self {
            chain,
            key: config.key.clone(),
            me: config.key.as_ref().map(Key::public),
            now: Time::default(),
            trunk: Trunk::new(&tree),
            tree,
            loaded,
            recent,
            views: view::Writer::new(start.recent),
            peers: BTreeMap::new(),
            modes: start.kept.modes.into_iter().collect(),
            bodies: bodies::State::new(config.bodies),
            early: BTreeMap::new(),
            ranges: ranges::State::new(config.ranges),
            ranged: None,
            few_since: None,
            ranges_again: Duration::ZERO,
            routing: routing::State::new(routing::Config::new(chain, rng.random())),
            speaking: Speaking::default(),
            works: BTreeMap::new(),
            checking: BTreeSet::new(),
            loads: BTreeMap::new(),
            storing: Storing::default(),
            finality: Finality::default(),
            way: Way::default(),
            shares: Shares::default(),
            quorum: Quorum::new(chain, params.faults, config.key.clone(), config.quorum),
            untold: VecDeque::new(),
            is_telling: false,
            refused: None,
            proposed: BTreeMap::new(),
            blacklist: start.kept.blacklist.into_iter().collect(),
            producing: None,
            mine: BTreeSet::new(),
            produced: 0,
            applying: start.applied.map(|applied| Applying::new(applied, start.settled)),
            asks: BTreeMap::new(),
            giving: Giving::default(),
            pieces: pieces::State::new(config.pieces),
            newcomer,
            relay: relay::State::new(relay, rng),
            senders: Senders::default(),
            left_out: BTreeSet::new(),
            set_aside: BTreeSet::new(),
            progress: Progress::default(),
            failed: None,
            start: Some(start.journal),
            is_unblocked: false,
            is_lacking: true,
            is_news: true,
            is_clock_told: false,
            checks: crate::status::Checks::default(),
            tickets: 0,
            config,
            params,
            format,
        };
        member.quorum.remember(start.kept.evidence);
        member.recall_transactions();
        member.replant(start.forks);
        member
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.now = now;
        let is_tick = matches!(input, Input::Tick);
        match input {
            Input::Tick => {}
            Input::Peer { id, event } => self.on_peer(id, event, out),
            Input::Verified { ticket, result } => self.on_verified(ticket, result, out),
            Input::Answered { ticket, answer } => self.on_answered(ticket, answer, out),
            Input::Persisted { ticket } => self.on_persisted(ticket, out),
            Input::PersistFailed { error, .. } => self.on_persist_failed(error, out),
            Input::Loaded { ticket, found } => self.on_loaded(ticket, found, out),
            Input::LoadFailed { error, .. } => self.on_load_failed(error, out),
            Input::Submit { ticket, tx } => self.on_submit(ticket, tx, out),
            Input::Command { ticket, command } => self.on_command(ticket, command, out),
            Input::Upstream { .. } | Input::ConnectFailed { .. } => {
                unreachable!("a member has no upstreams")
            }
        }
        self.advance(is_tick, out);
    }

    /// When to come back with an [`Input::Tick`] at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        let machines = [
            self.quorum.next_deadline(),
            self.bodies.next_deadline(),
            self.ranges.next_deadline(),
            self.routing.next_deadline(),
            self.relay.next_deadline(),
            self.pieces.next_deadline(),
        ];
        let own = [
            self.producing_deadline(),
            self.judging_deadline(),
            self.inbox_deadline(),
            self.ranges_deadline(),
            self.newcomer_deadline(),
            self.giving_deadline(),
        ];
        machines.into_iter().chain(own).flatten().min()
    }

    /// What follows from any input: everything that has become possible or due.
    fn advance(&mut self, is_tick: bool, out: &mut Vec<Output>) {
        self.begin(out);
        self.tick_machines(out);
        self.read_inboxes(out);
        self.prove_fins(out);
        self.newcome(out);
        self.look_at_snapshots(out);
        self.settle_due(out);
        self.want_bodies(out);
        self.ask_ranges(is_tick, out);
        self.deliver_due(out);
        self.judge_due(out);
        self.produce_due(out);
        self.set_pulling(out);
        self.publish(out);
        self.look();
    }

    /// The first input starts what needs the time.
    fn begin(&mut self, out: &mut Vec<Output>) {
        // One that goes on from where an earlier life put a snapshot in place starts with the mark.
        if self.start.is_some() && !self.is_holding() && self.finality.last().is_none() {
            self.begin_applying(out);
            self.tell_producers(out);
            self.start_height(out);
        }
    }

    fn tick_machines(&mut self, out: &mut Vec<Output>) {
        let now = self.now.mono;
        let is_due = |deadline: Option<Duration>| deadline.is_some_and(|at| at <= now);
        if is_due(self.quorum.next_deadline()) {
            self.tell_quorum(quorum::Input::Tick, out);
        }
        if is_due(self.bodies.next_deadline()) {
            self.tell_bodies(bodies::Input::Tick, out);
        }
        if is_due(self.routing.next_deadline()) {
            self.tell_routing(routing::Input::Tick, out);
        }
        if is_due(self.pieces.next_deadline()) {
            self.tell_pieces(pieces::Input::Tick, out);
        }
        if is_due(self.relay.next_deadline()) {
            self.tell_relay(relay::Input::Tick, out);
        }
    }

    /// Shows readers the chain as far as it is irreversible.
    fn publish(&mut self, out: &mut Vec<Output>) {
        if std::mem::take(&mut self.is_news) {
            let root = self.tree.root();
            out.push(Output::Publish(self.views.publish_irreversible(root.tip, root.settled)));
        }
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// The native state of a header state: there is no other here.
    pub(super) fn native(state: &State) -> &chain::native::State {
        match &state.detail {
            Detail::Native(state) => state,
            Detail::Cardano(_) => unreachable!("a member's chain is native"),
        }
    }
}
