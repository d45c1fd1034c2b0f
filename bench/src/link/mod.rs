//! One link, one direction: 64 KB messages from one process to another over loopback, as fast as they go.
//!
//! Both ends are processes of their own; the receiver looks at every message's number and last byte. What counts is
//! the CPU of both ends together per byte of message, and the rate. Beside ours run `plain` (TCP, one system call a
//! message), `snow` (the same Noise pattern over tokio, as its examples do it) and `rustls` (TLS 1.3 with raw public
//! keys over blocking sockets).

mod end;
pub(crate) mod noise;
pub(crate) mod ours;
mod plain;
mod tls;

use std::time::Duration;

pub(crate) use end::Args as EndArgs;
pub(crate) use end::Listening;
pub(crate) use end::run as run_end;
use end::{Counted, Role, Side};

use crate::process::{Process, clock_ns};
use crate::report::{Report, median};

/// The length of a message.
const MESSAGE_BYTES: usize = 64 << 10;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How long each side streams in each round, after half a second that is not counted.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many rounds; in each, all sides run one after the other, and the median of all counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these, ours among them or not: for profiling.
    #[arg(long, value_enum)]
    only: Vec<Side>,
}

/// What one side did in one round.
#[derive(Debug, Clone, Copy)]
struct Figures {
    mb_per_s: f64,
    cpu_ns_per_byte: f64,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let sides = [Side::Ours, Side::Plain, Side::Snow, Side::Rustls];
    let mut figures = sides.map(|_| Vec::new());
    for _ in 0..args.rounds {
        for (side, figures) in sides.into_iter().zip(&mut figures) {
            if args.only.is_empty() || args.only.contains(&side) {
                figures.push(stream(side, args.seconds)?);
            }
        }
    }
    let mut report = Report::new("link");
    let [ours, others @ ..] = &figures;
    let names = ["plain", "snow", "rustls"];
    let beside = |of: fn(&Figures) -> f64| {
        let measured = names.into_iter().zip(others).filter(|(_, figures)| !figures.is_empty());
        measured.map(|(name, figures)| (name, median(figures.iter().map(of)))).collect::<Vec<_>>()
    };
    if ours.is_empty() {
        return Ok(report);
    }
    let rates = beside(|figures| figures.mb_per_s);
    report.row("mb_per_s", "MB/s", median(ours.iter().map(|figures| figures.mb_per_s)), &rates);
    let mut cpu = beside(|figures| figures.cpu_ns_per_byte);
    let ours = median(ours.iter().map(|figures| figures.cpu_ns_per_byte));
    report.row("cpu_ns_per_byte", "ns", ours, &cpu);
    if let Some(at) = cpu.iter().position(|(name, _)| *name == "plain") {
        let (_, plain) = cpu.remove(at);
        let above = cpu.iter().map(|(name, of_side)| (*name, of_side - plain)).collect::<Vec<_>>();
        report.row("cpu_ns_per_byte_over_plain", "ns", ours - plain, &above);
    }
    Ok(report)
}

fn stream(side: Side, seconds: f64) -> anyhow::Result<Figures> {
    let mut receiver = Process::start(&end::arguments(side, Role::Receive, None))?;
    let listening = receiver.read::<Listening>()?;
    let sender = Process::start(&end::arguments(side, Role::Send, Some(&listening)))?;
    std::thread::sleep(Duration::from_millis(500));
    let mut look = || {
        receiver.write("count")?;
        let counted = receiver.read::<Counted>()?;
        anyhow::Ok((counted.bytes, clock_ns(), receiver.cpu()? + sender.cpu()?))
    };
    let before = look()?;
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let after = look()?;
    let bytes = (after.0 - before.0) as f64;
    anyhow::ensure!(bytes > 0.0, "nothing came through: {side:?}");
    let figures = Figures {
        mb_per_s: bytes * 1e3 / (after.1 - before.1) as f64,
        cpu_ns_per_byte: (after.2 - before.2).as_nanos() as f64 / bytes,
    };
    eprintln!("{side:?}: {:.0} MB/s, {:.3} ns of CPU a byte", figures.mb_per_s, figures.cpu_ns_per_byte);
    Ok(figures)
}
