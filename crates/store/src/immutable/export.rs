//! Writing settled blocks out again: as one file of blocks, or as an `immutable` directory that a Cardano node
//! opens.

use std::io;
use std::ops::ControlFlow;

use chain::{Format, Position};

use super::chunk::Entry;
use super::{PRIMARY_VERSION, SECONDARY_BYTES};
use crate::files::{File as _, Files};
use crate::held::Held;
use crate::reader::Reader;

/// How much is read at once.
const RUN_BYTES: usize = 1 << 20;
/// Slots in a chunk, in units of the security parameter: the length of a Byron epoch, in every era.
const CHUNK_SECURITIES: u64 = 10;
/// Chunks that a gap between two blocks may span. Empty chunks cost a file each: more is not a real chain.
const MAX_EMPTY_CHUNKS: u64 = 100_000;

/// Why blocks could not be written out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The output cannot be written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Only Cardano has `immutable` directories.
    #[error("only a chain of Cardano can be exported as an `immutable` directory: export blocks instead")]
    NotCardano,
    /// The log begins above the first block.
    #[error(
        "the bodies of the first {blocks} blocks are not held here, and an `immutable` directory has all: use a node \
         that took the whole chain"
    )]
    NotHeld {
        /// How many.
        blocks: u64,
    },
    /// The target holds files.
    #[error("{dir} is not empty: give a new directory")]
    NotEmpty {
        /// The directory.
        dir: String,
    },
    /// A block of a shape that a secondary file cannot describe.
    #[error("the block at position {position} has no place in an `immutable` directory")]
    Block {
        /// Its position.
        position: Position,
    },
}

/// Writes the blocks from `from` up to `to`, both included, one after the other as in a chunk file; those that are bare
/// are left out. Says how many were written; `progress` is told as well, and may break it off.
pub fn blocks<F: Files>(
    reader: &Reader<F>,
    (from, to): (Position, Position),
    out: &mut dyn io::Write,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<u64, Error> {
    let failed = |source| Error::Io { path: "the output".into(), source };
    let from = from.max(Position(reader.bare()));
    let mut next = from;
    while let Held::Here(run) = reader.blocks(next, to, RUN_BYTES)? {
        run.blocks().try_for_each(|block| out.write_all(&block)).map_err(failed)?;
        next = run.next();
        if progress(next.0 - from.0).is_break() {
            break;
        }
    }
    out.flush().map_err(failed)?;
    Ok(next.0 - from.0)
}

/// Writes all settled blocks into a new `immutable` directory; says how many. `progress` is told as well, and
/// may break it off.
pub fn export<F: Files, T: Files>(
    reader: &Reader<F>,
    format: &Format,
    target: &T,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<u64, Error> {
    let chunk_slots = match format {
        Format::Cardano(_) => format.security() * CHUNK_SECURITIES,
        Format::Native(_) => return Err(Error::NotCardano),
    };
    if reader.bare() > 0 {
        return Err(Error::NotHeld { blocks: reader.bare() });
    }
    let failed = |source| Error::Io { path: target.show(""), source };
    if !target.list("").map_err(failed)?.is_empty() {
        return Err(Error::NotEmpty { dir: target.show("") });
    }
    target.create_dir("").map_err(failed)?;
    let mut writer = Writer { target, chunk_slots, chunk: ChunkFiles::default() };
    let mut next = Position(0);
    while let Held::Here(run) = reader.blocks(next, Position(u64::MAX), RUN_BYTES)? {
        for (position, raw) in (next.0..).map(Position).zip(run.blocks()) {
            let header = format.block(&raw).map_err(|_| Error::Block { position })?.header;
            let (offset, len) = header_place(&raw).ok_or(Error::Block { position })?;
            let entry = Entry {
                offset: 0,
                header_offset: offset,
                header_bytes: len,
                crc: crc32fast::hash(&raw),
                id: header.id,
                slot: header.slot.0,
            };
            writer.put(&raw, entry, header.boundary).map_err(|error| error.at(position, target))?;
        }
        next = run.next();
        if progress(next.0).is_break() {
            break;
        }
    }
    writer.finish().map_err(|error| error.at(next, target))?;
    Ok(next.0)
}

/// Where the header lies in `[era, [header, …]]`: its offset and its length.
fn header_place(raw: &[u8]) -> Option<(u16, u16)> {
    let mut decoder = minicbor::Decoder::new(raw);
    decoder.array().ok()?;
    decoder.u16().ok()?;
    decoder.array().ok()?;
    let start = decoder.position();
    decoder.skip().ok()?;
    Some((u16::try_from(start).ok()?, u16::try_from(decoder.position() - start).ok()?))
}

/// Why a chunk could not take a block.
enum Failure {
    Io(String, io::Error),
    /// Slots fall, or leap too far.
    Slot,
}

impl Failure {
    fn at<T: Files>(self, position: Position, target: &T) -> Error {
        match self {
            Self::Io(path, source) => Error::Io { path: target.show(&path), source },
            Self::Slot => Error::Block { position },
        }
    }
}

/// The three files of one chunk, in memory until the chunk is full.
#[derive(Debug, Default)]
struct ChunkFiles {
    number: u64,
    blocks: Vec<u8>,
    secondary: Vec<u8>,
    /// Offsets into the secondary file: one for each relative slot so far.
    primary: Vec<u32>,
}

impl ChunkFiles {
    fn secondary_end(&self) -> u32 {
        u32::try_from(self.secondary.len()).expect("a chunk has at most a block a slot")
    }

    /// Notes that the relative slots below `slot` are over; those not filled are empty.
    fn fill_to(&mut self, slot: u64) {
        let end = self.secondary_end();
        let slots = usize::try_from(slot).expect("slots in a chunk are few");
        if self.primary.len() < slots {
            self.primary.resize(slots, end);
        }
    }
}

/// Distributes blocks over chunks.
struct Writer<'a, T: Files> {
    target: &'a T,
    chunk_slots: u64,
    chunk: ChunkFiles,
}

impl<T: Files> Writer<'_, T> {
    fn put(&mut self, raw: &[u8], entry: Entry, boundary: bool) -> Result<(), Failure> {
        let number = entry.slot / self.chunk_slots;
        if number < self.chunk.number || number - self.chunk.number > MAX_EMPTY_CHUNKS {
            return Err(Failure::Slot);
        }
        while self.chunk.number < number {
            self.end_chunk()?;
        }
        // Relative slot 0 is the boundary block's, whether there is one or not.
        let relative = if boundary { 0 } else { entry.slot % self.chunk_slots + 1 };
        let chunk = &mut self.chunk;
        if (chunk.primary.len() as u64) > relative + 1 {
            return Err(Failure::Slot);
        }
        chunk.fill_to(relative + 1);
        let slot = if boundary { number } else { entry.slot };
        Entry { offset: chunk.blocks.len() as u64, slot, ..entry }.encode(&mut chunk.secondary);
        chunk.blocks.extend_from_slice(raw);
        chunk.primary.push(chunk.secondary_end());
        Ok(())
    }

    /// Writes a chunk that is over: all of its slots are accounted for.
    fn end_chunk(&mut self) -> Result<(), Failure> {
        self.chunk.fill_to(self.chunk_slots + 2);
        let next = ChunkFiles { number: self.chunk.number + 1, ..ChunkFiles::default() };
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.write(&chunk)
    }

    /// Writes the last chunk, which may go on: only its slots up to the last block are accounted for.
    fn finish(mut self) -> Result<(), Failure> {
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.blocks.is_empty() {
            return Ok(());
        }
        self.write(&chunk)?;
        self.target.sync_dir("").map_err(|error| Failure::Io(String::new(), error))
    }

    fn write(&self, chunk: &ChunkFiles) -> Result<(), Failure> {
        let mut primary = vec![PRIMARY_VERSION];
        chunk.primary.iter().for_each(|offset| primary.extend_from_slice(&offset.to_be_bytes()));
        debug_assert_eq!(chunk.secondary.len() % SECONDARY_BYTES, 0);
        let files = [("chunk", &chunk.blocks), ("secondary", &chunk.secondary), ("primary", &primary)];
        for (extension, bytes) in files {
            let path = format!("{:05}.{extension}", chunk.number);
            let write = || {
                let file = self.target.create(&path)?;
                file.write_at(0, bytes)?;
                file.sync_data()
            };
            write().map_err(|error| Failure::Io(path.clone(), error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::Hash;

    use super::*;
    use crate::files::{self, memory};

    fn entry(slot: u64) -> Entry {
        Entry { offset: 0, header_offset: 2, header_bytes: 1, crc: 7, id: Hash::default(), slot }
    }

    fn read(files: &memory::Files, path: &str) -> Vec<u8> {
        files::read_all(files, path, 1 << 20).expect("reads")
    }

    #[test]
    fn boundary_blocks_come_first_and_empty_chunks_are_there() {
        let files = memory::Files::new(1);
        let mut writer = Writer { target: &files, chunk_slots: 4, chunk: ChunkFiles::default() };
        for (raw, slot, boundary) in
            [(b"a", 0, true), (b"b", 0, false), (b"c", 2, false), (b"d", 8, true), (b"e", 9, false)]
        {
            assert!(writer.put(raw, entry(slot), boundary).is_ok());
        }
        assert!(writer.put(b"f", entry(9), false).is_err(), "slots do not repeat");
        assert!(writer.put(b"f", entry(7), false).is_err(), "slots do not fall");
        assert!(writer.finish().is_ok());
        let chunks = ["00000.chunk", "00001.chunk", "00002.chunk"].map(|path| read(&files, path));
        assert_eq!(chunks, [&b"abc"[..], b"", b"de"]);
        let offsets = |path| {
            let bytes = read(&files, path);
            assert_eq!(bytes[0], PRIMARY_VERSION);
            let entries = bytes[1..].as_chunks::<4>().0.iter().map(|offset| u32::from_be_bytes(*offset) / 56);
            entries.collect::<Vec<_>>()
        };
        // Relative slots: the boundary block's, then 0 to 3; each offset is where the slot begins, and the end.
        assert_eq!(offsets("00000.primary"), [0, 1, 2, 2, 3, 3]);
        assert_eq!(offsets("00001.primary"), [0, 0, 0, 0, 0, 0]);
        assert_eq!(offsets("00002.primary"), [0, 1, 1, 2]);
        let secondary = Entry::decode_all(&read(&files, "00002.secondary"));
        assert_eq!(
            secondary.iter().map(|entry| (entry.offset, entry.slot)).collect::<Vec<_>>(),
            [(0, 2), (1, 9)]
        );
    }

    #[test]
    fn the_place_of_a_byron_header_is_found() {
        let digits = include_str!("../../../chain/tests/blocks/byron-mainnet-73486.hex");
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let (pairs, _) = digits.as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
        let raw: Vec<u8> = pairs.iter().map(byte).collect::<Result<_, _>>().expect("hexadecimal digits");
        let params = chain::cardano::Params::built_in("mainnet").expect("is built in");
        let format = Format::Cardano(std::sync::Arc::new(params));
        let block = format.block(&raw.clone().into()).expect("a block");
        let (offset, len) = header_place(&raw).expect("has a header");
        let header = &raw[offset as usize..][..len as usize];
        assert!(len > 100 && block.header.wire.ends_with(header));
    }
}
