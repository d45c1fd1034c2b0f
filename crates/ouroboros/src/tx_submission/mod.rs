//! Tx-submission 2: the responder pulls transactions from the initiator, ids first.

mod initiator;
mod message;
mod responder;
mod state;
#[cfg(test)]
mod tests;

pub use initiator::{Initiator, MAX_OFFERED_BYTES, Offered};
pub use message::{IdAndSize, Message};
pub use responder::{Announced, Ask, Responder};
pub use state::{State, Violation};
