//! Random worlds: links break and come back, nodes forget everything, applications stall, some peers cheat. Whatever an
//! honest node accepted reaches all that are joined to it by honest nodes, and comes to each of them once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::rig::{Conduct, World};
use super::single::{SECOND, config, long};
use crate::relay::{Config, Name, Stage};

/// A connected world: a tree of random shape, and some more links.
fn world(count: usize, more: usize, seed: u64, config: Config) -> World {
    let mut world = World::new(count, seed, config);
    for n in 1..count {
        let parent = world.below(n as u64) as usize;
        let latency = 1 + world.below(60);
        world.set_link(n, parent, latency, true);
    }
    for _ in 0..more {
        let (a, b) = (world.below(count as u64) as usize, world.below(count as u64) as usize);
        let latency = 1 + world.below(60);
        if a != b {
            world.set_link(a, b, latency, true);
        }
    }
    world
}

fn honest(world: &World) -> Vec<usize> {
    (0..world.nodes.len()).filter(|n| world.nodes[*n].conduct == Conduct::Honest).collect()
}

/// The honest nodes that are joined to this one by honest nodes.
fn joined(world: &World, from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([from]);
    let mut rest = vec![from];
    while let Some(n) = rest.pop() {
        for (a, b) in world.all_links() {
            let other = if a == n { b } else { a };
            let next = (a == n || b == n) && world.nodes[other].conduct == Conduct::Honest;
            if next && found.insert(other) {
                rest.push(other);
            }
        }
    }
    found
}

/// Submits somewhere; most of it is right.
fn submit(world: &mut World, n: u32) -> Option<(usize, Name)> {
    let nodes = honest(world);
    let node = nodes[world.below(nodes.len() as u64) as usize];
    let sort = if world.below(8) == 0 { world.below(2) as u32 } else { 2 };
    let length = 4 + world.below(3_000) as usize;
    let name = world.submit(node, long(n | sort << 24, length)).ok()?;
    (sort == 2).then_some((node, name))
}

fn is_pooled(world: &World, n: usize, name: &Name) -> bool {
    world.nodes[n].state.progress(name).is_some_and(|progress| progress.stage == Stage::Pooled)
}

/// Every item that is somewhere is everywhere.
fn check_spread(world: &World, items: &[(usize, Name)]) {
    for (node, name) in items {
        let all = joined(world, *node);
        let somewhere = all.iter().any(|n| is_pooled(world, *n, name));
        for n in all {
            assert_eq!(is_pooled(world, n, name), somewhere, "{name:?} of {node} at {n}");
        }
    }
}

fn totals(world: &World) -> BTreeMap<Name, (u32, u32)> {
    let mut totals: BTreeMap<Name, (u32, u32)> = BTreeMap::new();
    for n in honest(world) {
        let node = &world.nodes[n];
        node.asked.iter().for_each(|(name, times)| totals.entry(*name).or_default().0 += times);
        node.got.iter().for_each(|(name, times)| totals.entry(*name).or_default().1 += times);
    }
    totals
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn in_a_calm_world_each_item_is_pulled_once_by_each_node(
        seed: u64, count in 2usize..12, more in 0usize..16, items in 1u32..60,
    ) {
        let mut world = world(count, more, seed, config());
        world.run_for(SECOND);
        let mut submitted = Vec::new();
        for n in 0..items {
            submitted.extend(submit(&mut world, n));
            let pause = world.below(50);
            world.run_for(Duration::from_millis(pause));
        }
        world.run_for(20 * SECOND);
        check_spread(&world, &submitted);
        for (_, name) in &submitted {
            let (asked, got) = totals(&world).get(name).copied().unwrap_or_default();
            prop_assert_eq!((asked, got), (count as u32 - 1, count as u32 - 1));
        }
        for node in &world.nodes {
            prop_assert!(node.blamed.is_empty());
            prop_assert_eq!(node.state.status().counts.lapses, 0);
        }
    }

    #[test]
    fn whatever_breaks_each_item_reaches_everybody(
        seed: u64, count in 2usize..10, more in 0usize..12, events in 1u32..80,
    ) {
        let mut world = world(count, more, seed, config());
        world.run_for(SECOND);
        let submitted = disturb(&mut world, events, true);
        world.run_for(30 * SECOND);
        check_spread(&world, &submitted);
        for node in &world.nodes {
            prop_assert!(node.blamed.is_empty(), "who only breaks is not blamed");
        }
    }

    #[test]
    fn cheats_delay_items_and_stop_none(
        seed: u64, count in 3usize..10, more in 2usize..20, cheats in 1usize..4, events in 1u32..40,
    ) {
        // Few, so that looking at all books after each step of a flood does not take for ever.
        let mut world = world(count, more, seed, Config { open_offers: 64, ..config() });
        for _ in 0..cheats {
            let cheat = world.below(count as u64 - 1) as usize + 1;
            let conducts = [Conduct::Withholds, Conduct::Lies, Conduct::Floods];
            world.nodes[cheat].conduct = conducts[world.below(3) as usize];
        }
        world.run_for(SECOND);
        let submitted = disturb(&mut world, events, false);
        world.run_for(30 * SECOND);
        check_spread(&world, &submitted);
        for n in honest(&world) {
            for (peer, _) in &world.nodes[n].blamed {
                prop_assert_ne!(world.nodes[*peer].conduct, Conduct::Honest, "only cheats are blamed");
            }
        }
    }

    #[test]
    fn small_bounds_hold_and_what_waits_comes_when_there_is_room(
        seed: u64, count in 2usize..7, more in 0usize..8, items in 20u32..60,
    ) {
        let mut small = Config { open_offers: 8, max_judging: 4, judging_bytes: 8 << 10, ..config() };
        let rules = small.kinds.get_mut(&crate::relay::TRANSACTION).expect("there");
        rules.max_count = 200;
        let mut world = world(count, more, seed, small);
        world.judge_ms = 300;
        world.run_for(SECOND);
        let mut submitted = Vec::new();
        for n in 0..items {
            submitted.extend(submit(&mut world, n));
            let pause = world.below(400);
            world.run_for(Duration::from_millis(pause));
        }
        world.run_for(60 * SECOND);
        check_spread(&world, &submitted);
    }

    #[test]
    fn the_same_seed_gives_the_same_world(seed: u64) {
        let run = || {
            let mut world = world(6, 5, seed, config());
            disturb(&mut world, 20, true);
            let status: Vec<_> = world.nodes.iter().map(|node| node.state.status()).collect();
            (world.sent.clone(), format!("{status:?}"))
        };
        prop_assert_eq!(run(), run());
    }
}

/// Submits, breaks and mends for a while; at its end all links are up and all applications answer.
fn disturb(world: &mut World, events: u32, restarts: bool) -> Vec<(usize, Name)> {
    let links = world.all_links();
    let mut submitted = Vec::new();
    for n in 0..events {
        let (a, b) = links[world.below(links.len() as u64) as usize];
        let node = world.below(world.nodes.len() as u64) as usize;
        let latency = 1 + world.below(60);
        match world.below(10) {
            0 if restarts => world.restart(node),
            1 => world.stall(node, true),
            2 => world.stall(node, false),
            3 | 4 => {
                let up = world.below(2) == 0;
                world.set_link(a, b, latency, up);
            }
            _ => submitted.extend(submit(world, n)),
        }
        let pause = world.below(600);
        world.run_for(Duration::from_millis(pause));
    }
    for (a, b) in links {
        let latency = 1 + world.below(60);
        world.set_link(a, b, latency, true);
    }
    (0..world.nodes.len()).for_each(|n| world.stall(n, false));
    submitted
}

/// The oracle is worth something: without fallback to another offerer it would see items missing.
#[test]
fn who_never_asks_twice_is_noticed() {
    let missed = (0..20).any(|seed| {
        let never = Config { lease: Duration::from_secs(1 << 40), ..config() };
        let mut world = world(6, 10, seed, never);
        world.nodes[1].conduct = Conduct::Withholds;
        world.run_for(SECOND);
        let submitted: Vec<_> = (0..20).filter_map(|n| submit(&mut world, n)).collect();
        world.run_for(60 * SECOND);
        let run = std::panic::AssertUnwindSafe(|| check_spread(&world, &submitted));
        std::panic::catch_unwind(run).is_err()
    });
    assert!(missed);
}
