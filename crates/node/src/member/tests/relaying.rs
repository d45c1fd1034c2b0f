//! Transactions on their way between members.

use chain::Block;
use chain::native::{transaction_id, transactions};
use diffusion::relay::Stage;
use diffusion::sync;
use link::channel;

use super::world::{LATER, Setup, WRONG, World, ms};
use crate::member::Violation;
use crate::pool::Refusal;

/// A line: three validators, each linked with the next, and one that follows the last of them.
fn line(seed: u64) -> World {
    let mut world = World::new(Setup::new(seed, 3, 1));
    world.setup.links.retain(|(a, b)| b - a == 1);
    world
}

fn stage(world: &World, node: usize, id: chain::Hash) -> Option<Stage> {
    let member = world.nodes[node].member.as_ref().expect("it runs");
    member.transaction(&id).map(|progress| progress.stage)
}

#[test]
fn what_a_follower_is_given_gets_into_a_block() {
    for seed in 0..4 {
        let mut world = line(seed);
        world.boot();
        world.reach(&[0, 1, 2, 3], 2, ms(20_000));
        let ids: Vec<_> = (0..30_u8).map(|n| world.submit(3, vec![n; 40])).collect();
        let all = |world: &World| (0..4).all(|node| ids.iter().all(|id| world.has_tx(node, id)));
        assert!(world.run(ms(60_000), all), "{}", world.story());
        assert!(world.nodes[3].submitted.iter().all(Result::is_ok));
        for node in 0..4 {
            assert!(ids.iter().all(|id| stage(&world, node, *id) == Some(Stage::Included)));
            let status = world.status(node);
            assert_eq!(status.pool, 0);
            let relay = status.member.expect("a member").relay;
            assert_eq!(relay.counts.lapses, 0, "{relay:?}");
        }
        world.check();
    }
}

#[test]
fn a_submitter_sees_how_far_its_transaction_came() {
    let mut world = line(5);
    world.boot();
    world.reach(&[0, 1, 2, 3], 2, ms(20_000));
    let id = world.submit(3, vec![1; 40]);
    assert_eq!(stage(&world, 3, id), Some(Stage::Judging));
    let progress = |world: &World| {
        let member = world.nodes[3].member.as_ref().expect("it runs");
        member.transaction(&id).expect("it was given")
    };
    assert!(world.run(ms(5_000), |world| progress(world).requested == 1), "its only peer asks for it");
    assert!(world.run(ms(20_000), |world| progress(world).stage == Stage::Included));
    assert!(world.has_tx(3, &id));
    world.submit(3, vec![1; 40]);
    assert_eq!(world.nodes[3].submitted.last(), Some(&Err(Refusal::Included)));
    world.check();
}

#[test]
fn what_the_application_refuses_goes_nowhere() {
    let mut world = line(6);
    world.boot();
    world.reach(&[0, 1, 2, 3], 2, ms(20_000));
    let before = world.traffic.get(&channel::TRANSACTIONS).copied();
    let id = world.submit(3, WRONG);
    world.pass(ms(5_000));
    assert!(matches!(world.nodes[3].submitted[..], [Err(Refusal::Rejected { .. })]));
    assert_eq!(stage(&world, 3, id), Some(Stage::Rejected));
    assert_eq!(world.traffic.get(&channel::TRANSACTIONS).copied(), before);
    world.check();
}

#[test]
fn what_waits_survives_links_that_break_and_proposers_that_are_gone() {
    for seed in 0..4 {
        let mut world = World::new(Setup::new(20 + seed, 4, 1));
        world.boot();
        world.reach(&[0, 1, 2, 3, 4], 2, ms(20_000));
        world.crash(0, 100);
        (1..4).for_each(|node| world.set_link(node, 4, false));
        let ids: Vec<_> = (0..10_u8).map(|n| world.submit(4, vec![n; 40])).collect();
        world.pass(ms(3_000));
        world.set_link(2, 4, true);
        world.start(0);
        let all = |world: &World| ids.iter().all(|id| world.has_tx(0, id));
        assert!(world.run(ms(60_000), all), "{}", world.story());
        world.check();
    }
}

#[test]
fn who_starts_again_does_not_take_back_what_is_in_the_chain() {
    let mut world = line(8);
    // The last has it as well, and never hears that it is in a block.
    world.lies.insert(
        2,
        Box::new(|to, _, body| match sync::Message::decode(&body) {
            Ok(sync::Message::Fin(_)) if to == 3 => Vec::new(),
            _ => vec![body],
        }),
    );
    world.boot();
    let id = world.submit(2, vec![1; 40]);
    assert!(world.run(ms(20_000), |world| world.has_tx(2, &id)), "{}", world.story());
    assert_eq!(stage(&world, 3, id), Some(Stage::Pooled));
    world.crash(2, 100);
    world.start(2);
    let then = world.height() + 6;
    world.reach(&[0, 1, 2], then, ms(20_000));
    let has_it =
        |block: &Block| transactions(block).expect("a block").iter().any(|tx| transaction_id(tx) == id);
    let times = world.nodes[0].disk.log.iter().filter(|(block, _)| has_it(block)).count();
    assert_eq!(times, 1, "once in the chain");
    assert_eq!((stage(&world, 2, id), world.status(2).pool), (Some(Stage::Included), 0), "{}", world.story());
}

#[test]
fn who_breaks_a_rule_of_relay_is_blamed() {
    let mut world = line(9);
    // It sends what it was not asked for in the place of whatever it says.
    let junk = diffusion::relay::Message::Data { kind: diffusion::relay::TRANSACTION, bytes: vec![7].into() };
    world.lies.insert(
        3,
        Box::new(move |_, channel, body| match channel {
            channel::TRANSACTIONS => vec![junk.to_bytes(), vec![0xff].into()],
            _ => vec![body],
        }),
    );
    world.boot();
    world.reach(&[0, 1, 2, 3], 4, ms(20_000));
    let names: Vec<_> = world.blamed.iter().map(|(_, of, violation)| (*of, violation)).collect();
    assert!(
        names.iter().all(|(of, violation)| *of == 3 && matches!(violation, Violation::Relay(_))),
        "{names:?}"
    );
    assert!(names.len() >= 2, "{names:?}");
}

#[test]
fn what_the_application_leaves_out_is_no_reason_for_empty_blocks() {
    let mut world = World::new(Setup { rest: ms(60_000), ..Setup::new(10, 4, 0) });
    world.boot();
    world.reach(&[0, 1, 2, 3], 1, ms(120_000));
    let id = world.submit(0, LATER);
    // Each finds out at its own turn.
    world.pass(ms(10_000));
    let before = world.height();
    assert!(!world.has_tx(0, &id) && world.status(0).pool == 1);
    world.pass(ms(40_000));
    assert!(world.height() <= before + 1, "{}", world.story());
    let next = world.submit(0, vec![5; 5]);
    assert!(world.run(ms(5_000), |world| world.has_tx(0, &next)), "what comes next does not wait for it");
    world.check();
}
