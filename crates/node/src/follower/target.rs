//! Which of the upstreams' chains is worth its bodies, and what is decided.
//!
//! The target is the best chain among those that connected upstreams serve and that go through the decided
//! block. So a liar's longer chain is left once m others have k blocks on theirs, and a chain that nobody
//! serves any more is not waited for. What only an upstream serves that lately held blocks up is wanted when all
//! that the others serve is here: so its headers without bodies delay nothing, however often it comes back.

use std::cmp::Ordering;

use chain::{Hash, Header, Point};
use consensus::depth;
use link::Time;

use super::Follower;
use super::upstream::Upstream;
use crate::UpstreamId;

impl Follower {
    /// An upstream's chain ends elsewhere than before, or is not known any more.
    pub(crate) fn moved(&mut self, id: UpstreamId) {
        self.is_moved = true;
        let input = match self.upstreams[id.0 as usize].fragment() {
            Some(fragment) => depth::Input::Serves { upstream: id.0, tip: fragment.at },
            None => depth::Input::Left { upstream: id.0 },
        };
        self.depth.handle(input, &self.tree);
    }

    /// The highest block that is to become irreversible, on whatever fork.
    pub(crate) fn decided(&self) -> Option<Point> {
        Some(self.tree.header(&self.depth.decided()?)?.point())
    }

    /// Whether a block of our chain is to become irreversible.
    pub(crate) fn is_decided(&self, id: &Hash) -> bool {
        self.depth.is_decided(id)
    }

    /// How many upstreams must agree.
    pub(crate) fn agree(&self) -> u32 {
        self.depth.agree()
    }

    /// Whether a single upstream decides alone.
    pub(crate) fn trusts_one(&self) -> bool {
        self.depth.trusts_one()
    }

    /// Chooses the target anew, if upstreams have moved.
    pub(crate) fn choose_target(&mut self, now: Time) {
        if !std::mem::take(&mut self.is_moved) {
            return;
        }
        let proven = self.best_served(|upstream| !upstream.suspect).map(Header::point);
        let target = match proven.filter(|proven| !self.is_here(proven)) {
            Some(proven) => Some(proven),
            None => self.best_served(|_| true).map(Header::point),
        };
        if target != self.bodies.target() {
            let (missing, extends) = target.map_or((Vec::new(), false), |target| self.missing(target));
            self.bodies.retarget(now.mono, target, &missing, extends);
        }
        self.tell_who_has(now);
    }

    /// The end of the best chain that one of these upstreams serves and that goes through the decided block.
    fn best_served(&self, among: impl Fn(&Upstream) -> bool) -> Option<&Header> {
        let end = |index: usize| self.tree.header(&self.upstreams[index].fragment()?.at.hash()?);
        let among = (0..self.upstreams.len()).filter(|index| among(&self.upstreams[*index]));
        let through = among.filter(|index| self.depth.serves_decided(*index as u32));
        through.filter_map(end).reduce(|best, header| match self.format.prefer(header, best) {
            Ordering::Greater => header,
            Ordering::Less | Ordering::Equal => best,
        })
    }

    /// Whether every body up to here has come, be it on its way to the disk.
    fn is_here(&self, at: &Point) -> bool {
        let mut at = at.hash();
        while let Some(header) = at.and_then(|id| self.tree.header(&id)) {
            if self.tree.is_complete(&header.id) {
                break;
            }
            if self.tree.block(&header.id).is_none() && !self.storing.contains(&header.id) {
                return false;
            }
            at = header.prev;
        }
        true
    }

    /// The headers without bodies on the way to the target, oldest first; and whether that way leads on from
    /// the present target, whose own missing ones are left out then.
    fn missing(&self, target: Point) -> (Vec<Header>, bool) {
        let present = self.bodies.target().and_then(|present| present.hash());
        let (mut missing, mut extends) = (Vec::new(), false);
        let mut at = target.hash();
        while let Some(header) = at.and_then(|id| self.tree.header(&id)) {
            extends = present == Some(header.id);
            if extends || self.tree.is_complete(&header.id) {
                break;
            }
            if self.tree.block(&header.id).is_none() && !self.storing.contains(&header.id) {
                missing.push(header.clone());
            }
            at = header.prev;
        }
        missing.reverse();
        (missing, extends)
    }
}
