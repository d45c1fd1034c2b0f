//! One node of a devnet: started, watched, killed, started again.

use std::net::SocketAddr;
use std::sync::Arc;

use anabranch::chain::view::{Cursor, Entry, Step};
use anabranch::chain::{Format, Hash, View};
use anabranch::config::Config;
use anabranch::founding::Place;
use anabranch::network::{self, PeerAddress};
use anabranch::network_id::NetworkId;
use anabranch::node::pool::Refusal;
use anabranch::peers::Listen;
use anabranch::runtime::{Application, Role, Running};
use anabranch_cli::kv::Kv;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::commands::serve;
use crate::exit::Failure;
use crate::output::Output;

/// What a node has to tell.
#[derive(Debug)]
pub(super) enum News {
    /// A block that it has come to see as irreversible.
    Block(Arc<Entry>),
    /// Somebody asked it to stop, over its admin API.
    Stop(String),
}

/// One node.
pub(super) struct Node {
    pub(super) place: Place,
    config: Config,
    /// Where it listens for peers, from its first start on: it is found there again.
    pub(super) address: Option<network::Address>,
    life: Option<Life>,
}

/// A node that runs.
struct Life {
    running: Running,
    watching: JoinHandle<()>,
}

impl Node {
    /// One that does not run yet.
    pub(super) fn new(place: Place, mut config: Config, downstream: SocketAddr) -> Self {
        config.data_dir = Some(place.dir.clone());
        config.downstream.listen = vec![downstream];
        Self { place, config, address: None, life: None }
    }

    pub(super) fn is_running(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn running(&self) -> Option<&Running> {
        self.life.as_ref().map(|life| &life.running)
    }

    /// Starts it; it links with these peers.
    pub(super) async fn start(
        &mut self,
        network: NetworkId,
        peers: Vec<PeerAddress>,
        news: mpsc::Sender<News>,
        output: Output,
    ) -> Result<(), Failure> {
        let Format::Native(params) = &network.format else { unreachable!("a devnet is native") };
        let (data_dir, params) = (self.place.dir.clone(), params.clone());
        let mut config = self.config.clone();
        let every = config.application.snapshot_every;
        let kv =
            Application::later(move || Ok(Arc::new(Kv::open_in(&data_dir, params)?.with_snapshots(every))));
        let listen = self.address.as_ref().map_or(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), listen);
        config.peers.listen = vec![listen];
        config.peers.dial = peers;
        let role = Role::Member { key: self.place.key.clone(), logic: Some(kv) };
        let running =
            serve::start_one(config, network, &self.place.dir, role, Some(&self.place.name), output).await?;
        self.address = running.listens().first().cloned();
        let (views, found, stop) = (running.views(), running.found(), running.stop_token());
        let name = self.place.name.clone();
        let watching = tokio::spawn(async move {
            tokio::select! {
                () = watch(views, found, &news) => {}
                // Fails when the devnet is stopping.
                () = stop.cancelled() => drop(news.send(News::Stop(name)).await),
            }
        });
        self.life = Some(Life { running, watching });
        Ok(())
    }

    /// Ends it at once, as a crash does; whether it ran.
    pub(super) async fn kill(&mut self) -> bool {
        let Some(Life { running, watching }) = self.life.take() else { return false };
        watching.abort();
        running.kill().await;
        true
    }

    /// Ends it gracefully.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let Some(Life { running, watching }) = self.life.take() else { return Ok(()) };
        running.stop_token().cancel();
        let ended = running.stopped().await;
        watching.abort();
        ended.map_err(serve::in_the_way)
    }

    /// Hands it a transaction; `None` where it does not run or answer.
    pub(super) async fn submit(&self, tx: Bytes) -> Option<Result<Hash, Refusal>> {
        self.running()?.insight().submit(tx).await
    }
}

fn listen(address: &network::Address) -> Listen {
    match address {
        network::Address::Tcp { host, port } => {
            let ip = host.parse().unwrap_or(std::net::IpAddr::from([127, 0, 0, 1]));
            Listen::Tcp(SocketAddr::new(ip, *port))
        }
        network::Address::Unix(path) => Listen::Unix(path.clone()),
        network::Address::Pipe(_) => unreachable!("a node listens on sockets"),
    }
}

/// Tells of each block that readers may see after the cursor.
async fn watch(mut views: watch::Receiver<Arc<View>>, mut cursor: Cursor, news: &mpsc::Sender<News>) {
    loop {
        let view = views.borrow_and_update().clone();
        while let Some(entry) = next(&view, &mut cursor) {
            if news.send(News::Block(entry)).await.is_err() {
                return;
            }
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}

/// The next block after the cursor. What is irreversible never rolls back.
fn next(view: &View, cursor: &mut Cursor) -> Option<Arc<Entry>> {
    match view.next(cursor) {
        Step::Forward(entry) => {
            *cursor = view.after(entry);
            Some(entry.clone())
        }
        Step::AtTip => None,
        // So many blocks at once that the view holds only the newest: another node shows the others, or nobody does.
        Step::Settled(_) | Step::CheckLog(_) | Step::Backward(_) | Step::Lost => {
            *cursor = view.tip_cursor();
            None
        }
    }
}
