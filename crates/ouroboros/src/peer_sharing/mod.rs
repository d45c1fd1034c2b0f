//! Peer-sharing: the initiator asks for addresses of other nodes.

mod message;
mod state;
#[cfg(test)]
mod tests;

pub use message::{Message, Peer};
pub use state::State;
