//! Nodes that have nothing yet and begin with a snapshot.

use std::cell::Cell;

use bytes::Bytes;
use chain::Height;
use chain::native::StateRoot;
use diffusion::pieces::{self, Message};
use diffusion::relay::Stage;
use link::{Protocol, channel};

use super::world::{Crash, Setup, World, ms};
use crate::Notice;
use crate::member::{Member, Violation};

/// Applications keep their state after every so many blocks: for some ten seconds, so that one can be taken.
const EVERY: u64 = 10;

/// The newcomer.
const NEW: usize = 5;

/// Four validators and a follower with 25 blocks, and somebody who has none yet.
fn world(seed: u64) -> World {
    let mut world = World::new(Setup { rest: ms(500), snapshots: EVERY, ..Setup::new(seed, 4, 2) });
    (0..NEW).for_each(|node| world.start(node));
    world.reach(&[0, 1, 2, 3, 4], 25, ms(120_000));
    world
}

fn newcomer(world: &World) -> &Member {
    world.nodes[NEW].member.as_ref().expect("it runs")
}

/// Whether the newcomer has given up snapshots.
fn has_given_up(world: &World) -> bool {
    world.nodes[NEW].notices.iter().any(|notice| matches!(notice, Notice::NoSnapshot { .. }))
}

/// Nobody is blamed but the first three nodes, by the newcomer, and for this.
fn check_blamed(world: &World, is_it: impl Fn(&pieces::Violation) -> bool) {
    for (by, of, violation) in &world.blamed {
        let is_it = matches!(violation, Violation::Pieces(violation) if is_it(violation));
        assert!(is_it && *by == NEW && *of < 3, "{by} blames {of}: {violation}\n{}", world.story());
    }
}

/// The newcomer gets to a height, though it parts from its peers: these dial it again.
fn reaches(world: &mut World, then: u64) -> bool {
    let is_there = move |world: &World| world.settled(NEW) >= then;
    world.run(ms(240_000), |world| has_given_up(world) || is_there(world));
    (0..NEW).for_each(|node| world.set_link(node, NEW, true));
    world.run(ms(60_000), is_there)
}

/// The newcomer gets to where the others are with all blocks, and its application to where theirs is.
fn check_takes_all(world: &mut World, what: &str) {
    let then = world.height();
    assert!(reaches(world, then), "{what}\n{}", world.story());
    let is_level = |world: &World| world.nodes[NEW].app.applied.tip == world.nodes[4].app.applied.tip;
    assert!(world.run(ms(60_000), is_level), "{what}\n{}", world.story());
    let new = &world.nodes[NEW];
    assert_eq!(new.app.applied, world.nodes[4].app.applied, "{what}: the same state");
    assert_eq!(new.disk.bare, 0, "{what}: all blocks are held");
    assert!(new.disk.log.iter().all(|(block, _)| !block.raw.is_empty()), "{what}: all bodies are held");
    let is_it = |notice: &Notice| matches!(notice, Notice::NoSnapshot { .. });
    assert_eq!(
        new.notices.iter().filter(|notice| is_it(notice)).count(),
        1,
        "{what}: the operator is told once"
    );
    world.check();
}

/// The newcomer gets to where the others are, without the first bodies, and its application to where theirs is.
fn check_arrives(world: &mut World, what: &str) {
    let then = world.height() + 5;
    let arrived = world.run(ms(120_000), |world| world.settled(NEW) >= then && world.settled(4) >= then);
    assert!(arrived, "{what}\n{}", world.story());
    let is_level = |world: &World| world.nodes[NEW].app.applied.tip == world.nodes[4].app.applied.tip;
    assert!(world.run(ms(60_000), is_level), "{what}\n{}", world.story());
    let (new, old) = (&world.nodes[NEW], &world.nodes[4]);
    assert_eq!(new.app.applied, old.app.applied, "{what}: the same state");
    assert!(new.disk.bare as u64 >= EVERY, "{what}: it began with a snapshot");
    assert!(new.disk.log.len() > new.disk.bare + 5, "{what}: and went on above it");
    for ((found, _), (right, _)) in new.disk.log.iter().zip(&old.disk.log) {
        assert_eq!(found.header, right.header, "{what}: all headers are there");
    }
    let settled = new.disk.log.iter().skip(new.disk.bare);
    assert!(settled.into_iter().all(|(block, _)| !block.raw.is_empty()), "{what}: no body is missing above");
}

#[test]
fn a_newcomer_begins_with_a_snapshot_and_goes_on_above_it() {
    for seed in 0..2 {
        let mut world = world(seed);
        world.start(NEW);
        check_arrives(&mut world, &format!("seed {seed}"));
        let bare = world.nodes[NEW].disk.bare as u64;
        assert_eq!(bare % EVERY, 0, "up to the block of a state that is kept");
        assert!(world.nodes[NEW].app.delivered.len() as u64 <= world.settled(NEW) - bare, "no body below it");
        // It is a node like any other after its next start.
        world.crash(NEW, 0);
        world.start(NEW);
        check_arrives(&mut world, &format!("seed {seed}, again"));
        assert_eq!(world.nodes[NEW].disk.bare as u64, bare);
        world.check();
    }
}

#[test]
fn what_is_in_bare_blocks_does_not_wait_for_a_block_again() {
    let mut world = World::new(Setup { rest: ms(500), snapshots: EVERY, ..Setup::new(3, 4, 2) });
    (0..NEW).for_each(|node| world.start(node));
    world.reach(&[0, 1, 2, 3, 4], 2, ms(60_000));
    let early = world.submit(4, &b"said twice"[..]);
    world.reach(&[0, 1, 2, 3, 4], 25, ms(120_000));
    assert!(world.has_tx(4, &early), "it is in the chain");
    // Somebody gives it to the newcomer as well, which has heard of no block yet.
    world.start(NEW);
    world.submit(NEW, &b"said twice"[..]);
    check_arrives(&mut world, "with a transaction of before");
    let stage = newcomer(&world).transaction(&early).map(|it| it.stage);
    assert_ne!(stage, Some(Stage::Pooled), "it would go into a block again");
    let is_pulling = |world: &World| newcomer(world).senders.is_pulling == Some(true);
    assert!(!is_pulling(&world), "peers may offer what is in bare blocks");
    let then = world.nodes[NEW].disk.bare as u64 + 70;
    assert!(world.run(ms(240_000), |world| world.settled(NEW) >= then), "{}", world.story());
    assert!(is_pulling(&world), "enough is known");
    world.check();
}

#[test]
fn a_crash_at_any_time_begins_anew_or_goes_on() {
    for at in (1..400).step_by(149) {
        let mut world = world(at);
        let before = world.nodes[NEW].outputs;
        world.crashes.push(Crash { node: NEW, output: before + at, survives: (at % 3 * 50) as usize });
        world.start(NEW);
        check_arrives(&mut world, &format!("output {at}"));
        world.check();
    }
}

#[test]
fn a_newcomer_whose_application_is_ahead_of_its_log_needs_no_piece() {
    let mut world = world(7);
    world.start(NEW);
    let has_placed = |world: &World| world.nodes[NEW].app.applied.root.is_some();
    assert!(world.run(ms(60_000), has_placed), "{}", world.story());
    world.crash(NEW, 0);
    assert!(world.nodes[NEW].disk.log.is_empty(), "the mark was not made");
    let before = world.nodes[NEW].app.shown;
    let tip = world.nodes[NEW].app.applied.tip;
    world.start(NEW);
    check_arrives(&mut world, "ahead");
    assert_eq!(world.nodes[NEW].disk.bare as u64, tip.height.0 + 1, "the log was brought up to it");
    assert_eq!(world.nodes[NEW].app.shown, before, "no piece was asked for");
    world.check();
}

#[test]
fn pieces_that_are_made_up_or_cut_short_cost_their_giver_and_come_from_others() {
    for (seed, cut) in [(11, false), (12, true)] {
        let mut world = world(seed);
        for liar in 0..3 {
            let lie = move |to: usize, channel: Protocol, body: Bytes| match Message::decode(&body) {
                Ok(Message::Piece(piece)) if channel == channel::SNAPSHOTS && to == NEW => {
                    let end = if cut { piece.len() - 1 } else { piece.len() };
                    let made_up = [&piece[..end - 1], b"?"].concat();
                    vec![Message::Piece(if cut { piece.slice(..end) } else { made_up.into() }).to_bytes()]
                }
                _ => vec![body],
            };
            world.lies.insert(liar, Box::new(lie));
        }
        world.start(NEW);
        check_arrives(&mut world, &format!("seed {seed}"));
        assert!(!world.blamed.is_empty(), "seed {seed}: nobody lied");
        check_blamed(&world, |violation| matches!(violation, pieces::Violation::Wrong { .. }));
    }
}

#[test]
fn pieces_that_never_come_are_asked_of_others() {
    let mut world = world(13);
    for silent in 0..3 {
        let lie = |to: usize, channel: Protocol, body: Bytes| {
            let is_piece = channel == channel::SNAPSHOTS && to == NEW && body.get(1) == Some(&2);
            if is_piece { Vec::new() } else { vec![body] }
        };
        world.lies.insert(silent, Box::new(lie));
    }
    world.start(NEW);
    check_arrives(&mut world, "silence");
    check_blamed(&world, |violation| matches!(violation, pieces::Violation::Late));
}

#[test]
fn a_state_that_was_never_there_is_a_lie() {
    let mut world = world(14);
    let lie = |to: usize, channel: Protocol, body: Bytes| match Message::decode(&body) {
        Ok(Message::Offer(mut states)) if channel == channel::SNAPSHOTS && to == NEW => {
            states.iter_mut().for_each(|state| state.root.0[0] ^= 1);
            vec![Message::Offer(states).to_bytes()]
        }
        _ => vec![body],
    };
    (0..3).for_each(|liar| drop(world.lies.insert(liar, Box::new(lie))));
    world.start(NEW);
    check_arrives(&mut world, "a lie");
    assert!(!world.blamed.is_empty(), "nobody lied");
    check_blamed(&world, |violation| matches!(violation, pieces::Violation::Offer { .. }));
}

#[test]
fn a_state_that_nobody_gives_to_the_end_makes_room_for_the_next() {
    let mut world = world(16);
    // Some pieces of the first come, and no more: as where all who had it let go of it half-way.
    let (first, asked) = (Cell::new(None), Cell::new(0));
    let lie = move |_: usize, channel: Protocol, body: Bytes| match Message::decode(&body) {
        Ok(Message::Ask { of, .. }) if channel == channel::SNAPSHOTS => {
            let is_first = first.get().is_none_or(|first| first == of);
            if is_first {
                first.set(Some(of));
                asked.set(asked.get() + 1);
            }
            // Of another it is refused.
            let never = StateRoot { height: Height(1), ..of };
            let refused = Message::Ask { of: never, name: Bytes::new() };
            if is_first && asked.get() > 3 { vec![refused.to_bytes()] } else { vec![body] }
        }
        _ => vec![body],
    };
    world.lies.insert(NEW, Box::new(lie));
    world.start(NEW);
    check_arrives(&mut world, "half-way");
    assert!(world.nodes[NEW].app.shown > 9, "pieces of two states");
    world.check();
}

#[test]
fn where_all_offer_and_nobody_gives_the_whole_chain_is_taken() {
    let mut world = world(17);
    for silent in 0..NEW {
        let lie = |_: usize, channel: Protocol, body: Bytes| {
            let is_piece = channel == channel::SNAPSHOTS && body.get(1) == Some(&2);
            if is_piece { Vec::new() } else { vec![body] }
        };
        world.lies.insert(silent, Box::new(lie));
    }
    world.start(NEW);
    check_takes_all(&mut world, "silence");
    for (by, _, violation) in &world.blamed {
        let is_it = matches!(violation, Violation::Pieces(pieces::Violation::Late));
        assert!(is_it && *by == NEW, "{violation}");
    }
    // Nor does a crash on the way back do harm.
    world.crash(NEW, 50);
    world.start(NEW);
    let then = world.height() + 2;
    world.reach(&[NEW], then, ms(60_000));
}

#[test]
fn a_state_above_all_that_will_ever_be_certified_is_given_up_and_the_whole_chain_taken() {
    let mut world = world(18);
    for liar in 0..NEW {
        let lie = |_: usize, channel: Protocol, body: Bytes| match Message::decode(&body) {
            Ok(Message::Offer(mut states)) if channel == channel::SNAPSHOTS => {
                states.iter_mut().for_each(|state| state.height.0 += 1 << 40);
                vec![Message::Offer(states).to_bytes()]
            }
            _ => vec![body],
        };
        world.lies.insert(liar, Box::new(lie));
    }
    world.start(NEW);
    check_takes_all(&mut world, "out of reach");
    assert!(world.blamed.is_empty(), "{}", world.story());
}

#[test]
fn offers_that_are_taken_back_half_way_lead_back_to_the_whole_chain() {
    for at in [40, 160] {
        let mut world = world(19);
        let before = world.nodes[NEW].outputs;
        world.start(NEW);
        world.run(ms(60_000), |world| world.nodes[NEW].outputs >= before + at);
        // From now on nobody gives anything, and nobody says so.
        for node in 0..NEW {
            let mute = |_: usize, channel: Protocol, body: Bytes| {
                if channel == channel::SNAPSHOTS { Vec::new() } else { vec![body] }
            };
            world.lies.insert(node, Box::new(mute));
            world.set_link(node, NEW, false);
        }
        (0..NEW).for_each(|node| world.set_link(node, NEW, true));
        let then = world.height();
        assert!(reaches(&mut world, then), "{at}\n{}", world.story());
        world.check();
    }
}

#[test]
fn where_nobody_gives_a_snapshot_the_whole_chain_is_taken() {
    let mut world = world(15);
    world.nodes.iter_mut().for_each(|node| node.app.every = 0);
    for node in 0..NEW {
        let mute = |_: usize, channel: Protocol, body: Bytes| {
            if channel == channel::SNAPSHOTS { Vec::new() } else { vec![body] }
        };
        world.lies.insert(node, Box::new(mute));
    }
    world.start(NEW);
    let then = world.height();
    world.reach(&[NEW], then, ms(120_000));
    assert_eq!(world.nodes[NEW].disk.bare, 0);
    assert!(world.blamed.is_empty(), "{}", world.story());
}
