//! The Node: one sans-IO core that routes between the layers.
//!
//! It follows upstreams ([`follower`]), or takes part in a chain that validators agree on ([`member`]); decides what
//! readers see, and survives what others and disks do. Whatever costs time or may fail leaves it as an [`Output`] and
//! comes back as an [`Input`].
//!
//! It deliberately does no IO, opens no connection, verifies no signature of a header and reads no clock: a driver
//! does, the simulator's as well as production's.
//!
//! **Invariants** (see [`Node::check_invariants`]): what readers see is durable; the irreversible tip never
//! moves back.

pub mod application;
pub mod config;
mod effect;
pub mod follower;
pub mod member;
mod node;
pub mod pool;
mod start;
pub mod status;
pub mod work;

pub use chain::format;

pub use config::{Config, Role};
pub use effect::{CLOCK_SKEW, Command, Found, Input, Load, Notice, Output, Record, Ticket, UpstreamId};
pub use follower::{upstream, violation};
pub use node::Node;
pub use start::{Kept, Start};
pub use status::Status;
