//! Nodes that were away, and validators that change meanwhile.

use bytes::Bytes;
use diffusion::sync::Message;
use diffusion::sync::bodies::Mode;
use link::channel;

use super::world::{Setup, World, change_tx, ms, peer};
use crate::{Command, status};

#[test]
fn a_validator_that_was_away_catches_up_in_ranges_and_votes_again() {
    for seed in 0..2 {
        let mut world = World::new(Setup { rest: ms(0), ..Setup::new(seed, 4, 0) });
        world.boot();
        world.reach(&[0, 1, 2, 3], 3, ms(20_000));
        world.crash(3, 50);
        let away = world.height() + 40;
        world.reach(&[0, 1, 2], away, ms(120_000));
        world.start(3);
        let mut has_ranged = false;
        world.run(ms(60_000), |world| {
            let status = world.status(3);
            has_ranged |= status.member.is_some_and(|member| member.ranged > 0);
            world.settled(3) >= away
        });
        assert!(has_ranged, "seed {seed}: so much comes in ranges");
        // Now it is needed.
        world.crash(0, 0);
        let next = world.height() + 5;
        world.reach(&[1, 2, 3], next, ms(120_000));
        world.check();
    }
}

#[test]
fn a_new_node_gets_the_whole_chain_from_a_follower_alone() {
    let mut world = World::new(Setup { rest: ms(0), ..Setup::new(4, 4, 2) });
    world.setup.links.retain(|(a, b)| *b != 5 || *a == 4);
    (0..5).for_each(|node| world.start(node));
    world.reach(&[4], 80, ms(120_000));
    world.start(5);
    world.reach(&[5], 80, ms(60_000));
    world.check();
}

#[test]
fn validators_are_changed_by_a_transaction() {
    for seed in 0..3 {
        let mut world = World::new(Setup { keys: vec![1, 2, 3, 4, 5, 0], ..Setup::new(seed, 4, 2) });
        world.boot();
        world.reach(&[0, 1, 2, 3, 4], 2, ms(20_000));
        // The fifth joins, the first leaves.
        let id = world.submit(1, change_tx(&[2, 3, 4, 5]));
        assert!(world.run(ms(60_000), |world| world.has_tx(1, &id)));
        let then = world.height() + 8;
        world.reach(&[0, 1, 2, 3, 4, 5], then, ms(120_000));
        let state = world.status(4).state;
        assert_eq!(state, status::State::Validating, "seed {seed}\n{}", world.story());
        assert_eq!(world.status(0).state, status::State::CaughtUp);
        // Without the first, which is none any more, and one more: three of four still decide.
        world.crash(0, 0);
        world.crash(1, 0);
        let then = world.height() + 4;
        world.reach(&[2, 3, 4], then, ms(120_000));
        world.check();
    }
}

#[test]
fn a_node_that_was_away_follows_changes_of_validators() {
    let mut world = World::new(Setup { keys: vec![1, 2, 3, 4, 5, 0], rest: ms(0), ..Setup::new(9, 4, 2) });
    (0..5).for_each(|node| world.start(node));
    for (round, keys) in [[2, 3, 4, 5], [1, 3, 4, 5], [1, 2, 4, 5], [1, 2, 3, 4]].iter().enumerate() {
        // The fourth is one of them all the time.
        let id = world.submit(3, change_tx(keys));
        assert!(world.run(ms(60_000), |world| world.has_tx(3, &id)), "change {round}\n{}", world.story());
        let then = world.height() + 20;
        world.reach(&[3], then, ms(120_000));
    }
    world.start(5);
    let then = world.height();
    world.reach(&[5], then, ms(60_000));
    world.check();
}

#[test]
fn votes_travel_over_several_hops() {
    for seed in 0..2 {
        // 0 - 4 - 1 - 5 - 2 - 6 - 3: between each two validators somebody who only relays.
        let links = vec![(0, 4), (1, 4), (1, 5), (2, 5), (2, 6), (3, 6)];
        let mut world = World::new(Setup { links, ..Setup::new(seed, 4, 3) });
        world.boot();
        world.submit(0, vec![5; 20]);
        world.reach(&(0..7).collect::<Vec<_>>(), 10, ms(120_000));
        world.check();
    }
}

#[test]
fn in_a_full_mesh_votes_take_one_hop() {
    let mut world = World::new(Setup::new(2, 4, 0));
    world.boot();
    world.reach(&[0, 1, 2, 3], 4, ms(20_000));
    let before = world.traffic[&channel::CONSENSUS];
    let routed = world.status(0).member.expect("a member").routing;
    let then = world.height() + 5;
    world.reach(&[0, 1, 2, 3], then, ms(20_000));
    assert!(world.traffic[&channel::CONSENSUS] > before);
    let after = world.status(0).member.expect("a member").routing;
    assert_eq!(routed.counts.floods, after.counts.floods, "nothing goes over routes");
    assert_eq!(after.unconfirmed, 0);
}

#[test]
fn bodies_go_as_the_operator_sets_it() {
    let mut world = World::new(Setup::new(6, 4, 1));
    world.boot();
    world.reach(&[4], 3, ms(20_000));
    for of in 0..3 {
        world.command(4, Command::Mode(peer(of), Mode::Off));
    }
    assert_eq!(world.nodes[4].obeyed.len(), 3);
    let modes = |world: &World| -> Vec<Mode> {
        world.status(4).member.expect("a member").peers.iter().map(|peer| peer.mode).collect()
    };
    assert_eq!(modes(&world), [Mode::Off, Mode::Off, Mode::Off, Mode::Auto]);
    // What is set is kept over a new link.
    world.set_link(1, 4, false);
    world.pass(ms(500));
    world.set_link(1, 4, true);
    let then = world.height() + 6;
    world.reach(&[4], then, ms(30_000));
    assert_eq!(modes(&world), [Mode::Off, Mode::Off, Mode::Off, Mode::Auto]);
    // With nobody left to ask, finality goes on without bodies, and so nothing settles.
    world.command(4, Command::Mode(peer(3), Mode::Off));
    world.pass(ms(2_000));
    let stuck = world.settled(4);
    world.pass(ms(5_000));
    assert_eq!(world.settled(4), stuck);
    assert!(world.status(4).member.expect("a member").certified.height.0 > stuck, "it knows of finality");
    world.command(4, Command::Mode(peer(0), Mode::Auto));
    let then = world.height();
    world.reach(&[4], then, ms(30_000));
    world.check();
}

#[test]
fn what_a_peer_left_out_of_a_range_is_asked_for_again() {
    let mut world = World::new(Setup { rest: ms(0), ..Setup::new(15, 4, 2) });
    world.setup.links.retain(|(a, b)| *b != 5 || *a == 4);
    // Its only peer answers the first ranges with nothing but their end.
    let lies = std::cell::Cell::new(0);
    world.lies.insert(
        4,
        Box::new(move |to, channel, body| {
            let is_body = to == 5 && channel == channel::BODIES && !body.is_empty() && lies.get() < 40;
            lies.set(lies.get() + u32::from(is_body));
            if is_body { Vec::new() } else { vec![body] }
        }),
    );
    (0..5).for_each(|node| world.start(node));
    world.reach(&[4], 60, ms(120_000));
    world.start(5);
    world.reach(&[5], 60, ms(60_000));
    assert!(world.blamed.is_empty(), "{:?}", world.blamed);
}

#[test]
fn a_chain_of_one_validator_longer_than_the_window_of_headers_is_caught_up_with() {
    // Shares hold no more than the window, as in the usual settings: all of the chain is one producer's.
    let setup = Setup { rest: ms(0), ahead: 16, shares: (64, 16), ..Setup::new(21, 1, 2) };
    let mut world = World::new(setup);
    // The second hears of the chain through the first alone, while that catches up itself.
    world.setup.links = vec![(0, 1), (1, 2)];
    world.start(0);
    world.reach(&[0], 80, ms(120_000));
    world.start(1);
    world.start(2);
    world.reach(&[1, 2], 80, ms(10_000));
    assert!(world.blamed.is_empty(), "{:?}", world.blamed);
    world.check();
}

#[test]
fn finality_counts_though_it_came_behind_headers_that_are_too_far_ahead() {
    let setup = Setup { rest: ms(0), ahead: 16, ..Setup::new(22, 1, 1) };
    let mut world = World::new(setup);
    // Finality comes when 24 headers more than it is for have come: as of a peer that settled without a certificate.
    let (held, headers) = (std::cell::RefCell::new(Vec::<(u32, Bytes)>::new()), std::cell::Cell::new(0));
    world.lies.insert(
        0,
        Box::new(move |_, channel, body| {
            let message = (channel == channel::SYNC).then(|| Message::decode(&body).expect("a message"));
            match message {
                Some(Message::Fin(_)) => {
                    held.borrow_mut().push((headers.get() + 24, body));
                    Vec::new()
                }
                Some(Message::Header(_)) => {
                    headers.set(headers.get() + 1);
                    let due =
                        held.borrow_mut().extract_if(.., |(at, _)| *at <= headers.get()).collect::<Vec<_>>();
                    due.into_iter().map(|(_, fin)| fin).chain([body]).collect()
                }
                _ => vec![body],
            }
        }),
    );
    world.start(0);
    world.reach(&[0], 100, ms(120_000));
    world.start(1);
    world.reach(&[1], 60, ms(60_000));
    assert!(world.blamed.is_empty(), "{:?}", world.blamed);
}
