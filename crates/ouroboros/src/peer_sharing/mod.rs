//! Peer-sharing: the initiator asks for addresses of other nodes.

mod initiator;
mod message;
mod state;
#[cfg(test)]
mod tests;

pub use initiator::Initiator;
pub use message::{Message, Peer};
pub use state::State;
