//! The server for clients: thousands of followers from one small process.
//!
//! A supervisor owns it all. Accepting is a task of its own that hands connections over through a bounded
//! queue; the supervisor admits them, or not, before a byte is read ([`Config`] has the caps); each admitted
//! client is one task around one machine ([`ouroboros::server::Client`]), handshake included. A herald wakes the
//! clients that wait at the tip when a view is published, and a sweep looks after deadlines once a second.
//!
//! It decides nothing about the protocols, and holds no blocks: what it sends comes out of the view or the
//! log, into buffers that the threads share among their clients.
//!
//! **Invariant:** nothing that one client does or leaves undone makes another wait: no lock is held across a
//! wait, no queue is shared, no client's task takes long turns.

mod accept;
mod admit;
mod clock;
mod config;
mod connection;
mod inbox;
mod jobs;
mod loads;
mod place;
mod scratch;
mod server;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use inbox::{Inbox, Tx};
pub use place::{Departed, Ended, Listed, Totals};
pub use server::{Handle, Server};
