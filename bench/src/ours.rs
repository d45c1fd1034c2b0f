//! Our server, as the program runs it: the chain in a store on disk, its last blocks in the view.

use std::io::BufRead;
use std::net::TcpListener;
use std::sync::Arc;

use anabranch::downstream::{Config, Inbox, Server};
use anyhow::Context;
use bytes::Bytes;
use chain::view::{Entry, Orphans};
use chain::{Block, Format, Hash, Header, Height, Position, Slot, View, cardano};
use store::Store;
use store::files::disk;
use tokio::sync::watch;

use crate::Serve;
use crate::bare::Swapped;
use crate::data::{self, Item};
use crate::process::{self, Ready};
use crate::wire;

/// How many of the last blocks are not irreversible: preview's k.
const VOLATILE: usize = 432;

/// Serves until standard input ends; `swap` shows one block more.
pub(crate) fn run(serve: &Serve) -> anyhow::Result<()> {
    let items = data::chain(serve.source)?;
    let shown = items.len() - serve.hold_back;
    let settled = shown.saturating_sub(VOLATILE);
    let ready = |port| Ready {
        port,
        first: items[0].point.to_string(),
        last: items[shown - 1].point.to_string(),
        blocks: shown,
        bytes: items[..shown].iter().map(|item| item.raw.len()).sum(),
    };
    let folder = tempfile::tempdir()?;
    let store = fill(folder.path(), &items[..settled])?;
    let chain = Chain::new(&items, settled)?;
    let (publish, views) = watch::channel(chain.view(1, shown));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(serve.threads).enable_all().build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // All clients of a benchmark come from one address.
    let config = Config { max_clients_per_address: 16_384, ..Config::new(wire::MAGIC as u32) };
    let handle = {
        let _inside = runtime.enter();
        Server::start(vec![listener], config, views, store.reader(), Arc::<Inbox>::default())?
    };
    let port = handle.local_addr().context("it listens")?.port();
    let ready = ready(port);
    drop(items);
    process::say(&ready)?;
    for (swaps, line) in std::io::stdin().lock().lines().enumerate() {
        anyhow::ensure!(line? == "swap", "a server knows `swap` alone");
        let view = chain.view(2 + swaps as u64, shown + swaps + 1);
        let at_ns = process::clock_ns();
        publish.send_replace(view);
        process::say(&Swapped { at_ns })?;
    }
    Ok(())
}

fn fill(folder: &std::path::Path, items: &[Item]) -> anyhow::Result<Store> {
    let params = cardano::Params::built_in("preview").context("preview is built in")?;
    let format = Format::Cardano(Arc::new(params));
    let config = store::Config::default();
    let (mut store, _) = Store::open(disk::Files::new(folder), &format, &config)?;
    let mut prev = None;
    for item in items {
        store.settle(&[block(item, prev)?])?;
        prev = Some(id(item)?);
    }
    store.sync()?;
    Ok(store)
}

fn id(item: &Item) -> anyhow::Result<Hash> {
    Ok(Hash(item.point.0.context("a block is not at origin")?.1))
}

fn block(item: &Item, prev: Option<Hash>) -> anyhow::Result<Block> {
    let (slot, hash) = item.point.0.context("a block is not at origin")?;
    let header = Header {
        id: Hash(hash),
        prev,
        slot: Slot(slot),
        height: Height(item.height),
        boundary: false,
        wire: Bytes::from(item.wire.clone()),
    };
    Ok(Block { header, raw: Bytes::from(item.raw.clone()) })
}

/// The blocks after the log's last.
struct Chain {
    settled: usize,
    last: Arc<Entry>,
    above: Vec<Arc<Entry>>,
}

impl Chain {
    fn new(items: &[Item], settled: usize) -> anyhow::Result<Self> {
        let entry = |at: usize| {
            let prev = at.checked_sub(1).map(|before| id(&items[before])).transpose()?;
            let Block { header, raw } = block(&items[at], prev)?;
            anyhow::Ok(Arc::new(Entry { position: Position(at as u64), header, block: raw }))
        };
        let above = (settled..items.len()).map(entry).collect::<Result<_, _>>()?;
        Ok(Self { settled, last: entry(settled - 1)?, above })
    }

    fn view(&self, epoch: u64, shown: usize) -> Arc<View> {
        Arc::new(View::new(
            epoch,
            self.last.header.tip(),
            self.settled as u64,
            Arc::new([self.last.clone()]),
            self.above[..shown - self.settled].into(),
            Arc::<Orphans>::default(),
        ))
    }
}
