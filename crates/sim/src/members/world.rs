//! The world: nodes, the links between them, and all that goes wrong.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chain::Format;
use chain::native::{Key, Params, Validator};
use node::{Input, Ticket};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::app;
use super::check::{Broken, Checker};
use super::config::{Config, Sabotage};
use super::figures::Figures;
use super::host::Host;
use super::liar::Plot;
use super::memo::Memo;
use super::net::Net;
use super::trace::{Sink, Trace};
use crate::schedule::Schedule;

/// The wall clock at the start of the world: some day in 2026.
pub(super) const EPOCH: Duration = Duration::from_secs(1_790_000_000);

/// How long a slot lasts: shorter than the shortest time between two blocks.
const SLOT_MS: u32 = 50;

/// The most bytes of transactions in a block.
const BODY_BYTES: u64 = 64 << 10;

/// How much may happen in one moment for each node: more, and time stands still.
const MAX_AT_ONCE: u64 = 10_000;

/// How many times the quiet may last longer, where there was no progress yet, or what was put in before it is not in the
/// chain: rounds grow long while too few validators hear each other, and a block takes only so much. Worlds that were
/// seen to need it were done within minutes.
const LONGER: u32 = 40;

/// What is due.
#[derive(Debug)]
pub(super) enum Event {
    /// A link should open.
    Connect { link: usize },
    /// A link is open.
    Opened { link: usize, life: u32 },
    /// What one side of a link sent arrives at the other.
    Arrive { link: usize, side: usize, life: u32 },
    /// One side of a link may send more.
    LineFree { link: usize, side: usize, life: u32 },
    /// Credit comes back to one side of a link.
    Grant { link: usize, side: usize, life: u32, channel: usize, bytes: u64 },
    /// One side of a link learns that it is gone.
    Noticed { link: usize, side: usize, life: u32 },
    /// A node is due.
    Tick { node: u32, life: u32 },
    /// An effect of a node is done.
    Done { node: u32, life: u32, input: Box<Input> },
    /// What a node wrote is synced.
    Synced { node: u32, life: u32 },
    /// A node's application is done with its next question.
    Applied { node: u32, life: u32 },
    /// A node starts.
    Start { node: u32 },
    /// A node loses power.
    Crash { node: u32 },
    /// A node's writes fail from now on.
    WritesFail { node: u32 },
    /// A link breaks, or falls silent.
    Break { link: usize, is_silent: bool },
    /// These nodes hear the others no more.
    Part(BTreeSet<u32>),
    /// All hear each other again.
    Heal,
    /// A node's application falls asleep for so long.
    Sleep { node: u32, until: Duration },
    /// Somebody puts in a transaction.
    Submit,
    /// The chaos is over: progress is measured from here.
    Over,
}

/// Everything.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) rng: ChaCha12Rng,
    pub(super) schedule: Schedule<Event>,
    pub(super) format: Format,
    pub(super) params: Arc<Params>,
    pub(super) net: Net,
    pub(super) hosts: Vec<Host>,
    /// Those who hear only each other, while the network is parted.
    pub(super) apart: BTreeSet<u32>,
    pub(super) plot: Plot,
    pub(super) change: Option<app::Change>,
    pub(super) checker: Checker,
    pub(super) figures: Figures,
    pub(super) memo: Memo,
    pub(super) trace: Trace,
    pub(super) steps: u64,
    /// Where the nodes were when the chaos was over.
    pub(super) over_at: u64,
    /// When there was progress again after that.
    pub(super) recovered_at: Option<Duration>,
    /// When the last block became irreversible anywhere.
    pub(super) settled_at: Duration,
    /// When the world ended.
    pub(super) ended: Duration,
    next_ticket: u64,
}

/// The key of a validator.
pub(super) fn key(node: u32) -> Key {
    let mut seed = [0x21; 32];
    seed[..4].copy_from_slice(&node.to_be_bytes());
    Key::from_seed(&seed)
}

impl World {
    pub(super) fn new(config: Config, sink: Option<Sink>) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(config.seed);
        let keys: Vec<_> = (0..config.validators).map(|node| key(node).public()).collect();
        let params = Arc::new(Params {
            validators: keys.iter().map(|key| Validator { key: *key, weight: NonZeroU64::MIN }).collect(),
            faults: config.model,
            slot_length_ms: NonZeroU32::new(SLOT_MS).expect("a slot takes time"),
            max_body_bytes: NonZeroU64::new(BODY_BYTES).expect("a block has room"),
            ..Params::solo("sim", 4_243, EPOCH.as_millis() as u64, keys[0])
        });
        let format = Format::Native(params.clone());
        let net = Net::new(&config, &mut rng);
        let hosts = (0..config.nodes).map(|node| Host::new(node, &config, &format, &mut rng)).collect();
        let change = config.change_at.and_then(|at| app::Change::without_last(at, &keys));
        let mut world = Self {
            schedule: Schedule::new(EPOCH),
            format,
            params,
            net,
            hosts,
            apart: BTreeSet::new(),
            plot: Plot::new(),
            change,
            checker: Checker::new(config.nodes),
            figures: Figures::new(config.nodes),
            memo: Memo::default(),
            trace: Trace::new(sink),
            steps: 0,
            over_at: 0,
            recovered_at: None,
            settled_at: Duration::ZERO,
            ended: Duration::ZERO,
            next_ticket: 0,
            rng,
            config,
        };
        world.plan();
        world
    }

    /// Lets the world run to its end.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        for node in 0..self.config.nodes {
            let at = Duration::from_millis(self.rng.random_range(0..200));
            let late = self.config.late.filter(|(late, _)| *late == node);
            let at = late.map_or(at, |(_, late)| late);
            self.schedule.at(at, Event::Start { node });
        }
        self.schedule.at(self.config.chaos, Event::Over);
        self.schedule_submit();
        self.ended = self.config.duration();
        self.run_until(self.ended)?;
        self.run_while(Self::is_under_way)?;
        // What is left over by then stays. It is looked at where no block is on its way.
        self.run_while(|world, now| !world.is_between_blocks(now))?;
        self.check_progress()?;
        self.check_rest()
    }

    /// Lets the world go on for as long as this holds, within bounds.
    fn run_while(&mut self, holds: impl Fn(&Self, Duration) -> bool) -> Result<(), Broken> {
        for _ in 0..LONGER {
            if !holds(self, self.ended) {
                break;
            }
            self.ended += self.config.quiet / 2;
            self.run_until(self.ended)?;
        }
        Ok(())
    }

    fn run_until(&mut self, end: Duration) -> Result<(), Broken> {
        let mut at_once = (Duration::ZERO, 0);
        while let Some(event) = self.schedule.next(end) {
            self.steps += 1;
            let now = self.schedule.now().mono;
            at_once = if at_once.0 == now { (now, at_once.1 + 1) } else { (now, 0) };
            if at_once.1 > MAX_AT_ONCE * u64::from(self.config.nodes) {
                return Err(Broken::NoTime { count: at_once.1 });
            }
            self.on_event(event)?;
        }
        Ok(())
    }

    /// Takes down what a node does.
    pub(super) fn note(&mut self, node: u32, what: &'static str, detail: impl FnOnce() -> String) {
        self.trace.note(self.schedule.now().mono, node, what, detail);
    }

    /// Whether two nodes cannot hear each other.
    pub(super) fn is_parted(&self, a: u32, b: u32) -> bool {
        self.apart.contains(&a) != self.apart.contains(&b)
    }

    /// Whether things may go wrong now.
    pub(super) fn is_chaos(&self) -> bool {
        self.schedule.now().mono < self.config.chaos
    }

    /// A number that no other question of ours has.
    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn on_event(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Connect { link } => self.connect(link),
            Event::Opened { link, life } => return self.on_opened(link, life),
            Event::Arrive { link, side, life } => return self.on_arrival(link, side, life),
            Event::LineFree { link, side, life } => self.on_line_free(link, side, life),
            Event::Grant { link, side, life, channel, bytes } => {
                return self.on_grant(link, side, life, channel, bytes);
            }
            Event::Noticed { link, side, life } => return self.on_noticed(link, side, life),
            Event::Tick { node, life } => return self.on_tick(node, life),
            Event::Done { node, life, input } if self.hosts[node as usize].life == life => {
                return self.give(node, *input);
            }
            Event::Synced { node, life } => return self.on_synced(node, life),
            Event::Applied { node, life } => return self.on_applied(node, life),
            Event::Start { node } => return self.start(node),
            Event::Crash { node } => self.crash(node),
            Event::WritesFail { node } => self.on_writes_fail(node),
            Event::Break { link, is_silent } => self.break_off(link, is_silent),
            Event::Part(apart) => self.part(apart),
            Event::Heal => self.heal(),
            Event::Sleep { node, until } => self.put_to_sleep(node, until),
            Event::Submit => return self.on_submit(),
            Event::Over => self.over_at = self.checker.settled(),
            // Of an earlier life of the node.
            Event::Done { .. } => {}
        }
        Ok(())
    }

    fn part(&mut self, apart: BTreeSet<u32>) {
        self.note(0, "partition", || format!("{apart:?} hear only each other"));
        self.figures.partitions += 1;
        self.apart = apart;
        let torn: Vec<usize> = (0..self.net.len())
            .filter(|link| {
                let [a, b] = self.net.hosts(*link);
                self.is_parted(a, b)
            })
            .collect();
        let is_silent = self.rng.random_bool(0.5);
        torn.into_iter().for_each(|link| self.break_off(link, is_silent));
    }

    fn heal(&mut self) {
        if self.config.sabotage == Some(Sabotage::StaysParted) {
            return;
        }
        self.note(0, "healed", String::new);
        self.apart.clear();
        self.connect_all();
    }

    fn put_to_sleep(&mut self, node: u32, for_: Duration) {
        self.figures.sleeps += 1;
        let until = self.schedule.now().mono + for_;
        self.note(node, "sleeps", || format!("until {:.3}", until.as_secs_f64()));
        let app = &mut self.hosts[node as usize].app;
        app.asleep_until = app.asleep_until.max(until.min(self.config.chaos));
    }

    fn schedule_submit(&mut self) {
        let Some(mean) = self.config.load.every else { return };
        let pause =
            if self.config.load.is_even { mean } else { mean.mul_f64(self.rng.random_range(0.1..1.9)) };
        self.schedule.after(pause, Event::Submit);
    }

    fn on_submit(&mut self) -> Result<(), Broken> {
        if self.schedule.now().mono >= self.config.quiet_from() {
            return Ok(());
        }
        if self.config.sabotage == Some(Sabotage::Unseeded) {
            static RUNS: AtomicU64 = AtomicU64::new(0);
            let runs = RUNS.fetch_add(1, Ordering::Relaxed);
            self.trace.mix(runs);
        }
        self.schedule_submit();
        let among = if self.config.load.to_validators { self.config.validators } else { self.config.nodes };
        let node = self.rng.random_range(0..among);
        let length = self.rng.random_range(self.config.load.bytes.clone());
        let mut tx = vec![0; length.max(16)];
        match self.config.sabotage {
            Some(Sabotage::ForgetsTransactions) => tx.truncate(16),
            _ => self.rng.fill_bytes(&mut tx[..16]),
        }
        let ticket = self.ticket();
        self.give(node, Input::Submit { ticket, tx: Bytes::from(tx) })
    }
}
