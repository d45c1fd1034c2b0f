//! What two peers agree on from their hellos: version, network id, channels and their terms.
//!
//! A pure comparison. Each side computes it from both hellos; nothing is negotiated back and forth.
//!
//! **Invariant:** an agreed channel's terms let its longest message through: its window is never smaller than that
//! message's cost, so that waiting for credit always ends.

use std::sync::Arc;

use crate::Protocol;
use crate::channel::{self, Channel};
use crate::control::{self, Hello};
use crate::reason::Code;

/// The versions of the link's messages that we speak, ascending.
pub const VERSIONS: &[u16] = &[1];

/// What both sides can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The highest version in common.
    pub version: u16,
    /// How the peer names its program.
    pub agent: String,
    /// The channels that both have, ascending; control, which every link has, is not among them. Links with the same
    /// ones may share them.
    pub channels: Arc<[AgreedChannel]>,
}

/// One channel that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreedChannel {
    /// Ours: the terms on which we read, and the lane in which we send.
    pub channel: Channel,
    /// The longest message that the peer takes.
    pub peer_max_message_bytes: u32,
    /// How much may be under way to the peer.
    pub peer_window_bytes: u32,
}

/// Why two hellos do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The first message was no hello, or not alone in its segment.
    #[error("the peer's first message is no hello, whole and alone")]
    NotHello,
    /// Something came after the hello before ours can have been read.
    #[error("the peer spoke before its turn")]
    Early,
    /// The hello cannot be read.
    #[error("the peer's hello cannot be read: {0}")]
    Undecodable(#[from] control::Error),
    /// Another network id.
    #[error("the peer says that it is on the network {}", hex::encode(.id))]
    OtherNetwork {
        /// The peer's.
        id: [u8; 32],
    },
    /// No version in common; the peer's highest.
    #[error("no version in common: the peer speaks up to version {highest}")]
    NoVersion {
        /// The peer's highest.
        highest: u16,
    },
    /// Terms on which its own longest message could never be sent.
    #[error("the peer's window for channel {channel} is too small for its longest message")]
    Window {
        /// The channel.
        channel: Protocol,
    },
}

impl Disagreement {
    /// Its name, stable for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotHello => "not_hello",
            Self::Early => "early",
            Self::Undecodable(_) => "bad_hello",
            Self::OtherNetwork { .. } => "other_network",
            Self::NoVersion { .. } => "no_version",
            Self::Window { .. } => "bad_window",
        }
    }

    /// What the peer is told.
    pub fn code(&self) -> Code {
        match self {
            Self::OtherNetwork { .. } => Code::OtherNetwork,
            Self::NoVersion { .. } => Code::OtherVersion,
            Self::NotHello | Self::Early | Self::Undecodable(_) | Self::Window { .. } => Code::Violation,
        }
    }
}

/// Compares our side with the peer's hello.
///
/// # Errors
/// When there is nothing to agree on.
pub fn agree(network_id: &[u8; 32], ours: &[Channel], theirs: &Hello) -> Result<Agreed, Disagreement> {
    if theirs.network_id != *network_id {
        return Err(Disagreement::OtherNetwork { id: theirs.network_id });
    }
    let version = VERSIONS.iter().rev().find(|version| theirs.versions.contains(version)).copied();
    let highest = theirs.versions.last().copied().unwrap_or_default();
    let version = version.ok_or(Disagreement::NoVersion { highest })?;
    let mut channels = Vec::new();
    for terms in &theirs.channels {
        if u64::from(terms.window_bytes) < channel::least_window_bytes(terms.max_message_bytes) {
            return Err(Disagreement::Window { channel: terms.channel });
        }
        if let Some(ours) = ours.iter().find(|ours| ours.number == terms.channel) {
            channels.push(AgreedChannel {
                channel: *ours,
                peer_max_message_bytes: terms.max_message_bytes,
                peer_window_bytes: terms.window_bytes,
            });
        }
    }
    Ok(Agreed { version, agent: theirs.agent.clone(), channels: channels.into() })
}
