//! One height: the engine, its timers, and the blocks that are proposed at it.
//!
//! A block is fed to the engine as right when a proposal names it, it is durable, and it was judged right; as wrong
//! as soon as that is known. A block that comes after its round has passed is fed all the same: it may be
//! proposed again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chain::native::{self, Certificate, Faults, Validators, read_fields};
use chain::{Hash, Header, Height, Tip};

use super::boundary::Violation;
use super::engine::{Effect, Engine, Fault, Feed, Standing, Step, Timer};
use super::evidence::Evidence;
use super::message::{Key, Message, Proposal};
use super::pace::Pace;
use super::record::Record;
use super::state::{Act, next};
use super::status::Waiting;

/// How many rounds ahead a header may be that nobody proposed here.
const ROUNDS_AHEAD: u64 = 10;

/// How many headers of one producer are kept for a round: two prove that it lies.
const HEADERS_PER_ROUND: usize = 2;

/// For how many rounds it is remembered when they began: a body that is later teaches nothing.
const ROUNDS_TIMED: usize = 64;

/// A block that was proposed.
#[derive(Debug)]
struct Block {
    header: Header,
    /// The round that it was proposed in first.
    round: u32,
    is_stored: bool,
    verdict: Option<bool>,
    /// Whether the engine knows the verdict.
    is_fed: bool,
}

/// The state of one height.
#[derive(Debug)]
pub(super) struct Voting {
    chain: Hash,
    parent: Tip,
    validators: Arc<Validators>,
    me: Key,
    engine: Engine,
    timers: BTreeMap<Timer, Duration>,
    blocks: BTreeMap<Hash, Block>,
    /// The round that our own block was asked for.
    building: Option<u32>,
    /// Our own block, until it is durable.
    built: Option<(u32, Header)>,
    /// When rounds began.
    began: BTreeMap<u32, Duration>,
    /// When we voted first, and in which round.
    voted: Option<(u32, Duration)>,
    /// The headers that peers told of, by round.
    admitted: BTreeMap<u64, Vec<Hash>>,
    decided: Option<Hash>,
}

impl Voting {
    pub(super) fn new(
        chain: Hash,
        faults: Faults,
        key: native::Key,
        parent: Tip,
        validators: &Arc<Validators>,
    ) -> Self {
        Self {
            chain,
            me: key.public(),
            engine: Engine::new(chain, faults, &key, validators, next(&parent)),
            parent,
            validators: validators.clone(),
            timers: BTreeMap::new(),
            blocks: BTreeMap::new(),
            building: None,
            built: None,
            began: BTreeMap::new(),
            voted: None,
            admitted: BTreeMap::new(),
            decided: None,
        }
    }

    /// Begins the height, from its journal if it has one.
    pub(super) fn begin(
        &mut self,
        now: Duration,
        records: &[Record],
        pace: &mut Pace,
    ) -> Result<Vec<Act>, Fault> {
        let mut effects = Vec::new();
        if records.is_empty() {
            self.engine.start(&mut effects)?;
            return self.settle(now, effects, pace);
        }
        self.engine.replay(records, &mut effects)?;
        let mut acts = Vec::new();
        let wrong: Vec<_> = records.iter().filter_map(|record| self.remember(record, &mut acts)).collect();
        // What the journal asked for then is asked for again only if it is missing still.
        effects.retain(|effect| !matches!(effect, Effect::Build(round) if !self.engine.awaits_ours(*round)));
        acts.retain(|act| match act {
            Act::Want(header) => self.blocks.get(&header.id).is_some_and(|block| !block.is_fed),
            _ => true,
        });
        acts.extend(self.settle(now, effects, pace)?);
        for feed in wrong.into_iter().filter(|feed| !is_judged(records, feed)) {
            acts.extend(self.feed(now, feed, pace)?);
        }
        Ok(acts)
    }

    pub(super) fn on_message(
        &mut self,
        now: Duration,
        message: Message,
        pace: &mut Pace,
    ) -> Result<Vec<Act>, Fault> {
        if self.decided.is_some() {
            return Ok(Vec::new()); // Nothing more is to be learned of this height.
        }
        self.feed(now, Feed::Message(message), pace)
    }

    pub(super) fn on_stored(&mut self, id: Hash) -> Option<Feed> {
        if let Some((round, header)) = self.built.take_if(|(_, header)| header.id == id) {
            return Some(Feed::Propose { round, header });
        }
        self.blocks.get_mut(&id)?.is_stored = true;
        self.due(&id)
    }

    pub(super) fn on_judged(&mut self, id: Hash, is_right: bool) -> Option<Feed> {
        let block = self.blocks.get_mut(&id)?;
        // The first verdict stands: votes may rest on it.
        block.verdict.get_or_insert(is_right);
        self.due(&id)
    }

    pub(super) fn on_built(&mut self, header: Header) -> Option<Feed> {
        let round = self.building?;
        let fields = read_fields(&header).expect("a block of our own can be read");
        if fields.round != u64::from(round) || header.height != self.height() {
            return None; // Asked for in a round that has passed.
        }
        assert!(self.is_ours(&header, round), "a block of our own follows the rules");
        self.building = None;
        self.built = Some((round, header));
        None
    }

    /// Feeds the engine, and what follows from that.
    pub(super) fn feed(&mut self, now: Duration, feed: Feed, pace: &mut Pace) -> Result<Vec<Act>, Fault> {
        let mut effects = Vec::new();
        if let Feed::Value { header, .. } = &feed {
            self.timed(now, header.id, pace);
        }
        let is_sound = self.engine.feed(feed, &mut effects)?;
        let mut acts = self.settle(now, effects, pace)?;
        if !is_sound {
            acts.push(Act::Refuse(Violation::Signature));
        }
        Ok(acts)
    }

    /// The next timer that is due, which then does not run any more.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Timer> {
        let (timer, at) = self.timers.iter().min_by_key(|(timer, at)| (**at, **timer))?;
        let timer = (*at <= now).then_some(*timer)?;
        self.timers.remove(&timer);
        Some(timer)
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.timers.values().min().copied()
    }

    pub(super) fn height(&self) -> Height {
        next(&self.parent)
    }

    /// The block that was decided, until the next height begins.
    pub(super) fn decided(&self) -> Option<Hash> {
        self.decided
    }

    pub(super) fn validators(&self) -> &Validators {
        &self.validators
    }

    pub(super) fn weight(&self) -> u64 {
        self.validators.weight()
    }

    pub(super) fn standing(&self) -> Standing {
        self.engine.standing()
    }

    pub(super) fn proposer(&self) -> Option<Key> {
        Some(self.validators.proposer(self.height(), self.engine.round().into()).key)
    }

    pub(super) fn evidence(&self) -> Vec<Evidence> {
        self.engine.evidence()
    }

    pub(super) fn admits(&mut self, header: &Header) -> bool {
        let Ok(fields) = read_fields(header) else { return false };
        if !self.follows(header, u64::from(self.engine.round()) + ROUNDS_AHEAD) {
            return false;
        }
        let admitted = self.admitted.entry(fields.round).or_default();
        if admitted.len() < HEADERS_PER_ROUND && !admitted.contains(&header.id) {
            admitted.push(header.id);
        }
        admitted.contains(&header.id)
    }

    /// What it waits for.
    pub(super) fn waiting(&self) -> Waiting {
        let standing = self.standing();
        let unfed = self.blocks.values().find(|block| !block.is_fed);
        match standing.step {
            None => Waiting::Commit,
            Some(Step::Propose | Step::Repeat) if self.building.is_some() || self.built.is_some() => {
                Waiting::OurBlock
            }
            Some(Step::Propose | Step::Repeat) => match unfed {
                Some(block) if block.is_stored => Waiting::Verdict { block: block.header.id },
                Some(block) => Waiting::Body { block: block.header.id },
                None => Waiting::Proposal,
            },
            Some(Step::Prevote) => Waiting::Prevotes,
            Some(Step::Precommit) => Waiting::Precommits,
        }
    }

    /// Turns effects into acts, and feeds what they make due, until nothing is.
    fn settle(&mut self, now: Duration, effects: Vec<Effect>, pace: &mut Pace) -> Result<Vec<Act>, Fault> {
        let mut acts = Vec::new();
        let mut effects = effects;
        loop {
            let mut due = Vec::new();
            for effect in effects.drain(..) {
                self.on_effect(now, effect, pace, &mut acts, &mut due);
            }
            if due.is_empty() {
                return Ok(acts);
            }
            for feed in due {
                self.engine.feed(feed, &mut effects)?;
            }
        }
    }

    fn on_effect(
        &mut self,
        now: Duration,
        effect: Effect,
        pace: &mut Pace,
        acts: &mut Vec<Act>,
        due: &mut Vec<Feed>,
    ) {
        match effect {
            Effect::Append(record) => {
                let mut wants = Vec::new();
                let wrong = self.remember(&record, &mut wants);
                acts.push(Act::Append(record));
                acts.extend(wants);
                due.extend(wrong);
            }
            Effect::Publish(message) => {
                if let Message::Vote(vote) = &message
                    && self.voted.is_none_or(|(round, _)| round != vote.vote.round)
                {
                    self.voted = Some((vote.vote.round, now));
                }
                acts.push(Act::Send(message));
            }
            Effect::Schedule(timer) => {
                self.timers.insert(timer, now.saturating_add(pace.length(timer)));
            }
            Effect::Cancel(timer) => {
                self.timers.remove(&timer);
            }
            Effect::CancelAll => self.timers.clear(),
            Effect::Round(round) => {
                self.began.insert(round, now);
                while self.began.len() > ROUNDS_TIMED {
                    self.began.pop_first();
                }
                (self.building, self.built) = (None, None);
            }
            Effect::Build(round) => {
                self.building = Some(round);
                let until = now.saturating_add(pace.length(Timer { step: Step::Propose, round }));
                acts.push(Act::Produce { parent: self.parent, round, until });
            }
            Effect::Decide { round, block, precommits } => {
                if let Some((_, since)) = self.voted.filter(|(voted, _)| *voted == round) {
                    pace.voted(now.saturating_sub(since));
                }
                self.decided = Some(block);
                (self.building, self.built) = (None, None);
                // Those who miss a vote of ours may still need it.
                self.timers.retain(|timer, _| timer.step == Step::Repeat);
                let signed = precommits.iter().map(|(key, signature)| (key, *signature));
                let certificate = Certificate::new(self.height(), round, block, &self.validators, signed);
                acts.push(Act::Commit { block, certificate });
            }
        }
    }

    /// Keeps track of the blocks that the journal speaks of. A block that is wrong by its header is due at once;
    /// one that is not known is wanted.
    fn remember(&mut self, record: &Record, acts: &mut Vec<Act>) -> Option<Feed> {
        match record {
            Record::Message(Message::Proposal(proposal)) => self.on_proposal(proposal, acts),
            Record::Value { round, header, is_right } => {
                let block = self.blocks.entry(header.id).or_insert_with(|| Block {
                    header: header.clone(),
                    round: *round,
                    is_stored: false,
                    verdict: None,
                    is_fed: false,
                });
                (block.verdict, block.is_fed) = (Some(*is_right), true);
                // Only what was durable was ever fed as right.
                block.is_stored |= *is_right;
                None
            }
            Record::Height { .. } | Record::Timeout(_) => None,
            Record::Message(Message::Vote(_) | Message::Polka(_) | Message::Entry(_)) => None,
        }
    }

    fn on_proposal(&mut self, proposal: &Proposal, acts: &mut Vec<Act>) -> Option<Feed> {
        let (header, round) = (&proposal.header, proposal.round);
        if self.blocks.contains_key(&header.id) {
            return None;
        }
        let follows = self.follows(header, round.into());
        let block = Block {
            header: header.clone(),
            round,
            is_stored: false,
            verdict: (!follows).then_some(false),
            is_fed: false,
        };
        self.blocks.insert(header.id, block);
        if follows {
            acts.push(Act::Want(header.clone()));
        }
        self.due(&header.id)
    }

    /// What is to be fed about a block now, if anything; marks it as fed.
    fn due(&mut self, id: &Hash) -> Option<Feed> {
        let block = self.blocks.get_mut(id)?;
        let is_right = block.verdict?;
        if self.decided.is_some() || block.is_fed || (is_right && !block.is_stored) {
            return None;
        }
        block.is_fed = true;
        Some(Feed::Value { round: block.round, header: block.header.clone(), is_right })
    }

    /// Whether a header follows the last irreversible block, made by the one whose turn its round was, which is no
    /// later than this one. Its own signature is verified with the body.
    fn follows(&self, header: &Header, latest: u64) -> bool {
        let Ok(fields) = read_fields(header) else { return false };
        fields.chain == self.chain
            && header.height == self.height()
            && header.prev == self.parent.point.hash()
            && self.parent.point.slot().is_none_or(|slot| header.slot > slot)
            && fields.validators == self.validators.hash()
            && fields.round <= latest
            && self.validators.proposer(header.height, fields.round).key == fields.producer
    }

    fn is_ours(&self, header: &Header, round: u32) -> bool {
        self.follows(header, round.into())
            && read_fields(header).is_ok_and(|fields| fields.producer == self.me)
    }

    /// Learns from how long a block took.
    fn timed(&self, now: Duration, id: Hash, pace: &mut Pace) {
        let round = self.blocks.get(&id).map(|block| block.round);
        if let Some(began) = round.and_then(|round| self.began.get(&round)) {
            pace.proposed(now.saturating_sub(*began));
        }
    }

    /// All that it holds.
    #[cfg(test)]
    pub(super) fn everything(&self) -> String {
        format!("{self:?} {}", self.engine.everything())
    }

    /// Panics where an invariant does not hold.
    pub(super) fn check_invariants(&self) {
        assert!(self.decided.is_some() || !self.timers.is_empty(), "something wakes a validator that waits");
        assert!(self.building.is_none() || self.built.is_none(), "one block of ours at a time");
        for (id, block) in &self.blocks {
            assert_eq!(*id, block.header.id);
            let right = block.verdict == Some(true);
            assert!(!(block.is_fed && right) || block.is_stored, "what is voted for is durable");
        }
        assert!(self.began.len() <= ROUNDS_TIMED);
    }
}

/// Whether the journal holds the verdict that is about to be fed.
fn is_judged(records: &[Record], feed: &Feed) -> bool {
    let Feed::Value { header, .. } = feed else { return false };
    records
        .iter()
        .any(|record| matches!(record, Record::Value { header: judged, .. } if judged.id == header.id))
}
