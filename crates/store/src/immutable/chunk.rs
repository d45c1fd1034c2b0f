//! One chunk: its blocks cut apart, compared with its secondary file, decoded, their bodies checked.

use std::fmt;

use bytes::Bytes;
use chain::{Block, Format, Hash, Header, Point, Reason};

use super::import::Error;
use super::source::is_unusable;
use super::{PRIMARY_VERSION, SECONDARY_BYTES};
use crate::files::{self, Files};
use crate::judge::Item;

/// A chunk of mainnet is below 100 MB; this is damage.
const MAX_CHUNK_BYTES: u64 = 1 << 30;
/// A primary file has four bytes a slot.
const MAX_PRIMARY_BYTES: u64 = 1 << 20;

/// One entry of a secondary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the block begins in the chunk file.
    pub(crate) offset: u64,
    /// Where its header begins in the block.
    pub(crate) header_offset: u16,
    /// The length of the header.
    pub(crate) header_bytes: u16,
    /// The CRC32 of the block.
    pub(crate) crc: u32,
    /// The hash of the header.
    pub(crate) id: Hash,
    /// Its slot; of a boundary block, its epoch.
    pub(crate) slot: u64,
}

impl Entry {
    pub(crate) fn decode(bytes: &[u8; SECONDARY_BYTES]) -> Self {
        let u64_at = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Self {
            offset: u64_at(0),
            header_offset: u16_at(8),
            header_bytes: u16_at(10),
            crc: u32::from_be_bytes(bytes[12..16].try_into().expect("4 bytes")),
            id: Hash::from_slice(&bytes[16..48]).expect("32 bytes"),
            slot: u64_at(48),
        }
    }

    /// The whole entries of a file.
    pub(crate) fn decode_all(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks().0.iter().map(Self::decode).collect()
    }

    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.offset.to_be_bytes());
        to.extend_from_slice(&self.header_offset.to_be_bytes());
        to.extend_from_slice(&self.header_bytes.to_be_bytes());
        to.extend_from_slice(&self.crc.to_be_bytes());
        to.extend_from_slice(&self.id.0);
        to.extend_from_slice(&self.slot.to_be_bytes());
    }
}

/// A block of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) block: Block,
    /// The chunk, the number of the block in it, and the byte where it begins.
    pub(crate) chunk: u32,
    pub(crate) number: usize,
    pub(crate) offset: u64,
    /// The secondary file has its CRC and its hash.
    pub(crate) confirmed: bool,
}

impl Item for Found {
    fn header(&self) -> &Header {
        &self.block.header
    }

    fn doubtful(&self) -> bool {
        !self.confirmed
    }
}

/// Where and why an import stopped before the end of the directory. What came before is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The chunk's number; its file is `NNNNN.chunk`.
    pub chunk: u32,
    /// The number of the block in the chunk, from 0.
    pub block: usize,
    /// The byte in the chunk file where that block begins.
    pub offset: u64,
    /// Its point, where it could be decoded.
    pub point: Option<Point>,
    /// What is wrong there.
    pub fault: Fault,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chunk, block, offset, point, fault } = self;
        write!(f, "{chunk:05}.chunk, block {block} at byte {offset}")?;
        if let Some(point) = point {
            write!(f, " ({point})")?;
        }
        write!(f, ": {fault}")
    }
}

/// What is wrong at a [`Stop`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The chunk file is not there, though later ones are.
    #[error("the file is missing, later ones are there")]
    Missing,
    /// The file ends inside the block.
    #[error("the file ends inside the block; if a node is writing here, import again later")]
    Torn,
    /// Not CBOR, so that not even the length of the block is known.
    #[error("these bytes are not a block")]
    NotCbor,
    /// Not a block of this format.
    #[error("the block does not decode: {reason}")]
    Block {
        /// The format's reason.
        reason: String,
    },
    /// The block does not hold.
    #[error("{reason}")]
    Refused {
        /// The format's reason.
        reason: Reason,
    },
}

/// Something odd that did not stop the import.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// There is no secondary file, or it is none.
    #[error("{chunk:05}.secondary is missing or unusable: the chunk's headers were checked in full instead")]
    NoSecondary {
        /// The chunk.
        chunk: u32,
    },
    /// Blocks that the secondary file does not confirm.
    #[error("{chunk:05}.secondary does not fit {blocks} blocks: their headers were checked in full instead")]
    Unconfirmed {
        /// The chunk.
        chunk: u32,
        /// How many blocks.
        blocks: usize,
    },
    /// The primary file does not fit the secondary file. It is not needed.
    #[error("{chunk:05}.primary is missing or does not fit the secondary file")]
    Primary {
        /// The chunk.
        chunk: u32,
    },
}

/// What one chunk holds.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) blocks: Vec<Found>,
    pub(crate) bytes: u64,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) stop: Option<Stop>,
}

/// Reads a chunk, without the blocks that are in the store already.
pub(crate) fn read<S: Files>(source: &S, format: &Format, number: u32, skip: usize) -> Result<Chunk, Error> {
    let path = format!("{number:05}.chunk");
    let bytes = files::read_all(source, &path, MAX_CHUNK_BYTES)
        .map_err(|error| Error::Io { path: source.show(&path), source: error })?;
    let secondary = read_index(source, &format!("{number:05}.secondary"), MAX_CHUNK_BYTES)?;
    let primary = read_index(source, &format!("{number:05}.primary"), MAX_PRIMARY_BYTES)?;
    let mut warnings = Vec::new();
    let entries = match &secondary {
        Some(bytes) => Entry::decode_all(bytes),
        None => Vec::new(),
    };
    if secondary.is_none() {
        warnings.push(Warning::NoSecondary { chunk: number });
    } else if !primary.is_some_and(|primary| primary_fits(&primary, entries.len())) {
        warnings.push(Warning::Primary { chunk: number });
    }
    let total = bytes.len() as u64;
    let (blocks, stop) = Cutter { format, chunk: number, bytes: bytes.into(), entries }.cut(skip);
    let unconfirmed = blocks.iter().filter(|found| !found.confirmed).count();
    if secondary.is_some() && unconfirmed > 0 {
        warnings.push(Warning::Unconfirmed { chunk: number, blocks: unconfirmed });
    }
    Ok(Chunk { blocks, bytes: total, warnings, stop })
}

fn read_index<S: Files>(source: &S, path: &str, max: u64) -> Result<Option<Vec<u8>>, Error> {
    match files::read_all(source, path, max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_unusable(&error) => Ok(None),
        Err(error) => Err(Error::Io { path: source.show(path), source: error }),
    }
}

/// A version, then offsets into the secondary file that never fall and end at its end.
fn primary_fits(primary: &[u8], entries: usize) -> bool {
    let Some((version, offsets)) = primary.split_first() else { return false };
    let (offsets, rest) = offsets.as_chunks::<4>();
    let offset = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
    *version == PRIMARY_VERSION
        && rest.is_empty()
        && offsets.is_sorted_by_key(offset)
        && offsets.last().is_some_and(|last| offset(last) as usize == entries * SECONDARY_BYTES)
}

struct Cutter<'a> {
    format: &'a Format,
    chunk: u32,
    bytes: Bytes,
    entries: Vec<Entry>,
}

impl Cutter<'_> {
    /// All blocks up to the first that is wrong, and that one's place.
    fn cut(&self, skip: usize) -> (Vec<Found>, Option<Stop>) {
        let mut blocks = Vec::with_capacity(self.entries.len().saturating_sub(skip));
        let (mut at, mut number) = (0, 0);
        while at < self.bytes.len() {
            let stop = |point, fault| {
                Some(Stop { chunk: self.chunk, block: number, offset: at as u64, point, fault })
            };
            let (raw, entry) = match self.block_at(at) {
                Ok(found) => found,
                Err(fault) => return (blocks, stop(None, fault)),
            };
            let end = at + raw.len();
            if number >= skip {
                let block = match self.format.block(&raw) {
                    Ok(block) => block,
                    Err(error) => {
                        return (blocks, stop(None, Fault::Block { reason: error.to_string() }));
                    }
                };
                if let Err(reason) = self.format.check_body(&block) {
                    return (blocks, stop(Some(block.header.point()), Fault::Refused { reason }));
                }
                let confirmed = entry.is_some_and(|entry| entry.id == block.header.id);
                let offset = at as u64;
                blocks.push(Found { block, chunk: self.chunk, number, offset, confirmed });
            }
            (at, number) = (end, number + 1);
        }
        (blocks, None)
    }

    /// The bytes of the block that begins at `at`, and the entry whose CRC they have.
    fn block_at(&self, at: usize) -> Result<(Bytes, Option<&Entry>), Fault> {
        if let Ok(found) = self.entries.binary_search_by_key(&(at as u64), |entry| entry.offset) {
            let end = self.entries.get(found + 1).map_or(self.bytes.len() as u64, |next| next.offset);
            let end = usize::try_from(end).unwrap_or(usize::MAX);
            let raw = (end > at).then(|| self.bytes.get(at..end)).flatten();
            if raw.is_some_and(|raw| crc32fast::hash(raw) == self.entries[found].crc) {
                return Ok((self.bytes.slice(at..end), Some(&self.entries[found])));
            }
        }
        let mut decoder = minicbor::Decoder::new(&self.bytes[at..]);
        match decoder.skip() {
            Ok(()) => Ok((self.bytes.slice(at..at + decoder.position()), None)),
            Err(error) if error.is_end_of_input() => Err(Fault::Torn),
            Err(_) => Err(Fault::NotCbor),
        }
    }
}
