//! The scheduler that block bodies and feed entries share: wanted × who has it × in flight → requests.
//!
//! It does not know what it fetches: an item is a number. Numbers grow in the order in which the items are
//! wanted, and numbers in a row may be asked for as one range.
//!
//! The head of the window is the lowest wanted item. A peer is judged only while it holds up the head: when
//! it delivers nothing for a few round trips its items go to others, and it is evicted unless it is pinned;
//! when it delivers so slowly that others sit idle its items go to others, and it stays. After an eviction
//! every time-out doubles, so that a slow line of our own does not cost us peer after peer. A peer that is
//! said to have held things up before is not waited for at all where others can be asked, until it delivers.
//!
//! Only time counts in which we waited: none of what it sent lay unread, and we were awake. Otherwise a slow disk or
//! a busy processor of our own would cost us peer after peer.
//!
//! It deliberately does not check what arrives, keep it, or reconnect to anyone.

mod config;
mod peer;
mod ranges;
mod scheduler;
mod stall;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use scheduler::{Input, Output, Scheduler, Status};
