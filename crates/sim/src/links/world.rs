//! The world: peers, the connections between them, and all that goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use link::inbound::Rules;
use link::reason::Reason;
use link::{Identity, Protocol};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::check::{Broken, Checker, ConnectionId};
use super::config::{Behaviour, Config, Sabotage};
use super::end::{End, Halves, Stage};
use super::host::Host;
use super::line::{Health, Item, Line};
use super::report::Report;
use super::talk::{channels, window};
use crate::schedule::Schedule;
use crate::trace::Trace;

/// The wall clock at the start of the world: some day in 2026.
const EPOCH: Duration = Duration::from_secs(1_790_000_000);

/// How often those checkers look that look at the clock.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// How much may happen in one moment: more, and time stands still.
const MAX_AT_ONCE: u64 = 10_000;

/// What is due.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// Two peers connect, the first with the second.
    Dial(usize, usize),
    /// Something arrives at an end of a connection.
    Arrive { connection: ConnectionId, side: usize },
    /// A machine of an end is due.
    Tick { connection: ConnectionId, side: usize },
    /// The bearer takes more of an end.
    Room { connection: ConnectionId, side: usize },
    /// An end says something urgent.
    Urgent { connection: ConnectionId, side: usize },
    /// An end says what is not.
    Bulk { connection: ConnectionId, side: usize },
    /// The application of a peer takes a message.
    Take { host: usize, number: u64 },
    /// The connection of two peers breaks.
    Break(usize, usize),
    /// The peer on this side wants no more of a connection with that one.
    Drop { hosts: [usize; 2], side: usize },
    /// Somebody looks at the clock.
    Sweep,
}

/// A connection: of two peers, the side of the first dialled.
pub(super) struct Connection {
    pub(super) hosts: [usize; 2],
    pub(super) ends: [End; 2],
    /// What each end sends.
    pub(super) lines: [Line; 2],
    /// Since when some of what is sent does not arrive, or not as it was sent.
    pub(super) harmed: Option<Duration>,
    /// When nothing came to arrive any more, in one direction at least: the last time.
    pub(super) cut: Option<Duration>,
}

/// Everything.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) rng: ChaCha12Rng,
    pub(super) schedule: Schedule<Event>,
    pub(super) hosts: Vec<Host>,
    pub(super) rules: Arc<Rules>,
    /// Of a peer that sends on channels that it does not have.
    forgers_rules: Arc<Rules>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) next_connection: ConnectionId,
    pub(super) checker: Checker,
    pub(super) trace: Trace,
    pub(super) report: Report,
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(config.seed);
        let make =
            |behaviour: &Behaviour| Host::new(*behaviour, Identity::generate(&mut rng), config.budget_bytes);
        let hosts = config.peers.iter().map(make).collect();
        let rules =
            |channels| Rules::new(link::inbound::Config::new(channels)).expect("channels that make sense");
        let mut world = Self {
            rng,
            schedule: Schedule::new(EPOCH),
            hosts,
            rules: rules(channels()),
            forgers_rules: rules(channels()[..3].to_vec()),
            connections: BTreeMap::new(),
            next_connection: 0,
            checker: Checker::default(),
            trace: Trace::default(),
            report: Report { seed: config.seed, ..Report::default() },
            config,
        };
        world.plan();
        world
    }

    /// Lets the world run to its end.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        let end = self.config.duration();
        let mut at_once = (Duration::ZERO, 0);
        while let Some(event) = self.schedule.next(end) {
            self.report.steps += 1;
            let now = self.schedule.now().mono;
            at_once = if at_once.0 == now { (now, at_once.1 + 1) } else { (now, 0) };
            self.checker.bound("things that happen at once", at_once.1, MAX_AT_ONCE)?;
            self.on_event(event)?;
            self.check_memory()?;
        }
        self.check_end()
    }

    pub(super) fn report(&self) -> Report {
        Report {
            digest: self.trace.digest(),
            heard: self.checker.heard(),
            over_budget: self.checker.rejected(),
            ..self.report.clone()
        }
    }

    /// Takes down a line of the trace.
    pub(super) fn note(&mut self, line: &str) {
        self.trace.note(self.schedule.now().mono, line);
    }

    /// What a peer takes from others.
    pub(super) fn rules_of(&self, behaviour: Behaviour) -> Arc<Rules> {
        match behaviour {
            Behaviour::Forger => self.forgers_rules.clone(),
            Behaviour::Honest | Behaviour::Slow | Behaviour::Tampered | Behaviour::Greedy => {
                self.rules.clone()
            }
        }
    }

    /// Whether nothing new is said.
    pub(super) fn is_quiet(&self) -> bool {
        self.schedule.now().mono >= self.config.quiet_from()
    }

    /// Whether things may go wrong now.
    pub(super) fn is_chaos(&self) -> bool {
        self.schedule.now().mono < self.config.chaos
    }

    /// Whether both peers of a connection keep to the rules, and what each sends arrives as it was sent.
    pub(super) fn is_sound(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|it| {
            it.harmed.is_none() && it.hosts.iter().all(|host| self.hosts[*host].behaviour.is_sound())
        })
    }

    pub(super) fn behaviour(&self, connection: ConnectionId, side: usize) -> Behaviour {
        self.hosts[self.connections[&connection].hosts[side]].behaviour
    }

    pub(super) fn is_open(&self, connection: ConnectionId, side: usize) -> bool {
        let stage = self.connections.get(&connection).map(|it| &it.ends[side].stage);
        matches!(stage, Some(Stage::Open(_)))
    }

    /// The halves of an end that is open.
    pub(super) fn halves(&mut self, connection: ConnectionId, side: usize) -> Option<&mut Halves> {
        match &mut self.connections.get_mut(&connection)?.ends[side].stage {
            Stage::Open(halves) => Some(halves),
            Stage::Shaking(_) | Stage::Gone => None,
        }
    }

    /// At which side of a connection a peer is.
    pub(super) fn side_of(&self, connection: ConnectionId, host: usize) -> Option<usize> {
        self.connections.get(&connection)?.hosts.iter().position(|of| *of == host)
    }

    /// What the peer of an end holds that it was sent on a channel.
    pub(super) fn untaken_at_other(&self, connection: ConnectionId, side: usize, channel: Protocol) -> u64 {
        let other = self.connections[&connection].hosts[1 - side];
        self.hosts[other].untaken_bytes(connection, channel)
    }

    /// Both ends are gone: the pair connects again soon.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        let Some(it) = self.connections.remove(&connection) else { return };
        let [a, b] = it.hosts;
        let pause = Duration::from_millis(self.rng.random_range(200..3_000));
        self.schedule.after(pause, Event::Dial(a, b));
    }

    /// Schedules what goes wrong.
    fn plan(&mut self) {
        self.schedule.after(SWEEP, Event::Sweep);
        for b in 0..self.hosts.len() {
            for a in 0..b {
                self.schedule.after(Duration::ZERO, Event::Dial(a, b));
                self.plan_often(self.config.breaks_every, |_| Event::Break(a, b));
                let hosts = [a, b];
                self.plan_often(self.config.drops_every, |rng| Event::Drop {
                    hosts,
                    side: rng.random_range(0..2),
                });
            }
        }
    }

    /// Schedules something again and again during the chaos.
    fn plan_often(&mut self, mean: Option<Duration>, event: impl Fn(&mut ChaCha12Rng) -> Event) {
        if let Some(mean) = mean {
            self.schedule.often(&mut self.rng, mean, self.config.chaos, event);
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Dial(a, b) => self.dial(a, b),
            Event::Arrive { connection, side } => self.on_arrival(connection, side),
            Event::Tick { connection, side } => self.on_tick(connection, side),
            Event::Room { connection, side } => self.on_room(connection, side),
            Event::Urgent { connection, side } => self.on_urgent(connection, side),
            Event::Bulk { connection, side } => self.on_bulk(connection, side),
            Event::Take { host, number } => self.on_take(host, number),
            Event::Break(a, b) => {
                self.break_off(a, b);
                Ok(())
            }
            Event::Drop { hosts, side } => self.drop_link(hosts, side),
            Event::Sweep => self.sweep(),
        }
    }

    fn on_arrival(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
        match it.lines[1 - side].arrive() {
            Some(Item::Bytes(mut bytes)) => self.on_bytes(connection, side, &mut bytes),
            Some(Item::End) => self.on_end_of_line(connection, side),
            None => Ok(()),
        }
    }

    /// The connection of two peers, if they have one that is not broken.
    fn connection_of(&self, hosts: [usize; 2]) -> Option<ConnectionId> {
        let of_them = |(_, it): &(&ConnectionId, &Connection)| it.hosts == hosts && it.cut.is_none();
        self.connections.iter().find(of_them).map(|(id, _)| *id)
    }

    /// A peer wants no more of a link: the other one is told.
    fn drop_link(&mut self, hosts: [usize; 2], side: usize) -> Result<(), Broken> {
        let Some(connection) = self.connection_of(hosts) else { return Ok(()) };
        self.report.drops += 1;
        self.close(connection, side, Reason::Dropped)
    }

    /// The connection of two peers ends at some byte, or falls silent, in one direction or both.
    fn break_off(&mut self, a: usize, b: usize) {
        let Some(connection) = self.connection_of([a, b]) else { return };
        let now = self.schedule.now().mono;
        let is_silent = self.rng.random_bool(self.config.silences);
        self.note(&format!("connection {connection} {}", if is_silent { "falls silent" } else { "breaks" }));
        self.report.breaks += 1;
        let only = if is_silent { self.rng.random_range(0..3) } else { 2 };
        let Some(it) = self.connections.get_mut(&connection) else { return };
        it.harmed.get_or_insert(now);
        it.cut = Some(now);
        for side in [0, 1] {
            let line = &mut it.lines[side];
            if is_silent && only != 1 - side {
                line.silence();
            } else if !is_silent && let Some(at) = line.break_off(now, &mut self.rng) {
                self.schedule.at(at, Event::Arrive { connection, side: 1 - side });
            }
        }
    }

    /// What must hold at any time.
    fn check_memory(&self) -> Result<(), Broken> {
        for host in &self.hosts {
            let used = host.budget.used_bytes();
            self.checker.bound("bytes of messages that are held", host.held_bytes(), used)?;
            self.checker.bound("bytes of the budget in use", used, host.budget.total_bytes())?;
        }
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), Broken> {
        self.schedule.after(SWEEP, Event::Sweep);
        if self.config.sabotage == Some(Sabotage::Unseeded) {
            static RUNS: AtomicU64 = AtomicU64::new(0);
            let runs = RUNS.fetch_add(1, Ordering::Relaxed);
            self.note(&format!("something else decides: {runs}"));
        }
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            self.check_life(connection)?;
        }
        Ok(())
    }

    /// The end: all is quiet.
    fn check_end(&self) -> Result<(), Broken> {
        let stuck = |what: String| Err(Broken::Stuck { what });
        for b in 0..self.hosts.len() {
            for a in (0..b).filter(|a| self.is_sound_pair(*a, b)) {
                let mut of_them = self.connections.iter().filter(|(_, it)| it.hosts == [a, b]);
                let Some((id, _)) = of_them.find(|(_, it)| it.is_open()) else {
                    return stuck(format!("peers {a} and {b} are not connected"));
                };
                self.checker.on_end(*id)?;
                self.check_credit(*id)?;
            }
        }
        for (number, host) in self.hosts.iter().enumerate() {
            if host.held_messages() > 0 {
                return stuck(format!("peer {number} has not taken {} messages", host.held_messages()));
            }
        }
        Ok(())
    }

    /// In the end all credit is back, but for what is not worth a message: less than a quarter of a window.
    fn check_credit(&self, connection: ConnectionId) -> Result<(), Broken> {
        for end in &self.connections[&connection].ends {
            let Stage::Open(halves) = &end.stage else { continue };
            for line in halves.outbound.status().skip(1) {
                let least = u64::from(window(line.channel)) * 3 / 4;
                if line.credit_bytes < least {
                    let (credit, channel) = (line.credit_bytes, line.channel);
                    let what = format!("{credit} bytes may be sent on channel {channel}, not {least}");
                    return Err(Broken::Stuck { what: format!("connection {connection}: {what}") });
                }
            }
        }
        Ok(())
    }

    fn is_sound_pair(&self, a: usize, b: usize) -> bool {
        self.hosts[a].behaviour.is_sound() && self.hosts[b].behaviour.is_sound()
    }
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        self.ends.iter().all(|end| matches!(end.stage, Stage::Open(_)))
            && self.lines.iter().all(|line| line.health() == Health::Intact)
    }
}
