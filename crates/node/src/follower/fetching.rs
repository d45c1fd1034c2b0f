//! Asking upstreams for bodies, and judging what they send.

use bytes::Bytes;
use link::Time;

use super::Follower;
use super::bodies::Ask;
use super::bounds::MAX_STORING_BYTES;
use super::upstream::Command;
use super::violation::{Cause, Violation};
use crate::{Output, UpstreamId};

impl Follower {
    /// A block of a range that an upstream was asked for.
    pub(crate) fn on_block(
        &mut self,
        now: Time,
        id: UpstreamId,
        raw: Bytes,
        out: &mut Vec<Output>,
    ) -> Result<(), Cause> {
        let block = self.format.block(&raw).map_err(Violation::BlockUndecodable)?;
        let hash = block.header.id;
        let expected = self.bodies.expected(id);
        if expected.is_none_or(|point| point != block.header.point()) {
            return Err(Violation::BlockUnasked { id: hash }.into());
        }
        self.format.check_body(&block).map_err(|reason| Violation::BlockInvalid { id: hash, reason })?;
        self.checks.bodies += 1;
        let upstream = self.upstream_mut(id);
        upstream.bodies += 1;
        let was_suspect = std::mem::take(&mut upstream.suspect);
        self.bodies.arrived(now.mono, id, raw.len());
        // The chain of a suspect is looked at once nothing else is wanted.
        let is_turn = self.bodies.len() == 0 && self.upstreams.iter().any(|upstream| upstream.suspect);
        self.is_moved |= was_suspect || is_turn;
        // It may have come twice, or its header may have left the tree meanwhile.
        let is_new =
            self.tree.contains(&hash) && self.tree.block(&hash).is_none() && !self.storing.contains(&hash);
        if is_new {
            self.store(block, out);
        }
        Ok(())
    }

    /// A range has ended.
    pub(crate) fn on_batch_done(&mut self, now: Time, id: UpstreamId) -> Result<(), Cause> {
        match self.bodies.ended(now.mono, id) {
            0 => Ok(()),
            missing => Err(Violation::RangeShort { missing }.into()),
        }
    }

    /// An upstream does not have a range: rolled back meanwhile, or it announced what it does not have.
    pub(crate) fn on_no_blocks(&mut self, now: Time, id: UpstreamId) -> Result<(), Cause> {
        if self.bodies.lacks(now.mono, id) { Err(Cause::NoBlocks) } else { Ok(()) }
    }

    /// Tells the scheduler which upstream has which of the wanted blocks.
    pub(crate) fn tell_who_has(&mut self, now: Time) {
        for index in 0..self.upstreams.len() {
            let id = UpstreamId(index as u32);
            if self.upstreams[index].fragment().is_some() {
                let last = self.has_until(id);
                self.bodies.has(now.mono, id, last);
            }
        }
    }

    /// Asks for the bodies on the way to the target, and lets those go that hold everything up.
    pub(crate) fn ask_bodies(&mut self, now: Time, out: &mut Vec<Output>) {
        let may_ask = self.storing.bytes() <= MAX_STORING_BYTES;
        for ask in self.bodies.asks(now.mono, may_ask) {
            match ask {
                Ask::Range(id, from, to) => {
                    out.push(Output::Upstream { id, command: Command::Fetch { from, to } })
                }
                Ask::Evict(id) => self.disconnect(now, id, Cause::Stalled, out),
            }
        }
    }

    /// The last wanted block that an upstream has.
    fn has_until(&self, id: UpstreamId) -> Option<u64> {
        let mut at = self.upstream(id).fragment()?.at.hash();
        loop {
            let id = at?;
            if let Some(key) = self.bodies.key(&id) {
                return Some(key);
            }
            if self.tree.is_complete(&id) {
                return None;
            }
            at = self.tree.header(&id)?.prev;
        }
    }
}
