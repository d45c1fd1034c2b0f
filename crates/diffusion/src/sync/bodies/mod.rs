//! Bodies: who is asked for which, one tree per producer (spec/block-sync.md, "Bodies").

/// Who made a block, as its format names producers: a public key, or a hash of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer(pub [u8; 32]);
