//! Peers that send whatever they like: nothing they say brings the machine out of step, or makes it hold more than it
//! may.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::single::{VOTE, two_kinds};
use crate::relay::{Config, Input, Kind, Message, Name, Offer, Output, State, TRANSACTION, Ticket, Verdict};

const ROOM: u64 = 3_000;

/// A step of somebody.
#[derive(Debug, Clone)]
enum Step {
    Input(Input<u8>),
    /// Answers the oldest question that waits.
    Answer(Verdict),
    Wait(u64),
}

fn bytes(n: u8) -> Bytes {
    Bytes::from(vec![n; 1 + usize::from(n % 8) * 120])
}

fn kind(n: u8) -> Kind {
    [TRANSACTION, VOTE, Kind(9)][usize::from(n / 8 % 3)]
}

/// Few of everything, so that things meet.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let peer = || 0u8..4;
    let item = || 0u8..32;
    let name = || item().prop_map(|n| Name::of(kind(n), &bytes(n)));
    let names = move || prop::collection::vec(name(), 1..6);
    let offer = (item(), 0u32..4).prop_map(|(n, lie)| {
        let size = bytes(n).len() as u32 + u32::from(lie == 0);
        Offer { name: Name::of(kind(n), &bytes(n)), size }
    });
    let message = prop_oneof![
        4 => prop::collection::vec(offer, 1..8).prop_map(Message::Offer),
        2 => names().prop_map(Message::Want),
        4 => item().prop_map(|n| Message::Data { kind: kind(n), bytes: bytes(n) }),
        1 => names().prop_map(Message::No),
        1 => prop_oneof![1u32..20, Just(crate::relay::MAX_MORE)].prop_map(|offers| Message::More { offers }),
    ];
    let verdict =
        || prop_oneof![4 => Just(Verdict::Accept), 1 => Just(Verdict::Ignore), 1 => Just(Verdict::Reject)];
    let input = prop_oneof![
        2 => (peer(), 0u64..ROOM).prop_map(|(peer, room)| Input::Joined { peer, room }),
        1 => peer().prop_map(|peer| Input::Left { peer }),
        3 => (peer(), 0u64..ROOM).prop_map(|(peer, bytes)| Input::Room { peer, bytes }),
        12 => (peer(), message).prop_map(|(peer, message)| Input::Message { peer, message }),
        2 => item().prop_map(|n| Input::Submit { ticket: Ticket(1), kind: kind(n), bytes: bytes(n) }),
        1 => (name(), verdict()).prop_map(|(name, verdict)| Input::Judged { name, verdict }),
        1 => names().prop_map(|names| Input::Included { kind: names[0].kind, ids: names.iter().map(|name| name.id).collect() }),
        1 => any::<bool>().prop_map(Input::Pulling),
    ];
    let step = prop_oneof![
        8 => input.prop_map(Step::Input),
        3 => verdict().prop_map(Step::Answer),
        2 => prop_oneof![0u64..100, 0u64..20_000, Just(4_000_000)].prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..250)
}

struct Scene {
    state: State<u8>,
    now: Duration,
    joined: Vec<u8>,
    questions: Vec<Name>,
    room: [u64; 4],
}

impl Scene {
    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.give(Input::Tick);
            }
            Step::Answer(verdict) => {
                if !self.questions.is_empty() {
                    let name = self.questions.remove(0);
                    self.give(Input::Judged { name, verdict });
                }
            }
            Step::Input(input) => {
                match &input {
                    Input::Joined { peer, room } => {
                        self.joined.retain(|joined| joined != peer);
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
                    let bytes = message.to_bytes();
                    let room = &mut self.room[usize::from(peer)];
                    *room =
                        room.checked_sub(bytes.len() as u64 + 73).expect("there is room for what is sent");
                    assert_eq!(Message::decode(&bytes), Ok(message));
                }
                Output::Judge { name, bytes, .. } => {
                    assert_eq!(name, Name::of(name.kind, &bytes));
                    self.questions.push(name);
                }
                Output::Submitted { .. } | Output::Progressed { .. } | Output::Misbehaved { .. } => {}
            }
        }
        let due = self.state.next_deadline();
        assert!(due.is_none_or(|due| due > self.now), "what was due is done");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_peers_say_the_books_balance(steps in steps()) {
        let few = NonZeroUsize::new(2).expect("not zero");
        let mut config = Config {
            open_offers: 6,
            first_ids: few,
            asked_bytes: 700,
            max_judging: 5,
            judging_bytes: 1_500,
            max_seen: 4,
            max_bad: 3,
            bad_burst: 2,
            ..two_kinds()
        };
        let rules = config.kinds.get_mut(&TRANSACTION).expect("there");
        (rules.max_count, rules.max_bytes) = (6, 2_000);
        let mut scene = Scene {
            state: State::new(config, ChaCha12Rng::from_seed([1; 32])),
            now: Duration::ZERO,
            joined: Vec::new(),
            questions: Vec::new(),
            room: [0; 4],
        };
        steps.into_iter().for_each(|step| scene.step(step));
    }
}
