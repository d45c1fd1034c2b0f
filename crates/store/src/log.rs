//! Writing the settled chain: log segments, the index and the headers file, in step.
//!
//! **Invariant:** before a segment is created, the one before it, the index and the headers file are durable
//! up to its first record. [`recover`](crate::recovery) relies on it.

use chain::{Block, Position, Tip};

use crate::config::Config;
use crate::error::{Context as _, Error};
use crate::files::{Access, File as _, Files};
use crate::index::{self, Entry, HEADERS, INDEX};
use crate::segment::{self, Kind};

/// Headers wait in memory up to this before they are written even without a sync, as records do.
const BUFFER_BYTES: usize = 1 << 20;

/// The end of the settled chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Where the next block will stand.
    pub(crate) next: Position,
    /// The last block.
    pub(crate) tip: Tip,
    /// Where the last header ends.
    pub(crate) header_end: u64,
}

/// The log, open for writing at its end.
#[derive(Debug)]
pub(crate) struct Log<F: Files> {
    files: F,
    segment_bytes: u32,
    segment: segment::Writer<F>,
    index: F::File,
    headers: F::File,
    /// Records of the index that are not written yet; they end at `end.next`.
    index_buffer: Vec<u8>,
    /// Headers that are not written yet; they end at `end.header_end`.
    header_buffer: Vec<u8>,
    end: End,
}

impl<F: Files> Log<F> {
    pub(crate) fn new(
        files: &F,
        config: &Config,
        segment: segment::Writer<F>,
        end: End,
    ) -> Result<Self, Error> {
        let open = |path: &str| files.open(path, Access::Write).context("open", || files.show(path));
        Ok(Self {
            files: files.clone(),
            segment_bytes: config.log_segment_bytes,
            segment,
            index: open(INDEX)?,
            headers: open(HEADERS)?,
            index_buffer: Vec::new(),
            header_buffer: Vec::new(),
            end,
        })
    }

    pub(crate) fn end(&self) -> End {
        self.end
    }

    /// Appends the block that follows the tip.
    pub(crate) fn append(&mut self, block: &Block) -> Result<(), Error> {
        if !self.segment.fits(&block.raw, self.segment_bytes) {
            self.roll()?;
        }
        let header = &block.header;
        let offset = self.segment.append(&block.raw)?;
        let entry = Entry {
            id: header.id,
            slot: header.slot,
            height: header.height,
            header_end: self.end.header_end + header.wire.len() as u64,
            segment: self.segment.header().number,
            offset,
            len: u32::try_from(block.raw.len()).expect("checked when the block was settled"),
            header_crc: crc32c::crc32c(&header.wire),
        };
        entry.encode(&mut self.index_buffer);
        self.header_buffer.extend_from_slice(&header.wire);
        self.end = End { next: self.end.next.next(), tip: header.tip(), header_end: entry.header_end };
        if self.header_buffer.len() >= BUFFER_BYTES { self.write_derived() } else { Ok(()) }
    }

    /// Makes what was appended durable, as far as a start cannot make it again.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.write_derived()?;
        self.segment.sync()
    }

    /// Writes what index and headers file lack.
    fn write_derived(&mut self) -> Result<(), Error> {
        if self.index_buffer.is_empty() {
            return Ok(());
        }
        let index_at = index::byte_of(self.end.next) - self.index_buffer.len() as u64;
        self.index.write_at(index_at, &self.index_buffer).context("write", || self.files.show(INDEX))?;
        self.index_buffer.clear();
        let headers_at = self.end.header_end - self.header_buffer.len() as u64;
        let path = || self.files.show(HEADERS);
        self.headers.write_at(headers_at, &self.header_buffer).context("write", path)?;
        self.header_buffer.clear();
        Ok(())
    }

    fn roll(&mut self) -> Result<(), Error> {
        self.sync()?;
        self.index.sync_data().context("sync", || self.files.show(INDEX))?;
        self.headers.sync_data().context("sync", || self.files.show(HEADERS))?;
        self.segment.seal()?;
        let number = self.segment.header().number + 1;
        let header = segment::Header { kind: Kind::Log, number, first: self.end.next.0 };
        self.segment = segment::Writer::create(&self.files, header, self.segment_bytes)?;
        Ok(())
    }
}
