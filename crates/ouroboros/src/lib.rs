//! Cardano's node-to-node mini-protocols, both roles, byte-exact, without IO.
//!
//! Each protocol has a folder: its messages (strict codecs of its CDDL), its states (whose turn it is, what may be
//! sent, within which time and size), and a machine for each role. [`framing`] finds the messages in what the mux
//! delivers, [`limits`] has the numbers, and a [`Violation`] of any of it ends the connection.
//!
//! Follows the ouroboros-network specification and the reference's codecs.

#[cfg(test)]
mod arbitrary;
pub mod block_fetch;
pub mod chain_sync;
pub mod codec;
mod conversation;
pub mod framing;
pub mod handshake;
pub mod keep_alive;
pub mod limits;
pub mod peer_sharing;
pub mod server;
pub mod tx_submission;
pub mod upstream;
mod violation;

pub use violation::Violation;
