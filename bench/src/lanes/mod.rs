//! How long an urgent message takes while blocks stream over the same link.
//!
//! One process sends 10 MB blocks without end and, every few milliseconds, 100 bytes on the consensus channel that
//! hold the time; another receives both and looks at the clock that they share. They are connected directly over
//! loopback, or through a relay of 100 Mbit/s whose own buffers are small and fixed, so that what waits, waits at the
//! sender. First only urgent messages are sent: that is the idle path, and its median is subtracted. Beside ours runs
//! `one_lane`: the same link, with the urgent messages on the blocks' channel.

mod end;
mod relay;

use anyhow::ensure;

use crate::process::Process;
use crate::report::{Report, median};

pub(crate) use end::Args as EndArgs;
pub(crate) use end::run as run_end;
use end::{Delays, Lane, Sent};
pub(crate) use relay::Args as RelayArgs;
pub(crate) use relay::run as run_relay;

use crate::link::Listening;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How many urgent messages are sent in each round, idle and busy.
    #[arg(long, default_value_t = 200)]
    messages: usize,
    /// How many of them `one_lane` sends: each waits for whole blocks there.
    #[arg(long, default_value_t = 20)]
    waiting_messages: usize,
    /// How many rounds; in each, all variants run one after the other.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The relay's rate.
    #[arg(long, default_value_t = 100)]
    mbit_per_s: u64,
}

/// How the two ends are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Loopback,
    Paced,
}

/// What one variant took above the idle path, in milliseconds.
#[derive(Debug, Default)]
struct Above {
    delays: Vec<f64>,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("lanes");
    let names = [
        (Path::Paced, ["urgent_p50_ms", "urgent_p99_ms"]),
        (Path::Loopback, ["loopback_urgent_p50_ms", "loopback_urgent_p99_ms"]),
    ];
    for (path, [p50, p99]) in names {
        let (mut ours, mut one_lane) = (Above::default(), Above::default());
        for _ in 0..args.rounds {
            ours.round(args, path, Lane::Consensus)?;
            one_lane.round(args, path, Lane::Bodies)?;
        }
        report.row(p50, "ms", ours.part(0.5), &[("one_lane", one_lane.part(0.5))]);
        report.row(p99, "ms", ours.part(0.99), &[("one_lane", one_lane.part(0.99))]);
    }
    Ok(report)
}

impl Above {
    fn round(&mut self, args: &Args, path: Path, lane: Lane) -> anyhow::Result<()> {
        let mut receiver = Process::start(&end::receiver())?;
        let mut port = receiver.read::<Listening>()?.port;
        let mut relay = None;
        if path == Path::Paced {
            let mut process = Process::start(&relay::arguments(port, args.mbit_per_s))?;
            port = process.read::<Listening>()?.port;
            relay = Some(process);
        }
        let mut sender = Process::start(&end::sender(port, lane))?;
        let messages = match lane {
            Lane::Consensus => args.messages,
            Lane::Bodies => args.waiting_messages,
        };
        let mut send = |what: &str| {
            sender.write(&format!("{what} {messages}"))?;
            sender.read::<Sent>()?;
            receiver.write(&format!("take {messages}"))?;
            let Delays { ms, blocks } = receiver.read()?;
            ensure!(ms.len() == messages, "{} of {messages} messages came", ms.len());
            anyhow::Ok((ms, blocks))
        };
        let (idle, _) = send("idle")?;
        let (busy, blocks) = send("busy")?;
        ensure!(blocks > 0, "no block came through meanwhile");
        let idle = median(idle.into_iter());
        let busy_median = median(busy.iter().copied());
        eprintln!("{path:?}, {lane:?}: idle {idle:.2} ms, busy {busy_median:.2} ms, {blocks} blocks");
        self.delays.extend(busy.into_iter().map(|ms| ms - idle));
        // The sender goes first: nobody complains of an end that is killed.
        drop((sender, relay));
        Ok(())
    }

    /// The delay below which this part of all lies.
    fn part(&mut self, part: f64) -> f64 {
        self.delays.sort_by(f64::total_cmp);
        self.delays[((self.delays.len() - 1) as f64 * part) as usize]
    }
}
