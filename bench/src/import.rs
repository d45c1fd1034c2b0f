//! Importing the real blocks into a new store on disk, hashes and links checked, durable at the end.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use chain::{Format, cardano};
use store::files::disk;
use store::immutable::{self, Import};
use store::{Config, Store};

use crate::report::Report;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How often; the median counts.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// The directory to write in; the system's for temporary files if not given.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let source = testdata::preview().context("this benchmark needs the real blocks: set ANABRANCH_DATA")?;
    let params = cardano::Params::built_in("preview").context("preview is built in")?;
    let format = Format::Cardano(Arc::new(params));
    let mut rates = Vec::new();
    for _ in 0..args.rounds.max(1) {
        let dir = match &args.dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let start = Instant::now();
        let files = disk::Files::new(dir.path());
        let (mut store, recovered) = Store::open(files, &format, &Config::default())?;
        let options = Import::default();
        let files = disk::Files::new(&source);
        let mut go_on = |_| ControlFlow::Continue(());
        let report = immutable::import(&files, &mut store, recovered.state, &format, &options, &mut go_on)?;
        ensure!(report.stop.is_none() && report.imported == testdata::PREVIEW_BLOCKS, "{report:?}");
        rates.push(report.imported as f64 / start.elapsed().as_secs_f64());
    }
    rates.sort_unstable_by(f64::total_cmp);
    let mut report = Report::new("import");
    report.row("import_blocks_per_s", "/s", rates[rates.len() / 2], &[]);
    Ok(report)
}
