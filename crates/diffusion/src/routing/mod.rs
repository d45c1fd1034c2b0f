//! Routing: messages between producers that share no connection (DESIGN.md, "Transport"; spec/consensus.md,
//! "Routing").
//!
//! Each producer signs that it can be reached, with a sequence number that only grows. Neighbours tell each other how
//! far away each producer is, and each node uses the best offer that Babel's feasibility condition (RFC 8966) allows:
//! next hops never form a loop, whatever liars say. How far away a producer is nobody can prove. So recipients confirm
//! what they get with a signature that goes back the way the packet came; every node on that way sees whether its next
//! hop delivers, and leaves one that does not. Where there is no route, a packet goes over every connection: it may
//! reach more than those it is for.
//!
//! A packet is looked at by whoever the node names before it is passed on, once; it is delivered once. It says nothing
//! about who sent it that could be trusted: what it carries must prove itself.
//!
//! It deliberately does not split large messages, keep an order between packets, or keep anything on disk.
//!
//! **Invariants**: along the chosen next hops of correct nodes bounds fall strictly (no loops, at any time). Nothing
//! is told that is better than the own bound. A packet is delivered once while it is remembered, and taken by nobody
//! once its window is over. Every list is bounded.

mod claim;
mod config;
mod destination;
mod effect;
mod message;
mod neighbour;
mod origin;
mod parcels;
mod receipts;
mod routes;
mod seen;
mod sends;
mod state;
mod violation;
mod watch;

#[cfg(test)]
mod tests;

pub use claim::{Claim, Signature};
pub use config::Config;
pub use effect::{Counts, Input, Output, Refusal, Status, Ticket, Time, To, Verdict};
pub use message::{
    How, MAX_ATTEMPTS, MAX_BODY_BYTES, MAX_HOPS, MAX_METRIC, MAX_RECIPIENTS, MAX_ROUTES, Message, Packet,
    Places, Route,
};
pub use state::State;
pub use violation::{Consequence, Violation};

pub use crate::cbor::Error as DecodeError;
