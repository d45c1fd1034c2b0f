//! Why a link ended, and what the other side is told of it.
//!
//! Every link ends with a [`Reason`]; a [`Code`] is the little of it that travels, in a close message or, before
//! anybody is authenticated, in a refusal. What a peer did wrong is in [`Violation`], and counts towards its strikes
//! or ends the link; only then is it a reason.

use std::io::ErrorKind;

use crate::agreement::Disagreement;
use crate::violation::Violation;

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// We wanted no more of it: dropped by the operator or the application.
    #[error("we dropped it")]
    Dropped,
    /// We are stopping.
    #[error("we are stopping")]
    Stopping,
    /// The hook does not let this key in.
    #[error("the peer is not allowed here")]
    NotAllowed,
    /// The peer is banned.
    #[error("the peer is banned")]
    Banned,
    /// There is no place left for it.
    #[error("no place is left for it")]
    NoPlace,
    /// Another connection with the same peer was kept.
    #[error("another connection with this peer is kept")]
    Duplicate,
    /// It was too slow for what we wanted of it, and others waited.
    #[error("it held everybody up")]
    HeldUp,
    /// The peer was a nuisance a short while ago.
    #[error("the peer is cooling off")]
    CoolingOff,
    /// The peer said that it closes, and why.
    #[error("the peer closed it: {0}")]
    ByPeer(Code),
    /// The peer refused us before anybody was authenticated: a hint, which anybody on the way could have forged.
    #[error("refused before the handshake ended: {0}")]
    Refused(Code),
    /// The bearer ended without a word.
    #[error("the connection ended without a word")]
    Eof,
    /// The bearer could not be made.
    #[error("the dial failed: {0}")]
    DialFailed(ErrorKind),
    /// The bearer took too long to be made.
    #[error("the dial took too long")]
    DialTimeout,
    /// The host has no address.
    #[error("the host has no address")]
    UnknownHost,
    /// Handshake or hello took too long.
    #[error("the handshake took too long")]
    HandshakeTimeout,
    /// Reading failed.
    #[error("reading failed: {0}")]
    ReadFailed(ErrorKind),
    /// Writing failed.
    #[error("writing failed: {0}")]
    WriteFailed(ErrorKind),
    /// The peer took nothing of what we had to send for too long.
    #[error("the peer did not read for too long")]
    WriteStall,
    /// Nothing was heard for too long.
    #[error("nothing was heard for too long")]
    Silent,
    /// A violation after which the two sides do not go on.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The hellos do not fit.
    #[error(transparent)]
    Disagreed(#[from] Disagreement),
    /// All numbers that a session may use are used: it takes 2^64 frames.
    #[error("the session is used up")]
    Exhausted,
}

/// What a side is told when the other one closes or refuses. One byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// No more is wanted.
    Dropped,
    /// It is stopping.
    Stopping,
    /// The key is not let in.
    NotAllowed,
    /// Banned, or cooling off.
    Banned,
    /// No place left.
    Busy,
    /// Another connection is kept.
    Duplicate,
    /// Too many strikes.
    Strikes,
    /// A rule was broken.
    Violation,
    /// Nothing was heard, nothing was read, or something took too long.
    Timeout,
    /// Another network id.
    OtherNetwork,
    /// No version in common.
    OtherVersion,
    /// Another cipher is configured.
    OtherCipher,
    /// Its bearer failed.
    Failed,
    /// One that this version does not know.
    Other(u8),
}

const CODES: [Code; 13] = [
    Code::Dropped,
    Code::OtherVersion,
    Code::OtherNetwork,
    Code::OtherCipher,
    Code::Busy,
    Code::NotAllowed,
    Code::Banned,
    Code::Duplicate,
    Code::Stopping,
    Code::Strikes,
    Code::Violation,
    Code::Timeout,
    Code::Failed,
];

impl Code {
    /// The code of this byte.
    pub fn from_u8(byte: u8) -> Self {
        CODES.get(usize::from(byte)).copied().unwrap_or(Self::Other(byte))
    }

    /// The byte of this code.
    pub fn to_u8(self) -> u8 {
        match self {
            Self::Dropped => 0,
            Self::Stopping => 8,
            Self::NotAllowed => 5,
            Self::Banned => 6,
            Self::Busy => 4,
            Self::Duplicate => 7,
            Self::Strikes => 9,
            Self::Violation => 10,
            Self::Timeout => 11,
            Self::OtherNetwork => 2,
            Self::OtherVersion => 1,
            Self::OtherCipher => 3,
            Self::Failed => 12,
            Self::Other(byte) => byte,
        }
    }

    /// Its name, stable for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Stopping => "stopping",
            Self::NotAllowed => "not_allowed",
            Self::Banned => "banned",
            Self::Busy => "busy",
            Self::Duplicate => "duplicate",
            Self::Strikes => "strikes",
            Self::Violation => "violation",
            Self::Timeout => "timeout",
            Self::OtherNetwork => "other_network",
            Self::OtherVersion => "other_version",
            Self::OtherCipher => "other_cipher",
            Self::Failed => "failed",
            Self::Other(_) => "other",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dropped => "it wants no more of us",
            Self::Stopping => "it is stopping",
            Self::NotAllowed => "we are not allowed there",
            Self::Banned => "we are banned there",
            Self::Busy => "it has no place left",
            Self::Duplicate => "it keeps another connection with us",
            Self::Strikes => "too many of our frames or messages were faulty",
            Self::Violation => "we broke a rule",
            Self::Timeout => "we were too slow",
            Self::OtherNetwork => "it is on another network",
            Self::OtherVersion => "it speaks no version that we speak",
            Self::OtherCipher => "it is configured for another cipher",
            Self::Failed => "its side of the connection failed",
            Self::Other(byte) => return write!(f, "a reason that this version does not know ({byte})"),
        })
    }
}

impl Reason {
    /// Whether it is a fault, ours, the peer's or the network's, rather than a decision.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Dropped
            | Self::Stopping
            | Self::NotAllowed
            | Self::Banned
            | Self::NoPlace
            | Self::Duplicate
            | Self::HeldUp
            | Self::CoolingOff
            | Self::ByPeer(_)
            | Self::Refused(_) => false,
            Self::Eof
            | Self::DialFailed(_)
            | Self::DialTimeout
            | Self::UnknownHost
            | Self::HandshakeTimeout
            | Self::ReadFailed(_)
            | Self::WriteFailed(_)
            | Self::WriteStall
            | Self::Silent
            | Self::Violation(_)
            | Self::Disagreed(_)
            | Self::Exhausted => true,
        }
    }

    /// What the other side is told; nothing where it could not hear it, or said it itself.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Dropped => Some(Code::Dropped),
            Self::Stopping => Some(Code::Stopping),
            Self::NotAllowed => Some(Code::NotAllowed),
            Self::Banned | Self::CoolingOff => Some(Code::Banned),
            Self::NoPlace => Some(Code::Busy),
            Self::Duplicate => Some(Code::Duplicate),
            Self::HandshakeTimeout | Self::WriteStall | Self::Silent | Self::HeldUp => Some(Code::Timeout),
            Self::Violation(violation) => Some(code_of(violation)),
            Self::Disagreed(disagreement) => Some(disagreement.code()),
            Self::ReadFailed(_) | Self::Exhausted => Some(Code::Failed),
            Self::ByPeer(_)
            | Self::Refused(_)
            | Self::Eof
            | Self::DialFailed(_)
            | Self::DialTimeout
            | Self::UnknownHost
            | Self::WriteFailed(_) => None,
        }
    }

    /// Its name, stable for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Stopping => "stopping",
            Self::NotAllowed => "not_allowed",
            Self::Banned => "banned",
            Self::NoPlace => "no_place",
            Self::Duplicate => "duplicate",
            Self::HeldUp => "held_up",
            Self::CoolingOff => "cooling_off",
            Self::ByPeer(_) => "by_peer",
            Self::Refused(_) => "refused",
            Self::Eof => "eof",
            Self::DialFailed(_) => "dial_failed",
            Self::DialTimeout => "dial_timeout",
            Self::UnknownHost => "unknown_host",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::ReadFailed(_) => "read_failed",
            Self::WriteFailed(_) => "write_failed",
            Self::WriteStall => "write_stall",
            Self::Silent => "silent",
            Self::Violation(violation) => violation.name(),
            Self::Disagreed(disagreement) => disagreement.name(),
            Self::Exhausted => "exhausted",
        }
    }
}

/// What a peer is told of what it did.
fn code_of(violation: &Violation) -> Code {
    match violation {
        Violation::Strikes { .. } => Code::Strikes,
        Violation::SlowFrame | Violation::SlowMessage { .. } => Code::Timeout,
        _ => Code::Violation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_code_and_every_code_its_byte() {
        for byte in 0..=u8::MAX {
            assert_eq!(Code::from_u8(byte).to_u8(), byte);
        }
    }
}
