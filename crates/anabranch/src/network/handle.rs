//! The handle to a network: what an application does with it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use link::budget::Budget;
use link::message::Kind;
use link::reason::Reason;
use link::{Identity, PeerId, Protocol};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{Address, PeerAddress};
use super::clock::Clock;
use super::config::Config;
use super::error::{Error, PeerError, RequestError, SendError};
use super::heap;
use super::line::Line;
use super::listen::{self, Listener};
use super::pool::{Gate, Pool};
use super::requests;
use super::shared::{Counters, Shared};
use super::sink::{Queue, Reply, Sink};
use super::status::{DepartedPeers, KnownPeer, PeerStatus, Totals};

/// After a stop's time is over, tasks have this long to notice: a guess.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// A running network. The last clone that is dropped stops it.
#[derive(Clone)]
pub struct Network {
    running: Arc<Running>,
}

struct Running {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
}

impl Network {
    /// Starts a network on the runtime that calls this. What comes in comes out of the sink; `rng` is where all
    /// randomness comes from, and in production is seeded by the system.
    ///
    /// # Errors
    /// When the settings contradict each other, or a listener cannot be used.
    pub fn start(
        config: Config,
        identity: Identity,
        gate: Arc<dyn Gate>,
        listeners: Vec<Listener>,
        mut rng: ChaCha20Rng,
    ) -> Result<(Self, Sink), Error> {
        config.validate()?;
        heap::keep_freed();
        let config = Arc::new(config);
        let clock = Clock::start();
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let pool_rng = ChaCha20Rng::from_seed(seed);
        let deadline = config.link.handshake_timeout;
        let pool = Pool::new(identity.peer_id(), config.clone(), deadline, clock, gate, pool_rng);
        let queue = Arc::<Queue>::default();
        let shared = Arc::new(Shared {
            identity,
            clock,
            pool,
            queue: queue.clone(),
            budget: Budget::with_floors(config.budget_bytes.get(), config.floors_bytes()),
            counters: Counters::default(),
            tasks: TaskTracker::new(),
            handshakes: TaskTracker::new(),
            stop: CancellationToken::new(),
            rng: Mutex::new(rng),
            config,
        });
        let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
        for listener in listeners {
            let (accepting, sharing) = (listener.start()?, shared.clone());
            let take = move |bearer, remote| sharing.accept(bearer, remote);
            shared.tasks.spawn(listen::run(accepting, shared.stop.clone(), take));
        }
        Ok((Self { running: Arc::new(Running { shared, addresses }) }, Sink::new(queue)))
    }

    /// Who this node is.
    pub fn peer_id(&self) -> PeerId {
        self.shared().identity.peer_id()
    }

    /// Where it listens: of a place with port 0, the port that the system chose.
    pub fn local_addrs(&self) -> &[Address] {
        &self.running.addresses
    }

    /// Sends a message, as soon as there is room. Cancel-safe: it is queued whole or not at all.
    ///
    /// # Errors
    /// When no connection with the peer is open, or the peer does not take such a message.
    pub async fn send(&self, peer: PeerId, channel: Protocol, body: Bytes) -> Result<(), SendError> {
        self.line(peer)?.send(channel, Kind::Note, body).await
    }

    /// Sends a message, if there is room now.
    ///
    /// # Errors
    /// When there is none, no connection with the peer is open, or it does not take such a message.
    pub fn try_send(&self, peer: PeerId, channel: Protocol, body: Bytes) -> Result<(), SendError> {
        self.line(peer)?.try_send(channel, Kind::Note, body)
    }

    /// Sends a question and waits for its answer, for `deadline` at most. An answer that comes later is counted
    /// and dropped.
    ///
    /// # Errors
    /// When the question cannot be sent, or there is no answer in time.
    pub async fn request(
        &self,
        peer: PeerId,
        channel: Protocol,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Reply, RequestError> {
        let line = self.line(peer)?;
        let mut asked = line.requests.ask(self.shared().config.max_requests).map_err(|why| match why {
            requests::Refused::TooMany => RequestError::TooMany,
            requests::Refused::Closed => RequestError::Unsent(SendError::Ending),
        })?;
        let question = async {
            line.send(channel, Kind::Request(asked.number), body).await?;
            (&mut asked.answer).await.map_err(|_| RequestError::Ended)
        };
        match tokio::time::timeout(deadline, question).await {
            Ok(answered) => answered,
            Err(_) => Err(RequestError::Late { after: deadline }),
        }
    }

    /// Sends a message to every peer that has room for it now; how many took it. It never waits.
    pub fn broadcast(&self, channel: Protocol, body: &Bytes) -> usize {
        let lines = self.shared().pool.all_open();
        lines.iter().filter(|line| line.try_send(channel, Kind::Note, body.clone()).is_ok()).count()
    }

    /// Has a peer pinged now.
    ///
    /// # Errors
    /// When no connection with it is open.
    pub fn ping(&self, peer: PeerId) -> Result<(), SendError> {
        self.line(peer)?.socket.ping();
        Ok(())
    }

    /// Adds a peer, or changes its address: it is dialled until it is connected, and again when that ends.
    ///
    /// # Errors
    /// When it is this node, or there is room for no more.
    pub fn add(&self, peer: PeerAddress) -> Result<(), PeerError> {
        self.know(peer.key, Some(peer.address), None)
    }

    /// Gives a peer a reserved place; it is never given up. Where there is no address, it is waited for.
    ///
    /// # Errors
    /// When it is this node, or there is room for no more.
    pub fn pin(&self, peer: PeerId, address: Option<Address>) -> Result<(), PeerError> {
        self.know(peer, address, Some(true))?;
        self.tell_pinned(peer);
        Ok(())
    }

    /// Takes a peer's reserved place away; whether it had one.
    pub fn unpin(&self, peer: PeerId) -> bool {
        let was_pinned = self.shared().pool.unpin(peer);
        self.tell_pinned(peer);
        was_pinned
    }

    /// Who drives the network hears it at once, not with the next link.
    fn tell_pinned(&self, peer: PeerId) {
        let shared = self.shared();
        if let Some(id) = shared.pool.number_of(peer) {
            shared.queue.note_pinned(id);
        }
    }

    /// Forgets a peer and closes the connection with it; whether there was either.
    pub fn drop_peer(&self, peer: PeerId) -> bool {
        let (was_known, lines) = self.shared().pool.forget(peer);
        lines.iter().for_each(|line| line.socket.close(Reason::Dropped));
        was_known || !lines.is_empty()
    }

    /// Lets a peer in no more and closes the connection with it; whether that is new.
    ///
    /// # Errors
    /// When it is this node, or there is room for no more.
    pub fn ban(&self, peer: PeerId) -> Result<bool, PeerError> {
        self.is_other(peer)?;
        let (is_new, lines) = self.shared().pool.ban(peer)?;
        lines.iter().for_each(|line| line.socket.close(Reason::Banned));
        Ok(is_new)
    }

    /// Lets a peer in again, be it banned or cooled off; whether it was either.
    pub fn unban(&self, peer: PeerId) -> bool {
        let was_banned = self.shared().pool.unban(peer);
        self.shared().redial(peer);
        was_banned
    }

    /// Dials once, and says how that went. The peer is not added.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect(&self, peer: &PeerAddress) -> Result<(), Reason> {
        self.shared().dial(peer.key, &peer.address).await
    }

    /// The connections, those in their handshake included.
    pub fn peers(&self) -> Vec<PeerStatus> {
        // Sockets are looked at without the pool's lock.
        let seen = self.shared().pool.each(PeerStatus::of_entry);
        let now = self.shared().clock.now().mono;
        seen.into_iter().map(|(status, line)| status.with(line.as_deref(), now)).collect()
    }

    /// The connections that are over, and how many ended for which reason.
    pub fn departed(&self) -> DepartedPeers {
        self.shared().pool.departed()
    }

    /// The peers that this node was told of.
    pub fn known(&self) -> Vec<KnownPeer> {
        self.shared().pool.known()
    }

    /// Those who are banned.
    pub fn banned(&self) -> Vec<PeerId> {
        self.shared().pool.banned()
    }

    /// Whether a connection with a peer is open.
    pub fn is_connected(&self, peer: PeerId) -> bool {
        self.shared().pool.open_with(peer).is_some()
    }

    /// Changes whenever somebody came, went, or was refused.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared().pool.changes()
    }

    /// What is counted for all connections together.
    pub fn totals(&self) -> Totals {
        let shared = self.shared();
        let (connections, handshakes) = shared.pool.counts();
        Totals {
            connections,
            open: shared.pool.all_open().len(),
            handshakes,
            tasks: shared.tasks.len(),
            handshake_tasks: shared.handshakes.len(),
            late_replies: shared.counters.late.load(Ordering::Relaxed),
            unknown_replies: shared.counters.unasked.load(Ordering::Relaxed),
            waiting_deliveries: shared.queue.len(),
            held_bytes: shared.budget.used_bytes(),
            budget_bytes: shared.budget.total_bytes(),
        }
    }

    /// Lets nobody in any more, sends what is queued and the reason, and returns when all connections are gone,
    /// or their time for that is over.
    pub async fn stop(&self) {
        let shared = self.shared();
        shared.pool.stop();
        shared.stop.cancel();
        let half = shared.config.drain / 2;
        let mut closing = JoinSet::new();
        for line in shared.pool.all_sockets() {
            closing.spawn(async move {
                let _ = tokio::time::timeout(half, line.socket.flushed()).await;
                line.socket.close(Reason::Stopping);
            });
        }
        shared.tasks.close();
        shared.handshakes.close();
        let all = async {
            closing.join_all().await;
            shared.handshakes.wait().await;
            shared.tasks.wait().await;
        };
        if tokio::time::timeout(shared.config.drain, all).await.is_err() {
            for line in shared.pool.all_sockets() {
                line.socket.abort(Reason::Stopping);
            }
            let _ = tokio::time::timeout(LAST_MOMENT, shared.tasks.wait()).await;
        }
        shared.queue.close();
    }

    /// Ends all connections at once, without a word to anybody, and returns when their tasks have ended.
    pub async fn abort(&self) {
        let shared = self.shared();
        shared.pool.stop();
        shared.stop.cancel();
        shared.tasks.close();
        shared.handshakes.close();
        for line in shared.pool.all_sockets() {
            line.socket.abort(Reason::Stopping);
        }
        let all = async {
            shared.handshakes.wait().await;
            shared.tasks.wait().await;
        };
        let _ = tokio::time::timeout(LAST_MOMENT, all).await;
        shared.queue.close();
    }

    fn know(&self, peer: PeerId, address: Option<Address>, pinned: Option<bool>) -> Result<(), PeerError> {
        self.is_other(peer)?;
        self.shared().pool.add(peer, address, pinned)?;
        self.shared().redial(peer);
        Ok(())
    }

    fn is_other(&self, peer: PeerId) -> Result<(), PeerError> {
        if peer == self.peer_id() { Err(PeerError::Ourselves) } else { Ok(()) }
    }

    fn line(&self, peer: PeerId) -> Result<Arc<Line>, SendError> {
        self.shared().pool.open_with(peer).ok_or(SendError::NotConnected { peer })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.running.shared
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.pool.stop();
        self.shared.stop.cancel();
        for line in self.shared.pool.all_sockets() {
            line.socket.close(Reason::Stopping);
        }
        self.shared.queue.close();
    }
}
