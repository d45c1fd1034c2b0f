//! What a peer did wrong on the routing channel, and what that costs it.

use chain::Hash;

use crate::cbor;
use crate::sync::bodies::Producer;

/// What a peer did wrong: no correct node sends this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes that are no message. Noticed by who decodes them.
    #[error("undecodable routing message: {0}")]
    Malformed(#[from] cbor::Error),
    /// A claim that its producer never signed.
    #[error("a route to {producer:?} that it never signed")]
    ForgedRoute {
        /// Whose claim it pretends to be.
        producer: Producer,
    },
    /// A receipt that its recipient never signed.
    #[error("a receipt of {producer:?} that it never signed")]
    ForgedReceipt {
        /// Whose receipt it pretends to be.
        producer: Producer,
    },
    /// A receipt of somebody to whom the packet was not sent.
    #[error("a receipt for packet {id:?} of one that it was not for")]
    StrangeReceipt {
        /// The packet.
        id: Hash,
    },
    /// A packet that was looked at and found to be bad.
    #[error("packet {id:?} is bad")]
    BadPacket {
        /// The packet.
        id: Hash,
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
            | Self::ForgedRoute { .. }
            | Self::ForgedReceipt { .. }
            | Self::StrangeReceipt { .. }
            | Self::BadPacket { .. } => Consequence::Strike,
        }
    }

    /// Its name for operators and machines: it does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_routing",
            Self::ForgedRoute { .. } => "forged_route",
            Self::ForgedReceipt { .. } => "forged_receipt",
            Self::StrangeReceipt { .. } => "strange_receipt",
            Self::BadPacket { .. } => "bad_packet",
        }
    }
}
