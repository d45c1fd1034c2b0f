//! Many followers that ask for one header at a time; the memory of those that have gone idle.

use crate::data::Source;
use crate::load::{Connected, Got};
use crate::process::Process;
use crate::report::{Report, median};
use crate::{Kind, Serve};

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How many followers ask at once.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) followers: usize,
    /// For how long, in each round.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// How many rounds; in each, all servers run one after the other, and the median counts.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// How many followers go idle, to weigh them.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle: usize,
    /// How many headers each of them gets before.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) each: u64,
}

struct Rate {
    headers_per_s: f64,
    cpu_us: f64,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("fanout");
    let kinds = [Kind::Ours, Kind::Bare, Kind::Pallas];
    let mut rates = kinds.map(|_| Vec::new());
    for _ in 0..args.rounds {
        for (kind, rates) in kinds.into_iter().zip(&mut rates) {
            rates.push(rate(args, kind)?);
        }
    }
    let [ours, bare, pallas] = rates.map(|rates| Rate {
        headers_per_s: median(rates.iter().map(|rate| rate.headers_per_s)),
        cpu_us: median(rates.iter().map(|rate| rate.cpu_us)),
    });
    report.row(
        "headers_per_s",
        "/s",
        ours.headers_per_s,
        &[("bare", bare.headers_per_s), ("pallas", pallas.headers_per_s)],
    );
    report.row(
        "server_cpu_us_per_header",
        "us",
        ours.cpu_us,
        &[("bare", bare.cpu_us), ("pallas", pallas.cpu_us)],
    );
    if args.idle > 0 {
        let ours = idle_bytes(args, Kind::Ours)?;
        let pallas = idle_bytes(args, Kind::Pallas)?;
        report.row("bytes_per_idle_follower", "B", ours, &[("pallas", pallas)]);
    }
    Ok(report)
}

fn serve(kind: Kind) -> Serve {
    Serve { kind, source: Source::Preview, hold_back: 0, threads: 2 }
}

fn rate(args: &Args, kind: Kind) -> anyhow::Result<Rate> {
    let (server, ready) = Process::server(&serve(kind))?;
    let mut load = Process::start(&[
        "load".into(),
        "follow".into(),
        format!("--port={}", ready.port),
        format!("--count={}", args.followers),
        format!("--seconds={}", args.seconds),
        format!("--blocks={}", ready.blocks),
    ])?;
    load.read::<Connected>()?;
    let before = server.cpu()?;
    load.write("go")?;
    let got = load.read::<Got>()?;
    let cpu = server.cpu()? - before;
    eprintln!("{kind:?}: {} headers in {:.2} s, {:.2} s of CPU", got.items, got.seconds, cpu.as_secs_f64());
    Ok(Rate {
        headers_per_s: got.items as f64 / got.seconds,
        cpu_us: cpu.as_secs_f64() * 1e6 / got.items as f64,
    })
}

/// Resident bytes that each idle follower adds. One follower has had its headers before the first
/// weighing, so that what is shared (chunks, scratch) is not counted.
fn idle_bytes(args: &Args, kind: Kind) -> anyhow::Result<f64> {
    let (server, ready) = Process::server(&serve(kind))?;
    let one = followers(args, ready.port, 1)?;
    let before = server.resident_bytes()?;
    let all = followers(args, ready.port, args.idle)?;
    let after = server.resident_bytes()?;
    drop((one, all));
    eprintln!("{kind:?}: {before} B before, {after} B with {} idle followers", args.idle);
    Ok((after as f64 - before as f64) / args.idle as f64)
}

fn followers(args: &Args, port: u16, count: usize) -> anyhow::Result<Process> {
    let mut load = Process::start(&[
        "load".into(),
        "follow".into(),
        format!("--port={port}"),
        format!("--count={count}"),
        format!("--each={}", args.each),
    ])?;
    load.read::<Connected>()?;
    load.write("go")?;
    load.read::<Got>()?;
    Ok(load)
}
