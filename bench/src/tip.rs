//! A new tip, to thousands of followers that wait for it.
//!
//! Measured from right before the server is told of the block until the load has read the frame of the
//! last follower: that includes the last write, and the load's own reading, for all servers alike.

use crate::bare::Swapped;
use crate::data::Source;
use crate::load::{Connected, Last};
use crate::process::Process;
use crate::report::{Report, median};
use crate::{Kind, Serve};

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How many followers wait.
    #[arg(long, default_value_t = 4_000)]
    pub(crate) followers: usize,
    /// How many blocks are published in each round.
    #[arg(long, default_value_t = 15)]
    pub(crate) swaps: usize,
    /// How many rounds; in each, all servers run one after the other, and the median of all counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("tip");
    let kinds = [Kind::Ours, Kind::Bare, Kind::Pallas];
    let mut times = kinds.map(|_| Vec::new());
    for _ in 0..args.rounds {
        for (kind, times) in kinds.into_iter().zip(&mut times) {
            times.extend(swap_to_last_ms(args, kind)?);
        }
    }
    let [ours, bare, pallas] = times.map(|times| median(times.into_iter()));
    report.row("swap_to_last_ms", "ms", ours, &[("bare", bare), ("pallas", pallas)]);
    Ok(report)
}

fn swap_to_last_ms(args: &Args, kind: Kind) -> anyhow::Result<Vec<f64>> {
    let serve = Serve { kind, source: Source::Preview, hold_back: args.swaps, threads: 2 };
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
    eprintln!("{kind:?}: {times:.1?} ms");
    Ok(times)
}
