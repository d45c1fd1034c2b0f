//! What a start does: `docs/store-format.md`, last section, in code.
//!
//! The log is the only truth. It is read (the last segment; all of it if the index does not fit, or for a
//! repair) and cut before the first thing that is not a whole block naming its predecessor. Everything else
//! is brought in line with it. Of the first blocks, where these are bare, index and headers file are the truth: they
//! were durable before `meta.toml` said so.

use std::fmt;

use bytes::Bytes;
use chain::{Block, Format, Hash, Position, State, Tip};

use crate::certificates::Certified;
use crate::config::{self, Config};
use crate::error::{Context as _, Damage, Error};
use crate::files::{Access, File as _, Files};
use crate::index::{self, ENTRY_BYTES, Entry, HEADERS, INDEX};
use crate::journal::Journal;
use crate::log::{End, Log};
use crate::meta::{self, META};
use crate::mirror::Mirror;
use crate::reader::Reader;
use crate::segment::{HEADER_BYTES, Header, Kind, RECORD_HEADER_BYTES, Scan, Writer};
use crate::snapshot;

/// What a start found.
#[derive(Debug)]
pub struct Recovered {
    /// How many blocks are settled.
    pub settled: u64,
    /// The last of them.
    pub irreversible: Tip,
    /// The header state there.
    pub state: State,
    /// The newest certificate. It is of the last settled block, if that was settled with one.
    pub certificate: Option<Certified>,
    /// What the consensus journal holds.
    pub journal: Journal,
    /// The blocks above it, of all forks, parents first.
    pub forks: Vec<Block>,
    /// What was cut off because it was not whole; most often what was being written when the power failed.
    pub cut: Vec<Cut>,
}

/// Something that was cut off on start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: String,
    /// Where the cut was made.
    pub offset: u64,
    /// How many bytes were behind it.
    pub bytes: u64,
    /// What stood there.
    pub damage: Damage,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cut at byte {}, {} bytes dropped: {}", self.path, self.offset, self.bytes, self.damage)
    }
}

impl Cut {
    /// Notes a cut, if there is anything behind it; says whether there is.
    pub(crate) fn note<F: Files>(
        cuts: &mut Vec<Self>,
        scan: &Scan<F>,
        offset: u32,
        damage: Option<Damage>,
    ) -> Result<bool, Error> {
        let bytes = scan.bytes_after(offset)?;
        if bytes > 0 {
            let damage = damage.unwrap_or(Damage::Trailing);
            cuts.push(Self { path: scan.path().to_owned(), offset: offset.into(), bytes, damage });
        }
        Ok(bytes > 0)
    }
}

/// Reads the log and opens it for writing at its end.
pub(crate) fn recover_log<F: Files>(
    files: &F,
    config: &Config,
    format: &Format,
    bare: End,
    cuts: &mut Vec<Cut>,
) -> Result<Log<F>, Error> {
    let repair = config.scan == config::Scan::Whole;
    let last = last_segment(files, repair, bare, cuts)?;
    let whole = Start { segment: 0, end: bare };
    let first = match (last, repair) {
        (Some(last), false) => trusted_start(files, last)?.unwrap_or(whole),
        (Some(_), true) | (None, _) => whole,
    };
    let mut walk = Walk {
        files,
        format,
        repair,
        end: first.end,
        index: Mirror::open(files, INDEX, index::byte_of(first.end.next))?,
        headers: Mirror::open(files, HEADERS, first.end.header_end)?,
    };
    let mut open = None;
    for number in first.segment..last.map_or(0, |last| last + 1) {
        let is_last = Some(number) == last;
        let (header, offset, whole) = walk.segment(number, is_last, cuts)?;
        open = Some((header, offset));
        if !whole {
            remove_segments(files, number + 1, cuts)?;
            break;
        }
    }
    walk.index.finish()?;
    walk.headers.finish()?;
    files.sync_dir("").context("sync", || files.show(""))?;
    let writer = match open {
        Some((header, offset)) => Writer::resume(files, header, offset, config.log_segment_bytes)?,
        None => {
            let header = Header { kind: Kind::Log, number: 0, first: bare.next.0 };
            Writer::create(files, header, config.log_segment_bytes)?
        }
    };
    Log::new(files, config, writer, walk.end)
}

/// Where the bare blocks end, if there are any: what `meta.toml` says, compared with the index.
pub(crate) fn bare_end<F: Files>(files: &F) -> Result<End, Error> {
    let Some(bare) = meta::bare(files)? else { return Ok(End::ORIGIN) };
    let offset = bare.blocks.checked_sub(1).and_then(|last| last.checked_mul(ENTRY_BYTES as u64));
    let damaged = |path: &str, offset, damage| Error::Bare { path: files.show(path), offset, damage };
    let Some(offset) = offset else {
        return Err(damaged(META, 0, Damage::Length { len: bare.blocks }));
    };
    let entry = entry_at(files, Position(bare.blocks - 1))?;
    let entry = entry.filter(|entry| entry.is_bare() && entry.id.to_string() == bare.tip);
    let entry = entry.ok_or_else(|| damaged(INDEX, offset, Damage::Differs))?;
    let headers = headers_len(files)?;
    if headers < entry.header_end {
        return Err(damaged(HEADERS, headers, Damage::Torn));
    }
    Ok(End { next: Position(bare.blocks), tip: entry.tip(), header_end: entry.header_end })
}

/// The last segment, after a start of a segment that was never written to was put away.
fn last_segment<F: Files>(
    files: &F,
    repair: bool,
    bare: End,
    cuts: &mut Vec<Cut>,
) -> Result<Option<u32>, Error> {
    let numbers = Kind::Log.list(files)?;
    let gap = (0..).zip(&numbers).find(|(wanted, found)| wanted != *found).map(|(wanted, _)| wanted);
    // Blocks were settled once, or there would be no index; so a log without segments lost them.
    let lost = numbers.is_empty() && holds_entries(files, bare)?;
    if let Some(missing) = gap.or(lost.then_some(0)) {
        let path = files.show(&Kind::Log.path(missing));
        if !repair {
            return Err(Error::Damaged { path, offset: 0, damage: Damage::Missing });
        }
        remove_segments(files, missing, cuts)?;
        cuts.push(Cut { path, offset: 0, bytes: 0, damage: Damage::Missing });
        return Ok(missing.checked_sub(1));
    }
    let Some(last) = numbers.last().copied() else { return Ok(None) };
    let (header, scan) = Scan::open(files, Kind::Log, last)?;
    // The log had begun, empty, at the first block before bare ones were settled.
    let is_before_bare = header.is_some_and(|header| last == 0 && header.first == 0) && bare.next.0 > 0;
    if header.is_some() && !(is_before_bare && scan.bytes_after(HEADER_BYTES)? == 0) {
        return Ok(Some(last));
    }
    if scan.bytes_after(HEADER_BYTES)? == 0 {
        // Its creation was cut short.
        remove_segments(files, last, cuts)?;
        return Ok(last.checked_sub(1));
    }
    if repair {
        return Ok(Some(last));
    }
    Err(Error::Damaged { path: scan.path().into(), offset: 0, damage: Damage::SegmentHeader })
}

/// Whether the index knows blocks above the bare ones.
fn holds_entries<F: Files>(files: &F, bare: End) -> Result<bool, Error> {
    match files.open(INDEX, Access::Read) {
        Ok(file) => Ok(file.len().context("read", || files.show(INDEX))? >= index::byte_of(bare.next.next())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Io { action: "open", path: files.show(INDEX), source }),
    }
}

/// Removes a segment and those after it, the last first, so that a crash leaves no gap.
fn remove_segments<F: Files>(files: &F, from: u32, cuts: &mut Vec<Cut>) -> Result<(), Error> {
    for number in Kind::Log.list(files)?.into_iter().rev().filter(|number| *number >= from) {
        let (header, scan) = Scan::open(files, Kind::Log, number)?;
        let damage = if header.is_none() { Damage::SegmentHeader } else { Damage::Link };
        Cut::note(cuts, &scan, HEADER_BYTES, Some(damage))?;
        let path = Kind::Log.path(number);
        files.remove(&path).context("remove", || files.show(&path))?;
        files.sync_dir(Kind::Log.dir()).context("sync", || files.show(Kind::Log.dir()))?;
    }
    Ok(())
}

/// Where reading begins, and what stands before.
struct Start {
    segment: u32,
    end: End,
}

/// The last segment, if the index ends where it begins.
fn trusted_start<F: Files>(files: &F, last: u32) -> Result<Option<Start>, Error> {
    let (header, _) = Scan::open(files, Kind::Log, last)?;
    let Some(before) = header.and_then(|header| header.first.checked_sub(1)) else { return Ok(None) };
    let Some(entry) = entry_at(files, Position(before))?.filter(|entry| !entry.is_bare()) else {
        return Ok(None);
    };
    let Some(sealed) = last.checked_sub(1).filter(|number| *number == entry.segment) else {
        return Ok(None);
    };
    let path = Kind::Log.path(sealed);
    let len = files.open(&path, Access::Read).and_then(|file| file.len());
    let len = len.context("read", || files.show(&path))?;
    let end = u64::from(entry.offset) + u64::from(RECORD_HEADER_BYTES) + u64::from(entry.len);
    if len != end || headers_len(files)? < entry.header_end {
        return Ok(None);
    }
    let next = Position(before + 1);
    Ok(Some(Start { segment: last, end: End { next, tip: entry.tip(), header_end: entry.header_end } }))
}

/// A record of the index, if there is a whole one.
fn entry_at<F: Files>(files: &F, position: Position) -> Result<Option<Entry>, Error> {
    let Ok(file) = files.open(INDEX, Access::Read) else { return Ok(None) };
    match index::read(files, &file, position, 1) {
        Ok(entries) => Ok(entries.first().copied()),
        Err(Error::Damaged { .. }) => Ok(None),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn headers_len<F: Files>(files: &F) -> Result<u64, Error> {
    match files.open(HEADERS, Access::Read) {
        Ok(file) => file.len().context("read", || files.show(HEADERS)),
        Err(_) => Ok(0),
    }
}

/// Walks over the log's segments, and brings index and headers file in line.
struct Walk<'a, F: Files> {
    files: &'a F,
    format: &'a Format,
    repair: bool,
    end: End,
    index: Mirror<F>,
    headers: Mirror<F>,
}

impl<F: Files> Walk<'_, F> {
    /// Reads one segment; says where its records end, and whether the next segment may follow there.
    fn segment(
        &mut self,
        number: u32,
        is_last: bool,
        cuts: &mut Vec<Cut>,
    ) -> Result<(Header, u32, bool), Error> {
        let (header, mut scan) = Scan::open(self.files, Kind::Log, number)?;
        let expected = Header { kind: Kind::Log, number, first: self.end.next.0 };
        if header != Some(expected) {
            if !self.repair {
                let path = scan.path().to_owned();
                return Err(Error::Damaged { path, offset: 0, damage: Damage::SegmentHeader });
            }
            // Whether its blocks follow, their links tell.
            expected.write(self.files)?;
        }
        let stopped = self.records(number, &mut scan)?;
        let end = scan.end();
        let (offset, mut damage) = match stopped {
            Some((offset, damage)) => (offset, Some(damage)),
            None => (end.offset, end.damage),
        };
        if damage.is_none() && !is_last {
            damage = self.sealed_damage(number, offset, scan.len())?;
        }
        if let Some(damage) = damage.as_ref().filter(|_| !is_last && !self.repair) {
            return Err(Error::Damaged {
                path: scan.path().into(),
                offset: offset.into(),
                damage: damage.clone(),
            });
        }
        let whole = is_last || damage.is_none();
        Cut::note(cuts, &scan, offset, damage)?;
        Ok((expected, offset, whole))
    }

    /// What is wrong with the end of a segment that others follow.
    fn sealed_damage(&self, number: u32, end: u32, len: u64) -> Result<Option<Damage>, Error> {
        if u64::from(end) < len {
            return Ok(Some(Damage::Trailing));
        }
        let (next, _) = Scan::open(self.files, Kind::Log, number + 1)?;
        let short = next.is_some_and(|next| next.first != self.end.next.0);
        Ok(short.then_some(Damage::Torn))
    }

    /// Reads records until one does not belong; where that is and why, if it is not the scan's own end.
    fn records(&mut self, segment: u32, scan: &mut Scan<F>) -> Result<Option<(u32, Damage)>, Error> {
        while let Some((offset, raw)) = scan.next()? {
            if let Err(damage) = self.record(segment, offset, &raw)? {
                return Ok(Some((offset, damage)));
            }
        }
        Ok(None)
    }

    fn record(&mut self, segment: u32, offset: u32, raw: &Bytes) -> Result<Result<(), Damage>, Error> {
        let block = match self.format.block(raw) {
            Ok(block) => block,
            Err(error) => return Ok(Err(Damage::Block { reason: error.to_string() })),
        };
        let header = block.header;
        if header.prev != self.end.tip.point.hash() {
            return Ok(Err(Damage::Link));
        }
        let entry = Entry {
            id: header.id,
            slot: header.slot,
            height: header.height,
            header_end: self.end.header_end + header.wire.len() as u64,
            segment,
            offset,
            len: u32::try_from(raw.len()).expect("a record's length is a u32"),
            header_crc: crc32c::crc32c(&header.wire),
        };
        let mut bytes = Vec::with_capacity(ENTRY_BYTES);
        entry.encode(&mut bytes);
        self.index.put(&bytes)?;
        self.headers.put(&header.wire)?;
        self.end = End { next: self.end.next.next(), tip: header.tip(), header_end: entry.header_end };
        Ok(Ok(()))
    }
}

/// The header state at the irreversible tip: the newest snapshot, and the headers after it replayed.
pub(crate) fn recover_state<F: Files>(
    files: &F,
    format: &Format,
    reader: &Reader<F>,
) -> Result<State, Error> {
    snapshot::remove_after(files, Position(reader.settled()))?;
    let on_chain = |position: Position, id: Option<Hash>| {
        let Some(last) = position.0.checked_sub(1) else { return Ok(id.is_none()) };
        Ok(reader.entry(Position(last))?.map(|entry| entry.id) == id)
    };
    let mut state = snapshot::newest(files, on_chain)?.unwrap_or_else(|| format.genesis());
    while state.next.0 < reader.settled() {
        let chunk = reader.chunk(state.next)?.expect("below the settled end");
        let skipped = usize::try_from(state.next.0 - chunk.first.0).expect("less than a chunk");
        let mut start = skipped.checked_sub(1).map_or(0, |before| chunk.entries[before].end as usize);
        for entry in &chunk.entries[skipped..] {
            let wire = chunk.bytes.slice(start..entry.end as usize);
            start = entry.end as usize;
            let position = state.next;
            let refused = |reason: String| Error::Refused { position, reason };
            let header = format.header(&wire).map_err(|error| refused(error.to_string()))?;
            state = format.next(&state, &header).map_err(|reason| refused(reason.to_string()))?;
        }
    }
    Ok(state)
}
