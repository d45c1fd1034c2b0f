//! Decides when this node produces a block, and when a block is irreversible.
//!
//! There are two ways, and a node's role says which is its own: who follows a chain that others make has [`Depth`] (k deep
//! in the chains of m of n upstreams), who takes part in one that validators agree on has [`Quorum`]. A single validator
//! is a quorum of one.
//!
//! It reads the fork tree, never a socket, and stores no block.

pub mod depth;
pub mod quorum;

pub use depth::Depth;
pub use quorum::Quorum;
