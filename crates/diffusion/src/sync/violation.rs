//! What a peer did wrong on the sync channel, and what that costs it.

use chain::Tip;

/// What a peer did wrong: no correct node of our chain sends this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Violation {
    /// A second hello.
    #[error("a second hello")]
    SecondHello,
    /// Something else before the hello.
    #[error("a message before the hello")]
    BeforeHello,
    /// A header at or below the irreversible block that our hello named.
    #[error("header {:.16} at or below the irreversible block of our hello", header.point)]
    HeaderBelow {
        /// Which.
        header: Tip,
    },
    /// A header that follows nothing that either side has sent.
    #[error("header {:.16} follows nothing that we know", header.point)]
    HeaderUnlinked {
        /// Which.
        header: Tip,
    },
    /// Finality of more blocks whose headers never came than are waited for.
    #[error("{:.16} is said to be irreversible, and its header never came", block.point)]
    FinUnknown {
        /// Which.
        block: Tip,
    },
    /// Finality that does not go up.
    #[error("{:.16} is said to be irreversible after a later block was", block.point)]
    FinBack {
        /// Which.
        block: Tip,
    },
    /// An irreversible block beside ours: two histories that can never be one.
    #[error(
        "its irreversible block {:.16} is none of ours, which are irreversible up to {:.16}: one of us is on another \
         chain, or more validators lied than the chain bears; compare both with a node you trust",
        theirs.point, ours.point
    )]
    Conflict {
        /// The peer's.
        theirs: Tip,
        /// Ours.
        ours: Tip,
    },
}

/// What a violation costs the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// A strike: the message is passed over, the connection stays open.
    Strike,
    /// The connection; the peer cools off.
    Close,
    /// The connection, and the operator is told: waiting will not help.
    Alarm,
}

impl Violation {
    /// What it costs.
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::HeaderUnlinked { .. } | Self::FinUnknown { .. } | Self::FinBack { .. } => {
                Consequence::Strike
            }
            Self::SecondHello | Self::BeforeHello | Self::HeaderBelow { .. } => Consequence::Close,
            Self::Conflict { .. } => Consequence::Alarm,
        }
    }

    /// Its name for operators and machines: it does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SecondHello => "second_hello",
            Self::BeforeHello => "before_hello",
            Self::HeaderBelow { .. } => "header_below",
            Self::HeaderUnlinked { .. } => "header_unlinked",
            Self::FinUnknown { .. } => "fin_unknown",
            Self::FinBack { .. } => "fin_back",
            Self::Conflict { .. } => "conflict",
        }
    }
}
