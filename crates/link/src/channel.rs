//! The channels of a link between peers, and the lanes that they travel in.
//!
//! A channel carries messages in order. Its lane says who goes first where several have something to send.

use std::time::Duration;

use crate::Protocol;

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
    /// How many bytes the peer may have under way to us, unfinished or not yet taken; never less than one
    /// message of the greatest length.
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
