//! The ground of the house: what a chain *is*, as pure data.
//!
//! Points, headers, the fork tree and its head, header state per block, the chain view that readers
//! follow, block building, and the two formats that give bytes a meaning: `cardano` and `native`.
//!
//! It never calls another layer and never touches disk, time, randomness or a network: every function
//! here is a pure function of its arguments, so that production and simulator judge alike.

pub mod cardano;
pub mod codec;
pub mod format;
pub mod header;
pub mod native;
pub mod point;
pub mod tree;
pub mod view;

pub use codec::DecodeError;
pub use format::{Checks, Counts, Format, Reason, State};
pub use header::{Block, Header};
pub use point::{Hash, Height, Point, Position, Slot, Tip};
pub use tree::Tree;
pub use view::{Chunk, Cursor, Entry, View};
