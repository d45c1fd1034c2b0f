//! What a peer did wrong. Each ends the connection: a fault in one mini-protocol tears down the others.

use link::{Protocol, mux};

use crate::{codec, framing};

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// In the mux.
    #[error("mux: {0}")]
    Mux(#[from] mux::Violation),
    /// A segment took too long to arrive.
    #[error("a segment did not arrive in time")]
    SlowSegment,
    /// Bytes that are not a message: not CBOR, or too long.
    #[error("protocol {protocol}: {error}")]
    Framing {
        /// Where.
        protocol: Protocol,
        /// What.
        error: framing::Error,
    },
    /// CBOR that is not a message of the protocol.
    #[error("protocol {protocol}: {error}")]
    Message {
        /// Where.
        protocol: Protocol,
        /// What.
        error: codec::Error,
    },
    /// A message that its sender may not send in this state.
    #[error("protocol {protocol}: {message} in state {state}")]
    Agency {
        /// Where.
        protocol: Protocol,
        /// In which state.
        state: &'static str,
        /// What was sent.
        message: &'static str,
    },
    /// The peer had agency for too long.
    #[error("protocol {protocol}: no message in time in state {state}")]
    Timeout {
        /// Where.
        protocol: Protocol,
        /// In which state.
        state: &'static str,
    },
    /// More requests than may be unanswered at a time.
    #[error("protocol {protocol}: more than {limit} requests at a time")]
    TooManyRequests {
        /// Where.
        protocol: Protocol,
        /// How many may be unanswered.
        limit: usize,
    },
    /// The answer to a keep-alive that was not asked.
    #[error("keep-alive answered with {got} in place of {sent}")]
    Cookie {
        /// What we sent.
        sent: u16,
        /// What came back.
        got: u16,
    },
    /// A version was accepted that we did not propose, or not as we proposed it.
    #[error("handshake: version {version} accepted, which was not proposed like that")]
    NotProposed {
        /// The version.
        version: u64,
    },
    /// More addresses than were asked for.
    #[error("peer-sharing: {got} addresses in answer to a request for {asked}")]
    TooManyPeers {
        /// How many were asked for.
        asked: u8,
        /// How many came.
        got: usize,
    },
    /// Against the rules of tx-submission's window.
    #[error("tx-submission: {0}")]
    Transactions(#[from] crate::tx_submission::Violation),
}
