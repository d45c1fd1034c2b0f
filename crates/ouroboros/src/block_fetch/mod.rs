//! Block-fetch: the initiator asks for ranges of blocks, and gets them as they are stored.

mod ahead;
mod initiator;
mod message;
mod responder;
mod state;
#[cfg(test)]
mod tests;

pub use initiator::Initiator;
pub use message::{Message, put_block_head};
pub use responder::{Ask, Responder};
pub use state::State;
