//! A fresh node catches up with a chain of its own kind: headers, certificates and bodies, from one peer and from four.
//!
//! The chain is made beforehand, straight into a log: four validators sign headers and certificates as running ones
//! would, a transaction a block. The peers serve it and do not vote. All are processes of the program with its default
//! settings; what is timed goes from the start of the fresh process until its irreversible tip is the chain's, every
//! header and certificate that it was given verified and every block synced to its disk. When its application has taken
//! all blocks in as well is a row of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use bytes::Bytes;
use chain::native::ballot::{self, Vote};
use chain::native::{Builder, Certificate, Key, Validators};
use chain::{Block, Slot, State};
use store::certificates::KEEP_EVERY;
use store::files::disk;
use store::{Config, Store};

use crate::nodes::{Chain, Node, transaction};
use crate::report::{Report, median};

/// Validators of the chain.
const VALIDATORS: usize = 4;

/// How many of them sign a certificate: a quorum.
const SIGNERS: usize = 3;

/// Blocks that are made durable together.
const BATCH: u64 = 1_024;

/// How long the transaction of a block is.
const TRANSACTION_BYTES: usize = 100;

/// How long a node may stand still before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a node is asked where it is.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How long the chain is.
    #[arg(long, default_value_t = 100_000)]
    blocks: u64,
    /// From how many peers.
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    peers: Vec<usize>,
    /// How often; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The directory to write in; the system's for temporary files if not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// How long a fresh node took.
#[derive(Debug, Clone, Copy)]
struct Took {
    caught_up: f64,
    applied: f64,
    cpu: f64,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    ensure!(args.blocks > 0, "a chain has blocks");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let begins = now.saturating_sub(Duration::from_millis(args.blocks) + PATIENCE);
    let chain = Chain::begun(args.dir.as_deref(), VALIDATORS, 1 << 16, begins)?;
    let start = Instant::now();
    make(&chain, args.blocks)?;
    eprintln!("{} blocks made in {:.1} s", args.blocks, start.elapsed().as_secs_f64());
    let most = args.peers.iter().copied().max().unwrap_or(1);
    let peers = serve(&chain, args.blocks, most)?;
    let mut report = Report::new("sync");
    let mut fresh = most.max(VALIDATORS)..;
    for count in &args.peers {
        let mut took = Vec::new();
        for number in fresh.by_ref().take(args.rounds) {
            took.push(catch_up(&chain, number, args.blocks, &peers[..*count])?);
        }
        report.case(format!("{count} {}", if *count == 1 { "peer" } else { "peers" }));
        let middle = |of: fn(&Took) -> f64| median(took.iter().map(of));
        report.row("blocks_per_s", "/s", args.blocks as f64 / middle(|took| took.caught_up), &[]);
        report.row("seconds", "s", middle(|took| took.caught_up), &[]);
        report.row("cpu_us_per_block", "us", middle(|took| took.cpu) * 1e6 / args.blocks as f64, &[]);
        report.row("applied_seconds", "s", middle(|took| took.applied), &[]);
    }
    Ok(report)
}

/// Writes the chain into the first peer's directory.
fn make(chain: &Chain, blocks: u64) -> anyhow::Result<()> {
    let format = chain.network().format;
    let validators = chain.params.validator_set().expect("a genesis is validated before it is used");
    let files = disk::Files::new(chain.data_dir(0));
    let (mut store, _) = Store::open(files, &format, &Config::default())?;
    let mut state = format.genesis();
    for number in 0..blocks {
        let block = block(chain, &validators, &state, number);
        state = format.next(&state, &block.header).map_err(|reason| anyhow::anyhow!("{reason:?}"))?;
        store.settle(std::slice::from_ref(&block))?;
        store.note_state(&state);
        // What the store would keep of one for each block.
        if number % KEEP_EVERY == 0 || number + 1 == blocks {
            store.certify(&state, &certificate(chain, &validators, &block))?;
        }
        if number % BATCH == 0 {
            store.sync()?;
        }
    }
    Ok(store.checkpoint()?)
}

fn block(chain: &Chain, validators: &Validators, state: &State, number: u64) -> Block {
    let native = state.native().expect("it is native");
    let mut builder = Builder::start(&chain.params, &state.tip, native, Slot(number));
    let added = builder.add(Bytes::from(transaction(number, TRANSACTION_BYTES)));
    assert!(added.is_ok(), "a transaction fits");
    let proposer = validators.proposer(chain::Height(number), 0).key;
    let key = chain.keys.iter().find(|key| key.public() == proposer).expect("one of ours");
    builder.finish(key)
}

fn certificate(chain: &Chain, validators: &Validators, block: &Block) -> Bytes {
    let (height, id) = (block.header.height, block.header.id);
    let vote = Vote { kind: ballot::Kind::Precommit, height, round: 0, block: Some(id) };
    let bytes = vote.signed_bytes(&chain.params.chain());
    let signed: Vec<_> =
        chain.keys.iter().take(SIGNERS).map(|key: &Key| (key.public(), key.sign(&bytes))).collect();
    let precommits = signed.iter().map(|(key, signature)| (key, *signature));
    Certificate::new(height, 0, id, validators, precommits).encode()
}

/// Starts so many peers, which hold the chain and whose applications have taken it in.
fn serve(chain: &Chain, blocks: u64, count: usize) -> anyhow::Result<Vec<Node>> {
    for number in 0..VALIDATORS {
        // They serve and do not vote: the chain stays as it is.
        std::fs::remove_file(chain.data_dir(number).join(anabranch::peers::key_file::VALIDATOR_NAME))?;
    }
    let start = Instant::now();
    let first = chain.start(0, &[])?;
    reached(&first, "application", blocks)?;
    first.stop()?;
    for number in 1..count {
        copy(&chain.data_dir(0), &chain.data_dir(number))?;
        // Who it is, it makes up at its start.
        std::fs::remove_file(chain.data_dir(number).join(anabranch::peers::key_file::NAME))?;
    }
    eprintln!("{count} peers ready in {:.1} s", start.elapsed().as_secs_f64());
    (0..count).map(|number| chain.start(number, &[])).collect()
}

fn catch_up(chain: &Chain, number: usize, blocks: u64, peers: &[Node]) -> anyhow::Result<Took> {
    let addresses: Vec<_> = peers.iter().map(|node| node.peer.as_str()).collect();
    let start = Instant::now();
    let node = chain.start(number, &addresses)?;
    reached(&node, "irreversible", blocks)?;
    let (caught_up, cpu) = (start.elapsed().as_secs_f64(), node.cpu()?.as_secs_f64());
    reached(&node, "application", blocks)?;
    let took = Took { caught_up, applied: start.elapsed().as_secs_f64(), cpu };
    eprintln!("from {}: {took:.2?}", peers.len());
    drop(node);
    std::fs::remove_dir_all(chain.data_dir(number))?;
    Ok(took)
}

/// Waits until a node is at the chain's end.
fn reached(node: &Node, what: &str, blocks: u64) -> anyhow::Result<()> {
    let (mut best, mut since) = (0, Instant::now());
    loop {
        let status = node.get("/status")?;
        let height = match what {
            "application" => &status["member"]["application"]["applied"]["height"],
            _ => &status[what]["height"],
        };
        let height = height.as_u64().unwrap_or_default();
        if height + 1 >= blocks {
            return Ok(());
        }
        if height > best {
            (best, since) = (height, Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "it stands still: {status:#}");
        std::thread::sleep(ASK_EVERY);
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chain::Format;

    use super::*;

    #[test]
    fn the_made_chain_is_a_chain_with_finality() {
        let chain = Chain::laid(None, VALIDATORS, 1 << 16, Duration::ZERO).expect("laid out");
        make(&chain, 300).expect("made");
        let format: Format = chain.network().format;
        let files = disk::Files::new(chain.data_dir(0));
        let (store, found) = Store::open(files, &format, &Config::default()).expect("opened");
        assert_eq!((found.settled, found.irreversible.height.0), (300, 299));
        let validators = chain.params.validator_set().expect("sound");
        let kept = [0, KEEP_EVERY].map(|at| store.reader().certificate(chain::Position(at)).expect("read"));
        for certificate in
            kept.into_iter().chain([store.reader().newest_certificate().map(|it| it.certificate)])
        {
            let certificate = Certificate::decode(&certificate.expect("kept")).expect("sound");
            certificate.verify(&chain.params.chain(), &validators, chain.params.faults).expect("a quorum's");
        }
    }
}
