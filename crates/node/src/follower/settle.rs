//! From a durable body to what readers see: insert, decide, settle, publish.
//!
//! **Invariants**: a body enters the fork tree when it is durable, so the head is; a block leaves the tree
//! for the log when it is durable there, so the irreversible tip of a view is; one settlement is under way at
//! a time, and what is decided meanwhile makes the next one larger.

use std::sync::Arc;

use chain::tree::{Change, Refusal};
use chain::{Block, Entry, Hash};
use link::Time;

use super::Follower;
use super::storing::Append;
use super::upstream::Phase;
use super::violation::Cause;
use crate::{Notice, Output, Record, Ticket, UpstreamId};

/// How many blocks one settlement takes at most: some megabytes of small blocks, one record of the log each.
const MAX_SETTLEMENT: usize = 1_024;

impl Follower {
    /// Everything up to this ticket is durable.
    pub(crate) fn on_persisted(&mut self, now: Time, watermark: Ticket, out: &mut Vec<Output>) {
        while let Some(append) = self.storing.pop_durable(watermark) {
            match append {
                Append::Fork(block) => self.insert_body(now, block, out),
                Append::Settle(id) => self.settle(now, id, out),
            }
        }
    }

    /// The disk refused an append: nothing is accepted any more, for it could not be kept.
    pub(crate) fn on_persist_failed(&mut self, now: Time, error: String, out: &mut Vec<Output>) {
        out.push(Output::Notice(Notice::PersistFailed { error: error.clone() }));
        self.fail(now, error, out);
    }

    /// The disk cannot read the log: where our chain and an upstream's part cannot be said any more.
    pub(crate) fn on_load_failed(&mut self, now: Time, error: String, out: &mut Vec<Output>) {
        out.push(Output::Notice(Notice::LoadFailed { error: error.clone() }));
        self.fail(now, error, out);
    }

    fn fail(&mut self, now: Time, error: String, out: &mut Vec<Output>) {
        for index in 0..self.upstreams.len() {
            let id = UpstreamId(index as u32);
            if !matches!(self.upstreams[index].phase, Phase::Waiting { .. }) {
                self.disconnect(now, id, Cause::Failed, out);
            }
        }
        self.failed = Some(error);
    }

    /// Hands a checked block to the disk.
    pub(crate) fn store(&mut self, block: Block, out: &mut Vec<Output>) {
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Fork(block.clone()));
        out.push(Output::Persist { ticket, record: Record::Fork(block) });
    }

    fn insert_body(&mut self, now: Time, block: Block, out: &mut Vec<Output>) {
        let point = block.header.point();
        match self.tree.insert_body(block) {
            Ok(change) => {
                self.progress.moved(now.mono);
                self.on_change(now, change, out);
            }
            // Its header was dropped while it was written: another fork became irreversible.
            Err(Refusal::Unknown { .. }) => {}
            Err(reason) => out.push(Output::Notice(Notice::Refused { point, reason })),
        }
    }

    /// The fork tree changed.
    pub(crate) fn on_change(&mut self, now: Time, change: Change, out: &mut Vec<Output>) {
        self.views.on_change(&change);
        self.is_changed |= change.is_move();
        if !change.dropped.is_empty() {
            self.on_gone(now, &[], &change.dropped, out);
        }
    }

    fn settle(&mut self, now: Time, id: Hash, out: &mut Vec<Output>) {
        let settled = self
            .tree
            .irreversible(id)
            .expect("the tree never drops a branch for want of room: see Bounds::tree");
        self.views.on_settled(&settled);
        self.is_changed = true;
        let blocks: Vec<Hash> = settled.blocks.iter().map(|entry| entry.header.id).collect();
        self.on_gone(now, &blocks, &settled.change.dropped, out);
    }

    /// Hands the blocks that are decided and complete to the log.
    pub(crate) fn settle_decided(&mut self, out: &mut Vec<Output>) {
        if self.storing.is_settling() {
            return;
        }
        let path = self.decided_path();
        let Some(last) = path.last() else { return };
        let state = self.tree.state(&last.header.point()).expect("the path is in the tree").clone();
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Settle(last.header.id));
        out.push(Output::Persist {
            ticket,
            record: Record::Settle { blocks: path, state, certificate: None },
        });
    }

    /// The complete blocks after the irreversible tip that are decided, oldest first.
    ///
    /// Mostly they are on our chain, and found there without a look at what is above. Where our chain is a
    /// liar's, they are on another.
    fn decided_path(&self) -> Vec<Block> {
        if self.tree.chain().len() == 0 {
            // Nothing above the irreversible tip is complete: do not walk a long way of headers to find that.
            return Vec::new();
        }
        let block = |entry: &Arc<Entry>| Block { header: entry.header.clone(), raw: entry.block.clone() };
        let on_chain = self.tree.chain().take_while(|entry| self.is_decided(&entry.header.id));
        let path: Vec<Block> = on_chain.take(MAX_SETTLEMENT).map(block).collect();
        if !path.is_empty() {
            return path;
        }
        let root = self.tree.root().tip.point;
        let path = self.decided().and_then(|decided| self.tree.path(&root, &decided)).unwrap_or_default();
        let complete = path.iter().map_while(|header| self.tree.block(&header.id));
        complete.take(MAX_SETTLEMENT).map(block).collect()
    }

    /// Shows readers the chain as it is now.
    pub(crate) fn publish(&mut self, out: &mut Vec<Output>) {
        if self.is_changed {
            self.is_changed = false;
            out.push(Output::Publish(self.views.publish(&self.tree)));
        }
    }
}
