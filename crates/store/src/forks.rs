//! The blocks above the irreversible tip, of every fork: segments that roll, and go away when they are old.
//!
//! **Invariant:** a segment is removed only when all of its blocks are older than the irreversible tip, and
//! the tip is durable in the log.

use std::collections::BTreeMap;

use chain::{Block, Format, Hash, Slot};

use crate::config::Config;
use crate::error::{Context as _, Damage, Error};
use crate::files::Files;
use crate::recovery::Cut;
use crate::segment::{self, Header, Kind, Scan, Writer};

/// The fork segments, open for writing.
#[derive(Debug)]
pub(crate) struct Forks<F: Files> {
    files: F,
    segment_bytes: u32,
    /// The segments that are there and the youngest slot in each; the last is the one written to.
    segments: BTreeMap<u32, Slot>,
    writer: Option<Writer<F>>,
}

impl<F: Files> Forks<F> {
    /// Reads what is there. Blocks come back as they were put, whole ones only.
    pub(crate) fn recover(
        files: &F,
        config: &Config,
        format: &Format,
        cuts: &mut Vec<Cut>,
    ) -> Result<(Self, Vec<Block>), Error> {
        let mut forks = Self {
            files: files.clone(),
            segment_bytes: config.fork_segment_bytes,
            segments: BTreeMap::new(),
            writer: None,
        };
        let mut blocks = Vec::new();
        let numbers = Kind::Forks.list(files)?;
        for number in &numbers {
            let last = Some(number) == numbers.last();
            forks.recover_segment(format, *number, last, &mut blocks, cuts)?;
        }
        Ok((forks, blocks))
    }

    fn recover_segment(
        &mut self,
        format: &Format,
        number: u32,
        last: bool,
        blocks: &mut Vec<Block>,
        cuts: &mut Vec<Cut>,
    ) -> Result<(), Error> {
        let (header, mut scan) = Scan::open(&self.files, Kind::Forks, number)?;
        let Some(header) = header else {
            // Nothing was put before the header was durable; if there is something, it was damaged later.
            Cut::note(cuts, &scan, 0, Some(Damage::SegmentHeader))?;
            return self.remove(number);
        };
        let mut youngest = Slot(0);
        let mut undecoded = None;
        while let Some((offset, raw)) = scan.next()? {
            match format.block(&raw) {
                Ok(block) => {
                    youngest = youngest.max(block.header.slot);
                    blocks.push(block);
                }
                Err(error) => {
                    undecoded = Some((offset, Damage::Block { reason: error.to_string() }));
                    break;
                }
            }
        }
        let end = scan.end();
        let (offset, damage) = match undecoded {
            Some((offset, damage)) => (offset, Some(damage)),
            None => (end.offset, end.damage),
        };
        let cut = Cut::note(cuts, &scan, offset, damage)?;
        self.segments.insert(number, youngest);
        if cut && !last {
            segment::cut(&self.files, Kind::Forks, number, offset)?;
        }
        if last {
            self.writer = Some(Writer::resume(&self.files, header, offset, self.segment_bytes)?);
        }
        Ok(())
    }

    /// Appends a block.
    pub(crate) fn put(&mut self, block: &Block) -> Result<(), Error> {
        let fits = self.writer.as_ref().is_some_and(|writer| writer.fits(&block.raw, self.segment_bytes));
        if !fits {
            self.roll()?;
        }
        let writer = self.writer.as_mut().expect("a segment was just begun");
        writer.append(&block.raw)?;
        let youngest = self.segments.entry(writer.header().number).or_default();
        *youngest = block.header.slot.max(*youngest);
        Ok(())
    }

    /// Makes what was put durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.writer.as_mut().map_or(Ok(()), Writer::sync)
    }

    /// Removes segments in which every block is older than the irreversible tip's slot. An equal slot stays:
    /// the child of a boundary block has it.
    pub(crate) fn release(&mut self, irreversible: Slot) -> Result<(), Error> {
        let current = self.writer.as_ref().map(|writer| writer.header().number);
        let old = |(number, youngest): (&u32, &Slot)| {
            (*youngest < irreversible && Some(*number) != current).then_some(*number)
        };
        let numbers: Vec<u32> = self.segments.iter().filter_map(old).collect();
        numbers.into_iter().try_for_each(|number| self.remove(number))
    }

    fn roll(&mut self) -> Result<(), Error> {
        if let Some(mut writer) = self.writer.take() {
            writer.seal()?;
        }
        let number = self.segments.last_key_value().map_or(0, |(number, _)| number + 1);
        let header = Header { kind: Kind::Forks, number, first: 0 };
        self.writer = Some(Writer::create(&self.files, header, self.segment_bytes)?);
        self.segments.insert(number, Slot(0));
        Ok(())
    }

    fn remove(&mut self, number: u32) -> Result<(), Error> {
        let path = Kind::Forks.path(number);
        self.files.remove(&path).context("remove", || self.files.show(&path))?;
        self.segments.remove(&number);
        Ok(())
    }
}

/// Those of the blocks that descend from `root`, each once, parents first.
pub(crate) fn descendants(root: Option<Hash>, blocks: Vec<Block>) -> Vec<Block> {
    let mut children: BTreeMap<Option<Hash>, BTreeMap<Hash, Block>> = BTreeMap::new();
    for block in blocks {
        children.entry(block.header.prev).or_default().insert(block.header.id, block);
    }
    let mut found: Vec<Block> = Vec::new();
    found.extend(children.remove(&root).into_iter().flat_map(BTreeMap::into_values));
    let mut at = 0;
    while at < found.len() {
        let id = Some(found[at].header.id);
        found.extend(children.remove(&id).into_iter().flat_map(BTreeMap::into_values));
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chain::{Header, Height};

    use super::*;
    use crate::files::memory;

    fn block(number: u8, slot: u64) -> Block {
        let (id, prev) = (Hash([number; 32]), Some(Hash([number - 1; 32])));
        let wire = Bytes::from_static(b"header");
        let header = Header { id, prev, slot: Slot(slot), height: Height(0), boundary: false, wire };
        Block { header, raw: Bytes::from(vec![number; 100]) }
    }

    #[test]
    fn a_segment_stays_until_all_of_it_is_older_than_the_tip() {
        let files = memory::Files::new(1);
        files.create_dir("forks").expect("creates");
        let mut forks =
            Forks { files: files.clone(), segment_bytes: 250, segments: BTreeMap::new(), writer: None };
        // Two blocks a segment.
        for (number, slot) in [(1, 10), (2, 20), (3, 20), (4, 15), (5, 30)] {
            forks.put(&block(number, slot)).expect("puts");
        }
        let count = |forks: &mut Forks<_>, slot| {
            forks.release(Slot(slot)).expect("releases");
            files.list("forks").expect("lists").len()
        };
        // The child of a boundary block in slot 20 has slot 20 too.
        assert_eq!([20, 21, 99].map(|slot| count(&mut forks, slot)), [3, 1, 1]);
    }

    #[test]
    fn only_what_descends_comes_back_and_parents_first() {
        let (a, b, c, other) = (block(2, 2), block(3, 3), block(4, 4), block(9, 9));
        let sibling = Block { header: Header { id: Hash([77; 32]), ..b.header.clone() }, raw: b.raw.clone() };
        let mixed = vec![c.clone(), other, sibling.clone(), b.clone(), a.clone(), b.clone()];
        assert_eq!(descendants(Some(Hash([1; 32])), mixed), [a, b, sibling, c]);
    }
}
