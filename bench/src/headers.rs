//! How many headers one core judges in a second: everything that a header alone can be judged by.
//!
//! Over the real blocks of preview, one thread, counted in that thread's CPU time, so that "per core" holds
//! on a machine that does other things too. Where there are no real blocks, made ones stand in.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use chain::cardano::{Era, Params, forge};
use chain::{Counts, Format, Header};
use rustix::time::{ClockId, clock_gettime};

use crate::report::Report;

/// A secondary entry of an immutable database; its first eight bytes say where the block begins.
const SECONDARY_ENTRY: usize = 56;

/// What is measured, and over how much.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Judge only so many headers, spread evenly; 0 for all.
    #[arg(long, default_value_t = 20_000)]
    headers: usize,
}

/// The headers judged, with the blocks that they came from.
struct Chain {
    format: Format,
    blocks: Vec<Bytes>,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let chain = load()?;
    let mut report = Report::new("headers");
    let (headers, parsing) = measured(|| parse(&chain));
    let headers = headers?;
    let (checks, linking) = measured(|| link(&chain.format, &headers));
    let checks = checks?;
    let step = if args.headers == 0 { 1 } else { checks.len().div_ceil(args.headers).max(1) };
    let picked: Vec<_> = checks.iter().step_by(step).collect();
    let (counts, checking) = measured(|| judge(&picked));
    let counts = counts?;
    anyhow::ensure!(counts.nonces_unknown == 0, "{} nonces were unknown", counts.nonces_unknown);
    eprintln!(
        "{} headers: {} KES signatures, {} certificates, {} VRF proofs, no nonce unknown",
        picked.len(),
        counts.kes,
        counts.certificates,
        counts.vrf
    );
    let all = headers.len();
    // A header's full judgement is all three: read, linked to its parent, proven.
    let each = parsing / all as u32 + linking / all as u32 + checking / picked.len() as u32;
    report.row("checks_per_s", "1/s", 1.0 / each.as_secs_f64(), &[]);
    report.row("blocks_parsed_per_s", "1/s", per_second(all, parsing), &[]);
    report.row("headers_linked_per_s", "1/s", per_second(all, linking), &[]);
    Ok(report)
}

fn load() -> anyhow::Result<Chain> {
    let Some(folder) = testdata::preview() else { return Ok(made()) };
    let mut chunks: Vec<_> = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "chunk"))
        .collect();
    chunks.sort();
    let mut blocks = Vec::new();
    for chunk in chunks {
        cut(&chunk, &mut blocks).with_context(|| chunk.display().to_string())?;
    }
    let params = Params::built_in("preview").context("preview is built in")?;
    Ok(Chain { format: Format::Cardano(Arc::new(params)), blocks })
}

fn cut(chunk: &Path, blocks: &mut Vec<Bytes>) -> anyhow::Result<()> {
    let bytes = Bytes::from(std::fs::read(chunk)?);
    let secondary = std::fs::read(chunk.with_extension("secondary"))?;
    let starts = secondary.chunks_exact(SECONDARY_ENTRY).map(|entry| entry.first_chunk::<8>());
    let starts = starts.map(|start| start.map_or(0, |start| u64::from_be_bytes(*start) as usize));
    let starts: Vec<_> = starts.collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    blocks.extend(starts.iter().zip(ends).map(|(start, end)| bytes.slice(*start..end)));
    Ok(())
}

/// A chain of 4,000 blocks over twenty epochs of a small network.
fn made() -> Chain {
    let params = Params { byron: None, ..forge::small_network() };
    let forge = forge::Forge::new(params, [0; 32], 5);
    let blocks = forge.chain(&forge.format().genesis(), Era::Babbage, 0..4_000);
    let blocks = blocks.into_iter().map(|block| block.raw).collect();
    Chain { format: forge.format().clone(), blocks }
}

fn parse(chain: &Chain) -> anyhow::Result<Vec<Header>> {
    let headers = chain.blocks.iter().map(|raw| Ok(chain.format.block(raw)?.header));
    headers.collect()
}

fn link(format: &Format, headers: &[Header]) -> anyhow::Result<Vec<chain::Checks>> {
    let mut state = format.genesis();
    let mut checks = Vec::with_capacity(headers.len());
    for header in headers {
        checks.push(format.checks(&state, header));
        state = format.next(&state, header).with_context(|| header.point().to_string())?;
    }
    Ok(checks)
}

fn judge(checks: &[&chain::Checks]) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for checks in checks {
        counts += checks.run()?;
    }
    Ok(counts)
}

/// The result, and the CPU time that this thread spent on it.
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = cpu_time();
    let result = work();
    (result, cpu_time().saturating_sub(before))
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn per_second(count: usize, spent: Duration) -> f64 {
    count as f64 / spent.as_secs_f64()
}
