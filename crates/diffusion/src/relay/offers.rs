//! The machine's part that gives items: what peers want, and what they are offered.

use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;

use super::peer::Peer;
use super::pool::Pool;
use super::state::State;
use super::{Config, Counts, MAX_OFFERS, MAX_WANTED, Message, Name, Offer, Output, Violation};

impl<P: Copy + Ord> State<P> {
    pub(super) fn on_want(&mut self, id: P, names: Vec<Name>, out: &mut Vec<Output<P>>) {
        let peer = self.peers.get_mut(&id).expect("it is there");
        for name in names {
            if peer.serve.len() + peer.noes.len() == MAX_WANTED {
                out.push(Output::Misbehaved { peer: id, violation: Violation::TooManyWants });
                return;
            }
            if self.pool.can_serve(&name, peer.slot) && !peer.serve.contains(&name) {
                peer.serve.push_back(name);
            } else {
                self.counts.refused += 1;
                peer.noes.push(name);
            }
        }
    }
}

/// Sends a peer what it waits for, in its order; false where the link takes no more of it.
pub(super) fn serve<P: Copy>(
    pool: &mut Pool,
    counts: &mut Counts,
    id: P,
    peer: &mut Peer,
    out: &mut Vec<Output<P>>,
) -> bool {
    while let Some(name) = peer.serve.front().copied() {
        match pool.get(&name) {
            Some(entry) => {
                let message = Message::Data { kind: name.kind, bytes: entry.bytes.clone() };
                if !peer.send(id, message, out) {
                    return false;
                }
                pool.on_served(&name, peer.slot);
                counts.served += 1;
            }
            // It left while the peer waited.
            None => {
                counts.refused += 1;
                peer.noes.push(name);
            }
        }
        peer.serve.pop_front();
    }
    peer.refuse(id, out);
    peer.noes.is_empty()
}

/// Offers a peer what is new to it, once its time has come: together, and in an order that says nothing about the one in
/// which it came.
#[expect(clippy::too_many_arguments, reason = "parts of the machine, borrowed apart")]
pub(super) fn offer<P: Copy>(
    pool: &mut Pool,
    counts: &mut Counts,
    config: &Config,
    rng: &mut ChaCha12Rng,
    now: Duration,
    id: P,
    peer: &mut Peer,
    out: &mut Vec<Output<P>>,
) {
    if peer.offer_at.is_some_and(|at| at <= now) {
        peer.offer_at = None;
        let max = peer.offer_room();
        let mut news = pool.take_news(&mut peer.cursor, peer.slot, max);
        news.shuffle(rng);
        peer.may_offer -= news.len() as u32;
        counts.offers += news.len() as u64;
        for some in news.chunks(MAX_OFFERS) {
            let offers = some.iter().map(|(name, size)| Offer { name: *name, size: *size }).collect();
            assert!(peer.send(id, Message::Offer(offers), out), "room was looked at");
        }
    }
    if peer.offer_at.is_none() && peer.offer_room() > 0 && pool.has_news(peer.cursor) {
        let most = u64::try_from(config.offer_delay.as_micros()).unwrap_or(u64::MAX).max(1);
        peer.offer_at = Some(now.saturating_add(Duration::from_micros(rng.random_range(1..=most))));
    }
}
