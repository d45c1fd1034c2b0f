//! The load: transactions in over HTTP, blocks out as a node-to-node client.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch::follow::{self, Event, Follower, Speech, Start};
use anyhow::{Context, bail, ensure};
use chain::native::{transaction_id, transactions};
use chain::{Block, Hash};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Figures;
use crate::nodes::{Chain, Node, transaction};

/// Connections with each node: an answer waits for the application, others need not.
const CONNECTIONS: usize = 8;

/// What is not counted: until links, timeouts and caches are what they will be.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long to wait where a pool is full: a validator that is behind the others still has what they have in blocks.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is put in.
pub(super) struct Load {
    /// How long each transaction is.
    pub(super) transaction_bytes: usize,
    /// How many are under way at a time.
    pub(super) waiting: usize,
    /// How long is counted.
    pub(super) time: Duration,
}

/// Transactions under way: when each was handed over.
type UnderWay = Arc<Mutex<HashMap<Hash, Instant>>>;

/// What those who hand transactions over share.
#[derive(Clone)]
struct Shared {
    under_way: UnderWay,
    /// Places for more.
    places: Arc<Semaphore>,
    next: Arc<AtomicU64>,
    transaction_bytes: usize,
}

impl Load {
    /// Runs the validators under it.
    pub(super) fn run(&self, chain: &Chain) -> anyhow::Result<Figures> {
        let nodes = chain.start_validators()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.drive(chain, &nodes))
    }

    async fn drive(&self, chain: &Chain, nodes: &[Node]) -> anyhow::Result<Figures> {
        let shared = Shared {
            under_way: UnderWay::default(),
            places: Arc::new(Semaphore::new(self.waiting)),
            next: Arc::default(),
            transaction_bytes: self.transaction_bytes,
        };
        let mut follower = Follower::connect(follow::Config {
            server: nodes[0].downstream.to_string(),
            speech: Speech::of(&chain.network()),
            start: Start::Point(chain::Point::Origin),
            blocks: true,
        })
        .await?;
        let mut tasks = JoinSet::new();
        for at in 0..CONNECTIONS * nodes.len() {
            let stream = UnixStream::connect(&nodes[at % nodes.len()].admin).await?;
            tasks.spawn(shared.clone().hand_over(stream));
        }
        tokio::select! {
            measured = self.measure(&shared, &mut follower, nodes) => measured,
            Some(ended) = tasks.join_next() => {
                ended??;
                bail!("nobody stops handing transactions over");
            }
        }
    }

    async fn measure(
        &self,
        shared: &Shared,
        follower: &mut Follower,
        nodes: &[Node],
    ) -> anyhow::Result<Figures> {
        let from = Instant::now() + WARM_UP;
        let to = from + self.time;
        let (mut times, mut blocks, mut cpu) = (Vec::new(), 0, None);
        loop {
            let event = tokio::time::timeout(PATIENCE, follower.next()).await;
            let event = event.context("nothing becomes final")??;
            let Event::Forward { block: Some(block), .. } = event else { continue };
            let now = Instant::now();
            let took = shared.on_block(&block, now)?;
            if now >= from {
                cpu = cpu.or(Some(all_cpu(nodes)?));
            }
            if now >= to {
                break;
            }
            if now >= from {
                blocks += usize::from(!took.is_empty());
                times.extend(took.iter().map(|time| time.as_secs_f64() * 1e3));
            }
        }
        let cpu = all_cpu(nodes)?.saturating_sub(cpu.unwrap_or_default());
        let figures = Figures::new(times, blocks, self.time)?;
        eprintln!(
            "{:.0} transactions in {blocks} blocks, {:.2} of two cores' time by all validators",
            figures.final_tx_per_s * self.time.as_secs_f64(),
            cpu.as_secs_f64() / self.time.as_secs_f64(),
        );
        Ok(figures)
    }
}

fn all_cpu(nodes: &[Node]) -> anyhow::Result<Duration> {
    nodes.iter().map(Node::cpu).sum()
}

impl Shared {
    /// How long the transactions of a block took.
    fn on_block(&self, block: &Block, now: Instant) -> anyhow::Result<Vec<Duration>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = transactions(block)?.into_iter().map(|tx| transaction_id(&tx));
        let took: Vec<_> = ids.filter_map(|id| under_way.remove(&id)).map(|since| now - since).collect();
        self.places.add_permits(took.len());
        Ok(took)
    }

    /// Hands transactions over for ever.
    async fn hand_over(self, stream: UnixStream) -> anyhow::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            self.places.acquire().await?.forget();
            let tx = transaction(self.next.fetch_add(1, Ordering::Relaxed), self.transaction_bytes);
            let since = Instant::now();
            let id = transaction_id(&tx);
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id, since);
            while !post(&mut stream, &tx).await? {
                tokio::time::sleep(FULL_PAUSE).await;
            }
        }
    }
}

/// One request and its answer, on a connection that stays; whether there was a place for the transaction.
async fn post(stream: &mut BufReader<UnixStream>, body: &[u8]) -> anyhow::Result<bool> {
    let head = format!("POST /tx HTTP/1.1\r\nhost: anabranch\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.get_mut().write_all(&[head.as_bytes(), body].concat()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let is_taken = line.starts_with("HTTP/1.1 200");
    let mut length = 0;
    loop {
        let mut header = String::new();
        ensure!(stream.read_line(&mut header).await? > 0, "the node hung up");
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(is_taken || answer.contains("pool is full"), "refused: {line}{answer}");
    Ok(is_taken)
}
