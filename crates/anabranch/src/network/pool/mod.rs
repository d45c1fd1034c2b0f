//! The pool: every connection from before its handshake to its end, and who may have one.
//!
//! It decides and keeps count; it opens no socket and spawns no task. A connection's place is a [`Berth`], which
//! is held by whoever works on the connection and gives the place back when it is dropped, however that came.
//!
//! **Invariant:** a connection counts in the caps from before its first byte until its berth is dropped, or it lost
//! its place to another and is told to end.
//! **Invariant:** at most one connection per peer is registered as open, under the key that it proved.
//! **Invariant:** nothing about a peer changes before its key is proven.
//! **Invariant:** no socket is touched and no hook called while the lock is held.

mod berth;
mod departed;
mod gate;
mod known;
mod peers;
mod seats;
#[cfg(test)]
mod tests;
mod tie;
mod tries;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::reason::Reason;
use link::state::{Lifecycle, State};
use link::{PeerId, Time};
use rand_chacha::ChaCha20Rng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::address::Remote;
use super::clock::Clock;
use super::config::Config;
use super::status::{DepartedPeers, Direction};

use departed::Past;
use known::Peers;
use seats::{Seat, Seats, network_of};
use tries::Recent;

pub(super) use berth::Berth;
pub use gate::{Gate, Lists, Open as Everybody};
pub use known::TooMany;
pub(super) use peers::Next;
pub use seats::Full;

/// All connections; `S` is what a connection is once it is open.
pub(super) struct Pool<S> {
    us: PeerId,
    config: Arc<Config>,
    handshake_deadline: Duration,
    clock: Clock,
    gate: Arc<dyn Gate>,
    /// Counts the changes of who is there.
    changes: watch::Sender<u64>,
    inner: Mutex<Inner<S>>,
}

struct Inner<S> {
    next_id: u64,
    /// How many keys were proven so far: of two connections with one peer, the later one has won.
    proven: u64,
    seats: Seats,
    tries: Recent,
    peers: Peers,
    /// In boxes: a map of large values is half empty.
    entries: BTreeMap<u64, Box<Entry<S>>>,
    open: BTreeMap<PeerId, Open<S>>,
    past: Past,
    refused: Refused,
    rng: ChaCha20Rng,
    stopping: bool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Entry<S> {
    pub(super) id: u64,
    pub(super) direction: Direction,
    pub(super) remote: Remote,
    /// The address that was counted.
    ip: Option<IpAddr>,
    pub(super) life: Lifecycle,
    /// When its place was taken.
    pub(super) since: Duration,
    /// Whose key it proved.
    pub(super) peer: Option<PeerId>,
    /// Whom it must prove to be.
    pub(super) expected: Option<PeerId>,
    pub(super) socket: Option<S>,
    pub(super) strikes: u32,
    /// Nothing once it has lost its place to another.
    seat: Option<Seat>,
    is_shaking: bool,
    /// Ends its handshake; gone when that is over.
    evicted: Option<CancellationToken>,
    /// The state before its end began.
    last: State,
    proven: Option<Proven>,
    opened_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Proven {
    at: Duration,
    number: u64,
}

#[derive(Debug)]
struct Open<S> {
    id: u64,
    number: u64,
    socket: S,
}

/// Connections that did not even get a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Their address, or its network, tried too often.
    pub too_many_tries: u64,
    /// All places were taken.
    pub full: u64,
    /// Those of their direction were taken.
    pub full_direction: u64,
    /// Those of their address were taken.
    pub full_address: u64,
    /// Too many handshakes were under way.
    pub full_handshakes: u64,
}

/// Why a connection gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Tries(#[from] tries::TooMany),
    #[error("the network stops")]
    Stopping,
}

impl<S: Clone> Pool<S> {
    pub(super) fn new(
        us: PeerId,
        config: Arc<Config>,
        handshake_deadline: Duration,
        clock: Clock,
        gate: Arc<dyn Gate>,
        rng: ChaCha20Rng,
    ) -> Arc<Self> {
        let inner = Inner {
            next_id: 1,
            proven: 0,
            seats: Seats::default(),
            tries: Recent::default(),
            peers: Peers::default(),
            entries: BTreeMap::new(),
            open: BTreeMap::new(),
            past: Past::default(),
            refused: Refused::default(),
            rng,
            stopping: false,
        };
        let (changes, inner) = (watch::Sender::new(0), Mutex::new(inner));
        Arc::new(Self { us, config, handshake_deadline, clock, gate, changes, inner })
    }

    /// Takes a place for a connection that came in.
    pub(super) fn accept(self: &Arc<Self>, remote: Remote) -> Result<Berth<S>, NoPlace> {
        let now = self.clock.now();
        let mut inner = self.lock();
        if inner.stopping {
            return Err(NoPlace::Stopping);
        }
        let ip = remote.ip();
        let mut taken = inner.try_in(&self.config, ip, now.mono);
        if let Err(NoPlace::Full(why)) = taken {
            // Who tries too often gets nobody's place.
            let may = ip.map_or(Ok(()), |ip| inner.tries.check(&self.config.tries, ip, now.mono));
            if let Err(too_many) = may {
                taken = Err(too_many.into());
            } else if inner.evict(&self.config, why, ip, now) {
                taken = inner.try_in(&self.config, ip, now.mono);
            }
        }
        let taken = taken.inspect_err(|why| inner.refused.count(*why));
        let entered =
            taken.map(|seat| inner.enter(seat, Direction::Accepted, remote, None, Lifecycle::new(now)));
        drop(inner);
        self.bump();
        let id = entered?;
        Ok(Berth::new(self.clone(), id))
    }

    /// Takes a place for a connection that this node is about to make.
    pub(super) fn dial(self: &Arc<Self>, expected: PeerId, remote: Remote) -> Result<Berth<S>, NoPlace> {
        let now = self.clock.now();
        let mut inner = self.lock();
        if inner.stopping {
            return Err(NoPlace::Stopping);
        }
        let is_pinned = inner.peers.is_pinned(expected);
        let ip = remote.ip();
        let taken = inner.seats.take(&self.config.caps, Direction::Dialled, ip, Some(is_pinned));
        let seat = taken.inspect_err(|why| inner.refused.count((*why).into()))?;
        let id = inner.enter(seat, Direction::Dialled, remote, Some(expected), Lifecycle::new(now));
        drop(inner);
        self.bump();
        Ok(Berth::new(self.clone(), id))
    }

    /// What is open with a peer.
    pub(super) fn open_with(&self, peer: PeerId) -> Option<S> {
        self.lock().open.get(&peer).map(|open| open.socket.clone())
    }

    /// What is open, with whomever.
    pub(super) fn all_open(&self) -> Vec<S> {
        self.lock().open.values().map(|open| open.socket.clone()).collect()
    }

    /// Every socket there is, those that are being replaced included.
    pub(super) fn all_sockets(&self) -> Vec<S> {
        self.lock().entries.values().filter_map(|entry| entry.socket.clone()).collect()
    }

    /// The end of a connection begins; the first reason stays.
    pub(super) fn end(&self, id: u64, reason: Reason, strikes: u32) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.unregister(id);
        // Its berth may be gone: those who tell may be late.
        if let Some(entry) = inner.entries.get_mut(&id) {
            entry.strikes = strikes;
            entry.end(now, reason);
        }
        drop(inner);
        self.bump();
    }

    /// Lets nobody in any more.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
    }

    /// How many places are taken, and how many handshakes are under way.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.seats.taken(), inner.seats.handshakes())
    }

    /// Looks at every connection.
    pub(super) fn each<T>(&self, mut look: impl FnMut(&Entry<S>, Duration) -> T) -> Vec<T> {
        let now = self.clock.now().mono;
        self.lock().entries.values().map(|entry| look(entry, now)).collect()
    }

    /// Those that are over, and those that got no place.
    pub(super) fn departed(&self) -> DepartedPeers {
        let now = self.clock.now().mono;
        let inner = self.lock();
        DepartedPeers { recent: inner.past.listed(now), counts: inner.past.counts(), refused: inner.refused }
    }

    /// Changes whenever somebody came or went, or was refused.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn bump(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // The counts are changed together, without a call that could panic between them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Inner<S> {
    fn try_in(&mut self, config: &Config, ip: Option<IpAddr>, now: Duration) -> Result<Seat, NoPlace> {
        // The places first: they cost nothing to look at, and a try that finds none must not count.
        let seat = self.seats.take(&config.caps, Direction::Accepted, ip, None)?;
        if let Some(ip) = ip
            && let Err(too_many) = self.tries.note(&config.tries, ip, now)
        {
            self.seats.shaken(Direction::Accepted);
            self.seats.release(seat, Direction::Accepted, Some(ip));
            return Err(too_many.into());
        }
        Ok(seat)
    }

    /// Takes the place of the oldest connection that came in and has been silent for too long, if there is one whose
    /// place would help. Whoever proves a key keeps what it has.
    fn evict(&mut self, config: &Config, why: Full, ip: Option<IpAddr>, now: Time) -> bool {
        let address = ip.map(network_of);
        let is_silent = |entry: &&mut Box<Entry<S>>| {
            let helps = why != Full::Address || entry.ip.map(network_of) == address;
            let age = now.mono.saturating_sub(entry.since);
            let is_nobody = entry.direction == Direction::Accepted && entry.peer.is_none();
            helps && is_nobody && entry.seat.is_some() && age >= config.caps.silent_after
        };
        // Their numbers rise with time.
        let Some(entry) = self.entries.values_mut().find(is_silent) else { return false };
        entry.end(now, Reason::NoPlace);
        if let Some(evicted) = &entry.evicted {
            evicted.cancel();
        }
        if let Some(seat) = entry.seat.take() {
            self.seats.release(seat, entry.direction, entry.ip);
        }
        if std::mem::take(&mut entry.is_shaking) {
            self.seats.shaken(entry.direction);
        }
        true
    }

    fn enter(
        &mut self,
        seat: Seat,
        direction: Direction,
        remote: Remote,
        expected: Option<PeerId>,
        life: Lifecycle,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let (since, ip) = (life.since().mono, remote.ip());
        let entry = Entry {
            id,
            direction,
            remote,
            ip,
            life,
            since,
            peer: None,
            expected,
            socket: None,
            strikes: 0,
            seat: Some(seat),
            is_shaking: true,
            evicted: Some(CancellationToken::new()),
            last: State::Opening,
            proven: None,
            opened_at: None,
        };
        self.entries.insert(id, Box::new(entry));
        id
    }

    fn entry(&mut self, id: u64) -> &mut Entry<S> {
        self.entries.get_mut(&id).expect("a berth's entry stays until the berth is dropped")
    }
}

impl<S> Entry<S> {
    /// Whether it is a live connection with this peer.
    fn is_with(&self, peer: PeerId) -> bool {
        self.peer == Some(peer) && self.proven.is_some() && self.life.state().is_live()
    }

    fn end(&mut self, now: Time, reason: Reason) {
        let last = self.life.state();
        if self.life.end(now, reason) {
            self.last = last;
        }
    }
}

impl Refused {
    fn count(&mut self, why: NoPlace) {
        let counter = match why {
            NoPlace::Tries(_) => &mut self.too_many_tries,
            NoPlace::Full(Full::Connections) => &mut self.full,
            NoPlace::Full(Full::Direction) => &mut self.full_direction,
            NoPlace::Full(Full::Address) => &mut self.full_address,
            NoPlace::Full(Full::Handshakes) => &mut self.full_handshakes,
            NoPlace::Stopping => return,
        };
        *counter += 1;
    }
}
