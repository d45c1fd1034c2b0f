//! A server on `pallas-network`'s `PeerServer`, as a user of it would write it: a task per client and
//! protocol, the chain in memory behind an `Arc`, a `watch` that says when it grew.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;

use pallas_network::facades::PeerServer;
use pallas_network::miniprotocols::{Point, blockfetch, chainsync, keepalive};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Serve;
use crate::bare::Swapped;
use crate::data::{self, Item};
use crate::process::{self, Ready};
use crate::wire;

/// The chain, and where a point stands on it.
struct Chain {
    items: Vec<Item>,
    positions: BTreeMap<[u8; 32], usize>,
}

impl Chain {
    fn position(&self, point: &Point) -> Option<usize> {
        match point {
            Point::Origin => Some(0),
            Point::Specific(_, hash) => self.positions.get(hash.as_slice()).map(|position| position + 1),
        }
    }

    fn tip(&self, shown: usize) -> chainsync::Tip {
        let last = &self.items[shown - 1];
        chainsync::Tip(point(&last.point), last.height)
    }
}

fn point(point: &wire::Point) -> Point {
    match &point.0 {
        None => Point::Origin,
        Some((slot, hash)) => Point::new(*slot, hash.to_vec()),
    }
}

/// Serves until standard input ends; `swap` shows one block more.
pub(crate) fn run(serve: &Serve) -> anyhow::Result<()> {
    let items = data::chain(serve.source)?;
    let shown = items.len() - serve.hold_back;
    let positions = items
        .iter()
        .enumerate()
        .filter_map(|(position, item)| item.point.0.map(|(_, hash)| (hash, position)))
        .collect();
    let chain = Arc::new(Chain { items, positions });
    let (swap, seen) = watch::channel(shown);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(serve.threads).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let port = listener.local_addr()?.port();
    runtime.spawn(accept(listener, chain.clone(), seen));
    process::say(&Ready {
        port,
        first: chain.items[0].point.to_string(),
        last: chain.items[shown - 1].point.to_string(),
        blocks: shown,
        bytes: chain.items[..shown].iter().map(|item| item.raw.len()).sum(),
    })?;
    for line in std::io::stdin().lock().lines() {
        anyhow::ensure!(line? == "swap", "a server knows `swap` alone");
        let at_ns = process::clock_ns();
        swap.send_modify(|shown| *shown += 1);
        process::say(&Swapped { at_ns })?;
    }
    Ok(())
}

async fn accept(listener: TcpListener, chain: Arc<Chain>, seen: watch::Receiver<usize>) {
    loop {
        let Ok(server) = PeerServer::accept(&listener, wire::MAGIC).await else { continue };
        let PeerServer { plexer, chainsync, blockfetch, keepalive, .. } = server;
        let headers = tokio::spawn(sync_headers(chainsync, chain.clone(), seen.clone()));
        let blocks = tokio::spawn(fetch_blocks(blockfetch, chain.clone()));
        let alive = tokio::spawn(keep_alive(keepalive));
        tokio::spawn(async move {
            let _ = headers.await;
            blocks.abort();
            alive.abort();
            plexer.abort().await;
        });
    }
}

async fn sync_headers(
    mut server: chainsync::N2NServer,
    chain: Arc<Chain>,
    mut seen: watch::Receiver<usize>,
) -> anyhow::Result<()> {
    let mut next = 0;
    let mut back = Some(Point::Origin);
    while let Some(request) = server.recv_while_idle().await? {
        match request {
            chainsync::ClientRequest::Intersect(points) => {
                let tip = chain.tip(*seen.borrow());
                match points.into_iter().find_map(|p| chain.position(&p).map(|at| (p, at))) {
                    Some((found, at)) => {
                        next = at;
                        back = Some(found.clone());
                        server.send_intersect_found(found, tip).await?;
                    }
                    None => server.send_intersect_not_found(tip).await?,
                }
            }
            chainsync::ClientRequest::RequestNext => {
                if let Some(point) = back.take() {
                    let tip = chain.tip(*seen.borrow());
                    server.send_roll_backward(point, tip).await?;
                    continue;
                }
                if next == *seen.borrow_and_update() {
                    server.send_await_reply().await?;
                    seen.wait_for(|shown| *shown > next).await?;
                }
                let item = &chain.items[next];
                let content = chainsync::HeaderContent {
                    variant: item.era,
                    byron_prefix: None,
                    cbor: item.wire[item.header_at..].to_vec(),
                };
                let tip = chain.tip(*seen.borrow());
                server.send_roll_forward(content, tip).await?;
                next += 1;
            }
        }
    }
    Ok(())
}

async fn fetch_blocks(mut server: blockfetch::Server, chain: Arc<Chain>) -> anyhow::Result<()> {
    while let Some(blockfetch::BlockRequest((from, to))) = server.recv_while_idle().await? {
        match (chain.position(&from), chain.position(&to)) {
            (Some(from), Some(to)) if 0 < from && from <= to => {
                server.send_start_batch().await?;
                for item in &chain.items[from - 1..to] {
                    server.send_block(item.raw.clone()).await?;
                }
                server.send_batch_done().await?;
            }
            _ => server.send_no_blocks().await?,
        }
    }
    Ok(())
}

async fn keep_alive(mut server: keepalive::Server) -> anyhow::Result<()> {
    loop {
        server.keepalive_roundtrip().await?;
    }
}
