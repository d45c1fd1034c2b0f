//! Chain-sync: the initiator follows the responder's chain, header by header.

mod initiator;
mod message;
mod responder;
mod state;
#[cfg(test)]
mod tests;

pub use initiator::{Initiator, MAX_POINTS};
pub use message::{Message, put_roll_forward};
pub use responder::{Ask, Responder};
pub use state::State;
