//! The chains that the servers under test serve: real blocks of preview, or made ones.

use std::path::Path;
use std::str::FromStr;

use anyhow::Context;
use pallas_crypto::hash::Hasher;

use crate::wire::{self, Point};

/// A secondary entry of an immutable database: offset u64, header offset u16, header size u16, CRC u32,
/// hash, slot u64.
const SECONDARY_ENTRY: usize = 56;
/// Eras that a made block belongs to: Babbage, as blocks and as headers count them.
const BABBAGE: (u8, u8) = (6, 5);

/// Where a chain comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The real blocks of preview; made ones of about their size where they are not at hand.
    Preview,
    /// So many blocks of so many bytes each.
    Made { blocks: usize, bytes: usize },
}

impl FromStr for Source {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "preview" {
            return Ok(Self::Preview);
        }
        let rest = text.strip_prefix("made:").context("a source is `preview` or `made:BLOCKS:BYTES`")?;
        let (blocks, bytes) = rest.split_once(':').context("give `made:BLOCKS:BYTES`")?;
        Ok(Self::Made { blocks: blocks.parse()?, bytes: bytes.parse()? })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Preview => f.write_str("preview"),
            Self::Made { blocks, bytes } => write!(f, "made:{blocks}:{bytes}"),
        }
    }
}

/// One block of a chain.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Its point.
    pub(crate) point: Point,
    /// Its block number.
    pub(crate) height: u64,
    /// The header as it travels: `[era, tag24(bytes)]`.
    pub(crate) wire: Vec<u8>,
    /// The era of the header and where in `wire` its own bytes begin.
    pub(crate) era: u8,
    /// See `era`.
    pub(crate) header_at: usize,
    /// The block: `[era, block]`.
    pub(crate) raw: Vec<u8>,
}

/// Reads or makes a chain.
pub(crate) fn chain(source: Source) -> anyhow::Result<Vec<Item>> {
    match source {
        Source::Preview => match testdata::preview() {
            Some(dir) => preview(&dir),
            None => {
                eprintln!(
                    "skipped: the preview blocks are not at hand (set ANABRANCH_DATA); made ones serve"
                );
                Ok(made(40_000, 1_024))
            }
        },
        Source::Made { blocks, bytes } => Ok(made(blocks, bytes)),
    }
}

fn preview(dir: &Path) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for number in 0.. {
        let chunk = dir.join(format!("{number:05}.chunk"));
        if !chunk.exists() {
            break;
        }
        let blocks = std::fs::read(&chunk)?;
        let secondary = std::fs::read(chunk.with_extension("secondary"))?;
        let starts = secondary.chunks_exact(SECONDARY_ENTRY).map(start_of).collect::<Vec<_>>();
        for (index, entry) in secondary.chunks_exact(SECONDARY_ENTRY).enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(blocks.len());
            items.push(preview_item(entry, &blocks[starts[index]..end])?);
        }
    }
    Ok(items)
}

fn start_of(entry: &[u8]) -> usize {
    u64::from_be_bytes(entry[..8].try_into().expect("8 bytes")) as usize
}

fn preview_item(entry: &[u8], raw: &[u8]) -> anyhow::Result<Item> {
    let offset = u16::from_be_bytes(entry[8..10].try_into()?) as usize;
    let size = u16::from_be_bytes(entry[10..12].try_into()?) as usize;
    let hash = entry[16..48].try_into()?;
    let slot = u64::from_be_bytes(entry[48..56].try_into()?);
    let header = &raw[offset..offset + size];
    let (height, _) = wire::header(header)?;
    // Alonzo's and Babbage's headers stand one below their blocks' era.
    let era = raw[1] - 1;
    Ok(item(Point(Some((slot, hash))), height, era, header, raw.to_vec()))
}

fn item(point: Point, height: u64, era: u8, header: &[u8], raw: Vec<u8>) -> Item {
    let mut wire = vec![0x82, era, 0xd8, 0x18];
    wire.extend_from_slice(&wire::cbor(|e| drop(e.bytes(header))));
    let header_at = wire.len() - header.len();
    Item { point, height, wire, era, header_at, raw }
}

/// Blocks shaped like Babbage's, linked by their hashes, of about `bytes` each.
fn made(blocks: usize, bytes: usize) -> Vec<Item> {
    let mut prev = None;
    (0..blocks as u64)
        .map(|height| {
            let slot = height * 20;
            let header = made_header(height, slot, prev);
            let hash = *Hasher::<256>::hash(&header);
            prev = Some(hash);
            let padding = vec![0x5a; bytes.saturating_sub(header.len())];
            let mut raw = vec![0x82, BABBAGE.0, 0x85];
            raw.extend_from_slice(&header);
            raw.extend_from_slice(&wire::cbor(|e| {
                let _ = e.array(0).and_then(|e| e.array(0)).and_then(|e| e.map(1)).and_then(|e| e.u8(0));
                let _ = e.bytes(&padding).and_then(|e| e.array(0));
            }));
            item(Point(Some((slot, hash))), height, BABBAGE.1, &header, raw)
        })
        .collect()
}

/// A header with the fields and sizes of Babbage's, signed by nobody.
fn made_header(height: u64, slot: u64, prev: Option<[u8; 32]>) -> Vec<u8> {
    wire::cbor(|e| {
        let _ = e.array(2).and_then(|e| e.array(10)).and_then(|e| e.u64(height)).and_then(|e| e.u64(slot));
        match prev {
            Some(hash) => drop(e.bytes(&hash)),
            None => drop(e.null()),
        }
        let _ = e.bytes(&[1; 32]).and_then(|e| e.bytes(&[2; 32]));
        let _ = e.array(2).and_then(|e| e.bytes(&[3; 64])).and_then(|e| e.bytes(&[4; 80]));
        let _ = e.u32(1_024).and_then(|e| e.bytes(&[5; 32]));
        let _ = e.array(4).and_then(|e| e.bytes(&[6; 32])).and_then(|e| e.u8(0)).and_then(|e| e.u8(0));
        let _ = e.bytes(&[7; 64]);
        let _ = e.array(2).and_then(|e| e.u8(8)).and_then(|e| e.u8(0)).and_then(|e| e.bytes(&[8; 448]));
    })
}
