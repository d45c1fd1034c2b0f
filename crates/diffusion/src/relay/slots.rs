//! Sets of connected peers, a bit each: what is known of each item and peer would otherwise cost a key.

/// A set of slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots(Vec<u64>);

/// The slot of a connected peer; free again when it leaves.
pub(super) type Slot = usize;

impl Slots {
    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.0.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Says whether it is new.
    pub(super) fn insert(&mut self, slot: Slot) -> bool {
        if self.0.len() <= slot / 64 {
            self.0.resize(slot / 64 + 1, 0);
        }
        let word = &mut self.0[slot / 64];
        let new = *word >> (slot % 64) & 1 == 0;
        *word |= 1 << (slot % 64);
        new
    }

    /// Says whether it was there.
    pub(super) fn remove(&mut self, slot: Slot) -> bool {
        let was = self.contains(slot);
        if was {
            self.0[slot / 64] &= !(1 << (slot % 64));
        }
        was
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The least that is not in it.
    pub(super) fn first_free(&self) -> Slot {
        let word = self.0.iter().position(|word| *word != u64::MAX).unwrap_or(self.0.len());
        word * 64 + self.0.get(word).map_or(0, |word| word.trailing_ones() as usize)
    }

    pub(super) fn is_within(&self, others: &Self) -> bool {
        let other = |at: usize| others.0.get(at).copied().unwrap_or(0);
        self.0.iter().enumerate().all(|(at, word)| word & !other(at) == 0)
    }
}
