//! The rules of persistence, each as a crash: at any output, with any part of what was not synced left.

use std::time::Duration;

use chain::native::Faults;
use chain::{Hash, Height};

use super::world::{Crash, Setup, World, ms};
use crate::quorum::{Halt, Input, Record, Waiting, Watch};

const MINUTE: Duration = Duration::from_secs(60);

fn world(setup: Setup) -> World {
    let mut world = World::new(setup);
    world.boot();
    world
}

/// Crashes one node at each of its outputs, one run for each, and lets it come back.
fn crash_everywhere(setup: &Setup, node: usize, height: usize) {
    let everyone: Vec<_> = (0..setup.keys.len()).collect();
    let mut calm = world(setup.clone());
    assert!(calm.reach(&everyone, height, MINUTE));
    let outputs = calm.nodes[node].outputs;
    assert!(outputs > 10);
    for output in 0..outputs {
        for survives in [0, 50, 100] {
            let mut world = World::new(setup.clone());
            world.crashes.push(Crash { node, output, survives });
            world.boot();
            let reached = world.reach(&everyone, height + 2, MINUTE);
            assert!(reached, "crash at output {output}, {survives} % survive\n{}", world.story());
            assert_eq!(world.nodes[node].halted, None);
        }
    }
}

#[test]
fn a_crash_between_any_two_outputs_signs_nothing_twice() {
    crash_everywhere(&Setup::new(11, 4, Faults::Byzantine), 0, 2);
}

#[test]
fn a_single_validator_lives_through_a_crash_between_any_two_outputs() {
    let mut setup = Setup::new(12, 1, Faults::Byzantine);
    setup.has_sync = false;
    crash_everywhere(&setup, 0, 3);
}

#[test]
fn two_of_three_crash_between_any_two_outputs_where_faults_only_stop() {
    let setup = Setup::new(13, 3, Faults::Crash);
    for output in 0..40 {
        let mut world = World::new(setup.clone());
        world.crashes.push(Crash { node: 0, output, survives: 50 });
        world.crashes.push(Crash { node: 1, output: (output * 7) % 40, survives: 0 });
        world.boot();
        assert!(world.reach(&[0, 1, 2], 4, MINUTE), "output {output}\n{}", world.story());
    }
}

#[test]
fn all_lose_power_again_and_again() {
    for seed in 0..10 {
        let mut setup = Setup::new(seed, 4, Faults::Byzantine);
        setup.loss = 10;
        let mut world = world(setup);
        for time in 0..8u64 {
            world.run(ms(37 + 61 * ((seed + time) % 7)), |_| false);
            for node in 0..4 {
                if world.nodes[node].quorum.is_some() {
                    world.crash(node, (seed as usize * 13 + node * 29) % 101);
                    world.restart_in(node, ms(50 + 40 * node as u64));
                }
            }
            world.run(ms(300), |_| false);
            world.check();
        }
        let before = world.nodes.iter().map(|node| node.log.len()).max().expect("four");
        assert!(world.reach(&[0, 1, 2, 3], before + 3, 2 * MINUTE), "seed {seed}\n{}", world.story());
    }
}

#[test]
fn the_checker_of_signatures_sees_a_lost_journal() {
    let mut setup = Setup::new(14, 4, Faults::Byzantine);
    setup.has_sync = false;
    let proposer = {
        let world = World::new(setup.clone());
        let first = world.params.validator_set().expect("valid").proposer(Height(0), 0).key;
        (0..4).find(|n| super::world::key(setup.keys[*n]).public() == first).expect("a node has the key")
    };
    let run = |forget: bool| {
        let mut world = world(setup.clone());
        // Cut off, so that it is at the same height still when it comes back.
        let groups: Vec<u8> = (0..4).map(|node| u8::from(node == proposer)).collect();
        world.part(&groups);
        world.run(ms(60), |_| false);
        world.crash(proposer, 100);
        if forget {
            world.nodes[proposer].journal.clear();
        }
        world.restart_in(proposer, ms(50));
        world.run(ms(2_000), |_| false);
        world.said_twice
    };
    assert_eq!(run(false), None, "with its journal it says the same again");
    assert!(run(true).is_some(), "without, it proposes another block");
}

#[test]
fn the_checker_of_signatures_sees_words_that_went_out_too_early() {
    let mut setup = Setup::new(11, 4, Faults::Byzantine);
    setup.has_sync = false;
    let caught = (0..60).any(|output| {
        let mut world = World::new(setup.clone());
        world.speaks_early = true;
        world.crashes = (0..4).map(|node| Crash { node, output, survives: 0 }).collect();
        world.boot();
        world.run(ms(5_000), |world| world.said_twice.is_some());
        world.said_twice.is_some()
    });
    assert!(caught, "a crash between a word and its record makes it say another");
}

#[test]
fn a_decision_that_was_not_logged_is_made_again() {
    let mut setup = Setup::new(15, 1, Faults::Byzantine);
    setup.has_sync = false;
    setup.disk = ms(20);
    let mut world = world(setup);
    // The last record of a height is durable, the block's own write is under way.
    let all = |world: &World| world.trace.iter().filter(|line| line.contains("sends precommit")).count();
    assert!(world.run(MINUTE, |world| all(world) == 3));
    let logged = world.nodes[0].log.len();
    assert_eq!(logged, 2, "the third is decided and not logged");
    world.crash(0, 0);
    world.restart_in(0, ms(10));
    assert!(world.reach(&[0], 5, MINUTE), "{}", world.story());
}

#[test]
fn a_damaged_journal_is_silent_for_its_height() {
    let mut world = world(Setup::new(16, 4, Faults::Byzantine));
    assert!(world.reach(&[0, 1, 2, 3], 2, MINUTE));
    world.crash(3, 100);
    world.part(&[0, 0, 1, 1]);
    world.nodes[3].is_damaged = true;
    world.start(3);
    assert_eq!(world.waiting(3), Some(Waiting::Others(Watch::Damaged)));
    let outputs = world.nodes[3].outputs;
    world.run(ms(2_000), |_| false);
    assert_eq!(world.nodes[3].outputs, outputs, "it says nothing");
    world.nodes[3].is_damaged = false;
    world.part(&[0; 4]);
    let before = world.nodes[0].log.len();
    assert!(world.reach(&[0, 1, 2, 3], before + 6, MINUTE), "{}", world.story());
    assert!(world.nodes[3].outputs > outputs, "it votes at the heights after");
}

#[test]
fn a_chain_that_was_lost_is_not_voted_on_again() {
    let mut world = world(Setup::new(17, 4, Faults::Byzantine));
    assert!(world.reach(&[0, 1, 2, 3], 4, MINUTE));
    world.crash(2, 100);
    let voted = world.nodes[2].log.len() as u64;
    // An older copy of the log is put in place; the journal is not.
    world.lose_log(2);
    world.setup.has_sync = false;
    world.start(2);
    let behind = Watch::Behind { voted: Height(voted) };
    assert_eq!(world.waiting(2), Some(Waiting::Others(behind)));
    let outputs = world.nodes[2].outputs;
    world.setup.has_sync = true;
    let before = world.nodes[0].log.len();
    assert!(world.reach(&[0, 1, 2, 3], before + 4, MINUTE), "{}", world.story());
    assert!(world.nodes[2].outputs > outputs, "past that height it votes");
}

#[test]
fn a_journal_of_another_chain_is_refused() {
    let mut world = world(Setup::new(18, 4, Faults::Byzantine));
    assert!(world.reach(&[0], 2, MINUTE));
    world.crash(0, 100);
    let record = Record::Height { chain: Hash([1; 32]), height: Height(0), parent: None };
    world.nodes[0].journal = vec![record.encode()];
    world.start(0);
    assert_eq!(world.nodes[0].halted, Some(Halt::OtherChain));
}

#[test]
fn a_failed_write_ends_voting() {
    let mut world = world(Setup::new(19, 4, Faults::Byzantine));
    assert!(world.reach(&[0, 1, 2, 3], 2, MINUTE));
    world.tell(0, Input::PersistFailed);
    assert_eq!(world.nodes[0].halted, Some(Halt::Disk));
    let outputs = world.nodes[0].outputs;
    let before = world.nodes[1].log.len();
    assert!(world.reach(&[1, 2, 3], before + 4, MINUTE), "the others go on\n{}", world.story());
    assert_eq!(world.nodes[0].outputs, outputs, "it does nothing any more");
    assert_eq!(world.waiting(0), Some(Waiting::Halted(Halt::Disk)));
}
