//! One connection to one peer: segments and the mux. It does not know what a block is.
//!
//! Everything here is sans-IO: bytes go in in any cut, bytes come out, and nothing is kept for a connection
//! that has nothing under way.

pub mod mux;
pub mod segment;
mod time;

pub use segment::{Mode, Protocol};
pub use time::Time;
