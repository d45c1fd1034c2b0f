//! A node that follows upstream servers: headers and bodies come from what it dials.
//!
//! **Invariants** (see [`Follower::check_invariants`]): what readers see is durable; the irreversible tip never moves
//! back; an upstream that broke a rule is let go at once and left alone for a while.

mod bodies;
mod bounds;
mod fetching;
mod follow;
mod headers;
mod invariants;
mod locator;
mod progress;
mod replant;
mod settle;
mod sources;
mod state;
mod status;
mod storing;
mod target;
#[cfg(test)]
mod tests;
pub mod upstream;
mod verifying;
pub mod violation;

pub use state::Follower;
