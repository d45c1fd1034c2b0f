//! Random worlds: links break and come back, nodes forget everything, some lie. Never a loop; and whoever is joined to
//! another by honest nodes reaches it.

use std::time::Duration;

use chain::Hash;
use proptest::prelude::*;

use super::rig::{Conduct, Rng, World, producer};
use crate::routing::{Config, To};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new(Hash([0; 32]), 7)
}

/// A connected world: a tree of random shape, and some more links.
fn world(count: usize, more: usize, seed: u64) -> World {
    let mut world = World::new(count, seed, config());
    let mut rng = Rng(seed ^ 1);
    for n in 1..count {
        let parent = rng.below(n as u64) as usize;
        world.set_link(n, parent, 1 + rng.below(60), true);
    }
    for _ in 0..more {
        let (a, b) = (rng.below(count as u64) as usize, rng.below(count as u64) as usize);
        if a != b {
            world.set_link(a, b, 1 + rng.below(60), true);
        }
    }
    world
}

/// Breaks and mends for a while; at its end every link that there ever was is up.
fn disturb(world: &mut World, events: u64, restarts: bool) {
    let links: Vec<(usize, usize)> = world.links.keys().copied().collect();
    for _ in 0..events {
        let (a, b) = links[world.rng.below(links.len() as u64) as usize];
        let up = world.rng.chance(50);
        let latency = 1 + world.rng.below(60);
        match world.rng.below(10) {
            0 if restarts => {
                let n = world.rng.below(world.nodes.len() as u64) as usize;
                world.restart(n);
            }
            1 => {
                let n = world.rng.below(world.nodes.len() as u64) as usize;
                let m = world.rng.below(world.nodes.len() as u64) as usize;
                if n != m {
                    world.send(n, To::Producers(vec![producer(m)]), &[9]);
                }
            }
            2 => world.measure(a, b),
            3 => {
                let n = world.rng.below(world.nodes.len() as u64) as usize;
                let forgotten = world.rng.below(world.nodes.len() as u64) as usize;
                world.tell_producers(n, Some(forgotten).filter(|forgotten| *forgotten != n));
            }
            _ => world.set_link(a, b, latency, up),
        }
        let pause = world.rng.below(1_500);
        world.run_for(Duration::from_millis(pause));
    }
    world.begin();
    for (a, b) in links {
        let latency = 1 + world.rng.below(60);
        world.set_link(a, b, latency, true);
    }
}

/// Sends from everybody honest to everybody honest that can be reached; all of it arrives, once, and is confirmed.
fn serve(world: &mut World, within: Duration) {
    let mut sent = Vec::new();
    for from in 0..world.nodes.len() {
        if !world.is_honest(from) {
            continue;
        }
        for to in world.reachable(from) {
            if to != from {
                let ticket = world.send(from, To::Producers(vec![producer(to)]), &[1, from as u8, to as u8]);
                sent.push((from, to, ticket));
            }
        }
    }
    let begin = world.now;
    world.run_for(within);
    for (from, to, ticket) in sent {
        let over = &world.nodes[from].over.get(&ticket);
        let (at, missing) = over.unwrap_or_else(|| panic!("{from} still waits for {to}"));
        assert!(missing.is_empty(), "{from} did not reach {to}");
        assert!(*at - begin <= within);
    }
    for node in &world.nodes {
        assert!(node.delivered.values().all(|times| *times == 1), "a packet is delivered once");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn honest_nodes_reach_each_other_by_routes_without_loops(
        seed: u64, count in 2usize..10, more in 0usize..10, events in 0u64..40,
    ) {
        let mut world = world(count, more, seed);
        world.begin();
        disturb(&mut world, events, true);
        // Routes settle soon after the links do: a round of questions for newer claims at the most.
        world.run_for(40 * SECOND);
        for n in 0..count {
            for to in (0..count).filter(|to| *to != n) {
                prop_assert!(world.nodes[n].state.next_hop(&producer(to)).is_some(), "{n} has no route to {to}");
            }
        }
        let floods: u64 = world.nodes.iter().map(|node| node.state.status().counts.floods).sum();
        serve(&mut world, 5 * SECOND);
        let after: u64 = world.nodes.iter().map(|node| node.state.status().counts.floods).sum();
        prop_assert_eq!(floods, after, "nothing had to go everywhere");
    }

    #[test]
    fn liars_close_no_loop_and_cut_nobody_off(
        seed: u64, count in 3usize..10, more in 0usize..12, liars in 1usize..4, events in 0u64..30,
    ) {
        let mut world = world(count, more, seed);
        for _ in 0..liars {
            let liar = world.rng.below(count as u64) as usize;
            world.nodes[liar].conduct = if world.rng.chance(50) { Conduct::Liar } else { Conduct::Hole };
        }
        for n in 0..count {
            world.nodes[n].skew_ms = world.rng.below(40_000) as i64 - 20_000;
        }
        world.begin();
        disturb(&mut world, events, true);
        world.run_for(2 * SECOND);
        serve(&mut world, 20 * SECOND);
    }

    #[test]
    fn the_same_seed_gives_the_same_world(seed: u64) {
        let run = || {
            let mut world = world(6, 5, seed);
            world.begin();
            disturb(&mut world, 10, true);
            let counts: Vec<_> = world.nodes.iter().map(|node| node.state.status()).collect();
            (world.sent.clone(), format!("{counts:?}"))
        };
        prop_assert_eq!(run(), run());
    }
}

/// The oracle is worth something: where next hops of liars count as well, there are loops, and it sees them.
#[test]
fn loops_through_liars_are_noticed() {
    let looped = (0..200).any(|seed| {
        let mut world = world(6, 6, seed);
        (0..3).for_each(|n| world.nodes[n].conduct = Conduct::Liar);
        world.trusting = true;
        let run = std::panic::AssertUnwindSafe(|| {
            world.begin();
            disturb(&mut world, 30, false);
        });
        let end = std::panic::catch_unwind(run);
        end.is_err_and(|end| end.downcast_ref::<String>().is_some_and(|text| text.starts_with("a loop")))
    });
    assert!(looped);
}
