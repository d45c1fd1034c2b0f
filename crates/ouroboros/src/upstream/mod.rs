//! One server that we follow: handshake, chain-sync, block-fetch, keep-alive, tx-submission and peer-sharing as their
//! initiator, over one connection.
//!
//! The driver feeds what it received, passes on the node's commands, ticks at [`State::next_deadline`], and after
//! each of these sends what [`State::transmit`] has. It does not judge what the server says of its chain: headers and
//! blocks are handed up as they came.
//!
//! **Invariant:** [`Event::Closed`] is the last event; what comes later is ignored.

mod state;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use chain::{Point, Tip};

use crate::handshake::{Outcome, Version};
use crate::{Violation, limits};

pub use state::State;

/// How to speak with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The magic of the network that we follow.
    pub magic: u32,
    /// The versions that we propose, in ascending order.
    pub versions: Vec<Version>,
    /// Whether we would like addresses of other servers.
    pub peer_sharing: bool,
    /// How many RequestNext to leave unanswered at most.
    pub requests_in_flight: NonZeroU32,
    /// How often to ask whether the server is there.
    pub keep_alive: Duration,
}

impl Config {
    /// What the reference node does on this network.
    pub fn new(magic: u32) -> Self {
        Self {
            magic,
            // 16 is experimental.
            versions: vec![Version::V14, Version::V15],
            peer_sharing: false,
            requests_in_flight: NonZeroU32::new(limits::REQUESTS_IN_FLIGHT).expect("not zero"),
            // The reference's interval; its servers wait for 97 s.
            keep_alive: Duration::from_secs(10),
        }
    }
}

/// What happens to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<'a> {
    /// The server sent this.
    Received(&'a [u8]),
    /// The node wants this.
    Command(Command),
    /// The deadline has come.
    Tick,
}

/// What the machine shall do. Commands are for after [`Event::Ready`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask which of these points the server's chain has; answered by `Intersected` or `NotIntersected`, after the
    /// answers to what was demanded before. One at a time.
    Intersect {
        /// Best first; at most [`MAX_POINTS`](crate::chain_sync::MAX_POINTS).
        points: Vec<Point>,
    },
    /// Ask for so many more changes of the chain: each answered by one `Forward` or `Backward`. Small demands on top of
    /// many are put together, and go out when they are a batch or when all before them is answered.
    Demand {
        /// How many.
        n: u32,
    },
    /// Ask for the blocks of a range; answered by `NoBlocks`, or by `BatchStarted`, blocks and `BatchDone`. At most
    /// [`RANGES_IN_FLIGHT`](limits::RANGES_IN_FLIGHT) at a time.
    Fetch {
        /// The first block.
        from: Point,
        /// The last block.
        to: Point,
    },
    /// Ask for addresses of other servers; answered by `Peers`, without any when the server does not share.
    SharePeers {
        /// How many at most.
        n: u8,
    },
    /// Part in peace; answered by `Closed`. What there is to transmit then is the farewell.
    Done,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done.
    Ready {
        /// The version that both speak.
        version: Version,
    },
    /// The server's chain has this point, the first of those listed.
    Intersected {
        /// The point.
        point: Point,
        /// Where the server's chain ends.
        tip: Tip,
    },
    /// The server's chain has none of the points.
    NotIntersected {
        /// Where the server's chain ends.
        tip: Tip,
    },
    /// The server's chain goes on with this header.
    Forward {
        /// The header as it travels.
        wire: Bytes,
        /// Where the server's chain ends.
        tip: Tip,
    },
    /// The server's chain goes on from this point.
    Backward {
        /// The point.
        point: Point,
        /// Where the server's chain ends.
        tip: Tip,
    },
    /// We have all of the server's chain: the next answer comes when the chain changes.
    Waiting,
    /// A range is there.
    BatchStarted,
    /// A block of the range.
    Block {
        /// `[era, block]`, as the server has it.
        raw: Bytes,
    },
    /// That was the last block of the range.
    BatchDone,
    /// The server does not have the range.
    NoBlocks,
    /// The time that a question and its answer took.
    Rtt {
        /// How long.
        rtt: Duration,
    },
    /// Addresses of other servers.
    Peers {
        /// The addresses.
        peers: Vec<SocketAddr>,
    },
    /// The connection is over and must be closed.
    Closed {
        /// Why.
        reason: Reason,
    },
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The handshake ended without a version.
    #[error("the server refused the handshake: {0}")]
    Handshake(Refused),
    /// We wanted it so.
    #[error("we parted")]
    Done,
}

/// How a server refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It speaks none of our versions.
    #[error("it speaks other versions than ours: {versions:?}")]
    Versions {
        /// Those that it speaks.
        versions: Vec<u64>,
    },
    /// It said why.
    #[error("{text:?} (is it a server of this network?)")]
    Text {
        /// In its own words.
        text: String,
    },
    /// It answered a question that was not asked: which versions it speaks.
    #[error("it answered a query in place of a proposal")]
    Query,
}

impl Refused {
    /// Why there is no version, if there is none.
    fn from_outcome(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Accepted { .. } => None,
            Outcome::VersionMismatch { versions } => {
                Some(Self::Versions { versions: versions.iter().map(|version| version.0).collect() })
            }
            Outcome::Refused { text, .. } => Some(Self::Text { text: text.clone() }),
            Outcome::Versions(_) => Some(Self::Query),
        }
    }
}
