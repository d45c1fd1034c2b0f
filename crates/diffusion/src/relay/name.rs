//! What an item is called.

use chain::Hash;
use chain::native::blake2b;

/// What sort of item it is. Its number is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

/// Transactions.
pub const TRANSACTION: Kind = Kind(0);

/// An item's name, the same on every node. The kind is a part of it: the same bytes may be right as one kind and wrong
/// as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its kind.
    pub kind: Kind,
    /// Blake2b-256 of its bytes.
    pub id: Hash,
}

impl Name {
    /// The name of an item of these bytes.
    pub fn of(kind: Kind, bytes: &[u8]) -> Self {
        Self { kind, id: blake2b(bytes) }
    }
}
