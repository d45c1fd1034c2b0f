use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

type Peer = u8;

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A scheduler with a clock and what it said last.
struct Bench {
    scheduler: Scheduler<Peer>,
    now: Duration,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self { scheduler: Scheduler::new(config), now: Duration::ZERO }
    }

    fn tell(&mut self, input: Input<Peer>) {
        let mut out = Vec::new();
        self.scheduler.handle(self.now, input, &mut out);
        assert_eq!(out, [], "only a tick says what to do");
        self.scheduler.check_invariants();
    }

    fn tick(&mut self) -> Vec<Output<Peer>> {
        let mut out = Vec::new();
        self.scheduler.handle(self.now, Input::Tick { ask: true, judge: true }, &mut out);
        self.scheduler.check_invariants();
        out
    }

    /// Goes on to the next deadline and ticks there.
    fn wait(&mut self) -> Vec<Output<Peer>> {
        self.now = self.scheduler.next_deadline().expect("somebody is waited for");
        self.tick()
    }

    fn want(&mut self, keys: std::ops::Range<u64>) {
        keys.for_each(|key| self.tell(Input::Want { key, bytes: 10 }));
    }

    /// A peer at hand that has these items.
    fn join(&mut self, peer: Peer, pinned: bool, from: u64, to: u64) {
        self.tell(Input::Joined { peer, pinned });
        self.tell(Input::Rtt { peer, rtt: ms(10) });
        self.tell(Input::Has { peer, from, to });
    }

    fn receive(&mut self, peer: Peer, keys: impl IntoIterator<Item = u64>) {
        keys.into_iter().for_each(|key| self.tell(Input::Received { peer, key, bytes: 10 }));
    }
}

fn request(peer: Peer, from: u64, to: u64) -> Output<Peer> {
    Output::Request { peer, from, to }
}

fn small(window: u32, request: u32, requests: u32) -> Config {
    let count = |n| NonZeroU32::new(n).expect("not zero");
    Config {
        window_items: count(window),
        request_items: count(request),
        peer_requests: count(requests),
        ..Config::default()
    }
}

#[test]
fn asks_for_what_is_wanted_in_one_range() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..10);
    assert_eq!(bench.tick(), [], "nobody is there");
    bench.join(1, false, 0, 6);
    assert_eq!(bench.tick(), [request(1, 0, 6)], "only what the peer has");
    assert_eq!(bench.tick(), [], "and only once");
    bench.receive(1, 0..=6);
    bench.tell(Input::Done { peer: 1 });
    bench.tell(Input::Has { peer: 1, from: 7, to: 9 });
    assert_eq!(bench.tick(), [request(1, 7, 9)]);
}

#[test]
fn a_gap_in_the_numbers_ends_a_range() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..3);
    bench.want(5..8);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 2), request(1, 5, 7)]);
}

#[test]
fn spreads_ranges_over_those_that_have_them() {
    let mut bench = Bench::new(small(100, 4, 1));
    bench.want(0..12);
    bench.join(1, false, 0, 100);
    bench.join(2, false, 0, 100);
    bench.join(3, false, 8, 100);
    let asked = bench.tick();
    assert_eq!(asked, [request(1, 0, 3), request(2, 4, 7), request(3, 8, 11)]);
}

#[test]
fn the_window_is_bounded_but_the_head_always_goes() {
    let bytes = NonZeroU64::new(25).expect("not zero");
    let mut bench = Bench::new(Config { window_bytes: bytes, ..Config::default() });
    bench.want(0..10);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 1)]);
    bench.receive(1, [1]);
    assert_eq!(bench.tick(), [], "what arrived early counts until the head has");
    bench.receive(1, [0]);
    bench.tell(Input::Done { peer: 1 });
    assert_eq!(bench.tick(), [request(1, 2, 3)]);
    let mut bench = Bench::new(Config { window_bytes: bytes, ..Config::default() });
    bench.tell(Input::Want { key: 0, bytes: 1_000 });
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 0)], "however large it is");
}

#[test]
fn nothing_is_asked_for_while_it_could_not_be_put_away() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..2);
    bench.join(1, false, 0, 100);
    let mut out = Vec::new();
    bench.scheduler.handle(bench.now, Input::Tick { ask: false, judge: true }, &mut out);
    assert_eq!(out, []);
    assert_eq!(bench.tick(), [request(1, 0, 1)]);
}

#[test]
fn what_a_lost_peer_owed_is_asked_of_others() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    bench.join(2, false, 0, 100);
    bench.receive(1, [0]);
    bench.tell(Input::Left { peer: 1 });
    assert_eq!(bench.tick(), [request(2, 1, 3)]);
    bench.receive(1, [1]);
    assert!(!bench.scheduler.is_wanted(1), "what is right is welcome from anybody");
}

#[test]
fn what_a_peer_turns_out_to_lack_is_asked_of_others() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, false, 0, 100);
    bench.join(2, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    bench.receive(1, [0]);
    bench.tell(Input::Done { peer: 1 });
    assert_eq!(bench.tick(), [request(2, 1, 3)]);
    bench.tell(Input::Done { peer: 2 });
    assert_eq!(bench.tick(), [], "nobody has it");
    bench.tell(Input::Has { peer: 1, from: 1, to: 3 });
    assert_eq!(bench.tick(), [request(1, 1, 3)], "until somebody says so again");
}

#[test]
fn what_is_not_wanted_any_more_is_not_asked_for() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..6);
    bench.tell(Input::Unwant { from: 2, to: 4 });
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 1), request(1, 5, 5)]);
    bench.tell(Input::Unwant { from: 0, to: 0 });
    bench.receive(1, [0]);
    assert_eq!(bench.scheduler.status().useless, 1);
}

#[test]
fn a_silent_peer_that_holds_up_the_head_is_evicted() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    bench.join(2, false, 0, 100);
    bench.now = ms(1_999);
    assert_eq!(bench.tick(), []);
    assert_eq!(bench.scheduler.next_deadline(), Some(2 * SECOND));
    assert_eq!(bench.wait(), [Output::Evict { peer: 1 }, request(2, 0, 3)]);
    assert_eq!(bench.scheduler.status().evicted, 1);
}

#[test]
fn a_peer_is_not_judged_while_what_it_sent_lies_unread() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    // Nobody knows what there is to read.
    bench.now = 2 * SECOND;
    let mut out = Vec::new();
    bench.scheduler.handle(bench.now, Input::Tick { ask: true, judge: false }, &mut out);
    assert_eq!(out, []);
    bench.tell(Input::Unread { peer: 1 });
    assert_eq!(bench.tick(), [], "it lies here");
    assert_eq!(bench.scheduler.next_deadline(), Some(4 * SECOND), "its time begins anew");
    bench.receive(1, [0]);
    // Another's does not count for it, nor what was unread before.
    bench.tell(Input::Unread { peer: 2 });
    assert_eq!(bench.wait(), [Output::Evict { peer: 1 }]);
}

#[test]
fn who_floods_and_delivers_nothing_is_evicted_in_the_end() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    let mut excused = 0;
    let out = loop {
        bench.now = bench.scheduler.next_deadline().expect("it is waited for");
        bench.tell(Input::Unread { peer: 1 });
        match bench.tick() {
            out if out.is_empty() => excused += 1,
            out => break out,
        }
    };
    assert_eq!((out, excused, bench.now), (vec![Output::Evict { peer: 1 }], 4, 10 * SECOND));
}

#[test]
fn time_in_which_we_were_not_awake_counts_for_nobody() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    bench.now = 10 * SECOND;
    assert_eq!(bench.tick(), [], "it was to be judged eight seconds ago");
    bench.receive(1, 0..2);
    bench.now = ms(12_200);
    assert_eq!(bench.tick(), [Output::Evict { peer: 1 }], "a little late is not asleep");
}

#[test]
fn a_silent_peer_that_holds_up_nobody_is_left_alone() {
    let mut bench = Bench::new(small(100, 4, 1));
    bench.want(0..8);
    bench.join(1, false, 0, 100);
    bench.join(2, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3), request(2, 4, 7)]);
    // Peer 1 delivers the head's item every second and a half; peer 2 nothing at all.
    for key in 0..3 {
        bench.now += ms(1_500);
        bench.receive(1, [key]);
        assert_eq!(bench.tick(), [], "peer 2 is silent for long, but nobody waits for it");
    }
    bench.receive(1, [3]);
    bench.tell(Input::Done { peer: 1 });
    assert_eq!(bench.tick(), []);
    assert_eq!(bench.scheduler.next_deadline(), Some(bench.now + 2 * SECOND), "its time begins now");
    assert_eq!(bench.wait(), [Output::Evict { peer: 2 }, request(1, 4, 7)]);
}

#[test]
fn time_outs_follow_the_round_trip_within_bounds() {
    let timeout = |rtt: Option<u64>| {
        let mut bench = Bench::new(Config::default());
        bench.want(0..1);
        bench.tell(Input::Joined { peer: 1, pinned: false });
        if let Some(rtt) = rtt {
            bench.tell(Input::Rtt { peer: 1, rtt: ms(rtt) });
        }
        bench.tell(Input::Has { peer: 1, from: 0, to: 0 });
        bench.tick();
        bench.scheduler.next_deadline().expect("somebody is waited for")
    };
    assert_eq!(timeout(Some(1)), 2 * SECOND);
    assert_eq!(timeout(Some(1_500)), ms(4_500));
    assert_eq!(timeout(Some(60_000)), 20 * SECOND);
    assert_eq!(timeout(None), 20 * SECOND, "not known");
}

#[test]
fn a_time_out_doubles_after_an_eviction_and_falls_with_progress() {
    let mut bench = Bench::new(small(1_000, 8, 1));
    bench.want(0..100);
    let mut waited = Vec::new();
    for peer in 0..8 {
        bench.join(peer, false, 0, 100);
        let before = bench.now;
        assert_eq!(bench.tick(), [request(peer, 0, 7)]);
        assert_eq!(bench.wait(), [Output::Evict { peer }]);
        bench.tell(Input::Left { peer });
        waited.push((bench.now - before).as_secs());
    }
    assert_eq!(waited, [2, 4, 8, 16, 32, 64, 64, 64]);
    bench.join(9, false, 0, 100);
    bench.tick();
    bench.receive(9, 0..8);
    bench.tell(Input::Done { peer: 9 });
    bench.tick();
    assert_eq!(bench.scheduler.next_deadline(), Some(bench.now + 32 * SECOND));
}

#[test]
fn a_pinned_peer_is_passed_over_but_stays() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, true, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    assert_eq!(bench.wait(), [], "nobody else has it, and it is not asked twice");
    assert_eq!(bench.scheduler.next_deadline(), None);
    bench.join(2, false, 0, 100);
    assert_eq!(bench.tick(), [request(2, 0, 3)]);
    bench.receive(1, 0..4);
    bench.tell(Input::Done { peer: 1 });
    bench.want(4..5);
    assert_eq!(bench.tick(), [request(1, 4, 4)], "it has answered, and is one of us again");
}

#[test]
fn a_pin_counts_for_who_is_there_already() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..4);
    bench.join(1, false, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    bench.tell(Input::Pinned { peer: 1, pinned: true });
    assert_eq!(bench.wait(), [], "it stays");
    bench.join(2, true, 0, 100);
    bench.tell(Input::Pinned { peer: 2, pinned: false });
    assert_eq!(bench.tick(), [request(2, 0, 3)]);
    assert_eq!(bench.wait()[0], Output::Evict { peer: 2 });
}

#[test]
fn a_trickler_loses_its_items_to_idle_peers_but_stays() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..100);
    bench.join(1, false, 0, 200);
    assert_eq!(bench.tick(), [request(1, 0, 99)]);
    bench.join(2, false, 0, 200);
    assert_eq!(bench.tick(), []);
    // One item a second keeps it clear of the time-out, and everybody waiting.
    let mut key = 0;
    let taken = loop {
        bench.now += SECOND;
        bench.receive(1, [key]);
        key += 1;
        let out = bench.tick();
        if !out.is_empty() {
            break out;
        }
        assert!(key < 10, "it is not let go on for ever");
    };
    assert_eq!(taken, [request(2, key, 99)], "no eviction");
    assert_eq!(key, 2);
}

#[test]
fn a_trickler_loses_its_items_though_others_are_busy_now_and_then() {
    let mut bench = Bench::new(small(100, 100, 8));
    bench.want(0..300);
    bench.join(1, false, 0, 400);
    assert_eq!(bench.tick(), [request(1, 0, 99)]);
    bench.join(2, false, 0, 400);
    assert_eq!(bench.tick(), []);
    // Each item that it delivers makes room for one more, which keeps the other busy for a while.
    let mut key = 0;
    loop {
        bench.now += ms(600);
        bench.receive(1, [key]);
        key += 1;
        let out = bench.tick();
        if out.first() == Some(&request(2, key, 99)) {
            break;
        }
        let [Output::Request { peer: 2, from, to }] = out[..] else { panic!("{out:?}") };
        bench.now += ms(600);
        bench.receive(2, from..=to);
        bench.tell(Input::Done { peer: 2 });
        bench.tick();
        assert!(key < 10, "it is not let go on for ever");
    }
    assert_eq!(key, 4, "the other sat idle for two seconds in all");
}

#[test]
fn a_peer_that_stalled_before_holds_nothing_up_that_others_have() {
    let mut bench = Bench::new(small(100, 4, 1));
    bench.want(0..8);
    bench.join(1, false, 0, 100);
    bench.tell(Input::Suspect { peer: 1 });
    bench.join(2, false, 0, 3);
    assert_eq!(bench.tick(), [request(2, 0, 3), request(1, 4, 7)], "others are asked first");
    bench.tell(Input::Has { peer: 2, from: 4, to: 7 });
    bench.receive(2, 0..4);
    bench.tell(Input::Done { peer: 2 });
    assert_eq!(bench.tick(), [request(2, 4, 7)], "it is not waited for");
    bench.tell(Input::Left { peer: 2 });
    assert_eq!(bench.tick(), [], "nor asked twice");
    bench.receive(1, 4..8);
    bench.tell(Input::Done { peer: 1 });
    bench.want(8..10);
    assert_eq!(bench.tick(), [request(1, 8, 9)]);
    bench.join(2, false, 0, 100);
    assert_eq!(bench.tick(), [], "it has delivered since, and is waited for as others are");
}

#[test]
fn a_peer_that_stalled_before_is_asked_where_the_others_are_silent() {
    let mut bench = Bench::new(small(100, 4, 1));
    bench.want(0..4);
    bench.join(1, true, 0, 100);
    assert_eq!(bench.tick(), [request(1, 0, 3)]);
    bench.join(2, false, 0, 100);
    bench.tell(Input::Suspect { peer: 2 });
    assert_eq!(bench.tick(), []);
    assert_eq!(bench.wait(), [request(2, 0, 3)], "nobody else is left");
    assert_eq!(bench.scheduler.next_deadline(), Some(bench.now + 2 * SECOND), "its time is that of others");
}

#[test]
fn a_peer_that_answers_in_full_may_owe_more() {
    let config = Config {
        peer_bytes_first: NonZeroU64::new(40).expect("not zero"),
        peer_bytes: NonZeroU64::new(100).expect("not zero"),
        peer_requests: NonZeroU32::MIN,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    bench.want(0..100);
    bench.join(1, false, 0, 100);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let [Output::Request { from, to, .. }] = bench.tick()[..] else { panic!("one request") };
        bench.receive(1, from..=to);
        bench.tell(Input::Done { peer: 1 });
        sizes.push(to - from + 1);
    }
    assert_eq!(sizes, [4, 8, 10, 10]);
}

#[test]
#[should_panic(expected = "numbers grow")]
fn a_number_is_never_used_again() {
    let mut bench = Bench::new(Config::default());
    bench.want(0..2);
    bench.want(1..2);
}

/// How a made-up peer behaves.
#[derive(Debug, Clone)]
struct Manner {
    /// Between two items that it delivers.
    pace_ms: u64,
    /// Says nothing any more after so many items.
    silent_after: Option<usize>,
    /// Does not have items of which the number ends in this digit, though it says so.
    lacks: Option<u64>,
    pinned: bool,
}

fn manner() -> impl Strategy<Value = Manner> {
    (1..400u64, prop::option::weighted(0.3, 0..20usize), prop::option::weighted(0.3, 0..10u64), any::<bool>())
        .prop_map(|(pace_ms, silent_after, lacks, pinned)| Manner { pace_ms, silent_after, lacks, pinned })
}

/// A peer of the made-up world.
struct Server {
    manner: Manner,
    queue: VecDeque<(u64, u64)>,
    next: Option<u64>,
    due: Duration,
    delivered: usize,
}

/// Everything that is wanted arrives, whatever the others do, if one peer is honest.
fn run(manners: &[Manner], items: u64, config: Config) -> (Vec<String>, Duration) {
    let mut bench = Bench::new(config);
    let mut servers: BTreeMap<Peer, Server> = BTreeMap::new();
    for (peer, manner) in manners.iter().enumerate() {
        let (peer, manner) = (peer as Peer, manner.clone());
        bench.join(peer, manner.pinned, 0, items);
        servers
            .insert(peer, Server { manner, queue: VecDeque::new(), next: None, due: SECOND, delivered: 0 });
    }
    bench.want(0..items);
    let mut trace = Vec::new();
    let mut arrived = BTreeSet::new();
    while arrived.len() < items as usize {
        for output in bench.tick() {
            trace.push(format!("{:?} {output:?}", bench.now));
            match output {
                Output::Request { peer, from, to } => {
                    let server = servers.get_mut(&peer).expect("only who is there is asked");
                    if server.queue.is_empty() {
                        (server.next, server.due) = (Some(from), bench.now + ms(server.manner.pace_ms));
                    }
                    server.queue.push_back((from, to));
                    assert!(server.queue.len() <= config.peer_requests.get() as usize);
                    assert!(to - from < u64::from(config.request_items.get()));
                }
                Output::Evict { peer } => {
                    assert!(!servers[&peer].manner.pinned, "the pinned stay");
                    servers.remove(&peer);
                    bench.tell(Input::Left { peer });
                }
            }
        }
        let silent =
            |server: &Server| server.manner.silent_after.is_some_and(|after| server.delivered >= after);
        let busy = servers.iter().filter(|(_, server)| server.next.is_some() && !silent(server));
        let event = busy.map(|(peer, server)| (server.due, *peer)).min();
        let deadline = bench.scheduler.next_deadline();
        match (event, deadline) {
            (Some((due, _)), Some(deadline)) if deadline < due => bench.now = deadline,
            (None, Some(deadline)) => bench.now = deadline,
            (Some((due, peer)), _) => {
                bench.now = bench.now.max(due);
                deliver(&mut bench, servers.get_mut(&peer).expect("it is busy"), peer, &mut arrived);
            }
            (None, None) => panic!("nobody is asked, nobody is waited for: {trace:#?}"),
        }
        assert!(bench.now < Duration::from_secs(100_000), "it comes to an end: {trace:#?}");
    }
    assert_eq!(bench.scheduler.status().wanted, 0);
    (trace, bench.now)
}

fn deliver(bench: &mut Bench, server: &mut Server, peer: Peer, arrived: &mut BTreeSet<u64>) {
    let (_, to) = *server.queue.front().expect("something is asked");
    let key = server.next.expect("it is busy");
    if server.manner.lacks != Some(key % 10) {
        bench.receive(peer, [key]);
        arrived.insert(key);
        server.delivered += 1;
    }
    server.due = bench.now + ms(server.manner.pace_ms);
    server.next = Some(key + 1);
    if key == to {
        server.queue.pop_front();
        bench.tell(Input::Done { peer });
        server.next = server.queue.front().map(|(from, _)| *from);
    }
}

proptest! {
    #[test]
    fn everything_arrives_if_one_peer_is_honest(
        others in prop::collection::vec(manner(), 0..5), honest in 0..5usize,
        items in 1..200u64, window in 1..300u32, request in 1..50u32, requests in 1..5u32,
    ) {
        let mut manners = others;
        let place = honest.min(manners.len());
        manners.insert(place, Manner { pace_ms: 20, silent_after: None, lacks: None, pinned: false });
        let config = small(window, request, requests);
        let first = run(&manners, items, config);
        prop_assert_eq!(first, run(&manners, items, config), "the same world twice is the same");
    }

    /// Any inputs whatever: the books balance, and nobody is asked for what it does not have.
    #[test]
    fn the_books_balance_whatever_happens(
        ops in prop::collection::vec((0..11u8, 0..4u8, 0..40u64, 0..12u64, 0..3_000u64), 1..150),
        window in 1..30u32, request in 1..8u32, requests in 1..4u32,
    ) {
        let mut bench = Bench::new(small(window, request, requests));
        let mut has: BTreeMap<Peer, BTreeSet<u64>> = BTreeMap::new();
        for (op, peer, at, span, ms_on) in ops {
            let (from, to) = (at, at + span);
            match op {
                0 | 1 => {
                    let key = bench.scheduler.next_key() + u64::from(span == 0);
                    bench.tell(Input::Want { key, bytes: span });
                }
                2 => bench.tell(Input::Unwant { from, to }),
                3 => {
                    bench.tell(Input::Joined { peer, pinned: at % 2 == 0 });
                    has.insert(peer, BTreeSet::new());
                }
                4 => {
                    bench.tell(Input::Left { peer });
                    has.remove(&peer);
                }
                5 => {
                    bench.tell(Input::Has { peer, from, to });
                    has.entry(peer).and_modify(|has| has.extend(from..=to));
                }
                6 => bench.tell(Input::Received { peer, key: at, bytes: span }),
                7 => bench.tell(Input::Done { peer }),
                8 => bench.tell(Input::Lacks { peer, from, to }),
                9 => bench.tell(Input::Suspect { peer }),
                _ => bench.tell(Input::Unread { peer }),
            }
            if op == 8 {
                has.entry(peer).and_modify(|has| has.retain(|key| !(from..=to).contains(key)));
            }
            bench.now += ms(ms_on);
            for output in bench.tick() {
                if let Output::Request { peer, from, to } = output {
                    prop_assert!((from..=to).all(|key| has[&peer].contains(&key)), "asked for what it has");
                    prop_assert!((from..=to).all(|key| bench.scheduler.is_wanted(key)), "and what is wanted");
                }
            }
        }
    }
}
