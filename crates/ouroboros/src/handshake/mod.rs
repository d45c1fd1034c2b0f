//! The handshake: both sides agree on a version of the protocols before anything else is said.

mod initiator;
mod message;
mod responder;
mod state;
#[cfg(test)]
mod tests;
mod version;

pub use initiator::{Initiator, Outcome};
pub use message::{Message, Refusal, Versions};
pub use responder::{Answer, Offer, answer};
pub use state::State;
pub use version::{Version, VersionData};
