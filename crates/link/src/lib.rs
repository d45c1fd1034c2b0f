//! One connection to one peer: segments and the mux. It does not know what a block is.

mod time;

pub use time::Time;
