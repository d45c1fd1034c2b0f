//! A whole node, running: store, engine, server for clients, admin API.
//!
//! [`start`] opens and binds everything, or says what is in the way; [`Running`] is then all there is to
//! hold. Stopping is graceful: clients are drained, what was handed to the store is made durable, the lock of
//! the data directory is released.

mod insight;
mod member;
mod owned;
mod parts;
mod peering;
mod probing;
mod settings;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chain::{Cursor, View};
use link::PeerId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use crate::engine::Submission;
pub use insight::Insight;
pub(crate) use insight::Snapshot;
pub(crate) use owned::Owned;
pub use parts::{Application, Role};
pub(crate) use peering::{Order, Peering, Refusal};
pub use probing::{passing_identity, probe};

use crate::clock::Clock;
use crate::config::{AdminAddress, Config};
use crate::network::{self, PeerAddress};
use crate::network_id::NetworkId;
use crate::peers::{book, key_file};
use crate::{admin, downstream, engine};

/// How long the admin API may take to finish what it was asked.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why a node does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The data directory's first block is not this network's, though its magic is.
    #[error(
        "{} holds another chain with the magic of `{network}` ({reason}): give another data directory, or the \
         network file of this one", data_dir.display()
    )]
    OtherChain {
        /// The directory.
        data_dir: PathBuf,
        /// The network that was asked for.
        network: String,
        /// Why its first block cannot be this network's.
        reason: Box<chain::Reason>,
    },
    /// The consensus journal is another chain's.
    #[error(
        "the consensus journal in {} is another chain's: give the data directory of this one, or, if this node's key \
         never voted on this chain, remove the journal with `anabranch db forget-journal`", data_dir.display()
    )]
    OtherJournal {
        /// The directory.
        data_dir: PathBuf,
    },
    /// Clients cannot be served at an address.
    #[error("cannot listen on {address} for clients: {source}")]
    Downstream {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The admin API cannot listen.
    #[error("cannot listen on {address} for the admin API: {source}")]
    Admin {
        /// Where.
        address: AdminAddress,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no key to prove who this node is with.
    #[error(transparent)]
    Identity(#[from] key_file::Error),
    /// The configuration names this node as its own peer.
    #[error("`peers.dial`: {peer} has this node's own key: take it out")]
    OwnKey {
        /// What it names.
        peer: PeerAddress,
    },
    /// Peers cannot be listened for.
    #[error(transparent)]
    Peers(#[from] network::BindError),
    /// What was said of peers before cannot be read.
    #[error(transparent)]
    Book(#[from] book::Error),
    /// The network does not start with these settings.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// More peers are known than there is room for, or this node is among them.
    #[error(transparent)]
    Known(#[from] network::PeerError),
    /// What the node is there for cannot be.
    #[error(transparent)]
    Role(#[from] node::config::Invalid),
    /// The clock of this machine cannot be right.
    #[error("the clock of this machine is {} s behind {than}: set it, then start again", behind.as_secs())]
    Clock {
        /// By how much.
        behind: Duration,
        /// Behind what.
        than: &'static str,
    },
    /// The application cannot be opened.
    #[error("{reason}")]
    ApplicationData {
        /// Why, in its words.
        reason: String,
    },
    /// The application does not say where it stands.
    #[error("the application cannot start: {reason}")]
    Application {
        /// Why, in its words.
        reason: String,
    },
    /// It ran, and then a write failed.
    #[error("the node had failed: {error}")]
    Failed {
        /// The system's word.
        error: String,
    },
    /// The system gave no thread, no randomness or no limit.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// A node that runs until it is stopped.
#[derive(Debug)]
pub struct Running {
    insight: Insight,
    admin: AdminAddress,
    recovered: Recovered,
    views: watch::Receiver<Arc<View>>,
    found: Cursor,
    stop: CancellationToken,
    server: Option<downstream::Handle>,
    engine: Owned<()>,
    api: Owned<std::io::Result<()>>,
}

/// What was found in the data directory.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// How many blocks the log holds.
    pub settled: u64,
    /// The last of them.
    pub irreversible: chain::Tip,
    /// How many blocks above the log came back.
    pub forks: usize,
    /// What had to be cut off and why, in the store's words.
    pub cuts: Vec<String>,
}

/// Opens the data directory, binds the listeners and starts everything.
///
/// # Errors
/// When something is in the way; then nothing was started and nothing damaged.
pub async fn start(
    config: Config,
    network: NetworkId,
    data_dir: PathBuf,
    role: Role,
) -> Result<Running, Error> {
    config.validate()?;
    parts::raise_open_files(&config);
    let clock = Clock::start();
    let validator = role.validator();
    let opened = parts::open(&config, &network, data_dir.clone(), role, clock.now().wall).await?;
    let listeners = parts::listen(&config)?;
    let addresses = listeners.iter().map(|(address, _)| *address).collect();
    let admin = config.admin.address(&data_dir);
    let bound = admin::bind(&admin).await;
    let bound = bound.map_err(|source| Error::Admin { address: admin, source })?;
    let admin = bound.address()?;
    let (peering, sink) = peering::start(&config, &network, opened.book, opened.identity).await?;

    let (views, watched) = watch::channel(Arc::new(View::empty()));
    let about = Arc::new(parts::about(&config, &network, addresses, clock, validator));
    let parts = engine::Parts {
        node: opened.node,
        format: network.format.clone(),
        store: opened.store,
        book: peering.book.clone(),
        reader: opened.reader.clone(),
        clock,
        upstreams: config.upstream.addresses.clone(),
        speech: parts::speech(&config, &network),
        check_threads: parts::check_threads(&config),
        views,
        sink,
        logic: opened.logic.map(|logic| (logic, member::asking(&config.application))),
    };
    let (engine, handle, found) = engine::start(parts)?;
    let reader = opened.reader.clone();
    let server = parts::serve(listeners, &config, &network, watched.clone(), opened.reader)?;
    let insight =
        Insight { about, engine: handle, server: server.clone(), peering, views: watched.clone(), reader };
    let stop = CancellationToken::new();
    let api = admin::Api { insight: insight.clone(), config: Arc::new(config), stop: stop.clone() };
    let api = Owned::spawn(|ended| admin::serve(bound, api, ended));
    let recovered = opened.recovered;
    Ok(Running { insight, admin, recovered, views: watched, found, stop, server, engine, api })
}

impl Running {
    /// The way to ask what the node is doing.
    pub fn insight(&self) -> &Insight {
        &self.insight
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> &AdminAddress {
        &self.admin
    }

    /// Where clients are served.
    pub fn downstream(&self) -> &[SocketAddr] {
        &self.insight.about.downstream
    }

    /// Who this node is to its peers.
    pub fn peer_id(&self) -> PeerId {
        self.insight.peering.network.peer_id()
    }

    /// Where it listens for peers.
    pub fn listens(&self) -> &[network::Address] {
        self.insight.peering.network.local_addrs()
    }

    /// What was found in the data directory.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The other nodes that it is linked with: who is there ([`network::Network::peers`]), and when that changes
    /// ([`network::Network::changes`]).
    pub fn network(&self) -> &network::Network {
        &self.insight.peering.network
    }

    /// Hands a transaction to the pool, and says how far it comes: offered to n, asked for by n, final in block h. `None`
    /// where the engine does not answer.
    pub async fn submit(&self, tx: bytes::Bytes) -> Option<Result<Submission, node::pool::Refusal>> {
        self.insight.engine.watch(tx).await
    }

    /// The chain as it is, and as it changes.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Where the chain that was found in the data directory ends: what comes after it has come since.
    pub fn found(&self) -> Cursor {
        self.found
    }

    /// Cancelled when the node shall stop: by its holder, or over the admin API.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends the node at once: no peer and no client is told, nothing is drained. What was handed to the store is made
    /// durable, so that the data directory can be used again when this returns.
    pub async fn kill(self) {
        self.engine.stop().await.expect("the engine panicked, and has said why");
        self.api.stop_within(Duration::ZERO).await;
        self.insight.peering.network.abort().await;
    }

    /// Waits until the node shall stop, then stops it gracefully.
    ///
    /// # Errors
    /// When the node had failed before.
    pub async fn stopped(mut self) -> Result<(), Error> {
        tokio::select! {
            () = self.stop.cancelled() => {}
            ended = self.engine.ended() => {
                ended.expect("the engine panicked, and has said why");
                unreachable!("the engine does not end by itself");
            }
        }
        let network = self.insight.peering.network.clone();
        let leave = async { network.stop().await };
        let drain = async {
            if let Some(server) = self.server {
                server.drain().await;
            }
        };
        tokio::join!(leave, drain);
        let report = self.insight.engine.report().await;
        self.engine.stop().await.expect("the engine panicked, and has said why");
        self.api.stop_within(LAST_ANSWERS).await;
        match report.map(|report| report.node.state) {
            Some(node::status::State::Failed { error }) => Err(Error::Failed { error }),
            _ => Ok(()),
        }
    }
}
