//! What a peer did wrong about snapshots, and what that costs it.

use chain::Height;

use crate::cbor;
use crate::sync::Consequence;

/// What a peer did wrong: no correct node of our chain sends this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message that cannot be read, a piece that is longer than pieces are among them.
    #[error("an undecodable message about snapshots: {0}")]
    Malformed(#[from] cbor::Error),
    /// A piece that was not asked for.
    #[error("a piece that it was not asked for")]
    Unasked,
    /// A piece that is not what its name and the state's root say: cut short, made up, or another.
    #[error("a wrong piece of a snapshot: {reason}")]
    Wrong {
        /// What is wrong with it.
        reason: String,
    },
    /// A piece did not come within its time.
    #[error("a piece of a snapshot that it offers did not come in time")]
    Late,
    /// It offers a state of which a certified header names another root.
    #[error("it offers a state after height {height} that was never there")]
    Offer {
        /// After which height.
        height: Height,
    },
    /// It asks for more than is kept in line.
    #[error("more than {max} pieces asked for at once")]
    Asks {
        /// The bound.
        max: usize,
    },
}

impl Violation {
    /// What it costs.
    pub fn consequence(&self) -> Consequence {
        match self {
            // Lateness may be the line's fault: where it is the peer's, strikes add up.
            Self::Malformed(_) | Self::Unasked | Self::Late | Self::Asks { .. } => Consequence::Strike,
            Self::Wrong { .. } | Self::Offer { .. } => Consequence::Close,
        }
    }

    /// Its name for operators and machines: it does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "snapshot_malformed",
            Self::Unasked => "snapshot_unasked",
            Self::Wrong { .. } => "snapshot_wrong",
            Self::Late => "snapshot_late",
            Self::Offer { .. } => "snapshot_offer",
            Self::Asks { .. } => "snapshot_asks",
        }
    }
}
