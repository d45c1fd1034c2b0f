//! The inbound half of an open link: from the bearer's bytes to messages.
//!
//! Frames are cut out, opened in place, taken apart by channel and put together to messages; each byte of a body is
//! copied once. What the peer does wrong is rejected, counted and a strike; the link closes for too many strikes,
//! for what does not authenticate, and for silence. It belongs to the routine that reads and is shared with nobody.
//!
//! It does not send: what is to be said (credit that is granted back, answers to control messages) is an output for
//! the outbound half. It queues nothing either: a message is out of its hands when it is whole, with what it
//! holds of the budget, and counts against its channel's window until it is [taken](Input::Taken).
//!
//! **Invariant:** for each channel, what the peer has under way is what has arrived of a message, what was not taken
//! yet, and what waits to be granted back; it never exceeds the channel's window.
//!
//! **Invariant:** between frames and messages it holds no buffer.
//!
//! `spec/link.md`, "Halves", "Frames", "Backpressure".

mod channels;
mod judge;
mod rules;
mod state;
#[cfg(test)]
mod tests;

pub use rules::{Config, Rules};
pub use state::{Inbound, Input, Output, Traffic};
