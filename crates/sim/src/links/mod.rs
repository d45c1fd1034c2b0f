//! Links in a deterministic world: the real machines of `link`, joined by lines that delay, break and lie.
//!
//! Each peer is linked with each other. What is simulated is the bearer (latency, bandwidth, cuts at any byte, an
//! end at any byte, silence that nobody is told of, bytes that change on their way), the clock, the application
//! that says and takes messages, and peers that break the rules. After each step the [checkers](Broken) look at
//! what was said and heard, the memory that is held, how links end, and in the end at what is still under way.
//!
//! Not here: pools, dials and tie-breaks, which are the network module's; a pair has one connection at a time.
//!
//! **Invariant:** no other code path than production's: the same `Link`, `Inbound`, `Outbound`, session and budget.

mod check;
mod config;
mod end;
mod forge;
mod hear;
mod host;
mod line;
mod report;
mod talk;
mod world;

#[cfg(test)]
mod tests;

pub use check::Broken;
pub use config::{Behaviour, Config, Sabotage};
pub use report::{Report, run};
