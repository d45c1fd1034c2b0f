//! The machine: what comes in, what goes out, and the phases between.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chain::native::{self, Certificate, Faults, Validators};
use chain::{Hash, Header, Height, Point, Tip};

use super::ahead::{Ahead, Kept};
use super::boundary::{Halt, Input, Output, Start, Ticket, Violation, Watch};
use super::engine::{Fault, Feed, Standing};
use super::evidence::{Evidence, MAX_EVIDENCE};
use super::message::{Key, Message};
use super::pace::{Config, Pace};
use super::record::{Journal, Record};
use super::status::{Status, Waiting};
use super::voting::Voting;

/// What the machine is doing.
#[derive(Debug)]
enum Phase {
    /// Nothing was started.
    Idle,
    /// Others decide this height.
    Watching { height: Height, why: Watch, validators: Arc<Validators> },
    /// There is nothing to say: the height begins with the first word or when the time is up.
    Resting { start: Box<Start>, until: Duration },
    /// It votes.
    Voting(Box<Voting>),
    /// It does not vote any more.
    Halted(Halt),
}

/// Decides, with others, which block is irreversible.
#[derive(Debug)]
pub struct Quorum {
    chain: Hash,
    faults: Faults,
    key: Option<native::Key>,
    config: Config,
    phase: Phase,
    pace: Pace,
    ahead: Ahead,
    evidence: VecDeque<Evidence>,
    /// What was told of the present height: more may be seen in one than are kept.
    told: BTreeSet<(Key, Height, u32, bool)>,
    /// The last ticket that was given out.
    written: Ticket,
    durable: Ticket,
    /// The height that this key voted at before the chain was lost.
    voted: Option<Height>,
}

impl Quorum {
    /// A machine that waits for its first start. Without a key it only watches. The configuration must be valid.
    pub fn new(chain: Hash, faults: Faults, key: Option<native::Key>, config: Config) -> Self {
        assert!(config.validate().is_ok(), "a configuration is validated before it is used");
        Self {
            chain,
            faults,
            key,
            phase: Phase::Idle,
            pace: Pace::new(config),
            config,
            ahead: Ahead::default(),
            evidence: VecDeque::new(),
            told: BTreeSet::new(),
            written: Ticket(0),
            durable: Ticket(0),
            voted: None,
        }
    }

    /// Takes in what happened, at a monotonic time; appends what is to be done.
    pub fn handle(&mut self, now: Duration, input: Input, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Halted(_)) {
            return;
        }
        match input {
            Input::Start(start) => self.on_start(now, *start, out),
            Input::Message(message) => self.on_message(now, message, out),
            Input::Stored(block) => self.on_voting(now, out, |voting| voting.on_stored(block)),
            Input::Judged { block, is_right } => {
                self.on_voting(now, out, |voting| voting.on_judged(block, is_right));
            }
            Input::Built(header) => self.on_voting(now, out, |voting| voting.on_built(header)),
            Input::Persisted(ticket) => self.on_persisted(ticket),
            Input::PersistFailed => self.halt(Halt::Disk, out),
            Input::Work => self.on_work(now, out),
            Input::Tick => self.on_tick(now, out),
        }
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Resting { until, .. } => Some(*until),
            Phase::Voting(voting) => voting.next_deadline(),
            Phase::Idle | Phase::Watching { .. } | Phase::Halted(_) => None,
        }
    }

    /// The height that is decided on, once one was started.
    pub fn height(&self) -> Option<Height> {
        match &self.phase {
            Phase::Idle | Phase::Halted(_) => None,
            Phase::Watching { height, .. } => Some(*height),
            Phase::Resting { start, .. } => Some(next(&start.parent)),
            Phase::Voting(voting) => Some(voting.height()),
        }
    }

    /// Whether this node votes at the height that is decided on.
    pub fn is_voting(&self) -> bool {
        matches!(self.phase, Phase::Voting(_))
    }

    /// The block that was decided and is being written; `None` once the next height began.
    pub fn decided(&self) -> Option<Hash> {
        match &self.phase {
            Phase::Voting(voting) => voting.decided(),
            Phase::Idle | Phase::Watching { .. } | Phase::Resting { .. } | Phase::Halted(_) => None,
        }
    }

    /// Whether a header that peers tell of, at the height that is decided on, is worth keeping though nobody
    /// proposed it here: its round is at most ten ahead, and its producer made at most one other for that round.
    /// A header that was proposed or has a certificate needs no leave.
    pub fn admits(&mut self, header: &Header) -> bool {
        match &mut self.phase {
            Phase::Voting(voting) => voting.admits(header),
            Phase::Idle | Phase::Watching { .. } | Phase::Resting { .. } | Phase::Halted(_) => false,
        }
    }

    /// Takes up the evidence that earlier lives kept, oldest first. What proves nothing on this chain is passed over.
    pub fn remember(&mut self, evidence: impl IntoIterator<Item = Evidence>) {
        for piece in evidence {
            if piece.is_proof(&self.chain) && !self.evidence.contains(&piece) {
                self.keep(piece);
            }
        }
    }

    fn keep(&mut self, piece: Evidence) {
        if self.evidence.len() == MAX_EVIDENCE {
            self.evidence.pop_front();
        }
        self.evidence.push_back(piece);
    }

    /// The evidence that was seen, in earlier lives as well, oldest first; the last [`MAX_EVIDENCE`].
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.evidence.iter()
    }

    /// How many messages wait for a later height.
    pub fn early(&self) -> usize {
        self.ahead.len()
    }

    /// What it is doing, and why it gets no further.
    pub fn status(&self) -> Status {
        let waiting = match &self.phase {
            Phase::Idle => Waiting::Start,
            Phase::Watching { why, .. } => Waiting::Others(*why),
            Phase::Resting { until, .. } => Waiting::Work { until: *until },
            Phase::Halted(halt) => Waiting::Halted(halt.clone()),
            Phase::Voting(_) if self.durable < self.written => Waiting::Disk,
            Phase::Voting(voting) => voting.waiting(),
        };
        let (standing, weight, proposer) = match &self.phase {
            Phase::Voting(voting) => (Some(voting.standing()), voting.weight(), voting.proposer()),
            Phase::Watching { validators, .. } => (None, validators.weight(), None),
            Phase::Resting { start, .. } => (None, start.validators.weight(), None),
            Phase::Idle | Phase::Halted(_) => (None, 0, None),
        };
        let Standing { round, prevotes, precommits, .. } =
            standing.unwrap_or(Standing { round: 0, step: None, prevotes: 0, precommits: 0 });
        Status { height: self.height(), round, proposer, prevotes, precommits, weight, waiting }
    }

    fn on_start(&mut self, now: Duration, start: Start, out: &mut Vec<Output>) {
        let height = next(&start.parent);
        assert!(self.height().is_none_or(|before| before < height), "heights begin in their order");
        let validators = start.validators.clone();
        let why = match self.may_vote(&start) {
            Ok(()) => None,
            Err(Refusal::Watch(why)) => Some(why),
            Err(Refusal::Halt(halt)) => return self.halt(halt, out),
        };
        if let Some(why) = why {
            self.ahead.take(height);
            self.phase = Phase::Watching { height, why, validators };
            return;
        }
        let is_new = records(&start, height).is_empty();
        let may_rest = is_new && !start.has_work && !self.config.rest.is_zero() && !self.ahead.has(height);
        if may_rest {
            let until = now.saturating_add(self.config.rest);
            self.phase = Phase::Resting { start: Box::new(start), until };
            return;
        }
        self.begin(now, start, out);
    }

    /// Whether this node votes at the height that starts: not without a key, and not where it may have voted
    /// already without knowing how.
    fn may_vote(&mut self, start: &Start) -> Result<(), Refusal> {
        let height = next(&start.parent);
        if let Journal::Read(records) = &start.journal {
            match records.first() {
                None => {}
                Some(Record::Height { chain, height: voted, parent }) => {
                    let other_past = *voted == height && *parent != start.parent.point.hash();
                    if *chain != self.chain || other_past {
                        return Err(Refusal::Halt(Halt::OtherChain));
                    }
                    if *voted > height {
                        self.voted = Some(*voted);
                    }
                }
                Some(Record::Message(_) | Record::Value { .. } | Record::Timeout(_)) => {
                    return Err(Refusal::Watch(Watch::Damaged));
                }
            }
        }
        let is_validator = self.key.as_ref().is_some_and(|key| start.validators.contains(&key.public()));
        match self.voted.filter(|voted| *voted >= height) {
            _ if !is_validator => Err(Refusal::Watch(Watch::NoValidator)),
            Some(voted) => Err(Refusal::Watch(Watch::Behind { voted })),
            None if start.journal == Journal::Damaged => Err(Refusal::Watch(Watch::Damaged)),
            None => Ok(()),
        }
    }

    fn begin(&mut self, now: Duration, start: Start, out: &mut Vec<Output>) {
        let height = next(&start.parent);
        // What an earlier life saw comes up again with the journal.
        self.told = self.evidence.iter().map(Evidence::place).filter(|place| place.1 == height).collect();
        let key = self.key.clone().expect("who votes has a key");
        let records = records(&start, height);
        let mut voting = Box::new(Voting::new(self.chain, self.faults, key, start.parent, &start.validators));
        if records.is_empty() {
            let parent = start.parent.point.hash();
            self.persist(Record::Height { chain: self.chain, height, parent }, out);
        }
        let result = voting.begin(now, &records, &mut self.pace);
        self.phase = Phase::Voting(voting);
        self.perform(result, out);
        for message in self.ahead.take(height) {
            self.on_message(now, message, out);
        }
    }

    fn on_message(&mut self, now: Duration, message: Message, out: &mut Vec<Output>) {
        let (height, validators) = match &self.phase {
            Phase::Idle | Phase::Halted(_) => return,
            Phase::Watching { height, validators, .. } => (*height, &**validators),
            Phase::Resting { start, .. } => (next(&start.parent), &*start.validators),
            Phase::Voting(voting) => (voting.height(), voting.validators()),
        };
        let at = message.height();
        if at < height {
            return;
        }
        // The set of a later height is not known yet: who joins it repeats its votes.
        let refused = if at == height { check(&message, validators) } else { stranger(&message, validators) };
        match refused {
            Some(violation) if at == height => return out.push(Output::Refused(violation)),
            Some(_) => return,
            None => {}
        }
        match &mut self.phase {
            Phase::Voting(voting) if at == height => {
                let result = voting.on_message(now, message, &mut self.pace);
                self.perform(result, out);
            }
            Phase::Watching { .. } if at == height => {}
            _ => {
                let below = if at == height { Height(height.0.saturating_sub(1)) } else { height };
                match self.ahead.keep(below, &self.chain, message) {
                    Kept::Forged => out.push(Output::Refused(Violation::Signature)),
                    Kept::Yes if at == height => self.on_work(now, out),
                    Kept::Yes | Kept::No => {}
                }
            }
        }
    }

    fn on_voting(
        &mut self,
        now: Duration,
        out: &mut Vec<Output>,
        tell: impl FnOnce(&mut Voting) -> Option<Feed>,
    ) {
        let Phase::Voting(voting) = &mut self.phase else { return };
        let Some(feed) = tell(voting) else { return };
        let result = voting.feed(now, feed, &mut self.pace);
        self.perform(result, out);
    }

    fn on_persisted(&mut self, ticket: Ticket) {
        assert!(ticket <= self.written, "what was not written is not durable");
        self.durable = self.durable.max(ticket);
    }

    fn on_work(&mut self, now: Duration, out: &mut Vec<Output>) {
        if let Phase::Resting { start, .. } = &self.phase {
            let start = start.clone();
            self.begin(now, *start, out);
        }
    }

    fn on_tick(&mut self, now: Duration, out: &mut Vec<Output>) {
        match &self.phase {
            Phase::Resting { until, .. } if *until <= now => return self.on_work(now, out),
            Phase::Idle | Phase::Resting { .. } | Phase::Watching { .. } | Phase::Halted(_) => return,
            Phase::Voting(_) => {}
        }
        // One timer may put an end to others: each is looked for afresh.
        while let Phase::Voting(voting) = &mut self.phase {
            let Some(timer) = voting.take_due(now) else { break };
            let result = voting.feed(now, Feed::Timeout(timer), &mut self.pace);
            self.perform(result, out);
        }
    }

    fn perform(&mut self, result: Result<Vec<Act>, Fault>, out: &mut Vec<Output>) {
        let acts = match result {
            Ok(acts) => acts,
            Err(fault) => return self.halt(fault.into(), out),
        };
        for act in acts {
            match act {
                Act::Append(record) => self.persist(record, out),
                Act::Send(message) => out.push(Output::Send { message, after: self.written }),
                Act::Want(header) => out.push(Output::Want { header }),
                Act::Produce { parent, round, until } => out.push(Output::Produce { parent, round, until }),
                Act::Commit { block, certificate } => {
                    out.push(Output::Commit { block, certificate, after: self.written });
                }
                Act::Refuse(violation) => out.push(Output::Refused(violation)),
            }
        }
        if let Phase::Voting(voting) = &self.phase {
            for piece in voting.evidence() {
                if !self.told.insert(piece.place()) {
                    continue;
                }
                self.keep(piece.clone());
                out.push(Output::Evidence(piece));
            }
        }
    }

    fn persist(&mut self, record: Record, out: &mut Vec<Output>) {
        self.written.0 += 1;
        out.push(Output::Persist { ticket: self.written, record });
    }

    fn halt(&mut self, halt: Halt, out: &mut Vec<Output>) {
        out.push(Output::Halted(halt.clone()));
        self.phase = Phase::Halted(halt);
    }

    /// All that it holds: two machines of which this says the same act alike ever after.
    #[cfg(test)]
    pub(super) fn everything(&self) -> String {
        match &self.phase {
            Phase::Voting(voting) => format!("{} {:?} {:?}", voting.everything(), self.pace, self.ahead),
            phase => format!("{phase:?} {:?} {:?} {:?}", self.pace, self.ahead, self.voted),
        }
    }

    /// Panics where an invariant of the module's doc does not hold.
    pub fn check_invariants(&self) {
        assert!(self.durable <= self.written, "what is durable was written");
        assert!(self.evidence.len() <= MAX_EVIDENCE, "evidence is bounded");
        assert!(self.ahead.len() <= 3 * 12 * native::MAX_VALIDATORS, "what waits is bounded");
        if let Phase::Voting(voting) = &self.phase {
            voting.check_invariants();
        }
    }
}

/// What a height's votes want done; tickets are given out in this order.
#[derive(Debug)]
pub(super) enum Act {
    Append(Record),
    Send(Message),
    Want(Header),
    Produce { parent: Tip, round: u32, until: Duration },
    Commit { block: Hash, certificate: Certificate },
    Refuse(Violation),
}

/// Why a height is not voted on.
enum Refusal {
    Watch(Watch),
    Halt(Halt),
}

/// The height after a block.
pub(super) fn next(parent: &Tip) -> Height {
    match parent.point {
        Point::Origin => Height(0),
        Point::Block(..) => Height(parent.height.0 + 1),
    }
}

/// The records of this height, without the one that names it; none if the journal is of an earlier height.
fn records(start: &Start, height: Height) -> Vec<Record> {
    match &start.journal {
        Journal::Read(records) => match records.first() {
            Some(Record::Height { height: voted, .. }) if *voted == height => records[1..].to_vec(),
            _ => Vec::new(),
        },
        Journal::Damaged => Vec::new(),
    }
}

/// What can be seen to be wrong with a message of this height before its signatures are verified.
fn check(message: &Message, validators: &Validators) -> Option<Violation> {
    let fault = match message {
        Message::Proposal(proposal) => proposal.fault(validators),
        Message::Vote(_) | Message::Polka(_) | Message::Entry(_) => None,
    };
    fault.or_else(|| stranger(message, validators))
}

fn stranger(message: &Message, validators: &Validators) -> Option<Violation> {
    let is_known = |key: &Key| validators.contains(key);
    let all_known = match message {
        Message::Vote(vote) => is_known(&vote.validator),
        Message::Proposal(proposal) => is_known(&proposal.validator),
        Message::Polka(polka) => polka.votes.iter().all(|(key, _)| is_known(key)),
        Message::Entry(entry) => entry.votes.iter().all(|vote| is_known(&vote.validator)),
    };
    (!all_known).then_some(Violation::Stranger)
}
