//! One connection to one peer: its session, segments, the mux and its lanes. It does not know what a block is.
//!
//! Everything here is sans-IO: bytes go in in any cut, bytes come out, and nothing is kept for a connection
//! that has nothing under way.

pub mod agreement;
pub mod budget;
pub mod channel;
pub mod control;
pub mod frame;
pub mod identity;
pub mod inbound;
pub mod link;
pub mod message;
pub mod mux;
pub mod outbound;
pub mod ping;
pub mod reason;
pub mod reassembly;
pub mod segment;
pub mod session;
pub mod state;
pub mod strikes;
mod time;
pub mod violation;

pub use identity::{Identity, PeerId};
pub use link::Link;
pub use segment::{Mode, Protocol};
pub use time::Time;
pub use violation::Violation;
