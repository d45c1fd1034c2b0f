//! One height of a few validators, searched: in which order messages arrive, which never do, when timers run out, where
//! one of them loses power; over the production machine.
//!
//! What was said stays said: it may reach anybody at any later time, or never. So a state of all is the states of each,
//! and what one does is possible as soon as what it needs was said. Of the orders in which messages arrive those count
//! in which each message is needed: it brings, alone or with others that came before it, a word, a timer or a decision.
//! One that changes nothing yet might as well come later.
//!
//! Four with a liar, who may say anything to anybody at any time, are more than can be searched so: of one honest validator
//! alone the orders in which it hears a liar's words are too many. `chaos` and the simulator draw some of them.

mod node;
mod setup;

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use chain::Hash;
use chain::native::Faults;

use node::{Broken, MessageId, Messages, NodeState, Step, Table, View};
use setup::{Pool, Setup};

/// The state of all.
type All = Vec<NodeState>;

/// How many outputs a step has at most that a crash may come between.
const OUTPUTS: u8 = 6;

struct Search<'a> {
    setup: &'a Setup,
    pool: Pool,
    tables: Vec<Table>,
    /// What a validator can do next that others see, by its state, what was said, and what is left to go wrong.
    moves: BTreeMap<(usize, NodeState, Messages, Left), Vec<NodeState>>,
}

/// What may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Left {
    tick: bool,
    crash: bool,
}

struct Searched {
    states: usize,
    decided: usize,
    rounds: u32,
}

impl<'a> Search<'a> {
    fn new(setup: &'a Setup) -> Self {
        let tables = (0..setup.validators).map(Table::new).collect();
        Self { setup, pool: Pool::default(), tables, moves: BTreeMap::new() }
    }

    /// All states that can be reached, which are no more than so many.
    fn run(&mut self, most: usize) -> Result<Searched, (Broken, String)> {
        let mut first = Vec::new();
        for table in &mut self.tables {
            let started = table.start(self.setup, &mut self.pool);
            first.push(started.map_err(|broken| (broken, String::new()))?);
        }
        let mut seen = BTreeSet::from([first.clone()]);
        let mut open = vec![first];
        let mut searched = Searched { states: 0, decided: 0, rounds: 0 };
        while let Some(all) = open.pop() {
            self.look(&all, &mut searched)?;
            let said = self.views(&all).fold(0, |said, view| said | view.said);
            let left = Left {
                tick: self.views(&all).map(|view| view.ticked).sum::<u32>() < self.setup.ticks,
                crash: self.setup.crashes && !self.views(&all).any(|view| view.crashed),
            };
            for at in 0..all.len() {
                let moves = self.moves(at, all[at], said, left);
                for next in moves.map_err(|broken| (broken, self.story(&all)))? {
                    let mut then = all.clone();
                    then[at] = next;
                    if seen.insert(then.clone()) {
                        open.push(then);
                    }
                }
            }
            assert!(
                seen.len() <= most,
                "more than {most} states: the set-up is larger than it was meant to be"
            );
        }
        Ok(searched)
    }

    fn views(&self, all: &All) -> impl Iterator<Item = &View> {
        self.tables.iter().zip(all).map(|(table, state)| table.view(*state))
    }

    /// Counts a state, and checks that no two decided differently.
    fn look(&self, all: &All, searched: &mut Searched) -> Result<(), (Broken, String)> {
        searched.states += 1;
        searched.rounds = self.views(all).map(|view| view.round).fold(searched.rounds, u32::max);
        searched.decided += usize::from(self.views(all).all(|view| view.decided.is_some()));
        let mut decided = self.views(all).filter_map(|view| view.decided);
        let Some(first) = decided.next() else { return Ok(()) };
        match decided.find(|other| *other != first) {
            None => Ok(()),
            Some(other) => Err((Broken::Disagreed(first, other), self.story(all))),
        }
    }

    /// The states that a validator may come to with its next visible step.
    fn moves(
        &mut self,
        at: usize,
        from: NodeState,
        said: Messages,
        left: Left,
    ) -> Result<Vec<NodeState>, Broken> {
        let view = self.tables[at].view(from).clone();
        if view.decided.is_some() || view.round > self.setup.rounds {
            return Ok(Vec::new());
        }
        // What it said itself it knows.
        let others = said & !view.said;
        if let Some(moves) = self.moves.get(&(at, from, others, left)) {
            return Ok(moves.clone());
        }
        let mut moves = BTreeSet::new();
        if left.tick && view.ticks {
            moves.insert(self.step(at, from, Step::Tick)?);
            if left.crash {
                self.crash(at, from, None, &mut moves)?;
            }
        }
        self.deliveries(at, from, &view, others, left, &mut moves)?;
        let moves: Vec<_> = moves.into_iter().collect();
        self.moves.insert((at, from, others, left), moves.clone());
        Ok(moves)
    }

    /// Messages come, each of which is needed for what others see of it at last.
    fn deliveries(
        &mut self,
        at: usize,
        from: NodeState,
        view: &View,
        others: Messages,
        left: Left,
        moves: &mut BTreeSet<NodeState>,
    ) -> Result<(), Broken> {
        let mut ways: BTreeMap<Seen, Vec<Messages>> = BTreeMap::new();
        let mut level = BTreeMap::from([(from, 0)]);
        while !level.is_empty() {
            let mut next_level = BTreeMap::new();
            for (state, came) in level {
                for id in each(others & !came) {
                    let next = self.step(at, state, Step::Deliver(id))?;
                    let (with, after) = (came | 1 << id, seen(self.tables[at].view(next)));
                    if next == state {
                        continue;
                    }
                    if after == seen(view) {
                        next_level.entry(next).or_insert(with);
                        continue;
                    }
                    let ways = ways.entry(after).or_default();
                    if ways.iter().any(|fewer| fewer & with == *fewer && *fewer != with) {
                        continue;
                    }
                    ways.push(with);
                    moves.insert(next);
                    if left.crash {
                        self.crash(at, state, Some(id), moves)?;
                    }
                }
            }
            level = next_level;
        }
        Ok(())
    }

    fn step(&mut self, at: usize, state: NodeState, step: Step) -> Result<NodeState, Broken> {
        self.tables[at].step(self.setup, &mut self.pool, state, step)
    }

    /// Power is lost anywhere within a step.
    fn crash(
        &mut self,
        at: usize,
        state: NodeState,
        delivered: Option<MessageId>,
        moves: &mut BTreeSet<NodeState>,
    ) -> Result<(), Broken> {
        for outputs in 0..OUTPUTS {
            for left in 0..=outputs {
                for spoke in [false, true] {
                    moves.insert(self.step(at, state, Step::Crash { delivered, outputs, left, spoke })?);
                }
            }
        }
        Ok(())
    }

    fn story(&self, all: &All) -> String {
        let mut lines = Vec::new();
        for (at, state) in all.iter().enumerate() {
            let steps = self.tables[at].path(*state).iter().map(|step| match step {
                Step::Deliver(id) => self.pool.show(*id),
                step => format!("{step:?}"),
            });
            lines.push(format!("node {at}: {}", steps.collect::<Vec<_>>().join("; ")));
        }
        lines.join("\n")
    }
}

/// What others could tell of a state, or a timer.
type Seen = (Messages, Option<Hash>, u32, Option<Duration>);

fn seen(view: &View) -> Seen {
    (view.said, view.decided, view.round, view.timers)
}

fn each(messages: Messages) -> impl Iterator<Item = MessageId> {
    (0..Messages::BITS as MessageId).filter(move |id| messages >> id & 1 == 1)
}

fn exhaust(name: &str, setup: &Setup, most: usize) -> Searched {
    let mut search = Search::new(setup);
    let searched = match search.run(most) {
        Ok(searched) => searched,
        Err((broken, story)) => panic!("{name}: {broken:?}\n{story}"),
    };
    let (of_nodes, steps) = search
        .tables
        .iter()
        .fold((0, 0), |(states, steps), table| (states + table.len(), steps + table.transitions));
    println!(
        "{name}: {} states, {} of them decided, up to round {}; {of_nodes} states and {steps} steps of validators",
        searched.states, searched.decided, searched.rounds
    );
    searched
}

#[test]
fn three_who_only_stop_agree_in_every_order() {
    let searched = exhaust("three, who only stop", &Setup::new(3, Faults::Crash, 1, 2), 200_000);
    assert!(searched.decided > 0 && searched.rounds == 1, "some decide, some go on to another round");
}

#[test]
fn three_of_which_one_loses_power_anywhere_agree() {
    let setup = Setup { crashes: true, ..Setup::new(3, Faults::Crash, 1, 0) };
    let searched = exhaust("three, of which one loses power", &setup, 200_000);
    assert!(searched.decided > 0);
}

#[test]
fn a_journal_that_is_lost_with_the_power_is_found() {
    let setup = Setup { crashes: true, forgets: true, ..Setup::new(3, Faults::Crash, 1, 1) };
    let found = Search::new(&setup).run(200_000);
    assert!(matches!(found, Err((Broken::SaidTwice(_) | Broken::Disagreed(..), _))), "it votes twice");
}
