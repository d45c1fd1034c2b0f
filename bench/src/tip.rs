//! A new tip, to thousands of followers that wait for it.
//!
//! Measured from right before the server is told of the block until the load has read the frame of the
//! last follower: that includes the last write, and the load's own reading, for all servers alike.

use crate::bare::Swapped;
use crate::data::Source;
use crate::load::{Connected, Last};
use crate::process::Process;
use crate::report::Report;
use crate::{Kind, Serve};

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How many followers wait.
    #[arg(long, default_value_t = 4_000)]
    pub(crate) followers: usize,
    /// How many blocks are published; the median counts.
    #[arg(long, default_value_t = 21)]
    pub(crate) swaps: usize,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("tip");
    let ours = swap_to_last_ms(args, Kind::Ours, 2)?;
    let bare = swap_to_last_ms(args, Kind::Bare, 2)?;
    let pallas = swap_to_last_ms(args, Kind::Pallas, 2)?;
    report.row("swap_to_last_ms", "ms", ours, &[("bare", bare), ("pallas", pallas)]);
    Ok(report)
}

fn swap_to_last_ms(args: &Args, kind: Kind, threads: usize) -> anyhow::Result<f64> {
    let serve = Serve { kind, source: Source::Preview, hold_back: args.swaps, threads };
    let (mut server, ready) = Process::server(&serve)?;
    let mut load = Process::start(&[
        "load".into(),
        "tip".into(),
        format!("--port={}", ready.port),
        format!("--count={}", args.followers),
        format!("--last={}", ready.last),
    ])?;
    load.read::<Connected>()?;
    let mut times = Vec::new();
    for _ in 0..args.swaps {
        load.write("go")?;
        server.write("swap")?;
        let swapped = server.read::<Swapped>()?;
        let last = load.read::<Last>()?;
        times.push((last.last_ns - swapped.at_ns) as f64 / 1e6);
    }
    times.sort_by(f64::total_cmp);
    eprintln!("{kind:?} with {threads} threads: {times:.1?} ms");
    Ok(times[times.len() / 2])
}
