//! Decides when this node produces a block, and when a block is irreversible.
//!
//! It reads the fork tree, never a socket, and stores no block.

pub mod depth;
pub mod quorum;
pub mod solo;

pub use depth::Depth;
pub use quorum::Quorum;
pub use solo::Solo;

/// How a node decides.
#[derive(Debug)]
pub enum Consensus {
    /// One named producer; its blocks are irreversible at once.
    Solo(Solo),
    /// Follows a chain that others make: k deep in the chains of m of n upstreams.
    Depth(Depth),
    /// Validators vote.
    Quorum(Box<Quorum>),
}
