//! A node that takes part in a chain that validators agree on: as one of them, or following, serving and relaying.
//!
//! It joins the machines of `diffusion` and `consensus` around one fork tree: headers and finality with every peer
//! (`sync`), bodies down one tree per producer (`bodies`) or in ranges while it is far behind (`ranges`), messages of
//! validators over several hops (`routing`), transactions (`relay`), and `Quorum`, which says when to make a block and when one is
//! irreversible.
//!
//! What readers see ends at the irreversible tip: the only forks of such a chain are undecided siblings above it.
//!
//! **Invariants** (see [`Member::check_invariants`]): readers and peers are told that a block is irreversible when it
//! is durable with its certificate; the next height begins no sooner. What consensus writes down goes to the disk in its
//! own order. A certificate counts only by validators that certified headers lead to. Bodies of the best chain near the
//! irreversible tip are held or wanted (B1). All that others can make it keep is bounded.

mod applying;
mod bodies;
mod commands;
mod config;
mod event;
mod fetching;
mod finality;
mod giving;
mod headers;
mod invariants;
mod judging;
mod newcomer;
mod peer;
mod peers;
mod producing;
mod progress;
mod recent;
mod relaying;
mod serving;
mod settle;
mod shares;
mod speaking;
mod speech;
mod state;
mod status;
mod storing;
#[cfg(test)]
mod tests;
mod violation;
mod voting;
mod way;

pub use config::Config;
pub use event::Event;
pub use shares::Refusal;
pub use speech::Greeting;
pub use state::Member;
pub use status::{Application, Peer, Status};
pub use violation::{Consequence, Violation};
