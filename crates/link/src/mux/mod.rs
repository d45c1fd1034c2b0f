//! Many mini-protocols, or channels, over one connection.
//!
//! [`Demux`] cuts what arrives into parts of segments and hands them on without copying or keeping them;
//! [`Mux`] asks each protocol for one segment, in turn or as [`Lanes`] say. Neither queues anything: what a protocol has not
//! dealt with yet stays with the protocol, and [`Demux`] only counts it against that protocol's limit.
//!
//! What a fault (see [`Violation`]) costs is a setting, the [`Policy`]: Cardano's network wants the connection
//! closed, peers of ours lose the segment alone.
//!
//! **Invariant:** a connection on which nothing is under way holds no buffer.

mod demux;
mod egress;
mod lanes;
#[cfg(test)]
mod tests;

pub use demux::{Demux, MAX_LIMITS, Part, Policy, Violation, whole};
pub use egress::{Mux, Outbox, Segments};
pub use lanes::Lanes;

use crate::Protocol;

/// How much may wait for one mini-protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its number.
    pub protocol: Protocol,
    /// How many bytes may have arrived for it without having been dealt with.
    pub ingress_bytes: u32,
}
