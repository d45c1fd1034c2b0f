//! One connection's place in the pool, and the steps of its life that the pool decides on.

use std::sync::Arc;
use std::time::Duration;

use link::PeerId;
use link::reason::Reason;
use link::state::Event;

use super::departed::Gone;
use super::known::Unwelcome;
use super::tie::{self, Held};
use super::{Inner, Open, Pool, Proven};
use crate::network::address::Remote;
use crate::network::status::Direction;

/// A place in the pool. Dropping it gives the place back.
pub(in crate::network) struct Berth<S: Clone> {
    pool: Arc<Pool<S>>,
    id: u64,
}

impl<S: Clone> Berth<S> {
    pub(super) fn new(pool: Arc<Pool<S>>, id: u64) -> Self {
        Self { pool, id }
    }

    /// Its number, never used again.
    pub(in crate::network) fn id(&self) -> u64 {
        self.id
    }

    /// Ready when the connection has lost its place to another, before it proved a key.
    pub(in crate::network) fn evicted(&self) -> impl Future<Output = ()> + Send + use<S> {
        let evicted = self.pool.lock().entry(self.id).evicted.clone();
        async move {
            match evicted {
                Some(evicted) => evicted.cancelled_owned().await,
                None => std::future::pending().await,
            }
        }
    }

    /// The dial begins.
    pub(in crate::network) fn dialling(&self) {
        let now = self.pool.clock.now();
        self.pool.lock().entry(self.id).life.advance(now, Event::Dialling);
    }

    /// Bytes can flow, to where `remote` says, if more is known of that now.
    pub(in crate::network) fn bearer_up(&self, remote: Option<Remote>) {
        let now = self.pool.clock.now();
        let mut inner = self.pool.lock();
        let entry = inner.entry(self.id);
        // It may have lost its place already.
        if entry.life.state().is_live() {
            entry.life.advance(now, Event::BearerUp);
        }
        if let Some(remote) = remote {
            entry.remote = remote;
        }
    }

    /// The peer proved its key: whether it may go on.
    pub(in crate::network) fn proven(&self, peer: PeerId) -> Result<(), Reason> {
        let pool = &*self.pool;
        let (direction, remote) = {
            let mut inner = pool.lock();
            let entry = inner.entry(self.id);
            if entry.seat.is_none() {
                return Err(Reason::NoPlace);
            }
            entry.peer = Some(peer);
            entry.life.advance(pool.clock.now(), Event::Proven);
            (entry.direction, entry.remote.clone())
        };
        let allowed = pool.gate.allows(peer, &remote, direction);
        let now = pool.clock.now();
        let mut inner = pool.lock();
        inner.welcome(peer, now.mono)?;
        if !allowed {
            return Err(Reason::NotAllowed);
        }
        inner.break_tie(pool, self.id, peer, direction, now.mono)?;
        let is_pinned = inner.peers.is_pinned(peer);
        // Whoever has proven a key is not evicted any more.
        let seat = inner.entry(self.id).seat.ok_or(Reason::NoPlace)?;
        let proven = inner.seats.prove(&pool.config.caps, seat, direction, is_pinned);
        let seat = proven.map_err(|_| Reason::NoPlace)?;
        inner.proven += 1;
        let number = inner.proven;
        let entry = inner.entry(self.id);
        entry.seat = Some(seat);
        entry.evicted = None;
        entry.proven = Some(Proven { at: now.mono, number });
        entry.life.advance(now, Event::Allowed);
        Ok(())
    }

    /// The hellos agree: registers the socket as the one with its peer. Returns the one that it replaces, which
    /// is to be closed.
    pub(in crate::network) fn open(&self, socket: S) -> Result<Option<S>, Reason> {
        let now = self.pool.clock.now();
        let mut inner = self.pool.lock();
        let entry = inner.entry(self.id);
        entry.life.advance(now, Event::Agreed);
        entry.socket = Some(socket.clone());
        entry.opened_at = Some(now.mono);
        let (peer, proven) = entry.peer.zip(entry.proven).expect("nothing opens before its key is proven");
        let direction = entry.direction;
        if std::mem::take(&mut entry.is_shaking) {
            inner.seats.shaken(direction);
        }
        // Somebody may have been banned since its key was proven.
        inner.welcome(peer, now.mono)?;
        match inner.open.get(&peer) {
            Some(other) if other.number > proven.number => Err(Reason::Duplicate),
            _ => {
                let open = Open { id: self.id, number: proven.number, socket };
                let replaced = inner.open.insert(peer, open).map(|replaced| replaced.socket);
                if let Some(known) = inner.peers.get_mut(peer) {
                    known.last_failure = None;
                }
                drop(inner);
                self.pool.bump();
                Ok(replaced)
            }
        }
    }

    /// Its end begins; the first reason stays.
    pub(in crate::network) fn end(&self, reason: Reason, strikes: u32) {
        self.pool.end(self.id, reason, strikes);
    }
}

impl<S: Clone> Drop for Berth<S> {
    fn drop(&mut self) {
        let now = self.pool.clock.now();
        let mut inner = self.pool.lock();
        inner.unregister(self.id);
        let Some(mut entry) = inner.entries.remove(&self.id) else { return };
        if entry.is_shaking {
            inner.seats.shaken(entry.direction);
        }
        if let Some(seat) = entry.seat {
            inner.seats.release(seat, entry.direction, entry.ip);
        }
        // Its task ended without a word: it was stopped, or it failed.
        entry.end(now, Reason::Dropped);
        let reason = entry.life.reason().cloned().unwrap_or(Reason::Dropped);
        let lasted = entry.opened_at.map(|at| now.mono.saturating_sub(at));
        if let Some(peer) = entry.peer {
            inner.after(&self.pool, peer, entry.direction, &reason, lasted, now.mono);
        }
        inner.past.note(Gone {
            id: entry.id,
            peer: entry.peer,
            remote: entry.remote,
            direction: entry.direction,
            state: entry.last,
            reason,
            lasted: now.mono.saturating_sub(entry.since),
            at: now.mono,
            strikes: entry.strikes,
        });
        drop(inner);
        // The socket, if this was its last owner, goes without the lock.
        drop(entry.socket);
        self.pool.bump();
    }
}

impl<S: Clone> Inner<S> {
    /// Whether a peer may be connected at all.
    fn welcome(&mut self, peer: PeerId, now: Duration) -> Result<(), Reason> {
        if self.stopping {
            return Err(Reason::Stopping);
        }
        match self.peers.unwelcome(peer, now) {
            None => Ok(()),
            Some(Unwelcome::Banned) => Err(Reason::Banned),
            Some(Unwelcome::CooledOff) => Err(Reason::CoolingOff),
        }
    }

    /// Whether a connection wins against every other one with its peer.
    fn break_tie(
        &self,
        pool: &Pool<S>,
        id: u64,
        peer: PeerId,
        direction: Direction,
        now: Duration,
    ) -> Result<(), Reason> {
        let wins = |held: Held| tie::replaces(pool.us, peer, direction, held, pool.handshake_deadline);
        for other in self.entries.values().filter(|other| other.id != id && other.is_with(peer)) {
            let age = other.proven.map_or(Duration::ZERO, |proven| now.saturating_sub(proven.at));
            if !wins(Held { direction: other.direction, age }) {
                return Err(Reason::Duplicate);
            }
        }
        Ok(())
    }

    pub(super) fn unregister(&mut self, id: u64) {
        let Some(peer) = self.entries.get(&id).and_then(|entry| entry.peer) else { return };
        if self.open.get(&peer).is_some_and(|open| open.id == id) {
            self.open.remove(&peer);
        }
    }

    /// What the end of a connection means for the peer at its other end.
    fn after(
        &mut self,
        pool: &Pool<S>,
        peer: PeerId,
        direction: Direction,
        reason: &Reason,
        lasted: Option<Duration>,
        now: Duration,
    ) {
        use link::Violation::{Content, Strikes};
        if matches!(reason, Reason::Violation(Strikes { .. } | Content { .. })) {
            self.peers.cool_off(peer, now.saturating_add(pool.config.cool_off));
        }
        let Inner { peers, rng, .. } = self;
        let (Some(known), Some(lasted)) = (peers.get_mut(peer), lasted) else { return };
        let dial = &pool.config.dial;
        if lasted >= dial.settled_after {
            known.lasted(dial, now, rng);
        } else if direction == Direction::Dialled && *reason != Reason::Duplicate {
            known.failed(dial, now, rng);
        }
    }
}
