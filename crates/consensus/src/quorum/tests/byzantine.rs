//! Liars below the threshold harm nobody; liars above it are what the checkers are for.

use std::time::Duration;

use chain::native::Faults;

use super::world::{Lie, Setup, World, key, ms};
use crate::quorum::Evidence;

const MINUTES: Duration = Duration::from_secs(180);

fn with(lie: Lie, seed: u64) -> World {
    let mut setup = Setup::new(seed, 4, Faults::Byzantine);
    setup.lies.insert(1, lie);
    setup.loss = if seed.is_multiple_of(2) { 0 } else { 10 };
    let mut world = World::new(setup);
    world.boot();
    let honest = world.honest();
    assert!(world.reach(&honest, 6, MINUTES), "seed {seed}: {lie:?}\n{}", world.story());
    world
}

#[test]
fn who_is_silent_costs_a_round() {
    let world = with(Lie::Silence, 2);
    let late = world.nodes[0].log.iter().filter(|(_, certificate)| certificate.round() > 0).count();
    assert!(late > 0, "its turns were passed over");
}

#[test]
fn who_says_two_things_is_found_out() {
    for seed in 0..6 {
        let world = with(Lie::Twice, seed);
        let liar = key(2).public();
        let found: Vec<_> = world.honest().into_iter().flat_map(|node| &world.nodes[node].evidence).collect();
        assert!(!found.is_empty(), "seed {seed}: somebody saw it");
        assert!(found.iter().all(|piece| piece.validator() == liar), "nobody else is accused");
        assert!(seed != 0 || found.iter().any(|piece| matches!(piece, Evidence::Votes(_))));
    }
}

#[test]
fn forged_signatures_are_refused() {
    for seed in 0..3 {
        let world = with(Lie::Forgery, seed);
        assert!(world.honest().into_iter().all(|node| world.nodes[node].refused > 0));
    }
}

#[test]
fn wrong_blocks_are_never_decided() {
    for seed in 0..3 {
        let world = with(Lie::WrongBlocks, seed);
        assert!(
            world.nodes[1].built > 0,
            "it had its turn, and the world asserts that none of its blocks got in"
        );
    }
}

#[test]
fn bodies_that_never_come_cost_a_round() {
    for seed in 0..3 {
        with(Lie::NoBodies, seed);
    }
}

#[test]
fn noise_of_one_validator_harms_nobody() {
    for seed in 0..8 {
        let world = with(Lie::Noise, seed);
        let liar = key(2).public();
        let found = world.honest().into_iter().flat_map(|node| &world.nodes[node].evidence);
        assert!(found.into_iter().all(|piece| piece.validator() == liar), "nobody else is accused");
    }
}

#[test]
fn who_is_late_on_purpose_does_not_slow_the_others_for_ever() {
    let mut world = with(Lie::Late, 4);
    let from = world.nodes[0].log.len();
    let began = world.now;
    assert!(world.reach(&world.honest(), from + 12, MINUTES));
    assert!(world.now - began < ms(12_000), "{:?} for 12 blocks", world.now - began);
}

#[test]
fn two_with_one_key_cannot_break_agreement_among_four() {
    for seed in 0..8 {
        let mut setup = Setup::new(seed, 4, Faults::Byzantine);
        setup.keys = vec![1, 2, 3, 4, 4];
        setup.loss = 10;
        let mut world = World::new(setup);
        world.boot();
        world.part(&[0, 0, 1, 0, 1]);
        world.run(ms(5_000), |_| false);
        world.part(&[0; 5]);
        assert!(world.reach(&[0, 1, 2], 5, MINUTES), "seed {seed}\n{}", world.story());
    }
}

#[test]
fn the_checker_of_agreement_sees_a_liar_too_many() {
    // Where faults only stop, one key in two places is a liar: each half of the network has its quorum.
    let mut setup = Setup::new(1, 3, Faults::Crash);
    setup.keys = vec![1, 2, 3, 3];
    let mut world = World::new(setup);
    world.boot();
    world.part(&[0, 1, 0, 1]);
    world.run(ms(10_000), |world| world.disagreement.is_some());
    assert!(world.disagreement.is_some(), "{}", world.story());
}
