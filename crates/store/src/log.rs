//! Writing the settled chain: log segments, the index and the headers file, in step.
//!
//! The first blocks may be *bare*: index and headers file have them, no segment does.
//!
//! **Invariant:** before a segment is created, the one before it, the index and the headers file are durable
//! up to its first record. [`recover`](crate::recovery) relies on it.

use chain::{Block, Header, Height, Point, Position, Tip};

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

impl End {
    /// Before the first block.
    pub(crate) const ORIGIN: Self =
        Self { next: Position(0), tip: Tip { point: Point::Origin, height: Height(0) }, header_end: 0 };
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
    /// Where the bare blocks end that are written and not settled: no start knows of them.
    bare: Option<End>,
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
            bare: None,
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
        let offset = self.segment.append(&block.raw)?;
        let len = u32::try_from(block.raw.len()).expect("checked when the block was settled");
        self.end = self.derive(self.end, &block.header, (self.segment.header().number, offset, len));
        if self.header_buffer.len() >= BUFFER_BYTES { self.write_derived() } else { Ok(()) }
    }

    /// Appends a header to the index and the headers file, with the place and the length of its block; the new end.
    fn derive(&mut self, end: End, header: &Header, (segment, offset, len): (u32, u32, u32)) -> End {
        let entry = Entry {
            id: header.id,
            slot: header.slot,
            height: header.height,
            header_end: end.header_end + header.wire.len() as u64,
            segment,
            offset,
            len,
            header_crc: crc32c::crc32c(&header.wire),
        };
        entry.encode(&mut self.index_buffer);
        self.header_buffer.extend_from_slice(&header.wire);
        End { next: end.next.next(), tip: header.tip(), header_end: entry.header_end }
    }

    /// Where the bare blocks end that are written and not settled.
    pub(crate) fn bare(&self) -> End {
        self.bare.unwrap_or(End::ORIGIN)
    }

    /// Appends a bare block to those before it. Nothing is settled yet.
    pub(crate) fn append_bare(&mut self, header: &Header) -> Result<(), Error> {
        self.bare = Some(self.derive(self.bare(), header, (0, 0, 0)));
        if self.header_buffer.len() >= BUFFER_BYTES { self.write_derived() } else { Ok(()) }
    }

    /// Makes the bare blocks durable, as they must be before the mark that says so.
    pub(crate) fn sync_bare(&mut self) -> Result<(), Error> {
        self.write_derived()?;
        self.sync_derived()
    }

    /// Goes on above the bare blocks, now that they are marked.
    pub(crate) fn settle_bare(&mut self) -> Result<(), Error> {
        self.end = self.bare.take().expect("bare blocks are settled after they were put");
        let header = segment::Header { number: 0, kind: Kind::Log, first: self.end.next.0 };
        self.segment = segment::Writer::create(&self.files, header, self.segment_bytes)?;
        Ok(())
    }

    /// Drops the bare blocks that are not settled. What is left of them in the files is written over, or cut off by a start.
    pub(crate) fn forget_bare(&mut self) {
        if self.bare.take().is_some() {
            self.index_buffer.clear();
            self.header_buffer.clear();
        }
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
        let end = self.bare.unwrap_or(self.end);
        let index_at = index::byte_of(end.next) - self.index_buffer.len() as u64;
        self.index.write_at(index_at, &self.index_buffer).context("write", || self.files.show(INDEX))?;
        self.index_buffer.clear();
        let headers_at = end.header_end - self.header_buffer.len() as u64;
        let path = || self.files.show(HEADERS);
        self.headers.write_at(headers_at, &self.header_buffer).context("write", path)?;
        self.header_buffer.clear();
        Ok(())
    }

    fn sync_derived(&self) -> Result<(), Error> {
        self.index.sync_data().context("sync", || self.files.show(INDEX))?;
        self.headers.sync_data().context("sync", || self.files.show(HEADERS))
    }

    fn roll(&mut self) -> Result<(), Error> {
        self.sync()?;
        self.sync_derived()?;
        self.segment.seal()?;
        let number = self.segment.header().number + 1;
        let header = segment::Header { kind: Kind::Log, number, first: self.end.next.0 };
        self.segment = segment::Writer::create(&self.files, header, self.segment_bytes)?;
        Ok(())
    }
}
