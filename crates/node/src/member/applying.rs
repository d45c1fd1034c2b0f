//! Deliveries to the application: what is irreversible, in order, with a bounded number on the way.
//!
//! A slow application is behind, and nothing else is. What it said after each of the last blocks is kept, since headers
//! name its state.

use std::collections::{BTreeMap, VecDeque};

use chain::native::StateRoot;
use chain::{Block, Hash, Height, Point, Position};

use super::Member;
use super::state::{Ask, Read};
use crate::application::{Answer, Applied, Question, Verdict};
use crate::{Load, Notice, Output, Ticket};

/// How many blocks' states are remembered: a proposer's application may be so far behind. A guess: some dozens.
const MAX_KNOWN: usize = 64;

/// The application and what it was given.
#[derive(Debug)]
pub(super) struct Applying {
    /// What it said, by the number of blocks that it had taken in.
    known: BTreeMap<u64, Applied>,
    /// The next block to deliver, by its position.
    next: u64,
    /// What is on the way: how many bytes.
    outstanding: VecDeque<(Ticket, Point, usize)>,
    outstanding_bytes: usize,
    is_loading: bool,
    /// Whether its last block is known to be ours.
    is_ours: bool,
    /// Why nothing more is delivered.
    stopped: Option<String>,
}

/// What is known of the application's state after a block.
#[derive(Debug)]
pub(super) enum Known<'a> {
    /// This.
    Applied(&'a Applied),
    /// It was not that far yet.
    NotYet,
    /// It was once.
    Forgotten,
}

impl Applied {
    /// The state that a header names; none before the first block, or where the application keeps none and asks for
    /// nothing. One that asks for validators and keeps no state has a root of zeros.
    pub(crate) fn state_root(&self) -> Option<StateRoot> {
        let asks = self.validators.is_some().then_some(Hash([0; 32]));
        let root = self.root.or(asks)?;
        self.tip.point.hash().map(|_| StateRoot { height: self.tip.height, root })
    }
}

/// How many blocks an application has taken in.
fn count(applied: &Applied) -> u64 {
    applied.tip.point.hash().map_or(0, |_| applied.tip.height.0 + 1)
}

impl Applying {
    /// An application that stands here.
    pub(super) fn new(applied: Applied, settled: u64) -> Self {
        let next = count(&applied);
        Self {
            known: BTreeMap::from([(next, applied)]),
            next,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            is_loading: false,
            is_ours: next == 0 || next > settled,
            stopped: None,
        }
    }

    /// An application that stands at the irreversible tip of our chain.
    pub(super) fn at_the_tip(applied: Applied) -> Self {
        Self { is_ours: true, ..Self::new(applied, 0) }
    }

    /// Whether everything that is irreversible was delivered.
    pub(super) fn has_delivered(&self, settled: u64) -> bool {
        self.stopped.is_none() && self.next == settled
    }

    /// Where it stands.
    pub(super) fn last(&self) -> Option<&Applied> {
        self.known.last_key_value().map(|(_, applied)| applied)
    }

    /// What it said after a block.
    pub(super) fn at(&self, height: Height) -> Known<'_> {
        let count = height.0.saturating_add(1);
        match self.known.get(&count) {
            Some(applied) => Known::Applied(applied),
            None if self.known.last_key_value().is_none_or(|(last, _)| *last < count) => Known::NotYet,
            None => Known::Forgotten,
        }
    }

    /// Whether it gets what is irreversible.
    pub(super) fn is_awake(&self) -> bool {
        self.stopped.is_none()
    }

    /// Whether it is near enough to what is irreversible to judge anything.
    pub(super) fn is_near(&self, config: &super::Config) -> bool {
        self.stopped.is_none() && self.outstanding.len() <= config.deliveries.get() as usize / 2
    }

    /// Blocks on the way to it.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Why nothing more is delivered.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Panics where a bound does not hold.
    pub(super) fn check_invariants(&self, max: u32, max_bytes: usize) {
        assert!(self.known.len() <= MAX_KNOWN, "what is known is bounded");
        assert!(self.outstanding.len() <= max as usize, "what is on the way is bounded");
        let bytes: usize = self.outstanding.iter().map(|(.., bytes)| bytes).sum();
        assert_eq!(bytes, self.outstanding_bytes, "bytes add up");
        assert!(bytes <= max_bytes || self.outstanding.len() == 1, "bytes on the way are bounded");
    }
}

impl Member {
    /// At the start: is what the application has of our chain, and not more than it?
    pub(super) fn begin_applying(&mut self, out: &mut Vec<Output>) {
        let settled = self.tree.root().settled;
        let Some(applying) = &self.applying else { return };
        if applying.next > settled {
            let applied = applying.last().expect("it stands somewhere").tip;
            let log = self.tree.root().tip;
            out.push(Output::Notice(Notice::ApplicationAhead { applied, log }));
        } else if applying.next > 0 {
            let ticket = self.next_ticket();
            self.loads.insert(ticket, Read::Applied);
            let position = Position(self.applying.as_ref().map_or(0, |it| it.next - 1));
            out.push(Output::Load { ticket, load: Load::Points(vec![position]) });
        }
    }

    /// The log's block at the place of the application's last.
    pub(super) fn on_applied_found(&mut self, points: &[Point], out: &mut Vec<Output>) {
        let Some(applying) = &mut self.applying else { return };
        let applied = applying.last().expect("it stands somewhere").tip;
        applying.is_ours = points == [applied.point];
        if !applying.is_ours {
            self.stop_applying("its last block is none of ours".to_owned(), out);
        }
    }

    pub(super) fn stop_applying(&mut self, reason: String, out: &mut Vec<Output>) {
        let Some(applying) = &mut self.applying else { return };
        if applying.stopped.is_none() {
            applying.stopped = Some(reason.clone());
            out.push(Output::Notice(Notice::ApplicationStopped { reason }));
        }
    }

    /// Delivers what there is a place for.
    pub(super) fn deliver_due(&mut self, out: &mut Vec<Output>) {
        while let Some(applying) = &self.applying
            && applying.stopped.is_none()
            && applying.is_ours
            && !applying.is_loading
            && !self.is_holding()
            && applying.next < self.tree.root().settled
            && applying.outstanding.len() < self.config.deliveries.get() as usize
        {
            let position = Position(applying.next);
            let Some(entry) = self.recent.at(position) else {
                return self.load_deliveries(position, out);
            };
            let block = Block { header: entry.header.clone(), raw: entry.block.clone() };
            if !self.deliver(block, out) {
                return;
            }
        }
    }

    fn load_deliveries(&mut self, from: Position, out: &mut Vec<Output>) {
        let Some(applying) = &mut self.applying else { return };
        let max_bytes = self.config.delivery_bytes.get().saturating_sub(applying.outstanding_bytes) as u64;
        if max_bytes == 0 {
            return;
        }
        let max = self.config.deliveries.get() - applying.outstanding.len() as u32;
        applying.is_loading = true;
        let ticket = self.next_ticket();
        self.loads.insert(ticket, Read::Deliveries);
        out.push(Output::Load { ticket, load: Load::BlocksAt { from, max, max_bytes } });
    }

    pub(super) fn on_deliveries(&mut self, blocks: Vec<Block>, out: &mut Vec<Output>) {
        let Some(applying) = &mut self.applying else { return };
        applying.is_loading = false;
        if blocks.is_empty() {
            return self.stop_applying("the log lacks what comes next".to_owned(), out);
        }
        for block in blocks {
            if !self.deliver(block, out) {
                return;
            }
        }
    }

    /// Delivers the next block; says whether there was room for it.
    fn deliver(&mut self, block: Block, out: &mut Vec<Output>) -> bool {
        let ticket = self.next_ticket();
        let Some(applying) = &mut self.applying else { return false };
        let bytes = block.raw.len();
        let is_first = applying.outstanding.is_empty();
        if !is_first && applying.outstanding_bytes + bytes > self.config.delivery_bytes.get() {
            return false;
        }
        assert_eq!(block.header.height.0, applying.next, "deliveries are in the order of the chain");
        applying.next += 1;
        applying.outstanding_bytes += bytes;
        applying.outstanding.push_back((ticket, block.header.point(), bytes));
        self.asks.insert(ticket, Ask::Deliver);
        out.push(Output::Ask { ticket, question: Question::Deliver { block } });
        true
    }

    /// The application has answered. What comes late or twice is none of an open question.
    pub(super) fn on_answered(&mut self, ticket: Ticket, answer: Answer, out: &mut Vec<Output>) {
        match (self.asks.remove(&ticket), answer) {
            (None, _) => {}
            (Some(Ask::Tx(name)), Answer::Verdict(verdict)) => self.on_tx_judged(name, verdict, out),
            (Some(Ask::Tx(name)), Answer::Failed { .. }) => self.on_tx_judged(name, Verdict::Ignore, out),
            (Some(Ask::Block(id)), Answer::Verdict(verdict)) => self.on_verdict(id, &verdict, out),
            (Some(Ask::Block(id)), Answer::Failed { .. }) => self.on_verdict(id, &Verdict::Ignore, out),
            (Some(Ask::Build), Answer::Built(order)) => self.on_built(ticket, order),
            (Some(Ask::Build), Answer::Failed { .. }) => self.on_built(ticket, Vec::new()),
            (Some(Ask::Deliver), Answer::Applied(applied)) => self.on_applied(ticket, applied, out),
            (Some(Ask::Deliver), Answer::Failed { reason }) => self.stop_applying(reason, out),
            (Some(Ask::Snapshots), Answer::Snapshots(states)) => self.on_snapshots(states, out),
            (Some(Ask::Snapshots), Answer::Failed { .. }) => self.on_snapshots(Vec::new(), out),
            (Some(Ask::Piece(peer)), Answer::Piece(piece)) => self.on_piece_given(peer, piece, out),
            (Some(Ask::Piece(peer)), Answer::Failed { .. }) => self.on_piece_given(peer, None, out),
            (Some(Ask::Restore(to)), Answer::Restoring(names)) => self.on_restoring(to, names, out),
            (Some(Ask::Restore(to)), Answer::Failed { .. }) => self.on_restoring(to, None, out),
            (Some(Ask::Take(of, name)), Answer::Taken(taken)) => self.on_taken(of, name, taken, out),
            (Some(Ask::Restored), Answer::Applied(applied)) => self.on_restored(applied, out),
            // What is left of it goes with the next start.
            (Some(Ask::Forget), Answer::Restoring(_) | Answer::Failed { .. }) => {}
            (Some(Ask::Take(..) | Ask::Restored), Answer::Failed { reason }) => {
                self.stop_restoring(&reason, out)
            }
            (Some(ask), answer) => {
                let reason = format!("it answers {answer:?} where it was asked something else ({ask:?})");
                self.stop_applying(reason, out);
            }
        }
    }

    fn on_applied(&mut self, ticket: Ticket, applied: Applied, out: &mut Vec<Output>) {
        let Some(applying) = &mut self.applying else { return };
        let Some((asked, point, bytes)) = applying.outstanding.pop_front() else { return };
        if asked != ticket || applied.tip.point != point {
            return self.stop_applying(format!("it is at {:.16} after {point:.16}", applied.tip.point), out);
        }
        applying.outstanding_bytes -= bytes;
        applying.known.insert(count(&applied), applied);
        while applying.known.len() > MAX_KNOWN {
            applying.known.pop_first();
        }
        self.snapshots_moved(out);
        if self.has_work() {
            self.tell_quorum(consensus::quorum::Input::Work, out);
        }
    }
}
