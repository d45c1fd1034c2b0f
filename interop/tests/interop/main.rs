//! The program `anabranch` and `pallas-network`, a node-to-node library that we did not write, over all real blocks:
//! their client on our server, our clients on their server, and our node on ours. What is compared with is read from
//! the chunk files by this crate alone.
//!
//! Beside them, four of our own on four machines (network namespaces) while the network between them parts and heals.
//!
//! The program is started as a process: `cargo build --release -p anabranch-cli` first. Where it or the real blocks
//! are missing, a test says SKIPPED.

mod machines;
mod ours;
mod pallas;
mod partition;
mod program;
mod real;
