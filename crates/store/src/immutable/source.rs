//! An `immutable` directory as it lies there: which chunks it has, and where to go on.

use chain::{Format, Hash, Point, Slot, Tip};

use super::SECONDARY_BYTES;
use super::chunk::{self, Entry};
use super::import::Error;
use crate::files::{self, Access, File as _, Files};

/// A secondary file has an entry for each block of a chunk: at most one a slot and a boundary block, with
/// 21,600 slots a chunk. Ten times that is damage.
const MAX_SECONDARY_BYTES: u64 = 216_000 * SECONDARY_BYTES as u64;

/// The chunks of a directory, without gaps from the first on.
#[derive(Debug)]
pub(crate) struct Source<'a, S: Files> {
    files: &'a S,
    /// The number after the last chunk.
    pub(crate) end: u32,
    /// The first chunk that is missing though later ones are there.
    pub(crate) gap: Option<u32>,
}

/// Where an import goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// The chunk.
    pub(crate) chunk: u32,
    /// How many of its blocks are in the store already.
    pub(crate) skip: usize,
}

impl<'a, S: Files> Source<'a, S> {
    /// Looks at what is there.
    pub(crate) fn open(files: &'a S) -> Result<Self, Error> {
        let names = files.list("").map_err(|source| Error::Io { path: files.show(""), source })?;
        let number = |name: &String| {
            let digits = name.strip_suffix(".chunk").filter(|digits| digits.len() == 5)?;
            digits.parse::<u32>().ok()
        };
        let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        if numbers.is_empty() {
            return Err(Error::NotImmutable { dir: files.show("") });
        }
        let end = (0..).zip(&numbers).take_while(|(wanted, found)| wanted == *found).count();
        let gap = u32::try_from(end).ok().filter(|_| end < numbers.len());
        Ok(Self { files, end: u32::try_from(end).unwrap_or(u32::MAX), gap })
    }

    /// The chunk that holds the block after `tip`.
    pub(crate) fn find(&self, tip: &Tip, format: &Format) -> Result<Start, Error> {
        let Point::Block(slot, id) = tip.point else { return Ok(Start { chunk: 0, skip: 0 }) };
        // The last entry of a chunk tells its youngest slot. That of a lone boundary block tells an epoch,
        // which is far lower; so the chunk before the first that reaches the slot is looked at as well.
        let mut candidate = self.end.saturating_sub(1);
        for chunk in 0..self.end {
            if self.last_entry(chunk)?.is_some_and(|last| last.slot >= slot.0) {
                candidate = chunk;
                break;
            }
        }
        for chunk in [candidate, candidate.saturating_sub(1)] {
            let entries = self.entries(chunk)?.unwrap_or_default();
            if let Some(at) = entries.iter().position(|entry| entry.id == id) {
                return Ok(Start { chunk, skip: at + 1 });
            }
        }
        self.search(slot, id, format)
    }

    /// The same from the chunk files alone, where secondary files are missing or wrong.
    fn search(&self, slot: Slot, id: Hash, format: &Format) -> Result<Start, Error> {
        // The first chunk that begins after the slot. An import stops at a chunk that does not begin with a
        // block: what the store holds lies before.
        let (mut low, mut high) = (0, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_slot(middle, format)? {
                Some(first) if first <= slot => low = middle + 1,
                Some(_) | None => high = middle,
            }
        }
        if let Some(chunk) = low.checked_sub(1) {
            let blocks = chunk::read(self.files, format, chunk, 0)?.blocks;
            if let Some(at) = blocks.iter().position(|found| found.block.header.id == id) {
                return Ok(Start { chunk, skip: at + 1 });
            }
        }
        Err(Error::TipMissing { dir: self.files.show(""), tip: Point::Block(slot, id) })
    }

    /// The slot of the first block from a chunk on; `None` where there is none, or none that can be read.
    fn first_slot(&self, chunk: u32, format: &Format) -> Result<Option<Slot>, Error> {
        for chunk in chunk..self.end {
            let path = format!("{chunk:05}.chunk");
            let failed = |source| Error::Io { path: self.files.show(&path), source };
            let file = self.files.open(&path, Access::Read).map_err(failed)?;
            let most = format.max_block_bytes() as u64;
            let len = file.len().map_err(failed)?.min(most);
            if len == 0 {
                continue;
            }
            let mut bytes = vec![0; usize::try_from(len).expect("at most a block")];
            file.read_at(0, &mut bytes).map_err(failed)?;
            let mut decoder = minicbor::Decoder::new(&bytes);
            let is_item = decoder.skip().is_ok();
            bytes.truncate(decoder.position());
            let block = is_item.then(|| format.block(&bytes.into()).ok()).flatten();
            return Ok(block.map(|block| block.header.slot));
        }
        Ok(None)
    }

    /// The entries of a chunk's secondary file; `None` if there is no such file or it cannot be one.
    pub(crate) fn entries(&self, chunk: u32) -> Result<Option<Vec<Entry>>, Error> {
        let path = format!("{chunk:05}.secondary");
        match files::read_all(self.files, &path, MAX_SECONDARY_BYTES) {
            Ok(bytes) => Ok(Some(Entry::decode_all(&bytes))),
            Err(error) if is_unusable(&error) => Ok(None),
            Err(source) => Err(Error::Io { path: self.files.show(&path), source }),
        }
    }

    fn last_entry(&self, chunk: u32) -> Result<Option<Entry>, Error> {
        let path = format!("{chunk:05}.secondary");
        let read = || {
            let file = self.files.open(&path, Access::Read)?;
            let count = file.len()? / SECONDARY_BYTES as u64;
            let Some(last) = count.checked_sub(1) else { return Ok(None) };
            let mut bytes = [0; SECONDARY_BYTES];
            file.read_at(last * SECONDARY_BYTES as u64, &mut bytes)?;
            Ok(Some(Entry::decode(&bytes)))
        };
        match read() {
            Err(error) if is_unusable(&error) => Ok(None),
            other => other.map_err(|source| Error::Io { path: self.files.show(&path), source }),
        }
    }

    /// The size of all chunks from `chunk` on, for the progress.
    pub(crate) fn bytes_from(&self, chunk: u32) -> Result<u64, Error> {
        let mut total = 0;
        for chunk in chunk..self.end {
            let path = format!("{chunk:05}.chunk");
            let len = self.files.open(&path, Access::Read).and_then(|file| file.len());
            total += len.map_err(|source| Error::Io { path: self.files.show(&path), source })?;
        }
        Ok(total)
    }
}

/// Errors after which the file counts as not there.
pub(crate) fn is_unusable(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, NotFound};
    matches!(error.kind(), NotFound | FileTooLarge)
}
