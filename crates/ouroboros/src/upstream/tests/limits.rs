//! What a server may not do: take too long, say too much.

use std::collections::BTreeSet;

use super::*;
use crate::framing;
use crate::limits::{BLOCK_FETCH, CHAIN_SYNC, HANDSHAKE, KEEP_ALIVE, PEER_SHARING};

const TICK: Duration = Duration::from_millis(1);

/// A running machine whose first keep-alive is answered, so that nothing but the test's own waits is due.
fn quiet() -> World {
    let config =
        Config { keep_alive: Duration::from_secs(100_000), peer_sharing: true, ..Config::new(MAGIC) };
    let mut world = World::new(&config);
    world.say(HANDSHAKE, &accept(Version::V15, VersionData { peer_sharing: true, ..DATA }));
    let heard = world.heard();
    let (_, bytes) = heard.iter().rfind(|(protocol, _)| *protocol == KEEP_ALIVE).unwrap();
    let Ok(keep_alive::Message::KeepAlive { cookie }) = keep_alive::Message::decode(bytes) else { panic!() };
    world.say_keep_alive(keep_alive::Message::Response { cookie });
    world
}

/// Waits until the machine's next deadline, which must be this far away; nothing may happen a moment before.
fn violation_after(world: &mut World, wait: Duration) -> Violation {
    assert_eq!(world.state.next_deadline(), Some(world.now + wait));
    assert_eq!(world.pass(wait - TICK), [], "a moment before");
    violation(&world.pass(TICK))
}

#[test]
fn every_state_of_the_server_has_its_time_limit() {
    let timeout = |protocol, state| Violation::Timeout { protocol, state };
    let seconds = Duration::from_secs;

    let mut world = World::new(&Config::new(MAGIC));
    assert_eq!(violation_after(&mut world, seconds(10)), timeout(HANDSHAKE, "Confirm"));

    let mut world = quiet();
    world.command(Command::Intersect { points: vec![] });
    assert_eq!(violation_after(&mut world, seconds(10)), timeout(CHAIN_SYNC, "Intersect"));

    let mut world = quiet();
    world.command(Command::Demand { n: 1 });
    assert_eq!(violation_after(&mut world, seconds(10)), timeout(CHAIN_SYNC, "CanAwait"));

    let mut world = quiet();
    world.command(Command::Fetch { from: POINT, to: POINT });
    assert_eq!(violation_after(&mut world, seconds(60)), timeout(BLOCK_FETCH, "Busy"));

    let mut world = quiet();
    world.command(Command::Fetch { from: POINT, to: POINT });
    world.say_block_fetch(block_fetch::Message::StartBatch);
    assert_eq!(violation_after(&mut world, seconds(60)), timeout(BLOCK_FETCH, "Streaming"));

    let mut world = quiet();
    world.command(Command::SharePeers { n: 1 });
    assert_eq!(violation_after(&mut world, seconds(60)), timeout(PEER_SHARING, "Busy"));

    let mut world = World::running();
    assert_eq!(violation_after(&mut world, seconds(60)), timeout(KEEP_ALIVE, "Server"));
}

#[test]
fn a_chain_may_stand_still_for_a_time_drawn_afresh() {
    let mut drawn = BTreeSet::new();
    let mut world = quiet();
    for _ in 0..20 {
        world.command(Command::Demand { n: 1 });
        world.say_chain_sync(chain_sync::Message::AwaitReply);
        let wait = world.state.next_deadline().unwrap() - world.now;
        assert!((Duration::from_secs(601)..=Duration::from_secs(911)).contains(&wait), "{wait:?}");
        drawn.insert(wait);
        assert_eq!(world.pass(wait - TICK), []);
        assert_eq!(world.say_chain_sync(forward()), [forwarded()]);
    }
    assert!(drawn.len() > 10, "{drawn:?}");
    world.command(Command::Demand { n: 1 });
    world.say_chain_sync(chain_sync::Message::AwaitReply);
    let wait = world.state.next_deadline().unwrap() - world.now;
    let late = violation_after(&mut world, wait);
    assert_eq!(late, Violation::Timeout { protocol: CHAIN_SYNC, state: "MustReply" });
}

#[test]
fn each_pipelined_answer_has_its_own_time() {
    let mut world = quiet();
    world.command(Command::Demand { n: 3 });
    for _ in 0..3 {
        assert_eq!(world.pass(Duration::from_secs(9)), []);
        assert_eq!(world.say_chain_sync(forward()), [forwarded()]);
    }
    assert_eq!(world.pass(Duration::from_secs(90)), [], "nothing is awaited");
}

#[test]
fn a_segment_has_its_time_too() {
    let mut world = quiet();
    let bytes = segment(CHAIN_SYNC, &encoded(|out| forward().encode(out)));
    world.command(Command::Fetch { from: POINT, to: POINT });
    assert_eq!(world.input(Input::Received(&bytes[..3])), []);
    assert_eq!(violation_after(&mut world, Duration::from_secs(30)), Violation::SlowSegment);

    let mut world = World::new(&Config::new(MAGIC));
    assert_eq!(world.pass(Duration::from_secs(1)), []);
    let bytes = segment(HANDSHAKE, &accept(Version::V15, DATA));
    assert_eq!(world.input(Input::Received(&bytes[..9])), []);
    // The handshake's own limit began a second earlier.
    let late = violation_after(&mut world, Duration::from_secs(9));
    assert_eq!(late, Violation::Timeout { protocol: HANDSHAKE, state: "Confirm" });
}

#[test]
fn a_segment_that_ends_stops_its_clock() {
    let mut world = quiet();
    world.command(Command::Demand { n: 2 });
    let bytes = segment(CHAIN_SYNC, &encoded(|out| forward().encode(out)));
    assert_eq!(world.input(Input::Received(&bytes[..9])), []);
    assert_eq!(world.pass(Duration::from_secs(9)), []);
    let end_and_more = [&bytes[9..], &bytes[..9]].concat();
    assert_eq!(world.input(Input::Received(&end_and_more)), [forwarded()]);
    assert_eq!(world.pass(Duration::from_secs(9)), []);
    assert_eq!(world.input(Input::Received(&bytes[9..])), [forwarded()]);
    assert_eq!(world.pass(Duration::from_secs(9_000)), []);
}

#[test]
fn every_message_has_its_size_limit() {
    let long = |limit: usize| {
        let mut message = vec![0x82, 0x04, 0xd8, 24, 0x5a];
        message.extend_from_slice(&(limit as u32).to_be_bytes());
        message
    };
    let too_long =
        |protocol, limit| Violation::Framing { protocol, error: framing::Error::TooLong { limit } };

    let mut world = World::new(&Config::new(MAGIC));
    assert_eq!(violation(&world.say(HANDSHAKE, &long(5_760))), too_long(HANDSHAKE, 5_760));
    let mut world = quiet();
    assert_eq!(violation(&world.say(CHAIN_SYNC, &long(65_535))), too_long(CHAIN_SYNC, 65_535));
    let mut world = quiet();
    assert_eq!(violation(&world.say(BLOCK_FETCH, &long(65_535))), too_long(BLOCK_FETCH, 65_535));
    let mut world = quiet();
    world.command(Command::Fetch { from: POINT, to: POINT });
    world.say_block_fetch(block_fetch::Message::StartBatch);
    assert_eq!(world.say(BLOCK_FETCH, &long(2_400_000)), []);
    let mut world = quiet();
    world.command(Command::Fetch { from: POINT, to: POINT });
    world.say_block_fetch(block_fetch::Message::StartBatch);
    assert_eq!(violation(&world.say(BLOCK_FETCH, &long(2_500_000))), too_long(BLOCK_FETCH, 2_500_000));
    let mut world = quiet();
    assert_eq!(violation(&world.say(PEER_SHARING, &long(5_760))), too_long(PEER_SHARING, 5_760));
}

#[test]
fn an_incomplete_message_counts_against_the_queue() {
    let mut world = quiet();
    let head = [0x82, 0x00, 0x59, 0x08, 0x00];
    assert_eq!(world.say(KEEP_ALIVE, &head), []);
    assert_eq!(world.say(KEEP_ALIVE, &[0; 1_403]), []);
    let overrun = link::mux::Violation::Overrun { protocol: KEEP_ALIVE, limit: 1_408 };
    assert_eq!(violation(&world.say(KEEP_ALIVE, &[0])), Violation::Mux(overrun));
}

#[test]
fn malformed_is_not_taken_for_incomplete() {
    let mut world = quiet();
    let events = world.say(CHAIN_SYNC, &[0x82, 0x1c]);
    let error = framing::Error::Malformed { at: 1 };
    assert_eq!(violation(&events), Violation::Framing { protocol: CHAIN_SYNC, error });
}
