//! The handshake, the small protocols, the limits.

use std::net::SocketAddr;

use super::*;
use crate::codec::{List, Raw};
use crate::limits::HANDSHAKE;
use crate::tx_submission::IdAndSize;
use crate::{keep_alive, peer_sharing, tx_submission};

fn keep_alive(cookie: u16) -> Vec<u8> {
    encoded(|out| keep_alive::Message::KeepAlive { cookie }.encode(out))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_relays_proposal_is_accepted_though_its_data_differ_from_ours() {
    let mut world = World::new(Made::new(1, 1));
    let said = world.say(HANDSHAKE, &propose(MAGIC, false));
    let data =
        VersionData { magic: MAGIC, initiator_only: true, peer_sharing: false, query: false, peras: false };
    let accept = handshake::Message::AcceptVersion { version: Version::V15, data };
    assert_eq!(said, [(HANDSHAKE, encoded(|out| accept.encode(out)))]);
    assert!(world.client.is_open());
}

#[test]
fn versions_that_nobody_knows_are_skipped_whatever_their_data() {
    let mut world = World::new(Made::new(1, 1));
    // {14: [2, false, 1, false], 99: {"x": [_ 1]}}
    let odd =
        [&[0x82, 0x00, 0xa2, 14, 0x84, 2, 0xf4, 1, 0xf4][..], &[0x18, 99, 0xa1, 0x61, b'x', 0x9f, 1, 0xff]];
    world.say(HANDSHAKE, &odd.concat());
    assert!(matches!(world.outputs[..], [Output::Opened { version: Version::V14, .. }]));
}

#[test]
fn another_network_is_refused_with_a_text() {
    let mut world = World::new(Made::new(1, 1));
    let said = world.say(HANDSHAKE, &propose(764_824_073, false));
    assert!(matches!(
        handshake::Message::decode(&said[0].1),
        Ok(handshake::Message::Refuse(handshake::Refusal::Refused { .. }))
    ));
    assert_eq!(world.closed(), Some(Reason::OtherNetwork { magic: 764_824_073 }));
}

#[test]
fn no_common_version_is_answered_with_ours() {
    let mut world = World::new(Made::new(1, 1));
    let said = world.say(HANDSHAKE, &[0x82, 0x00, 0xa1, 0x18, 99, 0x80]);
    assert!(matches!(
        handshake::Message::decode(&said[0].1),
        Ok(handshake::Message::Refuse(handshake::Refusal::VersionMismatch { versions }))
            if versions.iter().last() == Some(Version::V16)
    ));
    assert_eq!(world.closed(), Some(Reason::Mismatch));
}

#[test]
fn a_query_is_answered_with_our_table_and_the_connection_closed() {
    let mut world = World::new(Made::new(1, 1));
    let data =
        VersionData { magic: MAGIC, initiator_only: true, peer_sharing: false, query: true, peras: false };
    let table = [(Version::V14, data)];
    let query = handshake::Message::ProposeVersions { versions: Versions::new(&table) };
    let said = world.say(HANDSHAKE, &encoded(|out| query.encode(out)));
    assert!(matches!(
        handshake::Message::decode(&said[0].1),
        Ok(handshake::Message::QueryReply { versions }) if versions.iter().count() > 3
    ));
    assert_eq!(world.closed(), Some(Reason::Queried));
}

#[test]
fn a_client_that_says_nothing_is_gone_after_ten_seconds() {
    let mut world = World::new(Made::new(1, 1));
    assert_eq!(world.client.next_deadline(), Some(world.now + secs(10)));
    world.tick_after(secs(9));
    assert_eq!(world.closed(), None);
    // Nor does it help to dribble.
    world.receive(&[0]);
    world.tick_after(secs(1));
    assert!(matches!(world.closed(), Some(Reason::Violation(Violation::Timeout { .. }))));
}

#[test]
fn time_limits_bind_the_client_in_its_states_alone() {
    let mut world = World::open(Made::new(1, 1));
    assert_eq!(world.client.next_deadline(), Some(world.now + secs(3_373)));
    world.say(CHAIN_SYNC, &[0x81, 0x00].repeat(3));
    assert_eq!(world.client.next_deadline(), None, "it waits at the tip: our turn");
    world.say(KEEP_ALIVE, &keep_alive(1));
    assert_eq!(world.client.next_deadline(), Some(world.now + secs(97)));
    world.tick_after(secs(97));
    let late = Violation::Timeout { protocol: KEEP_ALIVE, state: "Client" };
    assert_eq!(world.closed(), Some(late.into()));
}

#[test]
fn a_segment_must_arrive_within_thirty_seconds() {
    let mut world = World::open(Made::new(1, 1));
    let bytes = frame(KEEP_ALIVE, &keep_alive(7));
    world.receive(&bytes[..9]);
    world.tick_after(secs(29));
    assert_eq!(world.closed(), None);
    world.tick_after(secs(1));
    assert_eq!(world.closed(), Some(Violation::SlowSegment.into()));
}

#[test]
fn keep_alive_goes_on_whatever_waits_on_other_protocols() {
    let mut world = World::open(Made::new(20, 20));
    world.has_log = false;
    // FindIntersect waits for the log, a second one behind it, and a range too.
    let find =
        [&[0x82, 0x04, 0x81][..], &encoded(|out| chain::codec::encode_point(&world.made.point(3), out))];
    world.say(CHAIN_SYNC, &find.concat().repeat(2));
    let range = [world.made.point(1), world.made.point(2)];
    let request = crate::block_fetch::Message::RequestRange { from: range[0], to: range[1] };
    world.say(BLOCK_FETCH, &encoded(|out| request.encode(out)));
    for cookie in 0..100 {
        let reply = encoded(|out| keep_alive::Message::Response { cookie }.encode(out));
        assert_eq!(world.say(KEEP_ALIVE, &keep_alive(cookie)), [(KEEP_ALIVE, reply)]);
    }
    assert_eq!(world.client.status().chain_sync, "Intersect");
    assert_eq!(world.client.status().block_fetch, "Busy");
}

#[test]
fn questions_of_keep_alive_without_reading_the_answers_overrun_their_queue() {
    let mut world = World::open(Made::new(1, 1));
    for cookie in 0..600 {
        world.receive(&frame(KEEP_ALIVE, &keep_alive(cookie)));
    }
    assert!(matches!(
        world.closed(),
        Some(Reason::Violation(Violation::Mux(link::mux::Violation::Overrun { protocol: KEEP_ALIVE, .. })))
    ));
}

#[test]
fn addresses_are_shared_up_to_the_number_asked_for() {
    let mut world = World::open(Made::new(1, 1));
    let ask = encoded(|out| peer_sharing::Message::ShareRequest { amount: 2 }.encode(out));
    assert_eq!(world.say(PEER_SHARING, &ask), []);
    assert_eq!(world.outputs, [Output::Peers(2)]);
    let peers = [1, 2, 3].map(|host| SocketAddr::from(([10, 0, 0, host], 3001)));
    world.input(Input::Peers(peers.to_vec()));
    let said = world.hear();
    let Ok(peer_sharing::Message::SharePeers { peers: said }) = peer_sharing::Message::decode(&said[0].1)
    else {
        panic!("{said:?}")
    };
    assert_eq!(said.iter().map(|peer| peer.0).collect::<Vec<_>>(), peers[..2]);
}

#[test]
fn peer_sharing_that_was_not_agreed_on_does_not_run() {
    let mut world = World::new(Made::new(1, 1));
    world.say(HANDSHAKE, &propose(MAGIC, false));
    world.say(PEER_SHARING, &[0x82, 0, 1]);
    assert!(matches!(world.closed(), Some(Reason::Violation(Violation::Mux(_)))));
}

#[test]
fn transactions_are_pulled_once_there_is_room_and_only_the_wanted_ones() {
    use tx_submission::Message as M;
    let mut world = World::open(Made::new(1, 1));
    assert_eq!(world.say(TX_SUBMISSION, &encoded(|out| M::Init.encode(out))), []);
    assert_eq!(world.outputs, [Output::InboxRoom]);
    assert!(world.client.wants_inbox_room());
    world.outputs.clear();
    world.input(Input::InboxRoom);
    let first = M::RequestTxIds { blocking: true, acknowledged: 0, requested: 10 };
    assert_eq!(world.hear(), [(TX_SUBMISSION, encoded(|out| first.encode(out)))]);

    let ids = [0x41_u8, 0x42].map(|id| [0x41, id]);
    let offered = ids.each_ref().map(|id| IdAndSize { id: Raw(id), size: 3 });
    let reply = M::ReplyTxIds { ids: List::new(&offered) };
    assert_eq!(world.say(TX_SUBMISSION, &encoded(|out| reply.encode(out))), []);
    assert!(matches!(&world.outputs[..], [Output::Offered(offers)] if offers.len() == 2));
    world.outputs.clear();
    world.input(Input::Wanted(vec![false, true]));
    let pull = [Raw(&ids[1])];
    let pull = M::RequestTxs { ids: List::new(&pull) };
    assert_eq!(world.hear(), [(TX_SUBMISSION, encoded(|out| pull.encode(out)))]);
    assert_eq!(world.client.next_deadline(), Some(world.now + secs(10)));

    let tx = [Raw(&[0x42, 8, 9])];
    let reply = M::ReplyTxs { txs: List::new(&tx) };
    world.say(TX_SUBMISSION, &encoded(|out| reply.encode(out)));
    let came = (Some(Bytes::copy_from_slice(&ids[1])), Bytes::from_static(&[0x42, 8, 9]));
    assert_eq!(world.outputs, [Output::Transactions(vec![came]), Output::InboxRoom]);
    world.input(Input::InboxRoom);
    let next = M::RequestTxIds { blocking: true, acknowledged: 2, requested: 10 };
    assert_eq!(world.hear(), [(TX_SUBMISSION, encoded(|out| next.encode(out)))]);
}

#[test]
fn malformed_is_not_taken_for_incomplete() {
    let mut world = World::open(Made::new(1, 1));
    world.say(CHAIN_SYNC, &[0x82, 0x04, 0x1c]);
    assert!(matches!(world.closed(), Some(Reason::Violation(Violation::Framing { .. }))));
}

#[test]
fn a_message_without_end_is_refused_at_its_limit() {
    let mut world = World::open(Made::new(1, 1));
    // A FindIntersect that goes on and on.
    world.say(CHAIN_SYNC, &[0x82, 0x04, 0x9f]);
    for _ in 0..2_000 {
        world.say(CHAIN_SYNC, &[0x80; 40]);
        if world.closed().is_some() {
            break;
        }
        assert!(world.client.held_bytes() <= 65_535);
    }
    assert!(matches!(world.closed(), Some(Reason::Violation(Violation::Framing { .. }))));
}

#[test]
fn draining_answers_what_was_asked_and_takes_no_more() {
    let mut world = World::open(Made::new(2, 4));
    world.receive(&frame(CHAIN_SYNC, &[0x81, 0x00].repeat(3)));
    world.input(Input::Drain);
    assert!(!world.client.is_quiet());
    assert_eq!(world.hear().len(), 3);
    assert!(world.client.is_quiet());
    assert_eq!(world.say(CHAIN_SYNC, &[0x81, 0x00]), []);
    assert!(world.client.is_quiet());
}

#[test]
fn an_idle_client_is_small_and_holds_no_buffer() {
    assert!(size_of::<Client>() <= 640, "a client's machine takes {} B", size_of::<Client>());
    let mut world = World::open(Made::new(20, 20));
    world.say(CHAIN_SYNC, &[0x81, 0x00].repeat(10));
    world.say(KEEP_ALIVE, &keep_alive(7));
    let range = world.made.point(3);
    let request = crate::block_fetch::Message::RequestRange { from: range, to: range };
    world.say(BLOCK_FETCH, &encoded(|out| request.encode(out)));
    // But for the headers that it may ask for next, and those not for long.
    assert!(world.client.is_resting(world.now + Duration::from_secs(1)));
    world.client.relax();
    assert!(!world.client.holds_anything());
}
