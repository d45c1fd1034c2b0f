use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use chain::{Hash, Point, Slot};
use proptest::prelude::*;

use super::*;
use crate::sync::Message;

fn id(fork: u8, n: u64) -> Hash {
    let mut id = [fork; 32];
    id[24..].copy_from_slice(&n.to_be_bytes());
    Hash(id)
}

fn point(fork: u8, n: u64) -> Point {
    Point::Block(Slot(n), id(fork, n))
}

fn number(block: &Point) -> u64 {
    block.slot().unwrap().0
}

struct Rig {
    state: State<u8>,
    now: Duration,
}

impl Rig {
    fn new(peers: &[u8]) -> Self {
        let config = Config { request_items: NonZeroU32::new(10).unwrap(), ..Config::default() };
        let mut rig = Self { state: State::new(config), now: Duration::ZERO };
        for &peer in peers {
            rig.tell(Input::Joined { peer, pinned: false });
        }
        rig
    }

    fn tell(&mut self, input: Input<u8>) -> Vec<Output<u8>> {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.check_invariants();
        out
    }

    fn want(&mut self, fork: u8, blocks: std::ops::Range<u64>) {
        for n in blocks {
            let prev = n.checked_sub(1).map(|n| id(fork, n));
            assert_eq!(self.tell(Input::Want { block: point(fork, n), prev, bytes: 100 }), []);
        }
    }

    /// Whom it asks for what.
    fn ask(&mut self) -> Vec<(u8, u64, u64)> {
        let asked =
            self.tell(Input::Tick { ask: true, judge: true }).into_iter().map(|output| match output {
                Output::Send { peer, message: Message::Range { from, to } } => {
                    (peer, number(&from), number(&to))
                }
                other => panic!("{other:?}"),
            });
        asked.collect()
    }
}

#[test]
fn ranges_spread_over_the_peers_that_have_them() {
    let mut rig = Rig::new(&[1, 2]);
    rig.want(7, 0..40);
    rig.tell(Input::Has { peer: 1, id: id(7, 39) });
    rig.tell(Input::Has { peer: 2, id: id(7, 14) });
    let asked = rig.ask();
    let mut blocks: Vec<u64> = asked.iter().flat_map(|(_, from, to)| *from..=*to).collect();
    blocks.sort_unstable();
    assert_eq!(blocks, (0..40).collect::<Vec<_>>(), "each block once");
    assert!(asked.iter().all(|(peer, from, to)| to - from < 10 && (*peer == 1 || *to <= 14)), "{asked:?}");
}

#[test]
fn a_range_does_not_go_from_one_chain_to_another() {
    let mut rig = Rig::new(&[1]);
    rig.want(7, 0..3);
    rig.tell(Input::Clear);
    assert!(rig.state.is_empty());
    rig.want(8, 1..4);
    rig.tell(Input::Has { peer: 1, id: id(8, 3) });
    let out = rig.tell(Input::Tick { ask: true, judge: true });
    let range = Message::Range { from: point(8, 1), to: point(8, 3) };
    assert_eq!(out, [Output::Send { peer: 1, message: range }]);
}

#[test]
fn who_has_a_block_has_those_below_it_though_some_between_are_here() {
    let mut rig = Rig::new(&[1]);
    rig.want(7, 0..1);
    rig.want(7, 4..6);
    rig.tell(Input::Has { peer: 1, id: id(7, 5) });
    assert_eq!(rig.ask(), [(1, 0, 0), (1, 4, 5)], "and no range goes over what is here");
}

#[test]
fn what_came_in_another_way_is_wanted_no_more() {
    let mut rig = Rig::new(&[1, 2]);
    rig.want(7, 0..5);
    rig.tell(Input::Unwant { id: id(7, 2) });
    rig.tell(Input::Unwant { id: id(9, 2) });
    assert!(!rig.state.is_wanted(&id(7, 2)) && rig.state.len() == 4);
    rig.tell(Input::Has { peer: 1, id: id(7, 4) });
    assert_eq!(rig.ask(), [(1, 0, 1), (1, 3, 4)]);
    // Also where it was asked for already: who brings it all the same did nothing wrong.
    rig.tell(Input::Unwant { id: id(7, 1) });
    for n in [0, 1, 3, 4] {
        assert_eq!(rig.tell(Input::Arrived { peer: 1, id: id(7, n), bytes: 100 }), []);
    }
    assert!(rig.state.is_empty());
    assert_eq!(rig.tell(Input::Done { peer: 1 }), []);
    assert_eq!(rig.ask(), []);
}

#[test]
fn what_a_peer_leaves_out_is_asked_of_another() {
    let mut rig = Rig::new(&[1]);
    rig.want(7, 0..5);
    rig.tell(Input::Has { peer: 1, id: id(7, 4) });
    assert_eq!(rig.ask(), [(1, 0, 4)]);
    for n in 0..2 {
        rig.tell(Input::Arrived { peer: 1, id: id(7, n), bytes: 100 });
    }
    rig.tell(Input::Done { peer: 1 });
    assert_eq!(rig.ask(), [], "it has no more");
    rig.tell(Input::Joined { peer: 2, pinned: false });
    rig.tell(Input::Has { peer: 2, id: id(7, 4) });
    assert_eq!(rig.ask(), [(2, 2, 4)]);
    rig.tell(Input::Left { peer: 2 });
    rig.tell(Input::Has { peer: 1, id: id(7, 4) });
    assert_eq!(rig.ask(), [(1, 2, 4)]);
}

proptest! {
    /// Peers that have parts, leave things out, go and come: with one that has all and stays, all arrives.
    #[test]
    fn everything_arrives(steps in proptest::collection::vec((0..5_u8, 1..4_u8, 0..60_u64), 0..200)) {
        let mut rig = Rig::new(&[0, 1, 2, 3]);
        rig.want(7, 0..60);
        let mut owed: BTreeMap<u8, Vec<(u64, u64)>> = BTreeMap::new();
        for (what, peer, n) in steps {
            rig.now += Duration::from_millis(10);
            match what {
                0 => drop(rig.tell(Input::Has { peer, id: id(7, n) })),
                1 => {
                    owed.remove(&peer);
                    rig.tell(Input::Left { peer });
                    rig.tell(Input::Joined { peer, pinned: true });
                }
                2 => drop(rig.tell(Input::Arrived { peer, id: id(7, n), bytes: 100 })),
                3 if owed.get(&peer).is_some_and(|ranges| !ranges.is_empty()) => {
                    owed.get_mut(&peer).unwrap().remove(0);
                    rig.tell(Input::Done { peer });
                }
                _ => for (peer, from, to) in rig.ask() {
                    owed.entry(peer).or_default().push((from, to));
                },
            }
        }
        // The others are gone, and one answers everything.
        for peer in 1..4 {
            rig.tell(Input::Left { peer });
        }
        rig.tell(Input::Has { peer: 0, id: id(7, 59) });
        let mut rounds = 0;
        while !rig.state.is_empty() {
            for (peer, from, to) in rig.ask() {
                prop_assert_eq!(peer, 0);
                for n in from..=to {
                    rig.tell(Input::Arrived { peer, id: id(7, n), bytes: 100 });
                }
                rig.tell(Input::Done { peer });
            }
            rounds += 1;
            prop_assert!(rounds < 100, "it stands still");
        }
    }
}
