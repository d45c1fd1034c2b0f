//! The supervisor, the herald, the sweep, and the handle to all of it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chain::View;
use ouroboros::handshake;
use ouroboros::server::{self, Client};
use store::{Files, Reader};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Config;
use super::accept::{self, Accepted, HAND_OVER};
use super::admit::{Places, Verdict};
use super::clock::Clock;
use super::connection::{self, Connection};
use super::inbox::Inbox;
use super::loads::Loads;
use super::place::{DRAIN, Departed, Listed, Place, ROOM, STOP, TICK, Totals};

/// How often deadlines are looked at. The shortest is 10 s: a second late is near enough.
const SWEEP: Duration = Duration::from_secs(1);

/// Connections that wait for a place, and how often they are looked at.
const MAX_WAITING: usize = 64;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// After a drain's time is over, clients have this long to notice: a guess.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The server for clients.
#[derive(Debug)]
pub struct Server;

/// What all tasks of the server share.
#[derive(Debug)]
pub(super) struct Shared<F: Files> {
    pub(super) id: u64,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) places: Arc<Places>,
    pub(super) log: Reader<F>,
    pub(super) loads: Arc<Loads>,
    pub(super) inbox: Arc<Inbox>,
    /// Whose turn it is to have the log searched for many points.
    pub(super) searches: Arc<Semaphore>,
    /// The epoch of the newest view.
    pub(super) epoch: AtomicU64,
    views: watch::Receiver<Arc<View>>,
    protocols: Arc<server::Config>,
}

impl<F: Files> Shared<F> {
    /// The newest view, which is mostly the one that the thread had at hand.
    pub(super) fn newest(&self, at_hand: Option<(u64, Arc<View>)>) -> Arc<View> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        match at_hand {
            Some((id, view)) if id == self.id && view.epoch == epoch => view,
            _ => self.views.borrow().clone(),
        }
    }
}

/// A running server. The last clone that is dropped stops it.
#[derive(Debug, Clone)]
pub struct Handle {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    addresses: Vec<SocketAddr>,
    config: Config,
    clock: Clock,
    places: Arc<Places>,
    inbox: Arc<Inbox>,
    tasks: TaskTracker,
    clients: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    /// Serves on these listeners, on the runtime that calls this. `views` is where the node publishes, `log`
    /// must hold what a view calls settled, and transactions that clients offer go to `inbox`.
    pub fn start<F: Files>(
        listeners: Vec<TcpListener>,
        config: Config,
        views: watch::Receiver<Arc<View>>,
        log: Reader<F>,
        inbox: Arc<Inbox>,
    ) -> io::Result<Handle> {
        static SERVERS: AtomicU64 = AtomicU64::new(0);
        let places = Arc::<Places>::default();
        let offer = handshake::Offer::new(config.magic, !config.shared_peers.is_empty());
        let epoch = AtomicU64::new(views.borrow().epoch);
        let clock = Clock::start();
        let shared = Arc::new(Shared {
            id: SERVERS.fetch_add(1, Ordering::Relaxed),
            config: config.clone(),
            clock,
            places: places.clone(),
            log,
            loads: Arc::default(),
            inbox: inbox.clone(),
            searches: Arc::new(Semaphore::new(1)),
            epoch,
            views: views.clone(),
            protocols: Arc::new(server::Config { offer }),
        });
        let (tasks, clients, stop) = (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
        let (to, accepted) = mpsc::channel(HAND_OVER);
        let mut addresses = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            addresses.push(listener.local_addr()?);
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tasks.spawn(accept::run(listener, to.clone(), stop.clone()));
        }
        tasks.spawn(supervise(shared.clone(), accepted, clients.clone(), stop.clone()));
        tasks.spawn(herald(shared.clone(), views, stop.clone()));
        tasks.spawn(sweep(shared, stop.clone()));
        tasks.close();
        let running = Running { addresses, config, clock, places, inbox, tasks, clients, stop };
        Ok(Handle { running: Arc::new(running) })
    }
}

impl Handle {
    /// Where it listens first.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.running.addresses.first().copied()
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.running.addresses
    }

    /// The clients, and what each is doing.
    pub fn clients(&self) -> Vec<Listed> {
        let now = self.running.clock.now().mono;
        let mut places = Vec::new();
        self.running.places.each(|place| places.push(place.clone()));
        places.iter().map(|place| listed(place, now)).collect()
    }

    /// How many clients there are.
    pub fn count(&self) -> usize {
        self.running.places.len()
    }

    /// The clients that went last, and why; the last one first.
    pub fn departed(&self) -> Vec<Departed> {
        self.running.places.departed(self.running.clock.now().mono)
    }

    /// What counts towards [`Config::max_held_bytes`] at this moment.
    pub fn held_bytes(&self) -> usize {
        self.running.places.held.load(Ordering::Relaxed)
    }

    /// What has happened since the start.
    pub fn totals(&self) -> Totals {
        self.running.places.totals()
    }

    /// The transactions that clients offered.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.running.inbox
    }

    /// Accepts no more clients, lets those connected finish what they asked for, and returns when the last is
    /// gone or has had the time for it.
    pub async fn drain(&self) {
        let Running { config, places, tasks, clients, stop, .. } = &*self.running;
        stop.cancel();
        tasks.wait().await;
        clients.close();
        places.each(|place| place.tell(DRAIN));
        if tokio::time::timeout(config.drain, clients.wait()).await.is_err() {
            places.each(|place| place.tell(STOP));
            let _ = tokio::time::timeout(LAST_MOMENT, clients.wait()).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.places.each(|place| place.tell(STOP));
    }
}

fn listed(place: &Place, now: Duration) -> Listed {
    let seen = place.lock();
    Listed {
        id: place.id,
        address: place.peer,
        connected_s: now.saturating_sub(place.since).as_secs(),
        silent_s: now.saturating_sub(place.heard()).as_secs(),
        received_bytes: seen.received,
        sent_bytes: seen.sent,
        blocked: seen.blocked.is_some(),
        status: seen.client.status(),
    }
}

/// Gives places to connections, and starts their tasks.
async fn supervise<F: Files>(
    shared: Arc<Shared<F>>,
    mut accepted: mpsc::Receiver<Accepted>,
    clients: TaskTracker,
    stop: CancellationToken,
) {
    let mut waiting: Vec<(Accepted, Instant)> = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            connection = accepted.recv() => {
                let Some(connection) = connection else { return };
                if let Some(connection) = admit(&shared, connection, &clients) {
                    wait_for_place(&shared, &mut waiting, connection);
                }
            }
            () = tokio::time::sleep(LOOK_AGAIN), if !waiting.is_empty() => {
                for (connection, until) in std::mem::take(&mut waiting) {
                    match admit(&shared, connection, &clients) {
                        Some(connection) if Instant::now() < until => waiting.push((connection, until)),
                        Some(_) => shared.places.refuse(),
                        None => {}
                    }
                }
            }
        }
    }
}

/// Keeps a connection until a place may have become free: that of a dying one is soon silent for long enough.
fn wait_for_place<F: Files>(
    shared: &Shared<F>,
    waiting: &mut Vec<(Accepted, Instant)>,
    connection: Accepted,
) {
    if waiting.len() == MAX_WAITING {
        shared.places.refuse();
        return;
    }
    let until = Instant::now() + shared.config.silent_after + LOOK_AGAIN;
    waiting.push((connection, until));
}

/// Starts a client's task, or hands the connection back where there is no place for it now.
fn admit<F: Files>(
    shared: &Arc<Shared<F>>,
    (stream, peer): Accepted,
    clients: &TaskTracker,
) -> Option<Accepted> {
    let now = shared.clock.now();
    let verdict = shared.places.admit(&shared.config, peer, now.mono, |id| {
        Place::new(id, peer, now.mono, Client::new(shared.protocols.clone(), now))
    });
    match verdict {
        Verdict::Admitted(place) => {
            // A frame is a whole answer: waiting for more to send with it only delays it. Where the option is
            // refused, the connection is broken, and its task will see that.
            let _ = stream.set_nodelay(true);
            clients.spawn(Connection::new(shared.clone(), place, stream));
            None
        }
        Verdict::Full => Some((stream, peer)),
    }
}

/// Wakes those who wait at the tip when a view is published.
async fn herald<F: Files>(
    shared: Arc<Shared<F>>,
    mut views: watch::Receiver<Arc<View>>,
    stop: CancellationToken,
) {
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = views.changed() => changed,
        };
        if changed.is_err() {
            // The node is gone; clients are still served what there is.
            return;
        }
        let epoch = views.borrow_and_update().epoch;
        shared.epoch.store(epoch, Ordering::SeqCst);
        shared.places.each(|place| {
            if place.waits.load(Ordering::SeqCst) {
                place.wake();
            }
        });
    }
}

/// Looks after what only time brings: deadlines, clients that take nothing, room in the inbox.
async fn sweep<F: Files>(shared: Arc<Shared<F>>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = shared.clock.now().mono;
        let has_room = shared.inbox.has_room();
        shared.places.each(|place| {
            let seen = place.lock();
            let tick = if connection::is_due(&seen, now) { TICK } else { 0 };
            let room = if has_room && seen.client.wants_inbox_room() { ROOM } else { 0 };
            drop(seen);
            if tick | room != 0 {
                place.tell(tick | room);
            }
        });
    }
}
