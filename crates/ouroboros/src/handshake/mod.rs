//! The handshake: both sides agree on a version of the protocols before anything else is said.

mod message;
mod state;
#[cfg(test)]
mod tests;
mod version;

pub use message::{Message, Refusal, Versions};
pub use state::State;
pub use version::{Version, VersionData};
