//! Why something cannot be done.

use std::time::Duration;

use link::outbound::Why;
use link::{PeerId, channel};

use super::config::Invalid;
use super::pool::TooMany;

/// Why a network does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its settings contradict each other.
    #[error(transparent)]
    Config(#[from] Invalid),
    /// Its channels cannot be used.
    #[error(transparent)]
    Channels(#[from] channel::Error),
    /// A listener cannot be handed to the runtime.
    #[error("cannot listen for peers: {0}")]
    Listen(#[from] std::io::Error),
}

/// Why a peer cannot be added, pinned or banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It is this node.
    #[error("this key is this node's own: give the key of the other node")]
    Ourselves,
    /// There is room for no more.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection with this peer is open.
    #[error("no connection with {peer} is open")]
    NotConnected {
        /// The peer.
        peer: PeerId,
    },
    /// There is no room now.
    #[error("too much waits to be sent to this peer on this channel")]
    Full,
    /// Longer than the peer takes.
    #[error("the message has {length} bytes, the peer takes {limit} on this channel")]
    TooLong {
        /// Its length.
        length: usize,
        /// The peer's limit.
        limit: u32,
    },
    /// The peer does not have this channel.
    #[error("the peer does not have this channel")]
    NoChannel,
    /// The connection is at its end.
    #[error("the connection is at its end")]
    Ending,
}

/// Why a question was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was not even sent.
    #[error(transparent)]
    Unsent(#[from] SendError),
    /// The peer owes as many answers as it may.
    #[error("the peer owes as many answers as it may")]
    TooMany,
    /// There was no answer in time.
    #[error("no answer within {after:?}")]
    Late {
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before there was an answer.
    #[error("the connection ended before there was an answer")]
    Ended,
}

impl From<Why> for SendError {
    fn from(why: Why) -> Self {
        match why {
            Why::Full { .. } => Self::Full,
            Why::TooLong { length, limit, .. } => Self::TooLong { length, limit },
            Why::NoChannel { .. } => Self::NoChannel,
            Why::Ending => Self::Ending,
        }
    }
}
