//! The pages that a journal is written in.
//!
//! A batch, which is what one sync makes durable, takes whole pages of its own, and each page says where its batch
//! begins. So a page that is not whole can be judged by those behind it: if a later batch is there, it had been
//! synced, and was damaged since.

use crate::journal::MAX_RECORD_BYTES;

/// The length of a page: a sector of most disks, so that a page is mostly written whole or not at all.
pub const PAGE_BYTES: usize = 512;
/// The bytes before the records in a page.
pub const HEADER_BYTES: usize = 24;
/// The bytes of records in a page.
pub const ROOM_BYTES: usize = PAGE_BYTES - HEADER_BYTES;

/// What a page is to its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The batch goes on in the next page.
    Part,
    /// The batch ends here.
    Last,
    /// There are no records: the next journal was begun, and is durable.
    Over,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Self::Part => 0,
            Self::Last => 1,
            Self::Over => 2,
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        [Self::Part, Self::Last, Self::Over].into_iter().find(|kind| kind.code() == code)
    }
}

/// What a page says beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Its place in the file.
    pub number: u32,
    /// The journal that it belongs to.
    pub journal: u64,
    /// The page that its batch begins with.
    pub first: u32,
    /// What it is to its batch.
    pub kind: Kind,
}

impl Page {
    /// Appends the page with its part of the records, at most [`ROOM_BYTES`].
    pub fn encode(&self, records: &[u8], to: &mut Vec<u8>) {
        let start = to.len();
        let used = u16::try_from(records.len()).expect("a page's room is below 64 KiB");
        to.extend_from_slice(&[0; 4]);
        to.extend_from_slice(&self.number.to_le_bytes());
        to.extend_from_slice(&self.journal.to_le_bytes());
        to.extend_from_slice(&self.first.to_le_bytes());
        to.extend_from_slice(&used.to_le_bytes());
        to.extend_from_slice(&self.kind.code().to_le_bytes());
        to.extend_from_slice(records);
        to.resize(start + PAGE_BYTES, 0);
        let crc = crc32c::crc32c(&to[start + 4..]);
        to[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a page and its part of the records; `None` if it is not whole.
    pub fn decode(bytes: &[u8; PAGE_BYTES]) -> Option<(Self, &[u8])> {
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        if crc32c::crc32c(&bytes[4..]) != u32_at(0)? {
            return None;
        }
        let page = Self {
            number: u32_at(4)?,
            journal: bytes[8..16].try_into().map(u64::from_le_bytes).ok()?,
            first: u32_at(16)?,
            kind: Kind::from_code(u16::from_le_bytes([bytes[22], bytes[23]]))?,
        };
        let used = usize::from(u16::from_le_bytes([bytes[20], bytes[21]]));
        let records = bytes.get(HEADER_BYTES..HEADER_BYTES + used)?;
        let is_padded = bytes[HEADER_BYTES + used..].iter().all(|byte| *byte == 0);
        (is_padded && page.first <= page.number && page.journal > 0).then_some((page, records))
    }
}

/// Appends a record to the bytes of a batch.
pub fn encode_record(record: &[u8], to: &mut Vec<u8>) {
    let len = record.len();
    assert!((1..=MAX_RECORD_BYTES).contains(&len), "no record of a journal has {len} bytes");
    to.extend_from_slice(&u32::try_from(len).expect("bounded above").to_le_bytes());
    to.extend_from_slice(record);
}

/// Cuts the bytes of a batch into its records; `None` if they are not just that.
pub fn decode_records(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut records = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let len = u32::from_le_bytes(*len) as usize;
        if !(1..=MAX_RECORD_BYTES).contains(&len) {
            return None;
        }
        let (record, after) = rest.split_at_checked(len)?;
        records.push(record);
        bytes = after;
    }
    bytes.is_empty().then_some(records)
}

/// Appends the pages of a batch that begins at page `first`; says which page comes after it.
pub fn encode_batch(journal: u64, first: u32, records: &[u8], to: &mut Vec<u8>) -> u32 {
    let mut parts = records.chunks(ROOM_BYTES).peekable();
    let mut number = first;
    // A batch without records is a page too: it shows that the one before was synced.
    let mut part = parts.next().unwrap_or_default();
    loop {
        let kind = if parts.peek().is_some() { Kind::Part } else { Kind::Last };
        Page { number, journal, first, kind }.encode(part, to);
        number += 1;
        match parts.next() {
            Some(next) => part = next,
            None => return number,
        }
    }
}
