//! The channels of a link between peers, and the lanes that they travel in.
//!
//! A channel carries messages in order. Its lane says who goes first where several have something to send.

use std::time::Duration;

use crate::Protocol;
use crate::message::HEAD_BYTES;

/// How many channels a link may have, control included: twice what there are.
pub const MAX_CHANNELS: usize = 16;

/// What every message costs besides its head and its body, so that empty messages are not free: about what the
/// bookkeeping of a message that waits takes.
pub const OVERHEAD_BYTES: u32 = 64;

/// The longest message of the control channel.
pub const CONTROL_MAX_BYTES: u32 = 64 * 1024;

/// A priority on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Before all else: hello, ping, credit, the reason of a close.
    Control,
    /// Before everything but control.
    Consensus,
    /// Before everything that is bulk.
    Routing,
    /// What is left of the line, shared by deficit round robin.
    Bulk,
}

/// One channel of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Its number in a segment's header.
    pub number: Protocol,
    /// Its name, for operators.
    pub name: &'static str,
    /// Who goes first.
    pub lane: Lane,
    /// Its part of the bulk lane, in relation to the others'. Without meaning in the strict lanes.
    pub share: u8,
    /// The longest message, without its head.
    pub max_message_bytes: u32,
    /// How many bytes the peer may have under way to us, unfinished or not yet taken; see
    /// [`least_window_bytes`].
    pub window_bytes: u32,
    /// How long one message may take from its first byte to its last.
    pub deadline: Duration,
}

/// Hello, ping, credit, the reason of a close. It alone has no credit: the messages are few and bounded.
pub const CONTROL: Protocol = Protocol(0);
/// Votes, proposals, certificates.
pub const CONSENSUS: Protocol = Protocol(1);
/// Routes, and what travels along them.
pub const ROUTING: Protocol = Protocol(2);
/// Hello of the chain, headers, finality: one order for all of it.
pub const SYNC: Protocol = Protocol(3);
/// Offers of transactions, and the transactions.
pub const TRANSACTIONS: Protocol = Protocol(4);
/// Bodies of blocks.
pub const BODIES: Protocol = Protocol(5);
/// Entries of feeds.
pub const FEEDS: Protocol = Protocol(6);
/// Requests that are answered with what they carry: for operators who measure a link.
pub const ECHO: Protocol = Protocol(7);
/// Snapshots of an application's state, in pieces.
pub const SNAPSHOTS: Protocol = Protocol(8);

/// What a message with a body of this length takes of its channel's window.
pub fn cost(body_bytes: u32) -> u64 {
    u64::from(body_bytes) + HEAD_BYTES as u64 + u64::from(OVERHEAD_BYTES)
}

/// The least window of a channel with messages up to this length: what two of the longest take. Credit comes back in
/// lumps of a quarter of the window, and what the application takes may be reported in lumps as well; with that
/// much yet to come, the longest message must still fit.
pub fn least_window_bytes(max_message_bytes: u32) -> u64 {
    2 * cost(max_message_bytes)
}

/// Why a table of channels makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many.
    #[error("more than {} channels besides control", MAX_CHANNELS - 1)]
    TooMany,
    /// Not in ascending order, or control among them.
    #[error("channel {channel} is not in its place: they ascend, and control is not listed")]
    Order {
        /// The channel.
        channel: Protocol,
    },
    /// A window in which the longest message could get stuck.
    #[error(
        "the window of channel {channel} must be at least {least} bytes, twice what its longest message takes"
    )]
    Window {
        /// The channel.
        channel: Protocol,
        /// The least window.
        least: u64,
    },
    /// A bulk channel without a part of the line.
    #[error("the share of channel {channel} must be at least 1")]
    Share {
        /// The channel.
        channel: Protocol,
    },
}

/// Checks a table of channels.
///
/// # Errors
/// When it makes no sense.
pub fn validate(channels: &[Channel]) -> Result<(), Error> {
    if channels.len() >= MAX_CHANNELS {
        return Err(Error::TooMany);
    }
    let mut last = CONTROL;
    for Channel { number, lane, share, max_message_bytes, window_bytes, .. } in channels.iter().copied() {
        if number <= last || number.0 > 0x7fff {
            return Err(Error::Order { channel: number });
        }
        let least = least_window_bytes(max_message_bytes);
        if u64::from(window_bytes) < least {
            return Err(Error::Window { channel: number, least });
        }
        if lane == Lane::Bulk && share == 0 {
            return Err(Error::Share { channel: number });
        }
        last = number;
    }
    Ok(())
}

/// The channels of a node, besides control.
pub fn defaults() -> Vec<Channel> {
    let strict = |number, name, lane| Channel {
        number,
        name,
        lane,
        share: 1,
        max_message_bytes: 1 << 20,
        window_bytes: 4 << 20,
        deadline: Duration::from_secs(30),
    };
    let bulk = |number, name, share, max_message_bytes, window_bytes| Channel {
        number,
        name,
        lane: Lane::Bulk,
        share,
        max_message_bytes,
        window_bytes,
        deadline: Duration::from_secs(60),
    };
    // The numbers are guesses but for bodies: blocks of up to 16 MiB, two of them under way. Shares: headers keep a
    // node in step and are small; of the rest, bodies are what everybody waits for.
    vec![
        strict(CONSENSUS, "consensus", Lane::Consensus),
        strict(ROUTING, "routing", Lane::Routing),
        bulk(SYNC, "sync", 4, 4 << 20, 16 << 20),
        bulk(TRANSACTIONS, "transactions", 1, 1 << 20, 4 << 20),
        bulk(BODIES, "bodies", 4, 16 << 20, 40 << 20),
        bulk(FEEDS, "feeds", 2, 1 << 20, 8 << 20),
        bulk(ECHO, "echo", 1, 64 << 10, 512 << 10),
        bulk(SNAPSHOTS, "snapshots", 1, (1 << 20) + 64, 4 << 20),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_channels_make_sense() {
        assert_eq!(validate(&defaults()), Ok(()));
    }

    #[test]
    fn refuses_tables_that_make_no_sense() {
        let broken = |change: fn(&mut Vec<Channel>)| {
            let mut channels = defaults();
            change(&mut channels);
            validate(&channels).unwrap_err()
        };
        assert_eq!(broken(|table| table.swap(0, 1)), Error::Order { channel: CONSENSUS });
        assert_eq!(broken(|table| table[0].number = CONTROL), Error::Order { channel: CONTROL });
        let least = (2 << 20) + 146;
        let window = Error::Window { channel: CONSENSUS, least };
        assert_eq!(broken(|table| table[0].window_bytes = (2 << 20) + 145), window);
        assert_eq!(broken(|table| table[2].share = 0), Error::Share { channel: SYNC });
        let more = |table: &mut Vec<Channel>| {
            let first = table[0];
            table.extend((9..=16).map(|n| Channel { number: Protocol(n), ..first }));
        };
        assert_eq!(broken(more), Error::TooMany);
    }
}
