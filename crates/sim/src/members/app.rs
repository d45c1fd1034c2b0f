//! The application of a node: a small one that keeps its own durable state, is slow now and then, and knows what a
//! good block is.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use chain::native::{self, StateRoot, Validator, Validators, blake2b, transactions};
use chain::{Block, Hash, Tip};
use node::Ticket;
use node::application::{Answer, Applied, Question, Snapshot, Taken, Verdict};

/// What a transaction begins with that no application of this chain accepts in a block.
pub(super) const WRONG: &[u8] = b"wrong";

/// What the application keeps over a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Durable {
    tip: Tip,
    root: Hash,
    /// How many blocks it took in.
    count: u64,
}

/// One.
#[derive(Debug)]
pub(super) struct App {
    durable: Durable,
    /// The last block that was handed over since the start.
    handed: Tip,
    waiting: VecDeque<(Ticket, Question)>,
    every: Option<NonZeroU64>,
    /// The states that it keeps for newcomers, newest first: as long as its process lives.
    snapshots: VecDeque<StateRoot>,
    /// The state that it puts together, and the pieces that it wants.
    restoring: Option<(StateRoot, BTreeSet<Bytes>)>,
    /// Whether it is at work on the first that waits.
    pub(super) is_busy: bool,
    pub(super) asleep_until: Duration,
}

/// A delivery that is not the next block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutOfOrder {
    pub(super) expected_after: Tip,
    pub(super) found: Tip,
}

impl App {
    /// One that keeps its state after every so many blocks.
    pub(super) fn new(every: Option<NonZeroU64>) -> Self {
        let durable = Durable { tip: Tip::default(), root: Hash::default(), count: 0 };
        Self {
            handed: durable.tip,
            durable,
            waiting: VecDeque::new(),
            every,
            snapshots: VecDeque::new(),
            restoring: None,
            is_busy: false,
            asleep_until: Duration::ZERO,
        }
    }

    /// Its process starts anew, with what it kept.
    pub(super) fn restart(&mut self) {
        let Self { durable, .. } = Self::new(self.every);
        let durable = std::mem::replace(&mut self.durable, durable);
        *self = Self { handed: durable.tip, durable, ..Self::new(self.every) };
        if self.every.is_some() && self.durable.count > 0 {
            self.keep();
        }
    }

    /// Power is lost: a block that it was at work on may be in or not.
    pub(super) fn crash(&mut self, was_in: bool, change: Option<&Change>) {
        if let (true, true, Some((_, Question::Deliver { block }))) =
            (self.is_busy, was_in, self.waiting.front())
        {
            let block = block.clone();
            self.apply(&block, change);
        }
        if let (true, true, Some((_, Question::Snapshot(Snapshot::Restored { tip })))) =
            (self.is_busy, was_in, self.waiting.front())
        {
            self.restored(*tip);
        }
        self.waiting.clear();
    }

    /// Where it stands, as a node is told at its start.
    pub(super) fn applied(&self, change: Option<&Change>) -> Applied {
        let Durable { tip, root, count } = &self.durable;
        let validators = change.and_then(|change| change.wanted(*count));
        Applied { tip: *tip, root: (*count > 0).then_some(*root), validators }
    }

    /// How many blocks it took in.
    pub(super) fn count(&self) -> u64 {
        self.durable.count
    }

    /// Takes a question; a delivery must be the next block.
    pub(super) fn ask(&mut self, ticket: Ticket, question: Question) -> Result<(), OutOfOrder> {
        if let Question::Deliver { block } = &question {
            let found = block.header.tip();
            if block.header.prev != self.handed.point.hash() {
                return Err(OutOfOrder { expected_after: self.handed, found });
            }
            self.handed = found;
        }
        self.waiting.push_back((ticket, question));
        Ok(())
    }

    /// Whether there is something to do.
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Is done with the first that waits.
    pub(super) fn answer(
        &mut self,
        change: Option<&Change>,
        accepts_anything: bool,
    ) -> Option<(Ticket, Answer)> {
        let (ticket, question) = self.waiting.pop_front()?;
        let answer = match question {
            Question::CheckTx { tx } if tx.starts_with(WRONG) => rejected(),
            Question::CheckTx { .. } => Answer::Verdict(Verdict::Accept),
            Question::CheckBlock { block } if accepts_anything || is_right(&block) => {
                Answer::Verdict(Verdict::Accept)
            }
            Question::CheckBlock { .. } => rejected(),
            Question::Build { max_bytes, candidates, .. } => Answer::Built(choose(max_bytes, &candidates)),
            Question::Snapshot(about) => self.snapshot(about, change),
            Question::Deliver { block } => {
                self.apply(&block, change);
                Answer::Applied(self.applied(change))
            }
        };
        Some((ticket, answer))
    }

    fn apply(&mut self, block: &Block, _change: Option<&Change>) {
        let Durable { root, count, .. } = &self.durable;
        let root = blake2b(&[root.0, block.header.id.0].concat());
        self.durable = Durable { tip: block.header.tip(), root, count: count + 1 };
        if self.every.is_some_and(|every| self.durable.count.is_multiple_of(every.get())) {
            self.keep();
        }
    }

    /// Keeps the state for newcomers, and the one before it.
    fn keep(&mut self) {
        let Durable { tip, root, .. } = &self.durable;
        self.snapshots.push_front(StateRoot { height: tip.height, root: *root });
        self.snapshots.truncate(2);
    }

    fn snapshot(&mut self, about: Snapshot, change: Option<&Change>) -> Answer {
        match about {
            Snapshot::Offered => Answer::Snapshots(self.snapshots.iter().copied().collect()),
            Snapshot::Piece { of, name } => {
                Answer::Piece(self.snapshots.contains(&of).then(|| piece(&of, &name)))
            }
            Snapshot::Restore { to } => {
                let first = Bytes::from_static(&[0]);
                self.restoring = Some((to, BTreeSet::from([first.clone()])));
                Answer::Restoring(Some(vec![first]))
            }
            Snapshot::Take { name, piece } => Answer::Taken(self.take(&name, &piece)),
            Snapshot::Restored { tip } if self.restored(tip) => Answer::Applied(self.applied(change)),
            Snapshot::Restored { .. } => Answer::Failed { reason: "it is not whole".into() },
            Snapshot::Forget => {
                self.restoring = None;
                Answer::Restoring(None)
            }
        }
    }

    fn take(&mut self, name: &Bytes, found: &Bytes) -> Taken {
        let Some((to, wanted)) = &mut self.restoring else { return Taken::Unasked };
        if *found != piece(to, name) {
            return Taken::Wrong { reason: "it is made up".into() };
        }
        if !wanted.remove(name) {
            return Taken::Unasked;
        }
        let more: Vec<Bytes> = match name[..] {
            [0] => (1..9).map(|at| vec![at].into()).collect(),
            _ => Vec::new(),
        };
        wanted.extend(more.iter().cloned());
        Taken::Right { more }
    }

    /// Stands where it was told to, if all is there.
    fn restored(&mut self, tip: Tip) -> bool {
        let is_whole =
            |(to, wanted): &(StateRoot, BTreeSet<Bytes>)| wanted.is_empty() && to.height == tip.height;
        let Some((to, _)) = self.restoring.take_if(|it| is_whole(it)) else { return false };
        self.durable = Durable { tip, root: to.root, count: tip.height.0 + 1 };
        self.handed = tip;
        self.keep();
        true
    }
}

/// A piece of a state: only who has the state can make it.
fn piece(of: &StateRoot, name: &[u8]) -> Bytes {
    blake2b(&[b"piece", name, &of.root.0].concat()).0.to_vec().into()
}

/// A change of validators that every application asks for after the same block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// After so many blocks.
    pub(super) after: u64,
    /// The validators from then on.
    pub(super) validators: Validators,
}

impl Change {
    /// All of these but the last.
    pub(super) fn without_last(after: u64, keys: &[[u8; 32]]) -> Option<Self> {
        let kept = keys.iter().take(keys.len().saturating_sub(1));
        let validators = kept.map(|key| Validator { key: *key, weight: NonZeroU64::MIN });
        Some(Self { after, validators: Validators::new(validators)? })
    }

    fn wanted(&self, count: u64) -> Option<Validators> {
        (count >= self.after).then(|| self.validators.clone())
    }
}

/// Whether a block may be voted for: none of its transactions is wrong.
pub(super) fn is_right(block: &Block) -> bool {
    transactions(block).is_ok_and(|all| !all.iter().any(|tx| tx.starts_with(WRONG)))
}

fn rejected() -> Answer {
    Answer::Verdict(Verdict::Reject { reason: "it begins like one that is wrong".into() })
}

/// As many as there is room for, oldest first.
fn choose(max_bytes: u64, candidates: &[(Hash, Bytes)]) -> Vec<Hash> {
    let mut room = max_bytes;
    let mut chosen = Vec::new();
    for (id, tx) in candidates {
        let needs = tx.len() as u64 + 5;
        if needs <= room && !tx.starts_with(WRONG) {
            room -= needs;
            chosen.push(*id);
        }
    }
    debug_assert!(chosen.len() as u64 <= native::MAX_TRANSACTIONS);
    chosen
}
