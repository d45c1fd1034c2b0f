//! One follower far behind: headers pipelined, then blocks in ranges, small and large.

use crate::data::Source;
use crate::load::{Connected, Got};
use crate::process::Process;
use crate::report::Report;
use crate::{Kind, Serve};

/// Made blocks of this size, for the throughput in bytes.
const LARGE_BLOCKS: Source = Source::Made { blocks: 2_000, bytes: 65_536 };

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// For how long each part runs.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// How many RequestNexts are under way; the reference pipelines up to 300.
    #[arg(long, default_value_t = 300)]
    pub(crate) window: usize,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("catchup");
    let part = |kind, source, role| part(args, kind, source, role);
    let rate = |got: &Got| got.items as f64 / got.seconds;
    let mb = |got: &Got| got.bytes as f64 / got.seconds / 1e6;
    let kinds = [Kind::Ours, Kind::Bare, Kind::Pallas];
    let rows = [
        ("catchup_headers_per_s", "/s", Source::Preview, "follow"),
        ("preview_blocks_per_s", "/s", Source::Preview, "blocks"),
        ("blocks_mb_per_s", "MB/s", LARGE_BLOCKS, "blocks"),
    ];
    for (what, unit, source, role) in rows {
        let mut figures = Vec::new();
        for kind in kinds {
            let got = part(kind, source, role)?;
            figures.push(if unit == "MB/s" { mb(&got) } else { rate(&got) });
        }
        report.row(what, unit, figures[0], &[("bare", figures[1]), ("pallas", figures[2])]);
    }
    Ok(report)
}

fn part(args: &Args, kind: Kind, source: Source, role: &str) -> anyhow::Result<Got> {
    let (server, ready) = Process::server(&Serve { kind, source, hold_back: 0, threads: 2 })?;
    let mut load = Process::start(&[
        "load".into(),
        role.into(),
        format!("--port={}", ready.port),
        format!("--window={}", if role == "follow" { args.window } else { 1 }),
        format!("--seconds={}", args.seconds),
        format!("--first={}", ready.first),
        format!("--last={}", ready.last),
        format!("--blocks={}", ready.blocks),
    ])?;
    load.read::<Connected>()?;
    let before = server.cpu()?;
    load.write("go")?;
    let got = load.read::<Got>()?;
    let cpu = (server.cpu()? - before).as_secs_f64();
    eprintln!("{kind:?} {role} {source}: {got:?}, {cpu:.2} s of server CPU");
    Ok(got)
}
