//! What everything in a network shares, and a connection's way from a bearer to its two routines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use link::budget::Budget;
use link::link::Link;
use link::reason::{Code, Reason};
use link::{Identity, PeerId, session};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{Address, Remote};
use super::clock::Clock;
use super::config::Config;
use super::dial;
use super::line::Line;
use super::link_handle::LinkHandle;
use super::pool::{Berth, Next, NoPlace, Pool};
use super::requests::Stray;
use super::sink::Queue;
use super::socket::Bearer;
use super::socket::{Opening, open};
use super::status::Direction;

/// What everything in a network shares.
pub(super) struct Shared {
    pub(super) identity: Identity,
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) pool: Arc<Pool<Arc<Line>>>,
    pub(super) queue: Arc<Queue>,
    pub(super) budget: Budget,
    pub(super) counters: Counters,
    /// The listeners and two routines for each socket, and nothing else.
    pub(super) tasks: TaskTracker,
    /// Handshakes under way, and peers that are being dialled or waited for until they are.
    pub(super) handshakes: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) rng: Mutex<ChaCha20Rng>,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) late: AtomicU64,
    pub(super) unasked: AtomicU64,
}

/// A connection's place, and what follows when it is free again.
struct Place {
    berth: Option<Berth<Arc<Line>>>,
    peer: PeerId,
    shared: Arc<Shared>,
}

impl Shared {
    /// Takes a connection that came in, or lets it go.
    pub(super) fn accept(self: &Arc<Self>, bearer: Bearer, remote: Remote) {
        let berth = match self.pool.accept(remote.clone()) {
            Ok(berth) => berth,
            Err(why) => return refuse(&bearer, &remote, why),
        };
        berth.bearer_up(None);
        let shared = self.clone();
        self.handshakes.spawn(async move {
            // Why it failed stands in the pool's list of the departed.
            let _ = shared.shake(bearer, berth, Direction::Accepted, None).await;
        });
    }

    /// Dials a peer until it is connected, or is not to be dialled any more. One task does so for each peer.
    pub(super) fn redial(self: &Arc<Self>, peer: PeerId) {
        let Some(token) = self.pool.begin(peer) else { return };
        let shared = self.clone();
        self.handshakes.spawn(async move {
            tokio::select! {
                () = shared.stop.cancelled() => {}
                () = token.cancelled() => {}
                () = shared.dial_until_connected(peer, &token) => {}
            }
        });
    }

    async fn dial_until_connected(self: &Arc<Self>, peer: PeerId, token: &CancellationToken) {
        loop {
            let address = match self.pool.next(peer, token) {
                Next::Stop => return,
                Next::Wait(until) => {
                    tokio::time::sleep_until(self.clock.instant(until)).await;
                    continue;
                }
                Next::Dial(address) => address,
            };
            if let Err(reason) = self.dial(peer, &address).await {
                tell(peer, &address, &reason);
                self.pool.failed(peer, token, &reason);
            }
        }
    }

    /// Dials once.
    pub(super) async fn dial(self: &Arc<Self>, peer: PeerId, address: &Address) -> Result<(), Reason> {
        if peer == self.identity.peer_id() {
            return Err(Reason::Violation(session::Violation::OwnKey.into()));
        }
        let berth = self.pool.dial(peer, Remote::Dialled(address.clone())).map_err(|why| match why {
            NoPlace::Full(_) | NoPlace::Tries(_) => Reason::NoPlace,
            NoPlace::Stopping => Reason::Stopping,
        })?;
        berth.dialling();
        match dial::dial(address, self.config.dial.timeout).await {
            Ok((bearer, remote)) => {
                berth.bearer_up(remote);
                self.shake(bearer, berth, Direction::Dialled, Some(peer)).await
            }
            Err(reason) => {
                berth.end(reason.clone(), 0);
                Err(reason)
            }
        }
    }

    /// Brings a link up and starts its routines, unless it fails on the way.
    async fn shake(
        self: &Arc<Self>,
        bearer: Bearer,
        berth: Berth<Arc<Line>>,
        direction: Direction,
        expected: Option<PeerId>,
    ) -> Result<(), Reason> {
        let opening = Opening {
            bearer,
            link: self.link(direction, expected),
            direction,
            budget: self.budget.clone(),
            floor_bytes: self.config.floor_bytes.get(),
            config: self.config.socket,
            clock: self.clock,
        };
        let evicted = berth.evicted();
        let opened = tokio::select! {
            () = self.stop.cancelled() => Err(Reason::Stopping),
            () = evicted => Err(Reason::NoPlace),
            opened = open(opening, |peer| berth.proven(peer)) => opened,
        };
        let opened = opened.inspect_err(|reason| berth.end(reason.clone(), 0))?;
        let socket = opened.socket().clone();
        let (line, ears) = Line::new(berth.id(), socket.clone(), self.clone());
        let registered = berth.open(line.clone());
        match &registered {
            Ok(replaced) => {
                if let Some(replaced) = replaced {
                    replaced.socket.close(Reason::Duplicate);
                }
                self.queue.open(berth.id(), LinkHandle::new(line, self.pool.clone()));
            }
            // Before anything that came over it is looked at. Its routines run all the same: they say why.
            Err(reason) => socket.close(reason.clone()),
        }
        let place = Place { berth: Some(berth), peer: socket.peer(), shared: self.clone() };
        opened.start(ears, Box::new(place), &self.tasks);
        registered.map(drop)
    }

    fn link(&self, direction: Direction, expected: Option<PeerId>) -> Link {
        let mut rng = self.seed();
        let (now, config) = (self.clock.now(), self.config.link.clone());
        match direction {
            Direction::Dialled => Link::dial(now, config, &self.identity, expected, &mut rng),
            Direction::Accepted => Link::accept(now, config, &self.identity, &mut rng),
        }
    }

    /// A generator of its own for one connection.
    fn seed(&self) -> ChaCha20Rng {
        let mut seed = [0; 32];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut seed);
        ChaCha20Rng::from_seed(seed)
    }
}

/// Logs why a dial failed. A wrong key is no fault of the network's: somebody is not who they should be.
fn tell(peer: PeerId, address: &Address, reason: &Reason) {
    use link::Violation::Session;
    match reason {
        Reason::Violation(Session(session::Violation::WrongKey { .. })) => {
            tracing::error!(%peer, %address, %reason, "security: another node answers where this peer should be");
        }
        Reason::Violation(_) | Reason::Disagreed(_) | Reason::UnknownHost | Reason::Refused(_) => {
            tracing::warn!(%peer, %address, %reason, "cannot link with a peer");
        }
        reason => tracing::debug!(%peer, %address, %reason, "a dial failed"),
    }
}

/// Says why to a connection that gets no place, if that costs nothing. Those who try too often are told nothing.
fn refuse(bearer: &Bearer, remote: &Remote, why: NoPlace) {
    tracing::debug!(%remote, %why, "refused a connection");
    let code = match why {
        NoPlace::Full(_) => Code::Busy,
        NoPlace::Stopping => Code::Stopping,
        NoPlace::Tries(_) => return,
    };
    let mut bytes = Vec::new();
    session::refusal(code, &mut bytes);
    bearer.try_write(&bytes);
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.berth.take());
        self.shared.redial(self.peer);
    }
}

impl Counters {
    /// Counts an answer that nobody waits for.
    pub(super) fn count(&self, stray: Stray) {
        let counter = match stray {
            Stray::Late => &self.late,
            Stray::Unasked => &self.unasked,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
