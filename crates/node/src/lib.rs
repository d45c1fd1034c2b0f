//! The Node: one sans-IO core that routes between the layers.
//!
//! ```text
//! Node::new(Config, Start, seed: [u8; 32]) -> Node
//! handle(&mut self, now: link::Time, input: Input, out: &mut Vec<Output>)
//! next_deadline(&self) -> Option<Duration>     // on the monotonic clock
//! status(&self, now: link::Time) -> Status
//! check_invariants(&self)
//! ```
//!
//! `Start { settled: u64, irreversible: Tip, state: State, forks: Vec<Block>, recent: Vec<Arc<Entry>> }` is
//! what the store recovered.

mod effect;
mod interim;
pub mod pool;
pub mod status;
pub mod violation;

pub use effect::{CLOCK_SKEW, Input, Notice, Output, Record, Ticket, UpstreamId};
pub use interim::{format, upstream};
pub use status::Status;
