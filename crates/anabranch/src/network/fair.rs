//! What waits for the application: the urgent lanes first, and within a lane each peer in turn.
//!
//! It has no bound of its own and needs none: a peer can have no more in it than its windows, and all of them
//! together no more than the byte budget.

use std::collections::{BTreeMap, VecDeque};

use link::channel::Lane;

/// Items of many sources in lanes.
#[derive(Debug)]
pub(super) struct Fair<T> {
    lanes: [Turns<T>; 4],
    length: usize,
}

#[derive(Debug)]
struct Turns<T> {
    /// Those who have something, each once, in the order of their turns.
    turns: VecDeque<u64>,
    items: BTreeMap<u64, VecDeque<T>>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        let lane = || Turns { turns: VecDeque::new(), items: BTreeMap::new() };
        Self { lanes: [lane(), lane(), lane(), lane()], length: 0 }
    }
}

impl<T> Fair<T> {
    /// Puts an item behind those of its lane and source.
    pub(super) fn push(&mut self, lane: Lane, source: u64, item: T) {
        let lane = &mut self.lanes[rank(lane)];
        let items = lane.items.entry(source).or_default();
        if items.is_empty() {
            lane.turns.push_back(source);
        }
        items.push_back(item);
        self.length += 1;
    }

    /// Takes the next item.
    pub(super) fn pop(&mut self) -> Option<T> {
        let lane = self.lanes.iter_mut().find(|lane| !lane.turns.is_empty())?;
        let source = lane.turns.pop_front()?;
        let items = lane.items.get_mut(&source)?;
        let item = items.pop_front();
        if items.is_empty() {
            lane.items.remove(&source);
        } else {
            lane.turns.push_back(source);
        }
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
            let mut turns: Vec<u64> = lane.turns.iter().copied().collect();
            turns.sort_unstable();
            assert!(turns.iter().eq(lane.items.keys()), "who has something has exactly one turn");
            assert!(
                lane.items.values().all(|items| !items.is_empty()),
                "nothing is held for who has nothing"
            );
            length += lane.items.values().map(VecDeque::len).sum::<usize>();
        }
        assert_eq!(length, self.length);
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

    #[test]
    fn urgent_lanes_come_first_and_a_flood_waits_its_turn() {
        let mut fair = Fair::default();
        for number in 0..5 {
            fair.push(Lane::Bulk, 1, (1, number));
        }
        fair.push(Lane::Bulk, 2, (2, 0));
        fair.push(Lane::Consensus, 3, (3, 0));
        fair.push(Lane::Routing, 1, (1, 9));
        let order: Vec<_> = std::iter::from_fn(|| fair.pop()).collect();
        assert_eq!(order, [(3, 0), (1, 9), (1, 0), (2, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
    }

    proptest! {
        #[test]
        fn each_source_gets_its_items_in_order_and_once(
            steps in prop::collection::vec((any::<bool>(), 0u8..3, 0u64..4), 1..200),
        ) {
            let (mut fair, mut sent, mut got) = (Fair::default(), Vec::new(), Vec::new());
            for (number, (push, lane, source)) in steps.into_iter().enumerate() {
                let lane = [Lane::Consensus, Lane::Routing, Lane::Bulk][usize::from(lane)];
                if push {
                    fair.push(lane, source, (lane, source, number));
                    sent.push((lane, source, number));
                } else {
                    got.extend(fair.pop());
                }
                fair.check_invariants();
            }
            got.extend(std::iter::from_fn(|| fair.pop()));
            prop_assert_eq!(fair.len(), 0);
            // Stable: the order within lane and source stays.
            sent.sort_by_key(|(lane, source, _)| (*lane, *source));
            got.sort_by_key(|(lane, source, _)| (*lane, *source));
            prop_assert_eq!(sent, got);
        }
    }
}
