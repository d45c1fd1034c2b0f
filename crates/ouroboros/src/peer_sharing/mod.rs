//! Peer-sharing: the initiator asks for addresses of other nodes.

mod initiator;
mod message;
mod responder;
mod state;
#[cfg(test)]
mod tests;

pub use initiator::Initiator;
pub use message::{Message, Peer};
pub use responder::Responder;
pub use state::State;
