//! Routes: which offers are used, what is told, how claims are renewed.

use std::time::Duration;

use chain::Hash;
use chain::native::Key;

use super::rig::{ROOM, World, producer, sign};
use crate::routing::destination::{Destination, Distance, Heard};
use crate::routing::message::{MAX_HOPS, MAX_METRIC, Message, Route};
use crate::routing::{Claim, Config, Input, Output, State, Time, Violation};
use crate::sync::bodies::Producer;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new(Hash([0; 32]), 7)
}

fn far(seq: u64, metric: u32) -> Distance {
    Distance { seq, metric }
}

/// A claim of a producer, as everybody would sign it.
fn claim(producer: Producer, seq: u64) -> [u8; 64] {
    sign(&Claim::Route { producer, seq })
}

/// A destination that hears these offers, each genuine, and chooses after each; hops cost 10.
fn told(offers: &[(char, u64, u32)]) -> Destination<char> {
    let mut to = Destination::new(None);
    offers.iter().for_each(|offer| tell(&mut to, 0, *offer));
    to
}

fn tell(to: &mut Destination<char>, seconds: u64, (peer, seq, metric): (char, u64, u32)) {
    let (now, signature) = (SECOND * seconds as u32, claim(producer(1), seq));
    if to.heard(peer, far(seq, metric), &signature) == Heard::Check {
        assert!(to.checked(now, seq, &signature, true).is_empty());
    }
    choose(to, seconds);
}

fn choose(to: &mut Destination<char>, seconds: u64) {
    to.choose(SECOND * seconds as u32, &config(), |_| Some(10));
    to.check_invariants(|_| true);
}

fn via(to: &Destination<char>) -> Option<(char, u64, u32)> {
    to.chosen().map(|chosen| (chosen.via, chosen.distance.seq, chosen.distance.metric))
}

#[test]
fn which_offer_is_used() {
    type Offers<'a> = &'a [(char, u64, u32)];
    type Chosen = Option<(char, u64, u32)>;
    let table: [(&str, Offers<'_>, Chosen); 11] = [
        ("none", &[], None),
        ("the only one", &[('a', 1, 5)], Some(('a', 1, 15))),
        ("one that is far better", &[('a', 1, 50), ('b', 1, 5)], Some(('b', 1, 15))),
        (
            "the old one, where the new one is hardly better",
            &[('a', 1, 100), ('b', 1, 95)],
            Some(('a', 1, 110)),
        ),
        ("never one as far as we were: it may lead through us", &[('a', 1, 5), ('a', 1, 15)], None),
        ("one nearer than we ever were", &[('a', 1, 5), ('a', 1, 20), ('b', 1, 14)], Some(('b', 1, 24))),
        ("not one further than we once were", &[('a', 1, 5), ('b', 1, 20), ('a', 1, 30)], None),
        ("any of a newer claim", &[('a', 1, 5), ('a', 2, 500)], Some(('a', 2, 510))),
        ("the shorter, whose claim is older for a while", &[('a', 1, 5), ('b', 2, 100)], Some(('a', 1, 15))),
        ("none of a claim older than the newest, once told", &[('a', 2, 5), ('b', 1, 0)], Some(('a', 2, 15))),
        ("none beyond all metrics", &[('a', 1, MAX_METRIC)], None),
    ];
    for (what, offers, expected) in table {
        assert_eq!(via(&told(offers)), expected, "{what}");
    }
}

#[test]
fn a_loop_that_distance_vectors_close_is_not_closed() {
    // We reach it over a; b reaches it over us and says so; a dies. Counting to infinity would begin with b.
    let mut to = told(&[('a', 1, 0), ('b', 1, 20)]);
    to.lost('a');
    choose(&mut to, 1);
    assert_eq!(via(&to), None);
    assert_eq!(to.ask(SECOND, &config()).map(|known| known.0), Some(1), "a newer claim is asked for");
    tell(&mut to, 2, ('b', 2, 20));
    assert_eq!(via(&to), Some(('b', 2, 30)));
}

#[test]
fn claims_end() {
    let mut to = told(&[('a', 1, 5), ('b', 2, 100)]);
    assert_eq!(via(&to), Some(('a', 1, 15)));
    choose(&mut to, 9);
    assert_eq!(via(&to), Some(('a', 1, 15)), "the older claim has some grace");
    choose(&mut to, 10);
    assert_eq!(via(&to), Some(('b', 2, 110)));
    tell(&mut to, 90, ('b', 2, 100));
    assert_eq!(to.next_deadline(), Some(105 * SECOND), "to tell a claim again makes it no newer");
    choose(&mut to, 105);
    assert_eq!(via(&to), None);
}

#[test]
fn hops_that_do_not_deliver_rest_ever_longer() {
    let mut to = told(&[('a', 1, 5)]);
    let mut rest = |at: u64| {
        to.failed(SECOND * at as u32, &config(), 'a');
        tell(&mut to, at, ('a', at + 1, 5));
        assert_eq!(via(&to), None);
        (1..1_000).find(|later| {
            // Claims go on meanwhile.
            tell(&mut to, at + later, ('a', at + 1 + later, 5));
            via(&to).is_some()
        })
    };
    let rests = [rest(0), rest(1_000), rest(2_000), rest(3_000), rest(4_000), rest(5_000), rest(6_000)];
    assert_eq!(rests, [10, 20, 40, 80, 160, 300, 300].map(Some));
    to.failed(7_000 * SECOND, &config(), 'a');
    to.delivered('a');
    tell(&mut to, 7_000, ('a', 7_001, 5));
    assert!(via(&to).is_some(), "a delivery ends it");
}

#[test]
fn questions_become_rarer_and_end() {
    let mut to = told(&[('a', 1, 5)]);
    to.lost('a');
    choose(&mut to, 0);
    let mut asked = Vec::new();
    while let Some(at) = to.next_deadline().filter(|_| asked.len() < 20) {
        asked.push(at.as_secs());
        assert_eq!(to.ask(at, &config()), Some((1, claim(producer(1), 1))));
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 127]);
    to.hope();
    choose(&mut to, 500);
    assert!(to.ask(500 * SECOND, &config()).is_some(), "somebody new may know");
}

/// One node by hand, producer 0 among four.
struct Hand {
    state: State<u32>,
    now: Time,
}

impl Hand {
    fn new(peers: u32) -> Self {
        let mut hand = Self { state: State::new(config()), now: at(0) };
        for peer in 1..=peers {
            hand.give(Input::Joined { peer, rtt: None, room: ROOM });
        }
        hand
    }

    fn begin(&mut self) -> Vec<Output<u32>> {
        self.give(Input::Producers { all: (0..4).map(producer).collect(), me: Some(producer(0)) })
    }

    fn give(&mut self, input: Input<u32>) -> Vec<Output<u32>> {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.check_invariants();
        out
    }

    fn routes(&mut self, peer: u32, routes: Vec<Route>) -> Vec<Output<u32>> {
        self.give(Input::Message { peer, message: Message::Routes(routes) })
    }

    fn ask(&mut self, peer: u32, of: Producer, seq: u64, hops: u8) -> Vec<Output<u32>> {
        let known = Some((seq, claim(of, seq)));
        self.give(Input::Message { peer, message: Message::Ask { producer: of, known, hops } })
    }

    /// Hears an offer whose claim is genuine.
    fn learn(&mut self, peer: u32, route: Route) -> Vec<Output<u32>> {
        let mut out = self.routes(peer, vec![route]);
        if let Some(Output::Verify { ticket, .. }) = out.first() {
            let ticket = *ticket;
            out = self.give(Input::Verified { ticket, genuine: true });
        }
        out
    }
}

fn at(seconds: u64) -> Time {
    Time { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1_000_000 + seconds) }
}

fn reach(n: usize, seq: u64, metric: u32) -> Route {
    Route::Reach { producer: producer(n), seq, metric, signature: claim(producer(n), seq) }
}

fn send(peer: u32, routes: Vec<Route>) -> Output<u32> {
    Output::Send { peer, message: Message::Routes(routes) }
}

/// The sequence number that is to be signed.
fn minted(out: &[Output<u32>]) -> Option<u64> {
    out.iter().find_map(|output| match output {
        Output::Sign { claim: Claim::Route { seq, .. } } => Some(*seq),
        _ => None,
    })
}

/// Signs what is to be signed.
fn signed(hand: &mut Hand, out: &[Output<u32>]) -> (u64, Vec<Output<u32>>) {
    let seq = minted(out).expect("something to sign");
    let claim = Claim::Route { producer: producer(0), seq };
    (seq, hand.give(Input::Signed { claim, signature: sign(&claim) }))
}

#[test]
fn what_is_learned_is_told_to_all_but_whom_it_leads_through() {
    let mut hand = Hand::new(3);
    hand.begin();
    let out = hand.learn(1, reach(3, 1, 50));
    assert_eq!(out, [2, 3].map(|peer| send(peer, vec![reach(3, 1, 150)])));
    assert_eq!(hand.routes(1, vec![reach(3, 1, 45)]), [], "small changes are no news");
    let out = hand.routes(1, vec![reach(3, 1, 0)]);
    assert_eq!(out, [2, 3].map(|peer| send(peer, vec![reach(3, 1, 100)])));
    let out = hand.give(Input::Left { peer: 1 });
    let lost = send(2, vec![Route::Lost { producer: producer(3) }]);
    assert!(out.contains(&lost), "{out:?}");
    assert!(out.iter().any(|output| matches!(output, Output::Send { message: Message::Ask { .. }, .. })));
}

#[test]
fn a_claim_is_checked_once_and_whoever_forges_one_is_blamed() {
    let mut hand = Hand::new(3);
    hand.begin();
    let mut forged = claim(producer(2), 5);
    forged[3] ^= 1;
    let lie = Route::Reach { producer: producer(2), seq: 5, metric: 0, signature: forged };
    let out = hand.routes(1, vec![lie]);
    let [Output::Verify { ticket, claim: checked, .. }] = out[..] else { panic!("{out:?}") };
    assert_eq!(checked, Claim::Route { producer: producer(2), seq: 5 });
    assert_eq!(hand.routes(2, vec![lie]), [], "it is being checked");
    let out = hand.give(Input::Verified { ticket, genuine: false });
    let violation = Violation::ForgedRoute { producer: producer(2) };
    assert_eq!(out, [1, 2].map(|peer| Output::Misbehaved { peer, violation }));
    assert_eq!(hand.state.next_hop(&producer(2)), None);
    hand.learn(3, reach(2, 4, 50));
    assert_eq!(hand.state.next_hop(&producer(2)), Some(3));
    let again = hand.routes(1, vec![reach(2, 4, 0)]);
    assert!(
        !again.iter().any(|output| matches!(output, Output::Verify { .. })),
        "a known claim needs no check"
    );
    assert_eq!(hand.state.next_hop(&producer(2)), Some(1));
}

#[test]
fn our_own_claims_go_up_and_are_renewed_in_time() {
    let mut hand = Hand::new(1);
    let out = hand.begin();
    let (first, out) = signed(&mut hand, &out);
    assert_eq!(first, 1_000_000_000, "the wall clock in milliseconds");
    assert_eq!(out, [send(1, vec![reach(0, first, 0)])]);
    assert_eq!(hand.state.next_deadline(), Some(30 * SECOND));
    hand.now = at(30);
    let out = hand.give(Input::Tick);
    let (second, out) = signed(&mut hand, &out);
    assert_eq!((second, out), (first + 30_000, vec![send(1, vec![reach(0, second, 0)])]));
    hand.now = Time { wall: 900_000 * SECOND, ..at(60) };
    let out = hand.give(Input::Tick);
    assert_eq!(minted(&out), Some(second + 1), "a clock that goes back does not take them down");
}

#[test]
fn whoever_needs_a_newer_claim_gets_one_but_not_at_any_rate() {
    let mut hand = Hand::new(2);
    let out = hand.begin();
    let (first, _) = signed(&mut hand, &out);
    assert_eq!(
        hand.ask(1, producer(0), first - 1, 3),
        [send(1, vec![reach(0, first, 0)])],
        "it is told again"
    );
    assert_eq!(minted(&hand.ask(1, producer(0), first, 3)), None, "not within a second");
    assert_eq!(hand.state.next_deadline(), Some(SECOND));
    hand.now = at(1);
    let out = hand.give(Input::Tick);
    let (second, _) = signed(&mut hand, &out);
    assert_eq!(second, first + 1_000);
    let forged = hand.ask(2, producer(0), u64::MAX, 3);
    let [Output::Verify { ticket, .. }] = forged[..] else { panic!("{forged:?}") };
    assert_eq!(
        hand.give(Input::Verified { ticket, genuine: false }),
        [],
        "nobody else decides about our numbers"
    );
    for _ in 0..2 {
        let last = first + 1_000 * hand.now.mono.as_secs();
        hand.now = at(hand.now.mono.as_secs() + 1);
        let seq = minted(&hand.ask(2, producer(0), last, 3)).expect("a newer one");
        assert_eq!(seq, last + 1_000);
        let claim = Claim::Route { producer: producer(0), seq };
        hand.give(Input::Signed { claim, signature: sign(&claim) });
    }
}

#[test]
fn questions_of_others_are_passed_on_until_they_end() {
    let mut hand = Hand::new(3);
    hand.begin();
    hand.learn(1, reach(3, 7, 50));
    assert_eq!(hand.ask(2, producer(3), 6, 5), [send(2, vec![reach(3, 7, 150)])], "we have what it needs");
    let passed = |hops| {
        let known = Some((7, claim(producer(3), 7)));
        let message = Message::Ask { producer: producer(3), known, hops };
        vec![Output::Send { peer: 1, message: message.clone() }, Output::Send { peer: 3, message }]
    };
    assert_eq!(hand.ask(2, producer(3), 7, MAX_HOPS), passed(MAX_HOPS - 1));
    assert_eq!(hand.ask(2, producer(3), 7, 9), [], "not twice in a moment");
    hand.now = at(1);
    assert_eq!(hand.ask(2, producer(3), 7, 0), [], "no further");
    assert_eq!(hand.ask(2, producer(3), 7, 1), passed(0));
    assert_eq!(hand.ask(2, producer(9), 7, 9), [], "nobody knows it");
}

#[test]
fn a_claim_of_our_own_that_we_did_not_make_is_surpassed() {
    let mut hand = Hand::new(1);
    let out = hand.begin();
    let (first, _) = signed(&mut hand, &out);
    let theirs = first + 5_000_000;
    let out = hand.routes(1, vec![reach(0, theirs, 20)]);
    let [Output::Verify { ticket, .. }] = out[..] else { panic!("{out:?}") };
    assert_eq!(hand.give(Input::Verified { ticket, genuine: true }), []);
    assert_eq!(hand.state.status().counts.claims_elsewhere, 1);
    hand.now = at(1);
    let out = hand.give(Input::Tick);
    assert_eq!(signed(&mut hand, &out).0, theirs + 1);
    assert_eq!(hand.routes(1, vec![reach(0, theirs, 20)]), [], "what is older than ours is no news");
    let mut forged = claim(producer(0), u64::MAX);
    forged[0] ^= 1;
    let lie = Route::Reach { producer: producer(0), seq: u64::MAX, metric: 0, signature: forged };
    let out = hand.routes(1, vec![lie]);
    let [Output::Verify { ticket, .. }] = out[..] else { panic!("{out:?}") };
    assert_eq!(hand.give(Input::Verified { ticket, genuine: false }), []);
}

#[test]
fn a_producer_that_comes_back_finds_the_bound_it_left() {
    let mut hand = Hand::new(2);
    hand.begin();
    hand.learn(1, reach(3, 7, 0));
    let without = (0..3).map(producer).collect();
    let out = hand.give(Input::Producers { all: without, me: Some(producer(0)) });
    assert_eq!(out, [send(2, vec![Route::Lost { producer: producer(3) }])]);
    assert_eq!(hand.routes(2, vec![reach(3, 7, 120)]), [], "it means nothing now");
    let out = hand.begin();
    let ask = Message::Ask { producer: producer(3), known: None, hops: 0 };
    assert_eq!(out, [1, 2].map(|peer| Output::Send { peer, message: ask.clone() }));
    hand.learn(2, reach(3, 7, 120));
    assert_eq!(hand.state.next_hop(&producer(3)), None, "that way led through us");
    hand.learn(1, reach(3, 7, 0));
    assert_eq!(hand.state.next_hop(&producer(3)), Some(1));
}

#[test]
fn a_restart_with_a_clock_gone_back_is_reached_again() {
    let mut world = World::new(3, 1, config());
    world.set_link(0, 1, 10, true);
    world.set_link(1, 2, 10, true);
    world.begin();
    world.run_for(5 * SECOND);
    world.nodes[2].skew_ms = -3_600_000;
    world.restart(2);
    world.run_for(3 * SECOND);
    assert_eq!(world.nodes[0].state.next_hop(&producer(2)), Some(1));
    assert_eq!(world.nodes[2].state.status().counts.claims_elsewhere, 1);
}

#[test]
fn signatures_bind_what_they_say() {
    let key = Key::from_seed(&[3; 32]);
    let (network, other) = (Hash([1; 32]), Hash([2; 32]));
    let me = Producer(key.public());
    let claims = [
        Claim::Route { producer: me, seq: 1 },
        Claim::Route { producer: me, seq: 2 },
        Claim::Receipt { producer: me, id: Hash([1; 32]) },
        Claim::Receipt { producer: me, id: Hash([2; 32]) },
    ];
    for claim in claims {
        let signature = key.sign(&claim.bytes(&network));
        for checked in claims {
            assert_eq!(checked.is_signed(&network, &signature), checked == claim);
        }
        assert!(!claim.is_signed(&other, &signature), "on another chain it says nothing");
    }
    let nobody = Claim::Route { producer: Producer([0xff; 32]), seq: 1 };
    assert!(!nobody.is_signed(&network, &[0; 64]), "no key");
}
