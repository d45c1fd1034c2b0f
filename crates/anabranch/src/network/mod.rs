//! The network: who this node is connected to, and what is said to whom.
//!
//! It listens, dials, owns the pool of sockets with its caps, sends to one peer or to all, matches answers to
//! questions, and hands what is not its own upwards through a bounded sink.
//!
//! It does not know what a message means, and it routes nothing over more than one hop.

mod address;
mod alarm;
mod bearer;
mod buffers;
mod clock;
mod config;
mod dial;
mod error;
mod fair;
mod figures;
mod handle;
mod heap;
mod line;
mod listen;
mod open;
pub mod pace;
mod pipe;
mod pool;
pub mod probe;
mod read;
mod requests;
mod shared;
mod signal;
mod sink;
pub mod socket;
mod status;
#[cfg(test)]
mod tests;
mod write;

pub use address::{Address, PeerAddress, Remote};
pub use bearer::Bearer;
pub use clock::Clock;
pub use config::{Caps, Config, Dial, Invalid, Tries};
pub use error::{Error, PeerError, RequestError, SendError};
pub use handle::Network;
pub use listen::{BindError, Listener};
pub use pipe::PipeAddress;
pub use pool::{Everybody as Open, Full, Gate, Lists, Refused, TooMany};
pub use sink::{Asker, Delivery, Reply, Sink};
pub use socket::Permit;
pub use status::{
    ChannelStatus, Departed, DepartedPeers, Direction, KnownPeer, LinkStatus, PeerStatus, PingStatus, Totals,
};
