mod room;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::agreement::Agreed;
use crate::agreement::AgreedChannel;
use crate::channel::CONTROL;
use crate::channel::{BODIES, CONSENSUS, Channel, ECHO, FEEDS, OVERHEAD_BYTES, ROUTING, SYNC, defaults};
use crate::message::Kind;
use crate::message::{HEAD_BYTES, Head};
use crate::reason::Code;
use crate::segment::{Header, MAX_SENT_BYTES};
use crate::session::SEGMENT_OVERHEAD_BYTES;
use crate::state::{Event, Lifecycle, State};
use crate::{Mode, Time};

fn at(ms: u64) -> Time {
    Time { mono: Duration::from_millis(ms), wall: Duration::from_millis(ms) }
}

/// All default channels, with this window at the peer and its longest message as long as fits twice.
fn agreed(window: u32) -> Agreed {
    let terms = |channel: Channel| AgreedChannel {
        channel,
        peer_max_message_bytes: window / 2 - 73,
        peer_window_bytes: window,
    };
    Agreed { version: 1, agent: String::new(), channels: defaults().into_iter().map(terms).collect() }
}

fn open(now: Time) -> Lifecycle {
    let mut life = Lifecycle::new(now);
    for event in [Event::BearerUp, Event::Proven, Event::Allowed, Event::Agreed] {
        life.advance(now, event);
    }
    life
}

/// An open link's half that has pinged already.
fn outbound(config: Config, window: u32) -> Outbound {
    let mut outbound = Outbound::new(config, Mode::Initiator, &agreed(window), open(at(0)), at(0));
    assert_eq!(taken(&mut outbound, 1), [(CONTROL, 15)], "the first ping");
    outbound
}

fn note(outbound: &mut Outbound, channel: Protocol, bytes: usize) -> Result<(), Why> {
    let queued = outbound.queue(channel, Kind::Note, vec![channel.0 as u8; bytes].into());
    queued.map_err(|unsent| {
        assert_eq!(unsent.body.len(), bytes, "the body comes back");
        unsent.why
    })
}

/// The channels and lengths of the segments that are taken.
fn taken(outbound: &mut Outbound, budget: usize) -> Vec<(Protocol, usize)> {
    let mut batch = Batch::new();
    outbound.take(at(1), budget, &mut batch);
    outbound.check_invariants();
    let header = |head: [u8; 8]| Header::decode(head);
    batch.segments().map(|(head, _)| (header(head).protocol, usize::from(header(head).length))).collect()
}

/// The control messages that are taken.
fn said(outbound: &mut Outbound, now: Time) -> Vec<Message> {
    let mut batch = Batch::new();
    outbound.take(now, usize::MAX, &mut batch);
    let mut said = Vec::new();
    for (head, payload) in batch.segments() {
        assert_eq!(Header::decode(head).protocol, CONTROL);
        let bytes = payload.collect::<Vec<_>>().concat();
        let mut rest = &bytes[..];
        while let Some((head, tail)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let (body, tail) = tail.split_at(Head::decode(*head).unwrap().length as usize);
            said.push(Message::decode(body).unwrap());
            rest = tail;
        }
    }
    said
}

fn handle(outbound: &mut Outbound, now: Time, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    outbound.handle(now, input, &mut out);
    outbound.check_invariants();
    out
}

fn credit(outbound: &mut Outbound, channel: Protocol, bytes: u32) -> Vec<Output> {
    handle(outbound, at(1), Input::Control(Message::Credit { channel, bytes }))
}

#[test]
fn strict_lanes_go_before_bulk_in_their_order() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    for channel in [BODIES, ROUTING, SYNC, CONSENSUS] {
        note(&mut outbound, channel, 20_000).unwrap();
    }
    handle(&mut outbound, at(1), Input::Ping);
    let order: Vec<_> = taken(&mut outbound, usize::MAX).into_iter().map(|(channel, _)| channel).collect();
    assert_eq!(order, [CONTROL, CONSENSUS, CONSENSUS, ROUTING, ROUTING, SYNC, SYNC, BODIES, BODIES]);
}

#[test]
fn an_urgent_message_overtakes_a_body_that_is_under_way() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    note(&mut outbound, BODIES, 100_000).unwrap();
    assert_eq!(taken(&mut outbound, 1), [(BODIES, 1_024)]);
    note(&mut outbound, CONSENSUS, 100).unwrap();
    let rest = taken(&mut outbound, 16_384);
    assert_eq!(rest[0], (CONSENSUS, 109));
    assert_eq!(rest[1].0, BODIES);
}

#[test]
fn bulk_channels_get_their_shares() {
    let mut outbound = outbound(Config::default(), 8 << 20);
    for channel in [SYNC, BODIES, FEEDS, ECHO] {
        note(&mut outbound, channel, 4_000_000).unwrap();
    }
    let mut bytes = BTreeMap::new();
    for _ in 0..100 {
        for (channel, length) in taken(&mut outbound, 40_000) {
            *bytes.entry(channel).or_insert(0usize) += length;
        }
    }
    let of = |channel: Protocol| bytes[&channel] as i64;
    let slack = 5 * MAX_SENT_BYTES as i64;
    assert!((of(SYNC) - of(BODIES)).abs() <= slack, "4 to 4: {bytes:?}");
    assert!((of(SYNC) - 2 * of(FEEDS)).abs() <= slack, "4 to 2: {bytes:?}");
    assert!((of(SYNC) - 4 * of(ECHO)).abs() <= slack, "4 to 1: {bytes:?}");
}

#[test]
fn small_messages_share_a_segment() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    for _ in 0..100 {
        note(&mut outbound, ROUTING, 10).unwrap();
    }
    assert_eq!(taken(&mut outbound, usize::MAX), [(ROUTING, 1_900)]);
}

#[test]
fn a_channel_without_credit_is_passed_over() {
    let mut outbound = outbound(Config::default(), 2_000);
    for _ in 0..3 {
        note(&mut outbound, CONSENSUS, 900).unwrap();
    }
    note(&mut outbound, BODIES, 10).unwrap();
    // Each costs 973 of 2,000: two may go.
    assert_eq!(taken(&mut outbound, usize::MAX), [(CONSENSUS, 2 * 909), (BODIES, 19)]);
    assert!(!outbound.is_ready(at(1)), "what waits for credit is not ready");
    assert!(!outbound.is_empty());
    assert_eq!(credit(&mut outbound, CONSENSUS, 918), []);
    assert!(!outbound.is_ready(at(1)), "a message does not begin with less credit than it costs");
    assert_eq!(credit(&mut outbound, CONSENSUS, 1), []);
    assert_eq!(taken(&mut outbound, usize::MAX), [(CONSENSUS, 909)]);
    assert!(outbound.is_empty());
}

#[test]
fn empty_messages_cost_credit_too() {
    let mut outbound = outbound(Config::default(), 730);
    for _ in 0..11 {
        note(&mut outbound, CONSENSUS, 0).unwrap();
    }
    assert_eq!(taken(&mut outbound, usize::MAX), [(CONSENSUS, 90)]);
    let status = outbound.status().find(|status| status.channel == CONSENSUS).unwrap();
    assert_eq!((status.sent.messages, status.waiting_messages, status.credit_bytes), (10, 1, 0));
    assert_eq!(status.waiting_bytes, u64::from(OVERHEAD_BYTES) + 9);
}

#[test]
fn a_message_that_began_goes_on_without_more_credit() {
    let mut outbound = outbound(Config::default(), 40_146);
    note(&mut outbound, BODIES, 20_000).unwrap();
    note(&mut outbound, BODIES, 20_000).unwrap();
    let mut bytes = 0;
    while outbound.is_ready(at(1)) {
        bytes += taken(&mut outbound, 1).into_iter().map(|(_, length)| length).sum::<usize>();
    }
    assert_eq!(bytes, 40_018);
}

#[test]
fn credit_that_was_never_used_is_a_fault() {
    let mut outbound = outbound(Config::default(), 2_000);
    let fault = |channel, bytes| vec![Output::Fault(Violation::Credit { channel, bytes })];
    assert_eq!(credit(&mut outbound, SYNC, 1), fault(SYNC, 1));
    assert_eq!(credit(&mut outbound, CONTROL, 1), fault(CONTROL, 1));
    assert_eq!(credit(&mut outbound, Protocol(99), 1), fault(Protocol(99), 1));
    note(&mut outbound, SYNC, 900).unwrap();
    taken(&mut outbound, usize::MAX);
    assert_eq!(credit(&mut outbound, SYNC, u32::MAX), fault(SYNC, u32::MAX));
    let sync = outbound.status().find(|status| status.channel == SYNC).unwrap();
    assert_eq!(sync.credit_bytes, 2_000, "never more than the window");
}

#[test]
fn a_full_queue_hands_the_message_back() {
    let config = Config { queue_bytes: NonZeroU32::new(1_000).unwrap(), ..Config::default() };
    let mut outbound = outbound(config, 100_000);
    assert_eq!(note(&mut outbound, SYNC, 40_000), Ok(()), "one always fits");
    assert_eq!(note(&mut outbound, SYNC, 0), Err(Why::Full { channel: SYNC }));
    assert_eq!(outbound.room(SYNC, 0), Err(Why::Full { channel: SYNC }));
    assert_eq!(note(&mut outbound, BODIES, 100), Ok(()), "another channel's queue is another's");
    let mut batch = Batch::new();
    assert_eq!(outbound.take(at(1), 20_000, &mut batch), Took { more: true, freed: false, grown: false });
    assert_eq!(outbound.take(at(1), 30_000, &mut batch), Took { more: false, freed: true, grown: false });
    assert_eq!(note(&mut outbound, SYNC, 0), Ok(()));
}

#[test]
fn room_is_told_of_in_lumps() {
    let config = Config { queue_bytes: NonZeroU32::new(12 * 358).unwrap(), ..Config::default() };
    let mut outbound = outbound(config, 100_000);
    let freed = |outbound: &mut Outbound, budget| outbound.take(at(1), budget, &mut Batch::new()).freed;
    (0..12).for_each(|_| assert_eq!(note(&mut outbound, SYNC, 285), Ok(())));
    assert_eq!(note(&mut outbound, SYNC, 285), Err(Why::Full { channel: SYNC }));
    // A message and what it takes on the wire, three of which are a lump.
    let told: Vec<_> = (0..12).map(|_| freed(&mut outbound, 320)).collect();
    assert_eq!(told.iter().filter(|told| **told).count(), 4, "{told:?}");
    assert!(outbound.is_empty(), "the last lump is what was left");
}

#[test]
fn a_queue_is_full_of_many_messages_as_well() {
    let config = Config { queue_messages: NonZeroU32::new(3).unwrap(), ..Config::default() };
    let mut outbound = outbound(config, 100_000);
    let queued: Vec<_> = (0..4).map(|_| note(&mut outbound, SYNC, 0).is_ok()).collect();
    assert_eq!(queued, [true, true, true, false]);
}

#[test]
fn no_more_waits_for_a_peer_than_it_may_have_under_way_to_us() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    let mut queued = 0;
    while note(&mut outbound, ECHO, 60_000).is_ok() {
        queued += 60_073;
    }
    assert_eq!(queued, 8 * 60_073, "of a window of 512 KiB");
}

#[test]
fn refuses_what_the_peer_would_not_take() {
    let mut outbound = outbound(Config::default(), 2_000);
    let too_long = Why::TooLong { channel: SYNC, length: 928, limit: 927 };
    assert_eq!(note(&mut outbound, SYNC, 928), Err(too_long));
    assert_eq!(note(&mut outbound, Protocol(99), 1), Err(Why::NoChannel { channel: Protocol(99) }));
    assert_eq!(note(&mut outbound, CONTROL, 1), Err(Why::NoChannel { channel: CONTROL }));
}

#[test]
fn grants_are_said_once_and_together() {
    let mut outbound = outbound(Config::default(), 2_000);
    for (channel, bytes) in [(SYNC, 5), (BODIES, 7), (SYNC, u32::MAX)] {
        handle(&mut outbound, at(1), Input::Grant { channel, bytes });
    }
    let grant = |channel, bytes| Message::Credit { channel, bytes };
    // As much as a message can say, and then the rest.
    let expected = [grant(SYNC, u32::MAX), grant(SYNC, 5), grant(BODIES, 7)];
    assert_eq!(said(&mut outbound, at(1)), expected);
    assert_eq!(said(&mut outbound, at(1)), []);
}

#[test]
fn answers_pings_and_takes_too_many_for_a_fault() {
    let mut outbound = outbound(Config::default(), 2_000);
    let ping = |id| Input::Control(Message::Ping { id, sent_us: 5 });
    assert_eq!(handle(&mut outbound, at(2), ping(1)), []);
    let pong = Message::Pong { id: 1, sent_us: 5, received_us: 2_000 };
    assert_eq!(said(&mut outbound, at(3)), [pong]);
    let faults: usize = (0..1_000).map(|id| handle(&mut outbound, at(3), ping(id)).len()).sum();
    assert_eq!(faults, 1_000 - 15);
    assert_eq!(said(&mut outbound, at(3)).len(), 15);
}

#[test]
fn a_pong_gives_figures_and_a_strange_one_nothing() {
    let mut outbound = Outbound::new(Config::default(), Mode::Responder, &agreed(2_000), open(at(0)), at(0));
    let [Message::Ping { id, sent_us }] = said(&mut outbound, at(0))[..] else { panic!("no ping") };
    let pong = |id| Input::Control(Message::Pong { id, sent_us, received_us: 3_000 });
    assert_eq!(handle(&mut outbound, at(7), pong(id + 1)), []);
    assert_eq!(outbound.figures(), None);
    assert_eq!(handle(&mut outbound, at(8), pong(id)), []);
    assert_eq!(outbound.figures().unwrap().last, Duration::from_millis(8));
    assert_eq!(outbound.next_deadline(), Some(Duration::from_secs(30)));
}

#[test]
fn a_hello_on_an_open_link_is_a_fault() {
    let mut outbound = outbound(Config::default(), 2_000);
    let (versions, channels, agent) = (vec![1], Vec::new(), String::new());
    let hello = Message::Hello(crate::control::Hello { versions, network_id: [0; 32], channels, agent });
    let fault = [Output::Fault(Violation::HelloAgain)];
    assert_eq!(handle(&mut outbound, at(1), Input::Control(hello)), fault);
}

#[test]
fn an_end_says_its_reason_and_nothing_else() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    note(&mut outbound, CONSENSUS, 100).unwrap();
    handle(&mut outbound, at(1), Input::Grant { channel: SYNC, bytes: 5 });
    assert_eq!(handle(&mut outbound, at(1), Input::Close(Reason::Stopping)), []);
    assert_eq!(outbound.life().state(), State::Closing);
    assert_eq!(note(&mut outbound, CONSENSUS, 1), Err(Why::Ending));
    assert_eq!(handle(&mut outbound, at(2), Input::Flushed), [], "the reason was not taken yet");
    assert_eq!(said(&mut outbound, at(2)), [Message::Close { code: Code::Stopping }]);
    assert!(!outbound.is_ready(at(40_000)));
    assert_eq!(handle(&mut outbound, at(3), Input::Close(Reason::Eof)), [], "the first reason stays");
    assert_eq!(handle(&mut outbound, at(3), Input::Flushed), [Output::Closed(Reason::Stopping)]);
    assert_eq!(outbound.life().state(), State::Closed);
    assert_eq!(handle(&mut outbound, at(4), Input::Flushed), []);
    assert_eq!(handle(&mut outbound, at(4_000), Input::Tick), []);
    assert_eq!(outbound.next_deadline(), None);
}

#[test]
fn an_end_that_cannot_be_written_takes_a_second() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    let fault = Violation::Strikes { count: 16 };
    handle(&mut outbound, at(100), Input::Close(fault.into()));
    assert_eq!(outbound.next_deadline(), Some(Duration::from_millis(1_100)));
    assert_eq!(handle(&mut outbound, at(1_099), Input::Tick), []);
    assert_eq!(handle(&mut outbound, at(1_100), Input::Tick), [Output::Closed(fault.into())]);
}

#[test]
fn an_end_that_nobody_can_hear_takes_no_time() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    note(&mut outbound, BODIES, 100).unwrap();
    let close = Input::Control(Message::Close { code: Code::Busy });
    let reason = Reason::ByPeer(Code::Busy);
    assert_eq!(handle(&mut outbound, at(1), close), [Output::Closed(reason)]);
    assert!(outbound.is_empty() && !outbound.is_ready(at(40_000)));
}

#[test]
fn an_idle_half_holds_nothing_and_wants_nothing_but_its_ping() {
    let mut outbound = outbound(Config::default(), 1 << 20);
    note(&mut outbound, BODIES, 100_000).unwrap();
    taken(&mut outbound, usize::MAX);
    assert!(!outbound.is_ready(at(29_999)));
    assert_eq!(outbound.next_deadline(), Some(Duration::from_millis(30_001)));
    assert!(outbound.is_ready(at(30_001)));
}

proptest! {
    /// Whatever is queued in whatever order, each channel's bytes come out whole and in order, within the budget.
    #[test]
    fn every_channel_keeps_its_order(
        messages in prop::collection::vec((0usize..7, 0usize..30_000), 1..60),
        budgets in prop::collection::vec(1usize..60_000, 1..20),
    ) {
        let mut outbound = outbound(Config::default(), 8 << 20);
        let channels: Vec<_> = defaults().iter().map(|channel| channel.number).collect();
        let mut expected: BTreeMap<Protocol, Vec<u8>> = BTreeMap::new();
        for (n, (channel, length)) in messages.iter().enumerate() {
            let (channel, kind) = (channels[*channel], Kind::Request(n as u32));
            let body = vec![n as u8; *length];
            let stream = expected.entry(channel).or_default();
            stream.extend_from_slice(&Head { kind, length: *length as u32 }.encode());
            stream.extend_from_slice(&body);
            outbound.queue(channel, kind, body.into()).unwrap();
        }
        let mut got: BTreeMap<Protocol, Vec<u8>> = BTreeMap::new();
        let mut batch = Batch::new();
        for budget in budgets.iter().cycle() {
            batch.clear();
            let took = outbound.take(at(1), *budget, &mut batch);
            outbound.check_invariants();
            prop_assert!(batch.wire_bytes() <= (*budget).max(1_024 + SEGMENT_OVERHEAD_BYTES));
            for (head, payload) in batch.segments() {
                let header = Header::decode(head);
                let payload = payload.collect::<Vec<_>>().concat();
                prop_assert_eq!(payload.len(), usize::from(header.length));
                got.entry(header.protocol).or_default().extend_from_slice(&payload);
            }
            prop_assert!(took.more || !outbound.is_ready(at(1)));
            if !took.more {
                break;
            }
        }
        prop_assert!(outbound.is_empty());
        prop_assert_eq!(got, expected);
    }
}
