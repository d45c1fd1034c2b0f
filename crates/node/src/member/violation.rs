//! What a peer did wrong, and what follows from it: the one place where faults become consequences.

use chain::format::Reason;
use chain::native::certificate;
use chain::{DecodeError, Hash};
use consensus::quorum;
use diffusion::{pieces, relay, routing, sync};
use link::Protocol;

pub use diffusion::sync::Consequence;

/// What a peer did wrong: no correct node of our chain sends this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A header, a block, a certificate or a validator's message that cannot be read.
    #[error("an undecodable message on channel {channel}: {reason}")]
    Undecodable {
        /// On which channel.
        channel: Protocol,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// A message around those that cannot be read.
    #[error("an undecodable message on channel {channel}: {reason}")]
    Garbled {
        /// On which channel.
        channel: Protocol,
        /// What is wrong with it.
        reason: sync::DecodeError,
    },
    /// A message on a channel that has no use between these two.
    #[error("a message on channel {channel}, which is not in use")]
    Channel {
        /// On which channel.
        channel: Protocol,
    },
    /// A greeting that its validator did not sign for us.
    #[error("a greeting that is not its validator's, or not for us")]
    Greeting,
    /// It broke a rule of header sync.
    #[error(transparent)]
    Sync(#[from] sync::Violation),
    /// A header that does not fit to its parent or fails a check.
    #[error("invalid header {id:.16}: {reason}")]
    Header {
        /// Which.
        id: Hash,
        /// What is wrong with it.
        reason: Reason,
    },
    /// A body that is not the one its header names, or breaks another rule of its format.
    #[error("invalid block {id:.16}: {reason}")]
    Body {
        /// Which.
        id: Hash,
        /// What is wrong with it.
        reason: Reason,
    },
    /// The end of a range of bodies that was not asked for.
    #[error("the end of a range that it was not asked for")]
    Unasked,
    /// More ranges asked for at once than are kept in line.
    #[error("more than {max} ranges asked for at once")]
    Ranges {
        /// The bound.
        max: usize,
    },
    /// Finality that its certificate does not show.
    #[error("the certificate of {id:.16} shows nothing: {reason}")]
    Certificate {
        /// Of which block.
        id: Hash,
        /// What is wrong with it.
        reason: certificate::Invalid,
    },
    /// Finality of one block with the certificate of another.
    #[error("the certificate of {id:.16} is another block's")]
    OtherCertificate {
        /// Of which block.
        id: Hash,
    },
    /// A message of a validator that no honest one sends.
    #[error("a message of a validator: {0}")]
    Consensus(quorum::Violation),
    /// It broke a rule of routing.
    #[error(transparent)]
    Routing(#[from] routing::Violation),
    /// It broke a rule of relay.
    #[error(transparent)]
    Relay(#[from] relay::Violation),
    /// It broke a rule about snapshots.
    #[error(transparent)]
    Pieces(#[from] pieces::Violation),
}

impl Violation {
    /// What it costs.
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::Sync(violation) => violation.consequence(),
            Self::Pieces(violation) => violation.consequence(),
            Self::Undecodable { .. }
            | Self::Garbled { .. }
            | Self::Channel { .. }
            | Self::Greeting
            | Self::Unasked
            | Self::Ranges { .. }
            | Self::Consensus(_)
            | Self::Routing(_)
            | Self::Relay(_) => Consequence::Strike,
            Self::Header { .. }
            | Self::Body { .. }
            | Self::Certificate { .. }
            | Self::OtherCertificate { .. } => Consequence::Close,
        }
    }

    /// Its name for operators and machines: it does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Undecodable { .. } => "undecodable",
            Self::Garbled { .. } => "garbled",
            Self::Channel { .. } => "channel",
            Self::Greeting => "greeting",
            Self::Sync(violation) => violation.name(),
            Self::Header { .. } => "header",
            Self::Body { .. } => "body",
            Self::Unasked => "unasked_range",
            Self::Ranges { .. } => "ranges",
            Self::Certificate { .. } => "certificate",
            Self::OtherCertificate { .. } => "other_certificate",
            Self::Consensus(_) => "consensus",
            Self::Routing(violation) => violation.name(),
            Self::Relay(violation) => violation.name(),
            Self::Pieces(violation) => violation.name(),
        }
    }
}
