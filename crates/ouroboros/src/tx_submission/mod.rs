//! Tx-submission 2: the responder pulls transactions from the initiator, ids first.

mod message;
mod state;
#[cfg(test)]
mod tests;

pub use message::{IdAndSize, Message};
pub use state::{State, Violation};
