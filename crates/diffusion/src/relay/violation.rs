//! What a peer did wrong on the relay channel, and what that costs it.

use super::Name;
use crate::cbor;

/// What a peer did wrong: no correct node sends this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes that are no message. Noticed by who decodes them.
    #[error("undecodable relay message: {0}")]
    Malformed(#[from] cbor::Error),
    /// More offers than it was granted.
    #[error("offers beyond those that were granted")]
    UngrantedOffers,
    /// More grants than anybody needs.
    #[error("more offers granted than {} at once", super::MAX_MORE)]
    TooMuchGranted,
    /// More wants than may be without an answer.
    #[error("more than {} items wanted at once", super::MAX_WANTED)]
    TooManyWants,
    /// An item that it was not asked for, or whose question it answered before.
    #[error("item {:?} was not asked for", name.id)]
    UnaskedItem {
        /// What it sent.
        name: Name,
    },
    /// A refusal of what it was not asked for.
    #[error("a refusal of {:?}, which was not asked for", name.id)]
    UnaskedRefusal {
        /// What it refused.
        name: Name,
    },
    /// An item that has another size than the one it was offered with.
    #[error("item {:?} has {found} bytes and was offered with {declared}", name.id)]
    WrongSize {
        /// The item.
        name: Name,
        /// The size in the offer.
        declared: u32,
        /// Its size.
        found: usize,
    },
    /// Too many items in too short a time that the application calls wrong. One alone is no offence: whoever passed it
    /// on may have judged it in another state.
    #[error("too many wrong items, {:?} the last of them", name.id)]
    WrongItems {
        /// The last.
        name: Name,
    },
}

/// What a violation costs the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// A strike: the message is passed over, the connection stays open.
    Strike,
}

impl Violation {
    /// What it costs.
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::Malformed(_)
            | Self::UngrantedOffers
            | Self::TooMuchGranted
            | Self::TooManyWants
            | Self::UnaskedItem { .. }
            | Self::UnaskedRefusal { .. }
            | Self::WrongSize { .. }
            | Self::WrongItems { .. } => Consequence::Strike,
        }
    }

    /// Its name for operators and machines: it does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_relay",
            Self::UngrantedOffers => "ungranted_offers",
            Self::TooMuchGranted => "too_much_granted",
            Self::TooManyWants => "too_many_wants",
            Self::UnaskedItem { .. } => "unasked_item",
            Self::UnaskedRefusal { .. } => "unasked_refusal",
            Self::WrongSize { .. } => "wrong_size",
            Self::WrongItems { .. } => "wrong_items",
        }
    }
}
