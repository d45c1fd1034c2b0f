//! A node that takes part in a chain that validators agree on: as one of them, or following, serving and relaying.
//!
//! It joins the machines of `diffusion` and `consensus` around one fork tree: headers and finality with every peer
//! (`sync`), bodies down one tree per producer (`bodies`) or in ranges while it is far behind (`ranges`), messages of
//! validators over several hops (`routing`), transactions (`relay`), and `Quorum`, which says when to make a block and
//! when one is irreversible.
//!
//! What readers see ends at the irreversible tip: the only forks of such a chain are undecided siblings above it.

mod config;
mod event;
mod state;
mod status;
mod violation;

pub use config::Config;
pub use event::Event;
pub use state::Member;
pub use status::Status;
pub use violation::{Consequence, Violation};
