//! A node's host: performs its outputs as production does, on a virtual clock, with a real store on a disk that tears.
//!
//! Outputs are performed one by one, and the power may go between any two of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chain::native::Key;
use chain::{Block, Format, State};
use consensus::quorum::{self, MAX_EVIDENCE, Waiting, Watch};
use diffusion::{pieces, routing};
use link::Protocol;
use link::strikes::Strikes;
use node::{Input, Node, Output, Role, Ticket, member, status};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use store::Store;
use store::files::memory;

use super::app::App;
use super::check::Broken;
use super::clock::Clock;
use super::config::{Config, Sabotage};
use super::liar::Liar;
use super::net::{Away, node_of, peer_id};
use super::way;
use super::world::{EPOCH, Event, World, key};

/// What verifying takes at most.
const VERIFYING: Duration = Duration::from_millis(2);

/// What a slow node takes for a message at most.
const SLOW: Duration = Duration::from_millis(40);

/// How long a node is away after it lost power, at most.
const AWAY: Duration = Duration::from_secs(10);

/// How long a newcomer waits for a snapshot: what is behind has a minute or two to catch up, without one as well.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(5);

/// How many transactions wait in a node's pool at most, and how many bytes of them.
const POOL: (usize, usize) = (2_000, 1 << 20);

/// How many wait for the application's verdict at most, and how many bytes of them; little, so that worlds come that far.
const JUDGING: (usize, usize) = (64, 256 << 10);

/// A node with all that is its own.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) node: Option<Node>,
    pub(super) store: Option<Store<memory::Files>>,
    pub(super) files: memory::Files,
    /// Grows with each start and end: effects of an earlier life come to nothing.
    pub(super) life: u32,
    pub(super) clock: Clock,
    pub(super) app: App,
    pub(super) key: Option<Key>,
    pub(super) liar: Option<Liar>,
    /// How long a sync takes at most.
    pub(super) sync: Duration,
    is_slow: bool,
    busy_until: Duration,
    /// The state after the last block that was settled.
    pub(super) state: State,
    /// What was settled and is not durable.
    pub(super) unsettled: Vec<(u64, Block)>,
    /// The last append that was written and not synced.
    pub(super) unsynced: Option<Ticket>,
    pub(super) is_syncing: bool,
    /// Everything up to this is durable.
    pub(super) durable: Option<Ticket>,
    /// What waits for the disk, and what waits behind it.
    pub(super) held: BTreeMap<(u32, Protocol), VecDeque<(Ticket, Bytes)>>,
    wake: Option<Duration>,
    pub(super) strikes: BTreeMap<u32, Strikes>,
    /// Whether writes were made to fail in this life.
    pub(super) has_failing_disk: bool,
    outputs: u64,
    given: u32,
}

impl Host {
    pub(super) fn new(node: u32, config: &Config, format: &Format, rng: &mut ChaCha12Rng) -> Self {
        let faults = &config.faults;
        let off = faults.clock_off.as_millis() as i64;
        let drift = i64::from(faults.drift_ppm);
        let clock =
            Clock { offset_ms: rng.random_range(-off..=off), drift_ppm: rng.random_range(-drift..=drift) };
        let sync = Duration::from_millis(if rng.random_bool(faults.slow_disks) { 400 } else { 8 });
        let is_validator = node < config.validators;
        Self {
            node: None,
            store: None,
            files: memory::Files::new(rng.random()),
            life: 0,
            clock,
            app: App::new(config.snapshot_every),
            key: is_validator.then(|| key(node)),
            liar: config.liars.get(&node).map(|lie| Liar::new(*lie, key(node))),
            sync,
            is_slow: rng.random_bool(faults.slow_nodes),
            busy_until: Duration::ZERO,
            state: format.genesis(),
            unsettled: Vec::new(),
            unsynced: None,
            is_syncing: false,
            durable: None,
            held: BTreeMap::new(),
            wake: None,
            strikes: BTreeMap::new(),
            has_failing_disk: false,
            outputs: 0,
            given: 0,
        }
    }

    /// How many blocks are settled here and durable.
    pub(super) fn settled(&self) -> u64 {
        self.store.as_ref().map_or(0, |store| store.reader().settled())
    }

    /// How many outputs it performed.
    pub(super) fn outputs(&self) -> u64 {
        self.outputs
    }
}

impl World {
    pub(super) fn is_running(&self, node: u32) -> bool {
        self.hosts[node as usize].node.is_some()
    }

    /// Starts a node from what is on its disk.
    pub(super) fn start(&mut self, node: u32) -> Result<(), Broken> {
        if self.is_running(node) {
            return Ok(());
        }
        let host = &mut self.hosts[node as usize];
        host.life += 1;
        (host.unsynced, host.is_syncing, host.durable, host.wake) = (None, false, None, None);
        host.has_failing_disk = false;
        host.unsettled.clear();
        host.app.restart();
        let start = self.open(node)?;
        let config = node::Config { format: self.format.clone(), role: Role::Member(self.member(node)) };
        self.note(node, "starts", || format!("with {} settled, {} above", start.settled, start.forks.len()));
        let seed = self.rng.random();
        self.hosts[node as usize].state = start.state.clone();
        self.hosts[node as usize].node = Some(Node::new(config, start, seed));
        self.give(node, Input::Tick)?;
        self.net.of(node).into_iter().for_each(|link| self.connect(link));
        Ok(())
    }

    fn member(&self, node: u32) -> member::Config {
        let mut config = member::Config::new(self.hosts[node as usize].key.clone(), peer_id(node));
        config.quorum = quorum::Config { rest: self.config.rest, ..config.quorum };
        (config.pool.max_count, config.pool.max_bytes) = POOL;
        (config.relay.max_judging, config.relay.judging_bytes) = JUDGING;
        if self.config.sabotage == Some(Sabotage::KeepsTooMuch) {
            let relay = &mut config.relay;
            (config.pool.max_count, config.pool.max_bytes) = (POOL.0 * 50, POOL.1 * 50);
            (relay.max_judging, relay.judging_bytes) = (JUDGING.0 * 50, JUDGING.1 * 50);
        }
        let is_late = self.config.late.is_some_and(|(late, _)| late == node);
        config.snapshots = is_late && self.config.snapshot_every.is_some();
        config.snapshot_worth = self.config.snapshot_every.unwrap_or(config.snapshot_worth);
        config.snapshot_wait = SNAPSHOT_WAIT;
        config.pieces = pieces::Config { lonely: SNAPSHOT_WAIT, stalled: 3 * SNAPSHOT_WAIT, ..config.pieces };
        config
    }

    /// A node loses power. It comes back after a while.
    pub(super) fn crash(&mut self, node: u32) {
        if !self.is_running(node) {
            return;
        }
        self.figures.crashes += 1;
        self.note(node, "loses power", String::new);
        let was_in = self.rng.random();
        let change = self.change.clone();
        let host = &mut self.hosts[node as usize];
        (host.node, host.store) = (None, None);
        host.life += 1;
        host.held.clear();
        host.app.crash(was_in, change.as_ref());
        self.tear(node);
        self.cut_all(node);
        let away = AWAY.mul_f64(self.rng.random_range(0.1..1.0));
        self.schedule.after(away, Event::Start { node });
    }

    pub(super) fn on_writes_fail(&mut self, node: u32) {
        let fault = memory::Fault {
            at: self.hosts[node as usize].files.ops() + self.rng.random_range(0..4),
            lasting: true,
        };
        let host = &mut self.hosts[node as usize];
        if host.node.is_none() {
            return;
        }
        host.has_failing_disk = true;
        host.files.set_fault(Some(fault));
        self.note(node, "writes fail", String::new);
        // Long enough for the node to notice and say so; then somebody frees the disk and starts it again.
        self.schedule.after(Duration::from_secs(5), Event::Crash { node });
    }

    /// Until when a node is at work on what came before, if it is.
    pub(super) fn busy_until(&mut self, node: u32) -> Option<Duration> {
        let now = self.schedule.now().mono;
        let is_chaos = self.is_chaos();
        let host = &mut self.hosts[node as usize];
        if !host.is_slow || !is_chaos {
            return None;
        }
        if host.busy_until > now {
            return Some(host.busy_until);
        }
        host.busy_until = now + SLOW.mul_f64(self.rng.random());
        None
    }

    /// Something happens on the link of a node with a peer.
    pub(super) fn tell_of(&mut self, node: u32, peer: u32, event: member::Event) -> Result<(), Broken> {
        self.give(node, Input::Peer { id: peer_id(peer), event })
    }

    pub(super) fn on_tick(&mut self, node: u32, life: u32) -> Result<(), Broken> {
        let now = self.schedule.now().mono;
        let host = &mut self.hosts[node as usize];
        // Where it was to be woken sooner since, it was.
        if host.life != life || host.wake != Some(now) {
            return Ok(());
        }
        host.wake = None;
        self.give(node, Input::Tick)
    }

    /// Hands something to a node and performs what it wants done.
    pub(super) fn give(&mut self, node: u32, input: Input) -> Result<(), Broken> {
        let moment = self.schedule.now().mono;
        let host = &mut self.hosts[node as usize];
        let Some(it) = &mut host.node else { return Ok(()) };
        let now = host.clock.read(moment, EPOCH);
        let mut out = Vec::new();
        it.handle(now, input, &mut out);
        host.given += 1;
        if let Some(deadline) = it.next_deadline() {
            let at = host.clock.moment(deadline).max(moment);
            if host.wake.is_none_or(|wake| at < wake) {
                host.wake = Some(at);
                self.schedule.at(at, Event::Tick { node, life: host.life });
            }
        }
        if host.given >= self.config.check_every {
            host.given = 0;
            it.check_invariants();
            let status = it.status(now);
            self.check_status(node, &status)?;
        }
        for output in out {
            self.perform(node, output)?;
            let host = &mut self.hosts[node as usize];
            host.outputs += 1;
            if self.config.crash_at == Some((node, host.outputs)) {
                self.crash(node);
                break;
            }
        }
        Ok(())
    }

    /// The node's books after a step.
    fn check_status(&mut self, node: u32, status: &node::Status) -> Result<(), Broken> {
        let host = &self.hosts[node as usize];
        let gave_up = |what: String| Err(Broken::GaveUp { node, what });
        if !host.has_failing_disk {
            if let status::State::Failed { error } = &status.state {
                return gave_up(error.clone());
            }
            if let Some(member) = &status.member {
                match &member.consensus.waiting {
                    Waiting::Halted(halt) => return gave_up(halt.to_string()),
                    Waiting::Others(watch @ (Watch::Damaged | Watch::Behind { .. })) => {
                        return gave_up(watch.to_string());
                    }
                    _ => {}
                }
            }
        }
        self.check_bounds(node, status)
    }

    /// What a node and its driver hold, by the bounds that production gives them. What only the node's machines see is
    /// compared by their own `check_invariants`.
    fn check_bounds(&self, node: u32, status: &node::Status) -> Result<(), Broken> {
        let bound =
            |what, found: usize, bound: usize| self.checker.bound(node, what, found as u64, bound as u64);
        let tree = chain::tree::Config::default();
        bound("headers above the irreversible tip", status.headers, tree.max_headers.get())?;
        bound("bytes of blocks above the irreversible tip", status.bytes, tree.max_bytes.get())?;
        let Some(member) = &status.member else { return Ok(()) };
        let limits = member::Config::new(None, peer_id(node));
        let (relay, routing) = (&member.relay, &member.routing);
        bound("transactions that wait", relay.pooled, POOL.0)?;
        bound("bytes of transactions that wait", relay.pooled_bytes, POOL.1)?;
        bound("transactions before the application", relay.judging, JUDGING.0)?;
        bound("bytes of transactions before the application", relay.judging_bytes, JUDGING.1)?;
        let links = self.net.of(node).len();
        bound("transactions that are wanted", relay.wanted, limits.relay.open_offers as usize * links)?;
        let routes = routing::Config::new(self.params.chain(), 0);
        bound("bytes of memory of packets", routing.seen_bytes, routes.seen_bytes)?;
        bound("packets that nobody confirmed", routing.unconfirmed, routes.max_sends)?;
        bound("ways to validators", routing.producers, self.config.validators as usize)?;
        bound("evidence", member.evidence.len(), MAX_EVIDENCE)?;
        bound("links", member.peers.len(), links)?;
        let outstanding = member.application.as_ref().map_or(0, |it| it.outstanding);
        bound("blocks on their way to the application", outstanding, limits.deliveries.get() as usize)?;
        bound("bodies that are wanted", member.bodies.wanted, limits.bodies.wants.get())?;
        // Windows bound what waits for the disk: of each link, what its channels take.
        let windows: u64 =
            way::bounds(self.config.links.windows).iter().map(|channel| channel.window_bytes).sum();
        let held: u64 = self.held_bytes(node);
        bound("bytes that wait for the disk", held as usize, windows as usize * links)
    }

    fn perform(&mut self, node: u32, output: Output) -> Result<(), Broken> {
        match output {
            Output::Send { peer, channel, body, after } => {
                self.hold_or_send(node, node_of(peer), channel, body, after)
            }
            Output::Took { peer, channel, messages } => self.took(node, node_of(peer), channel, messages),
            Output::Blame { peer, violation } => self.blame(node, peer, violation),
            Output::Part { peer } => {
                self.note(node, "parts with", || node_of(peer).to_string());
                self.close(node, node_of(peer), Away::No);
                Ok(())
            }
            Output::Verify { ticket, work } => {
                let result = match self.config.sabotage {
                    Some(Sabotage::SkipsVerifying) => Ok(chain::Counts::default()),
                    _ => self.memo.verdict(&work, self.config.verify),
                };
                let delay = VERIFYING.mul_f64(self.rng.random());
                self.later(node, delay, Input::Verified { ticket, result });
                Ok(())
            }
            Output::Ask { ticket, question } => self.ask(node, ticket, question),
            Output::Persist { ticket, record } => self.persist(node, ticket, record),
            Output::Load { ticket, load } => self.load(node, ticket, &load),
            Output::Publish(view) => self.on_view(node, &view),
            Output::Submitted { result, .. } => {
                let now = self.schedule.now().mono;
                match result {
                    Ok(id) => self.figures.on_submitted(now, id),
                    Err(_) => self.figures.refused += 1,
                }
                Ok(())
            }
            Output::Obeyed { .. } => Ok(()),
            Output::Notice(notice) => {
                self.note(node, "notices", || notice.to_string());
                Ok(())
            }
            Output::Connect { .. } | Output::Upstream { .. } | Output::Disconnect { .. } => {
                unreachable!("a member follows no upstream")
            }
        }
    }

    /// Something comes back to a node after a while.
    pub(super) fn later(&mut self, node: u32, delay: Duration, input: Input) {
        let life = self.hosts[node as usize].life;
        self.schedule.after(delay, Event::Done { node, life, input: Box::new(input) });
    }
}
