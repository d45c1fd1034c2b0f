//! The routing channel between peers: its messages, and the machine that is handed them.

use std::time::Duration;

use bytes::Bytes;
use chain::Hash;
use diffusion::routing::{Config, Input, MAX_HOPS, Message, Output, Route, State, Ticket, Time, To, Verdict};
use diffusion::sync::bodies::Producer;

use crate::Target;

pub(crate) const ROUTING: Target = Target { name: "routing", run, seeds };

const ME: Producer = Producer([1; 32]);
const OTHER: Producer = Producer([2; 32]);

/// Messages one behind the other, each behind two bytes with its length. What can be read has one encoding, and the
/// machine takes all of it.
fn run(input: &[u8]) {
    let mut state = open();
    let mut rest = input;
    let mut now = time(0);
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (body, tail) = tail.split_at(tail.len().min(length));
        rest = tail;
        now = time(now.mono.as_millis() as u64 + u64::from(*low));
        let body = Bytes::copy_from_slice(body);
        if let Ok(message) = Message::decode(&body) {
            let mut again = Vec::new();
            message.encode(&mut again);
            assert_eq!(again, body, "a {} has two encodings", message.name());
            assert!(body.len() as u64 <= message.max_bytes(), "a {} is longer than it says", message.name());
            give(&mut state, now, Input::Message { peer: low % 3, message });
        }
    }
}

fn time(ms: u64) -> Time {
    let mono = Duration::from_millis(ms);
    Time { mono, wall: Duration::from_secs(1_000_000) + mono }
}

/// A producer among two, with three links.
fn open() -> State<u8> {
    let mut state = State::new(Config::new(Hash([0; 32]), 1));
    give(&mut state, time(0), Input::Producers { all: vec![ME, OTHER], me: Some(ME) });
    for peer in 0..3 {
        give(&mut state, time(0), Input::Joined { peer, rtt: None, room: 100_000 });
    }
    state
}

/// Gives it an input, and the answers to what it asks then.
fn give(state: &mut State<u8>, now: Time, input: Input<u8>) {
    let mut inputs = vec![input];
    while let Some(input) = inputs.pop() {
        let mut out = Vec::new();
        state.handle(now, input, &mut out);
        state.check_invariants();
        inputs.extend(out.into_iter().filter_map(|output| match output {
            Output::Verify { ticket, signature, .. } => {
                Some(Input::Verified { ticket, genuine: signature[0] & 1 == 0 })
            }
            Output::Sign { claim } => Some(Input::Signed { claim, signature: [0; 64] }),
            Output::Judge { id, .. } => Some(Input::Judged { id, verdict: Verdict::Accept }),
            _ => None,
        }));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let reach = Route::Reach { producer: OTHER, seq: 5, metric: 30, signature: [4; 64] };
    let mut messages = vec![
        Message::Routes(vec![reach, Route::Lost { producer: ME }]),
        Message::Ask { producer: ME, known: Some((u64::MAX, [2; 64])), hops: MAX_HOPS },
        Message::Ask { producer: OTHER, known: None, hops: 1 },
    ];
    // What another node sends: a packet along a route, and one that goes everywhere.
    let mut other = State::new(Config::new(Hash([0; 32]), 2));
    let mut out = Vec::new();
    other.handle(time(0), Input::Producers { all: vec![ME, OTHER], me: Some(OTHER) }, &mut out);
    other.handle(time(0), Input::Joined { peer: 0u8, rtt: None, room: 100_000 }, &mut out);
    let route = Route::Reach { producer: ME, seq: 9, metric: 0, signature: [4; 64] };
    other.handle(time(0), Input::Message { peer: 0, message: Message::Routes(vec![route]) }, &mut out);
    other.handle(time(0), Input::Verified { ticket: Ticket(0), genuine: true }, &mut out);
    for to in [To::Producers(vec![ME]), To::All] {
        let body = Bytes::from_static(b"a vote");
        other.handle(time(0), Input::Send { ticket: Ticket(1), to, body }, &mut out);
    }
    messages.extend(out.into_iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    }));
    let id = messages.iter().find_map(|message| match message {
        Message::Parcel { packet, .. } => Some(packet.id()),
        _ => None,
    });
    let id = id.expect("something was sent");
    messages.push(Message::Receipt { id, by: ME, signature: [6; 64] });
    let framed = messages.iter().map(|message| {
        let mut body = Vec::new();
        message.encode(&mut body);
        [&(body.len() as u16).to_be_bytes(), &*body].concat()
    });
    let framed: Vec<Vec<u8>> = framed.collect();
    let all = framed.concat();
    framed.into_iter().chain([all]).collect()
}
