//! Windows, credit and the budget.

use super::*;
use crate::channel::cost;
use crate::mux;

fn bulk(length: usize) -> Vec<u8> {
    message_bytes(Kind::Note, &vec![5; length])
}

#[test]
fn credit_comes_back_when_a_quarter_of_the_window_was_taken() {
    let mut scene = Scene::new();
    for _ in 0..4 {
        scene.send(BULK, &bulk(10_000));
    }
    assert_eq!(scene.seen().len(), 4);
    scene.taken(BULK, cost(10_000));
    scene.taken(BULK, cost(10_000));
    scene.taken(BULK, cost(10_000));
    assert_eq!(scene.seen(), [], "a quarter is 32,500 bytes");
    scene.taken(BULK, cost(10_000));
    assert_eq!(scene.seen(), [Seen::Grant(BULK, 4 * cost(10_000) as u32)]);
}

#[test]
fn what_is_passed_over_is_granted_back_whole() {
    let mut scene = Scene::patient();
    for _ in 0..2 {
        scene.send(URGENT, &message_bytes(Kind::Note, &[0; 1_001]));
    }
    let fault = Seen::Rejected(Violation::TooLong { channel: URGENT, length: 1_001, limit: 1_000 });
    let grant = Seen::Grant(URGENT, cost(1_001) as u32);
    assert_eq!(scene.seen(), [fault.clone(), grant.clone(), fault, grant]);
}

#[test]
fn more_than_the_window_is_rejected_and_the_channel_stays_in_step() {
    let mut scene = Scene::new();
    let mut got = 0;
    let fault = loop {
        scene.send(URGENT, &message_bytes(Kind::Note, &[1; 900]));
        match scene.seen().as_slice() {
            [Seen::Message(..)] => got += 1,
            [Seen::Rejected(fault)] => break *fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fault, mux::Violation::Overrun { protocol: URGENT, limit: 4_000 }.into());
    assert_eq!(got, 4_000 / cost(900));
    // Half a message too many, and other channels between.
    let more = message_bytes(Kind::Note, &[2; 800]);
    scene.send(URGENT, &more[..500]);
    scene.send(BULK, &message_bytes(Kind::Note, b"not concerned"));
    assert_eq!(scene.seen()[1], Seen::Message(BULK, Kind::Note, b"not concerned".to_vec()));
    scene.taken(URGENT, got * cost(900));
    scene.send(URGENT, &more[500..]);
    scene.send(URGENT, &message_bytes(Kind::Note, b"whole again"));
    let seen = scene.seen();
    assert_eq!(seen.last(), Some(&Seen::Message(URGENT, Kind::Note, b"whole again".to_vec())));
    assert_eq!(seen.len(), 2, "beside the grant: {seen:?}");
}

#[test]
fn a_head_that_began_beyond_the_window_upsets_no_account() {
    for kept in 1..9 {
        let mut scene = Scene::new();
        let mut got = 0;
        let message = message_bytes(Kind::Note, &[1; 900]);
        for _ in 0..4 {
            scene.send(URGENT, &message);
            got += 1;
        }
        // The fifth is too much, and with it comes a part of the head of the sixth.
        scene.send(URGENT, &[&message[..], &message[..kept]].concat());
        let fault = mux::Violation::Overrun { protocol: URGENT, limit: 4_000 };
        assert_eq!(scene.seen().last(), Some(&Seen::Rejected(fault.into())));
        for _ in 0..got {
            scene.taken(URGENT, cost(900));
        }
        scene.send(URGENT, &message[kept..]);
        for _ in 0..2 {
            scene.send(URGENT, &message);
            scene.taken(URGENT, cost(900));
        }
        let messages = scene.seen().into_iter().filter(|seen| matches!(seen, Seen::Message(..))).count();
        assert_eq!(messages, 2, "what began beyond the window is gone, what follows is not");
    }
}

#[test]
fn empty_messages_are_not_free() {
    let mut scene = Scene::patient();
    let flood = message_bytes(Kind::Note, b"").repeat(1_000);
    for piece in flood.chunks(900) {
        scene.send(URGENT, piece);
    }
    let messages = scene.seen().iter().filter(|seen| matches!(seen, Seen::Message(..))).count() as u64;
    assert!(messages <= 4_000 / cost(0), "{messages} empty messages in a window of 4,000 bytes");
    assert!(scene.inbound.violations().get("overrun") > 0);
}

#[test]
fn without_memory_a_message_is_passed_over_and_costs_no_strike() {
    // Nothing but the floor: an unfinished frame, and what is left of 64 KiB; bulk may have half.
    let budget = Budget::new(u64::from(FLOOR_BYTES));
    let mut scene = Scene::with(Config::new(channels()), budget, Security::Plain);
    let bytes = message_bytes(Kind::Request(1), &[1; 60_000]);
    for piece in bytes.chunks(12_288) {
        scene.send(BULK, piece);
    }
    let fault = Violation::OverBudget { channel: BULK, length: 60_000 };
    let seen = scene.seen();
    assert_eq!(seen.iter().filter(|seen| **seen == Seen::Rejected(fault)).count(), 1);
    assert!(seen.iter().skip(1).all(|seen| matches!(seen, Seen::Grant(BULK, _))), "{seen:?}");
    assert_eq!(scene.inbound.strikes(scene.now), 0);
    for (channel, length) in [(URGENT, 1_000), (OTHER, 12_000)] {
        scene.send(channel, &message_bytes(Kind::Note, &vec![3; length]));
        assert_eq!(scene.seen(), [Seen::Message(channel, Kind::Note, vec![3; length])]);
    }
}

#[test]
fn bulk_leaves_room_for_what_is_urgent() {
    let budget = Budget::new(u64::from(FLOOR_BYTES));
    let mut scene = Scene::with(Config::new(channels()), budget, Security::Plain);
    scene.send(OTHER, &message_bytes(Kind::Note, &[0; 12_000]));
    scene.send(BULK, &message_bytes(Kind::Note, &[0; 12_000]));
    let over = Violation::OverBudget { channel: BULK, length: 12_000 };
    assert!(matches!(scene.out.pop(), Some(Output::Rejected(fault)) if fault == over));
    scene.send(URGENT, &message_bytes(Kind::Note, &[0; 1_000]));
    assert_eq!(scene.seen().len(), 2, "one of bulk and the urgent one");
}

#[test]
fn what_is_delivered_counts_until_it_is_dropped_be_the_link_long_gone() {
    let mut scene = Scene::new();
    let idle = scene.budget.used_bytes();
    scene.send(URGENT, &message_bytes(Kind::Note, &[0; 1_000]));
    let delivered = scene.out.pop().expect("a message");
    let Scene { inbound, budget, .. } = scene;
    drop(inbound);
    assert_eq!((idle, budget.used_bytes()), (u64::from(FLOOR_BYTES), 1_000 + 192));
    drop(delivered);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_link_that_ended_gives_its_memory_back_though_somebody_still_looks_at_it() {
    let mut scene = Scene::new();
    scene.send(BULK, &message_bytes(Kind::Note, &[0; 60_000])[..12_000]);
    let mut wire = scene.sealed(&segment(URGENT, Mode::Initiator, &[0; 500]));
    wire.pop();
    scene.feed(wire);
    assert!(!scene.inbound.is_idle());
    scene.inbound.let_go();
    assert!(scene.inbound.is_idle() && scene.inbound.is_closed());
    assert_eq!(scene.budget.used_bytes(), 0);
    scene.send(URGENT, &message_bytes(Kind::Note, b"too late"));
    scene.pass(Duration::from_secs(600));
    assert_eq!(scene.seen(), []);
    assert_eq!(scene.inbound.traffic().map(|(_, traffic)| traffic.bytes).sum::<u64>(), 12_000);
}

#[test]
fn nothing_is_allocated_on_the_word_of_a_head() {
    let mut scene = Scene::new();
    let used = scene.budget.used_bytes();
    let head = Head { kind: Kind::Note, length: 60_000 }.encode();
    scene.send(BULK, &[&head[..], &[0; 10]].concat());
    assert_eq!(scene.budget.used_bytes(), used, "it fits the floor");
    // Its buffer is bounded by what came: the invariants look at each step.
    for _ in 0..59 {
        scene.send(BULK, &[0; 1_000]);
    }
    assert_eq!(scene.seen(), []);
    scene.send(BULK, &[0; 990]);
    assert_eq!(scene.seen(), [Seen::Message(BULK, Kind::Note, vec![0; 60_000])]);
}

#[test]
fn an_idle_half_holds_no_buffer() {
    let mut scene = Scene::new();
    for channel in [URGENT, BULK, OTHER] {
        scene.send(channel, &message_bytes(Kind::Note, &[0; 900])[..500]);
        assert!(!scene.inbound.is_idle());
        scene.send(channel, &message_bytes(Kind::Note, &[0; 900])[500..]);
    }
    assert_eq!(scene.seen().len(), 3);
    assert!(scene.inbound.is_idle());
}

#[test]
fn an_idle_half_is_small() {
    // On the heap: the cipher's key, and a line of 32 bytes for each of eight channels.
    let size = size_of::<Inbound>();
    assert!(size <= 400, "an inbound half takes {size} B");
}

#[test]
fn credit_is_heard_when_there_is_no_memory_left() {
    // Nothing but the floor, and an urgent channel, which may fill it.
    let budget = Budget::new(u64::from(FLOOR_BYTES));
    let wide = vec![channel(URGENT, Lane::Consensus, 10_000, 100_000)];
    let mut scene = Scene::with(Config::new(wide), budget, Security::Plain);
    for length in [10_000, 10_000, 10_000, 10_000, 10_000, 2_800, 0, 0] {
        scene.send(URGENT, &message_bytes(Kind::Note, &vec![1; length]));
    }
    // Nobody has dropped them yet: the floor is full to the last bytes.
    assert!(scene.out.iter().any(|out| matches!(out, Output::Rejected(Violation::OverBudget { .. }))));
    let credit = control::Message::Credit { channel: URGENT, bytes: 1_000 };
    scene.send_control(&credit);
    assert!(matches!(scene.out.last(), Some(Output::Control(message)) if *message == credit));
    // In two segments as well.
    let mut body = Vec::new();
    credit.encode(&mut body);
    let message = message_bytes(Kind::Note, &body);
    scene.send(CONTROL, &message[..10]);
    scene.send(CONTROL, &message[10..]);
    assert!(matches!(scene.out.last(), Some(Output::Control(message)) if *message == credit));
    assert_eq!(scene.inbound.violations().get("over_budget"), 1);
}
