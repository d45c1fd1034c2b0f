//! Where something stands on a chain: hashes, slots, heights, points and tips.

use std::fmt;
use std::str::FromStr;

/// A 32-byte Blake2b-256 hash; the id of a block is the hash of its header.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The length of a hash in bytes.
    pub const LEN: usize = 32;

    /// Reads a hash from exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = f.precision().map_or(Self::LEN, |digits| digits.div_ceil(2)).min(Self::LEN);
        f.write_str(&hex::encode(&self.0[..shown]))
    }
}

/// A text that is not a hash or a point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not 64 hexadecimal digits.
    #[error("`{text}` is not a hash: give 64 hexadecimal digits")]
    Hash {
        /// What was given.
        text: String,
    },
    /// Neither `origin` nor `SLOT.HASH`.
    #[error("`{text}` is not a point: give `origin` or `SLOT.HASH`")]
    Point {
        /// What was given.
        text: String,
    },
}

impl FromStr for Hash {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseError::Hash { text: text.into() })?;
        Ok(Self(bytes))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// A slot: the time of a block, counted by its chain.
    Slot
}
number! {
    /// A block number as its header states it. Byron boundary blocks share it with their parent.
    Height
}
number! {
    /// How many blocks lie before this one on its chain: the first block stands at 0.
    ///
    /// Unlike [`Height`] it differs for any two blocks of one chain, boundary blocks included, so it is
    /// what the log's index and the cursors count in. It is never sent and never trusted from a peer.
    Position
}

impl Position {
    /// The position right after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A place on a chain that a follower can stand at: before the first block, or at a block.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Before the first block.
    #[default]
    Origin,
    /// At the block with this hash, which claims this slot.
    Block(Slot, Hash),
}

impl Point {
    /// The hash of the block, if there is one.
    pub fn hash(&self) -> Option<Hash> {
        match self {
            Self::Origin => None,
            Self::Block(_, hash) => Some(*hash),
        }
    }

    /// The slot of the block, if there is one.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Origin => None,
            Self::Block(slot, _) => Some(*slot),
        }
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin => f.write_str("origin"),
            Self::Block(slot, hash) => match f.precision() {
                Some(digits) => write!(f, "{slot}.{hash:.digits$}"),
                None => write!(f, "{slot}.{hash}"),
            },
        }
    }
}

impl FromStr for Point {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "origin" {
            return Ok(Self::Origin);
        }
        let refused = || ParseError::Point { text: text.into() };
        let (slot, hash) = text.split_once('.').ok_or_else(refused)?;
        Ok(Self::Block(Slot(slot.parse().map_err(|_| refused())?), hash.parse().map_err(|_| refused())?))
    }
}

/// The end of a chain as its holder states it: a point and the height there (0 at origin).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tip {
    /// Where the chain ends.
    pub point: Point,
    /// The height of the block there.
    pub height: Height,
}
