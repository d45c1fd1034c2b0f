//! What validators may do wrong, and how many of them make a quorum then.

use serde::{Deserialize, Serialize};

/// The faults that a chain is to live through. Part of its genesis: it says what a certificate proves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Faults {
    /// Validators may lie: less than a third of the weight. A quorum is more than two thirds.
    #[default]
    Byzantine,
    /// Validators may stop, and never lie: less than half of the weight. A quorum is more than half; its
    /// certificate proves nothing against liars.
    Crash,
}

impl Faults {
    /// Whether this weight out of all is a quorum: no two disagree without a fault too many.
    pub fn is_quorum(self, weight: u64, total: u64) -> bool {
        let (weight, total) = (u128::from(weight), u128::from(total));
        match self {
            Self::Byzantine => weight * 3 > total * 2,
            Self::Crash => weight * 2 > total,
        }
    }

    /// The fault model's name, as the genesis has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Byzantine => "byzantine",
            Self::Crash => "crash",
        }
    }
}
