//! From a certified block to what readers see: written, told to peers, handed to the application.
//!
//! **Invariants**: a block leaves the tree for the log when it is durable there with its certificate; one settlement is
//! under way at a time; none goes past a change of validators without a certificate of the old set.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use chain::native::read_fields;
use chain::{Block, Entry, Hash, Header, Height, Tip};
use consensus::quorum;
use diffusion::sync::{Loaded, Place, Settled, bodies, ranges};

use super::Member;
use super::finality::Certified;
use super::headers::producer;
use super::recent::Recent;
use super::storing::Append;
use crate::{Notice, Output, Record, Ticket};

/// How many blocks one settlement takes at most: some megabytes of small blocks.
const MAX_SETTLEMENT: usize = 1_024;

/// How many bytes of them, but for the first. A guess: one large sync.
const MAX_SETTLEMENT_BYTES: usize = 16 << 20;

impl Member {
    /// Hands what is certified and complete to the log.
    pub(super) fn settle_due(&mut self, out: &mut Vec<Output>) {
        if self.storing.settling().is_some() || self.failed.is_some() || self.is_holding() {
            return;
        }
        let Some(path) = self.settlement() else { return };
        let last = path.last().expect("a settlement has blocks");
        let state = self.tree.state(&last.header.point()).expect("the path is in the tree").clone();
        let certificate = self.finality.certified.get(&last.header.height);
        let certificate = certificate.map(|certified| certified.certificate.clone());
        let id = last.header.id;
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Settle(id));
        out.push(Output::Persist { ticket, record: Record::Settle { blocks: path, state, certificate } });
    }

    /// The next blocks that can go to the log: up to the last certified one that all bodies lead up to, within the
    /// bounds; where the first certified one is further away than these, as far as they go.
    fn settlement(&mut self) -> Option<Vec<Block>> {
        self.way.look(&self.tree);
        let first = *self.finality.certified.first_key_value()?.0;
        let reached = self.tree.root().settled + self.way.complete() as u64;
        let is_bound = self.way.complete() >= MAX_SETTLEMENT || self.way.bytes() >= MAX_SETTLEMENT_BYTES / 2;
        if first.0 >= reached && !is_bound {
            return None;
        }
        let mut blocks = self.ready();
        let is_bound = is_bound || blocks.len() < self.way.complete();
        let first_set = read_fields(&blocks.first()?.header).ok()?.validators;
        let same_set = |entry: &&Arc<Entry>| {
            read_fields(&entry.header).is_ok_and(|fields| fields.validators == first_set)
        };
        let certified = |entry: &Arc<Entry>| self.finality.certified.contains_key(&entry.header.height);
        // A set's last certificate goes into the log before the next set's first.
        let of_set = blocks.iter().take_while(same_set).count();
        if blocks[..of_set].iter().any(certified) {
            blocks.truncate(of_set);
        }
        match blocks.iter().rposition(certified) {
            Some(at) => blocks.truncate(at + 1),
            None if is_bound => {}
            None => return None,
        }
        let block = |entry: &Arc<Entry>| Block { header: entry.header.clone(), raw: entry.block.clone() };
        Some(blocks.iter().map(block).collect())
    }

    /// The complete blocks on the way to the last certified one, as many as one settlement takes.
    fn ready(&self) -> Vec<Arc<Entry>> {
        let mut bytes = 0;
        let ready = self.way.ready().take(MAX_SETTLEMENT).map_while(|id| {
            let entry = self.tree.block(id)?;
            let fits = bytes == 0 || bytes + entry.block.len() <= MAX_SETTLEMENT_BYTES;
            bytes += entry.block.len();
            fits.then(|| entry.clone())
        });
        ready.collect()
    }

    /// Everything up to this ticket is durable.
    pub(super) fn on_persisted(&mut self, watermark: Ticket, out: &mut Vec<Output>) {
        while let Some(append) = self.storing.pop_durable(watermark) {
            match append {
                Append::Fork(block, from) => self.on_stored(block, from, out),
                Append::Settle(id) => self.on_settled(id, out),
                Append::Bare(id) => self.on_bare(id, out),
                Append::Begun => self.on_begun(out),
                Append::Journal(counted) => self.tell_quorum(quorum::Input::Persisted(counted), out),
            }
        }
        self.speak_durable(out);
    }

    /// The disk refused an append: this validator votes no more, and nothing is accepted that could not be kept. What
    /// there is goes on being served.
    pub(super) fn on_persist_failed(&mut self, error: String, out: &mut Vec<Output>) {
        if self.failed.is_none() {
            out.push(Output::Notice(Notice::PersistFailed { error: error.clone() }));
            self.fail(error, out);
        }
    }

    fn fail(&mut self, error: String, out: &mut Vec<Output>) {
        self.failed = Some(error);
        self.tell_quorum(quorum::Input::PersistFailed, out);
        self.producing = None;
        self.is_unblocked = true;
    }

    pub(super) fn on_load_failed(&mut self, error: String, out: &mut Vec<Output>) {
        if self.failed.is_none() {
            out.push(Output::Notice(Notice::LoadFailed { error: error.clone() }));
            self.fail(error, out);
        }
    }

    /// Hands a checked block to the disk.
    pub(super) fn store(&mut self, block: Block, from: Option<link::PeerId>, out: &mut Vec<Output>) {
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Fork(block.clone(), from));
        out.push(Output::Persist { ticket, record: Record::Fork(block) });
    }

    /// A block is durable.
    fn on_stored(&mut self, block: Block, from: Option<link::PeerId>, out: &mut Vec<Output>) {
        let (id, producer) = (block.header.id, producer(&block.header));
        self.keep(block, out);
        self.tell_bodies(bodies::Input::Stored { id, producer, from }, out);
        self.tell_quorum(quorum::Input::Stored(id), out);
    }

    /// Puts a body into the tree, unless its header has left it.
    pub(super) fn keep(&mut self, block: Block, out: &mut Vec<Output>) {
        let point = block.header.point();
        if !self.tree.contains(&block.header.id) || self.tree.block(&block.header.id).is_some() {
            return;
        }
        match self.tree.insert_body(block) {
            Ok(change) => {
                self.progress.moved(self.now.mono);
                self.on_change(&change, out);
                self.moved(out);
            }
            Err(reason) => out.push(Output::Notice(Notice::Refused { point, reason })),
        }
    }

    /// What was decided is durable with its certificate.
    fn on_settled(&mut self, id: Hash, out: &mut Vec<Output>) {
        let Place { tip, .. } = self.settling(&id, out);
        let settled = self.tree.irreversible(id).expect("all of it is complete");
        self.way.settled(settled.blocks.iter().map(|entry| entry.block.len()));
        self.on_change(&settled.change, out);
        self.forget_proposed(tip.height);
        let certified = self.settled_certificates(tip.height);
        let certificate = |header: &Header| certified.get(&header.height).map(|it| it.certificate.clone());
        let headers: Vec<Settled> =
            settled.blocks.iter().map(|it| (it.header.clone(), certificate(&it.header))).collect();
        self.loaded.settle(headers);
        self.views.on_irreversible(&settled.blocks);
        self.forget_refused();
        for entry in settled.blocks {
            self.shares.remove(&entry.header.id);
            // It may have come in a range though it was asked for by id, or the other way round.
            self.tell_bodies(bodies::Input::Unwant { id: entry.header.id }, out);
            self.tell_ranges(ranges::Input::Unwant { id: entry.header.id }, out);
            self.forget_transactions(&entry, out);
            self.recent.push(entry);
        }
        self.is_lacking |= self.ranged.is_some() && self.ranges.is_empty();
        self.is_news = true;
        self.is_unblocked = true;
        self.moved(out);
        self.tell_producers(out);
        self.start_height(out);
    }

    /// Takes the certificates up to a height that has settled out of those that are to come.
    pub(super) fn settled_certificates(&mut self, height: Height) -> BTreeMap<Height, Certified> {
        let later = self.finality.certified.split_off(&Height(height.0 + 1));
        let settled = std::mem::replace(&mut self.finality.certified, later);
        // What was certified on a branch that is gone now was no branch of ours.
        let tree = &self.tree;
        self.finality.certified.retain(|_, certified| tree.contains(&certified.id));
        settled
    }

    /// Begins the height after the irreversible tip, unless more is known to be irreversible, or it has begun.
    pub(super) fn start_height(&mut self, out: &mut Vec<Output>) {
        let root = self.tree.root();
        let is_begun = self.quorum.height().is_some_and(|height| height.0 >= root.settled);
        if is_begun || self.finality.last().is_some() || self.failed.is_some() || self.is_holding() {
            return;
        }
        let journal = self.start.take().unwrap_or(quorum::Journal::Read(Vec::new()));
        let height = Height(root.settled);
        let (validators, _) = Self::native(&root.state).validators_at(height);
        let (parent, has_work) = (root.tip, self.has_work());
        self.proposed.clear();
        self.set_aside.clear();
        self.producing = None;
        self.mine.clear();
        self.forget_said();
        let start = quorum::Start { parent, validators, has_work, journal };
        self.tell_quorum(quorum::Input::Start(Box::new(start)), out);
    }

    /// Puts the blocks of all forks that came back from the disk into the tree again.
    pub(super) fn replant(&mut self, mut forks: Vec<Block>) {
        forks.sort_by_key(|block| block.header.height);
        for block in forks {
            let Ok(parent) = self.tree.parent_state(&block.header) else { continue };
            let Ok(state) = self.format.next(parent, &block.header) else { continue };
            // What has no room now has none later.
            if let Ok(change) = self.tree.insert_header(block.header.clone(), state) {
                self.shares.add(&block.header, None);
                for id in &change.dropped {
                    self.shares.remove(id);
                }
                let _no_room = self.tree.insert_body(block);
            }
        }
        self.trunk.follow(&self.tree);
    }
}

/// What a start remembers of the log: the newest blocks, and their headers for peers, the last with its certificate.
pub(super) fn recall(
    newest: &[Arc<Entry>],
    mut certificate: Option<Bytes>,
    settled: u64,
    max_headers: NonZeroUsize,
) -> (Recent, Loaded) {
    let mut recent = Recent::default();
    let mut loaded = Loaded::new(max_headers, Tip::default(), settled - newest.len() as u64);
    for entry in newest {
        let is_last = entry.position.next().0 == settled;
        let certificate = if is_last { certificate.take() } else { None };
        loaded.settle([(entry.header.clone(), certificate)]);
        recent.push(entry.clone());
    }
    (recent, loaded)
}
