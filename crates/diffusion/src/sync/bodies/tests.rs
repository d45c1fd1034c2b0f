use std::time::Duration;

use chain::Hash;

use super::*;
use crate::sync::Message;

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;
const MADE: Producer = Producer([7; 32]);

fn id(n: u8) -> Hash {
    Hash([n; 32])
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine with a clock and these peers, at 100 ms each.
struct Rig {
    state: State<u8>,
    now: Duration,
}

impl Rig {
    fn new(peers: &[u8]) -> Self {
        let mut rig = Self { state: State::new(Config::default()), now: Duration::ZERO };
        for &peer in peers {
            assert_eq!(rig.tell(Input::Joined { peer }), []);
            assert_eq!(rig.tell(Input::Rtt { peer, rtt: ms(200) }), []);
        }
        rig
    }

    fn tell(&mut self, input: Input<u8>) -> Vec<Output<u8>> {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.check_invariants();
        out
    }

    fn want(&mut self, n: u8, from: Option<u8>) -> Vec<Output<u8>> {
        if let Some(peer) = from {
            self.announced(n, peer);
        }
        self.tell(Input::Want { id: id(n), producer: MADE, bytes: 0, from })
    }

    fn announced(&mut self, n: u8, peer: u8) -> Vec<Output<u8>> {
        self.tell(Input::Announced { peer, id: id(n), producer: MADE })
    }

    fn arrived(&mut self, n: u8, peer: u8, held: bool) -> Vec<Output<u8>> {
        self.tell(Input::Arrived { peer, id: id(n), producer: MADE, bytes: 100, held })
    }

    /// The next deadline passes.
    fn wait(&mut self) -> Vec<Output<u8>> {
        self.now = self.state.next_deadline().expect("something is due");
        self.tell(Input::Tick)
    }
}

fn want(peer: u8, n: u8, follow: bool) -> Output<u8> {
    Output::Send { peer, message: Message::Want { id: id(n), follow } }
}

fn no(peer: u8, n: u8) -> Output<u8> {
    Output::Send { peer, message: Message::No { id: id(n) } }
}

fn stop(peer: u8) -> Output<u8> {
    Output::Send { peer, message: Message::Stop { producer: MADE } }
}

fn pushes(peer: u8) -> Output<u8> {
    Output::Send { peer, message: Message::Pushes { producer: MADE } }
}

fn serve(peer: u8, n: u8) -> Output<u8> {
    Output::Serve { peer, id: id(n) }
}

#[test]
fn the_first_announcer_is_asked_at_once_and_pushes_what_follows() {
    let mut rig = Rig::new(&[A, B]);
    assert_eq!(rig.want(1, Some(B)), [want(B, 1, true)]);
    assert_eq!(rig.announced(1, A), []);
    assert_eq!(rig.state.parent(&MADE), Some(B));
    assert_eq!(rig.arrived(1, B, false), [Output::Take { peer: B, id: id(1) }]);
    // Until it has said that it pushes, it is asked.
    assert_eq!(rig.want(2, Some(B)), [want(B, 2, true)]);
    assert_eq!(rig.tell(Input::Pushes { peer: B, producer: MADE }), []);
    assert_eq!(rig.want(3, Some(B)), [], "it comes unasked");
    assert_eq!(rig.want(4, Some(A)), [], "whoever announces it");
    assert_eq!(rig.arrived(3, B, false), [Output::Take { peer: B, id: id(3) }]);
}

#[test]
fn a_header_that_came_before_the_promise_is_asked_for() {
    let mut rig = Rig::new(&[A]);
    rig.want(1, Some(A));
    rig.announced(2, A);
    rig.tell(Input::Pushes { peer: A, producer: MADE });
    // It becomes part of the best chain only now.
    let input = Input::Want { id: id(2), producer: MADE, bytes: 0, from: Some(A) };
    assert_eq!(rig.tell(input), [want(A, 2, true)]);
}

#[test]
fn a_slow_parent_is_left_for_the_next_announcer_after_three_round_trips() {
    let mut rig = Rig::new(&[A, B, C]);
    rig.want(1, Some(C));
    rig.announced(1, B);
    assert_eq!(rig.state.next_deadline(), Some(ms(600)), "three round trips");
    assert_eq!(rig.wait(), [stop(C), want(B, 1, true)]);
    assert_eq!(rig.state.parent(&MADE), Some(B));
    // Nobody else announced it: anybody may have it.
    assert_eq!(rig.wait(), [stop(B), want(A, 1, true)]);
    // All were asked: after a pause all are asked again, the announcers first, who did not keep their word last.
    assert_eq!(rig.wait(), []);
    assert_eq!(rig.wait(), [want(A, 1, true)], "the parent first");
    assert_eq!(rig.state.status().late, 3);
    // Whoever brings it is welcome, however late.
    assert_eq!(rig.arrived(1, C, false), [Output::Take { peer: C, id: id(1) }]);
}

#[test]
fn a_parent_that_leaves_or_refuses_is_replaced_at_once() {
    let mut rig = Rig::new(&[A, B, C]);
    rig.want(1, Some(A));
    rig.announced(1, B);
    assert_eq!(rig.tell(Input::Left { peer: A }), [want(B, 1, true)]);
    assert_eq!(rig.tell(Input::Refused { peer: B, id: id(1) }), [stop(B), want(C, 1, true)]);
    rig.tell(Input::Left { peer: C });
    rig.tell(Input::Left { peer: B });
    assert_eq!(rig.wait(), []);
    assert_eq!(rig.state.next_deadline(), None, "nobody is left to ask");
    assert_eq!(rig.tell(Input::Joined { peer: A }), [want(A, 1, true)], "a body of a block known before");
}

#[test]
fn two_that_wait_for_each_other_turn_to_others_at_once() {
    let asked = |peer, n| Input::Asked { peer, id: id(n), follow: true, held: None };
    let mut rig = Rig::new(&[A, B]);
    rig.want(1, Some(A));
    assert_eq!(rig.tell(asked(A, 1)), [stop(A), want(B, 1, true)]);
    assert_eq!(rig.state.parent(&MADE), Some(B));
    assert_eq!(rig.tell(asked(A, 1)), [], "it is not waited for any more");
    // Who waits for us gets it from us, if it finds nobody else.
    assert_eq!(rig.arrived(1, B, false), [Output::Take { peer: B, id: id(1) }]);
    let stored = Input::Stored { id: id(1), producer: MADE, from: Some(B) };
    assert_eq!(rig.tell(stored), [pushes(A), serve(A, 1)]);
    // A parent that pushes asks us: whatever it counted on, it is gone.
    rig.tell(Input::Pushes { peer: B, producer: MADE });
    rig.announced(2, B);
    rig.announced(2, A);
    assert_eq!(rig.want(2, Some(B)), [], "it comes unasked");
    assert_eq!(rig.tell(asked(B, 2)), [stop(B), want(A, 2, true)]);
    // Nobody else is there: after a pause it is asked again, and not sooner, however often it asks.
    let mut rig = Rig::new(&[B]);
    rig.want(3, Some(B));
    assert_eq!(rig.tell(asked(B, 3)), []);
    assert_eq!(rig.tell(asked(B, 3)), []);
    assert_eq!(rig.state.next_deadline(), Some(Config::default().timeout_min));
    assert_eq!(rig.wait(), [want(B, 3, true)]);
    assert_eq!(rig.state.status().late, 0, "it broke no word");
}

#[test]
fn a_large_body_gets_more_time_and_so_does_who_brings_others_but_not_for_ever() {
    let mut rig = Rig::new(&[A, B]);
    rig.tell(Input::Want { id: id(1), producer: MADE, bytes: 1_250_000, from: Some(A) });
    assert_eq!(rig.state.next_deadline(), Some(ms(10_600)), "ten seconds at the least rate");
    let mut rig = Rig::new(&[A, B]);
    rig.want(1, Some(A));
    let mut n = 10;
    while rig.state.parent(&MADE) == Some(A) {
        rig.now += ms(300);
        rig.arrived(n, A, false);
        rig.tell(Input::Tick);
        n += 1;
        assert!(rig.now < ms(11_000), "other bodies hide the one that is withheld");
    }
    assert!(rig.now >= ms(10_000), "it was busy");
}

#[test]
fn of_two_senders_the_later_stops_and_the_earlier_is_the_parent() {
    let mut rig = Rig::new(&[A, B]);
    rig.want(1, Some(A));
    rig.announced(1, B);
    assert_eq!(rig.wait(), [stop(A), want(B, 1, true)]);
    assert_eq!(rig.arrived(1, A, false), [Output::Take { peer: A, id: id(1) }]);
    assert_eq!(rig.arrived(1, B, true), [stop(B)]);
    assert_eq!(rig.state.parent(&MADE), Some(A));
    assert_eq!(rig.state.status().twice, 1);
}

#[test]
fn a_request_for_a_body_that_is_not_here_waits_for_it() {
    let mut rig = Rig::new(&[A, B, C]);
    let asked = |peer, n, follow| Input::Asked { peer, id: id(n), follow, held: None };
    assert_eq!(rig.tell(asked(A, 1, true)), []);
    assert_eq!(rig.tell(asked(B, 1, false)), []);
    assert_eq!(rig.tell(asked(B, 2, false)), [], "as many as there are of one peer");
    let stored = |n| Input::Stored { id: id(n), producer: MADE, from: Some(C) };
    assert_eq!(rig.tell(stored(1)), [pushes(A), serve(A, 1), serve(B, 1)]);
    // Whoever follows gets the next one unasked; who sent it does not get it back.
    assert_eq!(rig.tell(stored(2)), [serve(A, 2), serve(B, 2)]);
    assert_eq!(rig.tell(Input::Stored { id: id(3), producer: MADE, from: Some(A) }), []);
    assert_eq!(rig.tell(Input::Stopped { peer: A, producer: MADE }), []);
    assert_eq!(rig.tell(stored(4)), []);
}

#[test]
fn what_was_parked_goes_with_its_connection() {
    let mut rig = Rig::new(&[A]);
    rig.tell(Input::Asked { peer: A, id: id(1), follow: true, held: None });
    rig.tell(Input::Asked { peer: A, id: id(2), follow: true, held: Some(MADE) });
    assert_eq!(rig.state.status().parked, 1);
    rig.tell(Input::Left { peer: A });
    rig.tell(Input::Joined { peer: A });
    assert_eq!(rig.state.status().parked, 0);
    assert_eq!(rig.tell(Input::Stored { id: id(1), producer: MADE, from: None }), []);
}

#[test]
fn of_too_many_parked_requests_the_oldest_is_refused() {
    let mut rig = Rig::new(&[A]);
    let max = Config::default().parked.get();
    let mut name = [0; 32];
    for n in 0..max {
        name[..8].copy_from_slice(&n.to_be_bytes());
        let asked = Input::Asked { peer: A, id: Hash(name), follow: false, held: None };
        assert_eq!(rig.tell(asked), []);
    }
    assert_eq!(rig.tell(Input::Asked { peer: A, id: id(9), follow: false, held: None }), [no(A, 0)]);
    assert_eq!(rig.state.status().parked, max);
}

#[test]
fn no_body_is_sent_twice_by_messages_that_cross() {
    let mut rig = Rig::new(&[A]);
    let asked = |n, follow| Input::Asked { peer: A, id: id(n), follow, held: Some(MADE) };
    assert_eq!(rig.tell(asked(1, true)), [pushes(A), serve(A, 1)]);
    // A block stored before it followed, whose header goes out now; and one stored now, whose header goes out later.
    let told = |n| Input::Told { peer: A, id: id(n), held: Some(MADE) };
    assert_eq!(rig.tell(told(2)), [serve(A, 2)]);
    assert_eq!(rig.tell(Input::Stored { id: id(3), producer: MADE, from: None }), [serve(A, 3)]);
    assert_eq!(rig.tell(told(3)), []);
    // It asked before the push came.
    assert_eq!(rig.tell(asked(3, false)), []);
    assert_eq!(rig.tell(asked(3, false)), [serve(A, 3)], "it asks again: it was lost");
}

#[test]
fn a_body_that_outruns_its_header_is_kept_and_then_taken() {
    let mut rig = Rig::new(&[A, B]);
    assert_eq!(rig.arrived(1, A, false), [Output::Keep { peer: A, id: id(1) }]);
    assert_eq!(rig.want(1, Some(B)), [Output::Take { peer: A, id: id(1) }]);
    rig.arrived(2, A, false);
    assert_eq!(rig.tell(Input::Left { peer: A }), [Output::Forget { peer: A, id: id(2) }]);
    // What is kept is bounded, the oldest goes.
    let bytes = Config::default().early_bytes.get() / 2;
    let big = |n| Input::Arrived { peer: B, id: id(n), producer: MADE, bytes, held: false };
    assert_eq!(rig.tell(big(3)), [Output::Keep { peer: B, id: id(3) }]);
    assert_eq!(
        rig.tell(big(4)),
        [Output::Forget { peer: B, id: id(3) }, Output::Keep { peer: B, id: id(4) }]
    );
}

#[test]
fn a_mode_set_by_hand_is_heeded() {
    let mode = |peer, mode| Input::Mode { peer, mode };
    let mut rig = Rig::new(&[A, B, C]);
    assert_eq!(rig.tell(mode(A, Mode::Backup)), []);
    assert_eq!(rig.tell(mode(C, Mode::Active)), []);
    assert_eq!(rig.want(1, Some(A)), [want(C, 1, true)], "active goes first");
    assert_eq!(rig.tell(mode(C, Mode::Off)), [stop(C), want(B, 1, true)]);
    assert_eq!(
        rig.tell(Input::Refused { peer: B, id: id(1) }),
        [stop(B), want(A, 1, true)],
        "backup goes last"
    );
    // Off goes both ways: neither served nor pushed to.
    assert_eq!(rig.tell(Input::Asked { peer: C, id: id(2), follow: true, held: Some(MADE) }), [no(C, 2)]);
    let mut rig = Rig::new(&[A]);
    rig.tell(Input::Asked { peer: A, id: id(1), follow: true, held: None });
    assert_eq!(rig.tell(mode(A, Mode::Off)), [no(A, 1)]);
    assert_eq!(rig.want(3, Some(A)), []);
    assert_eq!(rig.tell(mode(A, Mode::Auto)), [want(A, 3, true)]);
}

#[test]
fn who_breaks_its_word_twice_is_asked_after_the_others() {
    let mut rig = Rig::new(&[A, B]);
    for n in 1..3 {
        rig.want(n, Some(A));
        rig.announced(n, B);
        rig.wait();
        rig.arrived(n, B, false);
        rig.tell(Input::Left { peer: B });
        rig.tell(Input::Joined { peer: B });
        rig.tell(Input::Rtt { peer: B, rtt: ms(200) });
    }
    assert_eq!(rig.want(3, Some(A)), [want(B, 3, true)], "a liar announces first and never delivers");
    assert_eq!(rig.arrived(4, A, false), [Output::Keep { peer: A, id: id(4) }]);
    rig.tell(Input::Left { peer: B });
    assert_eq!(rig.want(5, Some(A)), [want(A, 5, true)], "who delivers is trusted again");
}
