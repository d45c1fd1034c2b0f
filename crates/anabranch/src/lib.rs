//! The front door of the library: what an application embeds.
//!
//! It puts sockets, files and clocks under the machines: [`runtime`] runs a whole node with its store, its
//! engine, its server for clients ([`downstream`]) and its admin API; [`follow`] looks at any server.
//!
//! It holds no protocol logic: what to say to whom is decided in the crates below, which it hands out again so
//! that an embedder needs this one alone.

mod admin;
pub mod clock;
pub mod config;
pub mod connection;
pub mod devnet;
pub mod downstream;
mod engine;
pub mod follow;
pub mod network;
pub mod runtime;
pub mod status;

pub use {chain, link, node, ouroboros, store};
