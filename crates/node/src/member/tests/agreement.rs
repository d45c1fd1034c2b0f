//! Validators agree, and whoever follows them does.

use chain::native::Faults;

use super::world::{Setup, World, ms};

#[test]
fn one_validator_alone_makes_a_chain_of_what_it_is_given() {
    let mut world = World::new(Setup::new(1, 1, 0));
    world.boot();
    let ids: Vec<_> = (0..20_u8).map(|n| world.submit(0, vec![n; 10])).collect();
    world.reach(&[0], 3, ms(10_000));
    assert!(ids.iter().all(|id| world.has_tx(0, id)), "what was given is in a block");
    assert_eq!(world.nodes[0].submitted.len(), 20);
    assert!(world.nodes[0].submitted.iter().all(Result::is_ok));
    world.check();
}

#[test]
fn four_validators_agree_on_what_each_of_them_is_given() {
    for seed in 0..4 {
        let mut world = World::new(Setup::new(seed, 4, 0));
        world.boot();
        let ids: Vec<_> = (0..40_u8).map(|n| world.submit(usize::from(n) % 4, vec![n; 10])).collect();
        world.reach(&[0, 1, 2, 3], 12, ms(30_000));
        world.run(ms(30_000), |world| ids.iter().all(|id| world.has_tx(0, id)));
        assert!(ids.iter().all(|id| world.has_tx(0, id)), "seed {seed}\n{}", world.story());
        world.check();
    }
}

#[test]
fn seven_validators_agree() {
    let mut world = World::new(Setup::new(7, 7, 0));
    world.boot();
    world.submit(3, vec![1; 100]);
    world.reach(&(0..7).collect::<Vec<_>>(), 8, ms(30_000));
    world.check();
}

#[test]
fn with_crash_faults_two_of_three_go_on() {
    let mut world = World::new(Setup { faults: Faults::Crash, ..Setup::new(3, 3, 0) });
    world.boot();
    world.reach(&[0, 1, 2], 3, ms(20_000));
    world.crash(2, 0);
    let before = world.height();
    world.reach(&[0, 1], before + 5, ms(60_000));
    world.start(2);
    world.reach(&[0, 1, 2], before + 8, ms(60_000));
    world.check();
}

#[test]
fn with_liars_allowed_two_of_three_stand_still() {
    let mut world = World::new(Setup::new(3, 3, 0));
    world.boot();
    world.reach(&[0, 1, 2], 3, ms(20_000));
    world.crash(2, 0);
    world.pass(ms(2_000));
    let before = world.height();
    world.pass(ms(20_000));
    assert_eq!(world.height(), before, "no quorum, no block");
    world.check();
}

#[test]
fn who_only_follows_gets_every_block() {
    let mut world = World::new(Setup::new(11, 4, 3));
    world.boot();
    world.submit(0, vec![9; 50]);
    world.reach(&[4, 5, 6], 10, ms(30_000));
    world.check();
}

#[test]
fn a_seed_run_twice_is_the_same() {
    let story = || {
        let mut world = World::new(Setup::new(5, 4, 1));
        world.boot();
        world.submit(1, vec![3; 30]);
        world.pass(ms(5_000));
        (world.story(), world.traffic)
    };
    assert_eq!(story(), story());
}

#[test]
fn a_transaction_goes_from_whoever_is_given_it_to_whoever_makes_the_next_block() {
    let mut world = World::new(Setup { rest: ms(60_000), ..Setup::new(6, 4, 2) });
    // The last hears of everything through the one before.
    world.setup.links.retain(|(a, b)| *b != 5 || *a == 4);
    world.boot();
    world.reach(&[0, 1, 2, 3, 4, 5], 1, ms(120_000));
    let id = world.submit(5, vec![8; 100]);
    let begun = world.now;
    assert!(world.run(ms(10_000), |world| world.has_tx(5, &id)), "{}", world.story());
    assert!(world.now - begun < ms(2_000), "validators that rest are woken: {:?}", world.now - begun);
    assert_eq!(world.nodes[5].submitted, [Ok(id)]);
    let status = world.status(0);
    assert_eq!(status.pool, 0, "what is in a block waits no more");
    world.check();
}
