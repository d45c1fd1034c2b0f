//! Whatever happens, all decide alike; and once it stops happening, all go on.

use std::time::Duration;

use chain::Height;
use chain::native::{Change, Faults, Validators, read_fields};

use super::world::{Setup, World, ms, validator};
use crate::quorum::{Input, Waiting};

const MINUTE: Duration = Duration::from_secs(60);

fn world(setup: Setup) -> World {
    let mut world = World::new(setup);
    world.boot();
    world
}

#[test]
fn four_decide_block_after_block() {
    let mut world = world(Setup::new(1, 4, Faults::Byzantine));
    assert!(world.reach(&[0, 1, 2, 3], 10, MINUTE), "{}", world.story());
    for node in &world.nodes {
        assert!(
            node.log.iter().take(10).all(|(_, certificate)| certificate.round() == 0),
            "the first round does"
        );
        assert_eq!(node.refused, 0, "an honest message is never refused");
        assert!(node.evidence.is_empty(), "nobody lied");
    }
}

#[test]
fn one_alone_decides_at_once() {
    let mut setup = Setup::new(1, 1, Faults::Byzantine);
    setup.has_sync = false;
    let mut world = world(setup);
    assert!(world.reach(&[0], 20, ms(2_000)), "{}", world.story());
    assert_eq!(world.messages, 0);
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let run = || {
        let mut setup = Setup::new(77, 4, Faults::Byzantine);
        setup.loss = 25;
        let mut world = world(setup);
        assert!(world.reach(&[0, 1, 2, 3], 5, 5 * MINUTE));
        world.trace
    };
    assert_eq!(run(), run());
}

#[test]
fn losses_and_delays_never_make_two_decide_differently() {
    let mut again = 0;
    for seed in 0..30 {
        let mut setup = Setup::new(seed, 4, Faults::Byzantine);
        setup.loss = 35;
        setup.delay = (ms(1), ms(250));
        setup.has_sync = seed.is_multiple_of(2);
        let mut world = world(setup);
        world.run(Duration::from_secs(20), |_| false);
        world.check();
        let before = world.nodes.iter().map(|node| node.log.len()).max().expect("four");
        world.setup.loss = 0;
        world.setup.has_sync = true;
        assert!(world.reach(&[0, 1, 2, 3], before + 3, MINUTE), "seed {seed}\n{}", world.story());
        for (header, certificate) in &world.nodes[0].log {
            let made = read_fields(header).expect("native").round;
            assert!(made <= certificate.round().into());
            again += u32::from(made < certificate.round().into());
        }
    }
    assert!(again > 0, "a block that was proposed again keeps its header: it happened somewhere");
}

#[test]
fn a_minority_that_is_cut_off_stands_still_and_catches_up() {
    let mut world = world(Setup::new(3, 4, Faults::Byzantine));
    assert!(world.reach(&[0, 1, 2, 3], 2, MINUTE));
    world.part(&[0, 0, 0, 1]);
    assert!(world.reach(&[0, 1, 2], 8, MINUTE), "three of four go on\n{}", world.story());
    assert!(world.nodes[3].log.len() <= 4);
    world.part(&[0, 0, 0, 0]);
    assert!(world.reach(&[0, 1, 2, 3], 12, MINUTE), "{}", world.story());
}

#[test]
fn two_halves_stand_still_until_they_are_one() {
    let mut world = world(Setup::new(4, 4, Faults::Byzantine));
    assert!(world.reach(&[0, 1, 2, 3], 2, MINUTE));
    world.part(&[0, 0, 1, 1]);
    world.run(ms(500), |_| false);
    let before = world.nodes.iter().map(|node| node.log.len()).max().expect("four");
    assert!(!world.reach(&[0], before + 2, 2 * MINUTE), "half is no quorum");
    let waiting = world.waiting(0).expect("it is up");
    assert!(matches!(waiting, Waiting::Proposal | Waiting::Prevotes | Waiting::Precommits), "{waiting:?}");
    world.part(&[0, 0, 0, 0]);
    assert!(world.reach(&[0, 1, 2, 3], before + 3, MINUTE), "{}", world.story());
}

#[test]
fn faults_that_only_stop_need_only_half() {
    for (nodes, down) in [(3, 1), (5, 2)] {
        let mut world = world(Setup::new(5, nodes, Faults::Crash));
        assert!(world.reach(&[0, 1], 2, MINUTE));
        (0..down).for_each(|n| world.crash(usize::from(nodes) - 1 - n, 0));
        assert!(world.reach(&[0, 1], 8, MINUTE), "{nodes} go on without {down}\n{}", world.story());
    }
    let mut world = world(Setup::new(5, 3, Faults::Byzantine));
    assert!(world.reach(&[0, 1], 2, MINUTE));
    world.crash(2, 0);
    world.run(ms(300), |_| false);
    let before = world.nodes[0].log.len();
    assert!(!world.reach(&[0], before + 1, MINUTE), "two of three are no quorum where one may lie");
}

#[test]
fn blocks_that_take_long_are_waited_for_once_that_is_known() {
    let mut setup = Setup::new(6, 4, Faults::Byzantine);
    setup.judging = ms(700);
    let mut world = world(setup);
    assert!(world.reach(&[0, 1, 2, 3], 12, 5 * MINUTE), "{}", world.story());
    let rounds: Vec<_> = world.nodes[0].log.iter().map(|(_, certificate)| certificate.round()).collect();
    assert!(rounds[0] > 0, "nobody knew: the first came too late for its first round");
    assert!(rounds[6..12].iter().all(|round| *round == 0), "learned: {rounds:?}");
}

#[test]
fn a_chain_with_nothing_to_say_rests() {
    let mut setup = Setup::new(7, 4, Faults::Byzantine);
    setup.config.rest = Duration::from_secs(10);
    let mut world = World::new(setup);
    world.nodes.iter_mut().for_each(|node| node.has_work = false);
    world.boot();
    world.run(Duration::from_secs(45), |_| false);
    world.check();
    let empty = world.nodes[0].log.len();
    assert!((3..=5).contains(&empty), "an empty block every ten seconds, not {empty} in 45");
    let waiting = world.waiting(0);
    assert!(matches!(waiting, Some(Waiting::Work { .. })), "{waiting:?}");
    world.tell(2, Input::Work);
    assert!(world.reach(&[0, 1, 2, 3], empty + 1, ms(1_500)), "one word wakes all\n{}", world.story());
}

#[test]
fn validators_come_and_go() {
    let mut setup = Setup::new(8, 6, Faults::Byzantine);
    setup.validators = vec![1, 2, 3, 4];
    let later = Validators::new([2, 3, 5, 6].map(validator)).expect("a set");
    setup.change = Some((Height(3), Change { height: Height(5), validators: later.clone() }));
    let mut world = world(setup);
    assert!(world.reach(&[0, 1, 2, 3, 4, 5], 12, 2 * MINUTE), "{}", world.story());
    let last = &world.nodes[4].log[11];
    assert!(later.contains(&read_fields(&last.0).expect("native").producer));
    assert!(matches!(world.waiting(0), Some(Waiting::Others(_))), "the first is no validator any more");
}
