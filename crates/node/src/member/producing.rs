//! Making a block when it is this validator's turn.
//!
//! The application orders what waits; one that does not answer in time costs the order, not the turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chain::native::{Builder, Change, read_fields};
use chain::{Block, Hash, Height, Slot, Tip};
use consensus::quorum;
use diffusion::relay::TRANSACTION;

use super::Member;
use super::state::Ask;
use crate::application::{Applied, Question};
use crate::{Output, Ticket};

/// How far a block's slot may be ahead of our clock: chains that are faster than their slots run ahead of the clock, by
/// less than what others let pass.
const SLOT_LEAD: Duration = Duration::from_secs(1);

/// Of the time until the others stop waiting, the application has this part: the block must travel, too.
const ASK_PART: u32 = 4;

/// How many bytes of candidates, in blocks: some choice.
const CANDIDATE_BLOCKS: u64 = 2;

/// A block that is to be made.
#[derive(Debug)]
pub(super) struct Producing {
    round: u32,
    parent: Tip,
    /// When the others stop waiting.
    until: Duration,
    /// The question to the application, and until when its answer counts.
    asked: Option<(Ticket, Duration)>,
    /// What waited when it began, oldest first.
    candidates: Vec<(Hash, Bytes)>,
    /// What goes in, once it is known.
    order: Option<Vec<Hash>>,
}

impl Producing {
    /// What goes in, as the application has it, each once; what waited, in its order, where that has not said.
    fn transactions(&self) -> Vec<&Bytes> {
        let Some(order) = &self.order else { return self.candidates.iter().map(|(_, tx)| tx).collect() };
        let mut left: BTreeMap<&Hash, &Bytes> = self.candidates.iter().map(|(id, tx)| (id, tx)).collect();
        order.iter().filter_map(|id| left.remove(id)).collect()
    }
}

impl Member {
    /// It is our turn.
    pub(super) fn on_produce(&mut self, parent: &Tip, round: u32, until: Duration, out: &mut Vec<Output>) {
        if self.tree.root().tip != *parent || self.failed.is_some() {
            return; // The chain has gone on without us.
        }
        if let Some(block) = self.own_block(round) {
            self.propose(&block, out);
            return;
        }
        let candidates = self.candidates();
        let is_empty = candidates.is_empty();
        let mut asked = None;
        if self.applying.as_ref().is_some_and(|applying| applying.is_awake()) && !is_empty {
            let ticket = self.next_ticket();
            let wait = until.saturating_sub(self.now.mono) / ASK_PART;
            asked = Some((ticket, self.now.mono + wait));
            self.asks.insert(ticket, Ask::Build);
            let max_bytes = self.params.max_body_bytes.get();
            let question = Question::Build { parent: *parent, max_bytes, candidates: candidates.clone() };
            out.push(Output::Ask { ticket, question });
        }
        self.producing = Some(Producing { round, parent: *parent, until, asked, candidates, order: None });
    }

    /// A block of ours for this round that an earlier life made durable.
    fn own_block(&self, round: u32) -> Option<Block> {
        let parent = self.tree.root().tip.point.hash();
        let is_it = |header: &&chain::Header| {
            header.prev == parent
                && read_fields(header)
                    .is_ok_and(|fields| Some(fields.producer) == self.me && fields.round == u64::from(round))
        };
        let header = self.tree.headers().find(is_it)?;
        let entry = self.tree.block(&header.id)?;
        Some(Block { header: entry.header.clone(), raw: entry.block.clone() })
    }

    fn propose(&mut self, block: &Block, out: &mut Vec<Output>) {
        self.tell_quorum(quorum::Input::Built(block.header.clone()), out);
        if self.tree.block(&block.header.id).is_some() {
            self.tell_quorum(quorum::Input::Stored(block.header.id), out);
        }
    }

    fn candidates(&self) -> Vec<(Hash, Bytes)> {
        let budget = self.params.max_body_bytes.get().saturating_mul(CANDIDATE_BLOCKS);
        self.relay.candidates(TRANSACTION, budget, &self.set_aside)
    }

    /// The application has put transactions in order.
    pub(super) fn on_built(&mut self, ticket: Ticket, order: Vec<Hash>) {
        if let Some(producing) = &mut self.producing
            && producing.asked.is_some_and(|(asked, _)| asked == ticket)
        {
            let taken: BTreeSet<&Hash> = order.iter().collect();
            let left_out = producing.candidates.iter().map(|(id, _)| id).filter(|id| !taken.contains(id));
            self.left_out = left_out.copied().collect();
            (producing.asked, producing.order) = (None, Some(order));
        }
    }

    /// Makes the block that is to be made, once the application has answered or its time is up.
    pub(super) fn produce_due(&mut self, out: &mut Vec<Output>) {
        let Some(producing) = &self.producing else { return };
        let is_asking = producing.asked.is_some_and(|(_, until)| until > self.now.mono);
        if is_asking || self.slot_wait().is_some_and(|at| at > self.now.mono) {
            return;
        }
        let producing = self.producing.take().expect("it was just seen");
        if producing.parent != self.tree.root().tip {
            return;
        }
        let block = self.make(&producing);
        let state = self.format.next(&self.tree.root().state, &block.header);
        assert!(state.is_ok(), "a block of our own follows the rules: {state:?}");
        self.produced += 1;
        self.mine.insert(block.header.id);
        if self.insert(None, block.header.clone(), out) {
            self.store(block.clone(), None, out);
            self.propose(&block, out);
        }
    }

    fn make(&self, producing: &Producing) -> Block {
        let root = self.tree.root();
        let state = Self::native(&root.state);
        let height = Height(root.settled);
        let mut builder = Builder::start(&self.params, &root.tip, state, self.next_slot());
        for tx in producing.transactions() {
            // What does not fit waits for the next block; something smaller may fit.
            let _full = builder.add(tx.clone());
        }
        if let Some(applied) = self.nameable() {
            builder = builder.state_root(applied.state_root().expect("it has one"));
            if let Some(change) = self.change_due(applied, height) {
                builder = builder.change(change);
            }
        }
        let key = self.key.as_ref().expect("who is asked for a block has a key");
        builder.round(state.term, producing.round.into()).finish(key)
    }

    /// Where our application stands, if a header after the irreversible tip may name that.
    fn nameable(&self) -> Option<&Applied> {
        let applied = self.applying.as_ref()?.last()?;
        let state = applied.state_root()?;
        let before = Self::native(&self.tree.root().state).state_height;
        (state.height.0 < self.tree.root().settled && before.is_none_or(|before| before <= state.height))
            .then_some(applied)
    }

    /// The change of validators that a header right above the irreversible tip announces when it names this state.
    pub(super) fn change_due(&self, applied: &Applied, height: Height) -> Option<Change> {
        let wanted = applied.validators.as_ref()?;
        let (in_force, announced) = Self::native(&self.tree.root().state).validators_at(height);
        // One change at a time.
        let is_due = announced.is_none() && *wanted != *in_force;
        is_due.then(|| Change { height: Height(height.0 + 2), validators: wanted.clone() })
    }

    /// Whether there is something to put into a block, or a change of validators to announce or to bring into force.
    pub(super) fn has_work(&self) -> bool {
        let height = Height(self.tree.root().settled);
        let (_, announced) = Self::native(&self.tree.root().state).validators_at(height);
        let is_due = |applied| self.change_due(applied, height).is_some();
        self.has_transactions() || announced.is_some() || self.nameable().is_some_and(is_due)
    }

    /// The slot of a block made now.
    fn next_slot(&self) -> Slot {
        let now = self.format.slot_at(self.now.wall);
        let next = self.tree.root().tip.point.slot().map_or(0, |slot| slot.0 + 1);
        Slot(now.0.max(next))
    }

    /// When the next block's slot is near enough to our clock, on the monotonic clock.
    fn slot_wait(&self) -> Option<Duration> {
        let starts = self.format.slot_start(self.next_slot());
        let wait = starts.checked_sub(self.now.wall.saturating_add(SLOT_LEAD))?;
        Some(self.now.mono.saturating_add(wait))
    }

    pub(super) fn producing_deadline(&self) -> Option<Duration> {
        let producing = self.producing.as_ref()?;
        let answer = producing.asked.map(|(_, until)| until);
        let slot = self.slot_wait().filter(|at| *at <= producing.until);
        answer.max(slot)
    }
}
