//! Four validators as processes of their own on loopback, which agree on transactions and sync their disks.
//!
//! The load is this process. It hands transactions to all four over their admin API, each over connections that stay, and
//! follows the first one as a client that fetches blocks: a transaction is final when it is in a block that came there. So
//! many wait at a time that blocks hold what they shall: one, and the next goes in once it is final; or two blocks' worth
//! of those that fill a block with a thousand.
//!
//! `bare` is the floor: one thread that sends a block of that size to three others, writes it with `fdatasync`, and has
//! three round trips with them, as proposing, voting and voting again take. Nothing is signed, checked or stored by others.

mod bare;
mod load;

use std::path::PathBuf;
use std::time::Duration;

use crate::nodes::Chain;
use crate::report::Report;
use load::Load;

/// How many validators there are: as few as bear a liar.
const VALIDATORS: usize = 4;

/// How long a transaction is: a short text under a short key.
const TRANSACTION_BYTES: usize = 100;

/// What a transaction takes in a block: its bytes and their length.
const IN_BLOCK_BYTES: usize = TRANSACTION_BYTES + 2;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How long transactions are counted, for each size of blocks, after two seconds that are not.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// How many transactions a block holds.
    #[arg(long, value_delimiter = ',', default_value = "1,1000")]
    transactions: Vec<usize>,
    /// The directory to write in, on the disk to be measured; the system's for temporary files if not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What one side does.
#[derive(Debug, Clone, Copy)]
struct Figures {
    final_tx_per_s: f64,
    blocks_per_s: f64,
    finality_p50_ms: f64,
    finality_p99_ms: f64,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("consensus");
    for transactions in &args.transactions {
        let (seconds, dir) = (Duration::from_secs_f64(args.seconds), args.dir.as_deref());
        let bare = bare::run(dir, transactions * IN_BLOCK_BYTES, *transactions, seconds / 5)?;
        let room = if *transactions == 1 { 1 << 16 } else { transactions * IN_BLOCK_BYTES };
        let chain = Chain::new(dir, VALIDATORS, room as u64)?;
        let waiting = if *transactions == 1 { 1 } else { 2 * transactions };
        let ours = Load { transaction_bytes: TRANSACTION_BYTES, waiting, time: seconds }.run(&chain)?;
        report.case(format!("{transactions} a block"));
        let mut row = |what, unit, of: fn(&Figures) -> f64| {
            report.row(what, unit, of(&ours), &[("bare", of(&bare))]);
        };
        row("final_tx_per_s", "/s", |figures| figures.final_tx_per_s);
        row("blocks_per_s", "/s", |figures| figures.blocks_per_s);
        row("finality_p50_ms", "ms", |figures| figures.finality_p50_ms);
        row("finality_p99_ms", "ms", |figures| figures.finality_p99_ms);
    }
    Ok(report)
}

impl Figures {
    /// Of the times that transactions took, in ms, and the blocks that they came in.
    fn new(mut times_ms: Vec<f64>, blocks: usize, time: Duration) -> anyhow::Result<Self> {
        anyhow::ensure!(!times_ms.is_empty(), "nothing became final");
        times_ms.sort_by(f64::total_cmp);
        let at = |part: f64| times_ms[((times_ms.len() - 1) as f64 * part) as usize];
        Ok(Self {
            final_tx_per_s: times_ms.len() as f64 / time.as_secs_f64(),
            blocks_per_s: blocks as f64 / time.as_secs_f64(),
            finality_p50_ms: at(0.5),
            finality_p99_ms: at(0.99),
        })
    }
}
