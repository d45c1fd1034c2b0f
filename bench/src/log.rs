//! Synced appends to the block log, beside bare `pwrite` and `fdatasync` of as many bytes.
//!
//! Each append is durable before the next begins. Ours and bare take turns in short rounds on the same disk,
//! since a disk's speed changes by the minute. Bare writes into a file that was reserved beforehand, or into one
//! that grows: the faster of the two counts.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chain::{Block, Format, Hash, Header, Height, Slot, Tip, native};
use rustix::fs::FallocateFlags;
use store::files::disk;
use store::{Config, Store};

use crate::report::Report;

/// Turns that each takes.
const ROUNDS: u32 = 10;
/// Headers are about as long as preview's.
const HEADER_BYTES: usize = 860;
/// What the log adds to a block: its length and its CRC.
const RECORD_BYTES: usize = 8;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// For how long, for each size and each way.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// The directory to write in, on the disk to be measured; the system's for temporary files if not given.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("log");
    for (what, bytes) in [("appends_per_s_1k", 1 << 10), ("appends_per_s_1m", 1 << 20)] {
        let dir = match &args.dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let (ours, bare) = measure(dir.path(), bytes, args.seconds)?;
        report.row(what, "/s", ours, &[("bare", bare)]);
    }
    Ok(report)
}

/// Appends a second of ours and of bare.
fn measure(dir: &Path, bytes: usize, seconds: f64) -> anyhow::Result<(f64, f64)> {
    let mut ours = Ours::open(dir, bytes)?;
    let mut reserved = Bare::create(&dir.join("reserved"), bytes, true)?;
    let mut growing = Bare::create(&dir.join("growing"), bytes, false)?;
    let round = Duration::from_secs_f64(seconds / f64::from(ROUNDS));
    let mut rates = [0.0; 3];
    for _ in 0..ROUNDS {
        rates[0] += rate(round, || ours.append())?;
        rates[1] += rate(round, || reserved.append())?;
        rates[2] += rate(round, || growing.append())?;
    }
    let [ours, reserved, growing] = rates.map(|sum| sum / f64::from(ROUNDS));
    Ok((ours, reserved.max(growing)))
}

/// How often a second something is done, done again and again for a while.
fn rate(round: Duration, mut append: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut count = 0.0;
    while start.elapsed() < round {
        append()?;
        count += 1.0;
    }
    Ok(count / start.elapsed().as_secs_f64())
}

/// The store.
struct Ours {
    store: Store,
    tip: Tip,
    wire: Bytes,
    raw: Bytes,
}

impl Ours {
    fn open(dir: &Path, bytes: usize) -> anyhow::Result<Self> {
        let key = native::Key::from_seed(&[1; 32]);
        let format = Format::Native(Arc::new(native::Params::solo("bench", 7, 0, key.public())));
        let (store, recovered) =
            Store::open(disk::Files::new(dir.join("store")), &format, &Config::default())?;
        let (wire, raw) = (Bytes::from(vec![1; HEADER_BYTES]), Bytes::from(vec![2; bytes]));
        Ok(Self { store, tip: recovered.irreversible, wire, raw })
    }

    fn append(&mut self) -> anyhow::Result<()> {
        let next = self.tip.height.0 + 1;
        let mut id = Hash::default();
        id.0[..8].copy_from_slice(&next.to_le_bytes());
        let header = Header {
            id,
            prev: self.tip.point.hash(),
            slot: Slot(next),
            height: Height(next),
            boundary: false,
            wire: self.wire.clone(),
        };
        self.tip = header.tip();
        self.store.settle(&[Block { header, raw: self.raw.clone() }])?;
        Ok(self.store.sync()?)
    }
}

/// Nothing but the two system calls.
struct Bare {
    file: File,
    at: u64,
    reserved_to: u64,
    record: Vec<u8>,
}

impl Bare {
    fn create(path: &Path, bytes: usize, reserve: bool) -> anyhow::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let reserved_to = if reserve { 0 } else { u64::MAX };
        Ok(Self { file, at: 0, reserved_to, record: vec![2; bytes + RECORD_BYTES] })
    }

    fn append(&mut self) -> anyhow::Result<()> {
        if self.at + self.record.len() as u64 > self.reserved_to {
            let more = u64::from(Config::default().log_segment_bytes);
            rustix::fs::fallocate(&self.file, FallocateFlags::empty(), self.reserved_to, more)?;
            self.file.sync_all()?;
            self.reserved_to += more;
        }
        self.file.write_all_at(&self.record, self.at)?;
        self.at += self.record.len() as u64;
        Ok(self.file.sync_data()?)
    }
}
