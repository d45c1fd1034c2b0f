//! Block-fetch: the initiator asks for ranges of blocks, and gets them as they are stored.

mod message;
mod state;
#[cfg(test)]
mod tests;

pub use message::{Message, put_block_head};
pub use state::State;
