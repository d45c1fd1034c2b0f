//! Keep-alive: the initiator asks now and then whether the responder is there.

mod message;
mod state;
#[cfg(test)]
mod tests;

pub use message::Message;
pub use state::State;
