//! What an open link weighs while nothing happens on it.
//!
//! One process listens, another dials it from many peers; each link carries some messages each way and a ping, and then
//! rests. What counts is the resident memory that the links add to the listening process; the kernel's is not in
//! it. Some links come and rest before the first weighing, so that what all share (scratch, pools, the runtime) is
//! not counted. Beside ours runs `snow`: a task for each connection around the same Noise pattern, with a buffer for
//! what comes in and one for what goes out, each as long as our longest frame.

mod end;
mod noise;
mod ours;

use std::time::Duration;

use anyhow::ensure;
pub(crate) use end::Args as EndArgs;
pub(crate) use end::run as run_end;
use end::{Counted, Listening, Opened, Role, Side};

use crate::process::Process;
use crate::report::Report;

/// Links that rest before the first weighing.
const WARM: usize = 256;

/// From the last message to the weighing.
const REST: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How many links rest.
    #[arg(long, default_value_t = 5_000)]
    links: usize,
    /// How many messages each of them carries before, each way.
    #[arg(long, default_value_t = 100)]
    messages: usize,
    /// How long each message is.
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
    /// Only these, ours among them or not: for profiling.
    #[arg(long, value_enum)]
    only: Vec<Side>,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let weigh = |side| match args.only.is_empty() || args.only.contains(&side) {
        true => bytes_per_link(side, args),
        false => Ok(f64::NAN),
    };
    let (ours, snow) = (weigh(Side::Ours)?, weigh(Side::Snow)?);
    let mut report = Report::new("idle_links");
    report.row("bytes_per_link", "B", ours, &[("snow", snow)]);
    report.row("links", "", args.links as f64, &[]);
    Ok(report)
}

fn bytes_per_link(side: Side, args: &Args) -> anyhow::Result<f64> {
    let mut listener = Process::start(&end::arguments(side, Role::Listen, &[]))?;
    let port = listener.read::<Listening>()?.port;
    let flags = [
        format!("--port={port}"),
        format!("--messages={}", args.messages),
        format!("--bytes={}", args.bytes),
    ];
    let mut dialler = Process::start(&end::arguments(side, Role::Dial, &flags))?;
    let mut weigh = |links: usize, all: usize| -> anyhow::Result<u64> {
        dialler.write(&links.to_string())?;
        dialler.read::<Opened>()?;
        std::thread::sleep(REST);
        listener.write("count")?;
        let open = listener.read::<Counted>()?.open;
        ensure!(open == all, "{open} links are open, not {all}");
        listener.resident_bytes()
    };
    let before = weigh(WARM, WARM)?;
    let after = weigh(args.links, WARM + args.links)?;
    eprintln!("{side:?}: {before} B with {WARM} links, {after} B with {} more", args.links);
    Ok((after as f64 - before as f64) / args.links as f64)
}
