//! Bodies of blocks through a whole network: ours and iroh-gossip, in one harness and in virtual time.
//!
//! Both are the machines that run in production, driven with the same seeds, the same graph of who knows whom, the same
//! latencies and the same blocks. Nothing is measured with a clock: the same arguments print the same table on any
//! machine, however busy it is.

mod blocks;
mod dice;
mod gossip;
mod ours;
mod overlay;
mod play;
mod tally;
mod world;

use std::time::Duration;

use anyhow::ensure;

use crate::report::Report;
use play::Plan;

/// How many neighbours a node has at least.
const DEGREE: usize = 8;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How large the networks are.
    #[arg(long, value_delimiter = ',', default_values_t = [20, 100, 1_000])]
    pub(crate) nodes: Vec<usize>,
    /// How many networks of each size: the figures are over the blocks of all.
    #[arg(long, default_value_t = 3)]
    pub(crate) networks: u64,
    /// How many producers take turns.
    #[arg(long, default_value_t = 20)]
    pub(crate) producers: usize,
    /// The seed of the first network.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Every node has exactly eight neighbours, instead of dialling until it has eight.
    #[arg(long)]
    pub(crate) even: bool,
    /// How long our nodes take to make a body durable: before, they do not pass it on.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) disk_ms: f64,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    ensure!(args.networks > 0 && args.producers > 0, "without networks or producers there is nothing to see");
    ensure!(args.disk_ms >= 0.0, "a disk is not ahead of time");
    let disk = Duration::from_secs_f64(args.disk_ms / 1e3);
    let mut report = Report::new("broadcast");
    for &nodes in &args.nodes {
        ensure!(nodes > DEGREE, "{nodes} nodes cannot have {DEGREE} neighbours each");
        let producers = args.producers.min(nodes / 2);
        let plan = |seed| Plan { seed, nodes, producers, even: args.even };
        let seeds = (0..args.networks).map(|network| args.seed + network);
        let ours = play::all(seeds.clone().map(plan), |_, name| ours::Node::new(name, disk));
        let gossip = play::all(seeds.map(plan), gossip::Node::new);
        for ((case, ours), (_, gossip)) in ours.iter().zip(&gossip) {
            report.case(format!("{nodes} {case}"));
            for ((what, unit, value), (_, _, other)) in ours.figures().into_iter().zip(gossip.figures()) {
                report.row(what, unit, value, &[("iroh_gossip", other)]);
            }
        }
    }
    Ok(report)
}
