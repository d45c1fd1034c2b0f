//! Applications that sleep, blocks that nobody can judge, and peers that lie.

use bytes::Bytes;
use chain::Hash;
use consensus::quorum::{self, Waiting};
use diffusion::routing;
use diffusion::sync::{Fin, Message};
use link::channel;

use super::world::{NEVER, Setup, WRONG, World, ms, peer};
use crate::member::Violation;
use crate::pool::Refusal;
use crate::{Command, Notice};

#[test]
fn an_application_that_sleeps_holds_up_its_own_validator_alone() {
    let mut world = World::new(Setup::new(1, 4, 0));
    world.boot();
    world.reach(&[0, 1, 2, 3], 3, ms(20_000));
    world.nodes[2].app.is_asleep = true;
    let id = world.submit(2, vec![6; 12]);
    let then = world.height() + 8;
    // Headers, bodies and finality come to it as to everybody.
    world.reach(&[0, 1, 2, 3], then, ms(120_000));
    assert_eq!(world.nodes[2].submitted, [Ok(id)], "its sender was answered in time");
    assert!(world.status(2).member.expect("a member").relay.late > 0, "the transaction waits");
    world.wake(2);
    world.run(ms(30_000), |world| world.has_tx(2, &id));
    assert!(world.has_tx(2, &id), "{}", world.story());
    world.check();
}

#[test]
fn when_a_quorum_of_applications_sleeps_consensus_stops_and_says_so() {
    let mut world = World::new(Setup::new(2, 4, 1));
    world.boot();
    world.reach(&[0, 1, 2, 3, 4], 3, ms(20_000));
    world.submit(0, vec![1; 5]);
    (0..3).for_each(|node| world.nodes[node].app.is_asleep = true);
    world.pass(ms(10_000));
    let stuck = world.height();
    world.pass(ms(60_000));
    assert!(world.height() <= stuck + 1);
    let reasons: Vec<_> = (0..4).map(|node| format!("{:?}", world.status(node).state)).collect();
    assert!(reasons.iter().any(|reason| reason.contains("Undecided")), "{reasons:?}");
    (0..3).for_each(|node| world.wake(node));
    world.reach(&[0, 1, 2, 3, 4], stuck + 5, ms(120_000));
    world.check();
}

#[test]
fn a_wrong_block_is_not_decided() {
    let mut world = World::new(Setup::new(5, 4, 0));
    world.boot();
    world.reach(&[0, 1, 2, 3], 2, ms(20_000));
    // Only one application is so careless as to take it.
    world.nodes[1].app.is_careless = true;
    let id = world.submit(1, WRONG);
    let then = world.height() + 10;
    world.reach(&[0, 1, 2, 3], then, ms(120_000));
    assert!(!world.has_tx(0, &id));
    world.submit(2, WRONG);
    world.pass(ms(100));
    assert!(
        matches!(world.nodes[2].submitted[..], [Err(Refusal::Rejected { .. })]),
        "and a careful one says so"
    );
    let is_told = |notice: &Notice| matches!(notice, Notice::BlockRejected { .. });
    assert!(world.nodes.iter().any(|node| node.notices.iter().any(is_told)));
    world.check();
}

#[test]
fn applications_that_build_what_they_refuse_cost_rounds_and_not_the_chain() {
    let mut world = World::new(Setup::new(15, 4, 0));
    world.boot();
    world.reach(&[0, 1, 2, 3], 2, ms(20_000));
    world.nodes.iter_mut().for_each(|node| node.app.is_careless = true);
    let id = world.submit(1, WRONG);
    let then = world.height() + 10;
    world.reach(&[0, 1, 2, 3], then, ms(120_000));
    assert!(!world.has_tx(0, &id));
    assert!(world.status(0).pool > 0, "all of them have it");
    world.check();
}

#[test]
fn a_block_that_never_gets_a_verdict_can_be_given_up() {
    let mut world = World::new(Setup::new(6, 4, 0));
    world.boot();
    world.reach(&[0, 1, 2, 3], 2, ms(20_000));
    // Everybody has it, so every proposal is one that nobody can judge.
    for node in 0..4 {
        world.submit(node, NEVER);
    }
    world.pass(ms(20_000));
    let stuck = world.height();
    let mut given_up = 0;
    for _ in 0..200 {
        world.pass(ms(200));
        for node in 0..4 {
            let waiting = world.status(node).member.expect("a member").consensus.waiting;
            if let Waiting::Verdict { block } = waiting {
                world.command(node, Command::Blacklist(block));
                given_up += 1;
            }
        }
    }
    assert!(given_up > 0, "the status names the block\n{}", world.story());
    assert!(world.nodes.iter().any(|node| node.obeyed.iter().any(Result::is_ok)));
    world.reach(&[0, 1, 2, 3], stuck + 5, ms(60_000));
    let next = world.submit(1, vec![8; 20]);
    let has_next = |world: &World| world.has_tx(0, &next);
    assert!(world.run(ms(30_000), has_next), "blocks get stuck no more\n{}", world.story());
    world.check();
}

#[test]
fn a_header_of_another_chain_or_without_signature_costs_the_link() {
    let mut world = World::new(Setup::new(7, 4, 1));
    world.lies.insert(
        3,
        Box::new(|_, channel, body: Bytes| {
            if channel != channel::SYNC {
                return vec![body];
            }
            match Message::decode(&body) {
                Ok(Message::Header(wire)) => {
                    let mut wire = wire.to_vec();
                    let last = wire.len() - 1;
                    wire[last] ^= 1; // Its signature.
                    vec![Message::Header(wire.into()).to_bytes()]
                }
                _ => vec![body],
            }
        }),
    );
    world.boot();
    world.reach(&[0, 1, 2, 4], 8, ms(60_000));
    assert!(world.blamed.iter().all(|(_, of, _)| *of == 3), "{:?}", world.blamed);
    assert!(world.blamed.iter().any(|(_, _, what)| matches!(what, Violation::Header { .. })));
}

#[test]
fn a_certificate_that_shows_nothing_costs_the_link() {
    let mut world = World::new(Setup { rest: ms(0), ..Setup::new(8, 4, 2) });
    // The last hears of everything through a liar, and later through an honest one.
    world.setup.links.retain(|(a, b)| *b != 5 || [3, 4].contains(a));
    world.cut.insert((4, 5));
    world.lies.insert(
        3,
        Box::new(|to, channel, body: Bytes| match Message::decode(&body) {
            Ok(Message::Fin(fin)) if channel == channel::SYNC && to == 5 => {
                let mut certificate = fin.certificate.to_vec();
                let last = certificate.len() - 1;
                certificate[last] ^= 1;
                vec![Message::Fin(Fin { certificate: certificate.into(), ..fin }).to_bytes()]
            }
            _ => vec![body],
        }),
    );
    world.boot();
    world.reach(&[0, 1, 2], 10, ms(30_000));
    assert_eq!(world.settled(5), 0, "nothing was shown to it");
    assert!(
        world
            .blamed
            .iter()
            .any(|(by, of, what)| { (*by, *of) == (5, 3) && matches!(what, Violation::Certificate { .. }) }),
        "{:?}",
        world.blamed
    );
    world.set_link(4, 5, true);
    world.reach(&[5], 10, ms(30_000));
    assert!(world.blamed.iter().all(|(_, of, _)| *of == 3), "{:?}", world.blamed);
}

#[test]
fn a_body_that_is_another_costs_the_link_and_comes_from_others() {
    let mut world = World::new(Setup::new(9, 4, 1));
    world.lies.insert(
        3,
        Box::new(|to, channel, body: Bytes| {
            if channel != channel::BODIES || body.is_empty() || to != 4 {
                return vec![body];
            }
            let mut bytes = body.to_vec();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            vec![bytes.into()]
        }),
    );
    world.boot();
    for n in 0..30_u8 {
        world.submit(3, vec![n; 30]);
        world.pass(ms(100));
    }
    let then = world.height() + 6;
    world.reach(&[4], then, ms(60_000));
    assert!(world.blamed.iter().all(|(_, of, _)| *of == 3), "{:?}", world.blamed);
}

#[test]
fn who_relays_is_not_blamed_for_a_forged_copy_of_what_it_knows() {
    // 0 - 1 - 2 - 3: the second gets votes of the first by themselves, and forged copies for those behind it.
    let links = vec![(0, 1), (1, 2), (2, 3)];
    let mut world = World::new(Setup { links, ..Setup::new(18, 4, 0) });
    world.lies.insert(
        0,
        Box::new(|_, channel, body: Bytes| {
            let is_parcel = channel == channel::ROUTING
                && matches!(routing::Message::decode(&body), Ok(routing::Message::Parcel { .. }));
            if !is_parcel {
                return vec![body];
            }
            let mut bytes = body.to_vec();
            let last = bytes.len() - 1;
            bytes[last] ^= 1; // Of what it carries, the signature.
            vec![bytes.into()]
        }),
    );
    world.boot();
    world.reach(&[1, 2, 3], 8, ms(120_000));
    let is_bad = |what: &Violation| matches!(what, Violation::Routing(routing::Violation::BadPacket { .. }));
    assert!(world.blamed.iter().any(|(_, _, what)| is_bad(what)), "{}", world.story());
    assert_eq!(world.blamed.iter().find(|(_, of, _)| *of != 0), None);
}

#[test]
fn who_proposes_two_blocks_is_known_for_it() {
    let mut world = World::new(Setup::new(10, 4, 0));
    // Two nodes with one key.
    world.setup.keys[3] = 1;
    world.setup.validators = vec![1, 2, 3];
    world.setup.faults = chain::native::Faults::Crash;
    let mut world = World::new(world.setup);
    world.lies.insert(0, Box::new(|_, _, body| vec![body]));
    world.lies.insert(3, Box::new(|_, _, body| vec![body]));
    world.boot();
    world.submit(0, vec![1]);
    world.submit(3, vec![3]);
    world.run(ms(60_000), |world| {
        world.nodes.iter().any(|node| node.notices.iter().any(|it| matches!(it, Notice::Evidence(_))))
    });
    let evidence = |world: &World, node| world.status(node).member.expect("a member").evidence;
    let witness = (0..4).find(|node| !evidence(&world, *node).is_empty());
    let witness = witness.unwrap_or_else(|| panic!("{}", world.story()));
    let seen = evidence(&world, witness);
    // Evidence of another chain is none here.
    let mut foreign = seen[0].messages();
    if let quorum::Message::Vote(vote) = &mut foreign[0] {
        vote.signature[0] ^= 1;
    }
    if let quorum::Message::Proposal(offer) = &mut foreign[0] {
        offer.signature[0] ^= 1;
    }
    world.crash(witness, 100);
    world.nodes[witness].kept.evidence.extend(quorum::Evidence::from_messages(foreign));
    world.start(witness);
    assert_eq!(evidence(&world, witness), seen, "it is shown in the next life as well, and nothing else is");
}

#[test]
fn orders_are_kept_over_lives_and_a_block_that_was_given_up_can_be_allowed_again() {
    let mut world = World::new(Setup::new(17, 4, 0));
    world.boot();
    let (block, mode) = (Hash([9; 32]), diffusion::sync::bodies::Mode::Backup);
    world.command(0, Command::Allow(block));
    assert!(world.nodes[0].obeyed[0].is_err(), "it was not given up");
    world.crash(0, 100);
    world.nodes[0].kept.blacklist = vec![block];
    world.nodes[0].kept.modes = vec![(peer(1), mode)];
    world.start(0);
    world.reach(&[0, 1, 2, 3], 3, ms(20_000));
    let status = world.status(0).member.expect("a member");
    assert_eq!(status.blacklist, [block]);
    assert_eq!(status.peers.iter().find(|it| it.id == peer(1)).map(|it| it.mode), Some(mode));
    world.command(0, Command::Allow(block));
    assert!(world.nodes[0].obeyed[1].is_ok());
    assert!(world.status(0).member.expect("a member").blacklist.is_empty());
    world.check();
}

#[test]
fn noise_on_every_channel_costs_strikes_and_nothing_else() {
    let mut world = World::new(Setup::new(12, 4, 0));
    world.lies.insert(
        3,
        Box::new(|_, channel, body: Bytes| {
            let noise = match channel {
                channel::CONSENSUS | channel::ROUTING | channel::SYNC => {
                    Bytes::from_static(&[0x82, 0x18, 0x63])
                }
                _ => Bytes::from_static(b"x"),
            };
            vec![noise, body]
        }),
    );
    world.boot();
    world.reach(&[0, 1, 2, 3], 8, ms(60_000));
    assert!(!world.blamed.is_empty() && world.blamed.iter().all(|(_, of, _)| *of == 3));
    assert!(world.nodes[0].peers.contains(&3), "strikes alone close nothing here");
}

#[test]
fn greetings_of_others_are_not_believed() {
    let mut world = World::new(Setup::new(13, 4, 1));
    // The follower passes the greeting that it got on as its own.
    let stolen = crate::member::Greeting::new(&chain_id(&world), &super::world::key(1), &peer(4));
    let bytes = stolen.encode();
    world.boot();
    world.reach(&[0, 1, 2, 3], 2, ms(20_000));
    let event = crate::member::Event::Message { channel: channel::CONSENSUS, body: bytes };
    world.give(1, crate::Input::Peer { id: peer(4), event });
    assert!(world.blamed.contains(&(1, 4, Violation::Greeting)));
}

#[test]
fn another_node_with_our_key_is_told_of_once() {
    let mut world = World::new(Setup::new(15, 4, 2));
    world.boot();
    world.reach(&[0, 1, 2, 3], 2, ms(20_000));
    let ours = crate::member::Greeting::new(&chain_id(&world), &super::world::key(1), &peer(0)).encode();
    for twin in [4, 5] {
        let event = crate::member::Event::Message { channel: channel::CONSENSUS, body: ours.clone() };
        world.give(0, crate::Input::Peer { id: peer(twin), event });
    }
    assert!(world.blamed.is_empty(), "it has the key: it is no liar yet");
    let told = |notice: &&Notice| matches!(notice, Notice::KeyElsewhere { peer: Some(_) });
    assert_eq!(world.nodes[0].notices.iter().filter(told).count(), 1);
    assert!(world.status(0).member.expect("a member").is_key_elsewhere);
}

fn chain_id(world: &World) -> Hash {
    world.format.chain_id()
}

#[test]
fn headers_of_the_future_wait_for_their_time() {
    let mut world = World::new(Setup::new(14, 4, 1));
    world.boot();
    world.reach(&[4], 3, ms(20_000));
    // The follower's clock goes back by twenty seconds.
    world.crash(4, 0);
    world.nodes[4].is_slow_by = ms(20_000);
    world.start(4);
    world.pass(ms(5_000));
    let stuck = world.settled(4);
    assert!(world.height() > stuck);
    assert!(world.nodes[4].notices.iter().any(|notice| matches!(notice, Notice::Clock { .. })));
    // Once they have come, they are taken.
    let then = world.height();
    world.reach(&[4], then, ms(40_000));
    world.check();
}
