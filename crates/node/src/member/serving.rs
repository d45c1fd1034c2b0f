//! What peers ask of us: bodies by id, ranges by points, headers of the log.

use std::sync::Arc;

use bytes::Bytes;
use chain::{Entry, Hash, Point, Position};
use diffusion::sync::ranges::MAX_RANGE;
use diffusion::sync::{self, Place, bodies};
use link::{PeerId, channel};

use super::headers::producer;
use super::state::Read;
use super::{Member, Violation};
use crate::{Found, Load, Output, Ticket};

/// How many bodies may wait for a peer's room before ranges wait, and how many before nothing more is pushed to it. A
/// guess.
const MAX_WAITING_BODIES: usize = 512;

/// How many ranges of one peer wait in line: several times what an honest one asks for at once.
const MAX_ASKED: usize = 64;

/// How many bytes of a range are read at once. A guess: what a peer owes at most, and no more than it takes.
const MAX_RANGE_BYTES: u64 = 8 << 20;

impl Member {
    /// A peer asks for a body.
    pub(super) fn on_asked(&mut self, id: PeerId, block: Hash, follow: bool, out: &mut Vec<Output>) {
        let held = self.entry(&block).map(|entry| producer(&entry.header));
        self.tell_bodies(bodies::Input::Asked { peer: id, id: block, follow, held }, out);
    }

    /// Sends a body to a peer.
    pub(super) fn serve(&mut self, id: PeerId, block: &Hash, out: &mut Vec<Output>) {
        let Some(body) = self.entry(block).map(|entry| entry.block.clone()) else { return };
        let is_full = self.peers.get(&id).is_none_or(|peer| peer.waiting_bodies() >= MAX_WAITING_BODIES);
        // It asks again, or another, when this one does not come.
        if !is_full {
            self.send(id, channel::BODIES, body, None, out);
        }
    }

    fn entry(&self, id: &Hash) -> Option<&Arc<Entry>> {
        self.tree.block(id).or_else(|| self.recent.get(id))
    }

    /// A peer asks for a range.
    pub(super) fn on_range(&mut self, id: PeerId, from: Point, to: Point, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.asked.len() >= MAX_ASKED {
            return self.blame(id, Violation::Ranges { max: MAX_ASKED }, out);
        }
        peer.asked.push_back((from, to));
        self.serve_ranges(id, out);
    }

    /// Serves the ranges of a peer, one after another, as its room allows.
    pub(super) fn serve_ranges(&mut self, id: PeerId, out: &mut Vec<Output>) {
        while let Some(peer) = self.peers.get(&id)
            && !peer.is_loading
            && peer.waiting_bodies() == 0
            && let Some((from, to)) = peer.asked.front().copied()
        {
            match self.in_memory(&from, &to) {
                Some(bodies) => self.end_range(id, bodies, out),
                None => return self.load_range(id, from, to, out),
            }
        }
    }

    fn load_range(&mut self, id: PeerId, from: Point, to: Point, out: &mut Vec<Output>) {
        let lib = self.tree.root().tip.point;
        let to = if to.slot() <= lib.slot() { to } else { lib };
        if from.slot() > lib.slot() || from.hash().is_none() {
            return self.end_range(id, Vec::new(), out);
        }
        let ticket = self.next_ticket();
        self.loads.insert(ticket, Read::Range(id));
        self.peers.get_mut(&id).expect("it is here").is_loading = true;
        let load = Load::Blocks { from, to, max: MAX_RANGE as u32, max_bytes: MAX_RANGE_BYTES };
        out.push(Output::Load { ticket, load });
    }

    /// Sends what there is of a peer's first range, and its end.
    fn end_range(&mut self, id: PeerId, bodies: Vec<Bytes>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.asked.pop_front();
        for body in bodies.into_iter().take(MAX_RANGE as usize).chain([Bytes::new()]) {
            self.send(id, channel::BODIES, body, None, out);
        }
    }

    /// The log was read.
    pub(super) fn on_loaded(&mut self, ticket: Ticket, found: Found, out: &mut Vec<Output>) {
        let Some(read) = self.loads.remove(&ticket) else { return };
        match (read, found) {
            (Read::Headers(id, from), Found::Headers(headers)) => {
                self.on_headers(id, from, headers, out);
            }
            (Read::Find(id, has_origin), Found::Place(place)) => {
                let place = place.map(|(at, tip)| Place { count: at.next().0, tip });
                let place = place.or(has_origin.then(Place::default));
                self.tell_sync(id, sync::Input::Found(place), out);
            }
            (Read::Range(id), Found::Blocks(blocks)) => {
                let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.is_loading) else { return };
                peer.is_loading = false;
                self.end_range(id, blocks.into_iter().map(|block| block.raw).collect(), out);
                self.serve_ranges(id, out);
            }
            (Read::Deliveries, Found::Blocks(blocks)) => self.on_deliveries(blocks, out),
            (Read::Applied, Found::Points(points)) => self.on_applied_found(&points, out),
            (read, found) => unreachable!("{read:?} was answered by {found:?}"),
        }
    }

    fn on_headers(&mut self, id: PeerId, from: Position, headers: Vec<sync::Settled>, out: &mut Vec<Output>) {
        if headers.is_empty() {
            return; // The log says that it has less than it has: the peer waits, others serve it.
        }
        self.loaded.load(from, headers);
        self.tell_sync(id, sync::Input::Loaded, out);
    }
}
