//! One named producer: a block each slot, irreversible at once.

use chain::Slot;

/// Decides for the only producer of a chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Solo;

impl Solo {
    /// Whether to make a block in the present slot on a head of that slot: one block a slot, none for slots
    /// that have passed.
    pub fn is_due(&self, now: Slot, head: Option<Slot>) -> bool {
        head.is_none_or(|head| now > head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_one_block_a_slot_and_never_in_the_past() {
        assert!(Solo.is_due(Slot(0), None));
        assert!(!Solo.is_due(Slot(4), Some(Slot(4))));
        assert!(Solo.is_due(Slot(5), Some(Slot(4))));
        assert!(!Solo.is_due(Slot(3), Some(Slot(4))), "the clock went back");
    }
}
