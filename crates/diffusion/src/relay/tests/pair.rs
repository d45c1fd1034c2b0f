//! Two nodes and nothing else.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::rig::World;
use super::single::{SECOND, config, long};
use crate::relay::{Config, Input, Stage, TRANSACTION};

fn pair(seed: u64, latency_ms: u64) -> World {
    let mut world = World::new(2, seed, config());
    world.set_link(0, 1, latency_ms, true);
    world.run_for(SECOND);
    world
}

fn accepted(n: u32, length: usize) -> Bytes {
    long(n | 2 << 24, length)
}

#[test]
fn what_one_takes_the_other_gets_once() {
    let mut world = pair(1, 30);
    let name = world.submit(0, accepted(1, 500)).expect("it is right");
    world.run_for(SECOND);
    assert_eq!(world.nodes[1].state.progress(&name).map(|progress| progress.stage), Some(Stage::Pooled));
    assert_eq!(world.nodes[1].got[&name], 1);
    let progress = world.nodes[0].state.progress(&name).expect("it is ours");
    assert_eq!((progress.offered, progress.requested, progress.seen_back), (1, 1, false));
    // It is offered again for as long as nobody offers it back, and not asked for again.
    world.run_for(600 * SECOND);
    assert_eq!(world.nodes[1].got[&name], 1);
    assert!(world.sent["offer"] > 5);
    for n in 0..2 {
        world.give(n, Input::Included { kind: TRANSACTION, ids: vec![name.id] });
    }
    let offers = world.sent["offer"];
    world.run_for(600 * SECOND);
    assert_eq!(world.sent["offer"], offers);
}

#[test]
fn what_both_have_is_not_sent() {
    let mut world = pair(2, 30);
    let name = world.submit(0, accepted(1, 500)).expect("it is right");
    world.submit(1, accepted(1, 500)).expect("it is right");
    world.run_for(20 * SECOND);
    assert!(world.nodes.iter().all(|node| node.got.is_empty()));
    for node in &world.nodes {
        assert!(node.state.progress(&name).expect("it is ours").seen_back);
    }
}

#[test]
fn what_is_wrong_goes_nowhere() {
    let mut world = pair(3, 30);
    let name = world.submit(0, long(1, 50)).expect("it is taken");
    world.run_for(SECOND);
    assert_eq!(world.nodes[0].state.progress(&name).map(|progress| progress.stage), Some(Stage::Rejected));
    assert!(!world.sent.contains_key("offer"));
}

#[test]
fn a_stalled_application_stops_its_own_items_and_nothing_else() {
    let config = Config { max_judging: 64, ..config() };
    let max_judging = config.max_judging;
    let mut world = World::new(3, 4, config);
    // 1 stands between 0 and 2, and there is a way around it.
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        world.set_link(a, b, 10, true);
    }
    world.run_for(SECOND);
    world.stall(1, true);
    let mut names = Vec::new();
    for n in 0..300 {
        names.push(world.submit((n % 2 * 2) as usize, accepted(n, 300)).expect("there is room"));
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(60 * SECOND);
    let status = world.nodes[1].state.status();
    assert_eq!((status.judging, status.late), (max_judging, max_judging));
    assert_eq!(status.pooled, 0);
    for n in [0, 2] {
        assert_eq!(world.nodes[n].state.status().pooled, names.len(), "the others have all of them");
        assert!(world.nodes[n].blamed.is_empty());
    }
    world.stall(1, false);
    world.run_for(20 * SECOND);
    assert_eq!(world.nodes[1].state.status().pooled, names.len());
    assert!(world.nodes[1].got.values().all(|times| *times == 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn two_nodes_end_with_the_same_items(
        seed: u64, latency in 1u64..300, items in prop::collection::vec((0usize..2, 4usize..4_000, 0u64..200), 1..80),
    ) {
        let mut world = pair(seed, latency);
        let mut names = Vec::new();
        for (n, (node, length, pause)) in items.into_iter().enumerate() {
            names.push(world.submit(node, accepted(n as u32, length)).expect("there is room"));
            world.run_for(Duration::from_millis(pause));
        }
        world.run_for(30 * SECOND);
        for node in &world.nodes {
            prop_assert_eq!(node.state.status().pooled, names.len());
            prop_assert!(node.got.values().all(|times| *times == 1));
            prop_assert!(node.blamed.is_empty());
        }
    }
}
