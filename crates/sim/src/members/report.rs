//! Running a world, and what came of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::rc::Rc;

use serde::Serialize;

use super::check::Broken;
use super::config::Config;
use super::trace::Sink;
use super::world::World;
use crate::failure::{Failure, Origin, caught};

/// How many lines of the trace a failure shows.
const SHOWN: usize = 60;

/// What happened in a run without a fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A digest of all that happened: equal for equal runs.
    pub digest: u64,
    /// How long it lasted, in the world's time.
    pub virtual_s: f64,
    /// Steps of the world.
    pub steps: u64,
    /// Outputs of nodes performed.
    pub outputs: u64,
    /// Nodes, validators among them, and links.
    pub nodes: u32,
    /// Those who vote.
    pub validators: u32,
    /// Pairs of nodes that link.
    pub links: usize,
    /// Blocks that were made.
    pub blocks: u64,
    /// Blocks that became irreversible.
    pub settled: u64,
    /// Transactions that were put in, and how they ended.
    pub transactions: Transactions,
    /// From when a block was made until a node had its header, in ms.
    pub header_ms: Spread,
    /// The same of its body.
    pub body_ms: Spread,
    /// Over how many nodes a body came.
    pub hops: Spread,
    /// Headers too many, for each that was news.
    pub header_redundancy: f64,
    /// Bodies too many, for each that was news.
    pub body_redundancy: f64,
    /// From when a block was made until a node showed it as irreversible, in ms.
    pub finality_ms: Spread,
    /// From the end of the faults until blocks became irreversible again, in s, where they ended before the world did.
    pub recovery_s: Option<f64>,
    /// What was sent, by kind.
    pub sent: Vec<Sent>,
    /// What went wrong.
    pub faults: Happened,
    /// Signatures, certificates and claims verified; and those that were verified for another node before.
    pub verified: [u64; 2],
}

/// Transactions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transactions {
    /// Taken by the node that was asked.
    pub taken: u64,
    /// Refused by it.
    pub refused: u64,
    /// Irreversible.
    pub settled: u64,
    /// From when it was put in until the first node had it irreversible, in ms.
    pub ms: Spread,
}

/// How a figure spreads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half are at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
    /// All.
    pub max: f64,
}

/// Messages of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Which.
    pub kind: String,
    /// How many.
    pub messages: u64,
    /// Their bodies' bytes.
    pub bytes: u64,
}

/// What went wrong, how many times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// Nodes lost power.
    pub crashes: u64,
    /// The network parted.
    pub partitions: u64,
    /// Links broke or fell silent.
    pub breaks: u64,
    /// Applications fell asleep.
    pub sleeps: u64,
    /// Messages were not what a correct node would have said.
    pub lies: u64,
}

/// Runs a world to its end.
///
/// # Errors
/// When a rule was broken. The world is then run once more for the last lines of its trace.
pub fn run(config: &Config) -> Result<Report, Box<Failure<Broken>>> {
    run_once(config, None).map_err(|first| {
        let (lines, sink) = last_lines();
        // A run that does not repeat itself keeps its first verdict.
        let failure = run_once(config, Some(sink)).err().unwrap_or(first);
        Box::new(Failure { last: lines.take().into(), ..*failure })
    })
}

/// Runs a world to its end and hands out each line of its trace.
///
/// # Errors
/// When a rule was broken.
pub fn run_traced(config: &Config, sink: Sink) -> Result<Report, Box<Failure<Broken>>> {
    run_once(config, Some(sink))
}

fn run_once(config: &Config, sink: Option<Sink>) -> Result<Report, Box<Failure<Broken>>> {
    let mut world = World::new(config.clone(), sink);
    caught(|| world.run()).map_err(|what| {
        let seed = config.seed;
        let is_drawn = *config == Config::from_seed(seed);
        let cut = config.crash_at.map(|(_, at)| at);
        let replay = Origin { tests: "members::tests", seed, is_drawn, cut }.replay();
        Box::new(Failure { seed, what, last: Vec::new(), replay })
    })?;
    Ok(world.report())
}

/// A sink that keeps the last lines.
fn last_lines() -> (Rc<RefCell<VecDeque<String>>>, Sink) {
    let lines = Rc::new(RefCell::new(VecDeque::new()));
    let kept = lines.clone();
    let sink: Sink = Box::new(move |line| {
        let mut lines = kept.borrow_mut();
        if lines.len() == SHOWN {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    });
    (lines, sink)
}

impl World {
    fn report(&mut self) -> Report {
        let figures = &mut self.figures;
        let per = |again: u64, news: usize| if news == 0 { 0.0 } else { again as f64 / news as f64 };
        let sent: Vec<Sent> =
            figures.sent().map(|(kind, messages, bytes)| Sent { kind, messages, bytes }).collect();
        Report {
            seed: self.config.seed,
            digest: self.trace.digest(),
            virtual_s: self.ended.as_secs_f64(),
            steps: self.steps,
            outputs: self.hosts.iter().map(super::host::Host::outputs).sum(),
            nodes: self.config.nodes,
            validators: self.config.validators,
            links: self.net.len(),
            blocks: figures.blocks,
            settled: self.checker.settled(),
            transactions: Transactions {
                taken: figures.submitted,
                refused: figures.refused,
                settled: figures.transactions.len() as u64,
                ms: Spread::of(&mut figures.transactions, 1_000.0),
            },
            header_redundancy: per(figures.headers_again, figures.headers.len()),
            body_redundancy: per(figures.bodies_again, figures.bodies.len()),
            header_ms: Spread::of(&mut figures.headers, 1_000.0),
            body_ms: Spread::of(&mut figures.bodies, 1_000.0),
            hops: Spread::of(&mut figures.hops, 1.0),
            finality_ms: Spread::of(&mut figures.finality, 1_000.0),
            recovery_s: self
                .recovered_at
                .filter(|_| !self.config.faults.is_none())
                .map(|at| at.saturating_sub(self.config.chaos).as_secs_f64()),
            sent,
            faults: Happened {
                crashes: figures.crashes,
                partitions: figures.partitions,
                breaks: figures.breaks,
                sleeps: figures.sleeps,
                lies: figures.lies,
            },
            verified: [self.memo.run, self.memo.known],
        }
    }
}

impl Spread {
    fn of(samples: &mut [u64], unit: f64) -> Self {
        samples.sort_unstable();
        let at = |part: f64| match samples.len() {
            0 => 0.0,
            count => samples[((count as f64 * part).ceil() as usize).clamp(1, count) - 1] as f64 / unit,
        };
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, virtual_s, nodes, validators, links, steps, .. } = self;
        writeln!(
            f,
            "seed {seed}: {virtual_s} s of {nodes} nodes, {validators} validators, {links} links; {steps} steps"
        )?;
        let Happened { crashes, partitions, breaks, sleeps, lies } = &self.faults;
        writeln!(
            f,
            "{crashes} crashes, {partitions} partitions, {breaks} links broken, {sleeps} sleeps, {lies} lies"
        )?;
        let Transactions { taken, refused, settled, .. } = &self.transactions;
        writeln!(f, "{} blocks made, {} irreversible", self.blocks, self.settled)?;
        if let Some(recovery_s) = self.recovery_s {
            writeln!(f, "blocks became irreversible again {recovery_s:.1} s after the last fault")?;
        }
        writeln!(f, "{taken} transactions taken, {refused} refused, {settled} irreversible")?;
        writeln!(f)?;
        writeln!(f, "{:<26}{:>10}{:>10}{:>10}{:>10}", "", "p50", "p90", "p99", "max")?;
        let rows = [
            ("header, ms", self.header_ms),
            ("body, ms", self.body_ms),
            ("body, hops", self.hops),
            ("block to final, ms", self.finality_ms),
            ("transaction to final, ms", self.transactions.ms),
        ];
        for (name, Spread { p50, p90, p99, max }) in rows {
            writeln!(f, "{name:<26}{p50:>10.0}{p90:>10.0}{p99:>10.0}{max:>10.0}")?;
        }
        writeln!(
            f,
            "too many, each: headers {:.2}, bodies {:.4}",
            self.header_redundancy, self.body_redundancy
        )?;
        writeln!(f)?;
        writeln!(f, "{:<26}{:>12}{:>14}", "sent", "messages", "bytes")?;
        for Sent { kind, messages, bytes } in &self.sent {
            writeln!(f, "{kind:<26}{messages:>12}{bytes:>14}")?;
        }
        f.write_char('\n')?;
        write!(
            f,
            "{} verdicts of signatures, {} of them known before",
            self.verified[0] + self.verified[1],
            self.verified[1]
        )
    }
}
