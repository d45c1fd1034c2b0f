//! A deterministic world around the real node, the real wire machines and the real store.
//!
//! One node follows servers over links with latency and little bandwidth, on a disk that loses and tears what
//! was not synced; servers are honest, break, fall silent or lie. Everything follows from a seed, on a
//! virtual clock, in one thread. After each step the [`check`](Broken)ers look at what readers and operators
//! see.
//!
//! **Invariant:** no other code path than production's: the same `Node`, `ouroboros::upstream`,
//! `ouroboros::server` and `Store`. What is simulated is the world alone: clock, links, disk, servers' chains.
//!
//! [`links`] is another world on the same clock: peers joined by the real links.

mod check;
mod config;
mod failure;
mod forge;
mod host;
pub mod links;
pub mod members;
mod pipe;
mod report;
mod schedule;
mod server;
mod storage;
mod trace;
mod wire;
mod world;

#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

pub use check::Broken;
pub use config::{Behaviour, Config, Sabotage};
pub use failure::{Failure, What};
pub use pipe::Link;
pub use report::{Report, run};
