//! Reading the settled chain, beside the writer and by any number of threads.
//!
//! A reader sees the durable blocks only: the watermark moves when a sync is done. Every byte it hands out
//! was compared with its checksum. History is searched on disk; only chunks and open segments are cached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chain::{Block, Chunk, Format, Header, Point, Position, Tip, view::ChunkEntry};

use crate::cache::Cache;
use crate::certificates::{self, Certificates, Certified};
use crate::config::Config;
use crate::error::{Context as _, Damage, Error};
use crate::files::{Access, File as _, Files, disk};
use crate::held::Held;
use crate::index::{self, Entry, HEADERS, INDEX};
use crate::log::End;
use crate::recovery::Cut;
use crate::segment::{self, Kind, RECORD_HEADER_BYTES, Record};

/// Headers in a chunk.
pub const CHUNK_HEADERS: u64 = 256;
/// Blocks in one run at most: it bounds what a run reads of the index.
const MAX_RUN_BLOCKS: usize = 1_024;

/// Reads the settled chain. Clones share the caches.
#[derive(Debug)]
pub struct Reader<F: Files = disk::Files> {
    shared: Arc<Shared<F>>,
}

impl<F: Files> Clone for Reader<F> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
pub(crate) struct Shared<F: Files> {
    files: F,
    index: F::File,
    headers: F::File,
    /// How many blocks are settled and durable.
    settled: AtomicU64,
    chunks: Cache<Chunk>,
    segments: Cache<F::File>,
    certificates: Arc<certificates::Shared>,
    /// Where the bare blocks end, once there are any.
    bare: OnceLock<End>,
}

/// Consecutive blocks, read at once.
#[derive(Debug, Clone)]
pub struct Run {
    first: Position,
    bytes: Bytes,
    /// Where each block lies in `bytes`.
    blocks: Vec<(usize, usize)>,
}

impl Run {
    /// The position of the first block.
    pub fn first(&self) -> Position {
        self.first
    }

    /// The position after the last block.
    pub fn next(&self) -> Position {
        Position(self.first.0 + self.blocks.len() as u64)
    }

    /// How many blocks there are: at least one.
    pub fn count(&self) -> usize {
        self.blocks.len()
    }

    /// The blocks as they were stored, `[era, block]`, sharing the bytes that were read.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = Bytes> + '_ {
        self.blocks.iter().map(|(start, end)| self.bytes.slice(*start..*end))
    }
}

impl<F: Files> Reader<F> {
    /// Opens the files of the settled chain for reading, and the certificates, which need them.
    pub(crate) fn open(
        files: &F,
        config: &Config,
        (settled, bare): (u64, End),
        cuts: &mut Vec<Cut>,
    ) -> Result<(Certificates<F>, Self), Error> {
        let open = |path: &str| files.open(path, Access::Read).context("open", || files.show(path));
        let (index, headers) = (open(INDEX)?, open(HEADERS)?);
        let is_settled = |position: Position, id| match position.0 < settled {
            true => match index::read(files, &index, position, 1) {
                Ok(entries) => Ok(entries[0].id == id),
                Err(error) => Err(judged(files, Some(&bare), error)),
            },
            false => Ok(false),
        };
        let certificates = Certificates::recover(files, config.scan, settled, is_settled, cuts)?;
        let shared = Shared {
            files: files.clone(),
            index,
            headers,
            settled: AtomicU64::new(settled),
            chunks: Cache::new(config.cache_bytes),
            segments: Cache::new(config.open_segments),
            certificates: certificates.shared(),
            bare: OnceLock::new(),
        };
        let reader = Self { shared: Arc::new(shared) };
        if bare.next.0 > 0 {
            reader.set_bare(bare);
        }
        Ok((certificates, reader))
    }

    /// The blocks up to here are bare; told before they are shown to be settled.
    pub(crate) fn set_bare(&self, end: End) {
        assert!(self.shared.bare.set(end).is_ok(), "blocks become bare once, before any other is settled");
    }

    /// How many blocks, from the first on, are bare: their headers are held, their bodies are not.
    pub fn bare(&self) -> u64 {
        self.shared.bare.get().map_or(0, |end| end.next.0)
    }

    pub(crate) fn set_settled(&self, settled: u64) {
        self.shared.settled.store(settled, Ordering::Release);
    }

    /// How many blocks are settled: the irreversible tip stands at this position less one.
    pub fn settled(&self) -> u64 {
        self.shared.settled.load(Ordering::Acquire)
    }

    /// The irreversible tip.
    pub fn tip(&self) -> Result<Tip, Error> {
        let last = self.settled().checked_sub(1).map(Position);
        Ok(last.map(|last| self.entry(last)).transpose()?.flatten().map_or_else(Tip::default, |at| at.tip()))
    }

    /// What the index says of a position; `None` if it is not settled.
    pub fn entry(&self, position: Position) -> Result<Option<Entry>, Error> {
        if position.0 >= self.settled() {
            return Ok(None);
        }
        Ok(self.entries(position, 1)?.pop())
    }

    /// The point at a position; `None` if it is not settled.
    pub fn point_at(&self, position: Position) -> Result<Option<Point>, Error> {
        Ok(self.entry(position)?.map(|entry| entry.point()))
    }

    /// The position of a settled block; `None` for a block that is not, and for the origin, which is none.
    pub fn locate(&self, point: &Point) -> Result<Option<Position>, Error> {
        let Point::Block(slot, id) = point else { return Ok(None) };
        let (mut low, mut high) = (0, self.settled());
        let end = high;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entries(Position(middle), 1)?[0].slot < *slot {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        // A boundary block shares its slot with its child.
        while low < end {
            let entry = self.entries(Position(low), 1)?[0];
            if entry.slot != *slot {
                break;
            }
            if entry.id == *id {
                return Ok(Some(Position(low)));
            }
            low += 1;
        }
        Ok(None)
    }

    /// The chunk of headers that a position is in; `None` if it is not settled. The last chunk is short, and
    /// replaced by a longer one as blocks settle.
    pub fn chunk(&self, position: Position) -> Result<Option<Arc<Chunk>>, Error> {
        let settled = self.settled();
        if position.0 >= settled {
            return Ok(None);
        }
        let number = position.0 / CHUNK_HEADERS;
        let first = Position(number * CHUNK_HEADERS);
        let found = self.shared.chunks.get(number);
        if let Some(chunk) = found.filter(|chunk| first.0 + chunk.entries.len() as u64 > position.0) {
            return Ok(Some(chunk));
        }
        let count = CHUNK_HEADERS.min(settled - first.0);
        let chunk = Arc::new(self.read_chunk(first, usize::try_from(count).expect("at most a chunk"))?);
        let weight = chunk.bytes.len() + chunk.entries.len() * size_of::<ChunkEntry>();
        self.shared.chunks.put(number, Arc::clone(&chunk), weight);
        Ok(Some(chunk))
    }

    /// The chunk that a position is in, if it is at hand without reading.
    pub fn cached_chunk(&self, position: Position) -> Option<Arc<Chunk>> {
        let chunk = self.shared.chunks.get(position.0 / CHUNK_HEADERS)?;
        (chunk.first.0 + chunk.entries.len() as u64 > position.0).then_some(chunk)
    }

    fn read_chunk(&self, first: Position, count: usize) -> Result<Chunk, Error> {
        let start = match first.0 {
            0 => 0,
            _ => self.entries(Position(first.0 - 1), 1)?[0].header_end,
        };
        let entries = self.entries(first, count)?;
        let path = || self.shared.files.show(HEADERS);
        let damaged = |offset, damage| self.damaged_at(HEADERS, offset, damage);
        let len = entries.last().map_or(start, |last| last.header_end).checked_sub(start);
        // Headers are far shorter than blocks, whose length is bounded.
        let len = len.filter(|len| *len <= u64::from(crate::config::MAX_BLOCK_BYTES));
        let len = len.ok_or_else(|| damaged(start, Damage::Differs))?;
        let mut bytes = vec![0; usize::try_from(len).expect("bounded above")];
        self.shared.headers.read_at(start, &mut bytes).context("read", path)?;
        let mut begin = 0;
        let mut ends = Vec::with_capacity(count);
        for entry in &entries {
            let end = usize::try_from(entry.header_end.saturating_sub(start)).unwrap_or(usize::MAX);
            let header = bytes.get(begin..end).ok_or_else(|| damaged(start, Damage::Differs))?;
            if crc32c::crc32c(header) != entry.header_crc {
                return Err(damaged(start + begin as u64, Damage::Checksum));
            }
            let end_in_chunk = u32::try_from(end).expect("a chunk is below 16 MiB");
            ends.push(ChunkEntry { end: end_in_chunk, point: entry.point() });
            begin = end;
        }
        Ok(Chunk { first, bytes: bytes.into(), entries: ends.into() })
    }

    /// One block, `[era, block]`.
    pub fn block(&self, position: Position) -> Result<Held<Bytes>, Error> {
        let run = self.blocks(position, position, 0)?;
        Ok(run.and_then(|run| run.blocks().next()))
    }

    /// Blocks from `from` on, up to `to` included, that lie side by side: as many as `max_bytes` allow, but at
    /// least one. Absent if `from` is not settled or behind `to`. Ask again from [`Run::next`].
    pub fn blocks(&self, from: Position, to: Position, max_bytes: usize) -> Result<Held<Run>, Error> {
        let settled = self.settled();
        let last = to.0.min(settled.saturating_sub(1));
        if from.0 >= settled || from.0 > last {
            return Ok(Held::Absent);
        }
        if from.0 < self.bare() {
            return Ok(Held::NotHeld);
        }
        let count = usize::try_from(last - from.0).unwrap_or(usize::MAX).saturating_add(1);
        // Blocks are rarely below 512 B: do not read much more of the index than the run will hold.
        let entries = self.entries(from, count.min(MAX_RUN_BLOCKS).min(1 + max_bytes / 512))?;
        let segment = entries[0].segment;
        let start = entries[0].offset;
        let end_of =
            |entry: &Entry| entry.offset as usize + RECORD_HEADER_BYTES as usize + entry.len as usize;
        let fits = |entry: &&Entry| {
            entry.segment == segment && end_of(entry).saturating_sub(start as usize) <= max_bytes
        };
        let count = 1 + entries[1..].iter().take_while(fits).count();
        let end = end_of(&entries[count - 1]);
        let len = end.checked_sub(start as usize).filter(|len| *len <= run_limit(max_bytes));
        let len = len.ok_or_else(|| self.damaged(segment, start, Damage::Differs))?;
        let mut bytes = vec![0; len];
        let file = self.segment(segment)?;
        file.read_at(start.into(), &mut bytes).context("read", || self.path_of(segment))?;
        self.cut_run(from, &entries[..count], bytes.into())
    }

    fn cut_run(&self, first: Position, entries: &[Entry], bytes: Bytes) -> Result<Held<Run>, Error> {
        let mut blocks = Vec::with_capacity(entries.len());
        let mut at = 0;
        for entry in entries {
            let damaged = |damage| self.damaged(entry.segment, entry.offset, damage);
            match segment::decode_record(&bytes[at..]) {
                Record::Whole(block) if block.len() == entry.len as usize => {
                    let begin = at + RECORD_HEADER_BYTES as usize;
                    at = begin + block.len();
                    blocks.push((begin, at));
                }
                Record::Whole(_) | Record::End => return Err(damaged(Damage::Differs)),
                Record::Short(_) => return Err(damaged(Damage::Torn)),
                Record::Damaged(damage) => return Err(damaged(damage)),
            }
        }
        Ok(Held::Here(Run { first, bytes, blocks }))
    }

    /// The certificate of a settled block, if it came with one that is kept.
    pub fn certificate(&self, position: Position) -> Result<Option<Bytes>, Error> {
        let Some(certified) = self.shared.certificates.at(&self.shared.files, position)? else {
            return Ok(None);
        };
        let entry = self.entry(position)?.filter(|entry| entry.id == certified.id);
        Ok(entry.map(|_| certified.certificate))
    }

    /// Reads all segments of certificates; an error if one is damaged.
    pub(crate) fn check_certificates(&self) -> Result<(), Error> {
        certificates::check(&self.shared.files)
    }

    /// The newest certificate.
    pub fn newest_certificate(&self) -> Option<Certified> {
        self.shared.certificates.newest()
    }

    /// The first of these points that is settled: where it stands, and the tip of a chain that ends there.
    pub fn find(&self, points: &[Point]) -> Result<Option<(Position, Tip)>, Error> {
        for point in points {
            if let Some(position) = self.locate(point)? {
                return Ok(self.entry(position)?.map(|entry| (position, entry.tip())));
            }
        }
        Ok(None)
    }

    /// At most `max` headers in a row, each with its certificate where that is kept; none if `from` is not settled.
    pub fn headers(
        &self,
        format: &Format,
        from: Position,
        max: usize,
    ) -> Result<Vec<(Header, Option<Bytes>)>, Error> {
        let mut headers = Vec::new();
        let mut next = from;
        while headers.len() < max {
            let Some(chunk) = self.chunk(next)? else { break };
            let skipped = usize::try_from(next.0 - chunk.first.0).expect("less than a chunk");
            let mut start = skipped.checked_sub(1).map_or(0, |before| chunk.entries[before].end as usize);
            for entry in chunk.entries[skipped..].iter().take(max - headers.len()) {
                let end = entry.end as usize;
                let header = format.header(&chunk.bytes.slice(start..end));
                let damage = |error: chain::DecodeError| Damage::Block { reason: error.to_string() };
                let header = header.map_err(|error| self.damaged_at(HEADERS, 0, damage(error)))?;
                let certificate = match self.certificate(next) {
                    // One that is damaged is as good as none: a verification tells of it.
                    Err(Error::Damaged { .. }) => None,
                    found => found?,
                };
                headers.push((header, certificate));
                (start, next) = (end, next.next());
            }
        }
        Ok(headers)
    }

    /// Blocks in a row from `from` on, up to `to` included: at most `max`, and of at most `max_bytes` together but
    /// for the first. Absent if `from` is not settled.
    pub fn decoded(
        &self,
        format: &Format,
        from: Position,
        to: Position,
        max: usize,
        max_bytes: u64,
    ) -> Result<Held<Vec<Block>>, Error> {
        let end = self.settled().min(to.0.saturating_add(1)).min(from.0.saturating_add(max as u64));
        let count = usize::try_from(end.saturating_sub(from.0)).unwrap_or(usize::MAX);
        if count == 0 {
            return Ok(Held::Absent);
        }
        if from.0 < self.bare() {
            return Ok(Held::NotHeld);
        }
        let entries = self.entries(from, count.min(MAX_RUN_BLOCKS))?;
        let mut bytes = 0;
        let fits = |(number, entry): &(usize, &Entry)| {
            bytes += u64::from(entry.len);
            *number == 0 || bytes <= max_bytes
        };
        let count = entries.iter().enumerate().take_while(fits).count();
        let mut blocks = Vec::with_capacity(count);
        while blocks.len() < count {
            let next = Position(from.0 + blocks.len() as u64);
            let last = Position(from.0 + count as u64 - 1);
            let Held::Here(run) = self.blocks(next, last, usize::MAX)? else { break };
            for (raw, entry) in run.blocks().zip(&entries[blocks.len()..]) {
                let block = format.block(&raw).map_err(|error| {
                    self.damaged(entry.segment, entry.offset, Damage::Block { reason: error.to_string() })
                })?;
                blocks.push(block);
            }
        }
        Ok(Held::Here(blocks))
    }

    /// The same from one point to another, or to the end where that is not settled.
    pub fn decoded_between(
        &self,
        format: &Format,
        from: &Point,
        to: &Point,
        max: usize,
        max_bytes: u64,
    ) -> Result<Held<Vec<Block>>, Error> {
        let Some(first) = self.locate(from)? else { return Ok(Held::Absent) };
        let last = self.locate(to)?.unwrap_or(Position(u64::MAX));
        self.decoded(format, first, last, max, max_bytes)
    }

    fn entries(&self, first: Position, count: usize) -> Result<Vec<Entry>, Error> {
        index::read(&self.shared.files, &self.shared.index, first, count).map_err(|error| self.judged(error))
    }

    fn judged(&self, error: Error) -> Error {
        judged(&self.shared.files, self.shared.bare.get(), error)
    }

    /// The index from `first` to before `end`.
    pub(crate) fn entries_between(&self, first: Position, end: u64) -> Result<Vec<Entry>, Error> {
        self.entries(first, usize::try_from(end - first.0).expect("a stretch is short"))
    }

    /// An error that names a place in one of the store's files.
    pub(crate) fn damaged_at(&self, path: &str, offset: u64, damage: Damage) -> Error {
        self.judged(Error::Damaged { path: self.shared.files.show(path), offset, damage })
    }

    fn segment(&self, number: u32) -> Result<Arc<F::File>, Error> {
        if let Some(file) = self.shared.segments.get(number.into()) {
            return Ok(file);
        }
        let path = Kind::Log.path(number);
        let file = self.shared.files.open(&path, Access::Read).context("open", || self.path_of(number))?;
        let file = Arc::new(file);
        self.shared.segments.put(number.into(), Arc::clone(&file), 1);
        Ok(file)
    }

    fn damaged(&self, segment: u32, offset: u32, damage: Damage) -> Error {
        Error::Damaged { path: self.path_of(segment), offset: offset.into(), damage }
    }

    fn path_of(&self, segment: u32) -> String {
        self.shared.files.show(&Kind::Log.path(segment))
    }
}

/// An error; one of its own where the damage is of a bare block, which cannot be made again out of the log.
fn judged<F: Files>(files: &F, bare: Option<&End>, error: Error) -> Error {
    let Some(bare) = bare else { return error };
    match error {
        Error::Damaged { path, offset, damage } => {
            let is_in = |name: &str, end: u64| path == files.show(name) && offset < end;
            match is_in(INDEX, index::byte_of(bare.next)) || is_in(HEADERS, bare.header_end) {
                true => Error::Bare { path, offset, damage },
                false => Error::Damaged { path, offset, damage },
            }
        }
        error => error,
    }
}

/// What a run may take: what was asked for, or one block.
fn run_limit(max_bytes: usize) -> usize {
    max_bytes.max((crate::config::MAX_BLOCK_BYTES + RECORD_HEADER_BYTES) as usize)
}
