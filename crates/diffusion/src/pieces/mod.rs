//! Snapshots of an application's state, taken piece by piece from whoever gives them.
//!
//! Peers say of which states they give pieces. A newcomer that knows one of these states by a certified header asks
//! several of them at once, a piece each time, and shows what comes to its application, which alone knows whether a
//! piece is right and which ones it wants next. A piece that is wrong is told from a right one by itself, so that it is
//! known who gave it; one that is late is asked of another.
//!
//! It deliberately knows nothing of what is in a piece, does not serve, and chooses no state.
//!
//! **Invariant**: a piece is asked of one peer at a time while that one may still answer; what is on the way or shown to
//! the application is bounded.

mod message;
mod state;
mod violation;

#[cfg(test)]
mod tests;

pub use message::{MAX_NAME_BYTES, MAX_OFFERED, MAX_PIECE_BYTES, Message};
pub use state::{Config, Input, Output, State, Status, Verdict};
pub use violation::Violation;
