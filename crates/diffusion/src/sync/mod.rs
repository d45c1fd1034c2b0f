//! Header sync, finality and bodies between two nodes and many (spec/block-sync.md).
//!
//! One [`State`] per connection runs over headers: it knows what the peer has, sends the next headers of our best
//! chain, takes the peer's, and tells finality. It sees the node's headers through the narrow [`Chain`], so that the
//! node (a [`chain::Tree`] with the log below it: [`Forks`]) and the exhaustive search run the very same transitions.
//! [`bodies`] decides who is asked for which body, one tree per producer; [`ranges`] does while the node is far behind.
//!
//! It deliberately does not check a header, a certificate or a body, keep them, or decide what is best or irreversible.
//!
//! What the driver does with a message of the sync channel, in the order of the channel (a header waits, and all behind
//! it, until its signature is checked: the link's window bounds what waits):
//! - hello, header, fin: to the connection's [`State`]; a header first to [`bodies`] as `Announced`. After both hellos
//!   the peer has joined [`bodies`] and [`ranges`];
//! - want, no, stop, pushes: to [`bodies`]; range: it serves it. These may go out without credit of the machine's, so
//!   it tells [`Input::Room`] less than there is, by what a few hundred of them take.
//!
//! With each header that a [`State`] sends it says `Told` to [`bodies`]; with each body that is durable, `Stored`; and
//! what the best chain, or the chain to a certified block, lacks is wanted: from [`bodies`] near the head, else from
//! [`ranges`].
//!
//! **Invariants** (the spec's): P1 a header that a correct node sends is never rejected by another; P2 and P3 at rest
//! connected nodes agree on what is irreversible and on the head; P4 finality is never applied before its header;
//! P5 no false conflict; P6 the sent cursor is on the best chain.

pub mod bodies;
mod chain_view;
mod event;
mod message;
pub mod ranges;
mod state;
mod trunk;
mod violation;

#[cfg(test)]
mod tests;

pub use chain_view::{Chain, Next, Place, rank};
pub use event::{Input, Output, Phase, Status, Why};
pub use message::{Fin, Hello, MAX_CERTIFICATE_BYTES, MAX_HEADER_BYTES, MAX_LOCATOR, Message};
pub use state::{Config, State};
pub use trunk::{Forks, Loaded, Settled, Trunk};
pub use violation::{Consequence, Violation};

pub use crate::cbor::Error as DecodeError;
