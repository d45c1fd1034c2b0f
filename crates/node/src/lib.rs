//! The Node: one sans-IO core that routes between the layers.
//!
//! It follows upstreams or makes blocks, decides what readers see, and survives what upstreams and disks do.
//! Whatever costs time or may fail leaves it as an [`Output`] and comes back as an [`Input`].
//!
//! It deliberately does no IO, opens no connection, verifies no signature and reads no clock: a driver does,
//! the simulator's as well as production's.
//!
//! **Invariants** (see [`Node::check_invariants`]): what readers see is durable; the irreversible tip never
//! moves back; an upstream that broke a rule is let go at once and left alone for a while.

mod bodies;
mod bounds;
pub mod config;
mod effect;
mod fetching;
mod follow;
mod headers;
mod invariants;
mod locator;
mod node;
pub mod pool;
pub mod produce;
mod progress;
mod replant;
mod settle;
mod sources;
pub mod status;
mod storing;
mod target;
#[cfg(test)]
mod tests;
pub mod upstream;
mod verifying;
pub mod violation;

pub use chain::format;

pub use config::{Config, Role};
pub use effect::{CLOCK_SKEW, Input, Notice, Output, Record, Ticket, UpstreamId};
pub use node::{Node, Start};
pub use status::Status;
