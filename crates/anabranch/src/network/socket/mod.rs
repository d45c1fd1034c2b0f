//! Sockets: one connection each, from a bearer to its end.
//!
//! A bearer is opened (`open`: handshake and hellos, one future), and then is a `Socket` with exactly
//! two tasks, `read` and `write`. What both share and what others do with it is `handle`; the rest is what the
//! routines stand on.
//!
//! It does not know who else is connected: that is the pool's, which hears through `Above` what comes in and how
//! a socket ends.
//!
//! **Invariant:** an idle socket holds no buffer.
//!
//! `spec/link.md`.

mod alarm;
mod bearer;
mod buffers;
mod config;
mod figures;
mod handle;
mod hear;
mod open;
pub mod pace;
mod permit;
mod pipe;
mod read;
mod signal;
#[cfg(test)]
mod tests;
mod write;

pub use bearer::Bearer;
pub use config::Config;
pub(super) use figures::ChannelFigures;
pub(super) use handle::{Above, Delivery, Socket};
pub(super) use open::{Opening, open};
pub use permit::Permit;
pub use pipe::PipeAddress;
pub(super) use pipe::{PipeListener, listen as listen_on_pipe};
