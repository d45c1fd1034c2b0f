//! What the admin API and the program may ask of a running node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::{Hash, Height, View};
use diffusion::sync::bodies::Mode;
use node::{Command, pool};
use tokio::sync::watch;

use super::Peering;
use crate::clock::Clock;
use crate::logic::Unanswered;
use crate::status::{self, Certified, CertifiedChanges, Count, State, Status};
use crate::{downstream, engine, network};

/// What does not change while a node runs.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) network: String,
    pub(crate) magic: u32,
    pub(crate) upstreams: Vec<String>,
    pub(crate) max_clients: u64,
    pub(crate) downstream: Vec<std::net::SocketAddr>,
    pub(crate) clock: Clock,
    /// The key that this node votes with, where it has one.
    pub(crate) validator: Option<[u8; 32]>,
}

/// The way to ask.
#[derive(Debug, Clone)]
pub struct Insight {
    pub(crate) about: Arc<About>,
    pub(crate) engine: engine::Handle,
    pub(crate) server: Option<downstream::Handle>,
    pub(crate) peering: Peering,
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) reader: store::Reader,
}

/// The node at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The core's own words.
    pub(crate) node: node::Status,
    /// What the engine knows of each upstream's connection.
    pub(crate) dials: Vec<engine::Dial>,
    /// How many blocks stand above the log, on the best chain.
    pub(crate) volatile: u64,
    /// Clients connected.
    pub(crate) clients: u64,
    /// Peers connected.
    pub(crate) peers: status::Peers,
    /// What the network counts.
    pub(crate) network: network::Totals,
    /// Since the start.
    pub(crate) uptime: Duration,
}

impl Insight {
    /// Everything at once; `None` where the engine does not answer.
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        let report = self.engine.report().await?;
        let clients = self.server.as_ref().map_or(0, |server| server.count() as u64);
        let uptime = self.about.clock.now().mono;
        let volatile = self.views.borrow().volatile.len() as u64;
        let (peers, network) = (self.peering.count(), self.peering.network.totals());
        Some(Snapshot { node: report.node, dials: report.dials, volatile, clients, peers, network, uptime })
    }

    /// What the node is doing; `None` where its engine does not answer.
    pub async fn status(&self) -> Option<Status> {
        let snapshot = self.snapshot().await?;
        let (about, node) = (&*self.about, &snapshot.node);
        let known = about.upstreams.len() as u64;
        Some(Status {
            version: env!("CARGO_PKG_VERSION").into(),
            network: about.network.clone(),
            magic: about.magic.into(),
            uptime_s: snapshot.uptime.as_secs(),
            state: snapshot.state(),
            reason: snapshot.reason(),
            hint: snapshot.hint().into(),
            head: node.head.into(),
            irreversible: node.irreversible.into(),
            settled: node.settled,
            volatile: snapshot.volatile,
            upstreams: Count { connected: snapshot.connected_upstreams(), of: known },
            peers: snapshot.peers,
            clients: Count { connected: snapshot.clients, of: about.max_clients },
            downstream: about.downstream.clone(),
            pool: node.pool as u64,
            produced: node.produced,
            checks: node.checks.into(),
            member: node.member.as_ref().map(|member| status::Member::new(member, about.validator)),
        })
    }

    /// The upstreams; `None` where the engine does not answer.
    pub async fn upstreams(&self) -> Option<Vec<status::Upstream>> {
        let snapshot = self.snapshot().await?;
        let known = snapshot.node.upstreams.iter().zip(&self.about.upstreams).zip(&snapshot.dials);
        Some(known.map(|((seen, address), dial)| status::Upstream::new(seen, address, dial)).collect())
    }

    /// The clients and what each is doing.
    pub fn clients(&self) -> Vec<status::Client> {
        let server = self.server.as_ref();
        server.map_or(Vec::new(), |server| server.clients().iter().map(status::Client::from).collect())
    }

    /// The clients that went last, and why.
    pub fn departed(&self) -> Vec<status::Departed> {
        self.server.as_ref().map_or(Vec::new(), downstream::Handle::departed)
    }

    /// The transactions that clients offered.
    pub fn inbox(&self) -> Vec<status::Offered> {
        let inbox = self.server.as_ref().map(|server| server.inbox().list());
        inbox.unwrap_or_default().iter().map(status::Offered::from).collect()
    }

    /// Hands a transaction to the pool and gives its id; `None` where the engine does not answer.
    pub async fn submit(&self, tx: Bytes) -> Option<Result<Hash, pool::Refusal>> {
        self.engine.submit(tx).await
    }

    /// How far a transaction came that was given to this node or reached it, as long as it remembers; `None` where the
    /// engine does not answer.
    pub async fn transaction(&self, id: Hash) -> Option<Option<status::Progress>> {
        self.engine.transaction(id).await
    }

    /// Where the validators of the chain stand; `None` where the engine does not answer, and then `None` where this node
    /// takes no part.
    pub async fn consensus(&self) -> Option<Option<status::Consensus>> {
        let report = self.engine.report().await?;
        Some(report.node.member.as_ref().map(status::Consensus::from))
    }

    /// What each peer has of the chain; `None` where the engine does not answer. A node that follows upstreams has none
    /// to say.
    pub async fn peer_chains(&self) -> Option<Vec<status::PeerChain>> {
        let report = self.engine.report().await?;
        let member = report.node.member.as_ref();
        Some(member.map_or(Vec::new(), |member| member.peers.iter().map(status::PeerChain::from).collect()))
    }

    /// Has the application answer a question in its own encoding ([`Logic::query`](crate::logic::Logic::query)).
    ///
    /// # Errors
    /// When it does not, or there is none.
    pub async fn query(&self, question: Bytes) -> Result<Bytes, Unanswered> {
        self.engine.query(question).await
    }

    /// The header of the newest block that is irreversible by a certificate, and that certificate; `None` where there is
    /// none yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn certified(&self) -> Result<Option<Certified>, store::Error> {
        let reader = self.reader.clone();
        let read = move || -> Result<Option<Certified>, store::Error> {
            let Some(newest) = reader.newest_certificate() else { return Ok(None) };
            let chunk = reader.chunk(newest.position)?;
            Ok(chunk.and_then(|chunk| Certified::new(&chunk, &newest)))
        };
        tokio::task::spawn_blocking(read).await.expect("reading a header does not panic")
    }

    /// The changes of validators that headers from this height on announce, with what shows them; a page.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn certified_changes(&self, from: Height) -> Result<CertifiedChanges, store::Error> {
        let reader = self.reader.clone();
        let read = move || CertifiedChanges::read(&reader, from);
        tokio::task::spawn_blocking(read).await.expect("reading headers does not panic")
    }

    /// Has the node carry out an order; what was done, or why not. `None` where the engine does not answer.
    pub async fn order(&self, command: Command) -> Option<Result<String, String>> {
        let before = match &command {
            Command::Blacklist(id) => Some(Command::Allow(*id)),
            Command::Mode(peer, _) => Some(Command::Mode(*peer, Mode::Auto)),
            Command::Allow(_) => None,
        };
        if let Err(refusal) = self.peering.keep(command.clone()).await {
            return Some(Err(refusal.to_string()));
        }
        let answer = self.engine.command(command).await;
        if let Some((Err(_), before)) = answer.as_ref().zip(before)
            && let Err(refusal) = self.peering.keep(before).await
        {
            tracing::warn!("an order that was refused comes up again with the next start: {refusal}");
        }
        answer
    }
}

impl Snapshot {
    /// How many upstreams answer.
    pub(crate) fn connected_upstreams(&self) -> u64 {
        self.node.upstreams.iter().filter(|upstream| is_connected(upstream)).count() as u64
    }

    /// What the node is doing, as operators see it.
    pub(crate) fn state(&self) -> State {
        match &self.node.state {
            node::status::State::Starting => State::Starting,
            node::status::State::NoUpstreams => State::NoUpstreams,
            node::status::State::NoPeers => State::NoPeers,
            node::status::State::Syncing { percent, left } => {
                State::Syncing { percent: *percent, left_s: left.map(|left| left.as_secs()) }
            }
            node::status::State::CaughtUp => State::CaughtUp,
            node::status::State::Stalled { .. } => State::Stalled,
            node::status::State::Validating => State::Validating,
            node::status::State::Undecided { .. } => State::Undecided,
            node::status::State::Failed { .. } => State::Failed,
        }
    }

    /// Whether the node's clients get what it promises them.
    pub(crate) fn is_ready(&self) -> bool {
        self.state().is_ready(self.node.upstreams.len() as u64)
    }

    /// What to do about it; empty where there is nothing to do.
    pub(crate) fn hint(&self) -> &'static str {
        match &self.node.state {
            node::status::State::NoUpstreams if self.node.upstreams.is_empty() => {
                "give --upstream HOST:PORT to follow the chain further"
            }
            state => state.hint().unwrap_or_default(),
        }
    }

    /// Why it is doing so.
    pub(crate) fn reason(&self) -> String {
        let (node, known) = (&self.node, self.node.upstreams.len());
        let head = node.head.height;
        let claimed = node.best_claimed.map_or(head, |tip| tip.height);
        match &node.state {
            node::status::State::Starting => "it has just been started".into(),
            node::status::State::NoUpstreams if known == 0 => {
                "none is configured: what is here is served, and no more".into()
            }
            node::status::State::NoUpstreams => format!("none of {known} is connected"),
            node::status::State::NoPeers => "no peer is connected".into(),
            node::status::State::Validating => format!("at height {head}, voting"),
            node::status::State::Undecided { idle, waiting } => {
                format!("at height {head}, nothing was decided for {} s: {waiting}", idle.as_secs())
            }
            node::status::State::Syncing { .. } => format!("at height {head} of {claimed}"),
            node::status::State::CaughtUp => format!("at height {head}, as its upstreams are"),
            node::status::State::Stalled { idle } => {
                format!("at height {head} of {claimed}, and nothing has come for {} s", idle.as_secs())
            }
            node::status::State::Failed { error } => error.clone(),
        }
    }
}

/// Whether the upstream's machine has greeted it.
fn is_connected(upstream: &node::status::Upstream) -> bool {
    !["waiting", "connecting"].contains(&upstream.phase)
}
