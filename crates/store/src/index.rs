//! The index: one fixed record for each settled block, by position.
//!
//! Layout: `docs/store-format.md`. It holds nothing that the log does not say; it only says it sooner.

use chain::{Hash, Height, Point, Position, Slot, Tip};

use crate::error::{Context as _, Damage, Error};
use crate::files::{File, Files};

/// The path of the index.
pub const INDEX: &str = "index";
/// The path of the headers file.
pub const HEADERS: &str = "headers";
/// The length of a record.
pub const ENTRY_BYTES: usize = 80;

/// What the index says of one block. One that is bare has no record in the log: segment, offset and length are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The hash of its header.
    pub id: Hash,
    /// Its slot.
    pub slot: Slot,
    /// Its height.
    pub height: Height,
    /// Where its header ends in the headers file.
    pub header_end: u64,
    /// The segment that holds its record.
    pub segment: u32,
    /// Where in the segment the record begins.
    pub offset: u32,
    /// The length of the block in bytes.
    pub len: u32,
    /// The CRC of its header.
    pub header_crc: u32,
}

impl Entry {
    /// The point of the block.
    pub fn point(&self) -> Point {
        Point::Block(self.slot, self.id)
    }

    /// Whether the log does not hold the block's body.
    pub fn is_bare(&self) -> bool {
        self.len == 0
    }

    /// The tip of a chain that ends here.
    pub fn tip(&self) -> Tip {
        Tip { point: self.point(), height: self.height }
    }

    /// Appends the record to a buffer.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&self.id.0);
        to.extend_from_slice(&self.slot.0.to_le_bytes());
        to.extend_from_slice(&self.height.0.to_le_bytes());
        to.extend_from_slice(&self.header_end.to_le_bytes());
        for field in [self.segment, self.offset, self.len, self.header_crc, 0] {
            to.extend_from_slice(&field.to_le_bytes());
        }
        let crc = crc32c::crc32c(&to[start..]);
        to.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads a record; `None` if its checksum does not match.
    pub fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        if crc32c::crc32c(&bytes[..ENTRY_BYTES - 4]) != u32_at(76)? {
            return None;
        }
        Some(Self {
            id: Hash::from_slice(&bytes[..32])?,
            slot: Slot(u64_at(32)?),
            height: Height(u64_at(40)?),
            header_end: u64_at(48)?,
            segment: u32_at(56)?,
            offset: u32_at(60)?,
            len: u32_at(64)?,
            header_crc: u32_at(68)?,
        })
    }
}

/// Reads `count` records from `first` on; an error if one is damaged or not there.
pub(crate) fn read<F: Files>(
    files: &F,
    file: &F::File,
    first: Position,
    count: usize,
) -> Result<Vec<Entry>, Error> {
    let mut bytes = vec![0; count * ENTRY_BYTES];
    file.read_at(byte_of(first), &mut bytes).context("read", || files.show(INDEX))?;
    let (records, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    assert!(rest.is_empty(), "the buffer is whole records");
    let decode = |(number, record): (usize, &[u8; ENTRY_BYTES])| {
        Entry::decode(record).ok_or_else(|| Error::Damaged {
            path: files.show(INDEX),
            offset: byte_of(Position(first.0 + number as u64)),
            damage: Damage::Checksum,
        })
    };
    records.iter().enumerate().map(decode).collect()
}

/// Where the record of a position begins in the index.
pub(crate) fn byte_of(position: Position) -> u64 {
    position.0 * ENTRY_BYTES as u64
}
