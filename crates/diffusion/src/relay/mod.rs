//! Relay: items that everybody should have (transactions first of all) go from peer to peer, offered by id and size and
//! pulled (spec/diffusion.md, "Relay (inv, req, data)").
//!
//! One [`State`] per node. Whoever accepted an item offers it to its other peers; each of them asks one of those who
//! offered it, and another one when the first does not answer within its lease. What comes is shown to the application
//! first: only what that accepts is pooled, offered on and handed out for blocks. An item is of a kind, and a kind is
//! an entry of the [`Config`]: its limits. The machine knows nothing else of what it carries.
//!
//! Nobody offers before it is asked to, and nobody more than it was asked for: a node that has enough to do grants no
//! more offers, and its peers remember for it what to offer later, which costs them a number each. So a slow application
//! or a full pool makes items wait where they are, and nothing else; and a flood of offers is a broken rule.
//!
//! It deliberately judges no item, keeps none on disk, and knows no chain: the driver says what became final.
//!
//! **Invariants** (see [`State::check_invariants`]): an item is asked of one peer at a time, while its lease lasts. Nothing
//! is offered to a peer that offers it. Each want is answered once, by the item or a refusal, and nothing else is taken;
//! a peer that owes an answer for longer than a lease is asked for nothing more until it gave it. What is under way, is
//! judged or is pooled is counted against the pool's bounds before it is asked for, so that what is accepted always has
//! a place. With a peer all that it offered and owes is dropped.

mod cache;
mod config;
mod event;
mod held;
mod judging;
mod message;
mod name;
mod offers;
mod peer;
mod pool;
mod pulls;
mod slots;
mod state;
mod violation;

#[cfg(test)]
mod tests;

pub use config::{Config, Rules};
pub use event::{Counts, Input, Output, PeerStatus, Progress, Refusal, Stage, Status, Ticket, Verdict};
pub use message::{MAX_ITEM_BYTES, MAX_MORE, MAX_OFFERS, MAX_WANTED, Message, Offer};
pub use name::{Kind, Name, TRANSACTION};
pub use state::State;
pub use violation::{Consequence, Violation};

pub use crate::cbor::Error as DecodeError;
