//! A deterministic world of many members: nodes that agree on a chain, with real stores on disks that tear, linked
//! over a virtual network, on a virtual clock.
//!
//! Everything follows from a seed, in one thread. After each step the [checkers](Broken) look at what nodes say, store
//! and show, and at their books. What goes wrong is drawn too: crashes between any two outputs, partitions, links that
//! break at any message, slow and failing disks, clocks that differ, applications that sleep, and nodes that lie.
//!
//! **Invariant:** no other code path than production's: the same `Node`, the same `Store`. Who lies is a correct node
//! whose outputs are edited on their way.
//!
//! Simulated are the clock, the disk under the store, the links (`way`: whole messages, by lane and window, as links carry
//! them; the real links have a world of their own in [`links`](crate::links)), and how long signatures take: each is
//! verified by production's code, but once for all nodes ([`Verify`]).

mod app;
mod asking;
mod check;
mod clock;
mod config;
mod disk;
mod drawn;
mod faults;
mod figures;
mod host;
mod liar;
mod memo;
mod net;
mod report;
mod rest;
mod settled;
mod show;
mod speech;
mod topology;
mod trace;
mod way;
mod world;

#[cfg(test)]
mod tests;

pub use check::Broken;
pub use config::{Config, Links, Load, Sabotage, Verify, Windows};
pub use faults::{Faults, KINDS, Kind};
pub use liar::{LIES, Lie};
pub use report::{Happened, Report, Sent, Spread, Transactions, run, run_traced};
pub use topology::Topology;
pub use trace::Sink;
