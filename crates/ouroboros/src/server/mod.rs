//! One downstream client: the mux, the handshake and the five responders, as one machine.
//!
//! Bytes go in through [`Client::handle`]; what is to be sent is pulled out of the machine by
//! [`Client::transmit`], straight into the buffer that goes to the socket, when there is room in it. Nothing
//! queues inside: requests are a counter, ranges a short queue, and the rest is derived from the view at hand.
//! What only the log, the inbox or the address book can say is an [`Output`] that comes back as an [`Input`].
//!
//! A fault in one protocol ends the connection ([`Output::Closed`]), and nothing else.
//!
//! **Invariant:** an idle client holds no buffer; a client that does not read holds at most what its ingress
//! limits allow and what was read ahead for it ([`Client::read_ahead_bytes`]), which it lets go at any time.

mod client;
mod ingress;
mod status;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chain::{Chunk, Cursor, Point, Position};
use link::Protocol;
use link::mux::Limit;

pub use client::Client;
pub use status::Status;

use crate::handshake::{Version, VersionData};
use crate::limits::{BLOCK_FETCH, CHAIN_SYNC, KEEP_ALIVE, PEER_SHARING, SMALL_BYTES, TX_SUBMISSION};
use crate::tx_submission::Announced;
use crate::{Violation, handshake};

/// The ingress limit of block-fetch on this side. The reference's 23 MB is made for blocks; what comes here is
/// requests of 80 B, of which its clients pipeline 100. Two of the largest messages allowed.
const BLOCK_FETCH_INGRESS_BYTES: u32 = 2 * SMALL_BYTES as u32;

/// The protocols that a client may use.
const LIMITS: &[Limit] = &[
    Limit { protocol: KEEP_ALIVE, ingress_bytes: 1_408 },
    Limit { protocol: CHAIN_SYNC, ingress_bytes: 462_000 },
    Limit { protocol: BLOCK_FETCH, ingress_bytes: BLOCK_FETCH_INGRESS_BYTES },
    Limit { protocol: TX_SUBMISSION, ingress_bytes: 721_424 },
    Limit { protocol: PEER_SHARING, ingress_bytes: 5_760 },
];

/// The same where peer-sharing was not agreed on: the protocol does not run.
const LIMITS_WITHOUT_SHARING: &[Limit] = LIMITS.split_at(4).0;

/// The protocols of a client that asked for no blocks, addresses or transactions: the others are silent.
const LIMITS_OF_FOLLOWERS: &[Limit] = LIMITS.split_at(2).0;

/// What all clients of a server have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Versions and network.
    pub offer: handshake::Offer,
}

/// What a client's driver tells the machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes from the socket, in any cut.
    Received(&'a [u8]),
    /// The time may have passed [`Client::next_deadline`].
    Tick,
    /// Take no more requests; answer those that were taken.
    Drain,
    /// To [`Output::FirstInLog`]: the cursor at the first of the points that is in the log.
    FirstInLog(Option<Cursor>),
    /// To [`Output::Chunk`].
    Chunk(Arc<Chunk>),
    /// To [`Output::Check`]: whether that block is there.
    Checked(bool),
    /// To [`Output::Range`]: where the two points are in the log.
    Range(Option<Position>, Option<Position>),
    /// To [`Output::Blocks`]: the first position, and the blocks from there on; at least one.
    Blocks(Position, Vec<Bytes>),
    /// To [`Output::Peers`].
    Peers(Vec<SocketAddr>),
    /// To [`Output::InboxRoom`]: there is room now.
    InboxRoom,
    /// To [`Output::Offered`]: which are wanted, in their order.
    Wanted(Vec<bool>),
    /// The log could not answer a question.
    LogFailed,
}

/// What the machine wants of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The handshake is over.
    Opened {
        /// The version that both sides speak.
        version: Version,
        /// What they agreed on.
        data: VersionData,
    },
    /// Which of these points is the first that is in the log?
    FirstInLog(Vec<Point>),
    /// The chunk of headers around this position of the log, please.
    Chunk(Position),
    /// Is the block at this position of the log the one at this point?
    Check(Position, Point),
    /// Where are these two points in the log?
    Range(Point, Point),
    /// Blocks of the log from the first position on, not beyond the second: as many as suit.
    Blocks(Position, Position),
    /// So many addresses of other nodes, please.
    Peers(u8),
    /// Say when there is room for transactions.
    InboxRoom,
    /// Which of these transactions are wanted?
    Offered(Vec<Announced>),
    /// These transactions came, with their ids where they are known.
    Transactions(Vec<(Option<Bytes>, Bytes)>),
    /// The connection is to be closed, once what was transmitted before is sent. Nothing comes after it.
    Closed(Reason),
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The client broke the protocols' rules.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// No version in common.
    #[error("no version in common")]
    Mismatch,
    /// The data of the version to be chosen make no sense.
    #[error("the data that the client proposed for version {version} make no sense")]
    Malformed {
        /// The version.
        version: Version,
    },
    /// The client is of another network.
    #[error("the client is of the network with magic {magic}")]
    OtherNetwork {
        /// The magic that it stated.
        magic: u32,
    },
    /// The client only wanted to know our versions.
    #[error("the client asked for our versions, and got them")]
    Queried,
    /// The client stands on a block that nobody knows any more: it must find an intersection again.
    #[error("the client stands on a block that is no longer known")]
    Lost,
    /// The chain changed under a range of blocks, and the rest of it is no longer known.
    #[error("a range of blocks left the chain while it was sent")]
    LeftChain,
    /// The log could not be read.
    #[error("the log could not be read")]
    LogFailed,
}

impl Reason {
    /// Whether the client broke a rule.
    pub fn is_violation(&self) -> bool {
        match self {
            Self::Violation(_) | Self::Malformed { .. } => true,
            Self::Mismatch
            | Self::OtherNetwork { .. }
            | Self::Queried
            | Self::Lost
            | Self::LeftChain
            | Self::LogFailed => false,
        }
    }
}

/// The place of a protocol's ingress among a client's.
fn slot(protocol: Protocol) -> usize {
    // The handshake is over before any of the others begins.
    LIMITS.iter().position(|limit| limit.protocol == protocol).unwrap_or(0)
}
