//! The relay channel between peers: its messages, and the machine that is handed them.

use std::time::Duration;

use bytes::Bytes;
use diffusion::relay::{
    Config, Input, MAX_MORE, Message, Name, Offer, Output, State, TRANSACTION, Ticket, Verdict,
};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use crate::Target;

pub(crate) const RELAY: Target = Target { name: "relay", run, seeds };

/// What each link takes at the start.
const ROOM: u64 = 20_000;

/// Messages one behind the other, each behind two bytes with its sender and its length. What can be read has one
/// encoding, and the machine takes all of it.
fn run(input: &[u8]) {
    let mut state = open();
    let mut rest = input;
    let mut now = Duration::ZERO;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high & 0x3f, *low]));
        let (body, tail) = tail.split_at(tail.len().min(length));
        rest = tail;
        now += Duration::from_millis(u64::from(*low));
        let body = Bytes::copy_from_slice(body);
        if let Ok(message) = Message::decode(&body) {
            assert_eq!(message.to_bytes(), body, "a {} has two encodings", message.name());
            assert!(body.len() as u64 <= message.max_bytes(), "a {} is longer than it says", message.name());
            give(&mut state, now, Input::Message { peer: (high >> 6) % 3, message });
        }
    }
    give(&mut state, now + Duration::from_secs(3), Input::Tick);
}

/// Three links and two items, the second not judged yet.
fn open() -> State<u8> {
    let mut state = State::new(Config::transactions(1_000), ChaCha12Rng::from_seed([1; 32]));
    for peer in 0..3 {
        give(&mut state, Duration::ZERO, Input::Joined { peer, room: ROOM });
    }
    for n in 0..2 {
        let bytes = Bytes::from(vec![n; 50]);
        give(&mut state, Duration::ZERO, Input::Submit { ticket: Ticket(0), kind: TRANSACTION, bytes });
    }
    state
}

/// Gives it an input, and the answers to what it asks then: the first byte of an item says what it is worth.
fn give(state: &mut State<u8>, now: Duration, input: Input<u8>) {
    let mut inputs = vec![input];
    while let Some(input) = inputs.pop() {
        let mut out = Vec::new();
        state.handle(now, input, &mut out);
        state.check_invariants();
        inputs.extend(out.into_iter().filter_map(|output| match output {
            Output::Judge { name, bytes, .. } => {
                let verdict = match bytes[0] % 4 {
                    0 => Verdict::Accept,
                    1 => return None,
                    2 => Verdict::Ignore,
                    _ => Verdict::Reject,
                };
                Some(Input::Judged { name, verdict })
            }
            _ => None,
        }));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let item = |n: u8| Bytes::from(vec![n; 40]);
    let name = |n| Name::of(TRANSACTION, &item(n));
    let offer = |n| Offer { name: name(n), size: 40 };
    let ours = Name::of(TRANSACTION, &[0; 50]);
    let messages = [
        Message::More { offers: 100 },
        Message::Offer(vec![offer(4), offer(5), offer(6), Offer { size: 41, ..offer(7) }]),
        Message::Data { kind: TRANSACTION, bytes: item(4) },
        Message::Data { kind: TRANSACTION, bytes: item(7) },
        Message::No(vec![name(5), name(6)]),
        Message::Want(vec![ours, name(4), name(9)]),
        Message::More { offers: MAX_MORE },
    ];
    let framed = messages.iter().map(|message| {
        let body = message.to_bytes();
        [&(body.len() as u16).to_be_bytes(), &*body].concat()
    });
    let framed: Vec<Vec<u8>> = framed.collect();
    // All of them from one peer, so that they answer what it is asked.
    let all = framed.concat();
    framed.into_iter().chain([all]).collect()
}
