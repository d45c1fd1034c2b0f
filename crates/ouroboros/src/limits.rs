//! The limits of every state and protocol, from the network specification (chapter 3, "time and size limits") and
//! `ouroboros-network`'s sources; where the two differ, the sources' number.
//!
//! A time limit binds the side that has agency in the state; a size limit, the messages that it may send there.

use std::time::Duration;

use link::Protocol;
use link::mux::Limit;

/// Which protocols both sides speak, and what they know of each other.
pub const HANDSHAKE: Protocol = Protocol(0);
/// Headers.
pub const CHAIN_SYNC: Protocol = Protocol(2);
/// Blocks.
pub const BLOCK_FETCH: Protocol = Protocol(3);
/// Transactions, from the side that opened the connection to the other.
pub const TX_SUBMISSION: Protocol = Protocol(4);
/// Whether the other side is there, and how far away.
pub const KEEP_ALIVE: Protocol = Protocol(8);
/// Addresses of other nodes.
pub const PEER_SHARING: Protocol = Protocol(10);

/// A message in the states in which messages are small.
pub const SMALL_BYTES: usize = 65_535;
/// A message in the states in which blocks or transactions are carried.
pub const LARGE_BYTES: usize = 2_500_000;
/// A message that must fit the first window of a TCP connection: four segments of 1,440 B.
pub const WINDOW_BYTES: usize = 5_760;

/// How long a segment may take to arrive, from its first byte to its last, during the handshake.
pub const HANDSHAKE_SEGMENT: Duration = Duration::from_secs(10);
/// How long a segment may take to arrive afterwards.
pub const SEGMENT: Duration = Duration::from_secs(30);

/// The reference's short wait.
pub(crate) const SHORT: Wait = Wait::Fixed(Duration::from_secs(10));
/// The reference's long wait.
pub(crate) const LONG: Wait = Wait::Fixed(Duration::from_secs(60));

/// How many RequestNext a reference client leaves unanswered at most.
pub const REQUESTS_IN_FLIGHT: u32 = 300;
/// How many block ranges a reference client leaves unanswered at most.
pub const RANGES_IN_FLIGHT: usize = 100;
/// How many transaction ids may be unacknowledged.
pub const UNACKNOWLEDGED_IDS: u16 = 10;

/// The protocols before the connection is agreed on. No number is given for the handshake's queue: one segment
/// must hold it.
pub const HANDSHAKE_LIMITS: &[Limit] = &[Limit { protocol: HANDSHAKE, ingress_bytes: 65_535 }];

/// The protocols of an agreed connection. Each number is the reference's, its safety margin of 10 % included.
pub const LIMITS: &[Limit] = &[
    // 300 headers of 1,400 B.
    Limit { protocol: CHAIN_SYNC, ingress_bytes: 462_000 },
    // Ten blocks of 2 MiB.
    Limit { protocol: BLOCK_FETCH, ingress_bytes: 23_068_694 },
    // Ten transactions of 64 KiB with their ids.
    Limit { protocol: TX_SUBMISSION, ingress_bytes: 721_424 },
    Limit { protocol: KEEP_ALIVE, ingress_bytes: 1_408 },
    Limit { protocol: PEER_SHARING, ingress_bytes: 5_760 },
];

/// What one state of a protocol allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the side with agency may take.
    pub time: Wait,
    /// How long its message may be.
    pub bytes: usize,
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As long as it takes.
    Forever,
    /// So long.
    Fixed(Duration),
    /// A time drawn afresh for each wait, so that not all give up at once.
    Between(Duration, Duration),
}

impl Wait {
    /// The wait, drawn where it is random. `draw` returns a number from 0 up to, not including, its argument.
    pub fn choose(self, draw: impl FnOnce(u64) -> u64) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Fixed(time) => Some(time),
            Self::Between(least, most) => {
                let span_ms = (most - least).as_millis() as u64;
                Some(least + Duration::from_millis(draw(span_ms + 1)))
            }
        }
    }
}
