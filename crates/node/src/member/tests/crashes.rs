//! Power goes at any moment, and everything comes back: the rules of persistence.

use super::world::{Crash, Setup, World, ms};
use crate::{Notice, status};

/// One node loses power before each of many outputs; of what is not synced, none, half or all survives.
#[test]
fn one_of_four_may_crash_before_any_output() {
    for output in (0..420).step_by(14) {
        let survives = [0, 50, 100][output / 14 % 3];
        let mut world = World::new(Setup::new(output as u64, 4, 0));
        world.crashes.push(Crash { node: output / 14 % 4, output: output as u64, survives });
        world.boot();
        world.submit(1, vec![1; 40]);
        world.reach(&[0, 1, 2, 3], 9, ms(60_000));
        world.check();
    }
}

/// All lose power at about the same time, twice.
#[test]
fn all_may_crash_and_come_back() {
    for seed in 0..8 {
        let mut world = World::new(Setup::new(seed, 4, 1));
        world.boot();
        for round in 0..2 {
            let until = ms(700 + seed * 97 + round * 331);
            world.pass(until);
            let survives = [0, 30, 100][(seed as usize + round as usize) % 3];
            (0..5).for_each(|node| world.crash(node, survives));
            (0..5).for_each(|node| world.start_in(node, ms(100 + 50 * node as u64)));
            world.pass(ms(800));
        }
        let then = world.height() + 5;
        world.reach(&[0, 1, 2, 3, 4], then, ms(60_000));
        world.check();
    }
}

/// One validator alone: whatever it decided it keeps, and it never signs twice.
#[test]
fn a_validator_alone_may_crash_before_any_output() {
    for output in 0..60 {
        let mut world = World::new(Setup::new(output, 1, 1));
        world.crashes.push(Crash { node: 0, output, survives: [0, 60][output as usize % 2] });
        world.boot();
        world.submit(0, vec![7; 9]);
        world.reach(&[0, 1], 6, ms(60_000));
        world.check();
    }
}

/// Many crashes, and in between the network parts.
#[test]
fn crashes_and_partitions_end_in_agreement() {
    for seed in 0..6 {
        let mut world = World::new(Setup { latency: (ms(5), ms(60)), ..Setup::new(seed, 4, 2) });
        for n in 0..8 {
            let (node, output) = ((seed as usize + n) % 4, 40 + 53 * n as u64);
            world.crashes.push(Crash { node, output, survives: n * 13 % 101 });
        }
        world.boot();
        for n in 0..5 {
            world.pass(ms(900));
            world.set_link(n % 4, (n + 1) % 4, false);
            world.pass(ms(700));
            world.set_link(n % 4, (n + 1) % 4, true);
        }
        world.pass(ms(2_000));
        let then = world.height() + 5;
        world.reach(&[0, 1, 2, 3, 4, 5], then, ms(120_000));
        world.check();
    }
}

/// The checker is one: who speaks before the disk has what led to it is caught.
#[test]
fn a_driver_that_does_not_wait_for_the_disk_is_caught() {
    let twice = |speaks_early| {
        // All three are needed; the second's application is too slow at first, and quick after the crash.
        let mut world = World::new(Setup { disk: ms(40), ..Setup::new(1, 3, 0) });
        (world.speaks_early, world.away, world.crashes_at_nil) = (speaks_early, ms(5), Some(1));
        world.nodes[1].app.delay = ms(900);
        world.boot();
        world.run(ms(5_000), |world| world.nodes[1].life > 0);
        assert_eq!(world.nodes[1].life, 1, "it lost power\n{}", world.story());
        world.nodes[1].app.delay = ms(1);
        world.run(ms(5_000), |world| world.said_twice.is_some());
        world.said_twice.is_some()
    };
    assert!(twice(true), "a vote that was said and lost is said otherwise");
    assert!(!twice(false), "who waits for the disk remembers what it said");
}

#[test]
fn a_validator_whose_disk_fails_votes_no_more_and_serves_on() {
    let mut world = World::new(Setup { rest: ms(0), ..Setup::new(8, 4, 1) });
    // The follower hears of everything through the first alone.
    world.setup.links.retain(|(a, b)| *b != 4 || *a == 0);
    (0..4).for_each(|node| world.start(node));
    world.reach(&[0, 1, 2, 3], 20, ms(30_000));
    world.nodes[0].disk.fails = true;
    world.pass(ms(2_000));
    assert!(matches!(world.status(0).state, status::State::Failed { .. }), "{}", world.story());
    assert!(world.nodes[0].notices.iter().any(|notice| matches!(notice, Notice::PersistFailed { .. })));
    world.submit(0, vec![1]);
    assert!(world.nodes[0].submitted.last().is_some_and(Result::is_err));
    let has = world.settled(0);
    world.start(4);
    world.reach(&[4], has, ms(30_000));
    let then = world.height() + 5;
    world.reach(&[1, 2, 3], then, ms(60_000));
    world.check();
}

#[test]
fn with_a_damaged_journal_a_validator_waits_for_the_others() {
    let mut world = World::new(Setup::new(3, 4, 0));
    world.boot();
    world.reach(&[0, 1, 2, 3], 4, ms(20_000));
    world.crash(2, 0);
    world.nodes[2].disk.is_journal_damaged = true;
    world.start(2);
    world.nodes[2].disk.is_journal_damaged = false;
    let then = world.height() + 6;
    world.reach(&[0, 1, 2, 3], then, ms(60_000));
    assert_eq!(world.status(2).state, status::State::Validating, "it votes at later heights");
    world.check();
}
