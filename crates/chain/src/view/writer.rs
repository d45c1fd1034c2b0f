//! The writing side of the view: follows the fork tree's changes and publishes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Entry, MAX_RECENT, MAX_RECENT_BYTES, Orphans, View};
use crate::Tip;
use crate::tree::{Change, Settled, Tree};

/// Makes views. Every change of the tree must be shown to it before the next view is published.
#[derive(Debug, Default)]
pub struct Writer {
    epoch: u64,
    recent: VecDeque<Arc<Entry>>,
    recent_bytes: usize,
    orphans: Arc<Orphans>,
    /// What the last view showed above the irreversible tip: readers may be at it when it leaves the chain.
    shown: Arc<[Arc<Entry>]>,
}

impl Writer {
    /// A writer that has seen nothing. `recent` are the newest blocks of the log, oldest first; it may be
    /// empty, and readers at the irreversible tip then ask the log.
    pub fn new(recent: impl IntoIterator<Item = Arc<Entry>>) -> Self {
        let mut writer = Self::default();
        recent.into_iter().for_each(|entry| writer.push_recent(entry));
        writer
    }

    /// Takes note of a change of the tree.
    pub fn on_change(&mut self, change: &Change) {
        if change.is_move() && !(change.rolled_back.is_empty() && self.orphans.is_empty()) {
            let orphans = Arc::make_mut(&mut self.orphans);
            orphans.follow(change.ancestor, &change.rolled_back, &change.rolled_forward);
        }
    }

    /// Takes note of blocks that became irreversible. They must be in the log before the next view is.
    pub fn on_settled(&mut self, settled: &Settled) {
        self.on_change(&settled.change);
        settled.blocks.iter().for_each(|entry| self.push_recent(entry.clone()));
    }

    /// Takes note of blocks that became irreversible, where readers are shown no others. They must be in the log before
    /// the next view is.
    pub fn on_irreversible(&mut self, blocks: &[Arc<Entry>]) {
        blocks.iter().for_each(|entry| self.push_recent(entry.clone()));
    }

    /// The view of a chain that readers see as far as it is irreversible.
    pub fn publish_irreversible(&mut self, tip: Tip, settled: u64) -> Arc<View> {
        self.epoch += 1;
        let recent = self.recent.iter().cloned().collect();
        Arc::new(View::new(self.epoch, tip, settled, recent, Arc::new([]), self.orphans.clone()))
    }

    /// The view of the tree as it is now.
    pub fn publish<S>(&mut self, tree: &Tree<S>) -> Arc<View> {
        self.epoch += 1;
        let root = tree.root();
        let recent = self.recent.iter().cloned().collect();
        let volatile: Arc<[Arc<Entry>]> = tree.chain().cloned().collect();
        self.keep_orphans();
        self.shown = volatile.clone();
        Arc::new(View::new(self.epoch, root.tip, root.settled, recent, volatile, self.orphans.clone()))
    }

    /// Keeps the blocks that were shown and left the chain since.
    fn keep_orphans(&mut self) {
        let left: Vec<_> = self.shown.iter().filter(|entry| self.orphans.lacks(entry)).cloned().collect();
        if !left.is_empty() {
            Arc::make_mut(&mut self.orphans).keep(left.into_iter());
        }
    }

    /// Panics where the writer's bounds or its parts do not hold together.
    pub fn check_invariants(&self) {
        self.orphans.check_invariants();
        let bytes: usize = self.recent.iter().map(|entry| entry.block.len()).sum();
        assert_eq!(bytes, self.recent_bytes, "the bytes of recent blocks add up");
        let small = bytes <= MAX_RECENT_BYTES || self.recent.len() == 1;
        assert!(self.recent.len() <= MAX_RECENT && small, "recent blocks are bounded");
        let gapless = self.recent.iter().zip(self.recent.iter().skip(1));
        gapless.for_each(|(a, b)| assert_eq!(a.position.next(), b.position, "recent blocks have no gaps"));
    }

    fn push_recent(&mut self, entry: Arc<Entry>) {
        self.recent_bytes += entry.block.len();
        self.recent.push_back(entry);
        while self.recent.len() > MAX_RECENT
            || (self.recent_bytes > MAX_RECENT_BYTES && self.recent.len() > 1)
        {
            let oldest = self.recent.pop_front().expect("it is longer than its bound");
            self.recent_bytes -= oldest.block.len();
        }
    }
}
