//! Bodies: who is asked for which, one tree per producer (spec/block-sync.md, "Bodies").
//!
//! One [`State`] per node. A body is never flooded: the first that announces a header is asked for its body, pushes
//! that producer's next ones unasked, and so becomes this producer's parent. When it is slow, refuses or leaves, the
//! next one is asked, and the parent moves along. Whoever is asked for a body that it does not have parks the request
//! and answers when it has it.
//!
//! Where a tree has lost a node, those below may wait for each other: each has the header and asks another one that has
//! not got the body either. Two that do so see it, since each asks whom it waits for, and turn to their next announcers
//! at once. A longer circle ends with the first time-out in it; `bench -- broadcast` shows what both cost.
//!
//! It deliberately holds no body, checks none, and knows no chain: the driver says what is wanted, what arrived and what
//! can be served. What a node that is far behind lacks is not for trees: see [`super::ranges`].
//!
//! **Invariant** B1 (see [`State::check_invariants`]): every wanted body has been asked of a connected peer, or is
//! pushed by its producer's parent, or everybody was asked in vain and will be again, or there is nobody to ask.

mod config;
mod event;
mod peer;
mod state;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use event::{Input, Output, Status};
pub use peer::Mode;
pub use state::State;

/// Who made a block, as its format names producers: a public key, or a hash of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer(pub [u8; 32]);
