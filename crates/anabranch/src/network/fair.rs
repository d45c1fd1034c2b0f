//! What waits for the application: the urgent lanes first, within a lane each peer in turn, and of a peer each channel in
//! turn: the bodies that a node asked for come between the headers that it is flooded with, not after them.
//!
//! It has no bound of its own and needs none: a peer can have no more in it than its windows, and all of them
//! together no more than the byte budget.

use std::collections::{BTreeMap, VecDeque};

use link::Protocol;
use link::channel::Lane;

/// How an item came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) lane: Lane,
    pub(super) channel: Protocol,
}

/// Items of many sources in lanes.
#[derive(Debug)]
pub(super) struct Fair<T> {
    lanes: [Turns<u64, Turns<Protocol, VecDeque<T>>>; 4],
    length: usize,
}

#[derive(Debug)]
struct Turns<K, V> {
    /// Those who have something, each once, in the order of their turns.
    turns: VecDeque<K>,
    items: BTreeMap<K, V>,
}

impl<K, V> Default for Turns<K, V> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), items: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, V: Default> Turns<K, V> {
    /// What this one has; it has its turn last if it had nothing.
    fn of(&mut self, key: K) -> &mut V {
        self.items.entry(key).or_insert_with(|| {
            self.turns.push_back(key);
            V::default()
        })
    }

    /// Takes something of the one whose turn it is, who is told to be empty or not by then.
    fn next<T>(
        &mut self,
        take: impl FnOnce(&mut V) -> Option<T>,
        is_empty: impl FnOnce(&V) -> bool,
    ) -> Option<T> {
        let key = self.turns.pop_front()?;
        let all = self.items.get_mut(&key)?;
        let item = take(all);
        if is_empty(all) {
            self.items.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        item
    }
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { lanes: Default::default(), length: 0 }
    }
}

impl<T> Fair<T> {
    /// Puts an item behind those of its channel and source.
    pub(super) fn push(&mut self, way: Way, source: u64, item: T) {
        self.lanes[rank(way.lane)].of(source).of(way.channel).push_back(item);
        self.length += 1;
    }

    /// Takes the next item.
    pub(super) fn pop(&mut self) -> Option<T> {
        let lane = self.lanes.iter_mut().find(|lane| !lane.turns.is_empty())?;
        let item = lane.next(
            |channels| channels.next(VecDeque::pop_front, VecDeque::is_empty),
            |channels| channels.turns.is_empty(),
        );
        self.length -= 1;
        item
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let mut length = 0;
        for lane in &self.lanes {
            lane.check_invariants();
            for channels in lane.items.values() {
                channels.check_invariants();
                assert!(!channels.turns.is_empty(), "nothing is held for who has nothing");
                assert!(channels.items.values().all(|items| !items.is_empty()), "nor for a channel without");
                length += channels.items.values().map(VecDeque::len).sum::<usize>();
            }
        }
        assert_eq!(length, self.length);
    }
}

#[cfg(test)]
impl<K: Copy + Ord, V> Turns<K, V> {
    fn check_invariants(&self) {
        let mut turns: Vec<K> = self.turns.iter().copied().collect();
        turns.sort_unstable();
        assert!(turns.iter().eq(self.items.keys()), "who has something has exactly one turn");
    }
}

fn rank(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Consensus => 1,
        Lane::Routing => 2,
        Lane::Bulk => 3,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn way(lane: Lane, channel: u16) -> Way {
        Way { lane, channel: Protocol(channel) }
    }

    #[test]
    fn urgent_lanes_come_first_and_a_flood_waits_its_turn() {
        let mut fair = Fair::default();
        for number in 0..5 {
            fair.push(way(Lane::Bulk, 7), 1, (1, number));
        }
        fair.push(way(Lane::Bulk, 7), 2, (2, 0));
        fair.push(way(Lane::Consensus, 5), 3, (3, 0));
        fair.push(way(Lane::Routing, 6), 1, (1, 9));
        let order: Vec<_> = std::iter::from_fn(|| fair.pop()).collect();
        assert_eq!(order, [(3, 0), (1, 9), (1, 0), (2, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
    }

    #[test]
    fn a_flood_on_one_channel_does_not_hold_up_another_of_the_same_peer() {
        let mut fair = Fair::default();
        (0..4).for_each(|number| fair.push(way(Lane::Bulk, 7), 1, ("header", number)));
        (0..2).for_each(|number| fair.push(way(Lane::Bulk, 8), 1, ("body", number)));
        fair.push(way(Lane::Bulk, 7), 2, ("other", 0));
        let order: Vec<_> = std::iter::from_fn(|| fair.pop()).collect();
        let expected = [
            ("header", 0),
            ("other", 0),
            ("body", 0),
            ("header", 1),
            ("body", 1),
            ("header", 2),
            ("header", 3),
        ];
        assert_eq!(order, expected, "a peer with two channels has no more turns than one with one");
    }

    proptest! {
        #[test]
        fn each_source_gets_its_items_in_order_and_once(
            steps in prop::collection::vec((any::<bool>(), 0u8..3, 0u16..3, 0u64..4), 1..200),
        ) {
            let (mut fair, mut sent, mut got) = (Fair::default(), Vec::new(), Vec::new());
            for (number, (push, lane, channel, source)) in steps.into_iter().enumerate() {
                let way = way([Lane::Consensus, Lane::Routing, Lane::Bulk][usize::from(lane)], channel);
                if push {
                    fair.push(way, source, (way, source, number));
                    sent.push((way, source, number));
                } else {
                    got.extend(fair.pop());
                }
                fair.check_invariants();
            }
            got.extend(std::iter::from_fn(|| fair.pop()));
            prop_assert_eq!(fair.len(), 0);
            // Stable: the order within channel and source stays.
            sent.sort_by_key(|(way, source, _)| (*way, *source));
            got.sort_by_key(|(way, source, _)| (*way, *source));
            prop_assert_eq!(sent, got);
        }
    }
}
