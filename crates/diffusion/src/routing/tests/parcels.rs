//! What travels: along routes, everywhere, to many; confirmed, looked at, tried again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::Hash;

use super::rig::{Conduct, ROOM, World, producer, sign};
use crate::routing::message::{How, Message, Packet, Places};
use crate::routing::{Claim, Config, Input, Output, Refusal, State, Ticket, Time, To, Verdict, Violation};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new(Hash([0; 32]), 7)
}

/// A world with these links, settled.
fn settled(count: usize, links: &[(usize, usize)]) -> World {
    let mut world = World::new(count, 1, config());
    links.iter().for_each(|(a, b)| world.set_link(*a, *b, 10, true));
    world.begin();
    world.run_for(5 * SECOND);
    world
}

fn to(producers: &[usize]) -> To {
    To::Producers(producers.iter().map(|n| producer(*n)).collect())
}

fn kinds(world: &mut World) -> impl Fn(&'static str) -> u64 + use<> {
    let sent = std::mem::take(&mut world.sent);
    move |kind| sent.get(kind).copied().unwrap_or(0)
}

fn times_delivered(world: &World, n: usize) -> u32 {
    world.nodes[n].delivered.values().sum()
}

#[test]
fn unicast_goes_along_one_way_and_comes_back_confirmed() {
    let mut world = settled(5, &[(0, 1), (1, 2), (2, 3), (1, 4)]);
    world.sent.clear();
    let ticket = world.send(0, to(&[3]), b"hello");
    world.run_for(SECOND);
    assert_eq!(world.nodes[0].over[&ticket].1, []);
    assert_eq!(world.nodes[0].confirmed[&ticket], BTreeSet::from([producer(3)]));
    let sent = kinds(&mut world);
    assert_eq!((sent("routed"), sent("receipt"), sent("flood")), (3, 3, 0));
    assert_eq!((0..5).map(|n| times_delivered(&world, n)).collect::<Vec<_>>(), [0, 0, 0, 1, 0]);
}

#[test]
fn multicast_parts_where_its_ways_part() {
    let mut world = settled(6, &[(0, 1), (1, 2), (2, 3), (2, 4), (1, 5)]);
    world.sent.clear();
    let ticket = world.send(0, to(&[0, 2, 3, 4]), b"hello");
    world.run_for(SECOND);
    assert_eq!(world.nodes[0].over[&ticket].1, []);
    assert_eq!(world.nodes[0].confirmed[&ticket].len(), 3);
    // One copy on each link of the tree that leads to them, and none to node 5.
    let sent = kinds(&mut world);
    assert_eq!((sent("routed"), sent("flood")), (4, 0));
    assert_eq!((0..6).map(|n| times_delivered(&world, n)).collect::<Vec<_>>(), [0, 0, 1, 1, 1, 0]);
}

#[test]
fn broadcast_reaches_everybody_once() {
    let mut world = settled(5, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (1, 3), (0, 2)]);
    world.sent.clear();
    let ticket = world.send(0, To::All, b"hello");
    assert_eq!(world.nodes[0].over[&ticket].1, []);
    world.run_for(SECOND);
    assert_eq!((0..5).map(|n| times_delivered(&world, n)).collect::<Vec<_>>(), [0, 1, 1, 1, 1]);
    // Over each link at most once in each direction.
    assert!(kinds(&mut world)("flood") <= 14);
}

#[test]
fn without_a_route_it_goes_everywhere() {
    let mut world = World::new(3, 1, config());
    world.set_link(0, 1, 10, true);
    world.set_link(1, 2, 10, true);
    // Nobody signs anything: no claims, no routes, until the packet is under way.
    (0..2).for_each(|n| world.tell_producers(n, None));
    world.run_for(SECOND);
    assert_eq!(world.nodes[0].state.next_hop(&producer(2)), None);
    let ticket = world.send(0, to(&[2]), b"hello");
    world.tell_producers(2, None);
    world.run_for(SECOND);
    assert_eq!(world.nodes[0].over[&ticket].1, []);
    assert!(kinds(&mut world)("flood") >= 2);
}

#[test]
fn nobody_there_is_said_in_the_end() {
    let mut world = settled(3, &[(0, 1)]);
    let ticket = world.send(0, to(&[1, 2]), b"hello");
    world.run_for(15 * SECOND);
    assert_eq!(world.nodes[0].over[&ticket].1, [producer(2)]);
    assert_eq!(times_delivered(&world, 1), 1, "five attempts are one packet");
    assert_eq!(world.nodes[0].state.status().unconfirmed, 0);
}

/// The short way leads into a hole; the long way is honest.
fn with_a_hole() -> World {
    let mut world = World::new(5, 1, config());
    world.nodes[1].conduct = Conduct::Hole;
    for (a, b, latency) in [(0, 1, 1), (1, 4, 1), (0, 2, 20), (2, 3, 20), (3, 4, 20)] {
        world.set_link(a, b, latency, true);
    }
    world.begin();
    world.run_for(5 * SECOND);
    assert_eq!(world.nodes[0].state.next_hop(&producer(4)), Some(1), "the hole draws everything");
    world
}

#[test]
fn a_route_that_does_not_deliver_is_left() {
    let mut world = with_a_hole();
    let ticket = world.send(0, to(&[4]), b"first");
    world.run_for(3 * SECOND);
    assert_eq!(world.nodes[0].over[&ticket].1, [], "the first is late, but comes");
    world.run_for(2 * SECOND);
    assert_eq!(world.nodes[0].state.next_hop(&producer(4)), Some(2), "a newer claim opens the long way");
    world.sent.clear();
    let (ticket, begin) = (world.send(0, to(&[4]), b"second"), world.now);
    world.run_for(SECOND);
    assert!(world.nodes[0].over[&ticket].0 - begin < Duration::from_millis(300), "the second is not late");
    assert_eq!(kinds(&mut world)("flood"), 0);
}

#[test]
fn a_hole_is_tried_again_ever_more_rarely() {
    let mut world = with_a_hole();
    let mut faults = Vec::new();
    for minute in 0..10 {
        for n in 0..30u8 {
            world.send(0, to(&[4]), &[minute, n]);
            world.run_for(2 * SECOND);
        }
        faults.push(world.nodes[0].state.status().counts.faults);
    }
    assert!(faults[0] >= 2, "{faults:?}");
    assert!(faults[9] - faults[4] <= 2, "{faults:?}");
}

#[test]
fn what_went_over_a_dead_link_goes_out_again_at_once() {
    let mut world = settled(4, &[(0, 1), (1, 3), (0, 2), (2, 3)]);
    let hop = world.nodes[0].state.next_hop(&producer(3)).expect("there is a route");
    let (ticket, begin) = (world.send(0, to(&[3]), b"hello"), world.now);
    world.set_link(0, hop, 10, false);
    world.run_for(SECOND);
    let (at, missing) = &world.nodes[0].over[&ticket];
    assert!(missing.is_empty() && *at - begin < Duration::from_millis(200), "{:?}", *at - begin);
    assert_eq!(world.nodes[0].state.status().counts.faults, 0, "nobody is blamed for a dead link");
}

#[test]
fn what_is_bad_is_not_passed_on_and_confirmed_all_the_same() {
    let mut world = settled(3, &[(0, 1), (1, 2)]);
    world.bad = Some(66);
    let bad = world.send(0, To::All, &[66]);
    world.run_for(SECOND);
    assert_eq!(world.nodes[0].over[&bad].1, []);
    assert!(matches!(world.nodes[1].blamed[..], [(0, Violation::BadPacket { .. })]));
    assert_eq!((world.nodes[1].delivered.len(), world.nodes[2].delivered.len()), (0, 0));
    assert!(world.nodes[2].blamed.is_empty(), "it never saw it");
    let bad = world.send(0, to(&[1]), &[66, 1]);
    world.run_for(SECOND);
    assert_eq!(
        world.nodes[0].over[&bad].1,
        [],
        "otherwise whoever sends bad packets makes good hops suspect"
    );
    assert_eq!(world.nodes[1].delivered.len(), 0);
}

/// One node by hand, with neighbours 1, 2 and 3.
struct Hand {
    state: State<u32>,
    now: Time,
}

impl Hand {
    fn new(config: Config) -> Self {
        let mut hand = Self { state: State::new(config), now: at(0) };
        let all = (0..4).map(producer).collect();
        hand.give(Input::Producers { all, me: Some(producer(0)) });
        for peer in 1..4 {
            hand.give(Input::Joined { peer, rtt: None, room: ROOM });
        }
        hand
    }

    fn give(&mut self, input: Input<u32>) -> Vec<Output<u32>> {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.check_invariants();
        out
    }

    fn parcel(&mut self, peer: u32, packet: &Arc<Packet>, how: How) -> Vec<Output<u32>> {
        self.give(Input::Message { peer, message: Message::Parcel { packet: packet.clone(), how } })
    }
}

/// So many seconds after the start.
fn at(seconds: u64) -> Time {
    Time { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1_000_000 + seconds) }
}

/// A packet sent so many seconds after the start.
fn packet(seconds: u64, nonce: u64, to: &[usize], body: &[u8]) -> Arc<Packet> {
    let to = to.iter().map(|n| producer(*n)).collect();
    Arc::new(Packet::new((1_000_000 + seconds) * 1_000, nonce, to, Bytes::copy_from_slice(body)))
}

const FLOOD: How = How::Flood { attempt: 0 };

fn sent_to(out: &[Output<u32>]) -> Vec<u32> {
    let to = |output: &Output<u32>| match output {
        Output::Send { peer, message: Message::Parcel { .. } } => Some(*peer),
        _ => None,
    };
    out.iter().filter_map(to).collect()
}

#[test]
fn a_packet_is_looked_at_once_before_it_goes_on() {
    let mut hand = Hand::new(config());
    let packet = packet(0, 1, &[], b"x");
    let out = hand.parcel(1, &packet, FLOOD);
    assert!(matches!(out[..], [Output::Judge { peer: 1, .. }]), "{out:?}");
    assert_eq!(
        hand.parcel(2, &packet, FLOOD),
        [],
        "nothing goes on before the verdict, nor is it asked again"
    );
    let out = hand.give(Input::Judged { id: packet.id(), verdict: Verdict::Accept });
    assert!(matches!(out[0], Output::Deliver { .. }));
    assert_eq!(sent_to(&out), [2, 3]);
    assert_eq!(hand.parcel(3, &packet, FLOOD), []);
    assert_eq!(hand.parcel(3, &packet, FLOOD), []);
    assert_eq!(hand.state.status().counts.duplicates, 3);
}

#[test]
fn without_a_verdict_in_time_a_packet_is_dropped_without_blame() {
    for (verdict, blamed) in [(None, 0), (Some(Verdict::Ignore), 0), (Some(Verdict::Reject), 2)] {
        let mut hand = Hand::new(config());
        let packet = packet(0, 1, &[], b"x");
        hand.parcel(1, &packet, FLOOD);
        hand.parcel(2, &packet, FLOOD);
        let mut out = match verdict {
            Some(verdict) => hand.give(Input::Judged { id: packet.id(), verdict }),
            None => Vec::new(),
        };
        hand.now = at(3);
        out.extend(hand.give(Input::Tick));
        let violations = out.iter().filter(|output| matches!(output, Output::Misbehaved { .. })).count();
        assert_eq!(violations, blamed);
        assert!(!out.iter().any(|output| matches!(output, Output::Deliver { .. })));
        let late = hand.give(Input::Judged { id: packet.id(), verdict: Verdict::Accept });
        assert_eq!(late, [], "too late");
        let again = hand.parcel(3, &packet, FLOOD);
        assert_eq!(again.len(), usize::from(blamed > 0), "it is remembered");
    }
}

#[test]
fn packets_out_of_their_window_are_taken_by_nobody() {
    let mut hand = Hand::new(config());
    hand.now = at(1_000);
    for (seconds, taken) in
        [(0, false), (879, false), (880, true), (1_000, true), (1_120, true), (1_121, false)]
    {
        let out = hand.parcel(1, &packet(seconds, 1, &[], b"x"), FLOOD);
        assert_eq!(
            out.iter().any(|output| matches!(output, Output::Judge { .. })),
            taken,
            "sent at {seconds}"
        );
    }
    assert_eq!(hand.state.status().counts.stale, 3);
}

#[test]
fn a_packet_that_was_forgotten_is_not_played_again_for_ever() {
    let small = Config { seen_bytes: 4_000, judge: false, ..config() };
    let mut hand = Hand::new(small);
    let first = packet(0, 0, &[], b"first");
    assert_eq!(sent_to(&hand.parcel(1, &first, FLOOD)), [2, 3]);
    for nonce in 1..100 {
        hand.parcel(1, &packet(0, nonce, &[], b"x"), FLOOD);
        assert!(hand.state.status().seen_bytes <= 4_000);
    }
    assert_eq!(sent_to(&hand.parcel(1, &first, FLOOD)), [2, 3], "memory is bounded");
    hand.now = at(121);
    assert_eq!(sent_to(&hand.parcel(1, &first, FLOOD)), []);
}

#[test]
fn whoever_sends_too_fast_is_not_listened_to() {
    let mut hand = Hand::new(Config { judge: false, burst: 10, ..config() });
    for nonce in 0..15 {
        let heard = !hand.parcel(1, &packet(0, nonce, &[], b"x"), FLOOD).is_empty();
        assert_eq!(heard, nonce < 10);
    }
    assert!(!hand.parcel(2, &packet(0, 20, &[], b"x"), FLOOD).is_empty(), "others are");
    hand.now = at(1);
    assert!(!hand.parcel(1, &packet(0, 21, &[], b"x"), FLOOD).is_empty(), "and it is again, later");
}

#[test]
fn what_waits_to_be_looked_at_is_bounded() {
    let mut hand = Hand::new(Config { judging_bytes: 100_000, ..config() });
    for nonce in 0..50 {
        hand.parcel(1, &packet(0, nonce, &[], &[7; 1_000]), FLOOD);
    }
    assert_eq!(hand.state.status().counts.unjudged, 40, "ten of 9,192 bytes find a place, with their lists");
}

#[test]
fn a_link_without_room_is_sent_nothing_and_its_line_is_bounded() {
    let mut hand = Hand::new(Config { judge: false, outbox_bytes: 20_000, ..config() });
    hand.give(Input::Room { peer: 2, bytes: 1_500 });
    let mut sent = 0;
    for nonce in 0..50 {
        let out = hand.parcel(1, &packet(0, nonce, &[], &[7; 1_000]), FLOOD);
        sent += sent_to(&out).iter().filter(|peer| **peer == 2).count();
    }
    assert_eq!(sent, 1);
    let dropped = hand.state.status().counts.no_room;
    assert_eq!(dropped, 50 - 1 - 17, "seventeen wait");
    let out = hand.give(Input::Room { peer: 2, bytes: ROOM });
    assert_eq!(sent_to(&out).len(), 17);
}

#[test]
fn receipts_are_checked_and_go_back_to_whoever_brought_the_packet() {
    let mut hand = Hand::new(Config { judge: false, ..config() });
    let packet = packet(0, 1, &[2, 3], b"x");
    let (id, by) = (packet.id(), producer(2));
    assert_eq!(sent_to(&hand.parcel(1, &packet, FLOOD)), [2, 3]);
    let receipt = |signature| Message::Receipt { id, by, signature };
    let genuine = sign(&Claim::Receipt { producer: by, id });
    let mut forged = genuine;
    forged[0] ^= 1;
    let bring = |hand: &mut Hand, peer, signature, genuine| {
        let out = hand.give(Input::Message { peer, message: receipt(signature) });
        match out[..] {
            [] => Vec::new(),
            [Output::Verify { ticket, .. }] => hand.give(Input::Verified { ticket, genuine }),
            _ => panic!("{out:?}"),
        }
    };
    let violation = Violation::ForgedReceipt { producer: by };
    assert_eq!(bring(&mut hand, 3, forged, false), [Output::Misbehaved { peer: 3, violation }]);
    let passed = Output::Send { peer: 1, message: receipt(genuine) };
    assert_eq!(bring(&mut hand, 2, genuine, true), [passed]);
    assert_eq!(bring(&mut hand, 3, genuine, true), [], "it is known");
    let strange = Message::Receipt { id, by: producer(1), signature: genuine };
    let violation = Violation::StrangeReceipt { id };
    assert_eq!(
        hand.give(Input::Message { peer: 2, message: strange }),
        [Output::Misbehaved { peer: 2, violation }]
    );
    let unknown = Message::Receipt { id: Hash([9; 32]), by, signature: genuine };
    assert_eq!(hand.give(Input::Message { peer: 2, message: unknown }), []);
    assert_eq!(hand.state.status().counts.passed_over, 1);
}

#[test]
fn a_packet_for_us_is_confirmed_once_per_attempt_and_giver() {
    let mut hand = Hand::new(Config { judge: false, ..config() });
    let packet = packet(0, 1, &[0], b"x");
    let claim = Claim::Receipt { producer: producer(0), id: packet.id() };
    let routed = |attempt| How::Routed { attempt, duty: Places(1) };
    let out = hand.parcel(1, &packet, routed(0));
    assert!(matches!(out[..], [Output::Sign { .. }, Output::Deliver { .. }]), "{out:?}");
    let out = hand.give(Input::Signed { claim, signature: sign(&claim) });
    assert!(matches!(out[..], [Output::Send { peer: 1, message: Message::Receipt { .. } }]));
    assert_eq!(hand.parcel(1, &packet, routed(0)), []);
    for (peer, attempt) in [(2, 0), (1, 1), (3, 4)] {
        let out = hand.parcel(peer, &packet, routed(attempt));
        let to = |output: &Output<u32>| match output {
            Output::Send { peer, message: Message::Receipt { .. } } => Some(*peer),
            _ => None,
        };
        assert_eq!(out.iter().map(to).collect::<Vec<_>>(), [Some(peer)], "its own was lost, perhaps");
    }
}

#[test]
fn refuses_what_cannot_be_sent() {
    let mut hand = Hand::new(Config { max_sends: 1, ..config() });
    let ticket = Ticket(1);
    let mut refused = |to, bytes: usize| {
        let out = hand.give(Input::Send { ticket, to, body: vec![0; bytes].into() });
        out.into_iter().find_map(|output| match output {
            Output::Refused { why, .. } => Some(why),
            _ => None,
        })
    };
    let most = crate::routing::MAX_BODY_BYTES;
    assert_eq!(refused(To::All, most + 1), Some(Refusal::TooLong { bytes: most + 1 }));
    assert_eq!(refused(to(&[0]), 1), Some(Refusal::Nobody));
    assert_eq!(refused(to(&[]), 1), Some(Refusal::Nobody));
    assert_eq!(refused(to(&[1, 9]), 1), Some(Refusal::Unknown { producer: producer(9) }));
    assert_eq!(refused(to(&[1]), most), None);
    assert_eq!(refused(to(&[1]), 1), Some(Refusal::Busy));
    assert_eq!(refused(To::All, 1), None, "nobody confirms it");
}
