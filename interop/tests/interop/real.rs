//! The real blocks as their files hold them: the yardstick, read with nothing of the product.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The length of an entry in a secondary file.
const ENTRY_BYTES: usize = 56;

/// One real block.
pub(crate) struct Block {
    pub(crate) slot: u64,
    pub(crate) hash: [u8; 32],
    /// `[era, block]`.
    pub(crate) raw: Vec<u8>,
    /// Where its header lies in `raw`.
    header: std::ops::Range<usize>,
}

impl Block {
    pub(crate) fn header(&self) -> &[u8] {
        &self.raw[self.header.clone()]
    }

    /// Its height: the first number of the header's body, `[[height, slot, …], signature]`.
    pub(crate) fn height(&self) -> u64 {
        let header = self.header();
        let (major, head) = (header[2] >> 5, header[2] & 31);
        assert_eq!(major, 0, "a number");
        match head {
            0..=23 => head.into(),
            24 => header[3].into(),
            25 => u16::from_be_bytes([header[3], header[4]]).into(),
            _ => u32::from_be_bytes([header[3], header[4], header[5], header[6]]).into(),
        }
    }

    /// `SLOT.HASH`.
    pub(crate) fn point(&self) -> String {
        format!("{}.{}", self.slot, hex::encode(self.hash))
    }
}

/// The folder and all blocks of it; `None` where there are none at hand.
pub(crate) fn chain() -> Option<&'static (PathBuf, Vec<Block>)> {
    static CHAIN: OnceLock<Option<(PathBuf, Vec<Block>)>> = OnceLock::new();
    let read = || {
        let folder = testdata::preview()?;
        let mut chunks: Vec<_> = std::fs::read_dir(&folder)
            .expect("the folder can be read")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension() == Some("chunk".as_ref()))
            .collect();
        chunks.sort();
        let blocks: Vec<_> = chunks.iter().flat_map(|chunk| blocks_of(chunk)).collect();
        assert_eq!(blocks.len() as u64, testdata::PREVIEW_BLOCKS);
        Some((folder, blocks))
    };
    CHAIN.get_or_init(read).as_ref()
}

fn blocks_of(chunk: &Path) -> Vec<Block> {
    let bytes = std::fs::read(chunk).expect("a chunk");
    let secondary = std::fs::read(chunk.with_extension("secondary")).expect("its secondary file");
    let entries: Vec<&[u8]> = secondary.chunks_exact(ENTRY_BYTES).collect();
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let start = |entry: &[u8]| number(&entry[..8]) as usize;
    let ends = entries.iter().skip(1).map(|entry| start(entry)).chain([bytes.len()]);
    entries
        .iter()
        .zip(ends)
        .map(|(entry, end)| {
            let header = number(&entry[8..10]) as usize;
            Block {
                slot: number(&entry[48..]),
                hash: entry[16..48].try_into().expect("32 bytes"),
                raw: bytes[start(entry)..end].to_vec(),
                header: header..header + number(&entry[10..12]) as usize,
            }
        })
        .collect()
}
