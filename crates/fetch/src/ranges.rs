//! A set of numbers as the ranges they form.

use std::collections::BTreeMap;

/// Ranges that neither overlap nor touch: first → last, both included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds the numbers from `from` to `to`, both included.
    pub(crate) fn insert(&mut self, from: u64, to: u64) {
        if from > to {
            return;
        }
        let (mut from, mut to) = (from, to);
        while let Some((first, last)) = self.touching(from, to) {
            self.0.remove(&first);
            (from, to) = (from.min(first), to.max(last));
        }
        self.0.insert(from, to);
    }

    /// Removes the numbers from `from` to `to`, both included.
    pub(crate) fn remove(&mut self, from: u64, to: u64) {
        if from > to {
            return;
        }
        let hit: Vec<(u64, u64)> =
            self.0.range(..=to).rev().take_while(|(_, last)| **last >= from).map(|(a, b)| (*a, *b)).collect();
        for (first, last) in hit {
            self.0.remove(&first);
            if first < from {
                self.0.insert(first, from - 1);
            }
            if last > to {
                self.0.insert(to + 1, last);
            }
        }
    }

    /// Whether the number is in the set.
    pub(crate) fn contains(&self, at: u64) -> bool {
        self.0.range(..=at).next_back().is_some_and(|(_, last)| *last >= at)
    }

    /// The lowest number of the set that is not below `at`.
    pub(crate) fn next_from(&self, at: u64) -> Option<u64> {
        if self.contains(at) {
            return Some(at);
        }
        self.0.range(at..).next().map(|(first, _)| *first)
    }

    /// How many ranges there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A range that overlaps or touches these numbers.
    fn touching(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let (first, last) = self.0.range(..=to.saturating_add(1)).next_back()?;
        (*last >= from.saturating_sub(1)).then_some((*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(ops in prop::collection::vec((any::<bool>(), 0..40u64, 0..10u64), 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (add, from, count) in ops {
                let to = from + count;
                if add {
                    ranges.insert(from, to);
                    set.extend(from..=to);
                } else {
                    ranges.remove(from, to);
                    set.retain(|n| !(from..=to).contains(n));
                }
                for n in 0..60 {
                    prop_assert_eq!(ranges.contains(n), set.contains(&n));
                    prop_assert_eq!(ranges.next_from(n), set.range(n..).next().copied());
                }
                let starts = set.iter().filter(|n| **n == 0 || !set.contains(&(**n - 1))).count();
                prop_assert_eq!(ranges.len(), starts, "no two ranges touch");
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let mut ranges = Ranges::default();
        ranges.insert(0, u64::MAX);
        ranges.remove(5, u64::MAX);
        assert_eq!((ranges.contains(4), ranges.contains(5), ranges.contains(u64::MAX)), (true, false, false));
        ranges.insert(u64::MAX, u64::MAX);
        assert_eq!(ranges.next_from(5), Some(u64::MAX));
    }
}
