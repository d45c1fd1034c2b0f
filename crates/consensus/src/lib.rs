//! When this node produces a block, and when a block is irreversible. It reads no sockets and stores no blocks.
