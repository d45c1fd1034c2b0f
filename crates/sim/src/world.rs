//! The world: one node, its servers, the chain that they make, and all that goes wrong.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chain::{Block, Slot, Tip};
use node::UpstreamId;
use ouroboros::{server, upstream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use store::files::memory;

use crate::check::{Broken, Checker};
use crate::config::{Behaviour, Config, Sabotage};
use crate::forge::{EPOCH, Forge};
use crate::host::{Happening, Host};
use crate::schedule::Schedule;
use crate::server::Server;
use crate::trace::Trace;
use crate::wire::{Connection, ConnectionId};

/// How long a slot lasts.
const SLOT: Duration = Duration::from_secs(1);

/// How long a block takes from one server to another, at most.
const GOSSIP: Duration = Duration::from_millis(1_500);

/// How long a block takes to a lagging server, at most: many times k blocks, and less than the quiet at the end.
const LAG: Duration = Duration::from_secs(45);

/// How often a flaky server's connections break, on average.
const FLAKY_EVERY: Duration = Duration::from_secs(15);

/// How long a restarting server is away.
const AWAY: Duration = Duration::from_secs(8);

/// What is due.
#[derive(Debug)]
pub(crate) enum Event {
    /// A slot begins.
    Slot(Slot),
    /// A server hears of a block.
    Gossip(usize, Box<Block>),
    /// A dial of the node ends.
    Dialed { id: UpstreamId, life: u64 },
    /// Bytes arrive at a server.
    ForServer(ConnectionId, Bytes),
    /// Bytes arrive at the node's machine for that server.
    ForNode(ConnectionId, Bytes),
    /// A machine of a connection is due.
    WireTick(ConnectionId),
    /// The node is due.
    NodeTick { life: u64 },
    /// An effect of the node is done.
    ForHost { life: u64, input: Box<node::Input> },
    /// What was written is synced.
    Sync { life: u64 },
    /// The power goes.
    PowerCut,
    /// It comes back.
    PowerBack,
    /// From now on writes fail.
    WritesFail,
    /// A server's connections break.
    Break(usize),
    /// A server goes away, or comes back.
    Up(usize, bool),
    /// A server falls silent.
    Silence(usize),
}

/// Everything.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) schedule: Schedule<Event>,
    pub(crate) forge: Forge,
    pub(crate) servers: Vec<Server>,
    pub(crate) files: memory::Files,
    pub(crate) host: Option<Host>,
    /// Grows with each start and end of the node: effects of an earlier life come to nothing.
    pub(crate) life: u64,
    pub(crate) happenings: VecDeque<Happening>,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) current: BTreeMap<UpstreamId, ConnectionId>,
    pub(crate) next_connection: ConnectionId,
    pub(crate) checker: Checker,
    pub(crate) trace: Trace,
    /// Outputs of the node performed so far.
    pub(crate) outputs: u64,
    pub(crate) steps: u64,
    pub(crate) power_cuts: u64,
    pub(crate) blocks: u64,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(config.seed);
        let forge = Forge::new();
        let servers = config.servers.iter().map(|behaviour| Server::new(*behaviour, &forge.format)).collect();
        let checker = Checker::new(forge.format.clone(), config.depth, config.servers.len());
        let files = memory::Files::new(rng.random());
        let mut world = Self {
            rng,
            schedule: Schedule::new(EPOCH),
            forge,
            servers,
            files,
            host: None,
            life: 0,
            happenings: VecDeque::new(),
            connections: BTreeMap::new(),
            current: BTreeMap::new(),
            next_connection: 0,
            checker,
            trace: Trace::default(),
            outputs: 0,
            steps: 0,
            power_cuts: 0,
            blocks: 0,
            config,
        };
        world.plan();
        world
    }

    /// Lets the world run to its end.
    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        self.start()?;
        self.settle()?;
        let end = self.config.duration();
        while let Some(event) = self.schedule.next(end) {
            self.steps += 1;
            self.on_event(event)?;
            self.settle()?;
        }
        let now = self.schedule.now();
        let expected = self.honest_head();
        let Some(host) = &self.host else {
            return Err(Broken::Lost { what: "the node: it is not running in the end".into() });
        };
        self.checker.on_end(&host.node.status(now), expected)
    }

    /// Takes down a line of the trace.
    pub(crate) fn note(&mut self, line: &str) {
        self.trace.note(self.schedule.now().mono, line);
    }

    /// Where the honest servers stand: in the quiet at the end, all at the same block.
    fn honest_head(&self) -> Tip {
        let honest = self.servers.iter().filter(|server| server.behaviour.is_honest());
        honest.map(Server::head).max_by_key(|tip| tip.height).unwrap_or_default()
    }

    /// Schedules what goes wrong.
    fn plan(&mut self) {
        self.schedule.after(Duration::ZERO, Event::Slot(Slot(0)));
        let chaos = self.config.chaos;
        for (index, behaviour) in self.config.servers.clone().into_iter().enumerate() {
            match behaviour {
                Behaviour::Flaky => self.plan_often(FLAKY_EVERY, |_| Event::Break(index)),
                Behaviour::Restarting => self.plan_often(FLAKY_EVERY * 2, |_| Event::Up(index, false)),
                Behaviour::Silent => {
                    let at = chaos.mul_f64(self.rng.random());
                    self.schedule.at(at, Event::Silence(index));
                }
                Behaviour::Honest
                | Behaviour::Lagging
                | Behaviour::Slow
                | Behaviour::Forger
                | Behaviour::BadSignature
                | Behaviour::BadBody => {}
            }
        }
        let failing = self.config.failing_writes;
        if let Some(every) = self.config.crash_every {
            self.plan_often(every, |rng| match rng.random_bool(failing) {
                true => Event::WritesFail,
                false => Event::PowerCut,
            });
        }
    }

    /// Schedules something again and again during the chaos.
    fn plan_often(&mut self, mean: Duration, event: impl Fn(&mut ChaCha12Rng) -> Event) {
        self.schedule.often(&mut self.rng, mean, self.config.chaos, event);
    }

    fn on_event(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Slot(slot) => self.on_slot(slot),
            Event::Gossip(server, block) => self.hear(server, *block),
            Event::Dialed { id, life } if life == self.life => self.on_dialed(id),
            Event::ForServer(connection, bytes) => {
                self.handle_theirs(connection, server::Input::Received(&bytes))
            }
            Event::ForNode(connection, bytes) => {
                self.handle_ours(connection, upstream::Input::Received(&bytes))
            }
            Event::WireTick(connection) => self.on_wire_tick(connection),
            Event::NodeTick { life } if life == self.life => self.on_node_tick(),
            Event::ForHost { life, input } if life == self.life => self.happen(Happening::Input(*input)),
            Event::Sync { life } if life == self.life => self.on_sync(),
            // Of an earlier life of the node.
            Event::Dialed { .. } | Event::NodeTick { .. } | Event::ForHost { .. } | Event::Sync { .. } => {}
            Event::PowerCut => {
                self.power_cuts += 1;
                self.cut_power();
            }
            Event::PowerBack => self.start()?,
            Event::WritesFail => self.on_writes_fail(),
            Event::Break(server) => self.break_off(UpstreamId(server as u32)),
            Event::Up(server, is_up) => self.on_up(server, is_up),
            Event::Silence(server) => self.servers[server].is_silent = true,
        }
        Ok(())
    }

    fn on_writes_fail(&mut self) {
        if self.host.is_none() {
            return;
        }
        let at = self.files.ops() + self.rng.random_range(0..4);
        self.files.set_fault(Some(memory::Fault { at, lasting: true }));
        // Long enough for the node to notice and say so; then somebody frees the disk and starts it again.
        self.schedule.after(Duration::from_secs(5), Event::PowerCut);
    }

    fn on_up(&mut self, server: usize, is_up: bool) {
        self.servers[server].is_up = is_up;
        if !is_up {
            self.break_off(UpstreamId(server as u32));
            self.schedule.after(AWAY, Event::Up(server, true));
        }
    }

    fn on_slot(&mut self, slot: Slot) {
        let now = self.schedule.now().mono;
        if now >= self.config.quiet_from() {
            return;
        }
        if self.config.sabotage == Some(Sabotage::Unseeded) {
            static RUNS: AtomicU64 = AtomicU64::new(0);
            let runs = RUNS.fetch_add(1, Ordering::Relaxed);
            self.note(&format!("something else decides: {runs}"));
        }
        self.schedule.after(SLOT, Event::Slot(Slot(slot.0 + 1)));
        // A lagging server would make blocks that nobody can use.
        let makes = |server: &Server| server.behaviour.is_honest() && server.behaviour != Behaviour::Lagging;
        let honest: Vec<usize> = (0..self.servers.len()).filter(|at| makes(&self.servers[*at])).collect();
        let chance = self.config.blocks_per_slot / honest.len() as f64;
        for server in honest {
            if self.rng.random_bool(chance) {
                self.make(server, slot);
            }
        }
        for server in 0..self.servers.len() {
            self.lie(server, slot);
        }
    }

    /// An honest server makes a block on its head and tells all others.
    fn make(&mut self, server: usize, slot: Slot) {
        let head = self.servers[server].head();
        if head.point.slot().is_some_and(|last| last >= slot) {
            return;
        }
        let salt = self.rng.random();
        let block = self.forge.block(head.point, slot, salt);
        self.blocks += 1;
        self.note(&format!("server {server} makes {:.8} on {:.8}", block.header.id, head.point));
        self.checker.on_made(block.header.id);
        for other in (0..self.servers.len()).filter(|other| *other != server) {
            let delay = match self.servers[other].behaviour {
                Behaviour::Lagging => LAG.mul_f64(self.rng.random_range(0.5..1.0)),
                _ => GOSSIP.mul_f64(self.rng.random()),
            };
            self.schedule.after(delay, Event::Gossip(other, Box::new(block.clone())));
        }
        self.hear(server, block);
    }

    fn hear(&mut self, server: usize, block: Block) {
        if self.servers[server].add(block) {
            self.on_server_view(server);
        }
    }

    /// A liar makes what it makes of the slot, during the chaos.
    fn lie(&mut self, server: usize, slot: Slot) {
        if self.schedule.now().mono >= self.config.chaos {
            return;
        }
        let (depth, salt) = (self.rng.random_range(0..2 * self.config.depth as usize), self.rng.random());
        let head = self.servers[server].head().point;
        match self.servers[server].behaviour {
            Behaviour::Forger if self.rng.random_bool(0.1) => {
                // A branch with a block in every slot since: longer than what honest servers make.
                let mut parent = self.servers[server].below_head(depth);
                for slot in parent.slot().map_or(0, |last| last.0 + 1)..=slot.0 {
                    let block = self.forge.block(parent, Slot(slot), salt);
                    parent = block.header.point();
                    self.hear(server, block);
                }
            }
            Behaviour::BadSignature if self.rng.random_bool(0.1) && head.slot() < Some(slot) => {
                let block = self.forge.forged(head, slot, salt);
                self.hear(server, block);
            }
            Behaviour::Honest
            | Behaviour::Flaky
            | Behaviour::Restarting
            | Behaviour::Lagging
            | Behaviour::Slow
            | Behaviour::Silent
            | Behaviour::Forger
            | Behaviour::BadSignature
            | Behaviour::BadBody => {}
        }
    }
}
