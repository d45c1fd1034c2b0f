//! How fast the simulator is: many nodes, of which some vote, and a block every so often, signatures simulated.
//!
//! Nothing stands beside it: the figure is seconds of the world in a second of ours, of one core. The world's set-up, which
//! is to make a thousand nodes and link them, is not counted.

use std::time::{Duration, Instant};

use anyhow::Context;
use sim::members::{Config, Links, Load, Report as World, Topology, run};

use crate::report::Report;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How many nodes there are.
    #[arg(long, default_value_t = 1_000)]
    nodes: u32,
    /// How many of them vote.
    #[arg(long, default_value_t = 4)]
    validators: u32,
    /// How many links each has.
    #[arg(long, default_value_t = 8)]
    degree: u32,
    /// How many bytes of transactions there are for a block each second.
    #[arg(long, default_value_t = 4_096)]
    block_bytes: usize,
    /// For how many of its seconds the world is measured.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// For how long links open and routes are found: not measured.
const WARM: Duration = Duration::from_secs(10);

/// For how long it comes to rest at the end, in both runs alike.
const QUIET: Duration = Duration::from_secs(5);

/// Runs the benchmark.
pub(crate) fn run_bench(args: &Args) -> anyhow::Result<Report> {
    let measured = Duration::from_secs(args.seconds);
    let began = Instant::now();
    let warmed_s = world(args, WARM)?.virtual_s;
    let warm = began.elapsed();
    let began = Instant::now();
    let world = world(args, WARM + measured)?;
    // The same world twice, once as far as where it is measured from.
    let took = began.elapsed().saturating_sub(warm);
    anyhow::ensure!(
        world.settled + 3 >= args.seconds,
        "{} blocks in {} s: see `anabranch sim`",
        world.settled,
        args.seconds
    );
    let mut report = Report::new("sim");
    report.case(format!("{} nodes, degree {}, {} B each second", args.nodes, args.degree, args.block_bytes));
    report.row("virtual_s_per_s", "/s", (world.virtual_s - warmed_s) / took.as_secs_f64(), &[]);
    report.row("steps_per_s", "/s", world.steps as f64 / (warm + took).as_secs_f64(), &[]);
    report.row("blocks", "", world.settled as f64, &[]);
    report.row("body_p99_ms", "virtual ms", world.body_ms.p99, &[]);
    report.row("finality_p99_ms", "virtual ms", world.finality_ms.p99, &[]);
    Ok(report)
}

fn world(args: &Args, lasts: Duration) -> anyhow::Result<World> {
    let config = Config {
        nodes: args.nodes,
        validators: args.validators,
        topology: Topology::Regular(args.degree),
        links: Links::default(),
        load: Load {
            every: Some(Duration::from_secs(1)),
            bytes: args.block_bytes..args.block_bytes + 1,
            is_even: true,
            to_validators: true,
        },
        chaos: Duration::ZERO,
        calm: lasts,
        quiet: QUIET,
        check_every: u32::MAX,
        ..Config::peaceful(1)
    };
    run(&config).ok().context("a rule is broken: run the same with `anabranch sim`")
}
