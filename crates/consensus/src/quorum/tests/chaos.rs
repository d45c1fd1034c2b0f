//! Everything at once, drawn at random: liars up to what the chain can live with, crashes, partitions, losses. More
//! worlds: `PROPTEST_CASES=1000`.

use std::time::Duration;

use chain::native::Faults;
use proptest::prelude::*;

use super::world::{Crash, Lie, Setup, World, ms};

const LIES: [Lie; 7] =
    [Lie::Silence, Lie::Twice, Lie::Forgery, Lie::WrongBlocks, Lie::NoBodies, Lie::Late, Lie::Noise];

#[derive(Debug, Clone)]
struct Story {
    seed: u64,
    nodes: u8,
    faults: Faults,
    lies: Vec<usize>,
    loss: u32,
    slowest_ms: u64,
    disk_ms: u64,
    judging_ms: u64,
    crashes: Vec<(usize, u64, usize)>,
    /// Groups of the nodes, one bit each, for a while each.
    parts: Vec<(u8, u64)>,
}

fn story() -> impl Strategy<Value = Story> {
    // A disk that takes no time would let one validator alone decide for ever without any passing.
    let network = (0..50u32, 1..400u64, 2..40u64, 0..300u64);
    let crashes = prop::collection::vec((0..7usize, 0..200u64, 0..101usize), 0..8);
    let parts = prop::collection::vec((any::<u8>(), 50..3_000u64), 0..6);
    (any::<u64>(), 1..=7u8, any::<bool>(), prop::collection::vec(0..LIES.len(), 2), network, crashes, parts)
        .prop_map(|(seed, nodes, stops, lies, (loss, slowest_ms, disk_ms, judging_ms), crashes, parts)| {
            let faults = if stops { Faults::Crash } else { Faults::Byzantine };
            Story { seed, nodes, faults, lies, loss, slowest_ms, disk_ms, judging_ms, crashes, parts }
        })
}

fn world(story: &Story) -> World {
    let mut setup = Setup::new(story.seed, story.nodes, story.faults);
    setup.loss = story.loss;
    setup.delay = (ms(1), ms(story.slowest_ms));
    (setup.disk, setup.judging) = (ms(story.disk_ms), ms(story.judging_ms));
    // Less than a third may lie, and none where faults only stop.
    let liars = if story.faults == Faults::Byzantine { usize::from(story.nodes - 1) / 3 } else { 0 };
    setup.lies = (0..liars).map(|liar| (liar * 2, LIES[story.lies[liar]])).collect();
    World::new(setup)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_all_decide_alike_and_go_on(story in story()) {
        let mut world = world(&story);
        let nodes = usize::from(story.nodes);
        let honest = world.honest();
        let of = |node: usize| honest[node % honest.len()];
        let crashes = story.crashes.iter();
        world.crashes = crashes
            .map(|(node, output, survives)| Crash { node: of(*node), output: *output, survives: *survives })
            .collect();
        world.boot();
        for (groups, time) in &story.parts {
            let groups: Vec<u8> = (0..nodes).map(|node| groups >> node & 1).collect();
            world.part(&groups);
            world.run(ms(*time), |_| false);
            world.check();
        }
        world.run(ms(3_000), |_| false);
        world.check();
        // The faults end.
        world.part(&vec![0; nodes]);
        world.crashes.clear();
        world.setup.loss = 0;
        world.run(ms(1_000), |_| false);
        let before = world.nodes.iter().map(|node| node.log.len()).max().expect("one at least");
        let reached = world.reach(&honest, before + 2, Duration::from_secs(180));
        prop_assert!(reached, "no progress\n{}", world.story());
    }
}
