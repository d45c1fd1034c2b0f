//! Reading a journal back: what is whole, what was torn, and what is damaged.

use bytes::Bytes;

use super::page::{Kind, PAGE_BYTES, Page, decode_records};

/// What a file holds of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The records, oldest first.
    pub records: Vec<Bytes>,
    /// The page behind the last whole batch.
    pub end: u32,
    /// Whether the last whole batch has no records: nothing is torn.
    pub is_closed: bool,
    /// Whether the next journal was begun.
    pub is_over: bool,
    /// The page behind the last one that a batch left that is not whole; `end` if there is none.
    pub torn_to: u32,
}

/// The newest journal that the file holds a whole page of.
pub fn newest(file: &[u8]) -> Option<u64> {
    pages(file).flatten().map(|(page, _)| page.journal).max()
}

/// The page behind the last whole one of a journal after this one.
pub(super) fn newer_to(file: &[u8], journal: u64) -> u32 {
    let newer = pages(file).flatten().filter(|(page, _)| page.journal > journal);
    newer.map(|(page, _)| page.number + 1).max().unwrap_or(0)
}

/// Reads a journal out of its file. The last batch may be torn: then it was never acknowledged, and is left out.
///
/// # Errors
/// The page where something is missing that had been acknowledged.
pub fn read(file: &[u8], journal: u64) -> Result<Read, u32> {
    let pages: Vec<_> = pages(file).map(|page| page.filter(|(page, _)| page.journal == journal)).collect();
    let mut read = Read { records: Vec::new(), end: 0, is_closed: false, is_over: false, torn_to: 0 };
    while let Some((batch, kind)) = batch(&pages, read.end) {
        let first = read.end;
        read.end += u32::try_from(batch.len()).expect("a file has fewer pages");
        let bytes = batch.concat();
        let records = decode_records(&bytes).ok_or(first)?;
        read.records.extend(records.into_iter().map(Bytes::copy_from_slice));
        read.is_closed = bytes.is_empty();
        read.is_over |= kind == Kind::Over;
    }
    read.torn_to = read.end;
    for (page, _) in pages.iter().skip(read.end as usize).flatten() {
        if page.first != read.end {
            // A later batch: the one that should stand here had been synced before it was written.
            return Err(read.end);
        }
        read.torn_to = page.number + 1;
    }
    Ok(read)
}

/// The pages of a file, each if it is whole and stands in its place.
fn pages(file: &[u8]) -> impl Iterator<Item = Option<(Page, &[u8])>> {
    let (pages, _) = file.as_chunks::<PAGE_BYTES>();
    (0..).zip(pages).map(|(number, bytes)| Page::decode(bytes).filter(|(page, _)| page.number == number))
}

/// The parts of the batch that begins at a page, if it is whole, and what its last page is.
fn batch<'a>(pages: &[Option<(Page, &'a [u8])>], first: u32) -> Option<(Vec<&'a [u8]>, Kind)> {
    let mut parts = Vec::new();
    for page in pages.iter().skip(first as usize) {
        let (page, records) = (*page)?;
        if page.first != first {
            return None;
        }
        parts.push(records);
        if page.kind != Kind::Part {
            return Some((parts, page.kind));
        }
    }
    None
}
