//! What happens in a network: who makes blocks, who is killed, and which blocks count towards which case.

use std::time::Duration;

use super::DEGREE;
use super::blocks::Maker;
use super::dice::Dice;
use super::overlay;
use super::tally::Tally;
use super::world::{Node, World};

/// One node starts so long after the other.
const JOINS: Duration = Duration::from_millis(10);
/// Then the overlay has this long to settle: iroh-gossip shuffles once a minute.
const SETTLES: Duration = Duration::from_secs(200);
/// From one block to the next. What has not arrived then is missed.
const INTERVAL: Duration = Duration::from_secs(2);
/// The same once nodes were killed: time-outs may add up.
const AFTER_KILL: Duration = Duration::from_secs(10);
/// How many blocks come after the first one of a kill.
const NEXT: usize = 10;

/// The cases, in the order in which they are shown.
const CASES: [&str; 12] = [
    "one_cold",
    "one_warm",
    "rotating_cold",
    "rotating_warm",
    "killed_10_first",
    "killed_10_next",
    "killed_30_first",
    "killed_30_next",
    "silent_10_first",
    "silent_10_next",
    "silent_30_first",
    "silent_30_next",
];

/// A network and who produces in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) producers: usize,
    pub(crate) even: bool,
}

/// Plays all networks, with all that can happen in each.
pub(crate) fn all<N: Node>(
    plans: impl Iterator<Item = Plan>,
    node: impl Fn(u64, usize) -> N + Copy,
) -> Vec<(&'static str, Tally)> {
    let mut tallies = CASES.map(|case| (case, Tally::default()));
    let [one_cold, one_warm, cold, warm, killed @ ..] = tallies.each_mut().map(|(_, tally)| tally);
    for plan in plans {
        let mut stage = Stage::new(plan, node);
        let one = stage.producers[0];
        stage.block(one, INTERVAL, one_cold);
        (0..plan.producers).for_each(|_| stage.block(one, INTERVAL, one_warm));

        let kills = [(10, false), (30, false), (10, true), (30, true)];
        for (at, (percent, silently)) in kills.into_iter().enumerate() {
            let mut stage = Stage::new(plan, node);
            // The same blocks each time: they count once.
            let mut again = [Tally::default(), Tally::default()];
            let [again_cold, again_warm] = &mut again;
            let (cold, warm) = if at == 0 { (&mut *cold, &mut *warm) } else { (again_cold, again_warm) };
            stage.turn(plan.producers, INTERVAL, cold);
            stage.turn(plan.producers, INTERVAL, warm);
            stage.kill(percent, silently);
            stage.turn(1, AFTER_KILL, killed[2 * at]);
            stage.turn(NEXT, AFTER_KILL, killed[2 * at + 1]);
        }
    }
    tallies.into()
}

struct Stage<N: Node> {
    plan: Plan,
    world: World<N>,
    dice: Dice,
    maker: Maker,
    producers: Vec<usize>,
    /// Whose turn it is.
    turn: usize,
}

impl<N: Node> Stage<N> {
    fn new(plan: Plan, node: impl Fn(u64, usize) -> N) -> Self {
        let Plan { seed, nodes, producers, even } = plan;
        let mut dice = Dice::new([seed, nodes as u64]);
        let graph = if even { overlay::even } else { overlay::dialled };
        let graph = graph(nodes, DEGREE, &mut dice);
        let mut world = World::new(seed, (0..nodes).map(|name| node(seed, name)));
        for (name, neighbours) in graph.iter().enumerate() {
            let known = neighbours.iter().copied().filter(|peer| *peer < name).collect();
            world.join(JOINS * name as u32, name, known);
        }
        world.run_for(JOINS * nodes as u32 + SETTLES);
        let producers = dice.pick(producers, nodes);
        Self { plan, world, dice, maker: Maker::new(seed), producers, turn: 0 }
    }

    /// So many producers take their turns.
    fn turn(&mut self, blocks: usize, time: Duration, tally: &mut Tally) {
        for _ in 0..blocks {
            // Who is dead or behind misses its turn.
            let turns = (self.turn..).map(|turn| (turn, self.producers[turn % self.producers.len()]));
            let able = turns.take(self.producers.len()).find(|(_, who)| self.world.has_last(*who));
            let Some((turn, who)) = able else { return };
            self.turn = turn + 1;
            self.block(who, time, tally);
        }
    }

    fn block(&mut self, who: usize, time: Duration, tally: &mut Tally) {
        let block = self.maker.next(who);
        tally.add(&self.world.spread(who, block, time));
    }

    /// Kills so many of the nodes, and the block of the next producer comes at once.
    fn kill(&mut self, percent: usize, silently: bool) {
        let next = self.producers[self.turn % self.producers.len()];
        let mut dead = self.dice.pick(self.plan.nodes, self.plan.nodes);
        dead.retain(|who| *who != next);
        dead.truncate(self.plan.nodes * percent / 100);
        self.world.kill(&dead, silently);
    }
}
