//! One validator as a table of states: made by the production machine, each transition once.
//!
//! A machine cannot be copied; what it was told leads there again. Two states are one when all that the machine holds
//! is the same, and its journal, and what it said.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use chain::native::ballot::Kind;
use chain::{Hash, Tip};

use super::setup::{Pool, Setup};
use crate::quorum::{Input, Journal, Message, Output, Quorum, Record, Start, Ticket, Violation};

/// A message, by its place in the pool.
pub(super) type MessageId = u8;

/// Some messages, a bit each.
pub(super) type Messages = u128;

/// A state of a validator, by its place in the table.
pub(super) type NodeState = u32;

/// What can happen to a validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// It starts.
    Start,
    /// A message comes.
    Deliver(MessageId),
    /// Its next timer is due.
    Tick,
    /// It loses power while it acts on that, after so many of its outputs: of the records that were not synced so many
    /// are left, and if `spoke` it was after a sync of those, so that what waited for them was said. It comes back.
    Crash { delivered: Option<MessageId>, outputs: u8, left: u8, spoke: bool },
}

/// A state, with what is known of it.
#[derive(Debug)]
struct Known {
    /// What led there.
    path: Vec<Step>,
    view: View,
}

/// What others can see of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// What it said so far.
    pub(super) said: Messages,
    pub(super) decided: Option<Hash>,
    pub(super) round: u32,
    /// Whether a timer runs.
    pub(super) ticks: bool,
    /// What it is waiting for: something that a silent step does not change.
    pub(super) timers: Option<Duration>,
    /// How many of its timers ran out.
    pub(super) ticked: u32,
    /// Whether it lost power.
    pub(super) crashed: bool,
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// It said two things of which an honest validator says one.
    SaidTwice(String),
    /// It refused what an honest validator said.
    Refused(Violation),
    /// It gave up.
    Halted(String),
    /// Two decided differently.
    Disagreed(Hash, Hash),
}

/// All states of one validator that were come upon.
pub(super) struct Table {
    node: usize,
    known: Vec<Known>,
    by_digest: BTreeMap<u128, NodeState>,
    /// A machine that stands in its state.
    machines: BTreeMap<NodeState, Machine>,
    next: BTreeMap<(NodeState, Step), NodeState>,
    pub(super) transitions: u64,
}

/// What is never waited for: messages are not lost here, but come when they come.
pub(super) const REPEAT: Duration = Duration::from_secs(1_000_000);

/// How many machines are kept to go on from.
const MACHINES: usize = 4_000;

/// A running machine with what its driver holds.
struct Machine {
    quorum: Quorum,
    now: Duration,
    journal: Vec<Record>,
    said: Messages,
    /// What it said where: the kind of word, the round, the block.
    words: BTreeMap<(u8, u32), Option<Hash>>,
    decided: Option<Hash>,
    ticked: u32,
    crashed: bool,
}

impl Table {
    pub(super) fn new(node: usize) -> Self {
        Self {
            node,
            known: Vec::new(),
            by_digest: BTreeMap::new(),
            machines: BTreeMap::new(),
            next: BTreeMap::new(),
            transitions: 0,
        }
    }

    /// The state in which it has started.
    pub(super) fn start(&mut self, setup: &Setup, pool: &mut Pool) -> Result<NodeState, Broken> {
        let mut machine = Machine::new(setup, self.node);
        machine.take(setup, pool, self.node, Step::Start)?;
        Ok(self.keep(setup, machine, vec![Step::Start]))
    }

    pub(super) fn view(&self, state: NodeState) -> &View {
        &self.known[state as usize].view
    }

    pub(super) fn path(&self, state: NodeState) -> &[Step] {
        &self.known[state as usize].path
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The state after a step.
    pub(super) fn step(
        &mut self,
        setup: &Setup,
        pool: &mut Pool,
        from: NodeState,
        step: Step,
    ) -> Result<NodeState, Broken> {
        if let Some(next) = self.next.get(&(from, step)) {
            return Ok(*next);
        }
        self.transitions += 1;
        let mut machine = match self.machines.remove(&from) {
            Some(machine) => machine,
            None => self.again(setup, pool, from)?,
        };
        machine.take(setup, pool, self.node, step)?;
        let mut path = self.known[from as usize].path.clone();
        path.push(step);
        let next = self.keep(setup, machine, path);
        self.next.insert((from, step), next);
        Ok(next)
    }

    /// A machine that goes the way to a state once more.
    fn again(&self, setup: &Setup, pool: &mut Pool, state: NodeState) -> Result<Machine, Broken> {
        let mut machine = Machine::new(setup, self.node);
        for step in &self.known[state as usize].path {
            machine.take(setup, pool, self.node, *step)?;
        }
        Ok(machine)
    }

    fn keep(&mut self, setup: &Setup, machine: Machine, path: Vec<Step>) -> NodeState {
        let digest = machine.digest(setup);
        let next = self.known.len() as NodeState;
        let state = *self.by_digest.entry(digest).or_insert(next);
        if state == next {
            self.known.push(Known { path, view: machine.view() });
        }
        if self.machines.len() < MACHINES {
            self.machines.insert(state, machine);
        }
        state
    }
}

impl Machine {
    fn new(setup: &Setup, node: usize) -> Self {
        Self {
            quorum: setup.quorum(node),
            now: Duration::ZERO,
            journal: Vec::new(),
            said: 0,
            words: BTreeMap::new(),
            decided: None,
            ticked: 0,
            crashed: false,
        }
    }

    fn view(&self) -> View {
        View {
            said: self.said,
            decided: self.decided,
            round: self.quorum.status().round,
            ticks: self.quorum.next_deadline().is_some_and(|at| at < REPEAT),
            timers: self.quorum.next_deadline(),
            ticked: self.ticked,
            crashed: self.crashed,
        }
    }

    fn digest(&self, setup: &Setup) -> u128 {
        let everything = self.quorum.everything();
        let view = self.view();
        // While it may still lose power, all of its journal counts.
        let journal = (setup.crashes && !self.crashed).then_some(&self.journal);
        let all = format!("{everything} {:?} {view:?} {journal:?}", self.now);
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            (salt, &all).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }

    /// Takes a step. Disk and application answer at once; a crash comes in between any two outputs.
    fn take(&mut self, setup: &Setup, pool: &mut Pool, node: usize, step: Step) -> Result<(), Broken> {
        match step {
            Step::Start => self.tell(setup, pool, node, start(setup, Vec::new()), None),
            Step::Deliver(id) => {
                let message = pool.message(id).clone();
                self.tell(setup, pool, node, Input::Message(message), None)
            }
            Step::Tick => {
                self.wait();
                self.tell(setup, pool, node, Input::Tick, None)
            }
            Step::Crash { delivered, outputs, left, spoke } => {
                let input = match delivered {
                    Some(id) => Input::Message(pool.message(id).clone()),
                    None => {
                        self.wait();
                        Input::Tick
                    }
                };
                self.tell(setup, pool, node, input, Some(Cut { outputs, left, spoke }))?;
                self.quorum = setup.quorum(node);
                self.crashed = true;
                if setup.forgets {
                    self.journal.clear();
                }
                let journal = self.journal.clone();
                self.tell(setup, pool, node, start(setup, journal), None)
            }
        }
    }

    /// Until its next timer runs out.
    fn wait(&mut self) {
        let deadline = self.quorum.next_deadline().expect("a timer runs");
        self.now = self.now.max(deadline);
        self.ticked += 1;
    }

    fn tell(
        &mut self,
        setup: &Setup,
        pool: &mut Pool,
        node: usize,
        input: Input,
        cut: Option<Cut>,
    ) -> Result<(), Broken> {
        let mut inputs = VecDeque::from([input]);
        let (mut performed, mut unsynced, mut held) = (0, Vec::new(), Vec::new());
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            self.quorum.handle(self.now, input, &mut out);
            for output in out {
                if cut.is_some_and(|cut| cut.outputs == performed) {
                    return self.lose(pool, unsynced, held, cut.expect("it is there"));
                }
                performed += 1;
                match output {
                    Output::Persist { ticket, record } => unsynced.push((ticket, record)),
                    Output::Send { message, after } => held.push((after, message)),
                    Output::Want { header } => {
                        inputs.push_back(Input::Stored(header.id));
                        inputs.push_back(Input::Judged { block: header.id, is_right: true });
                    }
                    Output::Produce { round, .. } => {
                        let header = setup.block(node, round);
                        inputs.push_back(Input::Built(header.clone()));
                        inputs.push_back(Input::Stored(header.id));
                    }
                    Output::Commit { block, .. } => self.decided = Some(block),
                    Output::Evidence(_) => {}
                    Output::Refused(violation) => return Err(Broken::Refused(violation)),
                    Output::Halted(halt) => return Err(Broken::Halted(halt.to_string())),
                }
            }
        }
        if let Some(cut) = cut {
            return self.lose(pool, unsynced, held, cut);
        }
        let last = unsynced.last().map(|(ticket, _)| *ticket);
        self.write(unsynced);
        if let Some(ticket) = last {
            self.quorum.handle(self.now, Input::Persisted(ticket), &mut Vec::new());
        }
        held.into_iter().try_for_each(|(_, message)| self.say(pool, &message))
    }

    /// Power is lost: some of what was written is left, and what waited for that may have been said.
    fn lose(
        &mut self,
        pool: &mut Pool,
        mut unsynced: Vec<(Ticket, Record)>,
        held: Vec<(Ticket, Message)>,
        cut: Cut,
    ) -> Result<(), Broken> {
        unsynced.truncate(cut.left.into());
        let synced = unsynced.last().map(|(ticket, _)| *ticket);
        self.write(unsynced);
        for (after, message) in held {
            if cut.spoke && synced.is_some_and(|synced| after <= synced) {
                self.say(pool, &message)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, records: Vec<(Ticket, Record)>) {
        for (_, record) in records {
            if matches!(record, Record::Height { .. }) {
                self.journal.clear();
            }
            self.journal.push(record);
        }
    }

    fn say(&mut self, pool: &mut Pool, message: &Message) -> Result<(), Broken> {
        let (word, block) = match message {
            Message::Vote(vote) => match vote.vote.kind {
                Kind::Prevote => (0, vote.vote.block),
                Kind::Precommit => (1, vote.vote.block),
            },
            Message::Proposal(proposal) => (2, Some(proposal.header.id)),
            Message::Polka(_) | Message::Entry(_) => {
                self.said |= 1 << pool.id(message);
                return Ok(());
            }
        };
        let before = *self.words.entry((word, message.round())).or_insert(block);
        if before != block {
            let what = format!("{} {}: {before:?}, {block:?}", message.name(), message.round());
            return Err(Broken::SaidTwice(what));
        }
        self.said |= 1 << pool.id(message);
        Ok(())
    }
}

/// Where power is lost.
#[derive(Debug, Clone, Copy)]
struct Cut {
    outputs: u8,
    left: u8,
    spoke: bool,
}

fn start(setup: &Setup, journal: Vec<Record>) -> Input {
    Input::Start(Box::new(Start {
        parent: Tip::default(),
        validators: Arc::new(setup.params.validator_set().expect("a valid genesis")),
        has_work: true,
        journal: Journal::Read(journal),
    }))
}
