//! Bodies near the head: which are wanted, what comes, and what becomes of it.

use bytes::Bytes;
use chain::native::read_fields;
use chain::{Block, Hash, Header};
use diffusion::sync::{Chain as _, Forks, Place, bodies, ranges};
use link::{PeerId, channel};

use super::headers::producer;
use super::{Member, Violation};
use crate::Output;

/// Bytes of bodies on their way to the disk: in ranges, no more is asked for above it. A guess: some large syncs.
const MAX_STORING_BYTES: usize = 32 << 20;

impl Member {
    /// Tells the machine of bodies, and does what it says.
    pub(super) fn tell_bodies(&mut self, input: bodies::Input<PeerId>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        self.bodies.handle(self.now.mono, input, &mut said);
        for output in said {
            self.perform_bodies(output, out);
        }
    }

    fn perform_bodies(&mut self, output: bodies::Output<PeerId>, out: &mut Vec<Output>) {
        match output {
            bodies::Output::Send { peer, message } => {
                self.send(peer, channel::SYNC, message.to_bytes(), None, out);
            }
            bodies::Output::Serve { peer, id } => self.serve(peer, &id, out),
            bodies::Output::Take { peer, id } => {
                if let Some(block) = self.early.remove(&(peer, id)) {
                    self.take(peer, block, out);
                }
            }
            bodies::Output::Keep { .. } => {}
            bodies::Output::Forget { peer, id } => drop(self.early.remove(&(peer, id))),
        }
    }

    /// Something came on the channel of bodies: a block, or the end of a range.
    pub(super) fn on_body(&mut self, id: PeerId, body: &Bytes, out: &mut Vec<Output>) {
        if body.is_empty() {
            return self.on_range_end(id, out);
        }
        let block = match self.format.block(body) {
            Ok(block) => block,
            Err(reason) => {
                return self.blame(id, Violation::Undecodable { channel: channel::BODIES, reason }, out);
            }
        };
        let hash = block.header.id;
        let is_known = self.tree.contains(&hash) || self.proposed.contains_key(&hash);
        if is_known && let Err(reason) = self.format.check_body(&block) {
            self.tell_bodies(bodies::Input::Refused { peer: id, id: hash }, out);
            return self.blame(id, Violation::Body { id: hash, reason }, out);
        }
        let held = self.is_held(&hash);
        let is_range = self.peers.get(&id).is_some_and(|peer| peer.open_ranges > 0)
            && (self.ranges.is_wanted(&hash) || (held && !self.bodies.is_wanted(&hash)));
        if is_range {
            return self.on_range_body(id, block, out);
        }
        let (producer, bytes) = (producer(&block.header), block.raw.len());
        let before = self.early.insert((id, hash), block);
        let mut said = Vec::new();
        let input = bodies::Input::Arrived { peer: id, id: hash, producer, bytes, held };
        self.bodies.handle(self.now.mono, input, &mut said);
        let is_wanted = said.iter().any(|output| match output {
            bodies::Output::Take { id: other, .. } | bodies::Output::Keep { id: other, .. } => *other == hash,
            bodies::Output::Send { .. } | bodies::Output::Serve { .. } | bodies::Output::Forget { .. } => {
                false
            }
        });
        if !is_wanted && before.is_none() {
            self.early.remove(&(id, hash));
        }
        for output in said {
            self.perform_bodies(output, out);
        }
    }

    /// A wanted body is here. One that came before its header is checked only now.
    fn take(&mut self, id: PeerId, block: Block, out: &mut Vec<Output>) {
        let hash = block.header.id;
        if self.failed.is_some() || self.is_held(&hash) {
            return;
        }
        if let Err(reason) = self.format.check_body(&block) {
            self.is_lacking = true;
            return self.blame(id, Violation::Body { id: hash, reason }, out);
        }
        if self.tree.contains(&hash) {
            self.checks.bodies += 1;
            self.store(block, Some(id), out);
        }
    }

    /// Whether a body is here, durable or about to be.
    pub(super) fn is_held(&self, id: &Hash) -> bool {
        self.storing.contains(id) || self.has_body(id)
    }

    /// Whether a body can be served: it is in the tree or among the newest of the log.
    pub(super) fn has_body(&self, id: &Hash) -> bool {
        self.tree.block(id).is_some() || self.recent.get(id).is_some()
    }

    /// Wants what the best chain lacks right above the irreversible tip, and what the chain to the last certified block
    /// does: of that, what is more than a little comes in ranges.
    pub(super) fn want_bodies(&mut self, out: &mut Vec<Output>) {
        if self.is_holding() {
            // None is waited for.
            self.few_since = None;
            return;
        }
        let is_due = self.ranged.is_none() && self.ranges_deadline().is_some_and(|due| due <= self.now.mono);
        if !(std::mem::take(&mut self.is_lacking) || is_due) || self.failed.is_some() {
            return;
        }
        self.want_ranges(out);
        if self.ranged.is_some() {
            return;
        }
        let forks = self.forks();
        let first = forks.lib().count + 1;
        let best = (first..first + u64::from(self.config.near.get())).map_while(|count| forks.at(count));
        let best = best.filter_map(|place| place.id());
        let mut lacking: Vec<Hash> = best.filter(|id| !self.is_held(id)).collect();
        lacking.extend(self.certified_lack().into_iter().flatten().map(|header| header.id));
        for id in lacking {
            let Some(header) = self.tree.header(&id).cloned() else { continue };
            self.want(&header, None, out);
        }
    }

    /// Wants one body, of those first who announced it.
    pub(super) fn want(&mut self, header: &Header, from: Option<PeerId>, out: &mut Vec<Output>) {
        let id = header.id;
        if self.is_held(&id) || self.bodies.is_wanted(&id) || self.bodies.room() == 0 {
            return;
        }
        let fields = read_fields(header).expect("a header that was read can be read again");
        let producer = bodies::Producer(fields.producer);
        let announcers = self.announcers(&id);
        let from = from.or(announcers.first().copied());
        self.tell_bodies(bodies::Input::Want { id, producer, bytes: fields.size, from }, out);
        for peer in announcers {
            if self.bodies.is_wanted(&id) {
                self.tell_bodies(bodies::Input::Announced { peer, id, producer }, out);
            }
        }
    }

    /// Who has sent the header of a block, or of one above it.
    fn announcers(&self, id: &Hash) -> Vec<PeerId> {
        let forks = self.forks();
        let Some(place) = forks.find(Some(*id)) else { return Vec::new() };
        let has = |received: &Place| {
            received.count >= place.count && forks.common(&place, received).as_ref() == Some(&place)
        };
        let announced = |(_, peer): &(&PeerId, &super::peer::Peer)| {
            peer.is_joined && peer.sync.status().received.as_ref().is_some_and(has)
        };
        self.peers.iter().filter(announced).map(|(id, _)| *id).collect()
    }

    pub(super) fn forks(&self) -> Forks<'_, chain::State> {
        Forks { tree: &self.tree, trunk: &self.trunk, loaded: &self.loaded }
    }

    /// Whether there is a place for more bodies.
    pub(super) fn may_fetch(&self) -> bool {
        self.failed.is_none()
            && self.storing.bytes() < MAX_STORING_BYTES
            && self.tree.bytes() < self.config.tree.max_bytes.get() / 2
    }

    pub(super) fn tell_ranges(&mut self, input: ranges::Input<PeerId>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        self.ranges.handle(self.now.mono, input, &mut said);
        for output in said {
            match output {
                ranges::Output::Send { peer, message } => {
                    if let Some(asked) = self.peers.get_mut(&peer) {
                        asked.open_ranges += 1;
                    }
                    self.send(peer, channel::SYNC, message.to_bytes(), None, out);
                }
                ranges::Output::Evict { peer } => out.push(Output::Part { peer }),
            }
        }
    }
}
