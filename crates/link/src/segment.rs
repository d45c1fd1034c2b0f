//! Segments: the units of the mux on the wire (`network-mux`'s SDUs).
//!
//! Eight big-endian bytes head each one: `u32` time of sending in µs, one bit for who sends (0: the side that
//! opened the connection), 15 bits of protocol number, `u16` length of the payload that follows.

use std::fmt;

use crate::Time;

/// The length of a segment's header.
pub const HEADER_BYTES: usize = 8;

/// The longest payload that we send: what the reference node sends. (It accepts longer, and so do we.)
pub const MAX_SENT_BYTES: usize = 12_288;

/// The bit that marks a segment from the responder.
const RESPONDER: u16 = 0x8000;

/// The number of a mini-protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Which side of a mini-protocol speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The side that asks.
    Initiator,
    /// The side that answers.
    Responder,
}

impl Mode {
    /// The side at the other end.
    pub fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// What heads a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The low 32 bits of the sender's clock, in µs. Nobody relies on it.
    pub sent_us: u32,
    /// Who sends.
    pub mode: Mode,
    /// To which mini-protocol the payload belongs: below 2^15.
    pub protocol: Protocol,
    /// The length of the payload.
    pub length: u16,
}

impl Header {
    /// The header as bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        debug_assert!(self.protocol.0 < RESPONDER, "a protocol number has 15 bits");
        let bit = match self.mode {
            Mode::Initiator => 0,
            Mode::Responder => RESPONDER,
        };
        let [t0, t1, t2, t3] = self.sent_us.to_be_bytes();
        let [p0, p1] = (self.protocol.0 | bit).to_be_bytes();
        let [l0, l1] = self.length.to_be_bytes();
        [t0, t1, t2, t3, p0, p1, l0, l1]
    }

    /// Reads a header: every eight bytes are one.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [t0, t1, t2, t3, p0, p1, l0, l1] = bytes;
        let number = u16::from_be_bytes([p0, p1]);
        Self {
            sent_us: u32::from_be_bytes([t0, t1, t2, t3]),
            mode: if number & RESPONDER == 0 { Mode::Initiator } else { Mode::Responder },
            protocol: Protocol(number & !RESPONDER),
            length: u16::from_be_bytes([l0, l1]),
        }
    }
}

/// The time of sending as a header states it.
pub fn sent_us(now: Time) -> u32 {
    (now.mono.as_micros() & u128::from(u32::MAX)) as u32
}
