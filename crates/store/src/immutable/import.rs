//! Importing: chunks decoded on all cores, judged in order, settled, synced every so often.
//!
//! What was imported stays, whatever happens next: a second run goes on behind it.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use chain::{Counts, Format, Point, State, Tip};

use super::chunk::{self, Chunk, Fault, Found, Stop, Warning};
use super::source::{Source, Start};
use crate::files::Files;
use crate::judge::{Check, Judge, Judged};
use crate::parallel::{self, Pending, Pool};
use crate::store::Store;

/// Blocks are made durable whenever so many bytes of them are new: what a run that is cut short loses.
const SYNC_BYTES: u64 = 64 << 20;
/// Chunks that are decoded ahead of the judge, for each thread, and in all: one of mainnet is up to 100 MB.
const AHEAD: usize = 2;
const MAX_AHEAD: usize = 8;
/// Warnings kept for the report; more are counted.
pub const MAX_WARNINGS: usize = 100;

/// What can be set about an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// How much of each header is checked.
    pub check: Check,
    /// Threads beside the one that calls.
    pub threads: usize,
}

impl Default for Import {
    fn default() -> Self {
        Self { check: Check::Links, threads: parallel::available() }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Blocks imported by this run.
    pub blocks: u64,
    /// The last of them.
    pub tip: Tip,
    /// Bytes of chunk files done, of all that this run has to do.
    pub bytes: u64,
    /// Bytes of chunk files that this run has to do.
    pub total_bytes: u64,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many blocks the store held before.
    pub found: u64,
    /// How many this run added.
    pub imported: u64,
    /// Where the store ends now.
    pub tip: Tip,
    /// The state there.
    pub state: State,
    /// Which checks ran.
    pub counts: Counts,
    /// What was odd, the first [`MAX_WARNINGS`].
    pub warnings: Vec<Warning>,
    /// How many warnings there were in all.
    pub warned: usize,
    /// Where the directory is damaged, if it is.
    pub stop: Option<Stop>,
    /// The progress callback broke it off.
    pub interrupted: bool,
}

/// Why an import could not begin, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No chunk files.
    #[error(
        "{dir} holds no chunk files: give the directory `immutable` inside the database of a cardano-node"
    )]
    NotImmutable {
        /// The directory.
        dir: String,
    },
    /// The store holds a block that the directory does not have.
    #[error(
        "the block {tip} at which the store ends is not in {dir}: it is of another network, damaged there, \
         or behind the store"
    )]
    TipMissing {
        /// The directory.
        dir: String,
        /// Where the store ends.
        tip: Point,
    },
    /// The directory cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] crate::Error),
}

/// Imports what the store lacks. `state` is the state at the store's tip. `progress` is told about every
/// chunk, and may break the import off; what was imported by then is kept.
pub fn import<S: Files, F: Files>(
    source: &S,
    store: &mut Store<F>,
    state: State,
    format: &Format,
    options: &Import,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let chunks = Source::open(source)?;
    let start = chunks.find(&store.tip(), format)?;
    let total_bytes = chunks.bytes_from(start.chunk)?;
    let report = Report {
        found: store.settled(),
        imported: 0,
        tip: store.tip(),
        state: state.clone(),
        counts: Counts::default(),
        warnings: Vec::new(),
        warned: 0,
        stop: None,
        interrupted: false,
    };
    let mut run = Run { store, report, bytes: 0, total_bytes, unsynced_bytes: 0 };
    std::thread::scope(|scope| {
        let pool = Pool::start(scope, options.threads);
        let judge = Judge::new(format, &pool, options.check, state);
        let ahead = Ahead { source, format, pool: &pool, start, next: start.chunk, end: chunks.end };
        run.chunks(ahead, judge, options.threads, progress)
    })?;
    if let (Some(gap), None) = (chunks.gap, &run.report.stop) {
        let missing = Stop { chunk: gap, block: 0, offset: 0, point: None, fault: Fault::Missing };
        run.report.stop = Some(missing).filter(|_| !run.report.interrupted);
    }
    run.store.checkpoint()?;
    Ok(run.report)
}

/// Hands out the chunks to decode, in order.
struct Ahead<'env, 'pool, S: Files> {
    source: &'env S,
    format: &'env Format,
    pool: &'pool Pool<'env>,
    start: Start,
    next: u32,
    end: u32,
}

impl<S: Files> Ahead<'_, '_, S> {
    fn submit(&mut self) -> Option<Pending<Result<Chunk, Error>>> {
        let number = Some(self.next).filter(|next| *next < self.end)?;
        self.next += 1;
        let skip = if number == self.start.chunk { self.start.skip } else { 0 };
        let (source, format) = (self.source, self.format);
        Some(self.pool.submit(move || chunk::read(source, format, number, skip)))
    }
}

/// An import under way.
struct Run<'a, F: Files> {
    store: &'a mut Store<F>,
    report: Report,
    bytes: u64,
    total_bytes: u64,
    unsynced_bytes: u64,
}

impl<F: Files> Run<'_, F> {
    fn chunks<S: Files>(
        &mut self,
        mut ahead: Ahead<'_, '_, S>,
        mut judge: Judge<'_, '_, Found>,
        threads: usize,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut decoding = VecDeque::new();
        loop {
            while decoding.len() < (threads.max(1) * AHEAD).min(MAX_AHEAD) {
                let Some(chunk) = ahead.submit() else { break };
                decoding.push_back(chunk);
            }
            let Some(chunk) = decoding.pop_front() else { break };
            let chunk: Chunk = chunk.wait()?;
            self.bytes += chunk.bytes;
            self.warn(chunk.warnings);
            judge.push(chunk.blocks);
            while judge.is_full() || judge.is_ended() {
                let Some(judged) = judge.take() else { break };
                self.settle(judged)?;
            }
            if judge.is_ended() {
                return Ok(());
            }
            self.report.stop = chunk.stop;
            if self.report.stop.is_some() {
                break;
            }
            if progress(self.progress()).is_break() {
                self.report.interrupted = true;
                break;
            }
        }
        while let Some(judged) = judge.take() {
            self.settle(judged)?;
        }
        // The end is told too; there is nothing left to break off.
        let _ = progress(self.progress());
        Ok(())
    }

    fn settle(&mut self, judged: Judged<Found>) -> Result<(), Error> {
        let blocks: Vec<_> = judged.items.into_iter().map(|found| found.block).collect();
        self.store.settle(&blocks)?;
        self.store.note_state(&judged.state);
        self.report.imported += blocks.len() as u64;
        self.report.counts += judged.counts;
        self.report.tip = judged.state.tip;
        self.report.state = judged.state;
        if let Some((found, reason)) = judged.refused {
            self.report.stop = Some(Stop {
                chunk: found.chunk,
                block: found.number,
                offset: found.offset,
                point: Some(found.block.header.point()),
                fault: Fault::Refused { reason },
            });
        }
        self.unsynced_bytes += blocks.iter().map(|block| block.raw.len() as u64).sum::<u64>();
        if self.unsynced_bytes >= SYNC_BYTES {
            self.unsynced_bytes = 0;
            self.store.sync()?;
        }
        Ok(())
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        self.report.warned += warnings.len();
        let room = MAX_WARNINGS.saturating_sub(self.report.warnings.len());
        self.report.warnings.extend(warnings.into_iter().take(room));
    }

    fn progress(&self) -> Progress {
        let Self { report, bytes, total_bytes, .. } = self;
        Progress { blocks: report.imported, tip: report.tip, bytes: *bytes, total_bytes: *total_bytes }
    }
}
