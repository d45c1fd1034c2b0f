//! Keep-alive: the initiator asks now and then whether the responder is there.

mod initiator;
mod message;
mod responder;
mod state;
#[cfg(test)]
mod tests;

pub use initiator::Initiator;
pub use message::Message;
pub use responder::Responder;
pub use state::State;
