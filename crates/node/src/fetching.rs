//! Asking upstreams for bodies, and judging what they send.

use bytes::Bytes;

use crate::bounds::MAX_STORING_BYTES;
use crate::upstream::Command;
use crate::violation::{Cause, Violation};
use crate::{Node, Output, UpstreamId};

impl Node {
    /// A block of a range that an upstream was asked for.
    pub(crate) fn on_block(
        &mut self,
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
        self.upstream_mut(id).bodies += 1;
        self.bodies.arrived(id);
        // It may have come twice, or its header may have left the tree meanwhile.
        let is_new =
            self.tree.contains(&hash) && self.tree.block(&hash).is_none() && !self.storing.contains(&hash);
        if is_new {
            self.store(block, out);
        }
        Ok(())
    }

    /// A range has ended.
    pub(crate) fn on_batch_done(&mut self, id: UpstreamId) -> Result<(), Cause> {
        match self.bodies.ended(id) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(Violation::RangeShort { missing }.into()),
        }
    }

    /// An upstream does not have a range: rolled back meanwhile, or it announced what it does not have.
    pub(crate) fn on_no_blocks(&mut self, id: UpstreamId) -> Result<(), Cause> {
        if self.bodies.lacks(id) { Err(Cause::NoBlocks) } else { Ok(()) }
    }

    /// Asks for the bodies on the way to the target.
    pub(crate) fn ask_bodies(&mut self, out: &mut Vec<Output>) {
        if self.bodies.is_idle() || self.storing.bytes() > MAX_STORING_BYTES {
            return;
        }
        for index in 0..self.upstreams.len() {
            let id = UpstreamId(index as u32);
            let Some(last) = self.has_until(id) else { continue };
            while let Some((from, to)) = self.bodies.next_range(id, last) {
                out.push(Output::Upstream { id, command: Command::Fetch { from, to } });
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
