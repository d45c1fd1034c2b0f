//! Peers that send whatever they like: nothing they say brings the machine out of step, or makes it hold more than it
//! may.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::Hash;
use proptest::prelude::*;

use super::rig::{ROOM, producer, sign};
use crate::routing::message::{How, Message, Packet, Places, Route};
use crate::routing::{Claim, Config, Input, Output, State, Ticket, Time, To, Verdict};

/// A step of somebody.
#[derive(Debug, Clone)]
enum Step {
    Input(Input<u8>),
    /// Answers the oldest request that waits, or leaves it.
    Answer(bool),
    Wait(u64),
}

/// Few of everything, so that things meet.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let peer = || 0u8..4;
    let who = || (0usize..5).prop_map(producer);
    let seq = || prop_oneof![0u64..4, Just(1_000_000_000), Just(u64::MAX)];
    let signed = move || {
        (who(), seq(), any::<bool>()).prop_map(|(producer, seq, forged)| {
            let mut signature = sign(&Claim::Route { producer, seq });
            signature[0] ^= u8::from(forged);
            (producer, seq, signature)
        })
    };
    let route = prop_oneof![
        1 => who().prop_map(|producer| Route::Lost { producer }),
        4 => (signed(), 0u32..200).prop_map(|((producer, seq, signature), metric)| {
            Route::Reach { producer, seq, metric, signature }
        }),
    ];
    let packet = || {
        (0u64..6, 0u8..32, 0u8..3).prop_map(|(nonce, to, length)| {
            let to = (0..5).filter(|n| to >> n & 1 == 1).map(producer).collect();
            Arc::new(Packet::new(1_000_000_000, nonce, to, Bytes::from(vec![0; usize::from(length) * 400])))
        })
    };
    let parcel = (packet(), 0u8..8, 0u128..32, any::<bool>()).prop_map(|(packet, attempt, bits, flood)| {
        let duty = Places(bits & Places::first(packet.to().len()).0);
        let how =
            if flood || duty.is_empty() { How::Flood { attempt } } else { How::Routed { attempt, duty } };
        Message::Parcel { packet, how }
    });
    let message = prop_oneof![
        2 => prop::collection::vec(route, 0..3).prop_map(Message::Routes),
        1 => (signed(), any::<bool>(), 0u8..4).prop_map(|((producer, seq, signature), known, hops)| {
            Message::Ask { producer, known: known.then_some((seq, signature)), hops }
        }),
        3 => parcel,
        2 => (packet(), who()).prop_map(|(packet, by)| {
            let id = packet.id();
            Message::Receipt { id, by, signature: sign(&Claim::Receipt { producer: by, id }) }
        }),
    ];
    let all = prop::collection::vec(who(), 0..6);
    let input = prop_oneof![
        1 => (all, prop::option::of(who())).prop_map(|(all, me)| Input::Producers { all, me }),
        2 => peer().prop_map(|peer| Input::Joined { peer, rtt: None, room: 3_000 }),
        1 => peer().prop_map(|peer| Input::Left { peer }),
        1 => (peer(), 0u64..500).prop_map(|(peer, ms)| {
            Input::Rtt { peer, rtt: Duration::from_millis(ms) }
        }),
        2 => peer().prop_map(|peer| Input::Room { peer, bytes: ROOM }),
        8 => (peer(), message).prop_map(|(peer, message)| Input::Message { peer, message }),
        1 => (who(), any::<bool>()).prop_map(|(to, all)| {
            let to = if all { To::All } else { To::Producers(vec![to]) };
            Input::Send { ticket: Ticket(1), to, body: Bytes::from_static(b"ours") }
        }),
    ];
    let step = prop_oneof![
        6 => input.prop_map(Step::Input),
        4 => any::<bool>().prop_map(Step::Answer),
        1 => (0u64..40_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

struct Scene {
    state: State<u8>,
    now: Time,
    joined: Vec<u8>,
    asked: Vec<Input<u8>>,
    room: [u64; 4],
}

impl Scene {
    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => {
                self.now.mono += Duration::from_millis(ms);
                self.now.wall += Duration::from_millis(ms);
                self.give(Input::Tick);
            }
            Step::Answer(_) if self.asked.is_empty() => {}
            Step::Answer(yes) => {
                let input = match (self.asked.remove(0), yes) {
                    (Input::Judged { id, .. }, false) => Input::Judged { id, verdict: Verdict::Reject },
                    (input, _) => input,
                };
                self.give(input);
            }
            Step::Input(input) => {
                match &input {
                    Input::Joined { peer, .. } if self.joined.contains(peer) => return,
                    Input::Joined { peer, room, .. } => {
                        self.joined.push(*peer);
                        self.room[usize::from(*peer)] = *room;
                    }
                    Input::Left { peer } => self.joined.retain(|joined| joined != peer),
                    Input::Room { peer, bytes } => self.room[usize::from(*peer)] = *bytes,
                    _ => {}
                }
                self.give(input);
            }
        }
    }

    fn give(&mut self, input: Input<u8>) {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.check_invariants();
        for output in out {
            match output {
                Output::Send { peer, message } => {
                    assert!(self.joined.contains(&peer), "only who is there is sent anything");
                    let mut bytes = Vec::new();
                    message.encode(&mut bytes);
                    let room = &mut self.room[usize::from(peer)];
                    *room =
                        room.checked_sub(bytes.len() as u64 + 73).expect("there is room for what is sent");
                    assert_eq!(Message::decode(&bytes.into()), Ok(message));
                }
                Output::Verify { ticket, claim, signature } => {
                    self.asked.push(Input::Verified { ticket, genuine: signature == sign(&claim) });
                }
                Output::Sign { claim } => {
                    self.asked.push(Input::Signed { claim, signature: sign(&claim) });
                }
                Output::Judge { id, .. } => self.asked.push(Input::Judged { id, verdict: Verdict::Accept }),
                Output::Deliver { .. }
                | Output::Confirmed { .. }
                | Output::Over { .. }
                | Output::Refused { .. }
                | Output::Misbehaved { .. } => {}
            }
        }
        let due = self.state.next_deadline();
        assert!(due.is_none_or(|due| due > self.now.mono), "what was due is done");
    }
}

proptest! {
    #[test]
    fn whatever_peers_say_the_books_balance(steps in steps()) {
        let config = Config { seen_bytes: 8_000, outbox_bytes: 6_000, max_watches: 3, ..Config::new(Hash([0; 32]), 1) };
        let mut scene = Scene {
            state: State::new(config),
            now: Time { mono: Duration::ZERO, wall: Duration::from_secs(1_000_000) },
            joined: Vec::new(),
            asked: Vec::new(),
            room: [0; 4],
        };
        let all = (0..4).map(producer).collect();
        scene.give(Input::Producers { all, me: Some(producer(0)) });
        steps.into_iter().for_each(|step| scene.step(step));
    }
}
