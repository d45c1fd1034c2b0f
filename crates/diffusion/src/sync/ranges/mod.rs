//! Ranges of bodies for a node that is far behind: many peers at once, instead of one tree per producer.
//!
//! Which peer is asked for which range and when is the scheduler's in the `fetch` crate, which knows numbers only: each
//! wanted block gets the next one, so that numbers in a row are blocks in a row of one chain, and a chain begun afresh
//! leaves a gap. A request travels on the sync channel; its bodies come on the channel of bodies in the order of the
//! chain, and a body of no bytes after the last says that this is all.
//!
//! It deliberately holds no body, checks none, and does not serve: whoever is asked sends what it has of the range, at
//! most [`MAX_RANGE`] blocks, and the end.
//!
//! **Invariant**: a block is wanted under one number.

mod state;

#[cfg(test)]
mod tests;

pub use fetch::Config;
pub use state::{Input, MAX_RANGE, Output, State, Status};
