use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use chain::native::StateRoot;
use chain::{Hash, Height};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const STATE: StateRoot = StateRoot { height: Height(999), root: Hash([9; 32]) };
const OTHER: StateRoot = StateRoot { height: Height(1_999), root: Hash([8; 32]) };

fn name(at: u8) -> Bytes {
    vec![at].into()
}

fn right(name: &Bytes) -> Bytes {
    [b"right ".as_slice(), name].concat().into()
}

struct Rig {
    state: State<u8>,
    now: Duration,
}

impl Rig {
    /// Peers that all give the state.
    fn new(peers: &[u8]) -> Self {
        let config = Config {
            asked: NonZeroUsize::new(2).unwrap(),
            open: NonZeroUsize::new(4).unwrap(),
            ..Config::default()
        };
        let mut rig = Self { state: State::new(config), now: Duration::ZERO };
        for &peer in peers {
            rig.join(peer);
        }
        rig
    }

    fn join(&mut self, peer: u8) -> Vec<Output<u8>> {
        self.tell(Input::Joined { peer });
        self.tell(Input::Offered { peer, states: vec![STATE] })
    }

    fn tell(&mut self, input: Input<u8>) -> Vec<Output<u8>> {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.check_invariants();
        out
    }

    fn after(&mut self, time: Duration) -> Vec<Output<u8>> {
        self.now += time;
        self.tell(Input::Tick)
    }

    fn begin(&mut self, names: impl IntoIterator<Item = u8>) -> Vec<(u8, Bytes)> {
        asks(self.tell(Input::Begin { of: STATE, names: names.into_iter().map(name).collect() }))
    }

    fn piece(&mut self, peer: u8, piece: impl Into<Bytes>) -> Vec<Output<u8>> {
        self.tell(Input::Piece { peer, piece: piece.into() })
    }

    fn judge(&mut self, at: u8, verdict: Verdict) -> Vec<Output<u8>> {
        self.tell(Input::Judged { of: STATE, name: name(at), verdict })
    }
}

/// Who is asked for what, where nothing else is said.
fn asks(out: Vec<Output<u8>>) -> Vec<(u8, Bytes)> {
    let ask = |output| match output {
        Output::Send { peer, message: Message::Ask { of, name } } => {
            assert_eq!(of, STATE);
            (peer, name)
        }
        other => panic!("{other:?}"),
    };
    out.into_iter().map(ask).collect()
}

fn none() -> Verdict {
    Verdict::Right { more: Vec::new() }
}

fn wrong() -> Verdict {
    Verdict::Wrong { reason: "it is wrong".into() }
}

fn violation(peer: u8, violation: Violation) -> Output<u8> {
    Output::Violation { peer, violation }
}

#[test]
fn asks_several_peers_at_once_within_its_bounds() {
    let mut rig = Rig::new(&[1, 2, 3]);
    rig.tell(Input::Joined { peer: 4 });
    // The last wanted first; four in all; nobody twice while another has nothing to do; not who gives nothing.
    let asked = rig.begin(0..9);
    assert_eq!(asked, [(1, name(8)), (2, name(7)), (3, name(6)), (1, name(5))]);
    // A piece that is looked at still counts.
    let judge = Output::Judge { of: STATE, name: name(7), piece: right(&name(7)) };
    assert_eq!(rig.piece(2, right(&name(7))), [judge]);
    let more = Verdict::Right { more: vec![name(20)] };
    assert_eq!(asks(rig.judge(7, more)), [(2, name(20))]);
    let status = rig.state.status().unwrap();
    assert_eq!((status.taken, status.wanted, status.peers), (1, 9, 3));
}

#[test]
fn says_when_all_is_there() {
    let mut rig = Rig::new(&[1]);
    assert_eq!(rig.begin([1]), [(1, name(1))]);
    rig.piece(1, right(&name(1)));
    assert_eq!(
        asks(rig.judge(1, Verdict::Right { more: vec![name(2), name(3)] })),
        [(1, name(3)), (1, name(2))]
    );
    rig.piece(1, right(&name(3)));
    assert_eq!(rig.judge(3, none()), []);
    rig.piece(1, right(&name(2)));
    assert_eq!(rig.judge(2, none()), [Output::Done { of: STATE }]);
    assert_eq!((rig.state.status(), rig.state.next_deadline()), (None, None));
    // An empty state is there at once.
    assert_eq!(rig.tell(Input::Begin { of: OTHER, names: Vec::new() }), [Output::Done { of: OTHER }]);
}

#[test]
fn a_wrong_piece_costs_its_giver_and_comes_from_another() {
    let mut rig = Rig::new(&[1, 2]);
    assert_eq!(rig.begin([1]), [(1, name(1))]);
    rig.piece(1, "made up");
    let out = rig.judge(1, wrong());
    assert_eq!(out[0], violation(1, Violation::Wrong { reason: "it is wrong".into() }));
    assert_eq!(asks(out[1..].to_vec()), [(2, name(1))]);
    // It is asked for nothing more, whatever it offers.
    rig.tell(Input::Offered { peer: 1, states: vec![STATE, OTHER] });
    assert!(rig.state.offered().all(|(peer, _)| peer == 2));
    rig.piece(2, right(&name(1)));
    assert_eq!(rig.judge(1, none()), [Output::Done { of: STATE }]);
    // Had it left before the verdict, nobody would be blamed.
    let mut rig = Rig::new(&[1]);
    rig.begin([1]);
    rig.piece(1, "made up");
    rig.tell(Input::Left { peer: 1 });
    assert_eq!(rig.judge(1, wrong()), []);
}

#[test]
fn a_late_piece_comes_from_another_and_is_passed_over_when_it_comes() {
    let mut rig = Rig::new(&[1, 2]);
    assert_eq!(rig.begin([1]), [(1, name(1))]);
    assert_eq!(rig.state.next_deadline(), Some(Config::default().patience));
    assert_eq!(rig.after(Config::default().patience - Duration::from_millis(1)), []);
    let out = rig.after(Duration::from_millis(1));
    assert_eq!(out[0], violation(1, Violation::Late));
    assert_eq!(asks(out[1..].to_vec()), [(2, name(1))]);
    assert_eq!(rig.piece(1, right(&name(1))), [], "too late, and no fault any more");
    assert_eq!(rig.piece(1, right(&name(1))), [violation(1, Violation::Unasked)]);
    assert_eq!(rig.piece(2, right(&name(1))).len(), 1);
    assert_eq!(rig.judge(1, none()), [Output::Done { of: STATE }]);
}

#[test]
fn who_never_answers_holds_no_more_than_what_it_was_asked_for() {
    let config = Config::default();
    let mut rig = Rig::new(&[1]);
    assert_eq!(rig.begin(0..5).len(), 2);
    let late = rig.after(config.patience);
    assert_eq!(late, [violation(1, Violation::Late), violation(1, Violation::Late)]);
    assert_eq!(
        rig.after(config.lonely - Duration::from_secs(1)),
        [],
        "it is not asked again before it answers"
    );
    assert_eq!(asks(rig.join(2)).len(), 2);
    assert_eq!(asks(rig.piece(1, Bytes::new())).len(), 1, "and then it is");
}

#[test]
fn a_state_that_all_offer_and_nobody_gives_is_gone() {
    let config = Config::default();
    let mut rig = Rig::new(&[1, 2]);
    rig.begin(0..9);
    assert_eq!(rig.after(config.patience).len(), 4);
    assert_eq!(rig.state.status().unwrap().peers, 2, "they offer it still");
    assert_eq!(rig.after(config.lonely - Duration::from_secs(1)), []);
    assert_eq!(rig.after(Duration::from_secs(1)), [Output::Gone { of: STATE }]);
    assert_eq!(rig.state.next_deadline(), None);
}

#[test]
fn peers_that_come_and_go_do_not_keep_a_state_that_nobody_gives() {
    let config = Config::default();
    let mut rig = Rig::new(&[]);
    rig.begin(0..9);
    let mut gone = Vec::new();
    // Whoever left may come back, and is asked again.
    for _ in 0..1_000 {
        gone.extend(rig.join(1));
        gone.extend(rig.after(Duration::from_secs(1)));
        gone.extend(rig.tell(Input::Left { peer: 1 }));
        gone.retain(|output| !matches!(output, Output::Send { .. }));
        if !gone.is_empty() {
            break;
        }
    }
    assert_eq!(gone, [Output::Gone { of: STATE }]);
    assert_eq!(rig.now, config.stalled);
    // Nor do those that refuse and offer again.
    let mut rig = Rig::new(&[1]);
    let mut out = rig.tell(Input::Begin { of: STATE, names: vec![name(1)] });
    let mut asked = 0;
    while rig.now < config.stalled && !out.contains(&Output::Gone { of: STATE }) {
        for output in std::mem::take(&mut out) {
            assert!(matches!(output, Output::Send { .. }), "{output:?}");
            asked += 1;
            assert_eq!(rig.piece(1, Bytes::new()), []);
        }
        rig.tell(Input::Offered { peer: 1, states: vec![STATE] });
        out = rig.after(config.rest);
    }
    assert_eq!(asked, config.refusals.get());
    assert_eq!(out, [Output::Gone { of: STATE }]);
}

#[test]
fn a_piece_that_is_not_given_comes_from_another_and_after_a_rest_from_the_same() {
    let config = Config::default();
    let mut rig = Rig::new(&[1, 2]);
    assert_eq!(rig.begin([1]), [(1, name(1))]);
    assert_eq!(asks(rig.piece(1, Bytes::new())), [(2, name(1))]);
    assert_eq!(rig.piece(2, Bytes::new()), []);
    assert_eq!(rig.state.next_deadline(), Some(config.rest));
    assert_eq!(asks(rig.after(config.rest)), [(1, name(1))]);
    rig.piece(1, right(&name(1)));
    assert_eq!(asks(rig.judge(1, Verdict::Right { more: vec![name(2)] })).len(), 1);
    // Nobody offers it any more: for a while others may come.
    let mut rig = Rig::new(&[1]);
    rig.begin([1]);
    rig.tell(Input::Offered { peer: 1, states: vec![OTHER] });
    rig.piece(1, Bytes::new());
    assert_eq!(rig.after(config.lonely - Duration::from_secs(1)), []);
    assert_eq!(asks(rig.join(3)), [(3, name(1))]);
    assert_eq!(rig.tell(Input::Left { peer: 3 }), []);
    assert_eq!(rig.after(config.lonely - Duration::from_secs(1)), []);
    assert_eq!(rig.after(Duration::from_secs(1)), [Output::Gone { of: STATE }]);
    assert_eq!(rig.after(config.lonely), [], "once");
}

#[test]
fn what_a_peer_was_asked_for_goes_to_others_when_it_leaves() {
    let mut rig = Rig::new(&[1, 2]);
    assert_eq!(rig.begin([1, 2]), [(1, name(2)), (2, name(1))]);
    assert_eq!(asks(rig.tell(Input::Left { peer: 1 })), [(2, name(2))]);
}

#[test]
fn what_comes_after_the_end_or_for_another_state_does_no_harm() {
    let mut rig = Rig::new(&[1, 2]);
    rig.begin([1, 2]);
    rig.piece(1, right(&name(2)));
    assert_eq!(rig.tell(Input::Stop), []);
    assert_eq!(rig.piece(2, right(&name(1))), [], "it was asked for");
    assert_eq!(rig.judge(2, wrong()), [], "nothing is taken any more");
    rig.tell(Input::Offered { peer: 1, states: vec![OTHER] });
    rig.tell(Input::Begin { of: OTHER, names: vec![name(2)] });
    rig.piece(1, right(&name(2)));
    assert_eq!(rig.judge(2, wrong()), [], "of the state before");
    let judged = Input::Judged { of: OTHER, name: name(2), verdict: none() };
    assert_eq!(rig.tell(judged), [Output::Done { of: OTHER }]);
}

#[test]
fn what_is_unknown_is_ignored() {
    let mut rig = Rig::new(&[]);
    rig.tell(Input::Offered { peer: 7, states: vec![STATE] });
    assert_eq!(rig.piece(7, "a piece"), []);
    assert_eq!(rig.tell(Input::Left { peer: 7 }), []);
    assert_eq!(rig.judge(1, wrong()), []);
    assert_eq!(rig.state.offered().count(), 0);
}

/// What a peer does with an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    Liar,
    Silent,
    Empty,
}

/// The names below one: a tree of 1 + 3 + 9 + 27 pieces.
fn below(name: &Bytes) -> Vec<Bytes> {
    if name.len() >= 4 {
        Vec::new()
    } else {
        (0..3).map(|at| [name.as_ref(), &[at]].concat().into()).collect()
    }
}

proptest! {
    #[test]
    fn takes_all_as_long_as_somebody_gives_it(
        kinds in vec(prop_oneof![Just(Kind::Honest), Just(Kind::Liar), Just(Kind::Silent), Just(Kind::Empty)], 0..5),
        steps in vec(any::<u16>(), 1..600),
    ) {
        let kinds = [&kinds[..], &[Kind::Honest]].concat();
        let peers: Vec<u8> = (0..kinds.len() as u8).collect();
        let mut rig = Rig::new(&peers);
        // What peers were asked for, what the application looks at, what it has.
        let mut asked: BTreeMap<u8, Vec<Bytes>> = BTreeMap::new();
        let mut judging: Vec<(Bytes, Bytes)> = Vec::new();
        let mut taken = BTreeSet::new();
        let mut is_done = false;
        let mut pending = rig.tell(Input::Begin { of: STATE, names: vec![name(0)] });
        for step in steps.into_iter().chain((0..2_000u32).map(|step| (step * 7_919 % 65_536) as u16)) {
            for output in std::mem::take(&mut pending) {
                match output {
                    Output::Send { peer, message: Message::Ask { name, .. } } => asked.entry(peer).or_default().push(name),
                    Output::Judge { name, piece, .. } => judging.push((name, piece)),
                    Output::Done { .. } => is_done = true,
                    Output::Violation { peer, violation: Violation::Wrong { .. } } => {
                        prop_assert_eq!(kinds[usize::from(peer)], Kind::Liar);
                    }
                    Output::Violation { peer, violation: Violation::Late } => {
                        prop_assert!(kinds[usize::from(peer)] == Kind::Silent || rig.now > Duration::ZERO);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if is_done {
                break;
            }
            let peer = (step >> 4) as u8 % kinds.len() as u8;
            let waits = asked.entry(peer).or_default();
            pending = match step % 4 {
                0 | 1 if !waits.is_empty() => match kinds[usize::from(peer)] {
                    Kind::Silent => Vec::new(),
                    kind => {
                        let name = waits.remove(0);
                        let piece = match kind {
                            Kind::Honest => right(&name),
                            Kind::Liar => "a lie".into(),
                            Kind::Silent | Kind::Empty => Bytes::new(),
                        };
                        rig.piece(peer, piece)
                    }
                },
                2 if !judging.is_empty() => {
                    let (name, piece) = judging.swap_remove(usize::from(step >> 2) % judging.len());
                    let verdict = if piece == right(&name) {
                        prop_assert!(taken.insert(name.clone()), "each is taken once");
                        Verdict::Right { more: below(&name) }
                    } else {
                        wrong()
                    };
                    rig.tell(Input::Judged { of: STATE, name, verdict })
                }
                _ => {
                    // Time passes only where it must: an honest peer is in time.
                    let is_stuck = judging.is_empty()
                        && asked.iter().all(|(peer, names)| names.is_empty() || kinds[usize::from(*peer)] == Kind::Silent);
                    let is_late = asked.values().any(|names| !names.is_empty());
                    let time = if is_late { Config::default().patience } else { Config::default().rest };
                    if is_stuck { rig.after(time) } else { Vec::new() }
                }
            };
        }
        prop_assert!(is_done, "{} of 40 pieces", taken.len());
        prop_assert_eq!(taken.len(), 40);
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_in_no_other_form(
        states in vec((any::<u64>(), any::<[u8; 32]>()), 0..=MAX_OFFERED),
        name in vec(any::<u8>(), 0..=MAX_NAME_BYTES),
        piece in vec(any::<u8>(), 0..300),
        garbage in vec(any::<u8>(), 0..60),
    ) {
        let states: Vec<_> =
            states.into_iter().map(|(height, root)| StateRoot { height: Height(height), root: Hash(root) }).collect();
        let messages = [
            Message::Offer(states),
            Message::Ask { of: STATE, name: name.into() },
            Message::Piece(piece.into()),
            Message::Wish,
        ];
        for message in messages {
            let bytes = message.to_bytes();
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
            prop_assert!(Message::decode(&bytes.slice(..bytes.len() - 1)).is_err());
            prop_assert!(Message::decode(&[&bytes[..], &[0]].concat().into()).is_err());
        }
        let garbage = Bytes::from(garbage);
        if let Ok(message) = Message::decode(&garbage) {
            prop_assert_eq!(message.to_bytes(), garbage);
        }
    }
}

#[test]
fn what_is_longer_than_it_may_be_is_no_message() {
    let refused = |message: Message| Message::decode(&message.to_bytes()).is_err();
    assert!(refused(Message::Piece(vec![0; MAX_PIECE_BYTES + 1].into())));
    assert!(!refused(Message::Piece(vec![0; MAX_PIECE_BYTES].into())));
    assert!(refused(Message::Ask { of: STATE, name: vec![0; MAX_NAME_BYTES + 1].into() }));
    assert!(refused(Message::Offer(vec![STATE; MAX_OFFERED + 1])));
}
