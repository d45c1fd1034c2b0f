//! Segments: append-only files of records, for the log and for the fork tree alike.
//!
//! Layout: `docs/store-format.md`. A `Writer` buffers records and writes them with one call; a `Scan`
//! reads a segment from its first record and says where and why it ends. Neither decodes blocks.
//!
//! **Invariant:** the bytes behind a writer's end are zero, so that a scan finds the end.

use bytes::Bytes;

use crate::config::MAX_BLOCK_BYTES;
use crate::error::{Context as _, Damage, Error};
use crate::files::{Access, File, Files};

/// The bytes before the first record.
pub const HEADER_BYTES: u32 = 32;
/// The bytes before the block in a record.
pub const RECORD_HEADER_BYTES: u32 = 8;

const MAGIC: &[u8; 8] = b"ANBRSEG1";
/// Records wait in memory up to this before they are written even without a sync. A guess: large enough that
/// the cost of the system call is small, small enough to stay in the processor's cache.
const BUFFER_BYTES: usize = 1 << 20;
/// How much a scan reads at once.
const SCAN_BYTES: u64 = 4 << 20;

/// Which series a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The settled blocks.
    Log,
    /// The blocks above the irreversible tip.
    Forks,
    /// The certificates that are kept.
    Certificates,
}

impl Kind {
    /// The directory of the series.
    pub fn dir(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Forks => "forks",
            Self::Certificates => "certificates",
        }
    }

    fn code(self) -> u32 {
        match self {
            Self::Log => 1,
            Self::Forks => 2,
            Self::Certificates => 3,
        }
    }

    /// The path of a segment.
    pub fn path(self, number: u32) -> String {
        format!("{}/{number:06}.seg", self.dir())
    }

    /// The numbers of the segments that are there, rising.
    pub fn list<F: Files>(self, files: &F) -> Result<Vec<u32>, Error> {
        let names = files.list(self.dir()).context("list", || files.show(self.dir()))?;
        let number = |name: &String| name.strip_suffix(".seg")?.parse().ok();
        let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// What a segment's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The series.
    pub kind: Kind,
    /// The number in the series.
    pub number: u32,
    /// The position of the first record (log) or of the first block in its span (certificates); 0 in forks.
    pub first: u64,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.kind.code().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Writes the header over a damaged one.
    pub(crate) fn write<F: Files>(&self, files: &F) -> Result<(), Error> {
        let path = self.kind.path(self.number);
        let show = || files.show(&path);
        let file = files.open(&path, Access::Write).context("open", show)?;
        file.write_at(0, &self.encode()).context("write", show)?;
        file.sync_data().context("sync", show)
    }

    /// Reads the header of segment `number` of a series; `None` if it is not that.
    pub fn decode(kind: Kind, number: u32, bytes: &[u8; HEADER_BYTES as usize]) -> Option<Self> {
        let first = u64::from_le_bytes(bytes[16..24].try_into().ok()?);
        let header = Self { kind, number, first };
        (header.encode() == *bytes).then_some(header)
    }
}

/// Appends the record of a block to a buffer.
pub fn encode_record(block: &[u8], to: &mut Vec<u8>) {
    let len = u32::try_from(block.len()).expect("checked when the block was put").to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&len), block);
    to.extend_from_slice(&len);
    to.extend_from_slice(&crc.to_le_bytes());
    to.extend_from_slice(block);
}

/// What stands at the front of some bytes of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// A whole record: its block. It takes [`RECORD_HEADER_BYTES`] more than the block.
    Whole(&'a [u8]),
    /// The end of the segment.
    End,
    /// More bytes are needed: as many as stated in all, at least.
    Short(usize),
    /// Not a record.
    Damaged(Damage),
}

/// Reads the record at the front of `bytes`.
pub fn decode_record(bytes: &[u8]) -> Record<'_> {
    let header = RECORD_HEADER_BYTES as usize;
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else { return Record::Short(header) };
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return Record::Short(header) };
    let block_len = u32::from_le_bytes(*len);
    match block_len {
        0 if *crc == [0; 4] => return Record::End,
        0 => return Record::Damaged(Damage::Length { len: 0 }),
        1..=MAX_BLOCK_BYTES => {}
        _ => return Record::Damaged(Damage::Length { len: block_len.into() }),
    }
    let Some(block) = rest.get(..block_len as usize) else {
        return Record::Short(header + block_len as usize);
    };
    if crc32c::crc32c_append(crc32c::crc32c(len), block) != u32::from_le_bytes(*crc) {
        return Record::Damaged(Damage::Checksum);
    }
    Record::Whole(block)
}

/// A segment that is written to.
#[derive(Debug)]
pub(crate) struct Writer<F: Files> {
    files: F,
    file: F::File,
    header: Header,
    /// Where the file ends, without what is buffered.
    written: u32,
    buffer: Vec<u8>,
    /// Whether something was written since the last sync.
    dirty: bool,
}

impl<F: Files> Writer<F> {
    /// Creates a segment, empty and durable, with space for `bytes`.
    pub(crate) fn create(files: &F, header: Header, bytes: u32) -> Result<Self, Error> {
        let path = header.kind.path(header.number);
        let show = || files.show(&path);
        let file = files.create(&path).context("create", show)?;
        file.write_at(0, &header.encode()).context("write", show)?;
        file.allocate(bytes.into()).context("reserve space for", show)?;
        file.sync_data().context("sync", show)?;
        files.sync_dir(header.kind.dir()).context("sync", || files.show(header.kind.dir()))?;
        Ok(Self {
            files: files.clone(),
            file,
            header,
            written: HEADER_BYTES,
            buffer: Vec::new(),
            dirty: false,
        })
    }

    /// Opens a segment to write on at `end`, cutting off what is behind, with space for `bytes` in all.
    pub(crate) fn resume(files: &F, header: Header, end: u32, bytes: u32) -> Result<Self, Error> {
        let path = header.kind.path(header.number);
        let show = || files.show(&path);
        let file = files.open(&path, Access::Write).context("open", show)?;
        file.truncate(end.into()).context("cut", show)?;
        file.allocate(bytes.into()).context("reserve space for", show)?;
        // The cut must be durable before a record is: else old bytes could stand behind the new end.
        file.sync_data().context("sync", show)?;
        Ok(Self { files: files.clone(), file, header, written: end, buffer: Vec::new(), dirty: false })
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// Where the next record will begin.
    pub(crate) fn end(&self) -> u32 {
        self.written + u32::try_from(self.buffer.len()).expect("a buffer is far below 4 GiB")
    }

    /// Whether a block fits in a segment of `bytes`; the first always does.
    pub(crate) fn fits(&self, block: &[u8], bytes: u32) -> bool {
        let end = u64::from(self.end()) + u64::from(RECORD_HEADER_BYTES) + block.len() as u64;
        self.end() == HEADER_BYTES || end <= bytes.into()
    }

    /// Appends a record and says where it begins.
    pub(crate) fn append(&mut self, block: &[u8]) -> Result<u32, Error> {
        let offset = self.end();
        encode_record(block, &mut self.buffer);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(offset)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.dirty = true;
        let path = || self.files.show(&self.header.kind.path(self.header.number));
        self.file.write_at(self.written.into(), &self.buffer).context("write", path)?;
        self.written = self.end();
        self.buffer.clear();
        Ok(())
    }

    /// Makes all records durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        if self.dirty {
            let path = || self.files.show(&self.header.kind.path(self.header.number));
            self.file.sync_data().context("sync", path)?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Cuts the file to its records: it is never written again.
    pub(crate) fn seal(&mut self) -> Result<(), Error> {
        self.sync()?;
        let path = || self.files.show(&self.header.kind.path(self.header.number));
        self.file.truncate(self.written.into()).context("cut", path)?;
        self.file.sync_data().context("sync", path)
    }
}

/// Cuts a segment that is not written to any more.
pub(crate) fn cut<F: Files>(files: &F, kind: Kind, number: u32, end: u32) -> Result<(), Error> {
    let path = kind.path(number);
    let file = files.open(&path, Access::Write).context("open", || files.show(&path))?;
    file.truncate(end.into()).context("cut", || files.show(&path))?;
    file.sync_data().context("sync", || files.show(&path))
}

/// Where and why a scan ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The offset behind the last whole record.
    pub offset: u32,
    /// What stands there, if it is not a clean end.
    pub damage: Option<Damage>,
}

/// Reads a segment record by record.
#[derive(Debug)]
pub(crate) struct Scan<F: Files> {
    file: F::File,
    path: String,
    len: u64,
    /// The offset of `buffer` in the file.
    base: u64,
    buffer: Bytes,
    end: Option<End>,
}

impl<F: Files> Scan<F> {
    /// Opens segment `number`. The header is `None` where the file has no valid one.
    pub(crate) fn open(files: &F, kind: Kind, number: u32) -> Result<(Option<Header>, Self), Error> {
        let name = kind.path(number);
        let path = files.show(&name);
        let file = files.open(&name, Access::Read).context("open", || path.clone())?;
        let len = file.len().context("read", || path.clone())?;
        let mut bytes = [0; HEADER_BYTES as usize];
        let header = match len >= HEADER_BYTES.into() {
            true => {
                file.read_at(0, &mut bytes).context("read", || path.clone())?;
                Header::decode(kind, number, &bytes)
            }
            false => None,
        };
        // An offset is a `u32`, and no writer makes a longer file.
        let len = len.min(u32::MAX.into());
        Ok((header, Self { file, path, len, base: HEADER_BYTES.into(), buffer: Bytes::new(), end: None }))
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next record: where it begins and its block; `None` at the end, which [`Scan::end`] then tells.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Bytes)>, Error> {
        let mut wanted = RECORD_HEADER_BYTES as usize;
        while self.end.is_none() {
            let offset = u32::try_from(self.base).expect("the length was limited");
            match decode_record(&self.buffer) {
                Record::Whole(block) => {
                    let header = RECORD_HEADER_BYTES as usize;
                    let block = self.buffer.slice(header..header + block.len());
                    self.buffer = self.buffer.slice(header + block.len()..);
                    self.base += (header + block.len()) as u64;
                    return Ok(Some((offset, block)));
                }
                Record::End => self.end = Some(End { offset, damage: None }),
                Record::Damaged(damage) => self.end = Some(End { offset, damage: Some(damage) }),
                Record::Short(more) => wanted = more,
            }
            if self.end.is_none() && !self.fill(wanted)? {
                let torn = self.bytes_after(offset)? > 0;
                self.end = Some(End { offset, damage: torn.then_some(Damage::Torn) });
            }
        }
        Ok(None)
    }

    /// Where the scan ended; before it did, where it stands.
    pub(crate) fn end(&self) -> End {
        let standing = || End { offset: u32::try_from(self.base).expect("limited"), damage: None };
        self.end.clone().unwrap_or_else(standing)
    }

    /// Reads on so that the buffer holds `wanted` bytes; false if the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
        let left = self.len.saturating_sub(self.base);
        if left < wanted as u64 {
            return Ok(false);
        }
        let bytes = usize::try_from(left.min(SCAN_BYTES)).expect("a few MiB").max(wanted);
        let mut buffer = vec![0; bytes];
        self.file.read_at(self.base, &mut buffer).context("read", || self.path.clone())?;
        self.buffer = buffer.into();
        Ok(true)
    }

    /// How many bytes from `offset` on are not zero, up to the last that is not: what a cut there drops.
    pub(crate) fn bytes_after(&self, offset: u32) -> Result<u64, Error> {
        let mut last = u64::from(offset);
        let mut at = last;
        while at < self.len {
            let mut buffer = vec![0; usize::try_from(SCAN_BYTES.min(self.len - at)).expect("a few MiB")];
            self.file.read_at(at, &mut buffer).context("read", || self.path.clone())?;
            if let Some(found) = buffer.iter().rposition(|byte| *byte != 0) {
                last = at + found as u64 + 1;
            }
            at += buffer.len() as u64;
        }
        Ok(last - u64::from(offset))
    }
}
