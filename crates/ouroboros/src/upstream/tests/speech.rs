//! What is said when, and what follows from it.

use proptest::prelude::*;

use super::*;
use crate::codec::List;
use crate::handshake::{Refusal, Versions};
use crate::limits::{BLOCK_FETCH, CHAIN_SYNC, HANDSHAKE, KEEP_ALIVE, PEER_SHARING, TX_SUBMISSION};

#[test]
fn proposes_what_it_is_told_to() {
    let mut world = World::new(&Config { peer_sharing: true, ..Config::new(MAGIC) });
    let heard = world.heard();
    let [(HANDSHAKE, proposal)] = &heard[..] else { panic!("{heard:?}") };
    let data = VersionData { peer_sharing: true, ..DATA };
    let table = [(Version::V14, data), (Version::V15, data)];
    let expected = handshake::Message::ProposeVersions { versions: Versions::new(&table) };
    assert_eq!(handshake::Message::decode(proposal), Ok(expected));
}

#[test]
fn begins_keep_alive_and_tx_submission_by_itself() {
    let mut world = World::new(&Config::new(MAGIC));
    world.heard();
    world.say(HANDSHAKE, &accept(Version::V14, DATA));
    let heard = world.heard();
    let [(TX_SUBMISSION, init), (KEEP_ALIVE, first)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(init[..], [0x81, 6]);
    assert!(matches!(keep_alive::Message::decode(first), Ok(keep_alive::Message::KeepAlive { .. })));
}

#[test]
fn says_how_a_server_refused() {
    let versions = [Version(7), Version(8)];
    let table = [
        (
            handshake::Message::Refuse(Refusal::VersionMismatch { versions: List::new(&versions) }),
            Refused::Versions { versions: vec![7, 8] },
        ),
        (
            handshake::Message::Refuse(Refusal::Refused { version: Version(15), text: "no" }),
            Refused::Text { text: "no".into() },
        ),
        (handshake::Message::QueryReply { versions: Versions::new(&[]) }, Refused::Query),
    ];
    for (message, refused) in table {
        let mut world = World::new(&Config::new(MAGIC));
        let events = world.say(HANDSHAKE, &encoded(|out| message.encode(out)));
        assert_eq!(events, [Event::Closed { reason: Reason::Handshake(refused) }]);
        assert!(world.state.is_closed());
        assert_eq!(world.say(HANDSHAKE, &accept(Version::V14, DATA)), [], "nothing follows");
    }
}

#[test]
fn takes_no_version_that_it_did_not_propose() {
    for (version, data) in [(Version::V16, DATA), (Version::V15, VersionData { magic: 1, ..DATA })] {
        let mut world = World::new(&Config::new(MAGIC));
        let events = world.say(HANDSHAKE, &accept(version, data));
        assert_eq!(violation(&events), Violation::NotProposed { version: version.0 });
    }
}

#[test]
fn an_intersection_comes_after_what_was_demanded() {
    let mut world = World::running();
    world.command(Command::Demand { n: 2 });
    world.command(Command::Intersect { points: vec![POINT, Point::Origin] });
    world.command(Command::Demand { n: 4 });
    let heard = world.heard();
    let points = [POINT, Point::Origin];
    let question = chain_sync::Message::FindIntersect { points: List::new(&points) };
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[2], (CHAIN_SYNC, encoded(|out| question.encode(out))));

    assert_eq!(world.say_chain_sync(forward()), [forwarded()]);
    assert_eq!(world.say_chain_sync(forward()), [forwarded()]);
    assert_eq!(world.heard_requests(), 0, "not before the intersection is known");
    let found = chain_sync::Message::IntersectFound { point: POINT, tip: TIP };
    assert_eq!(world.say_chain_sync(found), [Event::Intersected { point: POINT, tip: TIP }]);
    assert_eq!(world.heard_requests(), 4);
}

#[test]
fn an_intersection_may_not_exist() {
    let mut world = World::running();
    world.command(Command::Intersect { points: vec![POINT] });
    let none = chain_sync::Message::IntersectNotFound { tip: TIP };
    assert_eq!(world.say_chain_sync(none), [Event::NotIntersected { tip: TIP }]);
    let twice = world.say_chain_sync(none);
    assert!(matches!(violation(&twice), Violation::Agency { state: "Idle", .. }));
}

#[test]
fn ranges_are_answered_in_order() {
    use block_fetch::Message;
    let mut world = World::running();
    world.command(Command::Fetch { from: Point::Origin, to: POINT });
    world.command(Command::Fetch { from: POINT, to: POINT });
    assert_eq!(world.heard().len(), 2);
    assert_eq!(world.say_block_fetch(Message::NoBlocks), [Event::NoBlocks]);
    assert_eq!(world.say_block_fetch(Message::StartBatch), [Event::BatchStarted]);
    let raw = vec![7; 40_000];
    let block = Event::Block { raw: Bytes::from(raw.clone()) };
    assert_eq!(world.say_block_fetch(Message::Block { raw: &raw }), [block]);
    assert_eq!(world.say_block_fetch(Message::BatchDone), [Event::BatchDone]);
    let unasked = world.say_block_fetch(Message::StartBatch);
    assert_eq!(
        violation(&unasked),
        Violation::Agency { protocol: BLOCK_FETCH, state: "Idle", message: "StartBatch" }
    );
}

#[test]
fn measures_round_trips_at_an_interval() {
    let mut world = World::new(&Config::new(MAGIC));
    world.heard();
    world.say(HANDSHAKE, &accept(Version::V15, DATA));
    let cookie = |world: &mut World| {
        let heard = world.heard();
        let (KEEP_ALIVE, bytes) = heard.last().unwrap() else { panic!("{heard:?}") };
        let Ok(keep_alive::Message::KeepAlive { cookie }) = keep_alive::Message::decode(bytes) else {
            panic!()
        };
        cookie
    };
    let first = cookie(&mut world);
    world.now += Duration::from_millis(30);
    let rtt = Duration::from_millis(30);
    assert_eq!(world.say_keep_alive(keep_alive::Message::Response { cookie: first }), [Event::Rtt { rtt }]);
    assert_eq!(world.state.next_deadline(), Some(world.now - rtt + Duration::from_secs(10)));
    assert_eq!(world.pass(Duration::from_secs(10)), []);
    let second = cookie(&mut world);
    assert_ne!(first, second);
    let wrong = world.say_keep_alive(keep_alive::Message::Response { cookie: first });
    assert_eq!(violation(&wrong), Violation::Cookie { sent: second, got: first });
}

#[test]
fn waits_with_a_blocking_question_for_transactions() {
    use tx_submission::Message;
    let mut world = World::running();
    let ask = |blocking| Message::RequestTxIds { blocking, acknowledged: 0, requested: 3 };
    assert_eq!(world.say_tx_submission(ask(true)), []);
    assert_eq!(world.heard(), []);
    let second = world.say_tx_submission(ask(true));
    assert_eq!(
        violation(&second),
        Violation::Agency { protocol: TX_SUBMISSION, state: "TxIds(blocking)", message: "RequestTxIds" }
    );
}

#[test]
fn asks_for_peers_only_where_they_are_shared() {
    let mut world = World::running();
    assert_eq!(world.command(Command::SharePeers { n: 5 }), [Event::Peers { peers: vec![] }]);
    assert_eq!(world.heard(), []);

    let mut world = World::new(&Config { peer_sharing: true, ..Config::new(MAGIC) });
    world.say(HANDSHAKE, &accept(Version::V15, VersionData { peer_sharing: true, ..DATA }));
    world.heard();
    world.command(Command::SharePeers { n: 1 });
    world.command(Command::SharePeers { n: 9 });
    assert_eq!(world.heard(), [(PEER_SHARING, vec![0x82, 0, 1])]);
    let address: SocketAddr = "10.0.0.1:3001".parse().unwrap();
    let peers = [peer_sharing::Peer(address); 2];
    let one = peer_sharing::Message::SharePeers { peers: List::new(&peers[..1]) };
    assert_eq!(world.say_peer_sharing(one), [Event::Peers { peers: vec![address] }]);
    world.command(Command::SharePeers { n: 1 });
    let two = world.say_peer_sharing(peer_sharing::Message::SharePeers { peers: List::new(&peers) });
    assert_eq!(violation(&two), Violation::TooManyPeers { asked: 1, got: 2 });
}

#[test]
fn says_good_bye_where_it_may() {
    let mut world = World::running();
    world.command(Command::Demand { n: 1 });
    world.heard();
    assert_eq!(world.command(Command::Done), [Event::Closed { reason: Reason::Done }]);
    // Not in chain-sync, where it is the server's turn, nor in keep-alive and tx-submission, nor in
    // peer-sharing, which was not agreed on.
    assert_eq!(world.heard(), [(BLOCK_FETCH, vec![0x81, 1])]);
    assert_eq!(world.state.next_deadline(), None);

    let mut world = World::new(&Config { peer_sharing: true, ..Config::new(MAGIC) });
    world.say(HANDSHAKE, &accept(Version::V15, VersionData { peer_sharing: true, ..DATA }));
    world.heard();
    assert_eq!(world.command(Command::Done), [Event::Closed { reason: Reason::Done }]);
    assert!(world.heard().contains(&(PEER_SHARING, vec![0x81, 2])));
}

#[test]
fn refuses_what_does_not_belong_to_the_phase() {
    let mut world = World::new(&Config::new(MAGIC));
    let early = world.say_chain_sync(forward());
    let unknown = link::mux::Violation::UnknownProtocol { protocol: CHAIN_SYNC };
    assert_eq!(violation(&early), Violation::Mux(unknown));

    let mut world = World::running();
    let late = world.say(HANDSHAKE, &accept(Version::V15, DATA));
    let unknown = link::mux::Violation::UnknownProtocol { protocol: HANDSHAKE };
    assert_eq!(violation(&late), Violation::Mux(unknown));

    let mut world = World::new(&Config::new(MAGIC));
    let more = world.say(HANDSHAKE, &[&accept(Version::V15, DATA)[..], &[0x82]].concat());
    assert_eq!(violation(&more), Violation::Mux(unknown));

    let mut world = World::new(&Config::new(MAGIC));
    let twice = world.say(HANDSHAKE, &[accept(Version::V15, DATA), accept(Version::V15, DATA)].concat());
    assert!(matches!(violation(&twice), Violation::Agency { protocol: HANDSHAKE, state: "Done", .. }));
}

/// What an honest server might send after some demand, in segments of random sizes.
fn session() -> impl Strategy<Value = Vec<u8>> {
    let segments = prop::collection::vec((0u8..4, 1usize..60_000), 1..12);
    segments.prop_map(|segments| {
        let mut bytes = segment(HANDSHAKE, &accept(Version::V15, DATA));
        for (what, size) in segments {
            let (protocol, message) = match what {
                0 => (CHAIN_SYNC, encoded(|out| forward().encode(out))),
                1 => (CHAIN_SYNC, vec![0x81, 0x01]),
                2 => (BLOCK_FETCH, encoded(|out| block_fetch::Message::NoBlocks.encode(out))),
                _ => {
                    let raw = vec![1; size];
                    let messages = [
                        block_fetch::Message::StartBatch,
                        block_fetch::Message::Block { raw: &raw },
                        block_fetch::Message::BatchDone,
                    ];
                    (BLOCK_FETCH, encoded(|out| messages.iter().for_each(|message| message.encode(out))))
                }
            };
            message.chunks(1 + size % 5_000).for_each(|chunk| bytes.extend(segment(protocol, chunk)));
        }
        bytes
    })
}

/// The events of a session whose bytes come in these chunks.
fn events(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut world = World::new(&Config::new(MAGIC));
    let mut events = Vec::new();
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, tail) = rest.split_at(rest.len().min(*cut));
        rest = tail;
        let before = events.len();
        events.extend(world.input(Input::Received(chunk)));
        if events[before..].iter().any(|event| matches!(event, Event::Ready { .. })) {
            world.command(Command::Demand { n: 100 });
            (0..20).for_each(|_| assert_eq!(world.command(Command::Fetch { from: POINT, to: POINT }), []));
        }
    }
    events
}

proptest! {
    #[test]
    fn no_cut_of_the_bytes_matters(bytes in session(), cuts in prop::collection::vec(1usize..3_000, 1..20)) {
        // The acceptance comes by itself, so that the commands come before what follows it.
        let accepted = segment(HANDSHAKE, &accept(Version::V15, DATA)).len();
        let whole = events(&bytes, &[accepted, bytes.len()]);
        let byte_by_byte: Vec<usize> = vec![1; accepted];
        prop_assert_eq!(&events(&bytes, &[&byte_by_byte[..], &cuts].concat()), &whole);
        prop_assert!(whole.len() > 1);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in session(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = bytes;
        for (at, byte) in damage {
            let at = at.index(bytes.len().min(400));
            bytes[at] = byte;
        }
        events(&bytes, &[1_000]);
    }
}
