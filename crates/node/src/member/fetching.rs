//! Bodies while this node is far behind: the chain to the last certified block, in ranges, from all who have it.
//!
//! Such bodies are known to be irreversible: they go straight to the log, never to the files of forks. Their place in
//! the tree is until then in memory alone, which nothing rests on: what is lost is asked for again.

use std::time::Duration;

use chain::native::read_fields;
use chain::{Block, Header, Point};
use diffusion::sync::bodies::Mode;
use diffusion::sync::{Chain as _, bodies, ranges};
use link::PeerId;

use super::{Member, Violation};
use crate::Output;

/// After how long peers are taken to have again what they left out of a range: they may have it by now. A guess.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How long the irreversible tip may wait for a few bodies that are asked for by id before they are asked for in ranges:
/// peers have only their newest blocks by id. A guess: some time-outs of single bodies.
const FEW_PATIENCE: Duration = Duration::from_secs(2);

impl Member {
    /// What the chain to the last certified block lacks, oldest first.
    pub(super) fn certified_lack(&self) -> Option<Vec<Header>> {
        let (_, last) = self.finality.last()?;
        let end = self.tree.header(&last)?.point();
        let from = self.ranged.and_then(|count| self.forks().at(count)).map(|place| place.point());
        let root = self.tree.root().tip.point;
        let path = from.and_then(|from| self.tree.path(&from, &end));
        let path = path.or_else(|| self.tree.path(&root, &end))?;
        let lacks = |header: &&&Header| !self.is_held(&header.id);
        Some(path.iter().filter(lacks).map(|header| (*header).clone()).collect())
    }

    /// Goes over to ranges when much is lacking, and wants what has been certified since.
    pub(super) fn want_ranges(&mut self, out: &mut Vec<Output>) {
        if self.ranged.is_some() && self.ranges.is_empty() {
            self.ranged = None;
        }
        let Some(lack) = self.certified_lack().filter(|lack| !lack.is_empty()) else {
            return self.few_since = None;
        };
        if self.ranged.is_none() && lack.len() <= self.config.near.get() as usize && !self.is_few_for_long() {
            return;
        }
        self.few_since = None;
        for header in &lack {
            self.tell_bodies(bodies::Input::Unwant { id: header.id }, out);
            let fields = read_fields(header).expect("a header that was read can be read again");
            let bytes = fields.size + header.wire.len() as u64;
            let (block, prev) = (header.point(), header.prev);
            self.tell_ranges(ranges::Input::Want { block, prev, bytes }, out);
            self.ranged = self.ranged.max(Some(header.height.0 + 1));
        }
    }

    /// Whether the irreversible tip has been waiting for a few bodies for too long.
    fn is_few_for_long(&mut self) -> bool {
        let settled = self.tree.root().settled;
        let since = self.few_since.filter(|(of, _)| *of == settled).map_or(self.now.mono, |(_, since)| since);
        self.few_since = Some((settled, since));
        self.now.mono >= since + FEW_PATIENCE
    }

    /// A peer does not have by id what it is known to have: it is far ahead of us.
    pub(super) fn on_refused_few(&mut self) {
        if let Some((_, since)) = &mut self.few_since {
            *since = Duration::ZERO;
            self.is_lacking = true;
        }
    }

    /// Tells who has what, and asks. Who is late is judged where the time has come and nothing else: then it was said what
    /// peers sent that was not read.
    pub(super) fn ask_ranges(&mut self, judge: bool, out: &mut Vec<Output>) {
        let Some(last) = self.ranged else { return };
        if self.ranges_again <= self.now.mono {
            self.ranges_again = self.now.mono + ASK_AGAIN;
            self.peers.values_mut().for_each(|peer| peer.told_has = 0);
        }
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            let peer = &self.peers[&id];
            let is_asked = peer.is_joined && self.modes.get(&id) != Some(&Mode::Off);
            let Some(received) = peer.sync.status().received.filter(|_| is_asked) else { continue };
            let forks = self.forks();
            // Above its last block on our chain nothing is known of it.
            let shared = forks.common(&received, &forks.head()).unwrap_or(forks.lib());
            let count = shared.count.min(last);
            let has = forks.at(count).and_then(|place| place.id()).filter(|_| count > peer.told_has);
            if let Some(block) = has {
                self.peers.get_mut(&id).expect("it is here").told_has = count;
                self.tell_ranges(ranges::Input::Has { peer: id, id: block }, out);
            }
        }
        let ask = self.may_fetch();
        self.tell_ranges(ranges::Input::Tick { ask, judge }, out);
    }

    /// When ranges are worth another look though nothing comes.
    pub(super) fn ranges_deadline(&self) -> Option<Duration> {
        match self.ranged {
            Some(_) => Some(self.ranges_again),
            None => self.few_since.filter(|_| self.failed.is_none()).map(|(_, since)| since + FEW_PATIENCE),
        }
    }

    /// A body of a range.
    pub(super) fn on_range_body(&mut self, id: PeerId, block: Block, out: &mut Vec<Output>) {
        let (hash, bytes) = (block.header.id, block.raw.len() as u64);
        let is_wanted = self.ranges.is_wanted(&hash);
        self.tell_ranges(ranges::Input::Arrived { peer: id, id: hash, bytes }, out);
        if is_wanted && self.failed.is_none() {
            self.checks.bodies += 1;
            self.keep(block, out);
        }
        self.is_lacking |= self.ranges.is_empty();
    }

    /// A peer has sent all that it has of a range.
    pub(super) fn on_range_end(&mut self, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(open) = peer.open_ranges.checked_sub(1) else {
            return self.blame(id, Violation::Unasked, out);
        };
        peer.open_ranges = open;
        self.tell_ranges(ranges::Input::Done { peer: id }, out);
    }

    /// The blocks from one point to another that are in memory, oldest first; `None` where the first is not.
    pub(super) fn in_memory(&self, from: &Point, to: &Point) -> Option<Vec<bytes::Bytes>> {
        let root = self.tree.root().tip;
        let first = from.hash()?;
        let mut found = Vec::new();
        let mut is_done = false;
        if let Some(entry) = self.recent.get(&first) {
            for entry in self.recent.from(entry.position) {
                found.push(entry.block.clone());
                is_done |= entry.header.point() == *to;
                if is_done {
                    return Some(found);
                }
            }
        } else if !self.tree.contains(&first) {
            return None;
        }
        let path = self.tree.path(&root.point, to).unwrap_or_default();
        let skip = if found.is_empty() { path.iter().position(|header| header.id == first)? } else { 0 };
        let blocks = path[skip..].iter().map_while(|header| self.tree.block(&header.id));
        found.extend(blocks.map(|entry| entry.block.clone()));
        Some(found)
    }
}
