use std::num::NonZeroUsize;

use bytes::Bytes;
use chain::tree::{self, Root, Tree};
use chain::{Block, Hash, Header, Height, Point, Position, Slot, Tip};
use proptest::prelude::*;

use super::bodies::Producer;
use super::*;

/// A node's headers; every block has its body.
struct Node {
    tree: Tree<()>,
    trunk: Trunk,
    loaded: Loaded,
}

/// The block `number` of fork `fork` at a height; fork 0 is where all begin.
fn header(fork: u8, height: u64, prev: Option<&Header>) -> Header {
    let mut id = [fork; 32];
    id[24..].copy_from_slice(&(height + 1).to_be_bytes());
    Header {
        id: Hash(id),
        prev: prev.map(|prev| prev.id),
        slot: Slot(height),
        height: Height(height),
        boundary: false,
        wire: Bytes::from(vec![fork; 10]),
    }
}

/// `count` blocks of a fork on top of another block.
fn grow(fork: u8, on: Option<&Header>, count: u64) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for _ in 0..count {
        let prev = headers.last().or(on);
        headers.push(header(fork, prev.map_or(0, |prev| prev.height.0 + 1), prev));
    }
    headers
}

impl Node {
    fn new() -> Self {
        let root = Root { tip: Tip::default(), settled: 0, state: () };
        let prefer = |a: &Header, b: &Header| (a.height, a.id).cmp(&(b.height, b.id));
        let tree = Tree::new(tree::Config::default(), Box::new(prefer), root);
        let loaded = Loaded::new(NonZeroUsize::new(8).unwrap(), Tip::default(), 0);
        Self { trunk: Trunk::new(&tree), tree, loaded }
    }

    /// A node that has a chain, irreversible up to a count.
    fn with(headers: &[Header], settled: usize) -> Self {
        let mut node = Self::new();
        node.extend(headers);
        if let Some(last) = settled.checked_sub(1) {
            node.settle(&headers[last]);
        }
        node
    }

    fn extend(&mut self, headers: &[Header]) {
        for header in headers {
            self.tree.insert_header(header.clone(), ()).unwrap();
            let raw = Bytes::from_static(b"body");
            self.tree.insert_body(Block { header: header.clone(), raw }).unwrap();
        }
        self.trunk.follow(&self.tree);
    }

    fn settle(&mut self, header: &Header) {
        let settled = self.tree.irreversible(header.id).unwrap();
        let blocks = settled.blocks.iter().map(|entry| (entry.header.clone(), Some(Bytes::new())));
        self.loaded.settle(blocks.collect::<Vec<_>>());
        self.trunk.follow(&self.tree);
    }

    fn forks(&self) -> Forks<'_, ()> {
        Forks { tree: &self.tree, trunk: &self.trunk, loaded: &self.loaded }
    }

    fn tell(&self, state: &mut State, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        state.handle(&self.forks(), input, &mut out);
        state.check_invariants(&self.forks());
        out
    }

    /// A connection that has sent its hello and has much room.
    fn start(&self) -> (State, Hello) {
        let mut state = State::new(Config::default());
        let out = self.tell(&mut state, Input::Start);
        let [Output::Send(Message::Hello(hello))] = &out[..] else { panic!("{out:?}") };
        assert!(self.tell(&mut state, Input::Room { bytes: 1 << 20 }).is_empty());
        (state, hello.clone())
    }

    /// A connection on which the other's hello has come.
    fn meet(&self, other: &Self) -> (State, Vec<Output>) {
        let (mut state, _) = self.start();
        let (_, hello) = other.start();
        let out = self.tell(&mut state, Input::Hello(hello));
        (state, out)
    }
}

fn sent(headers: &[Header]) -> Vec<Output> {
    headers.iter().map(|header| Output::Send(header.into())).collect()
}

fn fin(header: &Header) -> Output {
    Output::Send(Message::Fin(Fin { tip: header.tip(), certificate: Bytes::new() }))
}

fn violation(out: &[Output]) -> Violation {
    match out {
        [Output::Violation(violation)] => *violation,
        _ => panic!("{out:?}"),
    }
}

#[test]
fn the_locator_goes_back_in_doubling_steps_and_ends_in_the_irreversible_block() {
    let chain = grow(1, None, 40);
    let (_, hello) = Node::with(&chain, 10).start();
    let heights: Vec<u64> = hello.locator.iter().map(|point| point.slot().unwrap().0).collect();
    assert_eq!(heights, [39, 38, 36, 32, 24, 9]);
    assert_eq!(hello.lib, chain[9].tip());
    let (_, hello) = Node::new().start();
    assert_eq!(hello.locator, [Point::Origin], "a new node is at origin");
}

#[test]
fn sends_what_follows_the_highest_common_point_and_finality_behind_it() {
    let chain = grow(1, None, 6);
    let (_, out) = Node::with(&chain, 4).meet(&Node::with(&chain[..3], 1));
    // The peer's locator is found in the log.
    let [Output::Find { points }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(points[0], chain[2].point());
    let node = Node::with(&chain, 4);
    let (mut state, _) = node.meet(&Node::with(&chain[..3], 1));
    let place = Place { count: 3, tip: chain[2].tip() };
    let out = node.tell(&mut state, Input::Found(Some(place)));
    // The log's own certificates go along: what the peer can commit leaves room in its tree.
    let mut expected = vec![fin(&chain[2])];
    expected.extend(sent(&chain[3..4]));
    expected.push(fin(&chain[3]));
    expected.extend(sent(&chain[4..]));
    assert_eq!(out, expected);
}

#[test]
fn finality_of_a_block_that_was_common_at_the_start_is_told() {
    let chain = grow(1, None, 3);
    let (_, out) = Node::with(&chain, 2).meet(&Node::with(&chain, 0));
    let [Output::Find { .. }] = &out[..] else {
        assert_eq!(out, [fin(&chain[1])]);
        return;
    };
    panic!("the head is in the tree");
}

#[test]
fn what_the_peer_sent_is_not_sent_back() {
    let chain = grow(1, None, 4);
    let mut node = Node::with(&chain[..1], 0);
    let (mut state, out) = node.meet(&Node::with(&chain[..1], 0));
    assert_eq!(out, []);
    for next in &chain[1..] {
        assert_eq!(node.tell(&mut state, Input::Header(next.clone())), [Output::Insert(next.clone())]);
        node.extend(std::slice::from_ref(next));
        assert_eq!(node.tell(&mut state, Input::Moved), [], "no echo");
    }
    let more = grow(1, chain.last(), 1);
    node.extend(&more);
    assert_eq!(node.tell(&mut state, Input::Moved), sent(&more));
}

#[test]
fn the_window_is_bounded_by_credit_and_finality_is_not_overtaken() {
    let chain = grow(1, None, 8);
    let node = Node::with(&chain, 0);
    let (mut state, _) = node.start();
    node.tell(&mut state, Input::Room { bytes: 0 });
    let (_, hello) = Node::new().start();
    assert_eq!(node.tell(&mut state, Input::Hello(hello)), [], "no room");
    let out = node.tell(&mut state, Input::Room { bytes: 250 });
    assert_eq!(out, sent(&chain[..2]));
    let out = node.tell(&mut state, Input::Room { bytes: 1 << 20 });
    assert_eq!(out, sent(&chain[2..]));
}

#[test]
fn a_head_that_moves_to_another_fork_is_sent_from_where_they_part() {
    let trunk = grow(1, None, 3);
    let (short, long) = (grow(2, trunk.last(), 2), grow(3, trunk.last(), 4));
    let mut node = Node::with(&trunk, 0);
    let (mut state, _) = node.meet(&Node::with(&trunk, 0));
    node.extend(&short);
    assert_eq!(node.tell(&mut state, Input::Moved), sent(&short));
    node.extend(&long);
    assert_eq!(node.tell(&mut state, Input::Moved), sent(&long));
    // What becomes irreversible on the fork that was left moves the cursor before it is pruned.
    let place = node.forks().find(Some(short[1].id)).unwrap();
    assert_eq!(node.tell(&mut state, Input::Settling(place)), []);
    node.settle(&short[1]);
    // Finality of the log goes along wherever its certificate is at hand.
    let steps =
        short.iter().flat_map(|header| [sent(std::slice::from_ref(header)), vec![fin(header)]].concat());
    let expected: Vec<Output> = [fin(&trunk[2])].into_iter().chain(steps).collect();
    assert_eq!(node.tell(&mut state, Input::Moved), expected);
}

#[test]
fn a_header_on_what_was_cut_off_is_passed_over_without_blame() {
    let trunk = grow(1, None, 2);
    let (ours, theirs) = (grow(2, trunk.last(), 2), grow(3, trunk.last(), 3));
    let mut node = Node::with(&trunk, 0);
    let (mut state, _) = node.meet(&Node::with(&trunk, 0));
    node.extend(&ours);
    node.tell(&mut state, Input::Settling(node.forks().find(Some(ours[1].id)).unwrap()));
    node.settle(&ours[1]);
    node.tell(&mut state, Input::Moved);
    let passed = |header: &Header, why| [Output::Passed { header: header.tip(), why }];
    for (header, why) in [(&theirs[0], Why::Old), (&theirs[1], Why::Old), (&theirs[2], Why::Conflict)] {
        assert_eq!(node.tell(&mut state, Input::Header(header.clone())), passed(header, why));
    }
}

#[test]
fn a_peer_ahead_of_us_is_waited_for() {
    let chain = grow(1, None, 5);
    let mut node = Node::new();
    let (mut state, out) = node.meet(&Node::with(&chain, 3));
    // Its irreversible block is above ours and unknown: nothing to look for, nothing to blame.
    assert_eq!((out, state.status().sent), (vec![], None));
    for header in &chain {
        node.tell(&mut state, Input::Header(header.clone()));
        node.extend(std::slice::from_ref(header));
        assert_eq!(node.tell(&mut state, Input::Moved), []);
    }
    assert_eq!(state.status().sent.map(|place| place.count), Some(5));
    let out = node.tell(&mut state, Input::Fin(Fin { tip: chain[3].tip(), certificate: Bytes::new() }));
    assert_eq!(out, [Output::Commit(Fin { tip: chain[3].tip(), certificate: Bytes::new() })]);
}

#[test]
fn histories_that_cannot_be_one_are_a_conflict_for_the_higher_side() {
    let (ours, theirs) = (grow(1, None, 4), grow(2, None, 3));
    let (high, low) = (Node::with(&ours, 4), Node::with(&theirs, 3));
    let (mut state, out) = high.meet(&low);
    assert!(matches!(&out[..], [Output::Find { .. }]), "{out:?}");
    let found = violation(&high.tell(&mut state, Input::Found(None)));
    assert_eq!(found, Violation::Conflict { theirs: theirs[2].tip(), ours: ours[3].tip() });
    assert_eq!(found.consequence(), Consequence::Alarm);
    // The lower side cannot tell it from a peer that is ahead, and waits: it is told by being left.
    assert_eq!(low.meet(&high).1, []);
}

#[test]
fn what_became_irreversible_while_the_log_was_asked_is_no_conflict() {
    let chain = grow(1, None, 4);
    let mut node = Node::with(&chain, 1);
    let (mut state, hello) = node.start();
    let theirs = Hello { locator: vec![chain[2].point(), Point::Origin], lib: Tip::default(), ..hello };
    // A locator that we do know is found at once; so it is one of another fork, and its LIB is origin.
    let strange = grow(9, None, 3);
    let theirs = Hello { locator: vec![strange[2].point(), Point::Origin], ..theirs };
    let out = node.tell(&mut state, Input::Hello(theirs));
    assert_eq!(
        out,
        [Output::Find { points: vec![Point::Origin] }],
        "only what the log may have is looked for"
    );
    node.tell(&mut state, Input::Settling(node.forks().find(Some(chain[3].id)).unwrap()));
    node.settle(&chain[3]);
    node.tell(&mut state, Input::Moved);
    let out = node.tell(&mut state, Input::Found(Some(Place::default())));
    assert!(!out.iter().any(|output| matches!(output, Output::Violation(_))), "{out:?}");
}

#[test]
fn too_far_behind_is_said_on_both_sides_and_is_no_conflict() {
    let chain = grow(1, None, 6);
    let mut ahead = Node::with(&chain, 5);
    ahead.loaded.prune(chain[3].tip());
    let behind = Node::with(&chain[..2], 2);
    let (mut state, out) = ahead.meet(&behind);
    assert!(matches!(&out[..], [Output::Find { .. }]), "{out:?}");
    let out = ahead.tell(&mut state, Input::Found(None));
    assert_eq!(out, [Output::PeerBehind { lib: chain[1].tip() }]);
    let (_, out) = behind.meet(&ahead);
    assert_eq!(out, [Output::Behind { oldest: chain[3].tip() }]);
}

#[test]
fn headers_of_the_log_are_loaded_when_they_are_not_at_hand() {
    let chain = grow(1, None, 30);
    let mut node = Node::with(&chain, 28);
    let (mut state, out) = node.meet(&Node::with(&chain[..1], 1));
    assert!(matches!(&out[..], [Output::Find { .. }]));
    let place = Place { count: 1, tip: chain[0].tip() };
    let mut out = node.tell(&mut state, Input::Found(Some(place)));
    let mut headers = 0;
    loop {
        headers += out.iter().filter(|output| matches!(output, Output::Send(Message::Header(_)))).count();
        let Some(Output::Load { from: Position(from) }) = out.last() else { break };
        let chunk = chain[*from as usize..].iter().take(6).map(|header| (header.clone(), None));
        node.loaded.load(Position(*from), chunk.collect());
        node.loaded.check_invariants();
        out = node.tell(&mut state, Input::Loaded);
    }
    assert_eq!(headers, 29);
    assert_eq!(state.status().fin, chain[27].tip());
}

#[test]
fn finality_without_its_header_waits_and_then_is_applied() {
    let chain = grow(1, None, 2);
    let mut node = Node::with(&chain[..1], 0);
    let (mut state, _) = node.meet(&Node::with(&chain[..1], 0));
    let fin = Fin { tip: chain[1].tip(), certificate: Bytes::from_static(b"votes") };
    assert_eq!(node.tell(&mut state, Input::Fin(fin.clone())), []);
    assert_eq!(node.tell(&mut state, Input::Header(chain[1].clone())), [Output::Insert(chain[1].clone())]);
    node.extend(&chain[1..]);
    assert_eq!(node.tell(&mut state, Input::Moved), [Output::Commit(fin)]);
    assert_eq!(node.tell(&mut state, Input::Moved), [], "once");
    // A new connection knows nothing of what waited on the old one.
    let mut node = Node::with(&chain[..1], 0);
    let (mut state, _) = node.meet(&Node::with(&chain[..1], 0));
    node.extend(&chain[1..]);
    assert_eq!(node.tell(&mut state, Input::Moved), sent(&chain[1..]), "a header, and no commit");
}

#[test]
fn every_violation_is_seen() {
    let chain = grow(1, None, 3);
    let node = Node::with(&chain, 2);
    let header = |header: &Header| Input::Header(header.clone());
    let told = |tip: Tip| Input::Fin(Fin { tip, certificate: Bytes::new() });
    let (mut state, hello) = node.start();
    assert_eq!(violation(&node.tell(&mut state, header(&chain[2]))), Violation::BeforeHello);
    assert_eq!(violation(&node.tell(&mut state, told(chain[2].tip()))), Violation::BeforeHello);
    node.tell(&mut state, Input::Hello(hello.clone()));
    assert_eq!(violation(&node.tell(&mut state, Input::Hello(hello))), Violation::SecondHello);
    let below = Violation::HeaderBelow { header: chain[1].tip() };
    assert_eq!(violation(&node.tell(&mut state, header(&chain[1]))), below);
    let strange = grow(9, None, 6);
    let unlinked = Violation::HeaderUnlinked { header: strange[4].tip() };
    assert_eq!(violation(&node.tell(&mut state, header(&strange[4]))), unlinked);
    let out = node.tell(&mut state, header(&strange[5]));
    assert!(matches!(&out[..], [Output::Passed { why: Why::Conflict, .. }]), "one strike for a fork");
    let beside = Violation::Conflict { theirs: strange[1].tip(), ours: chain[1].tip() };
    assert_eq!(violation(&node.tell(&mut state, told(strange[1].tip()))), beside);
    let back = Violation::FinBack { block: chain[0].tip() };
    assert_eq!(violation(&node.tell(&mut state, told(chain[0].tip()))), back);
    let far = grow(9, None, 30);
    for header in &far[2..18] {
        assert_eq!(node.tell(&mut state, told(header.tip())), [], "there is room for sixteen");
    }
    let unknown = Violation::FinUnknown { block: far[18].tip() };
    assert_eq!(violation(&node.tell(&mut state, told(far[18].tip()))), unknown);
}

#[test]
fn what_hangs_on_a_header_without_a_place_is_passed_over_without_blame() {
    let chain = grow(1, None, 3);
    let node = Node::with(&chain, 2);
    let (mut state, hello) = node.start();
    assert_eq!(violation(&node.tell(&mut state, Input::Refused(chain[2].tip()))), Violation::BeforeHello);
    node.tell(&mut state, Input::Hello(hello));
    let below = Violation::HeaderBelow { header: chain[1].tip() };
    assert_eq!(violation(&node.tell(&mut state, Input::Refused(chain[1].tip()))), below);
    let fork = grow(9, None, 6);
    assert_eq!(node.tell(&mut state, Input::Refused(fork[3].tip())), []);
    assert_eq!(state.status().best, fork[3].tip(), "the peer has it, whatever we do");
    let out = node.tell(&mut state, Input::Header(fork[4].clone()));
    assert!(matches!(&out[..], [Output::Passed { why: Why::Conflict, .. }]), "{out:?}");
}

#[test]
fn each_violation_has_a_name_of_its_own_and_a_consequence() {
    use Consequence::{Alarm, Close, Strike};
    let tip = Tip::default();
    let all = [
        (Violation::SecondHello, "second_hello", Close),
        (Violation::BeforeHello, "before_hello", Close),
        (Violation::HeaderBelow { header: tip }, "header_below", Close),
        (Violation::HeaderUnlinked { header: tip }, "header_unlinked", Strike),
        (Violation::FinUnknown { block: tip }, "fin_unknown", Strike),
        (Violation::FinBack { block: tip }, "fin_back", Strike),
        (Violation::Conflict { theirs: tip, ours: tip }, "conflict", Alarm),
    ];
    for (violation, name, consequence) in all {
        assert_eq!((violation.name(), violation.consequence()), (name, consequence));
    }
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let point = (any::<u64>(), any::<[u8; 32]>()).prop_map(|(slot, id)| Point::Block(Slot(slot), Hash(id)));
    proptest::collection::vec(point, 1..MAX_LOCATOR).prop_map(|mut points| {
        points.sort_by_key(|point| std::cmp::Reverse(point.slot()));
        points
    })
}

fn messages() -> impl Strategy<Value = Message> {
    let id = any::<[u8; 32]>();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..400).prop_map(Bytes::from);
    prop_oneof![
        (points(), any::<u64>()).prop_map(|(locator, height)| {
            let lib = Tip { point: *locator.last().unwrap(), height: Height(height) };
            Message::Hello(Hello { locator, lib, oldest: Tip::default() })
        }),
        bytes().prop_map(Message::Header),
        (points(), any::<u64>(), bytes()).prop_map(|(points, height, certificate)| {
            Message::Fin(Fin { tip: Tip { point: points[0], height: Height(height) }, certificate })
        }),
        (id, any::<bool>()).prop_map(|(id, follow)| Message::Want { id: Hash(id), follow }),
        id.prop_map(|id| Message::No { id: Hash(id) }),
        id.prop_map(|id| Message::Stop { producer: Producer(id) }),
        id.prop_map(|id| Message::Pushes { producer: Producer(id) }),
        points().prop_map(|points| Message::Range { from: points[0], to: points[points.len() - 1] }),
    ]
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(message in messages()) {
        let bytes = message.to_bytes();
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn what_can_be_read_has_one_encoding(message in messages(), at: prop::sample::Index, value: u8) {
        let mut bytes = message.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let bytes = Bytes::from(bytes);
        if let Ok(other) = Message::decode(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }

    #[test]
    fn no_part_of_a_message_is_one(message in messages(), cut: prop::sample::Index) {
        let bytes = message.to_bytes();
        prop_assert!(Message::decode(&bytes.slice(..cut.index(bytes.len()))).is_err());
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        prop_assert_eq!(Message::decode(&longer), Err(DecodeError::Trailing { at: bytes.len() }));
    }
}

#[test]
fn refuses_messages_that_nobody_means() {
    let decode = |bytes: &[u8]| Message::decode(&Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(decode(&[0x82, 0x08, 0x00]), DecodeError::Unknown { number: 8 });
    assert!(matches!(decode(&[0x83, 0x01, 0x40]), DecodeError::Expected { at: 0, .. }));
    assert!(
        matches!(decode(&[0x82, 0x18, 0x01, 0x40]), DecodeError::Expected { .. }),
        "not the shortest form"
    );
    assert!(matches!(decode(&[0x9f, 0x01, 0x40, 0xff]), DecodeError::Expected { .. }), "of no stated length");
    // A locator that does not end in the irreversible block, and one that goes up.
    let chain = grow(1, None, 3);
    let hello = |locator: Vec<Point>, lib: Tip| {
        Message::Hello(Hello { locator, lib, oldest: Tip::default() }).to_bytes()
    };
    let [low, mid, high] = [chain[0].point(), chain[1].point(), chain[2].point()];
    assert!(Message::decode(&hello(vec![high, mid, low], chain[0].tip())).is_ok());
    assert!(Message::decode(&hello(vec![high, mid], chain[0].tip())).is_err());
    assert!(Message::decode(&hello(vec![mid, high, low], chain[0].tip())).is_err());
    assert!(Message::decode(&hello(vec![], chain[0].tip())).is_err());
    assert!(Message::decode(&hello(vec![high; MAX_LOCATOR + 1], chain[2].tip())).is_err());
    let header = Message::Header(Bytes::from(vec![0; MAX_HEADER_BYTES + 1])).to_bytes();
    assert!(Message::decode(&header).is_err());
}
