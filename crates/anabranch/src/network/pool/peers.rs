//! What operators say about peers, and when to dial which.

use std::time::Duration;

use link::PeerId;
use link::reason::Reason;

use tokio_util::sync::CancellationToken;

use super::known::{Known, TooMany};
use super::{Inner, Pool};
use crate::network::address::Address;
use crate::network::config::Config;
use crate::network::status::KnownPeer;

/// What the task that dials a peer does next.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::network) enum Next {
    /// It ends: the peer is connected, or is not to be.
    Stop,
    /// It waits until this moment.
    Wait(Duration),
    /// It dials.
    Dial(Address),
}

impl<S: Clone> Pool<S> {
    /// Adds a peer; with an address it is dialled.
    pub(in crate::network) fn add(
        &self,
        peer: PeerId,
        address: Option<Address>,
        pinned: Option<bool>,
    ) -> Result<(), TooMany> {
        let mut inner = self.lock();
        let known = inner.peers.add(peer, address)?;
        if let Some(pinned) = pinned {
            known.pinned = pinned;
            inner.reseat(&self.config, peer);
        }
        Ok(())
    }

    /// Takes a peer's reserved place away; whether it had one.
    pub(in crate::network) fn unpin(&self, peer: PeerId) -> bool {
        let mut inner = self.lock();
        let was_pinned = inner.peers.get_mut(peer).is_some_and(|known| std::mem::take(&mut known.pinned));
        inner.reseat(&self.config, peer);
        was_pinned
    }

    /// The number of the open connection with a peer.
    pub(in crate::network) fn number_of(&self, peer: PeerId) -> Option<u64> {
        self.lock().open.get(&peer).map(|open| open.id)
    }

    /// Whether a peer has a reserved place.
    pub(in crate::network) fn is_pinned(&self, peer: PeerId) -> bool {
        self.lock().peers.is_pinned(peer)
    }

    /// Forgets a peer. Returns whether it was known, and its sockets, which are to be closed.
    pub(in crate::network) fn forget(&self, peer: PeerId) -> (bool, Vec<S>) {
        let mut inner = self.lock();
        (inner.peers.forget(peer), inner.sockets_with(peer))
    }

    /// Bans a peer. Returns whether that is new, and its sockets, which are to be closed.
    pub(in crate::network) fn ban(&self, peer: PeerId) -> Result<(bool, Vec<S>), TooMany> {
        let mut inner = self.lock();
        let is_new = inner.peers.ban(peer)?;
        if let Some(known) = inner.peers.get_mut(peer)
            && let Some(token) = known.dialling.take()
        {
            token.cancel();
        }
        Ok((is_new, inner.sockets_with(peer)))
    }

    /// Lifts a ban or a cooling off; whether there was one.
    pub(in crate::network) fn unban(&self, peer: PeerId) -> bool {
        self.lock().peers.unban(peer)
    }

    /// Those who are banned.
    pub(in crate::network) fn banned(&self) -> Vec<PeerId> {
        self.lock().peers.banned()
    }

    /// Begins to dial a peer, if it is to be dialled and nobody does: a token that ends the dialling.
    pub(in crate::network) fn begin(&self, peer: PeerId) -> Option<CancellationToken> {
        let mut inner = self.lock();
        if !inner.is_to_be_dialled(&self.config, peer) {
            return None;
        }
        let known = inner.peers.get_mut(peer)?;
        if known.dialling.is_some() {
            return None;
        }
        let token = CancellationToken::new();
        known.dialling = Some(token.clone());
        Some(token)
    }

    /// What the task with this token does next. Once it is told to stop, another may begin; not before, and be it that
    /// its dial succeeded and the connection is over already.
    pub(in crate::network) fn next(&self, peer: PeerId, token: &CancellationToken) -> Next {
        let now = self.clock.now().mono;
        let mut inner = self.lock();
        if token.is_cancelled() {
            return Next::Stop;
        }
        let wanted = inner.is_to_be_dialled(&self.config, peer);
        let cooled = inner.peers.cooled_until(peer).unwrap_or_default();
        let Some(known) = inner.peers.get_mut(peer) else { return Next::Stop };
        let address = known.address.clone().filter(|_| wanted);
        let Some(address) = address else {
            known.dialling = None;
            return Next::Stop;
        };
        match known.not_before.max(cooled) {
            at if at > now => Next::Wait(at),
            _ => Next::Dial(address),
        }
    }

    /// A dial failed, or found no place here.
    pub(in crate::network) fn failed(&self, peer: PeerId, token: &CancellationToken, why: &Reason) {
        let now = self.clock.now().mono;
        let mut inner = self.lock();
        if token.is_cancelled() {
            return;
        }
        let Inner { peers, rng, .. } = &mut *inner;
        if let Some(known) = peers.get_mut(peer) {
            known.failed(&self.config.dial, now, rng);
            known.last_failure = Some(why.to_string());
            if *why == Reason::NoPlace {
                // It is not the peer's fault, and no reason to give it up.
                known.failures = known.failures.min(self.config.dial.give_up_after.get() - 1);
            }
        }
    }

    /// The peers that this node was told of.
    pub(in crate::network) fn known(&self) -> Vec<KnownPeer> {
        let now = self.clock.now().mono;
        let inner = self.lock();
        inner.peers.iter().map(|(peer, known)| self.listed(&inner, peer, known, now)).collect()
    }

    fn listed(&self, inner: &Inner<S>, peer: PeerId, known: &Known, now: Duration) -> KnownPeer {
        let wait = known.not_before.saturating_sub(now);
        KnownPeer {
            peer,
            address: known.address.clone(),
            pinned: known.pinned,
            connected: inner.open.contains_key(&peer),
            failures: known.failures,
            next_dial_ms: known.dialling.is_some().then_some(wait.as_millis() as u64),
            given_up: known.address.is_some() && !known.is_wanted(&self.config.dial),
            last_failure: known.last_failure.clone(),
        }
    }
}

impl<S: Clone> Inner<S> {
    fn is_to_be_dialled(&mut self, config: &Config, peer: PeerId) -> bool {
        // Who is cooled off is waited for; who is banned is not.
        let is_banned = self.peers.is_banned(peer);
        let wanted = self.peers.get(peer).is_some_and(|known| known.is_wanted(&config.dial));
        wanted && !is_banned && !self.stopping && !self.open.contains_key(&peer)
    }

    /// The connection with a peer moves to the kind of place that the peer has a right to now. Where there is none free it
    /// keeps the one that it has: nobody is sent away for it.
    fn reseat(&mut self, config: &Config, peer: PeerId) {
        let is_pinned = self.peers.is_pinned(peer);
        let Self { entries, seats, .. } = self;
        for entry in entries.values_mut().filter(|entry| entry.is_with(peer) && entry.proven.is_some()) {
            let proven = entry.seat.map(|seat| seats.prove(&config.caps, seat, entry.direction, is_pinned));
            if let Some(Ok(seat)) = proven {
                entry.seat = Some(seat);
            }
        }
    }

    fn sockets_with(&self, peer: PeerId) -> Vec<S> {
        let with = self.entries.values().filter(|entry| entry.is_with(peer));
        with.filter_map(|entry| entry.socket.clone()).collect()
    }
}
